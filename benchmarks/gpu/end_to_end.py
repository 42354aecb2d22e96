"""The whole program with its model on the GPU: wards of several sizes at real time, and their latencies.

Runs ``vigil run`` as ``python -m benchmarks ward`` does. A ward of eight on ONNX Runtime comes last, for comparison.
"""

from __future__ import annotations

from benchmarks.gpu.book import Book
from benchmarks.gpu.engines import built_sets
from benchmarks.gpu.part import PartRequest
from benchmarks.ward import run_beds
from models.runtime.backend import BUCKETS
from models.runtime.select import REFERENCE

STARTS_S = 15.0
"""Imports, the model and the end of a run, beside the seconds that it plays."""
LEAST_S, MOST_S = 20, 60
PERCENTILES = ("p50", "p99", "max")


def run(book: Book, request: PartRequest) -> None:
    """See the module."""
    whole = [row for row in built_sets(request) if row["passed"] and tuple(row["buckets"]) == BUCKETS]
    if not whole:
        book.say(
            "No ward was run on the GPU: it takes engines of every batch size that pass the gate, and there are none."
        )
        return
    best = min(whole, key=lambda row: ("fp16", "bf16", "fp32").index(row["precision"]))
    comparison = (8, REFERENCE, "fp32", request.bundle)
    runs = [(beds, best["backend"], best["precision"], request.bundle) for beds in request.beds] + [comparison]
    for at, (beds, backend, precision, bundle) in enumerate(runs):
        seconds = int(min(MOST_S, book.left() / (len(runs) - at) - STARTS_S))
        if seconds < LEAST_S:
            book.say(f"A ward of {beds} on {backend} was not run: the time does not allow {LEAST_S} s of it.")
            continue
        more = ["--bundle", bundle] if bundle else []
        _one(book, beds, seconds, "--backend", backend, "--precision", precision, *more)


def _one(book: Book, beds: int, seconds: int, *arguments: str) -> None:
    report, load = run_beds(beds, seconds, *arguments)
    latency = report["latency_ms"]
    told = {
        f"{words} {p} (ms)": latency.get(stage, {}).get(p)
        for words, stage in (("sample → out", "sample_to_feed"), ("window → prediction", "window_to_prediction"))
        for p in PERCENTILES
    }
    book.row(
        "wards", backend=report["backend"], precision=report["precision"], beds=beds, seconds=seconds,
        windows=report["windows"], predictions=report["predictions"], invalid=report["invalid_predictions"],
        skipped=report["skipped_windows"], fell_back_s=report["slowed_seconds"], cores=round(load.cores, 2),
        memory_mb=report["peak_rss_mb"], service=report["service"], **told,
    )  # fmt: skip
    for note in report["backend_notes"]:
        book.say(f"{beds} beds on {report['backend']}: {note}.")
