"""``vigil train demo``: from nothing to a bundle, in about forty minutes on two cores.

    simulate → pre-train encoders → cache frame features → fuse → waves → calibrate → held-out figures → bundle

Everything depends on the configuration and its seed only. A run that was interrupted goes on with ``resume``: finished
patients and the last checkpoints are kept.
"""

from __future__ import annotations

import platform
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import torch

from models.data.dataset import GROUPS, WindowDataset
from models.data.generate import HELD_OUT_DEVICE, PatientOrder, make_patients
from models.evaluation.heldout import Evaluation
from models.export import BundleText, export_bundle
from models.physiome import SIZES, PhysioME
from models.runtime.bundle import load_bundle
from models.runtime.golden import GOLDEN_TOLERANCE, golden_difference
from models.runtime.onnx_backend import OnnxBackend
from models.signals.errors import BadInput
from models.training.calibrate import calibrate
from models.training.card import Cost, figures_json, write_card
from models.training.config import DEMO_CONFIG, TrainConfig, load_config
from models.training.loop import Progress
from models.training.sampling import Group
from models.training.stages import cache_features, fuse, pretrain
from models.training.wave_stage import train_waves

PREPROCESSING = "models.signals 1"
SEEDS_A_GROUP = 100_000


def train_demo(
    out: Path, *, config: Path | TrainConfig | None = None, resume: bool = False, progress: Progress | None = None
) -> Path:
    """Trains and exports; returns the bundle's folder ``out/bundle``.

    config: a TOML file or the settings themselves, the shipped ones by default. progress: called with stage, done,
    total; a progress bar with the time left by default. Raises BadInput if ``out`` holds a run of another
    configuration, or any run without ``resume``.
    """
    settings = config if isinstance(config, TrainConfig) else load_config(config or DEMO_CONFIG)
    model, text = train(Path(out), settings, resume, progress or ProgressBars())
    export_bundle(model, Path(out) / "bundle", text)
    bundle = load_bundle(Path(out) / "bundle")
    difference = golden_difference(bundle, OnnxBackend(bundle.model_path, bundle.spec))
    if not difference <= GOLDEN_TOLERANCE:
        raise ArithmeticError(f"ONNX Runtime differs from torch by {difference:.1e} on the golden cases")
    return bundle.path


def train(out: Path, settings: TrainConfig, resume: bool, bar: Progress) -> tuple[PhysioME, BundleText]:
    """Every stage but the export: the calibrated model and the words of its bundle."""
    _claim(out, settings, resume)
    torch.set_num_threads(settings.threads)
    clock = StageClock(out / "seconds.txt")
    size = SIZES[settings.size]
    with clock("data"):
        orders = patient_orders(settings, out / "data")
        make_patients(orders, settings.data.processes, lambda done, total: bar("patients", done, total))
    torch.manual_seed(settings.seed)
    model = PhysioME(size)
    groups = {
        name: Group(WindowDataset([o.folder for o in orders if o.group == name]), size, settings.seed)
        for name in GROUPS
    }
    with clock("encoders"):
        pretrain(model, groups["train"], settings, out, bar)
    with clock("features"):
        for name, group in groups.items():
            cache_features(model, group, bar, name)
    with clock("fusion"):
        fuse(model, groups["train"], groups["stop"], settings, out, bar)
    with clock("waves"):
        train_waves(model, groups["train"], groups["stop"], settings, out, bar)
    with clock("calibration and figures"):
        conformal = calibrate(model, groups["calibration"], settings.seed)
        found = Evaluation(model, groups["test"], conformal, settings.seed).run()
    cost = Cost(
        clock.seconds, f"{machine()}, {settings.threads} threads", sum(p.numel() for p in model.parameters()),
        len(groups["train"]),
    )  # fmt: skip
    (out / "figures.json").write_text(figures_json(found, cost), encoding="utf-8")
    trained_on = f"{settings.data.train_patients} simulated patients; no real recording"
    card = write_card(settings, cost, found)
    return model, BundleText(settings.name, settings.version, trained_on, PREPROCESSING, card, conformal)


def patient_orders(settings: TrainConfig, folder: Path) -> list[PatientOrder]:
    """Who is simulated: seeds of a group run on from its own base, so no patient is in two; the test group has other
    devices."""
    data, spec = settings.data, SIZES[settings.size].window_spec
    orders: list[PatientOrder] = []
    for base, group in enumerate(GROUPS):
        test = group == "test"
        stride, device = (data.test_stride_s, HELD_OUT_DEVICE) if test else (data.stride_s, "train")
        for k in range(getattr(data, f"{group}_patients")):
            seed = data.first_seed + base * SEEDS_A_GROUP + k
            orders.append(PatientOrder(folder / group / f"{k:04d}", group, seed, data.duration_s, stride, spec, device))
    return orders


def machine() -> str:
    """Processor in words, without anything that names this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} cores of {models[0]}" if models else platform.machine()


def _claim(out: Path, settings: TrainConfig, resume: bool) -> None:
    """Marks the folder with the configuration's fingerprint; refuses to mix two runs."""
    mark = out / "config.fingerprint"
    if mark.is_file():
        if mark.read_text(encoding="utf-8") != settings.fingerprint:
            raise BadInput("a folder of this very configuration", f"another run in {out}", "choose another --out")
        if not resume:
            raise BadInput("an unused --out", f"a run in {out}", "add --resume to go on with it, or choose another")
        return
    if out.exists() and any(out.iterdir()):
        raise BadInput("an empty or new --out", f"files in {out}", "choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text(settings.fingerprint, encoding="utf-8")


class StageClock:
    """Seconds a stage, added up over interruptions in a small text file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds: dict[str, float] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                name, value = line.rsplit("\t", 1)
                self.seconds[name] = float(value)

    @contextmanager
    def __call__(self, stage: str):
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - started
            self._path.write_text("".join(f"{k}\t{v:.1f}\n" for k, v in self.seconds.items()), encoding="utf-8")


class ProgressBars:
    """One bar a stage, with the time left."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._make, self._bar, self._stage = tqdm, None, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            if self._bar is not None:
                self._bar.close()
            width = min(100, shutil.get_terminal_size().columns)
            self._stage = stage
            self._bar = self._make(total=total, desc=f"{stage:<22}", ncols=width, initial=0)
        assert self._bar is not None
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()
            self._bar, self._stage = None, ""
