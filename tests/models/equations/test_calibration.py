"""Temperature, conformal widening and the figures of both, computed once more by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.batches.group import Losses
from models.batches.predict import Outputs
from models.data.labels import HORIZONS_S
from models.evaluation.calibration import interval_rows, pooled_risks, risk_rows
from models.networks.heads import ENSEMBLE, HypotensionHead
from models.runtime.calibration import half_width
from models.runtime.spec import Conformal
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from models.training import calibrate
from models.training.calibrate import conformal_quantile, conformal_table
from tests.models.equations.material import TINY, M, N

AGE = CONTEXT_FIELDS.index("age_s")
ABP, EEG = (TINY.modalities.index(m) for m in (Modality.ABP, Modality.EEG))


# -- temperature ------------------------------------------------------------------------------------------------------


def test_logits_are_divided_by_the_temperature_of_what_is_missing() -> None:
    head = HypotensionHead(5, M)
    with torch.no_grad():
        head.temperature.fill_(0.7)
        head.temperature_missing.copy_(torch.tensor([0.5, -1.0, 2.0, 0.0]))
    presence = torch.zeros(1, M, N, dtype=torch.bool)
    presence[0, 0], presence[0, 1, 0] = True, True  # of ABP one frame of five, nothing of the others
    logits = torch.linspace(-3, 3, ENSEMBLE * 3).reshape(1, ENSEMBLE, 3)
    temperature = math.log1p(math.exp(0.7 + 0.0 * 0.5 - 1.0 * 0.8 + 2.0 + 0.0))
    torch.testing.assert_close(head.cooled(logits, presence), logits / (temperature + 1e-3))
    with torch.no_grad():
        head.offset.copy_(torch.tensor([0.1, -0.2, 0.3]))
        head.offset_missing[1] = torch.tensor([1.0, 2.0, -1.0])  # of ABP, four fifths missing
        head.offset_missing[0] = 9.0  # of what is there
    moved = torch.tensor([0.1 + 0.8, -0.2 + 1.6, 0.3 - 0.8])
    torch.testing.assert_close(head.cooled(logits, presence), logits / (temperature + 1e-3) + moved)


def test_an_offset_by_horizon_and_by_what_is_missing_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Risks that are too high at one horizon, and more so without an ABP, are shown as often as they come true."""
    logits, presence, labels = made_outputs(1.0, windows=6000)
    wrong = np.array([0.0, 0.6, 1.2]) * (1.0 + (~presence[:, ABP, 0])[:, None])
    head = HypotensionHead(5, M)
    given = logits + wrong[:, None].astype(np.float32)
    monkeypatch.setattr(calibrate, "predict", lambda *args, **named: SimpleNamespace(values={"hazard_logits": given}))
    calibrate.fit_temperature(SimpleNamespace(hypotension=head), group_of(presence, labels), 0)  # type: ignore[arg-type]
    with torch.no_grad():
        for use in (presence[:, ABP, 0], ~presence[:, ABP, 0]):
            shown = head.cooled(torch.from_numpy(given[use]), torch.from_numpy(presence[use])).numpy()
            hazard = (1.0 / (1.0 + np.exp(-shown))).mean(1)
            before = np.concatenate([np.zeros((int(use.sum()), 1)), labels[use][:, :-1]], axis=1)
            for h in range(3):
                counts = (before[:, h] == 0) & np.isfinite(labels[use][:, h])
                assert hazard[counts, h].mean() == pytest.approx(labels[use][counts, h].mean(), abs=0.03)


