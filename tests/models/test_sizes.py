"""Sizes of the models: parameters, shapes of the paper's configurations, overlapping frames, tasks, backbones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from models.export import BundleText, bundle_spec, example_inputs, input_names, run_torch
from models.imputers import MaskTokenImputer
from models.networks.fusion import InputScaling
from models.networks.sleep import SLEEP_STAGES
from models.physiome import SIZES, PhysioME
from models.runtime.spec import OUTPUTS
from models.signals.modalities import SLEEP_CHANNELS, Modality
from models.signals.windows import CONTEXT_FIELDS
from models.sizes import PhysioMEConfig
from tests.models.small import CI, stacked

SLEEP_CI = replace(CI, frames=9, frame_s=4, frame_step_s=1, modalities=SLEEP_CHANNELS, task="sleep")
THREE_CI = replace(CI, modalities=(Modality.ABP, Modality.ECG, Modality.PPG))
PARAMETERS = {  # all that is inside; in brackets the SelfMask predictor's share
    "demo": 3_236_079,  # 308,832
    "full": 3_236_079,
    "demo3": 2_597_752,
    "small": 604_527,
    "ci": 293_151,  # 35,360
    "vitaldb": 134_539_887,  # 2,768,128
    "vitaldb3": 106_057_864,  # 2,503,680; without it the "about 104 M" of the reference
    "sleep_edfx": 103_692_592,  # 2,503,680
}


@cache
def on_meta(config: PhysioMEConfig) -> PhysioME:
    with torch.device("meta"):
        return PhysioME(config).eval()


def windows(config: PhysioMEConfig, batch: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise, all present, nothing remembered."""
    rows = len(config.modalities)
    generator = torch.Generator().manual_seed(seed)
    signals = 40.0 * torch.randn(batch, rows, config.samples, generator=generator)
    presence = torch.ones(batch, rows, config.frames, dtype=torch.bool)
    return signals, presence, torch.full((batch, rows, len(CONTEXT_FIELDS)), float("nan"))


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_parameter_counts(name: str) -> None:
    assert set(PARAMETERS) == set(SIZES)
    assert sum(p.numel() for p in on_meta(SIZES[name]).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "seconds", "frames"), [("vitaldb", 60, 20), ("vitaldb3", 60, 20)])
def test_paper_sizes_of_the_bedside_run(name: str, seconds: int, frames: int) -> None:
    config = SIZES[name]
    assert (config.window_s, config.frames) == (seconds, frames)
    model = on_meta(config)
    with torch.device("meta"), torch.no_grad():
        out = model(*(x.to("meta") for x in windows(config, 2)))
    assert out["tokens"].shape == (2, len(config.modalities), frames, 512)
    assert out["abp_wave"].shape == (2, seconds * 100)
    assert ("depth" in out) == config.has_eeg == (name == "vitaldb")


def test_the_paper_size_of_sleep_runs() -> None:
    config = SIZES["sleep_edfx"]
    assert (config.window_s, config.frames, len(config.modalities)) == (30, 27, 3)
    model = on_meta(config)
    with torch.device("meta"), torch.no_grad():
        out = model(*(x.to("meta") for x in windows(config, 2)))
    assert out["stage_logits"].shape == (2, len(SLEEP_STAGES)) and out["tokens"].shape == (2, 3, 27, 512)


