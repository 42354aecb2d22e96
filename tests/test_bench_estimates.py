"""The benchmark of what is shown: losses as the pipeline makes them, and its figures by another computation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from benchmarks.estimates import moves
from benchmarks.estimates.fit import (
    auroc_interval,
    half_width_of,
    inside,
    patient_intercepts,
    patient_quantile,
    pressure_table,
    risk_table,
    unrest_weight,
)
from benchmarks.estimates.moves import equal_shares, fitted_moves, moved, unseen
from benchmarks.estimates.own_ridge import own_ridge
from benchmarks.estimates.patients import BLOCK, cut, lost, records
from benchmarks.estimates.replay import OTHERS, Rows, Setting, Told, replay, together
from benchmarks.estimates.replay import settings as every_setting
from benchmarks.estimates.tables import (
    against_best,
    covers,
    late_gain,
    never_worse,
    pressure_section,
    risk_section,
    verdicts,
)
from benchmarks.offline import drive
from models.data.simulator import simulate_patient
from models.data.windows import grid_signal
from models.runtime.bundle import load_bundle
from models.runtime.engine import Engine
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.pressure_estimate import Evidence
from models.runtime.spec import PressureMoves, PriorSlope
from models.signals.channels import map_channels
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec

SPEC = WindowSpec()
SECONDS, LOST_AT = 150, 100


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning need not be finished to be judged."""
    monkeypatch.setattr(moves, "STEPS", 120)


def some_rows(count: int, seed: int, age: float = 60.0, others: str = "ECG+PPG", patients: int = 8) -> Rows:
    """Random rows in which the risk says nothing and the estimates are a little off."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(80.0, 10.0, (count, 3))
    estimate = truth + rng.normal(0.0, 4.0, (count, 3))
    risk = rng.uniform(0.05, 0.6, (count, 3))
    anchor = truth[:, 0] + rng.normal(0.0, 4.0, count)
    return Rows(
        patient=rng.integers(0, patients, count), others=np.full(count, others, "U16"), abp_age_s=np.full(count, age),
        end_s=np.arange(count, dtype=np.float64), reason=np.full(count, "", "U60"), risk=risk, risk_lo=risk / 2,
        risk_hi=(1 + risk) / 2, label=(rng.random((count, 3)) < 0.4).astype(np.float64),
        hypotensive=np.zeros(count, np.bool_), level=rng.normal(85.0, 8.0, count), estimate=estimate, lo=estimate - 5.0,
        hi=estimate + 5.0, truth=truth, hold=anchor, regression=anchor, ridge=anchor,
        means=np.stack([anchor + rng.normal(0.0, 2.0, count)] * 3, 1), evidence=some_evidence(anchor, age, rng),
    )  # fmt: skip


def some_evidence(level: np.ndarray, age: float, rng: np.random.Generator, scatter: float = 0.0) -> np.ndarray:
    """Signs that changed at random; the patient's own scatter is that of its first sign alone."""
    found = np.empty(len(level), np.object_)
    for i, value in enumerate(level.tolist()):
        found[i] = Evidence(
            value, age, float(rng.normal(0.0, 3.0)), rng.normal(0.0, 1.0, 3), np.ones(3, np.bool_),
            np.diag([scatter, 0.0, 0.0]), np.zeros(3), 0.0, np.zeros(3),
        )  # fmt: skip
    return found


def joined(*parts: Rows) -> Rows:
    return Rows(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in Rows.__dataclass_fields__})


def with_(rows: Rows, **changed: np.ndarray) -> Rows:
    return Rows(**({n: getattr(rows, n) for n in Rows.__dataclass_fields__} | changed))


# -- losses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [Modality.ABP, Modality.ECG])
def test_a_loss_after_the_fact_is_the_loss_of_the_live_pipeline(gone: Modality) -> None:
    patient = simulate_patient(9_300_001, duration_s=float(SECONDS), faults=False)
    channels = map_channels(patient)
    clean = grid_signal(channels, Modality.ABP, SECONDS, patient.read_clean)
    known = cut("one", channels, SPEC, 1, clean)
    withheld = {gone: [(float(LOST_AT), 1e9)]}
    live = {w.end_s: w for _, out in drive(channels, SPEC, withheld) for w in out.windows}
    row = SPEC.modalities.index(gone)
    compared = [i for i, w in enumerate(known.windows) if LOST_AT < w.end_s <= SECONDS]
    ages = np.zeros((len(compared), len(SPEC.modalities)))
    ages[:, row] = [known.windows[i].end_s - LOST_AT for i in compared]
    for made in lost(known, compared, ages, SPEC):
        true = live[made.end_s]
        np.testing.assert_array_equal(made.presence, true.presence)
        np.testing.assert_array_equal(made.cells, true.cells)
        np.testing.assert_allclose(made.context, true.context, rtol=1e-5, atol=1e-5)
        assert (made.newest[gone] is None) == (true.newest[gone] is None) is False
        assert made.findings.rhythm == true.findings.rhythm
        assert made.findings.pulse_of(Modality.PPG) == true.findings.pulse_of(Modality.PPG)
        assert made.findings.pulse_of(Modality.ABP) == true.findings.pulse_of(Modality.ABP)


