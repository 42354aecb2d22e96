"""The display's only way to the session: never waits for it, and loses none of its errors.

``SessionControl`` promises that every call returns at once. The display does not stake its frames on that promise: one
helper thread runs the operator's actions in order, takes the status ten times a second and hands over the latency
reports; the Qt thread reads the latest snapshot and collects errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from streams.control import BedView, SessionControl
from ui.style.language import tr

_POLL_S = 0.1
_POLL_ALL_S = 0.5  # of the beds that are not on show: soon enough to know why one stands still
_REPORTS_KEPT = 4096


def ask_all(control: SessionControl) -> tuple[BedView, ...]:
    """A snapshot of every bed, first of the one on show."""
    shown = control.view()
    return (shown, *[control.view(bed) for bed in shown.beds if bed != shown.bed])


class ControlLink:
    """``snapshot`` is None until the session first answered; it may be about a bed that was on show before. ``others``:
    of the beds that were not, at the last time that they were asked about. Call :meth:`poll` once a frame.

    worker: runs the calls, one after the other (default: a thread of its own).
    """

    def __init__(self, control: SessionControl, now_s: float, worker: Executor | None = None) -> None:
        self._control = control
        self._worker = worker or ThreadPoolExecutor(1, "display-control")
        self._polling: Future[tuple[BedView, ...]] | None = None
        self._shows = self._shows_when_asked = 0
        self._chosen = ""  # by the operator, and no answer since
        self._polled_s = self._polled_all_s = -math.inf
        self._actions: list[tuple[str, Future[None]]] = []
        self._reports: list[tuple[str, int, int]] = []
        self.snapshot: BedView | None = None
        self.others: tuple[BedView, ...] = ()
        self.answered_s = now_s
        self.failure = ""

    @property
    def bed(self) -> str:
        """The bed on show: the one chosen last, or by the session's answer; "" before the first."""
        return self._chosen or (self.snapshot.bed if self.snapshot is not None else "")

    def show(self, bed: str) -> None:
        """Put another bed on show. What is done from now on is about that one; what was painted before is not."""
        self._shows += 1
        self._chosen, self._polled_s, self._polled_all_s = bed, -math.inf, -math.inf
        reports, self._reports = self._reports, []

        def action(control: SessionControl) -> None:
            _tell(control, reports)
            control.show(bed)

        self.do(tr("show bed {bed}", bed=bed), action)

    def do(self, what: str, action: Callable[[SessionControl], None]) -> None:
        """Run an operator's action; ``what`` names it if it fails."""
        self._actions.append((what, self._worker.submit(action, self._control)))

    def report_shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        """To be told to the session: a stage was painted at ``shown_ns``, due at ``due_ns`` (monotonic)."""
        if len(self._reports) < _REPORTS_KEPT:
            self._reports.append((stage, due_ns, shown_ns))

    def poll(self, now_s: float) -> list[str]:
        """Take in a new snapshot if there is one; returns a sentence for each action that failed."""
        if self._polling is not None and self._polling.done():
            polling, self._polling = self._polling, None
            error = polling.exception()
            if error is None:
                self.snapshot, *others = polling.result()
                self.others = tuple(others) or self.others
                self.answered_s, self.failure = now_s, ""
                if self._shows_when_asked == self._shows:
                    self._chosen = ""  # it is as the session says, also where it has refused
            else:
                self.failure = tr("The session cannot be asked: {error}", error=error)
        if self._polling is None and now_s - self._polled_s >= _POLL_S:
            self._polled_s, self._shows_when_asked = now_s, self._shows
            reports, self._reports = self._reports, []
            everybody = now_s - self._polled_all_s >= _POLL_ALL_S
            if everybody:
                self._polled_all_s = now_s
            self._polling = self._worker.submit(self._ask, reports, everybody)
        failed = []
        for what, future in [done for done in self._actions if done[1].done()]:
            self._actions.remove((what, future))
            error = future.exception()
            if error is not None:
                failed.append(f"{what}: {error}")
        return failed

    def _ask(self, reports: list[tuple[str, int, int]], everybody: bool) -> tuple[BedView, ...]:
        _tell(self._control, reports)
        return ask_all(self._control) if everybody else (self._control.view(),)

    def close(self) -> None:
        """Hand over the last reports; waits for nothing."""
        reports, self._reports = self._reports, []
        if reports:
            self._worker.submit(_tell, self._control, reports)
        self._worker.shutdown(wait=False)


def _tell(control: SessionControl, reports: list[tuple[str, int, int]]) -> None:
    for report in reports:
        control.shown(*report)
