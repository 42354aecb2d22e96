"""What a replay achieves where the machine cannot do the speed that was asked for. Pure: the caller gives the time."""

from __future__ import annotations

from collections import deque

SPAN_NS = 3_000_000_000  # over which the pace is measured, and for which a fall back is told
STEP_NS = 100_000_000
BEHIND_NS = 250_000_000
"""A tick later than this cannot be caught up: the clock falls back to it. Jitter of threads is well below."""


class Pace:
    """Event seconds a wall second over the last three; all times in ns, ``now_ns`` monotonic."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque()  # every tenth of a second
        self._event_ns = 0
        self._fell_ns: int | None = None
        self.given_up_ns = 0
        """Wall time by which the replay has fallen back in all."""

    def restart(self) -> None:
        """A pause, a seek or another speed: what was achieved before says nothing."""
        self._sent.clear()
        self._fell_ns = None

    def sent(self, event_ns: int, now_ns: int) -> None:
        """Everything before ``event_ns`` has been handed over."""
        self._event_ns = event_ns
        if self._sent and now_ns - self._sent[-1][0] < STEP_NS:
            return
        self._sent.append((now_ns, event_ns))
        while now_ns - self._sent[0][0] > SPAN_NS:
            self._sent.popleft()

    def fell_back(self, late_ns: int, now_ns: int) -> None:
        """The clock has given up ``late_ns``."""
        self._fell_ns = now_ns
        self.given_up_ns += late_ns

    def achieved(self, now_ns: int) -> float | None:
        """Event seconds a second; None while the asked speed is kept."""
        if self._fell_ns is None or now_ns - self._fell_ns > SPAN_NS or not self._sent:
            return None
        first_ns, first_event_ns = self._sent[0]
        if now_ns - first_ns < STEP_NS:
            return None
        return (self._event_ns - first_event_ns) / (now_ns - first_ns)
