"""How long to wait before the next attempt to reach a broker: longer each time, and not all at once. Pure."""

from __future__ import annotations

from collections.abc import Callable

FIRST_S, MOST_S, FACTOR = 0.1, 5.0, 2.0
JITTER = 0.5
"""Of a wait, as much is left to chance: a ward's roles, which all lose the broker in one moment, come back one by
one."""


class Backoff:
    """chance: a number in [0, 1), anew with each call."""

    def __init__(self, chance: Callable[[], float], *, first_s: float = FIRST_S, most_s: float = MOST_S) -> None:
        if not 0 < first_s <= most_s:
            raise ValueError(f"waits grow from more than 0 s, got {first_s} to {most_s}")
        self._chance, self._first_s, self._most_s = chance, first_s, most_s
        self._next_s = first_s

    def failed(self) -> float:
        """An attempt has failed: seconds until the next.

        >>> backoff = Backoff(lambda: 0.0)
        >>> [backoff.failed() for _ in range(8)]
        [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        """
        wait_s, self._next_s = self._next_s, min(self._next_s * FACTOR, self._most_s)
        return wait_s * (1.0 - JITTER * self._chance())

    def succeeded(self) -> None:
        """An attempt has succeeded: the next failure is a first one."""
        self._next_s = self._first_s
