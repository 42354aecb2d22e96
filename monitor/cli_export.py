"""``vigil export``: a trained run as a bundle that the monitor loads."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from models.signals.errors import BackendUnavailable
from models.signals.install import install_hint


def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="Folder of a finished `vigil train`, its model.safetensors, or a bundle that carries it."),
    ],
    bundle: Annotated[Path, typer.Argument(help="Folder to write; it must not exist.")],
    imputing: Annotated[
        bool | None,
        typer.Option(
            "--imputing/--plain",
            show_default=False,
            help="With the imputers in the graph, or without (default: as the run's own bundle).",
        ),
    ] = None,
) -> None:
    """Write a trained model as a bundle: graph, specification, golden cases and card (needs the extra `train`).

    What ONNX Runtime computes from it is proved to be what torch does, on every golden case. The run's own bundle was
    made so too: this is for a run or a bundle from before an update, or a run whose bundle was lost.
    """
    try:
        export_run = import_module("models.making.export_run").export_run
        bars = import_module("models.training.progress").ProgressBars()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("models", "monitor"):
            raise
        raise BackendUnavailable(
            f"Export needs {error.name}, which is not installed; run: {install_hint('train')}."
        ) from error
    written = export_run(checkpoint, bundle, bars, imputing)
    typer.echo(f"wrote {written}; run it: vigil run --bundle {written}")
