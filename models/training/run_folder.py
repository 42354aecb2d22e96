"""The folder of a run: what is in it, who may write to it, and how a finished run is opened again.

config.toml        the settings, as resolved            run.json         seed, git revision, data, versions, machine
{stage}.safetensors, {stage}.csv, {stage}_stop.csv      tensorboard/     the same figures for TensorBoard
model.safetensors  the trained model as a whole         calibration.json conformal widening (full pipelines)
data/              windows, unless they lie elsewhere   bundle/          what the monitor loads

A bundle that carries its model (:mod:`models.runtime.carried`) is opened like a run; nothing is written into it.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from models.batches.chance import best_device
from models.batches.features import cache_features, features_path
from models.batches.group import Group
from models.data.dataset import GROUPS
from models.networks.transformer import low_rank_layers
from models.physiome import PhysioME
from models.progress import Progress, silent
from models.runtime.bundle import MANIFEST
from models.runtime.carried import carried_model
from models.runtime.machine import machine
from models.runtime.spec import Conformal
from models.signals.errors import BadInput
from models.training import checkpoint
from models.training.config import TrainConfig, load_config, to_toml
from models.training.data_stage import content_fingerprint, data_fingerprint, make_windows, open_group
from models.training.portable import check_recordings, with_recordings
from models.training.window_place import cached_windows, making

CONFIG, RUN, MODEL, CALIBRATION = "config.toml", "run.json", "model.safetensors", "calibration.json"


def claim(out: Path, settings: TrainConfig, resume: bool) -> None:
    """Makes the folder this configuration's; refuses to mix two runs, or to touch a folder of other things."""
    mark = out / CONFIG
    if mark.is_file():
        if load_config(mark).fingerprint != settings.fingerprint:
            raise BadInput("a folder of this very configuration", f"another run in {out}", "choose another --out")
        if not resume:
            raise BadInput("an unused --out", f"a run in {out}", "add --resume to go on with it, or choose another")
        return
    if out.exists() and any(out.iterdir()):
        raise BadInput("an empty or new --out", f"files in {out}", "choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    _write(mark, to_toml(settings))


def record(out: Path, settings: TrainConfig, data: str, stages: dict[str, str], content: str = "") -> None:
    """Writes ``run.json``: what is needed to know where the numbers come from. No host name, no path. content: of the
    windows (:func:`models.training.data_stage.content_fingerprint`)."""
    facts = {
        "config": settings.fingerprint, "seed": settings.seed, "git": git_revision(), "data": data, "content": content,
        "stages": stages,
        "machine": machine(), "device": device_words(settings.device), "threads": settings.threads,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }  # fmt: skip
    _write(out / RUN, json.dumps(facts, indent=1))


def device_words(wanted: str) -> str:
    """The device a run uses: ``cpu`` or the GPU's model."""
    device = best_device(wanted)
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def git_revision() -> str:
    """Revision of the source, with ``-dirty`` where it was changed; ``unknown`` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def windows_folder(out: Path, settings: TrainConfig) -> Path:
    """Where the run's windows lie: ``data_folder``, relative to the run folder, or ``data`` in it."""
    return out / (settings.data_folder or "data")


# -- the trained model ------------------------------------------------------------------------------------------------


def build_model(settings: TrainConfig) -> PhysioME:
    """The untrained model; its weights follow from the seed. Its memory is added by the stage that trains it."""
    torch.manual_seed(settings.seed)
    return PhysioME(replace(settings.architecture, use_memory=False))


def save_model(out: Path, model: PhysioME, fingerprint: str) -> None:
    """The model as a whole, adapters apart, beside the stages' checkpoints."""
    facts = {"stage": "model", "fingerprint": fingerprint}
    checkpoint.save(out / MODEL, {"model": model.state_dict()}, facts)


def load_model(out: Path, settings: TrainConfig) -> PhysioME:
    """The trained model in eval mode, on the CPU. Raises BadInput where the run has none or another's."""
    path = out / MODEL
    if not path.is_file():
        raise BadInput("a finished run", f"no {MODEL} in {out}", "train it first, or go on with --resume")
    saved = checkpoint.load(path)
    state, model = saved.part("model"), build_model(settings)
    if any(name.endswith(".down") for name in state):
        fusion = settings.fusion
        model.freeze_encoders(fusion.lora_rank, fusion.lora_alpha, fusion.lora_dropout)
        assert low_rank_layers(model.encoders)
    if any(name.startswith("memory.") for name in state):
        model.add_memory()
    checkpoint.check_tensors(path, state, model.state_dict())
    model.load_state_dict(state)
    return model.eval()


def save_calibration(out: Path, conformal: dict[str, Conformal]) -> None:
    """Writes the conformal widenings beside the model."""
    _write(out / CALIBRATION, msgspec.json.format(msgspec.json.encode(conformal)).decode())


def load_calibration(out: Path) -> dict[str, Conformal]:
    """Widening by output; empty where the run was not calibrated."""
    path = out / CALIBRATION
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Conformal])
    except msgspec.DecodeError as error:
        raise BadInput("a calibration", f"{path} ({error})", "train again with --resume") from error


