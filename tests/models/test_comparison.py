"""Imputers and their comparison: nothing under the mask is read, the oracle is the complete window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.data.donors import Donors
from models.data.labels import heart_rate
from models.evaluation.beat_template import average_beat, beats_of, drawn
from models.evaluation.comparison import Scores, compare, name_of, prepare, run_methods, token_scores
from models.evaluation.lost_windows import (
    LostWindows,
    TokenBank,
    anchored_pressure,
    first_pass,
    lose,
    second_pass,
    usable_rows,
)
from models.evaluation.readouts import TASKS, fit_heads, truths, window_errors
from models.evaluation.rivals import ANCHORED, NEVER, Regime, Rivals, memory_token
from models.imputers import HoldImputer
from models.physiome import Fused, PhysioME
from models.signals.modalities import Modality
from tests.models.lost_material import CI, FIRST, make_group
from tests.models.small import with_memory

pytestmark = pytest.mark.timeout(300)  # whole evaluations and exports: minutes on a busy machine

METHODS = (
    "zero", "random fill", "train mean", "hold", "memory token", "mask token", "ridge", "delay regression",
    "beat template", "restoration", "SelfMask", "oracle",
)  # fmt: skip
SHORT = Regime("lost 2 to 6 min ago", 120.0, 360.0)
M = len(CI.modalities)
ABP = CI.modalities.index(Modality.ABP)


@pytest.fixture(scope="module")
def world(tmp_path_factory, request):
    """Model of random weights, train and test groups, fitted rivals."""
    torch.set_num_threads(1)
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("models.evaluation.rivals.MEMORY_STEPS", 25)
    request.addfinalizer(monkeypatch.undo)
    torch.manual_seed(5)
    model = with_memory(PhysioME(CI)).eval()
    folder = tmp_path_factory.mktemp("lost")
    train, test = make_group(folder / "train", range(8), model), make_group(folder / "test", range(100, 105), model)
    bank = TokenBank(model, train)
    return model, train, test, Rivals(model, train, bank, SHORT, 0)


def lost_abp(world, age: float = 240.0, ecg: float = 0.0) -> LostWindows:
    model, _, test, rivals = world
    rows = usable_rows(test, 12, 0)
    ages = np.zeros((len(rows), M))
    ages[:, ABP] = age
    ages[:, CI.modalities.index(Modality.ECG)] = ecg
    return lose(test, TokenBank(model, test), rows, ages, rivals.mean)


def test_every_method_is_there(world):
    assert tuple(world[3].methods(world[2])) == METHODS


@pytest.mark.parametrize("junk", [float("nan"), 1e30])
@pytest.mark.parametrize("name", METHODS)
def test_content_under_the_mask_changes_no_bit(world, name, junk):
    model, _, test, rivals = world
    lost = lost_abp(world)
    state, embedded = first_pass(model, lost)
    method = rivals.methods(test)[name]
    clean = second_pass(model, state, embedded, method(lost).impute(model, state))
    inside = lost.presence.unsqueeze(-1)
    dirty_features = torch.where(inside, lost.features, torch.full_like(lost.features, junk))
    dirty = LostWindows(
        lost.rows, dirty_features, lost.presence, lost.context, lost.before, lost.before_row, lost.complete
    )
    # Frame features of absent frames are those of a zero signal in the graph; here only the tokens may be dirty.
    tokens = torch.where(inside, state.tokens, torch.full_like(state.tokens, junk))
    again = Fused(tokens, state.presence, state.context_out, state.slots, state.embedded, state.memory)
    assert torch.equal(second_pass(model, again, embedded, method(dirty).impute(model, again)), clean)
    assert torch.isfinite(clean).all()


def test_oracle_is_the_complete_window(world):
    """With the oracle the second pass sees the tokens of the complete window, whatever was lost."""
    model, _, test, rivals = world
    lost = lost_abp(world)
    state, _ = first_pass(model, lost)
    imputed = rivals.methods(test)["oracle"](lost).impute(model, state)
    absent = ~lost.presence
    full = model.encode(lost.features, torch.ones_like(lost.presence))
    assert torch.equal(torch.where(absent[..., None], imputed, 0.0), torch.where(absent[..., None], full, 0.0))
    residual, _, cosine = token_scores(imputed, lost.complete, rivals.mean, absent)
    assert np.nanmax(residual) == 0 and np.nanmin(cosine) == pytest.approx(1.0, abs=1e-5)


def test_last_window_ended_before_the_loss_and_is_the_latest(world):
    _, _, test, _ = world
    rows, end, patient = usable_rows(test, 40, 1), test.labels["end_s"], test.dataset.patient_of
    ages = np.random.default_rng(0).integers(1, 700, (len(rows), M)).astype(float)
    ages[0] = np.inf
    found = test.donors(rows, ages)
    assert (found[0] == -1).all()
    for i, row in enumerate(rows):
        for m in range(M):
            allowed = np.flatnonzero((patient == patient[row]) & (end <= end[row] - ages[i, m]))
            assert found[i, m] == (allowed[np.argmax(end[allowed])] if len(allowed) else -1)


def test_a_window_with_an_absent_frame_is_no_last_window(world):
    _, _, test, _ = world
    row = int(np.flatnonzero(test.labels["end_s"] == FIRST + 300)[0])
    ages = np.full((1, M), 60.0)
    before = test.donors(np.array([row]), ages)[0]
    whole = test.presence.all(-1)
    whole[before[ABP], ABP] = False
    after = Donors(whole, test.dataset.study_of, test.labels["end_s"])(np.array([row]), ages)[0]
    assert after[ABP] == before[ABP] - 1 and np.array_equal(np.delete(after, ABP), np.delete(before, ABP))


def test_hold_within_the_window_and_before_it():
    tokens = torch.arange(6.0).reshape(1, 1, 6, 1)
    presence = torch.tensor([[[False, True, False, False, True, False]]])
    dirty = torch.where(presence[..., None], tokens, torch.full_like(tokens, float("nan")))
    state = Fused(dirty, presence, torch.zeros(1, 1), dirty, torch.zeros(1, 1))
    last = HoldImputer(torch.full((1, 1, 1), 9.0)).impute(None, state)  # type: ignore[arg-type]
    assert last.flatten().tolist() == [9, 1, 1, 1, 4, 4]
    by_slot = HoldImputer(10.0 + tokens).impute(None, state)  # type: ignore[arg-type]
    assert by_slot.flatten().tolist() == [10, 1, 1, 1, 4, 4]


def test_regressions_beat_the_mean(world):
    """On patients of the fit, and of a delay regression on new ones (eight patients say little of others)."""
    model, train, test, rivals = world
    r2 = {}
    for name, group in (("train", train), ("test", test)):
        rows = usable_rows(group, 60, 3)
        ages = np.zeros((len(rows), M))
        ages[:, ABP] = 240.0
        methods = {k: v for k, v in rivals.methods(group).items() if k in ("ridge", "train mean", "delay regression")}
        lost = lose(group, TokenBank(model, group), rows, ages, rivals.mean)
        found = run_methods(model, lost, rivals.mean, methods)
        r2 |= {(name, k): 1 - x[1][:, ABP].sum() / x[2][:, ABP].sum() for k, x in found.items()}
    assert r2["test", "train mean"] == pytest.approx(0.0, abs=1e-6)
    assert r2["train", "ridge"] > 0.2 and r2["test", "delay regression"] > 0.1


def test_delay_regression_follows_the_delay(world):
    """The material's slope is exact: the regression finds the pressure that hold misses."""
    lost = lost_abp(world, 300.0)
    held, moved, _ = anchored_pressure(lost.context, CI.modalities)
    true = truths(world[2], lost.rows, CI.modalities)["map"]
    assert np.abs(moved.numpy() - true).mean() < 0.3 * np.abs(held.numpy() - true).mean()
    unknown = anchored_pressure(torch.full_like(lost.context, float("nan")), CI.modalities)
    assert all(torch.isnan(v).all() for v in unknown)


