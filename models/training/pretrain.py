"""DP-NeuroNet pre-training of one modality encoder (NeuroNet, arXiv 2404.17585; PhysioME, arXiv 2510.11110).

Two augmented views through shared weights, two maskings of each:
L = ½ Σ_views (rec_a + rec_b) + ½ Σ_views NTXent(two maskings of one view) + NTXent(view 1, view 2).
The reconstruction target (frame features) is detached. At demo scale, where minutes replace days, a linear read-out of
simple physiology (level, spread, band powers a frame) is added so that the frozen features hold what heads need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.batches.chance import device_of, step_random
from models.networks.encoder import ModalityEncoder
from models.networks.transformer import Transformer, key_bias, sincos_positions
from models.objectives import negative_weights, nt_xent, token_loss
from models.physiome import PhysioME
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.sizes import Row

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.config import PretrainConfig

Indices = npt.NDArray[np.intp]

_BANDS_HZ = ((0.6, 2.5), (2.5, 5.0), (5.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 47.0))
FRAME_READOUTS = 3 + len(_BANDS_HZ)
_GAIN: dict[Row, float] = {Modality.ECG: 0.2, Modality.ABP: 0.0, Modality.PPG: 0.2}
_NOISE: dict[Row, float] = {Modality.ECG: 0.03, Modality.ABP: 0.02, Modality.PPG: 0.05}
_GAIN_EEG, _NOISE_EEG = 0.1, 0.03  # of an EEG, whichever lead, and of an EOG
_READOUT_SAMPLE, _STOP_WINDOWS = 256, 256


def augment(x: Tensor, modality: Row, generator: torch.Generator | None) -> Tensor:
    """One view of scaled windows [B, L], drawn a sample: gain, offset, slow wander, noise. No stretch (it changes the
    heart rate) and no time shift (10 ms are worth 3 mmHg of pulse delay)."""
    batch, length = x.shape

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=x.device)

    gain = torch.exp(_GAIN.get(modality, _GAIN_EEG) * draw(batch, 1).clamp(-2, 2))
    time = torch.linspace(0.0, 1.0, length, device=x.device)
    wander = 0.1 * draw(batch, 1) * torch.sin(2 * torch.pi * (6 * draw(batch, 1).abs() * time + draw(batch, 1)))
    if modality is Modality.ABP:
        wander = 0.1 * wander  # pressure level is the message
    noise = _NOISE.get(modality, _NOISE_EEG) * draw(batch, 1).abs() * draw(batch, length)
    return gain * x + wander + noise


def frame_readouts(x: Tensor, frame_samples: int, step_samples: int, rate_hz: int) -> Tensor:
    """Scaled windows [B, L] -> [B, N, R]: mean, log spread, log peak-to-peak, log band powers of each frame."""
    parts = x.unfold(-1, frame_samples, step_samples)
    mean = parts.mean(-1)
    centred = parts - mean.unsqueeze(-1)
    size = parts.amax(-1) - parts.amin(-1)
    length = parts.shape[-1]
    window = torch.hann_window(length, device=x.device)
    power = torch.fft.rfft(centred * window).abs().square() / length
    hertz = np.fft.rfftfreq(length, 1.0 / rate_hz)
    bands = [power[..., slice(*np.searchsorted(hertz, band))].mean(-1) for band in _BANDS_HZ]
    log = [torch.log10(v + 1e-5) for v in (centred.square().mean(-1), size, *bands)]
    return torch.stack([mean, *log], dim=-1)


def projector(width: int, out: int) -> nn.Sequential:
    """Two layers from an encoder's token to the space of the contrast."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, out))


