"""The settings that concern the one at the screen, to look at and to change; written into the file of the command line.

What a flag or a variable of the environment holds is shown with its name and cannot be changed here. Nothing waits: the
file is written in a helper thread, and :meth:`SettingsDialog.poll` takes what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from models.signals.errors import BadInput
from ui.manners.store import ENTRIES, Entry, Setting, SettingsStore, Value
from ui.style.labels import plain_label
from ui.style.language import tr
from ui.style.look import Look, scroll_bar_style
from ui.style.own_keys import OwnKeysDialog
from ui.style.words import tooltip_words

TITLE = "Settings"
AT_NEXT_START = "at the next start"
_ON = ("off", "on")
_WIDTH, _FIELD = 560, 130


class SettingsDialog(OwnKeysDialog):
    """saved: told the keys that were written. writer: where the file is written."""

    def __init__(
        self,
        look: Look,
        store: SettingsStore,
        writer: Executor,
        saved: Callable[[frozenset[str]], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr(TITLE))
        self._look, self._store, self._writer, self._saved = look, store, writer, saved
        self._writing: tuple[frozenset[str], Future[None]] | None = None
        self.fields: dict[str, QWidget] = {}
        self._before: dict[str, Value] = {}
        self._headings: list[QLabel] = []
        self._soft: list[QLabel] = []
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        row = 0
        for heading, entries in ENTRIES.items():
            self._headings.append(plain_label(tr(heading)))
            self._headings[-1].setIndent(0)  # else it would begin right of what it stands over
            self._grid.addWidget(self._headings[-1], row, 0, 1, 3)
            row += 1
            for entry in entries:
                self._line(row, entry)
                row += 1
        inside = self._inside = QWidget()
        inside.setLayout(self._grid)
        self._scroll = QScrollArea()
        self._scroll.setWidget(inside)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self.said = plain_label("")
        self.said.setWordWrap(True)
        self.said.setAccessibleName("message")
        self.save_button = QPushButton(tr("Save"))
        self.save_button.setDefault(True)
        self.save_button.clicked.connect(self.save)
        close = QPushButton(tr("Close"))
        close.setAutoDefault(False)
        close.clicked.connect(self.reject)
        foot = QHBoxLayout()
        foot.addWidget(self.said, 1)
        foot.addWidget(self.save_button, 0, Qt.AlignmentFlag.AlignBottom)
        foot.addWidget(close, 0, Qt.AlignmentFlag.AlignBottom)
        column = QVBoxLayout(self)
        column.addWidget(self._scroll, 1)
        column.addLayout(foot)
        first = next((field for field in self.fields.values() if field.isEnabled()), close)
        first.setFocus()
        self.restyle()

    def _line(self, row: int, entry: Entry) -> None:
        setting = self._store.setting(entry.key)
        name, field = plain_label(tr(entry.label)), _field(setting)
        name.setBuddy(field)
        field.setAccessibleName(tr(entry.label))
        field.setToolTip(tooltip_words(setting.expects))
        field.setEnabled(not setting.fixed_by)
        self._before[entry.key] = _read(field, setting)
        self.fields[entry.key] = field
        note = (
            tr("set by {what}", what=setting.fixed_by)
            if setting.fixed_by
            else ""
            if entry.at_once
            else tr(AT_NEXT_START)
        )
        self._soft.append(plain_label(note))
        for column, widget in enumerate((name, field, self._soft[-1])):
            self._grid.addWidget(widget, row, column)

    def restyle(self) -> None:
        """Colours and sizes by the look as it is now."""
        look, colours = self._look, self._look.theme.colour
        pad = look.px(5)
        self.setStyleSheet(
            f"QDialog, QScrollArea, QScrollArea QWidget {{ background: {colours['panel']}; }}"
            f"QWidget {{ color: {colours['text']}; font-size: {look.px(13)}px; }}"
            f"QLineEdit, QComboBox {{ background: {colours['background']}; border: 1px solid {colours['text_faint']};"
            f" padding: {pad}px; }}"
            f"QLineEdit:focus, QComboBox:focus, QCheckBox:focus {{ border: 2px solid {colours['accent']}; }}"
            f"QWidget:disabled {{ color: {colours['text_faint']}; }}"
            f"QComboBox QAbstractItemView {{ background: {colours['background']};"
            f" selection-color: {colours['on_accent']}; selection-background-color: {colours['accent']}; }}"
            f"QCheckBox::indicator {{ width: {3 * pad}px; height: {3 * pad}px; "
            f" border: 1px solid {colours['text_faint']}; background: {colours['background']}; }}"
            f"QCheckBox::indicator:checked {{ background: {colours['accent']}; }}"
            f"QPushButton {{ background: {colours['panel_edge']}; border: 1px solid {colours['text_faint']};"
            f" padding: {pad}px {3 * pad}px; }}"
            f"QPushButton:focus {{ border: 2px solid {colours['accent']}; }}" + scroll_bar_style(look)
        )
        for heading in self._headings:
            heading.setStyleSheet(f"color: {colours['text_soft']}; font-weight: 600; padding-top: {pad}px;")
        for note in self._soft:
            note.setStyleSheet(f"color: {colours['text_soft']};")
        for field in self.fields.values():
            field.setMinimumWidth(look.px(_FIELD))
        self._grid.setHorizontalSpacing(look.px(14))
        self._grid.setVerticalSpacing(look.px(6))
        self._place()

    def showEvent(self, event: QShowEvent) -> None:
        """What was read or written last is said where it goes."""
        self._place()
        if not self.said.text():
            self._say(tr("Save writes into {file}", file=self._store.place))
        super().showEvent(event)

    def _place(self) -> None:
        look = self._look
        self.place(look, look.px(_WIDTH), self._inside.sizeHint().height() + look.px(110))

    # Saving -------------------------------------------------------------------------------------------------------

    def changes(self) -> dict[str, Value]:
        """What is other than it was."""
        now = {key: _read(field, self._store.setting(key)) for key, field in self.fields.items() if field.isEnabled()}
        return {key: value for key, value in now.items() if value != self._before[key]}

    def save(self) -> None:
        """Have what is other written; :meth:`poll` says what came of it."""
        changes = self.changes()
        if not changes:
            self._say(tr("nothing was changed"))
        elif self._writing is None:
            self.save_button.setEnabled(False)
            self._writing = frozenset(changes), self._writer.submit(self._store.save, changes)
            self.poll()

    def poll(self) -> None:
        """Ten times a second while something is written."""
        if self._writing is None or not self._writing[1].done():
            return
        keys, writing = self._writing
        self._writing = None
        self.save_button.setEnabled(True)
        error = writing.exception()
        if isinstance(error, BadInput):
            self._say(str(error), bad=True)
            return
        writing.result()
        for key in keys:
            self._before[key] = _read(self.fields[key], self._store.setting(key))
        self._saved(keys)
        later = [e for entries in ENTRIES.values() for e in entries if e.key in keys and not e.at_once]
        words = tr("saved into {file}", file=self._store.place)
        self._say(f"{words}; {tr(later[0].label)}: {tr(AT_NEXT_START)}" if later else words)

    def _say(self, sentence: str, bad: bool = False) -> None:
        colours = self._look.theme.colour
        self.said.setText(sentence)
        self.said.setStyleSheet(f"color: {colours['absent' if bad else 'text_soft']};")


def _field(setting: Setting) -> QWidget:
    """What the value is changed with, and holds it."""
    value = setting.value
    if setting.choices:
        box = QComboBox()
        box.addItems(list(setting.choices))
        box.setCurrentText(str(value))
        return box
    if isinstance(value, bool):
        check = QCheckBox()
        check.toggled.connect(lambda on: check.setText(tr(_ON[on])))
        check.setText(tr(_ON[value]))
        check.setChecked(value)
        return check
    line = QLineEdit(value if isinstance(value, str) else f"{value:g}")
    if value == "":
        line.setPlaceholderText(tr("the usual one"))
    return line


def _read(field: QWidget, setting: Setting) -> Value:
    """A number that is none is the text as it was written, to be refused in a sentence."""
    if isinstance(field, QComboBox):
        return field.currentText()
    if isinstance(field, QCheckBox):
        return field.isChecked()
    assert isinstance(field, QLineEdit)
    text = field.text().strip()
    if isinstance(setting.value, str):
        return text
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text
