"""Which priority should be heard of all beds, and why there is silence. Pure.

Every bed counts, on show or not: a screen that keeps silent while another bed is in arrest is wrong. Of a bed that is
live its standing alarms sound that nobody has acknowledged. A bed whose stream is lost or whose session has stopped
goes on with those, for nothing has said that they are over, and is a technical alarm of medium priority itself, until
acknowledged. What is paused, over or not begun is silent, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from ui.bed.alarm_view import sounding
from ui.bed.bedside import Bedside
from ui.bed.liveness import Life
from ui.style.theme import PRIORITIES

LOST = "medium"


def may_sound(bed: Bedside) -> bool:
    """Whether anything of it can be heard now."""
    return bed.verdict.life is Life.LIVE or bed.verdict.urgent


def audible_level(beds: Sequence[Bedside]) -> str:
    """The highest priority that should sound, "" for none."""
    levels = {sounding(bed.state.alarms.standing) for bed in beds if may_sound(bed) and len(bed.state.alarms)}
    levels |= {LOST for bed in beds if bed.verdict.urgent and not bed.loss_seen}
    return next((priority for priority in PRIORITIES if priority in levels), "")


def why_silent(beds: Sequence[Bedside], on_show: Bedside) -> str:
    """Why no bed may sound, "" where one may."""
    if any(may_sound(bed) for bed in beds):
        return ""
    return on_show.verdict.life.value
