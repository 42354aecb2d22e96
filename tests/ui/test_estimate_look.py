"""Estimates are quieter than truth, and known for what they are from three metres; artefact is dimmer than signal."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QRect
from PySide6.QtGui import QColor, QImage

from models.signals.absence import Absence
from models.signals.estimable import SOURCES
from models.signals.findings import Rhythm
from models.signals.modalities import Modality
from streams.records import PredictionRecord, RestoredChunk
from tests.ui.harness import Screen, near
from tests.ui.synthetic import Chapter, Patient
from tests.ui.test_alarm_view import contrast
from ui.panels.history_band import band_words
from ui.style.look import mixed
from ui.style.outlined import CAP_MM
from ui.style.theme import THEMES, default_theme, theme_named
from ui.waves.backdrop import _WORD_FAINT

Make = Callable[..., Screen]
THEME = default_theme()
ABP, ECG, PPG, EEG = Modality.ABP, Modality.ECG, Modality.PPG, Modality.EEG
LOST = {ABP: [(3, 99, Absence.NO_DATA)]}


def rgb(name: str) -> np.ndarray:
    colour = QColor(name)
    return np.array([colour.red(), colour.green(), colour.blue()], float)


def tile(s: Screen, modality: Modality) -> np.ndarray:
    """The number's tile, without its caption."""
    panel = s.window.numerics
    row = s.window.sweep.lane_rows[s.window.state.lanes.index(s.lane(modality))]
    image = panel.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    top = row.top + round(22 * s.window.look.unit)
    return s.pixels(QRect(0, top, image.width(), row.height - round(22 * s.window.look.unit)), image)


