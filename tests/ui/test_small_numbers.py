"""Small numerics: a device's own numbers with their ages; what is not known is ``-?-``; one that alarms flashes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace
from PySide6.QtCore import QRect

from streams.limit_settings import DEFAULT_SETTINGS, checked, default_setting
from tests.ui.harness import Screen
from tests.ui.synthetic import Chapter, Patient
from tests.ui.test_state import at, state_of
from ui.bed.bed_words import bed_words
from ui.bed.liveness import Life, Moment
from ui.bed.small_numbers import SmallNumber, small_numbers
from ui.central.tile_words import tile_words

Make = Callable[..., Screen]
CUFF = {"nibp_sys": 105.0, "nibp_dia": 59.0, "nibp_map": 72.0, "nibp_age_s": 250.0}
ALL = {"spo2": 97.0, "etco2": 35.0, "temp_c": 36.42, "bis": 41.0, **CUFF}


def said(vitals: dict[str, object], until_s: float = 9.5, moment: Moment | None = None) -> dict[str, SmallNumber]:
    patient = Patient(story=[Chapter(0, 6.6, vitals=ALL), Chapter(6.6, 99, vitals=vitals)])
    return {n.name: n for n in small_numbers(state_of(patient, until_s), moment or at(until_s))}


def test_each_is_said_with_its_unit_in_one_order() -> None:
    found = said(ALL)
    assert [(n.label, n.value, n.unit) for n in found.values()] == [
        ("SpO2", "97", "%"), ("NIBP", "105/59 (72)", "mmHg"), ("etCO2", "35", "mmHg"), ("TEMP", "36.4", "°C"),
        ("BIS", "41", ""),
    ]  # fmt: skip
    assert found["nibp"].note == "4 min ago" and not any(n.note for n in found.values() if n.name != "nibp")


def test_nothing_is_said_where_no_device_has_told_of_any() -> None:
    assert small_numbers(state_of(Patient(), 9.5), at(9.5)) == ()


def test_what_is_no_longer_told_is_unknown_and_says_what_it_was() -> None:
    found = said({})
    assert {n.value for n in found.values()} == {"-?-"}
    assert found["spo2"].note == "was 97, 2 s ago" and found["nibp"].note == "was 105/59 (72), 2 s ago"
    ended = said({}, moment=at(9.5, life=Life.ENDED))
    assert ended["spo2"].note == "was 97", "time that stands still tells no age"


def test_a_stream_that_is_lost_shows_none_as_current() -> None:
    found = said(ALL, moment=at(9.5, life=Life.LOST))
    assert all(n.invalid for n in found.values())
    assert said(ALL, moment=Moment(9.5, 100 + 13.0))["spo2"].invalid, "nothing has come for more than three seconds"


def test_a_cuff_whose_age_nobody_knows_says_so_and_one_that_failed_has_no_lower_value() -> None:
    assert said({**CUFF, "nibp_age_s": None})["nibp"].note == "age not known"
    assert said({"nibp_sys": 84.0, "nibp_age_s": 3.0})["nibp"].value == "84/-?- (-?-)"


def test_limits_stand_beside_the_saturation_and_the_bell_is_crossed_where_none_can_come() -> None:
    found = said(ALL)["spo2"].limits
    assert (found.text, found.silent) == ("100 / 90", "")
    assert said({})["spo2"].limits.silent == "not measured"
    off = checked([replace(default_setting("spo2"), on=False)])
    state = state_of(Patient(limits=off, story=[Chapter(0, 99, vitals=ALL)]), 9.5)
    assert small_numbers(state, at(9.5))[0].limits.silent == "alarm off"
    assert default_setting("spo2") in DEFAULT_SETTINGS


def test_after_a_seek_or_with_another_patient_nothing_of_before_is_said() -> None:
    state = state_of(Patient(story=[Chapter(0, 99, vitals=ALL)]), 9.5)
    for record in Patient(epoch=1).second(100):
        state.apply(record, 120.0)
    assert small_numbers(state, at(100.5)) == ()


def pixels(s: Screen, area: QRect | None = None) -> np.ndarray:
    image = s.window.face.small.grab().toImage()
    raw = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return raw[:, : image.width(), 2::-1]


@pytest.mark.parametrize("size", [(1024, 700), (1920, 1080)])
def test_the_strip_is_there_when_a_number_is_and_all_fit(screen: Make, size: tuple[int, int]) -> None:
    s = screen(patient=Patient(story=[Chapter(3, 99, vitals=ALL)]), size=size)
    s.run_to(2.9)
    assert not s.window.face.small.isVisible()
    s.run_to(6.0)
    s.frames(30)
    strip = s.window.face.small
    assert strip.isVisible() and [n.name for n in strip.numbers] == ["spo2", "nibp", "etco2", "temp_c", "bis"]
    ink = np.abs(pixels(s).astype(int) - pixels(s)[-1, 0].astype(int)).sum(2) > 120
    assert not ink[:, -6:].any(), "none is cut off at the right"


@pytest.mark.parametrize("priority", ["medium", "high"])
def test_an_alarm_about_it_flashes_behind_it(screen: Make, priority: str) -> None:
    s = screen(patient=Patient(story=[Chapter(0, 99, vitals={**ALL, "spo2": 84.0})]))
    s.run_to(4.0)
    s.feed.push(s.patient.alarm("spo2.low", "SpO2 LOW 84 < 90", priority, "physiological", active=True, time_s=4.0))
    s.run_to(8.0)
    flash = s.window.face.small.flashes["spo2"]
    assert flash.alarm.record.priority == priority and list(s.window.face.small.flashes) == ["spo2"]
    lit = s.window.look.theme.alarm.colours[priority].lit.lstrip("#")
    colour = np.array([int(lit[i : i + 2], 16) for i in (0, 2, 4)])
    seen = []
    for _ in range(60):
        s.frames(2)
        seen.append(bool((np.abs(pixels(s)[:, :150].astype(int) - colour).sum(2) < 30).sum() > 200))
    assert True in seen and False in seen, "it goes on and off"
    assert not s.window.numerics.flashes, "no other number flashes for it"


def test_the_tile_of_the_central_view_has_the_saturation(screen: Make) -> None:
    s = screen(patient=Patient(story=[Chapter(0, 99, vitals={**ALL, "spo2": 84.0})]))
    s.run_to(5.0)
    bed = s.window.ward.on_show
    found = tile_words(bed, bed_words(bed))
    assert ("SpO2", "84") in [(n.label, n.value) for n in found.small]
