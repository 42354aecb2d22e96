"""One bed of a session: its source, what that said of itself, the operator's commands to it, and its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock

from msgspec.structs import replace

from streams.commands import CommandApplier
from streams.records import BedRecord, CommandRecord, WaveTick
from streams.sources.source import Seekable, Source
from streams.stages import END_TOPICS


class Bed:
    """Thread-safe. Commands that come before the source has described itself are kept until then.

    end_topics: those on which the end of the bed must have been seen.
    """

    def __init__(self, name: str, source: Source, end_topics: Sequence[str] = END_TOPICS) -> None:
        self.name, self.source = name, source
        self._end_topics = frozenset(end_topics)
        self.record: BedRecord | None = None
        self.ended = False
        self.stood_ns = time.monotonic_ns()
        """Monotonic time until which it was not to move."""
        self._apply = CommandApplier(source)
        self._early: list[CommandRecord] = []
        self._acknowledged: tuple[int, set[str]] = (0, set())
        self._lock = Lock()

    def described(self, record: BedRecord) -> list[CommandRecord]:
        """The source is open. Returns the commands that have come before, which are now to be given again."""
        with self._lock:
            self.record = record
            early, self._early = self._early, []
        return early

    @property
    def replay(self) -> Seekable | None:
        """The source, where it is a recording."""
        return self.source if isinstance(self.source, Seekable) else None

    def goes_on(self, tick: WaveTick) -> BedRecord | None:
        """A tick of the source, about to be sent: with the first of another session, of another patient, the bed is
        described anew. The description then, else None."""
        with self._lock:
            if self.record is None or tick.session == self.record.session:
                return None
            self.record = replace(self.record, session=tick.session, epoch=tick.epoch)
            return self.record

    @property
    def session(self) -> str:
        """What its source is at: another one for each patient; "" before it is open."""
        return self.record.session if self.record is not None else ""

    @property
    def position_s(self) -> float:
        """Event time now."""
        return self.source.position_s

    def apply(self, command: CommandRecord) -> bool:
        """Act on a command; BadInput for one that makes no sense here. Whether the bed has begun anew after its end."""
        with self._lock:
            if self.record is None:
                self._early.append(command)
                return False
            if command.session != self.record.session:
                return False  # it was about the patient before
        replay = self.replay
        if self.ended or (replay is not None and replay.paused):
            self.stood_ns = time.monotonic_ns()  # before it moves: what it had to show until now is nothing
        again = self.ended and command.name in ("seek", "step")
        if again:
            self.ended = False
        self._apply(command)
        return again

    def end_seen(self, topic: str, tick: WaveTick) -> bool:
        """A last consumer has seen the end of the bed on a topic. Whether that was the last one of this epoch."""
        epoch, topics = self._acknowledged
        topics = topics if tick.epoch == epoch else set()
        topics.add(topic)
        self._acknowledged = tick.epoch, topics
        self.ended = topics >= self._end_topics and tick.epoch == self.source.epoch
        return self.ended
