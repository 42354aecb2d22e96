"""Losses told afterwards: they must equal what the live pipeline would have given."""

from __future__ import annotations

import numpy as np

from models.data.missingness import NEVER, LossPlan, draw_ages, lose, ragged
from models.data.simulator import simulate_patient
from models.data.windows import cut_windows, push_recording
from models.signals.channels import map_channels
from models.signals.modalities import SLEEP_CHANNELS, Modality
from models.signals.pipeline import BedPipeline, Chunk
from models.signals.times import SECOND_NS
from models.signals.windows import CONTEXT_FIELDS, WindowSpec

SPEC = WindowSpec()
C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
ROW = {m: i for i, m in enumerate(SPEC.modalities)}
SECONDS = 150


def recorded():
    patient = simulate_patient(7, scenario="stable", duration_s=SECONDS, faults=False)
    channels = map_channels(patient)
    windows = {w.end_s: w for w in cut_windows(channels, SPEC, end_s=SECONDS)}
    history = np.full((1, SECONDS + 1, 4, len(CONTEXT_FIELDS)), np.nan, np.float32)
    for end_s, window in windows.items():
        history[0, end_s] = window.context
    return channels, windows, history


def live_with_loss(channels, lost_at: dict[Modality, float]) -> dict[int, object]:
    """The same recording through the live pipeline, channels falling silent for good."""
    pipeline = BedPipeline(SPEC, SPEC.modalities)
    windows = {}
    for second in range(SECONDS):
        start, end = second * SECOND_NS, (second + 1) * SECOND_NS
        chunks = []
        for modality in SPEC.modalities:
            if second >= lost_at.get(modality, np.inf):
                continue
            segment, channel = channels.read(modality, start, end), channels.channels[modality]
            chunks.append(Chunk(modality, channel.rate_hz, channel.origin_ns, segment.first_index, segment.values))
        windows |= {w.end_s: w for w in pipeline.push(chunks, start, end).windows}
    return windows | {w.end_s: w for w in pipeline.finish(SECONDS * SECOND_NS).windows}


def test_a_loss_told_afterwards_equals_the_loss_lived():
    channels, windows, history = recorded()
    end_s, lost_at = 140, {Modality.ABP: 100, Modality.PPG: 120}
    live = live_with_loss(channels, lost_at)[end_s]
    ages = np.array([[end_s - lost_at.get(m, end_s) for m in SPEC.modalities]], float)
    natural = windows[end_s]
    # The last grid samples of a lost channel lack their look-ahead, so its last cell is absent: one second more.
    ages[ages > 0] += live.context[ROW[Modality.ABP], C["age_s"]] - 40
    presence, context = lose(
        natural.presence[None], history, np.array([0]), np.array([end_s]), ages, SPEC.frame_s, SPEC.modalities
    )
    np.testing.assert_array_equal(presence[0], live.presence)
    exact = [C[f] for f in CONTEXT_FIELDS if f not in ("own_delay_s", "ppg_delay_s", "delay_slope")]
    np.testing.assert_array_equal(context[0][:, exact], live.context[:, exact])
    np.testing.assert_allclose(context[0], live.context, atol=0.02, rtol=0.02)


def test_never_is_unknown_and_before_the_start_too():
    _, windows, history = recorded()
    natural = windows[60]
    ages = np.zeros((2, 4))
    ages[0, ROW[Modality.ABP]], ages[1, ROW[Modality.PPG]] = NEVER, 90.0
    presence, context = lose(
        np.stack([natural.presence] * 2), history, np.zeros(2, int), np.array([60, 60]), ages, 3, SPEC.modalities
    )
    assert np.isnan(context[0, ROW[Modality.ABP]]).all() and not presence[0, ROW[Modality.ABP]].any()
    assert np.isnan(context[1, ROW[Modality.PPG]]).all() and not presence[1, ROW[Modality.PPG]].any()
    assert np.isfinite(context[0, ROW[Modality.ECG], C["level"]])


def test_without_a_loss_nothing_changes():
    _, windows, history = recorded()
    natural = windows[100]
    presence, context = lose(
        natural.presence[None], history, np.array([0]), np.array([100]), np.zeros((1, 4)), 3, SPEC.modalities
    )
    np.testing.assert_array_equal(presence[0], natural.presence)
    np.testing.assert_array_equal(context[0], natural.context)


def test_every_subset_and_age_is_drawn():
    rng = np.random.default_rng(0)
    plan = LossPlan(complete=0.0, subset=1.0, recent=0.0, ragged=0.0)
    ages, is_ragged = draw_ages(rng, 6000, 4, plan)
    lost = ages > 0
    codes, counts = np.unique((lost * (1 << np.arange(4))).sum(1), return_counts=True)
    assert set(codes) == set(range(1, 15)) and counts.min() > 0.7 * counts.max()  # never all, never none
    finite = ages[np.isfinite(ages) & lost]
    assert finite.min() >= 30 and finite.max() <= 1800
    assert 0.1 < np.isinf(ages[lost]).mean() < 0.2
    assert not is_ragged.any()
    assert (ages == np.round(ages))[np.isfinite(ages)].all()


def test_ragged_frames_spare_the_newest():
    presence = np.ones((50, 4, 10), bool)
    out = ragged(np.random.default_rng(0), presence)
    assert out[..., -1].all() and not out.all() and presence.all()


def test_training_and_stream_cut_the_same_windows_bit_for_bit():
    """8-s pushes of the training path against live 50-ms ticks, faults and all."""
    patient = simulate_patient(12, duration_s=75, faults=True)
    channels = map_channels(patient)

    def windows(push_s: float):
        pipeline = BedPipeline(SPEC, SPEC.modalities)
        return [w for output in push_recording(pipeline, channels, push_s) for w in output.windows]

    trained, streamed = windows(8.0), windows(0.05)
    assert [w.end_s for w in trained] == [w.end_s for w in streamed] and len(trained) > 60
    for a, b in zip(trained, streamed, strict=True):
        for name in ("signals", "presence", "cells", "context"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=f"{name} at {a.end_s}")


def test_rows_without_pulse_delays_can_be_lost_too() -> None:
    """Leads of a polysomnogram, frames of 4 s that begin every second."""
    presence = np.ones((2, 3, 27), np.bool_)
    history = np.full((1, 1, 3, len(CONTEXT_FIELDS)), np.nan, np.float32)
    ages = np.array([[0.0, 3.0, np.inf], [26.0, 0.0, 30.0]])
    kept, context = lose(
        presence, history, np.zeros(2, np.intp), np.array([30, 60], np.int64), ages, 1, SLEEP_CHANNELS
    )  # a frame is lost if it ends after the loss, and not if it ends with it
    assert kept.sum(-1).tolist() == [[27, 24, 0], [1, 27, 0]]
    assert kept[0, 1, 23] and not kept[0, 1, 24]
    assert np.isnan(context).all()
