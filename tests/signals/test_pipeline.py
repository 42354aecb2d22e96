"""The pipeline of one bed: windows at their times, what they carry, and what makes a channel absent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.errors import BadInput
from models.signals.pipeline import BedPipeline, Chunk
from models.signals.resample import resample
from models.signals.windows import CONTEXT_FIELDS, WindowSpec
from tests.signals.bed import (
    RATES,
    SECOND,
    SPEC,
    Collected,
    M,
    assert_all_same,
    bed_waves,
    chunks_between,
    stream,
)

# ---------------------------------------------------------------- what a window is


def test_windows_carry_the_grid_of_their_seconds() -> None:
    waves = bed_waves(20)
    found = stream(waves, 20, 0.05)
    assert [w.end_s for w in found.windows] == list(range(1, 21))
    assert [c.second for c in found.cells] == list(range(20))
    whole = {m: resample(waves[m], RATES[m])[1] for m in SPEC.modalities}
    for window in found.windows:
        assert window.signals.shape == (4, 1200) and window.signals.dtype == np.float32
        assert window.presence.shape == (4, 4) and window.cells.shape == (4, 12)
        assert window.context.shape == (4, len(CONTEXT_FIELDS)) and window.context.dtype == np.float32
        missing = max(1200 - window.end_s * 100, 0)
        assert np.isnan(window.signals[:, :missing]).all() and not window.cells[:, : missing // 100].any()
        assert window.cells[:, missing // 100 :].all()
        for row, modality in enumerate(SPEC.modalities):
            expected = whole[modality][max(window.end_s * 100 - 1200, 0) : window.end_s * 100]
            assert window.signals[row, missing : missing + len(expected)].tobytes() == expected.tobytes()
        np.testing.assert_array_equal(window.presence, window.cells.reshape(4, 4, 3).all(axis=2))


def test_window_closes_in_the_tick_that_brings_its_look_ahead() -> None:
    found = stream(bed_waves(10), 10, 0.05)
    for end_s in range(1, 10):
        assert found.closed_at[end_s] == end_s * 20  # the tick [T, T + 50 ms)


def test_missing_channel_delays_a_window_by_one_tick_only_until_it_is_known_silent() -> None:
    waves = bed_waves(12)
    waves[M.PPG] = waves[M.PPG][: int(5.5 * RATES[M.PPG])]
    found = stream(waves, 12, 0.05)
    assert found.closed_at[5] == 100 and found.closed_at[6] == 121 and found.closed_at[7] == 141
    assert [found.closed_at[t] for t in (8, 9, 10, 11)] == [160, 180, 200, 220]


def test_hop_of_several_seconds() -> None:
    pipeline = BedPipeline(WindowSpec(frame_s=3, frames=4, hop_s=3), list(RATES))
    output = pipeline.push(chunks_between(bed_waves(20), 0, 20), 0, 20 * SECOND)
    assert [w.end_s for w in output.windows] == [3, 6, 9, 12, 15, 18]
    assert [c.second for c in output.cells] == list(range(19))


def test_start_in_the_middle_of_a_recording_is_only_more_absent() -> None:
    waves = bed_waves(40)
    pipeline = BedPipeline(SPEC, list(waves))
    found = Collected.empty()
    for k in range(20):
        a = 20.5 + k
        found.add(pipeline.push(chunks_between(waves, a, a + 1), round(a * 1e9), round((a + 1) * 1e9)), k)
    found.add(pipeline.finish(40 * SECOND), -1)
    assert [w.end_s for w in found.windows] == list(range(22, 41))
    assert [c.second for c in found.cells] == list(range(20, 40))
    assert set(found.cells[0].absence.values()) == {Absence.NO_DATA}
    whole = stream(waves, 40, 1.0)
    for a, b in zip(found.windows[-5:], whole.windows[-5:], strict=True):
        assert a.signals.tobytes() == b.signals.tobytes() and a.presence.tobytes() == b.presence.tobytes()


def test_windows_stop_after_a_whole_window_without_data_and_begin_again() -> None:
    waves = bed_waves(60)
    for wave, rate in zip(waves.values(), (RATES[m] for m in waves), strict=True):
        wave[int(10 * rate) : int(40 * rate)] = np.nan
    found = stream(waves, 60, 0.5)
    assert [w.end_s for w in found.windows] == [*range(1, 22), *range(41, 61)]
    assert len(found.cells) == 60


def test_no_channel_gives_no_window_and_no_crash() -> None:
    pipeline = BedPipeline(SPEC, [])
    output = pipeline.push([], 0, 5 * SECOND)
    assert output.windows == [] and [c.second for c in output.cells] == list(range(5))
    assert set(output.states.values()) == {Absence.NOT_CONNECTED}


def test_unconnected_modality_is_not_connected_until_it_appears() -> None:
    waves = bed_waves(20)
    late = {m: w for m, w in waves.items() if m in (M.ECG, M.PPG)}
    pipeline = BedPipeline(SPEC, [M.ECG])
    first = pipeline.push(chunks_between({M.ECG: waves[M.ECG]}, 0, 10), 0, 10 * SECOND)
    assert first.states[M.PPG] is first.cells[3].absence[M.PPG] is Absence.NOT_CONNECTED
    assert M.RESP not in first.states
    second = pipeline.push(chunks_between(late, 10, 20), 10 * SECOND, 20 * SECOND)
    assert second.states[M.PPG] is None and second.cells[-1].absence[M.PPG] is None


def test_respiration_is_resampled_and_judged_but_no_row() -> None:
    pipeline = BedPipeline(SPEC, list(RATES))
    waves = bed_waves(20)
    output = pipeline.push(chunks_between(waves, 0, 20), 0, 20 * SECOND)
    assert output.windows[-1].signals.shape[0] == 4
    assert output.cells[-1].absence[M.RESP] is None and output.states[M.RESP] is None
    expected = resample(waves[M.RESP], RATES[M.RESP])[1][500:1500]
    assert pipeline.grid(M.RESP, 500, 1500).tobytes() == expected.tobytes()


def test_grid_is_a_copy_bounded_to_what_was_closed() -> None:
    pipeline = BedPipeline(SPEC, list(RATES))
    waves = bed_waves(120)
    for k in range(120):
        pipeline.push(chunks_between(waves, k, k + 1), k * SECOND, (k + 1) * SECOND)
    last = pipeline.grid(M.ABP, 119 * 100 - 7000, 119 * 100)
    assert np.isfinite(last).all()
    last[:] = 0.0
    assert (pipeline.grid(M.ABP, 11_000, 11_010) > 30).all()
    assert np.isnan(pipeline.grid(M.ABP, 12_000, 12_010)).all()
    assert np.isnan(pipeline.grid(M.RESP, 0, 10)).all()
    assert len(BedPipeline(SPEC, []).grid(M.ECG, 5, 25)) == 20


# ---------------------------------------------------------------- withheld, gaps


def test_withheld_channel_is_absent_with_that_reason_and_its_truth_is_not_used() -> None:
    waves = bed_waves(30)
    pipeline = BedPipeline(SPEC, list(waves))
    found, states = Collected.empty(), {}
    for k in range(600):
        a, b = k * 0.05, (k + 1) * 0.05
        chunks = chunks_between(waves, a, b)
        if 8.0 <= a < 18.0:
            chunks = [replace(c, withheld=c.modality is M.ABP) for c in chunks]
        output = pipeline.push(chunks, round(a * 1e9), round(b * 1e9))
        found.add(output, k)
        states[round(b, 2)] = output.states[M.ABP]
    reasons = [c.absence[M.ABP] for c in found.cells]
    assert reasons[8:18] == [Absence.WITHHELD] * 10
    assert not any(reasons[:8]) and not any(reasons[18:])
    assert states[8.0] is None and states[8.05] is Absence.WITHHELD and states[18.05] is None
    at_18 = next(w for w in found.windows if w.end_s == 18)
    assert np.isnan(at_18.signals[1, 201:]).all()
    assert at_18.context[1, CONTEXT_FIELDS.index("age_s")] == 10.0
    at_19 = next(w for w in found.windows if w.end_s == 19)
    assert at_19.context[1, CONTEXT_FIELDS.index("age_s")] == 0.0 and at_19.cells[1, -1]
    # A withheld window closes no later than another: its samples did arrive.
    assert found.closed_at[15] == 300


def test_vanished_channel_leaves_the_measured_state_and_comes_back_at_once() -> None:
    waves = bed_waves(20)
    pipeline = BedPipeline(SPEC, list(waves))
    seen = {}
    for k in range(400):
        a, b = k * 0.05, (k + 1) * 0.05
        chunks = [c for c in chunks_between(waves, a, b) if not (c.modality is M.ECG and 6.0 <= a < 12.0)]
        seen[round(b, 2)] = pipeline.push(chunks, round(a * 1e9), round(b * 1e9)).states[M.ECG]
    lost = [t for t, state in seen.items() if state is Absence.NO_DATA]
    assert 6.4 <= lost[0] <= 6.6 and lost[-1] == 12.0 and len(lost) == round((12.0 - lost[0]) / 0.05) + 1
    assert seen[12.05] is None


def test_gap_is_never_bridged() -> None:
    waves = bed_waves(20)
    waves[M.ABP][1000:1100] = np.nan  # 8.0 … 8.8 s
    found = stream(waves, 20, 1.0)
    row = found.windows[-1].signals[1]
    gap = row[(801 - 800) : (879 - 800)]  # the window begins at 8 s
    assert np.isnan(gap).all()
    assert found.cells[8].absence[M.ABP] is Absence.NO_DATA
    assert not found.windows[-1].presence[1, 0] and found.windows[-1].presence[1, 1:].all()


# ---------------------------------------------------------------- epochs and bad input


def test_new_epoch_keeps_nothing_but_the_counters() -> None:
    waves = bed_waves(30)
    pipeline = BedPipeline(SPEC, list(waves))
    again = chunks_between(waves, 3, 4)
    pipeline.push([*chunks_between(waves, 0, 30), *again], 0, 30 * SECOND)
    duplicates = pipeline.duplicate_samples
    assert duplicates == sum(len(c.values) for c in again)
    pipeline.reset()
    assert pipeline.duplicate_samples == duplicates
    found, fresh = Collected.empty(), BedPipeline(SPEC, list(waves))
    expected = Collected.empty()
    for k in range(10, 20):
        chunks = chunks_between(waves, k, k + 1)
        found.add(pipeline.push(chunks, k * SECOND, (k + 1) * SECOND), k)
        expected.add(fresh.push(chunks, k * SECOND, (k + 1) * SECOND), k)
    assert_all_same(found, expected)


@pytest.mark.parametrize("jump_s", (-100_000, -60, -3, 13, 3599, 200_000, 2**61 // SECOND))
def test_clock_jump_begins_anew_in_either_direction(jump_s: int) -> None:
    waves = bed_waves(14)
    pipeline, fresh = BedPipeline(SPEC, list(waves)), BedPipeline(SPEC, list(waves))
    pipeline.push(chunks_between(waves, 0, 10), 0, 10 * SECOND)
    at = 10 + jump_s
    found, expected = Collected.empty(), Collected.empty()
    for k in range(6):
        chunks = [replace(c, origin_ns=at * SECOND) for c in chunks_between(waves, k, k + 1)]
        found.add(pipeline.push(chunks, (at + k) * SECOND, (at + k + 1) * SECOND), k)
        expected.add(fresh.push(chunks, (at + k) * SECOND, (at + k + 1) * SECOND), k)
    assert [c.second for c in found.cells] == [at + s for s in range(5)]
    assert_all_same(found, expected)
    assert pipeline.late_samples == pipeline.early_samples == 0


def test_a_gap_of_less_than_a_window_is_a_gap() -> None:
    waves = bed_waves(40)
    pipeline, found = BedPipeline(SPEC, list(waves)), Collected.empty()
    for k in [*range(10), *range(22, 40)]:
        found.add(pipeline.push(chunks_between(waves, k, k + 1), k * SECOND, (k + 1) * SECOND), k)
    assert [c.second for c in found.cells] == list(range(39))
    assert found.cells[15].absence[M.ECG] is Absence.NO_DATA
    ages = {w.end_s: w.context[0, CONTEXT_FIELDS.index("age_s")] for w in found.windows}
    assert ages[21] == 11.0 and ages[24] == 0.0


@pytest.mark.parametrize("end_s", (10, 15, 10_000, 2**61 // SECOND, -500))
def test_the_end_works_off_no_absurd_time(end_s: int) -> None:
    waves = bed_waves(10)
    pipeline = BedPipeline(SPEC, list(waves))
    before = pipeline.push(chunks_between(waves, 0, 10), 0, 10 * SECOND).cells
    after = pipeline.finish(end_s * SECOND).cells
    assert len(before) + len(after) == (15 if end_s == 15 else 10)


def test_push_without_duration_takes_what_it_brings() -> None:
    waves = bed_waves(5)
    pipeline = BedPipeline(SPEC, list(waves))
    pipeline.push([], 0, 4 * SECOND)
    pipeline.push(chunks_between(waves, 3, 4), 4 * SECOND, 4 * SECOND)
    output = pipeline.finish(4 * SECOND)
    assert output.cells[-1].second == 3 and output.cells[-1].absence[M.ECG] is None


@pytest.mark.parametrize("rate", (0.0, float("nan"), -1.0))
def test_unusable_rate_is_bad_input(rate: float) -> None:
    pipeline = BedPipeline(SPEC, [M.ECG])
    with pytest.raises(BadInput, match="sampling rate"):
        pipeline.push([Chunk(M.ECG, rate, 0, 0, np.ones(5, np.float32))], 0, SECOND)


def test_model_off_the_grid_is_bad_input() -> None:
    with pytest.raises(BadInput, match="100 Hz"):
        BedPipeline(WindowSpec(rate_hz=128), [])


def test_whole_frames_of_infinities_are_missing_not_measured() -> None:
    waves = bed_waves(10)
    waves[M.ABP][500:700] = np.inf
    found = stream(waves, 10, 1.0)
    assert found.cells[4].absence[M.ABP] is Absence.NO_DATA


# ---------------------------------------------------------------- the real operation


@pytest.mark.recordings
def test_operation_is_present_but_for_its_gap_and_its_artefacts(recordings: Path) -> None:
    """Ten minutes with the flush near 605 s, pushed in one-second and in 8-s pieces."""
    from models.signals.channels import map_channels
    from models.signals.readers.opener import open_recording

    channels = map_channels(open_recording(str(recordings / "vital" / "surgery1.vital")))
    wanted = [m for m in channels.channels if m in SPEC.modalities]
    found = []
    for step in (1, 8):
        pipeline = BedPipeline(WindowSpec(), wanted)
        collected = Collected.empty()
        for a in range(300, 700, step):
            chunks = []
            for modality in wanted:
                channel = channels.channels[modality]
                segment = channels.read(modality, a * SECOND, (a + step) * SECOND)
                chunks.append(Chunk(modality, channel.rate_hz, channel.origin_ns, segment.first_index, segment.values))
            collected.add(pipeline.push(chunks, a * SECOND, (a + step) * SECOND), a)
        collected.add(pipeline.finish(700 * SECOND), -1)
        found.append(collected)
    assert_all_same(found[0], found[1])
    cells = found[0].cells
    assert len(cells) == 400
    for modality in wanted:
        absent = [c.second for c in cells if c.absence[modality] is not None]
        assert len(absent) <= 4, (modality, absent)
    assert cells[305].absence[M.ABP] is Absence.ARTEFACT  # 605 s
    last = found[0].windows[-1]
    assert last.context[1, 0] == pytest.approx(61.0, abs=5.0)  # MAP
    assert 0.55 < last.context[2, CONTEXT_FIELDS.index("own_delay_s")] < 0.65
    assert last.context[1, CONTEXT_FIELDS.index("delay_slope")] < 0.0
