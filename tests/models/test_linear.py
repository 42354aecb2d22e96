"""The one ridge and the one logistic regression, against the normal equations, a general optimiser and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from models.evaluation.linear import choose_penalty, logistic, ridge
from models.training.calibrate import maximise_likelihood


def test_ridge_by_hand() -> None:
    """One standardised column, a penalty of 1 a row: the weight is half of what least squares gives (2 / 3)."""
    x = np.array([[-1.0], [1.0], [-1.0], [1.0]]) * 3 + 7
    weights, offset = ridge(x, np.array([[0.0], [4.0], [0.0], [4.0]]), 1.0)
    assert weights[0, 0] == pytest.approx(1.0 / 3) and offset[0] == pytest.approx(2 - 7 / 3)


def test_ridge_is_the_penalised_least_squares_of_standardised_inputs() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)) * [1, 10, 0.1, 1, 1] + 3
    x[:, 4] = 7.0  # constant
    y = x @ rng.normal(size=(5, 2)) + 2 + rng.normal(size=(400, 2))
    weights, offset = ridge(x, y, 0.3)
    z = (x[:, :4] - x[:, :4].mean(0)) / x[:, :4].std(0)
    stacked = np.vstack([z, np.sqrt(0.3 * 400) * np.eye(4)])  # the ridge as rows of data
    direct = np.linalg.lstsq(stacked, np.vstack([y - y.mean(0), np.zeros((4, 2))]), rcond=None)[0]
    np.testing.assert_allclose(x @ weights + offset, z @ direct + y.mean(0), atol=1e-8)
    assert (weights[4] == 0).all()
    one, its = ridge(x, y[:, 0], 0.3)
    np.testing.assert_allclose(x @ one + its, x @ weights[:, 0] + offset[0], atol=1e-9)
    strong, middle = ridge(x, y, 1e6)
    np.testing.assert_allclose(x @ strong + middle, np.broadcast_to(y.mean(0), y.shape), atol=0.1)


def test_ridge_with_fewer_rows_than_inputs() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(12, 40)), rng.normal(size=12)
    weights, offset = ridge(x, y, 2.0 / 12)
    z = (x - x.mean(0)) / x.std(0)
    dual = z @ z.T @ np.linalg.solve(z @ z.T + 2.0 * np.eye(12), y - y.mean()) + y.mean()
    np.testing.assert_allclose(x @ weights + offset, dual, atol=1e-8)


def test_the_penalty_is_the_one_that_serves_other_patients() -> None:
    """Noise wants the strongest, a line the weakest; and what is left out is patients, not rows."""
    rng = np.random.default_rng(1)
    patient = np.arange(400) // 10
    x = rng.normal(size=(400, 200))
    assert choose_penalty(x, rng.normal(size=400), patient) == 3.0
    assert choose_penalty(x, x[:, 0], patient) == 0.003
    codes = rng.normal(size=(40, 60))[patient]  # who it is: says all of the own patients and nothing of others
    assert choose_penalty(codes, rng.normal(size=40)[patient], patient) == 3.0
    assert choose_penalty(x, x[:, 0], np.zeros(400, np.intp), default=0.7) == 0.7


@pytest.mark.parametrize("counted", [False, True])
def test_logistic_is_the_minimum_of_its_loss(counted: bool) -> None:
    rng = np.random.default_rng(2)
    x, offset = rng.normal(size=(300, 2)), rng.normal(size=300)
    y = rng.random(300) < 1 / (1 + np.exp(-(0.5 + x[:, 0] - 2.0 * x[:, 1] + offset)))
    counts = rng.integers(0, 4, 300).astype(float) if counted else np.ones(300)

    def loss(w: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-(w[0] + x @ w[1:] + offset)))
        return float(-(counts * np.where(y, np.log(p), np.log1p(-p))).sum() + 0.5 * 3.0 * (w[1:] ** 2).sum())

    direct = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).x
    found = logistic(x, y, 3.0, offset, counts=counts if counted else 1.0)
    np.testing.assert_allclose(found, direct, atol=1e-4)


def test_separable_data_end_at_finite_weights() -> None:
    weights = logistic(np.array([[-1.0], [1.0]]), np.array([False, True]), penalty=1e-3)
    assert np.isfinite(weights).all() and weights[1] > 2


def test_the_temperature_is_the_one_that_the_outcomes_ask_for() -> None:
    """Hazards told twice as sure as they are need a temperature of two; an interval after an event does not count."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 1, 3)) * 1.5
    event = rng.random((4000, 3)) < 1 / (1 + np.exp(-logits[:, 0]))
    labels = np.maximum.accumulate(event, axis=1).astype(np.float32)  # what happened stays so
    labels[::5, 2] = np.nan
    raw = torch.nn.Parameter(torch.tensor(1.0))
    said = torch.from_numpy(2.0 * logits).float()
    maximise_likelihood([raw], lambda: said / raw, labels, lambda: 0.0 * raw)
    assert float(raw.detach()) == pytest.approx(2.0, abs=0.15) and not raw.requires_grad
    maximise_likelihood([raw], lambda: said / raw, np.full((4000, 3), np.nan), lambda: 0.0 * raw)
    assert float(raw.detach()) == pytest.approx(2.0, abs=0.15), "nothing is fitted where nothing is known"
