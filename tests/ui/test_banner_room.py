"""A banner or the band of the past moves nothing and covers neither an alarm nor a wave."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ui.harness import Screen
from tests.ui.synthetic import FakeSession, Patient
from ui.panels.history_band import BandWords

BAND = BandWords("HISTORY 14:32:10", "42 s ago", "no alarm then", "HR 75   mean 86")


def place(s: Screen) -> object:
    """Of every lane and number, in the window."""
    w = s.window
    at = w.sweep.mapTo(w, w.sweep.rect().topLeft())
    return (at, w.sweep.size(), [(r.top, r.wave_top, r.wave_height) for r in w.sweep.lane_rows], w.numerics.geometry())


@pytest.mark.parametrize(("size", "scale"), [((1024, 640), 1.0), ((1456, 819), 1.0), ((1366, 768), 1.5)])
@pytest.mark.parametrize("beds", [1, 2])
def test_lanes_keep_size_and_place_when_banner_and_band_come_and_go(
    screen: Callable[..., Screen], size: tuple[int, int], scale: float, beds: int
) -> None:
    names = ("Bed 3", "7")[:beds]
    others = [Patient(bed=name) for name in names[1:]]
    s = screen(session=FakeSession(beds=names), size=size, font_scale=scale, others=others)
    s.run_to(3.0)
    w = s.window
    before, paper, layouts = place(s), w.sweep.paper, []
    w.sweep.relayout = lambda: layouts.append(1)  # type: ignore[method-assign]
    strip = w.top.height() + (w.beds.height() if w.beds.isVisible() else 0)
    for words, band in (("SESSION STOPPED: x", None), ("", BAND), ("SESSION STOPPED: x", BAND), ("", None)):
        w.banner.say(words, True)
        w.past.say(band)
        w._cover()
        s.application.processEvents()
        assert place(s) == before and w.sweep.paper is paper and not layouts
        assert w.banner.isVisible() == bool(words) and w.past.isVisible() == (band is not None)
        wave_top = before[0].y() + w.sweep.lane_rows[0].wave_top  # type: ignore[index]
        if words:
            assert w.banner.geometry().top() == strip and w.banner.geometry().bottom() < before[0].y()  # type: ignore[index]
            assert w.banner.width() == w.width()
        if band is not None:
            assert w.past.geometry().top() >= strip
            if not words:
                assert w.past.geometry().bottom() <= wave_top + 1


def test_the_list_of_alarms_and_the_help_lie_over_the_banner(screen: Callable[..., Screen]) -> None:
    s = screen()
    s.run_to(3.0)
    w = s.window
    w.banner.say("SESSION STOPPED: x", True)
    w.toggle_help()
    w._cover()
    s.application.processEvents()
    assert w.face.childAt(w.banner.geometry().center()) is w.help
    w.toggle_help()
    assert w.face.childAt(w.banner.geometry().center()) is w.banner
    w.alarm_room.toggle_alarms()
    assert w.alarms.room.top() > w.banner.geometry().bottom()
