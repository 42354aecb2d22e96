"""What is not a number over time: a row a channel for its presence, and above the plots the alarms.

Shape as well as colour: measured is a high bar, artefact a lower one, absent a line; of a bucket in which some seconds
were measured the bar stands on the colour of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtGui import QColor

from models.signals.absence import Absence, Standing, standing_of
from models.signals.modalities import Modality
from ui.bed.series import ALL, CODES, MEASURED, Bytes, Stretch
from ui.bed.trends import MODALITIES, AlarmSpan
from ui.style.language import tr
from ui.style.look import Look, mixed
from ui.style.words import absence_words
from ui.trends.shapes import Float64

LINES = 8
"""Of the picture, a channel's row; the uppermost stays free."""
_HIGH = {Standing.UNTRUSTED: 5, Standing.ABSENT: 2}


_STANDINGS = (Standing.MEASURED, Standing.MEASURED, *(standing_of(Absence(code)) for code in CODES[1:]))
_HEIGHTS = np.array([0, 0, *(_HIGH[standing] for standing in _STANDINGS[2:])])


def colour_of_code(look: Look, modality: Modality, code: int) -> QColor:
    """The channel's own where it was measured, as in the strips below the waves; else by why not. Not of code 0."""
    if code == MEASURED:
        return mixed(look.modality(modality), look.colour("background"), 0.35)
    if CODES[code - MEASURED] == Absence.WITHHELD.value:
        return look.colour("withheld")
    if _STANDINGS[code] is Standing.UNTRUSTED:
        return look.colour("absent")
    return mixed(look.colour("absent"), look.colour("background"), 0.45)


def picture(look: Look, stretch: Stretch, modalities: Sequence[Modality]) -> Bytes:
    """RGBA [rows · LINES, n, 4], the first modality on top, rows from the bottom up as a plot counts."""
    rows = [MODALITIES.index(modality) for modality in reversed(modalities)]
    codes, shares = stretch.presence[:, 0, rows].T, stretch.presence[:, 1, rows].T.astype(np.int16)  # [rows, n]
    below = np.where(shares == 0, _HEIGHTS[codes], -(-(ALL - shares) * (LINES - 2) // ALL))[:, None]
    top = np.where(shares > 0, LINES - 1, 0)[:, None]
    line = np.arange(LINES)[:, None]
    shown = np.where(line < below, codes[:, None], np.where(line < top, MEASURED, 0))  # [rows, LINES, n]
    colours = np.zeros((len(rows), len(CODES) + 1, 4), np.uint8)
    for number, modality in enumerate(reversed(modalities)):
        for code in range(MEASURED, len(CODES) + 1):
            colours[number, code] = np.array(colour_of_code(look, modality, code).getRgb())
    out: Bytes = colours[np.arange(len(rows))[:, None, None], shown]
    return out.reshape(len(rows) * LINES, -1, 4)


def presence_words(look: Look, presence: Bytes | None, modality: Modality) -> tuple[str, QColor]:
    """Of one bucket, [2, modalities]: measured, why not, or in what part of it."""
    at = MODALITIES.index(modality)
    code, share = (0, 0) if presence is None else (int(presence[0, at]), int(presence[1, at]))
    if not code and not share:
        return tr("not known"), look.colour("text_faint")
    why = absence_words(CODES[code - MEASURED]) if code else ""
    if share == 0:
        quiet = CODES[code - MEASURED] == Absence.NOT_CONNECTED.value
        return why, look.colour("text_faint") if quiet else colour_of_code(look, modality, code)
    words = tr("measured")
    if share != ALL:
        words = tr("{share:.0f} % measured, {why}", share=100 * share / ALL, why=why)
    return words, look.colour("text_soft")


ALARM_ROWS = ("high", "medium", "technical")
"""From the top: of high priority, other physiological ones, other technical ones."""


def row_of(alarm: AlarmSpan) -> int:
    """In which row an alarm is marked, counted from below."""
    name = "high" if alarm.priority == "high" else "technical" if alarm.kind == "technical" else "medium"
    return len(ALARM_ROWS) - 1 - ALARM_ROWS.index(name)


def alarm_bars(
    alarms: Sequence[AlarmSpan], now_s: float, pixel_s: float
) -> dict[tuple[int, str], tuple[Float64, Float64]]:
    """By row and priority, rectangles as of :func:`ui.trends.shapes.bars`: marks of the onsets, two pixels wide, and
    bars up to the end or now. A row is one unit high. pixel_s: seconds a pixel."""
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for alarm in alarms:
        end_s = now_s if alarm.end_s is None else alarm.end_s
        found.setdefault((row_of(alarm), alarm.priority), []).append((alarm.begin_s, end_s))
    out = {}
    for (row, priority), spans in found.items():
        begin, end = np.array(spans).T
        onsets = np.stack((begin, *np.broadcast_arrays(row + 0.08, 2.0 * pixel_s, 0.84 + 0.0 * begin)), 1)
        length = np.maximum(end - begin, pixel_s)
        out[row, priority] = onsets, np.stack((begin, *np.broadcast_arrays(row + 0.3, length, 0.4)), 1)
    return out