@dataclass
class TrainedRun:
    """A run to evaluate, distil or export. ``model`` is in eval mode, SelfMask's predictor inside.

    folder: where its files are read. bundle: the bundle that carries it, None of a run folder. windows: the folder of
    the windows that it was trained on, or of those that are made anew.
    """

    folder: Path
    settings: TrainConfig
    model: PhysioME
    conformal: dict[str, Conformal]
    facts: dict[str, object]
    progress: Progress
    windows: Path
    bundle: Path | None = None
    _groups: dict[str, Group] = field(default_factory=dict)

    @property
    def making(self) -> str:
        """What has to be made before the first group is there, and how long that takes; "" where nothing has. BadInput
        where recordings are missing."""
        check_recordings(self.settings)
        return making(self.settings, self.windows)

    @property
    def kept(self) -> Path:
        """Where what is made of it belongs: the run folder, or beside the windows of a bundle's model."""
        return self.folder if self.bundle is None else self.windows

    def group(self, name: str) -> Group:
        """Windows of ``train``, ``stop``, ``calibration`` or ``test``, frame features cached; made where they are not
        there. BadInput where the recordings are not there, or the windows are not those that it was trained on."""
        if name not in GROUPS:
            raise BadInput(f"a group out of {', '.join(GROUPS)}", repr(name), "choose one of these")
        if name not in self._groups:
            check_recordings(self.settings)
            _make_folder(self.windows)
            folders = make_windows(self.settings, self.windows, self.progress)
            self._check_data(folders)
            self._groups[name] = self.group_of(folders[name], name)
        return self._groups[name]

    def _check_data(self, folders: dict[str, list[Path]]) -> None:
        data, content = data_fingerprint(folders), self.facts.get("content")
        if data == self.facts.get("data") or (content and content_fingerprint(folders) == content):
            return
        raise BadInput(
            f"the data this run was trained on (fingerprint {self.facts.get('data')})", f"{data} in {self.windows}",
            "restore them, or train again" if self.bundle is None
            else "name the recordings that it was trained on, whole and unchanged, or judge it on others: "
            "`python -m benchmarks estimates --bundle BUNDLE RECORDINGS`",
        )  # fmt: skip

    def group_of(self, folders: list[Path], name: str, cached: bool = True) -> Group:
        """Windows of any patients' folders as a group of this run; ``name`` is for the progress and the cache."""
        group = open_group(folders, self.settings)
        stages = self.settings.fingerprints(str(self.facts.get("data")))
        path = features_path(self.windows, self.kept, stages["pretrain"], name) if cached else None
        cache_features(self.model, group, self.progress, name, path)
        return group


def _make_folder(windows: Path) -> None:
    try:
        windows.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput("a folder for windows", f"{windows} ({error.strerror})", "name another: --windows") from error


def open_run(
    folder: Path,
    progress: Progress = silent,
    windows: Path | None = None,
    recordings: Mapping[str, Path] | None = None,
) -> TrainedRun:
    """Opens a run folder, or the model that a bundle carries, for reading.

    windows: where they lie or are made, by default the run's own, of a bundle a folder in the user's cache. recordings:
    site -> folder, where they are no longer where the configuration says. Raises BadInput where the folder is neither,
    unfinished or damaged.
    """
    folder = Path(folder)
    bundle = folder if (folder / MANIFEST).is_file() else None
    if bundle is not None:
        folder = carried_model(bundle)
    path = folder / RUN
    if not path.is_file():
        raise BadInput("a run folder", f"no {RUN} in {folder}", "name the --out of a training run")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"a readable {RUN}", f"{path} ({error})", "train again with --resume") from error
    settings = with_recordings(load_config(folder / CONFIG), recordings or {})
    if windows is None:
        windows = windows_folder(folder, settings) if bundle is None else cached_windows(settings)
    return TrainedRun(
        folder, settings, load_model(folder, settings), load_calibration(folder), facts, progress, Path(windows), bundle
    )


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
    def __call__(self, stage: str) -> Iterator[None]:
        """Adds the time until the block is left to the stage's, also when it is left by an error."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - started
            self._path.write_text("".join(f"{k}\t{v:.1f}\n" for k, v in self.seconds.items()), encoding="utf-8")


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
