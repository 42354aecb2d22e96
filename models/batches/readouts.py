"""What a restored token has to say: linear read-outs of simple physiology, held against restored tokens.

Most of a token's variance is who the patient is, so a distance in token space weighs the wrong things: restored ABP
tokens explained half of the true ones' variance while a probe read the mean pressure from them 5.9 mmHg off (1.4 from
true ones). A read-out W learns from true tokens what they say of a quantity and is frozen where it judges restored:

    L_fit = ‖W sg(z) + b − y‖²      over known frames, trains W and b alone
    L_readout = ‖sg(W) ẑ + sg(b) − y‖²      over lost frames, trains what made ẑ

The quantities are in ``READ``. The R-to-pleth delay is none of them: no single sensor's token knows both ends of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import objectives
from models.batches.batch import Batch
from models.data.labels import heart_rate
from models.physiome import PhysioME
from models.signals.modalities import Modality
from models.sizes import Row


@dataclass(frozen=True, slots=True)
class Quantity:
    """Centre and spread that bring a quantity about zero and to unit size."""

    name: str
    unit: str
    centre: float
    spread: float


MAP = Quantity("MAP", "mmHg", 80.0, 15.0)
PULSE_PRESSURE = Quantity("pulse pressure", "mmHg", 50.0, 15.0)
HEART_RATE = Quantity("heart rate", "/min", 75.0, 15.0)
SPECTRAL_EDGE = Quantity("spectral edge", "Hz", 15.0, 5.0)
READ: dict[Row, tuple[Quantity, ...]] = {
    Modality.ECG: (HEART_RATE,),
    Modality.ABP: (MAP, PULSE_PRESSURE, HEART_RATE),
    Modality.PPG: (HEART_RATE,),
    Modality.EEG: (SPECTRAL_EDGE,),
}
_SPECTRAL_EDGE_AT = 5  # of ``Batch.eeg``
_RIDGE = 1e-2


class TokenReadouts(nn.Module):
    """A linear read-out of the quantities of each row of ``READ``; a row without any has none."""

    def __init__(self, rows: Sequence[Row], width: int) -> None:
        super().__init__()
        self.quantities = [READ.get(row, ()) for row in rows]
        self.heads = nn.ModuleList(nn.Linear(width, len(found)) for found in self.quantities)

    def fit_loss(self, tokens: Tensor, truth: list[Tensor], known: Tensor) -> Tensor:
        """L_fit of true tokens [B, M, N, d], which carry no gradient; truth as of :func:`truths`; known [B, M, N]."""
        return self._error(tokens.detach(), truth, known, frozen=False)

    def restored_loss(self, restored: Tensor, truth: list[Tensor], lost: Tensor) -> Tensor:
        """L_readout of restored tokens [B, M, N, d] over the ``lost`` slots bool [B, M, N]."""
        return self._error(restored, truth, lost, frozen=True)

    def read(self, row: int, tokens: Tensor, frozen: bool = True) -> Tensor:
        """Standardised quantities [..., Q] that tokens [..., d] of a row say."""
        head = self.heads[row]
        assert isinstance(head, nn.Linear)
        weight, bias = (head.weight.detach(), head.bias.detach()) if frozen else (head.weight, head.bias)
        return nn.functional.linear(tokens, weight, bias)

    @torch.no_grad()
    def solve(self, tokens: Tensor, truth: list[Tensor], known: Tensor) -> None:
        """Sets the read-outs to the ridge solution of these tokens: where a stage begins."""
        for m, quantities in enumerate(self.quantities):
            head = self.heads[m]
            assert isinstance(head, nn.Linear)
            for q in range(len(quantities)):
                y = truth[m][..., q]
                use = known[:, m] & (y == y)
                if use.sum() < tokens.shape[-1]:
                    continue
                x, goal = tokens[:, m][use].double(), y[use].double()
                mean, offset = x.mean(0), goal.mean()
                scatter = (x - mean).T @ (x - mean) / len(x)
                penalty = _RIDGE * scatter.diagonal().mean() * torch.eye(len(mean), dtype=x.dtype, device=x.device)
                weight = torch.linalg.solve(scatter + penalty, (x - mean).T @ (goal - offset) / len(x))
                head.weight[q] = weight.to(head.weight.dtype)
                head.bias[q] = (offset - weight @ mean).to(head.bias.dtype)

    def _error(self, tokens: Tensor, truth: list[Tensor], mask: Tensor, frozen: bool) -> Tensor:
        """Mean over the quantities of all rows of the mean squared error in units of their spread."""
        each = []
        for m, quantities in enumerate(self.quantities):
            if quantities:
                goal = truth[m]
                error = (self.read(m, tokens[:, m], frozen) - torch.nan_to_num(goal)).square()
                counts = mask[:, m].unsqueeze(-1) & (goal == goal)
                each += [objectives.masked_mean(error[..., q], counts[..., q]) for q in range(len(quantities))]
        return torch.stack(each).mean()


def solved(model: PhysioME, batches: Iterable[Batch]) -> TokenReadouts:
    """Read-outs of the true tokens of these batches by the model as it is, which stay as they are."""
    rows = model.config.modalities
    with torch.no_grad():
        found = [(model.encode(b.features, b.known), truths(b, rows), b.known) for b in batches]
    tokens, truth, known = zip(*found, strict=True)
    readouts = TokenReadouts(rows, model.config.width).to(tokens[0].device)
    readouts.solve(torch.cat(tokens), [torch.cat(row) for row in zip(*truth, strict=True)], torch.cat(known))
    return readouts.requires_grad_(False)


def truths(batch: Batch, rows: Sequence[Row]) -> list[Tensor]:
    """The true standardised quantities of each row, [B, N, Q]; NaN where not known. Pressures are of the frame, rate
    and spectral edge of the window."""
    frames = batch.presence.shape[-1]
    pressures, rate = batch.pressures, torch.from_numpy(heart_rate(batch.r_times.cpu().numpy()))
    found = {
        MAP: pressures[..., 0],
        PULSE_PRESSURE: pressures[..., 1] - pressures[..., 2],
        HEART_RATE: rate.to(pressures)[:, None].expand(-1, frames),
        SPECTRAL_EDGE: batch.eeg[:, _SPECTRAL_EDGE_AT, None].expand(-1, frames),
    }
    empty = pressures.new_zeros(*pressures.shape[:2], 0)
    return [
        torch.stack([(found[q] - q.centre) / q.spread for q in READ[row]], dim=-1) if READ.get(row) else empty
        for row in rows
    ]
