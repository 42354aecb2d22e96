"""``vigil train demo`` and ``full``: from nothing to bundles. ``demo`` takes about forty minutes on two cores.

    windows → encoders → frame features → fusion → restoration → heads → risk → SelfMask → waves
            → calibration → figures → bundle → students

Everything depends on the configuration and its seed only. A run that was interrupted goes on with ``resume``: finished
patients, finished stages and the last checkpoint of the stage at work are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.batches.group import Group
from models.evaluation.heldout import Evaluation, HeldOut
from models.evaluation.token_worth import gate
from models.export import BundleText, export_bundle, plain
from models.making.card import Cost, figures_json, write_card
from models.making.students import train_students
from models.physiome import PhysioME
from models.progress import Progress
from models.runtime.bundle import load_bundle
from models.runtime.golden import GOLDEN_TOLERANCE, golden_difference
from models.runtime.machine import machine
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.spec import BOTH_IMPUTERS, RESTORATION, Conformal
from models.signals.preprocessing import PREPROCESSING
from models.training import run_folder
from models.training.calibrate import calibrate
from models.training.carry import carry_model
from models.training.checkpoint import disk_errors
from models.training.config import DEMO_CONFIG, TrainConfig, load_config
from models.training.data_words import trained_on
from models.training.pipeline import STAGES, train_stages
from models.training.progress import ProgressBars

BUNDLE, IMPUTING = "bundle", "imputing"
"""Folders of a run: what the monitor runs, and the same network with its imputers where that one has none."""


def train_demo(
    out: Path, *, config: Path | TrainConfig | None = None, resume: bool = False, progress: Progress | None = None,
    base: Path | None = None,
) -> Path:  # fmt: skip
    """Trains and exports; returns the bundle's folder ``out/bundle``. Students go to ``out/students``. Where restored
    tokens do not pass the gate (:func:`models.evaluation.token_worth.gate`), on real people if there are any, the
    bundle has the graph without imputers, and the one with them goes to ``out/imputing``.

    config: a TOML file or the settings themselves, the shipped ones by default. progress: called with stage, done,
    total; a progress bar with the time left by default. base: a run whose finished stages are taken over. Raises
    BadInput if ``out`` holds a run of another configuration, or any run without ``resume``.
    """
    settings = config if isinstance(config, TrainConfig) else load_config(config or DEMO_CONFIG)
    out = Path(out)
    bar = progress or ProgressBars()
    model, text, imputing = train(out, settings, resume, bar, base)
    imputers = BOTH_IMPUTERS if settings.selfmask.steps else (RESTORATION,)
    with disk_errors(out):
        carry_model(out, out / BUNDLE)
        if imputing:
            bundle = export(model, text, out / BUNDLE, imputers, bar)
        else:
            bundle = export(plain(model), text, out / BUNDLE, (), bar)
            export(model, text, out / IMPUTING, imputers, bar)
        if settings.distil is not None and settings.distil.steps:
            train_students(out, out / "students", None, bar)
    return bundle


def train(
    out: Path, settings: TrainConfig, resume: bool, bar: Progress, base: Path | None = None
) -> tuple[PhysioME, BundleText, bool]:
    """Every stage but the export: the calibrated model, the words of its bundle, and whether its graph is to impute."""
    trained = train_stages(out, settings, resume, bar, base=base)
    model, groups, clock = trained.model, trained.groups, trained.clock
    with clock("calibration and figures"):
        conformal = calibrate(model, groups["calibration"], settings.seed)
        found = held_out(model, groups["test"], groups["train"], conformal, settings.seed, settings.selfmask.steps > 0)
    with disk_errors(out):
        run_folder.save_model(out, model, trained.fingerprints[STAGES[-1]])  # with its temperature
        run_folder.save_calibration(out, conformal)
        cost = Cost(
            clock.seconds, f"{machine()}, {settings.threads} threads",
            sum(p.numel() for p in model.parameters()), len(groups["train"]),
        )  # fmt: skip
        (out / "figures.json").write_text(figures_json(found, cost), encoding="utf-8")
    helps = bool(gate(next(iter(found.values())).worth))  # recorded people come first
    imputing = helps or not settings.serves_plain
    card = write_card(settings, cost, found, imputing)
    train = groups["train"].dataset.patients
    once = sum(p.recorded and p.facts.get("device_seed") is None for p in train)  # not once more for each device
    learnt_from = trained_on(settings, len(train), once)
    text = BundleText(settings.name, settings.version, learnt_from, PREPROCESSING, card, conformal)
    return model, text, imputing


def held_out(
    model: PhysioME, test: Group, train: Group, conformal: dict[str, Conformal], seed: int, selfmask: bool
) -> dict[str, HeldOut]:
    """Figures on the patients of ``test``, ``recorded`` ones and ``simulated`` ones apart: real people come first."""
    parts = {"recorded": test.only(recorded=True), "simulated": test.only(recorded=False)}
    return {
        kind: Evaluation(model, part, train, conformal, seed, selfmask).run()
        for kind, part in parts.items()
        if part is not None
    }


def export(
    model: PhysioME, text: BundleText, folder: Path, imputers: Sequence[str], progress: Progress
) -> Path:  # fmt: skip
    """Writes the bundle and proves that ONNX Runtime computes what torch does (ArithmeticError), with the graph in its
    parts as on the CPU, and whole as other backends have it."""
    export_bundle(model, folder, text, imputers, progress)
    bundle = load_bundle(folder)
    for done, (whole, form) in enumerate(((False, "in parts"), (True, "whole"))):
        progress("export: proof", done, 2)
        difference = golden_difference(bundle, OnnxBackend(bundle.model_path, bundle.spec, whole=whole))
        if not difference <= GOLDEN_TOLERANCE:
            raise ArithmeticError(f"ONNX Runtime differs from torch by {difference:.1e} on the golden cases ({form})")
    progress("export: proof", 2, 2)
    return bundle.path
