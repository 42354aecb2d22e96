"""A numeric says what measured seconds say: what the others hold changes nothing, and hiding seconds adds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Chunk
from models.signals.windows import WindowSpec
from streams.records import DEVICE_NUMERICS, NUMERICS
from streams.vitals.monitor import Vitals, VitalsMonitor
from tests.signals.waves import beat_times, brain, ecg, pulse
from tests.streams.grids import grid_of

M = Modality
RATE = 100
SECONDS = 100
NS = 1_000_000_000
TIMES = beat_times(72, SECONDS, jitter_s=0.012)
T = np.arange(SECONDS * RATE) / RATE
STEADY = {
    M.ECG: ecg(TIMES, SECONDS, noise=0.01),
    M.ABP: pulse(TIMES + 0.15, SECONDS, 60, 110),
    M.PPG: pulse(TIMES + 0.2, SECONDS, 0, 1),
    M.EEG: brain(SECONDS, 20.0),
    M.RESP: np.sin(2 * np.pi * 0.25 * T),
    M.CVP: pulse(TIMES + 0.1, SECONDS, 5, 9),
    M.PAP: pulse(TIMES + 0.15, SECONDS, 10, 26),
    M.ICP: pulse(TIMES + 0.15, SECONDS, 9, 12),
    M.CO2: 19.0 + 19.0 * np.sin(2 * np.pi * 0.25 * T),
}
SAID = Findings(Rhythm.BEATS, {M.ABP: Pulse.PRESENT, M.PPG: Pulse.PRESENT})
EXACT = {"hr": 3.0, "pulse_rate": 3.0, "abp_sys": 2.0, "abp_dia": 2.0, "abp_map": 2.0, "resp_rate": 1.0,
         "sef95": 2.5, "bsr": 0.0, "cvp_mean": 0.3, "pap_mean": 1.0, "icp_mean": 0.2, "etco2_wave": 0.5}  # fmt: skip
"""By how much a numeric of these steady signals may differ from itself when seconds are hidden."""


def vitals(signals: Mapping[Modality, np.ndarray], hidden: Mapping[Modality, Iterable[int]]) -> list[Vitals]:
    """One a second; a hidden second is not measured, and what the signal holds there is handed on all the same."""
    monitor, grid, out = VitalsMonitor(), grid_of(signals), []
    gone = {m: frozenset(seconds) for m, seconds in hidden.items()}
    for second in range(1, SECONDS + 1):
        cells = {m: Absence.ARTEFACT if second - 1 in gone.get(m, ()) else None for m in signals}
        out.append(monitor.update(second, grid, {m: why is None for m, why in cells.items()}, SAID, cells))
    return out


HEART = {m: STEADY[m] for m in (M.ECG, M.ABP, M.PPG)}
WHOLE = {m: vitals(HEART, {}) if m in HEART else vitals({m: wave}, {}) for m, wave in STEADY.items()}
STRETCHES = st.lists(st.tuples(st.integers(0, SECONDS - 1), st.integers(1, 30)), min_size=1, max_size=4)


def seconds_of(stretches: list[tuple[int, int]]) -> set[int]:
    return {s for start, length in stretches for s in range(start, min(start + length, SECONDS))}


@given(modality=st.sampled_from(list(STEADY)), stretches=STRETCHES, junk=st.sampled_from(("nan", "rail", "noise", "0")))
@settings(max_examples=20, deadline=None)
def test_hiding_seconds_never_says_what_measured_ones_do_not(
    modality: Modality, stretches: list[tuple[int, int]], junk: str
) -> None:
    """With 20 s of lead-off a burst-suppression ratio of 33 % stood beside a normal EEG for a minute."""
    hidden = seconds_of(stretches)
    wave = STEADY[modality].copy()
    at = np.isin(np.arange(len(wave)) // RATE, sorted(hidden))
    scale = float(np.ptp(wave))
    wave[at] = {
        "nan": np.nan, "rail": 40 * scale, "noise": np.random.default_rng(1).standard_normal(int(at.sum())) * scale,
        "0": 0.0,
    }[junk]  # fmt: skip
    others = HEART if modality in HEART else {}
    found = vitals({**others, modality: wave}, {modality: hidden})
    assert found == vitals({**others, modality: STEADY[modality]}, {modality: hidden})
    for now, whole in zip(found, WHOLE[modality], strict=True):
        for name, tolerance in EXACT.items():
            value, before = getattr(now, name), getattr(whole, name)
            if value is not None and before is not None:
                assert value == pytest.approx(before, abs=tolerance), (name, now.second)


def test_steady_signals_have_every_numeric_that_the_property_speaks_of() -> None:
    last = [whole[-1] for whole in WHOLE.values()]
    assert {name for name in EXACT if all(getattr(v, name) is None for v in last)} == set()
    others = {
        "hr_source",
        "resp_source",
        "emg_db",
        "emg_band",
        "rppg_delay_s",
        "openibis",
        "apnoea_s",
        *DEVICE_NUMERICS,
    }
    assert set(EXACT) | others == set(NUMERICS)


@pytest.mark.parametrize(
    ("name", "modality", "span_s", "least_s"),
    (("sef95", M.EEG, 30, 15), ("bsr", M.EEG, 60, 30), ("resp_rate", M.RESP, 40, 20)),
)
def test_with_less_than_the_least_share_it_is_unknown(name: str, modality: Modality, span_s: int, least_s: int) -> None:
    """Measured again for fewer seconds than the least, after a long absence."""
    found = vitals({modality: STEADY[modality]}, {modality: range(5, 5 + span_s)})
    back = 5 + span_s
    assert all(getattr(v, name) is None for v in found if 6 <= v.second < back + least_s - 1)
    assert getattr(found[back + least_s], name) is not None


def live(wave: np.ndarray, rate: float, modality: Modality = M.EEG) -> list[Vitals]:
    """Through the pipeline, as in the stream: its own verdicts decide what is measured."""
    pipeline, monitor, out = BedPipeline(WindowSpec(), {modality}), VitalsMonitor(), []
    values = wave.astype(np.float32)
    for second in range(round(len(wave) / rate)):
        lo, hi = round(second * rate), round((second + 1) * rate)
        result = pipeline.push([Chunk(modality, rate, 0, lo, values[lo:hi])], second * NS, (second + 1) * NS)
        for cell in result.cells:
            measured = {modality: result.states[modality] is None}
            out.append(
                monitor.update(cell.second + 1, pipeline.grid, measured, cell.findings, cell.absence, pipeline.native)
            )
    return out


@pytest.mark.parametrize("start_s", (60.0, 60.37))
@pytest.mark.parametrize("what", ("rail", "zero", "noise", "missing"))
def test_an_electrode_that_is_off_is_no_suppression(what: str, start_s: float) -> None:
    """Twenty seconds of it before a normal EEG goes on: 0 % throughout, or unknown."""
    rate = 128
    wave = brain(180, 20.0, rate=rate)
    off = slice(round(start_s * rate), round((start_s + 20) * rate))
    wave[off] = {
        "rail": 1600.0, "zero": 0.0, "missing": np.nan,
        "noise": 0.3 * np.random.default_rng(3).standard_normal(20 * rate),
    }[what]  # fmt: skip
    found = live(wave, rate)
    known = [v.bsr for v in found if v.bsr is not None]
    assert len(known) > 120 and max(known) <= (0.0 if start_s == 60.0 else 0.01)
    edges = [v.sef95 for v in found if v.sef95 is not None]
    assert len(edges) > 120 and max(edges) - min(edges) < 5.0


def test_true_suppression_is_counted_with_an_absence_in_it() -> None:
    rate = 128
    wave = brain(180, 30.0, alpha=0.2, slope=2.2, rate=rate)
    t = np.arange(len(wave)) / rate
    burst = 1.0 / (1.0 + np.exp((np.abs(t % 10.0 - 2.5) - 2.5) / 0.05))
    wave = wave * burst + brain(180, 1.0, 0.0, 1.0, seed=3, rate=rate)
    wave[60 * rate : 80 * rate] = np.nan
    known = [v.bsr for v in live(wave, rate) if v.bsr is not None]
    assert len(known) > 90 and min(known) > 0.38 and max(known) < 0.62


@pytest.mark.parametrize("rate", (128, 256, 500))
def test_muscle_is_read_at_the_rate_of_the_channel(rate: int) -> None:
    """White muscle of known power in the band, and what little the EEG has there."""
    muscle = 10.0 * np.random.default_rng(5).standard_normal(60 * rate)
    found = live(brain(60, 20.0, slope=2.5, rate=rate) + muscle, rate)
    low, high = (70.0, 110.0) if rate > 231 else (30.0, 47.0)
    power = 2 * 10.0**2 / rate * (high - low)
    assert found[-1].emg_band == f"{low:.0f}–{high:.0f} Hz"
    assert found[-1].emg_db == pytest.approx(10 * np.log10(power / 1e-4), abs=1.5)
    assert all(v.emg_db is None for v in found[:4])
    calm = live(brain(60, 20.0, slope=2.5, rate=rate), rate)
    assert calm[-1].emg_db is None or calm[-1].emg_db < found[-1].emg_db - 10


def test_muscle_is_read_where_it_has_made_the_eeg_an_artefact_and_not_from_a_lead_that_is_off() -> None:
    rate = 256
    wave = brain(90, 9.0, slope=1.3, rate=rate)
    wave[30 * rate : 50 * rate] += 40.0 * np.random.default_rng(5).standard_normal(20 * rate)
    wave[60 * rate :] = 1600.0
    found = live(wave, rate)
    assert found[49].sef95 is None and found[49].emg_db is not None and found[49].emg_db > 50
    assert found[75].emg_db is None


def test_no_muscle_at_a_rate_that_cannot_hold_it() -> None:
    assert {(v.emg_db, v.emg_band) for v in live(brain(30, 20.0, rate=64), 64)} == {(None, "")}


def moving_eyes(seconds: int, height_uv: float) -> np.ndarray:
    """Blinks at uneven times, some 20 a minute, a third of a second wide."""
    t = np.arange(seconds * RATE) / RATE
    at = np.cumsum(np.random.default_rng(7).uniform(1.5, 4.5, seconds))
    return np.sum([height_uv * np.exp(-0.5 * ((t - a) / 0.09) ** 2) for a in at[at < seconds]], axis=0)


def gated(seconds: int, low_hz: float, high_hz: float, sd_uv: float, share: float) -> np.ndarray:
    rng = np.random.default_rng(11)
    n = seconds * RATE
    spectrum, hertz = np.fft.rfft(rng.standard_normal(n)), np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(hertz < low_hz) | (hertz > high_hz)] = 0
    x = np.fft.irfft(spectrum, n)
    return sd_uv * x / x.std() * np.repeat(rng.random(seconds) < share, RATE)


@pytest.mark.parametrize(
    "artefact",
    (moving_eyes(180, 100.0), gated(180, 0.3, 3.0, 40.0, 0.3), gated(180, 0.3, 3.0, 80.0, 0.4)),
    ids=("blinks", "movement", "more movement"),
)
def test_a_waking_brain_keeps_its_spectral_edge_under_artefact(artefact: np.ndarray) -> None:
    """At emergence the edge fell to 1–7 Hz from eyes and movement; it is that of the brain, or unknown."""
    clean = brain(180, 9.0, slope=1.3)
    truth = np.median([v.sef95 for v in live(clean, RATE) if v.sef95 is not None])
    edges = [v.sef95 for v in live(clean + artefact, RATE) if v.sef95 is not None]
    assert truth > 12 and all(edge > 0.6 * truth for edge in edges)
