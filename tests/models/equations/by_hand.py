"""The losses once more, in numpy and loops, from the papers (``models.objectives`` names them) and not from the code.

Slow and plain on purpose: what a loss is must be readable here. Arrays are float64; B windows, M modalities, N frames,
d token width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def mean_where(values: Floats, mask: Bools) -> float:
    """Mean of what is in the mask, 0 where nothing is."""
    kept = [float(v) for v, use in zip(values.ravel(), mask.ravel(), strict=True) if use]
    return sum(kept) / len(kept) if kept else 0.0


# -- tokens -----------------------------------------------------------------------------------------------------------


def variance(tokens: Floats, known: Bools | None = None) -> float:
    """Of the known tokens [..., d] of a batch: that of each dimension, averaged over the dimensions (and never 0)."""
    flat = tokens.reshape(-1, tokens.shape[-1]) if known is None else tokens[known]
    return float(np.mean([np.mean((column - column.mean()) ** 2) for column in flat.T])) + 1e-4


def token_error(predicted: Floats, target: Floats, mask: Bools, known: Bools | None = None) -> float:
    """Mean over the slots in the mask of the mean squared error a dimension, in units of the target's variance."""
    errors = ((predicted - target) ** 2).mean(-1)
    return mean_where(errors, mask) / variance(target, known)


def by_modality(predicted: Floats, target: Floats, mask: Bools, known: Bools) -> float:
    """:func:`token_error` of each modality [B, N, d], averaged: L_intra and L_missing."""
    each = [token_error(predicted[:, m], target[:, m], mask[:, m], known[:, m]) for m in range(target.shape[1])]
    return sum(each) / len(each)


def hidden_error(predicted: Floats, target: Floats, mask: Bools, complete: Floats, known: Bools) -> float:
    """SelfMask: (1 / K d) ‖(Ẑ − Z) ⊙ M‖² of each window, in units of each modality's variance; mean over windows."""
    scale = [variance(complete[:, m], known[:, m]) for m in range(complete.shape[1])]
    windows = []
    for b in range(len(mask)):
        hidden = np.argwhere(mask[b])
        if len(hidden):
            errors = [((predicted[b, m, n] - target[b, m, n]) ** 2).mean() / scale[m] for m, n in hidden]
            windows.append(sum(errors) / len(errors))
    return sum(windows) / len(windows) if windows else 0.0


def highest(scores: Floats, observed: Bools, share: float) -> Bools:
    """M = TopK(σ): the ⌈share · T⌉ highest scores of the T observed slots of each sensor of each window."""
    mask = np.zeros_like(observed)
    for b in range(len(scores)):
        for m in range(scores.shape[1]):
            slots = np.flatnonzero(observed[b, m]).tolist()
            slots.sort(key=lambda n: -scores[b, m, n])
            mask[b, m, slots[: math.ceil(share * len(slots) - 1e-6)]] = True
    return mask


# -- contrasts --------------------------------------------------------------------------------------------------------


def unit(vector: Floats) -> Floats:
    """The vector at length 1."""
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def negatives(patient: Sequence[int], end_s: Sequence[float], apart_s: float = 60.0) -> Floats:
    """How much window j counts as a negative of i [B, B]: not at all where it is of the same patient and near; else
    own and other windows half each, together as much as there are; 1 on the diagonal."""
    count = len(patient)
    weight = np.eye(count)
    for i in range(count):
        own = [j for j in range(count) if j != i and patient[j] == patient[i] and abs(end_s[j] - end_s[i]) >= apart_s]
        other = [j for j in range(count) if patient[j] != patient[i]]
        kinds = [kind for kind in (own, other) if kind]
        for kind in kinds:
            weight[i, kind] = (len(own) + len(other)) / len(kinds) / len(kind)
    return weight


def nt_xent(
    a: Floats, b: Floats, temperature: float, valid: Bools | None = None, weight: Floats | None = None
) -> float:
    """NT-Xent (arXiv 2002.05709, equation 1), negatives weighted, pairs that are not valid left out altogether."""
    count = len(a)
    views = [unit(v) for v in np.concatenate([a, b])]
    use = [i for i in range(2 * count) if valid is None or valid[i % count]]
    terms = []
    for i in use:
        partner = (i + count) % (2 * count)
        shares = {}
        for j in use:
            if j == i:
                continue
            scale = 1.0 if weight is None or j == partner else weight[i % count, j % count]
            shares[j] = scale * math.exp(float(views[i] @ views[j]) / temperature)
        terms.append(-math.log(shares[partner] / sum(shares.values())))
    return sum(terms) / len(terms) if terms else 0.0


