"""The estimated mean pressure, against another computation of it; what it must never do; what is kept for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.evaluation.delay_regression import delay_regression
from models.runtime.bundle import load_bundle
from models.runtime.pleth_look import LEAST_BEATS, PlethLook, PlethLooks, pleth_look, pleth_of
from models.runtime.pressure_estimate import LARGEST_MOVE_MMHG, estimated_map, evidence, moved_map
from models.runtime.pressure_past import (
    EVERY_S,
    FORGET_S,
    NUMBERS,
    PressurePast,
    beside_pressure,
)
from models.runtime.spec import PressureMoves, PriorSlope
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

SPEC = WindowSpec()
ROW = {m: i for i, m in enumerate(SPEC.modalities)}
C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
MOVES = PressureMoves(
    prior={"delay": PriorSlope(-2.5, 3.0), "rate": PriorSlope(0.5, 2.0), "form": PriorSlope(1.5, 4.0)},
    ages_s=[10.0, 100.0, 1000.0],
    weights={"mean_60s": [0.3, 0.5, 0.4], "step": [0.2, 0.6, 1.0], "line": [0.1, 0.4, 0.5]},
)
Sample = tuple[float, float, float, float]  # MAP, delay in s (NaN where not known), rate, form
NEAR = [(80.0, 0.30, 70.0, 0.40), (78.0, 0.31, 73.0, 0.39), (84.0, 0.29, 69.0, 0.42), (81.0, 0.30, 71.0, 0.41)] * 5


def rows(age_s: float = 200.0, **fields: float) -> tuple[np.ndarray, np.ndarray]:
    """Context of ABP and PPG: a MAP of 80 lost ``age_s`` ago, nothing changed since, but for ``fields``; ``delay``
    is what the PPG has now."""
    known = dict(level=80.0, mean_60s=80.0, mean_300s=80.0, ppg_delay_s=0.30, delay_slope=-100.0, delay=0.30) | fields
    abp, ppg = np.full((2, len(CONTEXT_FIELDS)), np.nan, np.float64)
    ppg[C["own_delay_s"]] = known.pop("delay")
    abp[C["age_s"]] = age_s
    for name, value in known.items():
        abp[C[name]] = value
    return abp, ppg


def past_of(samples: list[Sample]) -> PressurePast:
    past = PressurePast.none()
    for level, delay, rate, form in samples:
        past = past.add(level, delay, PlethLook(rate, form))
    return past


def estimate(samples: list[Sample], now: PlethLook | None, then: PlethLook | None, age_s: float = 200.0,
             **fields: float) -> float:  # fmt: skip
    seen = evidence(*rows(age_s, **fields), now, then, past_of(samples))
    assert seen is not None
    return moved_map(MOVES, seen)


def by_hand(samples: list[Sample], now: Sample, then: Sample, age_s: float, mean_60s: float) -> float:
    """The same from the samples themselves: weighted least squares with the prior as further observations."""
    table = np.array(samples)
    weight = np.exp(-EVERY_S / FORGET_S * np.arange(len(table))[::-1])
    y, x = table[:, 0], table[:, 1:] / [0.02, 1.0, 1.0]
    x[:, 1:] = np.log(x[:, 1:]) / 0.1
    middle, mean = np.average(x, axis=0, weights=weight), np.average(y, weights=weight)
    prior = [MOVES.prior[name] for name in ("delay", "rate", "form")]
    root = np.sqrt([p.weight for p in prior])
    slopes, *_ = np.linalg.lstsq(
        np.concatenate([np.sqrt(weight)[:, None] * (x - middle), np.diag(root)]),
        np.concatenate([np.sqrt(weight) * (y - mean), root * [p.slope for p in prior]]),
    )

    def signs(at: Sample) -> np.ndarray:
        return np.array([at[1] / 0.02, math.log(at[2]) / 0.1, math.log(at[3]) / 0.1])

    a, b, c = (np.interp(math.log(age_s), np.log(MOVES.ages_s), MOVES.weights[n]) for n in ("mean_60s", "step", "line"))
    level = then[0]
    return float(
        level + a * (mean_60s - level) + b * slopes @ (signs(now) - signs(then))
        + c * (mean + slopes @ (signs(now) - middle) - level)
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(68, 92), st.floats(0.27, 0.33), st.floats(60, 80), st.floats(0.35, 0.45)),
        min_size=12, max_size=40,
    ),
    st.tuples(st.floats(68, 92), st.floats(0.27, 0.33), st.floats(60, 80), st.floats(0.35, 0.45)),
    st.floats(10.0, 1000.0), st.floats(68.0, 92.0),
)  # fmt: skip
def test_it_is_the_regression_with_a_prior(samples: list[Sample], now: Sample, age_s: float, mean_60s: float) -> None:
    level, delay, rate, form = samples[-1]
    made = estimate(
        samples, PlethLook(*now[2:]), PlethLook(rate, form), age_s, level=level, mean_60s=mean_60s, ppg_delay_s=delay,
        delay=now[1],
    )  # fmt: skip
    expected = by_hand(samples, now, samples[-1], age_s, mean_60s)
    assume(abs(expected - level) < 0.9 * LARGEST_MOVE_MMHG)
    assert made == pytest.approx(expected, abs=1e-6)


def test_without_a_delay_the_others_speak_alone() -> None:
    """No ECG, now or ever: rate and form by their own moments, whatever stands in the delay's place."""
    deaf = [(level, math.nan, rate, form) for level, _, rate, form in NEAR]
    then, now = PlethLook(71.0, 0.41), PlethLook(64.0, 0.35)
    told = estimate(deaf, now, then, delay=math.nan, ppg_delay_s=math.nan)
    assert told == estimate(deaf, now, then, delay=0.36, ppg_delay_s=math.nan)
    assert told == estimate(NEAR, now, then, delay=math.nan, ppg_delay_s=0.30)
    assert told != estimate(NEAR, now, then)


