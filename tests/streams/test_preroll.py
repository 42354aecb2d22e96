"""A seek knows what it would know had the replay run there: same windows, numerics and alarms; and tells none of it
before the moment that was sought."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from msgspec.structs import replace

from models.signals.modalities import Modality
from models.signals.windows import Window, WindowSpec
from monitor.exports import PerBed, VitalsCsv
from streams.accounting import Accounting
from streams.alarm_stage import AlarmStage
from streams.codec import decode, encode, samples_to_bytes
from streams.flow import Flow
from streams.mailbox import Mailbox, WindowJob
from streams.preroll import PREROLL_NS, PrerollAlarms, PrerollFilter
from streams.records import (
    AlarmRecord,
    AnyRecord,
    PredictionRecord,
    StateRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
    tick_identity,
)
from streams.stages import WindowStage
from tests.signals.waves import RATE
from tests.streams.bedside import ABP, ECG, PPG, S, arrest, well

TICK_NS = S // 4  # coarser than a replay's, for speed
PREROLL_S = PREROLL_NS // S
HEAD = {"bed": "a", "session": "s"}


class _Freely:
    def release(self, stage: str, tick: object) -> None:
        pass


@dataclass
class Stream:
    """Windower and alarms as the topology has them, fed with ticks of 100-Hz waves."""

    signals: Mapping[Modality, np.ndarray]
    gone: Mapping[Modality, tuple[float, float]] = field(default_factory=dict)
    mailbox: Mailbox = field(default_factory=lambda: Mailbox(1000))

    def __post_init__(self) -> None:
        self.vitals: list[AnyRecord] = []
        self.alarms: list[tuple[float, AlarmRecord]] = []
        self.windows: dict[int, Window] = {}
        self.accounting = Accounting()
        self._at_s = 0.0
        self._alarm = AlarmStage(self._send)
        self._window = WindowStage(WindowSpec(), self.mailbox, self.accounting, _Freely(), self._send)

    async def _send(self, topic: str, record: AnyRecord) -> None:
        record = decode(encode(record))
        if topic == "alarms":
            if isinstance(record, AlarmRecord):  # and not by which limits they are judged
                self.alarms.append((self._at_s, record))
        elif topic == "vitals":
            self.vitals.append(record)
            await self._alarm.handle("vitals", record)

    def play(self, to_s: float, seek_s: float | None = None, epoch: int = 0, from_s: float = 0.0) -> Stream:
        """From ``from_s``, or by a pre-roll from ``seek_s``, to ``to_s``."""
        goes_to = None if seek_s is None else round(seek_s * S)
        begin = round(from_s * S) if goes_to is None else max(goes_to - PREROLL_NS, 0) // S * S

        async def feed() -> None:
            for sequence, start in enumerate(range(begin, round(to_s * S), TICK_NS)):
                end, lo, hi = start + TICK_NS, -(-start * RATE // S), -(-(start + TICK_NS) * RATE // S)
                self._at_s = end / S
                chunks = [
                    WaveChunk(m.value, m.value, float(RATE), 0, lo, samples_to_bytes(x[lo:hi]))
                    for m, x in self.signals.items()
                    if not (m in self.gone and self.gone[m][0] * S <= start < self.gone[m][1] * S)
                ]
                preroll = goes_to is not None and start < goes_to
                tick = WaveTick(**HEAD, epoch=epoch, tick_seq=sequence, start_ns=start, end_ns=end, chunks=chunks,
                                goes_to_ns=goes_to if preroll else None)  # fmt: skip
                await self._window.handle(tick)
                while len(self.mailbox):
                    for job in self.mailbox.take(100):
                        if job.epoch == epoch:
                            self.windows[job.window.end_s] = job.window  # type: ignore[union-attr]

        asyncio.run(feed())
        return self

    def vitals_of(self, second: int, epoch: int = 0) -> VitalsRecord:
        return next(
            r for r in self.vitals
            if isinstance(r, VitalsRecord) and (r.epoch, r.time_ns) == (epoch, second * S)
        )  # fmt: skip

    def standing(self, at_s: float, epoch: int = 0) -> dict[str, tuple[str, str, str]]:
        """Key -> priority, text, reason of what a display has been told by then."""
        told: dict[str, tuple[str, str, str]] = {}
        for heard_s, alarm in self.alarms:
            if heard_s <= at_s and alarm.epoch == epoch:
                told.pop(alarm.key, None)
                if alarm.active:
                    told[alarm.key] = (alarm.priority, alarm.text, alarm.reason)
        return told


# -- the same as if it had run there --------------------------------------------------------------------------------


def test_after_a_seek_numerics_and_windows_are_those_of_a_run_from_the_start() -> None:
    signals = {m: x.astype(np.float32) for m, x in well(95).items()}
    run, jump = Stream(signals).play(90), Stream(signals).play(90, seek_s=80.0)
    for second in range(77, 89):
        ran, jumped = run.vitals_of(second), jump.vitals_of(second)
        assert jumped.abp_map is not None and jumped.hr is not None
        assert jumped == ran
    for end_s in range(80, 89):
        ran, jumped = run.windows[end_s], jump.windows[end_s]
        np.testing.assert_array_equal(jumped.signals, ran.signals)
        np.testing.assert_array_equal(jumped.cells, ran.cells)
        np.testing.assert_array_equal(jumped.presence, ran.presence)
        assert jumped.presence[:3].all() and jumped.newest == ran.newest


@pytest.mark.parametrize("kind", ["pea", "vfib"])
def test_a_seek_into_an_arrest_finds_its_alarms_standing(kind: str) -> None:
    """And at once: the red ones stand with the first tick that is played, since when they did, and are told once."""
    signals = arrest(kind, 95, 60.0)
    run, jump = Stream(signals).play(86), Stream(signals).play(86, seek_s=80.0)
    assert not [alarm for heard_s, alarm in jump.alarms if heard_s < 80.0], "nobody is told of what is not played"
    first = jump.standing(80.0)
    assert first == run.standing(80.0) and "high" in {priority for priority, _, _ in first.values()}
    assert jump.standing(86.0) == run.standing(86.0)
    began = {a.key: a.time_ns for heard_s, a in reversed(run.alarms) if a.active and heard_s < 80.0}
    told = [a for heard_s, a in jump.alarms if heard_s <= 80.0]
    assert len(told) == len({a.key for a in told})
    assert all(60 * S < a.time_ns <= 80 * S and a.time_ns == began[a.key] for a in told if a.priority == "high")


def test_an_arrest_that_was_over_before_the_moment_alarms_nobody() -> None:
    dead, t = arrest("asystole", 95, 40.0), np.arange(95 * RATE) / RATE
    signals = {m: np.where((t > 40) & (t < 55), dead[m], x).astype(np.float32) for m, x in well(95).items()}
    run, jump = Stream(signals).play(86), Stream(signals).play(86, seek_s=80.0)
    assert any(a.priority == "high" for _, a in run.alarms), "else the test shows nothing"
    assert not any(a.priority == "high" for _, a in jump.alarms)
    assert jump.standing(86.0) == run.standing(86.0)


def test_a_seek_out_of_an_alarm_into_peace_ends_it_and_one_into_a_gap_shows_no_number() -> None:
    signals = arrest("pea", 95, 50.0)
    stream = Stream(signals).play(65, from_s=30.0)
    assert "high" in {priority for priority, _, _ in stream.standing(65.0).values()}
    stream.play(42, seek_s=40.0, epoch=1)
    assert stream.standing(42.0, epoch=1) == {}
    ended = [a for _, a in stream.alarms if a.epoch == 1]
    assert ended and not any(a.active for a in ended), "what stood before the seek ends, and nothing begins"
    gap = Stream({m: x.astype(np.float32) for m, x in well(75).items()}, dict.fromkeys((ECG, ABP, PPG), (30.0, 200.0)))
    gap.play(65, seek_s=60.0)
    vitals = gap.vitals_of(62)
    assert vitals.hr is vitals.abp_map is vitals.pulse_rate is None


def test_two_seeks_in_a_row_tell_of_the_second_only() -> None:
    signals = arrest("asystole", 95, 40.0)
    stream = Stream(signals)
    stream.play(60, seek_s=80.0, epoch=1)  # cut short on its way, in the arrest
    assert stream.alarms == []
    stream.play(37, seek_s=35.0, epoch=2)
    assert [a for _, a in stream.alarms if a.active] == [] and stream.standing(37.0, epoch=2) == {}


def test_to_the_very_beginning_there_is_no_preroll_and_all_begins_anew() -> None:
    signals = arrest("asystole", 70, 5.0)
    run, jump = Stream(signals).play(30), Stream(signals).play(30, seek_s=0.0)
    assert [a for _, a in jump.alarms] == [a for _, a in run.alarms]


# -- what a person is told -------------------------------------------------------------------------------------------


def _alarm(key: str, time_s: float, epoch: int = 1, *, active: bool = True, text: str = "X") -> AlarmRecord:
    return AlarmRecord(**HEAD, epoch=epoch, time_ns=round(time_s * S), key=key, priority="high", kind="physiological",
                       text=text, active=active)  # fmt: skip


def _state(time_s: float, goes_to_s: float | None, epoch: int = 1) -> StateRecord:
    goes_to = None if goes_to_s is None else round(goes_to_s * S)
    return StateRecord(**HEAD, epoch=epoch, time_ns=round(time_s * S), state={}, goes_to_ns=goes_to)


def test_what_stands_at_the_moment_is_told_there_with_the_time_at_which_it_began() -> None:
    alarms = PrerollAlarms()
    assert alarms.take(_alarm("old", 3.0, epoch=0)) == [_alarm("old", 3.0, epoch=0)] and not alarms.going
    assert alarms.see(_state(41.0, 100.0)) == [] and alarms.going
    assert alarms.take(_alarm("old", 41.0, active=False)) == [_alarm("old", 41.0, active=False)]
    assert alarms.take(_alarm("a", 50.0)) == alarms.take(_alarm("b", 60.0)) == alarms.take(_alarm("a", 70.0)) == []
    assert alarms.take(_alarm("a", 75.0, text="worse")) == alarms.take(_alarm("b", 80.0, active=False)) == []
    assert alarms.see(_state(99.95, 100.0)) == []
    assert alarms.see(_state(100.0, 100.0)) == [_alarm("a", 50.0, text="worse")] and not alarms.going
    assert alarms.take(_alarm("c", 101.0)) == [_alarm("c", 101.0)] and alarms.see(_state(101.0, None)) == []


def _window(end_s: float, risk: float, epoch: int = 1) -> PredictionRecord:
    return PredictionRecord(**HEAD, epoch=epoch, window_end_ns=round(end_s * S), model="", backend="", modalities=[],
                            presence=[], ages_s=[], valid=True, abstain=False, reason="",
                            risk={"15": (risk, risk, risk)})  # fmt: skip


def _told(*records: AnyRecord, renew_s: float | None = None) -> list[AlarmRecord]:
    """What an alarm stage tells of those, in their order."""
    told: list[AlarmRecord] = []

    async def send(topic: str, record: AnyRecord) -> None:
        told.extend([record] if isinstance(record, AlarmRecord) else [])

    async def feed() -> None:
        stage = AlarmStage(send, renew_s)
        for record in records:
            await stage.handle("predictions" if isinstance(record, PredictionRecord) else "vitals", record)

    asyncio.run(feed())
    return told


TO_100 = [*(_state(float(second), 100.0) for second in range(40, 100)), _state(100.0, None)]


def test_a_risk_of_the_preroll_that_a_slow_model_tells_of_later_and_that_is_over_alarms_nobody() -> None:
    high, low = [_window(second, 0.95) for second in range(70, 75)], [_window(80, 0.05), _window(101, 0.05)]
    assert _told(*TO_100, *high, *low) == []
    assert _told(*TO_100, *high, *(_state(float(second), None) for second in range(101, 120)), renew_s=5.0) == []
    assert _told(*TO_100, *high, _window(101, 0.05)) == []


def test_a_risk_that_stands_when_a_slow_model_has_come_to_the_moment_is_told_once_with_its_begin() -> None:
    for beyond in (0.95, 0.97):  # the same, or worse
        told = _told(*TO_100, *(_window(second, 0.95) for second in range(90, 101)), _window(101, beyond))
        assert [(a.key, a.time_ns // S, a.active) for a in told] == [("risk.hypotension", 91, True)]
    live = _told(*TO_100, *(_window(second, 0.95) for second in (101, 102)))
    assert [a.time_ns // S for a in live] == [102]


def test_a_risk_that_was_told_at_the_moment_and_ended_before_it_ends() -> None:
    early, ended = [_window(60, 0.95), _window(61, 0.95)], [_window(62, 0.97), _window(80, 0.05), _window(101, 0.05)]
    told = _told(*TO_100[:-1], *early, TO_100[-1], *ended)
    assert [(a.time_ns // S, a.active) for a in told] == [(61, True), (62, True), (80, False)]


def test_exports_and_counts_have_only_what_was_played(tmp_path) -> None:  # type: ignore[no-untyped-def]
    stream = Stream({m: x.astype(np.float32) for m, x in well(65).items()}).play(62, seek_s=60.0, epoch=1)
    exporter = PerBed(tmp_path / "v.csv", VitalsCsv, ["a"])
    exporter(WaveTick(**HEAD, epoch=1, tick_seq=0, start_ns=50 * S, end_ns=50 * S + TICK_NS, goes_to_ns=60 * S))
    for record in stream.vitals:
        exporter(record)
    exporter.close()
    rows = (tmp_path / "v.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["61"]
    assert max(stream.accounting.cells().values()) <= 2
    seen = PrerollFilter()
    assert seen(_state(50.0, 110.0)) and not seen(_state(110.0, 110.0)) and not seen(_state(50.0, None, epoch=2))


def test_of_a_seek_that_was_given_up_for_another_nothing_is_exported() -> None:
    """The model is behind, and tells of the first while the second one is under way, and after it."""
    seen = PrerollFilter()
    assert seen(_state(50.0, 110.0)) and seen(_state(10.0, 70.0, epoch=2)) and seen(_window(80.0, 0.5))
    assert not seen(_state(70.0, None, epoch=2)) and seen(_window(110.0, 0.5))
    assert seen(_window(70.0, 0.5, epoch=2)) and not seen(_window(71.0, 0.5, epoch=2))


# -- nobody waits for the model; the one who plays waits for the pre-roll ----------------------------------------------


def test_a_model_that_is_not_there_yet_does_not_hold_up_a_seek() -> None:
    stream = Stream({m: x.astype(np.float32) for m, x in well(115).items()})
    stream.mailbox = Mailbox(4)
    window = WindowStage(WindowSpec(), stream.mailbox, stream.accounting, _Freely(), stream._send)

    async def feed() -> None:
        for sequence in range(4 * 30):
            start = sequence * TICK_NS
            lo, hi = (-(-t * RATE // S) for t in (start, start + TICK_NS))
            chunks = [WaveChunk(m.value, m.value, float(RATE), 0, lo, samples_to_bytes(x[lo:hi]))
                      for m, x in stream.signals.items()]  # fmt: skip
            await window.handle(WaveTick(**HEAD, epoch=1, tick_seq=sequence, start_ns=start, end_ns=start + TICK_NS,
                                         chunks=chunks, goes_to_ns=60 * S))  # fmt: skip

    asyncio.run(asyncio.wait_for(feed(), 60))
    assert not window.waiting and len(stream.mailbox) <= 4
    newest = [item.window.end_s for item in stream.mailbox.take(100) if isinstance(item, WindowJob)]
    assert newest[-1] == 29, "of too many windows the newest are kept"


def test_the_last_tick_of_a_preroll_goes_when_all_before_it_are_handled() -> None:
    sent: list[bytes] = []
    flow = Flow(lambda bed, message: sent.append(message), ["show"], Accounting())

    class Source:
        speed, achieved_speed = 1.0, None

    ticks = [
        WaveTick(**HEAD, epoch=1, tick_seq=n, start_ns=n * TICK_NS, end_ns=(n + 1) * TICK_NS, goes_to_ns=50 * TICK_NS)
        for n in range(50)
    ]
    emit = flow._replayed(Source())  # type: ignore[arg-type]
    for number, tick in enumerate(ticks[:-1]):
        assert emit(tick)
        if number > 3:  # a few are always under way
            flow.credits.release("show", tick_identity(ticks[number - 3]))
    assert not flow.credits.acquire(tick_identity(ticks[-1]), timeout=0.0, most=1)
    for tick in ticks[:-1]:
        flow.credits.release("show", tick_identity(tick))
    assert emit(ticks[-1]) and len(sent) == 50


def test_the_wire_carries_where_a_tick_goes_to_and_an_old_one_goes_nowhere() -> None:
    tick = WaveTick(**HEAD, epoch=1, tick_seq=0, start_ns=0, end_ns=TICK_NS, goes_to_ns=7)
    assert decode(encode(tick)) == tick and decode(encode(replace(tick, goes_to_ns=None))).goes_to_ns is None  # type: ignore[union-attr]
    assert not PrerollFilter()(PredictionRecord(**HEAD, epoch=1, window_end_ns=0, model="", backend="", modalities=[],
                               presence=[], ages_s=[], valid=False, abstain=False, reason="", risk={}))  # fmt: skip
