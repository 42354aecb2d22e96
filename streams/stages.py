"""What the agents of :mod:`streams.app` do with a decoded record; each stage is independent of Faust.

Stages never hold up the loop for more than a few milliseconds, and never wait for a topic. The only stage that waits
is the windower at speed max, for room in the mailbox of the inference thread.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from models.runtime.memory import Remembered
from models.signals.times import SECOND_NS
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.explain import NO_MODEL, NO_WINDOW, refused
from streams.feed import DisplayFeed
from streams.heritage import MOST_HERITAGES, Heritage, ToldWindows
from streams.latency import LatencyBook
from streams.mailbox import EndOfBed, Mailbox, WindowJob
from streams.memories import engine_memory
from streams.records import (
    AnyRecord,
    BedRecord,
    CellRecord,
    CommandRecord,
    DeadLetter,
    MemoryRecord,
    PredictionRecord,
    StatusRecord,
    WaveTick,
    tick_identity,
)
from streams.sessions import same_source
from streams.windower import BedWindower, Handled

Send = Callable[[str, AnyRecord], Awaitable[None]]
Subscriber = Callable[[AnyRecord], None]

WINDOW, SHOW = "window", "show"
"""Names of the stages that release the credits of a tick."""

END_TOPICS = ("waves", "vitals", "predictions", "alarms")
"""Topics on which a bed's end of stream travels; the last consumer acknowledges each."""


class Releases(Protocol):
    """What a stage needs of :class:`streams.transport.Credits`."""

    def release(self, stage: str, tick: Hashable) -> None:
        """The stage has handled the tick."""


