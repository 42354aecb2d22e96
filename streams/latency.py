"""Latency per stage in bounded memory: p50, p99, p99.9 and the maximum, over the whole run and over the last minute.

A histogram with logarithmic buckets (as in HdrHistogram; Tene 2012): quantiles are right to the width of a bucket,
2 %, whatever the number of values; the maximum is exact. Stages:

``sample_to_feed``        a tick's last sample is due → its tick is in the display feed
``sample_to_screen``      the same → end of the paint that shows it (told by the display)
``window_to_prediction``  the end of the window is due → its prediction is in the display feed
``window_to_screen``      the same → end of the paint that shows it (told by the display)
``inference``             the model alone, a micro-batch
``explanation``           the model alone, a leave-one-out of one window
``mailbox``               the window waits for the inference thread

A tick's oldest sample has waited one tick longer than its last one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from threading import Lock

import numpy as np

_FLOOR_MS, _CEILING_MS, _GROWTH = 0.001, 3.6e6, 1.02
_BUCKETS = math.ceil(math.log(_CEILING_MS / _FLOOR_MS) / math.log(_GROWTH)) + 2
_SLICE_S, _SLICES = 10.0, 6
_FRESH_S = 0.5


class Percentiles:
    """A histogram of milliseconds from 1 µs to 1 h; smaller and larger values go to the outermost buckets."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)
        self.count = 0
        self.max_ms = 0.0

    def add(self, ms: float) -> None:
        """Counts one latency; ValueError unless it is finite."""
        if not math.isfinite(ms):
            raise ValueError(f"a latency must be finite, got {ms}")
        bucket = 0 if ms <= _FLOOR_MS else math.ceil(math.log(ms / _FLOOR_MS) / math.log(_GROWTH))
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self.max_ms = max(self.max_ms, ms)
        self.count += 1

    def merge(self, other: Percentiles) -> None:
        """Counts all that the other has counted."""
        self._counts += other._counts
        self.count += other.count
        self.max_ms = max(self.max_ms, other.max_ms)

    def quantile(self, q: float) -> float | None:
        """The value that a fraction ``q`` does not exceed, in ms; None without values."""
        if not self.count:
            return None
        rank = max(1, math.ceil(q * self.count))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        return min(_FLOOR_MS * _GROWTH**bucket, self.max_ms) if bucket else min(_FLOOR_MS, self.max_ms)


class LatencyBook:
    """Latencies of all stages. Thread-safe.

    seconds: a monotonic clock in seconds for the sliding minute.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._total: dict[str, Percentiles] = {}
        self._recent: dict[str, deque[tuple[int, Percentiles]]] = {}
        self._recent_found: dict[str, tuple[float, float]] = {}
        self._recent_at: float | None = None

    def add_ns(self, stage: str, begin_ns: int, end_ns: int) -> None:
        """Record a stage from ``begin_ns`` to ``end_ns`` (monotonic); nothing where there was no due time (0)."""
        if begin_ns <= 0:
            return
        ms = max(0.0, (end_ns - begin_ns) / 1e6)
        now = int(self._seconds() // _SLICE_S)
        with self._lock:
            if (total := self._total.get(stage)) is None:
                total = self._total[stage] = Percentiles()
                self._recent[stage] = deque(maxlen=_SLICES + 1)
            total.add(ms)
            slices = self._recent[stage]
            if not slices or slices[-1][0] != now:
                slices.append((now, Percentiles()))
            slices[-1][1].add(ms)

    def recent(self) -> dict[str, tuple[float, float]]:
        """Stage -> (p50, p99) in ms over about the last minute; worked out anew twice a second at most."""
        now = self._seconds()
        if self._recent_at is not None and 0 <= now - self._recent_at < _FRESH_S:
            return self._recent_found
        oldest = int(now // _SLICE_S) - _SLICES
        found: dict[str, tuple[float, float]] = {}
        with self._lock:
            for stage, slices in self._recent.items():
                merged = Percentiles()
                for at, values in slices:
                    if at >= oldest:
                        merged.merge(values)
                p50, p99 = merged.quantile(0.5), merged.quantile(0.99)
                if p50 is not None and p99 is not None:
                    found[stage] = (p50, p99)
        self._recent_found, self._recent_at = found, now
        return found

    def report(self) -> dict[str, dict[str, float | None]]:
        """Stage -> p50, p99, p999, max in ms over the whole run, for the stages that were measured."""
        with self._lock:
            return {
                stage: {
                    "p50": _rounded(total.quantile(0.5)),
                    "p99": _rounded(total.quantile(0.99)),
                    "p999": _rounded(total.quantile(0.999)),
                    "max": _rounded(total.max_ms),
                }
                for stage, total in sorted(self._total.items())
            }


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 3)
