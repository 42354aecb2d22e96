"""The choice of rows: which are shown, in what order, how high, at what speed, gain and filter; and layouts by name.

Not modal: the waves change while one chooses, and alarms stay in reach. Everything goes by keys, named at the foot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ui.bed.lanes import Lane
from ui.bed.layout import RowChoice
from ui.style.labels import plain_label
from ui.style.language import tr
from ui.style.look import Look
from ui.style.own_keys import OwnKeysDialog

_KEYS = (
    "Up, Down: choose   Shift+Up, Shift+Down: move   Space: show or hide   +, −: taller, lower\n"
    "W: sweep speed   F: filter   G: gain   Tab: to the layouts and back   Esc: close"
)
_WIDTH, _HEIGHT = 560, 430
_HEADS = ("Row", "Shown", "Height", "Sweep", "Filter", "Gain")
_BUTTONS = (
    # words, and the key that does the same, with Shift or without
    ("Up", Qt.Key.Key_Up, True),
    ("Down", Qt.Key.Key_Down, True),
    ("Show or hide", Qt.Key.Key_Space, False),
    ("Taller", Qt.Key.Key_Plus, False),
    ("Lower", Qt.Key.Key_Minus, False),
    ("Speed", Qt.Key.Key_W, False),
    ("Filter", Qt.Key.Key_F, False),
    ("Gain", Qt.Key.Key_G, False),
)


class Rows(Protocol):
    """What the dialog asks and orders."""

    @property
    def rows(self) -> list[tuple[RowChoice, Lane]]:
        """Each row as it is chosen, from the top."""

    @property
    def names(self) -> list[str]:
        """Of the saved layouts."""

    def move_row(self, key: str, step: int) -> None:
        """Further down; up for a negative ``step``."""

    def resize_row(self, key: str, step: int) -> None:
        """Taller; lower for a negative ``step``."""

    def toggle_row(self, key: str) -> None:
        """Hide it, or show it."""

    def next_speed(self, key: str) -> None:
        """The next sweep speed."""

    def next_filter(self, key: str) -> None:
        """The next filter, where it has several."""

    def next_gain(self, key: str) -> None:
        """The next gain or sensitivity, where it has a choice."""

    def use_layout(self, name: str) -> None:
        """That of a name."""

    def save_layout(self, name: str) -> bool:
        """The present one under a name; False where that is no name."""

    def delete_layout(self, name: str) -> None:
        """No longer among the saved ones."""


class RowsDialog(OwnKeysDialog):
    """words_of: sweep speed and gain of a lane, as its header says them. usual: name of the layout nobody chose."""

    def __init__(
        self,
        rows: Rows,
        look: Look,
        words_of: Callable[[Lane], tuple[str, str]],
        layout_name: Callable[[], str],
        usual: str,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._rows, self._look, self._words_of, self._name_of, self._usual = rows, look, words_of, layout_name, usual
        self.setWindowTitle(tr("Rows of the screen"))
        self.table = QTableWidget(0, len(_HEADS))
        self.table.setHorizontalHeaderLabels([tr(head) for head in _HEADS])
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.horizontalHeader().setHighlightSections(False)
        self.table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.installEventFilter(self)
        self.layouts = QComboBox()
        self.layouts.textActivated.connect(rows.use_layout)
        self.name = QLineEdit()
        self.name.setMaxLength(40)
        self.name.setPlaceholderText(tr("name for this layout"))
        self.name.returnPressed.connect(self._save)
        self._keys = plain_label(tr(_KEYS))
        self._keys.setWordWrap(True)
        column = QVBoxLayout(self)
        column.addWidget(self.table, 1)
        column.addLayout(self._buttons())
        named = QHBoxLayout()
        for widget in (plain_label(tr("Layout")), self.layouts, self.name):
            named.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
        named.addWidget(self._button(tr("Save"), self._save))
        named.addWidget(self._button(tr("Delete"), lambda: rows.delete_layout(self.layouts.currentText())))
        column.addLayout(named)
        column.addWidget(self._keys)

    def _button(self, words: str, does: Callable[[], object]) -> QPushButton:
        button = QPushButton(words)
        button.setAutoDefault(False)
        button.clicked.connect(lambda _checked=False: does())
        return button

    def _buttons(self) -> QGridLayout:
        """In two lines: in one, large writing would make the dialog cover the numbers."""
        grid = QGridLayout()
        for number, (words, key, shift) in enumerate(_BUTTONS):
            button = self._button(tr(words), partial(self.press, key, shift))
            button.setFocusPolicy(Qt.FocusPolicy.ClickFocus)  # the keys do the same
            grid.addWidget(button, *divmod(number, len(_BUTTONS) // 2))
        return grid

    # What is chosen -----------------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """Of the row chosen in the table; "" without one."""
        item = self.table.item(self.table.currentRow(), 0)
        return str(item.data(Qt.ItemDataRole.UserRole)) if item is not None else ""

    def renew(self) -> None:
        """Show what is the case; the row that was chosen stays so, wherever it is now."""
        if not self.isVisible():
            return
        chosen, rows = self.key, self._rows.rows
        self.table.setRowCount(len(rows))
        for number, (choice, lane) in enumerate(rows):
            self._fill(number, choice, lane)
        keys = [choice.key for choice, _ in rows]
        if keys:
            self.table.setCurrentCell(keys.index(chosen) if chosen in keys else 0, 0)
        names = [self._usual, *self._rows.names]
        if names != [self.layouts.itemText(i) for i in range(self.layouts.count())]:
            self.layouts.clear()
            self.layouts.addItems(names)
        name = self._name_of()
        self.layouts.setCurrentIndex(names.index(name) if name in names else -1)

    def _fill(self, number: int, choice: RowChoice, lane: Lane) -> None:
        speed, gain = self._words_of(lane)
        corners = lane.style.filter
        hz = f"{corners[0]:g}–{corners[1]:g} Hz" if corners else ""
        title = f"{lane.title} {lane.detail}".rstrip()
        texts: Sequence[str] = (
            title if lane.connected else f"{title} ({tr('not connected')})",
            tr("shown") if choice.shown else tr("hidden"),
            f"×{choice.height:g}",
            speed,
            f"{lane.style.filter_name} {hz}".strip() or "—",
            gain or "—",
        )
        colour = self._look.modality(lane.modality) if choice.shown else self._look.colour("text_faint")
        for at, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, choice.key)
            item.setForeground(
                QColor(colour if at == 0 else self._look.colour("text" if choice.shown else "text_faint"))
            )
            self.table.setItem(number, at, item)

    def _save(self) -> None:
        if self._rows.save_layout(self.name.text() or self.layouts.currentText()):
            self.name.clear()
            self.table.setFocus()

    # Keys ---------------------------------------------------------------------------------------------------------

    def press(self, key: int, shift: bool = False) -> bool:
        """Do what a key means for the row that is chosen; False for a key without a meaning here."""
        row, rows = self.key, self._rows
        if not row:
            return False
        match key:
            case Qt.Key.Key_Up | Qt.Key.Key_Down if shift:
                rows.move_row(row, -1 if key == Qt.Key.Key_Up else 1)
            case Qt.Key.Key_Space:
                rows.toggle_row(row)
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal:
                rows.resize_row(row, 1)
            case Qt.Key.Key_Minus:
                rows.resize_row(row, -1)
            case Qt.Key.Key_W:
                rows.next_speed(row)
            case Qt.Key.Key_F:
                rows.next_filter(row)
            case Qt.Key.Key_G:
                rows.next_gain(row)
            case _:
                return False
        return True

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The keys of the table."""
        if watched is self.table and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self.press(event.key(), bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        return super().eventFilter(watched, event)

    def open_for(self) -> None:
        """Put it on show, with the keys, or away."""
        if self.isVisible():
            self.hide()
            return
        look = self._look
        self.setFont(look.font(13))
        self._keys.setStyleSheet(f"color: {look.theme.colour['text_soft']};")
        self.place(look, look.px(_WIDTH), look.px(_HEIGHT))
        self.show()
        self.renew()
        self.raise_()
        self.activateWindow()
        self.table.setFocus()
