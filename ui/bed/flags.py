"""Moments that an operator marked, as they came back by the stream: what is shown here is what is recorded. Pure.

A mark carries event time of its session. A session is told apart because another patient's time may be the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.commands import MARK, mark_of, mark_words
from streams.records import CommandRecord
from ui.bed.marks import Events

KEPT = 1000
LONGEST_WORD = 40
"""Characters of a mark's word."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A moment in s of event time, and a word or ""."""

    time_s: float
    word: str
    session: str


class Flags:
    """The newest ``KEPT`` marks of a bed."""

    def __init__(self) -> None:
        self._flags: dict[str, Flag] = {}

    def apply(self, command: CommandRecord) -> None:
        """Takes a mark in, once however often it is delivered; other commands are none."""
        found = mark_of(command)
        if found is None or command.id in self._flags:
            return
        self._flags[command.id] = Flag(found[0], found[1][:LONGEST_WORD], command.session)
        while len(self._flags) > KEPT:
            del self._flags[next(iter(self._flags))]

    def events(self, session: str) -> Events:
        """Those of a session as a recording of it will have them."""
        return tuple((flag.time_s, mark_words(flag.word)) for flag in self._flags.values() if flag.session == session)

    def within(self, begin_s: float, end_s: float, session: str) -> tuple[Flag, ...]:
        """Those of a session in [begin_s, end_s], in order of time."""
        found = [flag for flag in self._flags.values() if begin_s <= flag.time_s <= end_s and flag.session == session]
        return tuple(sorted(found, key=lambda flag: flag.time_s))


def recorded(events: Events, begin_s: float, end_s: float, session: str) -> tuple[Flag, ...]:
    """The marks among a recording's ``events`` in [begin_s, end_s]."""
    return tuple(
        Flag(at_s, words.removeprefix(MARK).removeprefix(": "), session)
        for at_s, words in events
        if begin_s <= at_s <= end_s and (words == MARK or words.startswith(f"{MARK}: "))
    )
