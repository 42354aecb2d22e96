"""The plan: which runs there are, what each changes, and whose encoders (or whole model) it takes over.

A plan is a TOML file like ``plan.toml`` beside this file. ``base`` names the configuration of ``models.training`` that
every main run starts from, ``ablation_base`` that of the ablations; ``set`` holds dotted names over it; ablations also
take the settings of ``[short]``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from models.signals.errors import BadInput
from models.training.config import TrainConfig, checked

PLAN = Path(__file__).with_name("plan.toml")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    origin: str = ""
    what: str = ""
    set: dict[str, Any] = {}


class _Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    base: str
    runs: dict[str, _Entry]
    ablation_base: str = ""  # "": base
    ablations: dict[str, _Entry] = {}
    short: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run. ``origin``: name of the run whose finished stages it takes over where they are the same; ``what``: the
    change in words, "" for a main run."""

    name: str
    settings: TrainConfig
    origin: str
    what: str
    ablation: bool


def read_plan(path: Path = PLAN) -> list[PlannedRun]:
    """The runs in an order in which each comes after its origin. Raises BadInput for a plan that does not fit."""
    try:
        plan = msgspec.toml.decode(path.read_bytes(), type=_Plan)
    except OSError as error:
        raise BadInput("a readable plan of runs", f"{path} ({error.strerror})", "check --plan") from error
    except msgspec.DecodeError as error:
        raise BadInput(
            "a plan of runs as in benchmarks/models/plan.toml", f"{error} in {path}", "correct it"
        ) from error
    main, ablated = _base(plan.base, path), _base(plan.ablation_base or plan.base, path)
    runs: list[PlannedRun] = []
    for group, base, ablation in ((plan.runs, main, False), (plan.ablations, ablated, True)):
        for name, entry in group.items():
            if entry.origin and entry.origin not in {r.name for r in runs}:
                raise BadInput(f"an earlier run as origin of {name}", repr(entry.origin), f"correct {path}")
            changes = (plan.short if ablation else {}) | entry.set
            runs.append(PlannedRun(name, _changed(base, changes, name, path), entry.origin, entry.what, ablation))
    return runs


def _base(name: str, plan: Path) -> dict[str, Any]:
    import models.training.config as where

    file = Path(where.__file__).with_name(f"{name}.toml")
    if not file.is_file():
        raise BadInput("a base out of demo, full", repr(name), f"correct {plan}")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _changed(base: dict[str, Any], changes: dict[str, Any], name: str, plan: Path) -> TrainConfig:
    """``base`` with dotted names set; BadInput names the run and the field that does not fit."""
    tree = _copied(base)
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        at = tree
        for part in parents:
            at = at.setdefault(part, {})
        at[last] = value
    try:
        return checked(msgspec.convert(tree, TrainConfig), f"{name} in {plan}")
    except msgspec.ValidationError as error:
        raise BadInput("settings of models.training.config", f"{error} of {name} in {plan}", "correct it") from error


def _copied(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in tree.items()}
