"""What is said while something is being opened, and where it could not be: a panel over the lower half of the window,
with a button for each answer. It leaves alarms and numbers uncovered, and takes the keyboard while it is there."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ui.start.cards import OWN_KEYS, field_style, keeps, wrapped_label
from ui.start.opening import Notice, Stage
from ui.style.language import tr
from ui.style.look import Look

_WIDTH = 620


class DropFrame(QFrame):
    """Around the whole window while something is held over it that can be dropped."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look, self._over = look, parent
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setStyleSheet("background: transparent;")  # the screen's own ground would hide the patient
        self.hide()

    def appear(self) -> None:
        """Something is held over the window."""
        self.setGeometry(self._over.rect())
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        """A frame, and what to do."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        inset = 3 * unit
        painter.setPen(QPen(look.colour("text"), inset))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(inset, inset, -inset, -inset), 8 * unit, 8 * unit)
        font, words = look.font(18, True), tr("Drop to open")
        room = QRectF(0, 0, 220 * unit, 52 * unit)
        room.moveCenter(QPointF(self.width() / 2, self.height() - 80 * unit))
        painter.setBrush(look.colour("panel"))
        painter.drawRoundedRect(room, 8 * unit, 8 * unit)
        painter.setFont(font)
        painter.drawText(room, int(Qt.AlignmentFlag.AlignCenter), words)
        painter.end()


class NoticePanel(QFrame):
    """Hidden until there is something to say. answer: called with the method of the button that was pressed. room: how
    much of the window's width, from the left, it may cover."""

    def __init__(self, look: Look, answer: Callable[[str], None], parent: QWidget, room: Callable[[], int]) -> None:
        super().__init__(parent)
        self._look, self._answer, self._over, self._room = look, answer, parent, room
        self.setObjectName("notice")
        self.notice: Notice | None = None
        self._had_focus: QWidget | None = None
        self._title, self._words = wrapped_label(), wrapped_label()
        self._column, self._row = QVBoxLayout(self), QHBoxLayout()
        self._column.addWidget(self._title)
        self._column.addWidget(self._words)
        self._column.addLayout(self._row)
        self.buttons: list[QPushButton] = []
        self.hide()

    def show_notice(self, notice: Notice | None) -> None:
        """Say it, or nothing."""
        if notice == self.notice:
            return
        before, self.notice = self.notice, notice
        if notice is None:
            self._leave()
            return
        self._title.setText(notice.title)
        self._words.setText(notice.words)
        if before is None or (before.stage, before.answers) != (notice.stage, notice.answers):
            self._ask(notice)
        self.show()  # before its size is known: hidden labels have no fonts yet
        self.raise_()
        self.restyle()
        if before is None:
            self._had_focus = QApplication.focusWidget()
        if before is None or before.stage is not notice.stage:
            self.buttons[0].setFocus()  # what changes nothing

    def _ask(self, notice: Notice) -> None:
        for button in self.buttons:
            self._row.removeWidget(button)
            button.deleteLater()
        self.buttons = []
        if self._row.count() == 0:
            self._row.addStretch(1)
        for words, method in notice.answers:
            button = QPushButton(words, self)
            button.setObjectName("small")
            button.setAutoDefault(True)
            button.clicked.connect(lambda _checked=False, method=method: self._answer(method))
            self._row.addWidget(button)
            button.show()  # at once: what is hidden has no height
            self.buttons.append(button)

    def _leave(self) -> None:
        had_focus, self._had_focus = self._had_focus, None
        mine = self.isAncestorOf(QApplication.focusWidget() or self._over)
        self.hide()
        if mine and had_focus is not None and had_focus.window() is self.window() and had_focus.isVisible():
            had_focus.setFocus()

    def restyle(self) -> None:
        """Size and place for the window's present size."""
        look, notice = self._look, self.notice
        if notice is None:
            return
        c = look.theme.colour
        edge = c["absent"] if notice.stage is Stage.FAILED else c["accent"]
        self.setStyleSheet(
            f"QFrame#notice {{ background: {c['panel']}; border: {max(1, look.px(2))}px solid {edge};"
            f" border-radius: {look.px(8)}px; }} QLabel {{ background: transparent; border: none; }}"
            + field_style(look)
        )
        self._title.setStyleSheet(f"color: {c['text']}; font-size: {look.px(16)}px; font-weight: 600;")
        self._words.setStyleSheet(f"color: {c['text_soft']}; font-size: {look.px(13)}px;")
        for part in (self, self._title, self._words, *self.buttons):
            part.ensurePolished()
        margin = look.px(20)
        self._column.setContentsMargins(margin, margin, margin, look.px(16))
        self._column.setSpacing(look.px(10))
        self._row.setSpacing(look.px(10))
        room = self._room()
        width = min(look.px(_WIDTH), room - look.px(40))
        self.setFixedWidth(max(1, width))
        self._column.invalidate()
        self.setFixedHeight(self._column.totalHeightForWidth(width))
        below = min(self._over.height() - self.height() - look.px(150), round(self._over.height() * 0.58))
        self.move((room - width) // 2, max(0, below))

    def event(self, event: QEvent) -> bool:
        """Keys for its buttons are no shortcuts of the display."""
        if keeps(event, (*OWN_KEYS, Qt.Key.Key_Escape)):
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc gives the first answer; the arrows go from one button to the next."""
        key = event.key()
        if key == Qt.Key.Key_Escape and self.notice is not None:
            self._answer(self.notice.answers[0][1])
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Up, Qt.Key.Key_Right, Qt.Key.Key_Down):
            self.focusNextPrevChild(key in (Qt.Key.Key_Right, Qt.Key.Key_Down))
        elif key not in OWN_KEYS:
            super().keyPressEvent(event)

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Within the panel only: what is behind it waits for an answer."""
        focused = [number for number, button in enumerate(self.buttons) if button.hasFocus()]
        at = focused[0] if focused else 0
        self.buttons[(at + (1 if forward else -1)) % len(self.buttons)].setFocus()
        return True
