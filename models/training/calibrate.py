"""Calibration on patients of their own: risk temperature by missing share, conformal widening by missing and age."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Group
from models.batches.predict import predict
from models.data.missingness import LossPlan
from models.physiome import PhysioME
from models.runtime.calibration import AGE_EDGES_S, LEVEL, MISSING_EDGES
from models.runtime.spec import Conformal
from models.signals.modalities import Modality

_LEAST_WINDOWS = 40

Floats = npt.NDArray[np.floating]


def fit_temperature(model: PhysioME, group: Group, seed: int) -> None:
    """Fits temperature and offsets of :class:`models.networks.heads.HypotensionHead` by the likelihood of the hazards,
    in place."""
    rng = np.random.default_rng([seed, 31])
    rows = np.arange(len(group))
    lost = group.draw(rng, rows, LossPlan())
    logits = torch.from_numpy(predict(model, group, rows, lost, ("hazard_logits",)).values["hazard_logits"])
    head = model.hypotension
    device = head.temperature.device
    logits, presence = logits.to(device), torch.from_numpy(lost.presence).to(device)
    maximise_likelihood(
        head.fitted_later,
        lambda: head.cooled(logits, presence),
        group.labels["hypotension"][rows],
        lambda: 1e-3 * (head.temperature_missing.square().sum() + head.offset_missing.square().sum()),
    )


def maximise_likelihood(
    parameters: Sequence[torch.nn.Parameter], cooled: Callable[[], torch.Tensor], labels: Floats,
    penalty: Callable[[], torch.Tensor],
) -> None:  # fmt: skip
    """Fits ``parameters`` in place by the likelihood of what is shown: the mean risk of the members, interval by
    interval. cooled: logits [W, E, 3] of the hazards by the parameters as they are; labels [W, 3], NaN where unknown.
    Nothing is fitted where no interval has an outcome."""
    truth = torch.from_numpy(np.asarray(labels, np.float32)).to(parameters[0].device)
    before = torch.cat([torch.zeros_like(truth[:, :1]), truth[:, :-1]], dim=1)
    counts = (before == 0) & (truth == truth)
    if not bool(counts.any()):
        return
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.LBFGS(parameters, max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        hazard = torch.sigmoid(cooled()).mean(1).clamp(1e-6, 1 - 1e-6)
        loss = torch.nn.functional.binary_cross_entropy(hazard[counts], truth[counts]) + penalty()
        loss.backward()
        return loss

    optimiser.step(closure)
    for parameter in parameters:
        parameter.requires_grad_(False)


def conformal_table(lo: Floats, hi: Floats, truth: Floats, missing: Floats, age_s: Floats, by_age: bool) -> Conformal:
    """Split-conformal widening of [lo, hi] to ``LEVEL`` by bins (CQR, Romano 2019), never negative.

    A bin with fewer than 40 windows takes the value of all windows of its age (or of all). Never measured counts as
    the oldest age.
    """
    known = np.isfinite(truth)
    score = np.maximum(lo - truth, truth - hi)[known]
    edges = AGE_EDGES_S if by_age else [0.0, AGE_EDGES_S[-1]]
    age_bin = np.clip(np.searchsorted(edges, np.nan_to_num(age_s, nan=1e9)[known], "right") - 1, 0, len(edges) - 2)
    missing_bin = np.clip(np.searchsorted(MISSING_EDGES, missing[known], "right") - 1, 0, len(MISSING_EDGES) - 2)
    table = []
    for i in range(len(MISSING_EDGES) - 1):
        row = []
        for j in range(len(edges) - 1):
            chosen = score[(missing_bin == i) & (age_bin == j)]
            if len(chosen) < _LEAST_WINDOWS:
                chosen = score[age_bin == j]
            if len(chosen) < _LEAST_WINDOWS:
                chosen = score
            row.append(round(max(0.0, conformal_quantile(chosen)), 3))
        table.append(row)
    return Conformal(list(MISSING_EDGES), [float(e) for e in edges], table)


def conformal_quantile(scores: Floats, level: float = LEVEL) -> float:
    """The ⌈(n + 1)·level⌉-th smallest score; 0 without any."""
    if not len(scores):
        return 0.0
    rank = min(len(scores), int(np.ceil((len(scores) + 1) * level)))
    return float(np.sort(scores)[rank - 1])


def calibrate(model: PhysioME, group: Group, seed: int) -> dict[str, Conformal]:
    """Fits the temperature in place and returns the widening of map, sbp, dbp and, with an EEG, depth."""
    fit_temperature(model, group, seed)
    rng = np.random.default_rng([seed, 32])
    rows = np.repeat(np.arange(len(group)), 2)
    lost = group.draw(rng, rows, LossPlan(complete=0.1, subset=0.6, recent=0.2, ragged=0.1))
    names = ("depth", "pressure") if model.config.has_eeg else ("pressure",)
    out = predict(model, group, rows, lost, names)
    abp = model.config.modalities.index(Modality.ABP)
    newest_absent = ~lost.presence[:, abp, -1]
    tables = {}
    for i, name in enumerate(("map", "sbp", "dbp")):
        truth = np.where(newest_absent, group.labels["pressures"][rows][:, -1, i], np.nan)
        quantiles = out.values["pressure"][:, i]
        tables[name] = conformal_table(quantiles[:, 0], quantiles[:, 2], truth, out.missing, out.age(abp), by_age=True)
    if not model.config.has_eeg:
        return tables
    eeg = model.config.modalities.index(Modality.EEG)
    enough = lost.presence[:, eeg].sum(-1) * model.config.frame_s >= 15  # the engine says "unknown" below that
    depth = np.where(enough, group.labels["depth"][rows], np.nan)
    tables["depth"] = conformal_table(
        out.values["depth"][:, 0], out.values["depth"][:, 2], depth, out.missing, out.age(eeg), by_age=False
    )
    return tables
