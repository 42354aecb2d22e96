"""``vigil export``: a finished run, or the model that a bundle carries, once more as a bundle: say after an update."""

from __future__ import annotations

import shutil
from pathlib import Path

from models.export import BUNDLE_LIMIT_BYTES, BundleText, plain
from models.making.demo import export
from models.progress import Progress
from models.runtime.bundle import load_bundle
from models.runtime.spec import BOTH_IMPUTERS, RESTORATION
from models.signals.errors import BadInput, VigilError
from models.signals.preprocessing import PREPROCESSING
from models.training.carry import carry_model
from models.training.checkpoint import disk_errors
from models.training.data_words import trained_on
from models.training.run_folder import MODEL, RUN, TrainedRun, open_run


def export_run(checkpoint: Path, folder: Path, progress: Progress, imputing: bool | None = None) -> Path:
    """Writes the bundle of the run ``checkpoint`` to the new ``folder``: its folder, its ``model.safetensors``, or a
    bundle that carries it.

    imputing: whether the graph has the model's imputers (None: as the run's own bundle, with them where there is none).
    Card and tables are those of the run's own bundle, where there is one. Raises BadInput for what is no finished run
    of `vigil train`, no model of the bedside or too large, or where ``folder`` exists; VigilError if ONNX Runtime does
    not compute what torch does. Then nothing is left behind.
    """
    if folder.exists():
        raise BadInput("a new folder for the bundle", f"{folder}, which exists", "choose another name")
    run = open_run(_run_folder(checkpoint), progress)
    if run.model.config.task != "bedside":
        raise BadInput("a model of the bedside", f"one for {run.model.config.task}", "export a run of `vigil train`")
    size = 4 * sum(p.numel() for p in run.model.parameters())
    if size > BUNDLE_LIMIT_BYTES:
        raise BadInput(
            f"a model of at most {BUNDLE_LIMIT_BYTES >> 20} MiB", f"one of {size >> 20} MiB", "export a smaller one"
        )
    scratch = folder.with_name(folder.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    own = run.bundle or run.folder / "bundle"
    if imputing is None:
        imputing = not own.is_dir() or bool(load_bundle(own).spec.imputers)
    imputers = (BOTH_IMPUTERS if run.settings.selfmask.steps else (RESTORATION,)) if imputing else ()
    model = run.model if imputing else plain(run.model)
    with disk_errors(folder.parent):
        try:
            carry_model(run.folder, scratch)
            export(model, _text(run), scratch, imputers, progress)
            scratch.rename(folder)
        except ArithmeticError as error:
            raise VigilError(f"Nothing was written: {error}.") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _run_folder(checkpoint: Path) -> Path:
    """The folder of the run; a file must be the trained model as a whole."""
    if not checkpoint.exists():
        raise BadInput("the folder of a training run", f"nothing at {checkpoint}", "name the --out of `vigil train`")
    if checkpoint.is_dir():
        return checkpoint
    if checkpoint.name != MODEL or not (checkpoint.parent / RUN).is_file():
        raise BadInput(
            f"the {MODEL} in the folder of a finished run", str(checkpoint),
            "name the --out of `vigil train`; other checkpoints lack the settings that say what they are",
        )  # fmt: skip
    return checkpoint.parent


def _text(run: TrainedRun) -> BundleText:
    settings, own = run.settings, run.bundle or run.folder / "bundle"
    if own.is_dir():
        spec, card = load_bundle(own).spec, (own / "card.md").read_text(encoding="utf-8")
        return BundleText(
            spec.name, spec.version, spec.trained_on, spec.preprocessing, card, run.conformal, spec.pressure, spec.risk
        )
    learnt_from = trained_on(settings)
    card = f"# {settings.name}\n\nTrained on {learnt_from}. Its figures were not kept: run `vigil evaluate`.\n"
    return BundleText(settings.name, settings.version, learnt_from, PREPROCESSING, card, run.conformal)
