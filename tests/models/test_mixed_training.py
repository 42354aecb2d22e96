"""Simulated and recorded patients in one run: who is drawn, who teaches which encoder, and what the card says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from models.batches.group import Group
from models.data.dataset import WindowDataset, open_patient, save_patient
from models.data.disjoint import check_disjoint
from models.data.generate import PatientOrder, make_patient
from models.data.prepare import prepare_studies
from models.data.sources import FolderData, VitaldbData
from models.data.splits import split
from models.making.demo import train
from models.physiome import PhysioME
from models.signals.errors import BadInput
from models.sizes import SIZES, THREE
from models.training.config import (
    FULL_CONFIG,
    DataConfig,
    MixedData,
    PretrainConfig,
    TrainConfig,
    load_config,
    site_of,
    to_toml,
)
from models.training.data_words import data_words
from models.training.pretrain import PretrainStage
from tests.data.real_files import write_case
from tests.models.test_training import TINY, silent

CI = SIZES["ci"]
SIMULATED = DataConfig(2, 1, 1, 2, duration_s=150, stride_s=20, test_stride_s=20, processes=1)


def config(recordings: Path) -> TrainConfig:
    part = FolderData(path=str(recordings), patient="index", need=(), stride_s=10, processes=1, site="ward")
    return msgspec.structs.replace(TINY, size="ci3", data=MixedData(0.5, SIMULATED, (part,)))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four operations without an EEG, of a patient for every group of the split."""
    place = tmp_path_factory.mktemp("recordings")
    names = {split([f"p{k}"])[f"p{k}"]: f"p{k}" for k in range(40)}
    rows = ["record,group"]
    for number, (group, name) in enumerate(sorted(names.items())):
        write_case(place / f"{group}.vital", seed=3 + number, leave_out=["BIS/EEG1_WAV"])
        rows.append(f"{group},{name}")
    (place / "index.csv").write_text("\n".join(rows), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def mixed(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """Windows of a simulated patient with all four sensors, and of the recordings."""
    out = tmp_path_factory.mktemp("windows")
    make_patient(PatientOrder(out / "sim", "train", 5, 150, 5, CI.window_spec))
    part = FolderData(path=str(recordings), patient="index", need=(), stride_s=5, processes=1, site="ward")
    return [out / "sim"], sorted(prepare_studies(part, CI.window_spec, out / "real", silent).facts)


def group_of(folders: list[Path], share: float | None = None) -> Group:
    return Group(WindowDataset(folders), CI, 0, share)


def test_windows_are_drawn_by_the_stated_share_whatever_there_is(mixed: tuple[list[Path], list[Path]]) -> None:
    group = group_of([*mixed[0], *mixed[1]], 0.25)
    there = float(group.recorded.mean())
    assert there > 0.6, "else the share would say nothing"
    rng = np.random.default_rng(0)
    rows = group.draw_rows(rng, 4000)
    assert abs(group.recorded[rows].mean() - 0.25) < 0.03
    assert len(np.unique(rows)) == len(group), "every window can be drawn"
    assert group.recorded[group.draw_apart(rng, 16)].sum() == 4
    chosen = group.choose(rng, 20)
    assert group.recorded[chosen].sum() == 5 and len(np.unique(chosen)) == 20
    plain = group_of([*mixed[0], *mixed[1]])
    assert abs(plain.recorded[plain.draw_rows(rng, 4000)].mean() - there) < 0.03


def test_each_encoder_learns_from_whoever_has_its_sensor(mixed: tuple[list[Path], list[Path]], tmp_path: Path) -> None:
    """The EEG's encoder from the simulated patient alone, the others from the recordings as well."""
    torch.set_num_threads(1)

    def losses(folders: list[Path]) -> dict[str, float]:
        torch.manual_seed(0)
        model, group = PhysioME(CI), group_of(folders, 0.5)
        stage = PretrainStage(model, group, group, PretrainConfig(steps=1, batch=6, readout_weight=0.0))
        return {name: float(value.detach()) for name, value in stage.losses(0).items()}

    louder = []
    for folder in mixed[1]:
        patient = open_patient(folder)
        arrays = {name: np.array(values) for name, values in patient.arrays.items()}
        arrays["signals"] = arrays["signals"] * np.float32(1.5)
        save_patient(tmp_path / folder.name, arrays, patient.facts)
        louder.append(tmp_path / folder.name)
    one, other = losses([*mixed[0], *mixed[1]]), losses([*mixed[0], *louder])
    same = {name for name in one if one[name] == other[name]}
    assert {name for name in same if name.startswith("eeg")} == {name for name in one if name.startswith("eeg")}
    assert not {"ecg_reconstruction", "abp_reconstruction"} & same


def test_a_sensor_that_nobody_has_is_refused(mixed: tuple[list[Path], list[Path]]) -> None:
    group = group_of(mixed[1])
    with pytest.raises(BadInput, match=r"know their EEG throughout, found 0; prepare recordings with EEG, or choose"):
        PretrainStage(PhysioME(CI), group, group, PretrainConfig(steps=1, batch=4))


def test_two_sites_may_call_different_patients_the_same(mixed: tuple[list[Path], list[Path]], tmp_path: Path) -> None:
    patient = open_patient(mixed[1][0])
    arrays = {name: np.array(values) for name, values in patient.arrays.items()}
    save_patient(tmp_path / "elsewhere", arrays, patient.facts | {"site": "elsewhere"})
    save_patient(tmp_path / "again", arrays, patient.facts)
    both = WindowDataset([mixed[1][0], tmp_path / "elsewhere", tmp_path / "again"])
    assert both.patient_count == 2
    check_disjoint({"train": WindowDataset([mixed[1][0]]), "test": WindowDataset([tmp_path / "elsewhere"])})
    with pytest.raises(BadInput, match="no patient in both"):
        check_disjoint({"train": WindowDataset([mixed[1][0]]), "test": WindowDataset([tmp_path / "again"])})


def test_parts_need_sites_of_their_own() -> None:
    with pytest.raises(ValueError, match="sites that differ"):
        MixedData(0.5, SIMULATED, (FolderData(path="a"), FolderData(path="b")))


def test_a_mixed_configuration_is_read_back_and_hashed(tmp_path: Path) -> None:
    parts = (FolderData(path="a", site="x", channels={"ECG": "II"}), VitaldbData(cases=3))
    settings = msgspec.structs.replace(TINY, data=MixedData(0.3, SIMULATED, parts))
    (tmp_path / "run.toml").write_text(to_toml(settings), encoding="utf-8")
    assert load_config(tmp_path / "run.toml") == settings
    other = msgspec.structs.replace(settings, data=MixedData(0.4, SIMULATED, parts))
    assert other.fingerprint != settings.fingerprint
    assert other.fingerprints("d")["pretrain"] != settings.fingerprints("d")["pretrain"]
    hasty = msgspec.structs.replace(SIMULATED, processes=7), msgspec.structs.replace(parts[0], processes=5)
    faster = MixedData(0.3, hasty[0], (hasty[1], parts[1]))
    assert msgspec.structs.replace(settings, data=faster).fingerprint == settings.fingerprint


def test_whose_recordings_they_are_is_in_the_card_and_in_no_fingerprint() -> None:
    words = "A hospital's waves: CC BY 4.0"
    parts = FolderData(path="a", site="x"), FolderData(path="a", site="x", attribution=words)
    plain, owed = (msgspec.structs.replace(TINY, data=MixedData(0.3, SIMULATED, (part,))) for part in parts)
    assert owed.fingerprint == plain.fingerprint
    assert data_words(owed, 10).endswith(f"\n\n- {words}") and words not in data_words(plain, 10)


def test_what_is_shipped_and_the_demo_of_three_sensors_can_be_read() -> None:
    """Both learn from recordings under licences that their cards name, and test on another hospital's."""
    for name in ("shipped", "mixed"):
        settings = load_config(FULL_CONFIG.with_name(f"{name}.toml"))
        assert isinstance(settings.data, MixedData) and settings.serves_plain and settings.fusion.memory
        taught = {site_of(p) for p in settings.data.recorded if p.shares.train}
        judged = {site_of(p) for p in settings.data.recorded if p.shares.test}
        assert taught == {"uci"} and judged == {"challenge"}
        assert all(isinstance(p, FolderData) and p.attribution for p in settings.data.recorded)


def test_a_run_on_both_says_first_what_it_is_worth_on_real_people(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZES, "ci3", replace(CI, modalities=THREE))
    torch.set_num_threads(1)
    model, text, _ = train(tmp_path / "run", config(recordings), False, silent)
    assert model.config.modalities == THREE
    assert text.trained_on == "2 simulated patients and 1 recordings of ward"
    assert text.card.index("Held-out figures: recorded") < text.card.index("Held-out figures: simulated")
    first = " ".join(text.card.split("\n\n")[1].split())
    assert first.startswith("**Recorded patients: ") and "Simulated patients: " in first
    assert set(text.conformal) == {"map", "sbp", "dbp"} and "depth" not in text.card
    for folder in (tmp_path / "run" / "data").rglob("index.json"):
        assert open_patient(folder.parent).arrays["signals"].shape[1] == 3
