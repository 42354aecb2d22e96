"""The tour of the running program: its table of scenes, its eyes, and some of its random events."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from benchmarks.tour.command import _page
from benchmarks.tour.eyes import KINDS, seen_by
from benchmarks.tour.scenes import Scene, read_scenes
from benchmarks.tour.stage import _settings, whole
from models.signals.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_is_read_and_a_wrong_field_named(tmp_path: Path) -> None:
    scenes = read_scenes()
    assert scenes["pressure_withheld"].drops and all(0.0 <= s.begin_s < s.at_s for s in scenes.values())
    wrong = tmp_path / "scenes.toml"
    wrong.write_text('[one]\nsource = "demo"\nat_s = 3.0\nheigth = 3\n')
    with pytest.raises(BadInput, match="heigth"):
        read_scenes(wrong)


def test_the_page_has_each_scene_that_has_words_and_finds_its_picture(tmp_path: Path) -> None:
    (tmp_path / "docs" / "tour").mkdir(parents=True)
    scenes = {"one": Scene("demo", 9.0, words="First."), "two": Scene("demo", 9.0)}
    page = _page(scenes, tmp_path / "docs" / "tour", tmp_path / "docs")
    assert page.endswith("First.\n\n![one](tour/one.png)\n") and "two" not in page


@pytest.mark.parametrize("kind", KINDS)
def test_grey_stays_grey_and_red_and_green_come_closer(kind: str) -> None:
    def seen(colour: str) -> np.ndarray:
        image = QImage(3, 2, QImage.Format.Format_RGB32)  # a line is padded
        image.fill(QColor(colour))
        found = seen_by(kind, image).pixelColor(2, 1)
        return np.array([found.red(), found.green(), found.blue()], float)

    assert np.allclose(seen("#808080"), 128, atol=1.5) and np.allclose(seen("#ffffff"), 255, atol=1.5)
    red, green = "#d04040", "#40a040"
    apart = np.linalg.norm([0xD0 - 0x40, 0x40 - 0xA0, 0.0])
    assert np.linalg.norm(seen(red) - seen(green)) < 0.6 * apart


def test_a_kind_of_eyes_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="protan"):
        seen_by("cat", QImage(2, 2, QImage.Format.Format_RGB32))


def test_what_is_open_over_the_window_is_in_the_picture(qapp: QApplication) -> None:
    window = QWidget()
    window.setStyleSheet("background: #204060;")
    window.resize(200, 100)
    window.show()
    dialog = QDialog(window)
    dialog.setStyleSheet("background: #e0c040;")
    dialog.resize(60, 80)
    bare = whole(window, window.grab().toImage())
    assert (bare.width(), bare.height()) == (200, 100)
    dialog.show()
    dialog.move(window.mapToGlobal(QPoint(20, 50)))
    qapp.processEvents()
    found = whole(window, window.grab().toImage())
    x, y = window.mapFromGlobal(dialog.mapToGlobal(QPoint())).toTuple()
    assert y + 80 > 110 and (found.width(), found.height()) == (200, y + 80), "what sticks out is seen"
    assert found.pixelColor(x, y).name() == found.pixelColor(x + 59, y + 79).name() == "#e0c040"
    assert found.pixelColor(x - 1, y).name() == "#204060" and found.pixelColor(x + 60, y + 79).name() == "#ff00ff"
    window.close()


def test_the_settings_of_a_scene_are_its_looks_and_not_the_users(tmp_path: Path) -> None:
    store = _settings(Scene("demo", 3.0, theme="light", font_scale=1.5, language="de"), tmp_path)
    said = [store.setting(f"display.{key}") for key in ("theme", "font_scale", "language")]
    assert [one.value for one in said] == ["light", 1.5, "de"] and not any(one.fixed_by for one in said)
    assert Path(store.place).parent == tmp_path


@pytest.mark.slow
def test_five_hundred_random_events_and_it_lives() -> None:
    command = [sys.executable, "-m", "benchmarks", "tour", "events", "--count", "500", "--seed", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "500 of 500" in done.stdout
