"""From the tracks of a recording to channels: one per modality, in canonical units, on one time zero.

Time zero is the first sample of any mapped track; every time that a user sees is seconds from it. Times of samples
are integer nanoseconds: sample ``i`` of a channel lies at ``origin_ns + i · 1e9 / rate_hz``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from models.signals.aliases import NOT_WANTED, alias_tables, candidates, find_track, listing, modality_named
from models.signals.errors import BadInput
from models.signals.gaps import Stretch, common, with_ends
from models.signals.leads import MOST_LEADS, SEVERAL
from models.signals.modalities import MODALITIES, Modality
from models.signals.recording import Recording, Segment, Track, TrackKind
from models.signals.times import SECOND_NS
from models.signals.units import canonical_factor

MAX_DURATION_S = 31 * 86_400.0
"""A longer track is taken for a damaged time stamp."""
MIN_RATE_HZ, MAX_RATE_HZ = 5.0, 100_000.0
"""Rates outside are not those of a wave."""
LISTED_GUESSES = 4
_PROBE_S = 60.0  # length of the reads that look for a first valid sample


@dataclass(frozen=True, slots=True)
class Channel:
    """A track taken for a modality.

    ``unit`` is the canonical one; ``samples`` is the length of the index grid, missing samples included; ``origin_ns``
    is the time of index 0 from time zero; ``label`` is the track's name without its device, for the screen. ``lead``:
    its number among the leads of the modality, 0 for the preferred one.
    """

    modality: Modality
    track: str
    label: str
    rate_hz: float
    unit: str
    origin_ns: int
    samples: int
    lead: int = 0

    @property
    def end_ns(self) -> int:
        """Time just past the last sample (rounded up)."""
        return self.origin_ns + math.ceil(Fraction(self.samples * SECOND_NS) / Fraction(self.rate_hz))

    def first_index_at(self, time_ns: int) -> int:
        """Index of the first sample at or after ``time_ns``, not clipped to the channel's extent; exact."""
        samples, seconds = self.rate_hz.as_integer_ratio()
        return -((self.origin_ns - time_ns) * samples // (seconds * SECOND_NS))


@dataclass(frozen=True, slots=True)
class ChannelMap:
    """The channels of one recording. Reading is for one thread at a time, like the recording's own.

    ``channels``: the preferred one of each modality. ``zero_s``: recording time of time zero. ``unusable``: tracks that
    would have been taken, and why they were not. ``standby``: further leads, one of which may serve in its place (see
    :mod:`models.signals.leads`).
    """

    recording: Recording
    channels: dict[Modality, Channel]
    zero_s: float
    unusable: tuple[tuple[str, str], ...] = ()
    standby: dict[Modality, tuple[Channel, ...]] = field(default_factory=dict)
    _factors: dict[str, float] = field(default_factory=dict)

    @property
    def leads(self) -> dict[Modality, tuple[Channel, ...]]:
        """All channels by modality, the preferred one first."""
        return {m: (channel, *self.standby.get(m, ())) for m, channel in self.channels.items()}

    def _lead(self, modality: Modality, lead: int) -> Channel:
        """The channel of that ``lead``: what was recorded may lack the one before it. KeyError if there is none."""
        for channel in self.leads[modality]:
            if channel.lead == lead:
                return channel
        raise KeyError((modality, lead))

    @property
    def duration_s(self) -> float:
        """Seconds from time zero to the end of the last sample of any mapped track."""
        return max(channel.end_ns for leads in self.leads.values() for channel in leads) / 1e9

    def read(self, modality: Modality, start_ns: int, end_ns: int, lead: int = 0) -> Segment:
        """Samples with ``start_ns <= time < end_ns`` from time zero, canonical unit, float32, NaN where missing.

        Clipped to the channel's extent; empty where the range lies outside. Consecutive ranges give every sample
        exactly once. Raises KeyError for a modality that is not mapped.
        """
        channel = self._lead(modality, lead)
        first = min(max(channel.first_index_at(start_ns), 0), channel.samples)
        last = min(max(channel.first_index_at(end_ns), first), channel.samples)
        return self.read_indices(modality, first, last - first, lead)

    def read_indices(self, modality: Modality, first_index: int, count: int, lead: int = 0) -> Segment:
        """Samples ``first_index … first_index + count`` of a channel, clipped to its extent, as in :meth:`read`."""
        channel = self._lead(modality, lead)
        first = min(max(first_index, 0), channel.samples)
        last = min(max(first_index + count, first), channel.samples)
        if first == last:
            return Segment(first, np.zeros(0, dtype=np.float32))
        start_s = self.zero_s + channel.origin_ns / 1e9
        # Bounds half a sample away from any sample: rounding of float64 seconds cannot move one across them.
        segment = self.recording.read(
            channel.track, start_s + (first - 0.5) / channel.rate_hz, start_s + (last - 0.5) / channel.rate_hz
        )
        if segment.first_index != first or len(segment.values) != last - first:
            raise BadInput(
                f"samples {first} to {last} of {channel.track!r}",
                f"{len(segment.values)} from {segment.first_index} on",
                "the recording's index is damaged; copy or export it again",
            )
        scale = self._factors[channel.track]
        if scale == 1.0:
            return segment
        with np.errstate(over="ignore"):  # a value that no float32 holds is infinite, and then no value
            values = (segment.values * np.float64(scale)).astype(np.float32)
        values[np.isinf(values)] = np.nan
        return Segment(first, values)

    def gaps_s(self, modality: Modality, lead: int = 0) -> tuple[tuple[float, float], ...]:
        """Stretches ``[start, end)`` without data, in seconds from time zero, as the recording's structure tells."""
        track = _track(self.recording, self._lead(modality, lead).track)
        return tuple((begin - self.zero_s, end - self.zero_s) for begin, end in track.gaps_s)

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Times from time zero in seconds and values of a recorded numeric track; KeyError if there is none."""
        times, values = self.recording.numerics(track)
        return times - self.zero_s, values

    def events(self) -> list[tuple[float, str]]:
        """The recording's annotations, times from time zero."""
        return [(time - self.zero_s, text) for time, text in self.recording.events()]


def map_channels(recording: Recording, overrides: Mapping[str, str] | None = None) -> ChannelMap:
    """Take the tracks of ``recording`` for modalities, by ``aliases.toml`` and the user's ``overrides``.

    overrides: modality → track name (full, or the part after the device; any case), or ``"none"`` to leave a
    modality out. A modality that is not overridden takes the preferred track that is usable, and of an ECG the next
    ones too, as leads that stand by.

    Raises BadInput for an unknown modality or track, a track given by name that cannot be used, and where nothing
    remains.
    """
    chosen, left_out = _chosen(recording, overrides or {})
    waves = [t.name for t in recording.tracks if t.kind is TrackKind.WAVE]
    declared = {t.name: t.declared for t in recording.tracks}
    taken: dict[Modality, list[Track]] = {}
    unusable: dict[str, str] = {}
    for modality in MODALITIES:
        if modality in chosen:
            track = _track(recording, chosen[modality])
            reason = unusable_because(recording, track, modality)
            if reason:
                raise BadInput(f"a usable track for {modality}", f"{track.name!r}: {reason}", "choose another track")
            taken[modality] = [track]
        elif modality not in left_out:
            others = {*chosen.values(), *(t.name for leads in taken.values() for t in leads)}
            for name in candidates(modality, [w for w in waves if w not in others], declared):
                track = _track(recording, name)
                reason = unusable_because(recording, track, modality)
                if reason is not None:
                    unusable[name] = reason
                    continue
                leads = taken.setdefault(modality, [])
                leads.append(track)
                if len(leads) >= (MOST_LEADS if modality in SEVERAL else 1):
                    break
    if not taken:
        raise _nothing_mapped(recording, waves, unusable)
    zero_s = min(track.start_s for leads in taken.values() for track in leads)
    channels = {
        modality: [
            Channel(
                modality=modality,
                track=track.name,
                label=track.name.rpartition("/")[2].strip(" ,"),
                rate_hz=track.rate_hz or 0.0,
                unit=MODALITIES[modality].unit,
                origin_ns=round((track.start_s - zero_s) * 1e9),
                samples=track.samples,
                lead=lead,
            )
            for lead, track in enumerate(leads)
        ]
        for modality, leads in taken.items()
    }
    factors = {t.name: canonical_factor(source_unit(t, m), m) for m, leads in taken.items() for t in leads}
    return ChannelMap(
        recording,
        {modality: leads[0] for modality, leads in channels.items()},
        zero_s,
        tuple(unusable.items()),
        {modality: tuple(leads[1:]) for modality, leads in channels.items() if len(leads) > 1},
        factors,
    )


def missing_s(channels: ChannelMap) -> dict[Modality, tuple[Stretch, ...]]:
    """Where no lead of a modality has data, in seconds from time zero to the recording's end."""
    whole_s = channels.duration_s
    return {
        modality: common(
            with_ends(channels.gaps_s(modality, c.lead), c.origin_ns / 1e9, c.end_ns / 1e9, whole_s) for c in leads
        )
        for modality, leads in channels.leads.items()
    }


def source_unit(track: Track, modality: Modality) -> str:
    """The unit a track's values are in: its own, or the one assumed for the modality where the file gives none."""
    return track.unit.strip() or alias_tables()[modality].assumed_unit


def unusable_because(recording: Recording, track: Track, modality: Modality) -> str | None:
    """Why ``track`` cannot be read as ``modality`` (a clause for a sentence), or None where it can."""
    rate = track.rate_hz or 0.0
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        return f"its sampling rate is {rate:g} Hz, not {MIN_RATE_HZ:g} to {MAX_RATE_HZ:,.0f} Hz"
    if track.samples < 1:
        return "it has no samples"
    if not (math.isfinite(track.start_s) and track.samples / rate <= MAX_DURATION_S):
        return f"it would last {track.samples / rate / 86_400:,.0f} days, which no recording does"
    try:
        canonical_factor(source_unit(track, modality), modality)
    except BadInput as error:
        return f"its unit is {track.unit!r}, not {error.expected}"
    if not _has_valid_sample(recording, track):
        return "it holds no valid sample"
    return None


def _has_valid_sample(recording: Recording, track: Track) -> bool:
    """Whether any sample is a number; reads until the first one that is."""
    gap = 0
    begin = track.start_s
    while begin < track.end_s:
        while gap < len(track.gaps_s) and track.gaps_s[gap][1] <= begin:
            gap += 1
        if gap < len(track.gaps_s) and track.gaps_s[gap][0] <= begin:
            begin = track.gaps_s[gap][1]
            continue
        values = recording.read(track.name, begin, begin + _PROBE_S).values
        if np.isfinite(values).any():
            return True
        begin += _PROBE_S
    return False


def _chosen(recording: Recording, overrides: Mapping[str, str]) -> tuple[dict[Modality, str], set[Modality]]:
    waves = [t.name for t in recording.tracks if t.kind is TrackKind.WAVE]
    chosen: dict[Modality, str] = {}
    left_out: set[Modality] = set()
    for name, wanted in overrides.items():
        modality = modality_named(name)
        if wanted.strip().casefold() == NOT_WANTED and wanted not in waves:
            left_out.add(modality)
            continue
        try:
            track = find_track(wanted, waves)
        except BadInput as error:
            hint = _guessed(recording, modality)
            raise BadInput(error.expected, error.found, f"{error.remedy.rstrip('.')} {hint}".strip()) from error
        for other, same in chosen.items():
            if same == track:
                raise BadInput(
                    "a track of its own for each modality",
                    f"{track!r} for {other} and {modality}",
                    "leave one of them out",
                )
        chosen[modality] = track
    return chosen, left_out


def _guessed(recording: Recording, modality: Modality | None = None) -> str:
    """What unknown tracks look like, in words: for a sentence that asks the user to name one."""
    from models.signals.guesses import guesses  # only where something has gone wrong

    found = guesses(recording, modality)[:LISTED_GUESSES]
    return f"({'; '.join(map(str, found))})" if found else ""


def _nothing_mapped(recording: Recording, waves: list[str], unusable: Mapping[str, str]) -> BadInput:
    if unusable:
        name, reason = next(iter(unusable.items()))
        more = f" ({len(unusable) - 1} more like it)" if len(unusable) > 1 else ""
        return BadInput("at least one usable channel", f"{name!r}: {reason}{more}", "choose another recording or track")
    found = f"the wave tracks {listing(waves)}" if waves else "no wave track"
    return BadInput(
        f"at least one wave that is known as {', '.join(MODALITIES)}",
        found,
        f"name a track yourself, such as --channels ECG=NAME {_guessed(recording)}".strip()
        if waves
        else "choose another recording",
    )


def _track(recording: Recording, name: str) -> Track:
    for track in recording.tracks:
        if track.name == name:
            return track
    raise KeyError(name)
