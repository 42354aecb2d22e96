"""Times, numbers and sentences as the screen says them. Pure."""

from __future__ import annotations

import html
import json
import math

from models.signals.absence import Absence
from ui.style.language import tr

DISCLAIMER = "Research and teaching only — not for clinical decisions"
INVALID = "-?-"
UNKNOWN_TIME = "--:--:--"
ESTIMATED = "ESTIMATED"
"""Stands wherever an estimate does."""

ABSENCES = {absence.value: absence.value for absence in Absence} | {
    Absence.NO_DATA.value: "no signal",
    Absence.LEAD_OFF.value: "sensor off",
    Absence.SATURATED.value: "overload",
    Absence.FLAT.value: "flat line",
    Absence.FLUSH.value: "line flushed",
}
"""Why a sensor is not measured, in words for those who did not build the sensor."""


def tooltip_words(words: str) -> str:
    """``words`` for a tooltip, shown as they are. Qt takes a text with tags for HTML, pictures from disk included, and
    names come from a file that somebody else wrote; a tooltip cannot be told that its text is plain."""
    return f"<qt>{html.escape(words).replace(chr(10), '<br>')}</qt>" if "<" in words else words


def clock_words(seconds: float) -> str:
    """``HH:MM:SS`` of the recording's own time; ``--:--:--`` where unknown."""
    if not math.isfinite(seconds):
        return UNKNOWN_TIME
    whole = int(max(0.0, seconds) + 1e-6)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def duration_words(seconds: float) -> str:
    """``38 s``, ``4 min``, ``2 h``: how long ago or since when, in the coarsest honest unit."""
    if not math.isfinite(seconds):
        return tr("a long time")
    if seconds < 100:
        return f"{int(seconds)} s"
    if seconds < 5400:
        return f"{int(seconds / 60)} min"
    return f"{int(seconds / 3600)} h"


def bed_title(name: str) -> str:
    """
    >>> bed_title("3"), bed_title("Theatre 2")
    ('Bed 3', 'Theatre 2')
    """
    return tr("Bed {number}", number=name) if name.isdigit() else name


def range_words(lo: float, hi: float) -> str:
    """``56–69``: an interval in whole numbers, never narrower than it is; ``-?-`` where there is none."""
    if not (math.isfinite(lo) and math.isfinite(hi)):
        return INVALID
    return f"{math.floor(lo)}–{math.ceil(hi)}"


def number_words(value: float | None, decimals: int = 0) -> str:
    """The number, or ``-?-`` where there is none."""
    if value is None or not math.isfinite(value):
        return INVALID
    return f"{value:.{decimals}f}"


def speed_words(speed: float | None, achieved: float | None = None) -> str:
    """
    >>> speed_words(10.0), speed_words(None), speed_words(10.0, 6.28)
    ('10×', 'max', '6.3× of 10×')
    """
    asked = "max" if speed is None else f"{speed:g}×"
    return asked if achieved is None else tr("{reached} of {asked}", reached=reached_words(achieved), asked=asked)


def reached_words(speed: float) -> str:
    """
    >>> reached_words(6.28), reached_words(0.4), reached_words(83.4)
    ('6.3×', '0.4×', '83×')
    """
    return f"{speed:.0f}×" if speed >= 20.0 else f"{speed:.1f}×"


def absence_words(absence: str) -> str:
    """Why a sensor is not measured, in words for those who did not build the sensor."""
    return tr(ABSENCES.get(absence, absence))


def sweep_words(speed_mm_s: float, known: bool, short: bool = False) -> str:
    """Speed of the sweep; no millimetre is claimed where the screen states no size that can be true (not ``known``).
    short: without the reason, which stands above it."""
    if known:
        return f"{speed_mm_s:g} mm/s"
    said = tr("about {speed:g} mm/s", speed=speed_mm_s)
    return said if short else f"{said}, {tr('size of the screen unknown')}"


def quoted(words: str) -> str:
    """A basic string of TOML: that of JSON, which lets DEL stand.

    >>> print(quoted('a "b"'))
    "a \\"b\\""
    """
    return json.dumps(words, ensure_ascii=False).replace("\x7f", "\\u007f")
