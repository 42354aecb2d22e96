"""SelfMask: masks, straight-through gradients, the adversary, what is trained and what is not, the contract."""

from __future__ import annotations

import copy
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.batches.batch import Batch, fixed_batches
from models.batches.group import Group, Losses
from models.data.missingness import LossPlan
from models.imputers import RestorationImputer
from models.networks.heads import ENSEMBLE
from models.physiome import PhysioME
from models.runtime.spec import OUTPUTS
from models.selfmask import (
    ChosenImputer,
    SelfMaskImputer,
    block_frames,
    hide,
    nested_masks,
    reverse_gradient,
)
from models.signals.windows import CONTEXT_FIELDS
from models.training.config import SelfMaskConfig
from models.training.loop import run_stage
from models.training.selfmask_stage import SelfMaskStage, head_task, hidden_error, token_variance
from models.training.stage import Stage
from tests.models.small import CI, plain_model, stacked

M, N = 4, 4
TINY = replace(CI, frames=N, width=16, heads=2, decoder_width=16, channels=(4, 4), wave_channels=4, selfmask_width=16)
TINY = replace(TINY, selfmask_heads=2, selfmask_dropout=0.1)
SHARES = (0.25, 0.5)


def settings_of(**changes) -> SelfMaskConfig:
    plain = dict(steps=4, batch=16, rate=3e-3, warmup=0, evaluate_every=2, save_every=2, random_share=0.25)
    return SelfMaskConfig(**(plain | changes))


class FakeGroup:
    """Windows whose frame features are drawn once: of rank 3, row 1 (ABP) from the draw of row 0 (ECG), the rest of
    draws of their own."""

    def __init__(self, width: int, windows: int = 256, seed: int = 0) -> None:
        drawn = torch.randn(windows, M, 1, 3, generator=torch.Generator().manual_seed(seed))
        drawn[:, 1] = drawn[:, 0]
        lifts = torch.randn(M, 3, width, generator=torch.Generator().manual_seed(99))
        self.features = (drawn @ lifts).repeat(1, 1, N, 1)

    recorded_share = None
    draw_rows, choose, _parts = Group.draw_rows, Group.choose, Group._parts

    def __len__(self) -> int:
        return len(self.features)

    @property
    def recorded(self) -> np.ndarray:
        return np.zeros(len(self), np.bool_)

    def draw(self, rng: np.random.Generator, rows: np.ndarray, plan: LossPlan) -> Losses:
        presence = np.repeat(rng.random((len(rows), M, 1)) > 0.4, N, axis=2)
        presence[rng.random(presence.shape) < 0.1] = False
        return Losses(presence, np.full((len(rows), M, len(CONTEXT_FIELDS)), np.nan, np.float32))

    def batch(self, rows: np.ndarray, lost: Losses, signal_rows: int | None = None) -> Batch:
        signals = torch.randn(len(rows), M, TINY.samples, generator=torch.Generator().manual_seed(1))
        given = {
            "signals": signals, "features": self.features[torch.from_numpy(rows)],
            "presence": torch.from_numpy(lost.presence), "context": torch.from_numpy(lost.context),
            "known": torch.ones(lost.presence.shape, dtype=torch.bool),
        }  # fmt: skip
        labels = {"pressures": (N, 3), "eeg": (7,), "hypotension": (3,), "bootstrap": (ENSEMBLE,)}
        return Batch(
            **{f.name: given.get(f.name, torch.ones(len(rows), *labels.get(f.name, ()))) for f in fields(Batch)}
        )


def toy_task(model: PhysioME, batch: Batch, out: dict[str, Tensor]) -> Tensor:
    return out["fused"].square().mean()


def stage_of(seed: int = 0, end_to_end: bool = False, **changes) -> SelfMaskStage:
    torch.manual_seed(seed)
    model = PhysioME(TINY)
    group = FakeGroup(TINY.width)
    stop = FakeGroup(TINY.width, 32, 7)
    return SelfMaskStage(model, group, stop, settings_of(**changes), 3, toy_task, end_to_end)  # type: ignore[arg-type]


