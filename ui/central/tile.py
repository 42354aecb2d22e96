"""How one tile is painted, part by part: head (name, sensors, alarm), numbers, and the room of the waves.

Nothing is said by a colour alone: stars and words before an alarm, a hatched ground and a word across it where nothing
is live, a mark of its own for each band of risk, an outline for an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPen

from models.signals.modalities import Modality
from ui.bed.alarm_view import Alarm, colours
from ui.bed.bed_words import BedWords
from ui.bed.liveness import Life
from ui.central.tile_words import Sensor, TileNumber, TileWords
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided, mixed
from ui.style.outlined import SHARE, draw_outlined
from ui.style.risk_marks import band_colour, draw_mark
from ui.style.words import INVALID

LEAST = (126.0, 98.0)
"""Interface pixels of the smallest tile that can be read."""
_FULL = (150.0, 100.0)  # design size; all below is in its units
_HEAD, _NUMBERS, _SMALL, _FRAME = 36.0, 27.0, 15.0, 2.0
_TWO_WAVES = 52.0  # from this height on there is room for a second wave
_LARGEST = 3.2
_FILLS = ("high", "medium")


@dataclass(frozen=True, slots=True)
class TileShape:
    """Where the parts of a tile lie, logical pixels from its corner; ``k``: of one design unit."""

    size: QSize
    k: float
    head: QRect
    body: QRect
    waves: tuple[QRect, ...]


def tile_shape(width: int, height: int, unit: float) -> TileShape:
    """The parts of a tile of that size; ``unit``: of the window."""
    k = max(0.5, min(width / _FULL[0], height / _FULL[1], _LARGEST * unit))
    frame = max(2, round(_FRAME * k))
    inner = QRect(frame, frame, max(8, width - 2 * frame), max(8, height - 2 * frame))
    head = QRect(inner.left(), inner.top(), inner.width(), round(_HEAD * k) - frame)
    body = QRect(inner.left(), head.bottom() + 1, inner.width(), round((_NUMBERS + _SMALL) * k))
    top = body.bottom() + 1
    room = max(4, inner.bottom() + 1 - top)
    count = 2 if room >= _TWO_WAVES * k else 1
    each = room // count
    waves = tuple(QRect(inner.left() + 2, top + n * each, inner.width() - 4, each - 1) for n in range(count))
    return TileShape(QSize(width, height), k, head, body, waves)


class TilePainter:
    """Paints the parts of tiles of one shape; the painter's origin is the corner of the tile."""

    def __init__(self, look: Look, shape: TileShape) -> None:
        self._look, self._shape, self._k = look, shape, shape.k

    def _font(self, size: float, bold: bool = False) -> QFont:
        return self._look.font(max(8.0 / self._look.unit, size * self._k / self._look.unit), bold)

    def _fitted(self, text: str, size: float, room: float, bold: bool = False) -> QFont:
        width = QFontMetricsF(self._font(size, bold)).horizontalAdvance(text)
        return self._font(size if width <= room else size * room / width * 0.98, bold)

    # Frame ----------------------------------------------------------------------------------------------------------

    def frame(self, painter: QPainter, said: BedWords, selected: bool) -> None:
        """The edge: white around the bed that is on show, else as its head is."""
        look, size = self._look, self._shape.size
        width = max(2.0, _FRAME * self._k)
        box = QRectF(0, 0, size.width(), size.height()).adjusted(width / 2, width / 2, -width / 2, -width / 2)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.fillRect(0, 0, size.width(), size.height(), look.colour("background"))
        worst, style = said.worst, look.theme.alarm
        pen = QPen(look.colour("panel_edge"), width)
        if said.life is Life.LOST:
            pen = QPen(QColor(style.colours["high"].lit), width)
        elif worst is not None and worst.record.priority in _FILLS:
            own = style.colours[worst.record.priority]
            pen = QPen(QColor(own.dark if worst.quiet or said.held else own.lit), width)
        elif said.held:
            pen = QPen(look.colour("text_faint"), width / 2, Qt.PenStyle.DashLine)
        if selected:
            pen = QPen(look.colour("text"), width)
        painter.setPen(pen)
        painter.drawRect(box)

    def _ground(self, painter: QPainter, area: QRect, said: BedWords) -> None:
        """Under numbers and waves: hatched where nothing is live."""
        look = self._look
        painter.fillRect(area, look.colour("background"))
        if said.held:
            hatch = mixed(look.colour("background"), look.colour("text_faint"), 0.3)
            painter.fillRect(area, QBrush(hatch, Qt.BrushStyle.BDiagPattern))

    # Head -----------------------------------------------------------------------------------------------------------

    def head(self, painter: QPainter, said: BedWords, words: TileWords, lit: bool) -> None:
        """Name, sensors, whether it is live; below, the worst alarm and how many more."""
        look, k, area = self._look, self._k, QRectF(self._shape.head)
        worst, style = said.worst, look.theme.alarm
        ink: QColor | None = None
        fill = look.colour("panel")
        if worst is not None and worst.record.priority in _FILLS:
            fill, ink = (QColor(name) for name in colours(worst, lit, said.held, style, said.still))
        painter.fillRect(area, fill)
        left, right = area.left() + 4 * k, area.right() - 4 * k
        upper, lower = area.top() + 12.5 * k, area.top() + 28 * k
        end = self._life(painter, right, upper, words, ink)
        if said.life is Life.LIVE:  # else nobody knows, and the name needs the room
            end = self._sensors(painter, end - 5 * k, upper, words.sensors, ink)
        room = max(10.0, end - 5 * k - left)
        title = self._fitted(said.title, 11.5, room, True)
        title = self._font(8.5, True) if title.pixelSize() < 8.5 * k else title
        draw_text(painter, left, upper, elided(said.title, title, room), title, ink or look.colour("text"))
        self._alarm(painter, left, right, lower, said, words, ink, lit)

    def _life(self, painter: QPainter, right: float, base: float, words: TileWords, ink: QColor | None) -> float:
        """Ends at ``right``; returns where it begins. NOT LIVE has a red ground of its own."""
        look, k = self._look, self._k
        if words.life is Life.WAITING:
            return right  # which is said over the whole of the tile
        font = self._font(8.0 if words.life is Life.LIVE else 9.0, words.life is not Life.LIVE)
        if words.life is not Life.LOST:
            tint = ink or look.colour("text_faint" if words.life is Life.LIVE else "text")
            return right - draw_text(painter, right, base, words.life_words, font, tint, right=True)
        metrics, own = QFontMetricsF(font), look.theme.alarm.colours["high"]
        width = metrics.horizontalAdvance(words.life_words) + 6 * k
        box = QRectF(right - width + 2 * k, base - metrics.capHeight() - 3 * k, width, metrics.capHeight() + 6 * k)
        painter.setPen(QPen(QColor(own.ink), 1))
        painter.setBrush(QColor(own.lit))
        painter.drawRect(box)
        draw_text(painter, box.left() + 3 * k, base, words.life_words, font, QColor(own.ink))
        return box.left()

    def _sensors(
        self,
        painter: QPainter,
        right: float,
        base: float,
        sensors: tuple[Sensor, ...],
        ink: QColor | None,
    ) -> float:
        """A mark a sensor: full where it is measured, a ring where it is off, barred where withheld, a dot where there
        is none."""
        look, k = self._look, self._k
        step, radius = 7.5 * k, 2.6 * k
        left = right - step * len(sensors)
        for number, sensor in enumerate(sensors):
            centre = QPointF(left + step * (number + 0.5), base - 3.6 * k)
            tint = ink or look.modality(sensor.modality)
            painter.setPen(QPen(tint, 1.1 * k))
            painter.setBrush(tint if sensor.state == "on" else Qt.BrushStyle.NoBrush)
            if sensor.state == "none":
                painter.drawPoint(centre)
                continue
            painter.drawEllipse(centre, radius, radius)
            if sensor.state == "withheld":
                painter.drawLine(centre + QPointF(-radius, radius), centre + QPointF(radius, -radius))
        return left

    def _alarm(
        self,
        painter: QPainter,
        left: float,
        right: float,
        base: float,
        said: BedWords,
        words: TileWords,
        ink: QColor | None,
        lit: bool,
    ) -> None:
        look, k, worst = self._look, self._k, said.worst
        if worst is None and words.finding.words:
            own = look.theme.alarm.colours[words.finding.priority or "low"]
            self._tag(painter, left, right, base, words.finding.words, QColor(own.held), QColor(own.held_ink))
            return
        if worst is None:
            text = said.why_lost or words.vacant or ("" if said.held else tr("no alarm"))
            font = self._fitted(text, 9.0, right - left)
            tint = look.colour("text" if said.held else "text_faint")
            draw_text(painter, left, base, elided(text, font, right - left), font, tint)
            return
        if said.more:
            more = f"+{said.more}"
            right -= 4 * k + draw_text(
                painter, right, base, more, self._font(10.0, True), ink or look.colour("text"), right=True
            )
        text = ("✓ " if worst.acknowledged else "") + worst.said
        if ink is None:
            fill, own_ink = (QColor(name) for name in colours(worst, lit, said.held, look.theme.alarm, said.still))
            self._tag(painter, left, right, base, text, fill, own_ink)
            return
        font = self._fitted(text, 12.0, right - left, True)
        at = left + draw_text(painter, left, base, elided(text, font, right - left), font, ink)
        now_font = self._font(9.0)
        if worst.now and QFontMetricsF(now_font).horizontalAdvance(f"  {worst.now}") <= right - at:
            draw_text(painter, at, base, f"  {worst.now}", now_font, ink)

    def _tag(
        self, painter: QPainter, left: float, right: float, base: float, text: str, fill: QColor, ink: QColor
    ) -> None:
        k = self._k
        font = self._fitted(text, 10.0, right - left - 4 * k, True)
        metrics = QFontMetricsF(font)
        width = min(right - left, metrics.horizontalAdvance(text) + 4 * k)
        box = QRectF(left - 1 * k, base - metrics.capHeight() - 2.5 * k, width, metrics.capHeight() + 5 * k)
        painter.fillRect(box, fill)
        draw_text(painter, left + k, base, elided(text, font, right - left - 4 * k), font, ink)

    # Numbers --------------------------------------------------------------------------------------------------------

    def body(self, painter: QPainter, said: BedWords, words: TileWords) -> None:
        """Heart rate and pressure, large; below, what else is known, and the risk."""
        look, k, area = self._look, self._k, QRectF(self._shape.body)
        self._ground(painter, self._shape.body, said)
        if words.life is Life.WAITING:
            return
        left, right = area.left() + 4 * k, area.right() - 4 * k
        base = area.top() + 22 * k
        end = self._pressure(painter, left + 0.36 * (right - left), right, base, words.pressure, said.held)
        self._heart(painter, left, end, base, words.heart, said.held)
        base = area.top() + (_NUMBERS + 10.5) * k
        end = self._risk(painter, left, right, base, words, said.held)
        for caption_size, size, gap in ((7.5, 10.5, 6.0), (6.5, 9.5, 3.0), (6.0, 8.8, 2.0)):
            caption, value = self._font(caption_size), self._font(size, True)
            of_caption, of_value = QFontMetricsF(caption), QFontMetricsF(value)
            needs = [
                of_caption.horizontalAdvance(f"{n.label} ") + of_value.horizontalAdvance(n.value) for n in words.small
            ]
            if left + sum(needs) + gap * k * len(needs) <= end:
                break
        at = left
        for number, need in zip(words.small, needs, strict=True):
            if at + need > end:
                break
            at += draw_text(painter, at, base, f"{number.label} ", caption, look.colour("text_soft"))
            at += self._number(painter, at, base, number.value, value, number, said.held) + gap * k

    def _tint(self, number: TileNumber, held: bool) -> QColor:
        if held:
            return self._look.colour("stale")
        return self._look.estimated(number.modality) if number.estimated else self._look.modality(number.modality)

    def _number(
        self, painter: QPainter, x: float, base: float, text: str, font: QFont, number: TileNumber, held: bool
    ) -> float:
        """One number; behind it the colours of the alarm about it, outlined where that does not flash any more."""
        k, metrics, alarm = self._k, QFontMetricsF(font), number.alarm
        width, tint = metrics.horizontalAdvance(text), self._tint(number, held)
        if alarm is not None:
            box = QRectF(x - 2 * k, base - metrics.capHeight() - 2.5 * k, width + 4 * k, metrics.capHeight() + 5 * k)
            tint = self._alarming(painter, box, alarm, held, tint)
        if number.estimated and text != INVALID:
            return draw_outlined(painter, x, base, text, font, tint)
        return draw_text(painter, x, base, text, font, tint)

    def _alarming(self, painter: QPainter, box: QRectF, alarm: Alarm, held: bool, tint: QColor) -> QColor:
        fill, ink = (QColor(name) for name in colours(alarm, True, held, self._look.theme.alarm))
        if held or alarm.quiet:
            painter.setPen(QPen(ink, max(1.0, 0.8 * self._k)))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(box)
            return tint
        painter.fillRect(box, fill)
        return ink

    def _heart(self, painter: QPainter, left: float, right: float, base: float, number: TileNumber, held: bool) -> None:
        k = self._k
        left += self._number(painter, left, base, number.value, self._font(24.0, True), number, held) + 3 * k
        caption = self._font(7.5)
        if left + QFontMetricsF(caption).horizontalAdvance(number.label) <= right:
            draw_text(painter, left, base, number.label, caption, self._look.colour("text_soft"))

    def _pressure(
        self, painter: QPainter, left: float, right: float, base: float, number: TileNumber, held: bool
    ) -> float:
        """The mean large, the other two before it; an estimate says so. Returns where they begin."""
        k, look = self._k, self._look
        mean = number.mean or INVALID
        font = self._fitted(mean, 24.0 * (SHARE if number.estimated else 1.0), right - left, True)
        width = QFontMetricsF(font).horizontalAdvance(mean)
        self._number(painter, right - width, base, mean, font, number, held)
        end = right - width - 4 * k
        caption = tr("EST") if number.estimated else tr("MAP")
        soft = self._font(7.5, number.estimated)
        tint = self._tint(number, held) if number.estimated else look.colour("text_soft")
        wide = draw_text(painter, end, base - 11.5 * k, caption, soft, tint, right=True)
        if number.value != INVALID and not number.estimated and end - left > 20 * k:
            both = self._fitted(number.value, 10.5, end - left)
            wide = max(wide, draw_text(painter, end, base, number.value, both, self._tint(number, held), right=True))
        return end - wide - 2 * k

    def _risk(self, painter: QPainter, left: float, right: float, base: float, words: TileWords, held: bool) -> float:
        """What the tile of predictions says, ending at ``right``; returns where it begins."""
        look, k = self._look, self._k
        if words.news is not None:
            own = look.theme.alarm.colours.get(words.news.priority)
            fill = look.colour("panel_edge") if own is None or held else QColor(own.held)
            ink = look.colour("text") if own is None or held else QColor(own.held_ink)
            room = 0.74 * (right - left)
            font = self._fitted(words.news.headline, 9.0, room, True)
            text = elided(words.news.headline, font, room)
            width = QFontMetricsF(font).horizontalAdvance(text) + 4 * k
            painter.fillRect(QRectF(right - width + 2 * k, base - 9.5 * k, width, 12.5 * k), fill)
            draw_text(painter, right, base, text, font, ink, right=True)
            return right - width - 2 * k
        if words.risk == INVALID:
            return right
        tint = band_colour(look, words.band, held)
        start = right - draw_text(painter, right, base, words.risk, self._font(11.5, True), tint, right=True)
        mark = QRectF(start - 11 * k, base - 8.2 * k, 8 * k, 8 * k)
        draw_mark(painter, mark.center(), 4 * k, words.band, look, tint)
        start = mark.left() - 2.5 * k
        return start - draw_text(
            painter, start, base, tr("RISK"), self._font(7.0), look.colour("text_soft"), right=True
        )

    # Where a wave would be ------------------------------------------------------------------------------------------

    def no_wave(self, painter: QPainter, area: QRect, said: BedWords, modality: Modality, words: str) -> None:
        """Why there is none; over the tile of a bed that is not live, the word for that."""
        look, k = self._look, self._k
        self._ground(painter, area, said)
        if said.held:
            tint = look.colour("text") if said.life is not Life.WAITING else look.colour("text_soft")
            font = self._fitted(said.life_words, 15.0, area.width() - 8 * k, True)
            font = self._font(min(15.0, font.pixelSize() / k, 0.8 * area.height() / k), True)
        else:
            words = f"{modality.value} {words}"
            tint = mixed(look.modality(modality), look.colour("background"), 0.35)
            font = self._fitted(words, 9.0, area.width() - 8 * k)
        text = said.life_words if said.held else words
        width, cap = QFontMetricsF(font).horizontalAdvance(text), QFontMetricsF(font).capHeight()
        painter.setClipRect(area)
        draw_text(painter, area.center().x() - width / 2, area.center().y() + cap / 2, text, font, tint)
        painter.setClipping(False)
