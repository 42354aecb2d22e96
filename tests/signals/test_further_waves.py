"""CVP, PAP, ICP, CO2 and airway pressure: what their sensors can say, and that what they do say is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.channels import map_channels
from models.signals.modalities import LINE_PRESSURES, MODEL_MODALITIES, Modality
from models.signals.readers.vital import VitalRecording
from models.signals.units import canonical_factor
from streams.sinks.vital_file import MONTYPES as WRITTEN
from tests.signals.recording_files import VitalWave, write_vital
from tests.signals.test_quality import noise, verdicts
from tests.signals.test_state import RATE, course, moving

M = Modality


def test_no_model_reads_them() -> None:
    assert MODEL_MODALITIES == (M.ECG, M.ABP, M.PPG, M.EEG)


@pytest.mark.parametrize("modality", LINE_PRESSURES)
@pytest.mark.parametrize("level", [-8.0, 0.0, 3.0, 60.0])
def test_a_line_that_stands_still_is_measured_at_any_level(modality: Modality, level: float) -> None:
    """A stopcock that is closed, an empty vein, an arrest: the number is told, whatever it is."""
    assert set(verdicts(modality, np.full(2000, level))) == {None}
    assert [state for _, state in course(modality, np.full(int(20 * RATE), level))] == [None]


@pytest.mark.parametrize("modality", LINE_PRESSURES)
def test_beyond_the_transducer_is_no_pressure(modality: Modality) -> None:
    for level in (-40.0, 310.0):
        assert Absence.OUT_OF_RANGE in verdicts(modality, level + noise(20, 0.2))
        assert course(modality, moving(20, scale=0.2, offset=level))[-1][1] is Absence.OUT_OF_RANGE


def test_a_flush_is_told_as_one_where_there_is_a_bag() -> None:
    wave = 8.0 + noise(30, 0.2)
    wave[1000:1500] = 280.0 + noise(5, 0.2)
    for modality, why in ((M.CVP, Absence.FLUSH), (M.PAP, Absence.FLUSH), (M.ICP, Absence.OUT_OF_RANGE)):
        found = verdicts(modality, wave)
        assert found[10:15] == [why] * 5 and found[:10] + found[16:] == [None] * 24
        assert course(modality, wave, cell=why)[0][1] is why, "the state follows the cell"


@pytest.mark.parametrize(("modality", "top"), [(M.CO2, 38.0), (M.AWP, 20.0)])
def test_plateaus_and_slow_breaths_are_no_rails(modality: Modality, top: float) -> None:
    """Whole seconds of one value, high and low, as quantised samples of slow breaths are."""
    wave = np.where(np.mod(np.arange(4000) / 100, 10.0) < 3.0, top, 0.0)
    assert set(verdicts(modality, wave)) == {None}
    native = np.where(np.mod(np.arange(int(40 * RATE)) / RATE, 10.0) < 3.0, top, 0.0)
    assert {state for _, state in course(modality, native)} == {None}


@pytest.mark.parametrize("modality", [M.CO2, M.AWP])
def test_an_airway_without_any_movement_is_flat_after_ten_seconds(modality: Modality) -> None:
    wave = np.concatenate((moving(10), np.full(int(20 * RATE), -1.0)))
    assert course(modality, wave)[1] == (pytest.approx(20.0, abs=0.1), Absence.FLAT)
    grid = np.concatenate((5.0 + noise(10), np.zeros(2000)))
    assert verdicts(modality, grid)[:19] == [None] * 19 and verdicts(modality, grid)[20:] == [Absence.FLAT] * 10


def test_units_of_gas_and_airway() -> None:
    assert canonical_factor("kPa", M.CO2) == pytest.approx(7.50062, rel=1e-5)
    assert canonical_factor("%", M.CO2) == pytest.approx(7.6), "of dry gas at 760 mmHg"
    assert canonical_factor("mbar", M.AWP) == pytest.approx(1.01972, rel=1e-5)
    assert canonical_factor("cmH2O", M.CVP) == pytest.approx(0.735559, rel=1e-5)


def test_what_is_written_as_vital_is_read_as_what_it_was(tmp_path: Path) -> None:
    """By the kind alone: the names say nothing."""
    from tests.signals.test_names import with_montypes

    units = {M.ECG: "mV", M.EEG: "uV", M.PPG: "", M.RESP: "", M.AWP: "cmH2O"}
    waves = {f"D/X{m}X": VitalWave(100, units.get(m, "mmHg"), [(0.0, np.arange(500.0))]) for m in M}
    path = with_montypes(write_vital(tmp_path / "x.vital", waves), {f"X{m}X": WRITTEN[m] for m in M})
    assert {m: c.track for m, c in map_channels(VitalRecording(path)).channels.items()} == {m: f"D/X{m}X" for m in M}
