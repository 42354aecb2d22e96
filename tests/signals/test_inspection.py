"""Inspection: what a recording holds and what it is taken for, whether or not anything can be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.signals.errors import BadInput
from models.signals.inspection import inspect
from models.signals.modalities import Modality
from models.signals.recording import TrackKind
from tests.signals.recording_files import VitalWave, vitaldb_case, write_vital, write_wfdb


def test_a_case(tmp_path: Path) -> None:
    source = str(vitaldb_case(tmp_path / "1.vital"))
    found = inspect(source)
    assert (found.source, found.name, found.problem, found.zero_s) == (source, "1.vital", "", 0.0)
    assert found.duration_s == 20.0
    assert {m: t.name for m, t in found.taken.items()} == {
        Modality.ECG: "SNUADC/ECG_II",
        Modality.ABP: "SNUADC/ART",
        Modality.PPG: "SNUADC/PLETH",
        Modality.EEG: "BIS/EEG1_WAV",
    }
    tracks = {t.name: t for t in found.tracks}
    art = tracks["SNUADC/ART"]
    assert (art.rate_hz, art.unit, art.samples, art.gaps_s) == (500.0, "mmHg", 10_000, ((6.0, 8.4),))
    assert tracks["SNUADC/ECG_V5"].taken_for is None
    assert tracks["BIS/BIS"].kind is TrackKind.NUMERIC
    assert tracks["EVENT"].kind is TrackKind.EVENT


def test_times_count_from_time_zero(tmp_path: Path) -> None:
    waves = {
        "D/NOISE": VitalWave(100, "", [(0.0, np.ones(100))]),
        "D/ECG": VitalWave(100, "mV", [(4.0, np.ones(100)), (6.0, np.ones(100))]),
    }
    found = inspect(str(write_vital(tmp_path / "x.vital", waves)))
    assert found.zero_s == pytest.approx(4.0)
    tracks = {t.name: t for t in found.tracks}
    assert tracks["D/NOISE"].start_s == pytest.approx(-4.0)
    assert tracks["D/ECG"].start_s == 0.0
    assert tracks["D/ECG"].gaps_s == (pytest.approx((1.0, 2.0)),)


def test_nothing_usable_is_described_not_refused(tmp_path: Path) -> None:
    missing = write_wfdb(tmp_path, "r", 250, {"II": ("mV", np.full(500, np.nan)), "XYZ": ("mV", np.arange(500.0))})
    found = inspect(str(missing))
    assert found.taken == {}
    assert found.problem.startswith("Expected at least one usable channel, found 'II': it holds no valid sample")
    assert found.duration_s == 2.0


def test_reasons_notes_and_overrides(tmp_path: Path) -> None:
    ramp = np.arange(100.0)
    waves = {
        "D/ECG_II": VitalWave(0, "mV", [(0.0, ramp)]),
        "D/ECG_V5": VitalWave(100, "mV", [(0.0, ramp), (0.0, ramp)]),
        "D/MYSTERY": VitalWave(100, "mmHg", [(0.0, ramp)]),
    }
    source = str(write_vital(tmp_path / "x.vital", waves))
    found = inspect(source, {"ABP": "mystery"})
    tracks = {t.name: t for t in found.tracks}
    assert "0 Hz" in tracks["D/ECG_II"].reason
    assert tracks["D/ECG_V5"].taken_for is Modality.ECG
    assert tracks["D/MYSTERY"].taken_for is Modality.ABP
    assert found.notes == ("D/ECG_V5: 100 of 200 samples lie in records that overlap earlier ones and were left out",)
    with pytest.raises(BadInput, match="wave tracks"):
        inspect(source, {"ABP": "nothing of the kind"})


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("path", "taken", "seconds"),
    [
        ("vital/surgery1.vital", ["ECG", "ABP", "PPG", "CVP", "AWP"], 2015.26),
        ("vital/intellivue_demo.vital", ["ECG", "ABP", "PPG", "RESP"], 218.112),
        ("wfdb/v102s.hea", ["ECG", "PPG", "RESP"], 300),
        ("wfdb/041s/041s.hea", ["ECG", "ABP", "PPG", "RESP", "PAP"], 16),
        ("wfdb/slp41m", ["ECG", "ABP", "EEG", "RESP"], 60),
        ("wfdb/s25047/s25047-2704-05-04-10-44.hea", ["ECG", "ABP"], 4140),
    ],
)
def test_real_recordings(recordings: Path, path: str, taken: list[str], seconds: float) -> None:
    found = inspect(str(recordings / path))
    assert sorted(found.taken) == sorted(taken)
    assert found.duration_s == pytest.approx(seconds, abs=0.01)
    assert found.problem == ""
