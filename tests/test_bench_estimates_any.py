"""``python -m benchmarks estimates`` on whatever bundle and recordings there are: taken, passed over, refused."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import fields
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.estimates import command
from benchmarks.estimates.command import main, no_older_than, replace_file, told_card, write_tables
from benchmarks.estimates.patients import LACKING, UNREADABLE, cut, recorded, records
from benchmarks.estimates.replay import Rows, Told, others_of, replay, settings
from benchmarks.estimates.tables import verdicts, worth
from models.data.simulator import simulate_patient
from models.data.windows import grid_signal
from models.runtime.backend import Arrays
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.spec import RiskRow, RiskTable
from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from tests.data.real_files import write_case
from tests.models.test_runtime import SPEC as BUNDLE_SPEC
from tests.models.test_runtime import FakeBackend, write_bundle

THREE = msgspec.structs.replace(BUNDLE_SPEC, modalities=["ECG", "ABP", "PPG"])


class Tokens(FakeBackend):
    """Of three sensors and eight channels."""

    def run(self, inputs: Arrays) -> Arrays:
        return super().run(inputs) | {"tokens": np.zeros((len(inputs["abp"]), 3, 10, 8), np.float32)}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients, one of them twice, each in a folder; one recording without a pressure, one that is none."""
    place = tmp_path_factory.mktemp("x") / "ward"
    for name, seed, without in (("p1/a", 3, []), ("p1/b", 4, []), ("p2/a", 5, []), ("p3/a", 3, ["SNUADC/ART"])):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        write_case(place / f"{name}.vital", seed=seed, duration_s=60, leave_out=without)
    (place / "p3" / "broken.vital").write_bytes(b"nothing")
    return place


@pytest.mark.parametrize(
    ("rule", "groups"),
    [
        ("", ["p1/a", "p1/b", "p2/a", "p3/a", "p3/broken"]),
        ("parent", ["p1", "p1", "p2", "p3", "p3"]),
        (r"/(\w+)\.", ["a", "a", "b", "broken"]),  # of three files "a" two are taken
    ],
)
def test_recordings_of_any_kind_and_depth_are_found_and_belong_to_somebody(
    ward: Path, rule: str, groups: list[str]
) -> None:
    found = records(ward, None, rule=rule)
    assert sorted(group for group, _ in found) == groups and all(file.is_file() for _, file in found)
    with pytest.raises(BadInput, match="a patient in every path by"):
        records(ward, None, rule=r"(p1)/")


def test_an_index_names_groups_and_must_name_what_is_there(ward: Path) -> None:
    index = ward / "index.csv"
    index.write_text("record,group\np1/a,7\np2/a,7\np3/a,9\n", encoding="utf-8")
    try:
        assert [group for group, _ in records(ward, None)] == ["7", "7", "9"]
        index.write_text("record,group\np1/a,7\np9/z,7\n", encoding="utf-8")
        with pytest.raises(BadInput, match=r"index.csv of ward names, found 1 of 2 missing, p9/z first"):
            records(ward, None)
    finally:
        index.unlink()


def test_what_cannot_be_judged_is_counted_by_its_reason(ward: Path) -> None:
    passed: Counter[str] = Counter()
    patients = list(recorded(ward, WindowSpec(), 10, rule="parent", passed=passed))
    assert [patient.name for patient in patients] == ["ward p1", "ward p1", "ward p2"]
    assert passed == {LACKING: 1, UNREADABLE: 1}
    with pytest.raises(BadInput, match=f"recordings with ABP and PPG in p3, found 1 {LACKING}, 1 {UNREADABLE}"):
        list(recorded(ward / "p3", WindowSpec(), 10))


def test_a_model_of_three_sensors_is_judged_too() -> None:
    bundle = Bundle(Path(), THREE, "0" * 12)
    engine, spec = Told(bundle, Tokens()), bundle.window_spec
    assert others_of(spec) == (Modality.ECG, Modality.PPG)
    patient = simulate_patient(9_300_001, duration_s=60.0, faults=False)
    channels = map_channels(patient)
    known = cut("one", channels, spec, 10, grid_signal(channels, Modality.ABP, 60, patient.read_clean))
    rows = [row for row in replay(engine, known, 0, settings((0.0, 10.0), others_of(spec))) if len(row)]
    assert {name for row in rows for name in row.others.tolist()} == {"ECG+PPG", "ECG", "PPG", ""}
    assert verdicts(rows[0], {}, 8)[0].startswith("Of 8 subsets")


def test_any_bundle_is_judged_on_a_folder_by_one_command(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "OnnxBackend", lambda *given, **more: Tokens())
    monkeypatch.setattr(command, "REAL_AGES_S", (10.0,))
    bundle, out = write_bundle(tmp_path / "b", THREE), tmp_path / "report.md"
    assert main(["--bundle", str(bundle), "--simulated", "0", "--out", str(out), "--patient", "parent", str(ward)]) == 0
    said = out.read_text(encoding="utf-8")
    assert said.startswith(f"## What is shown: test 0 ({load_bundle(bundle).fingerprint})")
    assert "Learnt from nothing. Simulated: none. Real: ward (2 patients)" in said
    assert f"passed over: ward: 1 {LACKING}, ward: 1 {UNREADABLE}." in said
    assert "| ward | PPG and ECG | 10 | 2 |" in said and "Risk of hypotension, simulated" not in said
    assert str(tmp_path) not in said and str(ward) not in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nowhere"], "nothing at nowhere"),
        (["--simulated", "0"], "somebody to judge it on"),
        (["--fit", "{bundle}", "--simulated", "0"], "simulated patients to fit on"),
        (["{ward}", "{ward}/../ward"], "ward twice"),
    ],
)
def test_what_cannot_be_done_is_said_first(ward: Path, tmp_path: Path, given: list[str], message: str) -> None:
    bundle = write_bundle(tmp_path / "b", THREE)
    with pytest.raises(BadInput, match=message):
        main([word.format(bundle=bundle, ward=ward) for word in given])


