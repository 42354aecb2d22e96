"""openibis beside a slow plain computation from the equations of the paper, and what must hold of any EEG.

The reference works offline on a whole recording, epoch by epoch, with loops: difference equation, polynomial fits, the
Fourier sum by its definition, percentiles. It shares neither code nor constants with the streaming one.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.openibis import SPAN_S, Openibis, components, has_sawtooth, high_passed, mixed
from tests.signals.waves import brain

FS = 128
WHOLE_S = 72  # with a window of 63 s behind it
DFT = np.exp(-2j * np.pi * np.outer(np.arange(128), np.arange(256)) / 256)


def line_off(x: np.ndarray) -> np.ndarray:
    t = np.arange(1, len(x) + 1)
    return x - np.polyval(np.polyfit(t, x, 1), t)


def butterworth(x: np.ndarray) -> np.ndarray:
    """s² / (s² + √2 s + 1) at 0.65 Hz, s = (1 − z⁻¹) / (k (1 + z⁻¹))."""
    k = math.tan(math.pi * 0.65 / FS)
    norm = 1 / (1 + math.sqrt(2) * k + k**2)
    y = np.zeros(len(x))
    for i in range(len(x)):
        x1, x2 = (x[i - 1] if i > 0 else 0.0), (x[i - 2] if i > 1 else 0.0)
        y1, y2 = (y[i - 1] if i > 0 else 0.0), (y[i - 2] if i > 1 else 0.0)
        y[i] = norm * (x[i] - 2 * x1 + x2 - 2 * (k**2 - 1) * y1 - (1 - math.sqrt(2) * k + k**2) * y2)
    return y


def sawtooth(x: np.ndarray) -> bool:
    """Squared correlation of every 64 samples of 256 with the shape and its mirror image."""
    saw = np.array([0.0] * 59 + [1, 2, 3, 4, 5])
    parts = np.stack([x[start : start + 64] for start in range(256 - 64)])
    parts = (parts - parts.mean(axis=1, keepdims=True))[parts.var(axis=1) > 10]
    shapes = np.stack([saw, saw[::-1]]) - saw.mean()
    squared = (parts @ shapes.T) ** 2 / np.outer((parts**2).sum(axis=1), (shapes**2).sum(axis=1))
    return bool(squared.max(initial=0.0) > 0.63)


def power_of(x: np.ndarray) -> np.ndarray:
    n = np.arange(256)
    taper = 0.42 - 0.5 * np.cos(2 * np.pi * n / 255) + 0.08 * np.cos(4 * np.pi * n / 255)
    return 2 * np.abs(DFT @ (taper * line_off(x))) ** 2 / (256 * np.sum(taper**2))


def hz(low: float, high: float) -> slice:
    return slice(int(low * 2), int(high * 2) + 1)


def curve(x: float, base: float, top: float, half: float, width: float) -> float:
    return base - top / (1 + math.exp((x - half) / width))


def reference(eeg: np.ndarray) -> tuple[float, float, list[float]]:
    """Index, BSR in per cent and the three components at the last epoch of ``eeg``."""
    count = (len(eeg) - FS) // 64 - 10
    smooth = butterworth(eeg)
    flags, powers = [], []
    for n in range(1, count + 1):
        at = round((n + 6.5) * 64)
        flags.append(bool((np.abs(line_off(eeg[at : at + 128])) <= 5).all()))
        at = (n + 4) * 64
        power = np.full(128, np.nan)
        if n >= 4 and not any(flags[-4:]) and n > count - 60:
            power = power_of(smooth[at : at + 256])
            if sawtooth(eeg[at : at + 256]):
                power *= np.interp(np.arange(128) / 2, [0, 3, 6], [0, 0.25, 1]) ** 2
        powers.append(power)
    bsr = 100 * float(np.mean(flags[-126:]))
    last = np.array([p for p in powers[-60:] if np.isfinite(p[1])])
    bands = (10 * np.log10(last[:, hz(11, 20)])).mean(axis=0)
    middle = bands[bands >= np.percentile(bands, 50)].mean()
    fast = np.sqrt((last[:, hz(39.5, 46.5)] * last[:, hz(40, 47)]).mean(axis=1))
    whole = np.sqrt((last[:, hz(0.5, 46.5)] * last[:, hz(1, 47)]).mean(axis=1))
    ratio = sorted(10 * np.log10(fast / whole))
    out = math.ceil(len(ratio) / 4 - 0.5)
    parts = [
        (10 * np.log10(last[:, hz(30, 47)])).mean() - middle,
        float(np.mean(ratio[out : len(ratio) - out])),
        (10 * np.log10(last[:, hz(0.5, 4)])).mean() - middle,
    ]
    sedation = curve(parts[0], 104.4, 49.4, -13.9, 5.29)
    general = -40 + 83.1 * (min(max(parts[1], -60.89), -30) + 60.89) / 30.89
    general += curve(parts[1], 61.3, 72.6, -24, 3.55) if parts[1] >= -30 else 0
    weight = (0.5 + 0.1 * min(max(parts[2], 0), 5)) if general < sedation else 0
    x = sedation * (1 - weight) + general * weight
    squeezed = np.interp(x, [-40, 10, 97, 110], [0, 10, 97, 100])
    deep = min(max((bsr - 10) / 40, 0), 1)
    return float(squeezed * (1 - deep) + (50 - bsr / 2) * deep), bsr, parts


@cache
def expected(name: str) -> tuple[float, float, list[float]]:
    return reference(GOLDEN[name])


def streamed(eeg: np.ndarray, *, chunk: int = FS) -> Openibis:
    found = Openibis()
    for at in range(0, len(eeg), chunk):
        found.add(eeg[at : at + chunk])
    return found


def to_the_epoch(eeg: np.ndarray) -> np.ndarray:
    """As much as the last epoch of the paper needs: it leaves the last two seconds unused."""
    return eeg[: round(((len(eeg) - FS) // 64 - 10 + 8.5) * 64)]


def bursts(share: float, seed: int = 3) -> np.ndarray:
    """Of ten seconds ``share`` suppressed, at edges that fall on no second; what is left there is within ±2 µV."""
    n = WHOLE_S * FS
    quiet = (np.arange(n) / FS + 0.3) % 10.0 < 10.0 * share
    rng = np.random.default_rng(seed)
    left = np.clip(0.6 * rng.standard_normal(n), -2, 2)
    return np.where(quiet, left, brain(WHOLE_S, 30.0, 0.4, 2.0, seed, FS) + left)


def tone(hertz: float) -> np.ndarray:
    t = np.arange(WHOLE_S * FS) / FS
    return 30 * np.sin(2 * np.pi * hertz * t) + np.random.default_rng(5).standard_normal(len(t))


def kcomplexes() -> np.ndarray:
    """A sawtooth of 100 µV every two seconds in an EEG of 8 µV."""
    x = brain(WHOLE_S, 8.0, 0.2, 2.0, 9, FS)
    for at in range(200, len(x) - 5, 256):
        x[at : at + 5] += 25.0 * np.arange(1, 6)
    return x


GOLDEN = {
    "white": 20 * np.random.default_rng(1).standard_normal(WHOLE_S * FS),
    "awake": brain(WHOLE_S, 10.0, 0.2, 1.0, 2, FS),
    "asleep": brain(WHOLE_S, 25.0, 0.5, 2.2, 2, FS),
    "1 Hz": tone(1.0),
    "10 Hz": tone(10.0),
    "25 Hz": tone(25.0),
    "43 Hz": tone(43.0),
    "bursts 20 %": bursts(0.2),
    "bursts 40 %": bursts(0.4),
    "bursts 60 %": bursts(0.6),
    "on an offset that drifts": brain(WHOLE_S, 15.0, 0.3, 1.6, 4, FS) + np.linspace(200.0, 260.0, WHOLE_S * FS),
    "K-complexes": kcomplexes(),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_index_is_that_of_the_equations(name: str) -> None:
    index, bsr, _ = expected(name)
    found = streamed(to_the_epoch(GOLDEN[name]))
    assert found.suppression_percent == pytest.approx(bsr, abs=1e-9)
    assert found.index == pytest.approx(index, abs=0.02)


def test_the_golden_signals_reach_every_branch() -> None:
    indices = {name: expected(name) for name in GOLDEN}
    assert indices["awake"][0] > 80 and indices["asleep"][0] < 45 and 20 < indices["bursts 60 %"][1] < 60
    slow = {name: parts[2] for name, (_, _, parts) in indices.items()}
    assert min(slow.values()) < 0 < max(slow.values())
    assert {parts[1] >= -30 for _, _, parts in indices.values()} == {True, False}
    assert any(sawtooth(GOLDEN["K-complexes"][at : at + 256]) for at in range(0, 2048, 64))
    assert not any(sawtooth(GOLDEN["awake"][at : at + 256]) for at in range(0, 2048, 64))


@pytest.mark.parametrize("seed", range(4))
def test_a_sawtooth_is_found_where_the_correlation_finds_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(40):
        epoch = rng.uniform(0, 15) * rng.standard_normal(256) + rng.uniform(-100, 100)
        at = int(rng.integers(0, 250))
        epoch[at : at + 5] += rng.uniform(0, 40) * np.arange(1, 6)[: 256 - at][:: rng.choice([-1, 1])]
        assert has_sawtooth(epoch) == sawtooth(epoch)


def test_the_high_pass_is_the_difference_equation() -> None:
    x = brain(6, 20.0, rate=FS) + 500.0
    assert high_passed(x) == pytest.approx(butterworth(x - x[0]), abs=1e-3)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=40))
@settings(max_examples=15, deadline=None)
def test_chunks_change_no_bit(sizes: list[int]) -> None:
    eeg = GOLDEN["bursts 40 %"]
    whole, parts, at = streamed(eeg), Openibis(), 0
    for size in [*sizes, len(eeg)]:
        parts.add(eeg[at : at + size])
        at += size
    assert (parts.index, parts.suppression_percent) == (whole.index, whole.suppression_percent)


def test_nothing_older_than_its_span_counts() -> None:
    """Who takes a bed over and reads that much again says the same, bit for bit."""
    eeg = np.concatenate((1000 + GOLDEN["awake"], GOLDEN["bursts 40 %"]))
    anew = Openibis()
    anew.add(eeg[-(SPAN_S + 1) * FS :])
    assert anew.index == streamed(eeg).index


@pytest.mark.parametrize("name", ["awake", "asleep", "white", "on an offset that drifts"])
@pytest.mark.parametrize("scale", [0.8, 2.0, 7.0])
def test_scale_changes_nothing_while_nothing_is_suppressed(name: str, scale: float) -> None:
    assert streamed(scale * GOLDEN[name]).index == pytest.approx(streamed(GOLDEN[name]).index, abs=1e-6)


def test_microvolts_matter_where_something_is_suppressed() -> None:
    assert streamed(GOLDEN["asleep"] / 25.0).suppression_percent == 100.0
    assert streamed(GOLDEN["asleep"] / 25.0).index == 0.0


@pytest.mark.parametrize(("height_uv", "suppressed"), [(4.8, 100.0), (5.3, 0.0)])
def test_suppression_is_within_5_uv_of_a_straight_line(height_uv: float, suppressed: float) -> None:
    t = np.arange(WHOLE_S * FS) / FS
    assert streamed(height_uv * np.sin(2 * np.pi * 41.0 * t) + 3.0 * t).suppression_percent == suppressed


def test_deeper_is_lower() -> None:
    falls = [streamed(brain(WHOLE_S, 20.0, 0.3, slope, 6, FS)).index for slope in (0.8, 1.2, 1.6, 2.0, 2.6)]
    assert falls == sorted(falls, reverse=True) and falls[0] > falls[-1] + 30
    deep = [streamed(bursts(share)).index for share in (0.0, 0.3, 0.5, 0.7, 0.9)]
    assert deep == sorted(deep, reverse=True)


def test_unknown_until_there_is_enough() -> None:
    eeg, found, known = GOLDEN["asleep"], Openibis(), []
    for second in range(60):
        found.add(eeg[second * FS : (second + 1) * FS])
        known.append(found.index is not None)
    assert not any(known[:30]) and all(known[31:])
    assert Openibis().index is None and streamed(np.full(FS * 70, np.nan)).index is None


@pytest.mark.parametrize("gap_s", [0.01, 1.0, 10.0, 40.0])
def test_a_gap_is_never_glued_over(gap_s: float) -> None:
    """Two electrodes 400 µV apart with a gap between: whatever is known is what an EEG without the gap gives; a jump
    taken for EEG would be a slow wave of them all."""
    eeg = GOLDEN["awake"].copy()
    whole = streamed(eeg).index
    at = 40 * FS
    eeg[at : at + max(1, round(gap_s * FS))] = np.nan
    eeg[at:] += 400.0
    found, known = Openibis(), []
    for second in range(WHOLE_S):
        found.add(eeg[second * FS : (second + 1) * FS])
        known.append(found.index)
    told = [v for v in known if v is not None]
    assert told and max(abs(v - whole) for v in told) < 4.0
    if gap_s == 40.0:
        assert all(v is None for v in known[56:])  # less than half of the last 30 s


def test_what_lies_before_a_gap_does_not_reach_over_it() -> None:
    """The level of the electrode before it is nothing to what comes after, not by a hair."""
    eeg = GOLDEN["awake"][: 60 * FS]
    found = []
    for level in (0.0, 3000.0):
        before = eeg.copy()
        before[: 45 * FS] += level
        before[45 * FS] = np.nan
        found.append(streamed(before).index)
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_after_a_gap_the_filter_has_a_second_to_settle() -> None:
    """Half of 30 s in spectra, of which the first ends 3.25 s after the gap, not 2.75: known from 17.75 s on."""
    eeg = np.concatenate((GOLDEN["awake"][: 40 * FS], np.full(31 * FS + 64, np.nan), GOLDEN["awake"][: 30 * FS]))
    found, known = Openibis(), []
    for second in range(len(eeg) // FS):
        found.add(eeg[second * FS : (second + 1) * FS])
        known.append(found.index is not None)
    assert known.index(True, 72) + 1 == 90


@given(
    st.lists(st.tuples(st.integers(0, WHOLE_S * FS), st.integers(1, 20 * FS)), max_size=6),
    st.sampled_from(sorted(GOLDEN)),
)
@settings(max_examples=25, deadline=None)
def test_it_lies_within_0_and_100_or_is_unknown_wherever_gaps_lie(gaps: list[tuple[int, int]], name: str) -> None:
    eeg = GOLDEN[name].copy()
    for start, length in gaps:
        eeg[start : start + length] = np.nan
    index = streamed(eeg, chunk=500).index
    assert index is None or 0.0 <= index <= 100.0


@pytest.mark.parametrize(("low_pass_hz", "order"), [(25.0, 4), (30.0, 4), (30.0, 8), (35.0, 8)])
@pytest.mark.parametrize("name", ["awake", "asleep"])
def test_an_amplifier_without_fast_waves_is_no_anaesthetic(name: str, low_pass_hz: float, order: int) -> None:
    """Unknown, or not much deeper than without the filter."""
    spectrum, hertz = np.fft.rfft(GOLDEN[name]), np.fft.rfftfreq(WHOLE_S * FS, 1 / FS)
    x = np.fft.irfft(spectrum / np.sqrt(1 + (hertz / low_pass_hz) ** (2 * order)), WHOLE_S * FS)
    index, whole = streamed(x).index, streamed(GOLDEN[name]).index
    assert whole is not None and (index is None or index > whole - 25.0)
    if name == "asleep" and order == 8:
        assert index is None


def test_suppression_alone_is_told_and_alternation_without_any_spectrum_is_not() -> None:
    still = GOLDEN["asleep"].copy()
    still[-36 * FS :] *= 0.02
    assert streamed(still).index == pytest.approx(50 - streamed(still).suppression_percent / 2)
    flicker = GOLDEN["asleep"] * (np.arange(WHOLE_S * FS) / FS % 2.2 < 0.8)
    assert streamed(flicker).suppression_percent < 40 and streamed(flicker).index is None


@given(st.tuples(*(st.floats(-100, 100) for _ in range(3))), st.floats(0, 100))
@settings(deadline=None)
def test_any_components_mix_into_0_to_100(parts: tuple[float, float, float], bsr: float) -> None:
    assert 0.0 <= mixed(parts, bsr) <= 100.0


def test_general_line_and_curve_meet_with_one_slope() -> None:
    """Which settles the one constant that transcriptions of the paper differ in."""
    lower, below, above, upper = (mixed((50.0, db, 9.0), 0.0) for db in (-30.002, -30.001, -30.0, -29.999))
    assert below - lower == pytest.approx(upper - above, rel=0.002)
    assert above == pytest.approx(43.1, abs=0.01) and above == pytest.approx(below, abs=0.02)


def test_components_of_known_spectra() -> None:
    """Flat bands, so that each component is the difference of two levels."""
    row = np.concatenate(([-10.0, -20.0, 15.0, 0.0], np.full(19, 5.0)))
    assert components(np.stack([row] * 8)) == pytest.approx((-15.0, -20.0, 10.0))
