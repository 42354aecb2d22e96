"""``python -m benchmarks pressure_history [REAL]``: what the pressure's own history says of hypotension ahead.

The null of every risk head, on simulated and on real people by one protocol: minute means of the arterial pressure;
an event is a minute below 65 mmHg or more of them in a row; every minute counts whose outcome is known, but those in
which the pressure is low already. Scored are the last minute's mean, and a logistic regression on it and its trend
(the columns that a context has of the ABP), fitted on other people: on simulated ones, of either course of the
pressure, or, for the real ones, also on the other half of them. *Once a second* are regressions that learnt from
simulated pressures sampled as the real ones are. On simulated people the regression also gets what may lead the
pressure (``benchmarks.precursors``): it learns what they add to the log odds of the trend. Intervals are over patients.

First come facts of the pressure (``benchmarks.pressure_facts``); the real ones are of the half that is not judged.

REAL is a folder of WFDB records of one pressure a second (instantaneous, as VitalDB's export has it) and ``index.csv``
with ``record`` and ``group``. Where the pulse is near 60 or 120 a minute such samples strobe it, the minute's spread
collapses and its mean is off by up to half a pulse pressure: such a minute is a gap, and so is one of impossible
pressures or of less than 45 samples.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from benchmarks.hpi import hpi_by_minute, hpi_module
from benchmarks.precursors import lived, precursor_columns
from benchmarks.pressure_facts import HEADER as FACTS
from benchmarks.pressure_facts import facts
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.data.labels import HORIZONS_S, PressureTrack
from models.data.recorded_labels import labels_with_gaps
from models.data.sim.operation import COURSES
from models.data.simulator import simulate_patient
from models.evaluation.alarms import TimePoints, replay_alarms
from models.evaluation.baselines import MAP_RULE_MMHG, trend_columns
from models.evaluation.hypotension import SENSITIVITY, risk_row
from models.evaluation.linear import logistic, sigmoid
from models.evaluation.metrics import at_sensitivity
from models.signals.errors import BadInput
from models.signals.readers.opener import open_recording
from models.signals.recording import TrackKind

MINUTE_S = 60
LEAST_SAMPLES = 45
LEAST_SPREAD_MMHG = 7.0  # of a minute's samples; below, they strobe the pulse
POSSIBLE_MMHG = (20.0, 200.0)
SIMULATED, LONG_S, FIT_SEED, TEST_SEED = 120, 3600, 9_400_000, 9_500_000
_RIDGE, _PRECURSOR_RIDGE = 1.0, 100.0
_RESAMPLES = 100

Floats = npt.NDArray[np.float64]
Scores = dict[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class History:
    """Minutes of one person: mean pressure [T] in mmHg, NaN where it is not known; of a simulated one also the mean as
    samples once a second tell it [T], columns of precursors [T, P], and another's score [T]."""

    who: str
    mean: Floats
    sampled: Floats | None = None
    precursors: Floats | None = None
    other: Floats | None = None


