"""``vigil train …``: models from simulated patients or recordings, whole or stage by stage.

Each command runs the stages up to its own. Finished stages are kept, so a command that was interrupted is simply run
again, and ``--from`` takes finished stages over from another run.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from models.signals.errors import BackendUnavailable, BadInput
from models.signals.install import install_hint

train_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Train models (needs the extra `train`).",
    epilog="Start with [bold]vigil train demo[/bold]. Settings are TOML files like models/training/demo.toml; a run "
    "that was interrupted goes on when the same command is given again.",
)

Config = Annotated[Path | None, typer.Option(help="TOML configuration (default: the shipped demo.toml).")]
FullConfig = Annotated[Path | None, typer.Option(help="TOML configuration (default: the shipped full.toml).")]
Out = Annotated[Path, typer.Option(help="Run folder: settings, checkpoints, logs (CSV, TensorBoard), bundle.")]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Take the stages before this one over from that run; refused where settings, seed or data differ. Of a "
        "bundle that carries its model: begin with its weights.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from the run folder's last checkpoint.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Replaces the configuration's seed.")]


@train_app.command(epilog="Example: vigil train demo --out runs/demo")
def demo(
    out: Out = Path("runs/demo"),
    config: Config = None,
    base: From = None,
    resume: Resume = True,
    seed: Seed = None,
) -> None:
    """Train the demo model from nothing on the built-in simulator: about forty minutes on two cores.

    Simulates the patients, trains every stage, calibrates on patients of their own, writes figures on held-out ones and
    exports a bundle for `vigil run --bundle runs/demo/bundle`.
    """
    _whole("DEMO_CONFIG", out, config, base, resume, seed)


@train_app.command(epilog="Example: vigil train full --out runs/full --seed 21")
def full(
    out: Out = Path("runs/full"),
    config: FullConfig = None,
    base: From = None,
    resume: Resume = True,
    seed: Seed = None,
) -> None:
    """Train what is shipped: as `demo`, for longer, and single-sensor students; hours on two cores, less on a GPU."""
    _whole("FULL_CONFIG", out, config, base, resume, seed)


@train_app.command(epilog="Example: vigil train pretrain --config my.toml --out runs/mine")
def pretrain(out: Out, config: Config = None, base: From = None, resume: Resume = True, seed: Seed = None) -> None:
    """Make the windows and pre-train the modality encoders (DP-NeuroNet): minutes at demo size.

    Done once per seed and backbone: other runs take the encoders over with `--from`.
    """
    _until("pretrain", out, config, base, resume, seed)


@train_app.command(epilog="Example: vigil train fuse --config ablation.toml --from runs/demo --out runs/no-context")
def fuse(out: Out, config: Config = None, base: From = None, resume: Resume = True, seed: Seed = None) -> None:
    """Train PhysioME's main stage, or another objective on the same stack: about ten minutes at demo size.

    Encoders are frozen but for LoRA; fusion, restoration decoders and heads learn with sensors lost at random.
    """
    _until("fusion", out, config, base, resume, seed)


@train_app.command(epilog="Example: vigil train heads --config heads.toml --from runs/demo --out runs/heads")
def heads(out: Out, config: Config = None, base: From = None, resume: Resume = True, seed: Seed = None) -> None:
    """Train the heads again on everything else frozen, on complete windows or with losses: minutes at demo size."""
    _until("heads", out, config, base, resume, seed)


@train_app.command(epilog="Example: vigil train risk --config risk.toml --from runs/demo --out runs/risk")
def risk(out: Out, config: Config = None, base: From = None, resume: Resume = True, seed: Seed = None) -> None:
    """Train the head for the risk of hypotension to convergence on everything else frozen: minutes at demo size."""
    _until("risk", out, config, base, resume, seed)


@train_app.command(epilog="Example: vigil train selfmask --from runs/demo --config random-masks.toml --out runs/random")
def selfmask(out: Out, config: Config = None, base: From = None, resume: Resume = True, seed: Seed = None) -> None:
    """Train SelfMask's predictor on frozen encoders and heads: minutes at demo size."""
    _until("selfmask", out, config, base, resume, seed)


@train_app.command(epilog="Example: vigil train waves --from runs/demo --config waves.toml --out runs/waves")
def waves(out: Out, config: Config = None, base: From = None, resume: Resume = True, seed: Seed = None) -> None:
    """Train the decoders of restored waves on everything else frozen: a few minutes at demo size."""
    _until("waves", out, config, base, resume, seed)


@train_app.command(epilog="Example: vigil train distil --from runs/full --out runs/full/students")
def distil(
    base: Annotated[Path, typer.Option("--from", metavar="RUN", help="Finished run, or bundle, whose encoders teach.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the students (default: students in the run).")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML configuration with a section [distil] (default: the run's own).")
    ] = None,
) -> None:
    """Distil a finished run into students of one sensor each (PaCX), with a bundle each: minutes at demo size."""
    students = _load("models.making.students")
    students.train_students(base, out, config, _bars())


def _whole(shipped: str, out: Path, config: Path | None, base: Path | None, resume: bool, seed: int | None) -> None:
    settings = _settings(shipped, config, seed)
    _load("models.making.demo").train_demo(out, config=settings, resume=resume, progress=_bars(), base=base)


def _until(stage: str, out: Path, config: Path | None, base: Path | None, resume: bool, seed: int | None) -> None:
    """Trains up to ``stage``; what comes before it must be in ``base``, if that is given."""
    settings = _settings("DEMO_CONFIG", config, seed)
    if stage != "pretrain" and getattr(settings, stage).steps == 0:
        where = config or "the shipped demo.toml"
        raise BadInput(f"steps above 0 in [{stage}]", f"0 in {where}", "add that section to the configuration")
    pipeline = _load("models.training.pipeline")
    needs = pipeline.STAGES[: pipeline.STAGES.index(stage)]
    pipeline.train_stages(out, settings, resume, _bars(), until=stage, base=base, needs=needs)


def _settings(shipped: str, config: Path | None, seed: int | None) -> Any:
    import msgspec

    module = _load("models.training.config")
    settings = module.load_config(config or getattr(module, shipped))
    return settings if seed is None else msgspec.structs.replace(settings, seed=seed)


def _bars() -> Any:
    return _load("models.training.progress").ProgressBars()


def _load(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"Training needs {error.name}, which is not installed; run: {install_hint('train')}."
        ) from error
