"""The role of a source: beds that play, take their operators' commands, and say what and how they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from models.signals.errors import BadInput
from streams.accounting import Accounting
from streams.courier import Courier, courier_notes
from streams.crew import Crew
from streams.flow import Flow, RemoteFlow
from streams.records import AnyRecord, BedRecord, CellRecord, CommandRecord, StatusRecord, WaveTick
from streams.roles.bed import Bed
from streams.roles.process import RoleProcess
from streams.runner import Sharing
from streams.snapshot import Snapshot, snapshot_of
from streams.sources.source import Emit, MakeSource
from streams.spool import Spool
from streams.stages import END_TOPICS, CommandStage, FollowStage, Send

if TYPE_CHECKING:
    from streams.app import Stages

LISTEN_CALLS = 3  # seconds in which other sources are heard before the beds play; each says every second what it has
DESCRIBE_EVERY = 5  # seconds, for displays that came later

SOURCE_THREAD = "source of bed"

Post = Callable[[str, AnyRecord], None]
"""Sends a record on a topic, from any thread."""


class SourceRole:
    """The sources of one process. on_play: called, from a bed's thread, whenever a bed begins to play. end_topics:
    those on which the end of a bed must have been seen."""

    def __init__(
        self,
        session: str,
        sources: Mapping[str, MakeSource],
        crew: Crew,
        flow: Flow,
        post: Post,
        on_play: Callable[[], None] = lambda: None,
        end_topics: Sequence[str] = END_TOPICS,
    ) -> None:
        if not sources:
            raise BadInput("at least one bed", "none", "name a source")
        self.session = session
        self.beds = {name: Bed(name, make(name, session), end_topics) for name, make in sources.items()}
        self._crew, self._flow, self._post, self._on_play = crew, flow, post, on_play
        self.opened, self.flowing = Event(), Event()

    def start(self) -> None:
        """Open the sources, each in a thread of its own; they play once :meth:`begin` was called."""
        for bed in self.beds.values():
            self._crew.spawn(f"{SOURCE_THREAD} {bed.name}", partial(self._play, bed))

    def begin(self) -> None:
        """Messages flow: let the beds play."""
        self.flowing.set()

    def stop(self) -> None:
        """Let every bed end, without waiting."""
        for bed in self.beds.values():
            bed.source.stop()
        self._flow.credits.close()
        self.opened.set()
        self.flowing.set()  # who waits for the stream need not any longer

    def bed(self, name: str) -> Bed:
        """A bed by its name; BadInput where there is none of it."""
        if name not in self.beds:
            raise BadInput(f"one of the beds {', '.join(self.beds)}", f"{name!r}", "name one of these")
        return self.beds[name]

    def apply(self, command: CommandRecord) -> bool:
        """Act on a command to one of the beds; whether that bed begins anew after its end."""
        return self.bed(command.bed).apply(command)

    def end_seen(self, topic: str, tick: WaveTick) -> bool:
        """A last consumer has seen the end of a bed on a topic. Whether that was the end of all beds."""
        bed = self.beds.get(tick.bed)
        if bed is None or tick.session != bed.session or not bed.end_seen(topic, tick):
            return False
        return all(other.ended for other in self.beds.values())

    def progress_ns(self, bed: Bed) -> int:
        """When the last tick of the bed was handled, or it last stood by order; no later than since when one waits."""
        wait = self._flow.credits.longest_wait([bed.name])
        moved_ns = max(self._flow.credits.handled_ns(bed.name), bed.stood_ns)
        return moved_ns if wait is None else min(moved_ns, wait.since_ns)

    @property
    def paced(self) -> bool:
        """Whether anything is due at any time: not where all is as fast as possible."""
        return any(bed.replay is None or bed.replay.speed is not None for bed in self.beds.values())

    @property
    def slowed_s(self) -> float:
        """Wall time by which the slowest replay fell back, since the machine could not keep the speed."""
        return max((bed.replay.given_up_s for bed in self.beds.values() if bed.replay is not None), default=0.0)

    def announce(self, *, described: bool, notes: Sequence[str] = ()) -> None:
        """Say of every bed how it stands, and, if ``described`` and it is open, what it is. notes: what there is to say
        of the whole process, in sentences."""
        for bed in self.beds.values():
            if described and bed.record is not None:
                self._post("beds", bed.record)
            self._post("beds", status_of(bed, bed.session or self.session, notes))

    def _play(self, bed: Bed) -> None:
        """Body of the thread of a bed's source."""
        record = bed.source.describe()
        self._post("beds", record)
        for command in bed.described(record):
            self._post("commands", command)
        if all(other.record is not None for other in self.beds.values()):
            self.opened.set()
        self.flowing.wait()
        bed.stood_ns = time.monotonic_ns()
        if self._crew.stopping.is_set():
            bed.source.stop()
        else:
            self._on_play()
        bed.source.run(self._emit_of(bed))

    def _emit_of(self, bed: Bed) -> Emit:
        emit = self._flow.emit_of(bed.source)

        def announcing(tick: WaveTick) -> bool:
            described = bed.goes_on(tick)
            if described is not None:
                self._post("beds", described)
                self._post("beds", status_of(bed, bed.session))
            return emit(tick)

        return announcing


