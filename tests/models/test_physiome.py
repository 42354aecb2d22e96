"""PhysioME's contract: masks, passes, gradients, scaling, risks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.imputers import HoldImputer, MaskTokenImputer, MeanImputer, OracleImputer, RestorationImputer, ZeroImputer
from models.networks.heads import HypotensionHead
from models.networks.waves import ContextDelays, PressureWave, shift, steepness, unit_shape
from models.physiome import PhysioME
from models.runtime.spec import OUTPUTS
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from tests.models.small import CI, plain_model, stacked

C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
ROW = {m: i for i, m in enumerate(CI.modalities)}


def hidden_samples(presence: torch.Tensor) -> torch.Tensor:
    return ~presence.repeat_interleave(CI.frame_samples, dim=-1)


@torch.no_grad()
def run(model: PhysioME, *inputs: torch.Tensor, **options) -> dict[str, torch.Tensor]:
    return model(*inputs, **options)


def test_outputs_have_the_contracts_shapes(small_model):
    signals, presence, context = stacked(3)
    out = run(small_model, signals, presence, context)
    b, m, n, length, d = 3, 4, CI.frames, CI.samples, CI.width
    shapes = {
        "risk": (b, 3), "risk_lo": (b, 3), "risk_hi": (b, 3), "depth": (b, 3), "pressure": (b, 3, 3),
        "abp_wave": (b, length), "ppg_wave": (b, length), "ecg_wave": (b, length), "eeg_features": (b, 7),
        "tokens": (b, m, n, d), "restored_tokens": (b, m, n, d), "fused": (b, d),
    }  # fmt: skip
    assert set(shapes) == set(OUTPUTS)
    assert {name: tuple(out[name].shape) for name in OUTPUTS} == shapes


@settings(max_examples=12, deadline=None)
@given(
    bits=st.lists(st.booleans(), min_size=4 * CI.frames, max_size=4 * CI.frames),
    fill=st.sampled_from([float("nan"), 1e30, -1e30, float("inf")]),
)
def test_content_under_the_mask_changes_no_bit(bits, fill):
    model = plain_model()
    signals, _, context = stacked(1)
    presence = torch.tensor(bits).reshape(1, 4, CI.frames)
    filled = torch.where(hidden_samples(presence), torch.tensor(fill), signals)
    a, b = run(model, signals, presence, context), run(model, filled, presence, context)
    for name in set(OUTPUTS) - {"tokens"}:
        assert torch.equal(a[name], b[name]), name
    kept = presence.unsqueeze(-1)
    assert torch.equal(torch.where(kept, a["tokens"], 0.0), torch.where(kept, b["tokens"], 0.0))


@pytest.mark.parametrize("absent", list(ROW))
def test_pass_one_equals_removing_the_modality(small_model, absent):
    """Masked slots are never keys: the observed slots come out as if the absent ones did not exist."""
    signals, presence, context = stacked(2)
    presence[:, ROW[absent]] = False
    model = small_model
    with torch.no_grad():
        scaled, _ = model.scaling(signals, presence, context)
        tokens = model.encode(model.frame_features(scaled), presence)
        _, embedded = model.context(context, presence)
        state = model.pass_one(tokens, presence, embedded)
        keep = [i for i in range(4) if i != ROW[absent]]
        adapted = model.fusion.adapt(tokens)[:, keep]
        slots = (adapted + model.fusion.positions + model.fusion.modality[:, keep]).flatten(1, 2)
        sequence = torch.cat([embedded.unsqueeze(1), slots], dim=1)
        removed = model.fusion.transformer(sequence, torch.zeros(2, 1, 1, sequence.shape[1]))
    assert torch.allclose(state.context_out, removed[:, 0], atol=1e-5)
    assert torch.allclose(state.slots[:, keep].flatten(1, 2), removed[:, 1:], atol=1e-5)


def test_absent_frames_are_no_keys_inside_an_encoder(small_model):
    signals, presence, context = stacked(1)
    presence[:, :, 2:5] = False
    with torch.no_grad():
        scaled, _ = small_model.scaling(signals, presence, context)
        features = small_model.frame_features(scaled)
        other = torch.where(presence.unsqueeze(-1), features, torch.full_like(features, 9.0))
        a, b = small_model.encode(features, presence), small_model.encode(other, presence)
    kept = presence.unsqueeze(-1).expand_as(a)
    assert torch.equal(a[kept], b[kept])
    assert not torch.equal(a[~kept], b[~kept])


def test_everything_absent_is_a_finite_prior(small_model):
    signals, presence, context = stacked(1)
    out = run(small_model, signals * float("nan"), torch.zeros_like(presence), context * float("nan"))
    assert all(bool(torch.isfinite(out[name]).all()) for name in OUTPUTS)


def test_imputed_tokens_reach_the_logits(small_model):
    signals, presence, context = stacked(1)
    presence[:, ROW[Modality.ABP]] = False
    tokens = torch.randn(1, 4, CI.frames, CI.width, generator=torch.Generator().manual_seed(1))
    a = run(small_model, signals, presence, context, imputer=OracleImputer(tokens))
    b = run(small_model, signals, presence, context, imputer=OracleImputer(-tokens))
    for name in ("hazard_logits", "fused", "pressure", "depth", "abp_wave"):
        assert not torch.allclose(a[name], b[name], atol=1e-4), name
    every = torch.ones_like(presence)
    a = run(small_model, signals, every, context, imputer=OracleImputer(tokens))
    b = run(small_model, signals, every, context, imputer=OracleImputer(-tokens))
    assert torch.equal(a["hazard_logits"], b["hazard_logits"])  # nothing is absent: nothing is imputed


def test_each_imputer_fills_only_absent_slots(small_model):
    signals, presence, context = stacked(2)
    presence[0, 1] = False
    presence[1, 2, 3:] = False
    shape = (4, CI.width)
    imputers = [
        RestorationImputer(), ZeroImputer(), MaskTokenImputer(), MeanImputer(torch.randn(4, 1, CI.width)),
        HoldImputer(torch.zeros(2, *shape)),
    ]  # fmt: skip
    outs = [run(small_model, signals, presence, context, imputer=i) for i in imputers]
    for out in outs:
        assert out["restored_tokens"].shape == (2, 4, CI.frames, CI.width)
        assert torch.isfinite(out["risk"]).all()
    held = outs[-1]
    assert torch.equal(held["restored_tokens"][1, 2, -1], held["tokens"][1, 2, 2])
    assert torch.equal(held["restored_tokens"][0, 1], torch.zeros(CI.frames, CI.width))
    assert len({tuple(out["fused"][:, 0].tolist()) for out in outs}) == len(outs)  # each is another filling


# -- scaling and context ----------------------------------------------------------------------------------------------


def test_scaling_is_physical(small_model):
    signals, presence, context = stacked(1)
    values = {Modality.ECG: 1.5, Modality.ABP: 120.0, Modality.PPG: 14.0, Modality.EEG: -100.0}
    for modality, value in values.items():
        signals[:, ROW[modality]] = value
    context[:, ROW[Modality.PPG], C["level"]], context[:, ROW[Modality.PPG], C["scale"]] = 10.0, 2.0
    scaled, _ = small_model.scaling(signals, presence, context)
    expected = {Modality.ECG: 1.5, Modality.ABP: 1.0, Modality.PPG: 2.0, Modality.EEG: -2.0}
    for modality, value in expected.items():
        assert torch.allclose(scaled[0, ROW[modality]], torch.tensor(value))


def test_a_short_gap_in_a_present_frame_holds_the_last_sample(small_model):
    signals, presence, context = stacked(1)
    signals[0, ROW[Modality.ABP], 500:504] = float("nan")
    scaled, _ = small_model.scaling(signals, presence, context)
    assert torch.equal(scaled[0, ROW[Modality.ABP], 500:504], scaled[0, ROW[Modality.ABP], 499].expand(4))
    assert torch.isfinite(scaled).all()


def test_ppg_units_do_not_matter(small_model):
    """Another gain and offset of the PPG, told by its context, changes nothing but the restored PPG's units."""
    signals, presence, context = stacked(1)
    ppg, other, changed = ROW[Modality.PPG], signals.clone(), context.clone()
    other[:, ppg] = signals[:, ppg] * 64.0
    for field in ("level", "scale", "mean_60s", "mean_300s", "mean_600s"):
        changed[:, ppg, C[field]] *= 64.0
    a, b = run(small_model, signals, presence, context), run(small_model, other, presence, changed)
    for name in ("risk", "pressure", "depth", "abp_wave", "ecg_wave"):
        assert torch.allclose(a[name], b[name], atol=1e-4, rtol=1e-4), name
    assert torch.allclose(a["ppg_wave"] * 64.0, b["ppg_wave"], rtol=1e-3, atol=1e-2)


