"""Another patient in the bed: nothing of the one before is known to anybody, and nothing of theirs comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from monitor.session import Session
from streams.accounting import Accounting
from streams.alarm_log import AlarmLog
from streams.alarm_stage import AlarmStage
from streams.codec import decode
from streams.control import ChannelInfo
from streams.crew import Crew
from streams.flow import Flow
from streams.memories import values_of
from streams.records import (
    AlarmRecord,
    AnyRecord,
    BedChannel,
    BedRecord,
    CommandRecord,
    LimitsRecord,
    PredictionRecord,
    StateRecord,
    StatusRecord,
    VitalsRecord,
    WaveTick,
)
from streams.remote import RemoteSession
from streams.roles.source import SourceRole
from streams.stages import CommandStage
from tests.streams.sources import wait_until
from tests.streams.test_inheriting import Stage
from tests.streams.test_windower import make_ticks
from ui.bed.state import DisplayState
from ui.style.theme import default_theme

S = 1_000_000_000
CHANGE_S, END_S = 24, 36
CHANNELS = tuple(ChannelInfo(m, m.value, "", 100.0) for m in (Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG))


def without_pressure(ticks: Sequence[WaveTick]) -> list[WaveTick]:
    return [replace(t, chunks=[replace(c, data=b"") if c.modality == "ABP" else c for c in t.chunks]) for t in ticks]


def changes(tick: WaveTick) -> WaveTick:
    number = tick.tick_seq - CHANGE_S * 20
    return replace(tick, session="s+2", epoch=1, tick_seq=number) if number >= 0 else tick


def stays(tick: WaveTick) -> WaveTick:
    return tick


class Told:
    """Two patients, or one for the null: the pressure is there in the first 20 s only, and low."""

    def __init__(self, of: Callable[[WaveTick], WaveTick]) -> None:
        ticks = make_ticks(END_S)
        self.ticks = [of(t) for t in (*ticks[: 20 * 20], *without_pressure(ticks[20 * 20 :]))]
        self.stage = Stage(3.0).feed(self.ticks)
        self.records = self.stage.sent
        self.jobs = self.stage.jobs
        self.memory = self.stage.memories[-1]
        assert self.memory.signals is not None and self.memory.time_ns > (END_S - 4) * S
        self.past = self.memory.signals

    def row(self, modality: str) -> np.ndarray:
        rows = values_of(self.past.rows).reshape(len(self.past.modalities), -1)
        return rows[self.past.modalities.index(modality)]

    def level_known_s(self, modality: str) -> int:
        return int(np.isfinite(values_of(self.past.levels[self.past.modalities.index(modality)])).sum())

    def state(self) -> DisplayState:
        """The display behind it, waves and what is made of them in the order of time."""
        state = DisplayState(default_theme())
        state.set_channels(CHANNELS)
        both: list[tuple[int, int, AnyRecord]] = [(t.end_ns, 0, t) for t in self.ticks]
        at = 0
        for record in self.records:
            at = max(at, getattr(record, "time_ns", 0))
            both.append((at, 1, record))
        for end_ns, _, record in sorted(both, key=lambda item: item[:2]):
            state.apply(record, end_ns / S)
        state.settle()
        return state


@pytest.fixture(scope="module")
def another() -> Told:
    return Told(changes)


@pytest.fixture(scope="module")
def same() -> Told:
    return Told(stays)


def test_levels_ages_and_the_usual_heart_are_unknown(another: Told, same: Told) -> None:
    assert same.level_known_s("ABP") > 15 and another.level_known_s("ABP") == 0
    assert same.level_known_s("ECG") > 30 and 5 < another.level_known_s("ECG") <= END_S - CHANGE_S
    assert np.isfinite(values_of(same.past.ends_s)).all()
    ends = dict(zip(another.past.modalities, values_of(another.past.ends_s), strict=True))
    assert not np.isfinite(ends["ABP"]) and ends["ECG"] > CHANGE_S
    assert "ABP" in same.past.usual.pulse and "ABP" not in another.past.usual.pulse
    assert same.past.tracks["ABP"].delay_s is not None and another.past.tracks["ABP"].delay_s is None


def test_windows_are_of_one_patient_each_and_the_model_knows_them_apart(another: Told, same: Told) -> None:
    abp = another.past.modalities.index("ABP")
    assert len({job.key for job in same.jobs}) == 1 and len({job.key for job in another.jobs}) == 2
    after = [job for job in another.jobs if job.session == "s+2"]
    assert after and min(job.window.end_s for job in after) > CHANGE_S
    known = [np.isfinite(job.window.context[abp]).sum() for job in after]
    null = [np.isfinite(job.window.context[abp]).sum() for job in same.jobs if job.window.end_s > CHANGE_S]
    assert max(known) < min(null), "what is said of a pressure that this patient never had"
    for job in after:
        first_s = job.window.end_s - job.window.signals.shape[1] / 100.0
        before = round(max(0.0, CHANGE_S - first_s) * 100)
        assert np.isnan(job.window.signals[:, :before]).all(), "no sample of the other one is in a window"
        assert not job.window.presence[abp].any()


def test_the_screen_has_nothing_left(another: Told, same: Told) -> None:
    fresh, null = another.state(), same.state()

    def begins_s(state: DisplayState, modality: str) -> float:
        lane = state.lane(modality)
        assert lane is not None and lane.trace is not None
        shown = lane.trace.shown
        there = np.isfinite(shown.ring.read(shown.ring.start, shown.ring.end))
        return float(shown.times(shown.ring.start, shown.ring.end)[there][0])

    assert fresh.generation == null.generation + 1
    assert begins_s(fresh, "ECG") >= CHANGE_S and begins_s(null, "ECG") < CHANGE_S - 10.0
    assert null.last_pressure is not None and fresh.last_pressure is None
    assert fresh.beats and min(b.time_ns for b in fresh.beats) >= CHANGE_S * S > min(b.time_ns for b in null.beats)
    pressure = fresh.lane("ABP")
    assert pressure is not None and not pressure.cells.present_mask(np.arange(0, END_S)).any()


def prediction(session: str, epoch: int, end_s: int) -> PredictionRecord:
    return PredictionRecord(
        bed="bed1", session=session, epoch=epoch, window_end_ns=end_s * S, model="m", backend="b", modalities=[],
        presence=[], ages_s=[], valid=True, abstain=False, reason="", risk={"5": (0.99, 0.9, 1.0)},
    )  # fmt: skip


def test_what_comes_late_of_the_one_before_changes_nothing(another: Told) -> None:
    """A prediction, which travels by another topic than the numerics, and a wave that is delivered once more."""
    state = another.state()
    generation = state.generation
    for late in (prediction("s", 0, CHANGE_S), another.ticks[CHANGE_S * 20 - 1]):
        state.apply(late, 99.0)
    assert state.generation == generation and state.prediction is None
    handled = Stage().feed([*another.ticks, another.ticks[CHANGE_S * 20 - 1], *another.ticks[-80:]])
    assert [r for r in handled.sent if isinstance(r, VitalsRecord)] == [
        r for r in another.records if isinstance(r, VitalsRecord)
    ]
    state.apply(prediction("another source", 0, 3), 99.0)
    assert state.generation == generation + 1, "a source that has been started again is no past"


def test_alarms_of_the_one_before_end_and_their_last_words_hold_up_none() -> None:
    """The next one's pressure is a little low, too: its alarm begins for itself, in its own time, with its value."""
    sent: list[AlarmRecord] = []

    async def send(topic: str, record: AnyRecord) -> None:
        assert isinstance(record, AlarmRecord | LimitsRecord)
        if isinstance(record, AlarmRecord):
            sent.append(record)

    def head(session: str, epoch: int, second: int) -> dict[str, Any]:
        return {"bed": "bed1", "session": session, "epoch": epoch, "time_ns": second * S}

    async def run(session: str, epoch: int) -> list[tuple[int, str]]:
        """When "low pressure" was on show, and with which text."""
        stage, log, on_show = AlarmStage(send), AlarmLog(), []
        for second in range(31):
            patient = ("s", 0) if second < 20 else (session, epoch)
            sent.clear()
            await stage.handle("vitals", StateRecord(**head(*patient, second), state={}))
            await stage.handle("vitals", VitalsRecord(**head(*patient, second), abp_map=41.0 if second < 20 else 60.0))
            if patient != ("s", 0):
                await stage.handle("vitals", VitalsRecord(**head("s", 0, 20), abp_map=41.0))
                await stage.handle("predictions", prediction("s", 0, 20))
            for alarm in sent:
                list(log.follow(alarm))
            on_show += [(second, e.alarm.text) for e in log.standing() if e.alarm.key == "map.low"]
            assert len(list(log.standing())) == sum(stage.standing().values())
        return on_show

    before = [(second, "ABP LOW 41 < 65") for second in range(5, 20)]
    assert asyncio.run(run("s", 0)) == [*before, *((second, "ABP LOW 41 < 65") for second in range(20, 31))], "the null"
    assert asyncio.run(run("s+2", 1)) == [*before, *((second, "ABP LOW 60 < 65") for second in range(25, 31))]


