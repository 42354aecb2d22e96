"""The figures of every sound, read from ``sounds.toml`` and held to IEC 60601-1-8:2006, tables 3 and 4.

The standard's bounds stand in ``BOUNDS`` (seconds); times of a pulse are taken at 90 % of its height.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec

from models.signals.errors import BadInput

LEVELS = ("low", "medium", "high")
"""Priorities of alarms, rising."""

FUNDAMENTAL_HZ = (150.0, 1000.0)
HARMONICS_HZ = (300.0, 4000.0)
LEAST_HARMONICS = 4
HARMONICS_WITHIN_DB = 15.0
RISE_SHARE = (0.10, 0.20)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one priority: pulses of a burst, their duration, the gap between two (``x``, ``y`` of the standard), and the
    interval from burst to burst, in seconds."""

    pulses: tuple[int, int]
    pulse_s: tuple[float, float]
    gap_s: tuple[float, float]
    interval_s: tuple[float, float]


BOUNDS = {
    "high": Bounds((10, 10), (0.075, 0.200), (0.050, 0.125), (2.5, 15.0)),
    "medium": Bounds((3, 3), (0.125, 0.250), (0.125, 0.250), (2.5, 30.0)),
    "low": Bounds((1, 2), (0.125, 0.250), (0.125, 0.250), (15.0, math.inf)),
}
HALVES_APART_S = (0.350, 1.300)
"""Of a high burst: from the fifth pulse to the sixth. After the third of each five comes 2 x + the pulse."""
SAME_GAP = 0.05
"""Gaps that the standard calls the same differ by no more than this share."""


class Burst(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A burst of pulses; what the fields mean stands in ``sounds.toml``."""

    pitches_hz: list[float]
    pulse_s: float
    gaps_s: list[float]
    interval_s: float
    level_db: float

    @property
    def pulses(self) -> int:
        """How many."""
        return len(self.gaps_s) + 1

    @property
    def begins_s(self) -> list[float]:
        """When each pulse reaches 90 % of its height, from that of the first."""
        begins = [0.0]
        for gap in self.gaps_s:
            begins.append(begins[-1] + self.pulse_s + gap)
        return begins


class Beat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The beat tone."""

    pitch_hz: float
    full_hz: float
    steps_per_octave: float
    lowest_hz: float
    duration_s: float
    rise_s: float
    level_db: float
    delay_s: float


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of ``sounds.toml``; ``burst`` by priority."""

    sample_rate_hz: int
    harmonics_db: list[float]
    rise_share: float
    fall_share: float
    burst: dict[str, Burst]
    beat: Beat


def parse_figures(text: str) -> Figures:
    """From TOML text; BadInput with one sentence where something is missing, unknown, or outside the standard."""
    try:
        figures = msgspec.convert(tomllib.loads(text), Figures)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadInput("the figures of every sound", str(error), "compare them with ui/sound/sounds.toml") from error
    if set(figures.burst) != set(LEVELS):
        raise BadInput(f"bursts {', '.join(LEVELS)}", ", ".join(sorted(figures.burst)) or "none", "name these three")
    _within("sample_rate_hz", figures.sample_rate_hz, 16_000, 192_000)
    _within("rise_share", figures.rise_share, *RISE_SHARE)
    for level in LEVELS:
        _hold(level, figures.burst[level], figures)
    _hold_beat(figures.beat)
    return figures


def _hold(level: str, burst: Burst, figures: Figures) -> None:
    bounds, where = BOUNDS[level], f"[burst.{level}]"
    _within(f"{where} pulses", burst.pulses, *bounds.pulses)
    _within(f"{where} pulse_s", burst.pulse_s, *bounds.pulse_s)
    _within(f"{where} interval_s", burst.interval_s, *bounds.interval_s)
    _within(f"{where} level_db", burst.level_db, -30.0, 0.0)
    if len(burst.pitches_hz) not in (1, burst.pulses):
        raise BadInput(f"one pitch in {where}, or one a pulse", f"{len(burst.pitches_hz)}", "correct pitches_hz")
    short = burst.gaps_s
    if level == "high":
        long = 2.0 * burst.gaps_s[0] + burst.pulse_s
        for at in (2, 7):
            _within(f"{where} gap {at + 1}", burst.gaps_s[at], long * (1 - SAME_GAP), long * (1 + SAME_GAP))
        _within(f"{where} gap 5", burst.gaps_s[4], *HALVES_APART_S)
        short = [gap for at, gap in enumerate(burst.gaps_s) if at not in (2, 4, 7)]
    for gap in short:
        _within(f"{where} gaps_s", gap, *bounds.gap_s)
        _within(f"{where} gaps_s", gap, short[0] * (1 - SAME_GAP), short[0] * (1 + SAME_GAP))
    ramps_s = (figures.rise_share + figures.fall_share) * burst.pulse_s
    if short and ramps_s > min(short):
        raise BadInput(f"rise and fall within the gaps of {where}", f"{ramps_s:.3f} s", "make fall_share smaller")
    for pitch in burst.pitches_hz:
        _within(f"{where} pitches_hz", pitch, *FUNDAMENTAL_HZ)
        heard = [
            db
            for number, db in enumerate(figures.harmonics_db, 2)
            if HARMONICS_HZ[0] <= number * pitch <= HARMONICS_HZ[1] and abs(db) <= HARMONICS_WITHIN_DB
        ]
        if len(heard) < LEAST_HARMONICS:
            raise BadInput(
                f"{LEAST_HARMONICS} harmonics between {HARMONICS_HZ[0]:g} and {HARMONICS_HZ[1]:g} Hz within "
                f"{HARMONICS_WITHIN_DB:g} dB in {where}",
                f"{len(heard)} of {pitch:g} Hz",
                "correct harmonics_db or pitches_hz",
            )


def _hold_beat(beat: Beat) -> None:
    _within("[beat] pitch_hz", beat.pitch_hz, *FUNDAMENTAL_HZ)
    _within("[beat] full_hz", beat.full_hz, *FUNDAMENTAL_HZ)
    _within("[beat] lowest_hz", beat.lowest_hz, FUNDAMENTAL_HZ[0], beat.full_hz)
    _within("[beat] steps_per_octave", beat.steps_per_octave, 1.0, 100.0)
    _within("[beat] duration_s", beat.duration_s, 0.02, 0.15)  # of 300 beats a minute one ends before the next
    _within("[beat] rise_s", beat.rise_s, 0.001, beat.duration_s / 2)
    _within("[beat] level_db", beat.level_db, -40.0, -10.0)
    _within("[beat] delay_s", beat.delay_s, 0.0, 5.0)


def _within(what: str, value: float, lowest: float, highest: float) -> None:
    slack = 1e-9
    if not lowest - slack <= value <= highest + slack:  # NaN is within nothing
        raise BadInput(f"{what} from {lowest:g} to {highest:g}", f"{value:g}", "correct the figures of the sounds")


@cache
def default_figures() -> Figures:
    """Those of the package."""
    return parse_figures(resources.files("ui.sound").joinpath("sounds.toml").read_text("utf-8"))


def rank(level: str) -> int:
    """0 for none, then rising with the priority."""
    return LEVELS.index(level) + 1 if level in LEVELS else 0
