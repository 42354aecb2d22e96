"""One fold: encoders trained once, each method's stage on them, a linear classifier on what each represents.

What is kept is a prediction a test window, subset of sensors, task and head, so that every figure and its interval can
be had afterwards without training again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.papers.cohort import Person, fold_of, name_of, open_fold, whole_rows
from benchmarks.papers.end_to_end import ZeroFillStage, add_classifier, task
from benchmarks.papers.methods import Method, Methods, main_stage_settings, plain, pretraining, selfmask_settings
from benchmarks.papers.reading import FILLS, Classifier, LateFusion, Said, representation
from models.batches.batch import TRAINING
from models.batches.features import cache_features
from models.batches.group import Group
from models.data.sources import CORE
from models.evaluation.readouts import TASKS, truths
from models.evaluation.settings import every_subset
from models.imputers import MaskTokenImputer
from models.physiome import PhysioME, PhysioMEConfig
from models.progress import Progress
from models.signals.errors import BadInput
from models.training.config import digest
from models.training.heads_stage import COMPLETE
from models.training.loop import run_stage
from models.training.objective_stages import main_stage
from models.training.pretrain import PretrainStage
from models.training.selfmask_stage import SelfMaskStage

HEAD_WINDOWS, TEST_WINDOWS = 14, 12
"""Windows a patient on which classifiers are fitted, and which are tested."""

END_TO_END = {"selfmask": SelfMaskStage, "zero_fill": ZeroFillStage}
MARK = "mark.txt"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions of one method and fill on the test windows of a fold.

    patient [W] names; recorded bool [W]; truth task -> [W]; said (setting, head, task) -> [W]. Head ``complete`` was
    fitted on windows that lack nothing (as published), ``losses`` on windows that lost sensors as those tested do.
    """

    fold: int
    method: str
    fill: str
    patient: npt.NDArray[np.str_]
    recorded: npt.NDArray[np.bool_]
    truth: dict[str, Floats]
    said: dict[tuple[str, str, str], Floats]

    def save(self, path: Path) -> None:
        """As one .npz; names hold what keys hold."""
        arrays: dict[str, npt.NDArray[np.generic]] = {"patient": self.patient, "recorded": self.recorded}
        arrays |= {f"truth|{task}": v for task, v in self.truth.items()}
        arrays |= {"said|" + "|".join(key): v.astype(np.float32) for key, v in self.said.items()}
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, **arrays)  # type: ignore[arg-type]
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Scored:
        """The file written by :meth:`save`, named FOLD/METHOD/FILL.npz."""
        with np.load(path, allow_pickle=False) as kept:
            truth = {n.split("|")[1]: kept[n] for n in kept.files if n.startswith("truth|")}
            said = {
                (parts[1], parts[2], parts[3]): kept[n].astype(np.float64)
                for n in kept.files if (parts := n.split("|"))[0] == "said"
            }  # fmt: skip
            fold = int(path.parent.parent.name.removeprefix("fold"))
            return cls(fold, path.parent.name, path.stem, kept["patient"], kept["recorded"], truth, said)


