"""Who is trained on, who stops training early, who calibrates and who tests: by patient, never by study or window.

``split`` goes by a salted hash of the patient's name: adding patients moves nobody. ``folds`` are for cross-validation:
balanced, by a seeded permutation of all subjects.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from models.data.dataset import GROUPS
from models.signals.errors import BadInput


class Shares(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Expected share of the patients of each group; they add to 1."""

    train: float = 0.6
    stop: float = 0.1
    calibration: float = 0.1
    test: float = 0.2


DEFAULT_SHARES = Shares()


def place(patient: str, salt: str) -> float:
    """Where a patient lies in [0, 1): the first 8 bytes of SHA-256 over salt and name, so the same on any machine."""
    digest = hashlib.sha256(f"{salt}\0{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def split(patients: Iterable[str], shares: Shares = DEFAULT_SHARES, salt: str = "vigil") -> dict[str, str]:
    """Group of each patient. Raises BadInput for shares that are none.

    >>> split(["p1", "p2"]) == {k: v for k, v in split(["p1", "p2", "p3"]).items() if k != "p3"}
    True
    """
    parts = [getattr(shares, group) for group in GROUPS]
    if min(parts) < 0 or abs(sum(parts) - 1.0) > 1e-6:
        raise BadInput("shares of at least 0 that add to 1", f"{parts} for {', '.join(GROUPS)}", "correct them")
    edges = np.cumsum(parts)[:-1]
    return {p: GROUPS[int(np.searchsorted(edges, place(p, salt), side="right"))] for p in patients}


def folds(subjects: Iterable[str], count: int, seed: int) -> dict[str, int]:
    """Fold of each subject, 0 … count − 1, sizes within one of each other. Raises BadInput for too few subjects."""
    names = sorted(set(subjects))
    if count < 2 or len(names) < count:
        raise BadInput(f"{max(count, 2)} subjects or more for {count} folds", str(len(names)), "ask for fewer folds")
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[i]: place % count for place, i in enumerate(order.tolist())}


def fold_groups(fold_of: Mapping[str, int], test: int, shares: Shares, salt: str) -> dict[str, str]:
    """Groups of one round of cross-validation: fold ``test`` is the test group, the rest is split by hash among train,
    stop and calibration in the proportion of their shares."""
    if test not in fold_of.values():
        raise BadInput(f"a fold from 0 to {max(fold_of.values())}", str(test), "choose one of these")
    rest = shares.train + shares.stop + shares.calibration
    if rest <= 0:
        raise BadInput("a share for training above 0", "0", "correct the shares")
    inner = Shares(shares.train / rest, shares.stop / rest, shares.calibration / rest, 0.0)
    others = split((p for p, fold in fold_of.items() if fold != test), inner, salt)
    return {p: "test" if fold == test else others[p] for p, fold in fold_of.items()}


def check_groups(group_of: Mapping[str, str], needed: Sequence[str] = GROUPS) -> None:
    """Raises BadInput where a group that is needed has no patient."""
    counts = Counter(group_of.values())
    empty = [group for group in needed if not counts[group]]
    if empty:
        raise BadInput(
            "patients in every group",
            f"{len(group_of)} patients, none for {', '.join(empty)}",
            "add patients, change the shares or choose another salt",
        )
