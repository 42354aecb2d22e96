"""What calipers say, against a second computation; and what they say of an estimate, a gap and an artefact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.control import ChannelInfo
from streams.records import WaveChunk
from ui.bed.calipers import Calipers, Ground, ground, peak, reading, step_level
from ui.bed.lanes import Estimate, Lane, Trace
from ui.style.theme import default_theme
from ui.waves.geometry import Paper

RATE = 125.0


def lane(values: np.ndarray, absent: dict[int, str], estimate: np.ndarray | None = None) -> Lane:
    """An ABP lane with samples from 0 s at 125 Hz, an estimate at 100 Hz, and cells."""
    theme = default_theme()
    style = theme.lanes[Modality.ABP]
    made = Lane("ABP", Modality.ABP, style, ChannelInfo(Modality.ABP, "ART", "mmHg", RATE))
    chunk = WaveChunk("ABP", "ART", RATE, 0, 0, values.astype("<f4").tobytes())
    made.trace = Trace(chunk, style, theme.sweep)
    made.trace.write(0, values.astype(np.float32))
    for second in range(math.ceil(len(values) / RATE)):
        made.cells.put(second, absent.get(second, ""))
    if estimate is not None:
        made.estimate = Estimate(100.0, theme.sweep)
        made.estimate.line.ring.write(0, estimate.astype(np.float32))
    return made


times = st.floats(0.0, 9.9, allow_nan=False)


@given(times, times, st.floats(-30, 300), st.floats(-30, 300))
def test_what_is_read_is_what_lies_between(begin: float, end: float, first: float, second: float) -> None:
    made = lane(np.ones(1250), {})
    found = reading(made, Calipers("ABP", begin, end, first, second))
    milliseconds = 1000 * end - 1000 * begin
    assert found.interval_ms == pytest.approx(milliseconds if milliseconds > 0 else -milliseconds, abs=1e-6)
    if found.interval_ms > 0.01:
        assert found.rate is not None and found.rate * found.interval_ms == pytest.approx(60_000.0)
    if begin == end:
        assert found.rate is None and "-?-" in found.words[0]
    assert found.height == pytest.approx(max(first, second) - min(first, second)) and found.unit == "mmHg"
    assert "~" not in found.words[0] and not found.words[1]


@settings(max_examples=150)
@given(
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.lists(st.booleans(), min_size=10, max_size=10),
    times,
    st.floats(0.02, 5.0),
)
def test_what_a_stretch_is_made_of(measured: list[bool], estimated: list[bool], begin: float, length: float) -> None:
    """Of seconds that are measured or absent, with or without an estimate; told second by second."""
    end = min(begin + length, 9.99)
    values = np.repeat([1.0 if there else math.nan for there in measured], int(RATE))
    line = np.repeat(
        [2.0 if there and not real else math.nan for there, real in zip(estimated, measured, strict=True)], 100
    )
    found = ground(
        lane(values, {s: "" if real else Absence.NO_DATA.value for s, real in enumerate(measured)}, line), begin, end
    )
    ticks = [i / RATE for i in range(1250) if begin - 1e-5 <= i / RATE <= end + 1e-6]
    if not ticks:
        return
    kinds = {
        "m" if measured[int(t + 1e-9)] else "e" if math.isfinite(line[min(999, round(t * 100))]) else "g" for t in ticks
    }
    assert (found.measured, found.estimated, found.gap) == ("m" in kinds, "e" in kinds, "g" in kinds)


def test_an_estimate_is_never_read_as_a_measurement() -> None:
    values = np.full(1250, 80.0)
    values[500:] = math.nan
    made = lane(
        values, {s: Absence.NO_DATA.value for s in range(4, 10)}, np.where(np.arange(1000) < 800, 70.0, math.nan)
    )
    words = reading(made, Calipers("ABP", 5.0, 5.8, 60.0, 100.0)).words
    assert words == ("Δt ~800 ms   ~75/min   ~40 mmHg", "ESTIMATED")
    assert reading(made, Calipers("ABP", 3.0, 5.0, 60.0, 100.0)).words[1] == "ESTIMATED"
    assert reading(made, Calipers("ABP", 7.5, 8.5, 60.0, 100.0)).words[1] == "ESTIMATED  ·  across a gap"
    assert reading(made, Calipers("ABP", 8.5, 9.5, 60.0, 100.0)).words[1] == "no signal here"
    assert reading(made, Calipers("ABP", 1.0, 2.0, 60.0, 100.0)).words == ("Δt 1000 ms   60/min   40 mmHg", "")


def test_samples_of_a_sensor_that_is_off_are_said_to_be() -> None:
    made = lane(np.full(1250, 80.0), {3: Absence.LEAD_OFF.value})
    assert reading(made, Calipers("ABP", 3.2, 3.8, 60.0, 100.0)).words[1] == "sensor off"
    drawn = np.full(1000, math.nan)
    drawn[300:400] = 70.0
    both = lane(np.full(1250, 80.0), {3: Absence.LEAD_OFF.value}, drawn)
    assert reading(both, Calipers("ABP", 3.2, 3.8, 60.0, 100.0)).words[1] == "ESTIMATED", "whatever else is there"


def test_a_lane_without_anything_is_a_gap() -> None:
    style = default_theme().lanes[Modality.ABP]
    assert ground(Lane("ABP", Modality.ABP, style, None), 1.0, 2.0) == Ground(False, False, True)


@given(st.integers(100, 1100), st.floats(-0.07, 0.07), st.sampled_from((-60.0, 60.0)))
def test_a_line_snaps_to_the_peak_near_it_up_or_down(at: int, off: float, height: float) -> None:
    values = np.full(1250, 80.0)
    values[at] += height
    assert peak(lane(values, {}), at / RATE + off) == pytest.approx((at / RATE, 80.0 + height))


def test_where_nothing_is_drawn_nothing_snaps() -> None:
    assert peak(lane(np.full(1250, math.nan), {}), 5.0) is None


@given(st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_a_level_moves_by_a_round_step_of_a_two_hundredth_or_more(span: float, low: float) -> None:
    step = step_level(low, low + span)
    assert 0.999 * span / 200 <= step <= 2.6 * span / 200
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1.0, 2.0, 5.0, 10.0)


@given(st.integers(50, 2000), st.floats(5.0, 400.0), st.integers(3, 40), st.floats(0.0, 20_000.0), st.floats(0.0, 1.0))
def test_place_is_the_way_back_of_time_at(width: int, per_s: float, gap: int, beam: float, share: float) -> None:
    paper = Paper(width, per_s, gap, 7.25)
    column = share * (width - 1)
    time_s = paper.time_at(column, beam)
    if time_s is None:
        return
    found = paper.place(time_s, beam)
    absolute = (time_s - 7.25) * per_s
    if absolute + width > beam + gap + 1e-6:
        assert found is not None and min(abs(found - column), width - abs(found - column)) < 1e-5
    assert paper.place(time_s - width / per_s - 1e-6, beam) is None, "written over"
    assert paper.place((beam + 1.0) / per_s + 7.25, beam) is None, "to come"
    inside = (beam - width + gap / 2) / per_s + 7.25
    assert paper.place(inside, beam) is None, "in the erase gap"
