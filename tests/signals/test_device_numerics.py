"""Numbers that a device measured itself: which tracks are taken, in which unit, and when each was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.sim.bedside import NUMBERS
from models.data.simulator import SimulatedPatient
from models.signals.device_numerics import UNKNOWN_NS, Series, kinds, series_of
from models.signals.inspection import describe
from models.signals.recording import Track, TrackKind
from models.signals.times import SECOND_NS as S
from streams.records import DEVICE_NUMERICS

Told = Mapping[str, tuple[str, Sequence[tuple[float, float]]]]


class Numbers:
    """Tracks by name, with their unit, times in s and values."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.tracks = [
            Track(name, TrackKind.NUMERIC, unit, None, 0.0, len(rows)) for name, (unit, rows) in told.items()
        ]

    def numerics(self, track: str, /) -> tuple[np.ndarray, np.ndarray]:
        rows = np.array(self._told[track][1], np.float64).reshape(-1, 2)
        return rows[:, 0], rows[:, 1]


def taken(told: Told) -> dict[str, Series]:
    numbers = Numbers(told)
    return {series.kind.name: series for series in series_of(numbers, numbers.tracks)}


def test_every_kind_is_a_numeric_of_the_wire_and_makes_sense() -> None:
    assert set(kinds()) | {"nibp_age_s"} == set(DEVICE_NUMERICS)
    for kind in kinds().values():
        assert kind.low < kind.high and kind.fresh_ns >= 10 * S and kind.tracks


@pytest.mark.parametrize(
    ("track", "unit", "value", "name", "want"),
    [
        ("Solar8000/PLETH_SPO2", "%", 97.0, "spo2", 97.0),
        ("Intellivue/PLETH_SAT_O2", "", 97.0, "spo2", 97.0),
        ("SpO2", "1", 0.97, "spo2", 97.0),
        ("Solar8000/NIBP_MBP", "kPa", 10.0, "nibp_map", 75.0062),  # NIST SP 811: 1 kPa = 7.50062 mmHg
        ("Intellivue/TEMP", "C", 36.6, "temp_c", 36.6),
        ("TEMP", "°F", 98.6, "temp_c", 37.0),
        ("Primus/ETCO2", "mmHg", 0.0, "etco2", 0.0),
        ("BIS/BIS", "", 41.0, "bis", 41.0),
    ],
)
def test_what_it_is_called_and_in_which_unit_it_comes(
    track: str, unit: str, value: float, name: str, want: float
) -> None:
    assert taken({track: (unit, [(1.0, value)])})[name].values.tolist() == pytest.approx([want], rel=1e-5)


@pytest.mark.parametrize(
    ("track", "unit", "value"),
    [("SpO2", "mV", 97.0), ("SpO2", "%", 127.0), ("SpO2", "%", 0.0), ("TEMP", "K", 309.0), ("HR", "/min", 60.0),
     ("NIBP_SYS", "mmHg", -9999.0), ("BIS", "", math.nan)],
)  # fmt: skip
def test_what_is_none_of_them_or_no_value_is_not_taken(track: str, unit: str, value: float) -> None:
    assert taken({track: (unit, [(1.0, value)])}) == {}


def test_the_preferred_track_that_has_a_value_is_taken() -> None:
    both = {"Intellivue/PLETH_SAT_O2": ("%", [(1.0, 91.0)]), "Solar8000/PLETH_SPO2": ("%", [(1.0, 97.0)])}
    assert taken(both)["spo2"].values.tolist() == [97.0]
    assert taken(both | {"Solar8000/PLETH_SPO2": ("%", [(1.0, 0.0)])})["spo2"].values.tolist() == [91.0]


@given(st.lists(st.sampled_from([60.0, 61.0, math.nan, 5.0]), min_size=1, max_size=30))
def test_what_is_held_is_as_old_as_its_last_change(values: list[float]) -> None:
    """Against a loop: 5 mmHg is no cuff pressure, and so is missing like NaN."""
    found = taken({"NIBP_DIA": ("mmHg", [(float(i), value) for i, value in enumerate(values)])}).get("nibp_dia")
    if found is None:
        assert not {60.0, 61.0} & set(values)
        return
    before, since = None, UNKNOWN_NS
    for second, value in enumerate(values):
        here = value if value in (60.0, 61.0) else None
        if second and here != before:
            since = second * S
        before = here
        assert int(found.since_ns[second]) == since
        assert (None if math.isnan(found.values[second]) else found.values[second]) == here


def test_times_in_any_order_are_put_in_order() -> None:
    found = taken({"SpO2": ("%", [(3.0, 93.0), (1.0, 91.0), (math.nan, 80.0), (2.0, 92.0)])})["spo2"]
    assert found.times_ns.tolist() == [S, 2 * S, 3 * S] and found.values.tolist() == [91.0, 92.0, 93.0]
    assert found.since_ns.tolist() == found.times_ns.tolist(), "measured when it was told"


def test_an_inspection_says_which_tracks_are_taken_for_numbers() -> None:
    class Named(SimulatedPatient):
        def numerics(self, track: str) -> tuple[np.ndarray, np.ndarray]:
            return super().numerics("SIM/ART_MBP")

    patient = Named(seed=3, duration_s=60.0)
    patient.tracks = tuple(
        replace(track, name="NIBP_MEAN") if track.name == "SIM/ART_MBP" else track
        for track in patient.tracks
        if track.name not in NUMBERS
    )
    said = {track.name: track.number for track in describe(patient).tracks}
    assert {name for name, number in said.items() if number} == {"NIBP_MEAN"} and said["NIBP_MEAN"] == "NIBP mean"
