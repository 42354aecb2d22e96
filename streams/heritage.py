"""What a worker that takes beds over finds of the one before: what it knew of a bed, and of which windows it has told.

Both are read before the ticks of the bed are handled here, those of the last minutes again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from models.runtime.memory import Remembered
from models.signals.times import SECOND_NS
from streams.mailbox import WindowJob
from streams.records import MemoryRecord, PredictionRecord, WaveTick
from streams.sessions import is_past

MOST_HERITAGES = 1024  # beds of which it is kept what another worker knew, until their ticks come
MOST_SIGNALS = 12  # memories of a bed's signals that are kept until its ticks come: two minutes
BACK_NS = 10 * SECOND_NS  # further back the clock has jumped; less, and it is told again


@dataclass(slots=True)
class Heritage:
    """What another worker knew of a bed, by part; and, of the model's, on which side of the jumps of the clock it was
    told. newest: what it told last and had not read itself: what that is of may not have been handled for good."""

    signals: MemoryRecord | None = None
    model: MemoryRecord | None = None
    stretch: int | None = None
    newest_signals: MemoryRecord | None = None
    newest_model: MemoryRecord | None = None
    all_signals: deque[MemoryRecord] = field(default_factory=lambda: deque(maxlen=MOST_SIGNALS))

    def take(self, memory: MemoryRecord, committed: bool) -> None:
        """Of each part the last one counts; of those that are not committed the last but one, if there is any other:
        seconds before it would be told again as somebody who does not know of it tells them."""
        if memory.signals is not None:
            self.all_signals.append(memory)
            self.signals, self.newest_signals = _next(self.signals, self.newest_signals, memory, committed)
        if memory.model is not None:
            self.model, self.newest_model = _next(self.model, self.newest_model, memory, committed)
            self.stretch = None

    def signals_for(self, told_ns: int | None) -> MemoryRecord | None:
        """What the windows go on with. Where the worker before had told of them up to ``told_ns`` only, which is before
        the last memory: one of before, for the last one comes too late for those that are still to be told."""
        last = self.signals
        if last is None or told_ns is None or last.time_ns <= told_ns:
            return last
        of = last.session, last.epoch
        early = [m for m in self.all_signals if (m.session, m.epoch) == of and m.time_ns <= told_ns]
        return early[-1] if early else last


def _next(
    counts: MemoryRecord | None, newest: MemoryRecord | None, memory: MemoryRecord, committed: bool
) -> tuple[MemoryRecord, MemoryRecord | None]:
    """Which counts, and which waits for another after it."""
    if committed or counts is None:
        return memory, None
    return newest or counts, memory


@dataclass(slots=True)
class _Told:
    """Of a bed's newest epoch: up to which end of a window, in order, None where that cannot be said, since event time
    has run back. ended: and the end of the predictions."""

    session: str
    epoch: int
    end_ns: int | None
    ended: bool = False

    def is_of(self, what: WindowJob | PredictionRecord | WaveTick) -> bool:
        return (self.session, self.epoch) == (what.session, what.epoch)


class ToldWindows:
    """Of which windows other workers have told, so that each has one record. A tick that one had handled may have
    closed windows that it did not come to tell, since its model was behind; and one that it had not handled for good
    may have closed windows that it told."""

    def __init__(self) -> None:
        self._beds: Remembered[_Told] = Remembered(MOST_HERITAGES)

    def forget(self, bed: str) -> None:
        """Drops what is known of the bed."""
        self._beds.forget(bed)

    def note(self, record: PredictionRecord | WaveTick) -> None:
        """That was told: a window, or the end of a bed's predictions. In order."""
        told = self._beds.get(record.bed)
        if told is None or not told.is_of(record):
            past = told is not None and is_past(record.session, record.epoch, told.session, told.epoch)
            if isinstance(record, PredictionRecord) and not past:
                self._beds.put(record.bed, _Told(record.session, record.epoch, record.window_end_ns))
        elif isinstance(record, WaveTick):
            told.ended = True
        elif told.end_ns is not None:
            back = record.window_end_ns < told.end_ns - BACK_NS
            told.end_ns = None if back else max(told.end_ns, record.window_end_ns)

    def until(self, tick: WaveTick) -> int | None:
        """The end of the newest window of the tick's epoch that was told; None where nobody knows."""
        told = self._beds.get(tick.bed)
        return told.end_ns if told is not None and told.is_of(tick) else None

    def has(self, job: WindowJob, warming: bool) -> bool:
        """Whether the window was told; warming: its tick was handled, which decides where nothing else is known. Asked
        in order: from the first new one on all are to be told here."""
        told = self._beds.get(job.bed)
        if told is None or not told.is_of(job) or told.end_ns is None:
            return warming
        was_told = job.window.end_s * SECOND_NS <= told.end_ns
        if not was_told and not warming:
            self.forget(job.bed)  # should the clock jump back, windows of the same end are others
        return was_told

    def lacks_end(self, tick: WaveTick) -> bool:
        """Whether who handled ``tick``, the bed's last, did not come to tell the end of its predictions."""
        told = self._beds.get(tick.bed)
        return told is not None and told.is_of(tick) and not told.ended
