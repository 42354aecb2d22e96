"""Sleep-EDF: epochs and their stages line up to the second, wake is trimmed, subjects stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import ARRAYS, open_patient
from models.data.prepare import prepare, prepare_studies
from models.data.sleep_edf import cut_night, night_orders, read_hypnogram, start_time, trim_wake, usable_seconds
from models.data.sources import SleepEdfData
from models.data.splits import Shares
from models.signals.errors import BadInput
from tests.data.real_files import write_night

NIGHT = [
    (0, 90, "Sleep stage W"), (90, 30, "Sleep stage 1"), (120, 60, "Sleep stage 2"), (180, 30, "Sleep stage 3"),
    (210, 30, "Sleep stage 4"), (240, 30, "Movement time"), (270, 60, "Sleep stage R"), (330, 60, "Sleep stage W"),
    (390, 90, "Sleep stage ?"),
]  # fmt: skip
STAGES = [0, 0, 0, 1, 2, 2, 3, 3, -1, 4, 4, 0, 0]


def cut(folder: Path, out: Path, **changes: object):
    orders, strange = night_orders(SleepEdfData(path=str(folder), **changes), out)  # type: ignore[arg-type]
    assert not strange
    return [(cut_night(o), open_patient(o.folder)) for o in orders]


def test_stages_of_epochs_are_those_of_the_annotations(tmp_path: Path) -> None:
    write_night(tmp_path, "SC4001", NIGHT, 480)
    psg, hypnogram = tmp_path / "SC4001E0-PSG.edf", tmp_path / "SC4001EC-Hypnogram.edf"
    np.testing.assert_array_equal(read_hypnogram(hypnogram, start_time(psg)), STAGES)
    assert start_time(psg).isoformat() == "1989-04-24T16:13:00"


def test_windows_are_the_samples_of_the_scored_epochs(tmp_path: Path) -> None:
    waves = write_night(tmp_path, "SC4001", NIGHT, 480)
    ((facts, night),) = cut(tmp_path, tmp_path / "out")
    data = night.arrays
    assert set(ARRAYS) <= set(data)
    assert data["stage"].tolist() == [s for s in STAGES if s >= 0]
    assert data["end_s"].tolist() == [30 * (i + 1) for i, s in enumerate(STAGES) if s >= 0]
    assert data["signals"].shape == (12, 3, 3000) and data["known"].shape == (12, 3, 27)
    for row, end in enumerate(data["end_s"].tolist()):
        np.testing.assert_allclose(data["signals"][row], waves[:, (end - 30) * 100 : end * 100], atol=1e-3)
    assert data["known"].all() and np.isfinite(data["eeg"]).all()
    assert facts["patient"] == "SC00" and facts["study"] == "SC4001" and facts["modalities"][2] == "EOG horizontal"
    assert facts["stages"]["N3"] == pytest.approx(2 / 12, abs=1e-3)


def test_a_hypnogram_that_starts_later_is_shifted(tmp_path: Path) -> None:
    write_night(tmp_path, "SC4001", [(0, 60, "Sleep stage 2")], 180, hypnogram_starts_later_s=60)
    ((_, night),) = cut(tmp_path, tmp_path / "out")
    assert night.arrays["end_s"].tolist() == [90, 120]


def test_an_epoch_that_is_covered_in_part_has_no_stage(tmp_path: Path) -> None:
    write_night(tmp_path, "SC4001", [(10, 65, "Sleep stage 2"), (75, 45, "Sleep stage R")], 180)
    stages = read_hypnogram(tmp_path / "SC4001EC-Hypnogram.edf", start_time(tmp_path / "SC4001E0-PSG.edf"))
    np.testing.assert_array_equal(stages, [-1, 2, -1, 4])


def test_wake_is_kept_up_to_half_an_hour_around_sleep() -> None:
    stages = np.array([0] * 100 + [1, 2, 0, 0, 4] + [0] * 100, np.int8)
    kept = trim_wake(stages, 30)
    assert np.flatnonzero(kept >= 0).tolist() == list(range(40, 165))
    np.testing.assert_array_equal(kept[40:165], stages[40:165])
    assert (trim_wake(np.zeros(50, np.int8), 30) == -1).all()  # nobody slept
    near = np.array([2, 0, 0], np.int8)
    np.testing.assert_array_equal(trim_wake(near, 30), near)


def test_a_lead_that_comes_off_is_absent_frame_by_frame(tmp_path: Path) -> None:
    write_night(tmp_path, "SC4001", [(0, 300, "Sleep stage 2")], 300, flat_from_s=105)
    ((_, night),) = cut(tmp_path, tmp_path / "out")
    known = night.arrays["known"]
    assert known[:3].all() and not known[4:, 1].any() and known[:, [0, 2]].all()
    # Epoch 90–120 s: flat from 105 s on; the second that it begins in is compared with the moving one before.
    assert known[3, 1].tolist() == [True] * 13 + [False] * 14
    np.testing.assert_array_equal(night.arrays["presence"], known)


def test_seconds_at_the_edge_of_the_range_or_missing_are_not_usable() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 20, 1000).astype(np.float32)
    values[200:240], values[240:] = 190.0, values[240:].clip(-150, 150)
    values[500:505] = np.nan
    values[600:604] = np.nan
    assert usable_seconds(values).tolist() == [True, True, False, True, True, False, True, True, True, True]
    assert not usable_seconds(np.full(300, np.nan, np.float32)).any()


def test_both_nights_of_a_subject_are_in_one_fold(tmp_path: Path) -> None:
    for subject in range(7):
        for night in (1, 2):
            write_night(tmp_path / "sc", f"SC4{subject:02d}{night}", [(0, 60, "Sleep stage 2")], 60, seed=subject)
    tested: list[str] = []
    for fold in range(5):
        settings = SleepEdfData(path=str(tmp_path / "sc"), fold=fold, processes=1, shares=Shares(0.4, 0.2, 0.2, 0.2))
        prepared = prepare_studies(settings, None, tmp_path / "out", lambda *_: None)
        groups = {g: {str(prepared.facts[p]["patient"]) for p in paths} for g, paths in prepared.groups.items()}
        assert sum(map(len, groups.values())) == 7 == len(set().union(*groups.values()))
        assert all(len(prepared.groups[g]) == 2 * len(groups[g]) for g in groups)
        tested += sorted(groups["test"])
    assert sorted(tested) == [f"SC{i:02d}" for i in range(7)]
    settings = SleepEdfData(path=str(tmp_path / "sc"), processes=1, shares=Shares(0.4, 0.0, 0.4, 0.2))
    with pytest.raises(BadInput, match="none for stop"):
        prepare(settings, None, tmp_path / "out", lambda *_: None)


def test_what_is_no_night_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder"):
        night_orders(SleepEdfData(path=str(tmp_path / "none")), tmp_path)
    (tmp_path / "ST7011J0-PSG.edf").write_bytes(b"x")
    with pytest.raises(BadInput, match="ST7011J0-PSG"):
        night_orders(SleepEdfData(path=str(tmp_path)), tmp_path)
    write_night(tmp_path, "SC4001", NIGHT, 480)
    write_night(tmp_path, "SC4011", NIGHT, 480, labels=("EEG Fpz-Cz", "EEG C3-A2", "EOG horizontal"))
    write_night(tmp_path, "SC4021", NIGHT, 480)
    (tmp_path / "SC4021EC-Hypnogram.edf").unlink()
    write_night(tmp_path, "SC4031", [(0, 30, "Apnoea")], 60)
    (tmp_path / "SC4041E0-PSG.edf").write_bytes((tmp_path / "SC4001E0-PSG.edf").read_bytes()[:3000])
    (tmp_path / "SC4041EC-Hypnogram.edf").write_bytes((tmp_path / "SC4001EC-Hypnogram.edf").read_bytes())
    settings = SleepEdfData(path=str(tmp_path), processes=1, folds=2)
    with pytest.raises(BadInput, match="2 folds"):
        prepare_studies(settings, None, tmp_path / "out", lambda *_: None)
    write_night(tmp_path, "SC4051", NIGHT, 480)
    prepared = prepare_studies(settings, None, tmp_path / "out", lambda *_: None)
    assert len(prepared.facts) == 2
    reasons = {r.study: r.reason for r in prepared.refused}
    assert "EEG Pz-Oz" in reasons["SC4011"] and "EEG C3-A2" in reasons["SC4011"]
    assert "0 hypnograms" in reasons["SC4021E0-PSG.edf"]
    assert "'Apnoea'" in reasons["SC4031"]
    assert "data records" in reasons["SC4041"]
    assert len(reasons) == 4