def test_unknown_context_differs_from_zero(small_model):
    signals, presence, context = stacked(1)
    unknown, zero = context.clone(), context.clone()
    unknown[:, ROW[Modality.ABP], C["level"]], zero[:, ROW[Modality.ABP], C["level"]] = float("nan"), 0.0
    a, b = run(small_model, signals, presence, unknown), run(small_model, signals, presence, zero)
    assert torch.isfinite(a["pressure"]).all()
    assert not torch.allclose(a["pressure"], b["pressure"])


def test_pressure_starts_from_the_anchor():
    """Untrained, the restored MAP is the last level plus most of slope · delay change: the delay regression."""
    torch.manual_seed(0)
    model = PhysioME(CI).eval()
    signals, presence, context = stacked(1)
    presence[:, ROW[Modality.ABP]] = False
    abp, ppg = ROW[Modality.ABP], ROW[Modality.PPG]
    context[:, abp, C["level"]], context[:, abp, C["delay_slope"]], context[:, abp, C["age_s"]] = 71.0, -200.0, 600.0
    context[:, abp, C["ppg_delay_s"]], context[:, ppg, C["own_delay_s"]] = 0.50, 0.55
    out = run(model, signals, presence, context)
    share = torch.sigmoid(torch.tensor(2.0))
    assert torch.allclose(out["pressure"][0, 0, 1], 71.0 + share * -200.0 * 0.05, atol=1e-3)
    quantiles = out["pressure_frames"]
    assert (quantiles[..., 1:] > quantiles[..., :-1]).all()
    assert (quantiles[:, :, 1, 1] > quantiles[:, :, 0, 1]).all() and (
        quantiles[:, :, 0, 1] > quantiles[:, :, 2, 1]
    ).all()


