"""``vigil source``, ``vigil worker``, ``vigil display``, ``vigil record``: see :mod:`monitor.roles`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.signals.aliases import parse_overrides
from monitor.settings import (
    RunSettings,
    parse_broker,
    parse_drops,
    parse_precision,
    parse_prefix,
    parse_speed,
    parse_widest,
)

Broker = Annotated[str, typer.Option("--broker", help="The Kafka to meet at: kafka://HOST:PORT.")]
Prefix = Annotated[str, typer.Option("--prefix", help="Of the names of the topics, where wards share a Kafka.")]
Partitions = Annotated[
    int, typer.Option("--partitions", min=1, max=1000, help="Of every topic: the most workers that can share the beds.")
]
BundleFolder = Annotated[Path | None, typer.Option(help="Model bundle folder (default: the shipped demo model).")]

DEFAULT_PARTITIONS = 8


def source(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="As of `vigil run`: each is a bed; a folder: each recording in it."),
    ],
    broker: Broker,
    prefix: Prefix = "",
    partitions: Partitions = DEFAULT_PARTITIONS,
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
) -> None:
    """Play recordings to a broker, each as a bed, for workers and displays elsewhere."""
    from monitor.roles import run_source

    settings = RunSettings(
        sources=tuple(sources),
        broker=parse_broker(broker),
        speed=parse_speed(speed),
        from_s=from_s,
        for_s=for_s,
        channels=parse_overrides(channels or []),
        drops=parse_drops(drop or []),
    )
    raise typer.Exit(run_source(settings, parse_prefix(prefix), partitions, stay=stay))


def worker(
    broker: Broker,
    prefix: Prefix = "",
    partitions: Partitions = DEFAULT_PARTITIONS,
    bundle: BundleFolder = None,
    backend: Annotated[
        str, typer.Option(help="auto, tensorrt, tensorrt-rtx, onnx or torch (see `vigil doctor`).")
    ] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp16, bf16 or fp32.")] = "auto",
    imputer: Annotated[str, typer.Option(help="restoration or selfmask, if the bundle holds it.")] = "restoration",
    widest_estimate: Annotated[str, typer.Option(help="Of estimated pressures, ± mmHg.")] = "10",
) -> None:
    """Numerics, alarms and the model for the beds of a broker, shared with every other worker there."""
    from monitor.roles import run_worker

    settings = RunSettings(
        broker=parse_broker(broker),
        bundle=bundle,
        backend=backend,
        precision=parse_precision(precision),
        imputer=imputer,
        widest_mmhg=parse_widest(widest_estimate),
    )
    raise typer.Exit(run_worker(settings, parse_prefix(prefix), partitions))


def display(
    broker: Broker,
    prefix: Prefix = "",
    partitions: Partitions = DEFAULT_PARTITIONS,
    bed: Annotated[str, typer.Option(help="The bed to show first (default: the first that is heard of).")] = "",
) -> None:
    """The bedside display of the beds of a broker."""
    from monitor.roles import run_display

    settings = RunSettings(broker=parse_broker(broker))
    raise typer.Exit(run_display(settings, parse_prefix(prefix), partitions, bed))


def record_ward(
    out: Annotated[Path, typer.Argument(metavar="OUT.mcap", help="What to record into: one file for all beds.")],
    broker: Broker,
    prefix: Prefix = "",
    partitions: Partitions = DEFAULT_PARTITIONS,
) -> None:
    """Record everything that a broker carries, to be played or converted later."""
    from monitor.roles import run_record

    settings = RunSettings(broker=parse_broker(broker), record=out)
    raise typer.Exit(run_record(settings, parse_prefix(prefix), partitions))
