"""Who the patient is and which devices listen: parameters drawn once a recording.

Values are those of adults under general anaesthesia; each field names its source. Spread that is not cited is a
clinical range (mean ± 2 SD covers what is met on a list of elective operations).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CENTRAL_VENOUS_MMHG = 5.0
"""Outflow pressure of the windkessel (normal central venous pressure, 2–8 mmHg)."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One patient. Pressures in mmHg, volumes in ml, times in s, rates per minute unless the name says otherwise."""

    age_y: float
    weight_kg: float
    hr0: float  # awake resting heart rate
    map0: float  # awake mean arterial pressure
    sv0_ml: float  # stroke volume; 60–100 ml at rest
    compliance: float  # ml/mmHg at map0; falls with age (Langewouters et al., J Biomech 1984;17:425)
    impedance: float  # mmHg·s/ml, characteristic impedance of the aorta, ~5 % of resistance (Westerhof 2009)
    flow_skew: float  # 0..1, how early flow peaks in ejection
    reflection: float  # dicrotic wave as a fraction of pulse pressure
    pep0_s: float  # pre-ejection period, 0.08–0.12 s (Weissler et al., Circulation 1968;37:149)
    ptt_abp_s: float  # foot of the aortic to foot of the radial pulse at 100 mmHg
    ptt_ppg_s: float  # to the finger
    stiffness_alpha: float  # 1/mmHg in E = E0·exp(αP), 0.016–0.018 (Hughes et al., Ultrason Imaging 1979;1:356)
    tone_ptt: float  # slow change of transit time by muscle tone, SD as a fraction
    brs_ms: float  # baroreflex sensitivity awake, ms/mmHg (La Rovere et al., 2008;13:191)
    rsa_ms: float  # respiratory sinus arrhythmia awake, amplitude
    preload_swing: float  # breath's relative swing of preload; with Frank–Starling it makes pulse-pressure variation
    mayer: float  # amplitude of the 0.1-Hz wave of resistance (Julien, Cardiovasc Res 2006;70:12)
    breaths_min: float
    qtc_s: float  # QT at a rate of 60 (Fridericia: QT = QTc·RR^(1/3)), 0.36–0.44
    pr_s: float
    ecg_p: float  # amplitudes in mV of lead II
    ecg_q: float
    ecg_r: float
    ecg_s: float
    ecg_t: float
    pvc_per_min: float  # ventricular ectopic beats
    ce50: float  # µg/ml propofol for half the fall of depth (Eleveld et al., Br J Anaesth 2018;120:942)
    eeg_uv: float  # scale of the whole EEG
    eeg_alpha: float  # strength of the frontal alpha under propofol; falls with age (Purdon et al., BJA 2015)


def draw_subject(rng: np.random.Generator) -> Subject:
    """One patient of the population."""

    def normal(mean: float, sd: float, low: float, high: float) -> float:
        return float(np.clip(rng.normal(mean, sd), low, high))

    age = float(rng.uniform(22, 85))
    old = (age - 50) / 30
    ptt = normal(0.155 - 0.02 * old, 0.018, 0.10, 0.21)
    return Subject(
        age_y=age,
        weight_kg=normal(74, 13, 45, 120),
        hr0=normal(72, 9, 52, 96),
        map0=normal(93 + 4 * old, 8, 76, 116),
        sv0_ml=normal(76 - 6 * old, 11, 48, 108),
        compliance=normal(1.35 - 0.28 * old, 0.17, 0.8, 2.0),
        impedance=normal(0.027 + 0.006 * old, 0.005, 0.015, 0.045),
        flow_skew=normal(0.75, 0.12, 0.4, 0.95),
        reflection=normal(0.13 - 0.04 * old, 0.03, 0.04, 0.22),
        pep0_s=normal(0.095, 0.01, 0.07, 0.13),
        ptt_abp_s=ptt,
        ptt_ppg_s=ptt * normal(1.32, 0.06, 1.15, 1.5),
        stiffness_alpha=normal(0.017, 0.001, 0.014, 0.020),
        tone_ptt=normal(0.025, 0.008, 0.008, 0.05),
        brs_ms=float(np.clip(rng.lognormal(np.log(9), 0.35), 3.5, 18)),
        rsa_ms=float(np.clip(rng.lognormal(np.log(24 - 8 * old), 0.35), 6, 55)),
        preload_swing=normal(0.15, 0.04, 0.05, 0.25),
        mayer=normal(0.03, 0.01, 0.008, 0.06),
        breaths_min=normal(12.5, 1.8, 9, 18),
        qtc_s=normal(0.405, 0.016, 0.36, 0.45),
        pr_s=normal(0.16, 0.015, 0.125, 0.20),
        ecg_p=normal(0.13, 0.03, 0.05, 0.22),
        ecg_q=-normal(0.08, 0.04, 0.0, 0.2),
        ecg_r=normal(1.05, 0.25, 0.45, 1.8),
        ecg_s=-normal(0.22, 0.10, 0.0, 0.5),
        ecg_t=normal(0.27, 0.07, 0.10, 0.5),
        pvc_per_min=float(rng.uniform(0.1, 2.5)) if rng.random() < 0.15 else 0.0,
        ce50=3.08 * float(np.exp(-0.00635 * (age - 35))) * float(rng.lognormal(0, 0.15)),
        eeg_uv=float(np.clip(rng.lognormal(0, 0.22), 0.6, 1.7)),
        eeg_alpha=normal(1.0 - 0.3 * old, 0.18, 0.35, 1.6),
    )


