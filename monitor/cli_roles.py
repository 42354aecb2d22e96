"""``vigil source``, ``vigil worker``, ``vigil display``, ``vigil record``: see :mod:`monitor.roles`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.signals.aliases import parse_overrides
from monitor.cli_options import (
    Backend,
    Broker,
    Bundle,
    Config,
    Imputer,
    LogJson,
    Metrics,
    Mute,
    Partitions,
    Precision,
    Prefix,
    WidestEstimate,
)
from monitor.config import in_force
from monitor.settings import RunSettings, parse_drops, parse_speed, with_model


def source(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="As of `vigil run`: each is a bed; a folder: each recording in it."),
    ],
    bed: Annotated[
        list[str] | None, typer.Option("--bed", help="Name of a bed, once for each source (default: 1, 2, …).")
    ] = None,
    broker: Broker = None,
    prefix: Prefix = None,
    partitions: Partitions = None,
    speed: Annotated[str, typer.Option(help="0.25–50 times real time, or max: as fast as the workers are.")] = "1",
    from_s: Annotated[
        float, typer.Option("--from", help="Start at this time, seconds from the recording's start.")
    ] = 0.0,
    for_s: Annotated[float | None, typer.Option("--for", help="Stop after this many seconds of the recording.")] = None,
    channels: Annotated[
        list[str] | None, typer.Option(help="Which track is which signal: ECG=II,ABP=ART,RESP=none.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Withhold a sensor: ABP:120-240.")] = None,
    stay: Annotated[bool, typer.Option("--stay", help="Stay at the end, so that a display may go back.")] = False,
    config: Config = None,
    metrics: Metrics = None,
    log_json: LogJson = None,
) -> None:
    """Play recordings to a broker, each as a bed, for workers and displays elsewhere."""
    from monitor.events import events
    from monitor.roles import run_source

    force = in_force(config, _ward(broker, prefix, partitions) | _says(metrics, log_json))
    settings = RunSettings(
        sources=tuple(sources),
        names=tuple(bed or ()),
        speed=parse_speed(speed),
        from_s=from_s,
        for_s=for_s,
        channels=parse_overrides(channels or []),
        drops=parse_drops(drop or []),
    )
    with events(force.keys.log, "source") as say:
        raise typer.Exit(run_source(settings, force, say, stay=stay))


def worker(
    broker: Broker = None,
    prefix: Prefix = None,
    partitions: Partitions = None,
    bundle: Bundle = None,
    backend: Backend = None,
    precision: Precision = None,
    imputer: Imputer = None,
    widest_estimate: WidestEstimate = None,
    config: Config = None,
    metrics: Metrics = None,
    log_json: LogJson = None,
) -> None:
    """Numerics, alarms and the model for the beds of a broker, shared with every other worker there."""
    from monitor.events import events
    from monitor.roles import run_worker

    model = model_flags(bundle, backend, precision, imputer, widest_estimate)
    force = in_force(config, _ward(broker, prefix, partitions) | _says(metrics, log_json) | model)
    with events(force.keys.log, "worker") as say:
        raise typer.Exit(run_worker(with_model(RunSettings(), force.keys.worker), force, say))


def display(
    broker: Broker = None,
    prefix: Prefix = None,
    partitions: Partitions = None,
    bed: Annotated[str, typer.Option(help="The bed to show first (default: the first that is heard of).")] = "",
    recording: Annotated[
        Path | None,
        typer.Option(help="What `vigil record` writes of this broker: the trends begin there, and one can look back."),
    ] = None,
    mute: Mute = None,
    config: Config = None,
) -> None:
    """The bedside display of the beds of a broker."""
    from monitor.roles import run_display

    raise typer.Exit(run_display(in_force(config, _ward(broker, prefix, partitions) | muted(mute)), bed, recording))


def record_ward(
    out: Annotated[
        Path | None,
        typer.Argument(metavar="OUT.mcap", help="What to record into: one file for all beds (default: by date and "
                       "time, in the folder of the settings or the user's own)."),
    ] = None,
    broker: Broker = None,
    prefix: Prefix = None,
    partitions: Partitions = None,
    config: Config = None,
    metrics: Metrics = None,
    log_json: LogJson = None,
) -> None:  # fmt: skip
    """Record everything that a broker carries, to be played or converted later."""
    from monitor.events import events
    from monitor.roles import run_record

    force = in_force(config, _ward(broker, prefix, partitions) | _says(metrics, log_json))
    with events(force.keys.log, "record") as say:
        raise typer.Exit(run_record(out, force, say))


def model_flags(
    bundle: Path | None, backend: str | None, precision: str | None, imputer: str | None, widest_estimate: str | None
) -> dict[str, object]:
    """What the command line says of the model."""
    return {
        "worker.bundle": bundle,
        "worker.backend": backend,
        "worker.precision": precision,
        "worker.imputer": imputer,
        "worker.widest_estimate": widest_estimate,
    }


def _ward(broker: str | None, prefix: str | None, partitions: int | None) -> dict[str, object]:
    return {"broker.url": broker, "broker.prefix": prefix, "broker.partitions": partitions}


def muted(mute: bool | None) -> dict[str, object]:
    """What ``--mute`` says: nothing, where it is not given."""
    return {"sound.on": False if mute else None}


def _says(metrics: int | None, log_json: bool | None) -> dict[str, object]:
    return {"metrics.port": metrics, "log.json": log_json}
