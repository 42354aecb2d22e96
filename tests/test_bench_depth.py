"""The figures on depth: what is an error, what is a null, and what has nothing to say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import depth
from benchmarks.depth import Course, agreement, agreement_rows, band_rows, bis_track, draw, fall_rows
from models.signals.recording import Track, TrackKind

NAN = math.nan


def course(model: list[float], rule: list[float], reference: list[float]) -> Course:
    known = np.isfinite(np.array(model)) | np.isfinite(np.array(rule))
    return Course("one", np.array(model), np.array(rule), np.array(reference), known, known & False)


def test_agreement_counts_what_both_know() -> None:
    found = agreement(np.array([50.0, 60.0, NAN, 80.0]), np.array([45.0, 57.0, 70.0, NAN]))
    assert (found.seconds, found.share) == (2, pytest.approx(2 / 3))
    assert (found.bias, found.mae, found.sd, found.r) == pytest.approx((4.0, 4.0, 1.0, 1.0))
    assert agreement(np.full(3, NAN), np.ones(3)).seconds == 0


def test_the_null_is_the_best_constant_and_has_no_correlation() -> None:
    rows = agreement_rows([course([50, 50, 50], [40, 45, 50], [41, 46, 60])], "BIS")
    assert [row[1] for row in rows] == ["model", "openibis", "constant (its median)"]
    assert rows[2][4:] == ["-3.0 ± 8.0", "6.3", None]
    assert rows[1][5] == "4.0" and rows[0][6] is None


def test_without_an_eeg_only_the_null_says_something() -> None:
    rows = agreement_rows([course([NAN] * 4, [NAN] * 4, [40, 42, 44, 46])], "BIS")
    assert [row[2] for row in rows] == [0, 0, 4] and rows[0][3] == "0 %" and rows[0][5] is None


def test_bands_are_of_the_truth() -> None:
    rows = band_rows([course([50, 50, 90], [60, 62, 90], [45, 45, 85])], 1)
    found = {row[1]: row[2:] for row in rows}
    assert found["40–50"] == [1, 2, "+5.0 ± 0.0", "+16.0 ± 1.0"] and found["80–100"][2] == "+5.0 ± 0.0"
    assert found["50–60"] == [0, 0, None, None]


def test_a_fall_is_told_from_the_event() -> None:
    said = [90.0] * 240 + np.linspace(90, 40, 120).tolist()
    rows = fall_rows(course(said, [NAN] * 360, [NAN] * 360), 300.0)
    assert rows[0][:5] == ["model", "90 ± 0.0", "65", "40", "50"] and rows[0][5] == "+12 s"
    assert rows[1] == ["openibis", None, None, None, None, None]
    steady = fall_rows(course([50.0] * 360, [70.0] * 360, [NAN] * 360), 300.0)
    assert steady[0][4:] == [None, None] and steady[1][5] is None


class _Some:
    def __init__(self, *names: str) -> None:
        self.tracks = [Track(name, TrackKind.NUMERIC, "", None, 0.0, 5) for name in names]
        self.tracks.append(Track("BIS/EEG1_WAV", TrackKind.WAVE, "uV", 128.0, 0.0, 5))


def test_which_numeric_is_a_bis() -> None:
    assert bis_track(_Some("Solar8000/HR", "BIS/BIS")) == "BIS/BIS"  # type: ignore[arg-type]
    assert bis_track(_Some("Intellivue/EEG_BIS")) == "Intellivue/EEG_BIS"  # type: ignore[arg-type]
    assert bis_track(_Some("BIS/SQI", "Intellivue/HR")) is None  # type: ignore[arg-type]


def test_the_picture_says_what_it_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(course([90.0, 80.0, 70.0], [80.0, 60.0, 40.0], [NAN] * 3), 1.0, tmp_path, "depth")
    assert (tmp_path / "depth.png").stat().st_size > 5000


def test_a_file_that_is_no_recording_gives_a_sentence(tmp_path: Path) -> None:
    from benchmarks.__main__ import main

    assert main(["depth", str(tmp_path / "none.vital"), "--simulated", "0"]) == 2
    assert depth.SCENARIOS[0] is None
