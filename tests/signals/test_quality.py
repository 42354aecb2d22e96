"""Quality verdicts: what is physiology is present, what is not is absent for the right reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.findings import Pulse
from models.signals.modalities import Modality
from models.signals.presence import cell_verdict
from models.signals.quality import Verdict, assess, find_beats
from models.signals.shape import bends, kurtosis
from tests.signals.waves import beat_times, brain, ecg, pulse

M = Modality


def full_verdicts(modality: Modality, wave: np.ndarray) -> list[Verdict]:
    """The verdict on each whole second of a wave on the grid, from nothing but what went before."""
    padded = np.concatenate([np.full(1000, np.nan), wave]).astype(np.float32)
    out = []
    for second in range(len(wave) // 100):
        grid = padded[(second + 1) * 100 : (second + 1) * 100 + 1000]
        out.append(cell_verdict(modality, grid, find_beats(modality, grid)))
    return out


def verdicts(modality: Modality, wave: np.ndarray) -> list[Absence | None]:
    """Of each whole second, why it is not measured."""
    return [v.absence for v in full_verdicts(modality, wave)]


def pulses(modality: Modality, wave: np.ndarray) -> list[Pulse]:
    return [v.pulse for v in full_verdicts(modality, wave)]


def noise(seconds: int, sigma: float = 1.0, seed: int = 3) -> np.ndarray:
    return sigma * np.random.default_rng(seed).standard_normal(seconds * 100)


@pytest.mark.parametrize("rate", (25, 48, 75, 120, 180, 220))
@pytest.mark.parametrize(("low", "high"), ((50, 110), (32, 50), (38, 50), (18, 30), (90, 230)))
def test_pressure_of_any_rate_and_level_is_present(rate: int, low: float, high: float) -> None:
    """Bradycardia, MAP of 22 or 45, a pulse pressure of 12: what a monitor is there to show."""
    wave = pulse(beat_times(rate, 40, first_s=0.1), 40, low, high) + noise(40, 0.15)
    found = verdicts(M.ABP, wave)
    first = 0 if low > 30 else 6  # a mean below 30 has to prove itself by some beats
    if rate >= 48 or low > 30:
        assert found[first:-2].count(None) == len(found) - first - 2


@pytest.mark.parametrize("rate", (30, 48, 75, 150, 210))
def test_plethysmogram_in_any_unit_is_present(rate: int) -> None:
    times = beat_times(rate, 30, first_s=0.1)
    for scale, offset in ((1.0, 0.0), (1e-3, 5.0), (400.0, -1e4)):
        assert not any(verdicts(M.PPG, offset + scale * pulse(times, 30, 0.0, 1.0))[:-2])


def test_irregular_pulse_of_atrial_fibrillation_is_present() -> None:
    intervals = np.random.default_rng(5).uniform(0.45, 1.0, 60)
    wave = pulse(0.3 + np.cumsum(intervals), 30, 0.0, 1.0)
    assert not any(verdicts(M.PPG, wave)[:28])


@pytest.mark.parametrize("rate", (30, 60, 140, 200))
@pytest.mark.parametrize(("amplitude", "sigma"), ((0.15, 0.005), (1.0, 0.03), (4.0, 0.05)))
def test_ecg_is_present(rate: int, amplitude: float, sigma: float) -> None:
    wave = ecg(beat_times(rate, 30), 30, amplitude=amplitude, wander=0.3 / amplitude, noise=sigma)
    assert not any(verdicts(M.ECG, wave))


def test_asystole_and_fibrillation_are_measurements() -> None:
    assert not any(verdicts(M.ECG, noise(20, 0.01)))
    t = np.arange(3000) / 100
    fibrillation = 0.5 * np.sin(2 * np.pi * 5.0 * t + 2 * np.sin(2 * np.pi * 0.7 * t)) * (1 + 0.4 * np.sin(3 * t))
    assert not any(verdicts(M.ECG, fibrillation + noise(30, 0.02)))


def test_suppressed_eeg_is_not_flat_but_a_constant_is() -> None:
    wave = noise(30, 0.8)
    assert not any(verdicts(M.EEG, wave))
    wave[1500:2500] = wave[1500]
    found = verdicts(M.EEG, wave)
    assert found[16:25] == [Absence.FLAT] * 9
    assert not any(found[:15]) and not any(found[26:])


@pytest.mark.parametrize(("modality", "level", "still_from"), ((M.ECG, 0.0, 3), (M.PPG, 0.37, 2), (M.RESP, 1.0, 5)))
def test_a_constant_is_flat(modality: Modality, level: float, still_from: int) -> None:
    found = verdicts(modality, np.full(1200, level))
    assert found[still_from:] == [Absence.FLAT] * (12 - still_from)


@pytest.mark.parametrize(
    "wave",
    (
        noise(10, 0.3),
        np.full(1000, -16.8),
        np.full(1000, 70.0),
        22.0 + noise(20, 1.5),
        12.0 + noise(20, 0.2),
        80.0 + noise(15, 0.5),
    ),
)
def test_pressure_without_a_pulse_is_measured_and_pulseless_at_any_level(wave: np.ndarray) -> None:
    """Open to air, an arrest, a clamped line: told apart by others, and read by no model."""
    found = full_verdicts(M.ABP, wave)
    assert set(found[3:]) == {Verdict(None, Pulse.NONE, readable=False)}


def test_more_than_a_transducer_can_say_is_no_pressure() -> None:
    assert set(verdicts(M.ABP, 350.0 + noise(10, 1.0))) <= {Absence.FLUSH, Absence.OUT_OF_RANGE}
    assert Absence.OUT_OF_RANGE in verdicts(M.ABP, 290.0 + 30.0 * np.sin(np.arange(1000) / 15.0))


def test_arrest_ends_the_pulse_within_four_seconds_and_a_fall_does_not() -> None:
    """Pressure decays with an artery's time constant: large swings within three seconds, but no upstroke."""
    wave = pulse(beat_times(75, 60), 60, 60.0, 115.0)
    t = np.arange(3000) / 100
    wave[3000:] = 12.0 + (wave[3000] - 12.0) * np.exp(-t / 6.0)
    found = pulses(M.ABP, wave + noise(60, 0.15))
    assert found[6:30] == [Pulse.PRESENT] * 24
    assert Pulse.NONE in found[30:35] and found[35:] == [Pulse.NONE] * 25
    shock = np.concatenate([pulse(beat_times(75, 30), 30, 60.0, 115.0), pulse(beat_times(130, 30), 30, 28.0, 38.0)])
    # At the step itself large and small pulses are beside each other for a second; no alarm is that quick.
    assert pulses(M.ABP, shock + noise(60, 0.15)).count(Pulse.NONE) <= 1


