"""Restored waves: beats found in the graph, and shapes that stay near their pressures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.networks.waves import WAVE_MODALITIES, PressureWave, beats, pulse_seen, unit_shape
from models.physiome import PhysioME
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.windows import CONTEXT_FIELDS
from models.sizes import SIZES

ABP, PPG, ECG = (WAVE_MODALITIES.index(m) for m in (Modality.ABP, Modality.PPG, Modality.ECG))
TIMES = np.arange(0.5, 29.5, 0.83)


def sources(gain: float = 1.0) -> torch.Tensor:
    """ABP and PPG rise at TIMES + 0.2 and + 0.4 s, the ECG has a QRS of 80 ms and a tall T wave; [1, 3, 3000]."""
    t = np.arange(3000) / 100
    since = t[:, None] - TIMES[None]
    rows: dict[int, np.ndarray] = {
        ABP: pulse(since - 0.2),
        PPG: pulse(since - 0.4),
        ECG: np.exp(-((since / 0.02) ** 2)).sum(1) + 0.5 * np.exp(-(((since - 0.3) / 0.08) ** 2)).sum(1),
    }
    return gain * torch.tensor(np.stack([rows[i] for i in range(3)])[None], dtype=torch.float32)


def pulse(since: np.ndarray) -> np.ndarray:
    """A rise at 0 (σ 30 ms) and a decay, a column a beat; summed over beats."""
    rise = 1 / (1 + np.exp(-np.clip(since, -1, 1) / 0.03))
    return (rise * np.exp(-np.clip(since, 0, None) / 0.35) * (since > -0.3)).sum(1)


def positions(impulses: torch.Tensor) -> np.ndarray:
    x = impulses.numpy()
    return np.flatnonzero((x[1:-1] > 0.9) & (x[1:-1] >= x[:-2]) & (x[1:-1] > x[2:])) + 1


@pytest.mark.parametrize("gain", [0.05, 1.0, 20.0, -1.0])
def test_each_beat_has_one_impulse_whatever_the_gain(gain: float) -> None:
    found = beats(sources(gain), torch.ones(1, 3, 3000))[0]
    rows = ((ECG, 0.0),) if gain < 0 else ((ECG, 0.0), (ABP, 0.2), (PPG, 0.4))  # an ECG may be the other way round
    for row, delay in rows:
        at = positions(found[row]) / 100
        expected = (TIMES + delay)[TIMES + delay < 29.8]
        assert len(at) == len(expected)
        assert np.abs(at - expected).max() <= 0.03


def test_no_impulse_in_or_beside_an_absent_stretch() -> None:
    x, present = sources() + 3.0, torch.ones(1, 3, 3000)
    present[..., 900:1500] = 0
    found = beats(torch.where(present > 0, x, torch.zeros_like(x)), present)
    assert (found[..., 906:1494] == 0).all()  # 10 samples of spread from 50 ms outside at most
    assert (beats(torch.zeros_like(x), torch.zeros_like(present)) == 0).all()


def test_a_silent_channel_has_no_beats() -> None:
    assert (beats(torch.full((1, 3, 3000), 0.7), torch.ones(1, 3, 3000)) == 0).all()


def test_a_wave_stays_near_its_pressures() -> None:
    """One beat out of shape must not be drawn far above the systolic number beside it."""
    raw = torch.sin(torch.arange(3000) * 0.08)[None]
    raw[:, 1500:1510] += 8.0
    shape = unit_shape(raw, 10)
    assert shape.max() <= 0.9
    assert shape.min() >= -0.65


def test_frames_without_a_pulse_source_do_not_size_the_wave() -> None:
    """Only the last two of ten frames were seen; the wave is drawn in them as large as if all had been seen."""
    full = (0.4 * torch.sin(torch.arange(3000) * 0.0831) + 1.5)[None]
    few = torch.where(torch.arange(3000) >= 2400, full, torch.full_like(full, -0.7))
    seen = torch.zeros(1, 10, dtype=torch.bool)
    seen[:, 8:] = True
    mean, pulse = torch.full((1, 10), 82.0), torch.full((1, 10), 48.0)
    compose, every = PressureWave(10, 3000), torch.ones(1, 10, dtype=torch.bool)
    expected, found = compose(full, mean, pulse, every)[:, 2400:], compose(few, mean, pulse, seen)[:, 2400:]
    assert torch.allclose(found, expected, atol=1.0)
    assert float((found - found.mean()).abs().max()) < 30.0
    assert (compose(few, mean, pulse, every)[:, 2400:] - expected).abs().max() > 10.0  # what it was: far too large


def test_no_source_at_all_gives_a_finite_wave() -> None:
    raw, none = torch.randn(2, 3000), torch.zeros(2, 10, dtype=torch.bool)
    assert torch.equal(unit_shape(raw, 10, none), unit_shape(raw, 10))
    assert torch.isfinite(unit_shape(torch.zeros(2, 3000), 10, none)).all()


def test_without_a_source_in_what_is_drawn_the_pressure_is_flat() -> None:
    """A pulse that no sensor tells is not drawn, however large the number; frames before those drawn tell none."""
    compose = PressureWave(10, 3000)
    raw, mean, pulse = torch.randn(2, 900), torch.linspace(70.0, 90.0, 10).repeat(2, 1), torch.full((2, 10), 48.0)
    seen = torch.zeros(2, 10, dtype=torch.bool)
    seen[0, :7] = True  # of the window, but of none of the three frames drawn
    flat = compose(raw, mean, pulse, seen)
    level = compose(torch.zeros_like(raw), mean, torch.zeros_like(pulse), torch.ones_like(seen))
    assert torch.allclose(flat, level, atol=1e-4)
    assert torch.equal(flat, compose(100.0 * raw, mean, pulse, seen))
    seen[1, 9] = True
    both = compose(raw, mean, pulse, seen)
    assert torch.equal(both[0], flat[0])
    assert float((both[1] - flat[1]).abs().max()) > 10.0


def test_any_pulse_source_counts_and_an_eeg_does_not() -> None:
    order = (Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG)
    presence = torch.zeros(1, 4, 5, dtype=torch.bool)
    presence[0, [0, 1, 2, 3], [0, 1, 2, 3]] = True
    assert pulse_seen(presence, order).tolist() == [[True, True, True, False, False]]


@pytest.mark.parametrize("frames", [1, 2, 3, 99])
def test_the_newest_frames_alone_are_drawn_as_in_the_whole(frames: int) -> None:
    """What a monitor has drawn is the end of the whole wave, raw sample by raw sample; a pressure wave is sized over
    the frames drawn, and no other output moves."""
    torch.manual_seed(2)
    model = PhysioME(SIZES["ci"]).eval()
    c = model.config
    drawn = min(frames, c.frames) * c.frame_samples
    signals = torch.randn(3, 4, c.samples) * torch.tensor([1.0, 20.0, 1.0, 30.0])[:, None]
    presence = torch.rand(3, 4, c.frames) > 0.2
    context = torch.randn(3, 4, len(CONTEXT_FIELDS)).abs()
    with torch.no_grad():
        whole = model(signals, presence, context)
        cut = model(signals, presence, context, wave_frames=frames)
    waves = {name for name in whole if "wave" in name or name.startswith("raw_")}
    assert len(waves) == 6
    for name in waves - {"abp_wave"}:
        assert cut[name].shape == (3, drawn)
        assert torch.allclose(cut[name], whole[name][:, -drawn:], atol=1e-5), name
    for name in whole.keys() - waves:
        assert torch.equal(cut[name], whole[name])
    mean, size = whole["pressure_frames"][:, -1, 0, 1], whole["pressure_frames"][:, -1, 1:, 1]
    shape = unit_shape(cut["raw_abp"], drawn // c.frame_samples, pulse_seen(presence, MODEL_MODALITIES)[:, -frames:])
    newest = mean + (size[:, 0] - size[:, 1]) * shape[:, -1]
    assert torch.allclose(cut["abp_wave"][:, -1], newest, atol=1e-3)
