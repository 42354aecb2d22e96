"""PhysioME's main stage and its restoration stage by their equations: who sees what, who is scored where, who learns.

The networks are black boxes here; what goes into them and what is made of their output is computed once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models import objectives
from models.batches.batch import Batch, fixed_batches
from models.batches.chance import quiet_random
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.imputers import RestorationImputer
from models.networks.fusion import ppg_units
from models.networks.waves import pulse_seen, unit_shape
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from models.training.config import FusionConfig, RestorationConfig
from models.training.fusion_stage import FusionStage
from models.training.losses import WEIGHTS, head_losses, pulse_target, rhythm_target, wave_losses
from models.training.restoration_stage import LOSSES, RestorationStage
from tests.models.equations import by_hand
from tests.models.equations.material import TINY, FakeGroup, M, N, array, batch_of, gradients, groups, tiny_model

SETTINGS = FusionConfig(
    steps=2, batch=6, lora_rank=2, lora_dropout=0.0, token_sample=0.4, contrastive_temperature=0.3,
    weights={"intra": 3.0},
)  # fmt: skip
ABP = TINY.modalities.index(Modality.ABP)


def fusion_stage(train: FakeGroup | None = None, stop: FakeGroup | None = None) -> FusionStage:
    model, (one, other) = tiny_model(), groups()
    stage = FusionStage(model, train or one, stop or other, SETTINGS, 3)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in model.encoders.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.1)  # LoRA begins at zero
    stage.module.eval()
    return stage


def some_tokens(presence: Tensor) -> Tensor:
    """A sample of the present tokens, of a window that has more than one never all."""
    chosen = presence & (torch.rand(presence.shape, generator=torch.Generator().manual_seed(5)) < 0.5)
    chosen[:, 0, 0] |= presence[:, 0, 0]
    return chosen


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Tensor, float]]]:
    """The draw of tokens is given; what was asked for is listed."""
    asked: list[tuple[Tensor, float]] = []

    def draw(kept: Tensor, share: float, generator: object) -> Tensor:
        asked.append((kept, share))
        return some_tokens(kept)

    monkeypatch.setattr(objectives, "draw_tokens", draw)
    yield asked


# -- the main stage ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def main_losses(stage: FusionStage, batch: Batch) -> dict[str, float]:
    """L_intra, L_missing and L_contra by hand. What must not be seen is noise here, so seeing it shows."""
    model, parts = stage.model, stage.module
    noise = torch.randn(batch.features.shape, generator=torch.Generator().manual_seed(9))
    shown = torch.where(batch.presence.unsqueeze(-1), batch.features, noise)
    tokens = model.encode(shown, batch.presence)
    _, embedded = model.context(batch.context, batch.presence)
    target, known = array(model.encode(batch.features, batch.known)), array(batch.known)

    first = model.pass_one(tokens, batch.presence, embedded)
    restored = model.restoration(first.context_out, first.slots, batch.presence)
    sample = some_tokens(batch.presence)
    second = model.pass_one(torch.where(sample.unsqueeze(-1), tokens, noise), sample, embedded)
    predicted = parts.intra(second.context_out, second.slots, sample)

    def project(m: int, values: np.ndarray) -> np.ndarray:
        return array(parts.projectors[m](torch.from_numpy(values).float()))

    weight = by_hand.negatives(batch.patient.tolist(), batch.end_s.tolist())
    return {
        "intra": by_hand.by_modality(array(predicted), target, array(batch.presence & ~sample), known),
        "missing": by_hand.by_modality(array(restored), target, array(batch.known & ~batch.presence), known),
        "contrastive": by_hand.contrast_with_fused(
            array(tokens), array(second.slots), array(sample), project, SETTINGS.contrastive_temperature, weight
        ),
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_the_losses_are_the_papers(seed: int, sampled: list[tuple[Tensor, float]]) -> None:
    stage, batch = fusion_stage(), batch_of(8, seed)
    with torch.no_grad():
        found = stage.objective(batch, None)
    expected = main_losses(stage, batch)
    assert {name: float(found[name]) for name in expected} == pytest.approx(expected, rel=1e-4)
    assert set(found) - set(expected) == {"pressure", "pressure_present", "hypotension", "depth", "eeg"}
    ((kept, share),) = sampled
    assert torch.equal(kept, batch.presence) and share == SETTINGS.token_sample


def test_what_was_lost_is_a_target_and_nothing_else(sampled: list[tuple[Tensor, float]]) -> None:
    """Other features in lost frames move L_missing (and variances), no output of the model and no contrast."""
    stage, batch = fusion_stage(), batch_of(8, 3)
    lost = (batch.known & ~batch.presence).unsqueeze(-1)
    other = replace(batch, features=torch.where(lost, -batch.features, batch.features))
    with torch.no_grad():
        a, b = stage.objective(batch, None), stage.objective(other, None)
    assert a["missing"] != b["missing"]
    for name in set(a) - {"missing", "intra"}:  # the target of L_intra is encoded beside the lost frames
        assert torch.equal(a[name], b[name]), name


def test_what_is_not_known_is_nothing_at_all(sampled: list[tuple[Tensor, float]]) -> None:
    stage, batch = fusion_stage(), batch_of(8, 4)
    unknown = ~batch.known.unsqueeze(-1)
    other = replace(batch, features=torch.where(unknown, 7.0 * batch.features + 1.0, batch.features))
    with torch.no_grad():
        a, b = stage.objective(batch, None), stage.objective(other, None)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_each_loss_moves_what_it_should(sampled: list[tuple[Tensor, float]]) -> None:
    """L_missing stops at the input of the restoration decoders; the others reach LoRA and the fusion encoder."""
    stage = fusion_stage()
    parts = stage.objective(batch_of(8, 5), None)
    moved = {name: gradients(parts[name], stage.module) for name in ("missing", "intra", "contrastive")}
    assert moved["missing"] and all(n.startswith("model.restoration.") for n in moved["missing"])
    for m in range(M):
        assert any(n.startswith(f"model.restoration.decoders.{m}.") for n in moved["missing"])
        assert any(n.startswith(f"intra.decoders.{m}.") for n in moved["intra"])
        assert any(n.startswith(f"projectors.{m}.") for n in moved["contrastive"])
    for name in ("intra", "contrastive"):
        assert any(n.endswith(".up") for n in moved[name]) and any(n.startswith("model.fusion.") for n in moved[name])
    assert not any(n.startswith("model.restoration.") for n in moved["intra"] | moved["contrastive"])


def test_losses_are_weighed_and_stopping_looks_at_its_own_windows() -> None:
    train, stop = groups()
    stage = fusion_stage(train, stop)
    with torch.no_grad():
        plain = stage.objective(stage._batches(4), quiet_random(stage.seed, stage.name, 4).torch)
        found = stage.losses(4)
    weights = WEIGHTS | {"intra": 3.0}
    assert {n: float(v) for n, v in found.items()} == pytest.approx(
        {n: weights[n] * float(v) for n, v in plain.items()}, rel=1e-5
    )
    train.seen = stop.seen = 0
    with torch.no_grad():
        score = stage.score()
        assert (train.seen, stop.seen) == (0, len(stop)) and stage.score() == score  # the same draws at every call
    assert set(train.plans + stop.plans) == {LossPlan()}
    counted = {n: weights[n] * v for n, v in score.items() if n not in ("score", "intra", "contrastive")}
    assert "missing" in counted and score["score"] == pytest.approx(sum(counted.values()))


# -- heads and waves --------------------------------------------------------------------------------------------------


def test_the_heads_losses_by_hand() -> None:
    model, batch = tiny_model(), batch_of(8, 6)
    with torch.no_grad():
        out = model(batch.signals.nan_to_num(), batch.presence, batch.context, features=batch.features, wave_rows=0)
        found = {n: float(v) for n, v in head_losses(model, batch, out).items()}
    pressures, frames = array(batch.pressures), array(out["pressure_frames"])
    known, absent = np.isfinite(pressures), ~array(batch.presence)[:, ABP, :, None]
    expected = {
        "pressure": by_hand.pinball(frames / 10, np.nan_to_num(pressures) / 10, known & absent),
        "pressure_present": by_hand.pinball(frames / 10, np.nan_to_num(pressures) / 10, known & ~absent),
        "hypotension": by_hand.hazards(array(out["hazard_logits"]), array(batch.hypotension), array(batch.bootstrap)),
        "depth": by_hand.pinball(
            array(out["depth"]) / 10, np.nan_to_num(array(batch.depth)) / 10, np.isfinite(array(batch.depth))
        ),
    }  # fmt: skip
    eeg = array(batch.eeg)
    error = (array(out["eeg_features"]) - np.nan_to_num(eeg)) / np.array([0.6, 0.6, 0.6, 0.6, 0.6, 5, 0.3])
    expected["eeg"] = by_hand.mean_where(np.vectorize(by_hand.huber)(error, 1.0), np.isfinite(eeg))
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_waves_losses_by_hand() -> None:
    """Absent frames whose truth is known; the newest two seconds count four times."""
    model, batch = tiny_model(), batch_of(5, 7)
    batch.pressures.copy_(torch.tensor([85.0, 120.0, 65.0]).expand(5, N, 3))
    batch.pressures[1, 2] = torch.nan
    with torch.no_grad():
        out = model(batch.signals, batch.presence, batch.context, features=batch.features, wave_rows=3)
        found = {n: float(v) for n, v in wave_losses(model, batch, out, 3).items()}
    missing = array(~batch.presence & batch.known)[:3]
    weight = np.repeat(missing, TINY.frame_samples, axis=-1).astype(float)
    weight[..., -2 * TINY.rate_hz :] *= 4.0
    ppg, ecg = (TINY.modalities.index(m) for m in (Modality.PPG, Modality.ECG))
    level, scale = (array(v) for v in ppg_units(batch.context[:3], TINY.bedside_rows))
    context = array(batch.context)[:3, ppg]
    scaled = np.clip((array(batch.signals)[:3, ppg] - level) / scale, -6, 6)
    has_unit = context[:, CONTEXT_FIELDS.index("scale")] > 1e-6
    complete = np.array([True, False, True])
    shape = np.clip((array(batch.signals)[:3, ABP] - 85.0) / 55.0, -2, 2)
    drawn = array(unit_shape(out["raw_abp"], N, pulse_seen(batch.presence[:3], TINY.bedside_rows)))
    rhythm = array(rhythm_target(batch.r_times[:3], TINY.samples, TINY.rate_hz))
    expected = {
        "wave_abp": by_hand.wave(drawn, shape, weight[:, ABP] * complete[:, None], 0.3),
        "wave_ppg": by_hand.wave(array(out["raw_ppg"]), scaled, weight[:, ppg] * has_unit[:, None], 0.3),
        "wave_ecg": by_hand.wave(array(out["raw_ecg"]), rhythm, weight[:, ecg], 0.1),
    }
    assert found == pytest.approx(expected, rel=1e-3)
    assert torch.allclose(
        pulse_target(batch.signals[:1, ABP], batch.pressures[:1]), (batch.signals[:1, ABP] - 85.0) / 55.0, atol=1e-4
    )


# -- the restoration stage --------------------------------------------------------------------------------------------


def restoration_stage(memory: bool, train: FakeGroup | None = None, stop: FakeGroup | None = None) -> RestorationStage:
    model, (one, other) = tiny_model(memory=memory), groups()
    settings = RestorationConfig(steps=2, batch=6, memory=memory)
    return RestorationStage(model, train or one, stop or other, settings, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("memory", [False, True])
def test_the_restoration_stage_is_the_papers(memory: bool) -> None:
    stage, batch = restoration_stage(memory), batch_of(8, 8)
    model = stage.model
    with torch.no_grad():
        found = float(stage.objective(batch)["missing"])
        noise = torch.randn(batch.features.shape, generator=torch.Generator().manual_seed(9))
        tokens = model.encode(torch.where(batch.presence.unsqueeze(-1), batch.features, noise), batch.presence)
        _, embedded = model.context(batch.context, batch.presence)
        remembered = None
        if memory:
            every = torch.ones(8, M, N, dtype=torch.bool)
            remembered = model.encode(batch.donors, every).mean(2)
            remembered[~batch.remembered] = torch.nan
        state = model.pass_one(tokens, batch.presence, embedded, remembered)
        restored = RestorationImputer().impute(model, state)
        target = model.encode(batch.features, batch.known)
    expected = by_hand.by_modality(
        array(restored), array(target), array(batch.known & ~batch.presence), array(batch.known)
    )
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_memory_is_the_donors_and_never_the_window_itself() -> None:
    model, batch = tiny_model(memory=True), batch_of(8, 9)
    found = recall(model, batch)
    assert found is not None
    again = recall(model, replace(batch, features=-batch.features, signals=-batch.signals))
    assert torch.equal(found.nan_to_num(), again.nan_to_num())  # type: ignore[union-attr]
    other = recall(model, replace(batch, donors=-batch.donors))
    assert not torch.allclose(found.nan_to_num(), other.nan_to_num())  # type: ignore[union-attr]
    assert torch.equal(torch.isfinite(found).all(-1), batch.remembered)
    assert recall(tiny_model(), batch) is None


def test_the_restoration_stage_trains_on_one_group_and_stops_on_the_other() -> None:
    train, stop = groups()
    stage = restoration_stage(False, train, stop)
    stage.losses(0)
    assert (train.seen, stop.seen) == (6, 0)
    with torch.no_grad():
        found = stage.score()
        assert (train.seen, stop.seen) == (6, len(stop)) and set(train.plans + stop.plans) == {LOSSES}
        batches = fixed_batches(stop, LossPlan(), 3, 1024, 64, torch.device("cpu"))  # type: ignore[arg-type]
        expected = np.mean([float(stage.objective(batch)["missing"]) for batch, _ in batches])
    assert found["score"] == found["missing"] == pytest.approx(expected)