@pytest.mark.parametrize("modality", [Modality.ECG, Modality.ABP, Modality.PPG])
def test_template_redraws_the_wave_it_was_taken_from(world, modality):
    _, _, test, _ = world
    wave = test.dataset.signals(np.array([3]))[0, CI.modalities.index(modality)]
    beats = beats_of(modality, wave)
    beat = average_beat(modality, wave, beats)
    assert beat is not None
    again = drawn(modality, beat, beats, len(wave))
    assert np.corrcoef(again, wave)[0, 1] > 0.95
    assert average_beat(modality, wave, beats[:2]) is None


def test_template_takes_its_beats_from_another_sensor(world):
    _, _, test, rivals = world
    lost = lost_abp(world)
    template = rivals.template.of(test)
    true = beats_of(Modality.ABP, test.dataset.signals(lost.rows[:1])[0, ABP])
    found = template.times(lost, 0, ABP)
    assert found is not None and np.abs(found[:, None] - true).min(1).max() < 0.1
    assert template.times(lost_abp(world, ecg=240.0), 0, ABP) is not None  # from the PPG
    wave = template.wave(lost, 0, ABP, 91.0)
    assert wave is not None and abs(float(wave.mean()) - 91.0) < 4.0


def test_memory_token_learns_what_complete_windows_give(world):
    """Started far from the mean it comes back; nothing else is touched."""
    model, train, _, rivals = world
    rows = usable_rows(train, 64, 0)
    ages = np.full((len(rows), M), 240.0)
    bank = TokenBank(model, train)
    far = rivals.mean + 2.0 * torch.randn(rivals.mean.shape, generator=torch.Generator().manual_seed(0))
    before = {name: p.clone() for name, p in model.named_parameters()}
    found = memory_token(model, train, bank, rows, ages, far, 0)
    ages[:, 0] = 0.0
    lost = lose(train, bank, rows, ages, rivals.mean)
    state, _ = first_pass(model, lost)
    distance = []
    with torch.no_grad():
        goal, _ = model.pass_two(state.tokens, lost.complete, state.presence, state.embedded)
        for token in (found, far):
            fused, _ = model.pass_two(state.tokens, token.expand_as(state.tokens), state.presence, state.embedded)
            distance.append(float((fused - goal).square().mean()))
    assert distance[0] < 0.9 * distance[1]
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in model.named_parameters())