def batch_of(stage: SelfMaskStage, size: int) -> Batch:
    group = FakeGroup(TINY.width)
    return next(fixed_batches(group, LossPlan(), 1, size, size, torch.device("cpu")))[0]  # type: ignore[arg-type]


def silent(stage: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def step(stage: SelfMaskStage, optimiser: torch.optim.Optimizer, number: int) -> dict[str, float]:
    stage.module.train()
    optimiser.zero_grad()
    parts = stage.losses(number)
    torch.stack(list(parts.values())).sum().backward()
    optimiser.step()
    stage.after_step(number)
    return {name: float(value.detach()) for name, value in parts.items()}


def bits(seed: int, shape: tuple[int, ...], share: float) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


# -- masks ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.05, 0.3, 0.8, 1.0]),
    size=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_top_k_is_exact_nested_and_takes_the_highest(seed, share, size):
    scores = size * torch.randn(5, M, N, generator=torch.Generator().manual_seed(seed))
    observed = bits(seed + 1, (5, M, N), share)
    small, large = nested_masks(scores, observed, SHARES)
    for mask, part in ((small, 0.25), (large, 0.5)):
        assert set(mask.unique().tolist()) <= {0.0, 1.0}  # exactly, though soft − sg(soft) is added
        for row in np.ndindex(5, M):
            total = int(observed[row].sum())
            assert int(mask[row].sum()) == math.ceil(part * total), "K is a sensor's"
            hidden, shown = scores[row][mask[row] == 1], scores[row][(mask[row] == 0) & observed[row]]
            assert not len(hidden) or not len(shown) or hidden.min() >= shown.max()
        assert not (mask.bool() & ~observed).any()
    assert (large >= small).all()


def test_equal_scores_still_hide_exactly_k():
    masks = nested_masks(torch.zeros(2, M, N), torch.ones(2, M, N, dtype=torch.bool), SHARES)
    assert [mask.sum((1, 2)).tolist() for mask in masks] == [[4.0, 4.0], [8.0, 8.0]]


def test_gradient_passes_straight_through_and_only_to_observed_slots():
    scores = torch.randn(3, M, N, generator=torch.Generator().manual_seed(2), requires_grad=True)
    observed = bits(5, (3, M, N), 0.7)
    weight = torch.zeros(3, M, N)
    weight[0, 0, 0] = 1.0
    observed[0, 0, 0] = True
    (nested_masks(scores, observed, SHARES)[0] * weight).sum().backward()
    assert scores.grad is not None
    assert scores.grad[0, 0, 0] > 0  # a higher score hides more
    assert not scores.grad[~observed].any() and not scores.grad[1:].any()


def test_the_size_of_the_scores_does_not_kill_the_gradient():
    """Standardised within the window: scores a thousand times larger do not saturate the relaxed top-K."""
    base = torch.randn(1, M, N, generator=torch.Generator().manual_seed(4))
    shares = []
    for size in (1.0, 1000.0):
        scores = (size * base).requires_grad_()
        mask = nested_masks(scores, torch.ones(1, M, N, dtype=torch.bool), (0.25,))[0]
        (mask * torch.randn(1, M, N, generator=torch.Generator().manual_seed(6))).sum().backward()
        shares.append(float(scores.grad.norm()) * size)  # type: ignore[union-attr]
    assert shares[1] == pytest.approx(shares[0], rel=1e-3)


def test_overlapping_frames_are_hidden_in_runs():
    assert block_frames(3, 3) == 1 and block_frames(4, 1) == 7 and block_frames(4, 3) == 3
    scores = torch.randn(6, 3, 27, generator=torch.Generator().manual_seed(1))
    observed = torch.ones(6, 3, 27, dtype=torch.bool)
    observed[0, 1] = False
    observed[1, 2, 3:9] = False
    small, large = nested_masks(scores, observed, SHARES, block=7)
    runs = [large[..., first : first + 7].amax(-1) for first in range(0, 27, 7)]
    assert torch.stack(runs, -1).sum((1, 2)).tolist() == [4.0, 6.0, 6.0, 6.0, 6.0, 6.0]  # of 8 and 12 runs
    for mask in (small, large):
        assert not (mask.bool() & ~observed).any()
        for first in range(0, 27, 7):
            run, seen = mask[..., first : first + 7], observed[..., first : first + 7]
            assert ((run == run.amax(-1, keepdim=True)) | ~seen).all()  # all of a run or none
    assert (large >= small).all()


def test_hidden_and_absent_content_leaves_no_trace():
    observed, mask = bits(1, (2, M, N), 0.7), bits(2, (2, M, N), 0.5)
    mask = (mask & observed).float()
    features = torch.randn(2, M, N, 8, generator=torch.Generator().manual_seed(3))
    stand_in = torch.randn(M, 1, 8, generator=torch.Generator().manual_seed(4))
    poisoned = torch.where(observed.unsqueeze(-1), features, torch.tensor(float("nan")))
    other = torch.where(mask.unsqueeze(-1) > 0, features + 100.0, poisoned)
    a, b = hide(features, observed, mask, stand_in), hide(other, observed, mask, stand_in)
    assert torch.equal(a, b) and torch.isfinite(a).all()
    assert torch.equal(a[mask > 0], stand_in.expand_as(a)[mask > 0])
    shown = observed & (mask == 0)
    assert torch.equal(a[shown], features[shown])


def test_hidden_error_is_the_papers_formula():
    predicted, target = torch.zeros(3, 2, 2, 4), torch.ones(3, 2, 2, 4)
    target[0, 0, 0] = 3.0
    mask = torch.zeros(3, 2, 2)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[1, 1, 0] = 1.0  # window 2 hides nothing and does not count
    variance = torch.tensor([[2.0], [0.5]])
    first = (9.0 / 2.0 + 1.0 / 0.5) / 2
    assert float(hidden_error(predicted, target, mask, variance)) == pytest.approx((first + 2.0) / 2)
    tokens = (
        torch.randn(50, 2, 3, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0])[:, None, None]
    )
    assert torch.allclose(token_variance(tokens)[:, 0], torch.tensor([1.0, 9.0]), rtol=0.2)


