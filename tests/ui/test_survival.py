"""What a display must live through: very many beds, channels that hold nothing or nonsense, units and channels that
change under it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.signals.modalities import Modality
from streams.control import ChannelInfo
from streams.records import StateRecord
from tests.ui.harness import Screen
from tests.ui.synthetic import LABELS, RATES, Chapter, FakeSession, Patient

Make = Callable[..., Screen]
MANY = 1000


def test_a_thousand_beds_are_announced_and_the_one_on_show_goes_on(screen: Make) -> None:
    names = ("Bed 3", *(f"Bed {n + 10}" for n in range(MANY)))
    s = screen(session=FakeSession(beds=names))
    for name in names[1:]:
        patient = Patient(bed=name, restore=False)
        s.feed.push(patient.tick(0)[0])
        for record in patient.second(1):
            s.feed.push(record)
        s.feed.push(patient.alarm("hr.low", "HR LOW 40 < 50", "medium", "physiological", time_s=1.0))
    s.run_to(6.0)
    ward = s.window.ward
    assert len(ward.beds) == MANY + 1 and ward.on_show.name == "Bed 3"
    assert s.window.numerics.readouts["ECG"].value == "75"
    assert len(s.window.face.beds.grab().toImage().size().toTuple()) == 2 and s.window.face.beds.isVisible()
    assert sum(any(lane.trace is not None for lane in bed.state.lanes) for bed in ward.beds) < MANY / 4, (
        "few keep waves"
    )
    s.window.turn_page("central")
    s.run_to(7.0)
    page = s.window.central
    assert len(page.order) == MANY + 1 and 0 < len(page.shown) < MANY
    assert len(page.shown) + len(page.hidden) == MANY + 1, "and none is hidden without a word"
    s.window.show_bed("Bed 700")
    s.frames(20)
    assert ward.on_show.name == "Bed 700" and [a.record.key for a in ward.on_show.state.alarms.standing] == ["hr.low"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30])
@pytest.mark.parametrize("modality", [Modality.ECG, Modality.ABP, Modality.PPG])
def test_a_channel_of_one_value_harms_no_other(screen: Make, modality: Modality, value: float) -> None:
    """Infinite ones are refused by the codec; in one process nothing is encoded."""
    nonsense = {modality: lambda t: np.full(len(t), value)}
    s = screen(patient=Patient(story=[Chapter(4.0, 99, waves=nonsense)], keep_samples=True))
    other = next(m for m in (Modality.ECG, Modality.ABP) if m is not modality)
    s.run_to(12.0)
    assert s.window.sweep.head_s is not None and s.window.sweep.head_s > 10.0
    for lane in s.window.state.lanes:
        scale = s.window.sweep.scale_of(lane).scale
        assert np.isfinite([scale.low, scale.high]).all() and scale.low < scale.high and len(scale.ticks) < 20
    area = s.pixels(s.wave_area(other))
    colour = s.window.look.modality(other)
    ink = np.abs(area.astype(int) - np.array([colour.red(), colour.green(), colour.blue()])).sum(2) < 90
    assert ink.any(axis=0).mean() > 0.3, "the wave beside it is drawn on"
    assert not s.window.banner.isVisible(), "no fault of the display"


def test_a_channel_whose_unit_rate_and_label_change_is_drawn_anew_and_glued_to_nothing(
    screen: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = FakeSession()
    s = screen(session=session)
    s.run_to(5.0)
    old = s.lane(Modality.PPG).trace
    assert old is not None and "PLETH" in s.lane(Modality.PPG).label
    channels = tuple(
        ChannelInfo(Modality.PPG, "SpO2 wave", "%", 62.5) if c.modality is Modality.PPG else c for c in session.channels
    )
    monkeypatch.setattr(FakeSession, "channels", property(lambda self: channels))
    monkeypatch.setitem(LABELS, Modality.PPG, "SpO2 wave")
    monkeypatch.setitem(RATES, Modality.PPG, 62.5)
    s.run_to(9.0)
    lane = s.lane(Modality.PPG)
    assert (lane.info, lane.label) == (channels[2], "SpO2 wave")
    assert lane.trace is not None and lane.trace is not old and lane.trace.raw.rate_hz == 62.5
    first = lane.trace.raw.ring.start / 62.5
    assert first >= 4.9, "nothing of the old one is in it"
    assert s.window.numerics.readouts["PPG"].value == "75" and s.lane(Modality.ECG).trace is not None


def test_a_state_of_sensors_that_nobody_knows_here_is_left_aside(screen: Make) -> None:
    s = screen()
    s.run_to(3.0)
    before = [lane.absence for lane in s.window.state.lanes]
    head = {"bed": s.patient.bed, "session": s.patient.session, "epoch": s.patient.epoch}
    s.feed.push(StateRecord(**head, time_ns=3_000_000_000, state={"NEW": "no data"}))  # type: ignore[arg-type]
    s.run_to(4.0)
    assert [lane.absence for lane in s.window.state.lanes] == before