class TwoPatients:
    """A live source that gives a tick of one patient, and one of the next."""

    epoch, position_s = 0, 1.0

    def __init__(self, bed: str, session: str) -> None:
        self.bed, self.session, self.stopped, self.orders = bed, session, Event(), list[str]()

    def describe(self) -> BedRecord:
        channels = [BedChannel("ECG", "II", "mV", 500.0)]
        return BedRecord(bed=self.bed, session=self.session, epoch=0, title="device", channels=channels)

    def run(self, emit: Callable[[WaveTick], bool]) -> None:
        for epoch, session in enumerate((self.session, f"{self.session}+2")):
            for number in range(2):
                at_ns = (2 * epoch + number) * S // 20
                emit(
                    WaveTick(
                        bed=self.bed, session=session, epoch=epoch, tick_seq=number, start_ns=at_ns,
                        end_ns=at_ns + S // 20,
                    )
                )  # fmt: skip
        self.stopped.wait()

    def stop(self) -> None:
        self.stopped.set()

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        self.orders.append(modality.value)

    def dropped_now(self) -> frozenset[Modality]:
        return frozenset()


def test_the_bed_is_described_anew_before_the_first_tick_and_orders_of_before_are_left() -> None:
    said: list[AnyRecord] = []
    sent = Event()

    def publish(bed: str, message: bytes) -> None:
        said.append(decode(message))
        if len([r for r in said if isinstance(r, WaveTick)]) == 4:
            sent.set()

    crew = Crew(lambda: role.stop())
    flow = Flow(publish, ["nobody"], Accounting())
    role = SourceRole("s", {"bed1": TwoPatients}, crew, flow, lambda topic, record: said.append(record))
    role.start()
    role.begin()
    assert sent.wait(30)
    kinds = [(type(r).__name__, r.session) for r in said]
    assert kinds == [
        ("BedRecord", "s"), *[("WaveTick", "s")] * 2,
        ("BedRecord", "s+2"), ("StatusRecord", "s+2"), *[("WaveTick", "s+2")] * 2,
    ]  # fmt: skip
    bed = role.beds["bed1"]
    orders = CommandStage("s", lambda command: role.apply(command) and None)
    for number, session in enumerate(("s", "another", "s+2")):
        command = CommandRecord(
            bed="bed1", session=session, epoch=0, id=str(number), operator="", time_ns=0, name="drop",
            args={"modality": ["ECG", "ABP", "PPG"][number]},
        )  # fmt: skip
        asyncio.run(orders.handle(command))
    assert bed.session == "s+2" and bed.source.orders == ["PPG"]  # type: ignore[attr-defined]
    role.announce(described=True)
    assert {r.session for r in said[-2:]} == {"s+2"}
    crew.stop()
    crew.raise_failure()


