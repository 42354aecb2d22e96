"""Withheld pressure of a recording: agreement, trends and coverage on made-up seconds with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.real_gaps import HiddenSeconds, agreement_rows, plot_agreement, trend_rows


def hidden(gap_s: float = 300.0, gaps: int = 6) -> HiddenSeconds:
    """Pressure falls by 0.2 mmHg a second; the model is 2 too high, hold stays where it was."""
    out = HiddenSeconds(gap_s, gaps)
    for g in range(gaps):
        for s in range(1, int(gap_s) + 1):
            true = 100.0 + 3 * g - 0.2 * s
            model = true + 2.0
            out.add(
                g, 1000.0 * g + s, float(s), [true, true + 40, float("nan")],
                {"hold": [100.0 + 3 * g] * 3, "delay regression": [true - 1.0] * 3, "model": [model, model + 40, 60.0]},
                [(true - 1.0, true + 3.0), (true + 41.0, true + 50.0), (0.0, 100.0)],
            )  # fmt: skip
    return out


def test_bias_limits_and_coverage():
    rows = {(r["pressure"], r["method"]): r for r in agreement_rows([hidden()])}
    model = rows["MAP", "model"]
    assert model["bias"] == pytest.approx(2.0) and model["sd"] == pytest.approx(0.0, abs=1e-6)
    assert model["mae"] == pytest.approx(2.0) and model["covered_80"] == 1.0
    assert rows["SBP", "model"]["covered_80"] == 0.0
    assert np.isnan(rows["DBP", "model"]["covered_80"]) and np.isnan(rows["DBP", "model"]["bias"])
    hold = rows["MAP", "hold"]
    assert hold["bias"] == pytest.approx(0.2 * 150.5) and hold["mae_last_10_s"] == pytest.approx(0.2 * 295.5)
    assert np.isnan(hold["covered_80"])


def test_trends_need_two_changes_in_a_gap():
    rows = {r["method"]: r for r in trend_rows([hidden(), hidden(60.0)])}
    assert rows["model"]["concordance"] == 1.0 and rows["hold"]["concordance"] == 0.0
    assert len(rows) == 3 and {r["gap_s"] for r in rows.values()} == {300.0}


def test_bland_altman_plot_is_written(tmp_path):
    pytest.importorskip("matplotlib", reason="plots need the extra `train`")
    estimate, truth = hidden().pair("model", "map")
    plot_agreement(estimate, truth, 2.0, (1.0, 3.0), tmp_path, "ba", "title", "note")
    assert (tmp_path / "ba.png").stat().st_size > 5000
