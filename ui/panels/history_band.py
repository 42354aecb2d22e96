"""The band over a page of the past: of when it is, what stood then, and beside it the numbers of now.

Blue, which no alarm and no wave is; it and the frame around the waves are there as long as anything on the screen is
not of now. A click on it goes back to live.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.bed.alarm_view import Alarm
from ui.bed.alarm_words import now_said
from ui.bed.bed_words import bed_words
from ui.bed.bedside import Bedside
from ui.bed.past import Page, ago_words, day_words, whose_words
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.words import ESTIMATED

HEIGHT = 48
"""The banner's room and the heading of a lane: below it begin the waves."""


@dataclass(frozen=True, slots=True)
class BandWords:
    """title: ``HISTORY 14:32:10``. ago: how long ago. then: what stood then, missing: what was not recorded. now: the
    numbers of now."""

    title: str
    ago: str
    then: str
    now: str


def then_words(alarms: tuple[Alarm, ...], missing: str) -> str:
    """What stood at a moment of the past, worst first; before it what is not there."""
    stood = " · ".join(
        alarm.said + (f" ({now_said(alarm.record.now)})" if alarm.record.now else "") for alarm in alarms
    )
    parts = [missing, tr("alarms then: {stood}", stood=stood) if stood else "" if missing else tr("no alarm then")]
    return "  —  ".join(part for part in parts if part)


def band_words(page: Page, bed: Bedside, unix_s: float) -> BandWords:
    """Over a page of the past of a bed, at the wall clock ``unix_s``."""
    whose = whose_words(page.state.session, bed.state.session)
    title = "  ·  ".join(part for part in (whose, tr("HISTORY {time}", time=day_words(page.at_s, unix_s))) if part)
    said = bed_words(bed)
    mean = f"{tr(ESTIMATED) if said.estimated else tr('mean')} {said.mean}"
    now = "   ".join(part for part in (f"{tr('HR')} {said.rate}", mean, said.life_words) if part)
    then = then_words(page.state.alarms.standing, page.missing)
    return BandWords(title, ago_words(unix_s - page.at_s), then, now)


class HistoryBand(QWidget):
    """Hidden while all that is shown is of now. on_click: leads back there."""

    def __init__(self, look: Look, on_click: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._on_click = look, on_click
        self.words: BandWords | None = None
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.hide()

    def say(self, words: BandWords | None) -> None:
        """Shows ``words``; None hides the band."""
        if words != self.words:
            self.words = words
            self.setVisible(words is not None)
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Back to live."""
        self._on_click()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the band: the past on the left, now on the right."""
        look, unit, words = self._look, self._look.unit, self.words
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("past"))
        if words is None:
            painter.end()
            return
        white, pad = QColor("white"), 18 * unit
        upper, lower = self.height() * 0.42, self.height() * 0.82
        now_left = self._now(painter, words, upper, lower)
        title, font = look.font(18, True), look.font(13)
        x = pad + draw_text(painter, pad, upper, words.title, title, white)
        live = tr("{ago} — live continues", ago=words.ago)
        draw_text(painter, x + 14 * unit, upper, elided(live, font, max(0.0, now_left - x - 20 * unit)), font, white)
        draw_text(painter, pad, lower, elided(words.then, font, now_left - pad - 10 * unit), font, white)
        painter.end()

    def _now(self, painter: QPainter, words: BandWords, upper: float, lower: float) -> float:
        """A box on the right, dark as the live screen; where it begins."""
        look, unit = self._look, self._look.unit
        big, small = look.font(16, True), look.font(11)
        hint = tr("Esc or a click: back to live")
        need = max(
            QFontMetricsF(big).horizontalAdvance(words.now), QFontMetricsF(small).horizontalAdvance(hint) + 50 * unit
        )
        width = min(need + 28 * unit, self.width() * 0.5)
        box = QRectF(self.width() - width - 8 * unit, 4 * unit, width, self.height() - 8 * unit)
        painter.setPen(QPen(QColor("white"), unit))
        painter.setBrush(look.colour("background"))
        painter.drawRoundedRect(box, 4 * unit, 4 * unit)
        inside = box.left() + 14 * unit
        draw_text(painter, inside, upper, elided(words.now, big, width - 24 * unit), big, look.colour("text"))
        draw_text(painter, inside, lower - 1 * unit, tr("NOW"), look.font(11, True), look.colour("text"))
        draw_text(painter, box.right() - 14 * unit, lower - 1 * unit, hint, small, look.colour("text_soft"), right=True)
        return box.left()
