"""Whether somebody who asks to quit may go at once, or is asked first. Pure: the caller brings the clock."""

from __future__ import annotations

import math

from ui.style.language import tr


class Leaving:
    """A patient is not left by a slip of a finger, nor a recording ended by it: what runs has to be left twice."""

    def __init__(self, asks_for_s: float) -> None:
        """asks_for_s: within it the second time counts."""
        self._asks_for_s, self._until_s = asks_for_s, -math.inf

    def asked(self, now_s: float, runs: bool, recorded: bool) -> str:
        """What to say instead of going; "" to go. runs: some bed has not ended. recorded: the run is being recorded."""
        if not runs or now_s <= self._until_s:
            return ""
        self._until_s = now_s + self._asks_for_s
        return tr("once more to quit, which ends the recording") if recorded else tr("once more to quit")