def made_outputs(temperature: float, windows: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits that are too sure by ``temperature`` (twice that without ABP), presence, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    presence = np.ones((windows, M, N), np.bool_)
    presence[: windows // 2, ABP] = False
    true = rng.normal(-0.5, 1.5, (windows, 3))
    factor = np.where(presence[:, ABP, 0], temperature, 2.0 * temperature)[:, None]
    event = rng.random((windows, 3)) < 1 / (1 + np.exp(-true))
    labels = np.maximum.accumulate(event, axis=1).astype(np.float32)
    labels[rng.random(windows) < 0.1, 2] = np.nan
    logits = np.repeat((true * factor)[:, None], ENSEMBLE, axis=1).astype(np.float32)
    return logits, presence, labels


def test_the_temperature_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hazard of an interval counts until the first event: after it, logits say nothing, here the opposite."""
    logits, presence, labels = made_outputs(2.0)
    before = np.concatenate([np.zeros((len(labels), 1)), labels[:, :-1]], axis=1)
    logits = np.where((before == 1)[:, None], -5.0 * np.abs(logits), logits)
    head = HypotensionHead(5, M)
    model = SimpleNamespace(hypotension=head)
    monkeypatch.setattr(calibrate, "predict", lambda *args, **named: SimpleNamespace(values={"hazard_logits": logits}))
    calibrate.fit_temperature(model, group_of(presence, labels), 0)  # type: ignore[arg-type]
    with torch.no_grad():
        for use, expected in ((presence[:, ABP, 0], 2.0), (~presence[:, ABP, 0], 4.0)):
            some = torch.from_numpy(presence[use][:1])
            one, none = (head.cooled(torch.full((1, 1, 3), float(x)), some)[0, 0] for x in (1, 0))
            found = 1.0 / float((one - none).mean())  # a slope, whatever the offset
            assert found == pytest.approx(expected, rel=0.12)
    assert not any(parameter.requires_grad for parameter in head.fitted_later)


def group_of(presence: np.ndarray, labels: np.ndarray, **more: np.ndarray) -> SimpleNamespace:
    class Windows(SimpleNamespace):
        def __len__(self) -> int:
            return len(labels)

    context = np.full((len(labels), M, len(CONTEXT_FIELDS)), np.nan, np.float32)
    context[..., AGE] = more.pop("age_s", np.zeros((len(labels), M)))

    def draw(rng: object, rows: np.ndarray, plan: object) -> Losses:
        return Losses(presence[rows], context[rows])

    return Windows(draw=draw, labels={"hypotension": labels} | more)


# -- conformal widening -----------------------------------------------------------------------------------------------


def test_the_quantile_is_of_one_more() -> None:
    scores = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 9.0, 7.0, 6.0, 8.0, 10.0])
    assert conformal_quantile(scores, 0.8) == 9.0  # ⌈11 · 0.8⌉ = the ninth smallest; without the one more the eighth
    assert conformal_quantile(scores[:9], 0.5) == 5.0 and conformal_quantile(scores, 0.99) == 10.0


def by_hand_table(lo, hi, truth, missing, age, ages, shares=(0.0, 0.3, 0.6, 1.0)) -> list[list[float]]:  # type: ignore[no-untyped-def]
    """The ⌈(n + 1) 0.8⌉-th smallest distance outside of [lo, hi], of the windows of a bin, never negative."""
    score = np.maximum(lo - truth, truth - hi)
    table = []
    for i in range(len(shares) - 1):
        row = []
        for j in range(len(ages) - 1):
            old = (age >= ages[j]) & (age < ages[j + 1])
            if j == len(ages) - 2:  # older still, and never measured, are here too
                old = ~(age < ages[j])
            some = old & (missing >= shares[i]) & ((missing < shares[i + 1]) | (i == len(shares) - 2))
            chosen = [s for s, use in zip(score, some, strict=True) if use and np.isfinite(s)]
            if len(chosen) < 40:
                chosen = [s for s, use in zip(score, old, strict=True) if use and np.isfinite(s)]
            if len(chosen) < 40:
                chosen = [s for s in score if np.isfinite(s)]
            chosen.sort()
            row.append(max(0.0, chosen[math.ceil((len(chosen) + 1) * 0.8) - 1]))
        table.append(row)
    return table


def test_widening_by_share_and_age() -> None:
    rng = np.random.default_rng(0)
    n = 6000
    missing, age = rng.uniform(0, 1, n), np.exp(rng.uniform(np.log(8), np.log(3000), n))
    age[:300] = np.nan  # never measured: as the oldest
    truth = rng.normal(size=n) * (1 + 2 * missing + np.nan_to_num(age, nan=1700) / 300)
    truth[300:350] = np.nan
    lo, hi = np.full(n, -1.0), np.full(n, 1.5)
    hi[missing < 0.3] = 60.0  # far too wide where little is missing: widened by 0, not narrowed
    lo[missing < 0.3] = -60.0
    found = conformal_table(lo, hi, truth, missing, age, by_age=True)
    ages = [0.0, 30.0, 60.0, 180.0, 600.0, 1800.0]
    assert found.age_edges_s == ages and found.missing_edges == [0.0, 0.3, 0.6, 1.0]
    np.testing.assert_allclose(found.widen, by_hand_table(lo, hi, truth, missing, age, ages), atol=6e-4)
    assert set(found.widen[0]) == {0.0}
    one = conformal_table(lo, hi, truth, missing, age, by_age=False)
    np.testing.assert_allclose(one.widen, by_hand_table(lo, hi, truth, missing, age, [0.0, 1800.0]), atol=6e-4)


def test_each_quantity_is_widened_by_its_own_errors_where_it_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pressures of the newest frame where the ABP is absent then; depth with 15 s of EEG at least."""
    rng = np.random.default_rng(1)
    n, config = 700, replace(TINY, frame_s=6, frame_step_s=6)  # 15 s are three frames of five
    presence = rng.random((n, M, N)) < 0.6
    presence[: n // 3, EEG] = False
    age = np.exp(rng.uniform(np.log(8), np.log(3000), (n, M)))
    pressures = rng.normal(80, 8, (n, N, 3)) * np.array([1.0, 1.5, 0.7])
    depth = rng.uniform(20, 80, n)
    middle = np.array([82.0, 118.0, 57.0])
    quantiles = np.broadcast_to(np.stack([middle - 1, middle, middle + 2], -1), (2 * n, 3, 3)) + 0.0
    said = np.broadcast_to(np.array([45.0, 50.0, 55.0]), (2 * n, 3)) + 0.0
    group = group_of(presence, np.zeros((n, 3), np.float32), age_s=age, pressures=pressures, depth=depth)
    group.presence = presence

    def predict(model: object, group: object, rows: np.ndarray, lost: Losses, names: tuple[str, ...]) -> Outputs:
        assert set(names) == {"pressure", "depth"}
        return Outputs(rows, lost, {"pressure": quantiles, "depth": said})

    monkeypatch.setattr(calibrate, "predict", predict)
    fitted: list[object] = []
    monkeypatch.setattr(calibrate, "fit_temperature", lambda model, group, seed: fitted.append(group))
    found = calibrate.calibrate(SimpleNamespace(config=config), group, 0)  # type: ignore[arg-type]
    assert fitted == [group] and set(found) == {"map", "sbp", "dbp", "depth"}
    twice = np.repeat(np.arange(n), 2)
    missing = 1.0 - presence.mean((1, 2))[twice]
    absent = ~presence[twice, ABP, -1]
    ages = [0.0, 30.0, 60.0, 180.0, 600.0, 1800.0]
    for i, name in enumerate(("map", "sbp", "dbp")):
        truth = np.where(absent, pressures[twice, -1, i], np.nan)
        expected = by_hand_table(
            quantiles[:, i, 0], quantiles[:, i, 2], truth, missing, age[twice, ABP].astype(np.float32), ages
        )
        np.testing.assert_allclose(found[name].widen, expected, atol=6e-4)
    truth = np.where(presence[twice, EEG].sum(-1) >= 3, depth[twice], np.nan)
    expected = by_hand_table(said[:, 0], said[:, 2], truth, missing, age[twice, EEG], [0.0, 1800.0])
    np.testing.assert_allclose(found["depth"].widen, expected, atol=6e-4)


# -- the figures ------------------------------------------------------------------------------------------------------

TABLE = Conformal([0.0, 0.5, 1.0], [0.0, 60.0, 1800.0], [[1.0, 2.0], [3.0, 4.0]])


def test_coverage_before_and_after_the_widening_of_what_is_restored() -> None:
    rng = np.random.default_rng(2)
    n = 400
    presence = rng.random((n, M, N)) < 0.5
    age = rng.uniform(0, 1700, (n, M)).astype(np.float32)
    pressures = rng.normal(80, 6, (n, N, 3))
    middle = rng.normal(80, 1, (n, 3, 1))
    quantiles = middle + np.array([-3.0, 0.0, 4.0])
    group = group_of(presence, np.zeros((n, 3), np.float32), age_s=age)
    labels = {"pressures": pressures}
    p = SimpleNamespace(
        group=group, rows=np.arange(n), modalities=tuple(str(m) for m in TINY.modalities), label=labels.__getitem__,
        of=lambda lost: Outputs(np.arange(n), lost, {"pressure": quantiles}),
    )  # fmt: skip
    rows = {
        (r["quantity"], r["missing"], r["age"]): r
        for r in interval_rows(p, dict.fromkeys(("map", "sbp", "dbp"), TABLE), 0)  # type: ignore[arg-type]
    }
    absent, missing = ~presence[:, ABP, -1], 1.0 - presence.mean((1, 2))
    widen = np.array([half_width(TABLE, m, a) for m, a in zip(missing, age[:, ABP], strict=True)])
    for i, name in enumerate(("MAP", "SBP", "DBP")):
        truth = pressures[:, -1, i]
        lo, hi = quantiles[:, i, 0], quantiles[:, i, 2]
        for key, use in (
            (("all", "all"), absent), (("30%–60%", "all"), absent & (missing >= 0.3) & (missing < 0.6)),
            (("all", "60–180 s"), absent & (age[:, ABP] >= 60) & (age[:, ABP] < 180)),
        ):  # fmt: skip
            row = rows[name, *key]
            before = ((truth >= lo) & (truth <= hi))[use].mean()
            after = ((truth >= lo - widen) & (truth <= hi + widen))[use].mean()
            assert row["windows"] == use.sum() and before < after
            assert (row["coverage_raw"], row["coverage"]) == (pytest.approx(before), pytest.approx(after))
            assert row["width_raw"] == pytest.approx(7.0) and row["width"] == pytest.approx(7.0 + 2 * widen[use].mean())


def test_risks_before_and_after_the_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    n = 60
    logits = rng.normal(size=(n, ENSEMBLE, 3))
    cooled = logits / 2.0

    def risk(z: np.ndarray) -> np.ndarray:
        return (1.0 - np.cumprod(1.0 - 1.0 / (1.0 + np.exp(-z)), axis=-1)).mean(1)

    labels = {
        "hypotensive_now": rng.random(n) < 0.2,
        "hypotension": np.maximum.accumulate(rng.random((n, 3)) < 0.4, axis=1) * 1.0,
    }  # fmt: skip
    labels["hypotension"][5:9, 1:] = np.nan
    values = {"risk": risk(cooled), "hazard_logits": logits}

    class Passed(SimpleNamespace):
        def __call__(self, setting: object) -> SimpleNamespace:
            return SimpleNamespace(values=values)

    p = Passed(modalities=("ECG", "ABP"), label=labels.__getitem__)
    use = ~labels["hypotensive_now"]
    pooled = pooled_risks(p)  # type: ignore[arg-type]
    assert {k: len(v[2]) for k, v in pooled.items()} == {0: use.sum(), 1: 2 * use.sum()}
    np.testing.assert_allclose(pooled[0][0], risk(cooled)[use])
    np.testing.assert_allclose(pooled[0][1], risk(logits)[use], rtol=1e-6)
    rows = risk_rows(p)  # type: ignore[arg-type]
    for j in range(len(HORIZONS_S)):
        row = next(r for r in rows if r["absent"] == 0 and r["minutes"] == HORIZONS_S[j] / 60)
        known = use & np.isfinite(labels["hypotension"][:, j])
        event = labels["hypotension"][known, j]
        assert row["windows"] == known.sum() and row["prevalence"] == pytest.approx(event.mean())
        for name, z in (("before", logits), ("after", cooled)):
            assert row[f"brier_{name}"] == pytest.approx(((risk(z)[known, j] - event) ** 2).mean())
