"""Any folder: what is a recording, whose it is, and what is said about files that cannot be used."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from models.data.dataset import WindowDataset
from models.data.folder import find_recordings, patient_rule, study_name
from models.data.prepare import SUMMARY, group_table, prepare, prepare_studies
from models.data.sources import FolderData
from models.data.splits import Shares
from models.signals.errors import BadInput, VigilError
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from tests.data.real_files import write_case
from tests.signals.recording_files import write_edf, write_wfdb, write_wfdb_segments

SPEC = WindowSpec(frames=8)


def quiet(*_: object) -> None:
    pass


def test_a_record_of_segments_is_one_recording(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_wfdb_segments(tmp_path / "a", "rec")
    write_wfdb(tmp_path, "single", 125, {"II": ("mV", np.arange(500.0))})
    (tmp_path / "notes.txt").write_text("x")
    found = find_recordings(tmp_path, ["*"], [])
    assert [str(p) for p in found.files] == ["a/rec.hea", "single.hea"]
    assert not found.excluded


def test_patterns_choose_by_path_and_by_name(tmp_path: Path) -> None:
    for name in ("a/1.vital", "a/2.vital", "test/3.VITAL", "b/4.edf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_recordings(tmp_path, ["*"], ["test/*", "2.*"])
    assert [str(p) for p in found.files] == ["a/1.vital", "b/4.edf"]
    assert [str(p) for p in found.excluded] == ["a/2.vital", "test/3.VITAL"]
    assert [str(p) for p in find_recordings(tmp_path, ["*.edf"], []).files] == ["b/4.edf"]
    with pytest.raises(BadInput, match="all 4 excluded"):
        find_recordings(tmp_path, ["*"], ["*"])
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.csv").write_text("")
    with pytest.raises(BadInput, match=r"found \.csv in"):
        find_recordings(tmp_path / "none", ["*"], [])
    with pytest.raises(BadInput, match="no folder"):
        find_recordings(tmp_path / "nowhere", ["*"], [])


def test_patients_by_rule(tmp_path: Path) -> None:
    path = PurePosixPath("p17/day1/a.vital")
    assert patient_rule("parent", tmp_path)(path) == "p17/day1"
    assert patient_rule("parent", tmp_path)(PurePosixPath("a.vital")) is None
    assert patient_rule("file", tmp_path)(path) == "p17/day1/a"
    assert patient_rule(r"p(\d+)/", tmp_path)(path) == "17"
    assert patient_rule(r"q(\d+)/", tmp_path)(path) is None
    for wrong, found in ((r"p(\d+", "unterminated"), (r"p\d+", "0 in"), (r"(p)(\d+)", "2 in")):
        with pytest.raises(BadInput, match=found):
            patient_rule(wrong, tmp_path)


def test_patients_by_an_index_of_groups(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a readable index\.csv"):
        patient_rule("index", tmp_path)
    (tmp_path / "index.csv").write_text("record,part\na,1\n", encoding="utf-8")
    with pytest.raises(BadInput, match="no group"):
        patient_rule("index", tmp_path)
    (tmp_path / "index.csv").write_text("record,group,part\na,s7,1\nb/c,s7,2\nd,,3\n", encoding="utf-8")
    rule = patient_rule("index", tmp_path)
    assert [rule(PurePosixPath(p)) for p in ("a.hea", "b/c.hea", "d.hea", "c.hea")] == ["s7", "s7", None, None]


def test_study_names_are_safe_and_differ() -> None:
    names = {study_name(p) for p in ("a/b.vital", "a_b.vital", "../../etc/x.edf", "ä/ö.edf", "x" * 300)}
    assert len(names) == 5
    assert all(not set(n) & set("/\\") and n[0] != "." and len(n) < 80 for n in names)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients with one and two usable files; one file without PPG, one of another kind, one damaged."""
    root = tmp_path_factory.mktemp("hospital")
    for name, seed in (("p1/a.vital", 3), ("p1/b.vital", 4), ("p2/c.vital", 3)):
        (root / name).parent.mkdir(exist_ok=True)
        write_case(root / name, seed=seed, duration_s=60)
    write_case(root / "p2" / "no_ppg.vital", duration_s=60, leave_out=["SNUADC/PLETH"])
    write_edf(root / "p2" / "co2.edf", {"CO2 level": (10.0, "mmHg", np.arange(600.0))})
    (root / "p2" / "cut.vital").write_bytes((root / "p1" / "a.vital").read_bytes()[:100])
    return root


