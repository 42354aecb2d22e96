"""The bottom line: pause, speed, position with gap marks, and the status of the session.

A live source has no replay: LIVE, and how long it has run. Where it is recorded the bar is that of the recording, its
right end is now, and a look at any other place of it is one at the past; a button leads back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QAction, QFontMetricsF, QHelpEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QToolButton, QToolTip, QWidget

from streams.control import Gaps, SessionStatus
from ui.bed.marks import Mark
from ui.bed.past import day_words, wall_words
from ui.panels.bar_marks import marks_at, paint_marks
from ui.panels.shortcuts import REPLAY_SPEEDS
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.words import UNKNOWN_TIME, clock_words, reached_words, speed_words, tooltip_words


class SeekBar(QWidget):
    """Position in the recording; press, drag, let go to seek. Marks below: where a modality has no data."""

    def __init__(self, look: Look, on_seek: Callable[[float], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._on_seek = look, on_seek
        self.duration_s = self.position_s = 0.0
        self.words: Callable[[float], str] = clock_words
        """A time of the bar in words."""
        self._gaps: Gaps = {}
        self._marks: tuple[Mark, ...] = ()
        self._drag: float | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)

    def show_position(self, position_s: float, duration_s: float, gaps: Gaps, marks: tuple[Mark, ...] = ()) -> None:
        """Draws the position, the gaps and the marks; nothing if it would look the same."""
        width = max(1, self.width())
        moved = abs(position_s - self.position_s) * width > 0.5 * max(duration_s, 1e-9)
        if moved or duration_s != self.duration_s or gaps != self._gaps or marks != self._marks:
            self.position_s, self.duration_s, self._gaps, self._marks = position_s, duration_s, gaps, marks
            self.update()

    def let_go(self) -> None:
        """Drags no more and seeks nowhere: another bed's recording is on show."""
        self._drag = None
        self.update()

    def groove(self) -> QRectF:
        """Where the line of the position runs, in logical pixels."""
        pad, thick = 8 * self._look.unit, 7 * self._look.unit
        return QRectF(pad, self.height() / 2 - thick / 2 - 2 * self._look.unit, max(1.0, self.width() - 2 * pad), thick)

    def time_at(self, x: float) -> float:
        """The time in s at a horizontal place in logical pixels, within the recording."""
        groove = self.groove()
        return min(1.0, max(0.0, (x - groove.left()) / groove.width())) * self.duration_s

    def x_of(self, time_s: float) -> float:
        """The horizontal place of a time, within the groove."""
        groove = self.groove()
        share = time_s / self.duration_s if self.duration_s > 0 else 0.0
        return groove.left() + min(1.0, max(0.0, share)) * groove.width()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begins to drag."""
        if event.button() == Qt.MouseButton.LeftButton and self.duration_s > 0:
            self._drag = self.time_at(event.position().x())
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drags on."""
        if self._drag is not None:
            self._drag = self.time_at(event.position().x())
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Seeks to where it was let go."""
        if self._drag is not None and event.button() == Qt.MouseButton.LeftButton:
            target, self._drag = self.time_at(event.position().x()), None
            self.update()
            self._on_seek(target)

    def event(self, event: QEvent) -> bool:
        """Tells time and missing modalities under the pointer; all else is Qt's."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self.duration_s > 0:
            time_s = self.time_at(event.pos().x())
            missing = [m.value for m, gaps in self._gaps.items() if any(a <= time_s < b for a, b in gaps)]
            words = self.words(time_s) + (f"   no {', '.join(missing)}" if missing else "")
            told = [words, *marks_at(self._marks, time_s, self.time_at(event.pos().x() + 4) - time_s, self.words)]
            QToolTip.showText(event.globalPos(), tooltip_words("\n".join(told)), self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws groove, gaps and handle."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("panel"))
        groove = self.groove()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.colour("panel_edge"))
        painter.drawRoundedRect(groove, 2 * unit, 2 * unit)
        position = self._drag if self._drag is not None else self.position_s
        x = self.x_of(position)
        painter.setBrush(look.colour("accent"))
        painter.drawRoundedRect(
            QRectF(groove.left(), groove.top(), x - groove.left(), groove.height()), 2 * unit, 2 * unit
        )
        y = paint_marks(painter, self._marks, self.x_of, position, groove, look)
        for modality, gaps in self._gaps.items():
            if not gaps or y + 2 * unit > self.height():
                continue
            colour = look.modality(modality)
            for begin, end in gaps:
                a, b = self.x_of(begin), self.x_of(end)
                painter.fillRect(QRectF(a, y, max(1.0, b - a), 1.6 * unit), colour)
            y += 2.4 * unit
        painter.setBrush(look.colour("text"))
        painter.drawEllipse(QPointF(x, groove.center().y()), 6 * unit, 6 * unit)
        if self._drag is not None:
            font = look.font(11, True)
            words = self.words(self._drag)
            width = QFontMetricsF(font).horizontalAdvance(words)
            at = min(self.width() - width - 4, max(2.0, x + 10 * unit))
            painter.fillRect(QRectF(at - 3, 1, width + 6, 14 * unit), look.colour("background"))
            draw_text(painter, at, 12 * unit, words, font, look.colour("text"))
        painter.end()


