"""Who waits and what is dropped between the sources and the stream."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.codec import decode
from streams.flow import MAX_UNDER_WAY, Flow, RemoteFlow, most_under_way
from streams.host import this_host
from streams.records import AnyRecord, BedRecord, CellRecord, WaveTick, tick_identity
from streams.sources.bed_replay import BedReplay
from streams.sources.player import TICK_NS
from streams.sources.replay import ReplaySource, lags_ns, tick_length_ns
from streams.sources.source import Emit, Seekable
from streams.windower import BedWindower
from tests.streams.sources import PatientMap, S, wait_until


def tick(bed: str, number: int) -> WaveTick:
    start = number * TICK_NS
    return WaveTick(bed=bed, session="s", epoch=0, tick_seq=number, start_ns=start, end_ns=start + TICK_NS)


class Device:
    """A source that cannot wait."""

    epoch = 0
    position_s = 0.0

    def describe(self) -> BedRecord:
        raise AssertionError

    def run(self, emit: Emit) -> None:
        raise AssertionError

    def stop(self) -> None:
        raise AssertionError

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        raise AssertionError

    def dropped_now(self) -> frozenset[Modality]:
        return frozenset()


class Desk:
    def __init__(self) -> None:
        self.published: list[WaveTick] = []
        self.kept: list[AnyRecord] = []
        self.accounting = Accounting()
        self.flow: Flow | RemoteFlow = Flow(self._publish, ["test"], self.accounting)

    def _publish(self, bed: str, message: bytes) -> None:
        record = decode(message)
        assert isinstance(record, WaveTick) and record.bed == bed
        self.published.append(record)


def recording(speed: float | None) -> ReplaySource:
    return ReplaySource("1", "s", lambda: PatientMap(5.0), speed=speed)  # type: ignore[arg-type,return-value]


def test_a_recording_is_seekable_and_a_device_is_not() -> None:
    assert isinstance(recording(1.0), Seekable) and not isinstance(Device(), Seekable)


@pytest.mark.parametrize(("speed", "most"), [(1.0, 10), (0.25, 8), (10.0, 100), (None, MAX_UNDER_WAY)])
def test_a_recording_waits_for_room(speed: float | None, most: int) -> None:
    desk = Desk()
    emit = desk.flow.emit_of(recording(speed))
    sender = threading.Thread(target=lambda: [emit(tick("1", k)) for k in range(most + 1)], daemon=True)
    sender.start()
    wait_until(lambda: len(desk.published) == most)
    assert sender.is_alive() and desk.flow.credits.under_way == most
    desk.flow.credits.release("test", tick_identity(desk.published[3]))
    sender.join(60)
    assert not sender.is_alive()
    assert [t.tick_seq for t in desk.published] == list(range(most + 1))


def test_one_bed_that_stands_still_leaves_the_others_their_room() -> None:
    desk = Desk()
    emit = desk.flow.emit_of(recording(1.0))
    for k in range(10):
        assert emit(tick("1", k))
    for k in range(10):
        assert emit(tick("2", k))
    assert desk.flow.credits.under_way == 20


def test_a_device_never_waits_and_what_found_no_room_is_counted() -> None:
    desk = Desk()
    emit = desk.flow.emit_of(Device())
    for k in range(MAX_UNDER_WAY + 7):
        assert emit(tick("1", k))
    assert [t.tick_seq for t in desk.published] == list(range(MAX_UNDER_WAY))
    assert desk.accounting.counted("ticks_dropped") == 7 and desk.accounting.counted("ticks_sent") == MAX_UNDER_WAY
    desk.flow.credits.release("test", tick_identity(desk.published[0]))
    assert emit(tick("1", 500))
    assert desk.published[-1].tick_seq == 500


@pytest.mark.parametrize("source", [recording(1.0), recording(None), Device()], ids=["paced", "max", "device"])
def test_a_closed_flow_takes_nothing(source: ReplaySource | Device) -> None:
    desk = Desk()
    desk.flow.credits.close()
    assert not desk.flow.emit_of(source)(tick("1", 0))
    assert not desk.published and not desk.accounting.counted("ticks_dropped")


def test_what_is_under_way_is_half_a_second_on_the_wall() -> None:
    assert most_under_way(TICK_NS, 1.0) == 10
    assert most_under_way(TICK_NS, 0.25) == 8
    assert most_under_way(TICK_NS, 10.0) == 100
    assert most_under_way(TICK_NS, None) is None


def test_ward_ticks_are_longer() -> None:
    assert (tick_length_ns(31), tick_length_ns(32)) == (50_000_000, 100_000_000)


def test_beds_are_staggered_from_nine_on() -> None:
    assert set(lags_ns(8, TICK_NS)) == {0}
    for beds in (9, 20, 60):
        length = tick_length_ns(beds)
        lags = lags_ns(beds, length)
        phases = [lags.count(lag) for lag in set(lags)]
        assert lags[0] == 0 and max(lags) < S and all(lag % length == 0 for lag in lags)
        assert max(phases) <= -(-beds // (S // length)), "too many beds at one moment"


class FarDesk(Desk):
    """A flow whose consumers are elsewhere."""

    def __init__(self) -> None:
        self.published, self.kept = [], []
        self.accounting = Accounting()
        self.flow = RemoteFlow(self._publish, self.accounting, lambda bed, message: self.kept.append(decode(message)))


def cell(bed: str, second: int, epoch: int = 0) -> CellRecord:
    return CellRecord(bed=bed, session="s", epoch=epoch, second=second, absence={})


def test_far_consumers_free_room_by_the_seconds_they_have_handled() -> None:
    desk = FarDesk()
    emit = desk.flow.emit_of(recording(1.0))
    for k in range(70):
        assert emit(tick("1", k))
        assert k != 5 or emit(tick("2", 0))
    desk.flow.handled(cell("1", 0))
    assert desk.flow.credits.under_way == 70 - 20 + 1, "the second [0, 1) has twenty ticks"
    desk.flow.handled(cell("1", 0))
    desk.flow.handled(cell("3", 9))
    assert desk.flow.credits.under_way == 51
    desk.flow.handled(replace(tick("1", 70), eos=True))
    assert desk.flow.credits.under_way == 1, "an end of stream says that all was handled, of its bed"


@pytest.mark.parametrize("first", [0, 1, 19], ids=["whole second", "just after one", "just before one"])
@pytest.mark.parametrize("pace", [0.01, 0.12, 0.25, None], ids=str)
def test_a_slow_recording_never_waits_for_far_consumers_that_wait_for_it(
    pace: float | None, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    windower = BedWindower(WindowSpec(), Accounting())
    patient: Any = PatientMap(20.0)
    replay = BedReplay("1", "s", patient, 20 * S)
    seconds: list[int] = []

    def handle(_bed: str, message: bytes) -> None:
        sent = decode(message)
        assert isinstance(sent, WaveTick)
        for record in windower.handle(sent, 0).records:
            if isinstance(record, CellRecord):
                seconds.append(record.second)
                flow.handled(record)

    flow = RemoteFlow(handle, Accounting(), handle)
    at_once = partial(flow.credits.acquire, timeout=0.0)
    flow.credits.acquire = at_once  # type: ignore[method-assign]
    source = recording(1.0)
    monkeypatch.setattr(ReplaySource, "achieved_speed", pace)
    emit = flow.emit_of(source)
    for k in range(first, first + 160):
        start, end = k * TICK_NS, (k + 1) * TICK_NS
        told = replace(tick("1", k), chunks=replay.chunks(replay.decode(start, end), start, end))
        assert emit(told), f"tick {k} waits, and {flow.credits.under_way} are under way, after seconds {seconds}"
    assert seconds[-1] >= 6


def test_what_is_handled_of_a_later_epoch_frees_the_earlier_ones_and_no_more() -> None:
    desk = FarDesk()
    emit = desk.flow.emit_of(recording(1.0))
    for k in range(10):
        assert emit(tick("1", k))
    for k in range(30):
        assert emit(replace(tick("1", k), epoch=1))
    desk.flow.handled(cell("1", 0, epoch=1))
    assert desk.flow.credits.under_way == 10
    desk.flow.handled(replace(cell("1", 99, epoch=1), session="another"))
    assert desk.flow.credits.under_way == 10


def test_a_devices_ticks_go_their_own_way_and_wait_for_nobody() -> None:
    desk = FarDesk()
    emit = desk.flow.emit_of(Device())
    for k in range(3 * MAX_UNDER_WAY):
        assert emit(tick("1", k))
    assert len(desk.kept) == 3 * MAX_UNDER_WAY == desk.accounting.counted("ticks_sent") and not desk.published
    assert all(isinstance(t, WaveTick) and t.host == this_host() for t in desk.kept), (
        "another host can tell its due time"
    )
    desk.flow.credits.close()
    assert not emit(tick("1", 9999)) and len(desk.kept) == 3 * MAX_UNDER_WAY
