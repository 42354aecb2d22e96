"""Which beats are due to be heard. Pure.

The stream knows of a beat up to 1.4 s after the beam has drawn it, of all beats of a second at once, so each is heard a
fixed time behind the beam: late, but in the rhythm of the heart. Never one that is not a :class:`BeatRecord`: these are
measured.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from streams.records import BeatRecord

_STEP_S = 0.5
"""A beam that moved on by more at once has jumped, or the screen stood still: what lies between is not made up for."""
_AT_1X = 0.1
RECENT_S = 3.0
LIT_S = 0.12


class BeatClock:
    """delay_s: behind the beam, in seconds of event time."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._whose: Hashable = None
        self._until_s: float | None = None

    def due(
        self, whose: Hashable, beats: Iterable[BeatRecord], head_s: float | None, speed: float | None
    ) -> list[BeatRecord]:
        """Beats that have become due since the last call, oldest first. whose: the bed and its epoch; nothing of
        another one is due. head_s: where the beam stands, None where it does not. speed: event seconds a second; a tone
        tells a rate by ear, so there are none but in real time."""
        if head_s is None or not in_real_time(speed):
            self._until_s = None
            return []
        begin_s, self._until_s = self._until_s, head_s - self._delay_s
        if whose != self._whose or begin_s is None or not 0.0 <= self._until_s - begin_s <= _STEP_S:
            self._whose = whose
            return []
        return [beat for beat in beats if begin_s < beat.time_ns * 1e-9 <= self._until_s]


def lit(beats: Iterable[BeatRecord], head_s: float, delay_s: float, speed: float | None) -> bool:
    """Whether the heart symbol is on: with the tone, ``delay_s`` behind the beam: the stream knows of few beats
    before. speed: as in :meth:`BeatClock.due`."""
    while_s = LIT_S * max(1.0, speed or 1.0)
    return any(0.0 <= head_s - delay_s - beat.time_ns * 1e-9 < while_s for beat in beats)


def in_real_time(speed: float | None) -> bool:
    """Whether a second of the patient is one of the operator's."""
    return speed is not None and abs(speed - 1.0) <= _AT_1X


def source_words(beats: Iterable[BeatRecord], head_s: float | None, delay_s: float) -> str:
    """What the beats heard last were found in, "" where none was due lately."""
    if head_s is None:
        return ""
    heard = [beat for beat in beats if 0.0 <= head_s - delay_s - beat.time_ns * 1e-9 < RECENT_S]
    return heard[-1].source if heard else ""
