"""Windows of real recordings: as measured, known where measured, labelled from what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import WindowDataset, open_patient, save_patient
from models.data.recorded import LacksTracks, StudyOrder, cut_study, held
from models.data.windows import cut_windows
from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.windows import WindowSpec
from tests.data.real_files import write_case

SPEC = WindowSpec(frames=8)
ECG, ABP, PPG, EEG = range(4)


def order(tmp_path: Path, case: Path, **changes: object) -> StudyOrder:
    base: dict[str, object] = {
        "folder": tmp_path / "out", "location": str(case), "study": case.name, "patient": "p", "source": "folder",
        "spec": SPEC, "stride_s": 10,
    }  # fmt: skip
    return StudyOrder(**(base | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_case(tmp_path_factory.mktemp("case") / "1.vital", abp_gap=(60, 84))


def test_windows_are_those_of_the_live_pipeline(tmp_path: Path, case: Path) -> None:
    facts = cut_study(order(tmp_path, case))
    made = open_patient(tmp_path / "out")
    assert made.facts == facts
    recording = open_recording(str(case))
    live = {w.end_s: w for w in cut_windows(map_channels(recording), SPEC, 10, push_s=1.7)}
    recording.close()
    ends = made.arrays["end_s"].tolist()
    assert ends == [e for e in sorted(live) if e >= SPEC.window_s] == list(range(30, 151, 10))
    for row, end in enumerate(ends):
        np.testing.assert_array_equal(made.arrays["signals"][row], live[end].signals)
        np.testing.assert_array_equal(made.arrays["presence"][row], live[end].presence)
        np.testing.assert_array_equal(made.arrays["history"][end], live[end].context)
    np.testing.assert_array_equal(made.arrays["known"], made.arrays["presence"])
    gap = made.arrays["signals"][ends.index(80), ABP]
    assert np.isnan(gap[(60 - 56) * 100 + 5 :]).all()  # nothing is filled in
    assert np.isfinite(gap[: (60 - 56) * 100 - 5]).all()


def test_labels_come_from_what_was_measured(tmp_path: Path, case: Path) -> None:
    cut_study(order(tmp_path, case))
    data = open_patient(tmp_path / "out").arrays
    ends = data["end_s"].tolist()
    in_gap = ends.index(80)
    assert np.isnan(data["pressures"][in_gap, 2:]).all()
    assert np.isfinite(data["pressures"][ends.index(50)]).all()
    truth = data["pressures"][ends.index(50), :, 0]
    assert (np.abs(truth - truth.mean()) < 15).all() and 40 < truth.mean() < 140
    # BIS of 30 s later: 80 − (t + 30)/5 until its quality fails at 100 s.
    assert data["depth"][ends.index(60)] == pytest.approx(62.0, abs=0.05)
    assert data["depth"][ends.index(70)] == pytest.approx(60.0, abs=0.05)
    assert np.isnan(data["depth"][ends.index(80) :]).all()
    assert np.isnan(data["hypotension"]).all()  # 150 s cannot rule an event within 5 min out
    whole = data["known"][:, EEG].all(-1)
    assert np.isfinite(data["eeg"][whole]).all() and whole.any()
    assert np.isnan(data["eeg"][~whole]).all()
    rate = np.isfinite(data["r_times"]).sum(1) / SPEC.window_s * 60
    assert ((rate > 35) & (rate < 130)).all()


def test_windows_are_known_by_modality(tmp_path: Path, case: Path) -> None:
    cut_study(order(tmp_path, case))
    data = WindowDataset([tmp_path / "out"])
    whole = data.whole("known").all(-1)
    ends = data.whole("end_s")
    abp = ends[whole[:, ABP]].tolist()
    assert not {70, 80, 90, 100} & set(abp)
    assert {50, 130}.issubset(abp)
    assert whole[:, ECG].sum() > len(abp)


def test_only_the_part_asked_for_is_cut_but_its_past_is_remembered(tmp_path: Path, case: Path) -> None:
    cut_study(order(tmp_path, case, between_s=(35.0, 121.0)))
    data = open_patient(tmp_path / "out").arrays
    assert data["end_s"].tolist() == list(range(60, 121, 10))
    assert np.isfinite(data["history"][36, PPG, :2]).all()
    with pytest.raises(BadInput, match=r"a stretch of 24 s .* leave it out"):
        cut_study(order(tmp_path, case, folder=tmp_path / "none", between_s=(900.0, 1000.0)))
    assert not (tmp_path / "none").exists()


def test_windows_with_little_in_them_are_left_out(tmp_path: Path, case: Path) -> None:
    cut_study(order(tmp_path, case, least_known=1.0))
    ends = open_patient(tmp_path / "out").arrays["end_s"]
    assert not {70, 80, 90, 100} & set(ends.tolist())


def test_a_modality_without_a_track_is_absent_and_may_be_asked_for(tmp_path: Path) -> None:
    case = write_case(tmp_path / "x.vital", leave_out=["SNUADC/PLETH"])
    cut_study(order(tmp_path, case))
    data = open_patient(tmp_path / "out").arrays
    assert not data["known"][:, PPG].any()
    assert np.isnan(data["signals"][:, PPG]).all()
    with pytest.raises(LacksTracks) as error:
        cut_study(order(tmp_path, case, need=(Modality.ABP, Modality.PPG)))
    assert error.value.lacks == ("PPG",)
    assert error.value.has == ("ECG (SNUADC/ECG_II)", "ABP (SNUADC/ART)", "EEG (BIS/EEG1_WAV)")
    with pytest.raises(LacksTracks) as error:
        cut_study(order(tmp_path, case, channels={"PPG": "SNUADC/PLETH"}))
    assert error.value.lacks == ("PPG",)


def test_a_needed_modality_that_never_measures_is_refused(tmp_path: Path) -> None:
    case = write_case(tmp_path / "x.vital", abp_gap=(1, 150))
    with pytest.raises(BadInput, match="ABP in good quality"):
        cut_study(order(tmp_path, case, need=(Modality.ABP,)))


def test_the_index_names_no_path(tmp_path: Path, case: Path) -> None:
    cut_study(order(tmp_path, case))
    text = (tmp_path / "out" / "index.json").read_text(encoding="utf-8")
    assert str(case.parent) not in text and str(tmp_path) not in text
    assert '"simulated": false' in text


def test_short_gaps_hold_the_last_sample() -> None:
    x = np.array([[np.nan, 1, np.nan, np.nan, 4, np.nan]], np.float32)
    np.testing.assert_array_equal(held(x), [[1, 1, 1, 1, 4, 4]])


@pytest.mark.recordings
def test_an_invalid_pressure_is_never_known(tmp_path: Path, recordings: Path) -> None:
    header = recordings / "wfdb" / "s25047" / "s25047-2704-05-04-10-44.hea"
    found = order(tmp_path, header, between_s=(0.0, 700.0))
    cut_study(found)
    data = open_patient(tmp_path / "out").arrays
    assert data["known"][:, ECG].mean() > 0.95
    assert not data["known"][:, ABP].any()
    assert np.isnan(data["pressures"]).all() and np.isnan(data["hypotension"]).all()


def test_two_studies_of_a_patient_are_one_patient_with_two_histories(tmp_path: Path, case: Path) -> None:
    other = write_case(tmp_path / "2.vital", seed=4, duration_s=60)
    for name, file, patient in (("a", case, "p1"), ("b", other, "p2"), ("c", other, "p1")):
        cut_study(order(tmp_path, file, folder=tmp_path / name, patient=patient))
    data = WindowDataset([tmp_path / name for name in "abc"])
    counts = [p.windows for p in data.patients]
    assert data.patient_count == 2
    assert data.patient_of.tolist() == [0] * counts[0] + [1] * counts[1] + [0] * counts[2]
    assert data.study_of.tolist() == [0] * counts[0] + [1] * counts[1] + [2] * counts[2]
    rows = np.array([0, len(data) - 1])
    np.testing.assert_array_equal(data.signals(rows)[1], data.patients[2].arrays["signals"][-1])
    assert len(data.whole("history")) == 3


def test_real_windows_are_not_called_simulated(tmp_path: Path, case: Path) -> None:
    cut_study(order(tmp_path, case))
    assert not WindowDataset([tmp_path / "out"]).simulated
    made = open_patient(tmp_path / "out")
    save_patient(tmp_path / "sim", made.arrays, {"seed": 1, "patient": "simulated-1"})
    assert WindowDataset([tmp_path / "out", tmp_path / "sim"]).simulated
