"""The cell rule: 40 ms, reasons, frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.signals.absence import Absence
from models.signals.modalities import Modality
from models.signals.presence import LOOK_BACK_SAMPLES, cell_verdict, frame_presence
from models.signals.quality import Verdict, find_beats
from tests.signals.waves import beat_times, pulse


def grid() -> np.ndarray:
    return pulse(beat_times(70, 10), 10, 60.0, 110.0).astype(np.float32)


@given(positions=st.sets(st.integers(900, 999), max_size=20), withheld=st.booleans())
def test_more_than_forty_milliseconds_missing_is_absent(positions: set[int], withheld: bool) -> None:
    values = grid()
    values[sorted(positions)] = np.nan
    found = cell_verdict(Modality.ABP, values, find_beats(Modality.ABP, values), withheld)
    assert found.readable == (len(positions) <= 4)
    expected = Absence.WITHHELD if withheld else Absence.NO_DATA
    assert found.absence == (expected if len(positions) > 4 else None)


def test_what_lies_before_the_cell_may_be_missing() -> None:
    values = grid()
    values[:900] = np.nan
    assert cell_verdict(Modality.ABP, values, find_beats(Modality.ABP, values)).readable


@pytest.mark.parametrize("modality", list(Modality))
def test_nothing_at_all_is_no_data(modality: Modality) -> None:
    empty = np.full(LOOK_BACK_SAMPLES, np.nan, np.float32)
    assert cell_verdict(modality, empty, find_beats(modality, empty)) == Verdict(Absence.NO_DATA)


@given(cells=arrays(np.bool_, (4, 30)))
def test_frame_is_present_iff_its_cells_are(cells: np.ndarray) -> None:
    frames = frame_presence(cells, 3)
    assert frames.shape == (4, 10) and frames.dtype == np.bool_
    for m in range(4):
        for n in range(10):
            assert frames[m, n] == (cells[m, 3 * n] and cells[m, 3 * n + 1] and cells[m, 3 * n + 2])
