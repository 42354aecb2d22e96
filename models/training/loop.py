"""The one training loop: every stage (:mod:`models.training.stage`) runs through :func:`run_stage`.

Linear warm-up and cosine, mixed precision, clipping, moving average, early stopping on patients of its own, atomic
checkpoints that resume bit for bit on the CPU, a CSV and a TensorBoard file, and a stop that says where when a loss is
not finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from models.batches.chance import device_of
from models.progress import Progress
from models.signals.errors import VigilError
from models.training import checkpoint
from models.training.logbook import Logbook
from models.training.stage import Stage, StageSettings

"""Called with the stage's name, steps done and steps in all."""

LOG_EVERY = 10
_FLOOR = 0.02  # of the peak rate, where the cosine ends


class TrainingStopped(VigilError):
    """A loss, a gradient or a score was not finite. The last good state is on disk."""


def cosine_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Learning rate of ``step`` (from 0): linear to ``peak`` over ``warmup`` steps, then a cosine to 2 % of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    along = (step - warmup) / max(1, steps - 1 - warmup)
    return peak * (_FLOOR + (1.0 - _FLOOR) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, along))))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def adamw(module: nn.Module, rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; matrices decay, vectors and scalars do not."""
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.98))


class MovingAverage:
    """Exponential moving average of the trainable parameters and of BatchNorm statistics, which belong to them.

    decay min(decay, (1 + n) / (10 + n)), so that the start does not linger; decay 0 follows the weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: value.detach().clone() for name, value in self.live(module)}

    @staticmethod
    def live(module: nn.Module) -> list[tuple[str, Tensor]]:
        """What is averaged, by name."""
        statistics = ("running_mean", "running_var")
        averaged: list[tuple[str, Tensor]] = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        return averaged + [(n, b) for n, b in module.named_buffers() if n.rsplit(".", 1)[-1] in statistics]

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the averages towards the live values; the first steps count for more."""
        self.steps += 1
        decay = min(self.decay, (1.0 + self.steps) / (10.0 + self.steps))
        for name, value in self.live(module):
            self.values[name].lerp_(value, 1.0 - decay)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchanges the module's values with the averages; a second call undoes it."""
        for name, value in self.live(module):
            kept = value.detach().clone()
            value.copy_(self.values[name])
            self.values[name] = kept