class StatusLine(QWidget):
    """One line of words, cut where the room ends; the tooltip says more."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.words = ""

    def say(self, words: str, more: str) -> None:
        """Shows ``words``, and ``more`` in the tooltip."""
        if words != self.words:
            self.words = words
            self.fit()
            self.update()
        self.setToolTip(tooltip_words(more))

    def fit(self) -> None:
        """As wide as the words, in coarse steps so that the bar beside it does not twitch, at most half the window."""
        unit = self._look.unit
        need = QFontMetricsF(self._look.font(11)).horizontalAdvance(self.words) + 28 * unit
        step = 30 * unit
        room = 0.46 * self.window().width()
        self.setFixedWidth(round(min(-(-need // step) * step, room)))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the line."""
        painter = QPainter(self)
        font = self._look.font(11)
        painter.fillRect(self.rect(), self._look.colour("panel"))
        right = self.width() - 16 * self._look.unit
        base = self.height() / 2 + QFontMetricsF(font).capHeight() / 2
        draw_text(
            painter,
            right,
            base,
            elided(self.words, font, right - 4),
            font,
            self._look.colour("text_soft"),
            right=True,
        )
        painter.end()


@dataclass(frozen=True, slots=True)
class Recorded:
    """Of a live run's recording, in seconds from 1970: its first record, now, and the moment that is looked at (None:
    now)."""

    begin_s: float
    now_s: float
    at_s: float | None


