"""The start page: everything that can be opened, on one page, by pointer or keyboard.

    demo        file | folder                    go on where you were
    VitalDB case                                 recent, newest first; those that are gone are faint
    LSL | SDC                                    or what was found on the network
    any source by its word

It knows what to ask for and how to say what it is told (:class:`Asks`); who opens it is behind the window.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from models.signals.errors import BadInput
from ui.start.cards import HEIGHT, OWN_KEYS, Card, Choosing, asked_key, field_style, keeps, wrapped_label
from ui.start.choices import demo, goes_on, recent_words, resumed, typed, vitaldb
from ui.start.opening import Choice, Found, Recent
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.words import DISCLAIMER, clock_words, tooltip_words

SCHEMES = (
    ("lsl", "LSL stream", "live, from LabStreamingLayer", "LSL STREAMS"),
    ("sdc", "SDC device", "live, from IEEE 11073 SDC", "SDC DEVICES"),
)
"""Of a device: its word, title and detail of its card, and the heading over what is found."""
_KEYS = "Drop files anywhere   ·   Ctrl+O a file   ·   arrows and Return   ·   "
_STEPS: dict[int, tuple[int, int]] = {
    Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0), Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1),
}  # fmt: skip
"""Rows down and columns to the right."""
_HEADER, _FOOTER, _WIDEST = 96, 40, 1240
_PULSE = (
    (0, 0),
    (9, 0),
    (12, -4),
    (15, 0),
    (19, 0),
    (22, 4),
    (26, -22),
    (31, 11),
    (34, 0),
    (41, 0),
    (46, -6),
    (51, 0),
    (62, 0),
)


@dataclass(frozen=True, slots=True)
class Asks:
    """What the page asks for. open: a choice; refuse: say why it is none. dialog: ``file`` or ``folder``. find: look
    for what a scheme has; forget: of all that was open; shown: the page has come on the screen."""

    open: Callable[[Choice], None]
    refuse: Callable[[str], None]
    dialog: Callable[[str], None]
    find: Callable[[str], None]
    forget: Callable[[], None]
    shown: Callable[[], None]


class StartPage(QWidget):
    """scenarios: of the built-in patient, by name. leave: what Esc does. passed: keys of the display that are pressed
    here too, as ``P``, ``Shift+P`` or ``?``: what is done to alarms and sound."""

    def __init__(
        self, look: Look, asks: Asks, scenarios: Sequence[str], leave: str, passed: Collection[str] = ()
    ) -> None:
        super().__init__()
        self._look, self._asks, self._leave, self._passed = look, asks, leave, passed
        self._recents: tuple[Recent, ...] | None = None
        self._unix_s = 0.0
        self._finding = ""
        self._make_left(scenarios)
        self._make_right()
        columns = self._columns = QHBoxLayout()
        columns.addLayout(self._left, 11)
        columns.addLayout(self._right, 10)
        outer = self._outer = QVBoxLayout(self)
        outer.addLayout(columns, 1)
        self.restyle()
        self._say_recents()

    # What is on it ------------------------------------------------------------------------------------------------

    def _make_left(self, scenarios: Sequence[str]) -> None:
        look = self._look
        self.demo = Card(
            look,
            tr("Demo"),
            tr("the built-in patient, simulated"),
            tr("A simulated patient; choose beside it what happens to them"),
        )
        self.scenario = Choosing(look)
        for scenario in scenarios:
            self.scenario.addItem(scenario.replace("_", " "), scenario)
        self.scenario.setToolTip(tr("What happens to the built-in patient"))
        self.scenario.setAccessibleName(tr("Scenario of the built-in patient"))
        self.demo.clicked.connect(lambda: self._asks.open(demo(self.scenario.currentData() or "demo")))
        self.file = Card(
            look,
            tr("Open a file"),
            ".vital, .edf, .bdf, .hea, .mcap",
            tr("Vital Recorder, EDF or BDF, a WFDB header, or what Vigil has recorded"),
        )
        self.file.clicked.connect(lambda: self._asks.dialog("file"))
        self.folder = Card(look, tr("Open a folder"), tr("every recording in it is a bed"))
        self.folder.clicked.connect(lambda: self._asks.dialog("folder"))
        self.vitaldb = Card(
            look,
            tr("VitalDB case"),
            tr("of the open data set; needs the network"),
            tr("An operation of the VitalDB open data set, fetched once and kept"),
        )
        self.case = self._field(
            "1 – 6388", tr("Number of the VitalDB case"), lambda: self._ask(vitaldb, self.case.text())
        )
        self.vitaldb.clicked.connect(lambda: self._ask(vitaldb, self.case.text()))
        self.live = {scheme: Card(look, tr(title), tr(detail)) for scheme, title, detail, _ in SCHEMES}
        for scheme, card in self.live.items():
            card.clicked.connect(lambda _checked=False, scheme=scheme: self._look_for(scheme))
        self.word = self._field(
            tr("or its name:  a path,  demo:seed=7,  lsl:name=…,  sdc:cert=…"),
            tr("Any source by its name"),
            lambda: self._ask(typed, self.word.text()),
        )
        self.word.setToolTip(tr("Whatever `vigil run` takes"))
        self.rows: list[list[QWidget]] = [
            [self.demo, self.scenario],
            [self.file, self.folder],
            [self.vitaldb, self.case],
            list(self.live.values()),
            [self.word],
        ]
        self._left = QVBoxLayout()
        self._lines: list[QHBoxLayout] = []
        for row in self.rows:
            line = QHBoxLayout()
            for widget in row:
                line.addWidget(widget, 1 if isinstance(widget, Card) or len(row) == 1 else 0)
            self._lines.append(line)
            self._left.addLayout(line)
        self._left.addStretch(1)

    def _field(self, hint: str, name: str, entered: Callable[[], None]) -> QLineEdit:
        field = QLineEdit()
        field.setPlaceholderText(hint)
        field.setAccessibleName(name)
        field.setToolTip(tooltip_words(name))
        field.setAcceptDrops(False)  # what is dropped here is to be opened, as anywhere on the page
        field.returnPressed.connect(entered)
        return field

    def _make_right(self) -> None:
        self.heading = wrapped_label()
        self.clear = self._small(tr("Clear"), tr("Forget all that was open before"), self._asks.forget)
        self.back = self._small(tr("Recent"), tr("Back to what was open before"), self._say_recents)
        self.again = self._small(
            tr("Look again"), tr("Look for streams and devices again"), lambda: self._look_for(self._finding)
        )
        head = self._head = QHBoxLayout()
        head.addWidget(self.heading, 1)
        for button in (self.again, self.back, self.clear):
            head.addWidget(button)
        self.empty = wrapped_label()
        self.cards: list[Card] = []
        inside = QWidget()
        self._list = QVBoxLayout(inside)
        self._list.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(inside)
        self._right = QVBoxLayout()
        self._right.addLayout(head)
        self._right.addWidget(self.empty)
        self._right.addWidget(self.area, 1)

    def _small(self, words: str, tip: str, does: Callable[[], None]) -> QPushButton:
        button = QPushButton(words)
        button.setObjectName("small")
        button.setAutoDefault(True)
        button.setToolTip(tip)
        button.clicked.connect(lambda _checked=False: does())
        return button

    # What it is told ----------------------------------------------------------------------------------------------

    def show_recents(self, recents: tuple[Recent, ...], unix_s: float) -> None:
        """What was open before, as it is now, at ``unix_s`` (seconds from 1970)."""
        self._recents, self._unix_s = recents, unix_s
        if not self._finding:
            self._say_recents()

    def show_found(self, scheme: str, found: Sequence[Found], failure: str = "") -> None:
        """What was looked for with :attr:`Asks.find`; ``failure``: why it could not be."""
        if scheme != self._finding:
            return  # nobody looks at that any more
        cards = []
        for one in found:
            card = Card(self._look, one.title, one.unusable or one.detail, f"{one.detail}\n{one.word}")
            card.setEnabled(not one.unusable)
            card.clicked.connect(lambda _checked=False, one=one: self._asks.open(Choice((one.word,))))
            cards.append(card)
        none = tr("None was found. Is it switched on, and does the firewall let it pass?")
        self._fill(cards, failure or ("" if found else none))
        self.again.setEnabled(True)

    def _say_recents(self) -> None:
        self._finding = ""
        self.heading.setText(tr("RECENT"))
        self.again.hide()
        self.back.hide()
        self.clear.setVisible(bool(self._recents))
        cards, last = [], goes_on(self._recents or ())
        if last is not None:
            at = clock_words(last.position_s or 0.0)
            card = Card(
                self._look, tr("Go on where you were"), tr("{title} at {time}", title=last.choice.title, time=at)
            )
            card.clicked.connect(lambda: self._asks.open(resumed(last)))
            cards.append(card)
        for recent in self._recents or ():
            words = recent_words(recent, self._unix_s)
            card = Card(self._look, recent.choice.title, words, "\n".join((*recent.choice.sources, words)))
            card.setEnabled(not recent.missing)
            card.clicked.connect(lambda _checked=False, recent=recent: self._asks.open(Choice(recent.choice.sources)))
            cards.append(card)
        self._fill(cards, "" if cards or self._recents is None else tr("What you open will be listed here."))

    def _look_for(self, scheme: str) -> None:
        self._finding = scheme
        self.heading.setText(tr(next(heading for name, _, _, heading in SCHEMES if name == scheme)))
        self.clear.hide()
        self.back.show()
        self.again.show()
        self.again.setEnabled(False)
        self._fill([], tr("Looking …"))
        self._asks.find(scheme)

    def _fill(self, cards: list[Card], words: str) -> None:
        focused = any(card.hasFocus() for card in self.cards)
        for card in self.cards:
            self._list.removeWidget(card)
            card.hide()
            card.deleteLater()
        self.cards = cards
        for number, card in enumerate(cards):
            self._list.insertWidget(number, card)
            card.setFixedHeight(self._look.px(HEIGHT))
        self.empty.setText(words)
        self.empty.setVisible(bool(words))
        if focused:
            next((card for card in cards if card.isEnabled()), self.demo).setFocus()

    def _ask(self, read: Callable[[str], Choice], text: str) -> None:
        try:
            choice = read(text)
        except BadInput as error:
            self._asks.refuse(str(error))
            return
        self._asks.open(choice)

    # Keys ---------------------------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """The first thing to press has the keyboard."""
        super().showEvent(event)
        self._asks.shown()
        self.demo.setFocus()

    def event(self, event: QEvent) -> bool:
        """Keys for what is on the page are no shortcuts of the display."""
        if keeps(event, OWN_KEYS) or self._is_written(event):
            return True
        return bool(super().event(event))

    def _is_written(self, event: QEvent) -> bool:
        """Whether the event asks if a letter or digit is for the page: those would be done to waves that nobody sees.
        What is done to alarms and sound is done here too."""
        key = asked_key(event)
        if key is None or not key.text().isprintable() or not key.text():
            return False
        shift = key.modifiers() & Qt.KeyboardModifier.ShiftModifier and key.text().isalpha()
        name = ("Shift+" if shift else "") + key.text().upper()
        if name in self._passed and not self.scenario.hasFocus():
            return False
        event.accept()
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The arrows go from one thing to its neighbour."""
        step = _STEPS.get(event.key())
        if step is not None:
            self._go(*step)
        elif event.key() not in OWN_KEYS:
            super().keyPressEvent(event)  # Esc is the window's

    def _go(self, down: int, right: int) -> None:
        right_side: list[list[QWidget]] = [[card] for card in self.cards if card.isEnabled()]
        left_side = [[one for one in row if one.isEnabled()] for row in self.rows]
        focused: QWidget | None = self.focusWidget()
        for side, other in ((left_side, right_side), (right_side, left_side)):
            for number, row in enumerate(side):
                if focused is None or focused not in row:
                    continue
                at = row.index(focused)
                if down:
                    target = side[min(max(0, number + down), len(side) - 1)]
                    self._focus(target[min(at, len(target) - 1)])
                elif 0 <= at + right < len(row):
                    self._focus(row[at + right])
                elif other and (right > 0) == (side is left_side):
                    target = other[min(number, len(other) - 1)]
                    self._focus(target[0 if side is left_side else -1])
                return
        self._focus(self.demo)

    def _focus(self, widget: QWidget) -> None:
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        if widget in self.cards:
            self.area.ensureWidgetVisible(widget)

    # How it looks -------------------------------------------------------------------------------------------------

    def renew(self, ward: object, now_s: float) -> None:
        """Nothing on it changes by itself."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fits everything to the window."""
        super().resizeEvent(event)
        self.restyle()

    def restyle(self) -> None:
        """Sizes for the window's present size."""
        look = self._look
        c = look.theme.colour
        self.setStyleSheet(field_style(look))
        side = max(look.px(28), (self.width() - look.px(_WIDEST)) // 2)
        self._outer.setContentsMargins(side, look.px(_HEADER), side, look.px(_FOOTER))
        self._columns.setSpacing(look.px(36))
        gap = look.px(10)
        layouts: list[QBoxLayout] = [self._left, self._right, self._list, self._head, *self._lines]
        for layout in layouts:
            layout.setSpacing(gap)
        self._list.setContentsMargins(0, 0, look.px(4), 0)
        for card in self.cards:
            card.setFixedHeight(look.px(HEIGHT))
        free = self.height() - look.px(_HEADER) - look.px(_FOOTER) - gap * (len(self.rows) - 1)
        height = max(1, min(look.px(HEIGHT), free // len(self.rows)))  # large letters in a low window
        for row in self.rows:
            for one in row:
                one.setFixedHeight(height)
        for field in (self.scenario, self.case):
            field.setFixedWidth(look.px(200))
        self.heading.setFixedHeight(look.px(30))  # with or without buttons beside it
        self.heading.setStyleSheet(f"color: {c['text_faint']}; font-size: {look.px(12)}px; font-weight: 600;")
        self.empty.setStyleSheet(f"color: {c['text_soft']}; font-size: {look.px(13)}px;")

    def paintEvent(self, event: QPaintEvent) -> None:
        """Name, purpose and the disclaimer; the rest are widgets."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("background"))
        left, base = self._outer.contentsMargins().left(), 58 * unit
        name = look.font(34, True)
        width = draw_text(painter, left, base, "Vigil", name, look.colour("text"))
        painter.setPen(QPen(look.colour("accent"), 2.2 * unit))
        mark = QPolygonF()
        for x, y in _PULSE:
            mark.append(QRectF(left + width + (16 + x) * unit, base + (y - 9) * unit, 0, 0).topLeft())
        painter.drawPolyline(mark)
        says = tr("Watches a patient through whichever sensors still work")
        draw_text(painter, left + width + 96 * unit, base, says, look.font(15), look.colour("text_soft"))
        foot = self.height() - 16 * unit
        said = draw_text(painter, left, foot, tr(DISCLAIMER), look.font(13, True), look.colour("absent"))
        keys = look.font(12)
        words = elided(tr(_KEYS) + self._leave, keys, self.width() - 2 * left - said - 24 * unit)
        draw_text(painter, self.width() - left, foot, words, keys, look.colour("text_faint"), right=True)
        painter.end()
