"""A whole run through the real Faust app: every sample is accounted for, in the feed and in the windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.channels import map_channels
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.windows import Window, WindowSpec
from monitor.session import Session
from streams.codec import chunk_values
from streams.feed import DisplayFeed
from streams.records import AnyRecord, CellRecord, PredictionRecord, StateRecord, VitalsRecord, WaveTick
from streams.sources.bed_replay import Drop
from tests.signals.test_channels import Memory
from tests.streams.sources import FakeEngine, PatientMap, session_of

SPEC = WindowSpec()
PPG = SPEC.modalities.index(Modality.PPG)


def run(source: PatientMap, speed: float | None, **options: object) -> tuple[Session, FakeEngine, list[AnyRecord]]:
    """Play it to its end; the session, the engine that saw the windows, and what the feed was given."""
    engine, feed = FakeEngine(), DisplayFeed(capacity=1_000_000)
    session = session_of({"bed1": lambda: source}, SPEC, lambda: engine, speed=speed, feed=feed, **options)  # type: ignore[arg-type,return-value]
    session.start()
    assert session.wait(60), "the run did not end"
    records = feed.drain(1_000_000)
    assert feed.status.dropped == 0
    return session, engine, records


def indices(records: list[AnyRecord], *, withheld: bool = False) -> np.ndarray:
    """The sample indices that the PPG carried, in the order of the feed; positions and values must agree."""
    found = []
    for tick in (r for r in records if isinstance(r, WaveTick)):
        for chunk in (c for c in tick.chunks if c.modality == "PPG" and c.withheld == withheld):
            values = chunk_values(chunk.data)
            np.testing.assert_array_equal(values, chunk.first_index + np.arange(len(values)))
            found.append(values.astype(int))
    return np.concatenate(found) if found else np.empty(0, int)


def check_window(window: Window, first_s: int = 0) -> None:
    """The index ramp lies where it belongs, and what was before the start is missing, not zero."""
    grid = np.arange((window.end_s - SPEC.window_s) * 100, window.end_s * 100)
    signal = window.signals[PPG]
    before = grid < first_s * 100
    assert np.isnan(signal[before]).all()
    np.testing.assert_allclose(signal[~before][5:], grid[~before][5:], atol=0.51, rtol=1e-6)


@pytest.mark.parametrize("speed", [None, 50.0], ids=["max", "50x"])
def test_every_sample_is_accounted_for(speed: float | None) -> None:
    session, engine, records = run(PatientMap(60.0), speed)
    np.testing.assert_array_equal(indices(records), np.arange(6000))
    report = session.report()
    assert report["samples"]["PPG"] == {"sent": 6000, "received": 6000, "lost": 0, "duplicated": 0, "withheld": 0}
    assert report["samples"]["ECG"]["lost"] == 0 and report["samples"]["ECG"]["sent"] == 30_000
    assert report["windows"] == 60 and report["dead_letters"] == 0
    assert report["predictions"] + report["skipped_windows"] == 60
    assert report["seconds_streamed"] == 60.0
    for window in engine.windows:
        check_window(window)
    ends = [w.end_s for w in engine.windows]
    assert ends == sorted(set(ends)) and set(ends) <= set(range(1, 61))
    cells = [r for r in records if isinstance(r, CellRecord)]
    assert [c.second for c in cells] == list(range(60))
    assert [r.time_ns for r in records if isinstance(r, VitalsRecord)] == [s * 10**9 for s in range(1, 61)]
    predictions = [r for r in records if isinstance(r, PredictionRecord)]
    assert [p.window_end_ns // 10**9 for p in predictions] == list(range(1, 61))
    assert [p.window_end_ns // 10**9 for p in predictions if p.missed != "skipped"] == ends
    if speed is None:
        assert ends == list(range(1, 61)) and report["skipped_windows"] == 0 and report["latency_ms"] is None
    else:
        assert report["latency_ms"]["sample_to_feed"]["p99"] > 0
        assert all(p.stamps_ns["due"] <= p.stamps_ns["published"] for p in predictions)


def test_two_runs_at_max_give_the_same_windows() -> None:
    first, second = (run(PatientMap(40.0), None)[1].windows for _ in range(2))
    assert [w.end_s for w in first] == [w.end_s for w in second] == list(range(1, 41))
    for a, b in zip(first, second, strict=True):
        for name in ("signals", "presence", "cells", "context"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_withheld_channel_leaves_within_a_second_and_returns_at_once() -> None:
    drop = Drop(Modality.ABP, 20.0, 30.0)
    session, engine, records = run(PatientMap(50.0), None, drops=[drop])
    states = [r for r in records if isinstance(r, StateRecord)]
    gone = next(r.time_ns for r in states if r.state["ABP"])
    back = next(r.time_ns for r in states if r.time_ns > gone and not r.state["ABP"])
    assert 20.0 <= gone / 1e9 <= 21.0
    assert 30.0 <= back / 1e9 <= 30.5
    absent = {r.second for r in records if isinstance(r, CellRecord) and r.absence["ABP"] == Absence.WITHHELD}
    assert absent == set(range(20, 30))
    row = SPEC.modalities.index(Modality.ABP)
    for window in engine.windows:
        seconds = range(window.end_s - SPEC.window_s, window.end_s)
        held = np.array([20 <= s < 30 for s in seconds])
        assert not window.cells[row][held].any()
        inside = np.isnan(window.signals[row].reshape(-1, 100)[held])
        assert not inside.size or inside.mean() > 0.95, "withheld samples reached the model"
    assert all(v.abp_map is None for v in records if isinstance(v, VitalsRecord) and 21 <= v.time_ns / 1e9 <= 30)
    assert session.report()["samples"]["ABP"]["withheld"] == 1250
    assert [r.window_end_ns // 10**9 for r in records if isinstance(r, PredictionRecord)] == list(range(1, 51))


def test_a_stretch_from_the_middle_begins_with_missing_not_with_zero() -> None:
    session, engine, records = run(PatientMap(60.0), None, from_s=30.0, for_s=20.0)
    np.testing.assert_array_equal(indices(records), np.arange(3000, 5000))
    assert [w.end_s for w in engine.windows] == list(range(31, 51))
    for window in engine.windows:
        check_window(window, first_s=30)
    assert session.report()["seconds_streamed"] == 20.0


@pytest.mark.recordings
def test_a_real_operation_loses_nothing(recordings: Path) -> None:
    path = recordings / "vital" / "surgery1.vital"
    engine = FakeEngine()
    session = session_of(
        {"bed1": lambda: map_channels(open_recording(str(path)))},
        SPEC,
        lambda: engine,
        speed=None,
        from_s=560,
        for_s=120,
    )
    session.start()
    assert session.wait(60)
    report = session.report()
    assert all(counts["lost"] == 0 and counts["sent"] == counts["received"] for counts in report["samples"].values())
    assert report["samples"]["ECG"]["sent"] == 60_000 and report["predictions"] == report["windows"] == 120


def test_at_max_nothing_is_jumped_over_while_another_lead_has_data() -> None:
    """Lead II for a minute, V5 for the five after it: of the lead that is preferred those five are a gap."""
    waves = {
        "II": ("mV", 100.0, 0.0, np.sin(np.arange(6_000, dtype=np.float32))),
        "V5": ("mV", 100.0, 60.0, np.sin(np.arange(30_000, dtype=np.float32))),
    }
    session, _, _ = run(map_channels(Memory(waves)), None)  # type: ignore[arg-type]
    report = session.report()
    assert report["samples"]["ECG"]["sent"] == 36_000 and report["samples"]["ECG"]["lost"] == 0
    assert report["seconds_streamed"] == 360.0
    assert session.gaps_s[Modality.ECG] == ()
