"""Intervals of an estimated pressure: interpolated, never narrower for an older pressure or a lost ECG, anchored."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.delay_regression import delay_regression
from models.runtime.bundle import load_bundle
from models.runtime.calibration import at_age, pressure_half_widths
from models.runtime.spec import PressureMoves, PressureTable, PriorSlope
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

SPEC = WindowSpec()
ROW = {m: i for i, m in enumerate(SPEC.modalities)}
C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
HALF = {"map": [2.0, 4.0, 10.0], "sbp": [3.0, 6.0, 15.0], "dbp": [2.0, 3.0, 8.0]}
PRIOR = {"delay": PriorSlope(-2.0, 1.0), "rate": PriorSlope(0.0, 1.0), "form": PriorSlope(0.0, 1.0)}
MOVES = PressureMoves(PRIOR, [10.0], {"mean_60s": [0.5], "step": [1.0], "line": [0.0]})
TABLE = PressureTable(MOVES, [10.0, 60.0, 600.0], {"with ECG": HALF, "without ECG": HALF})


def window(age_s: float, ecg: bool = True, **context: float) -> Window:
    """The pressure lost ``age_s`` ago; ``context``: fields of its row, and ``own_delay_s`` of the PPG."""
    presence = np.zeros((len(ROW), SPEC.frames), np.bool_)
    presence[ROW[Modality.ECG]] = ecg
    presence[ROW[Modality.PPG]] = True
    rows = np.full((len(ROW), len(CONTEXT_FIELDS)), np.nan, np.float32)
    abp, ppg = rows[ROW[Modality.ABP]], rows[ROW[Modality.PPG]]
    abp[C["age_s"]] = age_s
    for name, value in context.items():
        (ppg if name == "own_delay_s" else abp)[C[name]] = value
    cells = np.repeat(presence, SPEC.frame_s, axis=1)
    return Window(900, np.zeros((len(ROW), SPEC.samples), np.float32), presence, cells, rows)


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0.0, 2.0), (10.0, 2.0), (35.0, 3.0), (60.0, 4.0), (330.0, 7.0), (600.0, 10.0), (601.0, math.inf),
     (float("nan"), math.inf)],
)  # fmt: skip
def test_half_widths_lie_between_the_ages_of_the_table(age: float, expected: float) -> None:
    assert pressure_half_widths(TABLE, window(age), SPEC)["map"] == pytest.approx(expected)
    assert at_age(TABLE.ages_s, HALF["map"], age) == pytest.approx(expected)


@cache
def shipped() -> PressureTable:
    table = load_bundle().spec.pressure
    assert table is not None
    return table


@given(st.floats(0.0, 2000.0), st.floats(0.0, 2000.0))
def test_the_shipped_table_never_narrows(a: float, b: float) -> None:
    table = shipped()
    young, old = sorted((a, b))
    for name in ("map", "sbp", "dbp"):
        with_ecg, older = (pressure_half_widths(table, window(age), SPEC)[name] for age in (young, old))
        without = pressure_half_widths(table, window(young, ecg=False), SPEC)[name]
        assert older >= with_ecg > 0.0
        assert without >= with_ecg


def test_an_unsettled_pressure_is_less_well_known() -> None:
    table = PressureTable(MOVES, TABLE.ages_s, TABLE.half_mmhg, unrest=0.5)
    assert pressure_half_widths(table, window(60.0, level=80.0, mean_300s=88.0), SPEC)["map"] == pytest.approx(8.0)
    assert pressure_half_widths(table, window(60.0, level=80.0), SPEC)["map"] == pytest.approx(4.0)
    with pytest.raises(ValueError, match="unsettled"):
        PressureTable(MOVES, TABLE.ages_s, TABLE.half_mmhg, unrest=float("nan"))


def test_the_anchor_is_the_delay_regression() -> None:
    known = dict(level=80.0, delay_slope=-200.0, ppg_delay_s=0.20, own_delay_s=0.22)
    made = window(60.0, **known)
    assert delay_regression(made.context[ROW[Modality.ABP]], made.context[ROW[Modality.PPG]]) == pytest.approx(
        76.0, abs=1e-3
    )


@pytest.mark.parametrize(
    "changed",
    [{"own_delay_s": 0.40}, {"own_delay_s": float("nan")}, {"delay_slope": float("nan")}],
    ids=["another beat", "no delay now", "no slope"],
)
def test_without_a_delay_the_anchor_is_the_last_level(changed: dict[str, float]) -> None:
    known = dict(level=80.0, delay_slope=-200.0, ppg_delay_s=0.20, own_delay_s=0.22) | changed
    made = window(60.0, **known)
    assert delay_regression(made.context[ROW[Modality.ABP]], made.context[ROW[Modality.PPG]]) == pytest.approx(80.0)


def test_a_table_that_is_not_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="rising ages"):
        PressureTable(MOVES, [10.0], {"with ECG": HALF, "without ECG": HALF})
    with pytest.raises(ValueError, match="with and without ECG"):
        PressureTable(MOVES, TABLE.ages_s, {"with ECG": HALF})


def test_the_delay_regression_holds_what_it_cannot_believe() -> None:
    """Rows: 10 ms later at −500 mmHg/s; a jump of 200 ms to another beat; an unknown delay; a slope out of all bounds;
    never measured."""
    c = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
    abp, ppg = np.full((5, len(CONTEXT_FIELDS)), np.nan), np.full((5, len(CONTEXT_FIELDS)), np.nan)
    abp[:4, c["level"]], abp[:, c["ppg_delay_s"]], abp[:, c["delay_slope"]] = 80.0, 0.30, -500.0
    abp[3, c["delay_slope"]] = -9000.0
    ppg[:, c["own_delay_s"]] = [0.31, 0.50, np.nan, 0.31, 0.31]
    np.testing.assert_allclose(delay_regression(abp, ppg), [75.0, 80.0, 80.0, 40.0, np.nan])
