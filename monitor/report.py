"""The report of a run: every sample, window and alarm in numbers. The keys are stable (README, "Report")."""

from __future__ import annotations

from typing import Any

from models.signals.times import SECOND_NS
from streams.accounting import Accounting
from streams.alarm_log import AlarmCounts
from streams.latency import LatencyBook
from streams.roles.worker import WorkerRole


def run_report(
    *,
    source: str,
    beds: int,
    wall_s: float,
    complete: bool,
    accounting: Accounting,
    latency: LatencyBook | None,
    worker: WorkerRole,
    alarms: AlarmCounts,
    slowed_s: float,
) -> dict[str, Any]:
    """The run up to now. complete: every tick sent has been handled. latency: None at speed max: nothing is due.
    slowed_s: wall time by which the replay fell back, since the machine could not keep the speed."""
    backend = worker.backend
    return {
        "source": source,
        "seconds_streamed": round(accounting.counted("streamed_ns") / SECOND_NS / beds, 6),
        "wall_seconds": round(wall_s, 3),
        "slowed_seconds": round(slowed_s, 3),
        "samples": accounting.samples(complete=complete),
        "presence": accounting.presence(),
        "absent_reasons": accounting.absent_reasons(),
        "windows": accounting.counted("windows"),
        "predictions": accounting.counted("predictions"),
        "invalid_predictions": accounting.counted("invalid_predictions"),
        "skipped_windows": accounting.counted("skipped_windows"),
        "dead_letters": accounting.counted("dead_letters"),
        "dropped_ticks": accounting.counted("ticks_dropped"),
        "late_samples": accounting.counted("late_samples"),
        "alarms": alarms.report(),
        "latency_ms": latency.report() if latency is not None else None,
        "backend": backend.name if backend else None,
        "precision": backend.precision if backend else None,
        "service": (worker.service.state or "as chosen") if backend else None,
        "backend_notes": list(worker.service.notes),
        "model": worker.model or None,
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, MiB (the present one where the system keeps no peak)."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        import psutil

        memory = psutil.Process().memory_info()
        return float(getattr(memory, "peak_wset", memory.rss)) / 2**20
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