class ReplayBar(QWidget):
    """Buttons call the operator's actions; none takes the keyboard focus."""

    def __init__(
        self,
        look: Look,
        toggle_pause: Callable[[], None],
        set_speed: Callable[[float], None],
        seek: Callable[[float], None],
        step: Callable[[float], None],
        menu: QMenu,
        back_to_live: Callable[[], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._look = look
        self.setAutoFillBackground(True)
        self.play = self._button("❚❚", tr("Pause or play (Space)"))
        self.play.clicked.connect(lambda: toggle_pause())
        self.step = self._button("▸|", tr("Step one second while paused (.)"))
        self.step.clicked.connect(lambda: step(1.0))
        self.speed = self._button("1×", tr("Replay speed (+ and -)"))
        self.speed.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        speeds = QMenu(self.speed)
        for value in REPLAY_SPEEDS:
            action = QAction(speed_words(value), speeds)
            action.triggered.connect(lambda _checked=False, value=value: set_speed(value))
            speeds.addAction(action)
        self.speed.setMenu(speeds)
        self.more = self._button("☰", tr("Menu"))
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setMenu(menu)
        self.time = self._button(UNKNOWN_TIME, tr("Position and length of the recording"))
        self.time.setEnabled(False)
        self.seek = SeekBar(look, seek)
        self.status = StatusLine(look)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.live = self._button(tr("● BACK TO LIVE"), tr("What is the case now (Esc)"))
        self.live.clicked.connect(lambda: back_to_live())
        self.live.hide()
        for widget in (self.play, self.step, self.speed, self.live, self.time):
            layout.addWidget(widget)
        layout.addWidget(self.seek, 1)
        self.stretch = QWidget(self)
        self.stretch.hide()
        layout.addWidget(self.stretch, 1)
        layout.addWidget(self.status)
        layout.addWidget(self.more)
        self.restyle()

    def _button(self, text: str, tip: str) -> QToolButton:
        button = QToolButton(self)
        button.setText(text)
        button.setToolTip(tip)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        return button

    def restyle(self) -> None:
        """Colours and sizes by the present interface unit."""
        look = self._look
        colours = look.theme.colour
        size, pad = look.px(13), look.px(9)
        self.setStyleSheet(
            f"ReplayBar {{ background: {colours['panel']}; }}"
            f"QToolButton {{ color: {colours['text']}; background: {colours['panel']}; border: none;"
            f" padding: 0 {pad}px; font-size: {size}px; }}"
            f"QToolButton:hover {{ background: {colours['panel_edge']}; }}"
            f"QToolButton:disabled {{ color: {colours['text']}; background: {colours['panel']}; }}"
            "QToolButton::menu-indicator { image: none; }"
        )
        self.stretch.setStyleSheet(f"background: {colours['panel']};")
        metrics = QFontMetricsF(look.font(13))
        self.speed.setFixedWidth(round(metrics.horizontalAdvance("0.25×") + 2 * pad + 2))
        self.play.setFixedWidth(look.px(44))
        self.status.fit()

    def show_state(
        self,
        position_s: float,
        status: SessionStatus,
        gaps: Gaps,
        recorded: Recorded | None = None,
        marks: tuple[Mark, ...] = (),
        reached: float | None = None,
    ) -> None:
        """Shows position, speed, whether it is paused, and the recording's gaps; of a live source since when, and where
        in what is ``recorded`` of it. marks: along the recording; reached: the speed, if another."""
        live = not status.seekable
        for widget in (self.play, self.step, self.speed):
            widget.setVisible(not live)
        self.seek.setVisible(not live or recorded is not None)
        self.stretch.setVisible(live and recorded is None)
        past = recorded is not None and recorded.at_s is not None
        self.live.setVisible(past)
        self.seek.words = clock_words
        if live and recorded is not None:
            begin_s = recorded.begin_s
            at_s = recorded.now_s if recorded.at_s is None else recorded.at_s
            self.seek.words = lambda time_s: wall_words(begin_s + time_s)
            self.seek.show_position(round(at_s - begin_s), max(1.0, round(recorded.now_s - begin_s)), {})
        if past and recorded is not None and recorded.at_s is not None:
            self._set(self.time, f"{tr('PAST')}  {day_words(recorded.at_s, recorded.now_s)}")
            return
        if live:
            self._set(self.time, tr("● LIVE  {time} since start", time=clock_words(position_s)))
            return
        self._set(self.play, "▶" if status.paused else "❚❚")
        self._set(self.speed, speed_words(status.speed) if reached is None else reached_words(reached))
        length = clock_words(status.duration_s) if status.duration_s > 0 else UNKNOWN_TIME
        self._set(self.time, f"{clock_words(position_s)} / {length}")
        self.step.setEnabled(status.paused)
        self.seek.show_position(position_s, status.duration_s, gaps, marks)

    @staticmethod
    def _set(button: QToolButton, text: str) -> None:
        if button.text() != text:
            button.setText(text)
