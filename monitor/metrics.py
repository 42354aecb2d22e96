"""Prometheus metrics of a role, made anew from a snapshot whenever somebody asks. No bed, title or label is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from streams.fields import PRIORITIES
from streams.snapshot import Snapshot, unwell

CONTENT_TYPE = CONTENT_TYPE_LATEST

_COUNTERS = {
    "ticks_sent": "Ticks that the sources of this process have sent.",
    "ticks_dropped": "Ticks of devices that were dropped for want of room.",
    "ticks_duplicated": "Ticks that came twice.",
    "windows": "Windows that were cut for the model.",
    "skipped_windows": "Windows that the model had no time for.",
    "dead_letters": "Messages that could not be used.",
    "late_samples": "Samples that came too late to be used.",
}
_SAMPLES = ("sent", "received", "lost", "duplicated", "withheld")


class RoleCollector(Collector):
    """Turns the snapshot that ``read`` gives into metrics; ``monotonic_ns`` is the clock of its heartbeat."""

    def __init__(self, read: Callable[[], Snapshot], monotonic_ns: Callable[[], int]) -> None:
        self._read, self._now = read, monotonic_ns

    def collect(self) -> Iterator[Metric]:
        """All metrics of this moment."""
        now = self._read()
        yield from self._general(now)
        for name, words in _COUNTERS.items():
            yield _counter(f"vigil_{name}", words, {(): now.counts[name]}, ())
        invalid = now.counts["invalid_predictions"]
        valid = now.counts["predictions"] - invalid
        yield _counter("vigil_predictions", "Predictions.", {("valid",): valid, ("invalid",): invalid}, ("kind",))
        samples = {(m, what): counts[what] for m, counts in now.samples.items() for what in _SAMPLES}
        yield _counter("vigil_samples", "Samples, by what became of them.", samples, ("modality", "what"))
        yield _counter(
            "vigil_cells", "Seconds of signal that were judged.", {(m,): n for m, n in now.cells.items()}, ("modality",)
        )
        absent = {(m, why): n for m, reasons in now.absent.items() for why, n in reasons.items()}
        yield _counter("vigil_absent_cells", "Seconds without a usable signal.", absent, ("modality", "reason"))
        yield _gauge("vigil_presence_ratio", "Share of seconds with a usable signal.", _presence(now), ("modality",))
        latency = {
            (stage, quantile): ms / 1000.0
            for stage, both in now.latency_ms.items()
            for quantile, ms in zip(("0.5", "0.99"), both, strict=True)
        }
        yield _gauge("vigil_latency_seconds", "Of the last minute, by stage.", latency, ("stage", "quantile"))

    def _general(self, now: Snapshot) -> Iterator[Metric]:
        yield _gauge("vigil_up", "1 while the health check says ok.", {(now.role,): _up(now, self._now())}, ("role",))
        age_s = (self._now() - now.heartbeat_ns) / 1e9
        yield _gauge("vigil_heartbeat_age_seconds", "Since the stream's last sign of life.", {(): age_s}, ())
        yield _gauge("vigil_beds", "Beds that it knows.", {(): now.beds}, ())
        yield _gauge("vigil_outbox_messages", "Messages that the broker has not taken yet.", {(): now.waiting}, ())
        yield _gauge("vigil_broker_away_seconds", "For how long the broker has not answered.", {(): now.away_s}, ())
        if now.courier is not None:
            yield _gauge(
                "vigil_spool_ticks", "Of devices, on disk until the broker is back.", {(): now.courier.kept}, ()
            )
            yield _gauge("vigil_spool_bytes", "On disk until the broker is back.", {(): now.courier.size}, ())
        if now.lag is not None:
            yield _gauge("vigil_consumer_lag_messages", "Messages that came and are not handled.", {(): now.lag}, ())
        if now.alarms is not None:
            standing = {(priority,): now.alarms.get(priority, 0) for priority in PRIORITIES}
            yield _gauge("vigil_alarms_standing", "Alarms that stand now.", standing, ("priority",))
        if now.recorder is not None:
            kept = {("written",): now.recorder.written, ("dropped",): now.recorder.dropped}
            yield _counter("vigil_recorder_records", "Records, by what became of them.", kept, ("what",))
            yield _gauge("vigil_recorder_waiting_bytes", "Waiting for the disk.", {(): now.recorder.waiting_bytes}, ())


def exposition(read: Callable[[], Snapshot], monotonic_ns: Callable[[], int]) -> bytes:
    """The metrics as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RoleCollector(read, monotonic_ns))
    return generate_latest(registry)


def _presence(now: Snapshot) -> dict[tuple[str, ...], float]:
    absent = {modality: sum(now.absent.get(modality, {}).values()) for modality in now.cells}
    return {(modality,): 1.0 - absent[modality] / cells for modality, cells in now.cells.items() if cells}


def _up(now: Snapshot, now_ns: int) -> float:
    return 0.0 if unwell(now, now_ns) else 1.0


def _counter(name: str, words: str, values: Mapping[Any, float], labels: tuple[str, ...]) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, float(value))
    return family


def _gauge(name: str, words: str, values: Mapping[Any, float], labels: tuple[str, ...]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, float(value))
    return family
