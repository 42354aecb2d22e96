"""The limits of a bed as data: which numerics may have some, what the user may set, and what is set by default.

A setting is of one numeric: on or off, a low and a high limit (each may be absent), from where on the alarm is of high
priority whatever its own, how long the condition must stand, its priority, and whether its message stays when it has
ended. The same struct is what a user's file, a command and the stream's own word hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec.structs import replace

from models.signals.errors import BadInput
from models.signals.modalities import BREATHS
from streams.fields import PRIORITIES, Finite, Name, Priority, at_most

LONGEST_DELAY_S = 15.0
"""With the numeric's own delay a pressure alarm then comes within 20 s of the onset, as the conventions have it."""


class LimitSetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is set for one numeric, in its own unit; None: there is no such limit."""

    vital: Name
    on: bool = True
    low: Finite | None = None
    high: Finite | None = None
    extreme_low: Finite | None = None
    extreme_high: Finite | None = None
    delay_s: Finite = 0.0
    priority: Priority = "medium"
    latch: bool = False


MAX_SETTINGS = 32
Settings = Annotated[list[LimitSetting], at_most(MAX_SETTINGS, "a bed has limits,")]


@dataclass(frozen=True, slots=True)
class Limited:
    """A numeric that may have limits.

    vital: field of :class:`streams.records.VitalsRecord`. key: of its alarms, up to the dot. text: of them, before LOW
    and HIGH. label: in the list of limits. plausible: a limit outside is a slip of the finger. extreme_delay_s: the
    delay beyond the extreme limits, where that of the setting is longer. source: field that names the source, and the
    sources that are trusted with an alarm. time: whether it is one that runs, so that a high limit alone makes sense,
    and is the delay as well.
    """

    vital: str
    key: str
    text: str
    label: str
    unit: str
    plausible: tuple[float, float]
    extreme_delay_s: float
    source: tuple[str, tuple[str, ...]] | None = None
    time: bool = False


LIMITED: Mapping[str, Limited] = {
    row.vital: row
    for row in (
        Limited("hr", "hr", "HR", "Heart rate", "/min", (20.0, 300.0), 1.0),
        Limited("pulse_rate", "pr", "PR", "Pulse rate", "/min", (20.0, 300.0), 1.0),
        Limited("abp_map", "map", "ABP", "ABP mean", "mmHg", (10.0, 250.0), 5.0),
        Limited("abp_sys", "sys", "SYS", "ABP systolic", "mmHg", (20.0, 300.0), 5.0),
        Limited("abp_dia", "dia", "DIA", "ABP diastolic", "mmHg", (10.0, 220.0), 5.0),
        Limited("spo2", "spo2", "SpO2", "Saturation", "%", (1.0, 100.0), 5.0),
        # A rate read from the modulation of ECG and pulse is worth showing; an irregular heart makes it unreliable.
        Limited("resp_rate", "resp", "RR", "Respiration", "/min", (1.0, 120.0), 10.0, ("resp_source", BREATHS)),
        Limited("apnoea_s", "apnoea", "APNOEA", "Apnoea", "s", (10.0, 40.0), 0.0, time=True),
    )
}

DEFAULT_SETTINGS: tuple[LimitSetting, ...] = tuple(
    LimitSetting(
        vital=vital, on=on, low=low, high=high, extreme_low=lowest, extreme_high=highest, delay_s=delay_s,
        priority=priority,
    )
    for vital, on, low, high, lowest, highest, delay_s, priority in (
        # vital       on     low   high   extremes     delay: HR within 10 s, pressure within 20 s of the onset
        ("hr", True, 50.0, 120.0, 40.0, 150.0, 3.0, "medium"),
        ("pulse_rate", False, 50.0, 120.0, 40.0, 150.0, 3.0, "medium"),
        ("abp_map", True, 65.0, 110.0, 50.0, 130.0, 5.0, "medium"),
        ("abp_sys", False, 90.0, 160.0, 70.0, 180.0, 5.0, "medium"),
        ("abp_dia", False, 50.0, 90.0, 40.0, 110.0, 5.0, "medium"),
        ("spo2", True, 90.0, 100.0, 80.0, 100.0, 10.0, "medium"),
        ("resp_rate", True, 6.0, 30.0, 4.0, 40.0, 10.0, "medium"),
        ("apnoea_s", True, None, 20.0, None, None, 0.0, "high"),
    )
)  # fmt: skip
"""Adult defaults, common on monitors; the low mean pressure is the hypotension that the model predicts."""


def default_setting(vital: str) -> LimitSetting:
    """What is set for a numeric where nobody has set anything."""
    return next(setting for setting in DEFAULT_SETTINGS if setting.vital == vital)


def checked(settings: Iterable[LimitSetting]) -> tuple[LimitSetting, ...]:
    """A setting for each numeric, in the order of the table, by default where there is none; BadInput for one that
    makes no sense."""
    found: dict[str, LimitSetting] = {}
    for setting in settings:
        if setting.vital not in LIMITED:
            raise BadInput(f"limits of {', '.join(LIMITED)}", repr(setting.vital), "name one of these")
        if setting.vital in found:
            raise BadInput(f"limits of {setting.vital} once", "them twice", "leave one out")
        _check(LIMITED[setting.vital], setting)
        found[setting.vital] = setting
    return tuple(found.get(default.vital, default) for default in DEFAULT_SETTINGS)


def _check(row: Limited, setting: LimitSetting) -> None:
    least, most = row.plausible
    name, unit = row.label, row.unit
    for side, value in (("low", setting.low), ("high", setting.high), ("very low", setting.extreme_low),
                        ("very high", setting.extreme_high)):  # fmt: skip
        if value is not None and not least <= value <= most:  # NaN is not
            raise BadInput(f"a {side} limit of {name} of {least:g} to {most:g} {unit}", f"{value:g}", "correct it")
    rising = [("very low", setting.extreme_low), ("low", setting.low), ("high", setting.high),
              ("very high", setting.extreme_high)]  # fmt: skip
    there = [(side, value) for side, value in rising if value is not None]
    for (lower, below), (upper, above) in pairwise(there):
        same_side = lower.split()[-1] == upper.split()[-1]
        if below > above or (below == above and not same_side):
            raise BadInput(
                f"a {lower} limit of {name} below the {upper} one",
                f"{below:g} and {above:g} {unit}",
                "lower the first or raise the second",
            )
    for extreme, value in (("very low", setting.extreme_low), ("very high", setting.extreme_high)):
        plain = extreme.split()[-1]
        if value is not None and getattr(setting, plain) is None:
            raise BadInput(f"a {plain} limit of {name} beside the {extreme} one", "none", "set it, or neither")
    others = (setting.low, setting.extreme_low, setting.extreme_high, setting.delay_s or None)
    if row.time and any(value is not None for value in others):
        raise BadInput(f"a high limit of {name} and nothing else", "another limit or a delay", "leave it out")
    if not 0.0 <= setting.delay_s <= LONGEST_DELAY_S:
        raise BadInput(f"a delay of {name} of 0 to {LONGEST_DELAY_S:g} s", f"{setting.delay_s:g}", "correct it")
    if setting.priority not in PRIORITIES:
        raise BadInput(f"a priority of {name} out of {', '.join(PRIORITIES)}", repr(setting.priority), "correct it")


def moved(setting: LimitSetting, low: float | None, high: float | None) -> LimitSetting:
    """The setting with other limits; its extremes keep their distance to them, within what is plausible."""
    return replace(
        setting,
        low=low,
        high=high,
        extreme_low=_beside(setting, low, "low"),
        extreme_high=_beside(setting, high, "high"),
    )


def _beside(setting: LimitSetting, limit: float | None, side: str) -> float | None:
    """The extreme limit of a side, as far from ``limit`` as it was from the one before, or is by default."""
    if limit is None:
        return None
    for like in (setting, default_setting(setting.vital)):
        plain, extreme = getattr(like, side), getattr(like, f"extreme_{side}")
        if plain is not None and extreme is not None:
            least, most = LIMITED[setting.vital].plausible
            return float(min(most, max(least, limit + (extreme - plain))))
    return None


def setting_of(settings: Iterable[LimitSetting], vital: str) -> LimitSetting | None:
    """The setting of a numeric among those, None where there is none."""
    return next((setting for setting in settings if setting.vital == vital), None)


def bound(setting: LimitSetting, side: str) -> float:
    """The limit of a side ("low" or "high") that can be crossed; none that can where it is absent or off."""
    value: float | None = getattr(setting, side) if setting.on else None
    return value if value is not None else (-math.inf if side == "low" else math.inf)
