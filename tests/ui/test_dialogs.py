"""What is opened over the waves: by its key, away with Esc, whole in the smallest window with the largest writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import pytest
from PySide6.QtCore import QPoint, QRect, QRectF, QSizeF
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QComboBox, QDialog, QLabel, QLineEdit, QScrollArea, QWidget

from models.signals.absence import Absence
from models.signals.modalities import Modality
from tests.ui.harness import Screen, near
from tests.ui.synthetic import Patient
from tests.ui.test_settings_dialog import Stored
from ui.panels import numerics
from ui.panels.help_overlay import _AROUND, _COLUMN, _GROUPS, _LINE, laid_out
from ui.panels.shortcuts import SHORTCUTS, Shortcut
from ui.style.language import ENGLISH, speak
from ui.style.theme import THEMES, theme_named
from ui.window.application import make_application
from ui.window.main_window import MainWindow
from ui.window.manners import Surroundings

Make = Callable[..., Screen]
SMALL = {"size": (1024, 700), "font_scale": 1.5}
OPENED: dict[str, tuple[str, Callable[[MainWindow], QWidget | None]]] = {
    "rows": ("R", lambda w: w.choices.layouts.dialog),
    "settings": ("Ctrl+,", lambda w: w.manners.settings),
    "ruler": ("Ctrl+R", lambda w: w.choices.ruler.dialog),
    "limits": ("Shift+L", lambda w: w.limits),
    "alarms": ("L", lambda w: w.alarms),
    "keys": ("?", lambda w: w.help),
    "mark": ("Y", lambda w: w.paper.marking.entry),
    "worth": ("X", lambda w: w.face.worth),
}
WITHOUT_FOCUS = ("alarms", "keys", "worth")
"""The keys of the window are theirs."""


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    speak(ENGLISH)
    make_application()


def press(widget: QWidget, keys: str) -> None:
    combined = QKeySequence(keys)[0]  # type: ignore[index]
    QTest.keyClick(widget, combined.key(), combined.keyboardModifiers())


def cut(over: QWidget) -> list[str]:
    """What words are wider than their place, or lie outside of what they are in."""
    found = []
    for widget in over.findChildren(QWidget):
        if not widget.isVisible() or not isinstance(widget, QLabel | QAbstractButton | QComboBox | QLineEdit):
            continue
        room = widget.parentWidget().rect()
        narrow = widget.width() < widget.minimumSizeHint().width() and not isinstance(widget, QLineEdit)
        if narrow or not room.contains(widget.geometry()):
            words = widget.currentText() if isinstance(widget, QComboBox) else widget.text()
            found.append(f"{type(widget).__name__} {words!r} {widget.width()} < {widget.minimumSizeHint().width()}")
    return found


@pytest.mark.parametrize("language", ["en", "de"])
def test_each_opens_by_its_key_fits_and_closes_by_escape(screen: Make, language: str) -> None:
    speak(language)
    s = screen(around=Surroundings(store=Stored()), **SMALL)
    s.run_to(3.0)
    window = s.window
    inside = QRect(window.mapToGlobal(QPoint()), window.size())
    for name, (key, widget) in OPENED.items():
        window.activateWindow()  # as a window manager does when a dialog is closed
        s.frames(2)
        press(window, key)
        s.frames(10)
        over = widget(window)
        assert over is not None and over.isVisible(), name
        assert inside.contains(QRect(over.mapToGlobal(QPoint()), over.size())), name
        assert not cut(over), name
        focus = over if over.hasFocus() else over.focusWidget()
        assert (focus is None) == (name in WITHOUT_FOCUS), name
        bar = QRect(window.face.top.mapToGlobal(QPoint()), window.face.top.size())
        if isinstance(over, QDialog):
            assert over.geometry().top() > bar.bottom(), "the alarms are covered"
            numbers = window.numerics.mapToGlobal(QPoint(round(8 * window.look.unit), 0)).x()
            assert over.geometry().right() < numbers, f"{name} covers a number half"
            assert not over.findChildren(QScrollArea) or not over._scroll.horizontalScrollBar().isVisible(), name
        press(focus or window, "Esc")
        assert not over.isVisible(), name


def test_a_row_of_the_list_is_as_high_as_its_words(screen: Make) -> None:
    s = screen(**SMALL)
    s.run_to(3.0)
    press(s.window, "R")
    dialog = s.window.choices.layouts.dialog
    assert dialog.table.rowHeight(0) >= dialog.table.fontMetrics().height()


def test_frozen_waves_go_on_by_escape(screen: Make) -> None:
    s = screen(**SMALL)
    s.run_to(3.0)
    press(s.window, "Z")
    s.frames(3)
    assert s.window.freeze.view is not None
    press(s.window, "Esc")
    s.frames(3)
    assert s.window.freeze.view is None


@pytest.mark.parametrize("size", [(1024, 700), (1366, 768)])
def test_words_in_passing_and_the_entry_of_a_mark_cover_no_number(screen: Make, size: tuple[int, int]) -> None:
    """Of 36.4 half covered 6.4 is left."""
    s = screen(size=size, font_scale=1.5)
    s.run_to(3.0)
    face = s.window.face
    waves = QRect(face.sweep.mapTo(face, QPoint()), face.sweep.size())
    press(s.window, "Q")
    s.frames(2)
    assert face.toast.isVisible() and waves.contains(face.toast.geometry())
    s.window.say("could not write " + "/a/folder/of/pictures" * 6)
    s.frames(2)
    assert waves.contains(face.toast.geometry()), "a long one goes on in the next line"
    press(s.window, "Y")
    assert waves.contains(s.window.paper.marking.entry.geometry())


@pytest.mark.parametrize(
    ("width", "height", "most"), [(984, 680, 1.26), (1326, 748, 1.41), (984, 680, 0.84), (3800, 2100, 2.6)]
)
def test_the_keys_fit_any_window(width: int, height: int, most: float) -> None:
    columns, unit = laid_out(QSizeF(width, height), most)
    lines = [line for column in columns for line in column]
    assert [line for line in lines if isinstance(line, Shortcut)] == sorted(
        SHORTCUTS, key=lambda shortcut: _GROUPS.index(shortcut.group)
    )
    assert 0.7 <= unit <= most
    assert unit * (_AROUND + _LINE * max(map(len, columns))) <= height + 1e-6
    assert unit * _COLUMN * len(columns) <= width + 1e-6
    assert all(isinstance(column[-1], Shortcut) and column[0] for column in columns), "a heading stands alone"


@pytest.mark.parametrize("name", THEMES)
def test_what_is_chosen_is_readable(screen: Make, name: str) -> None:
    theme = theme_named(name)
    make_application(theme)
    s = screen(theme=theme)
    s.run_to(3.0)
    press(s.window, "M")
    s.frames(10)
    page = s.window.trends.page
    assert page is not None and page._now.isChecked()
    image = page._now.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = s.pixels(image.rect(), image)
    assert near(pixels, theme.colour["accent"], 10).mean() > 0.3
    assert near(pixels, theme.colour["on_accent"], 60).sum() > 20
    if name == "light":
        assert not near(pixels, theme.colour["text"], 40).any()
    highlighted = s.application.palette().highlightedText().color()
    assert highlighted == QColor(theme.colour["on_accent"])


@pytest.mark.parametrize("absence", [Absence.NO_DATA, Absence.WITHHELD])
@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("language", ["en", "de"])
def test_no_words_of_a_number_touch(
    screen: Make, monkeypatch: pytest.MonkeyPatch, absence: Absence, scale: float, language: str
) -> None:
    """ESTIMATED and the notes beside the range, above all."""
    speak(language)
    s = screen(Patient(absent={Modality.ABP: [(3, 99, absence)]}), size=(1024, 700), font_scale=scale)
    s.run_to(7.0)
    boxes: list[tuple[str, QRectF]] = []

    def draw(real: Callable[..., float]) -> Callable[..., float]:
        def drawn(painter, x: float, baseline: float, text: str, font: QFont, colour: QColor, right=False) -> float:
            width = real(painter, x, baseline, text, font, colour, **({"right": True} if right else {}))
            height = QFontMetricsF(font).capHeight()
            if text.strip():
                boxes.append((text, QRectF(x - width if right else x, baseline - height, width, height)))
            return width

        return drawn

    monkeypatch.setattr(numerics, "draw_text", draw(numerics.draw_text))
    monkeypatch.setattr(numerics, "draw_outlined", draw(numerics.draw_outlined))
    s.window.numerics.grab()
    assert len(boxes) > 8
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.adjusted(-2, -2, 2, 2).intersects(b), f"{one!r} touches {other!r}"
