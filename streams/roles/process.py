"""A role in a process of its own: its stream, its threads, and what it says of itself once a second."""

from __future__ import annotations

import itertools
import os
import time
from threading import Event
from typing import TYPE_CHECKING

from streams.codec import encode
from streams.crew import Crew
from streams.records import AnyRecord
from streams.runner import Sharing, StreamRunner
from streams.stages import Send
from streams.transport.credits import Wait

if TYPE_CHECKING:
    from streams.app import Stages
    from streams.snapshot import Snapshot

ANNOUNCE_S = 1.0
READY_LOOK_S = 0.1
MOST_ANNOUNCED = 128
"""Messages that the broker has not taken, before a role says no more of itself."""

_numbers = itertools.count(1)


def session_name() -> str:
    """A name that no other session has."""
    return f"{os.getpid()}-{next(_numbers)}-{time.time_ns() // 1_000_000:x}"


class RoleProcess:
    """Base of the roles over a broker. A role fills in what it does; :meth:`start`, :meth:`wait`, :meth:`stop` are all
    that its owner needs.

    broker: ``kafka://HOST:PORT``, or ``embedded://NAME`` for several in one process.
    """

    def __init__(self, broker: str, sharing: Sharing) -> None:
        self.id = session_name()
        self.crew = Crew(self._end)
        self._done = Event()
        self.ready = Event()
        """Set once messages flow."""
        self.stream = StreamRunner(
            self.id,
            broker,
            self._make_stages,
            self._unread,
            self._flowing,
            sharing=sharing,
            owns_broker=False,
            posting=self._posting,
        )

    def start(self) -> None:
        """Begin, in the background."""
        self.crew.spawn("stream", self.stream.run)
        self.crew.spawn("announcer", self._announcer)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end, by itself, by :meth:`stop`, or by a failure, which is raised; False on timeout."""
        done = self._done.wait(timeout_s)
        if done:
            self.stop()
        self.crew.raise_failure()
        return done

    def wait_ready(self) -> None:
        """Wait until messages flow, or for the end; raises the failure that ended it."""
        while not self.ready.wait(READY_LOOK_S) and not self.wait(0):
            pass

    def stop(self) -> None:
        """End everything and wait for it; under a second."""
        self.crew.stop()

    def post(self, topic: str, record: AnyRecord) -> None:
        """Send a record, from any thread."""
        self.stream.post(topic, record.bed, encode(record))

    def snapshot(self) -> Snapshot:
        """How it stands, from any thread."""
        raise NotImplementedError

    # -- what a role fills in -----------------------------------------------------------------------------------------

    def _make_stages(self, send: Send) -> Stages:
        raise NotImplementedError

    def _on_ready(self) -> None:
        """Messages flow; in the stream's loop."""

    def _announce(self) -> None:
        """Once a second, in a thread of its own."""

    def _unread(self) -> Wait | None:
        """The longest wait of a tick to be read; None where nobody here is to read."""
        return None

    def _posting(self) -> bool:
        """Whether a part of the role still posts what must be sent before the end."""
        return False

    @property
    def lost(self) -> int:
        """After the end: messages that did not get to the broker."""
        return self.stream.undelivered

    def _tell_to_end(self) -> None:
        """Tell the role's own parts to end, without waiting."""

    # -- inside -------------------------------------------------------------------------------------------------------

    def _flowing(self) -> None:
        self._on_ready()
        self.ready.set()

    def _announcer(self) -> None:
        while not self.crew.stopping.wait(ANNOUNCE_S):
            if self.stream.waiting < MOST_ANNOUNCED:  # what is said to nobody now would be old when it is heard
                self._announce()

    def _finish(self) -> None:
        """The role has done what it had to do."""
        self._done.set()

    def _end(self) -> None:
        self._tell_to_end()
        self.stream.stop()
        self._done.set()