def contrast_with_fused(
    tokens: Floats, slots: Floats, mask: Bools, project: Callable[[int, Floats], Floats], temperature: float,
    weight: Floats | None = None,
) -> float:  # fmt: skip
    """L_contra: each modality's mean token against the fused mean token, over the slots in the mask [B, M, N].
    ``project`` of modality m, or of the fused side (−1), [B, d] -> [B, p]."""
    batch, modalities = mask.shape[:2]
    zero = np.zeros(tokens.shape[-1])
    fused = np.stack([slots[b][mask[b]].mean(0) if mask[b].any() else zero for b in range(batch)])
    losses = []
    for m in range(modalities):
        some = mask[:, m].any(-1)
        mean = np.stack([tokens[b, m][mask[b, m]].mean(0) if some[b] else zero for b in range(batch)])
        losses.append(nt_xent(project(m, mean), project(-1, fused), temperature, some, weight))
    return sum(losses) / len(losses)


def leave_one_out(x: Floats, present: Bools, temperature: float, weight: Floats) -> float:
    """SleepFM (arXiv 2405.17766): modality k of each window against the mean of its other ones, and back; over k.
    x [B, M, P], present bool [B, M]; windows without k, or without any other, do not take part in k."""
    terms = []
    for k in range(x.shape[1]):
        own, rest = {}, {}
        for b in range(len(x)):
            others = [unit(x[b, m]) for m in range(x.shape[1]) if m != k and present[b, m]]
            if present[b, k] and others:
                own[b], rest[b] = unit(x[b, k]), unit(np.sum(others, axis=0))
        for anchor, other in ((own, rest), (rest, own)):
            losses = []
            for i in own:
                shares = {j: weight[i, j] * math.exp(float(anchor[i] @ other[j]) / temperature) for j in own}
                losses.append(-math.log(shares[i] / sum(shares.values())))
            terms.append(sum(losses) / len(losses) if losses else 0.0)
    return sum(terms) / len(terms)


def info_nce(student: Floats, teacher: Floats, scale: float, valid: Bools, weight: Floats, smoothing: float) -> float:
    """PaCX's L_C for one teacher: cross-entropy of each valid window with its partner both ways, the label smoothed
    evenly over the valid pairs that are not banned (weight 0)."""
    terms = []
    for one, other in ((student, teacher), (teacher, student)):
        for i in range(len(one)):
            if not valid[i]:
                continue
            pairs = [j for j in range(len(one)) if valid[j] and weight[i, j] > 0]
            shares = [weight[i, j] * math.exp(scale * float(unit(one[i]) @ unit(other[j]))) for j in pairs]
            logs = [math.log(share / sum(shares)) for share in shares]
            terms.append(-(1 - smoothing) * logs[pairs.index(i)] - smoothing * sum(logs) / len(logs))
    return sum(terms) / len(terms) if terms else 0.0


def half_cosine(predicted: Floats, target: Floats, valid: Bools) -> float:
    """PaCX's L_R for one teacher: ½ (1 − cos), over the valid windows."""
    values = np.array([0.5 * (1.0 - unit(p) @ unit(t)) for p, t in zip(predicted, target, strict=True)])
    return mean_where(values, valid)


# -- heads ------------------------------------------------------------------------------------------------------------


def pinball(predicted: Floats, target: Floats, mask: Bools) -> float:
    """Koenker & Bassett 1978 at 10, 50 and 90 %: an under-estimate costs the level, an over-estimate the rest."""
    total = np.zeros(target.shape)
    for i, level in enumerate((0.1, 0.5, 0.9)):
        error = target - predicted[..., i]
        total += np.where(error >= 0, level * error, (level - 1.0) * error)
    return mean_where(total, mask)


def hazards(logits: Floats, labels: Floats, weights: Floats) -> float:
    """−log likelihood of the first event's interval: [B, K, H] logits, cumulative labels [B, H], weights [B, K]."""
    total, count = 0.0, 0.0
    for b in range(len(labels)):
        for j, label in enumerate(labels[b]):
            if math.isnan(label):
                break
            for k in range(logits.shape[1]):
                p = 1.0 / (1.0 + math.exp(-logits[b, k, j]))
                total -= weights[b, k] * math.log(p if label else 1.0 - p)
                count += weights[b, k]
            if label:
                break
    return total / max(count, 1.0)


def huber(error: float, size: float) -> float:
    """Quadratic within ``size``, linear beyond."""
    return 0.5 * error**2 / size if abs(error) < size else abs(error) - 0.5 * size


def wave(predicted: Floats, target: Floats, weight: Floats, smooth: float) -> float:
    """Huber loss of the samples, and four times that of the steps whose both ends count (the smaller weight)."""
    parts = []
    for order, size in ((0, smooth), (1, 0.5 * smooth)):
        total, count = 0.0, 0.0
        for p, t, w in zip(predicted, target, weight, strict=True):
            for i in range(order, len(p)):
                share = min(w[i], w[i - order])
                error = p[i] - t[i] if order == 0 else (p[i] - p[i - 1]) - (t[i] - t[i - 1])
                total, count = total + share * huber(error, size), count + share
        parts.append(total / max(count, 1.0))
    return parts[0] + 4.0 * parts[1]
