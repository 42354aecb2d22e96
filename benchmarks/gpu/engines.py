"""Engines of the bundle: built, weighed, and tried by the gate on every golden case, as before they may serve.

The first engine is of batch 1 alone: it says how long one takes, and so how many batch sizes fit into the time. What
is built stays in the cache for the parts that come after.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.gpu.book import Book, Row, rows_of
from benchmarks.gpu.part import PartRequest, sentence_of
from models.runtime.backend import BUCKETS, Backend, Precision, RuntimeOptions
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.gate import GateResult, gate
from models.runtime.select import CANDIDATES, REFERENCE
from models.runtime.tensorrt.api import FLAVOURS
from models.runtime.tensorrt.cache import plan_bytes
from models.signals.errors import BackendFailed

FIRST = (1, 8, 64)
"""Batch sizes of most worth: a bed, a bay, a ward."""
SLOWER = 1.5
"""A larger batch takes longer to build than one of 1."""
WEIGHTS = {"tensorrt": {"fp16": 6.0, "bf16": 2.0, "fp32": 2.0}, "tensorrt-rtx": {"fp16": 1.0, "bf16": 0.5, "fp32": 0.5}}
"""Shares of the time: fp16 is what serves, and TensorRT-RTX builds in seconds."""


@dataclass
class BuildClock:
    """Listens to a build: when it began, and when each of its ``count`` engines was done."""

    count: int
    clock: Callable[[], float] = time.perf_counter
    began: float | None = None
    ends: list[float] = field(default_factory=list)

    def __call__(self, what: str, share: float) -> None:
        """As RuntimeOptions.progress."""
        if not what.startswith("building"):
            return
        if self.began is None:
            self.began = self.clock()
        while len(self.ends) < self.count and share >= (len(self.ends) + 1) / self.count - 1e-9:
            self.ends.append(self.clock())

    @property
    def each_s(self) -> list[float]:
        """Seconds of each engine; empty where they came from the cache."""
        if self.began is None:
            return []
        return [b - a for a, b in zip([self.began, *self.ends], self.ends, strict=False)]


def affordable(engine_s: float, left_s: float, buckets: Sequence[int] = BUCKETS) -> tuple[int, ...]:
    """Batch sizes of ``buckets`` that can be built in ``left_s``, the one of batch 1 taking ``engine_s``; none, if
    not even one can.

    >>> affordable(10.0, 50.0), affordable(10.0, 1000.0), affordable(10.0, 9.0)
    ((1, 8, 64), (1, 2, 4, 8, 16, 32, 64), ())
    """
    order = [b for b in FIRST if b in buckets] + [b for b in buckets if b not in FIRST]
    return tuple(sorted(order[: int(left_s / max(SLOWER * engine_s, 1e-9))]))


def built_sets(request: PartRequest) -> list[Row]:
    """Rows of this part, the largest set of batch sizes of each backend and precision; those that passed the gate
    first."""
    rows = [row for row in rows_of(request.folder, "engines", "engines") if row.get("buckets")]
    largest: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["backend"], row["precision"]
        if key not in largest or len(row["buckets"]) >= len(largest[key]["buckets"]):
            largest[key] = row
    return sorted(largest.values(), key=lambda row: not row["passed"])


def run(book: Book, request: PartRequest) -> None:
    """See the module."""
    bundle = load_bundle(request.bundle or None)
    build_all(book, bundle, "engines", BUCKETS, WEIGHTS)


def build_all(
    book: Book, bundle: Bundle, table: str, buckets: tuple[int, ...], weights: dict[str, dict[str, float]]
) -> None:
    """Engines of ``bundle`` by backend and precision, each in its share of the time that is left, into ``table``."""
    cancel = threading.Event()
    timer = threading.Timer(max(0.0, book.left() - 2.0), cancel.set)
    timer.daemon = True
    timer.start()
    reference = CANDIDATES[REFERENCE].load(bundle, RuntimeOptions(precision="fp32"))
    try:
        for name, by_precision in weights.items():
            if not FLAVOURS[name].is_installed:
                book.say(
                    f"{FLAVOURS[name].title} is not installed: no engine of it was built; {FLAVOURS[name].install}."
                )
                continue
            _of_backend(_Bench(book, bundle, table, reference, cancel), name, by_precision, buckets, weights)
    finally:
        timer.cancel()
        reference.close()


@dataclass(frozen=True, slots=True)
class _Bench:
    book: Book
    bundle: Bundle
    table: str
    reference: Backend
    cancel: threading.Event
    reasons: set[str] = field(default_factory=set)  # why engines of one backend could not be had

    def refused(self, what: str, reason: str) -> None:
        """Said once: what one precision lacks, the others often lack too."""
        if reason not in self.reasons:
            self.book.say(f"{what}: {reason}.")
        self.reasons.add(reason)


def _of_backend(
    bench: _Bench, name: str, by_precision: dict[str, float], buckets: tuple[int, ...],
    weights: dict[str, dict[str, float]],
) -> None:  # fmt: skip
    engine_s: float | None = None
    for precision, share in _shares(name, weights):
        allowed = share * bench.book.left()
        if engine_s is None:
            row = _built(bench, name, precision, buckets[:1])
            if row is None:
                continue
            engine_s = row["build_s"] or 0.0
            allowed -= engine_s
            chosen = affordable(engine_s, allowed, buckets)
            if len(chosen) <= 1:
                _say_short(bench.book, name, precision, buckets[:1], buckets, engine_s)
                continue
        else:
            chosen = affordable(engine_s, allowed, buckets)
        if len(chosen) < len(buckets):
            _say_short(bench.book, name, precision, chosen, buckets, engine_s)
        if chosen:
            _built(bench, name, precision, chosen)


def _shares(name: str, weights: dict[str, dict[str, float]]) -> Iterator[tuple[Precision, float]]:
    """Precisions of a backend, best first, and the share of what is then left: later ones, and later backends that are
    installed, have theirs too."""
    later = [sum(w.values()) for other, w in weights.items() if other != name and FLAVOURS[other].is_installed]
    names = list(weights)
    after = sum(later) if names.index(name) == 0 else 0.0
    left = sum(weights[name].values()) + after
    for precision in CANDIDATES[name].precisions:
        if precision in weights[name]:
            yield precision, weights[name][precision] / left
            left -= weights[name][precision]


def _built(bench: _Bench, name: str, precision: Precision, buckets: tuple[int, ...]) -> Row | None:
    """The engines' row; None, and a sentence, where they cannot be had."""
    watch = BuildClock(len(buckets))
    options = RuntimeOptions(precision=precision, buckets=buckets, progress=watch, cancel=bench.cancel)
    began = time.perf_counter()
    try:
        backend = CANDIDATES[name].load(bench.bundle, options)
    except Exception as error:  # noqa: BLE001 - whatever a library raises, the next precision is tried
        bench.refused(f"{name} {precision}, batches of {_words(buckets)}", sentence_of(error))
        for bucket, seconds in zip(buckets, watch.each_s, strict=False):
            bench.book.row(f"{bench.table}: built before it ended", backend=name, precision=precision, batch=bucket,
                           build_s=round(seconds, 2))  # fmt: skip
        return None
    loaded = time.perf_counter()
    try:
        result = _tried(bench, backend)
        key = getattr(backend, "cache_key", None)
        sizes = plan_bytes(key) if key else {}
        each = dict(zip(buckets, watch.each_s, strict=False))
        row: Row = {
            "backend": name, "precision": precision, "buckets": list(buckets), "passed": result.passed,
            "build_s": round(sum(each.values()), 2) if each else None, "load_s": round(loaded - began, 2),
            "gate_s": round(time.perf_counter() - loaded, 2), "of_limit": round(result.share, 4),
            "gate": result.words(), "worst": {n: round(v, 6) for n, v in result.worst.items()},
            "detail": backend.info.detail,
        }  # fmt: skip
        bench.book.row(bench.table, **row)
        if not each:
            bench.book.say(f"{name} {precision}, batches of {_words(buckets)} came from the cache: no time of a build.")
        kernels = getattr(backend, "kernels", {})
        for bucket in buckets:
            bench.book.row(
                f"{bench.table} by batch", backend=name, precision=precision, batch=bucket,
                build_s=round(each[bucket], 2) if bucket in each else None,
                plan_mb=round(sizes[bucket] / 2**20, 2) if bucket in sizes else None, kernels=kernels.get(bucket),
            )  # fmt: skip
        return row
    finally:
        backend.close()


def _tried(bench: _Bench, backend: Backend) -> GateResult:
    try:
        backend.warm_up()
        return gate(bench.bundle, backend, bench.reference)
    except BackendFailed as error:
        return GateResult(
            passed=False, reason=str(error), backend=backend.info.name, precision=backend.info.precision, buckets=[],
            cases=0, worst={}, share=0.0, rules="",
        )  # fmt: skip


def _say_short(
    book: Book, name: str, precision: str, chosen: Sequence[int], buckets: Sequence[int], engine_s: float
) -> None:
    missing = [b for b in buckets if b not in chosen]
    book.say(
        f"{name} {precision}: batches of {_words(missing)} were not built, since one engine takes {engine_s:.0f} s and "
        "the time does not allow it; a larger --minutes does."
    )


def _words(buckets: Sequence[int]) -> str:
    return ", ".join(map(str, buckets))
