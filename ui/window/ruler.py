"""The size of the screen, measured by the operator with a ruler: true millimetres of the sweep and of the gain."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from PySide6.QtCore import QLineF, QSize
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QScreen
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ui.style.labels import plain_label
from ui.style.language import tr
from ui.style.look import Look
from ui.style.own_keys import OwnKeysDialog
from ui.waves.screen_sizes import measured_scale, parse_sizes, sizes_text, with_screen
from ui.waves.sweep import SweepView, screen_name
from ui.window.kept_file import KeptFile

_WIDTH, _HEIGHT = 540, 230  # so wide that large writing does not make it cover a number half


class Line(QWidget):
    """A line to lay a ruler on. ``length``: in device pixels, between the outer edges of its ends."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """High enough for its ends."""
        return QSize(self._look.px(500), self._look.px(60))

    @property
    def length(self) -> float:
        """In device pixels."""
        return self.width() * self.devicePixelRatioF()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the line between two upright ends."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._look.colour("panel"))
        painter.setPen(QPen(self._look.colour("text"), 1))
        right, middle = self.width() - 0.5, self.height() / 2
        painter.drawLines(
            [QLineF(0.5, middle, right, middle), *(QLineF(x, 4, x, self.height() - 4) for x in (0.5, right))]
        )
        painter.end()


class RulerDialog(OwnKeysDialog):
    """takes: device pixels a millimetre, None for what the screen says itself; asked only with what can be true."""

    def __init__(self, look: Look, takes: Callable[[float | None], None], parent: QWidget) -> None:
        super().__init__(parent)
        self._look, self._takes = look, takes
        self.setWindowTitle(tr("Size of this screen"))
        self.line = Line(look)
        self.now, self.told = plain_label(), plain_label()
        self.told.setWordWrap(True)
        self.length = QLineEdit()
        self.length.setPlaceholderText("mm")
        self.length.returnPressed.connect(self._take)
        asked = QHBoxLayout()
        asked.addWidget(self.length, 1)
        for words, does in ((tr("Keep"), self._take), (tr("As the screen says"), lambda: self._give(None))):
            button = QPushButton(words)
            button.setAutoDefault(False)
            button.clicked.connect(lambda _checked=False, does=does: does())
            asked.addWidget(button)
        column = QVBoxLayout(self)
        for part in (self.now, self.line, plain_label(tr("Length of this line by a ruler, in mm:"))):
            column.addWidget(part)
        column.addLayout(asked)
        column.addWidget(self.told)

    def _take(self) -> None:
        found = measured_scale(self.line.length, self.length.text())
        if found is None:
            self.told.setText(tr("That is no length of this line: measure it from end to end, and type millimetres."))
        else:
            self._give(found)

    def _give(self, px_per_mm: float | None) -> None:
        self._takes(px_per_mm)
        self.hide()

    def open_with(self, words: str) -> None:
        """Put it on show. words: what is believed of the screen now."""
        self.setFont(self._look.font(13))
        self.now.setText(words)
        self.told.clear()
        self.length.clear()
        self.place(self._look, self._look.px(_WIDTH), self._look.px(_HEIGHT))
        self.show()
        self.raise_()
        self.activateWindow()
        self.length.setFocus()


class Ruler:
    """file: where sizes are kept, None: nowhere."""

    def __init__(
        self,
        sweep: SweepView,
        look: Look,
        file: Path | None,
        worker: Executor,
        say: Callable[[str], None],
        window: QWidget,
    ) -> None:
        self._sweep, self._say = sweep, say
        self._kept = KeptFile[dict[str, float]](file, tr("sizes of screens"), parse_sizes, sizes_text, {}, worker, say)
        self.dialog = RulerDialog(look, self.take, window)

    @property
    def _screen(self) -> QScreen:
        return self._sweep.screen()

    def measure_screen(self) -> None:
        """Ask the operator for the length of a line on this screen."""
        scale = self._sweep.screen_scale
        says = tr("Now: {scale:.2f} pixels a millimetre", scale=scale.px_per_mm)
        self.dialog.open_with(says if scale.known else says + tr(", assumed: the screen does not say its size"))

    def take(self, px_per_mm: float | None) -> None:
        """The size of the screen that the waves are on."""
        screen = screen_name(self._screen)
        self._kept.order(lambda sizes: with_screen(sizes, screen, px_per_mm))
        self._renew()
        known = self._sweep.screen_scale.known
        self._say(tr("millimetres are true on this screen now") if known else tr("the screen does not say its size"))

    def _renew(self) -> None:
        self._sweep.measured = self._kept.value
        self._sweep.relayout()

    def poll(self) -> None:
        """Take what the file said; now and then, on the window's thread."""
        if self._kept.poll():
            self._renew()
