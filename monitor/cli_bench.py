"""``vigil bench``: how fast this machine is. The rest of the benchmarks: ``python -m benchmarks``.

They run in a process of their own: benchmarks stand above the monitor and import it, and nothing imports upwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

_ROOT = Path(__file__).resolve().parents[1]

bench_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Measure this machine.")


@bench_app.callback()
def bench() -> None:
    """Makes ``inference`` a command of its own: an app with one command has no names."""


@bench_app.command(epilog="Example: vigil bench inference --backend onnx --out inference.md")
def inference(
    bundle: Annotated[Path | None, typer.Option(help="Model bundle folder (default: the shipped demo model).")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Only this backend; may be repeated.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Only this batch; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to measure, about.")] = 120.0,
    threads: Annotated[int | None, typer.Option(help="Threads of CPU backends (default: two at most).")] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="First choose the number of threads by measurement, and keep it for `run`.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write tables (Markdown) here, figures (JSON) beside.")] = None,
) -> None:
    """Latency and throughput of every backend, precision and batch, beside the floor computed for this machine."""
    given = {"--bundle": bundle, "--seconds": seconds, "--threads": threads, "--out": out}
    arguments = [text for name, value in given.items() if value is not None for text in (name, str(value))]
    for name, values in (("--backend", backend), ("--batch", batch)):
        arguments += [text for value in values or [] for text in (name, str(value))]
    if tune:
        arguments.append("--tune")
    # -P: a folder named "benchmarks" where the user happens to be must not be run instead of ours.
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks", "inference", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, check=False,
    )  # fmt: skip
    raise typer.Exit(done.returncode)
