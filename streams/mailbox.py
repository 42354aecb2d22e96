"""Between the windower (event loop) and the thread of the model: windows of all beds, each bed's in order.

At speed max nothing is skipped: a full mailbox refuses, and the windower waits. In a *paced* run nobody waits, and a
window may find an older one of its bed before it. Where the model can soon have done all that waits
(:data:`CATCH_UP`), both are computed; else the older one is *skipped*, and told so: a window that is missing cannot
be told from one that is still to come.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from threading import Condition

from models.runtime.memory import EngineMemory, Remembered
from models.runtime.prediction import Prediction, lost
from models.signals.leave_out import WindowPast
from models.signals.times import SECOND_NS
from models.signals.windows import Window

CATCH_UP = 0.5
"""What the model takes, by its last batch, for all that waits, as a share of the time from one window of a bed to the
next: up to here older windows are computed too. It is well below 1, so that a model that cannot keep up for good does
not drag a queue behind it."""
BEHIND = "skipped: the model was behind"
NOT_LOADED = "skipped: the model was not loaded yet"

NEVER = (-math.inf, -math.inf)
QUIET_S = 1.2
"""Without a window for so long, none is about to come."""
PATIENCE_S = 4.0
"""A question that the model has had no time for by then is refused."""
MOST_QUESTIONS = 8
QUESTION_WINDOWS = 8
"""What a question takes, in windows: its rows in one batch, and what they are made of. Measured: 4 to 5."""
PACES = 9  # batches of which the middle one tells what a window takes
BUSY = "the model has no time for it at this speed"
LOADING = "the model is not loaded yet"


@dataclass(frozen=True, slots=True)
class WindowJob:
    """A window on its way to the model. stamps: stage -> monotonic ns; ``due`` 0 where there is no deadline.
    stretch: how often the clock has jumped within the epoch. warming: another worker has told what the model says of
    it; only what the model remembers is wanted. tick_seq: of the tick that closed it. inherited: what another worker's
    model remembered when it came to this window."""

    bed: str
    session: str
    epoch: int
    window: Window
    stamps: dict[str, int] = field(default_factory=dict)
    stretch: int = 0
    warming: bool = False
    tick_seq: int = 0
    inherited: EngineMemory | None = None

    @property
    def key(self) -> Hashable:
        """What the model may remember together: windows of one bed with no gap longer than a window among them."""
        return self.bed, self.session, self.epoch, self.stretch


@dataclass(frozen=True, slots=True)
class SkippedWindow:
    """All that is left of a window that the model had no time for: whose it is, and what is said instead."""

    bed: str
    session: str
    epoch: int
    said: Prediction
    stamps: dict[str, int]


@dataclass(frozen=True, slots=True)
class EndOfBed:
    """The bed's stream has ended: comes after its last window, and leaves after its last prediction."""

    bed: str
    session: str
    epoch: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class ExplainJob:
    """A question: what is each sensor worth to what is said of the newest window? ``stretch`` as of a window; asked_ns:
    event time of the command. refused: why it is not answered."""

    bed: str
    session: str
    epoch: int
    past: WindowPast
    stretch: int
    asked_ns: int
    refused: str = ""

    @property
    def key(self) -> Hashable:
        """That of the window."""
        return self.bed, self.session, self.epoch, self.stretch


Item = WindowJob | SkippedWindow | EndOfBed | ExplainJob


@dataclass(slots=True)
class _Place:
    """A place in the queue, and the windows of its bed that were skipped before it, oldest first."""

    item: WindowJob | EndOfBed
    skipped: list[SkippedWindow] = field(default_factory=list)


@dataclass(slots=True)
class _Question:
    """asked_s: monotonic. heard: whether the model has had a window of the bed since."""

    job: ExplainJob
    asked_s: float
    heard: bool = False


