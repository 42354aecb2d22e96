"""``vigil evaluate …``: what a trained run is worth, as tables (Markdown and CSV) and plots (PNG).

Each command takes one or more run folders of ``vigil train``, or bundles that carry their model, and a folder to write
to. Several runs of one configuration with different seeds are reported as means with their spread over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from models.signals.errors import BackendUnavailable, BadInput
from models.signals.install import install_hint

ELSEWHERE = {"students": "models.making.student_figures"}
"""Topics whose evaluation trains as well, and lies above ``models.evaluation``."""

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
        help="Run folders of `vigil train`, or bundles with their model; several seeds of one configuration are "
        "averaged.",
        metavar="RUN…",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for tables and plots; files of the same name are replaced.")]
Windows = Annotated[
    Path | None,
    typer.Option(
        help="Where the windows lie, or are made (default: the run's own; of a bundle's model the user's cache).",
        metavar="FOLDER",
    ),
]
Recordings = Annotated[
    list[str] | None,
    typer.Option(
        help="Where the recordings of a site of the configuration are now; may be given again.", metavar="SITE=FOLDER"
    ),
]


@evaluate_app.command(epilog="Example: vigil evaluate restoration runs/seed1 runs/seed2 runs/seed3 --out tables")
def restoration(
    runs: Runs, out: Out = Path("evaluation/restoration"), windows: Windows = None, recordings: Recordings = None
) -> None:
    """How well absent sensors are restored, imputer by imputer.

    One frozen encoder set and head, only the imputer swapped: zero, random, mean, hold, memory and mask token, ridge,
    delay regression, beat template, PhysioME restoration, SelfMask, oracle; every subset of sensors, gaps from one
    second to ten minutes, noise as well as absence.
    """
    _evaluate("restoration", runs, out, windows, recordings)


@evaluate_app.command(epilog="Example: vigil evaluate hypotension runs/demo --out tables")
def hypotension(
    runs: Runs, out: Out = Path("evaluation/hypotension"), windows: Windows = None, recordings: Recordings = None
) -> None:
    """Risk of hypotension within 5, 10 and 15 min, beside the current MAP.

    Forward in time, every time point, by patient; AUROC, AUPRC with prevalence, PPV at 80 % sensitivity, alarms per
    hour, event sensitivity and lead time, calibration; each sensor subset; the gain over current MAP with its interval.
    """
    _evaluate("hypotension", runs, out, windows, recordings)


@evaluate_app.command(epilog="Example: vigil evaluate depth runs/demo --out tables")
def depth(
    runs: Runs, out: Out = Path("evaluation/depth"), windows: Windows = None, recordings: Recordings = None
) -> None:
    """Depth of anaesthesia (not BIS): error, bias, prediction probability and coverage by sensor subset.

    Apart: patients in whom depth and pressure are decoupled, so that pressure cannot stand in for the EEG.
    """
    _evaluate("depth", runs, out, windows, recordings)


@evaluate_app.command(epilog="Example: vigil evaluate sleep runs/sleep --out tables")
def sleep(
    runs: Runs, out: Out = Path("evaluation/sleep"), windows: Windows = None, recordings: Recordings = None
) -> None:
    """Sleep stages on prepared Sleep-EDF data: accuracy, macro-F1, kappa and AUC of every subset of channels.

    Give one run a fold: folds are by subject, and the figures are of each fold's own test subjects.
    """
    _evaluate("sleep", runs, out, windows, recordings)


@evaluate_app.command(epilog="Example: vigil evaluate calibration runs/demo --out tables")
def calibration(
    runs: Runs, out: Out = Path("evaluation/calibration"), windows: Windows = None, recordings: Recordings = None
) -> None:
    """Whether intervals and risks mean what they say, by share of missing sensors and age of the last measurement.

    Coverage and width of the 80 % intervals of MAP, SBP, DBP and depth; reliability of the risks by number of absent
    sensors, before and after the temperature.
    """
    _evaluate("calibration", runs, out, windows, recordings)


@evaluate_app.command(epilog="Example: vigil evaluate invariance runs/demo runs/random_init --out tables")
def invariance(
    runs: Runs, out: Out = Path("evaluation/invariance"), windows: Windows = None, recordings: Recordings = None
) -> None:
    """What the representation knows and what moves it.

    Linear probes of heart rate, transit time, QT and spectral edge under simulator sweeps; the distance between a
    subset's representation and the full one; the share of each modality in each task (removed, permuted, Shapley);
    known against unknown devices. Each run has its own rows: give a randomly initialised one to see what
    pre-training gains.
    """
    _evaluate("invariance", runs, out, windows, recordings)


@evaluate_app.command(epilog="Example: vigil evaluate students runs/full --out tables")
def students(
    runs: Runs, out: Out = Path("evaluation/students"), windows: Windows = None, recordings: Recordings = None
) -> None:
    """What distillation to single-sensor students is worth (one run; trains what is missing).

    Ridge probes of heart rate, MAP, depth and spectral edge with 1, 10 and 100 % of the labels; retrieval R@5 between
    sensors; whether the encoder's own task has suffered; which teachers and which loss matter (for the PPG).
    """
    _evaluate("students", runs, out, windows, recordings)


def recordings_given(words: Sequence[str]) -> dict[str, Path]:
    """Site -> folder of ``SITE=FOLDER``. Raises BadInput for what is not that, or a site given twice."""
    given: dict[str, Path] = {}
    for word in words:
        site, equals, folder = word.partition("=")
        if not (site and equals and folder):
            raise BadInput("--recordings SITE=FOLDER", repr(word), "write for example --recordings uci=data/uci")
        if site in given:
            raise BadInput("each site of --recordings once", f"{site} twice", "leave one out")
        given[site] = Path(folder)
    return given


def _evaluate(
    topic: str, folders: Sequence[Path], out: Path, windows: Path | None, recordings: Sequence[str] | None
) -> None:
    """Opens the runs, calls the topic's ``evaluate_{topic}`` and says what was written."""
    given = recordings_given(recordings or ())
    try:
        open_run: Callable[..., Any] = import_module("models.training.run_folder").open_run
        evaluate: Callable[..., object] = getattr(
            import_module(ELSEWHERE.get(topic, f"models.evaluation.{topic}")), f"evaluate_{topic}"
        )
        bars = import_module("models.training.progress").ProgressBars()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("models", "monitor"):
            raise
        raise BackendUnavailable(
            f"Evaluation needs {error.name}, which is not installed; run: {install_hint('train')}."
        ) from error
    opened = [open_run(folder, windows=windows, recordings=given) for folder in folders]
    out.mkdir(parents=True, exist_ok=True)
    for said in dict.fromkeys(run.making for run in opened):
        if said:
            typer.echo(said, err=True)
    evaluate(opened, out, bars)
    for path in sorted(out.glob("*.md")):
        typer.echo(f"wrote {path}")
