"""Limits on measured numerics and on the predicted risk, as the engine judges by them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from streams.limit_settings import DEFAULT_SETTINGS, LIMITED, LimitSetting, bound
from streams.records import VitalsRecord


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on one measured numeric.

    vital: field of VitalsRecord. below: True for a lower limit. value: an infinite one is never crossed, as of a limit
    that is off. extreme: the value from which the priority is high. delay_s: the condition must have stood so long
    before it is an alarm. extreme_delay_s: shorter, beyond ``extreme``. source: field of VitalsRecord that names the
    source, and the sources that are trusted with an alarm. time: a time that runs, which is told as the present value
    alone: a text that changes each second would be another alarm each second, in every log.
    """

    key: str
    text: str
    vital: str
    below: bool
    value: float
    extreme: float
    delay_s: float
    extreme_delay_s: float
    source: tuple[str, tuple[str, ...]] | None = None
    priority: str = "medium"
    time: bool = False

    def measured(self, record: VitalsRecord) -> float | None:
        """The numeric, None where it is unknown or comes from another source."""
        if self.source is not None and getattr(record, self.source[0]) not in self.source[1]:
            return None
        value: float | None = getattr(record, self.vital)
        return value

    def words(self, worst: float) -> str:
        """The text of the alarm."""
        if self.time:
            return f"{self.text} > {self.value:g} s"
        return f"{self.text} {beyond(worst, self.value)} {'<' if self.below else '>'} {self.value:g}"

    def now(self, measured: float) -> str:
        """The present value in the alarm; of a time no second more than has passed."""
        return f"{math.floor(measured)} s" if self.time else f"{measured:.0f}"

    def violated(self, measured: float, threshold: float) -> bool:
        """Whether the value lies beyond ``threshold``."""
        return measured < threshold if self.below else measured > threshold


def limits_from(settings: Iterable[LimitSetting]) -> tuple[Limit, ...]:
    """A low and a high limit for each setting, also where it is off: so what stands by it ends."""
    found = []
    for setting in settings:
        row = LIMITED[setting.vital]
        for side, extreme in (("low", setting.extreme_low), ("high", setting.extreme_high)):
            below, value = side == "low", bound(setting, side)
            never = -math.inf if below else math.inf
            found.append(
                Limit(
                    f"{row.key}.{side}",
                    row.text if row.time else f"{row.text} {side.upper()}",
                    row.vital,
                    below,
                    value,
                    extreme if extreme is not None and math.isfinite(value) else never,
                    setting.delay_s,
                    min(row.extreme_delay_s, setting.delay_s),
                    row.source,
                    setting.priority,
                    row.time,
                )
            )
    return tuple(found)


def beyond(value: float, limit: float) -> str:
    """A value that violates a limit, in as few digits as show it: 64.7 below 65 is "64.7", not "65", and 64 is "64".

    >>> beyond(64.7, 65.0), beyond(64.98, 65.0), beyond(64.2, 65.0), beyond(120.4, 120.0)
    ('64.7', '64.9', '64', '120.4')
    """
    if f"{value:.0f}" != f"{limit:.0f}":
        return f"{value:.0f}"
    toward = math.floor if value < limit else math.ceil
    return f"{toward(value * 10) / 10:.1f}"


DEFAULT_LIMITS: tuple[Limit, ...] = limits_from(DEFAULT_SETTINGS)

HOLD_S = 10.0
"""A violated limit whose numeric has become unknown (a flush, a seek of the beat detector) stands for so long: what is
not known has not recovered. After that the sensor's technical condition speaks for it."""


@dataclass(frozen=True, slots=True)
class RiskLimit:
    """Alarm on the predicted risk (0-100): after two consecutive valid updates above ``above``."""

    horizon_min: str = "15"
    above: float = 85.0
    updates: int = 2
    within_s: float = 20.0  # updates further apart are not consecutive
