"""A run from its windows to a trained model: the stages in order, each left out where its section has no steps.

    windows → encoders → frame features → fusion → restoration → heads → risk → SelfMask → waves

Every stage goes on from its checkpoint or is loaded where it is finished. ``base`` names another run whose finished
stages are taken over where they are of the same settings, seed and data: ablations share the encoders of one run. Or it
names a bundle that carries its model: then the stages begin with these weights (:mod:`models.training.begin`).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from models.batches.chance import best_device
from models.batches.features import cache_features, features_path
from models.batches.group import Group
from models.data.dataset import GROUPS
from models.data.disjoint import check_disjoint
from models.physiome import PhysioME
from models.progress import Progress
from models.runtime.bundle import MANIFEST
from models.signals.errors import BadInput
from models.training import checkpoint, run_folder
from models.training.begin import begin_with
from models.training.config import TrainConfig, load_config
from models.training.data_stage import content_fingerprint, data_fingerprint, make_windows, open_group
from models.training.heads_stage import HeadsStage
from models.training.loop import run_stage
from models.training.objective_stages import main_stage
from models.training.pretrain import PretrainStage
from models.training.restoration_stage import RestorationStage
from models.training.risk_stage import RiskStage
from models.training.selfmask_stage import SelfMaskStage
from models.training.wave_stage import WaveStage

STAGES = ("pretrain", "fusion", "restoration", "heads", "risk", "selfmask", "waves")


@dataclass(frozen=True, slots=True)
class Trained:
    """What a pipeline leaves: the model in eval mode on the CPU, its groups with features, stage fingerprints."""

    model: PhysioME
    groups: dict[str, Group]
    fingerprints: dict[str, str]
    clock: run_folder.StageClock


def resolve_folder(settings: TrainConfig, base: Path | None) -> str:
    """``data_folder`` as the run folder keeps it: absolute, ``base``'s where none is named, "" for the run's own."""
    if settings.data_folder:
        return str(Path(settings.data_folder).expanduser().resolve())
    if base is None:
        return ""
    opened = load_config(base / run_folder.CONFIG)
    return str(run_folder.windows_folder(base, opened).resolve())


def train_stages(
    out: Path, settings: TrainConfig, resume: bool, progress: Progress, until: str = STAGES[-1],
    base: Path | None = None, needs: tuple[str, ...] = ("pretrain",),
) -> Trained:  # fmt: skip
    """Runs the stages up to ``until`` and saves the model. ``needs``: stages that must be taken over from ``base``.

    Raises BadInput for a folder of another run, for data that do not fit, and where ``base`` has no such stage.
    """
    start = None
    if base is not None and (base / MANIFEST).is_file():
        start, settings = begin_with(base, settings)
        base = None
    elif settings.start:
        raise BadInput(f"--from the bundle of {settings.start}, whose weights came first", "none", "name it")
    if base is not None and not (base / run_folder.CONFIG).is_file():
        raise BadInput(
            "a run folder or a bundle after --from", f"no {run_folder.CONFIG} in {base}", "name the --out of a run"
        )
    settings = msgspec.structs.replace(settings, data_folder=resolve_folder(settings, base))
    run_folder.claim(out, settings, resume)
    torch.set_num_threads(settings.threads)
    clock = run_folder.StageClock(out / "seconds.txt")
    windows = run_folder.windows_folder(out, settings)
    with checkpoint.disk_errors(windows), clock("data"):
        folders = make_windows(settings, windows, progress)
    data = data_fingerprint(folders)
    prints = settings.fingerprints(data)
    run_folder.record(out, settings, data, prints, content_fingerprint(folders))
    if base is not None:
        take_over(base, out, settings, prints, STAGES[: STAGES.index(until) + 1], needs)
    model = (start or run_folder.build_model(settings)).to(best_device(settings.device))
    groups = {name: open_group(folders[name], settings) for name in GROUPS}
    check_disjoint({name: group.dataset for name, group in groups.items()})
    train, stop, seed = groups["train"], groups["stop"], settings.seed
    ordered = STAGES[: STAGES.index(until) + 1]

    def wanted(stage: str) -> bool:
        return stage in ordered and getattr(settings, stage).steps > 0

    if wanted("pretrain"):
        with clock("pretrain"):
            pretrain = PretrainStage(model, train, stop, settings.pretrain, seed)
            run_stage(pretrain, settings.pretrain, out, prints["pretrain"], progress)
            del pretrain
    if until != "pretrain":
        with checkpoint.disk_errors(windows), clock("features"):
            for name, group in groups.items():
                cache_features(model, group, progress, name, features_path(windows, out, prints["pretrain"], name))
    if wanted("fusion"):
        with clock("fusion"):
            fusion = main_stage(settings.objective.method, model, train, stop, settings.fusion, seed)
            run_stage(fusion, settings.fusion, out, prints["fusion"], progress)
    if wanted("restoration"):
        with clock("restoration"):
            restoration = RestorationStage(model, train, stop, settings.restoration, seed)
            run_stage(restoration, settings.restoration, out, prints["restoration"], progress)
    if wanted("heads"):
        with clock("heads"):
            heads = HeadsStage(model, train, stop, settings.heads, seed)
            run_stage(heads, settings.heads, out, prints["heads"], progress)
    if wanted("risk"):
        with clock("risk"):
            risk = RiskStage(model, train, stop, settings.risk, seed)
            run_stage(risk, settings.risk, out, prints["risk"], progress)
    if wanted("selfmask"):
        with clock("selfmask"):
            selfmask = SelfMaskStage(model, train, stop, settings.selfmask, seed)
            run_stage(selfmask, settings.selfmask, out, prints["selfmask"], progress)
    if wanted("waves"):
        with clock("waves"):
            waves = WaveStage(model, train, stop, settings.waves, seed)
            run_stage(waves, settings.waves, out, prints["waves"], progress)
    model = model.cpu().eval().requires_grad_(False)
    with checkpoint.disk_errors(out):
        run_folder.save_model(out, model, prints[until])
    return Trained(model, groups, prints, clock)


def take_over(
    base: Path, out: Path, settings: TrainConfig, prints: dict[str, str], stages: tuple[str, ...],
    needs: tuple[str, ...],
) -> None:  # fmt: skip
    """Copies finished stages of ``base`` whose fingerprints are this run's; BadInput for a needed one that differs."""
    for stage in stages:
        if getattr(settings, stage).steps == 0 or (out / f"{stage}.safetensors").is_file():
            continue
        source = base / f"{stage}.safetensors"
        facts = checkpoint.load(source).facts if source.is_file() else {}
        if facts.get("finished") and facts.get("fingerprint") == prints[stage]:
            shutil.copyfile(source, out / f"{stage}.part")
            (out / f"{stage}.part").replace(out / f"{stage}.safetensors")
        elif stage in needs:
            found = f"fingerprint {facts['fingerprint']}" if facts.get("finished") else "none that is finished"
            raise BadInput(
                f"a stage {stage} of these settings, seed and data (fingerprint {prints[stage]}) in {base}", found,
                f"use the configuration of that run for [{stage}] and what comes before it, or leave out --from",
            )  # fmt: skip