def test_the_replay_shows_what_the_live_engine_shows() -> None:
    """Told what it remembers, the engine says of a loss what it says when it has lived through it."""
    patient = simulate_patient(9_300_001, duration_s=float(SECONDS), faults=False)
    channels = map_channels(patient)
    known = cut("one", channels, SPEC, 5, grid_signal(channels, Modality.ABP, SECONDS, patient.read_clean))
    bundle = load_bundle()
    told = Told(bundle, OnnxBackend(bundle.model_path, bundle.spec, threads=1))
    age = SECONDS - LOST_AT
    (row,) = (r for r in replay(told, known, 0, [Setting(frozenset(OTHERS), float(age))]) if len(r))
    last = int(np.flatnonzero(row.end_s == SECONDS)[0])

    live = Engine(bundle, OnnxBackend(bundle.model_path, bundle.spec, threads=1))
    withheld = {Modality.ABP: [(float(LOST_AT), 1e9)]}
    windows = [w for _, out in drive(channels, SPEC, withheld) for w in out.windows if w.end_s <= SECONDS]
    prediction = [live.predict([w], ["bed"])[0] for w in windows][-1]
    assert prediction.window_end_s == SECONDS
    beside = live.memory_of("bed")
    assert beside.past == pytest.approx(known.past(LOST_AT).numbers(), rel=1e-6, abs=1e-6)
    then = known.look(LOST_AT)
    assert then is not None and beside.pleth == pytest.approx((then.rate, then.form))
    assert prediction.pressures is not None
    for i, (name, close) in enumerate({"map": 0.05, "sbp": 1.0, "dbp": 1.0}.items()):
        # The live form of the pulse is smoothed over some seconds.
        estimate = prediction.pressures[name]
        assert row.estimate[last, i] == pytest.approx(estimate.value, abs=close)
        assert row.hi[last, i] - row.lo[last, i] == pytest.approx(estimate.hi - estimate.lo, abs=1e-3)
    said = [r.value for r in prediction.risk.values()]  # none where the table shows none without a pressure
    assert said == (pytest.approx(row.risk[last].tolist(), abs=0.01) if np.isfinite(row.risk[last]).all() else [])
    assert row.truth[last, 0] == pytest.approx(known.pressures[-1, 0])


def test_every_subset_at_every_age() -> None:
    found = every_setting([0.0, 60.0])
    assert len(found) == len(set(found)) == 16
    assert found[0] == Setting(frozenset({Modality.ECG, Modality.PPG, Modality.EEG}), 0.0)
    assert {s.others for s in found} >= {"ECG+PPG+EEG", "PPG", ""}


def test_calibration_and_report_share_no_group_nor_neighbours(tmp_path: Path) -> None:
    names = [f"r{i:03d}" for i in range(80)]
    (tmp_path / "index.csv").write_text("record,group\n" + "".join(f"{n},{i // 2}\n" for i, n in enumerate(names)))
    for name in names:
        (tmp_path / f"{name}.hea").write_text("")
        (tmp_path / f"{name}.dat").write_bytes(b"")
    parts = {use: {int(group) for group, _ in records(tmp_path, use)} for use in (True, False)}
    assert parts[True] and parts[False]
    assert min(abs(a - b) for a, b in product(*parts.values())) > 1
    assert len(records(tmp_path, None)) == 80
    assert not any(group % BLOCK == 0 for part in parts.values() for group in part)


# -- figures -----------------------------------------------------------------------------------------------------------


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    rows = some_rows(200, 1)
    score, positive = rows.risk[:, 1], rows.label[:, 1] > 0.5
    pairs = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    area, lo, hi = auroc_interval(rows, score, 1)
    assert area == pytest.approx(np.mean(pairs))
    assert lo < area < hi
    few = rows.where(rows.patient < 3)
    assert np.isnan(auroc_interval(few, few.risk[:, 1], 1)).all()


