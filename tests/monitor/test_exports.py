"""Export files: columns, empty cells for unknown values, estimates marked, truth beside them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report import publish
from models.signals.errors import VigilError
from models.signals.times import SECOND_NS
from monitor.exports import (
    ALARM_COLUMNS,
    PREDICTION_COLUMNS,
    VITALS_COLUMNS,
    AlarmsCsv,
    PredictionsCsv,
    RestoredNpz,
    VitalsCsv,
)
from streams.codec import samples_to_bytes
from streams.records import AlarmRecord, PredictionRecord, RestoredChunk, VitalsRecord, WaveChunk, WaveTick

BED = {"bed": "1", "session": "s", "epoch": 0}


def prediction(end_s: int, restored: list[RestoredChunk] | None = None, **changes: object) -> PredictionRecord:
    fields: dict[str, object] = {
        "window_end_ns": end_s * SECOND_NS,
        "model": "m",
        "backend": "b",
        "modalities": ["ECG", "ABP"],
        "presence": [[True, True], [True, False]],
        "ages_s": [0.0, 1.0],
        "valid": True,
        "abstain": False,
        "reason": "",
        "risk": {"5": (0.1, 0.05, 0.2), "10": (0.2, 0.1, 0.3), "15": (0.3, 0.2, 0.4)},
        "restored": restored or [],
    } | changes
    return PredictionRecord(**BED, **fields)  # type: ignore[arg-type]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_vitals_are_empty_where_unknown(tmp_path: Path) -> None:
    export = VitalsCsv(tmp_path / "v.csv")
    export(VitalsRecord(**BED, time_ns=7 * SECOND_NS, hr=61.25, hr_source="ECG", abp_map=None, sef95=float("nan")))
    export(prediction(7))
    export.close()
    (row,) = rows(tmp_path / "v.csv")
    assert tuple(row) == VITALS_COLUMNS
    assert row["time_s"] == "7"
    assert row["hr"] == "61.25"
    assert row["abp_map"] == row["sef95"] == row["pulse_rate"] == ""


def test_predictions_carry_bounds_presence_and_time(tmp_path: Path) -> None:
    export = PredictionsCsv(tmp_path / "p.csv")
    export(prediction(7, stamps_ns={"due": 1 * SECOND_NS, "published": 1 * SECOND_NS + SECOND_NS // 10}))
    export(prediction(8, valid=False, risk={}, depth=(45.0, 40.0, 50.0)))
    export.close()
    first, second = rows(tmp_path / "p.csv")
    assert tuple(first) == PREDICTION_COLUMNS
    assert (first["time_s"], first["window_end_s"]) == ("7.1", "7")
    assert (first["risk_5"], first["risk_5_lo"], first["risk_15_hi"]) == ("0.1", "0.05", "0.4")
    assert first["presence"] == "ECG=11;ABP=10"
    assert first["depth"] == ""
    assert (second["time_s"], second["valid"], second["risk_5"], second["depth_hi"]) == ("8", "0", "", "50")


def test_a_window_that_was_missed_is_a_row_that_says_why_and_no_value_of_the_restored(tmp_path: Path) -> None:
    table, waves = PredictionsCsv(tmp_path / "p.csv"), RestoredNpz(tmp_path / "r.npz")
    data = samples_to_bytes(np.full(100, 80, np.float32))
    skipped, late = "skipped: the model was behind", "the result came 1.4 s after its window"
    for record in (
        prediction(7, [RestoredChunk("ABP", 100, 600, data, data, data)]),
        prediction(8, valid=False, risk={}, missed="skipped", reason=skipped),
        prediction(9, [RestoredChunk("ABP", 100, 800, data, data, data)], valid=False, missed="late", reason=late),
        prediction(10, abstain=True, risk={}, reason="no pressure is known"),
    ):
        table(record)
        waves(record)
    table.close()
    waves.close()
    found = rows(tmp_path / "p.csv")
    assert [(r["window_end_s"], r["valid"], r["risk_15"], r["missed"], r["reason"]) for r in found] == [
        ("7", "1", "0.3", "", ""), ("8", "0", "", "skipped", skipped), ("9", "0", "0.3", "late", late),
        ("10", "1", "", "", "no pressure is known"),
    ]  # fmt: skip
    kept = np.load(tmp_path / "r.npz")
    np.testing.assert_allclose(kept["ABP_time_s"], 6.0 + np.arange(100) / 100.0)
    assert kept["missed_window_end_s"].tolist() == [8.0, 9.0] and kept["missed_reason"].tolist() == [skipped, late]


def alarm(second: float, *, active: bool = True, **changes: object) -> AlarmRecord:
    fields: dict[str, object] = {"key": "map.low", "priority": "medium", "kind": "physiological", "text": "ABP LOW"}
    return AlarmRecord(**(BED | fields | changes), time_ns=round(second * SECOND_NS), active=active)  # type: ignore[arg-type]


def test_alarms_have_a_row_an_event_and_one_for_what_still_stands(tmp_path: Path) -> None:
    export = AlarmsCsv(tmp_path / "a.csv")
    reason = 'no pulse in ABP, "PPG" contradicts'
    for record in (
        alarm(10.5), alarm(11, now="58"), alarm(12, priority="high", now="45"), alarm(20, active=False),
        alarm(21, key="asystole", priority="high", text="ASYSTOLE", reason=reason),
        WaveTick(**BED, tick_seq=0, start_ns=0, end_ns=33 * SECOND_NS),
        VitalsRecord(**BED, time_ns=40 * SECOND_NS),
    ):  # fmt: skip
        export(record)
    export.close()
    found = rows(tmp_path / "a.csv")
    assert tuple(found[0]) == ALARM_COLUMNS
    assert [(row["time_s"], row["key"], row["priority"], row["event"]) for row in found] == [
        ("10.5", "map.low", "medium", "began"), ("12", "map.low", "high", "changed"),
        ("20", "map.low", "high", "ended"), ("21", "asystole", "high", "began"),
        ("33", "asystole", "high", "standing at the end"),
    ]  # fmt: skip
    assert found[3]["reason"] == found[4]["reason"] == reason
    assert {row["kind"] for row in found} == {"physiological"} and found[3]["text"] == "ASYSTOLE"


def test_a_seek_is_seen_in_the_alarms(tmp_path: Path) -> None:
    export = AlarmsCsv(tmp_path / "a.csv")
    for record in (
        alarm(100), WaveTick(**BED, tick_seq=0, start_ns=0, end_ns=120 * SECOND_NS),
        alarm(20, active=False, epoch=1), alarm(25, epoch=1), alarm(30, epoch=1, active=False),
    ):  # fmt: skip
        export(record)
    export.close(failed=True)
    found = [(row["time_s"], row["event"], row["reason"]) for row in rows(tmp_path / "a.csv")]
    assert found == [
        ("100", "began", ""),
        ("120", "ended", "the replay jumped"),
        ("25", "began", ""),
        ("30", "ended", ""),
    ]


def test_a_run_without_alarms_leaves_a_file_without_rows_and_one_that_never_ran_none(tmp_path: Path) -> None:
    quiet, never, earlier = (tmp_path / name for name in ("quiet.csv", "never.csv", "earlier.csv"))
    earlier.write_text("of an earlier run")
    export = AlarmsCsv(quiet)
    export(WaveTick(**BED, tick_seq=0, start_ns=0, end_ns=SECOND_NS))
    export.close(failed=True)
    assert quiet.read_text().splitlines() == [",".join(ALARM_COLUMNS)]
    for path in (never, earlier):
        AlarmsCsv(path).close(failed=True)
    assert not never.exists() and earlier.read_text() == "of an earlier run"


def test_restored_marks_estimates_and_keeps_the_truth(tmp_path: Path) -> None:
    export = RestoredNpz(tmp_path / "r.npz")
    measured = WaveChunk("ABP", "ART", 50.0, 0, 0, np.arange(50, dtype="<f4").tobytes())
    withheld = WaveChunk("ABP", "ART", 50.0, 0, 50, np.arange(50, 100, dtype="<f4").tobytes(), True)
    export(WaveTick(**BED, tick_seq=0, start_ns=0, end_ns=2 * SECOND_NS, chunks=[measured, withheld]))
    estimate = np.full(100, 7, "<f4")
    estimate[:10] = np.nan  # a part that may not be shown
    chunk = RestoredChunk("ABP", 100, 100, estimate.tobytes(), estimate.tobytes(), estimate.tobytes())
    export(prediction(2, [chunk]))
    export.close()
    with np.load(tmp_path / "r.npz") as saved:
        time_s, value, estimated, truth = (saved[f"ABP_{k}"] for k in ("time_s", "value", "estimated", "truth"))
    assert len(time_s) == 50 + 90
    assert (np.diff(time_s) > 0).all()
    assert estimated.sum() == 90
    assert (value[estimated] == 7).all()
    assert (value[~estimated] == np.arange(50)).all()
    inside = estimated & (time_s <= 99 / 50)
    np.testing.assert_allclose(truth[inside], time_s[inside] * 50, rtol=1e-6)
    assert np.isnan(truth[~estimated]).all()


def test_truth_is_not_drawn_across_a_gap(tmp_path: Path) -> None:
    export = RestoredNpz(tmp_path / "r.npz")
    for first in (0, 75):
        data = np.ones(25, "<f4").tobytes()
        chunk = WaveChunk("ABP", "ART", 50.0, 0, first, data, True)
        export(WaveTick(**BED, tick_seq=first, start_ns=0, end_ns=SECOND_NS, chunks=[chunk]))
    ones = np.ones(200, "<f4").tobytes()
    export(prediction(2, [RestoredChunk("ABP", 100, 0, ones, ones, ones)]))
    export.close()
    with np.load(tmp_path / "r.npz") as saved:
        truth, time_s = saved["ABP_truth"], saved["ABP_time_s"]
    assert np.isnan(truth[(time_s > 0.5) & (time_s < 1.48)]).all()
    assert truth[time_s <= 0.48] == pytest.approx(1.0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("kind", [VitalsCsv, PredictionsCsv, AlarmsCsv, RestoredNpz])
@pytest.mark.parametrize("many", [False, True])
def test_a_full_disk_names_the_file(kind: type, many: bool) -> None:
    """Writing fails at the end, or when the first buffer is full: the system does not say of which file."""
    export = kind(Path("/dev/full"))
    with pytest.raises(VigilError, match=r"The output /dev/full could not be written: No space left on device\."):
        for second in range(2000 if many else 1):
            export(VitalsRecord(**BED, time_ns=second * SECOND_NS, hr=60.0))
            export(prediction(second))
            export(alarm(second, text=f"ABP LOW {second}"))
        export.close()


def test_a_full_disk_names_the_table_of_a_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    with pytest.raises(VigilError, match="The table /dev/full could not be written"):
        publish("text", Path("/dev/full"))
    assert capsys.readouterr().out == "text\n"
