"""Whose study a folder of windows is, and that no patient is in two groups of a split."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from models.data.dataset import Patient, WindowDataset
from models.signals.errors import BadInput


def name_of(patient: Patient) -> str:
    """Who it is; several folders (studies) may belong to one patient. Raises BadInput where the index does not say."""
    if not patient.who:
        raise BadInput("the patient's name in index.json", f"none in {patient.folder}", "make the data again")
    return patient.who


def check_disjoint(groups: Mapping[str, WindowDataset]) -> None:
    """Raises BadInput, naming the patients, where two groups share one: by patient, whatever the studies."""
    members = {group: {name_of(p) for p in dataset.patients} for group, dataset in groups.items()}
    for (one, first), (other, second) in combinations(members.items(), 2):
        shared = sorted(first & second)
        if shared:
            some = ", ".join(shared[:3]) + (f" and {len(shared) - 3} more" if len(shared) > 3 else "")
            raise BadInput(f"no patient in both {one} and {other}", some, "split the data by patient again")
