"""``vigil bench``: how fast this machine is. The rest of the benchmarks: ``python -m benchmarks``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Measure this machine.")


@bench_app.callback()
def bench() -> None:
    pass


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
    from benchmarks.inference import run

    run(bundle, backend or [], batch or [], seconds, threads, out, tuned=tune)
