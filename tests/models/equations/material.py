"""A tiny model, batches in which everything differs from everything else, and groups that say which windows they gave.

What the losses mix up must not be equal by chance: sensors are lost and truth is unknown here and there, patients come
several times, labels have gaps, and all random layers are shaken.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.batches.batch import Batch
from models.batches.group import Group, Losses
from models.data.missingness import LossPlan
from models.networks.heads import ENSEMBLE
from models.physiome import PhysioME
from models.signals.windows import CONTEXT_FIELDS
from models.sizes import SIZES

torch.set_num_threads(1)

M, N = 4, 5  # as many frames as sensors would hide a mixed-up axis
TINY = replace(
    SIZES["ci"], frames=N, width=16, heads=2, decoder_width=16, channels=(4, 4), wave_channels=4, pretrain_width=16,
    selfmask_width=16, selfmask_heads=2, selfmask_dropout=0.1,
)  # fmt: skip


def array(x: Tensor) -> npt.NDArray[np.float64]:
    """Values without gradient, float64 (bool stays bool)."""
    values = x.detach().numpy()
    return values if values.dtype == np.bool_ else values.astype(np.float64)


def tiny_model(seed: int = 0, memory: bool = False) -> PhysioME:
    """Random weights; layers that begin at zero, and statistics that begin at one, are shaken."""
    torch.manual_seed(seed)
    model = PhysioME(TINY)
    if memory:
        model.add_memory()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d) and module.running_mean is not None:
                module.running_mean.normal_(std=0.1)
    return model.eval()


def batch_of(size: int = 6, seed: int = 0, **given: Tensor) -> Batch:
    """Windows of three patients: sensors lost, truth unknown, labels missing; ``given`` replaces fields."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(size, *shape, generator=generator)

    def chance(*shape: int) -> Tensor:
        return torch.rand(size, *shape, generator=generator)

    known = chance(M, N) > 0.15
    presence = known & (chance(M, 1) > 0.35) & (chance(M, N) > 0.15)
    presence[0] = known[0] = True  # one window lost nothing
    pressures = 80.0 + 10.0 * noise(N, 3)
    pressures[chance(N) < 0.2] = torch.nan
    depth = 50.0 + 10.0 * noise()
    depth[1] = torch.nan
    eeg = noise(7)
    eeg[2, :3] = torch.nan
    hypotension = (chance(3) < 0.4).float().cummax(1).values
    hypotension[3, 1:] = torch.nan
    hypotension[4] = torch.nan
    values = {
        "signals": noise(M, TINY.samples) * torch.tensor([1.0, 20.0, 1.0, 30.0])[:, None],
        "features": noise(M, N, TINY.width), "presence": presence, "known": known, "donors": noise(M, N, TINY.width),
        "remembered": chance(M) > 0.3, "context": noise(M, len(CONTEXT_FIELDS)), "pressures": pressures,
        "r_times": chance(5).sort(1).values * TINY.window_s, "eeg": eeg, "depth": depth, "hypotension": hypotension,
        "stage": torch.full((size,), -1), "bootstrap": torch.poisson(torch.ones(size, ENSEMBLE), generator=generator),
        "patient": torch.arange(size) % 3, "end_s": torch.arange(size) * 17 + 40,
    }  # fmt: skip
    assert set(values) == {f.name for f in fields(Batch)}
    return Batch(**values | given)


@dataclass
class FakeGroup:
    """A group of ready-made windows: batches are rows of one big batch. ``seen`` counts the windows it gave, ``plans``
    are those by which it lost sensors."""

    windows: Batch
    seen: int = 0
    plans: list[LossPlan] = field(default_factory=list)
    recorded_share: float | None = None
    config = TINY
    draw_rows, draw_apart, choose, _parts = Group.draw_rows, Group.draw_apart, Group.choose, Group._parts

    def __post_init__(self) -> None:
        self.labels = {"end_s": self.windows.end_s.numpy()}
        self.dataset = self
        self.known, self.presence = self.windows.known.numpy(), self.windows.presence.numpy()
        self.recorded = np.zeros(len(self), np.bool_)

    @property
    def patient_of(self) -> npt.NDArray[np.intp]:
        """Patient of each window, as of a dataset."""
        return self.windows.patient.numpy().astype(np.intp)

    def __len__(self) -> int:
        return len(self.windows.presence)

    def draw(self, rng: np.random.Generator, rows: npt.NDArray[np.intp], plan: LossPlan) -> Losses:
        """The windows' own losses, and others by chance."""
        self.plans.append(plan)
        chance = rng.random((len(rows), M, N)) < 0.8
        return Losses(self.windows.presence.numpy()[rows] & chance, self.windows.context.numpy()[rows])

    def batch(self, rows: npt.NDArray[np.intp], lost: Losses, signal_rows: int | None = None) -> Batch:
        """Rows of the big batch under these losses."""
        self.seen += len(rows)
        at = torch.from_numpy(np.asarray(rows))
        picked = Batch(*(getattr(self.windows, f.name)[at] for f in fields(Batch)))
        return replace(picked, presence=torch.from_numpy(lost.presence), context=torch.from_numpy(lost.context))


def groups(windows: int = 24) -> tuple[FakeGroup, FakeGroup]:
    """Two groups without a window in common: training and early stopping."""
    return FakeGroup(batch_of(windows, 1)), FakeGroup(batch_of(windows, 2))


def gradients(loss: Tensor, module: nn.Module) -> set[str]:
    """Names of the parameters that a loss moves; gradients are cleared before."""
    module.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {name for name, p in module.named_parameters() if p.grad is not None and bool(p.grad.any())}