class DPNeuroNet(nn.Module):
    """Wraps a modality encoder with what only pre-training needs: decoder, two separate projectors, read-out."""

    positions: Tensor

    def __init__(
        self, encoder: ModalityEncoder, modality: Row, rate_hz: int, heads: int, mask_ratio: float,
        decoder_width: int | None = None, decoder_depth: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        width = encoder.width
        inner = width if decoder_width is None else decoder_width
        self.encoder, self.modality, self.rate_hz = encoder, modality, rate_hz
        self.kept = max(1, round(encoder.frames * (1.0 - mask_ratio)))  # int(20 · 0.2) would be 3, not 4
        self.mask_token = nn.Parameter(torch.randn(1, 1, inner) * 0.02)
        self.register_buffer("positions", sincos_positions(encoder.frames, inner)[None], persistent=False)
        self.enter = nn.Linear(width, inner)
        self.decoder = Transformer(inner, heads, decoder_depth)
        self.predict = nn.Linear(inner, width)
        self.project_masks = projector(width, width)
        self.project_views = projector(width, width)
        self.readout = nn.Linear(width, FRAME_READOUTS)
        self.register_buffer("readout_mean", torch.zeros(FRAME_READOUTS))
        self.register_buffer("readout_scale", torch.ones(FRAME_READOUTS))

    def _physiology(self, x: Tensor) -> Tensor:
        return frame_readouts(x, self.encoder.frame_samples, self.encoder.step_samples, self.rate_hz)

    def fit_readout(self, x: Tensor) -> None:
        """Standardises the read-out by a sample of scaled windows [B, L]."""
        values = self._physiology(x).flatten(0, 1)
        self.readout_mean = values.mean(0)
        self.readout_scale = values.std(0) + 1e-3

    def _keep(self, batch: int, generator: torch.Generator | None) -> Tensor:
        """bool [B, N] with exactly ``kept`` True a row, drawn a sample."""
        order = torch.rand(batch, self.encoder.frames, generator=generator, device=self.positions.device).argsort(-1)
        return order < self.kept

    def _reconstruct(self, tokens: Tensor, features: Tensor, keep: Tensor) -> Tensor:
        x = torch.where(keep.unsqueeze(-1), self.enter(tokens), self.mask_token) + self.positions
        out = self.predict(self.decoder(x, key_bias(torch.ones_like(keep))))
        return token_loss(out, features, ~keep)

    def loss(
        self, x: Tensor, temperature: float, readout_weight: float, generator: torch.Generator | None,
        log_weight: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Scaled complete windows [B, L] -> named losses and their ``total``; ``log_weight`` [B, B] of the negatives
        (:func:`models.objectives.negative_weights`)."""
        batch = x.shape[0]
        reconstruction, masks, views = [], [], []
        readout = x.new_zeros(())
        for view in range(2):
            sample = augment(x, self.modality, generator)
            features = self.encoder.features(sample)
            summaries = []
            for _ in range(2):
                keep = self._keep(batch, generator)
                tokens, cls = self.encoder(features, keep)
                reconstruction.append(self._reconstruct(tokens, features, keep))
                summaries.append(cls)
            first, second = (self.project_masks(c) for c in summaries)
            masks.append(nt_xent(first, second, temperature, log_weight=log_weight))
            views.append(self.project_views(summaries[0]))
            if view == 0 and readout_weight:
                tokens, _ = self.encoder(features, torch.ones_like(keep))
                target = (self._physiology(sample) - self.readout_mean) / self.readout_scale
                readout = (self.readout(tokens) - target).square().mean()
        parts = {
            "reconstruction": 0.5 * torch.stack(reconstruction).sum(),
            "maskings": 0.5 * torch.stack(masks).sum(),
            "views": nt_xent(views[0], views[1], temperature, log_weight=log_weight),
            "readout": readout_weight * readout,
        }
        parts["total"] = torch.stack(list(parts.values())).sum()
        return parts


@dataclass(frozen=True)
class Pool:
    """Windows that are known throughout in some modalities, and these: rows [W] for training, for early stopping."""

    modalities: tuple[int, ...]
    rows: Indices
    stop_rows: Indices


def pools(train: Group, stop: Group, batch: int) -> list[Pool]:
    """Of every modality the windows that know it throughout; modalities of the same windows are drawn together, as all
    of a simulated patient's are.

    Raises BadInput for a modality that too few windows know: its encoder would learn nothing.
    """
    found: dict[bytes, Pool] = {}
    for m, modality in enumerate(train.config.modalities):
        rows, stop_rows = (np.flatnonzero(group.known[:, m].all(-1)) for group in (train, stop))
        for known, least, whose in ((rows, batch, "training"), (stop_rows, 2, "early stopping")):
            if len(known) < least:
                raise BadInput(
                    f"at least {least} windows for {whose} that know their {modality} throughout", str(len(known)),
                    f"prepare recordings with {modality}, or choose a size without it",
                )  # fmt: skip
        key = rows.tobytes() + b"/" + stop_rows.tobytes()
        before = found[key].modalities if key in found else ()
        found[key] = Pool((*before, m), rows, stop_rows)
    return list(found.values())


class PretrainStage:
    """DP-NeuroNet of every modality encoder at once, each on windows that are complete in its own modality, whatever
    else they lack; the encoders of ``model`` are trained.

    Raises BadInput where fewer windows than a batch are complete in a modality.
    """

    name = "pretrain"

    def __init__(self, model: PhysioME, train: Group, stop: Group, settings: PretrainConfig, seed: int = 0) -> None:
        self.model, self.settings, self.seed = model, settings, seed
        self._train, self._stop = train, stop
        self._pools = pools(train, stop, settings.batch)
        c = model.config
        torch.manual_seed(seed)
        nets = []
        for encoder, modality in zip(model.encoders, c.modalities, strict=True):
            assert isinstance(encoder, ModalityEncoder)
            nets.append(
                DPNeuroNet(
                    encoder, modality, c.rate_hz, c.heads, settings.mask_ratio, c.pretrain_width, c.pretrain_depth
                )
            )
        self.nets = nets
        self.module = nn.ModuleList(nets).to(device_of(model))
        for pool in self._pools:
            size = min(_READOUT_SAMPLE, len(pool.rows))
            sample = np.random.default_rng([seed, 0]).choice(pool.rows, size, False)
            scaled = self._scaled(train, sample)
            for m in pool.modalities:
                nets[m].fit_readout(scaled[:, m])

    def losses(self, step: int) -> dict[str, Tensor]:
        """DP-NeuroNet's losses over batches drawn for ``step``, summed over the encoders."""
        random = step_random(self.seed, self.name, step, device_of(self.model))
        found: dict[str, Tensor] = {}
        for pool in self._pools:
            rows = self._train.draw_apart(random.numpy, self.settings.batch, pool.rows)
            found |= self._losses(self._train, rows, pool.modalities, random.torch)
        return found

    def score(self) -> dict[str, float]:
        """Mean losses over fixed early-stopping windows."""
        found: dict[str, float] = {}
        for pool in self._pools:
            found |= self._score(pool)
        return {"score": sum(found.values())} | found

    def _score(self, pool: Pool) -> dict[str, float]:
        chosen = self._stop.choose(np.random.default_rng([self.seed, 99]), _STOP_WINDOWS, pool.stop_rows)
        size, sums, count = self.settings.batch, dict[str, float](), 0
        for first in range(0, len(chosen), size):
            rows = chosen[first : first + size]
            if len(rows) < 2:
                break  # a contrast needs two windows
            generator = torch.Generator(device_of(self.model)).manual_seed(self.seed * 7919 + first)
            for name, value in self._losses(self._stop, rows, pool.modalities, generator).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(rows)
            count += len(rows)
        return {name: value / count for name, value in sums.items()}

    def _scaled(self, group: Group, rows: np.ndarray) -> Tensor:
        from models.batches.features import complete_scaled

        return complete_scaled(self.model, group, rows)

    def _losses(
        self, group: Group, rows: np.ndarray, modalities: tuple[int, ...], generator: torch.Generator
    ) -> dict[str, Tensor]:
        scaled, s, found = self._scaled(group, rows), self.settings, dict[str, Tensor]()
        who = torch.from_numpy(group.dataset.patient_of[rows]), torch.from_numpy(group.labels["end_s"][rows])
        log_weight = negative_weights(*who).to(scaled.device)
        for m in modalities:
            net = self.nets[m]
            parts = net.loss(scaled[:, m], s.temperature, s.readout_weight, generator, log_weight)
            del parts["total"]
            found |= {f"{net.modality.value.lower()}_{name}": value for name, value in parts.items()}
        return found
