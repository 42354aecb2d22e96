"""Every theme is legible, and that for colour-blind eyes tells the lanes better apart than the usual one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from PySide6.QtWidgets import QMenu, QToolTip

from benchmarks.tour.eyes import KINDS
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from tests.ui.harness import Screen
from tests.ui.test_alarm_view import contrast
from ui.style.look import Look
from ui.style.theme import THEMES, default_theme, parse_theme, theme_named

GROUNDS = ("background", "panel")


@pytest.mark.parametrize("name", THEMES)
def test_words_and_lanes_stand_out_from_what_they_are_drawn_on(name: str) -> None:
    theme = theme_named(name)
    for ground in GROUNDS:
        for ink in ("text", "text_soft", "absent", "withheld", "truth", "risk_low", "risk_middle", "risk_high"):
            assert contrast(theme.colour[ink], theme.colour[ground]) >= 4.5, (ink, ground)
    for modality, lane in theme.lanes.items():
        assert contrast(lane.colour, theme.colour["background"]) >= 3.0, modality
        assert contrast(lane.estimated, theme.colour["background"]) >= 3.0, modality
    for fill, ink in (("absent_fill", "absent"), ("withheld_fill", "withheld")):
        assert contrast(theme.colour[ink], theme.colour[fill]) >= 4.0


def lab(colour: str, kind: str) -> np.ndarray:
    """CIE 1976 L*a*b* (D65) of a colour as eyes of a kind see it."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(KINDS.get(kind, np.eye(3)) @ linear, 0.0, 1.0)
    rgb_to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = (rgb_to_xyz @ linear) / np.array([0.9505, 1.0, 1.089])
    f = [value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours: list[str], kind: str) -> float:
    """The distance of the two that are most alike."""
    return min(float(np.linalg.norm(lab(a, kind) - lab(b, kind))) for a, b in combinations(colours, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_the_colour_blind_set_tells_lanes_and_bands_further_apart(kind: str) -> None:
    usual, chosen = default_theme(), theme_named("colour-blind")
    lanes = [[lane.colour for lane in theme.lanes.values()] for theme in (usual, chosen)]
    bands = [[theme.colour[f"risk_{band}"] for band in ("low", "middle", "high")] for theme in (usual, chosen)]
    assert nearest(lanes[1], kind) > max(20.0, nearest(lanes[0], kind))
    assert nearest(bands[1], kind) > max(25.0, nearest(bands[0], kind))


@pytest.mark.parametrize("name", THEMES)
def test_lanes_are_told_apart(name: str) -> None:
    """By eyes with all their cones."""
    assert nearest([lane.colour for lane in theme_named(name).lanes.values()], "all cones") > 20.0


def test_a_theme_that_is_none_and_a_change_of_what_is_not_there_are_refused() -> None:
    with pytest.raises(BadInput, match="colour-blind"):
        theme_named("sepia")
    with pytest.raises(BadInput, match="sky"):
        parse_theme("font_families = []\n[sweep]\ndim = 1.0", "[sky]\ncolour = 1")


def test_a_font_scale_enlarges_what_is_written_and_leaves_the_rest_to_the_waves(screen: Callable[..., Screen]) -> None:
    plain, large = Look(default_theme()), Look(default_theme(), 1.5)
    for look in (plain, large):
        look.set_window(1920, 1080)
    assert large.font(12).pixelSize() == pytest.approx(1.5 * plain.font(12).pixelSize(), abs=1)
    s = screen(size=(1024, 700), font_scale=1.5)
    s.run_to(3.0)
    w = s.window
    assert w.sweep.height() > 0.4 * w.height() and w.sweep.width() > 0.5 * w.width()
    assert w.menu.font().pixelSize() == w.look.font(13).pixelSize() == round(13 * 1.5 * 0.84)
    assert all(menu.font() == w.menu.font() for menu in w.menu.findChildren(QMenu)) and w.menu.findChildren(QMenu)
    assert QToolTip.font() == w.menu.font()


@pytest.mark.parametrize("scale", [1.2, 1.5, 1.6])
def test_larger_words_make_no_number_smaller(screen: Callable[..., Screen], scale: float) -> None:
    """Where there is no room below it, what is noted of a number stands beside it."""

    def height_px(font_scale: float) -> float:
        s = screen(size=(1456, 819), font_scale=font_scale)
        s.run_to(3.0)
        w = s.window
        image = w.numerics.grab().toImage()
        row, unit = w.sweep.lane_rows[0], w.look.unit
        colour = w.look.theme.lanes[Modality.ECG].colour
        top, left = row.top + round(22 * unit), round(10 * unit)
        drawn = [
            y
            for y in range(top, row.top + row.height)
            if any(image.pixelColor(x, y).name() == colour for x in range(left, left + round(60 * unit)))
        ]
        runs = np.split(np.array(drawn), np.flatnonzero(np.diff(drawn) > 1) + 1)
        return float(max(len(run) for run in runs))

    share = 1.0 if scale <= 1.5 else 0.88  # the banner's room grows with the words, and is the waves' no more
    assert height_px(scale) >= share * height_px(1.0)


def test_menus_and_tooltips_grow_with_the_window(screen: Callable[..., Screen]) -> None:
    w = screen(size=(3840, 2160)).window
    for one in (w.menu, *w.menu.findChildren(QMenu), QToolTip):
        assert one.font().pixelSize() == round(13 * 2.6)
    w.resize(1024, 640)
    for one in (w.menu, *w.menu.findChildren(QMenu), QToolTip):
        assert one.font().pixelSize() == round(13 * w.look.unit) < 13
