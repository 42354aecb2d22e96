"""Mutated messages through the app of a worker with a display: a crash is whatever leaves an agent.

A case is a fresh app in the middle of a bed's life, to which a mutated message comes between each two honest ones; its
number is its seed, so that a failure is found again by it alone. The agents are those of :func:`streams.app.create_app`
and read as they do in a run; what they send is put back on the topics, so that each stage also gets what the stages
before it made of such messages. Behind them: a display's wards, a session's control, and a recorder's encoder.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
from faust.types import TP

from benchmarks.fuzz.mutations import Damage
from models.signals.channels import ChannelMap, map_channels
from models.signals.readers.opener import open_recording
from models.signals.times import SECOND_NS
from models.signals.windows import Window, WindowSpec
from streams.accounting import Accounting
from streams.alarm_log import AlarmLog
from streams.alarm_stage import AlarmStage
from streams.app import Stages, create_app
from streams.codec import encode, samples_to_bytes
from streams.commands import CommandApplier
from streams.feed import DisplayFeed
from streams.fields import COMMANDS
from streams.latency import LatencyBook
from streams.mailbox import Mailbox, WindowJob
from streams.records import (
    TOPICS,
    AnyRecord,
    BedChannel,
    BedRecord,
    CommandRecord,
    DeadLetter,
    ExplainRecord,
    LeftOutRow,
    PredictionRecord,
    RestoredChunk,
    StatusRecord,
    WaveTick,
)
from streams.remote import RemoteSession
from streams.sources.bed_replay import BedReplay
from streams.sources.replay import ReplaySource
from streams.stages import CommandStage, FollowStage, ShowStage, WindowStage
from streams.wire import Outbox
from ui.bed.bedside import Answer
from ui.bed.prediction_view import prediction_words
from ui.bed.readouts import readout
from ui.bed.ward import Ward
from ui.style.theme import default_theme

SECONDS = 36  # of the patient
WARM_S = 12  # of honest ticks before the first mutated message
TICK_NS = 250_000_000
PER_CASE = 96  # mutated messages
SESSION = "fuzz"
HERE, ELSEWHERE = 0, 1  # partitions: of new messages, and of those that another worker handled before

Guard = Callable[[], AbstractContextManager[None]]
"""Around the handling of one message: for a limit in time."""


def run_case(seed: int, guard: Guard = nullcontext, messages: int = PER_CASE) -> Counter[str]:
    """One case; what became of its messages. Raises what left an agent, with a note of the message."""
    return asyncio.run(_run_case(Damage(seed), base_messages(), guard, messages))


async def _run_case(damage: Damage, honest: list[tuple[str, bytes]], guard: Guard, messages: int) -> Counter[str]:
    with closing(House()) as house:
        await _live(house, damage, honest, guard, messages)
        return house.counts


async def _live(house: House, damage: Damage, honest: list[tuple[str, bytes]], guard: Guard, messages: int) -> None:
    everything = [message for _, message in honest]
    ticks = [message for topic, message in honest if topic == "waves"]
    told = [(topic, message) for topic, message in honest if topic != "waves"]
    for number, tick in enumerate(ticks[: WARM_S * 4]):
        await house.take("waves", tick, HERE)
        if number % 16 == 0:
            topic, message = damage.one_of(told)
            await house.take(topic, message, HERE)
    left = deque(ticks[WARM_S * 4 :])
    for _ in range(messages):
        if damage.below(2):
            topic, message = damage.one_of(told)
        else:
            topic, message = "waves", left[min(damage.below(6), len(left) - 1)] if left else damage.one_of(ticks)
        mutated = damage.message(message, everything)
        house.counts["mutated"] += 1
        if damage.below(20) == 0:
            topic = damage.one_of(TOPICS)
        partition = ELSEWHERE if damage.below(5) == 0 else HERE
        try:
            with guard():
                await house.take(topic, mutated, partition)
                house.look()
        except Exception as error:
            error.add_note(f"topic {topic}, message {mutated.hex()}")
            raise
        if left and damage.below(3):
            await house.take("waves", left.popleft() if damage.below(8) else left[0], HERE)


class House:
    """The agents of one app, with all that a run of every role has behind them. Clocks stand still."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._sent: deque[tuple[str, bytes]] = deque()
        self._offsets: Counter[tuple[str, int]] = Counter()
        self._inbox: dict[str, list[Any]] = {}
        accounting = Accounting()
        self._mailbox = Mailbox(1 << 16)
        self._feed = DisplayFeed()
        self._ward = Ward(default_theme(), 0.0)
        self._control = RemoteSession(SESSION, lambda command: None, "", "operator", monotonic_ns=lambda: 0)
        self._log = AlarmLog()
        self._source = ReplaySource("a", SESSION, patient, speed=None)
        self._source.describe()
        show = ShowStage([self._feed], accounting, LatencyBook(lambda: 0.0), _Nobody(), lambda topic, tick: None,
                         monotonic_ns=lambda: 0)  # fmt: skip
        show.subscribe(self._control)
        show.subscribe(self._subscribed)
        stages = Stages(
            WindowStage(WindowSpec(), self._mailbox, accounting, _Nobody(), self._send, memory_s=5.0,
                        monotonic_ns=lambda: 0),
            AlarmStage(self._send, 5.0, memory_s=5.0),
            show,
            CommandStage(SESSION, CommandApplier(self._source)),
            FollowStage(lambda record: None, lambda record: None),
        )  # fmt: skip
        self._outbox = Outbox()
        app = create_app(SESSION, stages, self._outbox, broker="embedded://fuzz")
        app._consumer = SimpleNamespace(  # type: ignore[assignment]
            rewound_until={TP(topic, ELSEWHERE): 1 << 60 for topic in ("waves", "vitals", "predictions")},
            assignment=set,
        )
        self._agents: dict[str, Any] = {agent.name.rpartition(".")[2]: agent.fun for agent in app.agents.values()}

    def close(self) -> None:
        """Ends the thread of the source."""
        self._source.stop()
        self._source.run(lambda tick: False)

    async def take(self, topic: str, message: bytes, partition: int) -> None:
        """A message on a topic, and whatever that makes the stages send."""
        await self._deliver(topic, message, partition)
        while self._sent:
            await self._deliver(*self._sent.popleft(), HERE)

    def look(self) -> None:
        """What a screen does with it ten times a second, and the model's thread with its windows."""
        for record in self._feed.drain(4096):
            self._ward.apply(record, 0.0)
        self._ward.keep_time(0.0)
        self._ward.judge(0.0, Answer(self._control.status()))
        for name in list(self._ward.names)[:4]:
            if name in self._control.beds:
                self._ward.show(name, 0.0)
                self._ward.take(self._control.view(name), 0.0)
        shown = self._ward.on_show
        shown.state.settle()
        shown.advance(0.0)
        for lane in shown.state.lanes:
            readout(shown.state, lane, shown.moment)
        prediction_words(shown.state, shown.moment)
        for job in self._mailbox.take(1 << 16) if len(self._mailbox) else ():
            if isinstance(job, WindowJob):
                self.counts["windows"] += 1
                _check_window(job.window)

    async def _deliver(self, topic: str, message: bytes, partition: int) -> None:
        tp = TP(topic, partition)
        before = self._outbox.dead_letters
        await self._agents[topic](_Stream(SimpleNamespace(
            message=SimpleNamespace(topic=topic, partition=partition, offset=self._offsets[tp], value=message,
                                    key=b"a", tp=tp),
            value=message,
        )))  # fmt: skip
        self._offsets[tp] += 1
        self.counts["refused" if self._outbox.dead_letters > before else "taken"] += 1
        self._outbox._messages.clear()

    def _subscribed(self, record: AnyRecord) -> None:
        """As the exports of alarms do, and a recorder."""
        self._log.follow(record)
        encode(record)

    async def _send(self, topic: str, record: AnyRecord) -> None:
        self._sent.append((topic, encode(record)))


