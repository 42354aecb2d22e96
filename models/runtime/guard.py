"""The watchdog: backends that may hang, break or give nonsense, behind one that always answers in time.

Each backend runs in a thread of its own. On a miss that thread is abandoned with what it holds, and the next backend of
the chain is loaded while the next window is on its way. The batch is lost: :class:`BackendFailed` says why, and the
stream marks its predictions invalid with that sentence.

The next one is loaded when it is needed and not before: ONNX Runtime loads in 0.2 s, a fifth of a hop, and would hold
40 MB and a core at the start for a case that hardly ever comes.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.runtime.backend import Arrays, BackendInfo
from models.runtime.backend_thread import LARGEST_BATCH, BackendThread, Ended, Load, Missed, Wait, take
from models.signals.errors import BackendFailed, VigilError

log = logging.getLogger("vigil.inference")

DEADLINE_S = 2.0
"""A paced batch: twice what makes a result late, so that a slow machine is late and only a hung one fails over."""
HANG_S = 120.0
"""A batch at speed max, where results may not depend on the machine: beyond this it hangs."""
LOAD_S = 60.0  # for a backend of the chain to load while the stream runs
RESTARTS = 3  # of the last backend of the chain, in a row; a batch that is served begins the count again
MAX_STUCK = 3  # threads that never came back; with as many of them nothing is started any more
MAX_NOTES = 32
_UNCHECKED = frozenset({"tokens"})  # undefined where absent; the memory learns finite ones only

State = Literal["", "refused", "failed_over", "unavailable"]


@dataclass(frozen=True, slots=True)
class Service:
    """How predictions are served now. state: "" as chosen at the start, "refused" likewise although the gate refused a
    better backend, "failed_over", "unavailable". notes: sentences on why better backends do not serve and on what
    failed, oldest first. batch: windows that one run may take."""

    state: State = ""
    notes: tuple[str, ...] = ()
    batch: int = LARGEST_BATCH


class GuardedBackend:
    """A backend over a chain: ``serving``, loaded, and what comes after it, (name, load), best first; the last one is
    started again when it fails.

    deadline_s: for one run. cancel: set it to end a load or a run. notes: why better backends do not serve; refused:
    whether the gate refused one of them. Called by one thread.
    """

    def __init__(
        self,
        serving: BackendThread,
        chain: Sequence[tuple[str, Load]],
        *,
        deadline_s: float = DEADLINE_S,
        cancel: threading.Event | None = None,
        notes: Sequence[str] = (),
        refused: bool = False,
        wait: Wait = take,
    ) -> None:
        self._serving: BackendThread | None = serving
        self._info, self._batch = serving.info, serving.batch
        self._loading = False  # the one that serves is still on its way
        self._chain, self._next_at = list(chain), 0
        self._restarts = 0
        self._standby: BackendThread | None = None  # loaded for a second opinion
        self._opinions = 0  # second opinions that could not be had
        self._hung: list[BackendThread] = []  # left in a call that has not come back
        self._deadline_s, self._cancel, self._wait = deadline_s, cancel or threading.Event(), wait
        self._state: State = "refused" if refused else ""
        self._unavailable = ""
        self._notes = list(notes)

    @property
    def info(self) -> BackendInfo:
        """Of the backend that serves or is on its way, or of the last one that did."""
        return self._info

    @property
    def service(self) -> Service:
        """How it serves now, and why better backends do not."""
        return Service(self._state, tuple(self._notes), self._batch)

    def warm_up(self) -> None:
        """Nothing: each backend is warm when its load returns."""

    def run(self, inputs: Arrays) -> Arrays:
        """Raises BackendFailed with the reason where this batch is lost; the next call is for the next backend.

        Rows that are not finite are shown to the next backend. If it makes numbers of them, the one that serves is
        sick and has served for the last time; if not, the window is to blame: the rows are given as they are.
        """
        serving = self._ready()
        try:
            outputs = serving.call(lambda backend: backend.run(inputs), self._deadline_s)
        except Ended:
            self._end(serving)
            raise
        except VigilError as error:
            self._fail(serving, str(error), error)
            raise
        self._restarts = 0
        broken = _not_finite(outputs)
        if broken is not None and self._is_sick(inputs, broken):
            reason = f"{serving.name} gave values that are not finite"
            self._fail(serving, reason)
            raise BackendFailed(reason)
        return outputs

    def close(self) -> None:
        """Close what is loaded; a thread that hangs is left to the end of the process."""
        for thread in (self._serving, self._standby):
            if thread is not None:
                thread.close()
        self._serving = self._standby = None
        self._unavailable = "the model was closed"

    # -- fail-over ----------------------------------------------------------------------------------------------------

    def _ready(self) -> BackendThread:
        """The backend that serves now, once it is loaded. Raises BackendFailed if none is left."""
        while self._serving is not None:
            serving = self._serving
            if not self._loading:
                return serving
            try:
                serving.loaded(LOAD_S)
            except Ended:
                self._end(serving)
                raise
            except VigilError as error:
                self._fail(serving, str(error), error)
            else:
                self._take_over(serving)
        raise BackendFailed(self._unavailable)

    def _end(self, serving: BackendThread) -> None:
        """The run is over while it is in a call: wait for it to come back, within bounds."""
        serving.close()
        self._serving, self._unavailable = None, "the run was ended"

    def _take_over(self, thread: BackendThread) -> None:
        self._serving, self._loading, self._state = thread, False, "failed_over"
        self._info, self._batch = thread.info, thread.batch
        self._note(f"{thread.name} took over")

    def _fail(self, serving: BackendThread, reason: str, error: VigilError | None = None) -> None:
        """Leave the backend that serves and start the next one, without waiting for it."""
        log.warning("Inference backend failed: %s", reason, exc_info=error.__cause__ if error else None)
        self._note(reason)
        self._leave(serving, hung=isinstance(error, Missed))
        self._serving, self._loading = None, False
        if self._standby is not None:
            standby, self._standby = self._standby, None
            self._take_over(standby)
        elif len(self._hung) >= MAX_STUCK:
            self._give_up(f"{len(self._hung)} backends hang, and no other is started")
        elif (started := self._start_next()) is not None:
            self._serving, self._loading, self._state = started, True, "failed_over"
            self._info, self._batch = started.info, started.batch
        else:
            self._give_up(f"no backend is left, {reason}")

    def _start_next(self) -> BackendThread | None:
        """The next of the chain, on its way; the last one again and again, at most ``RESTARTS`` times in a row."""
        if self._next_at < len(self._chain):
            name, load = self._chain[self._next_at]
            self._next_at += 1
        elif self._chain and self._restarts < RESTARTS:
            name, load = self._chain[-1]
            self._restarts += 1
        else:
            return None
        return BackendThread(name, load, self._cancel, self._wait)

    def _leave(self, thread: BackendThread, *, hung: bool) -> None:
        thread.leave()
        self._hung = [left for left in (*self._hung, *([thread] if hung else ())) if left.stuck]

    def _give_up(self, why: str) -> None:
        self._state, self._unavailable = "unavailable", f"the model is not available: {why}"
        self._note(self._unavailable)
        log.warning("Predictions have ended: %s", self._unavailable)

    def _is_sick(self, inputs: Arrays, rows: npt.NDArray[np.bool_]) -> bool:
        """The second opinion on ``rows``: True if another backend makes finite numbers of any of them."""
        if self._opinions >= RESTARTS or len(self._hung) >= MAX_STUCK:
            return False
        thread = self._standby or self._start_next()
        if thread is None:
            return False
        try:
            if thread is not self._standby:
                thread.loaded(LOAD_S)
            some = {name: values[rows] for name, values in inputs.items()}
            outputs = thread.call(lambda backend: backend.run(some), self._deadline_s)
        except Ended:
            thread.close()
            raise
        except VigilError as error:
            log.warning("No second opinion on values that are not finite: %s", error)
            self._note(f"no second opinion on values that are not finite: {error}")
            self._opinions += 1
            self._leave(thread, hung=isinstance(error, Missed))
            self._standby = None
            return False
        self._standby = thread
        still = _not_finite(outputs)
        return still is None or not bool(still.all())

    def _note(self, sentence: str) -> None:
        sentence = sentence.rstrip(".")
        if len(self._notes) < MAX_NOTES and sentence not in self._notes:
            self._notes.append(sentence)


def _not_finite(outputs: Arrays) -> npt.NDArray[np.bool_] | None:
    """Rows with a value that is not finite; None where there are none, as the sums alone nearly always tell."""
    checked = [np.asarray(values, np.float32) for name, values in outputs.items() if name not in _UNCHECKED]
    if all(math.isfinite(values.sum()) for values in checked):
        return None
    rows = ~np.logical_and.reduce([np.isfinite(values).reshape(len(values), -1).all(axis=1) for values in checked])
    return np.asarray(rows) if rows.any() else None
