"""The token memory: what of it may change an output, what the stages train, and that it is worth having."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.batches.batch import Batch
from models.batches.group import Group, Losses
from models.batches.predict import predict
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.evaluation.lost_windows import TokenBank, first_pass, lose
from models.imputers import Imputer, RestorationImputer
from models.networks.heads import ENSEMBLE
from models.networks.waves import NEWEST_FRAMES
from models.physiome import InferenceGraph, PhysioME
from models.selfmask import ChosenImputer, SelfMaskImputer
from models.signals.windows import CONTEXT_FIELDS
from models.training.config import RestorationConfig, SelfMaskConfig
from models.training.loop import run_stage
from models.training.restoration_stage import LOSSES, RestorationStage
from models.training.selfmask_stage import SelfMaskStage
from tests.models.lost_material import make_group
from tests.models.small import CI, small_model, stacked, with_memory

__all__ = ["small_model"]
M, N = len(CI.modalities), 4
TINY = replace(
    CI, frames=N, width=16, heads=2, decoder_width=16, channels=(4, 4), wave_channels=4, selfmask_width=16,
    selfmask_heads=2,
)  # fmt: skip
IMPUTERS: dict[str, Imputer | None] = {
    "own": None, "restoration": RestorationImputer(), "selfmask": SelfMaskImputer(),
    "chosen": ChosenImputer(torch.tensor([True, False, True])),
}  # fmt: skip


def silent(stage: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Three windows: row 0 wholly there, row 1 absent, row 2 partly there, row 3 absent and never measured."""
    signals, presence, context = stacked(3)
    presence = presence.clone()
    presence[:, 1] = presence[:, 3] = presence[:, 2, ::2] = False
    memory = torch.randn(3, M, CI.width, generator=torch.Generator().manual_seed(2))
    memory[:, 3] = float("nan")
    return signals, presence, context, memory


# -- what may change an output ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("imputer", IMPUTERS.values(), ids=IMPUTERS)
@torch.no_grad()
def test_memory_of_what_is_present_changes_no_bit_and_of_what_is_absent_does(small_model, imputer):
    model = with_memory(small_model).eval()
    signals, presence, context, memory = case()
    out = model(signals, presence, context, imputer=imputer, memory=memory)
    assert all(bool(torch.isfinite(v).all()) for k, v in out.items() if k != "tokens")
    for junk in (float("nan"), float("inf"), 1e30, -3.0):
        spoilt = memory.clone()
        spoilt[:, 0] = junk
        again = model(signals, presence, context, imputer=imputer, memory=spoilt)
        assert all(torch.equal(out[k], again[k]) for k in out)
    for row in (1, 2):
        changed = memory.clone()
        changed[:, row] += 1.0
        again = model(signals, presence, context, imputer=imputer, memory=changed)
        moved = out["restored_tokens"] != again["restored_tokens"]
        assert bool(moved[:, row].any((-1, -2)).all()) and not moved[:, [m for m in range(M) if m != row]].any()
        assert not torch.equal(out["fused"], again["fused"])


@pytest.mark.parametrize("imputer", IMPUTERS.values(), ids=IMPUTERS)
@torch.no_grad()
def test_no_memory_and_an_unknown_one_are_the_same_and_rows_do_not_poison_each_other(small_model, imputer):
    model = with_memory(small_model).eval()
    signals, presence, context, memory = case()
    unknown = torch.full_like(memory, float("nan"))
    a, b = (model(signals, presence, context, imputer=imputer, memory=x) for x in (None, unknown))
    assert all(torch.equal(a[k], b[k]) for k in a) and bool(torch.isfinite(a["fused"]).all())
    unknown[1] = memory[1]
    c = model(signals, presence, context, imputer=imputer, memory=unknown)
    assert torch.equal(c["fused"][0], a["fused"][0]) and not torch.equal(c["fused"][1], a["fused"][1])
    partly = memory.clone()
    partly[:, 1, 3] = float("nan")  # one number that is not known makes the whole token unknown
    d = model(signals, presence, context, imputer=imputer, memory=partly)
    assert torch.equal(d["restored_tokens"][:, 1], a["restored_tokens"][:, 1])


@torch.no_grad()
def test_training_begins_at_hold_and_at_the_decoders_as_they_were(small_model):
    signals, presence, context, memory = case()
    before = {k: v for k, v in small_model.state_dict().items()}
    for imputer in (RestorationImputer(), SelfMaskImputer()):
        small_model.memory = None
        plain = small_model(signals, presence, context, imputer=imputer)
        small_model.add_memory()
        given = small_model(signals, presence, context, imputer=imputer, memory=memory)["restored_tokens"]
        never = small_model(signals, presence, context, imputer=imputer)
        assert all(torch.equal(plain[k], never[k]) for k in plain)
        assert torch.equal(given[:, 1], memory[:, 1, None].expand_as(given[:, 1]))
        assert torch.equal(given[:, 3], plain["restored_tokens"][:, 3])
    state = small_model.state_dict()
    assert all(torch.equal(state[k], v) for k, v in before.items())
    assert {k.split(".")[0] for k in set(state) - set(before)} == {"memory"}


