"""What the folds say together: every patient is tested once, by networks that never met it.

A figure is the mean over the folds of the figure in each; its interval draws the test patients of each fold anew, the
same for every method, so that differences are paired. Averages over subsets of sensors count each subset alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.papers.fold import Scored
from benchmarks.papers.methods import Methods
from benchmarks.papers.reading import HEADS
from models.evaluation.bootstrap import resampled_patients
from models.evaluation.hypotension import bounds
from models.evaluation.metrics import rank_replicates
from models.evaluation.report import caption, write_table
from models.signals.errors import BadInput
from models.signals.modalities import Modality

RESAMPLES = 500
REFERENCE = ("physiome", "restoration")
BESIDE = {"PhysioME": REFERENCE, "zero-fill": ("zero_fill", "zeros"), "numbers": ("numbers", "numbers")}
"""What every method is held against, with the same head: heading of a difference -> method and fill."""
ALL = "all sensors"

Floats = npt.NDArray[np.float64]
Row = dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A column: the AUROC of a risk, or the mean absolute error of a number, over the subsets that it is about."""

    name: str
    task: str
    recorded: bool
    sensors: int | None = None  # subsets of so many sensors; None: any
    without: Modality | None = None  # subsets in which this one is absent

    def counts(self, setting: str, sensors: Sequence[str]) -> bool:
        """Whether a subset, by its name, is one of those."""
        kept = set(sensors) if setting == ALL else set(setting.split("+"))
        if self.sensors is not None and len(kept) != self.sensors:
            return False
        return self.without is None or self.without.value not in kept


RISKS = tuple(
    Outcome(f"{sensors} sensor{'s' * (sensors > 1)}", "hypotension_5", False, sensors) for sensors in (1, 2, 3, 4)
)
NUMBERS = (
    Outcome("MAP without ABP, real, mmHg", "map", True, without=Modality.ABP),
    Outcome("MAP without ABP, simulated, mmHg", "map", False, without=Modality.ABP),
    Outcome("HR without ECG, real, /min", "hr", True, without=Modality.ECG),
    Outcome("HR without ECG, simulated, /min", "hr", False, without=Modality.ECG),
    Outcome("depth without EEG, simulated", "depth", False, without=Modality.EEG),
    Outcome("depth, EEG among the sensors, simulated", "depth", False, sensors=4),
)


def make_tables(scores: Path, chosen: Methods, out: Path) -> None:
    """Writes ``risk.md`` and ``numbers.md`` with their CSV. BadInput where nothing is scored, or folds differ."""
    found = collect(scores, chosen)
    figures = Figures(found)
    first = next(iter(found.values()))
    for name, outcomes, compared, title in (
        ("risk", RISKS, RISKS, "Hypotension within 5 minutes, AUROC by how many sensors there are (simulated)"),
        ("numbers", NUMBERS, NUMBERS[:1], "Mean absolute errors of what an absent sensor would have said"),
    ):
        rows = [row_of(figures, key, head, outcomes, compared) for head in HEADS for key in found]
        windows = sum(len(scored.patient) for scored in first)
        tested = [{*zip(s.patient.tolist(), s.recorded.tolist(), strict=True)} for s in first]
        real = sum(recorded for fold in tested for _, recorded in fold)
        note = caption(
            windows, sum(map(len, tested)) - real, 1, True,
            f"Recorded patients beside them: {real}. {len(first)} folds by patient; sensors not there were never "
            "measured. Head `complete`: the linear classifier was fitted on windows that lack nothing, as published; "
            "`losses`: on windows that lost sensors as those tested did. Δ: difference to PhysioME with its own "
            "restoration, to zero-fill and to a monitor's numbers with the same head, "
            + ("mean over the columns before it (above 0 is better), " if name == "risk" else "of the first column, ")
            + "95 % interval over the test patients of each fold.",
        )  # fmt: skip
        columns = {"method": "method", "fill": "absent slots hold", "head": "head"}
        beside = [heading for heading, key in BESIDE.items() if key in found]
        columns |= {name: name for name in [o.name for o in outcomes] + [f"Δ {heading}" for heading in beside]}
        write_table(rows, columns, out, name, title, note)


