"""The negative control: with coupling off no channel says anything of another, within a patient or across patients.

Two slow curves correlate by chance, and recordings share a beginning; so the correlations of channels of one patient
are compared with those of the same channels of different patients, which cannot be related.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from models.data.simulator import simulate_patient

PATIENTS, SECONDS = 14, 600
NAMES = ("heart rate", "pulse rate", "delay", "depth", "breathing")


@cache
def courses(coupled: bool) -> np.ndarray:
    """Mean pressure and what the other channels show, second by second: [P, 1 + 5, S]."""
    out = []
    for seed in range(PATIENTS):
        t = simulate_patient(
            500 + seed, scenario="vasodilation", duration_s=SECONDS, coupled=coupled, faults=False
        ).truth
        s = np.arange(15, SECONDS - 5)
        last = np.searchsorted(t.r_s, t.ppg_upstroke_s - 0.3) - 1
        late = t.ppg_upstroke_s - t.r_s[np.maximum(last, 0)]
        out.append([
            np.interp(s, t.abp_onset_s[:-1], t.map_mmhg),
            t.hr_bpm[s],
            np.interp(s, t.ppg_upstroke_s[1:], 60.0 / np.diff(t.ppg_upstroke_s)),
            np.interp(s, t.ppg_upstroke_s[last >= 0], late[last >= 0]),
            t.depth[s],
            t.resp_rate_min[s],
        ])  # fmt: skip
    return np.array(out)


def within(coupled: bool) -> tuple[np.ndarray, np.ndarray]:
    """z of the mean correlation of pressure with each of the others within a patient, against other patients' pairs."""
    x = courses(coupled)
    x = x - x.mean(-1, keepdims=True)
    x = x / np.maximum(x.std(-1, keepdims=True), 1e-9)
    r = np.einsum("is,jks->ijk", x[:, 0], x[:, 1:]) / x.shape[-1]  # [pressure's patient, other's patient, signal]
    own = r[np.arange(PATIENTS), np.arange(PATIENTS)]
    strange = r[~np.eye(PATIENTS, dtype=bool)].reshape(-1, len(NAMES))
    return (own.mean(0) - strange.mean(0)) / (strange.std(0) / np.sqrt(PATIENTS)), own.mean(0)


def test_pressure_within_a_patient() -> None:
    z, _ = within(coupled=False)
    assert (np.abs(z) < 3.2).all(), dict(zip(NAMES, z.round(1), strict=True))


def test_pressure_across_patients() -> None:
    levels = courses(False).mean(-1)
    r = np.corrcoef(levels.T)[0, 1:]
    assert (np.abs(r) < 3.2 / np.sqrt(PATIENTS)).all(), dict(zip(NAMES, r.round(2), strict=True))
    changes = courses(False)[..., 300:].mean(-1) - courses(False)[..., :200].mean(-1)
    r = np.corrcoef(changes.T)[0, 1:]
    assert (np.abs(r) < 3.2 / np.sqrt(PATIENTS)).all(), dict(zip(NAMES, r.round(2), strict=True))


def test_the_same_measure_finds_the_coupling() -> None:
    z, mean = within(coupled=True)
    assert mean[NAMES.index("delay")] < -0.5 and z[NAMES.index("delay")] < -4.0
    assert abs(mean[NAMES.index("heart rate")] - mean[NAMES.index("pulse rate")]) < 0.1