def end_of_stream(like: AnyRecord | EndOfBed, time_ns: int) -> WaveTick:
    """The end of a bed's stream as a message for any topic."""
    return WaveTick(
        bed=like.bed, session=like.session, epoch=like.epoch, tick_seq=0, start_ns=time_ns, end_ns=time_ns, eos=True
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """The last tick of a bed: its session and epoch, and when it came (monotonic)."""

    session: str
    epoch: int
    at_ns: int


class WindowStage:
    """Ticks of all beds of this worker: states, cells and vitals go out by topic, windows to the mailbox.

    memory_s: seconds of a bed's time after which it is told what is known of it (:mod:`streams.memories`), for who may
    take over; None where nobody can.
    """

    def __init__(
        self,
        spec: WindowSpec,
        mailbox: Mailbox | None,
        accounting: Accounting,
        credits: Releases,
        send: Send,
        *,
        memory_s: float | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        make_windower: Callable[[WindowSpec, Accounting], BedWindower] = BedWindower,
    ) -> None:
        self._spec, self._mailbox, self._accounting = spec, mailbox, accounting
        self._credits, self._send, self._now, self._make = credits, send, monotonic_ns, make_windower
        self._beds: dict[str, BedWindower] = {}
        self._seen: dict[str, Seen] = {}
        self._room = asyncio.Event()
        self._memory_ns = None if memory_s is None else round(memory_s * SECOND_NS)
        self._told: dict[str, tuple[str, int, int]] = {}  # session, epoch and event time at which it was told
        self._heritage: Remembered[Heritage] = Remembered(MOST_HERITAGES)
        self._told_windows = ToldWindows()
        self.waiting = False
        """True while a full mailbox holds this stage up (speed max)."""

    def seen(self) -> dict[str, Seen]:
        """The beds whose ticks came here, and the last of each; from any thread."""
        return dict(self._seen)

    def forget_silent(self, now_ns: int, silent_ns: int) -> list[str]:
        """Drops the state of beds from which nothing has come for so long; their names. In the event loop."""
        gone = [bed for bed, seen in self._seen.items() if now_ns - seen.at_ns > silent_ns]
        for bed in gone:
            del self._seen[bed]
            self._beds.pop(bed, None)
            self._told.pop(bed, None)
            self._heritage.forget(bed)
            self._told_windows.forget(bed)
        return gone

    def inherit(self, memory: MemoryRecord, committed: bool = True) -> None:
        """Another worker knew that; it is gone on with where its tick comes while this one warms up. Told in order;
        committed: that worker had read it itself."""
        if memory.signals is None and memory.model is None:
            return
        heritage = self._heritage.get(memory.bed) or Heritage()
        heritage.take(memory, committed)
        self._heritage.put(memory.bed, heritage)

    def note_told(self, record: PredictionRecord | WaveTick) -> None:
        """Another worker has told that of a window, or the end of the predictions; told in order, and read before the
        ticks."""
        self._told_windows.note(record)

    def made_room(self) -> None:
        """The inference thread has taken windows; called in the event loop."""
        self._room.set()

    async def handle(self, tick: WaveTick, warming: bool = False) -> None:
        """Takes a tick: records go out, a window that closes goes to the mailbox. warming: it was handled before, by
        another worker, and nothing goes out."""
        received = self._now()
        windower = self._beds.get(tick.bed)
        if windower is None:
            windower = self._beds[tick.bed] = self._make(self._spec, self._accounting)
        self._seen[tick.bed] = Seen(tick.session, tick.epoch, received)
        try:
            heritage = self._heritage.get(tick.bed)
            if heritage is not None and (signals := heritage.signals_for(self._told_windows.until(tick))) is not None:
                windower.inherit(signals)
                heritage.signals = None
                heritage.all_signals.clear()
            handled = windower.handle(tick, received)
            if heritage is not None:
                self._hand_on(heritage, handled, tick, windower.stretch, warming)
            for record in handled.records if not warming else ():
                await self._send("vitals", record)
            for job in handled.windows:
                if self._told_windows.has(job, warming):
                    await self._warm(job)
                else:
                    job.stamps["window"] = self._now()
                    await self._hand_over(job, tick)
            if warming:
                if handled.ended and self._told_windows.lacks_end(tick):
                    await self._end(tick)
                return
            await self._tell(windower, handled, tick)
            if handled.ended:
                await self._send("vitals", end_of_stream(tick, tick.end_ns))
                await self._end(tick)
        finally:
            self._credits.release(WINDOW, tick_identity(tick))

    def _hand_on(self, heritage: Heritage, handled: Handled, tick: WaveTick, stretch: int, warming: bool) -> None:
        """What another worker's model remembered goes to this one with the first window that it does not know of, or
        that is new."""
        memory = heritage.model
        if memory is None or memory.model is None or (memory.session, memory.epoch) != (tick.session, tick.epoch):
            return
        if tick.tick_seq <= memory.tick_seq:
            heritage.stretch = stretch
            if warming:
                return
        if handled.windows:
            heritage.model = None
            if heritage.stretch == stretch:
                inherited = engine_memory(memory.model)
                handled.windows[0] = dataclasses.replace(handled.windows[0], inherited=inherited)

    async def _tell(self, windower: BedWindower, handled: Handled, tick: WaveTick) -> None:
        """What is known of the bed, whenever it is time and a cell has closed."""
        if self._memory_ns is None or not any(isinstance(record, CellRecord) for record in handled.records):
            return
        session, epoch, told_ns = self._told.get(tick.bed, ("", -1, 0))
        if (session, epoch) == (tick.session, tick.epoch) and abs(tick.end_ns - told_ns) < self._memory_ns:
            return
        memory = windower.export(tick)
        if memory is not None:
            self._told[tick.bed] = tick.session, tick.epoch, tick.end_ns
            await self._send("vitals", memory)

    async def _hand_over(self, job: WindowJob, tick: WaveTick) -> None:
        self._accounting.count("windows")
        if self._mailbox is None:
            return
        if tick.goes_to_ns is not None and self._mailbox.offer(job):
            return  # of a pre-roll all that there is room for, and nobody waits for a model that is not there yet
        if tick.due_ns > 0 or tick.goes_to_ns is not None:
            self._accounting.count("skipped_windows", self._mailbox.keep_newest(job))
            return
        await self._offer(self._mailbox, job)

    async def _warm(self, job: WindowJob) -> None:
        """The model remembers windows too."""
        if self._mailbox is not None:
            await self._offer(self._mailbox, dataclasses.replace(job, warming=True))

    async def _offer(self, mailbox: Mailbox, job: WindowJob) -> None:
        self._room.clear()
        while not mailbox.offer(job):
            self.waiting = True
            await self._room.wait()
            self._room.clear()
        self.waiting = False

    async def explain(self, record: AnyRecord) -> None:
        """Puts a command "explain" about one of its beds to the model; where that cannot be, the answer says so."""
        if not isinstance(record, CommandRecord) or record.name != "explain":
            return
        windower = self._beds.get(record.bed)
        if windower is None or windower.session != record.session:
            return  # of another worker, or another patient
        question = windower.question(record.time_ns) if self._mailbox is not None else None
        if self._mailbox is None:
            why = NO_MODEL
        else:
            why = NO_WINDOW if question is None else self._mailbox.ask(question)
        if why:
            epoch = self._seen[record.bed].epoch
            await self._send("predictions", refused(record.bed, record.session, epoch, record.time_ns, why))

    async def _end(self, tick: WaveTick) -> None:
        if self._mailbox is None:
            await self._send("predictions", end_of_stream(tick, tick.end_ns))
        else:
            self._mailbox.offer(EndOfBed(tick.bed, tick.session, tick.epoch, tick.end_ns))


class ShowStage:
    """The last consumer: hands every record to the display feeds and subscribers, and measures latency there."""

    def __init__(
        self,
        feeds: Collection[DisplayFeed],
        accounting: Accounting,
        latency: LatencyBook,
        credits: Releases,
        on_end: Callable[[str, WaveTick], None],
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._feeds, self._accounting, self._latency = feeds, accounting, latency
        self._credits, self._on_end, self._now = credits, on_end, monotonic_ns
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, callback: Subscriber) -> None:
        """``callback`` gets every record from now on, in order."""
        self._subscribers = (*self._subscribers, callback)

    async def handle(self, topic: str, record: AnyRecord) -> None:
        """Hands the record on, and counts what it took to come here. What workers tell one another is none of it."""
        if isinstance(record, MemoryRecord):
            return
        try:
            if isinstance(record, PredictionRecord):
                # A new record: the one that came is shared with whoever else reads its message.
                record = replace(record, stamps_ns={**record.stamps_ns, "published": self._now()})
            if not (isinstance(record, WaveTick) and record.eos):
                if topic != "beds":  # what a display knows of its session it asks of the session
                    for feed in self._feeds:
                        feed.push(record)
                for subscriber in self._subscribers:
                    subscriber(record)
            self._measure(record)
        finally:
            if topic == "waves" and isinstance(record, WaveTick):
                self._credits.release(SHOW, tick_identity(record))
        if isinstance(record, WaveTick) and record.eos:
            self._on_end(topic, record)

    def _measure(self, record: AnyRecord) -> None:
        if isinstance(record, WaveTick):
            self._latency.add_ns("sample_to_feed", record.due_ns, self._now())
        elif isinstance(record, PredictionRecord) and record.missed != "skipped":
            self._latency.add_ns("window_to_prediction", record.stamps_ns.get("due", 0), self._now())
        elif isinstance(record, DeadLetter):
            self._accounting.count("dead_letters")


class FollowStage:
    """What the rest of the ward says to sources in a process of their own. How far the workers are: a cell of a second
    says that all before its end was handled, an end of stream that all was. And which beds other sources have."""

    def __init__(
        self, handled: Callable[[CellRecord | WaveTick], None], heard: Callable[[BedRecord | StatusRecord], None]
    ) -> None:
        self._handled, self._heard = handled, heard

    async def handle(self, record: AnyRecord) -> None:
        """Tells of cells and ends, and of what sources say of their beds."""
        if isinstance(record, CellRecord) or (isinstance(record, WaveTick) and record.eos):
            self._handled(record)
        elif isinstance(record, BedRecord) or (isinstance(record, StatusRecord) and record.role == "source"):
            self._heard(record)


class CommandStage:
    """Operators' commands to the sources of the session that they are for."""

    def __init__(self, session: str, apply: Callable[[CommandRecord], None]) -> None:
        self._session, self._apply = session, apply

    async def handle(self, record: AnyRecord) -> None:
        """Applies a command that is for this session, or for one that a source of it goes on in."""
        if isinstance(record, CommandRecord) and same_source(record.session, self._session):
            self._apply(record)
