"""Vertical scales of the lanes: fixed gain, chosen sensitivity, pressure in tens, automatic. Pure.

A scale changes rarely and never on a whim: it widens as soon as the signal leaves it, and narrows only when the signal
has used less than half of it for a while.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.signals.findings import Pulse
from ui.style.theme import LaneStyle

_NARROW_AFTER_S = 8.0
_NARROW_BELOW = 0.5
_PULSELESS = 5.0
_SETTLED_S = 8.0  # of a signal, before a lane is as high as that needs
_AIR = 1.25
_SPANS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)  # of what a lane at a fixed gain has room for
_STEPS = (5.0, 10.0, 20.0, 25.0, 50.0, 100.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values at the bottom and top of the wave area, grid lines to number, the caption of the header, and what of the
    lane's choices it is, 0 where it is none."""

    low: float
    high: float
    ticks: tuple[float, ...] = ()
    caption: str = ""
    choice: float = 0.0

    def bar(self, calibration: float) -> float:
        """How high the bar in the margin is: as the lane's style says, halved until it fits."""
        while calibration > 0.8 * (self.high - self.low):
            calibration /= 2
        return calibration

    def y(self, value: float, top: float, height: float) -> float:
        """Where a value lies in the area from ``top`` down, ``height`` high; outside of it for values off the scale."""
        return top + (self.high - value) / (self.high - self.low) * height


def _number(value: float) -> str:
    return f"{value:g}"


def gain_scale(style: LaneStyle, choice: float, height_mm: float) -> Scale:
    """``choice`` mm per unit, true to the screen; ×1 is the theme's own choice (10 mm/mV for ECG)."""
    span = height_mm / choice
    return Scale(-style.baseline * span, (1 - style.baseline) * span, (), f"×{_number(choice / style.choice)}", choice)


def sensitivity_scale(style: LaneStyle, choice: float, height_mm: float) -> Scale:
    """``choice`` units per centimetre of the screen."""
    span = choice * height_mm / 10.0
    return Scale(-style.baseline * span, (1 - style.baseline) * span, (), f"{_number(choice)} µV/cm", choice)


