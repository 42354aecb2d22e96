"""What the simulated patient's own devices measure: plausible beside the truth, and nothing where nothing can be."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.sim.bedside import LONGEST_S, NUMBERS
from models.data.sim.faults import Fault, FaultKind, plan_faults
from models.data.simulator import SimulatedPatient, open_demo
from models.signals.channels import map_channels
from models.signals.device_numerics import UNKNOWN_NS, kinds, series_of
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS

CUFF = ("SIM/NIBP_SYS", "SIM/NIBP_MEAN", "SIM/NIBP_DIA")


def told(patient: SimulatedPatient, track: str) -> np.ndarray:
    return patient.numerics(track)[1]


def test_they_are_known_by_their_names_and_a_cuff_by_its_age() -> None:
    patient = open_demo("demo:duration=60")
    found = {series.kind.name: series for series in series_of(map_channels(patient), patient.tracks)}
    assert set(found) == set(kinds()) - {"etco2"}
    since = found["nibp_sys"].since_ns
    assert since[0] == UNKNOWN_NS and 16 * SECOND_NS <= since[-1] <= 25 * SECOND_NS


def test_a_seed_has_the_same_numbers_and_another_one_others() -> None:
    one, again, other = (open_demo(f"demo:seed={seed},duration=120") for seed in (3, 3, 4))
    for track in NUMBERS:
        np.testing.assert_array_equal(told(one, track), told(again, track))
    assert any(not np.array_equal(told(one, track), told(other, track), equal_nan=True) for track in NUMBERS)


@pytest.mark.parametrize("name", ["asystole", "vfib", "pea", "vtach_pulseless"])
def test_without_a_pulse_there_is_no_saturation_and_a_cuff_has_no_result(name: str) -> None:
    patient = open_demo(f"demo:scenario={name}")
    lost = next(span for span in patient.truth.rhythms if not span.pulse)
    during = slice(int(lost.start_s) + 8, int(lost.end_s))
    assert np.isfinite(told(patient, "SIM/SPO2")[5 : int(lost.start_s)]).all()
    assert np.isnan(told(patient, "SIM/SPO2")[during]).all()
    assert np.isfinite(told(patient, "SIM/SPO2")[-30:]).all(), "the circulation is back"
    assert all(np.isfinite(told(patient, track)[25]) for track in CUFF)
    for track in CUFF:
        assert np.isnan(told(patient, track)[86]), "it was inflated in the arrest"
    assert np.ptp(told(patient, "SIM/TEMP")) < 0.15
    assert told(patient, "SIM/BIS")[int(lost.start_s)] > 30


def test_a_cuff_is_near_the_pressure_of_its_inflation() -> None:
    errors = []
    for seed in range(12):
        patient = open_demo(f"demo:seed={seed},scenario=stable,duration=400,faults=off")
        mean, truth = told(patient, "SIM/NIBP_MEAN"), patient.truth
        for end in (30, 340):
            begin = np.searchsorted(truth.abp_onset_s, max(0, end - 35)), np.searchsorted(truth.abp_onset_s, end)
            errors.append(mean[end] - truth.map_mmhg[slice(*begin)].mean())
        upper, middle, lower = (told(patient, track)[30] for track in CUFF)
        assert upper > middle > lower
    assert 1.0 < np.std(errors) < 8.0 and abs(np.mean(errors)) < 5.0  # ISO 81060-2: 5 ± 8 mmHg


def test_a_cuff_above_the_oximeter_measures_with_that_inflation_and_takes_the_saturation() -> None:
    def inflations(seed: int) -> list[Fault]:
        found = plan_faults(seed, 1500.0, False)
        return [f for f in found if f.kind is FaultKind.CUFF and f.modality is Modality.PPG and f.end_s < 1400]

    seed = next(seed for seed in range(100) if len(inflations(seed)) > 1)
    patient = SimulatedPatient(seed, scenario="stable", duration_s=1500.0)
    upper = told(patient, "SIM/NIBP_SYS")
    changes = np.flatnonzero((upper[1:] != upper[:-1]) & np.isfinite(upper[1:])) + 1
    later = changes[changes > inflations(seed)[0].start_s]
    ends = [f.end_s for f in patient.faults if f.kind is FaultKind.CUFF and f.modality is Modality.PPG]
    assert len(later) and all(any(0.0 <= at - end < 1.0 for end in ends) for at in later)
    for fault in inflations(seed):
        assert np.isnan(told(patient, "SIM/SPO2")[int(fault.start_s) + 8 : int(fault.end_s)]).all()


def test_a_sensor_that_is_off_gives_no_number() -> None:
    patient = open_demo("demo:duration=820")
    assert np.isnan(told(patient, "SIM/BIS")[691:715]).all() and np.isfinite(told(patient, "SIM/BIS")[680])
    assert np.isnan(told(patient, "SIM/SPO2")[761:790]).all() and np.isfinite(told(patient, "SIM/SPO2")[800])


def test_the_index_comes_late() -> None:
    patient = open_demo("demo:scenario=induction,duration=900,faults=off")
    depth, index = patient.truth.depth, told(patient, "SIM/BIS")
    at = {late: np.nanmean(np.abs(index[60:] - depth[60 - late : len(depth) - late])) for late in (0, 20, 60)}
    assert at[20] < at[0] and at[20] < at[60] and at[20] < 2.0


def test_a_long_recording_has_none_since_it_would_take_long_to_open() -> None:
    patient = SimulatedPatient(3, duration_s=LONGEST_S + 1.0)
    assert not {track.name for track in patient.tracks} & set(NUMBERS)
    with pytest.raises(KeyError):
        patient.numerics("SIM/SPO2")
