"""How the pulse looked when the pressure was last measured, and whether it still looks so.

An estimate carries the last measured pressure on by what the other sensors say since. Where they say that the
circulation is no longer the one that was measured, there is nothing to carry on: in shock the model, which learnt from
small changes, goes on saying 80 (seen: 32). A pulse rate far from the one at the anchor, or a pleth that has shrunk to
a fraction, ends the estimate. No standard gives limits for this; these are the project's own, beyond the changes of
rate that go with a gradual hypotension in its simulator (up to 22 %), whose estimates are what the bundle's intervals
were measured on.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.runtime.memory import Remembered
from models.signals.beats import upstrokes
from models.signals.blocks import median
from models.signals.modalities import GRID_RATE_HZ

SPAN_S = 10
LEAST_BEATS = 4
MOST_RATE_CHANGE = 1.35
LEAST_HEIGHT_SHARE = 0.4

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class PulseLook:
    """rate: pulses per minute; height: of the pleth's pulses, in its own unit."""

    rate: float
    height: float


def pulse_look(ppg: Floats, rate_hz: int = GRID_RATE_HZ) -> PulseLook | None:
    """Median rate and height of the pulses of the newest ten seconds of ``ppg`` [n]; None with fewer than four."""
    newest = ppg[-SPAN_S * rate_hz :]
    at = np.rint(upstrokes(newest, rate_hz, "PPG")).astype(np.int64)
    if len(at) < LEAST_BEATS:
        return None
    known = np.where(np.isfinite(newest), newest, np.nan)[at[0] : at[-1]]
    starts = at[:-1] - at[0]
    heights = np.fmax.reduceat(known, starts) - np.fmin.reduceat(known, starts)
    return PulseLook(60.0 * rate_hz / median(np.diff(at)), float(np.nanmedian(heights)))


def departed(now: PulseLook | None, then: PulseLook | None) -> str:
    """Why the circulation is no longer the one whose pressure was measured; "" if it is."""
    if then is None:
        return "too little of the pleth seen beside the last pressure"
    if now is None:
        return "too few pulses to estimate it from"
    change = now.rate / then.rate
    if not 1.0 / MOST_RATE_CHANGE <= change <= MOST_RATE_CHANGE:
        return f"pulse rate {now.rate:.0f}, {then.rate:.0f} when the pressure was last measured"
    share = now.height / then.height if then.height > 0.0 else 0.0
    if not share >= LEAST_HEIGHT_SHARE:
        return f"the pleth has shrunk to {100 * share:.0f} % since the pressure was last measured"
    return ""


class Anchors:
    """The look of the pulse beside the last measured pressure, by bed and stretch of time."""

    def __init__(self) -> None:
        self._kept: Remembered[PulseLook] = Remembered()

    def learn(self, key: Hashable, ppg: Floats, rate_hz: int = GRID_RATE_HZ) -> None:
        """``ppg`` [n] lies beside a measured pressure; nothing changes where its pulses cannot be told."""
        look = pulse_look(ppg, rate_hz)
        if look is not None:
            self._kept.put(key, look)

    def departed(self, key: Hashable, ppg: Floats, rate_hz: int = GRID_RATE_HZ) -> str:
        """As :func:`departed`, of the newest ``ppg`` [n] of ``key``."""
        return departed(pulse_look(ppg, rate_hz), self._kept.get(key))

    def export(self, key: Hashable) -> PulseLook | None:
        """The look beside the last measured pressure of ``key``, None where there was none."""
        return self._kept.get(key)

    def restore(self, key: Hashable, look: PulseLook | None) -> None:
        """Know of ``key`` that look, None: nothing."""
        self._kept.restore(key, look)

    def forget(self, key: Hashable) -> None:
        """What is known of this bed and stretch is forgotten."""
        self._kept.forget(key)
