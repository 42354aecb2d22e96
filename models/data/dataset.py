"""Windows on disk: one folder a patient of memory-mapped .npy arrays, and a data set that draws from many of them.

Groups (train, stop, calibration, test) hold disjoint patients.

Arrays of a patient of T seconds and W windows: ``signals`` float32 [W, M, L] (as measured where a frame was present,
else the clean signal), ``presence`` bool [W, M, N] as recorded, ``history`` float32 [T + 1, M, C] (row t: the context
of the window that ends at t, NaN before the first), ``pressures`` [W, N, 3], ``r_times`` [W, R],
``eeg`` [W, 7], ``depth`` [W], ``hypotension`` [W, 3], ``hypotensive_now`` bool [W], ``end_s`` int [W]; labels are NaN
where unknown. ``index.json`` says seed, scenario, device and duration.

Optional: ``known`` bool [W, M, N], the frames whose true signal is in ``signals``. Simulated patients know all of them
(the array is left out then); a real recording knows what it measured, ``signals`` are NaN or artefact elsewhere, and
nothing may be learnt or scored there. ``stage`` int8 [W], the sleep stage.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput

GROUPS = ("train", "stop", "calibration", "test")
ARRAYS = (
    "signals", "presence", "history", "pressures", "r_times", "eeg", "depth", "hypotension", "hypotensive_now", "end_s",
)  # fmt: skip

OPTIONAL = ("known", "stage")

Arrays = dict[str, npt.NDArray[Any]]


def save_patient(folder: Path, arrays: Arrays, facts: dict[str, object]) -> None:
    """Writes the arrays, then ``index.json``: a folder without it is unfinished and is made again.

    Files are replaced, never written over: whoever has mapped the old ones keeps them whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in OPTIONAL:
        (folder / f"{name}.npy").unlink(missing_ok=True)
    for name in (*ARRAYS, *(n for n in OPTIONAL if n in arrays)):
        part = folder / f"{name}.part.npy"
        np.save(part, arrays[name], allow_pickle=False)
        part.replace(folder / f"{name}.npy")
    scratch = folder / "index.json.part"
    scratch.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    scratch.replace(folder / "index.json")


@dataclass(frozen=True)
class Patient:
    """One patient's windows; arrays stay on disk until indexed."""

    folder: Path
    facts: dict[str, object]
    arrays: Arrays

    @property
    def windows(self) -> int:
        """How many windows W there are."""
        return len(self.arrays["end_s"])

    @property
    def who(self) -> str:
        """The patient, told apart from another site's of that name; "" where the index does not say."""
        name = str(self.facts.get("patient", self.facts.get("name", "")))
        site = str(self.facts.get("site", ""))
        return f"{site}/{name}" if site and name else name

    @property
    def recorded(self) -> bool:
        """A real patient, not a simulated one: figures of simulated ones must say so."""
        return not bool(self.facts.get("simulated", "seed" in self.facts))


def open_patient(folder: Path) -> Patient:
    """Raises BadInput where the folder is not a finished patient."""
    try:
        facts = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        arrays: Arrays = {
            n: np.load(folder / f"{n}.npy", mmap_mode="r" if n == "signals" else None, allow_pickle=False)
            for n in (*ARRAYS, *(n for n in OPTIONAL if (folder / f"{n}.npy").is_file()))
        }
    except (OSError, ValueError) as error:
        raise BadInput("a folder of training windows", f"{folder} ({error})", "make the data again") from error
    arrays.setdefault("known", np.ones(arrays["presence"].shape, np.bool_))
    return Patient(folder, facts, arrays)


class WindowDataset:
    """The windows of a group. Nothing is drawn here: indices and losses are seeded by the caller.

    Of each window: ``study_of``, its folder (a row of ``history``); ``patient_of``, 0 … patient_count − 1, by the
    patient's name in the index; ``window_of``, its place in the folder.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        if not folders:
            raise BadInput("at least one patient folder", "none", "make the data first")
        self.patients = [open_patient(f) for f in folders]
        counts = [p.windows for p in self.patients]
        # A folder is one study; several studies of one patient are one patient wherever patients are counted or drawn.
        names = [p.who or str(number) for number, p in enumerate(self.patients)]
        number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.study_of = np.repeat(np.arange(len(counts)), counts)
        self.patient_of = np.repeat(np.array([number_of[name] for name in names], np.intp), counts)
        self.patient_count = len(number_of)
        self.window_of = np.concatenate([np.arange(c) for c in counts])

    def __len__(self) -> int:
        return len(self.study_of)

    @property
    def simulated(self) -> bool:
        """Whether any patient is simulated: figures of such data must say so."""
        return any(not p.recorded for p in self.patients)

    @property
    def recorded(self) -> npt.NDArray[np.bool_]:
        """Of each window [W], whether it is of a real patient."""
        return np.array([p.recorded for p in self.patients], np.bool_)[self.study_of]

    def whole(self, name: str) -> npt.NDArray[Any]:
        """One array of all windows; for ``history`` [studies, T + 1, M, C], NaN-padded to the longest."""
        parts = [p.arrays[name] for p in self.patients]
        if name == "history":
            longest = max(len(part) for part in parts)
            return np.stack([_padded(part, longest, axis=0) for part in parts])
        if name == "r_times":
            widest = max(part.shape[1] for part in parts)
            parts = [_padded(part, widest, axis=1) for part in parts]
        return np.concatenate(parts)

    def signals(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """[len(indices), M, L] from disk."""
        rows = [self.patients[self.study_of[i]].arrays["signals"][self.window_of[i]] for i in indices]
        return np.stack(rows).astype(np.float32, copy=False)


def _padded(values: npt.NDArray[Any], length: int, axis: int) -> npt.NDArray[Any]:
    shape = list(values.shape)
    shape[axis] = length - shape[axis]
    return np.concatenate([values, np.full(shape, np.nan, values.dtype)], axis=axis)


def bootstrap_weights(patients: int, members: int, seed: int) -> npt.NDArray[np.float32]:
    """Poisson bootstrap over patients, not windows: [patients, members]."""
    return np.random.default_rng(seed).poisson(1.0, (patients, members)).astype(np.float32)
