"""Which priority should be heard of all beds, and why there is silence. Pure.

Every bed counts, on show or not: a screen that keeps silent while another bed is in arrest is wrong. Of a bed that is
live its standing alarms sound that nobody has acknowledged. A bed whose stream is lost or whose session has stopped
goes on with those, for nothing has said that they are over, and is a technical alarm of medium priority itself, until
acknowledged. What is paused, over or not begun is silent, and says so; so is a bed that somebody has silenced.
"""

from __future__ import annotations

from collections.abc import Sequence

from ui.bed.alarm_states import sounding
from ui.bed.bedside import Bedside
from ui.bed.liveness import Life
from ui.style.theme import PRIORITIES

LOST = "medium"


def may_sound(bed: Bedside) -> bool:
    """Whether anything of it can be heard now."""
    return bed.verdict.life is Life.LIVE or bed.verdict.urgent


def audible_level(beds: Sequence[Bedside]) -> str:
    """The highest priority that should sound, "" for none."""
    loud = [bed for bed in beds if may_sound(bed) and not _silenced(bed)]
    levels = {
        sounding(bed.state.alarms.standing, bed.switch.silence, bed.moment.wall_s)
        for bed in loud
        if len(bed.state.alarms)
    }
    levels |= {LOST for bed in loud if bed.verdict.urgent and not bed.loss_seen}
    return next((priority for priority in PRIORITIES if priority in levels), "")


def why_silent(beds: Sequence[Bedside], on_show: Bedside) -> str:
    """Why no bed may sound, "" where one may."""
    able = [bed for bed in beds if may_sound(bed)]
    if not able:
        return on_show.verdict.life.value
    return _silenced(on_show) or _silenced(able[0]) if all(_silenced(bed) for bed in able) else ""


def _silenced(bed: Bedside) -> str:
    """The state that keeps a bed silent by order, as the alarm area has it; "" for none."""
    return bed.switch.silence.at(bed.moment.wall_s).value
