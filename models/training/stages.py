"""The stages of a training run on prepared data: pre-training, feature cache, PhysioME stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.data.missingness import LossPlan
from models.networks.encoder import ModalityEncoder
from models.physiome import PhysioME
from models.training import checkpoint
from models.training.config import TrainConfig
from models.training.fusion_stage import WEIGHTS, FusionStage, weighted
from models.training.logbook import CsvLog
from models.training.loop import MovingAverage, Progress, adamw, copy_of, cosine_rate, set_rate
from models.training.pretrain import DPNeuroNet
from models.training.sampling import Group

_READOUT_SAMPLE = 256
_EVALUATION_WINDOWS = 1024


def generators(seed: int, stage: int, step: int) -> tuple[torch.Generator, np.random.Generator]:
    """Randomness of one step, a function of seed, stage and step only; also seeds dropout."""
    torch.manual_seed(seed * 1_000_003 + stage * 100_003 + step)
    return torch.Generator().manual_seed(seed * 7_919 + stage * 100_003 + step), np.random.default_rng(
        [seed, stage, step]
    )


def complete_scaled(model: PhysioME, group: Group, rows: np.ndarray) -> torch.Tensor:
    """Complete windows, scaled as in the graph: [B, M, L]."""
    signals = torch.from_numpy(group.dataset.signals(rows))
    natural = group.lost(rows, np.zeros((len(rows), signals.shape[1])))
    full = torch.ones(natural.presence.shape, dtype=torch.bool)
    return model.scaling(signals, full, torch.from_numpy(natural.context))[0]


def pretrain(model: PhysioME, group: Group, config: TrainConfig, folder: Path, progress: Progress) -> None:
    """DP-NeuroNet of every modality encoder, on complete windows; the encoders of ``model`` are trained in place."""
    done = folder / "pretrained.safetensors"
    if done.is_file():
        model.encoders.load_state_dict(checkpoint.load(done).part("encoders"))
        return
    settings = config.pretrain
    torch.manual_seed(config.seed)
    nets = torch.nn.ModuleList()
    for encoder, modality in zip(model.encoders, model.config.modalities, strict=True):
        assert isinstance(encoder, ModalityEncoder)
        nets.append(DPNeuroNet(encoder, modality, model.config.rate_hz, model.config.heads, settings.mask_ratio))
    optimiser = adamw(nets, settings.rate, 0.02)
    rng = np.random.default_rng([config.seed, 0])
    sample = complete_scaled(model, group, rng.integers(0, len(group), min(_READOUT_SAMPLE, len(group))))
    for m, net in enumerate(nets):
        assert isinstance(net, DPNeuroNet)
        net.fit_readout(sample[:, m])
    start, resume = 0, folder / "pretraining.safetensors"
    if resume.is_file():
        saved = checkpoint.load(resume)
        nets.load_state_dict(saved.part("nets"))
        checkpoint.restore_optimiser(optimiser, saved.part("optimiser"))
        start = int(saved.facts["step"])
    log = CsvLog(folder / "pretrain.csv")
    nets.train()
    for step in range(start, settings.steps):
        torch_rng, rng = generators(config.seed, 1, step)
        rows = rng.integers(0, len(group), settings.batch)
        scaled = complete_scaled(model, group, rows)
        set_rate(optimiser, cosine_rate(step, settings.steps, settings.rate, 30))
        optimiser.zero_grad(set_to_none=True)
        row: dict[str, float | int | str] = {"step": step}
        for m, net in enumerate(nets):
            assert isinstance(net, DPNeuroNet)
            parts = net.loss(scaled[:, m], settings.temperature, settings.readout_weight, torch_rng)
            parts["total"].backward()
            row |= {f"{net.modality.value.lower()}_{name}": float(value.detach()) for name, value in parts.items()}
        torch.nn.utils.clip_grad_norm_(nets.parameters(), 5.0)
        optimiser.step()
        log.row(row)
        progress("encoders", step + 1, settings.steps)
        if (step + 1) % 100 == 0:
            parts_to_save = {"nets": nets.state_dict(), "optimiser": checkpoint.optimiser_state(optimiser)}
            checkpoint.save(resume, parts_to_save, {"step": step + 1})
    checkpoint.save(done, {"encoders": model.encoders.state_dict()}, {"fingerprint": config.fingerprint})


@torch.no_grad()
def cache_features(model: PhysioME, group: Group, progress: Progress, name: str, batch: int = 64) -> None:
    """Frame features of the complete windows, kept in memory: [W, M, N, d] float32."""
    model.eval()
    parts = []
    for first in range(0, len(group), batch):
        rows = np.arange(first, min(first + batch, len(group)))
        parts.append(model.frame_features(complete_scaled(model, group, rows)))
        progress(f"features {name}", int(rows[-1]) + 1, len(group))
    group.features = torch.cat(parts)


def fuse(
    model: PhysioME,
    train: Group,
    stop: Group,
    config: TrainConfig,
    folder: Path,
    progress: Progress,
    last: int | None = None,
) -> float:
    """The PhysioME stage; leaves the best averaged weights in ``model`` and returns their score on the stop group.

    ``last`` ends the run early (tests of resumption); the checkpoint is written there.
    """
    settings = config.fusion
    torch.manual_seed(config.seed + 1)
    model.freeze_encoders(settings.lora_rank, settings.lora_alpha, settings.lora_dropout)
    stage = FusionStage(model, settings.token_sample, settings.contrastive_temperature)
    weights = WEIGHTS | settings.weights
    optimiser = adamw(stage, settings.rate, settings.weight_decay)
    average = MovingAverage(stage, settings.ema)
    best, best_score, start = copy_of(stage.state_dict()), float("inf"), 0
    resume = folder / "fusion.safetensors"
    if resume.is_file():
        saved = checkpoint.load(resume)
        stage.load_state_dict(saved.part("stage"))
        checkpoint.restore_optimiser(optimiser, saved.part("optimiser"))
        average.values, average.steps = saved.part("average"), int(saved.facts["step"])
        best, best_score, start = saved.part("best"), float(saved.facts["score"]), int(saved.facts["step"])
    log, scores = CsvLog(folder / "fusion.csv"), CsvLog(folder / "stop.csv")
    plan = LossPlan()
    end = settings.steps if last is None else min(last, settings.steps)
    for step in range(start, end):
        stage.train()
        torch_rng, rng = generators(config.seed, 2, step)
        rows = rng.integers(0, len(train), settings.batch)
        batch = train.batch(rows, train.draw(rng, rows, plan), settings.wave_batch)
        set_rate(optimiser, cosine_rate(step, settings.steps, settings.rate, settings.warmup))
        optimiser.zero_grad(set_to_none=True)
        parts = stage.losses(batch, torch_rng, settings.wave_batch)
        total = weighted(parts, weights)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for p in stage.parameters() if p.requires_grad], settings.clip)
        if not bool(torch.isfinite(norm)):
            raise FloatingPointError(f"the gradient is not finite at step {step}")
        optimiser.step()
        average.update(stage)
        if step % 10 == 0:
            log.row({"step": step, "total": float(total.detach()), "norm": float(norm)} | _floats(parts))
        progress("fusion", step + 1, settings.steps)
        finished = step + 1 == settings.steps
        if (step + 1) % settings.evaluate_every == 0 or finished:
            average.swap(stage)
            found = evaluate(stage, stop, plan, config.seed, settings.wave_batch)
            score = float(sum(weights[name] * value for name, value in found.items() if name not in _NOT_SCORED))
            scores.row({"step": step + 1, "score": score} | found)
            if score < best_score:
                best, best_score = copy_of(stage.state_dict()), score
            average.swap(stage)
        if (step + 1) % settings.save_every == 0 or step + 1 == end:
            state = {
                "stage": stage.state_dict(), "optimiser": checkpoint.optimiser_state(optimiser),
                "average": average.values, "best": best,
            }  # fmt: skip
            checkpoint.save(resume, state, {"step": step + 1, "score": best_score, "fingerprint": config.fingerprint})
    if last is None:
        stage.load_state_dict(best)
    stage.eval()
    return best_score


_NOT_SCORED = ("intra", "contrastive")


def _floats(parts: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in parts.items()}


@torch.no_grad()
def evaluate(
    stage: FusionStage, group: Group, plan: LossPlan, seed: int, wave_rows: int, batch: int = 64
) -> dict[str, float]:
    """Mean losses over a fixed draw of windows and losses of a group."""
    stage.eval()
    rng = np.random.default_rng([seed, 99])
    chosen = rng.permutation(len(group))[:_EVALUATION_WINDOWS]
    sums: dict[str, float] = {}
    for first in range(0, len(chosen), batch):
        rows = chosen[first : first + batch]
        data = group.batch(rows, group.draw(rng, rows, plan))
        generator = torch.Generator().manual_seed(seed + first)
        for name, value in stage.losses(data, generator, wave_rows and len(rows)).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(rows)
    return {name: value / len(chosen) for name, value in sums.items()}
