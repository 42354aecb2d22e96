"""The part of the sweep area that stands still: headers, grid lines with their numbers, calibration bars."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen

from models.signals.absence import Absence
from models.signals.modalities import MODALITIES
from ui.bed.lanes import Lane
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided, mixed
from ui.style.outlined import CAP_MM, cap_sized
from ui.style.words import ESTIMATED, duration_words
from ui.waves.geometry import Row
from ui.waves.scales import LaneScale

_WORD_SHARE = 0.6  # of the height of the wave, at most
_WORD_FAINT = 0.74  # of the background in its colour; contrast of the wave over it: 6 and more, 2.7 on the light theme


@dataclass(frozen=True, slots=True)
class Header:
    """What a lane's header says; compared from frame to frame, so that it is drawn only when it changes."""

    details: str
    status: str
    withheld: bool
    estimated: bool = False


def header_of(lane: Lane, scale: LaneScale, speed: str, now_s: float) -> Header:
    """Channel, ``speed`` in words, unit or scale, filter; and, while absent, since when, why no
    estimate, and how far one lags."""
    details = []
    if lane.detail:
        details.append(lane.detail)
    if speed:
        details.append(speed)
    if scale.scale.caption:
        details.append(scale.scale.caption)
    elif lane.info is not None and lane.info.unit not in ("", "au"):
        details.append(lane.info.unit)
    name = lane.style.filter_name
    if lane.style.filter:
        details.append(f"{name} {lane.style.filter[0]:g}–{lane.style.filter[1]:g} Hz".lstrip())
    elif name:
        details.append(tr("filter {name}", name=name))
    said = lane.said
    status = said.state.upper()
    if lane.absence and lane.absence != Absence.NOT_CONNECTED.value:
        status += f" {duration_words(max(0.0, now_s - lane.absent_since_s))}"
    if said.why_not:
        status += f" · {said.why_not}"
    elif said.estimated and lane.estimate is not None and lane.estimate.follows(now_s):
        status += " · " + tr("the estimate lags {lag:.1f} s", lag=lane.estimate.lag_s)
    return Header("   ".join(details), status, lane.absence == Absence.WITHHELD.value, said.estimated)