def test_heads_find_linear_truth_and_leave_out_the_unknown():
    rng = np.random.default_rng(1)
    x, patient = rng.normal(size=(600, 30)), np.arange(600) // 20
    truth = {task: np.full(600, np.nan) for task in TASKS}
    truth["map"] = 80 + 5 * x[:, 0] - 3 * x[:, 1]
    truth["map"][::7] = np.nan
    truth["hypotension_5"] = (rng.random(600) < 1 / (1 + np.exp(-3 * x[:, 2]))).astype(float)
    heads = fit_heads(x, truth, patient)
    found = heads.predict(x)
    assert set(found) == {"map", "hypotension_5"}
    errors = window_errors(found, truth)
    assert np.nanmean(errors["map"]) < 0.2 and np.isnan(errors["map"][::7]).all()
    assert errors["hypotension_5"].mean() < 0.9 * np.var(truth["hypotension_5"])


def test_heart_rate_of_padded_times():
    times = np.array([[0.0, 0.8, 1.6, 2.4, np.nan], [0.5, np.nan, np.nan, np.nan, np.nan]])
    assert heart_rate(times)[0] == pytest.approx(75.0) and np.isnan(heart_rate(times)[1])


def test_usable_rows_are_spread_over_patients(world):
    test = world[2]
    rows = usable_rows(test, 25, 0)
    assert np.bincount(test.dataset.patient_of[rows]).tolist() == [5] * 5
    assert (test.labels["end_s"][rows] >= 660).all() and len(np.unique(rows)) == 25


def test_comparison_covers_subsets_imputers_and_heads(world):
    model, train, test, _ = world
    scores = compare(prepare(model, train, test, SHORT, 0), lambda *a: None, which=(0, 13, 15))
    assert isinstance(scores, Scores) and set(scores.imputers) == set(METHODS)
    # With nothing lost every imputer gives the same errors.
    for imputer in METHODS:
        assert np.array_equal(scores.get(15, imputer, "frozen", "map"), scores.get(15, "oracle", "frozen", "map"))
    assert scores.modalities[ABP] == "ABP" and name_of(13, scores.modalities) == "ECG + PPG + EEG"
    oracle = scores.get(13, "oracle", "frozen", "map")
    assert not np.array_equal(oracle, scores.get(13, "mask token", "frozen", "map"))
    assert np.nansum(scores.get(13, "oracle", "tokens", "residual_ABP")) == 0
    assert np.isnan(scores.get(13, "mask token", "tokens", "residual_ABP")).all()
    assert np.isfinite(scores.get(0, "restoration", "refitted", "map")).all()
    never = NEVER.ages(np.random.default_rng(0), 3, M)
    assert np.isinf(never).all() and (ANCHORED.ages(np.random.default_rng(0), 500, M) >= 60).all()
