"""The status line, as words. Pure."""

from __future__ import annotations

from streams.control import SessionStatus
from streams.feed import FeedStatus
from ui.style.language import tr

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
        return tr("model not available")
    words = f"{status.backend} {status.precision}".strip()
    more = {"failed_over": tr("failed over"), "refused": tr("a better one refused")}.get(status.service, "")
    return f"{words}, {more}" if more else words


def shortened(sentence: str) -> str:
    """One line of a tooltip; the report and `vigil doctor` have all of it."""
    return sentence if len(sentence) <= NOTE_LENGTH else sentence[: NOTE_LENGTH - 1].rstrip() + "…"


def status_words(status: SessionStatus | None, feed: FeedStatus) -> tuple[str, str]:
    """The line and its longer form for the tooltip (backend detail, both percentiles, counts)."""
    if status is None:
        return tr("starting …"), tr("The session is starting.")
    line, more = [], []
    if status.backend or status.model:
        line += [word for word in (backend_words(status), status.model) if word]
        runs = status.backend_detail or status.backend or tr("no backend")
        more.append(tr("Model: {model} on {backend}", model=status.model or tr("none"), backend=runs))
        if status.service:
            more.append(f"{tr(SERVICE[status.service])}:")
        more += [f"  {shortened(note)}" for note in status.notes]
    elif status.preparing:
        line.append(status.preparing)
        more.append(
            tr(
                "The model is on its way ({preparing}); until then waves and alarms go on without it",
                preparing=status.preparing,
            )
        )
    else:
        line.append(tr("no model"))
    if status.achieved_speed is not None:
        line.append(tr("slowed: too fast for this machine"))
        more.append(
            tr(
                "The replay runs at {achieved:.1f} times real time instead of {speed:g}: "
                "faster, samples and predictions would come too late",
                achieved=status.achieved_speed,
                speed=status.speed,
            )
        )
    if status.source_notes:
        line.append(tr("source is behind or has dropped ticks"))
        more += status.source_notes
    for stage, words in _STAGES:
        if stage in status.latency_ms:
            median, p99 = status.latency_ms[stage]
            line.append(f"{tr(words)} {median:.0f} ms")
            more.append(
                tr(
                    "{what}: median {median:.1f} ms, 99 % within {p99:.1f} ms, last minute",
                    what=tr(words),
                    median=median,
                    p99=p99,
                )
            )
    line.append(tr("{number} lost", number=status.samples_lost))
    more.append(tr("{number} samples lost between source and stream", number=status.samples_lost))
    if feed.dropped:
        line.append(tr("{number} not drawn", number=feed.dropped))
        more.append(
            tr("{number} records came faster than the display could take them and were not drawn", number=feed.dropped)
        )
    if status.recording:
        line.append(tr("REC"))
        more.append(tr("The stream is being recorded"))
    return " · ".join(line), "\n".join(more)
