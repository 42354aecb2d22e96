"""The limits of a bed's alarms, to look at and to set: a row a numeric, in a panel over the waves, not the numbers.

Every field is reached with Tab and set with arrows, digits and Space; Enter applies, Esc puts the panel away as it was.
While a field has the keyboard, keys belong to the panel, but for those that quiet an alarm (A, P).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from msgspec.structs import replace
from PySide6.QtCore import QEvent, QObject, QRect, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from models.signals.errors import BadInput
from streams.fields import PRIORITIES
from streams.limit_settings import (
    DEFAULT_SETTINGS,
    LIMITED,
    LONGEST_DELAY_S,
    LimitSetting,
    checked,
    default_setting,
    moved,
    setting_of,
)
from streams.records import VitalsRecord
from ui.style.labels import plain_label
from ui.style.language import tr
from ui.style.look import Look
from ui.style.theme import Theme
from ui.style.words import number_words

_COLUMNS = ("", "Now", "Alarm", "Low", "High", "Very", "Priority", "Delay", "Latch")
_PASSED_ON = (Qt.Key.Key_A, Qt.Key.Key_P)
_TRIES = 8
_HINT = "Very: beyond these an alarm is of high priority. Latch: its message stays until somebody has seen it."


def _switch(on: str, off: str) -> QPushButton:
    """A button that is in or out, and says which."""
    button = QPushButton(off)
    button.setObjectName("switch")
    button.setCheckable(True)
    button.toggled.connect(lambda is_on: button.setText(on if is_on else off))
    return button


class _Row:
    """The fields of one numeric."""

    def __init__(self, vital: str) -> None:
        row = LIMITED[vital]
        self.vital = vital
        self.name = plain_label(f"{tr(row.label)}  {row.unit}")
        self.now = plain_label()
        self.setting = default_setting(vital)
        self.on, self.latch = _switch(tr("on"), tr("off")), _switch(tr("yes"), tr("no"))
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        for box in (self.low, self.high):
            box.setDecimals(0)
            box.setRange(row.plausible[0] - 1, row.plausible[1])
            box.setSpecialValueText(tr("none"))  # below what is plausible
        self.priority = QComboBox()
        for name in PRIORITIES:
            self.priority.addItem(tr(name), name)
        self.delay = QDoubleSpinBox()
        self.delay.setDecimals(0)
        self.delay.setRange(0, LONGEST_DELAY_S)
        self.delay.setSuffix(" s")
        for box in (self.low, self.delay):
            box.setEnabled(not row.time)  # of a time there is only how long is too long
        self.very = plain_label()
        for changed in (self.low.valueChanged, self.high.valueChanged):
            changed.connect(lambda _value: self._show_very())
        for what, field in (("on", self.on), ("low", self.low), ("high", self.high), ("priority", self.priority),
                            ("delay", self.delay), ("latch", self.latch)):  # fmt: skip
            field.setAccessibleName(f"{tr(row.label)}, {tr(what)}")

    @property
    def widgets(self) -> tuple[QWidget, ...]:
        return self.name, self.now, self.on, self.low, self.high, self.very, self.priority, self.delay, self.latch

    def put(self, setting: LimitSetting) -> None:
        """Shows a setting."""
        self.setting = setting
        self.on.setChecked(setting.on)
        for box, value in ((self.low, setting.low), (self.high, setting.high)):
            box.setValue(box.minimum() if value is None else value)
        self.priority.setCurrentIndex(PRIORITIES.index(setting.priority))
        self.delay.setValue(setting.delay_s)
        self.latch.setChecked(setting.latch)
        self._show_very()

    def _show_very(self) -> None:
        said = self.get()
        extremes = (said.extreme_low, said.extreme_high)
        self.very.setText(" / ".join("–" if value is None else f"{value:g}" for value in extremes))

    def get(self) -> LimitSetting:
        """What the fields say; extremes go with their limits."""
        low, high = (None if box.value() == box.minimum() else box.value() for box in (self.low, self.high))
        setting = self.setting
        if (low, high) != (setting.low, setting.high):
            setting = moved(setting, low, high)
        return replace(
            setting,
            on=self.on.isChecked(),
            delay_s=self.delay.value(),
            priority=self.priority.currentData(),
            latch=self.latch.isChecked(),
        )


class LimitsPanel(QFrame):
    """``on_apply``: limits were set that make sense. Hidden until asked for."""

    def __init__(self, look: Look, parent: QWidget, on_apply: Callable[[Sequence[LimitSetting]], None]) -> None:
        super().__init__(parent)
        self._look, self._on_apply = look, on_apply
        self.setObjectName("limits")
        self._place = QRect()
        self._share = 1.0
        self._styled: tuple[float, Theme, int] | None = None
        self._bed = ""
        self.title, hint, self.error = plain_label(), plain_label(tr(_HINT)), plain_label()
        self.title.setObjectName("title")
        self.error.setObjectName("error")
        for label in (hint, self.error):
            label.setWordWrap(True)
        self.rows = [_Row(setting.vital) for setting in DEFAULT_SETTINGS]
        for row in self.rows:
            for field in (row.low, row.high, row.delay):
                field.installEventFilter(self)
        grid = self._grid = QGridLayout()
        for column, words in enumerate(_COLUMNS):
            grid.addWidget(plain_label(tr(words) if words else ""), 0, column)
        for number, row in enumerate(self.rows, 1):
            for column, widget in enumerate(row.widgets):
                grid.addWidget(widget, number, column)
        grid.setColumnStretch(0, 1)
        self.apply = QPushButton(tr("Apply (Enter)"))
        self.reset = QPushButton(tr("Defaults"))
        self.cancel = QPushButton(tr("Close (Esc)"))
        self.apply.clicked.connect(self.take)
        self.reset.clicked.connect(lambda: self._put(DEFAULT_SETTINGS))
        self.cancel.clicked.connect(self.hide)
        buttons = QHBoxLayout()
        buttons.addWidget(self.reset)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.apply)
        whole = self._whole = QVBoxLayout(self)
        whole.addWidget(self.title)
        whole.addLayout(grid)
        whole.addWidget(hint)
        whole.addWidget(self.error)
        whole.addLayout(buttons)
        self.hide()

    def toggle(self, settings: Sequence[LimitSetting] | None) -> None:
        """Opens with the limits that hold, or puts it away. Before the stream has told of any none can be set."""
        if self.isVisible():
            self.hide()
            return
        self._put(settings or DEFAULT_SETTINGS)
        self.apply.setEnabled(settings is not None)
        self.error.setText("" if settings is not None else tr("The stream has not said yet by which limits it judges."))
        self.show()
        self.raise_()
        self.rows[0].on.setFocus()

    def show_bed(self, bed: str, settings: Sequence[LimitSetting] | None, vitals: VitalsRecord | None) -> None:
        """Whose limits, and the values of now; another bed's limits are never set by a panel that was opened for this
        one."""
        if not self.isVisible():
            self._bed = bed
            return
        if bed != self._bed:
            self.hide()
            return
        self.title.setText(tr("Alarm limits of {bed}", bed=bed))
        if settings is not None and not self.apply.isEnabled():
            self._put(settings)  # what stood there were the defaults, which nobody has set
        self.apply.setEnabled(settings is not None)
        for row in self.rows:
            row.now.setText(number_words(getattr(vitals, row.vital) if vitals is not None else None))

    def take(self) -> None:
        """Sets what the fields say, or tells what is wrong with it."""
        if not self.apply.isEnabled():
            return
        try:
            settings = checked(row.get() for row in self.rows)
        except BadInput as error:
            self.error.setText(str(error))
            return
        self._on_apply(settings)
        self.hide()

    def _put(self, settings: Sequence[LimitSetting]) -> None:
        self.error.setText("")
        for row in self.rows:
            row.put(setting_of(settings, row.vital) or default_setting(row.vital))

    # Qt -------------------------------------------------------------------------------------------------------------

    def place(self, room: QRect) -> None:
        """In the middle of ``room``, no larger than it needs; written smaller where it would need more."""
        styled = self._look.unit, self._look.theme, room.width()
        if self._styled != styled:
            self._styled = styled
            self._fit(1.0, room.width())
        elif self._whole.minimumSize().width() > room.width():  # a value of now that is wider than the one before
            self._fit(self._share, room.width())
        size = self.sizeHint()
        width, height = min(size.width(), room.width()), min(size.height(), room.height())
        place = QRect(
            room.left() + (room.width() - width) // 2, room.top() + (room.height() - height) // 3, width, height
        )
        if place != self._place:
            self._place = place
            self.setGeometry(place)

    def _fit(self, share: float, room: int) -> None:
        """At most that share of the usual sizes, and so small that no word is cut in ``room`` pixels. In steps: some of
        what is between the words stays as wide."""
        for _ in range(_TRIES):
            self._share = share
            self._restyle(share)
            needed = self._needed
            if needed <= room:
                break
            share *= 0.98 * room / needed

    @property
    def _needed(self) -> int:
        """So wide that no word is cut."""
        for widget in self.findChildren(QWidget):
            widget.ensurePolished()
        self._whole.invalidate()
        return self._whole.minimumSize().width()

    def _restyle(self, share: float) -> None:
        """Sizes are that share of the usual ones."""
        colours = self._look.theme.colour

        def px(size: float) -> int:
            return self._look.px(size * share)

        edge = max(2, px(3))  # of what has the keyboard, at the cost of what is within
        self.setStyleSheet(
            f"#limits {{ background: {colours['panel']}; border: 1px solid {colours['accent']}; }}"
            f" QWidget {{ color: {colours['text']}; font-size: {px(13)}px; }}"
            f" QLabel {{ background: transparent; }}"
            f" QPushButton#switch {{ min-width: {px(28)}px; color: {colours['text_faint']}; }}"
            f" QPushButton#switch:checked {{ color: {colours['background']}; background: {colours['text']}; }}"
            f" QLabel#title {{ font-size: {px(16)}px; font-weight: 600; }}"
            f" QLabel#error {{ color: {colours['alarm_medium']}; font-weight: 600; }}"
            f" QAbstractSpinBox, QComboBox, QPushButton {{ background: {colours['background']};"
            f" border: 1px solid {colours['accent']}; padding: {px(3)}px; }}"
            # A least width here counts in place of the words': a list of priorities must not have one.
            f" QAbstractSpinBox, QPushButton {{ min-width: {px(48)}px; }}"
            f" QAbstractSpinBox:focus, QComboBox:focus, QPushButton:focus"
            f" {{ border: {edge}px solid {colours['alarm_medium']}; padding: {max(0, px(3) + 1 - edge)}px; }}"
            f" QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ width: 0px; border: none; }}"
            f" QPushButton:disabled {{ color: {colours['text_faint']}; }}"
        )
        self._grid.setHorizontalSpacing(px(12))
        self._grid.setVerticalSpacing(px(5))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A number's field would take letters for its own, those that quiet an alarm too."""
        if event.type() == QEvent.Type.ShortcutOverride and cast(QKeyEvent, event).key() in _PASSED_ON:
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def event(self, event: QEvent) -> bool:
        """Keys of the window are none while a field has the keyboard, but for those that quiet an alarm."""
        if event.type() == QEvent.Type.ShortcutOverride:
            key = cast(QKeyEvent, event)
            if key.key() not in _PASSED_ON:
                key.accept()
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter applies, Esc closes; all else that no field wanted goes nowhere."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.take()
        elif event.key() == Qt.Key.Key_Escape:
            self.hide()
        event.accept()
