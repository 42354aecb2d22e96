"""openibis in the numerics: of measured seconds of one electrode at its own rate, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from models.signals.modalities import Modality
from models.signals.openibis import Openibis
from streams.vitals.monitor import Vitals, VitalsMonitor
from tests.signals.waves import brain
from tests.streams.grids import vitals_over
from tests.streams.test_measured_only import live

FS = 128


def alone(wave: np.ndarray) -> list[float | None]:
    one, said = Openibis(), []
    for second in range(len(wave) // FS):
        one.add(wave[second * FS : (second + 1) * FS].astype(np.float32))
        said.append(one.index)
    return said


def said(vitals: list[Vitals], seconds: int) -> list[float | None]:
    found = {v.second: v.openibis for v in vitals}
    return [found.get(second + 1) for second in range(seconds)]


def test_of_a_clean_eeg_it_is_that_of_the_samples() -> None:
    wave = brain(90, 20.0, 0.4, 2.0, rate=FS)
    found = said(live(wave, FS), 90)
    assert found[:88] == alone(wave)[:88] and found[31] is not None


def test_seconds_that_are_not_measured_do_not_count_and_it_goes_with_the_electrode() -> None:
    wave = brain(130, 20.0, 0.4, 2.0, rate=FS)
    off = wave.copy()
    off[60 * FS : 75 * FS] = 1600.0
    found, gap = said(live(off, FS), 130), wave.copy()
    gap[60 * FS : 75 * FS] = np.nan
    assert all(v is None for v in found[61:75])
    known = [(a, b) for a, b in zip(found[75:127], alone(gap)[75:127], strict=True) if a is not None]
    assert len(known) > 25 and all(b is not None and a == pytest.approx(b, abs=1.0) for a, b in known)


def test_muscle_is_not_taken_for_waking() -> None:
    """It went to 92 with muscle that the artefact rule lets pass, and stayed high for half a minute after it."""
    wave = brain(150, 25.0, 0.4, 2.2, rate=FS)
    asleep = [v for v in said(live(wave, FS), 150) if v is not None]
    assert max(asleep) < 55.0
    loud = wave.copy()
    rng = np.random.default_rng(5)
    loud[70 * FS : 90 * FS] += 25.0 * rng.standard_normal(20 * FS)
    found = [v for v in said(live(loud, FS), 150) if v is not None]
    assert len(found) > 60 and max(found) < max(asleep) + 5.0


@pytest.mark.parametrize("what", ["an open input", "a line"])
def test_no_number_without_a_brain(what: str) -> None:
    rng = np.random.default_rng(2)
    wave = 0.3 * rng.standard_normal(100 * FS) if what == "an open input" else np.zeros(100 * FS)
    assert {v.openibis for v in live(wave, FS)} == {None}


def test_burst_suppression_pulls_it_down() -> None:
    wave = brain(150, 25.0, 0.4, 2.2, rate=FS)
    t = np.arange(len(wave)) / FS
    edge = 1.0 / (1.0 + np.exp((np.abs(t % 10.0 - 2.0) - 2.0) / 0.05))
    bursts = wave * edge + brain(150, 1.0, 0.0, 1.0, seed=3, rate=FS)
    deep = [v.openibis for v in live(bursts, FS) if v.openibis is not None]
    light = [v.openibis for v in live(wave, FS) if v.openibis is not None]
    assert len(deep) > 60 and deep[-1] < 35.0 < light[-1]


def test_unknown_without_native_samples_and_below_128_hz() -> None:
    wave = brain(60, 20.0, rate=100)
    assert {v.openibis for v in live(wave, 100)} == {None}
    assert {v.openibis for v in vitals_over({Modality.EEG: wave}, 60, {})} == {None}


def test_another_electrode_begins_anew() -> None:
    wave = brain(60, 20.0, rate=FS)
    monitor = VitalsMonitor()
    for second in range(60):
        monitor._openibis.add(wave[second * FS : (second + 1) * FS])
    assert monitor._openibis.index is not None
    monitor.forget_eeg()
    assert monitor._openibis.index is None