# -- heads ------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.floats(0.1, 30.0))
def test_risk_never_falls_with_the_horizon(seed, size):
    generator = torch.Generator().manual_seed(seed)
    head = HypotensionHead(5, 4)
    with torch.no_grad():
        risk, lo, hi = head(
            size * torch.randn(20, 5, generator=generator), torch.rand(20, 4, 8, generator=generator) > 0.4
        )
    for value in (risk, lo, hi):
        assert (value[:, 1:] >= value[:, :-1]).all()
        assert (value >= 0).all() and (value <= 1).all()
    assert (lo <= risk).all() and (risk <= hi).all()


def test_temperature_follows_the_missing_share():
    head = HypotensionHead(5, 4)
    logits, presence = torch.full((1, 9, 3), 2.0), torch.ones(1, 4, 8, dtype=torch.bool)
    assert torch.allclose(head.cooled(logits, presence), logits, rtol=2e-3)
    with torch.no_grad():
        head.temperature_missing[1] = 3.0
    presence[:, 1] = False
    assert (head.cooled(logits, presence) < 0.4 * logits).all()


# -- waves ------------------------------------------------------------------------------------------------------------


def test_shift_reads_ahead_by_fractions_and_zero_outside():
    x = torch.arange(10, dtype=torch.float32).reshape(1, 1, 10)
    assert torch.allclose(shift(x, torch.tensor([[2.5]]))[0, 0, :7], torch.arange(7) + 2.5)
    assert (shift(x, torch.tensor([[2.5]]))[0, 0, 7:] == 0).all()
    assert torch.allclose(shift(x, torch.tensor([[-3.0]]))[0, 0], torch.tensor([0.0, 0, 0, 0, 1, 2, 3, 4, 5, 6]))


