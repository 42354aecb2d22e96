"""The windows of a run: made (or found) by group, checked, and hashed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from models.batches.group import Group
from models.data.dataset import GROUPS, WindowDataset, open_patient
from models.data.folder import study_name
from models.data.generate import HELD_OUT_DEVICE, PatientOrder, make_patients
from models.progress import Progress
from models.signals.errors import BadInput
from models.training.config import DataConfig, MixedData, TrainConfig, site_of

SEEDS_A_GROUP = 100_000


def patient_orders(settings: TrainConfig, folder: Path) -> list[PatientOrder]:
    """Who is simulated: seeds of a group run on from its own base, so no patient is in two; the test group has other
    devices."""
    data, spec = settings.data, settings.architecture.window_spec
    if isinstance(data, MixedData):
        data = data.simulated
    assert isinstance(data, DataConfig)
    orders: list[PatientOrder] = []
    for base, group in enumerate(GROUPS):
        test = group == "test"
        stride, device = (data.test_stride_s, HELD_OUT_DEVICE) if test else (data.stride_s, "train")
        for k in range(getattr(data, f"{group}_patients")):
            seed = data.first_seed + base * SEEDS_A_GROUP + k
            place = folder / group / f"{k:04d}"
            orders.append(
                PatientOrder(
                    place, group, seed, data.duration_s, stride, spec, device, spectra=data.spectra, course=data.course
                )
            )
    return orders


def make_windows(settings: TrainConfig, folder: Path, progress: Progress) -> dict[str, list[Path]]:
    """Patients' folders by group; what is not there yet is simulated, or cut from recordings."""
    from models.data.prepare import prepare, prepare_studies

    data, size = settings.data, settings.architecture
    if isinstance(data, DataConfig):
        found = _simulated(settings, folder, data.processes, progress)
    elif isinstance(data, MixedData):
        found = _simulated(settings, folder / "simulated", data.simulated.processes, progress)
        for part in data.recorded:
            place = folder / study_name(site_of(part))
            place.mkdir(parents=True, exist_ok=True)
            cut = prepare_studies(part, size.window_spec, place, progress).groups
            found = {group: found[group] + cut[group] for group in GROUPS}
    else:
        found = prepare(data, size.window_spec if size.task == "bedside" else None, folder, progress)
    for group in GROUPS:
        if not found.get(group):
            raise BadInput(f"patients in the group {group}", f"none in {folder}", "use more recordings or other shares")
    for patient in {path.parent: path for path in found["train"]}.values():  # one of each source
        _check_shape(patient, settings)
    return found


def _simulated(settings: TrainConfig, folder: Path, processes: int, progress: Progress) -> dict[str, list[Path]]:
    orders = patient_orders(settings, folder)
    for order in orders:
        _check_order(order)
    make_patients(orders, processes, lambda done, total: progress("patients", done, total))
    return {group: [o.folder for o in orders if o.group == group] for group in GROUPS}


def _check_order(order: PatientOrder) -> None:
    """A patient on disk must be the one that is asked for."""
    if not (order.folder / "index.json").is_file():
        return
    facts = open_patient(order.folder).facts
    for name in ("spectra", "course"):
        facts.setdefault(name, 1)  # of a patient made when there were no others
    for name in ("seed", "device", "duration_s", "stride_s", "coupled", "spectra", "course"):
        if facts.get(name) != getattr(order, name):
            raise BadInput(
                f"a simulated patient with {name} {getattr(order, name)}", f"{facts.get(name)} in {order.folder}",
                "use another data_folder, or the configuration it was made with",
            )  # fmt: skip


def _check_shape(folder: Path, settings: TrainConfig) -> None:
    found = open_patient(folder).arrays["presence"].shape[1:]
    wanted = (len(settings.architecture.modalities), settings.architecture.frames)
    if found != wanted:
        raise BadInput(
            f"windows of {wanted[0]} rows and {wanted[1]} frames, as size {settings.size} has",
            f"{found[0]} rows and {found[1]} frames in {folder}",
            "choose the size that the windows were made for",
        )


def data_fingerprint(folders: dict[str, list[Path]]) -> str:
    """Hash of the patients' index files by group, wherever they lie: who, which settings, which preprocessing."""
    seen = hashlib.sha256()
    for group in GROUPS:
        for folder in folders[group]:
            seen.update(f"{group}/{folder.name}\n".encode())
            seen.update((folder / "index.json").read_bytes())
    return seen.hexdigest()[:16]


def content_fingerprint(folders: dict[str, list[Path]]) -> str:
    """As :func:`data_fingerprint`, of windows that were cut of a copy of the recordings too: the mark by which a study
    knows its file (when that was changed, above all) is left out."""
    seen = hashlib.sha256()
    for group in GROUPS:
        for folder in folders[group]:
            facts = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            facts.pop("fingerprint", None)
            seen.update(f"{group}/{folder.name}\n{json.dumps(facts, sort_keys=True)}\n".encode())
    return seen.hexdigest()[:16]


def open_group(folders: list[Path], settings: TrainConfig) -> Group:
    """The windows of one group, without features."""
    share = settings.data.recorded_share if isinstance(settings.data, MixedData) else None
    return Group(WindowDataset(folders), settings.architecture, settings.seed, share)