class _Stream:
    """One message, as an agent reads it."""

    def __init__(self, event: Any) -> None:
        self._event = event

    async def events(self) -> AsyncIterator[Any]:
        """The message."""
        yield self._event


class _Nobody:
    def release(self, stage: str, tick: Any) -> None:
        """No source waits."""


def _check_window(window: Window) -> None:
    """A model may be given no infinite number, whatever came in."""
    for name in ("signals", "context"):
        if np.isinf(getattr(window, name)).any():
            raise ArithmeticError(f"the window's {name} hold an infinite number")


# -- honest messages ------------------------------------------------------------------------------------------------


@cache
def patient() -> ChannelMap:
    """The built-in one."""
    return map_channels(open_recording(f"demo:duration={SECONDS},seed=3"))


@cache
def base_messages() -> list[tuple[str, bytes]]:
    """(topic, message): a bed's ticks in order, what a worker makes of them, and records of every other kind."""
    replay = BedReplay("a", SESSION, patient(), SECONDS * SECOND_NS)
    segments = replay.decode(0, SECONDS * SECOND_NS)
    edges = range(0, SECONDS * SECOND_NS + 1, TICK_NS)
    ticks = [
        WaveTick(bed="a", session=SESSION, epoch=0, tick_seq=number, start_ns=begin, end_ns=end,
                 due_ns=end if number % 2 else 0, chunks=replay.chunks(segments, begin, end))
        for number, (begin, end) in enumerate(pairwise(edges))
    ]  # fmt: skip
    made = asyncio.run(_worked(ticks))
    others = [("beds", r) for r in _of_a_bed()] + [("predictions", r) for r in (*_predictions(), *_explanations())]
    others += [("commands", r) for r in _commands()] + [("deadletters", r) for r in _dead_letters()]
    return [(topic, encode(record)) for topic, record in [*(("waves", t) for t in ticks), *made, *others]]


