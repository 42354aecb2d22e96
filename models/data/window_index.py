"""The index of a data set: whose window it is, from which study and device, when, how complete, with which labels.

table = window_index(dataset)            # columns, one entry a window
night = table["patient"] == "p07"
check_disjoint({"train": train, "test": test})
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from models.data.dataset import Patient, WindowDataset
from models.signals.errors import BadInput

TEXTS = ("patient", "study", "device", "site", "preprocessing")

Columns = dict[str, npt.NDArray[np.generic]]


def window_index(dataset: WindowDataset) -> Columns:
    """Columns of all W windows in the order of the data set.

    Text, "" where the index of a study does not say: ``patient``, ``study``, ``device``, ``site``, ``preprocessing``.
    ``end_s`` int64 [W], in the study's own time base. ``presence`` and ``known`` float32 [W, M]: share of the frames
    that were measured, and whose truth is known. Availability, bool: ``has_depth`` [W], ``has_stage`` [W],
    ``has_hypotension`` [W, 3], ``has_pressures`` [W] (any frame), ``has_eeg`` [W].
    """
    columns: Columns = {}
    for name in TEXTS:
        of_study = [name_of(p) if name == "patient" else str(p.facts.get(name, "")) for p in dataset.patients]
        columns[name] = np.array(of_study, dtype=np.str_)[dataset.study_of]
    columns["end_s"] = dataset.whole("end_s").astype(np.int64)
    for name in ("presence", "known"):
        columns[name] = dataset.whole(name).mean(-1, dtype=np.float32)
    columns["has_depth"] = np.isfinite(dataset.whole("depth"))
    columns["has_hypotension"] = np.isfinite(dataset.whole("hypotension"))
    columns["has_pressures"] = np.isfinite(dataset.whole("pressures")).any((1, 2))
    columns["has_eeg"] = np.isfinite(dataset.whole("eeg")).all(-1)
    columns["has_stage"] = np.concatenate(
        [p.arrays["stage"] >= 0 if "stage" in p.arrays else np.zeros(p.windows, np.bool_) for p in dataset.patients]
    )
    return columns


def name_of(patient: Patient) -> str:
    """Who it is; several folders (studies) may belong to one patient. Raises BadInput where the index does not say."""
    name = patient.facts.get("patient", patient.facts.get("name"))
    if not isinstance(name, str) or not name:
        raise BadInput("the patient's name in index.json", f"none in {patient.folder}", "make the data again")
    return name


def check_disjoint(groups: Mapping[str, WindowDataset]) -> None:
    """Raises BadInput, naming the patients, where two groups share one: by patient, whatever the studies."""
    members = {group: {name_of(p) for p in dataset.patients} for group, dataset in groups.items()}
    for (one, first), (other, second) in combinations(members.items(), 2):
        shared = sorted(first & second)
        if shared:
            some = ", ".join(shared[:3]) + (f" and {len(shared) - 3} more" if len(shared) > 3 else "")
            raise BadInput(f"no patient in both {one} and {other}", some, "split the data by patient again")