@dataclass(frozen=True)
class Minutes:
    """Minutes of many people whose outcome may be known: features [n, 8] (NaN where the minute is a gap), columns of
    precursors [n, P] (P of 0 where there are none), another's score [n] (NaN where there is none), labels [n, 3] by
    horizon, whether it is low already [n], the person [n] and the end of the minute in s [n]."""

    features: Floats
    precursors: Floats
    other: Floats
    level: Floats
    labels: Floats
    now: npt.NDArray[np.bool_]
    patient: npt.NDArray[np.intp]
    end_s: Floats

    def part(self, which: npt.NDArray[np.bool_]) -> Minutes:
        """Some of the minutes."""
        return Minutes(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def main(argv: list[str]) -> int:
    """Prints and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pressure_history", description=__doc__)
    parser.add_argument("real", nargs="?", type=Path, metavar="REAL")
    parser.add_argument("--simulated", type=int, default=SIMULATED, help=f"patients of an hour (default: {SIMULATED})")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--hpi", action="store_true", help="ask openvital's network, where it is installed")
    options = parser.parse_args(argv)
    judge = hpi_module() if options.hpi else None
    learnt: dict[str, Minutes] = {}
    sets: dict[str, tuple[Minutes, dict[str, Minutes]]] = {}
    about: list[list[object]] = []
    for course in COURSES:
        fit = list(simulated(FIT_SEED, options.simulated, course))
        test = list(simulated(TEST_SEED, options.simulated, course, judge))
        about.append(facts(f"simulated, course {course}", [p.mean for p in fit + test]))
        about.append(facts(f"simulated, course {course}, once a second", [as_sampled(p).mean for p in fit + test]))
        learnt[f"trend, course {course}"] = own = minutes(fit)
        learnt[f"trend, course {course}, once a second"] = minutes(map(as_sampled, fit))
        sets[f"simulated, course {course}"] = (minutes(test), {f"trend, course {course}": own})
    if options.real is not None:
        people = list(recorded(options.real))
        half = np.arange(len(people)) % 2 == 0
        halves = [[p for p, own in zip(people, half == side, strict=True) if own] for side in (True, False)]
        about.append(facts("real, not judged", [p.mean for p in halves[0]]))
        sets["real"] = (minutes(halves[1]), learnt | {"trend, other real": minutes(halves[0])})
    rows = [row for name, (test, fits) in sets.items() for row in figures(name, test, fits)]
    header = ["people", "n", "within min", "minutes", "prevalence", "score", "AUROC", "95 %", "over MAP", "AUPRC",
              "PPV at 80 %", "ECE", "alarms an hour", "events announced", "lead, min"]  # fmt: skip
    publish(
        f"## What the pressure's own history says of hypotension ahead, {machine()}\n\n{table(FACTS, about)}\n\n"
        f"{table(header, rows)}\n",
        options.out,
    )
    return 0


# -- people -----------------------------------------------------------------------------------------------------------


def simulated(first_seed: int, count: int, course: int, judge: ModuleType | None = None) -> Iterator[History]:
    """An hour each, with the pressure as it was in the artery and the offset of the transducer; ``judge``:
    :func:`benchmarks.hpi.hpi_module`."""
    for seed in range(first_seed, first_seed + count):
        patient = simulate_patient(seed, duration_s=LONG_S, course=course)
        life = lived(patient)
        columns = precursor_columns(life.precursors)
        score = None if judge is None else hpi_by_minute(judge, patient)
        yield History(f"simulated {seed}", life.mean, minute_means(life.instant), columns, score)
        print(f"\rcourse {course}: {seed - first_seed + 1} of {count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def as_sampled(person: History) -> History:
    """The same person as samples once a second tell it; ValueError of one who is not simulated."""
    if person.sampled is None:
        raise ValueError(f"{person.who} has no samples")
    return replace(person, mean=person.sampled)


def recorded(folder: Path) -> Iterator[History]:
    """People of a folder; a group is a person, and only the first of its records is taken."""
    index = folder / "index.csv"
    if not index.is_file():
        raise BadInput("a folder of records with index.csv (record, group)", f"none in {folder}", "choose another one")
    seen: set[str] = set()
    with index.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if row["group"] in seen:
                continue
            seen.add(row["group"])
            recording = open_recording(str(folder / f"{row['record']}.hea"))
            try:
                if len(recording.tracks) != 1 or recording.tracks[0].kind is not TrackKind.NUMERIC:
                    names = ", ".join(t.name for t in recording.tracks)
                    raise BadInput("one pressure a second", f"{names} in {row['record']}", "leave it out of index.csv")
                times, values = recording.numerics(recording.tracks[0].name)
            finally:
                recording.close()
            second = np.full(int(times[-1]) + 1 if len(times) else 0, np.nan)
            second[times.astype(np.int64)] = values
            yield History(row["group"], minute_means(second))


def minute_means(samples: Floats) -> Floats:
    """Mean of each minute of samples [T] once a second; NaN where they cannot tell it."""
    whole = samples[: len(samples) // MINUTE_S * MINUTE_S].reshape(-1, MINUTE_S)
    possible = np.where((whole > POSSIBLE_MMHG[0]) & (whole < POSSIBLE_MMHG[1]), whole, np.nan)
    out = np.full(len(whole), np.nan)
    for i, minute in enumerate(possible):
        known = minute[np.isfinite(minute)]
        if len(known) >= LEAST_SAMPLES and np.subtract(*np.percentile(known, [90, 10])) >= LEAST_SPREAD_MMHG:
            out[i] = known.mean()
    return out


# -- minutes and their outcome ----------------------------------------------------------------------------------------


def minutes(people: Iterable[History]) -> Minutes:
    """Every minute of every person."""
    parts: list[Minutes] = []
    for number, person in enumerate(people):
        end_s: Floats = np.arange(1, len(person.mean) + 1, dtype=np.float64) * MINUTE_S
        known = np.isfinite(person.mean)
        track = PressureTrack(
            end_s[known] - 0.5 * MINUTE_S, np.full(int(known.sum()), float(MINUTE_S)), *([person.mean[known]] * 3)
        )
        # Just before its end, or the minute before an event would count as within it.
        found, now = labels_with_gaps(track, end_s - 1e-3, float(len(person.mean) * MINUTE_S))
        labels: Floats = np.where(known[:, None], found, np.nan).astype(np.float64)
        number_of = np.full(len(end_s), number, np.intp)
        more = np.empty((len(end_s), 0)) if person.precursors is None else person.precursors
        other = np.full(len(end_s), np.nan) if person.other is None else person.other
        parts.append(Minutes(trend(person.mean), more, other, person.mean, labels, now, number_of, end_s))
    fields = Minutes.__dataclass_fields__
    return Minutes(*(np.concatenate([getattr(p, name) for p in parts]) for name in fields))


def trend(mean: Floats) -> Floats:
    """[T, 8] of minutes: :func:`models.evaluation.baselines.trend_columns` with the means of the last 2, 5 and 10."""
    return np.asarray(trend_columns(mean, [running(mean, span) for span in (2, 5, 10)]), np.float64)


def running(mean: Floats, span: int) -> Floats:
    """Mean of the known ones of the last ``span`` minutes, the newest included; NaN where there is none."""
    known = np.isfinite(mean)
    sums, counts = (np.concatenate([[0.0], np.cumsum(v)]) for v in (np.where(known, mean, 0.0), known))
    first = np.maximum(np.arange(1, len(mean) + 1) - span, 0)
    count = counts[1:] - counts[first]
    return np.where(count > 0, (sums[1:] - sums[first]) / np.maximum(count, 1), np.nan)


# -- figures ----------------------------------------------------------------------------------------------------------


def figures(name: str, test: Minutes, fits: dict[str, Minutes]) -> list[list[object]]:
    """A row a horizon and score."""
    rows: list[list[object]] = []
    usable = np.asarray(np.isfinite(test.features).all(1))
    test = test.part(usable)
    people = len(np.unique(test.patient))
    for j, horizon in enumerate(HORIZONS_S):
        label = test.labels[:, j]
        use = np.isfinite(label) & ~test.now
        scores = {"MAP": -test.level}
        if np.isfinite(test.other).any():
            scores["HPI of openvital"] = test.other
        for title, fit in fits.items():
            learnt = fit.part(np.isfinite(fit.features).all(1) & np.isfinite(fit.labels[:, j]) & ~fit.now)
            odds = trend_fit(learnt, j)(test)
            scores[title] = sigmoid(odds)
            if test.precursors.shape[1] and fit.precursors.shape[1]:
                scores[f"{title}, precursors"] = sigmoid(odds + precursor_fit(learnt, j)(test))
        points = TimePoints(test.patient, test.end_s, test.now, np.where(use, label, np.nan), horizon)
        for title, score in scores.items():
            here = use & np.isfinite(score)
            table_of: Scores = {name: np.repeat(values[None, :, None], len(HORIZONS_S), axis=2)
                                for name, values in (("model", score), ("map", -test.level))}  # fmt: skip
            found = risk_row(table_of, here, label, test.patient, j, _RESAMPLES)
            threshold = at_sensitivity(score[here], label[here] > 0.5, SENSITIVITY)
            alarms = replay_alarms(points, score, -MAP_RULE_MMHG if title == "MAP" else threshold).as_row()
            rows.append([
                name, people, int(horizon / 60), int(here.sum()), f"{found['prevalence']:.3f}",
                f"MAP (alarm below {MAP_RULE_MMHG:.0f})" if title == "MAP" else title,
                f"{found['auroc']:.3f}", f"{found['auroc_lo']:.3f}–{found['auroc_hi']:.3f}",
                "–" if title == "MAP" else gain_of(found), f"{found['auprc']:.3f}",
                f"{found['ppv']:.2f}", "–" if title == "MAP" else f"{found['ece']:.3f}",
                f"{alarms['alarms_per_h']:.1f}", f"{alarms['event_sensitivity']:.2f}", f"{alarms['lead_min']:.0f}",
            ])  # fmt: skip
    return rows


def trend_fit(fit: Minutes, horizon: int) -> Callable[[Minutes], Floats]:
    """Log odds of minutes by the pressure and its trend, learnt from ``fit`` (known throughout)."""
    weights = logistic(fit.features, fit.labels[:, horizon] > 0.5, _RIDGE)
    return lambda m: weights[0] + m.features @ weights[1:]


def precursor_fit(fit: Minutes, horizon: int) -> Callable[[Minutes], Floats]:
    """What precursors add to :func:`trend_fit`'s log odds; 0 where one is not known."""
    known = np.isfinite(fit.precursors).all(1)
    base = trend_fit(fit, horizon)(fit)[known]
    weights = logistic(fit.precursors[known], fit.labels[known, horizon] > 0.5, _PRECURSOR_RIDGE, base)

    def added(m: Minutes) -> Floats:
        more = weights[0] + m.precursors @ weights[1:]
        return np.where(np.isfinite(more), more, 0.0)

    return added


def gain_of(found: Mapping[str, object]) -> str:
    """AUROC beyond that of MAP, with its interval over patients."""
    middle, low, high = (float(str(found[key])) for key in ("gain_map", "gain_map_lo", "gain_map_hi"))
    return f"{middle:+.3f} ({low:+.3f} to {high:+.3f})"
