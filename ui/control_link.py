"""The display's only way to the session: never waits for it, and loses none of its errors.

``SessionControl`` promises that every call returns at once. The display does not stake its frames on that promise: one
helper thread runs the operator's actions in order, takes the status ten times a second and hands over the latency
reports; the Qt thread reads the latest snapshot and collects errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from models.signals.modalities import Modality
from streams.control import ChannelInfo, SessionControl, SessionStatus

_POLL_S = 0.1
_REPORTS_KEPT = 4096

Gaps = dict[Modality, tuple[tuple[float, float], ...]]
Snapshot = tuple[SessionStatus, tuple[ChannelInfo, ...], Gaps, str]


class ControlLink:
    """``snapshot`` is None until the session first answered. Call :meth:`poll` once a frame.

    worker: runs the calls, one after the other (default: a thread of its own).
    """

    def __init__(self, control: SessionControl, now_s: float, worker: Executor | None = None) -> None:
        self._control = control
        self._worker = worker or ThreadPoolExecutor(1, "display-control")
        self._polling: Future[Snapshot] | None = None
        self._polled_s = -math.inf
        self._actions: list[tuple[str, Future[None]]] = []
        self._reports: list[tuple[str, int, int]] = []
        self.snapshot: Snapshot | None = None
        self.answered_s = now_s
        self.failure = ""

    @property
    def status(self) -> SessionStatus | None:
        """The session's last answer; None before the first."""
        return self.snapshot[0] if self.snapshot is not None else None

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
                self.snapshot, self.answered_s, self.failure = polling.result(), now_s, ""
            else:
                self.failure = f"The session cannot be asked: {error}"
        if self._polling is None and now_s - self._polled_s >= _POLL_S:
            self._polled_s = now_s
            reports, self._reports = self._reports, []
            self._polling = self._worker.submit(self._ask, reports)
        failed = []
        for what, future in [done for done in self._actions if done[1].done()]:
            self._actions.remove((what, future))
            error = future.exception()
            if error is not None:
                failed.append(f"{what}: {error}")
        return failed

    def _ask(self, reports: list[tuple[str, int, int]]) -> Snapshot:
        control = self._control
        for report in reports:
            control.shown(*report)
        return control.status(), control.channels, control.gaps_s, control.title

    def close(self) -> None:
        """Hand over the last reports; waits for nothing."""
        reports, self._reports = self._reports, []
        if reports:
            self._worker.submit(self._ask, reports)
        self._worker.shutdown(wait=False)