def test_coverage_counts_what_lies_within() -> None:
    rows = some_rows(300, 2)
    expected = [
        sum(lo <= t <= hi for t, lo, hi in zip(rows.truth[:, i], rows.lo[:, i], rows.hi[:, i], strict=True)) / 300
        for i in range(3)
    ]
    assert covers(rows) == pytest.approx(expected)


@given(st.lists(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=6), min_size=1, max_size=5))
def test_every_patient_counts_the_same_in_a_quantile(values: list[list[float]]) -> None:
    patient = np.repeat(np.arange(len(values)), [len(v) for v in values])
    flat = np.concatenate([np.array(v) for v in values])
    found = patient_quantile(flat, patient)
    share = np.mean([np.mean(np.array(v) <= found) for v in values])
    below = np.mean([np.mean(np.array(v) < found) for v in values])
    assert share >= 0.8 - 1e-9
    assert below < 0.8


def test_every_source_counts_the_same_in_a_quantile() -> None:
    """Ninety patients of one source all err by 1, ten of the other by 1 to 10: four fifths of both are at 6."""
    values = np.concatenate([np.ones(90), np.arange(1.0, 11.0)])
    source = np.repeat([1, 2], [90, 10])
    assert patient_quantile(values, np.arange(100), source) == 6.0
    assert patient_quantile(values, np.arange(100)) == 1.0


def test_simulated_patients_speak_only_where_real_ones_are_silent() -> None:
    real = [some_rows(300, i, 30.0, others, 40) for i, others in enumerate(("ECG+PPG", "PPG"))]
    wild = [
        some_rows(300, 5 + i, age, others, 40)
        for i, (age, others) in enumerate(product((30.0, 600.0), ("ECG+PPG", "PPG")))
    ]
    off = np.random.default_rng(9).choice([-15.0, 15.0], 300)
    wild = [with_(r, truth=np.column_stack([r.hold + off, r.truth[:, 1:]])) for r in wild]
    rows = together([*wild, *real])
    table = pressure_table(rows, np.repeat([0, 1], [1200, 600]))
    young, old = table.half_mmhg["with ECG"]["map"]
    assert young < 7.0 < old


@pytest.mark.parametrize(("shift", "deviation"), [(0.0, 1.0), (0.8, 0.5), (-2.0, 0.05)])
def test_the_half_width_holds_four_fifths(shift: float, deviation: float) -> None:
    drawn = np.random.default_rng(3).normal(shift, deviation, 200_000)
    half = half_width_of(shift, deviation)
    assert np.mean(np.abs(drawn) <= half) == pytest.approx(0.8, abs=0.005)
    assert inside(half, shift, deviation) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("deviation", [0.2, 1.2])
def test_how_far_patients_lie_from_what_is_said_is_found_again(deviation: float) -> None:
    rng = np.random.default_rng(4)
    patient = np.repeat(np.arange(150), 40)
    risk = rng.uniform(0.1, 0.7, len(patient))
    odds = np.log(risk / (1 - risk)) + 0.5 + rng.normal(0.0, deviation, 150)[patient]
    positive = rng.random(len(patient)) < 1 / (1 + np.exp(-odds))
    shift, found = patient_intercepts(risk, positive, patient, 1.0)
    assert shift == pytest.approx(0.5, abs=0.2)
    assert found == pytest.approx(deviation, abs=0.2)


WORLD = PressureMoves(
    {"delay": PriorSlope(-4.0, 10.0), "rate": PriorSlope(1.0, 10.0), "form": PriorSlope(0.0, 10.0)},
    [60.0],
    {"mean_60s": [0.5], "step": [1.0], "line": [0.0]},
)


def of_a_world(count: int, seed: int, noise: float = 0.3) -> Rows:
    """Rows whose true MAP is what ``WORLD`` says."""
    rows = some_rows(count, seed)
    truth = rows.truth.copy()
    truth[:, 0] = moved(WORLD, rows) + np.random.default_rng(seed).normal(0.0, noise, count)
    return with_(rows, truth=truth)


def test_the_moves_of_a_world_are_found_again() -> None:
    rows = of_a_world(800, 5)
    found = fitted_moves(rows, np.ones(len(rows), np.int64))
    said = moved(found, rows)
    assert np.abs(said - rows.truth[:, 0]).mean() < 0.4
    assert found.weights["mean_60s"][-1] == pytest.approx(0.5, abs=0.05)
    assert found.prior["delay"].slope * found.weights["step"][-1] == pytest.approx(-4.0, abs=0.3)
    assert found.prior["rate"].slope * found.weights["step"][-1] == pytest.approx(1.0, abs=0.2)