# -- the predictor as an imputer --------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000),
    share=st.sampled_from([0.0, 0.5, 0.9]),
    fill=st.sampled_from([float("nan"), 1e30, float("-inf")]),
)
def test_content_under_the_mask_changes_no_bit(seed, share, fill):
    model = plain_model()
    signals, _, context = stacked(1)
    presence = bits(seed, (1, M, CI.frames), share)
    hidden = ~presence.repeat_interleave(CI.frame_samples, dim=-1)
    filled = torch.where(hidden, torch.tensor(fill), signals)
    with torch.no_grad():
        a, b = (model(x, presence, context, imputer=SelfMaskImputer()) for x in (signals, filled))
    for name in set(OUTPUTS) - {"tokens"}:
        assert torch.equal(a[name], b[name]) and torch.isfinite(a[name]).all(), name


def test_absent_slots_ask_but_are_never_asked(small_model):
    """What is imagined for one absent row does not depend on another row being asked for as well."""
    tokens = torch.randn(2, M, CI.frames, CI.width, generator=torch.Generator().manual_seed(0))
    embedded = torch.randn(2, CI.width, generator=torch.Generator().manual_seed(1))
    presence = torch.ones(2, M, CI.frames, dtype=torch.bool)
    presence[:, 1:3] = False
    predictor = small_model.selfmask
    with torch.no_grad():
        found = predictor(tokens, presence, presence, embedded)
        predictor.query[:, 2] += 5.0
        other = predictor(tokens, presence, presence, embedded)
        unseen = predictor(tokens, presence, presence, embedded + 1.0)
    assert torch.equal(found[:, [0, 1, 3]], other[:, [0, 1, 3]])
    assert not torch.allclose(found[:, 2], other[:, 2])
    assert not torch.allclose(other[:, 1], unseen[:, 1])  # the context embedding is heard
    assert not torch.allclose(found[:, 1, 0], found[:, 1, 1])  # and so are the positions


