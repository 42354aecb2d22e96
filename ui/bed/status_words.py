"""The status line, as words. Pure."""

from __future__ import annotations

from streams.control import SessionStatus
from streams.feed import FeedStatus

SERVICE = {
    "refused": "A better backend does not agree with the reference and may not serve",
    "failed_over": "The backend failed and another one took over",
    "unavailable": "Every backend failed; waves and alarms go on without predictions",
}
NOTE_LENGTH = 160
_STAGES = (("sample_to_screen", "sample→screen"), ("window_to_prediction", "window→prediction"))


def backend_words(status: SessionStatus) -> str:
    """What runs the model, in which precision, and whether that was meant so: ``tensorrt fp16``."""
    if status.service == "unavailable":
        return "model not available"
    words = f"{status.backend} {status.precision}".strip()
    return words + {"failed_over": ", failed over", "refused": ", a better one refused"}.get(status.service, "")


def shortened(sentence: str) -> str:
    """One line of a tooltip; the report and `vigil doctor` have all of it."""
    return sentence if len(sentence) <= NOTE_LENGTH else sentence[: NOTE_LENGTH - 1].rstrip() + "…"


def status_words(status: SessionStatus | None, feed: FeedStatus) -> tuple[str, str]:
    """The line and its longer form for the tooltip (backend detail, both percentiles, counts)."""
    if status is None:
        return "starting …", "The session is starting."
    line, more = [], []
    if status.backend or status.model:
        line += [word for word in (backend_words(status), status.model) if word]
        more.append(f"Model: {status.model or 'none'} on {status.backend_detail or status.backend or 'no backend'}")
        if status.service:
            more.append(f"{SERVICE[status.service]}:")
        more += [f"  {shortened(note)}" for note in status.notes]
    elif status.preparing:
        line.append(status.preparing)
        more.append(f"The model is on its way ({status.preparing}); until then waves and alarms go on without it")
    else:
        line.append("no model")
    if status.achieved_speed is not None:
        line.append("slowed: too fast for this machine")
        more.append(
            f"The replay runs at {status.achieved_speed:.1f} times real time instead of {status.speed:g}: "
            "faster, samples and predictions would come too late"
        )
    if status.source_notes:
        line.append("source is behind or has dropped ticks")
        more += status.source_notes
    for stage, words in _STAGES:
        if stage in status.latency_ms:
            median, p99 = status.latency_ms[stage]
            line.append(f"{words} {median:.0f} ms")
            more.append(f"{words}: median {median:.1f} ms, 99 % within {p99:.1f} ms, last minute")
    line.append(f"{status.samples_lost} lost")
    more.append(f"{status.samples_lost} samples lost between source and stream")
    if feed.dropped:
        line.append(f"{feed.dropped} not drawn")
        more.append(f"{feed.dropped} records came faster than the display could take them and were not drawn")
    if status.recording:
        line.append("REC")
        more.append("The stream is being recorded")
    return " · ".join(line), "\n".join(more)
