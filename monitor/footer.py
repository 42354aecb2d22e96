"""The status line where there is no display."""

from __future__ import annotations

from streams.control import SessionStatus
from ui.bed.status_words import backend_words
from ui.style.words import speed_words

STILL_S = 3.0


def footer(status: SessionStatus, now_ns: int | None = None) -> str:
    """Backend (or what is being done until there is one), model, latency, losses; first, where ``now_ns`` (monotonic)
    is given, for how long a run that should go on has stood still."""
    speed = speed_words(status.speed, status.achieved_speed)
    parts = [_still(status, now_ns), speed, backend_words(status) or status.preparing, status.model]
    for stage, label in (("sample_to_feed", "sample→feed"), ("window_to_prediction", "window→prediction")):
        if stage in status.latency_ms:
            parts.append(f"{label} {status.latency_ms[stage][0]:.0f} ms")
    parts.append(f"{status.samples_lost} lost")
    return " · ".join(part for part in parts if part)


def _still(status: SessionStatus, now_ns: int | None) -> str:
    if now_ns is None or status.paused or status.ended:
        return ""
    still_s = (now_ns - min(status.heartbeat_ns, status.progress_ns)) / 1e9
    return f"NOTHING READ FOR {still_s:.0f} s" if still_s > STILL_S else ""