def test_a_bundle_without_a_pressure_has_nothing_to_judge(tmp_path: Path) -> None:
    student = msgspec.structs.replace(BUNDLE_SPEC, modalities=["PPG"])
    with pytest.raises(BadInput, match="a bundle that reads ABP and PPG, found PPG"):
        main(["--bundle", str(write_bundle(tmp_path / "b", student)), "--simulated", "1"])


# -- what is written into a bundle -------------------------------------------------------------------------------------


def test_tables_are_written_with_whom_they_were_learnt_on_and_leave_the_rest(tmp_path: Path) -> None:
    shipped = load_bundle().spec
    assert shipped.pressure is not None and shipped.risk is not None
    folder = write_bundle(tmp_path / "b")
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    manifest["checkpoint"] = {"model.safetensors": hashlib.sha256(b"").hexdigest()}
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    for people, words in (("112 real ones", "nothing; its lost pressures also on 112 real ones"), ("", "nothing")):
        write_tables(load_bundle(folder), shipped.pressure, shipped.risk, people)
        spec = load_bundle(folder).spec
        assert (spec.pressure, spec.risk, spec.trained_on) == (shipped.pressure, shipped.risk, words)
    assert msgspec.json.decode((folder / "manifest.json").read_bytes())["checkpoint"] == manifest["checkpoint"]


def test_the_table_of_lost_pressures_may_be_another_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of the estimate, not of the network; the risk is measured of this one, and on nobody real."""
    shipped = load_bundle().spec
    told = "all; its lost pressures also on x"
    other = write_bundle(
        tmp_path / "other", msgspec.structs.replace(BUNDLE_SPEC, pressure=shipped.pressure, trained_on=told)
    )
    ours = write_bundle(tmp_path / "ours")
    monkeypatch.setattr(command, "_engine", lambda *given: None)
    monkeypatch.setattr(command, "_simulated", lambda *given: rows_of(1, 1.0))
    monkeypatch.setattr(command, "risk_table", lambda *given: shipped.risk)
    assert main(["--fit", str(ours), "--pressure-of", str(other), "--simulated", "1"]) == 0
    spec = load_bundle(ours).spec
    assert (spec.pressure, spec.risk) == (shipped.pressure, shipped.risk)
    assert spec.trained_on == f"{BUNDLE_SPEC.trained_on}; its lost pressures also on x"


def test_a_risk_may_be_shown_for_a_shorter_time_than_was_measured() -> None:
    table = RiskTable([0.0, 60.0, 300.0], {"PPG": RiskRow(300.0, [[1.0], [2.0], [3.0]]), "": RiskRow(0.0, [[4.0]] * 3)})
    found = no_older_than(table, 60.0)
    assert found.ages_s == [0.0, 60.0] and found.sensors["PPG"] == RiskRow(60.0, [[1.0], [2.0]])
    assert found.sensors[""].longest_s == 0.0
    assert no_older_than(table, 1e9) == table


# -- the card ----------------------------------------------------------------------------------------------------------


def rows_of(patients: int, estimate: float, count: int = 30) -> Rows:
    """Windows of patients at a true 80 mmHg that were held at 84, with an estimate ``estimate`` off."""
    size = patients * count
    flat = np.full((size, 3), 80.0)
    given: dict[str, np.ndarray] = {
        "patient": np.repeat(np.arange(patients), count), "others": np.full(size, "ECG+PPG"),
        "abp_age_s": np.full(size, 60.0), "truth": flat, "estimate": flat + estimate, "lo": flat - 5.0,
        "hi": flat + 5.0, "hold": np.full(size, 84.0), "regression": np.full(size, 83.0), "ridge": np.full(size, 85.0),
    }  # fmt: skip
    nothing = {f.name: np.full(size, np.nan) for f in fields(Rows) if f.name not in given}
    return Rows(**(nothing | given))


def test_the_card_begins_with_real_people_and_says_it_once() -> None:
    said = worth({"ward": rows_of(8, 2.0), "one": rows_of(1, 4.0), "short": rows_of(1, 1.0, 3)})
    ward, one = said  # of three windows nothing is said
    assert ward.startswith("ward, 8 patients: error 2.00 mmHg; hold 4.00, delay regression 3.00, a ridge")
    assert "-1.00 [-1.00 to -1.00]" in ward.replace("−", "-") and "covers 100 %" in ward
    assert "+1.00, one patient" in one and "[" not in one
    card = told_card("# Net\n\n**Tokens do not help.**\n", said)
    assert card.splitlines()[2].startswith("**On real people**") and card.endswith("\n**Tokens do not help.**\n")
    again = told_card(card, [ward])
    assert again.count("On real people") == 1 and "one patient" not in again and again.endswith("not help.**\n")


def test_a_file_of_a_bundle_is_replaced_with_its_hash(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    replace_file(folder, "card.md", "# Another")
    assert load_bundle(folder).path == folder and (folder / "card.md").read_text() == "# Another"