@torch.no_grad()
def test_the_graph_takes_the_memory_last(small_model):
    signals, presence, context, memory = case()
    model = with_memory(small_model).eval()
    rows = [signals[:, m] for m in range(M)]
    chosen = torch.tensor([True, False, True])
    names = model.config.outputs
    both = InferenceGraph(model)(*rows, presence, context, chosen, memory)
    one = InferenceGraph(model)(*rows, presence, context, memory)
    expected = model(
        signals, presence, context, imputer=ChosenImputer(chosen), memory=memory, wave_frames=NEWEST_FRAMES
    )
    own = model(signals, presence, context, memory=memory, wave_frames=NEWEST_FRAMES)
    assert all(torch.equal(v, expected[n]) for n, v in zip(names, both, strict=True) if n != "tokens")
    assert all(torch.equal(v, own[n]) for n, v in zip(names, one, strict=True) if n != "tokens")
    assert model.config.use_memory


# -- the past of a batch ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[PhysioME, Group]:
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = with_memory(PhysioME(CI)).eval()
    return model, make_group(tmp_path_factory.mktemp("memory"), range(3), model)


@torch.no_grad()
def test_recall_gives_the_donors_tokens_and_the_evaluation_the_same(world):
    model, group = world
    rows, ages = np.arange(5, len(group), 7), np.array([0.0, 60.0, 400.0, np.inf])
    lost = group.lost(rows, np.tile(ages, (len(rows), 1)))
    memory = recall(model, group.batch(rows, lost, 0))
    assert memory is not None and lost.donors is not None
    assert torch.isnan(memory).all(-1).numpy().tolist() == (lost.donors < 0).tolist()
    assert (lost.donors[:, 3] < 0).all() and (lost.donors[:, 1] >= 0).any() and (lost.donors[:, 2] < 0).any()
    for i, m in zip(*np.nonzero(lost.donors >= 0), strict=True):
        donor = group.features[lost.donors[i, m] : lost.donors[i, m] + 1]
        tokens = model.encode(donor, torch.ones(donor.shape[:3], dtype=torch.bool))
        torch.testing.assert_close(memory[i, m], tokens[0, m].mean(0), atol=1e-5, rtol=1e-4)
        assert group.dataset.patient_of[lost.donors[i, m]] == group.dataset.patient_of[rows[i]]
    part = lose(
        group, TokenBank(model, group), rows, np.tile(ages, (len(rows), 1)), torch.zeros(M, CI.frames, CI.width)
    )
    torch.testing.assert_close(part.memory, memory, atol=1e-5, rtol=1e-4, equal_nan=True)
    assert first_pass(model, part)[0].memory is not None


def test_whoever_draws_losses_gets_donors_that_ended_before_them(world):
    _, group = world
    rng, rows = np.random.default_rng(3), np.arange(len(group))
    end, frames = group.labels["end_s"], CI.frames
    frame_end = end[rows][:, None] - (frames - 1 - np.arange(frames)) * CI.frame_s
    for name, lost in [
        ("plan", group.draw(rng, rows, LOSSES)),
        ("ragged", group.draw(rng, rows, LossPlan(complete=0.0, subset=0.0, recent=0.0, ragged=1.0))),
    ]:
        assert lost.donors is not None, name
        taken = group.presence[rows] & ~lost.presence
        seen = np.where(lost.donors >= 0, end[np.maximum(lost.donors, 0)], -1)
        assert not (taken & (seen[..., None] >= frame_end[:, None])).any(), name
        age = lost.context[..., CONTEXT_FIELDS.index("age_s")]
        gone = ~lost.presence[..., -1] & np.isfinite(age)
        assert (seen <= end[rows][:, None] - np.where(gone, age, 0)).all(), name
        assert (lost.donors[~np.isfinite(age) & ~lost.presence.any(-1)] == -1).all(), name


def test_predictions_of_a_group_know_the_past(world):
    model, group = world
    rows = np.arange(6, 24)
    lost = group.lost(rows, np.tile([0.0, 90.0, 0.0, 0.0], (len(rows), 1)))
    told = predict(model, group, rows, lost, ("fused",), batch=8).values["fused"]
    untold = predict(model, group, rows, Losses(lost.presence, lost.context), ("fused",)).values["fused"]
    alone = predict(model, group, rows[9:10], lost.part(slice(9, 10)), ("fused",)).values["fused"]
    np.testing.assert_allclose(told[9], alone[0], rtol=1e-4, atol=1e-4)
    assert np.isfinite(told).all() and not np.allclose(told, untold)


