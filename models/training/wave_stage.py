"""The wave stage: everything else frozen, the decoders of restored waves learn to draw what the sensors lost.

A stage of its own, since a wave's loss is orders of magnitude larger in numbers than a head's, and since nothing of it
should bend the representation. The newest two seconds count four times: only the newest second is ever shown, and it
lacks the future that the others have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.data.missingness import LossPlan
from models.physiome import PhysioME
from models.training import checkpoint
from models.training.config import TrainConfig
from models.training.fusion_stage import WEIGHTS, wave_losses, weighted
from models.training.logbook import CsvLog
from models.training.loop import MovingAverage, Progress, adamw, copy_of, cosine_rate, set_rate
from models.training.sampling import Group
from models.training.stages import generators

_STAGE = 3
_STOP_WINDOWS = 384


def train_waves(
    model: PhysioME, train: Group, stop: Group, config: TrainConfig, folder: Path, progress: Progress
) -> float:
    """Trains ``model.waves`` alone and leaves the best averaged weights in it; returns their score on ``stop``."""
    settings = config.waves
    model.requires_grad_(False)
    model.waves.requires_grad_(True)
    optimiser = adamw(model.waves, settings.rate, settings.weight_decay)
    average = MovingAverage(model.waves, settings.ema)
    best, best_score, start = copy_of(model.waves.state_dict()), float("inf"), 0
    resume = folder / "waves.safetensors"
    if resume.is_file():
        saved = checkpoint.load(resume)
        model.waves.load_state_dict(saved.part("waves"))
        checkpoint.restore_optimiser(optimiser, saved.part("optimiser"))
        average.values, average.steps = saved.part("average"), int(saved.facts["step"])
        best, best_score, start = saved.part("best"), float(saved.facts["score"]), int(saved.facts["step"])
    log = CsvLog(folder / "waves.csv")
    plan = LossPlan()
    for step in range(start, settings.steps):
        model.eval()
        model.waves.train()
        _, rng = generators(config.seed, _STAGE, step)
        rows = rng.integers(0, len(train), settings.batch)
        set_rate(optimiser, cosine_rate(step, settings.steps, settings.rate, settings.warmup))
        optimiser.zero_grad(set_to_none=True)
        parts = _losses(model, train, rows, rng, plan)
        total = weighted(parts, WEIGHTS)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.waves.parameters(), settings.clip)
        if not bool(torch.isfinite(norm)):
            raise FloatingPointError(f"the gradient is not finite at step {step}")
        optimiser.step()
        average.update(model.waves)
        progress("waves", step + 1, settings.steps)
        last = step + 1 == settings.steps
        if (step + 1) % settings.evaluate_every == 0 or last:
            average.swap(model.waves)
            score = _score(model, stop, config.seed, plan, settings.batch)
            if score < best_score:
                best, best_score = copy_of(model.waves.state_dict()), score
            average.swap(model.waves)
            named = {name: float(value.detach()) for name, value in parts.items()}
            log.row({"step": step + 1, "total": float(total.detach()), "stop": score} | named)
            state = {
                "waves": model.waves.state_dict(), "optimiser": checkpoint.optimiser_state(optimiser),
                "average": average.values, "best": best,
            }  # fmt: skip
            checkpoint.save(resume, state, {"step": step + 1, "score": best_score, "fingerprint": config.fingerprint})
    model.waves.load_state_dict(best)
    model.eval()
    return best_score


def _losses(
    model: PhysioME, group: Group, rows: np.ndarray, rng: np.random.Generator, plan: LossPlan
) -> dict[str, Tensor]:
    batch = group.batch(rows, group.draw(rng, rows, plan))
    out = model(batch.signals, batch.presence, batch.context, features=batch.features)
    return wave_losses(model, batch, out, len(rows))


@torch.no_grad()
def _score(model: PhysioME, group: Group, seed: int, plan: LossPlan, batch: int) -> float:
    """Mean weighted wave loss over a fixed draw of windows and losses."""
    model.eval()
    rng = np.random.default_rng([seed, 98])
    chosen = rng.permutation(len(group))[:_STOP_WINDOWS]
    total = 0.0
    for first in range(0, len(chosen), batch):
        rows = chosen[first : first + batch]
        total += float(weighted(_losses(model, group, rows, rng, plan), WEIGHTS)) * len(rows)
    return total / len(chosen)
