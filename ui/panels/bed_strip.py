"""The row of beds under the top bar, where there are two or more: a chip a bed, the one on show outlined.

A bed that is not on show is as loud here as it would be in its own top bar: a high or medium alarm fills its chip, in
the same colours and the same phase of the flash. Where there is no room for all, those that most need a look have a
chip, and what is the matter with the rest is said and coloured the same way. A click shows a bed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from models.signals.modalities import Modality
from ui.bed.alarm_view import colours, lit
from ui.bed.bed_words import BedWords, in_room, rest_words
from ui.bed.liveness import Life
from ui.panels.bell import draw_bell_off
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.words import tooltip_words

HEIGHT = 46
_NARROWEST, _WIDEST, _REST = 186.0, 290.0, 150.0
_GAP, _SIDE = 5.0, 18.0
_SMALLEST = 9.0
_FILLS = ("high", "medium")  # priorities that take the whole chip


@dataclass(frozen=True, slots=True)
class Chip:
    """Where one bed is said. lit: phase of the flash of its worst alarm."""

    place: QRectF
    words: BedWords
    lit: bool
    on_show: bool


class BedStrip(QWidget):
    """``on_choose``: a bed was clicked; called with its name."""

    def __init__(self, look: Look, on_choose: Callable[[str], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look, self._on_choose = look, on_choose
        self._said: tuple[BedWords, ...] = ()
        self._on_show = ""
        self._lit: dict[str, bool] = {}
        self.hide()

    def show_beds(self, said: tuple[BedWords, ...], on_show: str, now_s: float) -> None:
        """Draws the beds at a moment of the flash; nothing if they look the same. Hidden where there is one at most."""
        self.setVisible(len(said) > 1)
        style = self._look.theme.alarm
        phases = {priority: lit(priority, now_s, style) for priority in style.colours}
        if (said, on_show, phases) != (self._said, self._on_show, self._lit):
            self._said, self._on_show, self._lit = said, on_show, phases
            self.update()

    # Where what is --------------------------------------------------------------------------------------------------

    @property
    def _width(self) -> float:
        return self.width() - 2 * _SIDE * self._look.unit

    def _parts(self) -> tuple[tuple[BedWords, ...], tuple[BedWords, ...]]:
        unit, count = self._look.unit, len(self._said)
        each = (_NARROWEST + _GAP) * unit
        room = int((self._width + _GAP * unit) / each)
        if room < count:
            room = max(1, int((self._width - _REST * unit) / each))
        return in_room(self._said, room, self._on_show)

    @property
    def chips(self) -> tuple[Chip, ...]:
        """The beds that have a chip."""
        unit, (shown, rest) = self._look.unit, self._parts()
        if not shown:
            return ()
        width = self._width - ((_REST + _GAP) * unit if rest else 0.0)
        each = min(_WIDEST * unit, (width - _GAP * unit * (len(shown) - 1)) / len(shown))
        left, top, height = _SIDE * unit, 2 * unit, self.height() - 6 * unit
        return tuple(
            Chip(
                QRectF(left + number * (each + _GAP * unit), top, each, height),
                words,
                self._phase(words),
                words.bed == self._on_show,
            )
            for number, words in enumerate(shown)
        )

    @property
    def rest(self) -> tuple[BedWords, ...]:
        """The beds without a chip, those first that most need a look."""
        return self._parts()[1]

    @property
    def rest_place(self) -> QRectF:
        """Where the rest is counted."""
        unit = self._look.unit
        left = self.width() - (_SIDE + _REST) * unit
        return QRectF(left, 2 * unit, _REST * unit, self.height() - 6 * unit)

    def _phase(self, words: BedWords) -> bool:
        return words.still or words.worst is None or self._lit.get(words.worst.record.priority, True)

    def _bed_at(self, x: float, y: float) -> BedWords | None:
        for chip in self.chips:
            if chip.place.contains(x, y):
                return chip.words
        rest = self.rest
        return rest[0] if rest and self.rest_place.contains(x, y) else None

    # Qt -------------------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Shows the bed that was clicked; of the rest the one that most needs a look."""
        found = self._bed_at(event.position().x(), event.position().y())
        if found is not None and event.button() == Qt.MouseButton.LeftButton:
            self._on_choose(found.bed)

    def event(self, event: QEvent) -> bool:
        """Tells all alarms of the bed under the pointer; all else is Qt's."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self._bed_at(event.pos().x(), event.pos().y())
            if found is not None:
                QToolTip.showText(event.globalPos(), tooltip_words(found.told), self)
                return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws chips and rest."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self._look.colour("panel"))
        for chip in self.chips:
            self._chip(painter, chip)
        rest = self.rest
        if rest:
            self._rest(painter, rest)
        painter.end()

    def _fill(self, painter: QPainter, place: QRectF, words: BedWords, lit: bool) -> QColor | None:
        """The ground of a chip; returns the ink of all that stands on it where an alarm fills it."""
        look, unit, worst = self._look, self._look.unit, words.worst
        box = place.adjusted(0.5, 0.5, -0.5, -0.5)
        if worst is None or worst.record.priority not in _FILLS:
            lost = QPen(QColor(look.theme.alarm.colours["high"].lit), 2 * unit)
            painter.setPen(lost if words.life is Life.LOST else QPen(look.colour("panel_edge"), 1))
            painter.setBrush(look.colour("background"))
            painter.drawRoundedRect(box, 3 * unit, 3 * unit)
            return None
        fill, ink = (QColor(name) for name in colours(worst, lit, words.held, look.theme.alarm, words.still))
        painter.setPen(QPen(ink, unit) if words.held or worst.quiet else Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawRoundedRect(box, 3 * unit, 3 * unit)
        return ink

    def _chip(self, painter: QPainter, chip: Chip) -> None:
        look, unit, words, place = self._look, self._look.unit, chip.words, chip.place
        ink = self._fill(painter, place, words, chip.lit)
        if chip.on_show:
            painter.setPen(QPen(look.colour("text"), 2 * unit))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(place.adjusted(unit, unit, -unit, -unit), 3 * unit, 3 * unit)
        left, right = place.left() + 8 * unit, place.right() - 8 * unit
        upper, lower = place.top() + 16 * unit, place.top() + 33 * unit
        title = look.font(13, True)
        if words.silence:
            draw_bell_off(painter, QRectF(left, upper - 12 * unit, 14 * unit, 14 * unit), ink or look.colour("text"))
            left += 18 * unit
        need = QFontMetricsF(title).horizontalAdvance(words.title) + 9 * unit
        numbers = self._numbers(painter, right, upper, words, ink, right - left - need)
        room = right - left - numbers - 6 * unit
        draw_text(painter, left, upper, elided(words.title, title, room), title, ink or look.colour("text"))
        self._alarms(painter, place.left() + 8 * unit, right, lower, chip, ink)

    def _numbers(
        self, painter: QPainter, right: float, base: float, words: BedWords, ink: QColor | None, room: float
    ) -> float:
        """Heart rate and mean pressure, ending at ``right``, or what takes their place; returns the width. Where there
        is no ``room`` the captions go first: whose numbers they are matters more."""
        look = self._look
        if words.life in (Life.WAITING, Life.LOST):
            return self._tag(painter, right, base, words, ink)
        soft, stale = ink or look.colour("text_soft"), look.colour("stale")
        pressure = look.estimated(Modality.ABP) if words.estimated else look.modality(Modality.ABP)
        tints = (stale, stale) if words.held else (look.modality(Modality.ECG), pressure)
        big, small = look.font(14.5, True), look.font(10.5)
        source = f" {tr(words.rate_source)}" if words.rate_source else ""
        caption = f"{tr('EST')} " if words.estimated else f"{tr('MAP')} "
        numbers = [(words.rate, big, ink or tints[0]), ("   ", small, soft), (words.mean, big, ink or tints[1])]
        by_source = [numbers[0], (source, small, soft), numbers[1], (caption, small, soft), numbers[2]]
        named = [(f"{tr('HR')} ", small, soft), *by_source]
        for parts in (named, by_source, [*numbers[:2], (caption, small, soft), numbers[2]], numbers):
            width = sum(QFontMetricsF(font).horizontalAdvance(text) for text, font, _ in parts)
            if width <= room:
                break
        at = right - width
        for text, font, tint in parts:
            at += draw_text(painter, at, base, text, font, tint)
        return width

    def _tag(self, painter: QPainter, right: float, base: float, words: BedWords, ink: QColor | None) -> float:
        """NOT LIVE in red, and what else there is instead of numbers."""
        look, unit = self._look, self._look.unit
        font = look.font(11.5, True)
        metrics = QFontMetricsF(font)
        width = metrics.horizontalAdvance(words.life_words)
        if words.life is not Life.LOST:
            draw_text(painter, right, base, words.life_words, font, ink or look.colour("text_soft"), right=True)
            return width
        own = look.theme.alarm.colours["high"]
        box = QRectF(right - width - 10 * unit, base - metrics.capHeight() - 5 * unit, width + 14 * unit, 0.0)
        box.setBottom(base + 5 * unit)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(own.lit))
        painter.drawRoundedRect(box, 3 * unit, 3 * unit)
        draw_text(painter, right - 3 * unit, base, words.life_words, font, QColor(own.ink), right=True)
        return box.width()

    def _alarms(
        self, painter: QPainter, left: float, right: float, base: float, chip: Chip, ink: QColor | None
    ) -> None:
        """The worst alarm, and how many more."""
        look, unit, words = self._look, self._look.unit, chip.words
        if words.life in (Life.PAUSED, Life.ENDED):
            font = look.font(11, True)
            left += draw_text(painter, left, base, words.life_words, font, ink or look.colour("text_soft")) + 7 * unit
        worst = words.worst
        if worst is None:
            said = words.why_lost or ("" if words.life is Life.WAITING else tr("no alarm"))
            font = look.fitted(said, 11.5, right - left)
            colour = look.colour("text" if words.why_lost else "text_faint")
            draw_text(painter, left, base, elided(said, font, right - left), font, colour)
            return
        if words.more:
            font = look.font(12, True)
            right -= 6 * unit + draw_text(
                painter, right, base, f"+{words.more}", font, ink or look.colour("text"), right=True
            )
        text = ("✓ " if worst.acknowledged else "") + worst.said
        size = look.fitted(text, 13.0, 0.97 * (right - left), True).pixelSize() / unit
        font = look.font(max(_SMALLEST, size), True)
        if ink is None:  # of low priority: a tag of its own, so that a high one stays the loudest
            fill, ink = (QColor(name) for name in colours(worst, chip.lit, words.held, look.theme.alarm, words.still))
            metrics = QFontMetricsF(font)
            width = min(metrics.horizontalAdvance(text), right - left) + 8 * unit
            box = QRectF(left - 4 * unit, base - metrics.capHeight() - 4 * unit, width, metrics.capHeight() + 8 * unit)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(fill)
            painter.drawRoundedRect(box, 3 * unit, 3 * unit)
        at = left + draw_text(painter, left, base, elided(text, font, right - left), font, ink)
        if worst.now and QFontMetricsF(font).horizontalAdvance(f"  {worst.now}") <= right - at:
            draw_text(painter, at, base, f"  {worst.now}", look.font(size), ink)

    def _rest(self, painter: QPainter, rest: tuple[BedWords, ...]) -> None:
        look, unit, place = self._look, self._look.unit, self.rest_place
        ink = self._fill(painter, place, rest[0], self._phase(rest[0]))
        count, matter = rest_words(rest)
        if (ink is None or rest[0].held) and any(words.life is Life.LOST for words in rest):
            own = look.theme.alarm.colours["high"]
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(own.lit))
            painter.drawRoundedRect(place, 3 * unit, 3 * unit)
            ink = QColor(own.ink)
        left, room = place.left() + 8 * unit, place.width() - 16 * unit
        draw_text(painter, left, place.top() + 16 * unit, count, look.font(13, True), ink or look.colour("text"))
        font = look.fitted(matter, 12, room, True)
        plain = look.colour("text_faint") if matter == tr("no alarm") else look.colour("text")
        draw_text(painter, left, place.top() + 33 * unit, elided(matter, font, room), font, ink or plain)
