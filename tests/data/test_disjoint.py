"""What the index of a study says, and that no patient is in two groups."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import WindowDataset, open_patient, save_patient
from models.data.disjoint import check_disjoint
from models.data.generate import PatientOrder, make_patient
from models.signals.errors import BadInput
from models.signals.preprocessing import PREPROCESSING
from models.signals.windows import WindowSpec

SPEC = WindowSpec(frames=4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("windows")
    places = []
    for k, device in enumerate(("train", "heldout")):
        places.append(root / str(k))
        make_patient(PatientOrder(places[-1], "train", 31 + k, 90, 30, SPEC, device, scenario="mixed"))
    return places


def test_simulated_index_says_whose_from_where_and_what_happened(folders: list[Path]) -> None:
    facts = json.loads((folders[1] / "index.json").read_text())
    assert facts["patient"] == "simulated-32" and facts["simulated"] is True and facts["device"] == "heldout"
    assert facts["channels"]["ABP"] == "SIM/ART" and facts["modalities"] == ["ECG", "ABP", "PPG", "EEG"]
    assert facts["preprocessing"] == PREPROCESSING and facts["time_base"] and facts["scenario"] == "mixed"
    assert facts["windows"] == 3 and facts["coupled"] is True
    for modality, kind, start, end in facts["faults"]:
        assert modality in facts["modalities"] and kind and 0 <= start < end
    for name, share in facts["known"].items():
        column = facts["modalities"].index(name)
        assert share == pytest.approx(np.load(folders[1] / "presence.npy")[:, column].mean(), abs=1e-4)


def test_groups_that_share_a_patient_are_refused(folders: list[Path], tmp_path: Path) -> None:
    one, other = (WindowDataset([f]) for f in folders)
    check_disjoint({"train": one, "test": other})
    with pytest.raises(BadInput, match="simulated-32"):
        check_disjoint({"train": WindowDataset(folders), "stop": other, "test": one})
    study = tmp_path / "second study of the same patient"
    make_patient(PatientOrder(study, "test", 31, 60, 30, SPEC, scenario="mixed"))
    facts = json.loads((study / "index.json").read_text()) | {"study": "another"}
    (study / "index.json").write_text(json.dumps(facts))
    with pytest.raises(BadInput, match="no patient in both train and test"):
        check_disjoint({"train": one, "test": WindowDataset([study])})
    (study / "index.json").write_text(json.dumps({"windows": 2}))
    with pytest.raises(BadInput, match="the patient's name"):
        check_disjoint({"train": WindowDataset([study])})


def test_making_a_patient_again_leaves_what_others_have_mapped(folders: list[Path], tmp_path: Path) -> None:
    made = open_patient(folders[0])
    first = {name: np.array(values) for name, values in made.arrays.items()}
    save_patient(tmp_path / "p", first, made.facts)
    mapped = open_patient(tmp_path / "p").arrays["signals"]
    save_patient(tmp_path / "p", first | {"signals": np.zeros_like(first["signals"][:1])}, made.facts)
    np.testing.assert_array_equal(mapped, first["signals"])
    assert len(open_patient(tmp_path / "p").arrays["signals"]) == 1 and not list((tmp_path / "p").glob("*.part*"))