def test_steepness_finds_beats_of_any_gain_and_polarity():
    t = torch.arange(1000)
    spikes = torch.exp(-0.5 * ((t % 80 - 40) / 1.5) ** 2)
    found = steepness(torch.stack([spikes, -0.2 * spikes, 4.0 * spikes])[None])[0]
    near = (t % 80 - 40).abs() < 6
    assert (found[:, near].amax(-1) > 1.0).all() and (found[:, ~near] < 0.1).all()
    assert torch.allclose(found[0], found[2], atol=0.1)
    assert (steepness(torch.zeros(1, 1, 50)) == 0).all()


@torch.no_grad()
def test_sources_are_aligned_by_the_context():
    """A PPG pulse 0.5 s and a pressure pulse 0.2 s after R: read 0.3 s ahead, the PPG lines up with the pressure."""
    delays = ContextDelays(CI.modalities)
    context = torch.full((1, 4, len(CONTEXT_FIELDS)), float("nan"))
    abp, ppg = ROW[Modality.ABP], ROW[Modality.PPG]
    context[0, abp, C["own_delay_s"]], context[0, abp, C["ppg_delay_s"]] = 0.2, 0.5
    context[0, ppg, C["own_delay_s"]] = 0.5
    a, p, known = delays(context)
    ahead = delays.to_target(Modality.ABP, a, p)
    assert torch.allclose(ahead, torch.tensor([[0.0, 0.3, -0.2]]), atol=1e-6)  # ABP, PPG, ECG
    assert known.tolist() == [[1.0, 1.0]]
    context[0, ppg, C["own_delay_s"]] = 0.53  # pressure has fallen: both delays grow
    a, p, _ = delays(context)
    assert abs(float(p) - 0.53) < 1e-6 and abs(float(a) - 0.2 - 0.03 * 0.7) < 1e-6
    context[0, ppg, C["own_delay_s"]] = 1.3  # taken from the beat before: not believed
    a, p, _ = delays(context)
    assert abs(float(p) - 0.5) < 1e-6 and abs(float(a) - 0.2) < 1e-6
    _, _, unknown = delays(torch.full_like(context, float("nan")))
    assert unknown.tolist() == [[0.0, 0.0]]


def test_pressure_wave_has_the_pressures_asked_for():
    t = np.arange(CI.samples) / 100
    raw = torch.from_numpy(0.3 * np.sin(2 * np.pi * 1.2 * t) + 4.0).float()[None]
    shape = unit_shape(raw, CI.frames)
    assert abs(float(shape.mean())) < 1e-6
    composer = PressureWave(CI.frames, CI.samples)
    every = torch.ones(1, CI.frames, dtype=torch.bool)
    wave = composer(raw, torch.full((1, CI.frames), 80.0), torch.full((1, CI.frames), 44.0), every)
    assert abs(float(wave.mean()) - 80.0) < 1e-3
    assert abs(float(wave.max() - wave.min()) - 44.0 * 0.6 / 0.65) < 0.5


# -- gradients --------------------------------------------------------------------------------------------------------


def test_the_restoration_decoders_cannot_bend_the_encoder(small_model):
    signals, presence, context = stacked(2)
    presence[:, 1] = False
    out = small_model(signals, presence, context)
    out["restored_tokens"][:, 1].square().mean().backward()
    assert all(p.grad is None or not p.grad.any() for p in small_model.encoders.parameters())
    assert all(p.grad is None or not p.grad.any() for p in small_model.fusion.parameters())
    assert any(p.grad is not None and p.grad.any() for p in small_model.restoration.decoders[1].parameters())
