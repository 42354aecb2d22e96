"""Markdown of what was shown: pressures by source, ECG and age of the last ABP; risks by subset of sensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from benchmarks.estimates.fit import auroc_interval, inside, patient_intercepts
from benchmarks.estimates.replay import Rows
from benchmarks.tables import table
from models.data.labels import HORIZONS_S
from models.evaluation.bootstrap import Interval, difference_interval, ratio_interval
from models.evaluation.metrics import log_odds
from models.signals.modalities import Modality

COVERED = (0.75, 0.90)
COIN = 0.5
LEAST_ROWS = 20
LATE_S = 180.0
LATE_GAIN = 0.15
MINUTES = [round(h / 60) for h in HORIZONS_S]

Cells = list[object]
Floats = npt.NDArray[np.float64]


def pressure_section(sources: Mapping[str, Rows]) -> str:
    """A row a source, ECG or none, and age; settings without a PPG are in one row, since nothing is shown there."""
    rows: list[Cells] = []
    for source, every in sources.items():
        every = every.where((every.abp_age_s > 0) & np.isfinite(every.truth.sum(1)))
        ppg, ecg = (np.char.find(every.others, m.value) >= 0 for m in (Modality.PPG, Modality.ECG))
        for name, there in (("PPG and ECG", ppg & ecg), ("PPG", ppg & ~ecg)):
            for age in sorted(set(every.abp_age_s.tolist())):
                rows.append([source, name, int(age), *pressure_cells(every.where(there & (every.abp_age_s == age)))])
            rows.append([source, name, "all", *pressure_cells(every.where(there))])
        rows.append([source, "no PPG", "all", *pressure_cells(every.where(~ppg))])
    header = [
        "patients", "there", "ABP lost for s", "n", "windows", "shown, %", "MAP covered, %", "SBP", "DBP", "MAP error",
        "hold", "delay regression", "own ridge", "MAP error − the best of hold and delay regression", "± MAP, mmHg",
    ]  # fmt: skip
    return table(header, [r for r in rows if r[4]])


def pressure_cells(rows: Rows) -> Cells:
    """Patients, windows, share shown, coverage of MAP, SBP and DBP when shown, errors of MAP when shown, by how much
    the estimate's is above the better of hold and delay regression, half-width."""
    shown = rows.where(np.isfinite(rows.estimate.sum(1)))
    some = len(shown) > 0
    covered = [percent(share) if some else None for share in covers(shown)]
    error = errors(shown)
    means = [f"{v:.2f}" for v in error.mean(1)] if some else [None] * 4
    apart = _signed(against_best(shown)) if some else None
    half = f"{float((shown.hi - shown.lo)[:, 0].mean()) / 2:.1f}" if some else None
    share = percent(len(shown) / len(rows)) if len(rows) else None
    return [len(set(rows.patient.tolist())), len(rows), share, *covered, *means, apart, half]


def errors(rows: Rows) -> Floats:
    """Absolute errors of MAP [4, n] in mmHg: the estimate, hold, delay regression, own ridge."""
    said = np.stack([rows.estimate[:, 0], rows.hold, rows.regression, rows.ridge])
    return np.asarray(np.abs(said - rows.truth[:, 0]), np.float64)


def against_best(rows: Rows) -> Interval:
    """Error of the estimate minus that of hold or delay regression, whichever is the smaller on these very rows; with
    the interval over patients."""
    error = errors(rows)
    best = 1 + int(error[1:3].mean(1).argmin())
    return difference_interval(rows.patient, error[0], error[best])


def covers(rows: Rows) -> list[float]:
    """Share of the true MAP, SBP and DBP within the interval."""
    if not len(rows):
        return [float("nan")] * 3
    return [float(v) for v in ((rows.truth >= rows.lo) & (rows.truth <= rows.hi)).mean(0)]


