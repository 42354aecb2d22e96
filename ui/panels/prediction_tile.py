"""The prediction tile (0-100, interval, bands, trend, age) and beside it what the prediction was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from models.signals.modalities import Modality
from ui.bed.prediction_view import NOT_ALONE, News, PredictionWords
from ui.bed.risk_history import MapPoint, RiskPoint, trend_key
from ui.panels.risk_picture import RiskPicture
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.risk_marks import band_colour, draw_mark
from ui.style.words import INVALID


def _panel(painter: QPainter, widget: QWidget, look: Look) -> QRectF:
    """Background and frame of a tile; returns the inside."""
    painter.fillRect(widget.rect(), look.colour("background"))
    box = QRectF(widget.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
    painter.setPen(QPen(look.colour("panel_edge"), 1))
    painter.setBrush(look.colour("panel"))
    painter.drawRoundedRect(box, 5 * look.unit, 5 * look.unit)
    return box.adjusted(12 * look.unit, 7 * look.unit, -12 * look.unit, -7 * look.unit)


class PredictionTile(QWidget):
    """Hypotension within 5, 10 and 15 minutes."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look = look
        self.words: PredictionWords | None = None
        self._trend: list[RiskPoint] = []
        self._maps: list[MapPoint] = []
        self._picture = RiskPicture(look)
        self._now_s = 0.0
        self.setToolTip(
            tr(
                "Risk of mean arterial pressure below 65 mmHg for at least one minute, with 10–90 % interval."
                " It must not be used alone."
            )
        )

    def show_prediction(
        self, words: PredictionWords, trend: Sequence[RiskPoint], maps: Sequence[MapPoint], now_s: float
    ) -> None:
        """Draws these words, and the risks and pressures up to ``now_s``; nothing if they are the same."""
        if (
            words != self.words
            or trend_key(trend) != trend_key(self._trend)
            or trend_key(maps) != trend_key(self._maps)
        ):
            self.words, self._trend, self._maps, self._now_s = words, list(trend), list(maps), now_s
            self.update()

    @property
    def _dim(self) -> bool:
        return self.words is not None and bool(self.words.stale or self.words.held)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the tile."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        inside = _panel(painter, self, look)
        words = self.words
        if words is None:
            painter.end()
            return
        title, small = look.font(11.5, True), look.font(11)
        base = inside.top() + QFontMetricsF(title).ascent()
        x = inside.left() + draw_text(
            painter, inside.left(), base, tr("HYPOTENSION  MAP < 65"), title, look.colour("text_soft")
        )
        x += 12 * unit + draw_text(painter, x + 12 * unit, base, tr(NOT_ALONE), small, look.colour("text_faint"))
        tint = look.colour("alarm_medium") if words.stale else look.colour("text_soft")
        age = f"{words.held} · {words.age}" if words.held else words.age
        room = max(60.0, inside.right() - x - 14 * unit)
        draw_text(painter, inside.right(), base, elided(age, small, room), small, tint, right=True)
        top = base + 5 * unit
        body = QRectF(inside.left(), top, inside.width(), inside.bottom() - top)
        column = self._column(body)
        left = QRectF(body.left(), body.top(), 3 * column, body.height())
        picture = QRectF(left.right() + 4 * unit, body.top(), body.right() - left.right() - 4 * unit, body.height())
        shown = picture.width() > 100 * unit
        if words.news is not None:
            shown = shown and words.news.pressure
            place = left if shown else body
            self._news(painter, place.adjusted(0, 2 * unit, -8 * unit if shown else 0, 0), words.news, bool(words.held))
        elif words.reason and not any(risk.band for risk in words.risks):
            self._why(painter, left if shown else body, words.reason)
        else:
            self._numbers(painter, left, column, words)
        if shown:
            dim = self._dim or words.news is not None
            self._picture.paint(painter, picture, self._trend, self._maps, self._now_s, dim)
        painter.end()

    def _column(self, body: QRectF) -> float:
        """Width of a horizon: its mark, its number and its interval."""
        look, unit = self._look, self._look.unit
        number = QFontMetricsF(self._big(body)).horizontalAdvance("100")
        note = max(QFontMetricsF(look.font(11)).horizontalAdvance("100–100"), 44 * unit)
        return min(18 * unit + number + note + 16 * unit, body.width() / 3.0)

    def _big(self, body: QRectF) -> QFont:
        return self._look.font(min(46.0, body.height() / self._look.unit * 0.8))

    def _why(self, painter: QPainter, body: QRectF, reason: str) -> None:
        """No number, and one plain sentence."""
        look, unit = self._look, self._look.unit
        big = self._big(body)
        base = body.center().y() + QFontMetricsF(big).capHeight() / 2
        x = body.left() + draw_text(painter, body.left(), base, INVALID, big, look.colour("stale")) + 14 * unit
        painter.setFont(look.font(14))
        painter.setPen(look.colour("alarm_medium"))
        place = QRectF(x, body.top(), max(40.0, body.right() - x - 8 * unit), body.height())
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap
        painter.drawText(place, int(flags), reason)

    def _news(self, painter: QPainter, body: QRectF, news: News, held: bool) -> None:
        """A sentence of now over the whole tile, in the colours of its alarm."""
        look, unit = self._look, self._look.unit
        own = look.theme.alarm.colours.get(news.priority)
        if own is None or held:
            fill, ink = look.colour("panel_edge"), look.colour("text")
        else:
            fill, ink = QColor(own.lit), QColor(own.ink)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawRoundedRect(body, 3 * unit, 3 * unit)
        detail = look.font(14)
        room = body.width() - QFontMetricsF(detail).horizontalAdvance(news.detail) - 46 * unit
        big = look.fitted(news.headline, min(27.0, body.height() / unit * 0.62), max(80.0, room), True)
        base = body.center().y() + QFontMetricsF(big).capHeight() / 2
        x = body.left() + 14 * unit
        x += draw_text(painter, x, base, news.headline, big, ink) + 18 * unit
        draw_text(painter, x, base, elided(news.detail, detail, body.right() - x - 6), detail, ink)

    def _numbers(self, painter: QPainter, body: QRectF, column: float, words: PredictionWords) -> None:
        look, unit = self._look, self._look.unit
        big, small = self._big(body), look.font(11)
        base = body.center().y() + QFontMetricsF(big).capHeight() / 2
        number_width = QFontMetricsF(big).horizontalAdvance("100")
        x = body.left()
        for risk in words.risks:
            tint = band_colour(look, risk.band, self._dim)
            if risk.band:
                draw_mark(painter, QPointF(x + 7 * unit, body.center().y()), 6.5 * unit, risk.band, look, tint)
            at = x + 18 * unit
            font = look.fitted(risk.value, big.pixelSize() / unit, number_width)
            draw_text(painter, at, base, risk.value, font, tint)
            at += min(number_width, QFontMetricsF(big).horizontalAdvance(risk.value)) + 6 * unit
            draw_text(painter, at, body.center().y() - 2 * unit, risk.horizon, small, look.colour("text"))
            draw_text(painter, at, body.center().y() + 12 * unit, risk.interval, small, look.colour("text_soft"))
            x += column


