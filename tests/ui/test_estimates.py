"""What is drawn of an estimate: each sample with its future, once, and only what its own window vouched for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from streams.records import RestoredChunk
from ui.bed.buffers import CellRow
from ui.bed.lanes import Estimate
from ui.style.theme import default_theme

SWEEP = default_theme().sweep
RATE, AMENDS, DELAY_S = 100, 50, 0.1
FRAME_S = 0.05


def beats(index: np.ndarray) -> np.ndarray:
    """A pulse of 50 mmHg every 0.7 s."""
    return (70 + 50 * np.exp(-((((index / RATE) % 0.7 - 0.3) / 0.06) ** 2))).astype("<f4")


def hop_chunk(hop: int, amends: int = AMENDS, cut_low_s: float = 0.4) -> RestoredChunk:
    """As the model gives it: what lies in the last ``cut_low_s`` of the window has no future and is drawn low."""
    index = np.arange(hop * RATE - amends, (hop + 1) * RATE)
    values = beats(index)
    late = index >= (hop + 1 - cut_low_s) * RATE
    values[late] = 70 + 0.3 * (values[late] - 70)
    data = values.tobytes()
    return RestoredChunk("ABP", RATE, int(index[0]), data, (values - 5).tobytes(), (values + 5).tobytes(), amends)


def drawn_by(chunks: dict[int, RestoredChunk], until_s: float, delays: Sequence[float] = ()) -> tuple[Estimate, dict]:
    """Frames every 50 ms; a chunk comes ``DELAY_S`` (or its own delay) after the end of its hop. What was painted."""
    cells, estimate, painted = CellRow(600), Estimate(RATE, SWEEP), {}
    for second in range(round(until_s) + 2):
        cells.put(second, Absence.NO_DATA.value)
    extra = dict(zip(sorted(chunks), delays, strict=False))
    waiting = sorted((hop + 1 + extra.get(hop, DELAY_S), chunk) for hop, chunk in chunks.items())
    for frame in range(round(until_s / FRAME_S)):
        beam_s = frame * FRAME_S
        while waiting and waiting[0][0] <= beam_s:
            estimate.append(waiting.pop(0)[1], cells, beam_s)
        ring = estimate.line.ring
        last = min(ring.end, estimate.line.index_at(beam_s - estimate.lag_s))
        begin = max(painted, default=ring.start - 1) + 1
        values = ring.read(begin, last)
        painted.update({begin + k: float(v) for k, v in enumerate(values) if np.isfinite(v)})
    return estimate, painted


def test_no_beat_is_cut_low_where_two_hops_meet() -> None:
    _, painted = drawn_by({hop: hop_chunk(hop) for hop in range(3, 20)}, 22.0)
    index = np.array(sorted(painted))
    assert index[0] == 300 and index[-1] == 1999 and len(index) == 1700
    shown = np.array([painted[k] for k in index])
    np.testing.assert_allclose(shown[:-AMENDS], beats(index)[:-AMENDS], atol=0.01)
    _, old = drawn_by({hop: hop_chunk(hop, amends=0) for hop in range(3, 20)}, 22.0)
    before = np.array([old[k] for k in index])
    assert np.abs(before - beats(index)).max() > 25, "what it would be without the half second"


def test_it_is_drawn_half_a_second_later_than_without() -> None:
    estimate, _ = drawn_by({hop: hop_chunk(hop) for hop in range(3, 9)}, 10.0)
    plain, _ = drawn_by({hop: hop_chunk(hop, amends=0) for hop in range(3, 9)}, 10.0)
    assert estimate.lag_s - plain.lag_s == pytest.approx(0.5)
    assert 1.5 < estimate.lag_s < 1.8


def test_the_end_of_an_estimate_that_nothing_amends_is_drawn_all_the_same() -> None:
    _, painted = drawn_by({hop: hop_chunk(hop) for hop in range(3, 6)}, 12.0)
    assert max(painted) == 599


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(3, 16), min_size=1, max_size=12, unique=True),
    st.lists(st.sampled_from([0.05, 0.1, 0.4, 0.9, 1.6]), min_size=12, max_size=12),
)
def test_what_was_painted_stays_and_gaps_stay_gaps(hops: list[int], delays: list[float]) -> None:
    estimate, painted = drawn_by({hop: hop_chunk(hop) for hop in hops}, 20.0, delays)
    held = {k: float(v) for k, v in enumerate(estimate.line.ring.read(0, 1800)) if np.isfinite(v)}
    assert painted.items() <= held.items(), "revised after it was painted"
    assert {k // RATE for k in held} <= set(hops), "a window spoke for a hop that was not its own"


def test_after_a_cut_the_half_second_before_the_next_hop_stays_empty() -> None:
    cells, estimate = CellRow(600), Estimate(RATE, SWEEP)
    for second in range(20):
        cells.put(second, Absence.NO_DATA.value)
    for hop in (3, 4, 5):
        estimate.append(hop_chunk(hop), cells, hop + 1.1)
    estimate.cut(6.2)  # bad news at 6.2 s
    gone = estimate.line.index_at(6.2 - estimate.lag_s)
    estimate.append(hop_chunk(6), cells, 7.1)
    line = estimate.line.ring
    assert not np.isfinite(line.read(gone, 600)).any() and np.isfinite(line.read(600, 700)).all()
    assert np.isfinite(line.read(300, gone)).all()


def test_the_band_holds_the_line_also_where_it_was_amended() -> None:
    estimate, _ = drawn_by({hop: hop_chunk(hop) for hop in range(3, 9)}, 10.0)
    line, lo, hi = (ring.ring.read(300, 900) for ring in (estimate.line, estimate.lo, estimate.hi))
    assert (lo <= line).all() and (line <= hi).all()
