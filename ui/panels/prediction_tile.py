"""The prediction tile (0-100, interval, bands, trend, age) and beside it what the prediction was made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from models.signals.modalities import Modality
from ui.bed.prediction_view import NOT_ALONE, News, PredictionWords
from ui.bed.state import RiskPoint
from ui.style.look import Look, draw_text, elided, mixed
from ui.waves.ink import polygon


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
        self._now_s = 0.0
        self.setToolTip(
            "Risk of mean arterial pressure below 65 mmHg for at least one minute, with 10–90 % interval."
            " It must not be used alone."
        )

    def show_prediction(self, words: PredictionWords, trend: Sequence[RiskPoint], now_s: float) -> None:
        """Draws these words and the trend of risks up to ``now_s``; nothing if they are the same."""
        if words != self.words or len(trend) != len(self._trend):
            self.words, self._trend, self._now_s = words, list(trend), now_s
            self.update()

    def _colour(self, band: str) -> QColor:
        words = self.words
        if not band or (words is not None and (words.stale or words.held)):
            return self._look.colour("stale")
        return self._look.colour("text" if band == "plain" else f"risk_{band}")

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
        title = look.font(11.5, True)
        base = inside.top() + QFontMetricsF(title).ascent()
        x = inside.left() + draw_text(
            painter, inside.left(), base, "HYPOTENSION  MAP < 65", title, look.colour("text_soft")
        )
        draw_text(painter, x + 12 * unit, base, NOT_ALONE, look.font(11), look.colour("text_faint"))
        stale_tint = look.colour("alarm_medium") if words.stale or words.reason else look.colour("text_soft")
        age = f"{words.held} · {words.age}" if words.held else words.age
        note = f"{words.reason} · {age}" if words.reason else age
        room = inside.right() - x - 140 * unit
        draw_text(
            painter,
            inside.right(),
            base,
            elided(note, look.font(11), max(60.0, room)),
            look.font(11),
            stale_tint,
            right=True,
        )
        top = base + 4 * unit
        body = QRectF(inside.left(), top, inside.width(), inside.bottom() - top)
        if words.news is not None:
            self._news(painter, body.adjusted(0, 2 * unit, 0, 0), words.news, bool(words.held))
            painter.end()
            return
        end = self._numbers(painter, body, words)
        if body.right() - end > 90 * unit:
            self._paint_trend(painter, QRectF(end, body.top() + 3 * unit, body.right() - end, body.height() - 3 * unit))
        painter.end()

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

    def _numbers(self, painter: QPainter, body: QRectF, words: PredictionWords) -> float:
        look, unit = self._look, self._look.unit
        big = look.font(min(38.0, body.height() / unit * 0.95))
        small = look.font(11)
        base = body.center().y() + QFontMetricsF(big).capHeight() / 2
        number_width = QFontMetricsF(big).horizontalAdvance("100")
        note_width = max(QFontMetricsF(small).horizontalAdvance("100–100"), 46 * unit)
        x = body.left()
        for risk in words.risks:
            draw_text(
                painter,
                x,
                base,
                risk.value,
                look.fitted(risk.value, big.pixelSize() / unit, number_width),
                self._colour(risk.band),
            )
            at = x + min(number_width, QFontMetricsF(big).horizontalAdvance(risk.value)) + 7 * unit
            draw_text(painter, at, body.center().y() - 2 * unit, risk.horizon, small, look.colour("text"))
            draw_text(painter, at, body.center().y() + 12 * unit, risk.interval, small, look.colour("text_soft"))
            x += number_width + note_width + 20 * unit
        return x

    def _paint_trend(self, painter: QPainter, area: QRectF) -> None:
        """Ten minutes of the longest horizon; broken where no prediction was made."""
        look, unit = self._look, self._look.unit
        span = look.theme.prediction.trend_s
        label = look.font(10)
        bottom = area.bottom() - QFontMetricsF(label).height() * 0.9
        plot = QRectF(area.left(), area.top(), area.width(), max(8.0, bottom - area.top()))
        painter.fillRect(plot, mixed(look.colour("panel"), look.colour("background"), 0.5))
        for limit in look.theme.prediction.bands:
            y = plot.bottom() - limit / 100.0 * plot.height()
            pen = QPen(look.colour("panel_edge"), 1, Qt.PenStyle.DashLine)
            painter.setPen(pen)
            painter.drawLine(QLineF(plot.left(), y, plot.right(), y))
        if self._trend:
            horizon = max(self._trend[-1].risk, key=float)
            times = np.array([point.time_s for point in self._trend])
            risk = np.array([100.0 * point.risk.get(horizon, np.nan) for point in self._trend])
            x = plot.right() - (self._now_s - times) / span * plot.width()
            y = plot.bottom() - np.clip(risk, 0, 100) / 100.0 * plot.height()
            painter.save()
            painter.setClipRect(plot.adjusted(0, -1, 1, 1))
            tint = self._colour(self.words.risks[-1].band if self.words and self.words.risks else "")
            painter.setPen(QPen(tint, 1.4 * max(1.0, unit)))
            cuts = np.flatnonzero((np.diff(times) > 3.0) | ~np.isfinite(np.diff(risk))) + 1
            for part in np.split(np.arange(len(times)), cuts):
                points = np.column_stack((x[part], y[part]))
                points = points[np.isfinite(points).all(axis=1)]
                if len(points) > 1:
                    painter.drawPolyline(polygon(points))
                elif len(points) == 1:
                    painter.drawPoint(QPointF(*points[0]))
            painter.restore()
            base = area.bottom() - 1
            draw_text(painter, plot.left(), base, f"{span / 60:.0f} min ago", label, look.colour("text_faint"))
            draw_text(
                painter,
                plot.right(),
                base,
                f"{horizon} min risk, now",
                label,
                look.colour("text_faint"),
                right=True,
            )


class MadeFromTile(QWidget):
    """Which modalities the newest prediction was made from, with the percentage of frames present."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look = look
        self.words: PredictionWords | None = None

    def show_prediction(self, words: PredictionWords) -> None:
        """Draws the sources of these words; nothing if they are the same."""
        before = self.words
        if before is None or (words.sources, words.stale, words.held) != (before.sources, before.stale, before.held):
            self.words = words
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the tile."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        inside = _panel(painter, self, look)
        title = look.font(11.5, True)
        base = inside.top() + QFontMetricsF(title).ascent()
        draw_text(painter, inside.left(), base, "MADE FROM", title, look.colour("text_soft"))
        sources = self.words.sources if self.words else ()
        name_font, font = look.font(12, True), look.font(11)
        need = max(
            (
                QFontMetricsF(name_font).horizontalAdvance(s.modality)
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
                    source.modality,
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