def test_no_patient_has_a_part_in_its_own_error() -> None:
    """Patient 3 lives in another world; what is said of it must not know of that."""
    rows = of_a_world(400, 6)
    source = np.ones(len(rows), np.int64)
    mine = rows.patient == 3
    truth = rows.truth.copy()
    truth[mine, 0] += 30.0
    strange = with_(rows, truth=truth)
    np.testing.assert_array_equal(unseen(strange, source)[mine], unseen(rows, source)[mine])
    assert (unseen(strange, source)[~mine] != unseen(rows, source)[~mine]).any()


def test_each_source_and_patient_counts_the_same() -> None:
    rows = joined(some_rows(40, 1, patients=2), some_rows(10, 2, patients=5))
    source = np.repeat([1, 2], [40, 10])
    rows = with_(rows, patient=rows.patient + 10 * source)
    share = equal_shares(rows, source)
    for one in (1, 2):
        assert share[source == one].sum() == pytest.approx(1.0)
        of = rows.patient[source == one]
        each = [share[source == one][of == p].sum() for p in np.unique(of)]
        assert each == pytest.approx([1.0 / len(each)] * len(each))


def test_the_own_ridge_learns_from_its_patient_alone() -> None:
    patient = simulate_patient(9_300_002, duration_s=300.0, faults=False)
    channels = map_channels(patient)
    known = cut("one", channels, SPEC, 5, grid_signal(channels, Modality.ABP, 300, patient.read_clean))
    abp = SPEC.modalities.index(Modality.ABP)
    last = len(known.windows) - 1
    ages = np.zeros((1, len(SPEC.modalities)))
    ages[0, abp] = 60.0
    (window,) = lost(known, [last], ages, SPEC)
    assert abs(own_ridge(known, window, SPEC) - float(window.context[abp, 0])) < 40.0
    later = known.history.copy()
    later[0, window.end_s - 59 :, abp] = 500.0  # what the pressure was since must not be seen
    known_later = replace(known, history=later)
    assert own_ridge(known_later, window, SPEC) == own_ridge(known, window, SPEC)
    ages[0, abp] = np.inf
    assert np.isnan(own_ridge(known, lost(known, [last], ages, SPEC)[0], SPEC))


# -- tables ------------------------------------------------------------------------------------------------------------


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000))
def test_fitted_intervals_never_narrow(seed: int) -> None:
    parts = [
        some_rows(80, seed + i, age, others, patients=40)
        for i, (age, others) in enumerate(product((30.0, 120.0, 600.0), ("ECG+PPG", "PPG")))
    ]
    rows = joined(*parts)
    table = pressure_table(rows, rows.patient % 3)
    for name in ("map", "sbp", "dbp"):
        with_ecg, without = (table.half_mmhg[key][name] for key in ("with ECG", "without ECG"))
        assert with_ecg == sorted(with_ecg)
        assert without == sorted(without)
        assert all(a <= b for a, b in zip(with_ecg, without, strict=True))


def test_an_unsettled_pressure_widens_its_interval_where_it_errs_more() -> None:
    rows = with_(some_rows(2000, 1), others=np.where(np.arange(2000) % 2, "ECG+PPG", "PPG"))
    unrest = np.abs(rows.hold - rows.means[:, 1])
    error = np.random.default_rng(2).normal(0.0, 1.0 + unrest)
    estimate = rows.truth + error[:, None]
    worse = with_(rows, estimate=estimate, regression=estimate[:, 0])
    assert unrest_weight(worse, np.abs(error)) >= 0.8
    assert unrest_weight(rows, np.abs(rows.estimate[:, 0] - rows.truth[:, 0])) <= 0.3
    still = with_(
        worse, hold=estimate[:, 0], means=np.stack([estimate[:, 0] + unrest] * 3, 1), evidence=unmoved(estimate)
    )
    table = pressure_table(still, np.ones(len(rows), np.int64))
    half = table.half_mmhg["with ECG"]["map"][0] + table.unrest * unrest
    assert np.mean(np.abs(error) <= half) == pytest.approx(0.8, abs=0.03)


def unmoved(estimate: np.ndarray) -> np.ndarray:
    """Evidence that nothing has changed since the estimate was measured."""
    found = np.empty(len(estimate), np.object_)
    for i, value in enumerate(estimate[:, 0].tolist()):
        found[i] = Evidence(
            value, 60.0, 0.0, np.zeros(3), np.ones(3, np.bool_), np.eye(3), np.zeros(3), 0.0, np.zeros(3)
        )
    return found


