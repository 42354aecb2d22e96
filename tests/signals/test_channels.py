"""Channels: what is taken, time zero, exact integer times, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.channels import Channel, map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.readers.grid import clip_range
from models.signals.recording import Recording, Segment, Track, TrackKind


class Memory:
    """A recording in memory: waves as (unit, rate, start, samples), one numeric and one event."""

    name = "memory"

    def __init__(self, waves: dict[str, tuple[str, float, float, np.ndarray]], gaps=None) -> None:
        self._waves = waves
        kinds = [
            Track(name, TrackKind.WAVE, unit, rate, start, len(values), (gaps or {}).get(name, ()))
            for name, (unit, rate, start, values) in waves.items()
        ]
        self.tracks = (*kinds, Track("HR", TrackKind.NUMERIC, "/min", None, 5.0, 1))
        self.reads = 0

    @property
    def duration_s(self) -> float:
        return max(t.end_s for t in self.tracks)

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        self.reads += 1
        _, rate, start, values = self._waves[track]
        begin, end = clip_range(start, rate, len(values), start_s, end_s)
        return Segment(begin, np.asarray(values[begin:end], dtype=np.float32))

    def numerics(self, track: str):
        return np.array([5.0]), np.array([60.0])

    def events(self):
        return [(6.0, "incision")]

    def close(self) -> None: ...


RAMP = np.arange(1000, dtype=np.float32)


def test_memory_is_a_recording() -> None:
    assert isinstance(Memory({}), Recording)


def test_units_time_zero_and_reference() -> None:
    channels = map_channels(
        Memory(
            {
                "D/ECG_II": ("uV", 500.0, 4.0, RAMP),
                "D/ABP": ("kPa", 125.0, 4.5, RAMP),
                "D/PLETH": ("%", 100.0, 5.0, RAMP),
            }
        )
    )
    ecg, abp, ppg = (channels.channels[m] for m in (Modality.ECG, Modality.ABP, Modality.PPG))
    assert channels.zero_s == 4.0
    assert (ecg.origin_ns, abp.origin_ns, ppg.origin_ns) == (0, 500_000_000, 1_000_000_000)
    assert (ecg.unit, abp.unit, ppg.unit) == ("mV", "mmHg", "au")
    assert (ecg.label, ecg.track) == ("ECG_II", "D/ECG_II")
    assert channels.duration_s == 11.0
    segment = channels.read(Modality.ABP, 10**9, 2 * 10**9)
    assert segment.first_index == 63  # 0.5 s + 63/125 s is the first sample at or after 1 s
    assert segment.values.dtype == np.float32
    np.testing.assert_allclose(segment.values, np.arange(63, 188) * 7.50062, rtol=1e-5)
    np.testing.assert_allclose(channels.read(Modality.ECG, 0, 10**9).values, RAMP[:500] / 1000, rtol=1e-6)
    assert channels.numerics("HR")[0].tolist() == [1.0]
    assert channels.events() == [(2.0, "incision")]


def test_a_file_without_a_unit_is_taken_in_the_canonical_one() -> None:
    channels = map_channels(Memory({"ART": ("", 100.0, 0.0, RAMP)}))
    assert channels.read(Modality.ABP, 0, 10**9).values[99] == 99


def test_the_next_in_preference_where_the_first_is_unusable() -> None:
    nothing = np.full(1000, np.nan, dtype=np.float32)
    waves = {"ECG_II": ("mV", 500.0, 0.0, nothing), "ECG_V5": ("mV", 500.0, 0.0, RAMP), "ART": ("mV", 100.0, 0, RAMP)}
    channels = map_channels(Memory(waves))
    assert channels.channels[Modality.ECG].track == "ECG_V5"
    assert dict(channels.unusable) == {
        "ECG_II": "it holds no valid sample",
        "ART": "its unit is 'mV', not a unit of pressure (mmHg, cmH2O, mmH2O, Pa, hPa, mbar, kPa, bar)",
    }


@pytest.mark.parametrize(
    ("unit", "rate", "values", "message"),
    [
        ("mV", 0.0, RAMP, "its sampling rate is 0 Hz"),
        ("mV", float("nan"), RAMP, "its sampling rate is nan Hz"),
        ("mV", 1e9, RAMP, "its sampling rate is 1e\\+09 Hz"),
        ("mV", 100.0, RAMP[:0], "it has no samples"),
        ("mV", 100.0, RAMP * np.nan, "it holds no valid sample"),
        ("mmHg", 100.0, RAMP, "its unit is 'mmHg'"),
    ],
)
def test_unusable_tracks_by_name_and_alone(unit: str, rate: float, values: np.ndarray, message: str) -> None:
    recording = Memory({"II": (unit, rate, 0.0, values)})
    for overrides in (None, {"ECG": "II"}):
        with pytest.raises(BadInput, match=message) as caught:
            map_channels(recording, overrides)
        assert "\n" not in str(caught.value)


def test_absurd_length() -> None:
    recording = Memory({"II": ("mV", 100.0, 0.0, RAMP)})
    recording.tracks = (Track("II", TrackKind.WAVE, "mV", 100.0, 0.0, 100 * 86_400 * 400),)
    with pytest.raises(BadInput, match="it would last 400 days"):
        map_channels(recording)
    assert recording.reads == 0


def test_a_first_valid_sample_after_a_long_gap_is_found_without_reading_the_gap() -> None:
    values = np.full(100 * 20_000, np.nan, dtype=np.float32)
    values[-50:] = 1
    recording = Memory({"II": ("mV", 100.0, 0.0, values)}, {"II": ((0.0, 19_990.0),)})
    assert map_channels(recording).channels[Modality.ECG].samples == len(values)
    assert recording.reads == 1


def test_overrides() -> None:
    waves = {name: ("", 100.0, 0.0, RAMP) for name in ("A/ECG_II", "A/ECG_V5", "A/ART", "A/X1", "A/RESP")}
    channels = map_channels(Memory(waves), {"ecg": "ecg_v5", "PPG": "X1", "RESP": "none"})
    assert {m: c.track for m, c in channels.channels.items()} == {
        Modality.ECG: "A/ECG_V5",
        Modality.ABP: "A/ART",
        Modality.PPG: "A/X1",
    }
    # a track that is given away by name is not taken for its usual modality as well
    channels = map_channels(Memory(waves), {"PPG": "A/ART"})
    assert Modality.ABP not in channels.channels
    for bad, message in [
        ({"ECG": "III"}, "did you mean"),
        ({"LAP": "X1"}, "modalities"),
        ({"ECG": "ART", "ABP": "ART"}, "a track of its own"),
        ({"ECG": "HR"}, "wave tracks"),
    ]:
        with pytest.raises(BadInput, match=message):
            map_channels(Memory(waves), bad)


def test_nothing_mapped_lists_the_tracks() -> None:
    with pytest.raises(BadInput, match="found the wave tracks 'A/X1', 'A/Y2'; name a track yourself"):
        map_channels(Memory({name: ("", 100.0, 0.0, RAMP) for name in ("A/X1", "A/Y2")}))
    with pytest.raises(BadInput, match="no wave track"):
        map_channels(Memory({}))


rates = st.sampled_from([62.5, 100.0, 125.0, 128.0, 240.0, 500.0, 1000.0, 125.0163, 1000 / 3])


@given(rates, st.integers(0, 10**10), st.lists(st.integers(-(10**9), 30 * 10**9), min_size=2, max_size=8))
@settings(deadline=None)
def test_consecutive_ranges_give_every_sample_once_at_its_time(rate: float, origin_ns: int, cuts: list[int]) -> None:
    waves = {"II": ("mV", 500.0, 7.0, RAMP), "ART": ("mmHg", rate, 7.0 + origin_ns / 1e9, RAMP)}
    channels = map_channels(Memory(waves))
    channel = channels.channels[Modality.ABP]
    assert abs(channel.origin_ns - origin_ns) <= 1000
    seen: list[int] = []
    edges = sorted(cuts)
    for begin, end in pairwise(edges):
        segment = channels.read(Modality.ABP, begin, end)
        seen += range(segment.first_index, segment.first_index + len(segment.values))
        for place, value in enumerate(segment.values.tolist()):
            index = segment.first_index + place
            assert value == index
            time = channel.origin_ns + Fraction(index) * 10**9 / Fraction(rate)
            assert begin <= time < end
    times = [channel.origin_ns + Fraction(i) * 10**9 / Fraction(rate) for i in range(channel.samples)]
    assert seen == [i for i, t in enumerate(times) if edges[0] <= t < edges[-1]]


@given(rates, st.integers(0, 10**12), st.integers(0, 31 * 86_400 * 500))
def test_index_of_time_is_exact(rate: float, origin_ns: int, index: int) -> None:
    channel = Channel(Modality.ECG, "II", "II", rate, "mV", origin_ns, 10**9)
    exact = origin_ns + Fraction(index) * 10**9 / Fraction(rate)
    ceiling = -(-exact.numerator // exact.denominator)
    assert channel.first_index_at(ceiling) == (index if ceiling == exact else index + 1)


def test_indices_are_clipped() -> None:
    channels = map_channels(Memory({"II": ("mV", 500.0, 0.0, RAMP)}))
    for first, count, expected in [(-5, 10, (0, 5)), (990, 20, (990, 10)), (2000, 5, (1000, 0)), (-9, 3, (0, 0))]:
        segment = channels.read_indices(Modality.ECG, first, count)
        assert (segment.first_index, len(segment.values)) == expected
    with pytest.raises(KeyError):
        channels.read(Modality.ABP, 0, 10)