class Backdrop:
    """Paints the still part of one lane. ``left``/``right``: the sweep's first and last column in device pixels."""

    def __init__(self, look: Look, ratio: float, px_per_mm: float) -> None:
        self._look, self._ratio, self._px_per_mm = look, ratio, px_per_mm

    def paint(
        self,
        painter: QPainter,
        lane: Lane,
        row: Row,
        scale: LaneScale,
        header: Header,
        left: int,
        right: int,
        width: int,
        last: bool,
    ) -> None:
        """Paints ground, grid, calibration and header in ``row``, over ``width`` device pixels; a line below unless
        ``last``."""
        painter.fillRect(0, row.top, width, row.height, self._look.colour("background"))
        if header.estimated:
            self._word(painter, row, lane, left, right)
        self._grid(painter, row, scale, lane, left, right)
        self._calibration(painter, row, scale, lane, left)
        self._header(painter, row, lane, header, left, right)
        if not last:
            painter.setPen(QPen(self._look.colour("line"), max(1.0, self._ratio)))
            y = row.top + row.height - 0.5
            painter.drawLine(QLineF(0, y, width, y))

    def _word(self, painter: QPainter, row: Row, lane: Lane, left: int, right: int) -> None:
        """ESTIMATED behind the wave, to be read from the door of the room."""
        cap = min(CAP_MM * self._px_per_mm, _WORD_SHARE * row.wave_height)
        font = cap_sized(self._look.font(12, True, self._ratio), cap, 0.9 * (right - left), tr(ESTIMATED))
        metrics = QFontMetricsF(font)
        colour = mixed(self._look.estimated(lane.modality), self._look.colour("background"), _WORD_FAINT)
        x = (left + right - metrics.horizontalAdvance(tr(ESTIMATED))) / 2
        draw_text(painter, x, row.wave_top + (row.wave_height + metrics.capHeight()) / 2, tr(ESTIMATED), font, colour)

    def _header(self, painter: QPainter, row: Row, lane: Lane, header: Header, left: int, right: int) -> None:
        unit = self._look.unit * self._ratio
        baseline = row.top + 16 * unit
        colour = self._look.modality(lane.modality)
        if lane.absence:
            colour.setAlphaF(0.6)
        x = left + draw_text(painter, left, baseline, lane.title, self._look.font(15, True, self._ratio), colour)
        x += 12 * unit
        small = self._look.font(11.5, False, self._ratio)
        room = right - x
        if header.details:
            text = elided(header.details, small, room)
            x += draw_text(painter, x, baseline, text, small, self._look.colour("text_soft")) + 16 * unit
        if header.status:
            text = elided(header.status, small, max(0.0, right - x))
            draw_text(
                painter,
                x,
                baseline,
                text,
                small,
                self._look.colour("withheld" if header.withheld else "absent"),
            )

    def _grid(self, painter: QPainter, row: Row, scale: LaneScale, lane: Lane, left: int, right: int) -> None:
        font = self._look.font(10.5, False, self._ratio)
        half = QFontMetricsF(font).capHeight() / 2
        reference = lane.style.reference
        for value in scale.scale.ticks:
            y = round(scale.scale.y(value, row.wave_top, row.wave_height)) + 0.5
            painter.setPen(QPen(self._look.colour("line"), max(1.0, self._ratio)))
            painter.drawLine(QLineF(left, y, right, y))
            near = (
                reference is not None
                and abs(scale.scale.y(reference, row.wave_top, row.wave_height) - y)
                < 12 * self._look.unit * self._ratio
            )
            if not near or value == reference:
                draw_text(
                    painter,
                    right + 5 * self._look.unit * self._ratio,
                    y + half,
                    f"{value:g}",
                    font,
                    self._look.colour("text_faint"),
                )
        if reference is not None and scale.scale.low < reference < scale.scale.high:
            y = round(scale.scale.y(reference, row.wave_top, row.wave_height)) + 0.5
            pen = QPen(self._look.colour("text_faint"), max(1.0, self._ratio))
            pen.setDashPattern([4.0, 4.0])
            painter.setPen(pen)
            painter.drawLine(QLineF(left, y, right, y))
            draw_text(
                painter,
                right + 5 * self._look.unit * self._ratio,
                y + half,
                f"{reference:g}",
                font,
                self._look.colour("text_soft"),
            )

    def _calibration(self, painter: QPainter, row: Row, scale: LaneScale, lane: Lane, left: int) -> None:
        """A bar of known height in the left margin: 1 mV of ECG, 50 µV of EEG (less where it would not fit)."""
        size = lane.style.calibration
        if not size or lane.info is None:
            return
        size = scale.scale.bar(size)
        pixels = size / (scale.scale.high - scale.scale.low) * row.wave_height
        unit = self._look.unit * self._ratio
        middle = row.wave_top + row.wave_height / 2
        x, cap = left - 8 * unit, 3 * unit
        painter.setPen(QPen(self._look.colour("text_soft"), max(1.0, round(1.2 * self._ratio))))
        painter.drawLine(QLineF(x, middle - pixels / 2, x, middle + pixels / 2))
        for y in (middle - pixels / 2, middle + pixels / 2):
            painter.drawLine(QLineF(x - cap, y, x + cap, y))
        name = MODALITIES[lane.modality].unit.replace("uV", "µV")
        painter.save()
        painter.translate(x - 5 * unit, middle)
        painter.rotate(-90)
        painter.setFont(self._look.font(10, False, self._ratio))
        painter.setPen(self._look.colour("text_soft"))
        painter.drawText(
            QRectF(-60 * unit, -14 * unit, 120 * unit, 14 * unit),
            int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom),
            f"{size:g} {name}",
        )
        painter.restore()
