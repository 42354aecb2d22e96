"""What a display may ask of the running session, and what it may read: the seam that `ui` knows instead of Faust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from models.signals.modalities import Modality
from streams.limit_settings import LimitSetting


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel as shown: which modality, the recording's label for it, unit, native rate in Hz, and which of several
    leads of the modality it is, 0 for the preferred one."""

    modality: Modality
    label: str
    unit: str
    rate_hz: float
    lead: int = 0


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A snapshot for the status line; cheap to take once a frame.

    latency_ms: stage -> (p50, p99) over the last minute; empty at speed max. ``error`` is set when the session died
    (a sentence for the user); ``heartbeat_ns`` is the monotonic time of the stream loop's last sign of life,
    ``progress_ns`` that at which every stage had last handled a tick, or the replay last stood by order, if later:
    in a run neither paused nor ended, a loop that beats and reads nothing and a source that gives nothing show there.
    ``service`` as in :class:`models.runtime.guard.Service`, ``notes`` its sentences: why better backends do not serve.
    ``achieved_speed``: event seconds a second where the machine does not keep ``speed``, None where it does.
    ``preparing``: what is being done until the model serves ("building TensorRT engines, fp16: 40 %"), else empty.
    ``source_notes``: sentences on how its ticks get here. ``broker_away_s``: for so long the broker has not answered.
    ``vacant``: what is waited for where there is no such bed (yet), and which there are; empty where there is.
    ``seekable``: a recording, which can be paused, sought and played at another speed; a live source cannot.
    """

    position_s: float
    duration_s: float
    speed: float | None  # None: as fast as possible
    paused: bool
    ended: bool
    backend: str
    backend_detail: str
    model: str
    samples_lost: int
    recording: bool
    heartbeat_ns: int
    latency_ms: dict[str, tuple[float, float]] = field(default_factory=dict)
    dropped: frozenset[Modality] = frozenset()
    error: str = ""
    precision: str = ""
    service: str = ""
    notes: tuple[str, ...] = ()
    preparing: str = ""
    progress_ns: int = 0  # 0: not told
    achieved_speed: float | None = None
    seekable: bool = True
    source_notes: tuple[str, ...] = ()
    broker_away_s: float = 0.0
    vacant: str = ""

    @property
    def pace(self) -> float | None:
        """Event seconds a second as they come; None: as fast as possible."""
        return self.speed if self.achieved_speed is None else self.achieved_speed


Gaps = dict[Modality, tuple[tuple[float, float], ...]]
"""Stretches [start, end) without data in s, by modality."""


@dataclass(frozen=True, slots=True)
class BedView:
    """What the session says of ``bed`` in one go, and which ``beds`` there are. events: annotations of the recording, s
    and text."""

    status: SessionStatus
    channels: tuple[ChannelInfo, ...]
    gaps_s: Gaps
    title: str
    bed: str
    beds: tuple[str, ...]
    events: tuple[tuple[float, str], ...] = ()


class SessionControl(Protocol):
    """Thread-safe; every call returns at once. A session may have several beds: all of it is about the one on show."""

    @property
    def beds(self) -> tuple[str, ...]:
        """Names of all beds."""

    @property
    def bed(self) -> str:
        """The bed on show."""

    def show(self, bed: str) -> None:
        """Another bed is on show: what is asked and told from now on is about that one."""

    @property
    def title(self) -> str:
        """What the screen calls the recording."""

    @property
    def channels(self) -> tuple[ChannelInfo, ...]:
        """The channels that are shown; empty until the recording is open."""

    @property
    def gaps_s(self) -> Gaps:
        """Stretches [start, end) without data in s, by modality."""

    def status(self) -> SessionStatus:
        """How it stands now."""

    def view(self, bed: str = "") -> BedView:
        """All of the above at once, of any bed; "" is the one on show."""

    def pause(self) -> None:
        """Stand still."""

    def resume(self) -> None:
        """Go on."""

    def set_speed(self, speed: float) -> None:
        """Event seconds a second."""

    def seek(self, time_s: float) -> None:
        """Go to ``time_s`` of the recording."""

    def step(self, seconds: float) -> None:
        """While paused, play so many seconds; else jump by them."""

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withhold a modality, or give it back."""

    def explain(self) -> None:
        """Ask what each sensor is worth to the newest prediction; the answer comes by the feed
        (:class:`streams.records.ExplainRecord`), or never: a worker may be gone."""

    def set_limits(self, limits: Iterable[LimitSetting], bed: str = "") -> None:
        """Judge the alarms of a bed by these from now on; "" is the one on show."""

    def acknowledge(self, alarms: Mapping[str, float]) -> None:
        """Somebody has seen these alarms: key -> event time in seconds at which it began."""

    def mark(self, time_s: float, word: str) -> None:
        """Mark a moment of event time, with a word or ""; it comes back by the feed, as it is recorded."""

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        """The display reports the end of paint of a tick's samples (stage ``sample_to_screen``) or of a prediction
        (``window_to_screen``), monotonic nanoseconds."""