def risk_section(rows: Rows, stride_s: float) -> str:
    """A row a subset of sensors, and where the ABP is not there an age of its last measurement."""
    out: list[Cells] = []
    for name in dict.fromkeys(rows.others.tolist()):
        for age in sorted(set(rows.abp_age_s.tolist())):
            mine = rows.where((rows.others == name) & (rows.abp_age_s == age))
            what = "there" if age == 0 else f"{age:g} s ago"
            out.append([name.replace("+", ", ") or "none", what, *risk_cells(mine, stride_s)])
    header = [
        "other sensors", "ABP", "windows", "shown, %",
        *(f"AUROC {m} min" if i == 0 else f"{m} min" for i, m in enumerate(MINUTES)),
        *(f"last MAP {m} min" if i == 0 else f"{m} min" for i, m in enumerate(MINUTES)),
        "mean risk, 80 % interval, 5 min", "patients inside, %",
    ]  # fmt: skip
    return table(header, out)


def risk_cells(rows: Rows, stride_s: float) -> Cells:
    """Windows, share shown, AUROC of risk and last MAP by horizon (windows hypotensive already left out), the mean risk
    with its interval, and the share of patients whose own level lies within (a random intercept by patient)."""
    share = percent(np.isfinite(rows.risk).all(1).mean()) if len(rows) else None
    shown = judged(rows)
    if len(shown) < LEAST_ROWS:
        return [len(rows), share, *[None] * 8]
    model = [_interval(auroc_interval(shown, shown.risk[:, j], j)) for j in range(3)]
    level = [f"{auroc_interval(shown, -shown.level, j)[0]:.2f}" for j in range(3)]
    known = np.isfinite(shown.label[:, 0])
    centre, half = _log_odds_interval(shown)
    interval = " ".join((percent(_risk(centre)), f"[{percent(_risk(centre - half))}–{percent(_risk(centre + half))}]"))
    shift, deviation = patient_intercepts(
        shown.risk[known, 0], shown.label[known, 0] > 0.5, shown.patient[known], stride_s / HORIZONS_S[0]
    )
    return [len(rows), share, *model, *level, interval, percent(inside(half, shift, deviation))]


def judged(rows: Rows) -> Rows:
    """Where a risk is shown, and it is not decided already."""
    return rows.where(np.isfinite(rows.risk).all(1) & ~rows.hypotensive)


def verdicts(simulated: Rows | None, real: Mapping[str, Rows], subsets_in_all: int = 16) -> list[str]:
    """What was to be shown, and whether it was; ``subsets_in_all`` of the model's sensors."""
    said: list[str] = []
    if simulated is not None:
        shown = judged(simulated)
        subsets = sorted({(name, bool(age > 0)) for name, age in zip(shown.others, shown.abp_age_s, strict=True)})
        worse = []
        for name, lost in subsets:
            mine = shown.where((shown.others == name) & ((shown.abp_age_s > 0) == lost))
            for j, minutes in enumerate(MINUTES):
                area, lo, hi = auroc_interval(mine, mine.risk[:, j], j)
                if not lo > COIN:
                    sensors = name.replace("+", ", ") + ("" if lost else ", ABP")
                    worse.append(f"{sensors.strip(', ')} at {minutes} min: {area:.2f} [{lo:.2f}–{hi:.2f}]")
        said.append(
            f"Of {subsets_in_all} subsets of sensors {len(subsets)} show a risk; "
            + (
                "each is better than chance at every horizon."
                if not worse
                else f"NOT better than chance: {'; '.join(worse)}."
            )
        )
    sources = dict(real) if simulated is None else {"simulated": simulated} | dict(real)
    for name, rows in sources.items():
        rows = rows.where(np.isfinite((rows.truth + rows.estimate).sum(1)) & (rows.abp_age_s > 0))
        if len(rows) < LEAST_ROWS:
            continue
        said += [never_worse(name, rows), late_gain(name, rows)]
        found = covers(rows)
        good = all(COVERED[0] <= v <= COVERED[1] for v in found)
        words = ", ".join(f"{n} {percent(v)} %" for n, v in zip(("MAP", "SBP", "DBP"), found, strict=True))
        said.append(f"Intervals when shown, {name}: {words}; within 75 to 90 %: {'yes' if good else 'NO'}.")
    return said


