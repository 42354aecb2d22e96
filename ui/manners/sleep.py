"""Whether this machine has slept: while it did, nothing was measured here, judged or drawn. Pure but for the clocks.

The monotonic clock by which everything on the screen ages stands still meanwhile (on Linux and macOS), so what was
three seconds old before an hour of sleep would be three seconds old after it. The system counts the time with the sleep
too; by as much as that gains, the machine has slept.
"""

from __future__ import annotations

import math
import sys
import time

from ui.style.language import tr
from ui.style.words import duration_words

LEAST_S = 1.0
"""Less from one call to the next is no sleep: the two clocks are read one after the other, and drift apart."""
SAID_S = 60.0
"""For so long after it the screen says that the machine slept, unless something is worse."""


def asleep_clock_s() -> float:
    """Seconds that this machine has slept since it started, and some constant; NaN where the system cannot tell."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    if sys.platform == "darwin":  # where CLOCK_MONOTONIC goes on
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
    if sys.platform == "win32":
        import ctypes

        unbiased = ctypes.c_ulonglong()
        ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(unbiased))
        return time.monotonic() - unbiased.value * 1e-7
    return math.nan


class SleepWatch:
    """Times: ``now_s`` monotonic, ``asleep_s`` of :func:`asleep_clock_s`."""

    def __init__(self, asleep_s: float) -> None:
        self._asleep_s = asleep_s
        self._slept_s = 0.0
        self._woke_s = -math.inf

    def slept_s(self, now_s: float, asleep_s: float) -> float:
        """How long it has slept since the last call; 0 for not."""
        before_s, self._asleep_s = self._asleep_s, asleep_s
        slept_s = asleep_s - before_s
        if not slept_s >= LEAST_S:
            return 0.0
        self._slept_s, self._woke_s = slept_s, now_s
        return slept_s

    def words(self, now_s: float) -> str:
        """What the screen says of it; "" once it was long ago."""
        if now_s - self._woke_s > SAID_S:
            return ""
        return tr(
            "THIS MACHINE SLEPT {time} — nothing was measured or watched here meanwhile",
            time=duration_words(self._slept_s),
        )
