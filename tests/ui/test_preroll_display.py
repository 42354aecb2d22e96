"""After a seek the screen is not blank, and on the way to it nothing is shown that is not yet there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.records import AnyRecord, WaveTick
from tests.ui.harness import Screen, hue_like
from tests.ui.synthetic import NS, TICK_S, FakeSession, Patient
from ui.bed.liveness import Life
from ui.bed.playout import PlayoutClock
from ui.bed.state import DisplayState
from ui.style.theme import default_theme

Make = Callable[..., Screen]
TO_S = 900.0


def preroll(patient: Patient, begin_s: float, end_s: float, to_s: float = TO_S) -> list[AnyRecord]:
    """The records of [begin, end) of a pre-roll, as the stream sends them."""
    found: list[AnyRecord] = []
    for seq in range(round(begin_s / TICK_S), round(end_s / TICK_S)):
        for record in patient.tick(seq):
            goes_to = round(to_s * NS)
            found.append(replace(record, goes_to_ns=goes_to) if isinstance(record, WaveTick) else record)
    return found


def seek(s: Screen, patient: Patient, until_s: float = TO_S) -> None:
    s.patient = patient
    for record in preroll(patient, TO_S - 60, until_s):
        s.feed.push(record)
    s.frames(12)


def inked(s: Screen) -> np.ndarray:
    """Which columns of the pleth have any ink."""
    return hue_like(s.pixels(s.wave_area(Modality.PPG)), s.window.look.modality(Modality.PPG)).any(axis=0)


def test_on_the_way_nothing_is_drawn_or_said_and_then_the_page_before_is_there_dimmed(screen: Make) -> None:
    s = screen()
    s.run_to(3.0)
    seek(s, Patient(epoch=1), TO_S - 5)
    w = s.window
    assert w.sweep.stamp is not None and "00:15:00" in w.sweep.stamp.words
    w.sweep.put_stamp(None)  # whose letters have a fringe
    assert w.sweep.head_s is None and not inked(s).any()
    assert {found.value for found in w.numerics.readouts.values()} == {"-?-"}
    assert w.ward.on_show.verdict.life is Life.WAITING
    for record in preroll(s.patient, TO_S - 5, TO_S):
        s.feed.push(record)
    s.session.changes = {"paused": True}
    s.frames(12)
    w.sweep.put_stamp(None)
    assert w.sweep.head_s == pytest.approx(TO_S) and inked(s).mean() > 0.85, "the sweep before this one"
    assert w.numerics.readouts["ECG"].value == "75" and w.ward.on_show.verdict.life is Life.PAUSED
    bright = s.pixels(s.wave_area(Modality.PPG)).max()
    s.session.changes = {}
    s.start_at(TO_S)
    s.run_to(TO_S + 2.0)
    beam = s.column(w.sweep.head_s)
    assert w.sweep.stamp is None and beam < 2.2 * w.sweep.paper.per_s, "what is played begins at the left"
    new, old = (s.pixels(s.wave_area(Modality.PPG))[:, part].max() for part in (slice(4, beam), slice(beam + 40, None)))
    assert old == pytest.approx(bright, abs=12) and new > 1.5 * old


def test_a_seek_soon_after_the_beginning_leaves_blank_what_was_not_there(screen: Make) -> None:
    s = screen()
    s.run_to(1.0)
    s.patient = Patient(epoch=1)
    for record in preroll(s.patient, 0.0, 2.0, 2.0):
        s.feed.push(record)
    s.frames(12)
    found = inked(s)
    per_s = s.window.sweep.paper.per_s
    assert 1.5 * per_s < found.sum() <= 2.05 * per_s and not found[: -round(2.05 * per_s)].any()


def test_a_second_seek_on_the_way_goes_to_the_second(screen: Make) -> None:
    s = screen()
    seek(s, Patient(epoch=1), TO_S - 30)
    s.patient = Patient(epoch=2)
    for record in preroll(s.patient, 440.0, 500.0, 500.0):
        s.feed.push(record)
    s.frames(12)
    assert s.window.sweep.head_s == pytest.approx(500.0) and s.window.state.clock.goes_to_s is None


def test_a_stream_that_dies_on_the_way_is_lost(screen: Make) -> None:
    s = screen()
    s.session.changes = {"paused": True}
    seek(s, Patient(epoch=1), TO_S - 30)
    assert s.window.ward.on_show.verdict.life is Life.WAITING
    s.frames(170)
    verdict = s.window.ward.on_show.verdict
    assert verdict.life is Life.LOST and verdict.urgent


def test_estimates_of_a_preroll_do_not_make_those_that_are_played_late() -> None:
    state = DisplayState(default_theme())
    patient = Patient(absent={Modality.ABP: [(870, 2000, Absence.WITHHELD)]}, epoch=1)
    state.set_channels(FakeSession().channels)
    records = preroll(patient, TO_S - 60, TO_S)
    late = [r for r in records if not isinstance(r, WaveTick)]
    for record in [*[r for r in records if isinstance(r, WaveTick)], *late]:  # the model is behind by all of it
        state.apply(record, 10.0)
    lane = state.lane("ABP")
    assert lane is not None and lane.estimate is not None and lane.estimate.line.ring.end == 900 * 100 - 100
    assert lane.estimate.lag_s < 1.2
    assert state.clock.position_s == TO_S and state.clock.first_s == TO_S


def test_the_beam_goes_on_from_the_moment_sought_and_never_before_it() -> None:
    clock = PlayoutClock(0.02)
    for k in range(20):
        clock.preroll(40 + k, 41 + k, 60.0, 5.0 + k * 0.01)
        if k < 19:
            assert clock.advance(5.0 + k * 0.01, 1.0) is None and not clock.started and clock.goes_to_s == 60.0
    assert clock.advance(5.3, 1.0) == clock.first_s == 60.0 and clock.known_s == 40.0
    clock.tick(60.0, 60.05, 6.0)
    assert 60.0 <= (clock.advance(6.0, 1.0) or 0.0) <= 60.05
    lost = PlayoutClock(0.02)
    lost.preroll(40.0, 41.0, 60.0, 1.0)  # the last of it was dropped on the way
    lost.tick(60.0, 60.05, 2.0)
    assert lost.started and lost.goes_to_s is None and lost.first_s == 60.0