@settings(max_examples=40, deadline=None)
@given(st.floats(1.0, 1e4), st.sampled_from([[], NEAR[:3]]))
def test_it_never_moves_where_nothing_has_changed(age_s: float, samples: list[Sample]) -> None:
    """With a past too short for a line there is nothing but the change since, and that is none."""
    look = PlethLook(71.0, 0.41)
    assert estimate(samples, look, look, age_s) == 80.0
    assert estimate(samples, None, look, age_s) == estimate(samples, look, None, age_s) == 80.0


def test_a_steady_patient_whose_pressure_stands_on_its_line_stays_there() -> None:
    steady = [(80.0, 0.30, 71.0, 0.41)] * 50
    look = PlethLook(71.0, 0.41)
    assert estimate(steady, look, look) == pytest.approx(80.0)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(20.0, 200.0), st.floats(-1e3, 1e3), st.floats(1.0, 300.0), st.floats(0.01, 1.0), st.floats(0.0, 2.0),
    st.floats(0.0, 1e4),
)  # fmt: skip
def test_it_stays_within_reach(
    level: float, mean: float, rate: float, form: float, delay_s: float, age_s: float
) -> None:
    made = estimate(
        NEAR, PlethLook(rate, form), PlethLook(71.0, 0.41), age_s, level=level, mean_60s=mean, delay=delay_s
    )
    assert math.isfinite(made) and abs(made - level) <= 40.0 + 1e-9


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_no_table_moves_it_further_than_40(sign: float) -> None:
    prior = {name: PriorSlope(sign * 60.0, 1e3) for name in ("delay", "rate", "form")}
    seen = evidence(*rows(), PlethLook(90.0, 0.41), PlethLook(71.0, 0.41), past_of(NEAR))
    assert seen is not None
    assert moved_map(PressureMoves(prior, MOVES.ages_s, MOVES.weights), seen) == 80.0 + sign * 40.0


@pytest.mark.parametrize("field", ["mean_60s", "ppg_delay_s", "delay", "delay_slope", "mean_300s"])
def test_what_is_not_known_counts_as_not_changed(field: str) -> None:
    look = PlethLook(71.0, 0.41)
    assert estimate([], look, look, **{field: math.nan}) == 80.0