class MadeFromTile(QWidget):
    """Which modalities the newest prediction was made from, with the percentage of frames present. ask: called by a
    click, for what each of them is worth."""

    def __init__(self, look: Look, ask: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ask = ask
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(tr("What each sensor is worth to the prediction: a click, or X."))
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look = look
        self.words: PredictionWords | None = None

    def show_prediction(self, words: PredictionWords) -> None:
        """Draws the sources of these words; nothing if they are the same."""
        before = self.words
        if before is None or (words.sources, words.stale, words.held) != (before.sources, before.stale, before.held):
            self.words = words
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Asks."""
        self._ask()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the tile."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        inside = _panel(painter, self, look)
        title = look.font(11.5, True)
        base = inside.top() + QFontMetricsF(title).ascent()
        draw_text(painter, inside.left(), base, tr("MADE FROM"), title, look.colour("text_soft"))
        hint, small = tr("what each is worth: X"), look.font(11)
        draw_text(painter, inside.right(), base, hint, small, look.colour("text_faint"), right=True)
        sources = self.words.sources if self.words else ()
        name_font, font = look.font(12, True), look.font(11)
        need = max(
            (
                QFontMetricsF(name_font).horizontalAdvance(tr(s.modality))
                + QFontMetricsF(font).horizontalAdvance(s.words)
                + 48 * unit  # dot, spaces, and air before the next one
                for s in sources
            ),
            default=0.0,
        )
        # Two by two where four side by side would be cut off.
        columns = len(sources) if inside.width() >= need * len(sources) else (len(sources) + 1) // 2
        lines = -(-len(sources) // columns) if columns else 0
        top = base + 3 * unit
        for number, source in enumerate(sources):
            width = inside.width() / columns
            x = inside.left() + number % columns * width
            y = top + (number // columns + 0.5) * (inside.bottom() - top) / lines
            tint = look.modality(Modality(source.modality))
            if self.words is not None and (self.words.stale or self.words.held):
                tint = look.colour("stale")
            painter.setPen(QPen(tint if source.present else look.colour("absent"), 1.3 * unit))
            painter.setBrush(tint if source.present else look.colour("absent_fill"))
            radius = 4.5 * unit
            painter.drawEllipse(QPointF(x + radius + 1, y), radius, radius)
            text_base = y + QFontMetricsF(name_font).capHeight() / 2
            at = x + 2 * radius + 8 * unit
            at += (
                draw_text(
                    painter,
                    at,
                    text_base,
                    tr(source.modality),
                    name_font,
                    tint if source.present else look.colour("absent"),
                )
                + 7 * unit
            )
            draw_text(
                painter,
                at,
                text_base,
                elided(source.words, font, x + width - at - 4),
                font,
                look.colour("text_soft"),
            )
        painter.end()
