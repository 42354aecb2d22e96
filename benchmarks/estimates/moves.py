"""What an estimated mean pressure is moved by, learnt: :class:`models.runtime.spec.PressureMoves`.

The estimate is a hierarchical regression (:mod:`models.runtime.pressure_estimate`): the patient's own moments with a
population's prior. Prior slopes, their weights, and by how much each move counts at each age are learnt together by
gradient descent on the absolute error (Huber's loss, narrow: the mean absolute error is what is judged, and artefacts
are in it). At each age every set of recordings counts the same, and in it every patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.estimates.replay import Rows
from models.runtime.pressure_estimate import LARGEST_MOVE_MMHG, Evidence, moved_map
from models.runtime.spec import MOVES, SIGNS, PressureMoves, PriorSlope

KNOTS_S = (10.0, 60.0, 180.0, 600.0)
HUBER_MMHG = 0.7
STEPS, RATE, LAST_RATE = 300, 0.05, 0.01
SHRINK = 1e-3  # of all weights and slopes, and of how far a prior's weight is from the first guess
FIRST_WEIGHT = 10.0
FOLDS = 5

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.integer]


@dataclass(frozen=True)
class _Material:
    """Evidence as tensors: [n], step, known, product and apart [n, 3], scatter [n, 3, 3]; knots [n, K]: the share that
    each knot has at the row's age."""

    reversion: Tensor
    step: Tensor
    known: Tensor
    scatter: Tensor
    product: Tensor
    offset: Tensor
    apart: Tensor
    knots: Tensor


def fitted_moves(rows: Rows, source: Indices) -> PressureMoves:
    """``rows``: with the ABP lost, evidence and a true MAP. source [n]: which set of recordings."""
    oldest = float(rows.abp_age_s.max())
    knots = [age for age in KNOTS_S if age <= oldest] or [KNOTS_S[0]]
    material = _material(rows, knots)
    wanted = torch.from_numpy(np.asarray(rows.truth[:, 0] - rows.hold, np.float64))
    share = torch.from_numpy(equal_shares(rows, source))
    slopes = torch.zeros(len(SIGNS), dtype=torch.float64, requires_grad=True)
    log_weights = torch.full((len(SIGNS),), float(np.log(FIRST_WEIGHT)), dtype=torch.float64, requires_grad=True)
    moves = torch.tensor([[0.3], [0.5], [0.3]], dtype=torch.float64).repeat(1, len(knots)).requires_grad_(True)
    optimiser = torch.optim.Adam([slopes, log_weights, moves], lr=RATE)
    for step in range(STEPS):
        optimiser.zero_grad()
        off = _moved(slopes, log_weights, moves, material) - wanted
        loss = share * torch.nn.functional.huber_loss(off, torch.zeros_like(off), reduction="none", delta=HUBER_MMHG)
        drift = (log_weights - np.log(FIRST_WEIGHT)).square().sum()
        total = loss.sum() / share.sum() + SHRINK * (slopes.square().sum() + moves.square().sum() + drift)
        total.backward()
        optimiser.step()
        if step == 2 * STEPS // 3:
            optimiser.param_groups[0]["lr"] = LAST_RATE
    weights = log_weights.detach().exp().tolist()
    prior = {
        name: PriorSlope(round(slope, 3), round(weight, 3))
        for name, slope, weight in zip(SIGNS, slopes.tolist(), weights, strict=True)
    }
    found = {name: [round(w, 3) for w in row] for name, row in zip(MOVES, moves.tolist(), strict=True)}
    return PressureMoves(prior, knots, found)


def moved(moves: PressureMoves, rows: Rows) -> npt.NDArray[np.float64]:
    """The estimated MAP [n] of rows, by the product's own computation; NaN without evidence."""
    return np.array([np.nan if seen is None else moved_map(moves, seen) for seen in rows.evidence])


def unseen(rows: Rows, source: Indices) -> npt.NDArray[np.float64]:
    """The estimated MAP [n] of each row by weights that its patient had no part in."""
    _, patient = np.unique(rows.patient, return_inverse=True)
    fold = np.random.default_rng(0).permutation(int(patient.max()) + 1)[patient] % FOLDS
    out = np.full(len(rows), np.nan)
    for k in range(FOLDS):
        here = fold == k
        if here.any() and not here.all():
            out[here] = moved(fitted_moves(rows.where(~here), source[~here]), rows.where(here))
        elif here.any():
            out[here] = moved(fitted_moves(rows, source), rows)
    return out


def equal_shares(rows: Rows, source: Indices) -> npt.NDArray[np.float64]:
    """Weights [n] by which at each age each source has the same, and in it each patient."""
    _, age = np.unique(rows.abp_age_s, return_inverse=True)
    _, group = np.unique(np.stack([age, source], 1), axis=0, return_inverse=True)
    _, member, count = np.unique(
        np.stack([group.ravel(), rows.patient], 1), axis=0, return_inverse=True, return_counts=True
    )
    weight = 1.0 / count[member.ravel()]
    return np.asarray(weight / np.bincount(group.ravel(), weight)[group.ravel()])


def _material(rows: Rows, knots: list[float]) -> _Material:
    seen: list[Evidence] = list(rows.evidence)
    at, ages = np.log([max(s.age_s, 1.0) for s in seen]), np.log(knots)
    share = np.stack([np.interp(at, ages, np.eye(len(knots))[j]) for j in range(len(knots))], 1)

    def of(name: str) -> Tensor:
        return torch.from_numpy(np.array([getattr(s, name) for s in seen], np.float64))

    return _Material(
        of("reversion"), of("step"), of("known"), of("scatter"), of("product"), of("offset"), of("apart"),
        torch.from_numpy(share),
    )  # fmt: skip


def _moved(slopes: Tensor, log_weights: Tensor, moves: Tensor, seen: _Material) -> Tensor:
    """MAP − last level [n], as :func:`models.runtime.pressure_estimate.moved_map`."""
    weight = log_weights.exp()
    slope = torch.linalg.solve(seen.scatter + torch.diag(weight), seen.product + weight * slopes * seen.known)
    a, b, c = (seen.knots @ moves.T).T
    step = (slope * seen.step).sum(1).clamp(-LARGEST_MOVE_MMHG, LARGEST_MOVE_MMHG)
    line = (seen.offset + (slope * seen.apart).sum(1)).clamp(-LARGEST_MOVE_MMHG, LARGEST_MOVE_MMHG)
    total: Tensor = a * seen.reversion + b * step + c * line
    return total.clamp(-LARGEST_MOVE_MMHG, LARGEST_MOVE_MMHG)
