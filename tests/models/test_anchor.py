"""An estimate ends where the pulse no longer looks as it did beside the last measured pressure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runtime.anchor import Anchors, PulseLook, departed, pulse_look
from models.runtime.bundle import Bundle
from models.runtime.engine import Engine
from models.signals.modalities import Modality
from models.signals.windows import Window
from tests.models.test_runtime import ABP, PPG, SPEC, FakeBackend, window
from tests.signals.waves import beat_times, pulse


def pleth(rate: float, height: float = 1.0, seconds: int = 30) -> np.ndarray:
    return pulse(beat_times(rate, seconds), seconds, 0.0, height).astype(np.float32)


@pytest.mark.parametrize("rate", [40.0, 75.0, 130.0])
def test_look_of_known_pulses(rate: float) -> None:
    look = pulse_look(pleth(rate, 0.7))
    assert look is not None
    assert look.rate == pytest.approx(rate, rel=0.02) and look.height == pytest.approx(0.7, rel=0.05)
    assert pulse_look(np.zeros(3000, np.float32)) is None and pulse_look(np.full(3000, np.nan, np.float32)) is None


def test_a_gap_in_the_pleth_is_no_pulse_height() -> None:
    wave = pleth(75.0)
    wave[2500:2530] = np.nan
    look = pulse_look(wave)
    assert look is not None and look.height == pytest.approx(1.0, rel=0.05)


@given(st.floats(30, 220), st.floats(0.01, 100), st.floats(0.3, 3.0), st.floats(0.05, 5.0))
def test_what_has_departed(rate: float, height: float, change: float, share: float) -> None:
    """Stated once more: beyond 35 % of rate, either way, or below 40 % of height."""
    why = departed(PulseLook(rate * change, height * share), PulseLook(rate, height))
    far = change > 1.35 or change < 1 / 1.35
    small = share < 0.4
    if min(abs(change - 1.35), abs(change - 1 / 1.35), abs(share - 0.4)) > 1e-6:
        assert bool(why) == (far or small)
    assert not far or "pulse rate" in why


def test_what_is_not_known_is_no_ground_for_an_estimate() -> None:
    assert departed(PulseLook(75, 1), None) and departed(None, PulseLook(75, 1))
    anchors = Anchors()
    anchors.learn("bed", pleth(75.0))
    assert anchors.departed("bed", pleth(80.0)) == ""
    assert "too little of the pleth" in anchors.departed("another", pleth(80.0))
    anchors.forget("bed")
    assert anchors.departed("bed", pleth(80.0))


def course(rate: float, height: float, *, measured: bool, end_s: int) -> Window:
    made = window({} if measured else {ABP: slice(20, 30)}, age=0.0 if measured else 10.0, end_s=end_s)
    signals = made.signals.copy()
    signals[PPG] = pleth(rate, height)
    if measured:
        signals[ABP] = pulse(beat_times(rate, 30), 30, 60.0, 110.0)
    return replace(made, signals=signals)


@pytest.mark.parametrize(
    ("rate", "height", "reason"),
    [
        (80.0, 0.9, ""),
        (130.0, 1.0, "pulse rate 130, 75 when"),
        (34.0, 1.0, "pulse rate 34"),
        (75.0, 0.3, "shrunk to 30 %"),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_shock_ends_the_estimate_of_a_lost_pressure(rate: float, height: float, reason: str, together: bool) -> None:
    engine = Engine(Bundle(Path(), SPEC, "0" * 12), FakeBackend())
    windows = [course(75.0, 1.0, measured=True, end_s=100), course(rate, height, measured=False, end_s=101)]
    if together:
        _, found = engine.predict(windows, ["bed", "bed"])
    else:
        found = [engine.predict([w], ["bed"]) for w in windows][1][0]
    assert (found.pressures is None) == bool(reason) == (found.restored == ())
    assert reason in found.not_estimable.get(Modality.ABP, "")
    (stranger,) = engine.predict([windows[1]], ["another bed"])
    assert stranger.pressures is None, "whose pulse was never seen beside a pressure"
    engine.forget("bed")
    (again,) = engine.predict([windows[1]], ["bed"])
    assert again.pressures is None
