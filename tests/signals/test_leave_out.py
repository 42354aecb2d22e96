"""A window without a sensor is the window of a bed that really lost it when the window began."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.context import KEPT_S
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.leave_out import WindowPast, findings_without
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline
from models.signals.windows import CONTEXT_FIELDS, Window
from tests.signals.bed import RATES, SPEC, bed_waves, chunks_between

M = Modality
SECONDS = 64
PULLED_S = 0.5  # after the window began: the second before is whole, and the window has no whole one any more
_waves = bed_waves(SECONDS, seed=5)
_level = CONTEXT_FIELDS.index("level")


def run(
    waves: dict[Modality, np.ndarray], end_s: int, lost: Modality | None = None, from_s: float = 0.0
) -> tuple[BedPipeline, Window | None]:
    """The window that ends at ``end_s``, of a bed whose operator withholds ``lost`` from ``from_s`` on."""
    pipeline, last = BedPipeline(SPEC, list(waves)), None
    for half in range(2 * end_s + 2):
        start = half / 2
        chunks = [
            replace(c, withheld=c.modality is lost and start >= from_s)
            for c in chunks_between(waves, start, start + 0.5)
        ]
        for window in pipeline.push(chunks, round(start * 1e9), round((start + 0.5) * 1e9)).windows:
            if window.end_s == end_s:
                return pipeline, window
    return pipeline, last


def past_of(waves: dict[Modality, np.ndarray], end_s: int) -> WindowPast:
    pipeline, window = run(waves, end_s)
    assert window is not None
    return pipeline.past(window)


def assert_lost(found: Window | None, expected: Window | None) -> None:
    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    assert np.array_equal(found.cells, expected.cells) and np.array_equal(found.presence, expected.presence)
    assert found.context.tobytes() == expected.context.tobytes()
    assert (found.end_s, found.newest, found.findings) == (expected.end_s, expected.newest, expected.findings)
    read = np.repeat(expected.cells, 100, axis=1)
    assert np.array_equal(found.signals[read], expected.signals[read], equal_nan=True)


@pytest.mark.parametrize(
    ("end_s", "gaps"),
    [
        (36, []),
        (14, []),  # it began two seconds before
        (36, [(M.ABP, 22, 40)]),  # lost before the window
        (36, [(M.ABP, 31, 40), (M.EEG, 8, 21)]),  # lost within the window
        (36, [(M.PPG, 18, 10), (M.ECG, 26, 3)]),  # another pulse is told when it is back
        (36, [(m, 4, 21) for m in SPEC.modalities]),  # back since a moment ago
    ],
)
def test_it_is_the_window_of_a_bed_that_lost_the_sensor(end_s: int, gaps: list[tuple[Modality, int, int]]) -> None:
    waves = {m: w.copy() for m, w in _waves.items()}
    for modality, start, length in gaps:
        waves[modality][int(start * RATES[modality]) : int((start + length) * RATES[modality])] = np.nan
    past = past_of(waves, end_s)
    for lost in SPEC.modalities:
        _, real = run(waves, end_s, lost, past.began_s + PULLED_S)
        found = past.without(lost)
        if real is not None and real.newest[lost] is not Absence.WITHHELD:  # nothing came that could be withheld
            real = replace(real, newest={**real.newest, lost: Absence.WITHHELD})
        assert_lost(found, real)


def test_the_older_seconds_of_a_sensor_that_is_pulled_now_are_still_there() -> None:
    past = past_of(_waves, 40)
    _, just_pulled = run(_waves, 40, M.ABP, 38.5)
    found = past.without(M.ABP)
    assert found is not None and just_pulled is not None
    row = SPEC.modalities.index(M.ABP)
    assert not found.cells[row].any() and just_pulled.cells[row].sum() == SPEC.window_s - 2
    assert found.context[row, _level] != just_pulled.context[row, _level]


def test_the_only_sensor_leaves_no_window() -> None:
    past = past_of({M.EEG: _waves[M.EEG]}, 40)
    assert past.without(M.EEG) is None and past.measures(M.EEG) and not past.measures(M.ABP)


def test_bad_news_of_the_sensor_goes_with_it_and_that_of_others_stays() -> None:
    news = Findings(Rhythm.FIBRILLATION, {M.ABP: Pulse.NONE, M.PPG: Pulse.NONE}, frozenset({M.PPG}))
    assert findings_without(news, M.ECG) == replace(news, rhythm=Rhythm.UNKNOWN)
    assert findings_without(news, M.PPG) == Findings(Rhythm.FIBRILLATION, {M.ABP: Pulse.NONE, M.PPG: Pulse.UNKNOWN})


def test_what_another_worker_knew_is_not_told_of_a_window_that_began_before() -> None:
    pipeline, _ = run(_waves, 40)
    heir = BedPipeline(SPEC, list(_waves))
    state, last = pipeline.export(), None
    assert state is not None
    for k in range(SECONDS):
        if k == 41:
            heir.restore(state)
        output = heir.push(chunks_between(_waves, k, k + 1), k * 10**9, (k + 1) * 10**9)
        for window in output.windows:
            last = window
            known = heir.past(window).context is not None
            assert known == (window.end_s - SPEC.window_s >= state.second or window.end_s <= 40), window.end_s
    assert last is not None and SPEC.window_s <= KEPT_S
    with pytest.raises(ValueError, match="not known"):
        replace(heir.past(last), context=None).without(M.ABP)
