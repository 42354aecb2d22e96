"""Which messages stay on the screen after their condition has ended, until somebody has seen them. Data. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from streams.limit_settings import LIMITED, LimitSetting
from streams.records import AlarmRecord

LATCHING = frozenset(
    {"asystole", "vfib", "vtach", "brady.extreme", "tachy.extreme", "no_pulse", "abp.no_pulse", "abp.disconnect"}
)
"""Alarms of rhythm and pulse that latch where they are of high priority: a pause of eight seconds that nobody looked at
is news a minute later, too. What the other sensors contradicted (medium) goes as it came."""


def latches(record: AlarmRecord, settings: Iterable[LimitSetting]) -> bool:
    """Whether the message of an alarm stays: by the table, or for a limit by what is set for it."""
    if record.kind != "physiological":
        return False
    if record.key in LATCHING:
        return record.priority == "high"
    key = record.key.rsplit(".", 1)[0]
    return any(setting.latch for setting in settings if LIMITED[setting.vital].key == key)
