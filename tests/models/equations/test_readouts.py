"""The read-outs of tokens by their equations: what is true, who learns from which loss, and that they are a ridge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.batches.readouts import READ, TokenReadouts, truths
from models.batches.recall import recall
from models.data.labels import heart_rate
from models.imputers import MaskTokenImputer, RestorationImputer
from models.networks.fusion import ContextEmbedding, delay_term
from models.physiome import PhysioME
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from models.training.config import FusionConfig, HeadsConfig, RestorationConfig, WaveConfig
from models.training.fusion_stage import FusionStage
from models.training.heads_stage import HeadsStage
from models.training.restoration_stage import RestorationStage
from models.training.wave_stage import WaveStage
from tests.models.equations import by_hand
from tests.models.equations.material import TINY, M, N, array, batch_of, gradients, groups, tiny_model

ROWS = TINY.modalities
C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


def readouts(seed: int = 0) -> TokenReadouts:
    torch.manual_seed(seed)
    return TokenReadouts(ROWS, TINY.width)


def error_by_hand(found: TokenReadouts, tokens: Tensor, truth: list[Tensor], mask: Tensor) -> float:
    """Mean over all quantities of the mean squared error where it counts, one number at a time."""
    each = []
    for m, row in enumerate(ROWS):
        head = found.heads[m]
        weight, bias = array(head.weight), array(head.bias)  # type: ignore[arg-type]
        for q in range(len(READ[row])):
            squares = [
                (weight[q] @ array(tokens)[b, m, n] + bias[q] - float(truth[m][b, n, q])) ** 2
                for b in range(len(tokens)) for n in range(N)
                if bool(mask[b, m, n]) and np.isfinite(float(truth[m][b, n, q]))
            ]  # fmt: skip
            each.append(np.mean(squares) if squares else 0.0)
    return float(np.mean(each))


# -- what is true -----------------------------------------------------------------------------------------------------


def test_truths_are_the_labels_in_units_of_their_spread() -> None:
    batch = batch_of(8, 1)
    found = dict(zip(ROWS, truths(batch, ROWS), strict=True))
    pressures, beats = array(batch.pressures), array(batch.r_times)
    rate = 60.0 / np.median(np.diff(beats, axis=1), axis=1)
    abp = array(found[Modality.ABP])
    np.testing.assert_allclose(abp[..., 0], (pressures[..., 0] - 80.0) / 15.0, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(abp[..., 1], (pressures[..., 1] - pressures[..., 2] - 50.0) / 15.0, atol=1e-5)
    for row, at in ((Modality.ABP, 2), (Modality.ECG, 0), (Modality.PPG, 0)):
        np.testing.assert_allclose(
            array(found[row])[..., at], np.repeat((rate - 75.0)[:, None] / 15.0, N, 1), rtol=1e-4
        )
    edge = np.repeat((array(batch.eeg)[:, 5] - 15.0)[:, None] / 5.0, N, 1)
    np.testing.assert_allclose(array(found[Modality.EEG])[..., 0], edge, rtol=1e-5)


@pytest.mark.parametrize(
    ("times", "expected"),
    [([0.5, 1.5, 2.5, 3.0], 60.0), ([1.0, 2.0, np.nan, np.nan], np.nan), ([np.nan] * 4, np.nan),
     ([0.0, 0.5, 1.0, np.nan], 120.0)],
)  # fmt: skip
def test_a_rate_needs_two_intervals(times: list[float], expected: float) -> None:
    found = heart_rate(np.array([times]))
    np.testing.assert_allclose(found, [expected])


# -- the losses -------------------------------------------------------------------------------------------------------


def test_both_losses_are_mean_squares_over_what_counts() -> None:
    batch, found = batch_of(7, 2), readouts()
    tokens = torch.randn(7, M, N, TINY.width)
    truth, lost = truths(batch, ROWS), batch.known & ~batch.presence
    assert found.fit_loss(tokens, truth, batch.known).item() == pytest.approx(
        error_by_hand(found, tokens, truth, batch.known), rel=1e-4
    )
    assert found.restored_loss(tokens, truth, lost).item() == pytest.approx(
        error_by_hand(found, tokens, truth, lost), rel=1e-4
    )


def test_fitting_moves_the_readout_alone_and_judging_the_tokens_alone() -> None:
    batch, found = batch_of(7, 2), readouts()
    tokens = torch.randn(7, M, N, TINY.width, requires_grad=True)
    truth = truths(batch, ROWS)
    assert gradients(found.fit_loss(tokens, truth, batch.known), found) and tokens.grad is None
    assert not gradients(found.restored_loss(tokens, truth, batch.known), found)
    assert tokens.grad is not None and tokens.grad.any()


def test_what_is_not_known_teaches_nothing() -> None:
    batch, found = batch_of(5, 3), readouts()
    unknown = replace(
        batch, pressures=torch.full_like(batch.pressures, torch.nan), r_times=torch.full_like(batch.r_times, torch.nan),
        eeg=torch.full_like(batch.eeg, torch.nan),
    )  # fmt: skip
    tokens = torch.randn(5, M, N, TINY.width, requires_grad=True)
    loss = found.restored_loss(tokens, truths(unknown, ROWS), batch.known)
    loss.backward()
    assert loss.item() == 0.0 and tokens.grad is not None and not tokens.grad.any()


def test_solving_is_a_ridge() -> None:
    """Against the augmented least-squares problem, which numpy solves its own way."""
    torch.manual_seed(3)
    batch, found = batch_of(60, 4), readouts()
    tokens, truth = torch.randn(60, M, N, TINY.width), truths(batch, ROWS)
    found.solve(tokens, truth, batch.known)
    for m, row in enumerate(ROWS):
        for q in range(len(READ[row])):
            use = array(batch.known[:, m]).astype(bool) & np.isfinite(array(truth[m][..., q]))
            x, y = array(tokens[:, m])[use], array(truth[m][..., q])[use]
            centred = x - x.mean(0)
            penalty = np.sqrt(0.01 * centred.var(0).mean() * len(x))
            a = np.vstack([centred, penalty * np.eye(x.shape[1])])
            expected = np.linalg.lstsq(a, np.concatenate([y - y.mean(), np.zeros(x.shape[1])]), rcond=None)[0]
            head = found.heads[m]
            np.testing.assert_allclose(array(head.weight[q]), expected, atol=1e-5)  # type: ignore[index]
            assert head.bias[q].item() == pytest.approx(y.mean() - x.mean(0) @ expected, abs=1e-4)  # type: ignore[index]


def test_too_few_tokens_leave_a_readout_as_it_was() -> None:
    batch, found = batch_of(6, 5), readouts()
    before = array(found.heads[0].weight).copy()  # type: ignore[arg-type]
    nothing = torch.zeros_like(batch.known)
    found.solve(torch.randn(6, M, N, TINY.width), truths(batch, ROWS), nothing)
    np.testing.assert_array_equal(array(found.heads[0].weight), before)  # type: ignore[arg-type]


# -- in the stages ----------------------------------------------------------------------------------------------------


def test_the_main_stage_reads_restored_tokens_of_lost_slots_with_their_memory() -> None:
    settings = FusionConfig(steps=2, batch=6, lora_rank=2, lora_dropout=0.5, memory=True, weights={"readout": 0.5})
    train, stop = groups()
    stage = FusionStage(tiny_model(), train, stop, settings, 3)  # type: ignore[arg-type]
    model, batch = stage.model, batch_of(8, 6)
    assert model.memory is not None and {n for n, p in model.memory.named_parameters() if p.requires_grad} == {
        n for n, _ in model.memory.named_parameters() if n.startswith("restoration.")
    }
    with torch.no_grad():
        for parameter in model.memory.parameters():
            parameter.normal_(std=0.2)
        for name, parameter in model.encoders.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.5)  # LoRA begins at zero, and what is zero cannot drop out
    stage.module.eval()
    with torch.no_grad():
        found = stage.objective(batch, torch.Generator().manual_seed(1))
        out = model(
            batch.signals, batch.presence, batch.context, features=batch.features, wave_rows=0,
            memory=recall(model, batch),
        )  # fmt: skip
        target = model.encode(batch.features, batch.known)
    truth, lost = truths(batch, ROWS), batch.known & ~batch.presence
    restored, parts = out["restored_tokens"], stage.module.readouts
    assert float(found["readout"]) == pytest.approx(error_by_hand(parts, restored, truth, lost), rel=1e-3)
    assert float(found["readout_fit"]) == pytest.approx(error_by_hand(parts, target, truth, batch.known), rel=1e-3)
    assert float(found["missing"]) == pytest.approx(
        by_hand.by_modality(array(restored), array(target), array(lost), array(batch.known)), rel=1e-3
    )
    stage.module.train()  # LoRA drops out now: not of the targets, which the read-outs learn from
    fit = stage.objective(batch, torch.Generator().manual_seed(1))["readout_fit"]
    assert fit.item() == pytest.approx(float(found["readout_fit"]), rel=1e-4)
    assert model.training


def test_without_a_weight_the_main_stage_has_no_readouts() -> None:
    train, stop = groups()
    stage = FusionStage(tiny_model(), train, stop, FusionConfig(steps=1, batch=4, lora_rank=2), 3)  # type: ignore[arg-type]
    assert not any("readouts" in name for name, _ in stage.module.named_parameters()) and stage.model.memory is None
    assert not {"readout", "readout_fit"} & set(stage.losses(0))


def test_the_restoration_stage_is_held_against_readouts_that_stay() -> None:
    train, stop = groups(60)
    settings = RestorationConfig(steps=2, batch=6, readout=0.7)
    stage = RestorationStage(tiny_model(memory=True), train, stop, settings, 3)  # type: ignore[arg-type]
    model, batch, bank = stage.model, batch_of(8, 7), stage.module["readouts"]
    assert isinstance(bank, TokenReadouts)
    with torch.no_grad():
        found = stage.objective(batch)
        tokens = model.encode(batch.features, batch.presence)
        _, embedded = model.context(batch.context, batch.presence)
        state = model.pass_one(tokens, batch.presence, embedded, recall(model, batch))
        restored = RestorationImputer().impute(model, state)
    lost = batch.known & ~batch.presence
    assert float(found["readout"]) == pytest.approx(
        0.7 * error_by_hand(bank, restored, truths(batch, ROWS), lost), rel=1e-3
    )
    moved = gradients(sum(stage.losses(0).values(), torch.zeros(())), stage.module)
    assert moved and not any(name.startswith("readouts") for name in moved)
    assert not any(parameter.requires_grad for parameter in bank.parameters())
    assert stop.seen == 0  # read-outs are solved on training patients
    fresh = TokenReadouts(ROWS, TINY.width)
    assert not np.allclose(array(bank.heads[1].weight), array(fresh.heads[1].weight))  # type: ignore[arg-type]


@pytest.mark.parametrize("pool", [False, True])
def test_heads_learn_alone_or_with_the_pooling(pool: bool) -> None:
    train, stop = groups()
    settings = HeadsConfig(steps=1, batch=6, pool=pool)
    stage = HeadsStage(tiny_model(), train, stop, settings, 3)  # type: ignore[arg-type]
    moved = gradients(sum(stage.losses(0).values(), torch.zeros(())), stage.model)
    assert any(name.startswith("heads.pressure") for name in moved)
    assert any(name.startswith("pool.") for name in moved) is pool
    assert not any(name.startswith(("fusion", "restoration", "encoders")) for name in moved)


# -- the anchored delay regression in the context token ---------------------------------------------------------------


def test_the_delay_term_is_slope_times_change_where_it_may_be() -> None:
    abp, ppg = ROWS.index(Modality.ABP), ROWS.index(Modality.PPG)
    context = torch.full((6, M, len(CONTEXT_FIELDS)), torch.nan)
    given = [(0.30, 0.28, -150.0), (0.30, 0.28, torch.nan), (torch.nan, 0.28, -150.0), (0.80, 0.28, -150.0),
             (0.34, 0.28, -900.0), (0.28, 0.28, -150.0)]  # fmt: skip
    for b, (now, then, slope) in enumerate(given):
        context[b, ppg, C["own_delay_s"]] = now
        context[b, abp, C["ppg_delay_s"]], context[b, abp, C["delay_slope"]] = then, slope
    term, known = delay_term(context, TINY.bedside_rows)
    np.testing.assert_allclose(array(term), [-3.0, 0.0, 0.0, 0.0, -40.0, 0.0], atol=1e-4)
    assert known.tolist() == [True, False, False, False, True, True]
    presence = torch.ones(6, M, N, dtype=torch.bool)
    told = ContextEmbedding(TINY.bedside_rows, 8)
    with torch.no_grad():
        last = told.embed[0].weight[:, -2:]  # type: ignore[index]
        before = told(context, presence)[1]
        last.zero_()  # type: ignore[operator]
        without = told(context, presence)[1]
    moved = (before - without).abs().amax(1) > 1e-6
    assert moved.tolist() == [True, False, False, False, True, True]
    assert not ContextEmbedding(TINY.bedside_rows, 8, remembers=False).anchored


# -- a graph without imputers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_in_its_share_of_steps_nothing_is_imputed(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads and waves see the missing token in these steps; what they are scored by is the model's own imputer."""
    seen: list[object] = []
    forward = PhysioME.forward

    def listening(self: PhysioME, *args: Tensor, **named: object) -> dict[str, Tensor]:
        seen.append(named.get("imputer"))
        return forward(self, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(PhysioME, "forward", listening)
    train, stop = groups()
    heads = HeadsStage(tiny_model(), train, stop, HeadsConfig(steps=1, batch=4, plain_share=share), 3)  # type: ignore[arg-type]
    waves = WaveStage(tiny_model(), train, stop, WaveConfig(steps=1, batch=4, plain_share=share), 3)  # type: ignore[arg-type]
    for stage in (heads, waves):
        seen.clear()
        for step in range(3):
            stage.losses(step)
        assert [isinstance(imputer, MaskTokenImputer) for imputer in seen] == [share == 1.0] * 3
        seen.clear()
        with torch.no_grad():
            stage.score()
        assert seen == [None] * len(seen)
