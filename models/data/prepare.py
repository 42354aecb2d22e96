"""Real recordings to folders of windows, split by patient: what ``vigil data`` and a training run call.

    settings → cohort (what is left out, and why) → orders → cut in parallel, resumable → groups by patient

A recording that cannot be used is never skipped in silence: it is named with its reason in ``prepared.json``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from models.data.dataset import GROUPS
from models.data.folder import folder_orders
from models.data.recorded import LacksTracks, StudyOrder, cut_study
from models.data.sleep_edf import NightOrder, cut_night, night_orders
from models.data.sources import FolderData, RealSource, SleepEdfData
from models.data.splits import check_groups, fold_groups, folds, split
from models.data.vitaldb_cohort import FlowRow
from models.progress import Progress
from models.signals.errors import BadInput, VigilError
from models.signals.preprocessing import PREPROCESSING
from models.signals.windows import WindowSpec

Order = StudyOrder | NightOrder

STUDIES, SUMMARY, REFUSED = "studies", "prepared.json", "refused.json"
_NAMED = 6


class Refusal(msgspec.Struct, frozen=True):
    """A recording that was left out: its name, why, and where tracks were missing what it lacks and has."""

    study: str
    reason: str
    lacks: list[str] = []
    has: list[str] = []


@dataclass(frozen=True, slots=True)
class Prepared:
    """``groups``: study folders by group; ``facts``: the index of each study; ``flow``: the cohort, rule by rule."""

    groups: dict[str, list[Path]]
    facts: dict[Path, dict[str, object]]
    group_of: dict[str, str]
    flow: list[FlowRow]
    refused: list[Refusal]


def prepare(settings: RealSource, spec: WindowSpec | None, folder: Path, progress: Progress) -> dict[str, list[Path]]:
    """Windows of a real data set below ``folder``: study folders by group, patients disjoint.

    spec: the windows to cut; None for the shipped model's. Sleep-EDF has its own and looks at none. progress: called
    with stage, done, total. Raises BadInput where nothing usable is left, or a group has no patient.
    """
    prepared = prepare_studies(settings, spec, folder, progress)
    check_groups(prepared.group_of)
    return prepared.groups


def prepare_studies(settings: RealSource, spec: WindowSpec | None, folder: Path, progress: Progress) -> Prepared:
    """As :func:`prepare`, with everything there is to say of it, and groups that may be empty."""
    orders, flow, refused = _orders(settings, spec, folder, progress)
    orders = [*orders, *_through_other_devices(settings, orders)]
    facts: dict[Path, dict[str, object]] = {}
    total = len(orders)
    progress("recordings", 0, total)
    for done, (order, outcome) in enumerate(_cut_all(orders, settings.processes), start=1):
        if isinstance(outcome, Refusal):
            refused.append(outcome)
        else:
            facts[order.folder] = outcome
        progress("recordings", done, total)
    if settings.other_devices:
        flow.append(FlowRow("heard through other devices as well", 0, total))
    _count(flow, refused, total, len(facts))
    if not facts:
        raise nothing_usable(refused)
    group_of = _groups(settings, {str(f["patient"]) for f in facts.values()})
    groups: dict[str, list[Path]] = {group: [] for group in GROUPS}
    for path in sorted(facts):
        groups[group_of[str(facts[path]["patient"])]].append(path)
    prepared = Prepared(groups, facts, group_of, flow, refused)
    _write_summary(folder, settings, prepared)
    return prepared


def nothing_usable(refused: list[Refusal]) -> BadInput:
    """One sentence: which recordings lack what and what they have, and which cannot be read."""
    lacking = [r for r in refused if r.lacks]
    parts = [f"{r.study} lacks {', '.join(r.lacks)} (has {', '.join(r.has[:_NAMED]) or 'no wave'})" for r in lacking]
    parts += [f"{r.study}: {r.reason}" for r in refused if not r.lacks]
    more = f"; and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return BadInput(
        "at least one recording that can be used",
        f"{len(refused)} that cannot: {'; '.join(parts[:_NAMED])}{more}",
        "name their tracks yourself (channels), need fewer modalities, or choose another folder",
    )


def _orders(
    settings: RealSource, spec: WindowSpec | None, folder: Path, progress: Progress
) -> tuple[list[Order], list[FlowRow], list[Refusal]]:
    out, spec = folder / STUDIES, spec or WindowSpec()
    if isinstance(settings, FolderData):
        orders, found = folder_orders(settings, spec, out)
        every = len(found.files) + len(found.excluded)
        flow = [FlowRow("recordings in the folder", 0, every)]
        if found.excluded:
            flow.append(FlowRow("excluded by name", len(found.excluded), len(found.files)))
        return list(orders), flow, []
    if isinstance(settings, SleepEdfData):
        nights, strange = night_orders(settings, out)
        flow = [FlowRow("recordings of the cassette study", 0, len(nights) + len(strange))]
        return list(nights), flow, [Refusal(name, reason) for name, reason in strange]
    from models.data.vitaldb_cases import case_orders

    cases, flow, missing = case_orders(settings, spec, out, progress)
    return list(cases), flow, [Refusal(name, reason) for name, reason in missing]


def _groups(settings: RealSource, patients: set[str]) -> dict[str, str]:
    if isinstance(settings, SleepEdfData):
        return fold_groups(
            folds(patients, settings.folds, settings.seed), settings.fold, settings.shares, settings.salt
        )
    return split(patients, settings.shares, settings.salt)


def _through_other_devices(settings: RealSource, orders: list[Order]) -> list[StudyOrder]:
    """The recordings of the training group once more, ``settings.other_devices`` times each."""
    if not settings.other_devices or isinstance(settings, SleepEdfData):
        return []
    studies = [order for order in orders if isinstance(order, StudyOrder)]
    group_of = _groups(settings, {order.patient for order in studies})
    return [
        replace(order, folder=order.folder.with_name(f"{order.folder.name}-device{k}"), device_seed=_seed(order, k))
        for order in studies
        if group_of[order.patient] == "train"
        for k in range(1, settings.other_devices + 1)
    ]


def _seed(order: StudyOrder, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{order.study}\0{number}".encode()).digest()[:6], "big")


def _count(flow: list[FlowRow], refused: list[Refusal], total: int, usable: int) -> None:
    """The last rows of the cohort's flow, from what cutting met."""
    left = flow[-1].left
    for rule, count in (
        ("a needed track is missing", sum(bool(r.lacks) for r in refused)),
        ("cannot be read, or no usable stretch", sum(not r.lacks for r in refused)),
    ):
        left -= count
        flow.append(FlowRow(rule, count, left))
    if left != usable:
        raise ArithmeticError(f"{left} of {total} recordings should be left, {usable} are")


