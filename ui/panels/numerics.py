"""The numerics right of the waves: one tile a lane, in the lane's colour, painted when what it says changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from models.signals.modalities import Modality
from ui.bed.depth_words import DEPTH, UNCERTAIN
from ui.bed.findings_words import Finding
from ui.bed.lanes import Lane
from ui.bed.readouts import Readout
from ui.panels.bell import draw_bell_off
from ui.panels.flashes import Flash, draw_flash
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided, mixed
from ui.style.outlined import SHARE, cap_sized, draw_outlined
from ui.style.words import ESTIMATED
from ui.waves.geometry import Row

_MEASURED = "188/88188"  # what a measured pressure fills its place with
_WORD_SHARE = 0.42  # of the height beside an estimate, for the word
_NOTE_GAP = 14.0
_LOW = 92.0  # interface pixels; in a lower tile the notes stand beside the number, which would else be made small


class NumericsPanel(QWidget):
    """Shows a readout a lane, in the rows of the sweep beside it. ``on_limits``: the limits of one were clicked."""

    def __init__(self, look: Look, on_limits: Callable[[], None] = lambda: None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._on_limits = on_limits
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look = look
        self._shown: list[tuple[Lane, Row, Readout, Flash | None]] = []
        self._beat = False

    def show_readouts(
        self,
        lanes: list[Lane],
        rows: list[Row],
        readouts: list[Readout],
        beat: bool,
        flashes: Sequence[Flash | None] = (),
    ) -> None:
        """rows: in device pixels of the sweep. beat: the heart symbol is on. flashes: one a lane, or none at all."""
        shown = list(zip(lanes, rows, readouts, flashes or [None] * len(lanes), strict=True))
        if beat != self._beat and shown:
            self._beat = beat
            self.update(self._area(next((row for lane, row, *_ in shown if lane.first), shown[0][1])).toAlignedRect())
        if [(lane.key, *rest) for lane, *rest in shown] != [(lane.key, *rest) for lane, *rest in self._shown]:
            self._shown = shown
            self.update()

    @property
    def readouts(self) -> dict[str, Readout]:
        """What is shown, by lane."""
        return {lane.key: readout for lane, _, readout, _ in self._shown}

    @property
    def flashes(self) -> dict[str, Flash]:
        """Which numbers flash with an alarm, by lane."""
        return {lane.key: flash for lane, _, _, flash in self._shown if flash is not None}

    def _area(self, row: Row) -> QRectF:
        ratio = self.devicePixelRatioF()
        return QRectF(0, row.top / ratio, self.width(), row.height / ratio)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the readouts that lie in the area to be painted."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(event.rect(), self._look.colour("background"))
        top = next((lane for lane, *_ in self._shown if lane.first), None)
        for number, (lane, row, readout, flash) in enumerate(self._shown):
            area = self._area(row)
            if not area.intersects(QRectF(event.rect())):
                continue
            if lane.first:
                self._tile(painter, area, lane, readout, flash, lane is top)
            if number < len(self._shown) - 1:
                painter.setPen(QPen(self._look.colour("line"), 1))
                painter.drawLine(QLineF(0, area.bottom() - 0.5, self.width(), area.bottom() - 0.5))
        painter.end()

    def _tile(
        self, painter: QPainter, area: QRectF, lane: Lane, readout: Readout, flash: Flash | None, heart: bool
    ) -> None:
        look, unit = self._look, self._look.unit
        colour = look.colour("stale") if readout.held else look.modality(lane.modality)
        strong = look.estimated(lane.modality) if readout.estimated and not readout.held else colour
        weak = mixed(colour, look.colour("background"), 0.3)
        left, right = area.left() + 10 * unit, area.right() - 18 * unit
        baseline = area.top() + 16 * unit
        x = left + draw_text(painter, left, baseline, readout.label, look.font(13, True), colour)
        x += 9 * unit + draw_text(
            painter, x + 9 * unit, baseline, readout.unit, look.font(11), look.colour("text_soft")
        )
        if heart and self._beat:
            self._heart(painter, QPointF(x + 14 * unit, baseline - 5 * unit), 5.5 * unit, colour)
        self._limits(painter, right, baseline, readout)
        notes_height = 0.0
        note_font = look.font(12.5)
        line = QFontMetricsF(note_font).height() * 1.05
        beside = area.height() < _LOW * unit
        if beside:
            notes = []  # as many as there is room for, which the number decides
        else:
            notes = self._note_lines(readout, note_font, right - left, area.height() - 44 * unit, line)
            notes_height = line * len(notes)
        top = area.top() + 22 * unit
        body = max(14.0, area.height() - 22 * unit - notes_height - (6 if beside else 9) * unit)
        size = min(64.0, body / unit * 0.86)
        gap = 22 * unit
        finding = readout.finding
        tag_font = look.font(min(19.0, size * 0.6), True)
        tag = QFontMetricsF(tag_font).horizontalAdvance(finding.words) + 36 * unit if finding.words else 0.0
        both = readout.value + readout.second
        font = look.fitted(both, size, right - left - tag - (gap if readout.second else 0))
        word_right = left
        if readout.estimated:
            measured = look.fitted(_MEASURED, size, right - left - tag - gap)
            font = look.font(min(SHARE * measured.pixelSize(), font.pixelSize()) / unit)
            word = cap_sized(look.font(12, True), _WORD_SHARE * 0.66 * body, right - left, tr(ESTIMATED))
            y = top + (_WORD_SHARE * body + QFontMetricsF(word).capHeight()) / 2
            faint = mixed(strong, look.colour("background"), 0.3)
            word_right = left + draw_text(painter, left, y, tr(ESTIMATED), word, faint)
            top, body = top + _WORD_SHARE * body, (1.0 - _WORD_SHARE) * body
        metrics = QFontMetricsF(font)
        base = top + (body + metrics.capHeight()) / 2
        width = metrics.horizontalAdvance(both) + (gap if readout.second else 0.0)
        tints = (weak if readout.invalid else strong, strong)
        if flash is not None:
            number_box = QRectF(left - 7 * unit, base - metrics.capHeight() - 9 * unit, width + 14 * unit, 0.0)
            number_box.setBottom(base + 9 * unit)
            ink = draw_flash(painter, look, number_box, flash)
            tints = (ink, ink) if ink is not None else tints
        draw = draw_outlined if readout.estimated else draw_text
        x = left + draw(painter, left, base, readout.value, font, tints[0])
        if readout.second:
            x += gap + draw(painter, x + gap, base, readout.second, font, tints[1])
        if finding.words:
            self._tag(painter, right, base - metrics.capHeight() / 2, finding, tag_font, bool(readout.held))
        # The word ESTIMATED is there, large.
        marks = [mark for mark in (readout.mark, readout.held) if mark and mark != tr(ESTIMATED)]
        if marks:
            tint = look.colour("text" if readout.held else "withheld")
            words = " · ".join(marks)
            draw_text(painter, right, baseline + 14 * unit, words, look.font(10.5, True), tint, right=True)
        first, under = left, top + body
        if beside:
            ceiling = max(top, baseline + 18 * unit) if marks else top  # what stands above stays free of notes
            notes = stacked(readout.notes, int((area.bottom() - 2 * unit - ceiling) // line))
            first, under = max(x + gap, word_right + 8 * unit), max(ceiling, top + (body - line * len(notes)) / 2)
        right -= tag if beside else 0.0
        for number, row in enumerate(notes):
            x, y = first, under + line * (number + 0.75)
            for text in row:
                tint = self._note_tint(text, lane.modality, colour, bool(readout.held))
                text = elided(text, note_font, max(0.0, right - x))
                x += draw_text(painter, x, y, text, note_font, tint) + _NOTE_GAP * unit

    def _note_tint(self, text: str, modality: Modality, colour: QColor, held: bool) -> QColor:
        """In amber what is doubtful, in the hue of estimates what the model says."""
        if UNCERTAIN in text and not held:
            return self._look.colour("alarm_medium")
        own = self._look.estimated(modality) if text.startswith(DEPTH) and not held else colour
        return mixed(own, self._look.colour("background"), 0.15)

    def _limits(self, painter: QPainter, right: float, baseline: float, readout: Readout) -> None:
        """The limits, ending at ``right``, and the crossed bell where they cannot fire."""
        look, unit, limits = self._look, self._look.unit, readout.limits
        width = draw_text(painter, right, baseline, limits.text, look.font(11), look.colour("text_faint"), right=True)
        if limits.silent:
            box = QRectF(right - width - 21 * unit, baseline - 12 * unit, 15 * unit, 15 * unit)
            draw_bell_off(painter, box, look.colour("text_soft"))

    def limits_at(self, place: QPointF) -> bool:
        """Whether the limits of a lane stand there."""
        unit = self._look.unit
        for _, row, readout, _ in self._shown:
            area = self._area(row)
            width = QFontMetricsF(self._look.font(11)).horizontalAdvance(readout.limits.text) + 44 * unit
            if readout.limits.text and QRectF(self.width() - width, area.top(), width, 24 * unit).contains(place):
                return True
        return False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Opens the list of limits from those of a lane."""
        if event.button() == Qt.MouseButton.LeftButton and self.limits_at(event.position()):
            self._on_limits()

    def _tag(self, painter: QPainter, right: float, middle: float, finding: Finding, font: QFont, held: bool) -> None:
        """Bad news in a filled box that ends at ``right``."""
        look, unit = self._look, self._look.unit
        own = look.theme.alarm.colours[finding.priority]
        metrics = QFontMetricsF(font)
        width, height = metrics.horizontalAdvance(finding.words) + 18 * unit, metrics.capHeight() + 15 * unit
        box = QRectF(right - width, middle - height / 2, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(own.held if held else own.lit))
        painter.drawRoundedRect(box, 3 * unit, 3 * unit)
        ink = QColor(own.held_ink if held else own.ink)
        draw_text(painter, box.left() + 9 * unit, middle + metrics.capHeight() / 2, finding.words, font, ink)

    def _note_lines(self, readout: Readout, font: QFont, width: float, room: float, line: float) -> list[list[str]]:
        """The notes on one line where they fit side by side, else one below the other as far as there is room."""
        notes = [note for note in readout.notes if note]
        if not notes:
            return []
        metrics = QFontMetricsF(font)
        side_by_side = sum(map(metrics.horizontalAdvance, notes)) + _NOTE_GAP * self._look.unit * (len(notes) - 1)
        if side_by_side <= width:
            return [notes]
        count = max(1, int((room - 30 * self._look.unit) // line))
        if count >= len(notes):
            return [[note] for note in notes]
        return [notes]

    def _heart(self, painter: QPainter, centre: QPointF, size: float, colour: QColor) -> None:
        path = QPainterPath()
        x, y = centre.x(), centre.y()
        path.moveTo(x, y + size)
        path.cubicTo(x - 1.7 * size, y - 0.1 * size, x - 0.8 * size, y - 1.3 * size, x, y - 0.35 * size)
        path.cubicTo(x + 0.8 * size, y - 1.3 * size, x + 1.7 * size, y - 0.1 * size, x, y + size)
        painter.fillPath(path, colour)


def stacked(notes: Sequence[str], lines: int) -> list[list[str]]:
    """The notes one below the other, in at most so many lines but in one at least; the last has those that are left.

    >>> stacked(("sys 104", "", "dia 55", "from PPG"), 2)
    [['sys 104'], ['dia 55', 'from PPG']]
    >>> stacked(("sys 104", "dia 55"), 0)
    [['sys 104', 'dia 55']]
    """
    said, own = [note for note in notes if note], max(1, lines) - 1
    return [[note] for note in said[:own]] + ([said[own:]] if said[own:] else [])
