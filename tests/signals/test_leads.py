"""The lead that serves: the best usable one, without taking turns, the same however the samples came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.findings import Rhythm
from models.signals.leads import BACK_S, GOOD_S, POOR_S, LeadChoice, LeadVerdict
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Chunk
from models.signals.windows import WindowSpec
from tests.signals.waves import beat_times, ecg, pulse

ECG, ABP = Modality.ECG, Modality.ABP
SPEC = WindowSpec(frame_s=3, frames=4)
BEATS = LeadVerdict(None, Rhythm.BEATS, 0.5)
LATE = LeadVerdict(None, Rhythm.BEATS, 3.5)  # its last beat lies long ago: about to be still
STILL = LeadVerdict(None, Rhythm.STILL)
FLAT = LeadVerdict(Absence.FLAT, Rhythm.STILL)
OFF = LeadVerdict(Absence.LEAD_OFF, Rhythm.UNKNOWN)
NOISE = LeadVerdict(Absence.ARTEFACT, Rhythm.UNKNOWN)
UNCLEAR = LeadVerdict(None, Rhythm.UNCLEAR)
VF = LeadVerdict(None, Rhythm.FIBRILLATION)
START = LeadVerdict(None, Rhythm.UNKNOWN)


def served(*stretches: tuple[int, LeadVerdict, LeadVerdict]) -> list[int]:
    """The lead that serves in each second of stretches of (seconds, what lead 0 says, what lead 1 says)."""
    choice, out = LeadChoice(16), []
    for seconds, first, second in stretches:
        for _ in range(seconds):
            out.append(choice.add(len(out), {0: first, 1: second}).lead)
    return out


@pytest.mark.parametrize("silent", [STILL, FLAT, OFF])
def test_a_silent_lead_gives_way_at_once_to_one_that_beats(silent: LeadVerdict) -> None:
    assert served((10, BEATS, BEATS), (5, silent, BEATS)) == [0] * 10 + [1] * 5


@pytest.mark.parametrize("still", [STILL, FLAT])
def test_an_asystole_is_said_by_the_lead_that_serves(still: LeadVerdict) -> None:
    assert served((10, BEATS, BEATS), (4, LATE, LATE), (60, still, still)) == [0] * 74
    # The detector sees the last beat a little longer in one lead: that is no lead that beats.
    assert served((10, BEATS, BEATS), (4, LATE, LATE), (2, still, LATE), (60, still, still)) == [0] * 76


def test_fibrillation_is_not_left_for_a_lead_that_seems_to_beat() -> None:
    assert set(served((10, BEATS, BEATS), (60, VF, BEATS))) == {0}


@pytest.mark.parametrize("poor", [NOISE, UNCLEAR])
def test_an_artefact_is_waited_out_for_a_while(poor: LeadVerdict) -> None:
    assert set(served((10, BEATS, BEATS), (POOR_S - 1, poor, BEATS), (20, BEATS, BEATS))) == {0}
    assert served((10, BEATS, BEATS), (POOR_S + 3, poor, BEATS))[-4:] == [1] * 4


def test_an_artefact_on_one_lead_hides_no_asystole_on_the_other() -> None:
    assert served((10, NOISE, BEATS), (POOR_S + 1, STILL, NOISE))[-1] == 0
    assert served((10, STILL, BEATS), (POOR_S + 1, STILL, NOISE))[-1] == 1  # it was still while the other one beat
    assert served((10, BEATS, BEATS), (20, NOISE, STILL))[-1] == 1
    assert served((10, NOISE, BEATS), (BACK_S, BEATS, BEATS), (20, NOISE, VF))[-1] == 1


def test_an_absent_lead_gives_way_to_any_that_is_measured() -> None:
    assert served((10, BEATS, STILL), (10, OFF, STILL))[-1] == 0  # refuted while lead 0 beat
    assert served((10, BEATS, BEATS), (5, OFF, STILL))[-1] == 1
    assert set(served((10, BEATS, OFF), (30, OFF, OFF))) == {0}


def test_the_preferred_lead_comes_back_when_it_has_been_good_for_long() -> None:
    lead = served((10, BEATS, BEATS), (5, OFF, BEATS), (BACK_S + 5, BEATS, BEATS))
    assert lead[10 : 15 + BACK_S - 1] == [1] * (5 + BACK_S - 1)
    assert lead[-1] == 0


def test_the_first_seconds_are_not_judged() -> None:
    assert served((3, START, START), (5, BEATS, BEATS)) == [0] * 8


verdicts = st.sampled_from([BEATS, LATE, STILL, FLAT, OFF, NOISE, UNCLEAR, VF, START])
runs = st.lists(st.tuples(st.integers(1, 20), verdicts, verdicts), min_size=1, max_size=40)


@settings(deadline=None)
@given(runs)
def test_leads_do_not_take_turns(stretches: list[tuple[int, LeadVerdict, LeadVerdict]]) -> None:
    lead = np.array(served(*stretches))
    # Back to the preferred lead only after a minute of it, or because the other one became worse than good.
    for at in np.flatnonzero(np.diff(lead)) + 1:
        was, now = lead[at - 1], lead[at]
        said = [v for n, a, b in stretches for v in [(a, b)] * n]
        good = said[at][was].beats and not said[at][was].silent
        if good:
            assert now < was and all(v[now].beats for v in said[at - BACK_S + 1 : at + 1])
        assert now == was or said[at][now].measured
        assert all(said[s][now].measured for s in range(at - GOOD_S + 1, at + 1))


@settings(deadline=None)
@given(runs, st.integers(1, 15), st.data())
def test_seconds_taken_back_and_added_again_change_nothing(
    stretches: list[tuple[int, LeadVerdict, LeadVerdict]], back: int, data: st.DataObject
) -> None:
    said = [v for n, a, b in stretches for v in [(a, b)] * n]
    once, twice = LeadChoice(16), LeadChoice(16)
    for second, (a, b) in enumerate(said):
        expected = once.add(second, {0: a, 1: b})
        assert twice.add(second, {0: a, 1: b}) == expected
        if second >= back and data.draw(st.booleans()):
            twice.forget(second - back + 1)
            for again in range(second - back + 1, second + 1):
                found = twice.add(again, {0: said[again][0], 1: said[again][1]})
            assert found == expected


# --- through the pipeline


def leads(seconds: int) -> dict[int, np.ndarray]:
    times = beat_times(72.0, seconds)
    return {
        0: ecg(times, seconds, noise=0.01).astype(np.float32),
        1: ecg(times, seconds, amplitude=0.6, polarity=-1, noise=0.01).astype(np.float32),
    }


def run(signals: dict[int, np.ndarray], seconds: int, tick_s: float, second_lead: bool = True):
    abp = pulse(beat_times(72.0, seconds) + 0.2, seconds, 60.0, 110.0).astype(np.float32)
    pipeline = BedPipeline(SPEC, [ECG, ABP])
    cells, windows, grids = [], [], {}
    step = round(tick_s * 100)
    for first in range(0, seconds * 100, step):
        part = slice(first, min(first + step, seconds * 100))
        chunks = [Chunk(ABP, 100.0, 0, first, abp[part])]
        chunks += [Chunk(ECG, 100.0, 0, first, x[part], lead=k) for k, x in signals.items() if k == 0 or second_lead]
        output = pipeline.push(chunks[::-1], first * 10_000_000, part.stop * 10_000_000)
        cells += output.cells
        windows += output.windows
        for cell in output.cells:
            lead = cell.leads[ECG].lead if ECG in cell.leads else None
            at = cell.second * 100
            grids[cell.second] = pipeline.grid(ECG, at, at + 100, lead)
    output = pipeline.finish(seconds * 1_000_000_000)
    return cells + output.cells, windows + output.windows, grids


def test_a_flat_lead_beside_a_good_one_costs_the_ecg_nothing() -> None:
    both = leads(60)
    both[0][:] = 0.0
    cells, windows, _ = run(both, 60, 1.0)
    assert all(c.absence[ECG] is None for c in cells[2:])
    assert all(c.findings.rhythm is Rhythm.BEATS for c in cells[3:])
    assert all(c.leads[ECG].lead == 1 and c.leads[ECG].absence[0] is Absence.FLAT for c in cells[5:])
    assert windows[-1].presence[SPEC.modalities.index(ECG)].all()


@pytest.mark.parametrize("fault", [0.0, np.nan, 5.0])
def test_a_window_never_holds_two_leads(fault: float) -> None:
    both = leads(80)
    both[0][3000:5000] = fault
    cells, windows, _ = run(both, 80, 1.0)
    assert {c.leads[ECG].lead for c in cells} == {0, 1}
    alone = {k: run({0: x}, 80, 1.0)[1] for k, x in both.items()}
    row = SPEC.modalities.index(ECG)
    for i, window in enumerate(windows):
        lead = cells[window.end_s - 1].leads[ECG].lead
        own = alone[lead][i]
        np.testing.assert_array_equal(window.signals[row], own.signals[row])
        np.testing.assert_array_equal(window.cells[row], own.cells[row])


def test_an_asystole_in_both_leads_is_still() -> None:
    both = leads(60)
    for x in both.values():
        x[3050:] = 0.01 * np.random.default_rng(0).standard_normal(len(x) - 3050)
    cells, _, _ = run(both, 60, 1.0)
    assert all(c.findings.rhythm is Rhythm.STILL for c in cells[36:])


@pytest.mark.parametrize("tick_s", [0.1, 0.25, 4.0, 60.0])
def test_the_choice_does_not_depend_on_how_samples_came(tick_s: float) -> None:
    both = leads(60)
    both[0][1500:3300] = 0.0
    both[1][4000:] = np.nan
    expected, windows, grids = run(both, 60, 1.0)
    found, others, other_grids = run(both, 60, tick_s)
    assert found == expected
    for a, b in zip(windows, others, strict=True):
        for name in ("signals", "presence", "cells", "context"):
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
    for second, grid in grids.items():
        if second in other_grids:
            np.testing.assert_array_equal(grid, other_grids[second])


def test_a_late_amendment_chooses_as_if_it_had_come_in_time() -> None:
    both = leads(40)
    both[0][2000:] = 0.0
    expected, _, _ = run(both, 40, 1.0)
    pipeline, cells = BedPipeline(SPEC, [ECG, ABP]), []
    abp = pulse(beat_times(72.0, 40) + 0.2, 40, 60.0, 110.0).astype(np.float32)
    for second in range(40):
        part = slice(second * 100, second * 100 + 100)
        late = slice(max(0, part.start - 100), part.stop - 100)
        chunks = [Chunk(ABP, 100.0, 0, part.start, abp[part]), Chunk(ECG, 100.0, 0, part.start, both[0][part])]
        if second:
            chunks.append(Chunk(ECG, 100.0, 0, late.start, both[1][late], lead=1))
        cells += pipeline.push(chunks, second * 10**9, (second + 1) * 10**9).cells
    assert [c.leads[ECG].lead for c in cells[30:]] == [1] * len(cells[30:])
    assert {c.second for c in cells if ECG in c.leads and c.leads[ECG].lead == 1} <= {
        c.second for c in expected if c.leads[ECG].lead == 1
    } | set(range(20, 30))


def test_one_lead_alone_is_as_before() -> None:
    cells, _, _ = run(leads(20), 20, 1.0, second_lead=False)
    assert all(not c.leads for c in cells)