def test_every_file_is_used_or_named_with_its_reason(tmp_path: Path, hospital: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    settings = FolderData(path=str(hospital), processes=1)
    prepared = prepare_studies(settings, SPEC, tmp_path, lambda *a: seen.append(a))
    assert sorted(str(f["study"]) for f in prepared.facts.values()) == ["p1/a.vital", "p1/b.vital", "p2/c.vital"]
    refused = {r.study: r for r in prepared.refused}
    assert set(refused) == {"p2/no_ppg.vital", "p2/co2.edf", "p2/cut.vital"}
    assert refused["p2/no_ppg.vital"].lacks == ["PPG"]
    assert "ABP (SNUADC/ART)" in refused["p2/no_ppg.vital"].has
    assert refused["p2/co2.edf"].has == ["CO2 level"]
    assert "ends in the middle" in refused["p2/cut.vital"].reason
    assert [(r.excluded, r.left) for r in prepared.flow] == [(0, 6), (2, 4), (1, 3)]
    assert seen[0] == ("recordings", 0, 6) and seen[-1] == ("recordings", 6, 6)
    summary = json.loads((tmp_path / SUMMARY).read_text(encoding="utf-8"))
    assert str(hospital) not in json.dumps(summary)
    assert sum(row["windows"] for row in summary["groups"]) == 3 * 4
    known = next(row["known"] for row in group_table(prepared) if row["patients"])
    assert known["ECG"] > 0.9


def test_patients_are_in_one_group_and_all_their_studies_with_them(tmp_path: Path, hospital: Path) -> None:
    settings = FolderData(path=str(hospital), processes=1)
    for salt in map(str, range(8)):
        changed = FolderData(path=settings.path, processes=1, salt=salt)
        prepared = prepare_studies(changed, SPEC, tmp_path, quiet)
        of = {group: {str(prepared.facts[p]["patient"]) for p in paths} for group, paths in prepared.groups.items()}
        assert sum(len(p) for p in of.values()) == 2
        assert sum(len(p) for p in prepared.groups.values()) == 3
        for group, paths in prepared.groups.items():
            if paths:
                assert len(WindowDataset(paths)) == 4 * len(paths), group


def test_training_needs_patients_in_every_group(tmp_path: Path, hospital: Path) -> None:
    with pytest.raises(BadInput, match="patients in every group, found 2 patients, none for"):
        prepare(FolderData(path=str(hospital), processes=1), SPEC, tmp_path, quiet)


def test_nothing_usable_is_one_sentence_that_names_files_and_tracks(tmp_path: Path, hospital: Path) -> None:
    settings = FolderData(path=str(hospital), processes=1, exclude=("[abc].vital",))
    with pytest.raises(BadInput) as error:
        prepare_studies(settings, SPEC, tmp_path, quiet)
    text = str(error.value)
    assert "\n" not in text
    for part in (
        "3 that cannot",
        "p2/no_ppg.vital lacks PPG (has ECG (SNUADC/ECG_II)",
        "p2/co2.edf lacks ECG, ABP, PPG (has CO2 level)",
        "p2/cut.vital",
    ):
        assert part in text


def test_what_is_finished_is_not_made_again_unless_something_changed(
    tmp_path: Path, hospital: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.data import prepare as module

    cut: list[str] = []
    real = module.cut_study
    monkeypatch.setattr(module, "cut_study", lambda order, mark: (cut.append(order.study), real(order, mark))[1])
    settings = FolderData(path=str(hospital), processes=1, include=("p2/*",))
    first = prepare_studies(settings, SPEC, tmp_path, quiet)
    assert len(cut) == 4
    again = prepare_studies(settings, SPEC, tmp_path, quiet)
    assert len(cut) == 4 and again.facts == first.facts
    assert {r.study: r.reason for r in again.refused} == {r.study: r.reason for r in first.refused}
    (folder,) = first.facts
    (folder / "index.json").write_text('{"fingerprint": "cut o')  # a crash in the middle of it
    prepare_studies(settings, SPEC, tmp_path, quiet)
    assert cut[4:] == ["p2/c.vital"]
    os.utime(hospital / "p2" / "c.vital", (1, 1))
    prepare_studies(settings, SPEC, tmp_path, quiet)
    assert cut[5:] == ["p2/c.vital"]
    other = FolderData(path=str(hospital), processes=1, include=("p2/*",), stride_s=5)
    prepare_studies(other, SPEC, tmp_path, quiet)
    assert len(cut) == 10
    need_all = FolderData(path=str(hospital), processes=1, include=("p2/*",), need=(Modality.ABP,))
    assert len(prepare_studies(need_all, SPEC, tmp_path, quiet).facts) == 2


def test_two_processes_give_the_same(tmp_path: Path, hospital: Path) -> None:
    some = {"path": str(hospital), "include": ("p1/b.vital", "p2/no_ppg.vital", "p2/c.vital")}
    one = prepare_studies(FolderData(**some, processes=1), SPEC, tmp_path / "1", quiet)
    two = prepare_studies(FolderData(**some, processes=2), SPEC, tmp_path / "2", quiet)
    assert {p.name: f for p, f in one.facts.items()} == {p.name: f for p, f in two.facts.items()}
    assert [r.study for r in one.refused] == [r.study for r in two.refused] == ["p2/no_ppg.vital"]
    for path in one.facts:
        for array in path.glob("*.npy"):
            assert array.read_bytes() == (tmp_path / "2" / "studies" / path.name / array.name).read_bytes()


def test_a_patient_must_be_known_for_every_file(tmp_path: Path, hospital: Path) -> None:
    settings = FolderData(path=str(hospital), patient=r"p(1)/", shares=Shares())
    with pytest.raises(BadInput, match=r"none in p2/c\.vital, p2/co2\.edf, .*; use 'file'"):
        prepare_studies(settings, SPEC, tmp_path, quiet)


def test_a_full_disk_keeps_what_is_finished_and_leaves_no_half_study(
    tmp_path: Path, hospital: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.data import recorded

    saved: list[Path] = []
    real = recorded.save_patient

    def fills_up(folder: Path, arrays: object, facts: object) -> None:
        if saved:
            folder.mkdir(parents=True)
            (folder / "signals.npy").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(folder)
        real(folder, arrays, facts)  # type: ignore[arg-type]

    monkeypatch.setattr(recorded, "save_patient", fills_up)
    settings = FolderData(path=str(hospital), processes=1, include=("p1/*",))
    with pytest.raises(VigilError, match=r"The disk is full at the windows of p1/b\.vital"):
        prepare_studies(settings, SPEC, tmp_path, quiet)
    assert [p.name for p in (tmp_path / "studies").iterdir()] == [saved[0].name]
    monkeypatch.setattr(recorded, "save_patient", real)
    assert len(prepare_studies(settings, SPEC, tmp_path, quiet).facts) == 2