def worth(real: Mapping[str, Rows]) -> list[str]:
    """What the estimate of a lost mean pressure is worth on each set of real people, a sentence a set, for a card."""
    said = []
    for name, rows in real.items():
        rows = rows.where(np.isfinite((rows.truth + rows.estimate).sum(1)) & (rows.abp_age_s > 0))
        if len(rows) < LEAST_ROWS:
            continue
        patients = len(set(rows.patient.tolist()))
        ours, hold, regression, ridge = errors(rows).mean(1)
        found, covered = against_best(rows), covers(rows)[0]
        against = f"{_signed(found)}" if patients > 1 else f"{found.estimate:+.2f}, one patient"
        said.append(
            f"{name}, {patients} patient{'s' if patients > 1 else ''}: error {ours:.2f} mmHg; hold {hold:.2f}, delay "
            f"regression {regression:.2f}, a ridge of the patient's own {ridge:.2f}; against the better of hold and "
            f"delay regression {against}; its 80 % interval covers {percent(covered)} %."
        )
    return said


def never_worse(name: str, rows: Rows) -> str:
    """Whether the estimate loses to the better of hold and delay regression at any age, with or without an ECG."""
    tried, above, worse = 0, 0, []
    ecg = np.char.find(rows.others, Modality.ECG.value) >= 0
    for words, there in (("PPG and ECG", ecg), ("PPG", ~ecg)):
        for age in sorted(set(rows.abp_age_s.tolist())):
            mine = rows.where(there & (rows.abp_age_s == age))
            if len(mine) < LEAST_ROWS:
                continue
            found = against_best(mine)
            tried += 1
            above += bool(found.estimate > 0)
            if found.lo > 0:
                worse.append(f"{words} after {age:g} s {_signed(found)}")
    return (
        f"Mean pressure, {name}: of {tried} ages and subsets the error is above that of the better of hold and delay "
        f"regression in {above}, with an interval that excludes 0 in {len(worse)}"
        + (f": {'; '.join(worse)}." if worse else ".")
    )


def late_gain(name: str, rows: Rows) -> str:
    """How much smaller than the delay regression's the error is from three minutes on."""
    late = rows.where(rows.abp_age_s >= LATE_S)
    error = errors(late)
    if len(late) < LEAST_ROWS:
        return f"From {LATE_S:g} s on, {name}: too few windows."
    found = ratio_interval(late.patient, error[2] - error[0], error[2])
    gain, lo, hi = ((error[2] - error[0]).mean() / error[2].mean(), found.lo, found.hi)
    words = f" [{percent(lo)}–{percent(hi)}]" if np.isfinite(lo) else ""
    met = "yes" if gain >= LATE_GAIN else "NO"
    return f"From {LATE_S:g} s on, {name}: error {percent(gain)} %{words} below the delay regression's; 15 %: {met}."


def percent(share: float) -> str:
    """A share in whole percent."""
    return f"{100.0 * float(share):.0f}"


def _signed(found: Interval) -> str:
    known = bool(np.isfinite(found.lo))
    return f"{found.estimate:+.2f} [{found.lo:+.2f} to {found.hi:+.2f}]" if known else f"{found.estimate:+.2f}"


def _interval(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.2f} [{found[1]:.2f}–{found[2]:.2f}]"


def _log_odds_interval(rows: Rows) -> tuple[float, float]:
    lo, hi = log_odds(rows.risk_lo[:, 0]), log_odds(rows.risk_hi[:, 0])
    return float(log_odds(rows.risk[:, 0]).mean()), float((hi - lo).mean()) / 2


def _risk(odds: float) -> float:
    return 1.0 / (1.0 + float(np.exp(-odds)))
