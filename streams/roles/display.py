"""The role of a display: everything that is sent, for a screen in another process than the sources and the workers."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from streams.accounting import Accounting
from streams.alarm_log import AlarmCounts
from streams.feed import DisplayFeed
from streams.latency import LatencyBook
from streams.records import WaveTick
from streams.remote import RemoteSession
from streams.roles.process import RoleProcess
from streams.runner import Sharing
from streams.snapshot import Snapshot, snapshot_of
from streams.stages import Send, ShowStage, Subscriber

if TYPE_CHECKING:
    from streams.app import Stages


class DisplayProcess(RoleProcess):
    """``vigil display`` and ``vigil record``: reads everything, and changes nothing but by commands.

    feeds: of screens. bed: the one to show first; "" is the first that is heard of.
    """

    def __init__(
        self,
        broker: str,
        sharing: Sharing,
        feeds: Sequence[DisplayFeed] = (),
        bed: str = "",
        operator: str = "operator",
    ) -> None:
        super().__init__(broker, sharing)
        self.accounting = Accounting()
        self.control = RemoteSession(
            self.id,
            lambda command: self.post("commands", command),
            bed,
            operator,
            prefix=sharing.prefix,
            away_s=lambda: self.stream.away_s,
        )
        self._latency, self._alarms = LatencyBook(time.monotonic), AlarmCounts()
        self._show = ShowStage(feeds, self.accounting, self._latency, self, self._ended)
        self.subscribe(self.control)
        self.subscribe(self._alarms)

    def subscribe(self, callback: Subscriber) -> None:
        """``callback`` gets every decoded record, on the stream thread, truth of withheld channels included."""
        self._show.subscribe(callback)

    def snapshot(self) -> Snapshot:
        """How it stands, from any thread."""
        return snapshot_of(
            "display",
            len(self.control.beds),
            self.accounting,
            self.stream,
            self.crew,
            ready=self.ready.is_set(),
            latency_ms=self._latency.recent(),
            alarms=self._alarms.standing(),
        )

    def release(self, stage: str, tick: Hashable) -> None:
        """No source waits for a display."""

    def _make_stages(self, send: Send) -> Stages:
        from streams.app import Stages

        return Stages(show=self._show)

    def _ended(self, topic: str, tick: WaveTick) -> None:
        """The end of a bed is no end of the display."""

    def _tell_to_end(self) -> None:
        self.control.error = self.crew.error
