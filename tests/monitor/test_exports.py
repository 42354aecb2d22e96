"""Export files: columns, empty cells for unknown values, estimates marked, truth beside them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from monitor.exports import (
    NS,
    PREDICTION_COLUMNS,
    VITALS_COLUMNS,
    PredictionsCsv,
    RestoredNpz,
    VitalsCsv,
)
from streams.records import PredictionRecord, RestoredChunk, VitalsRecord, WaveChunk, WaveTick

BED = {"bed": "1", "session": "s", "epoch": 0}


def prediction(end_s: int, restored: list[RestoredChunk] | None = None, **changes: object) -> PredictionRecord:
    fields: dict[str, object] = {
        "window_end_ns": end_s * NS,
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
    export(VitalsRecord(**BED, time_ns=7 * NS, hr=61.25, hr_source="ECG", abp_map=None, sef95=float("nan")))
    export(prediction(7))
    export.close()
    (row,) = rows(tmp_path / "v.csv")
    assert tuple(row) == VITALS_COLUMNS
    assert row["time_s"] == "7"
    assert row["hr"] == "61.25"
    assert row["abp_map"] == row["sef95"] == row["pulse_rate"] == ""


def test_predictions_carry_bounds_presence_and_time(tmp_path: Path) -> None:
    export = PredictionsCsv(tmp_path / "p.csv")
    export(prediction(7, stamps_ns={"due": 1 * NS, "published": 1 * NS + NS // 10}))
    export(prediction(8, valid=False, risk={}, depth=(45.0, 40.0, 50.0)))
    export.close()
    first, second = rows(tmp_path / "p.csv")
    assert tuple(first) == PREDICTION_COLUMNS
    assert (first["time_s"], first["window_end_s"]) == ("7.1", "7")
    assert (first["risk_5"], first["risk_5_lo"], first["risk_15_hi"]) == ("0.1", "0.05", "0.4")
    assert first["presence"] == "ECG=11;ABP=10"
    assert first["depth"] == ""
    assert (second["time_s"], second["valid"], second["risk_5"], second["depth_hi"]) == ("8", "0", "", "50")


def test_restored_marks_estimates_and_keeps_the_truth(tmp_path: Path) -> None:
    export = RestoredNpz(tmp_path / "r.npz")
    measured = WaveChunk("ABP", "ART", 50.0, 0, 0, np.arange(50, dtype="<f4").tobytes())
    withheld = WaveChunk("ABP", "ART", 50.0, 0, 50, np.arange(50, 100, dtype="<f4").tobytes(), True)
    export(WaveTick(**BED, tick_seq=0, start_ns=0, end_ns=2 * NS, chunks=[measured, withheld]))
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
        export(WaveTick(**BED, tick_seq=first, start_ns=0, end_ns=NS, chunks=[chunk]))
    ones = np.ones(200, "<f4").tobytes()
    export(prediction(2, [RestoredChunk("ABP", 100, 0, ones, ones, ones)]))
    export.close()
    with np.load(tmp_path / "r.npz") as saved:
        truth, time_s = saved["ABP_truth"], saved["ABP_time_s"]
    assert np.isnan(truth[(time_s > 0.5) & (time_s < 1.48)]).all()
    assert truth[time_s <= 0.48] == pytest.approx(1.0)
