"""Which alarm is on show now, and whether its flash is lit. Pure; times are the screen's own (monotonic seconds).

IEC 60601-1-8: high priority red at 1.4-2.8 Hz, medium yellow at 0.4-0.8 Hz, low steady; technical conditions apart
from physiological ones; several of a kind take turns.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.records import AlarmRecord
from ui.theme import AlarmStyle

PRIORITIES = ("high", "medium", "low")
STARS = {"high": "*** ", "medium": "** ", "low": "* "}


@dataclass(frozen=True, slots=True)
class AlarmChip:
    """text: with stars for physiological ones. lit: bright phase of the flash. more: others waiting their turn."""

    text: str
    priority: str
    kind: str
    lit: bool
    more: int


def _rank(alarm: AlarmRecord) -> tuple[int, int, str]:
    priority = PRIORITIES.index(alarm.priority) if alarm.priority in PRIORITIES else len(PRIORITIES)
    return priority, alarm.time_ns, alarm.key


def chip(
    alarms: list[AlarmRecord], kind: str, now_s: float, style: AlarmStyle, acknowledged: frozenset[str]
) -> AlarmChip | None:
    """The alarm of ``kind`` whose turn it is, most urgent first; acknowledged ones are shown but do not flash."""
    mine = sorted((alarm for alarm in alarms if alarm.kind == kind), key=_rank)
    if not mine:
        return None
    alarm = mine[int(now_s / style.rotate_s) % len(mine)]
    rate = {"high": style.flash_high_hz, "medium": style.flash_medium_hz}.get(alarm.priority, 0.0)
    flashing = rate > 0 and alarm.key not in acknowledged
    lit = not flashing or (now_s * rate) % 1.0 < style.duty
    stars = STARS.get(alarm.priority, "") if kind == "physiological" and not alarm.text.startswith("*") else ""
    return AlarmChip(stars + alarm.text, alarm.priority, kind, lit, len(mine) - 1)