def test_the_imputer_is_chosen_window_by_window(small_model):
    signals, presence, context = stacked(3)
    presence[:, 1] = False
    choice = torch.tensor([True, False, True])
    with torch.no_grad():
        runs = {
            name: small_model(signals, presence, context, imputer=imputer)
            for name, imputer in (
                ("both", ChosenImputer(choice)), ("selfmask", SelfMaskImputer()), ("restoration", RestorationImputer())
            )
        }  # fmt: skip
    for name in set(OUTPUTS) - {"tokens"}:
        assert torch.equal(runs["both"][name][choice], runs["selfmask"][name][choice]), name
        assert torch.equal(runs["both"][name][~choice], runs["restoration"][name][~choice]), name
    assert not torch.allclose(runs["selfmask"]["fused"], runs["restoration"]["fused"])


# -- training ---------------------------------------------------------------------------------------------------------


def test_it_is_a_stage():
    assert isinstance(stage_of(), Stage)


def test_trained_parts_get_gradients_within_three_steps_and_frozen_ones_stay():
    stage = stage_of()
    before = copy.deepcopy(stage.model.state_dict())
    optimiser = torch.optim.AdamW([p for p in stage.module.parameters() if p.requires_grad], lr=1e-3)
    moved: set[str] = set()
    for number in range(3):
        step(stage, optimiser, number)
        moved |= {n for n, p in stage.module.named_parameters() if p.grad is not None and p.grad.any()}
    wanted = {n for n, p in stage.module.named_parameters() if p.requires_grad}
    assert wanted - moved == set()
    assert {"stand_in", "trained.query", "trained.modality", "scorer.score.weight"} <= wanted
    after = stage.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("selfmask.") for name in changed)


def test_the_average_follows_by_its_formula():
    stage = stage_of(momentum=0.9)
    old = [p.clone() for p in stage.module.average.parameters()]
    with torch.no_grad():
        for p in stage.model.selfmask.parameters():
            p.add_(1.0)
    stage.after_step(0)
    for slow, fast, before in zip(
        stage.module.average.parameters(), stage.model.selfmask.parameters(), old, strict=True
    ):
        assert torch.allclose(slow, 0.9 * before + 0.1 * fast, atol=1e-6)
        assert not slow.requires_grad


@pytest.mark.parametrize(("masks", "expected"), [("learned", 0.25), ("random", 1.0)])
def test_a_share_of_the_windows_is_masked_at_random(masks, expected):
    stage = stage_of(masks=masks)
    order = -torch.arange(M * N, dtype=torch.float32).reshape(1, M, N)
    stage.module.scorer.forward = lambda context, states, observed: order.expand(len(observed), M, N)  # type: ignore[method-assign]
    observed = torch.ones(800, M, N, dtype=torch.bool)
    z = torch.zeros(800, M, N, TINY.width)
    mask = stage.masks(z, observed, torch.zeros(800, TINY.width), torch.Generator().manual_seed(0))[0]
    learned = (mask[:, :, 0] == 1).all(1)
    assert float((~learned).float().mean()) == pytest.approx(expected, abs=0.05)


def test_reversed_gradient():
    x = torch.tensor([2.5, -1.0], requires_grad=True)
    y = reverse_gradient(x)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 4.0])).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [-3.0, -4.0]


