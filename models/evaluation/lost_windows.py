"""Windows whose sensors were lost, and what was known before the loss: the common ground of all imputers.

Encoder tokens of complete windows are computed once and kept. The *last window* of a modality is its donor
(``models.data.donors``), the latest wholly measured window that had ended when it was lost: what "hold" carries
forward, and what the token memory of restoration and SelfMask is the mean of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.batches.group import Group, Losses
from models.evaluation.delay_regression import delay_regression
from models.physiome import Fused, PhysioME
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

BATCH = 128
EARLIEST_S = 660  # a loss up to ten minutes ago still has a minute of measurement before it


class TokenBank:
    """Encoder tokens [M, N, d] of the complete windows of a group, encoded when first asked for."""

    def __init__(self, model: PhysioME, group: Group) -> None:
        self.model, self.group = model, group
        self._place = np.full(len(group), -1)
        c = model.config
        self._tokens = torch.empty(0, len(c.modalities), c.frames, c.width)

    @torch.no_grad()
    def __call__(self, rows: Indices) -> Tensor:
        """[len(rows), M, N, d]"""
        new = np.unique(rows[self._place[rows] < 0])
        parts = [self._tokens]
        for first in range(0, len(new), BATCH):
            features = features_of(self.group, new[first : first + BATCH])
            parts.append(self.model.encode(features, torch.ones(features.shape[:3], dtype=torch.bool)))
        self._place[new] = np.arange(len(self._tokens), len(self._tokens) + len(new))
        self._tokens = torch.cat(parts)
        return self._tokens[torch.from_numpy(self._place[rows])]


@dataclass(frozen=True)
class LostWindows:
    """A batch of windows with sensors lost; what lies under the mask may be anything.

    features [B, M, N, d] frame features, presence bool [B, M, N], context [B, M, C]; before [B, M, N, d] tokens of the
    last window of each modality (``fallback`` where there is none) and its row in the group [B, M], -1 for none.
    ``complete`` [B, M, N, d] is for the oracle and for scoring only.
    """

    rows: Indices
    features: Tensor
    presence: Tensor
    context: Tensor
    before: Tensor
    before_row: Indices
    complete: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def memory(self) -> Tensor:
        """Mean token of the last window of each modality [B, M, d], NaN where there is none: what the engine has."""
        has = torch.from_numpy(self.before_row >= 0).unsqueeze(-1)
        mean = self.before.mean(2)
        return torch.where(has, mean, torch.full_like(mean, float("nan")))

    def part(self, a: int, b: int) -> LostWindows:
        """Windows ``a`` to ``b`` - 1."""
        return LostWindows(*(getattr(self, name)[a:b] for name in self.__dataclass_fields__))


def bedside(model: PhysioME) -> tuple[Modality, ...]:
    """The model's modalities, which are bedside ones here."""
    return tuple(m for m in model.config.modalities if isinstance(m, Modality))


def features_of(group: Group, rows: Indices) -> Tensor:
    """Cached frame features [B, M, N, d], whether they lie in memory or are mapped from disk."""
    if group.features is None:
        raise RuntimeError("cache the frame features first")
    if isinstance(group.features, Tensor):
        return group.features[torch.from_numpy(rows)].float()
    return torch.from_numpy(np.asarray(group.features[rows], np.float32))


def lose(group: Group, bank: TokenBank, rows: Indices, ages_s: Floats, fallback: Tensor,
         lost: Losses | None = None) -> LostWindows:  # fmt: skip
    """Windows ``rows`` whose modalities were lost ``ages_s`` [B, M] before their end (0 not lost, inf never measured).

    fallback [M, N, d]: tokens of a modality without a last window. ``lost``: presence and context, if they are not
    those of ``ages_s`` alone (frames lost here and there).
    """
    lost = group.lost(rows, ages_s) if lost is None else lost
    before_row = group.donors_before(rows, ages_s, lost.presence)
    used = np.unique(before_row[before_row >= 0])
    held = fallback[None].expand(len(rows), *fallback.shape).clone()
    if len(used):
        tokens = bank(used)
        for m in range(before_row.shape[1]):
            has = np.flatnonzero(before_row[:, m] >= 0)
            held[torch.from_numpy(has), m] = tokens[torch.from_numpy(np.searchsorted(used, before_row[has, m])), m]
    return LostWindows(
        rows, features_of(group, rows), torch.from_numpy(lost.presence), torch.from_numpy(lost.context),
        held, before_row, bank(rows),
    )  # fmt: skip


def usable_rows(group: Group, count: int, seed: int, earliest_s: int = EARLIEST_S) -> Indices:
    """At most ``count`` windows that were wholly measured, the same number of each patient where there are enough, in
    order of patient and time."""
    good = group.presence.all((1, 2)) & (group.labels["end_s"] >= earliest_s)
    patient = group.dataset.patient_of
    rng = np.random.default_rng([seed, 5])
    order = rng.permutation(np.flatnonzero(good))
    rank = np.zeros(len(order), np.int64)  # how many of the same patient come before
    for p in np.unique(patient[order]):
        mine = np.flatnonzero(patient[order] == p)
        rank[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(rank, kind="stable")][:count])


@torch.no_grad()
def first_pass(model: PhysioME, lost: LostWindows) -> tuple[Fused, Tensor]:
    """State after pass 1 and the context embedding [B, d]; the same for every imputer."""
    tokens = model.encode(lost.features, lost.presence)
    _, embedded = model.context(lost.context, lost.presence)
    return model.pass_one(tokens, lost.presence, embedded, lost.memory), embedded


@torch.no_grad()
def second_pass(model: PhysioME, state: Fused, embedded: Tensor, imputed: Tensor | None) -> Tensor:
    """The representation that heads read: fused [d], mean slots [M d] and newest slots [M d]; [B, (1 + 2 M) d]."""
    fused, slots = model.pass_two(state.tokens, imputed, state.presence, embedded)
    return torch.cat([fused, read_slots(slots)], dim=-1)


def read_slots(slots: Tensor) -> Tensor:
    """Of each modality the mean slot and the newest: [B, M, N, d] -> [B, 2 M d]."""
    return torch.cat([slots.mean(2).flatten(1), slots[:, :, -1].flatten(1)], dim=-1)


def anchored_pressure(context: Tensor, modalities: tuple[Modality, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """MAP by hold, MAP by the delay regression anchored at the loss, and the pulse pressure then; [B] mmHg, NaN where
    never measured. context [B, M, C]."""
    row, ppg = context[:, modalities.index(Modality.ABP)], context[:, modalities.index(Modality.PPG)]
    moved = torch.from_numpy(delay_regression(row.cpu().numpy(), ppg.cpu().numpy())).to(row)
    return row[:, _C["level"]], moved, row[:, _C["scale"]]
