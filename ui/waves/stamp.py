"""The large words over the waves while they are not live: paused, ended, or lost. To be read from the door."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from ui.bed.liveness import Life, Verdict
from ui.style.language import tr
from ui.style.look import Look, draw_text
from ui.style.words import clock_words

_SIZE = 92.0  # 24 mm at 96 dpi: letters of 17 mm, read at 3 m (h / distance = 1 / 200)


@dataclass(frozen=True, slots=True)
class Stamp:
    """words in large letters, more below them; dimmed: the waves behind are no longer of interest. past: they are of
    the past, while the bed goes on."""

    words: str
    more: str
    urgent: bool
    dimmed: bool
    past: bool = False


def past_stamp(words: str, more: str, *, urgent: bool = False) -> Stamp:
    """Over waves of the past. words: of when; more: what is not there, or, where ``urgent``, what is the case now."""
    return Stamp(words, more, urgent, False, True)


def stamp_of(
    verdict: Verdict, beam_s: float | None, seekable: bool = True, goes_to_s: float | None = None
) -> Stamp | None:
    """None while the waves are live, or there are none. beam_s: event time at which they stand. seekable: of a
    recording. goes_to_s: the moment that a seek goes to."""
    at = clock_words(beam_s) if beam_s is not None else ""
    match verdict.life:
        case Life.WAITING if goes_to_s is not None:
            return Stamp(
                tr("GOING TO {time} …", time=clock_words(goes_to_s)), tr("reading the minute before it"), False, False
            )
        case Life.PAUSED if at:
            return Stamp(tr("PAUSED"), tr("all values are of this moment, {time}", time=at), False, False)
        case Life.ENDED:
            words = tr("END OF RECORDING") if seekable else tr("END OF THE LIVE SOURCE")
            return Stamp(words, tr("at {time}; nothing on the screen is live", time=at) if at else "", False, True)
        case Life.LOST:
            words = tr("STOPPED") if verdict.stopped else tr("NOT LIVE")
            return Stamp(words, tr("the waves stopped at {time}", time=at) if at else "", True, True)
        case _:
            return None


def paint_stamp(painter: QPainter, area: QRectF, stamp: Stamp, look: Look) -> None:
    """Over ``area``, in logical pixels. A pause is for looking at the waves: its words let them through; those of the
    past keep to the edge, under the band that says it large."""
    unit = look.unit
    if stamp.past:
        _paint_past(painter, area, stamp, look)
        return
    font = look.fitted(stamp.words, _SIZE, area.width() * 0.86, True)
    metrics = QFontMetricsF(font)
    small = look.font(17, True)
    middle = area.center().y()
    base = middle + metrics.capHeight() / 2 - 8 * unit
    if stamp.dimmed:
        shade = QColor(look.colour("background"))
        shade.setAlphaF(0.62)
        painter.fillRect(area, shade)
        fill = QColor(look.theme.alarm.colours["high"].lit) if stamp.urgent else QColor(look.colour("panel_edge"))
        fill.setAlphaF(0.94)
        height = metrics.capHeight() + 86 * unit
        painter.fillRect(QRectF(area.left(), middle - height / 2, area.width(), height), fill)
        ink = QColor("white") if stamp.urgent else look.colour("text")
    else:
        ink = QColor(look.colour("text"))
        ink.setAlphaF(0.58)
        painter.setPen(QPen(ink, 3 * unit))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(area.adjusted(2 * unit, 2 * unit, -2 * unit, -2 * unit))
    centre = area.center().x()
    draw_text(painter, centre - metrics.horizontalAdvance(stamp.words) / 2, base, stamp.words, font, ink)
    width, line = QFontMetricsF(small).horizontalAdvance(stamp.more), base + 34 * unit
    if not stamp.dimmed and stamp.more:
        back = QColor(look.colour("background"))
        back.setAlphaF(0.85)
        painter.fillRect(QRectF(centre - width / 2 - 10 * unit, line - 20 * unit, width + 20 * unit, 29 * unit), back)
    more = QColor("white") if stamp.urgent else look.colour("text")
    draw_text(painter, centre - width / 2, line, stamp.more, small, more)


def _paint_past(painter: QPainter, area: QRectF, stamp: Stamp, look: Look) -> None:
    unit, font, small = look.unit, look.font(24, True), look.font(17, True)
    edge = look.colour("past")
    painter.setPen(QPen(edge, 4 * unit))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(area.adjusted(2 * unit, -4 * unit, -2 * unit, -2 * unit))
    metrics = QFontMetricsF(font)
    width = metrics.horizontalAdvance(stamp.words) + 28 * unit
    tab = QRectF(area.center().x() - width / 2, area.top(), width, metrics.capHeight() + 18 * unit)
    painter.fillRect(tab, edge)
    draw_text(painter, tab.left() + 14 * unit, tab.bottom() - 9 * unit, stamp.words, font, QColor("white"))
    if stamp.more:
        width = QFontMetricsF(small).horizontalAdvance(stamp.more) + 28 * unit
        box = QRectF(area.center().x() - width / 2, area.center().y() - 18 * unit, width, 36 * unit)
        painter.fillRect(box, QColor(look.theme.alarm.colours["high"].lit) if stamp.urgent else edge)
        draw_text(painter, box.left() + 14 * unit, box.center().y() + 6 * unit, stamp.more, small, QColor("white"))
