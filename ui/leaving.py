"""Whether somebody who asks to quit may go at once, or is asked first. Pure: the caller brings the clock."""

from __future__ import annotations

import math

ASKS_FOR_S = 4.0
"""Within it the second time counts; as long as a toast stays."""


class Leaving:
    """A patient is not left by a slip of a finger, nor a recording ended by it: what runs has to be left twice."""

    def __init__(self) -> None:
        self._until_s = -math.inf

    def asked(self, now_s: float, runs: bool, recorded: bool) -> str:
        """What to say instead of going; "" to go. runs: some bed has not ended. recorded: the run is being recorded."""
        if not runs or now_s <= self._until_s:
            return ""
        self._until_s = now_s + ASKS_FOR_S
        return "once more to quit" + (", which ends the recording" if recorded else "")
