"""What a threshold on a risk would be at the bedside: alarms, and events that they announce.

Alarms are replayed forward in time, patient by patient, at the cadence of the windows. A time point counts if its
outcome is known and the patient is not hypotensive yet. The alarm sounds at the first point at or above the threshold
and then stays silent for a refractory time; an event arms it again. An event is announced by an alarm within the
horizon before its onset; the lead time is from the first such alarm to the onset, which is known to one cadence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

REFRACTORY_S = 300.0

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TimePoints:
    """Windows of many patients, [n] each. ``outcome``: 1 an event begins within the horizon, 0 none, NaN unknown."""

    patient_of: npt.NDArray[np.intp]
    end_s: Floats
    hypotensive_now: Bools
    outcome: Floats
    horizon_s: float

    @property
    def usable(self) -> Bools:
        """bool [n]: the outcome is known, and the pressure is not low already."""
        return np.isfinite(self.outcome) & ~self.hypotensive_now


@dataclass(frozen=True, slots=True)
class AlarmFigures:
    """``hours`` of usable time; ``lead_s`` of the announced events, in no order."""

    hours: float
    alarms: int
    false_alarms: int
    events: int
    announced: int
    lead_s: tuple[float, ...]

    def as_row(self) -> dict[str, float]:
        """Rates; NaN where nothing was there to count."""
        lead = np.array(self.lead_s) / 60.0
        quarter, half, three = np.quantile(lead, (0.25, 0.5, 0.75)) if len(lead) else (float("nan"),) * 3
        return {
            "hours": self.hours, "alarms_per_h": _share(self.alarms, self.hours),
            "false_alarms_per_h": _share(self.false_alarms, self.hours),
            "alarm_ppv": _share(self.alarms - self.false_alarms, self.alarms),
            "events": float(self.events), "event_sensitivity": _share(self.announced, self.events),
            "lead_min": float(half), "lead_q25_min": float(quarter), "lead_q75_min": float(three),
        }  # fmt: skip


def replay_alarms(
    points: TimePoints, score: Floats, threshold: float, refractory_s: float = REFRACTORY_S
) -> AlarmFigures:
    """Alarms at score ≥ threshold; a NaN score never alarms."""
    cadence = typical_step(points)
    usable, alarms, false_alarms, events, announced = 0, 0, 0, 0, 0
    lead: list[float] = []
    with np.errstate(invalid="ignore"):
        high = score >= threshold
    for patient in np.unique(points.patient_of):
        rows = np.flatnonzero(points.patient_of == patient)
        rows = rows[np.argsort(points.end_s[rows], kind="stable")]
        time, now, use = points.end_s[rows], points.hypotensive_now[rows], points.usable[rows]
        usable += int(use.sum())
        sounded: list[float] = []
        armed_at = -np.inf
        for i, t in enumerate(time):
            if now[i] and i and not now[i - 1] and t - time[i - 1] <= 2 * cadence:
                before = (time[:i] >= t - points.horizon_s) & use[:i]
                if before.any():
                    events += 1
                    first = [a for a in sounded if a >= t - points.horizon_s]
                    announced += bool(first)
                    lead += [t - first[0]] if first else []
            if now[i]:
                armed_at = -np.inf
            elif use[i] and high[rows[i]] and t >= armed_at:
                alarms += 1
                false_alarms += points.outcome[rows[i]] < 0.5
                sounded.append(float(t))
                armed_at = t + refractory_s
    return AlarmFigures(usable * cadence / 3600.0, alarms, false_alarms, events, announced, tuple(lead))


def typical_step(points: TimePoints) -> float:
    """The cadence in s: the median step within patients; NaN with a single time point each."""
    order = np.lexsort((points.end_s, points.patient_of))
    step, same = np.diff(points.end_s[order]), np.diff(points.patient_of[order]) == 0
    return float(np.median(step[same])) if same.any() else float("nan")


def trade_off(points: TimePoints, score: Floats, levels: int = 25) -> list[tuple[float, float]]:
    """(false alarms per hour, event sensitivity) for a curve: the most events that any threshold announces with at
    most so many false alarms. A lower threshold may announce fewer, when an early false alarm keeps it silent."""
    known = score[points.usable & np.isfinite(score)]
    if not len(known):
        return []
    found = [replay_alarms(points, score, v).as_row() for v in np.quantile(known, np.linspace(0.999, 0.3, levels))]
    curve = sorted((row["false_alarms_per_h"], row["event_sensitivity"]) for row in found)
    best = np.fmax.accumulate([share for _, share in curve])
    return [(alarms, float(share)) for (alarms, _), share in zip(curve, best, strict=True)]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
