"""How long a batch takes on each engine that was built: by recorded launch and step by step, beside ONNX Runtime.

Times are taken as ``python -m benchmarks inference`` takes them: every contender once a round, on the same windows,
copies in and out included. Layers are timed by the library's own profiler, one by one.
"""

from __future__ import annotations

from benchmarks.gpu.book import Book
from benchmarks.gpu.engines import FIRST, built_sets
from benchmarks.gpu.part import PartRequest
from benchmarks.inference import Contender, Stream, Timing, open_contender, time_batch
from benchmarks.roofline import launches_ms
from models.runtime.backend import Arrays, Backend, HasBuckets, Replays, RuntimeOptions
from models.runtime.bundle import load_bundle
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.tensorrt.backend import TensorRTBackend
from models.signals.errors import BackendFailed, BackendUnavailable

PLAIN = "without recorded launches"
LARGEST_ON_CPU = 8
"""ONNX Runtime is in no larger batch: one of its runs would be a hundred rounds of the others."""
LAYERS_TOLD = 40  # the slowest ones; what is left is told as one sum
PROFILED_RUNS = 20


class StepByStep:
    """A backend that replays recorded launches, without replaying them."""

    def __init__(self, inner: Backend) -> None:
        assert isinstance(inner, Replays)
        self._inner, self.info = inner, inner.info

    def warm_up(self) -> None:
        """Nothing: the other one is warm."""

    def run(self, inputs: Arrays) -> Arrays:
        """As :meth:`models.runtime.backend.Replays.run_plain`."""
        return self._inner.run_plain(inputs)

    def close(self) -> None:
        """Nothing: the engines are the other one's."""


def run(book: Book, request: PartRequest) -> None:
    """See the module."""
    bundle = load_bundle(request.bundle or None)
    opened: list[Contender] = []
    for row in built_sets(request):
        options = RuntimeOptions(precision=row["precision"], buckets=tuple(row["buckets"]))
        try:
            opened.append(open_contender(bundle, row["backend"], options))
        except (BackendUnavailable, BackendFailed) as error:
            book.say(f"{row['backend']} {row['precision']} was built but is not timed: {error}.")
    if not opened:
        book.say("No engine of a GPU was built, so none is timed.")
        return
    plain = [
        Contender(f"{c.name}, {PLAIN}", c.precision, StepByStep(c.backend))
        for c in opened
        if isinstance(c.backend, Replays)
    ]
    cpu = Contender("onnx", "fp32", OnnxBackend(bundle.model_path, bundle.spec, kept_frames=0))
    try:
        _times(book, Stream(bundle), opened, plain, cpu)
        _layers(book, opened)
    finally:
        for contender in [*opened, cpu]:
            contender.backend.close()


def _times(book: Book, stream: Stream, opened: list[Contender], plain: list[Contender], cpu: Contender) -> None:
    every = sorted({b for c in opened for b in _buckets(c)}, key=lambda b: (b not in FIRST, b))
    for at, batch in enumerate(every):
        now = [c for c in opened if batch in _buckets(c)]
        names = {(c.name, c.precision) for c in now}
        now += [c for c in plain if (c.name.removesuffix(f", {PLAIN}"), c.precision) in names]
        now += [cpu] if batch <= LARGEST_ON_CPU else []
        for contender, timing in zip(now, time_batch(now, stream, batch, _share(book, every, at)), strict=True):
            book.row("batches", **_told(timing, contender.launches(batch)))


def _share(book: Book, every: list[int], at: int) -> float:
    """Seconds for one batch size: nine tenths of what is left, shared by those that are left."""
    return 0.9 * book.left() / (len(every) - at)


def _told(timing: Timing, kernels: int | None) -> dict[str, object]:
    low, high = launches_ms(kernels) if kernels else (None, None)
    return {
        "backend": timing.name, "precision": timing.precision, "batch": timing.batch,
        "p50_ms": round(timing.p50_ms, 4), "p99_ms": round(timing.p99_ms, 4),
        "windows_per_s": round(timing.windows_per_s), "rounds": timing.rounds, "kernels": kernels,
        "launches_from_ms": low, "launches_to_ms": high,
    }  # fmt: skip


def _layers(book: Book, opened: list[Contender]) -> None:
    """Of the smallest and the largest batch of each engine."""
    for contender in opened:
        if not isinstance(contender.backend, TensorRTBackend):
            continue
        for bucket in sorted({min(_buckets(contender)), max(_buckets(contender))}):
            try:
                times = contender.backend.layer_times(bucket, PROFILED_RUNS)
            except (BackendUnavailable, BackendFailed) as error:
                book.say(
                    f"{contender.name} {contender.precision}: layers of batches of {bucket} are not timed: {error}."
                )
                continue
            slowest = sorted(times.items(), key=lambda item: -item[1])
            for name, ms in slowest[:LAYERS_TOLD]:
                book.row("layers", backend=contender.name, precision=contender.precision, batch=bucket,
                         layer=name[:160], ms=round(ms, 5))  # fmt: skip
            rest = slowest[LAYERS_TOLD:]
            if rest:
                book.row("layers", backend=contender.name, precision=contender.precision, batch=bucket,
                         layer=f"{len(rest)} others", ms=round(sum(ms for _, ms in rest), 5))  # fmt: skip
            book.row("layers, sums", backend=contender.name, precision=contender.precision, batch=bucket,
                     layers=len(times), ms=round(sum(times.values()), 5))  # fmt: skip


def _buckets(contender: Contender) -> tuple[int, ...]:
    return contender.backend.buckets if isinstance(contender.backend, HasBuckets) else ()