def test_the_adversary_finds_what_is_hard():
    """With g and V fixed, training h raises the very losses that the optimiser is told to lower."""
    stage = stage_of(random_share=0.0)
    optimiser = torch.optim.AdamW([p for p in stage.module.parameters() if p.requires_grad], lr=3e-3)
    for number in range(25):
        step(stage, optimiser, number)
    batch = batch_of(stage, 64)
    stage.module.eval()

    def hidden() -> float:
        with torch.no_grad():
            parts = stage.objective(batch, torch.Generator().manual_seed(0))
        return float(parts["observed"] + parts["cross"])

    torch.manual_seed(1)
    stage.module.scorer.load_state_dict(type(stage.module.scorer)(TINY.selfmask_width, 2).state_dict())
    before = hidden()
    optimiser = torch.optim.AdamW(stage.module.scorer.parameters(), lr=3e-3)
    for _ in range(25):
        optimiser.zero_grad()
        parts = stage.objective(batch, torch.Generator().manual_seed(0))
        (parts["observed"] + parts["cross"]).backward()
        optimiser.step()
    assert hidden() > before + 0.02


def test_targets_carry_no_gradient_end_to_end_reaches_the_encoders():
    stage = stage_of(task=0.5, end_to_end=True)
    stage.module.train()
    statistics = {n: b.clone() for n, b in stage.model.named_buffers() if "running" in n}
    batch = batch_of(stage, 8)
    embedded, z, complete = stage._observe(batch, stage._features(batch))
    assert embedded.requires_grad and not z.requires_grad and not complete.requires_grad
    parts = stage.losses(0)
    assert set(parts) == {"observed", "cross", "supervised", "task"}
    parts["task"].backward()
    for part in ("encoders", "fusion", "selfmask", "pool"):
        assert any(p.grad is not None and p.grad.any() for p in getattr(stage.model, part).parameters()), part
    assert all(torch.equal(statistics[n], b) for n, b in stage.model.named_buffers() if n in statistics)
    with pytest.raises(ValueError, match="task"):
        stage_of(end_to_end=True)


def test_a_task_of_frozen_heads_reaches_the_predictor_alone():
    stage = stage_of(task=1.0, alpha=0.0, beta=0.0, supervised=0.0)
    stage.task = head_task
    parts = stage.losses(0)
    assert float(parts["task"].detach()) > 0.0
    torch.stack(list(parts.values())).sum().backward()
    reached = {n.split(".")[0] for n, p in stage.model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"selfmask"}
    assert set(stage.score()) == {"score", "supervised", "task"}


def test_a_run_resumes_bit_for_bit_and_keeps_its_best(tmp_path):
    whole, halves = stage_of(), stage_of()
    run_stage(whole, whole.settings, tmp_path / "a", "x", silent)
    run_stage(halves, halves.settings, tmp_path / "b", "x", silent, last=3)
    again = stage_of(seed=9)
    again.model.load_state_dict(halves.model.state_dict())
    run_stage(again, again.settings, tmp_path / "b", "x", silent)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[name]), name


def test_imagining_beats_the_mean_where_one_sensor_follows_from_another(tmp_path):
    """ABP is a function of the ECG here, PPG and EEG of nothing: R² tells the two apart."""
    stage = stage_of(steps=80, batch=32, rate=1e-2, evaluate_every=80, save_every=80, ema=0.5)
    stage.model.selfmask.transformer.drop.p = 0.0
    run_stage(stage, stage.settings, tmp_path, "x", silent)
    group = FakeGroup(TINY.width, 64, 7)
    presence = np.ones((64, M, N), np.bool_)
    presence[:, 1:3] = False
    batch = group.batch(np.arange(64), Losses(presence, np.full((64, M, len(CONTEXT_FIELDS)), np.nan, np.float32)))
    with torch.no_grad():
        embedded, z, complete = stage._observe(batch, batch.features)
        found = stage.model.selfmask(z, batch.presence, batch.presence, embedded)
    error = (found - complete).square().mean((0, 2, 3))
    spread = (complete - complete.mean(0, keepdim=True)).square().mean((0, 2, 3))
    explained = 1.0 - error / spread
    assert explained[1] > 0.5
    assert explained[2] < 0.05