def test_an_age_that_no_patient_reached_is_not_in_the_table() -> None:
    rows = joined(some_rows(60, 1, 30.0, "ECG+PPG"), some_rows(60, 2, 30.0, "PPG"), some_rows(5, 3, 600.0, "PPG"))
    assert pressure_table(rows, np.ones(len(rows), np.int64)).ages_s == [30.0]


def telling(rows: Rows) -> Rows:
    """The same with risks that know what comes."""
    return with_(rows, risk=0.2 + 0.6 * rows.label + 0.1 * rows.risk)


def test_only_what_is_better_than_a_coin_is_in_the_table() -> None:
    parts = [
        telling(some_rows(200, 1, 0.0, "ECG+PPG+EEG")),
        telling(some_rows(200, 2, 60.0, "ECG+PPG+EEG")),
        some_rows(200, 3, 120.0, "ECG+PPG+EEG"),
        telling(some_rows(200, 4, 300.0, "ECG+PPG+EEG")),  # luck beyond an age that showed nothing
        telling(some_rows(200, 5, 0.0, "ECG+PPG")),
        some_rows(200, 6, 60.0, "ECG+PPG"),
        some_rows(200, 7, 0.0, "EEG"),
        telling(some_rows(200, 8, 0.0, "")),  # fewer sensors than a set that showed nothing
    ]
    table = risk_table(joined(*parts), 60.0)
    assert {name: row.longest_s for name, row in table.sensors.items()} == {"ECG+PPG+EEG": 60.0, "ECG+PPG": 0.0}
    assert table.ages_s == [0.0, 60.0]
    more, fewer = (np.array(table.sensors[name].spread) for name in ("ECG+PPG+EEG", "ECG+PPG"))
    assert (fewer >= more).all()
    assert (np.diff(more, axis=0) >= 0).all()


def test_patients_of_two_sources_stay_apart() -> None:
    one, two = some_rows(50, 1, patients=8), some_rows(50, 2, patients=5)
    found = together([one, two])
    assert len(set(found.patient.tolist())) == len(set(one.patient.tolist())) + len(set(two.patient.tolist()))
    np.testing.assert_array_equal(found.truth[50:], two.truth)


def test_the_report_says_what_is_no_better_than_chance() -> None:
    useless, good = some_rows(300, 1, 0.0, "EEG"), telling(some_rows(300, 2, 0.0, "ECG+PPG"))
    said = " ".join(verdicts(joined(useless, good), {"here": some_rows(300, 3)}))
    assert "NOT better than chance: EEG, ABP" in said
    assert "ECG, PPG, ABP" not in said
    assert "each is better" in " ".join(verdicts(good, {}))
    assert "here: MAP" in said


def test_the_report_says_where_the_estimate_loses() -> None:
    rows = joined(some_rows(300, 1, 60.0), some_rows(300, 2, 300.0))
    truth = rows.truth[:, 0]
    off = np.random.default_rng(1).choice([-1.0, 1.0], len(rows))
    both = with_(rows, hold=truth + 4 * off, regression=truth + 3 * off)
    estimate = rows.truth.copy()
    estimate[:, 0] = truth + 2.0 * off
    better = with_(both, estimate=estimate)
    assert against_best(better).estimate == pytest.approx(-1.0) and against_best(better).hi < 0
    assert "excludes 0 in 0." in never_worse("here", better)
    assert "error 33 %" in late_gain("here", better) and "15 %: yes" in late_gain("here", better)
    estimate = rows.truth.copy()
    estimate[:, 0] = truth + 5.0 * off
    worse = with_(both, estimate=estimate)
    assert (
        "of 2 ages and subsets the error is above that of the better of hold and delay regression in 2"
        in never_worse("here", worse)
    )
    assert "PPG and ECG after 60 s +2.00" in never_worse("here", worse)
    assert "15 %: NO" in late_gain("here", worse)


def test_what_is_never_shown_has_a_row_without_figures() -> None:
    nothing = np.full((60, 3), np.nan)
    rows = with_(
        some_rows(60, 1), risk=nothing, risk_lo=nothing, risk_hi=nothing, estimate=nothing, lo=nothing, hi=nothing
    )
    assert "| 60 | 0 | – |" in risk_section(rows, 60.0)
    assert "| 60 | 0 | – |" in pressure_section({"here": rows})
