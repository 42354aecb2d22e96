"""The source text of the built-in patient: ``demo`` or ``demo:seed=7,scenario=hypovolaemia,faults=off``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TypeVar

from models.data.sim.crises import SCRIPTS, Crisis
from models.data.sim.eeg import SHIPPED_SPECTRA
from models.data.sim.operation import SHIPPED_COURSE
from models.data.sim.scenarios import Scenario
from models.signals.errors import BadInput

DEMO_SEED = 7
DEMO_DURATION_S = 3600.0

_KEYS = ("seed", "scenario", "duration", "faults", "device", "coupled", "spectra", "course")
_SWITCH = {"on": True, "off": False, "true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for, defaults filled in; values are checked by ``SimulatedPatient``."""

    name: str
    seed: int
    scenario: str
    duration_s: float
    device: str
    coupled: bool
    faults: bool | None  # None: as is usual for the scenario
    spectra: int
    course: int


def parse_demo(spec: str) -> DemoOptions:
    """The options in ``spec``. Raises BadInput for an unknown, repeated or unreadable key or value."""
    head, _, rest = spec.strip().partition(":")
    if head.strip().casefold() != "demo":
        raise BadInput("'demo' or 'demo:key=value,…'", repr(spec), "write for example demo:seed=7")
    given: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in rest.split(","))):
        key, equals, value = (p.strip() for p in part.partition("="))
        key = key.casefold()
        if key not in _KEYS or not equals or not value:
            near = difflib.get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near and near[0] != key else "write for example demo:seed=7"
            raise BadInput(f"key=value with a key out of {', '.join(_KEYS)}", repr(part), hint)
        if key in given:
            raise BadInput(f"{key!r} once", repr(spec), "leave one of them out")
        given[key] = value
    scenario = given.get("scenario", Scenario.DEMO.value).casefold()
    usual_s = SCRIPTS[Crisis(scenario)].duration_s if scenario in set(Crisis) else DEMO_DURATION_S
    return DemoOptions(
        name="demo" + (":" + ",".join(f"{k}={v}" for k, v in given.items()) if given else ""),
        seed=_number(given, "seed", DEMO_SEED),
        scenario=scenario,
        duration_s=_number(given, "duration", usual_s),
        device=given.get("device", "train").casefold(),
        coupled=_switch(given, "coupled"),
        faults=_switch(given, "faults") if "faults" in given else None,
        spectra=_number(given, "spectra", SHIPPED_SPECTRA),
        course=_number(given, "course", SHIPPED_COURSE),
    )


def _number(given: dict[str, str], key: str, default: _Number) -> _Number:
    text = given.get(key)
    if text is None:
        return default
    try:
        return type(default)(text)
    except ValueError:
        raise BadInput(f"a number for {key}", repr(text), f"write for example {key}={default:g}") from None


def _switch(given: dict[str, str], key: str) -> bool:
    text = given.get(key, "on").casefold()
    if text not in _SWITCH:
        raise BadInput(f"on or off for {key}", repr(given[key]), f"write {key}=on or {key}=off")
    return _SWITCH[text]