# -- training ---------------------------------------------------------------------------------------------------------


class Patients:
    """Windows whose frame features are their patient's own in each modality, and some noise: nothing that one sensor
    could tell of another. Each window's donor is another window of the patient."""

    def __init__(self, seed: int, windows: int = 192, each: int = 4) -> None:
        draw = torch.Generator().manual_seed(seed)
        who = torch.arange(windows) // each
        own = torch.randn(windows // each, M, 1, TINY.width, generator=draw)
        self.features = own[who] + 0.2 * torch.randn(windows, M, N, TINY.width, generator=draw)
        self.donor = np.arange(windows).reshape(-1, each)[:, [*range(1, each), 0]].ravel()

    recorded_share = None
    draw_rows, choose, _parts = Group.draw_rows, Group.choose, Group._parts

    def __len__(self) -> int:
        return len(self.features)

    @property
    def recorded(self) -> np.ndarray:
        return np.zeros(len(self), np.bool_)

    def draw(self, rng: np.random.Generator, rows: np.ndarray, plan: LossPlan) -> Losses:
        presence = np.repeat(rng.random((len(rows), M, 1)) > 0.5, N, axis=2)
        context = np.full((len(rows), M, len(CONTEXT_FIELDS)), np.nan, np.float32)
        return Losses(presence, context, np.repeat(self.donor[rows][:, None], M, 1))

    def batch(self, rows: np.ndarray, lost: Losses, signal_rows: int | None = None) -> Batch:
        given = {
            "signals": torch.zeros(len(rows), M, TINY.samples), "features": self.features[torch.from_numpy(rows)],
            "presence": torch.from_numpy(lost.presence), "context": torch.from_numpy(lost.context),
            "known": torch.ones(lost.presence.shape, dtype=torch.bool),
            "donors": self.features[torch.from_numpy(self.donor[rows])],
            "remembered": torch.ones(len(rows), M, dtype=torch.bool),
        }  # fmt: skip
        labels = {"pressures": (N, 3), "eeg": (7,), "hypotension": (3,), "bootstrap": (ENSEMBLE,)}
        return Batch(
            **{f.name: given.get(f.name, torch.ones(len(rows), *labels.get(f.name, ()))) for f in fields(Batch)}
        )


def trained(kind: str, memory: bool, folder) -> tuple[float, set[str]]:
    """Score after a few steps on other patients than those of training, and the parts that changed."""
    torch.manual_seed(0)
    model = PhysioME(TINY)
    plain = dict(steps=10, batch=24, rate=3e-3, evaluate_every=10, save_every=10, ema=0.0)
    if kind == "restoration":
        settings = RestorationConfig(**plain, memory=memory)
        stage = RestorationStage(model, Patients(0), Patients(1, 64), settings, 3)  # type: ignore[arg-type]
    else:
        settings = SelfMaskConfig(**plain)
        if memory:
            model.add_memory()
        stage = SelfMaskStage(model, Patients(0), Patients(1, 64), settings, 3)  # type: ignore[arg-type]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    score = run_stage(stage, settings, folder, "f", silent)
    after = model.state_dict()
    return score, {".".join(k.split(".")[:2]) for k in after if not torch.equal(before[k], after[k])}


@pytest.mark.parametrize("kind", ["restoration", "selfmask"])
def test_memory_helps_where_tokens_are_mostly_who_the_patient_is(tmp_path, kind):
    without, changed = trained(kind, False, tmp_path / "a")
    remembering, with_it = trained(kind, True, tmp_path / "b")
    assert remembering < 0.5 * without
    assert all(part.startswith(kind) for part in changed)
    assert {part for part in with_it if part.startswith("memory")} == {f"memory.{kind}"}
    assert all(part.startswith((kind, "memory")) for part in with_it)


def test_decoders_learn_what_has_changed_since(tmp_path):
    """Training leaves hold behind: what all patients share in how they change is found."""

    class Drifting(Patients):
        def batch(self, rows: np.ndarray, lost: Losses, signal_rows: int | None = None) -> Batch:
            batch = super().batch(rows, lost, signal_rows)
            return replace(batch, features=batch.features + torch.linspace(0, 2, TINY.width))

    torch.manual_seed(0)
    settings = RestorationConfig(steps=25, batch=24, rate=1e-2, evaluate_every=25, save_every=25, ema=0.0)
    stage = RestorationStage(PhysioME(TINY), Drifting(0), Drifting(1, 64), settings, 3)  # type: ignore[arg-type]
    with torch.no_grad():
        hold = stage.score()["score"]
    assert run_stage(stage, settings, tmp_path, "f", silent) < 0.8 * hold
