"""Key T: the truth of what is withheld, over the waves; and what it costs to know it, beside the screen's thread."""

from __future__ import annotations

from concurrent.futures import Executor, Future

from ui.bed.state import DisplayState
from ui.bed.truth import Mean, Truth, TruthNumbers
from ui.style.language import tr
from ui.waves.sweep import SweepView
from ui.waves.truth_tags import truth_tags

CHEAP_SPEED = 4.0
"""Up to which the numbers are also kept while nobody asks for them, so that the error is one since the sensor was lost;
in a faster replay the machine has better to do."""


class TruthView:
    """``on``: the truth is drawn, which it is not until somebody asks. worker: computes.
    Call :meth:`renew` a few times a second."""

    def __init__(self, worker: Executor) -> None:
        self.on = False
        self._worker = worker
        self._of: tuple[Truth, int] | None = None
        self._numbers = TruthNumbers()
        self._job: Future[list[Mean]] | None = None

    def toggle(self, seekable: bool) -> str:
        """On or off; what is to be said of it. seekable: of a recording."""
        if not seekable and not self.on:
            return tr("a live source has no truth to show: what it withholds nobody measures")
        self.on = not self.on
        if self.on:
            return tr("the truth is drawn in dots where a sensor is withheld — T hides it")
        return tr("the truth is hidden")

    def renew(self, state: DisplayState, sweep: SweepView, speed: float | None, seekable: bool) -> None:
        """Brings numbers and tags up to date. state: of the bed on show; speed: event seconds a second, None: max."""
        self._compute(state.truth, seekable and (self.on or (speed is not None and speed <= CHEAP_SPEED)))
        head_s = sweep.head_s
        shown = self.on and seekable and head_s is not None
        sweep.put_truth(truth_tags(state.lanes, state.truth, (head_s or 0.0) - sweep.page_s) if shown else None)

    def _compute(self, truth: Truth, wanted: bool) -> None:
        """Hands over what was computed, and what is to be computed next."""
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            if self._of is not None:
                self._of[0].told(self._of[1], job.result())
        if self._job is not None or not wanted or not (ticks := truth.taken()):
            return
        if self._of is None or self._of[0] is not truth or self._of[1] != truth.stretch:
            self._of, self._numbers = (truth, truth.stretch), TruthNumbers()
        self._job = self._worker.submit(self._numbers.take, ticks)
