"""A device whose clock is corrected is drawn on; another wave begins anew."""

from __future__ import annotations

import numpy as np
import pytest

from streams.records import WaveChunk
from ui.bed.lanes import Trace
from ui.style.theme import default_theme

THEME = default_theme()
RATE = 500.0


def chunk(
    first: int, count: int, rate_hz: float = RATE, origin_ns: int = 0, label: str = "II", lead: int = 0
) -> WaveChunk:
    values = np.arange(first, first + count, dtype=np.float32)
    return WaveChunk("ECG", label, rate_hz, origin_ns, first, values.tobytes(), False, lead)


def trace_of(seconds: int = 8, lane: str = "ECG") -> Trace:
    trace = Trace(chunk(0, 1), THEME.lanes[lane], THEME.sweep)
    trace.write(0, np.arange(round(seconds * RATE), dtype=np.float32))
    trace.settle()
    return trace


def corrected(end: int, ppm: float, step_s: float = 0.0) -> tuple[float, int]:
    """Rate and origin of a line that meets the old one at sample ``end``, ``step_s`` beside it."""
    rate_hz = RATE * (1.0 + ppm * 1e-6)
    return rate_hz, round((end / RATE - end / rate_hz + step_s) * 1e9)


@pytest.mark.parametrize("ppm", [-500.0, 200.0, 4999.0])
@pytest.mark.parametrize("lane", ["ECG", "PPG"])
def test_a_corrected_clock_keeps_what_was_drawn(ppm: float, lane: str) -> None:
    trace = trace_of(lane=lane)
    before = trace.shown.ring.read(3000, 3900).copy()
    rate_hz, origin_ns = corrected(4000, ppm)
    assert trace.follow(chunk(4000, 25, rate_hz, origin_ns))
    trace.write(4000, np.arange(4000, 4025, dtype=np.float32))
    trace.settle()
    np.testing.assert_array_equal(trace.shown.ring.read(3000, 3900), before)
    assert np.isfinite(trace.raw.ring.read(0, 4025)).all(), "no hole where the lines meet"
    assert trace.raw.times(4000, 4001)[0] == pytest.approx(8.0, abs=1e-6)
    assert trace.shown.rate_hz == trace.raw.rate_hz == rate_hz
    on_screen = trace.raw.times(4000 - 2500, 4000) - np.arange(1500, 4000) / RATE
    assert np.abs(on_screen).max() < 0.03, "five seconds ago moves by milliseconds"


@pytest.mark.parametrize(
    "other",
    [
        chunk(4000, 25, *corrected(4000, 0.0), label="V5"),
        chunk(4000, 25, *corrected(4000, 0.0), lead=1),
        chunk(4000, 25, *corrected(4000, 20_000.0)),
        chunk(4000, 25, *corrected(4000, 200.0, 0.5)),
        chunk(0, 25, *corrected(4000, 200.0)),
        chunk(400_000, 25, *corrected(4000, 200.0)),
    ],
    ids=["another label", "another lead", "another rate", "a step in time", "its index begins anew", "far ahead"],
)
def test_another_wave_is_not_glued_on(other: WaveChunk) -> None:
    assert not trace_of().follow(other)
