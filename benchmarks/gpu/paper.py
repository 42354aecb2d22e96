"""An engine of the paper's size: a network of random weights, exported, built and tried by the gate in fp16.

It is not among the parts that run by themselves: the export alone takes minutes.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.gpu.book import Book
from benchmarks.gpu.engines import build_all
from benchmarks.gpu.part import PartRequest
from benchmarks.inference import Stream, open_contender, time_batch
from models.runtime.backend import RuntimeOptions
from models.runtime.bundle import load_bundle
from models.sizes import SIZES

EXPORTED = ("vitaldb", "sleep_edfx")
BATCHES = (1, 8)
WEIGHTS = {"tensorrt": {"fp16": 1.0}, "tensorrt-rtx": {"fp16": 0.5}}
_LIMIT_BYTES = 2 << 30
_RUN_S = 5.0  # of each batch


def run(book: Book, request: PartRequest) -> None:
    """See the module."""
    import torch

    from models.export import BundleText, export_bundle, plain
    from models.physiome import PhysioME
    from models.signals.preprocessing import PREPROCESSING

    for size in EXPORTED:
        config = SIZES[size]
        if config.task != "bedside":
            book.say(f"{size} reads {config.task}, not a bedside: no graph of it is exported, and no engine built.")
            continue
        began = time.perf_counter()
        torch.manual_seed(1)
        model = plain(PhysioME(config))
        count = sum(p.numel() for p in model.parameters())
        with tempfile.TemporaryDirectory(prefix="vigil-gpu-") as scratch:
            text = BundleText(f"{size} of random weights", "0", "nothing", PREPROCESSING, f"# {size}, random weights")
            export_bundle(model, Path(scratch) / size, text, (), limit=_LIMIT_BYTES)
            bundle = load_bundle(Path(scratch) / size)
            book.row(
                "exported", size=size, parameters=count, export_s=round(time.perf_counter() - began, 1),
                graph_mb=round(bundle.model_path.stat().st_size / 2**20, 1),
            )  # fmt: skip
            del model
            build_all(book, bundle, size, BATCHES, WEIGHTS)
            stream = Stream(bundle)
            for row in book.tables.get(size, []):
                options = RuntimeOptions(precision=row["precision"], buckets=tuple(row["buckets"]))
                contender = open_contender(bundle, row["backend"], options)
                for batch in row["buckets"]:
                    (timing,) = time_batch([contender], stream, batch, _RUN_S)
                    book.row(f"{size}, speed", backend=timing.name, precision=timing.precision, batch=batch,
                             p50_ms=round(timing.p50_ms, 4), p99_ms=round(timing.p99_ms, 4),
                             kernels=contender.launches(batch))  # fmt: skip
                contender.backend.close()