class Mailbox:
    """Bounded, thread-safe. Questions are answered between windows: right after one of their bed, when the next is
    still to come, and never while one waits.

    capacity: windows that wait at speed max, and up to which a paced run keeps older ones. It holds one window a bed,
    whatever the capacity.
    """

    def __init__(self, capacity: int = 64, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._capacity, self._monotonic = capacity, monotonic
        self._questions: dict[str, _Question] = {}  # by bed
        self._put_s: Remembered[tuple[float, float]] = Remembered()  # when each bed's last two windows came
        self._places: deque[_Place] = deque()
        self._condition = Condition()
        self._closed = False
        self._begun = False  # the model has asked for windows
        self._in_hand: set[str] = set()  # beds whose windows it has now
        self._window_s: float | None = None
        self._windows_s: deque[float] = deque(maxlen=PACES)
        self._on_space: Callable[[], None] = lambda: None
        self._on_skipped: Callable[[Sequence[SkippedWindow]], None] | None = None

    def on_space(self, call: Callable[[], None]) -> None:
        """``call`` (from the inference thread) whenever items have been taken."""
        self._on_space = call

    def on_skipped(self, call: Callable[[Sequence[SkippedWindow]], None]) -> None:
        """``call`` (from whoever skips, and under the lock, so that nothing overtakes it) with windows that are skipped
        while the model has none of their bed and none of it waits before them. All others are taken in their turn."""
        self._on_skipped = call

    def pace(self, window_s: float) -> None:
        """How long the model took for a window, the last time."""
        with self._condition:
            self._window_s = window_s
            self._windows_s.append(window_s)

    def keep_newest(self, job: WindowJob) -> int:
        """Put the newest window of its bed; returns how many older ones were skipped for it, the oldest first.

        What remains of a bed moves up into the places of those that were skipped, so that every bed has its turn
        however late the model is: at the end of the queue the same beds would be overtaken again and again. Windows
        that warm the model are not skipped: they are few, and what it remembers hangs on each."""
        with self._condition:
            if self._closed:
                return 0
            self._came(job.bed)
            mine = [n for n, place in enumerate(self._places) if place.item.bed == job.bed]
            skipped = self._too_many(job)
            left = _overtaken([self._places[n] for n in mine], job, skipped, BEHIND if self._begun else NOT_LOADED)
            if skipped:
                for n, place in zip(mine, left, strict=False):
                    self._places[n] = place
                for n in reversed(mine[len(left) :]):
                    del self._places[n]
            else:
                self._places.append(left[-1])
            if skipped and self._on_skipped is not None and job.bed not in self._in_hand and left[0].skipped:
                self._on_skipped(left[0].skipped)
                left[0].skipped = []
            self._condition.notify()
            return skipped

    def ask(self, job: ExplainJob) -> str:
        """Put a question; one that waits for the same bed goes. Why it is refused, "" where it is not."""
        with self._condition:
            if not self._begun or self._closed:
                return LOADING
            if job.bed not in self._questions and len(self._questions) >= MOST_QUESTIONS:
                return BUSY
            self._questions[job.bed] = _Question(job, self._monotonic())
            self._condition.notify()
            return ""

    def _came(self, bed: str) -> None:
        """A window of the bed has come."""
        _, last_s = self._put_s.get(bed) or NEVER
        self._put_s.put(bed, (last_s, self._monotonic()))

    def _answerable(self) -> tuple[list[Item], float | None]:
        """Questions whose turn it is, or that are refused; else how long until that may be, None: until news."""
        now_s, wait_s = self._monotonic(), None
        for bed, question in list(self._questions.items()):
            before_s, last_s = self._put_s.get(bed) or NEVER
            quiet_s = last_s + QUIET_S - now_s
            late = now_s - question.asked_s > PATIENCE_S
            if self._places and not late:
                continue
            between_s = last_s - before_s if math.isfinite(before_s) else math.inf
            costs_s = QUESTION_WINDOWS * (median(self._windows_s) if self._windows_s else 0.0)
            if late or (quiet_s > 0.0 and costs_s > between_s):
                del self._questions[bed]
                return [replace(question.job, refused=BUSY)], None
            if question.heard or quiet_s <= 0.0:
                del self._questions[bed]
                return [question.job], None
            wait_s = quiet_s if wait_s is None else min(wait_s, quiet_s)
        return [], wait_s

    def _too_many(self, job: WindowJob) -> int:
        """How many windows of the job's bed must go before it may come."""
        items = [place.item for place in self._places]
        waiting = [item for item in items if isinstance(item, WindowJob) and not item.warming]
        mine = [item for item in waiting if item.bed == job.bed]
        most = 0.0
        if mine and self._window_s is not None:
            hop_s = max(0, job.stamps.get("due", 0) - mine[-1].stamps.get("due", 0)) / SECOND_NS
            most = min(self._capacity, CATCH_UP * hop_s / max(self._window_s, 1e-6))
        return next((n for n in range(len(mine)) if len(waiting) - n + 1 <= most), len(mine))

    def offer(self, item: WindowJob | EndOfBed) -> bool:
        """Put it last; False if the mailbox is full. An end of bed is always taken."""
        with self._condition:
            if len(self._places) >= self._capacity and isinstance(item, WindowJob):
                return False
            if isinstance(item, WindowJob):
                self._came(item.bed)
            else:
                self._put_s.forget(item.bed)
            self._places.append(_Place(item))
            self._condition.notify()
            return True

    def take(self, limit: int, gather_s: float = 0.0, beds: int = 1) -> list[Item]:
        """Wait for items and take at most ``limit``, before each what was skipped for it, or a question in its turn;
        empty once closed. What was taken before has been told by now.

        With several beds in step, wait up to ``gather_s`` more for the windows of all ``beds``.
        """
        with self._condition:
            self._begun = True
            self._in_hand.clear()
            while not self._closed:
                answerable, wait_s = self._answerable()
                if answerable:
                    return answerable
                if self._places:
                    break
                self._condition.wait(wait_s)
            deadline = time.monotonic() + gather_s
            while gather_s and not self._closed and len(self._places) < min(limit, beds):
                left = deadline - time.monotonic()
                if left <= 0 or not self._condition.wait(left):
                    break
            if self._closed:
                return []
            taken: list[Item] = []
            for place in [self._places.popleft() for _ in range(min(limit, len(self._places)))]:
                taken += [*place.skipped, place.item]
            self._in_hand = {item.bed for item in taken}
            for bed in self._in_hand & set(self._questions):
                self._questions[bed].heard = True
        self._on_space()
        return taken

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    def close(self) -> None:
        """Let ``take`` return; what still waits is thrown away."""
        with self._condition:
            self._closed = True
            self._places.clear()
            self._questions.clear()
            self._condition.notify_all()

    def __len__(self) -> int:
        with self._condition:
            return len(self._places)


def _overtaken(places: list[_Place], job: WindowJob, skip: int, reason: str) -> list[_Place]:
    """What is left of a bed's places, with ``job`` behind them, without the ``skip`` oldest windows that may go. What
    was inherited with one goes to the next that it is of."""
    left: list[_Place] = []
    gone: list[SkippedWindow] = []
    heir: WindowJob | None = None
    for place in [*places, _Place(job)]:
        item = place.item
        if isinstance(item, WindowJob) and heir is not None and item.key == heir.key and item.inherited is None:
            item = replace(item, inherited=heir.inherited)
        if isinstance(item, WindowJob) and not item.warming and skip:
            skip -= 1
            said = lost(item.window, reason)
            gone += [*place.skipped, SkippedWindow(item.bed, item.session, item.epoch, said, item.stamps)]
            heir = item if item.inherited is not None else None
            continue
        left.append(_Place(item, gone + place.skipped))
        gone, heir = [], None
    return left
