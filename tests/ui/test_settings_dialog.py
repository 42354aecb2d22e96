"""The settings in the window: by keyboard, live where they count at once, in the way of no alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QComboBox, QLineEdit

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from tests.ui.harness import Later, Screen, near
from ui.manners.store import ENTRIES, Setting, Value
from ui.style.theme import THEMES, default_theme, theme_named
from ui.window.application import make_application
from ui.window.manners import Surroundings


class Stored:
    """Settings in memory."""

    place = "/home/nurse/.config/vigil/settings.toml"

    def __init__(self) -> None:
        self.values: dict[str, Value] = {
            "display.theme": "dark",
            "display.font_scale": 1.0,
            "display.language": "en",
            "display.dpi": 0.0,
            "display.full_screen": False,
            "sound.on": True,
            "sound.volume": 60,
            "sound.beat_tone": True,
            "recorder.folder": "",
            "worker.widest_estimate": 10.0,
        }
        self.saved: list[dict[str, Value]] = []

    def setting(self, key: str) -> Setting:
        choices = {"display.theme": THEMES, "display.language": ("en", "de", "auto")}.get(key, ())
        return Setting(self.values[key], choices, "what it may be", "--mute" if key == "sound.on" else "")

    def save(self, changes: Mapping[str, Value]) -> None:
        if changes.get("display.font_scale") == 9.0:
            raise BadInput("0.8 to 1.6, as a number", "9.0", "correct it there")
        self.saved.append(dict(changes))
        self.values |= changes


@pytest.fixture(autouse=True)
def dark() -> object:
    yield
    make_application()


def opened(screen: Callable[..., Screen], qtbot, **more) -> tuple[Screen, Stored]:
    store = Stored()
    s = screen(around=Surroundings(store=store), **more)
    s.run_to(4.0)
    qtbot.keyClick(s.window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    assert s.window.manners.settings is not None and s.window.manners.settings.isVisible()
    s.frames(5)
    return s, store


def test_by_keys_alone_a_theme_is_chosen_and_the_window_has_it_at_once(screen, qtbot) -> None:
    s, store = opened(screen, qtbot)
    dialog = s.window.manners.settings
    box = dialog.fields["display.theme"]
    assert isinstance(box, QComboBox)
    qtbot.keyClick(box, Qt.Key.Key_Down)
    assert box.currentText() == "light"
    lanes = [(row.top, row.height) for row in s.window.sweep.lane_rows]
    qtbot.keyClick(dialog, Qt.Key.Key_Return)
    assert store.saved == [{"display.theme": "light"}]
    s.frames(10)
    light = theme_named("light")
    assert s.window.look.theme.colour == light.colour
    pixels = s.pixels(s.wave_area(Modality.ECG))
    assert near(pixels, light.colour["background"]).mean() > 0.7
    ink = near(pixels, light.lanes[Modality.ECG].colour, 60).any(axis=0)
    assert ink[s.columns(1.0, 3.0)].mean() > 0.3, "the waves of before are drawn in the new colours"
    old = QColor(default_theme().colour["background"])
    whole = s.window.grab().toImage().convertToFormat(s.image().format())
    raw = np.frombuffer(whole.constBits(), np.uint8).reshape(whole.height(), -1, 4)[:, : whole.width(), 2::-1]
    assert near(raw.astype(float), old, 12).mean() < 0.01, "nothing is left in the old ones"
    assert [(row.top, row.height) for row in s.window.sweep.lane_rows] == lanes
    assert s.window.look.theme.sweep == default_theme().sweep
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_a_font_scale_counts_at_once_and_a_bad_one_is_refused_in_a_sentence(screen, qtbot) -> None:
    s, store = opened(screen, qtbot)
    dialog, before = s.window.manners.settings, s.window.look.unit
    field = dialog.fields["display.font_scale"]
    assert isinstance(field, QLineEdit) and field.text() == "1"
    field.setText("9")
    dialog.save()
    assert dialog.said.text() == "Expected 0.8 to 1.6, as a number, found 9.0; correct it there."
    assert not store.saved and s.window.look.unit == before and dialog.save_button.isEnabled()
    field.setText("1,5")
    dialog.save()
    assert store.saved == [{"display.font_scale": 1.5}] and s.window.look.unit == pytest.approx(1.5 * before)
    assert s.window.menu.font().pixelSize() == round(13 * s.window.look.unit)


def test_what_counts_later_says_so_and_what_is_fixed_cannot_be_changed(screen, qtbot) -> None:
    s, store = opened(screen, qtbot)
    dialog = s.window.manners.settings
    assert not dialog.fields["sound.on"].isEnabled()
    assert any(label.text() == "set by --mute" for label in dialog._soft)
    dialog.save()
    assert dialog.said.text() == "nothing was changed"
    dialog.fields["recorder.folder"].setText("/srv/night")
    dialog.save()
    assert store.saved == [{"recorder.folder": "/srv/night"}] and "at the next start" in dialog.said.text()
    dialog.save()
    assert len(store.saved) == 1


def test_the_window_does_not_wait_for_the_file(screen, qtbot) -> None:
    s, store = opened(screen, qtbot)
    dialog = s.window.manners.settings
    later = dialog._writer = Later()
    dialog.fields["display.theme"].setCurrentText("light")
    dialog.save()
    dialog.save()
    s.frames(10)
    assert not store.saved and s.window.look.theme is not None and not dialog.save_button.isEnabled()
    later.run()
    s.frames(10)
    assert len(store.saved) == 1 and s.window.look.theme.colour == theme_named("light").colour


@pytest.mark.parametrize(("size", "scale"), [((1024, 700), 1.0), ((1024, 700), 1.5), ((1920, 1080), 1.0)])
def test_it_lies_below_the_alarms_and_inside_the_window(screen, qtbot, size, scale) -> None:
    s, _ = opened(screen, qtbot, size=size, font_scale=scale)
    dialog = s.window.manners.settings
    at = dialog.geometry()
    window = s.window.geometry()
    assert at.top() >= window.top() + s.window.top.height() and window.contains(at)
    assert set(dialog.fields) == {entry.key for entries in ENTRIES.values() for entry in entries}


def test_a_window_without_a_store_says_so(screen, qtbot) -> None:
    s = screen()
    s.window.manners.open_settings()
    assert "without a settings file" in s.window.toast.text()
