"""Sweeps: the factor moves as told, the rest is held, the values are those of the waves."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.sweeps import sweep
from models.signals.beats import r_peaks, upstrokes
from models.signals.errors import BadInput
from models.signals.windows import WindowSpec

SPEC = WindowSpec(frames=8)
ECG, ABP, PPG, EEG = range(4)


def run(factor: str, values):
    return sweep(factor, values, SPEC, seed=3, subjects=2, windows=1)


def test_shapes_and_layout() -> None:
    swept = sweep("ptt", (0.15, 0.25), SPEC, seed=3, subjects=2, windows=2)
    signals, presence, context, values = swept.windows
    assert signals.shape == (8, 4, SPEC.samples) and signals.dtype == np.float32 and np.isfinite(signals).all()
    assert presence.shape == (8, 4, SPEC.frames) and presence.all() and context.shape[:2] == (8, 4)
    assert np.isfinite(context[:, ABP, 0]).all() and values.shape == (8,)
    assert swept.setting.tolist() == [0.15] * 4 + [0.25] * 4 and swept.subject.tolist() == [0, 0, 1, 1] * 2
    assert swept.end_s.tolist() == [84, 108] * 4


def test_heart_rate_is_that_of_the_ecg_and_pressure_is_held() -> None:
    swept = run("hr", (60, 100))
    rates = [60 * 100 / np.diff(r_peaks(x[ECG])).mean() for x in swept.windows.signals]
    np.testing.assert_allclose(swept.windows.values, rates, atol=1.0)
    slow, fast = swept.windows.values[:2], swept.windows.values[2:]
    assert (fast - slow > 25).all()
    pressure = swept.windows.signals[:, ABP].mean(-1)
    assert np.abs(pressure[2:] - pressure[:2]).max() < 8.0


def test_transit_time_moves_the_pulses_and_nothing_else() -> None:
    swept = run("ptt", (0.15, 0.25))
    signals = swept.windows.signals
    np.testing.assert_array_equal(signals[:2, EEG], signals[2:, EEG])
    for a, b in zip(signals[:2], signals[2:], strict=True):
        np.testing.assert_allclose(r_peaks(a[ECG])[1:9], r_peaks(b[ECG])[1:9], atol=4)
        assert a[ABP].mean() == pytest.approx(b[ABP].mean(), abs=0.5)
    later = [_delay(b) - _delay(a) for a, b in zip(signals[:2], signals[2:], strict=True)]
    np.testing.assert_allclose(later, swept.windows.values[2:] - swept.windows.values[:2], atol=0.012)


def _delay(window: np.ndarray) -> float:
    r, pulses = r_peaks(window[ECG])[3:12], upstrokes(window[PPG], kind="PPG")
    return float(np.median([pulses[pulses > beat + 25][0] - beat for beat in r])) / 100


def test_qt_changes_the_t_wave_only() -> None:
    swept = run("qt", (0.36, 0.44))
    signals = swept.windows.signals
    np.testing.assert_array_equal(signals[:2, [ABP, PPG, EEG]], signals[2:, [ABP, PPG, EEG]])
    assert np.abs(signals[:2, ECG] - signals[2:, ECG]).max() > 0.05
    ratio = swept.windows.values[2:] / swept.windows.values[:2]
    np.testing.assert_allclose(ratio, 0.44 / 0.36, rtol=1e-6)


def test_spectral_edge_changes_the_eeg_only() -> None:
    swept = run("sef", (30, 58))
    signals = swept.windows.signals
    np.testing.assert_array_equal(signals[:2, :EEG], signals[2:, :EEG])
    assert (swept.windows.values[2:] > swept.windows.values[:2] + 2.0).all()  # Hz


def test_pressure_moves_as_told() -> None:
    swept = run("map", (80, 100))
    np.testing.assert_allclose(np.diff(swept.windows.values.reshape(2, 2), axis=0), 20.0, atol=6.0)


def test_equal_seeds_equal_windows() -> None:
    one, two = (sweep("qt", (0.4,), SPEC, seed=s, subjects=1, windows=1).windows.signals for s in (5, 5))
    other = sweep("qt", (0.4,), SPEC, seed=6, subjects=1, windows=1).windows.signals
    assert one.tobytes() == two.tobytes() != other.tobytes()


@pytest.mark.parametrize(("factor", "values"), [("height", (1.0,)), ("hr", (10.0,)), ("qt", (np.nan,)), ("ptt", ())])
def test_nonsense_is_refused_in_one_sentence(factor: str, values) -> None:
    with pytest.raises(BadInput, match="Expected"):
        sweep(factor, values, SPEC, 1)
