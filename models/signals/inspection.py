"""What a recording holds and what each track is taken for: the content of ``vigil inspect``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.signals.channels import map_channels
from models.signals.device_numerics import series_of
from models.signals.errors import BadInput
from models.signals.guesses import Guess, guess
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.recording import Recording, TrackKind

MAX_GUESSED = 64
"""So many unknown tracks are looked at: a sleep laboratory's file has hundreds."""


@dataclass(frozen=True, slots=True)
class TrackReport:
    """One track: rates in Hz (None for numerics and events), times in seconds from time zero.

    ``taken_for`` is the modality it is read as, None where it is not; ``reason`` says why a track that would have
    been taken was not ("" otherwise). ``guess``: what an unknown wave looks like, of a modality that nothing is taken
    for. ``gaps_s`` are the stretches without data. ``number``: a device's that it is taken for, "" for none.
    """

    name: str
    kind: TrackKind
    unit: str
    rate_hz: float | None
    start_s: float
    end_s: float
    samples: int
    gaps_s: tuple[tuple[float, float], ...]
    taken_for: Modality | None
    reason: str
    guess: Guess | None = None
    number: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A recording in words and numbers.

    ``duration_s``: from time zero to the end of the last mapped wave; of the whole recording where nothing is mapped.
    ``zero_s``: recording time of time zero, the first sample of any mapped track. ``problem``: why nothing can be
    mapped ("" if something is). ``notes``: what the reader found odd.
    """

    source: str
    name: str
    duration_s: float
    zero_s: float
    tracks: tuple[TrackReport, ...]
    problem: str
    notes: tuple[str, ...]

    @property
    def taken(self) -> dict[Modality, TrackReport]:
        """The tracks that are read, by modality."""
        return {track.taken_for: track for track in self.tracks if track.taken_for is not None}


def inspect(source: str, overrides: Mapping[str, str] | None = None) -> Inspection:
    """Open ``source`` (see :func:`models.signals.readers.opener.open_recording`) and describe it.

    A recording without a usable wave is described too, with its ``problem``. Raises BadInput where the source is not
    a recording or ``overrides`` name a track that is not there.
    """
    recording = open_recording(source)
    try:
        return describe(recording, source, overrides)
    finally:
        recording.close()


def describe(recording: Recording, source: str = "", overrides: Mapping[str, str] | None = None) -> Inspection:
    """The same for a recording that is open already."""
    taken: dict[str, Modality] = {}
    unusable: dict[str, str] = {}
    numbers: dict[str, str] = {}
    zero_s, duration_s, problem = 0.0, recording.duration_s, ""
    try:
        channels = map_channels(recording, overrides)
    except BadInput as error:
        if overrides:
            raise
        problem = str(error)
    else:
        taken = {channel.track: modality for modality, channel in channels.channels.items()}
        unusable = dict(channels.unusable)
        for modality, leads in channels.standby.items():
            unusable |= {lead.track: f"stands by for {modality.value}: the best lead serves" for lead in leads}
        numbers = {series.track: series.kind.title for series in series_of(channels, recording.tracks)}
        zero_s, duration_s = channels.zero_s, channels.duration_s
    offers = _offers(recording, taken, unusable)
    reports = tuple(
        TrackReport(
            name=track.name,
            kind=track.kind,
            unit=track.unit,
            rate_hz=track.rate_hz,
            start_s=track.start_s - zero_s,
            end_s=track.end_s - zero_s,
            samples=track.samples,
            gaps_s=tuple((begin - zero_s, end - zero_s) for begin, end in track.gaps_s),
            taken_for=taken.get(track.name),
            reason=unusable.get(track.name, ""),
            guess=offers.get(track.name),
            number=numbers.get(track.name, ""),
        )
        for track in recording.tracks
    )
    notes = tuple(getattr(recording, "notes", ()))
    return Inspection(source or recording.name, recording.name, duration_s, zero_s, reports, problem, notes)


def _offers(recording: Recording, taken: Mapping[str, Modality], unusable: Mapping[str, str]) -> dict[str, Guess]:
    """Guesses for unknown waves, by track, where the modality is still to be had."""
    unknown = [t for t in recording.tracks if t.name not in taken and t.name not in unusable]
    found = [guess(recording, track) for track in unknown[:MAX_GUESSED]]
    return {g.track: g for g in found if g is not None and g.modality not in taken.values()}
