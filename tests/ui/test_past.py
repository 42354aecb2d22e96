"""A page of the past says what the screen said then, and of what was not recorded that it was not. Pure."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.sources.look_back import LookBack, Past
from tests.ui.recorded import UNIX_S, Recorder, alarm
from tests.ui.synthetic import Chapter, Patient
from ui.bed.liveness import Life
from ui.bed.past import LEAD_S, WORDS_S, Page, ago_words, day_words, page_of, wall_words
from ui.bed.readouts import readout
from ui.style.theme import default_theme
from ui.window.history import moved

PATIENT = Patient(
    absent={Modality.ABP: [(60, 200, Absence.NO_DATA)]},
    story=[Chapter(90, 110, vitals={"hr": 171.0, "pulse_rate": 171.0})],
)
ALARMS = [alarm(20, "HR 171 > 120"), alarm(112, "HR 171 > 120", active=False)]


@pytest.fixture(scope="module")
def look_back(tmp_path_factory: pytest.TempPathFactory) -> LookBack:
    path: Path = tmp_path_factory.mktemp("past") / "x.mcap"
    recorder = Recorder(path, PATIENT, list(ALARMS))
    recorder.run_to(120)
    recorder.pause_to(140)
    recorder.run_to(170)
    found = LookBack(path)
    while found.follow():
        pass
    return found


def page(look_back: LookBack, second: float, seconds: float = 10.0) -> Page:
    past = look_back.past("Bed 3", round((UNIX_S + second) * 1e9), seconds + LEAD_S, WORDS_S)
    return page_of(past, default_theme(), seconds)


def said(found: Page, modality: Modality):  # type: ignore[no-untyped-def]
    lane = found.state.lane(modality.value)
    assert lane is not None
    return readout(found.state, lane, found.moment)


def test_it_says_what_the_screen_said_then(look_back: LookBack) -> None:
    found = page(look_back, 100.0)
    heart, pressure = said(found, Modality.ECG), said(found, Modality.ABP)
    assert (heart.value, heart.held) == ("171", "PAST") and said(page(look_back, 80.0), Modality.ECG).value == "75"
    assert pressure.mark == "ESTIMATED" and pressure.value == "59–73" and pressure.held == "PAST"
    assert any("40 s ago" in note for note in pressure.notes), "of a minute before the page's first wave"
    assert found.moment.life is Life.PAST and found.missing == ""
    assert found.head_s == pytest.approx(100.0) and found.state.clock.first_s == pytest.approx(90.0)


def test_masks_waves_and_alarms_are_those_of_then(look_back: LookBack) -> None:
    found = page(look_back, 65.0)
    abp, ecg = found.state.lane("ABP"), found.state.lane("ECG")
    assert abp is not None and ecg is not None and abp.trace is not None and ecg.trace is not None
    assert not abp.cells.is_absent(58) and abp.cells.is_absent(62) and abp.absence == Absence.NO_DATA.value
    assert abp.absent_since_s == pytest.approx(60.0, abs=1.1)
    wave = abp.trace.shown.ring.read(*(abp.trace.shown.index_at(t) for t in (55.0, 64.0)))
    assert np.isfinite(wave[: 4 * 125]).all() and np.isnan(wave[6 * 125 :]).all()
    assert [a.record.text for a in found.state.alarms.standing] == ["HR 171 > 120"], "it began before all that was read"
    assert not page(look_back, 118.0).state.alarms.standing


def test_a_gap_is_a_gap_and_is_said(look_back: LookBack) -> None:
    inside = page(look_back, 130.0)
    assert inside.missing == f"nothing was recorded from {wall_words(UNIX_S + 120)} to {wall_words(UNIX_S + 130)}"
    assert inside.head_s == pytest.approx(130.0)
    for modality in (Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG):
        assert said(inside, modality).invalid, "no value is older than three seconds"
    across = page(look_back, 145.0)
    assert across.missing == f"nothing was recorded from {wall_words(UNIX_S + 120)} to {wall_words(UNIX_S + 140.5)}"
    ecg = across.state.lane("ECG")
    assert ecg is not None and ecg.trace is not None
    wave = ecg.trace.raw.ring.read(*(ecg.trace.raw.index_at(t) for t in (135.0, 145.0)))
    assert np.isnan(wave[: 5 * 500]).all() and np.isfinite(wave[5 * 500 :]).all()
    assert page(look_back, 168.0).missing == ""


def test_after_the_end_and_before_the_beginning_there_is_nothing(look_back: LookBack) -> None:
    after, before = page(look_back, 190.0), page(look_back, -5.0)
    assert "nothing was recorded from" in after.missing and said(after, Modality.ECG).invalid
    assert before.head_s is None and before.missing == f"nothing was recorded before {wall_words(UNIX_S - 5)}"
    assert [lane.modality for lane in before.state.lanes], "its rows are there, and empty"
    nobody = page_of(Past("x", 0, (), None), default_theme(), 10.0)
    assert nobody.head_s is None and not nobody.state.lanes


def test_where_a_look_leads() -> None:
    span = (1000.0, 2000.0)
    assert moved(None, -30.0, span, 2000.0) == 1970.0
    assert moved(1970.0, -60.0, span, 2001.0) == 1910.0
    assert moved(1010.0, -60.0, span, 2000.0) == 1000.0, "not before the recording"
    assert moved(1990.0, 10.0, span, 2000.0) is None, "up to now is live"
    assert moved(None, 10.0, span, 2000.0) is None


def test_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert wall_words(UNIX_S + 61) == "14:01:01" and day_words(UNIX_S, UNIX_S + 60) == "14:00:00"
        assert day_words(UNIX_S, UNIX_S + 86_400) == "29 Nov 14:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert ago_words(-3.0) == "0 s ago"
