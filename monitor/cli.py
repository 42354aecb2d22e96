"""The command line: ``vigil run | play | convert | inspect | doctor``, the roles
``source | worker | display | record``, what goes with these, ``settings | deadletters``, and
``data | train | evaluate | export | bench``.

Exit codes: 0 done; 1 the session died (the reason is printed); 2 bad input (one sentence says what to do); 130 Ctrl-C.
Each command imports what it needs when it is called, so that ``--help`` and the first wave come at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from models.signals.aliases import parse_overrides
from models.signals.errors import BackendUnavailable, BadInput, VigilError
from models.signals.install import DISTRIBUTION
from monitor.cli_bench import bench_app
from monitor.cli_data import data_app
from monitor.cli_deadletters import deadletters_app
from monitor.cli_evaluate import evaluate_app
from monitor.cli_export import export
from monitor.cli_options import Backend, Bundle, Config, Imputer, LogJson, Metrics, Mute, Precision, WidestEstimate
from monitor.cli_roles import display, model_flags, muted, record_ward, source, worker
from monitor.cli_settings import settings as print_settings
from monitor.cli_train import train_app
from monitor.config import in_force
from monitor.logs import log_to_file
from monitor.settings import RunSettings, parse_drops, parse_speed, with_model

DISCLAIMER = "For research and teaching, not for clinical decisions."

app = typer.Typer(
    name="vigil",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=f"Real-time bedside monitoring that keeps working when sensors fail. {DISCLAIMER}",
    epilog="[bold]vigil[/bold] alone opens the start page; [bold]vigil run[/bold] the built-in patient on the bedside"
    " display, or, without a screen, in the terminal.",
)
app.add_typer(train_app, name="train")
app.add_typer(data_app, name="data")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(bench_app)  # a command, no group: its words go on as they are
app.add_typer(deadletters_app, name="deadletters")
app.command(epilog="Example: vigil export runs/demo my-bundle")(export)
app.command(epilog="Example: vigil source ward/ --broker kafka://localhost:9092")(source)
app.command(epilog="Example: vigil worker --broker kafka://localhost:9092 (as many as you like)")(worker)
app.command("record", epilog="Example: vigil record night.mcap --broker kafka://localhost:9092")(record_ward)
app.command(epilog="Example: vigil display --broker kafka://localhost:9092 --bed 3")(display)
app.command("settings", epilog="Example: vigil settings --config ward.toml")(print_settings)

SOURCE_HELP = (
    "demo (the built-in patient; demo:seed=7,scenario=hypovolaemia), a .vital file, a WFDB header (.hea), "
    "an .edf/.bdf file, or vitaldb:CASEID."
)


@app.command(epilog="Example: vigil run case.vital --from 600 --drop ABP:660-720 --report report.json")
def run(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help=f"{SOURCE_HELP} Each is a bed; a folder, every recording in it."),
    ] = None,
    speed: Annotated[
        str, typer.Option(help="0.25–50 times real time, or max: as fast as possible, nothing skipped.")
    ] = "1",
    from_s: Annotated[
        float, typer.Option("--from", help="Start at this time, seconds from the recording's start.")
    ] = 0.0,
    for_s: Annotated[float | None, typer.Option("--for", help="Stop after this many seconds of the recording.")] = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(help="Which track is which signal: ECG=II,ABP=ART,RESP=none (see `vigil inspect`)."),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Withhold a sensor, keeping the truth for comparison: ABP:120-240.")
    ] = None,
    bundle: Bundle = None,
    backend: Backend = None,
    precision: Precision = None,
    imputer: Imputer = None,
    widest_estimate: WidestEstimate = None,
    headless: Annotated[bool, typer.Option("--headless", help="No window; a line of progress instead.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the run's report (JSON) here.")] = None,
    vitals: Annotated[Path | None, typer.Option(help="Write vitals (CSV), one row a second.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write predictions (CSV), one row a window.")] = None,
    alarms: Annotated[Path | None, typer.Option(help="Write what alarmed, when and why (CSV), a row an event.")] = None,
    restored: Annotated[Path | None, typer.Option(help="Write every channel as shown, estimates marked (NPZ).")] = None,
    screenshot: Annotated[
        Path | None, typer.Option(help="Save a picture of the display (PNG) just before the run ends.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Record everything into this file (.mcap), to be played or converted; a device's run is, in any case."
        ),
    ] = None,
    no_record: Annotated[bool, typer.Option("--no-record", help="Record nothing, of a device either.")] = False,
    lsl_out: Annotated[
        bool, typer.Option("--lsl-out", help="Numerics and predictions as LabStreamingLayer streams.")
    ] = False,
    broker: Annotated[
        str | None, typer.Option(help="Run it over this broker (kafka://HOST:PORT) instead of inside the process.")
    ] = None,
    mute: Mute = None,
    config: Config = None,
    metrics: Metrics = None,
    log_json: LogJson = None,
) -> None:
    """Replay recordings (or the built-in patient) through the monitor, each as a bed."""
    from monitor.events import events
    from monitor.run import run_session

    said = {"broker.url": broker, "metrics.port": metrics, "log.json": log_json} | muted(mute)
    force = in_force(config, said | model_flags(bundle, backend, precision, imputer, widest_estimate))
    settings = RunSettings(
        sources=tuple(sources or ["demo"]),
        speed=parse_speed(speed),
        from_s=from_s,
        for_s=for_s,
        channels=parse_overrides(channels or []),
        drops=parse_drops(drop or []),
        headless=headless,
        report=report,
        vitals=vitals,
        predictions=predictions,
        alarms=alarms,
        restored=restored,
        screenshot=screenshot,
        record=record,
        unrecorded=no_record,
        lsl_out=lsl_out,
        # Only where it is asked for here: a ward's file shall not lead every run of a recording into the ward.
        broker=None if broker is None else force.keys.broker.url,
    )
    with events(force.keys.log, "run") as say:
        raise typer.Exit(run_session(with_model(settings, force.keys.worker), force, say))


@app.command()
def inspect(source: Annotated[str, typer.Argument(help=SOURCE_HELP)]) -> None:
    """Tracks, rates, units, duration and gaps of a recording, and what each track is taken for."""
    from monitor.inspect import print_inspection

    if not print_inspection(source):
        raise typer.Exit(2)


@app.command(epilog="Example: vigil play case.vital    and, elsewhere: vigil run lsl:")
def play(
    source: Annotated[str, typer.Argument(help=SOURCE_HELP)] = "demo",
    from_s: Annotated[float, typer.Option("--from", help="Start at this time, seconds from the start.")] = 0.0,
    for_s: Annotated[float | None, typer.Option("--for", help="Stop after this many seconds.")] = None,
    channels: Annotated[list[str] | None, typer.Option(help="Which track is which signal: ECG=II,RESP=none.")] = None,
) -> None:
    """A recording as LabStreamingLayer streams, in real time: one a channel."""
    from monitor.play import play as run_play

    overrides = parse_overrides(channels or [])
    raise typer.Exit(run_play(RunSettings(sources=(source,), from_s=from_s, for_s=for_s, channels=overrides)))


@app.command(epilog="Example: vigil convert session.mcap session.edf")
def convert(
    source: Annotated[str, typer.Argument(help=f"{SOURCE_HELP} Or a session that was recorded, .mcap.")],
    out: Annotated[Path, typer.Argument(help="What to write: NAME.hea (WFDB), NAME.edf (EDF+) or NAME.vital.")],
) -> None:
    """A recording as a file of another format: estimates as signals of their own, alarms as annotations."""
    from monitor.convert import convert as write

    for path in write(source, out):
        typer.echo(path)


@app.command()
def doctor() -> None:
    """Versions, backends and why each is or isn't usable, the Qt platform, and a three-second self-test."""
    from monitor.doctor import examine

    raise typer.Exit(examine())


def version_callback(value: bool) -> None:
    """Prints the version and leaves."""
    if value:
        from importlib.metadata import version

        typer.echo(f"vigil {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=version_callback, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before any command; the first words of ``vigil --help`` are the app's own. Without a command the start
    page, or this help where there is no screen for one."""
    if context.invoked_subcommand is not None:
        return
    from monitor.screen import UNSET, no_screen

    if lacking := no_screen():
        typer.echo(context.get_help())
        if lacking != UNSET:
            typer.echo(f"vigil: no start page, since {lacking}", err=True)
        return
    from monitor.events import events
    from monitor.front_door import FrontDoor
    from monitor.termination import termination_as_interrupt

    force = in_force()
    with events(force.keys.log, "run") as say, termination_as_interrupt():
        raise typer.Exit(FrontDoor(with_model(RunSettings(), force.keys.worker), force, say).show())


def main() -> None:
    """Entry point: turns what a user may get wrong into one sentence and exit code 2."""
    log_path = log_to_file()
    try:
        app()
    except (BadInput, BackendUnavailable) as error:
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(2)
    except VigilError as error:
        where = f" (details: {log_path})" if log_path else ""
        print(f"vigil: {error}{where}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
