"""``vigil bench NAME``: the benchmarks of ``python -m benchmarks``, with their own options.

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

bench_app = typer.Typer(rich_markup_mode="rich")


@bench_app.command(
    "bench",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: vigil bench inference --backend onnx --out inference.md",
)
def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which one; without it they are listed.")] = "--help",
) -> None:
    """Measure this machine: latency, inference, a ward, the display and more. `vigil bench` lists the benchmarks,
    `vigil bench NAME --help` the options of one."""
    # -P: a folder named "benchmarks" where the user happens to be must not be run instead of ours.
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks", name, *context.args],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, check=False,
    )  # fmt: skip
    raise typer.Exit(done.returncode)
