"""VitalDB: the cohort rule by rule, its case files, and windows of them."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import open_patient
from models.data.prepare import prepare_studies
from models.data.sources import VitaldbData
from models.data.vitaldb_cases import case_orders, check_vital
from models.data.vitaldb_cohort import DEPTH_TRACKS, TRACKS, read_cases, read_tracks, select
from models.signals.errors import BadInput
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.windows import WindowSpec
from tests.data.real_files import CASES, write_case, write_tables

ALL = (*TRACKS.values(), *DEPTH_TRACKS)
# caseid,subjectid,casestart,caseend,anestart,aneend,age,sex,optype,opname,ane_type
ROWS = [
    "1,100,0,7200,60,7000,50,M,Colorectal,Low anterior resection,General",
    "2,100,0,7200,60,7000,51,M,Colorectal,Ileostomy repair,General",
    "3,101,0,7200,60,7000,17,F,Others,Appendectomy,General",
    "4,102,0,7200,60,7000,,F,Others,Appendectomy,General",
    "5,103,0,7200,60,7000,60,F,Others,Vein stripping,Spinal",
    "6,104,0,7200,60,7000,70,F,Others,Mitral valve repair,General",
    "7,105,0,3000,60,2900,70,F,Others,Biopsy,General",
    "8,106,0,7200,,7000,70,F,Others,Biopsy,General",
    '9,107,0,7200,-20,7000,>89,F,Vascular,"Aneurysm repair, abdominal",General',
    "10,108,0,7200,60,7000,70,F,Others,No pressure line,General",
    "11,109,0,7200,60,7000,70,F,Others,No quality of BIS,General",
]
TABLE = [(n, t) for n in range(1, 12) for t in ALL]
TABLE = [(n, t) for n, t in TABLE if (n, t) not in ((10, "SNUADC/ART"), (11, "BIS/SQI"))]


def cohort(tmp_path: Path, modalities=MODEL_MODALITIES, **changes: object):
    write_tables(tmp_path, ROWS, TABLE)
    cases, tracks = read_cases(tmp_path / "cases.csv"), read_tracks(tmp_path / "trks.csv")
    return select(cases, tracks, VitaldbData(**changes), modalities)  # type: ignore[arg-type]


def test_each_rule_leaves_out_its_cases_and_says_how_many(tmp_path: Path) -> None:
    chosen, flow = cohort(tmp_path)
    assert [c.case for c in chosen] == [1, 2, 9]
    assert [(r.rule, r.excluded, r.left) for r in flow] == [
        ("cases in the clinical table", 0, 11),
        ("age under 18 or unknown", 2, 9),
        ("no general anaesthesia", 1, 8),
        ("cardiac surgery", 1, 7),
        ("recording shorter than 60 min", 1, 6),
        ("start or end of anaesthesia unknown", 1, 5),
        ("no track SNUADC/ECG_II", 0, 5),
        ("no track SNUADC/ART", 1, 4),
        ("no track SNUADC/PLETH", 0, 4),
        ("no track BIS/EEG1_WAV", 0, 4),
        ("no track BIS/BIS", 0, 4),
        ("no track BIS/SQI", 1, 3),
    ]
    assert chosen[2].age == 89.0 and chosen[2].anaesthesia_start_s == -20.0


def test_a_model_without_eeg_asks_for_no_eeg(tmp_path: Path) -> None:
    chosen, flow = cohort(tmp_path, (Modality.ECG, Modality.ABP, Modality.PPG))
    assert [c.case for c in chosen] == [1, 2, 9, 11]
    assert not any("BIS" in row.rule for row in flow)


def test_one_case_a_patient_and_a_draw_that_only_grows(tmp_path: Path) -> None:
    chosen, flow = cohort(tmp_path, one_case_a_patient=True)
    assert [c.case for c in chosen] == [1, 9]
    assert flow[-1].rule == "a further case of the same patient" and flow[-1].excluded == 1
    one, flow = cohort(tmp_path, cases=1)
    two, _ = cohort(tmp_path, cases=2)
    assert {c.case for c in one} < {c.case for c in two}
    assert flow[-1].rule == "beyond the 1 cases asked for" and flow[-1].excluded == 2


def test_nobody_left_names_the_rules(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none of 11 .*age under 95 or unknown: 11"):
        cohort(tmp_path, least_age=95)


@pytest.mark.parametrize(
    "name", ["CABG x3", "Off-pump coronary artery bypass", "Aortic valve replacement", "Pericardiectomy"]
)
def test_operations_on_the_heart_are_left_out(tmp_path: Path, name: str) -> None:
    write_tables(tmp_path, [*ROWS, f"12,1,0,7200,60,7000,50,M,Others,{name},General"])
    _, flow = select(read_cases(tmp_path / "cases.csv"), None, VitaldbData(), MODEL_MODALITIES)
    assert next(r for r in flow if r.rule == "cardiac surgery").excluded == 2


def test_tables_may_be_packed_and_must_be_tables(tmp_path: Path) -> None:
    write_tables(tmp_path, ROWS)
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress((tmp_path / "cases.csv").read_bytes()))
    assert repr(read_cases(packed)) == repr(read_cases(tmp_path / "cases.csv"))  # NaN differ from each other
    (tmp_path / "other.csv").write_text("<html>busy</html>\n")
    with pytest.raises(BadInput, match=r"the columns caseid, .* in 'other.csv'"):
        read_cases(tmp_path / "other.csv")
    (tmp_path / "bad.csv").write_text(f"{CASES}\nx{ROWS[0]}\n")
    with pytest.raises(BadInput, match=r"'x1' in 'bad\.csv'"):
        read_cases(tmp_path / "bad.csv")
    packed.write_bytes(packed.read_bytes()[:40])
    with pytest.raises(BadInput, match="a readable table"):
        read_cases(packed)


def test_cases_become_windows_of_the_anaesthesia(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    times = "0,150,40,140,50,M,Others,Biopsy,General"
    write_tables(folder, [f"1,100,{times}", f"2,101,{times}", f"3,102,{times}", f"4,103,{times}"])
    write_case(folder / "1.vital")
    (folder / "vital_files").mkdir()
    write_case(folder / "vital_files" / "0002.vital", seed=4)  # as PhysioNet names them
    write_case(folder / "3.vital", leave_out=["BIS/EEG1_WAV"])
    settings = VitaldbData(folder=str(folder), download=False, least_minutes=2, processes=1)
    prepared = prepare_studies(settings, WindowSpec(frames=8), tmp_path / "out", lambda *_: None)
    assert sorted(f["study"] for f in prepared.facts.values()) == ["vitaldb:1", "vitaldb:2"]
    refused = {r.study: r for r in prepared.refused}
    assert refused["vitaldb:3"].lacks == ["EEG"]
    assert "4.vital" in refused["vitaldb:4"].reason
    assert [(r.rule, r.excluded, r.left) for r in prepared.flow[-2:]] == [
        ("a needed track is missing", 1, 3),
        ("cannot be read, or no usable stretch", 1, 2),
    ]
    first = open_patient(tmp_path / "out" / "studies" / "vitaldb-1")
    assert first.facts["patient"] == "vitaldb-100" and first.facts["index_delay_s"] == 30.0
    assert first.facts["channels"] == {m.value: TRACKS[m] for m in MODEL_MODALITIES}
    ends = first.arrays["end_s"]
    assert ends[0] == 70 and ends[-1] == 140  # from 40 s, the start of anaesthesia
    assert first.arrays["depth"][0] == pytest.approx(80 - (70 + 30) / 5, abs=0.05)
    assert np.isnan(first.arrays["depth"][1:]).all()


def test_what_is_missing_is_fetched_from_the_packages_address(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_tables(source, ["7,100,0,150,0,150,50,M,Others,Biopsy,General"], [(7, t) for t in ALL])
    write_case(source / "7.vital")
    asked: list[str] = []

    @contextlib.contextmanager
    def server(address: str, headers: dict[str, str]):
        from tests.data.test_download import Reply

        asked.append(address)
        name = {"cases": "cases.csv", "trks": "trks.csv"}.get(address.rpartition("/")[2], "7.vital")
        body = (source / name).read_bytes()
        yield Reply(200, {"Content-Length": str(len(body))}, body, None)

    settings = VitaldbData(folder=str(tmp_path / "cache"), least_minutes=2)
    seen: list[tuple[str, int, int]] = []
    orders, _, missing = case_orders(settings, WindowSpec(), tmp_path / "o", lambda *a: seen.append(a), server)
    assert [o.study for o in orders] == ["vitaldb:7"] and not missing
    assert [a.rpartition("/")[2] for a in asked] == ["cases", "trks", "7.vital"]
    assert all(a.startswith("https://api.vitaldb.net") for a in asked)
    assert seen[-1] == ("case files", 1, 1)
    case_orders(settings, WindowSpec(), tmp_path / "o", lambda *_: None, server)
    assert len(asked) == 3  # from the cache


def test_a_server_that_is_gone_is_not_asked_for_every_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.data.download.ATTEMPTS", 1)
    write_tables(tmp_path, ROWS, TABLE)
    asked: list[str] = []

    def unplugged(address: str, headers: dict[str, str]):
        asked.append(address)
        raise OSError("unreachable")

    with pytest.raises(BadInput, match=r"an answer for VitalDB case 1, .* go on without downloading"):
        case_orders(VitaldbData(folder=str(tmp_path)), WindowSpec(), tmp_path / "o", lambda *_: None, unplugged)
    assert len(asked) == 1


def test_a_case_file_is_checked_to_its_end(tmp_path: Path) -> None:
    path = write_case(tmp_path / "1.vital", duration_s=30)
    check_vital(path)
    raw = path.read_bytes()
    for name, content, why in (
        ("cut", raw[:-20], "an intact .vital file"),
        ("turned", raw[:2000] + bytes([raw[2000] ^ 0xFF]) + raw[2001:], "an intact .vital file"),
        ("page", b"<html>", "an intact .vital file"),
        ("other", gzip.compress(b"something else", mtime=0), "other content"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=why):
            check_vital(tmp_path / name)