def collect(scores: Path, chosen: Methods) -> dict[tuple[str, str], list[Scored]]:
    """Method and fill -> its folds in order; methods that some fold lacks are named and left out."""
    found: dict[tuple[str, str], list[Scored]] = {}
    places = sorted(scores.glob("fold*"))
    for name, method in chosen.methods.items():
        for fill in method.fill:
            files = [place / name / f"{fill}.npz" for place in places]
            if files and all(file.is_file() for file in files):
                found[name, fill] = [Scored.load(file) for file in files]
            else:
                print(f"Not scored in every fold, so not in the tables: {name}, {fill}")
    if REFERENCE not in found:
        raise BadInput(f"scored folds of {' / '.join(REFERENCE)} in {scores}", "none", "run: benchmarks papers run")
    for key, folds in found.items():
        for mine, theirs in zip(folds, found[REFERENCE], strict=True):
            if not np.array_equal(mine.patient, theirs.patient):
                raise BadInput("the same test windows for every method", f"others in {key[0]}", "score it again")
    return found


class Figures:
    """Replicates of every method and fill, each computed once."""

    def __init__(self, found: dict[tuple[str, str], list[Scored]]) -> None:
        self.found = found
        self._made: dict[tuple[tuple[str, str], str, Outcome], Floats] = {}

    def __call__(self, key: tuple[str, str], head: str, outcome: Outcome) -> Floats:
        """As of :func:`replicates`."""
        asked = key, head, outcome
        if asked not in self._made:
            self._made[asked] = replicates(self.found[key], head, outcome)
        return self._made[asked]


def row_of(
    figures: Figures, key: tuple[str, str], head: str, outcomes: Sequence[Outcome],
    compared: Sequence[Outcome],
) -> Row:  # fmt: skip
    """One method, fill and head: each outcome with its interval, and the mean difference to what is :data:`BESIDE` over
    those that are ``compared``, which have one unit."""
    row: Row = {"method": key[0], "fill": key[1], "head": head}
    ours = {outcome.name: figures(key, head, outcome) for outcome in outcomes}
    for name, values in ours.items():
        row[name] = float(values[0])
        row[f"{name} lo"], row[f"{name} hi"] = bounds(values[1:])
    for heading, other in BESIDE.items():
        if other == key or other not in figures.found:
            continue
        apart = np.mean([ours[o.name] - figures(other, head, o) for o in compared], axis=0)
        lo, hi = row[f"{heading} lo"], row[f"{heading} hi"] = bounds(apart[1:])
        row[heading] = float(apart[0])
        row[f"Δ {heading}"] = f"{apart[0]:+.3f} [{lo:+.3f} to {hi:+.3f}]"
    return row


def replicates(folds: Sequence[Scored], head: str, outcome: Outcome) -> Floats:
    """The figure [0] and its resamples [1:], means over folds and subsets; NaN where a task was not read."""
    each = [_of_fold(scored, head, outcome) for scored in folds]
    defined = [one for one in each if np.isfinite(one[0])]  # a fold may lack an event, or a task
    return np.nanmean(defined, axis=0) if defined else np.full(RESAMPLES + 1, np.nan)


def _of_fold(scored: Scored, head: str, outcome: Outcome) -> Floats:
    use = (scored.recorded == outcome.recorded) & np.isfinite(scored.truth[outcome.task])
    _, patient = np.unique(scored.patient[use], return_inverse=True)
    count = int(patient.max()) + 1 if len(patient) else 0
    if not count:
        return np.full(RESAMPLES + 1, np.nan)
    rng = np.random.default_rng([scored.fold, 7])
    drawn = np.vstack([np.ones((1, count), np.int64), resampled_patients(count, RESAMPLES, rng)])
    truth = scored.truth[outcome.task][use]
    settings = list(dict.fromkeys(setting for setting, _, _ in scored.said))
    sensors = sorted({name for setting in settings if setting != ALL for name in setting.split("+")})
    each = []
    for setting in settings:
        said = scored.said.get((setting, head, outcome.task))
        if said is None or not outcome.counts(setting, sensors) or not np.isfinite(said[use]).all():
            continue  # a recorded window is not read in a subset with a sensor that it never had
        if outcome.task.startswith("hypotension"):
            each.append(rank_replicates(said[use], truth > 0.5, patient, drawn)[0])
        else:
            sums = np.bincount(patient, np.abs(said[use] - truth), count)
            each.append((drawn @ sums) / (drawn @ np.bincount(patient, minlength=count)))
    return np.mean(each, axis=0) if each else np.full(RESAMPLES + 1, np.nan)
