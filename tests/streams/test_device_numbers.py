"""What a device measured itself, from a recording to the numerics of the bed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.device_numerics import UNKNOWN_NS, Series, kinds
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.codec import DecodeError, decode, encode
from streams.records import DeviceNumber, VitalsRecord, WaveChunk, WaveTick
from streams.sources.device_replay import AGAIN_NS, NumberReplay
from streams.sources.recorded_replay import RecordedReplay
from streams.vitals.device import MEMORY, DeviceNumbers
from streams.windower import BedWindower

S = 1_000_000_000
TICK = S // 20
HEAD = {"bed": "a", "session": "s", "epoch": 0}


def number(name: str, second: float, value: float | None, since_s: float | None = None) -> DeviceNumber:
    return DeviceNumber(name, round(second * S), value, None if since_s is None else round(since_s * S))


def known(second: float, *told: DeviceNumber, withheld: frozenset[Modality] = frozenset()) -> dict[str, float | None]:
    numbers = DeviceNumbers()
    numbers.see(told)
    return numbers.at(round(second * S), withheld)


# -- as of a moment ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, kind in kinds().items() if not kind.together])
def test_it_is_current_for_as_long_as_its_kind_says_and_never_before_it_was_told(name: str) -> None:
    fresh_s = kinds()[name].fresh_ns / S
    told = number(name, 100, 42.0)
    assert known(99.9, told).get(name) is None
    assert known(100, told)[name] == known(100 + fresh_s, told)[name] == 42.0
    assert known(100.1 + fresh_s, told)[name] is None


def test_a_device_that_says_it_has_none_is_believed() -> None:
    assert known(102, number("spo2", 100, 97.0), number("spo2", 101, None)) == {"spo2": None}


def test_of_a_second_that_is_judged_late_the_value_of_then_counts() -> None:
    assert known(100, number("spo2", 100, 97.0), number("spo2", 101, 80.0))["spo2"] == 97.0


def test_what_is_told_again_or_late_changes_nothing_newer() -> None:
    told = number("spo2", 100, 97.0), number("spo2", 101, 96.0), number("spo2", 100, 50.0), number("spo2", 101, 51.0)
    assert known(101, *told)["spo2"] == 96.0 and known(100, *told)["spo2"] == 97.0


def test_what_is_not_known_here_is_left_aside() -> None:
    assert known(100, number("of a later year", 100, 1.0)) == {}


def test_with_a_sensor_that_is_withheld_goes_its_number() -> None:
    told = number("spo2", 100, 97.0), number("bis", 100, 41.0), number("temp_c", 100, 36.5)
    assert known(100, *told, withheld=frozenset({Modality.PPG})) == {"spo2": None, "bis": 41.0, "temp_c": 36.5}
    assert known(100, *told, withheld=frozenset({Modality.EEG, Modality.ABP}))["bis"] is None


def cuff(second: float, upper: float, lower: float, mean: float, since_s: float | None) -> list[DeviceNumber]:
    values = (("nibp_sys", upper), ("nibp_dia", lower), ("nibp_map", mean))
    return [number(name, second, value, since_s) for name, value in values]


def test_a_cuff_is_as_old_as_its_measurement_not_as_its_repetition() -> None:
    told = [*cuff(100, 110, 60, 76, None), *cuff(400, 98, 51, 66, 310)]
    assert known(120, *told) == {"nibp_sys": 110, "nibp_dia": 60, "nibp_map": 76}, "age not known"
    assert known(430, *told) == {"nibp_sys": 98, "nibp_dia": 51, "nibp_map": 66, "nibp_age_s": 120}


def test_parts_of_two_measurements_never_stand_beside_each_other() -> None:
    """A cuff that failed halfway tells of a systolic pressure only."""
    told = [*cuff(100, 110, 60, 76, 90), number("nibp_sys", 300, 84.0, 300)]
    assert known(310, *told) == {"nibp_sys": 84.0, "nibp_dia": None, "nibp_map": None, "nibp_age_s": 10.0}


def test_memory_is_bounded() -> None:
    numbers = DeviceNumbers()
    numbers.see(number("spo2", second, 97.0) for second in range(1000))
    assert max(map(len, numbers._told.values())) == MEMORY


# -- a replay ----------------------------------------------------------------------------------------------------------


def series(name: str, times_s: list[float], values: list[float]) -> Series:
    times = np.round(np.array(times_s, np.float64) * S).astype(np.int64)
    return Series(kinds()[name], name, times, np.array(values, np.float64), times)


def ticks(replay: NumberReplay, begin_s: float, end_s: float) -> list[tuple[int, list[DeviceNumber]]]:
    starts = range(round(begin_s * S), round(end_s * S), TICK)
    return [(start, replay.told(start, start + TICK, start == starts[0])) for start in starts]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40, unique=True), st.integers(0, 90))
def test_each_number_is_told_in_its_tick_and_the_newest_again_every_while(times_s: list[float], begin_s: int) -> None:
    times_s = sorted(times_s)
    replay = NumberReplay([series("nibp_sys", times_s, [100.0] * len(times_s))])
    for start, told in ticks(replay, begin_s, 100):
        inside = [t for t in replay._series[0][1] if start <= t < start + TICK]
        before = [t for t in replay._series[0][1] if t < start]
        again = start == begin_s * S or start % AGAIN_NS == 0
        assert [n.time_ns for n in told] == (before[-1:] if again else []) + inside


def test_what_is_too_old_is_not_told_again_and_no_value_is_none() -> None:
    replay = NumberReplay([series("spo2", [1.0, 50.0], [97.0, np.nan])])
    assert ticks(replay, 10, 11)[0][1] == [number("spo2", 1, 97.0, 1)]
    assert ticks(replay, 40, 41)[0][1] == []
    assert ticks(replay, 60, 61)[0][1] == [number("spo2", 50, None, 50)]
    unknown = Series(kinds()["nibp_sys"], "NIBP", np.array([S]), np.array([99.0]), np.array([UNKNOWN_NS]))
    assert NumberReplay([unknown]).told(S, S + TICK, True) == [number("nibp_sys", 1, 99.0)]


class Recorded:
    """Ticks as they were recorded."""

    channels = ()

    def __init__(self, found: list[WaveTick]) -> None:
        self._found = found

    def ticks(self, start_ns: int, end_ns: int) -> list[WaveTick]:
        return [tick for tick in self._found if tick.start_ns < end_ns and start_ns < tick.end_ns]


@pytest.mark.parametrize("cut", [TICK, 2 * TICK, S])
def test_a_recorded_session_tells_each_once_however_it_is_cut(cut: int) -> None:
    found = [
        WaveTick(**HEAD, tick_seq=i, start_ns=i * TICK, end_ns=(i + 1) * TICK, numbers=[number("spo2", i / 20, 97.0)])
        for i in range(40)
    ]
    replay = RecordedReplay("a", "s", Recorded(found), 2 * S)
    told = [
        n for start in range(0, 2 * S, cut)
        for n in replay.numbers(replay.decode(start, start + cut), start, start + cut, start == 0)
    ]  # fmt: skip
    assert told == [n for tick in found for n in tick.numbers]


# -- on the wire and in the bed ----------------------------------------------------------------------------------------


def tick(sequence: int, numbers: list[DeviceNumber], withheld: bool = False) -> WaveTick:
    start = sequence * S
    data = np.sin(np.arange(100) / 7.0).astype("<f4").tobytes()
    chunk = WaveChunk("PPG", "PLETH", 100.0, 0, sequence * 100, data, withheld)
    return WaveTick(**HEAD, tick_seq=sequence, start_ns=start, end_ns=start + S, chunks=[chunk], numbers=numbers)


def test_a_number_of_after_its_tick_is_refused_and_one_of_before_is_not() -> None:
    assert decode(encode(tick(5, [number("spo2", 2, 97.0), number("spo2", 6, None)])))
    with pytest.raises(DecodeError, match="after its tick"):
        decode(encode(tick(5, [number("spo2", 6.1, 97.0)])))
    with pytest.raises(DecodeError):
        decode(encode(tick(5, [number("spo2", 5, float("nan"))])))


@pytest.mark.parametrize("withheld", [False, True])
def test_the_numerics_of_a_bed_have_it_in_the_second_in_which_it_was_told(withheld: bool) -> None:
    windower = BedWindower(WindowSpec(), Accounting())
    vitals: dict[int, VitalsRecord] = {}
    for sequence in range(12):
        told = [number("spo2", sequence + 0.5, 80.0 + sequence), *cuff(sequence + 0.5, 110, 60, 76, 1.0)]
        handled = windower.handle(tick(sequence, told, withheld), 0)
        vitals |= {r.time_ns // S: r for r in handled.records if isinstance(r, VitalsRecord)}
    for second in range(4, 10):
        record = vitals[second]
        assert record.spo2 == (None if withheld else 79.0 + second)
        assert (record.nibp_sys, record.nibp_dia, record.nibp_map, record.nibp_age_s) == (110, 60, 76, second - 1.0)
        assert record.bis is record.temp_c is record.etco2 is None


def test_another_epoch_knows_nothing_of_before() -> None:
    windower = BedWindower(WindowSpec(), Accounting())
    for sequence in range(4):
        windower.handle(tick(sequence, [number("temp_c", sequence, 36.5)]), 0)
    found: list[VitalsRecord] = []
    for sequence in range(4):
        one = tick(sequence, [])
        again = WaveTick(**{**HEAD, "epoch": 1}, tick_seq=sequence, start_ns=one.start_ns, end_ns=one.end_ns,
                         chunks=one.chunks)  # fmt: skip
        found += [r for r in windower.handle(again, 0).records if isinstance(r, VitalsRecord)]
    assert found and all(record.temp_c is None for record in found)
