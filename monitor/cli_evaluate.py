"""``vigil evaluate …``: what a trained run is worth, as tables (Markdown and CSV) and plots (PNG).

Each command takes one or more run folders of ``vigil train`` and a folder to write to. Several runs of one
configuration with different seeds are reported as means with their spread over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from models.signals.errors import BackendUnavailable
from models.signals.install import install_hint

evaluate_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Compare trained runs honestly: tables in Markdown and CSV, plots in PNG (needs the extra `train`).",
    epilog="Start with [bold]vigil evaluate hypotension runs/demo[/bold]. Test patients are used for figures only; "
    "nothing is chosen on them. Figures of simulated patients say so.",
)

Runs = Annotated[
    list[Path],
    typer.Argument(
        help="Run folders of `vigil train`; several seeds of one configuration are averaged.", metavar="RUN…"
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for tables and plots; files of the same name are replaced.")]


@evaluate_app.command(epilog="Example: vigil evaluate restoration runs/seed1 runs/seed2 runs/seed3 --out tables")
def restoration(runs: Runs, out: Out = Path("evaluation/restoration")) -> None:
    """How well absent sensors are restored, imputer by imputer.

    One frozen encoder set and head, only the imputer swapped: zero, random, mean, hold, memory and mask token, ridge,
    delay regression, beat template, PhysioME restoration, SelfMask, oracle; every subset of sensors, gaps from one
    second to ten minutes, noise as well as absence.
    """
    _evaluate("restoration", runs, out)


@evaluate_app.command(epilog="Example: vigil evaluate hypotension runs/demo --out tables")
def hypotension(runs: Runs, out: Out = Path("evaluation/hypotension")) -> None:
    """Risk of hypotension within 5, 10 and 15 min, beside the current MAP.

    Forward in time, every time point, by patient; AUROC, AUPRC with prevalence, PPV at 80 % sensitivity, alarms per
    hour, event sensitivity and lead time, calibration; each sensor subset; the gain over current MAP with its interval.
    """
    _evaluate("hypotension", runs, out)


@evaluate_app.command(epilog="Example: vigil evaluate depth runs/demo --out tables")
def depth(runs: Runs, out: Out = Path("evaluation/depth")) -> None:
    """Depth of anaesthesia (not BIS): error, bias, prediction probability and coverage by sensor subset.

    Apart: patients in whom depth and pressure are decoupled, so that pressure cannot stand in for the EEG.
    """
    _evaluate("depth", runs, out)


@evaluate_app.command(epilog="Example: vigil evaluate sleep runs/sleep --out tables")
def sleep(runs: Runs, out: Out = Path("evaluation/sleep")) -> None:
    """Sleep stages on prepared Sleep-EDF data: accuracy, macro-F1, kappa and AUC of every subset of channels.

    Give one run a fold: folds are by subject, and the figures are of each fold's own test subjects.
    """
    _evaluate("sleep", runs, out)


@evaluate_app.command(epilog="Example: vigil evaluate calibration runs/demo --out tables")
def calibration(runs: Runs, out: Out = Path("evaluation/calibration")) -> None:
    """Whether intervals and risks mean what they say, by share of missing sensors and age of the last measurement.

    Coverage and width of the 80 % intervals of MAP, SBP, DBP and depth; reliability of the risks by number of absent
    sensors, before and after the temperature.
    """
    _evaluate("calibration", runs, out)


@evaluate_app.command(epilog="Example: vigil evaluate invariance runs/demo runs/random_init --out tables")
def invariance(runs: Runs, out: Out = Path("evaluation/invariance")) -> None:
    """What the representation knows and what moves it.

    Linear probes of heart rate, transit time, QT and spectral edge under simulator sweeps; the distance between a
    subset's representation and the full one; the share of each modality in each task (removed, permuted, Shapley);
    known against unknown devices. Each run has its own rows: give a randomly initialised one to see what
    pre-training gains.
    """
    _evaluate("invariance", runs, out)


@evaluate_app.command(epilog="Example: vigil evaluate students runs/full --out tables")
def students(runs: Runs, out: Out = Path("evaluation/students")) -> None:
    """What distillation to single-sensor students is worth (one run; trains what is missing).

    Ridge probes of heart rate, MAP, depth and spectral edge with 1, 10 and 100 % of the labels; retrieval R@5 between
    sensors; whether the encoder's own task has suffered; which teachers and which loss matter (for the PPG).
    """
    _evaluate("students", runs, out)


def _evaluate(topic: str, folders: Sequence[Path], out: Path) -> None:
    """Opens the runs, calls ``models.evaluation.{topic}.evaluate_{topic}`` and says what was written."""
    try:
        open_run: Callable[[Path], Any] = import_module("models.training.run_folder").open_run
        evaluate: Callable[..., object] = getattr(import_module(f"models.evaluation.{topic}"), f"evaluate_{topic}")
        bars = import_module("models.training.progress").ProgressBars()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("models", "monitor"):
            raise
        raise BackendUnavailable(
            f"Evaluation needs {error.name}, which is not installed; run: {install_hint('train')}."
        ) from error
    opened = [open_run(folder) for folder in folders]
    out.mkdir(parents=True, exist_ok=True)
    evaluate(opened, out, bars)
    for path in sorted(out.glob("*.md")):
        typer.echo(f"wrote {path}")