def flushed(bag: float) -> np.ndarray:
    wave = pulse(beat_times(70, 40), 40, 60.0, 110.0)
    wave[2000:2400] = bag + noise(4, 0.3)
    return wave


def test_flush_is_untrusted_and_what_follows_is_not() -> None:
    for bag in (290.0, 180.0):
        found = full_verdicts(M.ABP, flushed(bag))
        assert [v.absence for v in found[21:24]] == [Absence.FLUSH] * 3
        assert not any(v.readable for v in found[20:24]) and all(v.readable for v in found[25:38])
        assert all(v.readable for v in found[:20]) and Pulse.NONE not in [v.pulse for v in found[:38]]


def test_shaken_line_is_an_artefact() -> None:
    wave = pulse(beat_times(70, 30), 30, 60.0, 110.0)
    wave[1500:1700] += 12.0 * np.random.default_rng(1).standard_normal(200)
    found = verdicts(M.ABP, wave)
    assert found[15:17] == [Absence.ARTEFACT] * 2
    assert not any(found[:15]) and not any(found[17:28])


@pytest.mark.parametrize("rate", (150, 180, 210))
def test_small_fast_pulses_are_no_artefact(rate: int) -> None:
    """Ventricular tachycardia with a pulse of 75/45: its upstrokes come often, and steeply for their height."""
    t = np.arange(3000) / 100
    phase = (t * rate / 60) % 1.0
    wave = 45.0 + 30.0 * np.where(phase < 0.2, phase / 0.2, ((1 - phase) / 0.8) ** 1.5) + noise(30, 0.4)
    found = full_verdicts(M.ABP, wave)
    assert [v.absence for v in found[6:]] == [None] * 24 and [v.pulse for v in found[6:]] == [Pulse.PRESENT] * 24


def test_electrocautery_is_an_artefact_on_every_lead() -> None:
    clean = ecg(beat_times(70, 30), 30)
    for modality, wave, sigma in ((M.ECG, clean, 1.2), (M.EEG, brain(30, 15.0, seed=8), 250.0)):
        wave = wave.copy()
        wave[1500:2000] += sigma * noise(5)
        found = verdicts(modality, wave)
        assert found[15:20] == [Absence.ARTEFACT] * 5
        assert not any(found[:15]) and not any(found[20:])


def test_finger_out_of_the_probe_and_back() -> None:
    """A probe in the air and a finger without a pulse look the same: no pulse, no artefact, nothing for a model."""
    wave = pulse(beat_times(70, 40), 40, 0.0, 1.0)
    wave[1500:2500] = 0.2 + noise(10, 0.003)
    found = full_verdicts(M.PPG, wave)
    assert all(v.readable for v in found[:15])
    assert [v.pulse for v in found[19:25]] == [Pulse.NONE] * 6 and not any(v.readable for v in found[17:25])
    assert all(v.readable for v in found[26:38]) and [v.pulse for v in found[28:38]] == [Pulse.PRESENT] * 10


