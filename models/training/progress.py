"""Progress bars on the terminal."""

from __future__ import annotations

import shutil


class ProgressBars:
    """One bar a stage, with the time left; called with stage, done, total. A stage that is done at once says so."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._make, self._bar, self._stage = tqdm, None, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of a stage; a new stage closes the bar of the last."""
        if stage != self._stage:
            if self._bar is not None:
                self._bar.close()
            width = min(100, shutil.get_terminal_size().columns)
            self._stage = stage
            # What was there before this run does not count for the time left.
            self._bar = self._make(total=total, desc=f"{stage:<22}", ncols=width, initial=max(0, done - 1))
        assert self._bar is not None
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()
            self._bar, self._stage = None, ""