class Fold:
    """Trains and scores the methods of one fold into ``out``; what is finished is not done again."""

    def __init__(
        self, patients: list[Person], fold: int, seed: int, chosen: Methods, out: Path, progress: Progress,
        config: PhysioMEConfig,
    ) -> None:  # fmt: skip
        self.fold, self.seed, self.chosen, self.progress = fold, seed, chosen, progress
        self.out = out / f"fold{fold}"
        self.out.mkdir(parents=True, exist_ok=True)
        self.config = config
        folders = fold_of(patients, fold, seed)
        self.groups = open_fold(folders, self.config, seed)
        self.print = digest(
            [seed, fold, str(config), sorted(f"{g}/{p.parent.name}/{p.name}" for g in folders for p in folders[g])]
        )

    def run(self, only: list[str] | None = None) -> None:
        """Every method of the file (or ``only`` these) that is not scored yet."""
        for name, method in self.chosen.methods.items():
            if only is not None and name not in only:
                continue
            files = {fill: self.out / name / f"{fill}.npz" for fill in method.fill}
            claim(self.out / name, self._mark(method))
            if all(path.is_file() for path in files.values()):
                continue
            model = self.trained(name, method)
            for fill, path in files.items():
                self.progress(f"fold {self.fold} {name}: {fill}", 0, 1)
                score(model, self.groups, self.fold, name, fill).save(path)
                self.progress(f"fold {self.fold} {name}: {fill}", 1, 1)

    # -- training -------------------------------------------------------------------------------------------------

    def trained(self, name: str, method: Method) -> PhysioME:
        """The method's model, its groups with the features of its encoders."""
        model = self._with_encoders(method)
        torch.manual_seed(self.seed + self.fold)
        place, budget, (train, stop) = self.out / name, self.chosen.budget, (self.groups["train"], self.groups["stop"])
        seed = 100 * self.seed + self.fold
        mark = self._mark(method)
        if method.stage in END_TO_END:
            add_classifier(model)
            settings = selfmask_settings(method, budget)
            whole = END_TO_END[method.stage](model, train, stop, settings, seed, task, end_to_end=True)
            run_stage(whole, settings, place, mark, self.progress)
            self._read_features(model)
        elif method.stage != "none":
            model.imputer = FILLS.get(method.fill[0], MaskTokenImputer())
            fusing, plan = main_stage_settings(method, budget), COMPLETE if method.complete else TRAINING
            fusion = main_stage(method.stage, model, train, stop, fusing, seed, plan)
            run_stage(fusion, fusing, place, mark, self.progress)
        return model.eval().requires_grad_(False)

    def _mark(self, *methods: Method) -> str:
        """What a checkpoint or a score depends on."""
        return digest([self.print, *(plain(method) for method in methods), plain(self.chosen.budget)])

    def _with_encoders(self, method: Method) -> PhysioME:
        """The network as it was drawn, with the fold's encoders (or those drawn) and their features in the groups."""
        torch.manual_seed(100 * self.seed + self.fold)
        model = PhysioME(replace(self.config, use_context=method.context))
        if method.random_encoders:
            self._read_features(model)
            return model
        stage = PretrainStage(
            model, self.groups["train"], self.groups["stop"], pretraining(self.chosen.budget), self.seed
        )
        run_stage(stage, pretraining(self.chosen.budget), self.out, self._mark(), self.progress)
        for name, group in self.groups.items():
            cache_features(model, group, self.progress, name, self.out / "features" / f"{name}.npy")
        return model

    def _read_features(self, model: PhysioME) -> None:
        """Features of the windows that are read, by the encoders of ``model``; NaN elsewhere, where none is needed."""
        for name, most in (("train", HEAD_WINDOWS), ("test", TEST_WINDOWS)):
            group = self.groups[name]
            cache_features(model, group, self.progress, name, rows=whole_rows(group, most))


def claim(place: Path, mark: str) -> None:
    """Makes the folder this method's under these settings; BadInput where it holds another's, which would be shown."""
    place.mkdir(parents=True, exist_ok=True)
    if not (place / MARK).is_file():
        (place / MARK).write_text(mark, encoding="utf-8")
    elif (place / MARK).read_text(encoding="utf-8") != mark:
        raise BadInput("scores of these patients and settings", f"others in {place}", "choose another --scores")


# -- scoring ----------------------------------------------------------------------------------------------------------


def score(model: PhysioME, groups: Mapping[str, Group], fold: int, method: str, fill: str) -> Scored:
    """Linear heads fitted on the training patients, read on the test patients in every subset of sensors; a recorded
    window, which has no EEG, in the subsets without one."""
    train, test = groups["train"], groups["test"]
    fitting, rows = whole_rows(train, HEAD_WINDOWS), whole_rows(test, TEST_WINDOWS)
    reads: Callable[..., Said]
    if fill == "late fusion":
        reads = LateFusion(model, train, fitting)
    else:
        reads = Classifier(representation(model, fill), train, fitting, fold)
    names = np.array([name_of(p) for p in test.dataset.patients])
    said: dict[tuple[str, str, str], Floats] = {}
    rows_of = model.config.bedside_rows
    beyond = [m not in CORE for m in rows_of]
    for setting in every_subset([m.value for m in rows_of]):
        here = ~(test.recorded[rows] & any(beyond[m] for m in setting.observed))
        found = reads(test, rows[here], np.tile(np.array(setting.lost_s), (int(here.sum()), 1)))
        for head, tasks in found.items():
            for name, values in tasks.items():
                said[setting.name, head, name] = np.full(len(rows), np.nan)
                said[setting.name, head, name][here] = values
    truth = truths(test, rows, rows_of)
    return Scored(
        fold, method, fill, names[test.dataset.study_of[rows]], test.recorded[rows],
        {name: truth[name] for name in TASKS}, said,
    )  # fmt: skip