def box_of(mask: np.ndarray) -> tuple[int, float]:
    """Height of what is set, and the share of its box that is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return len(inside), float(inside.mean())


def test_an_estimated_number_is_smaller_hollow_and_a_range(screen: Make) -> None:
    measured = screen(Patient(), size=(1600, 1000))
    measured.run_to(7.0)
    estimated = screen(Patient(absent=LOST), size=(1600, 1000))
    estimated.run_to(7.0)
    height, filled = box_of(near(tile(measured, ABP), THEME.lanes[ABP].colour, 40))
    small, ink = box_of(near(tile(estimated, ABP), THEME.lanes[ABP].estimated, 40))
    assert 0.5 < small / height < 0.66, "60 % of the digits, whose slash is a little higher"
    assert ink < 0.8 * filled, "not hollow"
    assert estimated.window.numerics.readouts["ABP"].value == "59–73"


@pytest.mark.parametrize(
    ("size", "least_mm"), [((1024, 700), 13.0), ((1280, 760), 14.0), ((3840, 2160), 0.96 * CAP_MM)]
)
def test_the_word_is_read_from_three_metres(screen: Make, size: tuple[int, int], least_mm: float) -> None:
    """Capitals of 14 mm are 16 minutes of arc at three metres; the smallest window has no room for them."""
    s = screen(Patient(absent=LOST), size=size)
    s.run_to(5.0)
    area = s.wave_area(ABP)
    word = 0.74 * rgb(THEME.colour["background"]) + 0.26 * rgb(THEME.lanes[ABP].estimated)
    found = np.abs(s.pixels(area) - word).max(axis=2) < 4
    rows = np.flatnonzero(found.sum(axis=1) > 20)
    height_mm = (rows[-1] - rows[0] + 1) / s.window.sweep.px_per_mm
    assert least_mm <= height_mm < 1.06 * CAP_MM
    assert not (np.abs(s.pixels(s.wave_area(ECG)) - word).max(axis=2) < 4).any()


@pytest.mark.parametrize(
    ("name", "over", "itself"),
    [("dark", (6.3, 7.5), (1.7, 2.0)), ("colour-blind", (5.9, 7.6), (1.6, 2.1)), ("light", (2.7, 3.0), (1.3, 1.4))],
)
def test_the_wave_stands_out_from_the_word_by_what_is_said(
    name: str, over: tuple[float, float], itself: tuple[float, float]
) -> None:
    """The figures of docs/estimates.md."""
    theme = theme_named(name)
    ground = theme.colour["background"]
    for modality in SOURCES:
        wave = theme.lanes[modality].estimated
        word = mixed(QColor(wave), QColor(ground), _WORD_FAINT).name()
        assert over[0] <= contrast(wave, word) <= over[1]
        assert itself[0] <= contrast(word, ground) <= itself[1]


def test_the_word_goes_with_the_estimate(screen: Make) -> None:
    s = screen(Patient(absent={ABP: [(3, 6, Absence.NO_DATA)], ECG: [(3, 99, Absence.LEAD_OFF)]}, story=[
        Chapter(8, 99, pulse={}, overdue=(PPG, ABP))]))  # fmt: skip
    s.run_to(5.0)
    assert [header.estimated for header in s.window.sweep.headers] == [True, True, False, False]
    s.run_to(7.0)
    assert [header.estimated for header in s.window.sweep.headers] == [True, False, False, False]
    s.run_to(9.3)
    assert not any(header.estimated for header in s.window.sweep.headers)
    assert "estimate ended: the next pulse on the" in s.window.sweep.headers[0].status


@pytest.mark.parametrize("name", THEMES)
def test_what_is_estimated_has_another_colour_and_of_the_eeg_another_hue(name: str) -> None:
    lanes = theme_named(name).lanes
    for modality in SOURCES:
        assert np.abs(rgb(lanes[modality].colour) - rgb(lanes[modality].estimated)).max() > 30
    hue, own = QColor(lanes[EEG].colour).hueF(), QColor(lanes[EEG].estimated).hueF()
    assert min(abs(hue - own), 1 - abs(hue - own)) > 0.2


def test_the_depth_is_drawn_in_the_hue_of_estimates(screen: Make) -> None:
    s = screen(size=(1600, 1000))
    s.run_to(4.0)
    tint = 0.85 * rgb(THEME.lanes[EEG].estimated) + 0.15 * rgb(THEME.colour["background"])
    assert (np.abs(tile(s, EEG) - tint).max(axis=2) < 40).sum() > 40, "the depth is not told apart"


def brightest(s: Screen, modality: Modality, begin_s: float, end_s: float) -> float:
    return float(s.pixels(s.wave_area(modality))[:-30, s.columns(begin_s, end_s)].max(axis=2).max(axis=0).mean())


@pytest.mark.parametrize("reason", [Absence.ARTEFACT, Absence.FLUSH, Absence.SATURATED])
def test_artefact_is_dimmer_than_signal_at_once_and_when_drawn_anew(screen: Make, reason: Absence) -> None:
    s = screen(Patient(absent={EEG: [(3, 5, reason)]}, keep_samples=True), size=(1600, 900))
    s.run_to(7.0)
    for _ in range(2):
        signal, artefact = brightest(s, EEG, 1.5, 3.0), brightest(s, EEG, 3.0, 5.0)
        assert 0.25 * signal < artefact < 0.6 * signal
        assert brightest(s, EEG, 5.0, 6.0) > 0.85 * signal
        s.window.sweep.relayout()


def test_bad_news_is_never_dimmed(screen: Make) -> None:
    """Fibrillation may be taken for an artefact, and is the last thing to be drawn faintly."""
    story = [Chapter(2, 99, rhythm=Rhythm.FIBRILLATION)]
    s = screen(Patient(absent={ECG: [(4, 9, Absence.ARTEFACT)]}, keep_samples=True, story=story), size=(1600, 900))
    s.run_to(7.0)
    assert brightest(s, ECG, 4.0, 5.9) > 0.9 * brightest(s, ECG, 2.0, 4.0)


class Banded(Patient):
    """A model that says how sure it is of the plethysmogram, too."""

    def prediction(self, end: int, *args: object, **kwargs: object) -> PredictionRecord:  # type: ignore[override]
        made = super().prediction(end, *args, **kwargs)  # type: ignore[arg-type]
        return msgspec.structs.replace(made, restored=[self._banded(chunk) for chunk in made.restored])

    @staticmethod
    def _banded(chunk: RestoredChunk) -> RestoredChunk:
        values = np.frombuffer(chunk.data, "<f4")
        return msgspec.structs.replace(chunk, lo=(values - 0.2).tobytes(), hi=(values + 0.2).tobytes())


@pytest.mark.parametrize("modality", [PPG, ECG])
def test_a_band_is_drawn_wherever_the_model_gives_one(screen: Make, modality: Modality) -> None:
    absent = {modality: [(3, 99, Absence.NO_DATA)]}
    band = 0.78 * rgb(THEME.colour["background"]) + 0.22 * rgb(THEME.lanes[modality].colour)
    covered = []
    for kind in (Patient, Banded):
        s = screen(kind(absent=absent), size=(1600, 900))
        s.run_to(8.0)
        wave = s.pixels(s.wave_area(modality))[:, s.columns(3.2, 6.0)]
        covered.append(float((np.abs(wave - band).max(axis=2) < 8).mean()))
    assert covered[1] > covered[0] + 0.05


def test_over_a_page_of_the_past_an_estimate_of_now_says_so(screen: Callable[..., Screen]) -> None:
    s = screen(Patient(absent={Modality.ABP: [(14, 99, Absence.NO_DATA)]}))
    s.run_to(10.0)
    page = SimpleNamespace(state=s.window.state, at_s=0.0, missing="")
    assert "mean 86" in band_words(page, s.window.ward.on_show, 0.0).now  # type: ignore[arg-type]
    s.run_to(20.0)
    assert "ESTIMATED 59–73" in band_words(page, s.window.ward.on_show, 0.0).now  # type: ignore[arg-type]