def fingerprint(order: Order) -> str:
    """Changes with everything that a study's windows depend on, its file's size and time of change included."""
    parts: dict[str, object] = {f: getattr(order, f) for f in order.__slots__ if f not in ("folder", "location")}
    if parts.get("device_seed", 0) is None:
        del parts["device_seed"]  # as before there was any
    parts["preprocessing"] = PREPROCESSING
    parts["files"] = [(p.stat().st_size, p.stat().st_mtime_ns) for p in order.files]
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cut(order: Order) -> tuple[Order, dict[str, object] | Refusal]:
    """One study: its index, from its folder where that is finished and of this very order, or why it is left out."""
    try:
        mark = fingerprint(order)
    except OSError as error:
        return order, Refusal(order.study, f"it cannot be read ({error.strerror})")
    for name in ("index.json", REFUSED):
        facts = _read(order.folder / name)
        if facts is not None and facts.get("fingerprint") == mark:
            return order, facts if name != REFUSED else msgspec.convert(facts["refusal"], Refusal)
    if order.folder.exists():
        shutil.rmtree(order.folder)
    try:
        facts = cut_night(order, mark) if isinstance(order, NightOrder) else cut_study(order, mark)
        return order, facts
    except LacksTracks as error:
        refusal = Refusal(order.study, str(error), list(error.lacks), list(error.has))
    except BadInput as error:
        refusal = Refusal(order.study, str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        shutil.rmtree(order.folder, ignore_errors=True)
        raise VigilError(
            f"The disk is full at the windows of {order.study}: free some space, or choose another folder, and run the "
            "same command again; finished recordings are kept."
        ) from error
    order.folder.mkdir(parents=True, exist_ok=True)
    record = {"fingerprint": mark, "refusal": msgspec.to_builtins(refusal)}
    (order.folder / REFUSED).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return order, refusal


def _cut_all(orders: list[Order], processes: int) -> Iterator[tuple[Order, dict[str, object] | Refusal]]:
    if processes <= 1 or len(orders) < 2:
        yield from map(cut, orders)
        return
    with multiprocessing.get_context("spawn").Pool(min(processes, len(orders))) as pool:
        yield from pool.imap_unordered(cut, orders)


def _read(path: Path) -> dict[str, object] | None:
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except msgspec.DecodeError:
        return None  # cut off by a crash: the study is cut anew


def _write_summary(folder: Path, settings: RealSource, prepared: Prepared) -> None:
    """``prepared.json``: the cohort's flow, what was refused, what the groups hold; no path of this machine."""
    about = msgspec.to_builtins(settings)
    for name in ("path", "folder"):
        about.pop(name, None)
    content = {
        "settings": about,
        "flow": msgspec.to_builtins(prepared.flow),
        "refused": msgspec.to_builtins(sorted(prepared.refused, key=lambda r: r.study)),
        "groups": group_table(prepared),
        "studies": {path.name: prepared.group_of[str(f["patient"])] for path, f in sorted(prepared.facts.items())},
    }
    part = folder / f"{SUMMARY}.{os.getpid()}.part"  # two may open the same windows at once
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(folder / SUMMARY)


def group_table(prepared: Prepared) -> list[dict[str, object]]:
    """A row a group: patients, studies, windows, share of known frames by modality (over windows), labels known."""
    rows: list[dict[str, object]] = []
    for group in GROUPS:
        facts = [prepared.facts[path] for path in prepared.groups[group]]
        row: dict[str, object] = {
            "group": group,
            "patients": len({str(f["patient"]) for f in facts}),
            "studies": len(facts),
            "windows": sum(_windows(f) for f in facts),
        }
        for key in ("known", "labelled", "stages"):
            row[key] = _weighted(facts, key)
        rows.append(row)
    return rows


def _windows(facts: dict[str, object]) -> int:
    return int(str(facts["windows"]))


def _weighted(facts: Iterable[dict[str, object]], key: str) -> dict[str, float]:
    """Mean over windows of the shares that the studies' indices give under ``key``."""
    total: defaultdict[str, float] = defaultdict(float)
    windows = 0
    for f in facts:
        shares = f.get(key, {})
        windows += _windows(f)
        if isinstance(shares, dict):
            for name, share in shares.items():
                total[name] += float(share) * _windows(f)
    return {name: round(value / windows, 4) for name, value in total.items()} if windows else {}
