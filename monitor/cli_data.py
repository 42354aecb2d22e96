"""``vigil data …``: real recordings to training windows on disk, split by patient."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from models.signals.errors import BadInput

data_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Turn real recordings into training windows, split by patient. Needs no GPU and no extra.",
    epilog="Start with [bold]vigil data folder RECORDINGS --need ABP,PPG[/bold]. What was prepared is trained on by a "
    "configuration whose [data] names the same source; every file that could not be used is listed with its reason.",
)

_SHOWN = 20

Out = Annotated[Path, typer.Option(help="Folder for windows and summary; what is finished there is not made again.")]
Size = Annotated[str, typer.Option(help="Size of the model that will be trained: frames and modalities of a window.")]
Stride = Annotated[int, typer.Option(help="Seconds between windows.")]
Salt = Annotated[str, typer.Option(help="Another word gives another split of the patients.")]
Processes = Annotated[int, typer.Option(help="Recordings cut at once.")]
Devices = Annotated[
    int, typer.Option(help="Cut each training recording so often again, as other devices would have shown it.")
]
Known = Annotated[float, typer.Option(help="Share of measured frames that a window needs, 0 to 1.")]


@data_app.command(epilog="Example: vigil data vitaldb --cases 50 --out data/vitaldb")
def vitaldb(
    out: Out = Path("data/vitaldb"),
    cases: Annotated[int, typer.Option(help="How many cases at most, drawn by hash; 0: all that qualify.")] = 0,
    folder: Annotated[
        str, typer.Option(help="Where case files and tables are kept (default: the user's cache; about 30 MB a case).")
    ] = "",
    download: Annotated[bool, typer.Option(help="Fetch what is missing; an interrupted download goes on.")] = True,
    least_age: Annotated[int, typer.Option(help="Youngest patient, years.")] = 18,
    least_minutes: Annotated[int, typer.Option(help="Shortest recording.")] = 60,
    one_case_a_patient: Annotated[bool, typer.Option(help="Only the first case of each patient.")] = False,
    size: Size = "demo",
    stride_s: Stride = 10,
    least_known: Known = 0.5,
    other_devices: Devices = 0,
    salt: Salt = "vigil",
    processes: Processes = 2,
) -> None:
    """VitalDB's open data set: adults, general anaesthesia, non-cardiac, with the tracks that the model reads.

    Depth is BIS with a signal quality of at least 50, shifted back by 30 s; hypotension is beat-to-beat MAP < 65 mmHg
    for 60 s. CC BY-NC-SA 4.0: mind the licence of what you train on it.
    """
    from models.data.sources import VitaldbData

    settings = _settings(
        VitaldbData, cases=cases, folder=folder, download=download, least_age=least_age, least_minutes=least_minutes,
        one_case_a_patient=one_case_a_patient, stride_s=stride_s, least_known=least_known, salt=salt,
        processes=processes, other_devices=other_devices,
    )  # fmt: skip
    _prepare(settings, size, out)


@data_app.command("sleep-edf", epilog="Example: vigil data sleep-edf physionet.org/files/sleep-edfx --fold 0")
def sleep_edf(
    path: Annotated[Path, typer.Argument(help="Folder of SC4…-PSG.edf and SC4…-Hypnogram.edf files, at any depth.")],
    out: Out = Path("data/sleep-edf"),
    fold: Annotated[int, typer.Option(help="Which of the folds is tested on.")] = 0,
    folds: Annotated[int, typer.Option(help="Folds by subject; both nights of a subject stay together.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    wake_minutes: Annotated[int, typer.Option(help="Wake kept before and after sleep.")] = 30,
    least_known: Known = 0.5,
    salt: Salt = "vigil",
    processes: Processes = 2,
) -> None:
    """Sleep-EDF Expanded, cassette study: EEG Fpz-Cz, EEG Pz-Oz and EOG in epochs of 30 s with five stages.

    Stages 3 and 4 of Rechtschaffen & Kales are N3; movement time and unscored epochs are left out.
    """
    from models.data.sources import SleepEdfData

    settings = _settings(
        SleepEdfData, path=str(path), fold=fold, folds=folds, seed=seed, wake_minutes=wake_minutes,
        least_known=least_known, salt=salt, processes=processes,
    )  # fmt: skip
    _prepare(settings, None, out)


@data_app.command(epilog="Example: vigil data folder recordings --patient 'p(\\d+)_' --exclude 'test/*' --need ABP,PPG")
def folder(
    path: Annotated[Path, typer.Argument(help="Folder of .vital, .edf, .bdf files or WFDB records, at any depth.")],
    out: Out = Path("data/folder"),
    patient: Annotated[
        str, typer.Option(help="Who is a patient: parent (folder), file, index (group in index.csv) or an expression.")
    ] = "parent",
    include: Annotated[list[str] | None, typer.Option(help="Pattern of files to take (default: all).")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Pattern of files to leave out: a test set.")] = None,
    need: Annotated[str, typer.Option(help="Modalities that every file must have; none: any.")] = "ECG,ABP,PPG",
    channels: Annotated[
        list[str] | None, typer.Option(help="Which track is which signal: ECG=II,ABP=ART (see `vigil inspect`).")
    ] = None,
    site: Annotated[str, typer.Option(help="Where it was recorded, for the index of the windows.")] = "",
    size: Size = "demo",
    stride_s: Stride = 10,
    least_known: Known = 0.5,
    other_devices: Devices = 0,
    salt: Salt = "vigil",
    processes: Processes = 2,
) -> None:
    """Any folder of WFDB, EDF or .vital files; every file is a study."""
    from models.data.sources import FolderData
    from models.signals.aliases import modality_named, parse_overrides

    wanted = [] if need.strip().casefold() == "none" else [n for n in need.split(",") if n.strip()]
    settings = _settings(
        FolderData, path=str(path), patient=patient, include=tuple(include or ["*"]), exclude=tuple(exclude or []),
        need=tuple(modality_named(n) for n in wanted), channels=parse_overrides(channels or []), site=site,
        stride_s=stride_s, least_known=least_known, salt=salt, processes=processes, other_devices=other_devices,
    )  # fmt: skip
    _prepare(settings, size, out)


def _settings(kind: Any, **values: object) -> Any:
    try:
        return kind(**values)
    except ValueError as error:
        raise BadInput("settings within their limits", str(error), "correct the option") from error


def _prepare(settings: Any, size: str | None, out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from models.data.prepare import SUMMARY, group_table, prepare_studies

    spec = None
    if size is not None:
        from models.sizes import SIZES

        fitting = [name for name, config in SIZES.items() if config.task == "bedside"]
        if size not in fitting:
            raise BadInput(f"a size out of {', '.join(fitting)}", repr(size), "choose one of these")
        spec = SIZES[size].window_spec
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    with Progress(
        TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        prepared = prepare_studies(settings, spec, out, show)
    console.print(_table(("rule", "left out", "left"), [(r.rule, r.excluded, r.left) for r in prepared.flow]))
    rows = group_table(prepared)
    columns = ("group", "patients", "studies", "windows", "measured frames", "labels", "stages")
    cells = [
        (
            r["group"],
            r["patients"],
            r["studies"],
            r["windows"],
            *(_shares(r[k]) for k in ("known", "labelled", "stages")),
        )
        for r in rows
    ]
    console.print(_table(columns, cells))
    for refusal in prepared.refused[:_SHOWN]:
        console.print(f"[yellow]left out[/yellow] {escape(refusal.study)}: {escape(refusal.reason)}")
    if len(prepared.refused) > _SHOWN:
        console.print(f"… and {len(prepared.refused) - _SHOWN} more in {escape(str(out / SUMMARY))}")
    empty = [str(r["group"]) for r in rows if not r["patients"]]
    if empty:
        console.print(
            f"[yellow]no patient in {', '.join(empty)}[/yellow]: training needs some in every group; "
            "add recordings, or try another --salt"
        )
    console.print(f"Windows and summary are in {escape(str(out))}.")


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(columns):
        number = bool(rows) and isinstance(rows[0][index], int)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    return table


def _shares(shares: Any) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items()) or "–"
