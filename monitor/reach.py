"""What a role says of its way to the broker: that it is away, that it is back, and what became of what was sent."""

from __future__ import annotations

from collections.abc import Sequence


class ReachWords:
    """Pure; asked twice a second. Gives what is to be said now, nothing where that was said before."""

    def __init__(self) -> None:
        self._away_s = 0.0
        self._notes: tuple[str, ...] = ()
        self._said_s = 0.0

    def look(self, away_s: float, now_s: float, notes: Sequence[str] = ()) -> list[str]:
        """away_s: for how long the broker has not answered, 0 while it does. now_s: monotonic. notes: of the role, told
        when there is a first one or none any more, and meanwhile every ten seconds."""
        said = []
        if away_s and not self._away_s:
            said.append(f"the broker has not answered for {away_s:.0f} s; waiting for it")
        elif self._away_s and not away_s:
            said.append(f"the broker answers again, after some {self._away_s:.0f} s")
        self._away_s = away_s
        new = tuple(notes)
        if new != self._notes and (not new or not self._notes or now_s - self._said_s >= NOTES_S):
            said += new or ("everything that devices have sent has got to the broker, or was said to be dropped",)
            self._notes, self._said_s = new, now_s
        return said


NOTES_S = 10.0