def pressure_scale(low: float, high: float, room: int = 4, snap: float = 10.0) -> Scale:
    """Limits in multiples of ``snap`` (of an arterial pressure tens) around [low, high] with room for badge and
    reason, and about ``room`` grid lines."""
    room_above, room_below = (max(0.4 * snap, share * (high - low)) for share in (0.17, 0.10))
    bottom = math.floor((low - room_below) / snap) * snap
    if 0.0 <= bottom <= snap:
        bottom = -snap  # a pressure this near to zero is read against the line of zero
    top = math.ceil((high + room_above) / snap) * snap
    top = max(top, bottom + 4.0 * snap)
    least = max(snap, (top - bottom) / room)
    step = next((s for s in _STEPS if s >= least), 10.0 ** math.ceil(math.log10(least)))
    first = math.ceil((bottom + 1e-6) / step) * step
    ticks = tuple(first + i * step for i in range(int((top - 1e-6 - first) // step) + 1))
    return Scale(bottom, top, ticks)


def auto_scale(low: float, high: float) -> Scale:
    """As the signal, with some air."""
    span = max(high - low, 1e-6, 1e-3 * max(abs(low), abs(high)))
    return Scale(low - 0.16 * span, high + 0.20 * span)


class LaneScale:
    """The scale of one lane over time. ``choice`` is the operator's (None: the theme's, or automatic)."""

    def __init__(self, style: LaneStyle, height_mm: float) -> None:
        self.style = style
        self.choice: float | None = None
        self._height_mm = max(1.0, height_mm)
        self._seen: tuple[float, float] | None = None
        self._roomy_since: float | None = None
        self._pulse_span = 0.0
        self._auto_choice = style.choice
        self._first_seen_s: float | None = None
        self._room: float | None = None
        self._wanted = 0.0
        self.scale = self._make()

    def _make(self) -> Scale:
        match self.style.scale:
            case "gain":
                return gain_scale(self.style, self.choice or self.style.choice, self._height_mm)
            case "sensitivity":
                return sensitivity_scale(self.style, self.choice or self._auto_choice, self._height_mm)
            case "pressure":
                room = max(2, int(self._height_mm / 5))
                return pressure_scale(*(self._seen or self.style.usual), room=room, snap=self.style.snap)
            case _:
                return auto_scale(*(self._seen or (0.0, 1.0)))

    def set_height(self, height_mm: float) -> None:
        """The area's height in mm, from which gain and sensitivity make the scale."""
        self._height_mm = max(1.0, height_mm)
        self.scale = self._make()

    @property
    def need_mm(self) -> float | None:
        """Height that a lane at a fixed gain needs for what it has shown; None where any height does, or is not known
        yet. It grows in steps with the signal and never shrinks, so that rows do not dance."""
        return self._room * (self.choice or self.style.choice) if self._room is not None else None

    def want(self, choice: float) -> None:
        """The choice of a layout, 0 for none. It is taken when it changes: what was chosen since then stays."""
        if choice == self._wanted:
            return
        self._wanted = choice
        self.choice = choice if choice in self.style.choices else None
        self.scale = self._make()

    def choose(self, step: int) -> bool:
        """One choice up or down the list; False if the lane has none or the list ends."""
        choices = self.style.choices
        if not choices:
            return False
        now = self.choice or (self._auto_choice if self.style.scale == "sensitivity" else self.style.choice)
        at = min(len(choices) - 1, max(0, choices.index(now) + step))
        if choices[at] == now and self.choice is not None:
            return False
        self.choice = choices[at]
        self.scale = self._make()
        return True

    def observe(
        self, found: tuple[float, float] | None, now_s: float, pulse: Pulse | None = None, absent: bool = False
    ) -> bool:
        """Take in the signal's present range; True if the scale changed and the lane must be drawn anew.

        pulse: of a pulse channel. An automatic scale must not blow up noise until it looks like a pulse: where none is
        found, or nobody knows, it keeps the span of the last pulses, and where there were none gives what there is a
        fifth of its height. absent: what is seen is no measurement, and no lane is made higher for it.
        """
        if found is None:
            return False
        low, high = found
        if self.style.scale == "gain":
            if not absent:
                self._make_room(low, high, now_s)
            return False
        first = self._seen is None
        if self.style.scale == "auto":
            if pulse is Pulse.PRESENT:
                first = first or not self._pulse_span
                self._pulse_span = high - low
            elif pulse is not None:
                half = max(self._pulse_span or _PULSELESS * (high - low), high - low) / 2.0
                middle = (low + high) / 2.0
                low, high = found = (middle - half, middle + half)
        if self.style.scale == "sensitivity":
            return self.choice is None and self._observe_sensitivity(high - low, now_s)
        span = self.scale.high - self.scale.low
        outside = low < self.scale.low or high > self.scale.high
        if first or outside or self._roomy((high - low) / span < _NARROW_BELOW, now_s):
            self._seen = found
            return self._renew()
        return False

    def _make_room(self, low: float, high: float, now_s: float) -> None:
        if self._first_seen_s is None or now_s < self._first_seen_s:
            self._first_seen_s = now_s
        if now_s - self._first_seen_s < _SETTLED_S:
            return
        below, above = self.style.baseline, 1.0 - self.style.baseline
        span = _AIR * max(high / above, -low / below)
        step = next((step for step in _SPANS if step >= span), _SPANS[-1])
        self._room = max(step, self._room or 0.0)

    def _observe_sensitivity(self, extent: float, now_s: float) -> bool:
        need = extent / (0.9 * self._height_mm / 10.0)
        fitting = next((choice for choice in self.style.choices if choice >= need), self.style.choices[-1])
        first, self._seen = self._seen is None, (0.0, extent)
        if first or fitting > self._auto_choice or self._roomy(fitting < self._auto_choice, now_s):
            self._auto_choice = fitting
            return self._renew()
        return False

    def _renew(self) -> bool:
        self._roomy_since = None
        before, self.scale = self.scale, self._make()
        return self.scale != before

    def _roomy(self, roomy: bool, now_s: float) -> bool:
        """True once the signal has left much of the scale unused for a while."""
        if not roomy:
            self._roomy_since = None
            return False
        if self._roomy_since is None or now_s < self._roomy_since:
            self._roomy_since = now_s
        return now_s - self._roomy_since >= _NARROW_AFTER_S