def copy_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of a state dict, not a live reference to it."""
    return {name: value.detach().clone() for name, value in state.items()}


def autocast(settings: StageSettings, device: torch.device) -> torch.autocast:
    """bf16 for what is safe in it; the weights, sums and losses stay fp32, so no loss scaling is needed."""
    wanted = settings.precision
    half = wanted == "bf16" or (wanted == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported())
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


@dataclass
class _Run:
    """Where a stage stands; all of it is in the checkpoint."""

    step: int = 0
    score: float = math.inf
    stale: int = 0  # evaluations since the best one
    finished: bool = False
    best: dict[str, Tensor] = field(default_factory=dict)


def run_stage(
    stage: Stage, settings: StageSettings, folder: Path, fingerprint: str, progress: Progress, last: int | None = None
) -> float:
    """Trains ``stage.module`` in place, leaves its best averaged weights in it (eval mode) and returns their score.

    folder: gets ``{name}.safetensors``, ``{name}.csv``, ``{name}_stop.csv`` and ``tensorboard/``. A checkpoint of the
    same stage and ``fingerprint`` is continued, a finished one loaded. ``last`` interrupts after so many steps.
    Raises BadInput for a checkpoint that does not fit, TrainingStopped where something is not finite, DiskFull.
    """
    path = folder / f"{stage.name}.safetensors"
    with checkpoint.disk_errors(folder):
        return _train(stage, settings, path, fingerprint, progress, last)


def _train(
    stage: Stage, settings: StageSettings, path: Path, fingerprint: str, progress: Progress, last: int | None
) -> float:
    module, device = stage.module, device_of(stage.module)
    optimiser = adamw(module, settings.rate, settings.weight_decay)
    average = MovingAverage(module, settings.ema)
    run = _Run(best=copy_of(module.state_dict()))
    if path.is_file():
        _resume(path, stage, fingerprint, optimiser, average, run)
    trained = [p for p in module.parameters() if p.requires_grad]
    after_step = getattr(stage, "after_step", None)
    end = settings.steps if last is None else min(last, settings.steps)

    def save() -> None:
        state = {
            "module": module.state_dict(), "optimiser": checkpoint.optimiser_state(optimiser),
            "average": average.values, "best": run.best,
        }  # fmt: skip
        checkpoint.save(path, state, {
            "stage": stage.name, "fingerprint": fingerprint, "step": run.step, "score": run.score,
            "stale": run.stale, "finished": int(run.finished),
        })  # fmt: skip

    def stop(what: str) -> TrainingStopped:
        if all(bool(torch.isfinite(value).all()) for _, value in average.live(module)):
            save()
        kept = f"the last good state is in {path}" if path.is_file() else "no state was good enough to keep"
        return TrainingStopped(
            f"Training stopped in stage {stage.name} at step {run.step}: {what}; {kept}; a lower rate or a smaller "
            "clip may help."
        )

    log = Logbook(path.parent, stage.name, run.step)
    while run.step < end and not run.finished:
        step = run.step
        module.train()
        torch.manual_seed(step)  # a stage that forgets to seed its dropout resumes exactly all the same
        set_rate(optimiser, rate := cosine_rate(step, settings.steps, settings.rate, settings.warmup))
        optimiser.zero_grad(set_to_none=True)
        with autocast(settings, device):
            parts = stage.losses(step)
        total = torch.stack([value.float() for value in parts.values()]).sum()
        if not bool(torch.isfinite(total)):
            raise stop(f"the loss {_not_finite(parts)} is not finite")
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        if not bool(torch.isfinite(norm)):
            gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
            raise stop(f"the gradient of {_not_finite(gradients)} is not finite")
        optimiser.step()
        if after_step is not None:
            after_step(step)
        average.update(module)
        run.step += 1
        run.finished = run.step == settings.steps
        if step % LOG_EVERY == 0 or run.finished:
            floats = {name: float(value.detach()) for name, value in parts.items()}
            log.training(run.step, {"total": float(total.detach()), "rate": rate, "norm": float(norm)} | floats)
        if run.step % settings.evaluate_every == 0 or run.finished:
            found = _evaluate(stage, average)
            log.stopping(run.step, found)
            if not math.isfinite(found["score"]):
                raise stop(f"the score on the early-stopping patients is {found['score']}")
            if found["score"] < run.score:
                average.swap(module)
                run.best, run.score, run.stale = copy_of(module.state_dict()), found["score"], 0
                average.swap(module)
            else:
                run.stale += 1
                run.finished = run.finished or 0 < settings.patience <= run.stale
        if run.step % settings.save_every == 0 or run.step == end or run.finished:
            save()
        progress(stage.name, settings.steps if run.finished else run.step, settings.steps)
    if run.finished:
        module.load_state_dict(run.best)
    module.eval()
    return run.score


def _resume(
    path: Path, stage: Stage, fingerprint: str, optimiser: torch.optim.Optimizer, average: MovingAverage, run: _Run
) -> None:
    saved = checkpoint.load(path)
    checkpoint.check(saved, path, stage.name, fingerprint, "module", stage.module.state_dict())
    checkpoint.check_tensors(path, saved.part("average"), average.values)
    device = device_of(stage.module)
    stage.module.load_state_dict(saved.part("module"))
    checkpoint.restore_optimiser(optimiser, saved.part("optimiser"))
    average.values = {name: value.to(device) for name, value in saved.part("average").items()}
    run.step, run.score = int(saved.facts["step"]), float(saved.facts["score"])
    run.stale, run.finished = int(saved.facts["stale"]), bool(saved.facts["finished"])
    run.best, average.steps = saved.part("best"), run.step


@torch.no_grad()
def _evaluate(stage: Stage, average: MovingAverage) -> dict[str, float]:
    average.swap(stage.module)
    stage.module.eval()
    try:
        return stage.score()
    finally:
        average.swap(stage.module)


def _not_finite(values: Mapping[str, Tensor]) -> str:
    """The first name whose value is not finite, with that value."""
    for name, value in values.items():
        if not bool(torch.isfinite(value).all()):
            return f"{name!r} ({float(value.detach().sum())})"
    return "'sum of all'"