def status_of(bed: Bed, session: str, notes: Sequence[str] = ()) -> StatusRecord:
    """How a bed's source stands. notes: of its process."""
    replay = bed.replay
    return StatusRecord(
        bed=bed.name,
        session=session,
        epoch=bed.source.epoch,
        role="source",
        position_s=bed.position_s,
        speed=replay.speed if replay is not None else 1.0,
        achieved_speed=replay.achieved_speed if replay is not None else None,
        paused=replay is not None and replay.paused,
        ended=bed.ended,
        dropped=sorted(m.value for m in bed.source.dropped_now()),
        notes=list(notes),
    )


class SourceProcess(RoleProcess):
    """``vigil source``: plays its beds to a broker until the last has ended and been handled.

    stay: goes on after the end, so that an operator may go back. open_spool: gives the queue on disk for what devices
    send while the broker is away; without, that is dropped and counted.
    """

    def __init__(
        self,
        sources: Mapping[str, MakeSource],
        broker: str,
        sharing: Sharing,
        *,
        stay: bool = False,
        open_spool: Callable[[], Spool] | None = None,
    ) -> None:
        super().__init__(broker, replace(sharing, only_own=False))  # else it would not hear of another source's beds
        self.accounting = Accounting()
        self._stay, self._calls = stay, 0
        publish = partial(self.stream.post, "waves")
        self.courier = Courier(publish, lambda: self.stream.waiting, open_spool or _no_spool)
        self.flow = RemoteFlow(publish, self.accounting, self.courier.push)
        self.role = SourceRole(self.id, sources, self.crew, self.flow, self.post, end_topics=("vitals",))

    def start(self) -> None:
        """Begin, in the background: open the sources, and play them once messages flow."""
        super().start()
        self.crew.spawn("courier", self.courier.run)
        self.role.start()

    def snapshot(self) -> Snapshot:
        """How it stands, from any thread."""
        return snapshot_of(
            "source",
            len(self.role.beds),
            self.accounting,
            self.stream,
            self.crew,
            ready=self.ready.is_set(),
            courier=self.courier.status,
        )

    def _posting(self) -> bool:
        return self.crew.at_work(SOURCE_THREAD) or self.courier.behind

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of how its ticks get to the broker, in sentences; none while all went through."""
        return courier_notes(self.courier.status)

    def _make_stages(self, send: Send) -> Stages:
        from streams.app import Stages

        return Stages(command=CommandStage(self.id, self._apply), follow=FollowStage(self._handled, self._heard))

    def _heard(self, record: BedRecord | StatusRecord) -> None:
        """Two sources of one bed would be two patients in one: whoever comes later does not begin."""
        if record.bed in self.role.beds and record.session != self.id and not self.role.flowing.is_set():
            taken = BadInput(
                "bed names of its own on this broker", f"bed {record.bed!r} of another source",
                "give others with --bed, or another --prefix",
            )  # fmt: skip
            self.crew.fail("source", taken)

    def _apply(self, command: CommandRecord) -> None:
        self.role.apply(command)
        self.role.announce(described=False)

    def _handled(self, record: CellRecord | WaveTick) -> None:
        self.flow.handled(record)
        if isinstance(record, WaveTick) and self.role.end_seen("vitals", record):
            self.role.announce(described=False)
            if not self._stay:
                self._finish()

    def _announce(self) -> None:
        self.role.announce(described=self._calls % DESCRIBE_EVERY == 0, notes=self.notes)
        self._calls += self.ready.is_set()
        if self._calls == LISTEN_CALLS:
            self.role.begin()

    def _tell_to_end(self) -> None:
        self.role.stop()
        self.courier.stop()


def _no_spool() -> Spool:
    raise OSError("there is no folder for it")
