"""Training on the GPU: steps a second of the stages by size and precision, and the largest batch of the main stage.

Each figure is of :func:`models.training.loop.run_stage` itself, as ``vigil train`` runs it: drawing, losses, clipping,
averaging, but for the scores and checkpoints between. Weights are random and patients few: a step takes as long.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import msgspec
import torch

from benchmarks.gpu.book import Book
from benchmarks.gpu.part import PartRequest, sentence_of
from models.batches.chance import best_device
from models.batches.features import cache_features
from models.batches.group import Group
from models.data.dataset import WindowDataset
from models.data.generate import PatientOrder, make_patients
from models.physiome import PhysioME
from models.progress import silent
from models.signals.errors import BackendUnavailable
from models.sizes import SIZES
from models.training.config import DEMO_CONFIG, FULL_CONFIG, TrainConfig, load_config
from models.training.loop import run_stage
from models.training.objective_stages import main_stage
from models.training.pretrain import PretrainStage
from models.training.run_folder import build_model
from models.training.stage import Stage, StageSettings
from models.training.wave_stage import WaveStage

PAPER_CONFIG = DEMO_CONFIG.with_name("paper_vitaldb.toml")
CONFIGS = {"demo": DEMO_CONFIG, "full": FULL_CONFIG, "vitaldb": PAPER_CONFIG}
STAGES = ("fusion", "pretrain", "waves")
PRECISIONS: tuple[Literal["bf16", "fp32"], ...] = ("bf16", "fp32")
STEPS, FEW_STEPS, SKIPPED = 24, 7, 3
PATIENTS, PATIENT_S, STRIDE_S = 4, 200, 2
PROCESSES = 4
FIRST_BATCH, LAST_BATCH = 64, 1 << 15
SLOWEST_STEP_S = 8.0
"""A batch that takes longer is the last that is tried."""


class Enough(Exception):
    """So many steps as were to be timed have been."""


@dataclass
class StepClock:
    """Ends of the first ``wanted`` steps of a stage, 2 at least, or of as many as begin within ``most_s`` seconds:
    listens to its progress, and then raises Enough."""

    wanted: int
    most_s: float = 15.0
    ends: list[float] = field(default_factory=list)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """As models.progress.Progress."""
        self.ends.append(time.perf_counter())
        late = len(self.ends) >= 2 and self.ends[-1] - self.ends[0] > self.most_s
        if late or len(self.ends) == self.wanted:
            raise Enough

    def step_s(self) -> float:
        """The median, without the first ones, in which libraries choose their kernels."""
        each = [b - a for a, b in zip(self.ends, self.ends[1:], strict=False)]
        return median(each[min(SKIPPED, len(each) - 1) :])


def run(book: Book, request: PartRequest) -> None:
    """See the module. BackendUnavailable where torch has no such device."""
    if request.device == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailable(f"torch {torch.__version__} finds no GPU, so nothing is trained")
    device = best_device(request.device)
    told: dict[str, str] = {}
    todo: list[tuple[str, TrainConfig]] = []
    for name, path in CONFIGS.items():
        settings = load_config(path)
        form = repr((SIZES[settings.size], [getattr(settings, stage).batch for stage in STAGES]))
        if form in told:
            book.say(f"{name} is the network of {told[form]} in the same batches: its steps take as long.")
            continue
        told[form] = name
        todo.append((name, settings))
    with tempfile.TemporaryDirectory(prefix="vigil-gpu-") as scratch:
        for at, (name, settings) in enumerate(todo):
            _of_size(book, name, settings, device, Path(scratch) / name, book.left() / (len(todo) - at))


def _of_size(
    book: Book, name: str, settings: TrainConfig, device: torch.device, folder: Path, allowed_s: float
) -> None:
    end = book.left() - allowed_s
    began = time.perf_counter()
    groups = _windows(settings, folder / "windows")
    model = build_model(settings).to(device)
    for group in groups:
        cache_features(model, group, silent, "train", batch=32)
    count = sum(p.numel() for p in model.parameters())
    book.row(
        "sizes", size=name, parameters=count, windows=len(groups[0]), made_in_s=round(time.perf_counter() - began, 1)
    )
    for stage in STAGES:
        for precision in PRECISIONS:
            if book.left() <= end:
                book.say(f"{name}: {stage} in {precision} was not timed, the time does not allow it.")
                continue
            own = getattr(settings, stage)
            _timed(book, name, settings, groups, stage, _short(own, own.batch, precision), device, STEPS)
    _largest(book, name, settings, groups, device, end)


def _windows(settings: TrainConfig, folder: Path) -> list[Group]:
    """Windows to train on and to stop by, of simulated patients."""
    spec = settings.architecture.window_spec
    long = max(PATIENT_S, 3 * spec.window_s)
    orders = {
        group: [PatientOrder(folder / group / f"{k}", group, 900_000 + 1000 * base + k, long, STRIDE_S, spec, "train")
                for k in range(count)]
        for base, (group, count) in enumerate((("train", PATIENTS), ("stop", 1)))
    }  # fmt: skip
    make_patients([o for some in orders.values() for o in some], PROCESSES, lambda done, total: None)
    return [
        Group(WindowDataset([o.folder for o in some]), settings.architecture, settings.seed) for some in orders.values()
    ]


def _short(settings: Any, batch: int, precision: str) -> Any:
    """The stage's own settings in batches of this size, without an end, scores or checkpoints."""
    never = 1 << 30
    return msgspec.structs.replace(
        settings, steps=never, batch=batch, precision=precision, evaluate_every=never, save_every=never
    )


