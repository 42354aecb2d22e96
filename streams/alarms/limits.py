"""Limits on measured numerics and on the predicted risk, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.signals.modalities import Modality
from streams.records import VitalsRecord


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on one measured numeric.

    vital: field of VitalsRecord. below: True for a lower limit. extreme: the value from which the priority is high.
    delay_s: the condition must have stood so long before it is an alarm. extreme_delay_s: shorter, beyond ``extreme``.
    source: field of VitalsRecord that names the source, and the one source that is trusted with an alarm.
    """

    key: str
    text: str
    vital: str
    below: bool
    value: float
    extreme: float
    delay_s: float
    extreme_delay_s: float
    source: tuple[str, str] | None = None

    def measured(self, record: VitalsRecord) -> float | None:
        """The numeric, None where it is unknown or comes from another source."""
        if self.source is not None and getattr(record, self.source[0]) != self.source[1]:
            return None
        value: float | None = getattr(record, self.vital)
        return value

    def violated(self, measured: float, threshold: float) -> bool:
        """Whether the value lies beyond ``threshold``."""
        return measured < threshold if self.below else measured > threshold


def beyond(value: float, limit: float) -> str:
    """A value that violates a limit, in as few digits as show it: 64.7 below 65 is "64.7", not "65", and 64 is "64".

    >>> beyond(64.7, 65.0), beyond(64.98, 65.0), beyond(64.2, 65.0), beyond(120.4, 120.0)
    ('64.7', '64.9', '64', '120.4')
    """
    if f"{value:.0f}" != f"{limit:.0f}":
        return f"{value:.0f}"
    toward = math.floor if value < limit else math.ceil
    return f"{toward(value * 10) / 10:.1f}"


_RESP = ("resp_source", Modality.RESP.value)
"""A rate read from the modulation of ECG and pulse is worth showing; in an irregular heart it cannot be relied on."""

DEFAULT_LIMITS: tuple[Limit, ...] = (
    # key         text             field        below  limit extreme delays: HR within 10 s, pressure 20 s of the onset
    Limit("hr.low", "HR LOW", "hr", True, 50.0, 40.0, 3.0, 1.0),
    Limit("hr.high", "HR HIGH", "hr", False, 120.0, 150.0, 3.0, 1.0),
    Limit("map.low", "ABP LOW", "abp_map", True, 65.0, 50.0, 5.0, 5.0),
    Limit("map.high", "ABP HIGH", "abp_map", False, 110.0, 130.0, 5.0, 5.0),
    Limit("resp.low", "RR LOW", "resp_rate", True, 6.0, 4.0, 10.0, 10.0, _RESP),
    Limit("resp.high", "RR HIGH", "resp_rate", False, 30.0, 40.0, 10.0, 10.0, _RESP),
)
"""Adult defaults, common on monitors; the low pressure limit is the hypotension that the model predicts."""

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