def test_pleth_that_does_not_move_or_only_rustles_has_no_pulse() -> None:
    assert pulses(M.PPG, 0.02 + noise(20, 0.004))[4:] == [Pulse.NONE] * 16
    assert pulses(M.PPG, np.full(1200, 0.37))[2:] == [Pulse.NONE] * 10


def test_noise_on_pulses_is_an_artefact_of_which_the_pulse_is_not_known() -> None:
    wave = pulse(beat_times(70, 30), 30, 0.0, 1.0)
    wave[1500:2000] += noise(5, 0.5)
    found = full_verdicts(M.PPG, wave)
    assert found[16:20] == [Verdict(Absence.ARTEFACT)] * 4


def test_rails() -> None:
    wave = ecg(beat_times(70, 20), 20)
    wave[1000:1500] = 5.0
    assert verdicts(M.ECG, wave)[10:15] == [Absence.LEAD_OFF] * 5
    wave[1000:1500] = wave[:1000].max()
    assert verdicts(M.ECG, wave)[10:15] == [Absence.SATURATED] * 5
    eeg = noise(20, 20.0)
    eeg[1000:1500] = np.clip(700.0 + noise(5, 30.0), None, 900.0)
    assert verdicts(M.EEG, eeg)[11:15] == [Absence.LEAD_OFF] * 4
    clipped = np.clip(noise(20, 20.0) + 150.0 * np.sin(np.arange(2000) / 60.0), -70.0, 70.0)
    assert Absence.SATURATED in verdicts(M.EEG, clipped)


def test_blow_to_the_electrode_is_an_artefact() -> None:
    wave = ecg(beat_times(70, 20), 20)
    wave[1220:1240] -= 5.0
    found = verdicts(M.ECG, wave)
    assert found[12] is Absence.ARTEFACT and found.count(None) == 19


@pytest.mark.parametrize("modality", list(M))
def test_a_few_missing_samples_change_no_verdict(modality: Modality) -> None:
    wave = {
        M.ECG: ecg(beat_times(70, 20), 20),
        M.ABP: pulse(beat_times(70, 20), 20, 60.0, 110.0),
        M.PPG: pulse(beat_times(70, 20), 20, 0.0, 1.0),
        M.EEG: noise(20, 15.0),
        M.RESP: np.sin(np.arange(2000) / 60.0),
        M.CVP: pulse(beat_times(70, 20), 20, 5.0, 9.0),
        M.PAP: pulse(beat_times(70, 20), 20, 10.0, 26.0),
        M.ICP: pulse(beat_times(70, 20), 20, 9.0, 12.0),
        M.CO2: 20.0 + 20.0 * np.sin(np.arange(2000) / 60.0),
        M.AWP: 12.0 + 7.0 * np.sin(np.arange(2000) / 60.0),
    }[modality]
    before = verdicts(modality, wave)
    wave[1290:1294] = np.nan
    assert verdicts(modality, wave) == before


def test_measures() -> None:
    x = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    assert kurtosis(x) == pytest.approx(3.0, abs=0.05)
    assert kurtosis(np.sin(np.arange(100_000) / 7).astype(np.float32)) == pytest.approx(1.5, abs=0.01)
    assert kurtosis(np.full(10, np.nan, np.float32)) == 0.0 == kurtosis(np.ones(9, np.float32))
    assert bends(x) == pytest.approx(np.sqrt(6) * np.sqrt(2 / np.pi), rel=0.02)  # white noise
    assert bends(np.full(100, np.nan, np.float32)) == 0.0


def test_verdict_needs_no_more_than_the_last_ten_seconds() -> None:
    grid = pulse(beat_times(70, 10), 10, 60.0, 110.0).astype(np.float32)
    grid[:900] = np.nan
    assert assess(M.ABP, grid, find_beats(M.ABP, grid)).absence is None


@pytest.mark.recordings
def test_invalid_pressure_of_s25047_is_never_a_pulse(recordings: Path) -> None:
    """The transducer calibrates, drifts at 20 mmHg and rests at −16: no model reads it, nobody counts it."""
    from models.signals.readers.opener import open_recording
    from models.signals.resample import resample

    header = recordings / "wfdb" / "s25047" / "s25047-2704-05-04-10-44.hea"
    recording = open_recording(str(header))
    track = next(t for t in recording.tracks if t.name == "ABP")
    segment = recording.read("ABP", 3550.0, track.end_s)
    assert track.rate_hz is not None
    _, wave = resample(segment.values, track.rate_hz)
    found = full_verdicts(M.ABP, wave)
    recording.close()
    assert not any(v.readable for v in found)
    data = [v for v in found if v.absence is not Absence.NO_DATA]
    assert {v.absence for v in data} <= {None, Absence.ARTEFACT, Absence.FLUSH, Absence.OUT_OF_RANGE}
    assert sum(v.pulse is Pulse.NONE for v in data) > 0.6 * len(data)
    assert sum(v.pulse is Pulse.PRESENT for v in data) < 0.01 * len(data)