def _stage(
    settings: TrainConfig, groups: list[Group], name: str, own: Any, device: torch.device
) -> tuple[Stage, PhysioME]:
    model = build_model(settings).to(device)
    train, stop = groups
    if name == "pretrain":
        return PretrainStage(model, train, stop, own, settings.seed), model
    if name == "fusion":
        return main_stage(settings.objective.method, model, train, stop, own, settings.seed), model
    return WaveStage(model, train, stop, own, settings.seed), model


def _timed(
    book: Book, size: str, settings: TrainConfig, groups: list[Group], name: str, own: StageSettings,
    device: torch.device, steps: int, table: str = "steps",
) -> float | None:  # fmt: skip
    """Seconds of a step, told; None where the batch does not fit, which is told too."""
    if name == "pretrain" and own.batch > len(groups[0]):
        own = msgspec.structs.replace(own, batch=len(groups[0]))
        book.say(f"{size}: {name} in batches of {own.batch}, of all windows that were made for this.")
    clock = StepClock(steps)
    with _memory(device) as peak, tempfile.TemporaryDirectory(prefix="vigil-gpu-") as folder:
        try:
            stage, model = _stage(settings, groups, name, own, device)
            with suppress(Enough):
                run_stage(stage, own, Path(folder), "gpu", clock)
            del stage, model
        except torch.OutOfMemoryError as error:
            book.say(f"{size}: {name} in {own.precision} does not fit in batches of {own.batch}: {sentence_of(error)}.")
            return None
        except Exception as error:  # noqa: BLE001 - the other stages are timed all the same
            book.say(f"{size}: {name} in {own.precision}, batches of {own.batch}: {sentence_of(error)}.")
            return None
        step_s = clock.step_s()
        book.row(
            table, size=size, stage=name, precision=own.precision, batch=own.batch, steps_per_s=round(1 / step_s, 3),
            windows_per_s=round(own.batch / step_s, 1), **peak(),
        )  # fmt: skip
    return step_s


def _largest(
    book: Book, size: str, settings: TrainConfig, groups: list[Group], device: torch.device, end: float
) -> None:
    """Doubles the batch of the main stage until it does not fit, takes too long, or the time is over."""
    batch, table = FIRST_BATCH, "largest batch"
    while batch <= LAST_BATCH:
        if book.left() <= end:
            book.say(f"{size}: batches of {batch} and more were not tried, the time does not allow it.")
            return
        own = _short(settings.fusion, batch, PRECISIONS[0])
        step_s = _timed(book, size, settings, groups, "fusion", own, device, FEW_STEPS, table)
        if step_s is None:
            return
        if step_s > SLOWEST_STEP_S:
            book.say(f"{size}: a step of {batch} windows takes {step_s:.1f} s; larger ones were not tried.")
            return
        batch *= 2


@contextmanager
def _memory(device: torch.device) -> Iterator[Callable[[], dict[str, float | None]]]:
    """torch's memory of the GPU at its peak within, MiB; nothing of a CPU."""
    if device.type != "cuda":
        yield dict
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()

    def peak() -> dict[str, float | None]:
        return {
            "allocated_mb": round(torch.cuda.max_memory_allocated() / 2**20, 1),
            "reserved_mb": round(torch.cuda.max_memory_reserved() / 2**20, 1),
        }

    try:
        yield peak
    finally:
        torch.cuda.empty_cache()