def test_another_beats_delay_is_no_change_of_pressure() -> None:
    look = PlethLook(71.0, 0.41)
    assert estimate(NEAR[:5], look, look, delay=0.30 + 0.5) == estimate(NEAR[:5], look, look, delay=math.nan)
    begun = past_of([*NEAR, (80.0, 0.90, 70.0, 0.4)])
    assert begun.full.weight == 1.0
    assert begun.bare.weight > 10.0


def test_what_was_never_measured_has_no_estimate() -> None:
    look = PlethLook(71.0, 0.41)
    for missing in ({"level": math.nan}, {"age_s": math.nan}):
        assert evidence(*rows(**missing), look, look, PressurePast.none()) is None


def test_a_falling_pressure_is_followed() -> None:
    """Longer delay, as it was at lower pressures before: the plain regression and the estimate both go down."""
    rng = np.random.default_rng(1)
    delays = 0.30 + 0.02 * np.sin(np.arange(120) / 6)
    samples = [(80.0 - 250.0 * (d - 0.30) + rng.normal(0, 0.5), d, 70.0, 0.4) for d in delays]
    look = PlethLook(70.0, 0.4)
    abp, ppg = rows(delay=0.34, delay_slope=-250.0)
    assert delay_regression(abp, ppg) == pytest.approx(70.0)
    assert 66.0 < estimate(samples, look, look, 300.0, delay=0.34) < 75.0


# -- the shipped table --------------------------------------------------------------------------------------------


def test_the_shipped_table_makes_an_estimate() -> None:
    table = load_bundle().spec.pressure
    assert table is not None
    context = np.full((len(ROW), len(CONTEXT_FIELDS)), np.nan, np.float32)
    context[ROW[Modality.ABP]], context[ROW[Modality.PPG]] = rows()
    window = seen(np.zeros(SPEC.samples, np.float32), context)
    look = PlethLook(71.0, 0.41)
    assert estimated_map(table.moves, window, SPEC, look, look, PressurePast.none()) == 80.0
    assert table.moves.prior["delay"].slope < 0.0, "a longer delay goes with a lower pressure"
    context[ROW[Modality.ABP], C["level"]] = np.nan
    assert math.isnan(estimated_map(table.moves, window, SPEC, look, look, PressurePast.none()))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ages_s": [100.0, 10.0, 1000.0]}, "rising"),
        ({"ages_s": [0.0, 10.0, 1000.0]}, "a second"),
        ({"weights": {"step": [1.0, 1.0, 1.0]}}, "weights of"),
        ({"prior": MOVES.prior | {"delay": PriorSlope(-1.0, 0.0)}}, "counts for something"),
    ],
)
def test_moves_that_are_not_whole_are_refused(changed: dict[str, object], said: str) -> None:
    parts = {"prior": MOVES.prior, "ages_s": MOVES.ages_s, "weights": MOVES.weights} | changed
    with pytest.raises(ValueError, match=said):
        PressureMoves(**parts)  # type: ignore[arg-type]


# -- what is remembered -------------------------------------------------------------------------------------------


def seen(ppg: np.ndarray, context: np.ndarray, lost: slice = slice(0, 0)) -> Window:
    signals = np.zeros((len(ROW), SPEC.samples), np.float32)
    signals[ROW[Modality.PPG]] = ppg
    cells = np.ones((len(ROW), SPEC.window_s), np.bool_)
    cells[ROW[Modality.PPG], lost] = False
    return Window(900, signals, np.ones((len(ROW), SPEC.frames), np.bool_), cells, context)


