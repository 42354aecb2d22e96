"""Which numbers flash with an alarm, and the box behind one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from ui.bed.alarm_view import Alarm, alarm_of, alarm_of_number, breaths_row, colours, lit
from ui.bed.lanes import Lane
from ui.bed.liveness import Life, Moment
from ui.bed.readouts import Readout
from ui.bed.small_numbers import SmallNumber
from ui.style.look import Look
from ui.style.theme import AlarmStyle


@dataclass(frozen=True, slots=True)
class Flash:
    """The alarm about a number, the phase of its flash, and whether it is not live and flashes no more."""

    alarm: Alarm
    lit: bool
    held: bool = False


def flashes_of(
    lanes: Sequence[Lane],
    readouts: Sequence[Readout],
    standing: Sequence[Alarm],
    moment: Moment,
    style: AlarmStyle,
    still: bool = False,
) -> list[Flash | None]:
    """With which of the standing alarms the number of each lane flashes; a sensor that is not connected has none,
    nor has the row of a further lead.
    still: none flashes, since alarms are paused or off; a high one stays lit."""
    breaths = breaths_row({lane.modality for lane in lanes})
    alarms = [
        alarm_of(lane.modality, standing, breaths) if lane.first and (lane.connected or not said.invalid) else None
        for lane, said in zip(lanes, readouts, strict=True)
    ]
    return [None if alarm is None else _flash(alarm, moment, style, still) for alarm in alarms]


def small_flashes(
    numbers: Iterable[SmallNumber],
    standing: Sequence[Alarm],
    moment: Moment,
    style: AlarmStyle,
    still: bool = False,
) -> dict[str, Flash]:
    """Likewise of the small numerics, by name."""
    alarms = {number.name: alarm_of_number(number.name, standing) for number in numbers}
    return {name: _flash(alarm, moment, style, still) for name, alarm in alarms.items() if alarm is not None}


def _flash(alarm: Alarm, moment: Moment, style: AlarmStyle, still: bool) -> Flash:
    held = moment.life is not Life.LIVE or (still and alarm.record.priority != "high")
    return Flash(alarm, still or lit(alarm.record.priority, moment.wall_s, style), held)


def draw_flash(painter: QPainter, look: Look, box: QRectF, flash: Flash) -> QColor | None:
    """The box behind an alarming number; returns the colour of the number on it, None for its own."""
    quiet = flash.held or flash.alarm.acknowledged
    fill, ink = (QColor(name) for name in colours(flash.alarm, True, flash.held, look.theme.alarm))
    radius = 4 * look.unit
    if quiet:
        painter.setPen(QPen(ink, 1.5 * look.unit))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, radius, radius)
        return None
    if not flash.lit:
        return None
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(fill)
    painter.drawRoundedRect(box, radius, radius)
    return ink