# -- parts that do not fit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frame_s": 4, "frame_step_s": 3}, "whole share"),
        ({"frame_s": 3, "frame_step_s": 1}, "do not overlap"),
        ({"modalities": (Modality.ECG, Modality.EEG)}, "ECG, ABP and PPG"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(CI, **change)


def test_a_sleep_model_is_none_of_the_bedside() -> None:
    model = PhysioME(SLEEP_CI)
    with pytest.raises(TypeError, match="no bedside heads"):
        _ = model.hypotension
    with pytest.raises(ValueError, match="leads"):
        _ = SLEEP_CI.window_spec


# -- overlapping frames -----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_overlapping_frames_are_cut_where_they_begin() -> None:
    """Frame n covers the seconds n to n + 4: a change of second 5 changes the features of frames 2 to 5 alone."""
    torch.manual_seed(0)
    model = PhysioME(SLEEP_CI).eval()
    signals, presence, context = windows(SLEEP_CI, 2)
    other = signals.clone()
    other[:, 1, 500:600] += 25.0
    a, b = (model.frame_features(model.scaling(x, presence, context)[0]) for x in (signals, other))
    changed = (a != b).any(-1)
    assert changed[:, 1].tolist() == [[False, False, True, True, True, True, False, False, False]] * 2
    assert not changed[:, [0, 2]].any()


def test_a_sample_is_shown_if_a_present_frame_covers_it() -> None:
    scaling = InputScaling(SLEEP_CHANNELS, 400, 100)
    presence = torch.zeros(1, 3, 9, dtype=torch.bool)
    presence[0, 0, [0, 7]] = True
    presence[0, 2] = True
    shown = scaling.sample_presence(presence)[0, :, ::100]
    assert shown[0].tolist() == [True] * 4 + [False] * 3 + [True] * 4 + [False]
    assert not shown[1].any() and shown[2].all()


@torch.no_grad()
def test_content_no_present_frame_covers_changes_no_bit_of_the_stages() -> None:
    torch.manual_seed(1)
    model = PhysioME(SLEEP_CI).eval()
    signals, presence, context = windows(SLEEP_CI, 2)
    presence = torch.rand(presence.shape, generator=torch.Generator().manual_seed(2)) < 0.25
    presence[:, 2] = False
    hidden = ~model.scaling.sample_presence(presence)
    assert hidden.any() and not hidden.all()
    filled = torch.where(hidden, torch.tensor(float("nan")), signals)
    a, b = model(signals, presence, context), model(filled, presence, context)
    assert torch.isfinite(b["stage_logits"]).all()
    assert torch.equal(a["stage_logits"], b["stage_logits"])


# -- backbones, three modalities, ablations ---------------------------------------------------------------------------


@torch.no_grad()
def test_a_vit_reads_each_frame_by_one_linear_map() -> None:
    torch.manual_seed(2)
    model = PhysioME(replace(CI, backbone="vit")).eval()
    assert not any(isinstance(m, torch.nn.Conv1d | torch.nn.BatchNorm1d) for m in model.encoders.modules())
    x = torch.randn(2, 4, CI.samples)
    a, b, both = (model.frame_features(y) for y in (x, 2.0 * x, 3.0 * x))
    assert torch.allclose(both - b, b - a, atol=1e-4)  # affine in the samples
    assert torch.isfinite(model(*stacked(2))["risk"]).all()


def test_three_modalities_give_no_depth() -> None:
    """No EEG row: no depth, no EEG features, neither from the model nor in the bundle's specification."""
    torch.manual_seed(3)
    model = PhysioME(THREE_CI).eval()
    expected = tuple(n for n in OUTPUTS if n not in ("depth", "eeg_features"))
    assert THREE_CI.outputs == expected and CI.outputs == tuple(OUTPUTS)
    inputs = example_inputs(THREE_CI, 2, seed=4)
    inputs["presence"][0, 0] = False
    assert set(run_torch(model, inputs)) == set(expected)
    assert input_names(THREE_CI) == ["abp", "ecg", "ppg", "presence", "context"]
    spec = bundle_spec(THREE_CI, BundleText("three", "0", "nothing", "test", ""))
    assert spec.given == frozenset(expected) and spec.modalities == ["ABP", "ECG", "PPG"]


@torch.no_grad()
def test_without_context_nothing_remembered_reaches_an_output() -> None:
    """Only the unit of the PPG, which is no memory, still does."""
    torch.manual_seed(4)
    model = PhysioME(replace(CI, use_context=False)).eval()
    model.bedside.pressure.out.weight.normal_(std=0.1)
    signals, presence, context = stacked(2)
    presence[:, CI.modalities.index(Modality.ABP)] = False
    ppg = CI.modalities.index(Modality.PPG)
    other = context + torch.from_numpy(np.random.default_rng(0).normal(0, 3, context.shape)).float()
    other[:, ppg, :2] = context[:, ppg, :2]
    forgotten = torch.full_like(context, float("nan"))
    forgotten[:, ppg, :2] = context[:, ppg, :2]
    a, b, c = (model(signals, presence, x) for x in (context, other, forgotten))
    for name in OUTPUTS:
        assert torch.equal(a[name], b[name]) and torch.equal(a[name], c[name]), name
    remembering = PhysioME(CI).eval()
    state, embed = model.state_dict(), "context.embed.0.weight"
    state[embed] = torch.nn.functional.pad(state[embed], (0, 2))  # the anchored regression, of which none is told
    remembering.load_state_dict(state)
    assert not torch.equal(remembering(signals, presence, context)["pressure"], a["pressure"])


def test_the_switch_of_the_stop_gradient_lets_restoration_bend_the_encoder() -> None:
    reached = {}
    for stop in (True, False):
        torch.manual_seed(5)
        model = PhysioME(replace(CI, stop_gradient=stop))
        signals, presence, context = stacked(2)
        presence[:, 1] = False
        model(signals, presence, context)["restored_tokens"][:, 1].square().mean().backward()
        reached[stop] = any(p.grad is not None and bool(p.grad.any()) for p in model.encoders.parameters())
    assert reached == {True: False, False: True}


def test_the_switch_of_the_imputer_leaves_the_missing_token() -> None:
    model = PhysioME(replace(CI, imputer="mask_token"))
    assert isinstance(model.imputer, MaskTokenImputer)
    signals, presence, context = stacked(1)
    presence[:, 1] = False
    assert not model(signals, presence, context)["restored_tokens"].any()