@dataclass(frozen=True, slots=True)
class Device:
    """How the sensors and their monitors distort the patient.

    A channel shows at its own time ``c`` what happened at ``c − delay − drift·c``. Delays of 0–500 ms between the
    channels of one monitor are usual (on a real operation ECG R to PPG upstroke measured 0.60 s).
    """

    profile: str
    ecg_gain: float
    ecg_polarity: float
    ecg_noise_mv: float
    ecg_wander_mv: float
    mains_hz: float
    mains_mv: float
    abp_delay_s: float
    abp_offset_mmhg: float  # transducer not levelled or not zeroed
    abp_natural_hz: float  # of the catheter–transducer system (Gardner, Anesthesiology 1981;54:227)
    abp_damping: float
    abp_noise_mmhg: float
    ppg_delay_s: float
    ppg_gain: float  # arbitrary units a pulse
    ppg_offset: float
    ppg_highpass_hz: float
    ppg_agc: float  # 0: none; 1: pulses are held at one height
    ppg_noise: float  # as a fraction of a pulse
    eeg_noise_uv: float
    monitor_drift: float  # of the clock of ECG, ABP, PPG, RESP, seconds a second
    eeg_drift: float


def draw_device(rng: np.random.Generator, profile: str) -> Device:
    """One set of devices of profile ``train`` or ``heldout`` (other delays, filters and gains, for testing)."""
    held = profile == "heldout"

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    return Device(
        profile=profile,
        ecg_gain=float(np.clip(rng.lognormal(0, 0.2), 0.6, 1.6)),
        ecg_polarity=-1.0 if rng.random() < (0.2 if held else 0.07) else 1.0,
        ecg_noise_mv=log_uniform(0.004, 0.018),
        ecg_wander_mv=log_uniform(0.02, 0.12),
        mains_hz=60.0 if held else 50.0,
        mains_mv=log_uniform(0.001, 0.008),
        abp_delay_s=float(rng.uniform(0.10, 0.40) if held else rng.uniform(0.0, 0.25)),
        abp_offset_mmhg=float(np.clip(rng.normal(0, 3.5), -10, 10)),
        abp_natural_hz=float(rng.uniform(9, 14) if held else rng.uniform(12, 25)),
        abp_damping=float(rng.uniform(0.2, 0.4) if held else rng.uniform(0.35, 0.8)),
        abp_noise_mmhg=log_uniform(0.1, 0.4),
        ppg_delay_s=float(rng.uniform(0.30, 0.50) if held else rng.uniform(0.0, 0.40)),
        ppg_gain=log_uniform(0.5, 40.0),
        ppg_offset=float(rng.choice([0.0, 2.0])),
        ppg_highpass_hz=0.35 if held else log_uniform(0.08, 0.3),
        ppg_agc=0.0 if held else float(rng.uniform(0.3, 1.0)),
        ppg_noise=log_uniform(0.004, 0.02),
        eeg_noise_uv=log_uniform(0.3, 1.0),
        monitor_drift=float(rng.normal(0, 15e-6)),
        eeg_drift=float(rng.normal(0, 30e-6)),
    )
