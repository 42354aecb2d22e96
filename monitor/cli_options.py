"""Options that several commands share: None where the command line says nothing, so that the settings file counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option("--config", help="A settings file (TOML; default: that of $VIGIL_CONFIG). See `vigil settings`."),
]
Broker = Annotated[str | None, typer.Option("--broker", help="The Kafka to meet at: kafka://HOST:PORT.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Of the names of the topics, where wards share a Kafka.")]
Partitions = Annotated[
    int | None,
    typer.Option("--partitions", help="Of every topic: the most workers that can share the beds (default: 8)."),
]
Metrics = Annotated[
    int | None,
    typer.Option("--metrics", metavar="PORT", help="Prometheus metrics and /healthz here, on this machine alone."),
]
LogJson = Annotated[
    bool | None,
    typer.Option("--log-json", help="What it says of itself as one JSON object a line.", show_default=False),
]
Bundle = Annotated[Path | None, typer.Option("--bundle", help="Model bundle folder (default: the shipped demo model).")]
Backend = Annotated[
    str | None,
    typer.Option("--backend", help="auto, tensorrt, tensorrt-rtx, onnx or torch (see `vigil doctor`; default: auto)."),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision", help="auto (the first that agrees with the reference), fp16, bf16 or fp32 (default: auto)."
    ),
]
Imputer = Annotated[
    str | None,
    typer.Option(
        "--imputer",
        help="What fills absent sensors' tokens: restoration (PhysioME), selfmask or none (default: the bundle's own).",
    ),
]
WidestEstimate = Annotated[
    str | None,
    typer.Option(
        "--widest-estimate",
        help="Show no estimated pressure whose mean has an 80 % interval beyond ± so many mmHg (default: 10).",
    ),
]
Mute = Annotated[
    bool | None,
    typer.Option("--mute", help="No sound: neither alarms nor the beat tone (Shift+M brings it).", show_default=False),
]