def pleth(rate: float, power: float = 1.0, gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Pulses that rise fast and run off along a curve; ``power`` below 1 makes them fuller."""
    phase = (np.arange(SPEC.samples) / 100.0 * rate / 60.0) % 1.0
    pulse = np.where(phase < 0.15, phase / 0.15, ((1.0 - phase) / 0.85) ** (1.0 / power))
    return (offset + gain * pulse).astype(np.float32)


@pytest.mark.parametrize("rate", [50.0, 72.0, 110.0])
def test_rate_and_form_are_those_of_the_pulses(rate: float) -> None:
    wave = pleth(rate)
    look = pleth_look(wave)
    assert look is not None
    assert look.rate == pytest.approx(rate, rel=0.02)
    whole = round(60.0 / rate * 100)
    assert look.form == pytest.approx(float(wave[:whole].mean()), abs=0.02)
    fuller = pleth_look(pleth(rate, power=1.5))
    assert fuller is not None and fuller.form > look.form + 0.03


def test_neither_gain_nor_unit_changes_the_form() -> None:
    one, other = pleth_look(pleth(72.0)), pleth_look(pleth(72.0, gain=0.01, offset=-4.0))
    assert one is not None and other is not None
    assert other.form == pytest.approx(one.form, abs=1e-3) and other.rate == pytest.approx(one.rate, rel=1e-3)


def test_what_is_absent_is_not_looked_at() -> None:
    wave = pleth(72.0)
    clean = pleth_look(wave)
    assert clean is not None
    wave[1000:1300] = 1e6
    holed = pleth_look(pleth_of(seen(wave, np.empty((4, 9)), slice(10, 13)), SPEC))
    assert holed is not None
    assert holed.form == pytest.approx(clean.form, abs=0.01) and holed.rate == pytest.approx(clean.rate, rel=0.01)
    ticked = pleth(72.0)
    ticked[40::83] = ticked[41::83] = np.nan  # gaps so short that their pulses count
    told = pleth_look(ticked)
    assert told is not None and told.form == pytest.approx(clean.form, abs=0.006)
    few = pleth(72.0)
    few[: -round(60 / 72 * 100 * (LEAST_BEATS - 2))] = np.nan
    assert pleth_look(few) is None
    assert pleth_look(np.full(3000, np.nan, np.float32)) is None
    assert pleth_look(np.zeros(3000, np.float32)) is None


def test_the_last_look_is_kept_and_given_on() -> None:
    looks = PlethLooks()
    assert looks.recall("bed") is None
    for rate in (60.0, 80.0):
        looks.learn("bed", pleth(rate))
    found = looks.recall("bed")
    assert found is not None and found.rate == pytest.approx(80.0, rel=0.02)
    assert looks.recall("bed") == found and looks.recall("other") is None
    other = PlethLooks()
    other.restore("bed", found)
    assert other.recall("bed") == found
    other.restore("bed", None)
    assert other.recall("bed") is None
    looks.forget("bed")
    assert looks.recall("bed") is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([*NEAR, (75.0, math.nan, 66.0, 0.3)]), max_size=30))
def test_a_past_goes_on_elsewhere_bit_for_bit(samples: list[Sample]) -> None:
    past = past_of(samples)
    numbers = past.numbers()
    assert len(numbers) == NUMBERS
    again = PressurePast.of(numbers).add(77.0, 0.3, PlethLook(70.0, 0.4))
    assert again.numbers() == past.add(77.0, 0.3, PlethLook(70.0, 0.4)).numbers()


def test_a_past_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="numbers"):
        PressurePast.of([0.0] * (NUMBERS - 1))


def test_a_second_without_pressure_or_look_teaches_nothing() -> None:
    past = past_of(NEAR)
    assert past.add(math.nan, 0.3, PlethLook(70.0, 0.4)) is past
    assert past.add(80.0, 0.3, None) is past


def test_a_delay_counts_only_while_the_ecg_is_there() -> None:
    context = np.full((len(ROW), len(CONTEXT_FIELDS)), np.nan, np.float32)
    context[ROW[Modality.ABP], C["level"]], context[ROW[Modality.PPG], C["own_delay_s"]] = 80.0, 0.3
    window = seen(np.zeros(SPEC.samples, np.float32), context)
    assert beside_pressure(window, SPEC) == (80.0, pytest.approx(0.3))
    window.cells[ROW[Modality.ECG], -1] = False
    level, delay = beside_pressure(window, SPEC)
    assert level == 80.0 and math.isnan(delay)