class Played(TwoPatients):
    """Four seconds of each."""

    def run(self, emit: Callable[[WaveTick], bool]) -> None:
        for number, tick in enumerate(make_ticks(8.0)):
            session = self.session if number < 80 else f"{self.session}+2"
            emit(replace(tick, bed=self.bed, session=session, epoch=number // 80, tick_seq=number % 80, due_ns=0))
        self.stopped.wait()


def test_a_run_in_one_process_goes_on_with_the_next() -> None:
    said: list[AnyRecord] = []
    done = Event()

    def hear(record: AnyRecord) -> None:
        said.append(record)
        if isinstance(record, VitalsRecord) and record.epoch == 1 and record.time_ns >= 7 * S:
            done.set()

    session = Session({"bed1": Played}, WindowSpec(frames=3), None)
    session.subscribe(hear)
    session.start()
    try:
        assert done.wait(60)
        assert session.status().seekable is False and session.view().bed == "bed1"
        session.set_dropped(Modality.PPG, True)
        source = session._sources.beds["bed1"].source
        wait_until(lambda: source.orders == ["PPG"], what="the order")  # type: ignore[attr-defined]
    finally:
        session.stop()
    session.wait(0)
    numerics = [r for r in said if isinstance(r, VitalsRecord)]
    assert list(dict.fromkeys((r.session.removeprefix(session.id), r.epoch) for r in numerics)) == [("", 0), ("+2", 1)]
    assert [r.session.removeprefix(session.id) for r in said if isinstance(r, BedRecord)] == ["", "+2"]


def test_a_display_elsewhere_follows_and_asks_nothing_of_the_one_before() -> None:
    sent: list[CommandRecord] = []
    remote = RemoteSession("desk", sent.append, "bed1")
    record = BedRecord(
        bed="bed1", session="s", epoch=0, title="device", channels=[BedChannel("ECG", "II", "mV", 500.0)]
    )
    remote(record)
    remote(StatusRecord(bed="bed1", session="s", epoch=0, role="source", dropped=["ABP"]))
    remote(StatusRecord(bed="bed1", session="s", epoch=0, role="worker", notes=["before"]))
    assert remote.status().dropped and remote.status().notes
    remote(replace(record, session="s+2", epoch=1))
    remote(StatusRecord(bed="bed1", session="s+2", epoch=1, role="source"))
    remote(StatusRecord(bed="bed1", session="s", epoch=0, role="worker", notes=["late"]))
    assert not remote.status().dropped and not remote.status().notes
    remote.set_dropped(Modality.ABP, True)
    assert [command.session for command in sent] == ["s+2"]