async def _worked(ticks: Sequence[WaveTick]) -> list[tuple[str, AnyRecord]]:
    """What the stages of a worker send."""
    made: list[tuple[str, AnyRecord]] = []

    async def send(topic: str, record: AnyRecord) -> None:
        made.append((topic, record))
        if topic == "vitals":
            await alarm.handle("vitals", record)

    alarm = AlarmStage(send, 5.0, memory_s=5.0)
    window = WindowStage(WindowSpec(), None, Accounting(), _Nobody(), send, memory_s=5.0, monotonic_ns=lambda: 0)
    for tick in ticks:
        await window.handle(tick)
    return made


def _of_a_bed() -> Iterator[AnyRecord]:
    known = [(m, c) for m, leads in patient().leads.items() for c in leads]
    channels = [BedChannel(m.value, c.label, c.unit, c.rate_hz, c.lead) for m, c in known]
    for bed in ("a", "b"):
        head: dict[str, Any] = {"bed": bed, "session": SESSION, "epoch": 0}
        yield BedRecord(**head, title="patient", channels=channels, gaps_s={"ECG": [(1.0, 2.0)]}, seekable=bed == "a",
                        end_ns=SECONDS * SECOND_NS, zero_unix_ns=1_700_000_000 * SECOND_NS)  # fmt: skip
        yield StatusRecord(**head, role="source", position_s=5.0, achieved_speed=0.9, dropped=["ABP"])
        yield StatusRecord(**head, role="worker", backend="onnx", model="m", notes=["n"], counts={"samples_lost": 1})


def _predictions() -> Iterator[AnyRecord]:
    names = [m.value for m in WindowSpec().modalities]
    for second in range(12, SECONDS, 4):
        data, lo, hi = (samples_to_bytes(np.linspace(60 + k, 120 + k, 100, dtype=np.float32)) for k in (0, -5, 5))
        yield PredictionRecord(
            bed="a", session=SESSION, epoch=0, window_end_ns=second * SECOND_NS, model="m", backend="onnx",
            modalities=names, presence=[[True] * 10 for _ in names], ages_s=[1.0, *[None] * (len(names) - 1)],
            valid=True, abstain=second % 8 == 0, reason="", risk={str(m): (0.9, 0.5, 1.0) for m in (5, 10, 15)},
            depth=(45.0, 40.0, 50.0), pressures={k: (70.0, 60.0, 80.0) for k in ("sys", "dia", "map")},
            restored=[RestoredChunk("ABP", 100, (second - 1) * 100, data, lo, hi)], not_estimable={"EEG": "never"},
            stamps_ns={"due": second * SECOND_NS}, service="as chosen",
        )  # fmt: skip
        yield PredictionRecord(
            bed="a", session=SESSION, epoch=0, window_end_ns=(second + 1) * SECOND_NS, model="m", backend="onnx",
            modalities=names, presence=[[True] * 10 for _ in names], ages_s=[None] * len(names), valid=False,
            abstain=False, reason="skipped: the model was behind", risk={}, missed="skipped",
        )  # fmt: skip


def _explanations() -> Iterator[AnyRecord]:
    rows = [
        LeftOutRow(name, risk={"5": (0.2, 0.1, 0.3)}, no_map="measured", depth=(45.0, 40.0, 50.0))
        for name in ("", "ECG", "PPG")
    ]
    rows += [LeftOutRow("ABP", no_risk="no ABP now", map_mmhg=(70.0, 60.0, 80.0), no_depth="no EEG")]
    yield ExplainRecord(
        bed="a", session=SESSION, epoch=0, window_end_ns=9 * SECOND_NS, asked_ns=9 * SECOND_NS, window_s=30, model="m",
        backend="onnx", rows=[*rows, LeftOutRow("EEG", "it is not there")],
    )  # fmt: skip
    yield ExplainRecord(
        bed="a", session=SESSION, epoch=0, window_end_ns=0, asked_ns=0, reason="the model is not loaded yet"
    )


def _commands() -> Iterator[AnyRecord]:
    arguments: dict[str, dict[str, str | float]] = {
        "drop": {"modality": "ABP"}, "restore": {"modality": "ABP"}, "seek": {"time_s": 5.0}, "speed": {"speed": 2.0},
        "step": {"seconds": 1.0}, "mark": {"time_s": 5.0, "word": "incision"},
    }  # fmt: skip
    for number, name in enumerate(sorted(COMMANDS)):
        yield CommandRecord(bed="a", session=SESSION, epoch=0, id=f"c{number}", operator="o", time_ns=SECOND_NS,
                            name=name, args=arguments.get(name, {}))  # fmt: skip


def _dead_letters() -> Iterator[AnyRecord]:
    yield DeadLetter(bed="a", session=SESSION, epoch=0, topic="waves", partition=0, offset=3, reason="why", size=9,
                     head=b"\x00\xff")  # fmt: skip
