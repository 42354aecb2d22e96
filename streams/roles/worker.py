"""The role of a worker: windows, numerics, alarms and the model, for the beds that come to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from threading import Event
from typing import TYPE_CHECKING

from models.runtime.backend import BackendInfo
from models.runtime.guard import Service
from models.signals.times import SECOND_NS
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.alarm_stage import AlarmStage
from streams.crew import Crew
from streams.host import clock_offset_ns, stamped, this_host
from streams.inference import LOADING, Engine, InferenceThread, Result, skipped_record
from streams.latency import LatencyBook
from streams.mailbox import EndOfBed, Mailbox, SkippedWindow
from streams.records import AnyRecord, MemoryRecord, PredictionRecord, StatusRecord
from streams.roles.process import RoleProcess
from streams.roles.source import Post
from streams.runner import Sharing
from streams.snapshot import Snapshot, snapshot_of
from streams.stages import Releases, Send, WindowStage, end_of_stream

if TYPE_CHECKING:
    from streams.app import Stages

RENEW_S = 5.0  # an alarm that stands is said again, for displays that came later
MEMORY_S = 10.0  # what is known of a bed is told so often, for who takes it over
SILENT_NS = 600 * SECOND_NS  # the state of a bed from which nothing comes for so long is dropped

CallSoon = Callable[[Callable[[], None]], None]


class WorkerRole:
    """What a worker does beside the stream: the stages that it lends to it, and the thread of the model.

    spec: the window that the model wants. load_engine: called in the inference thread once :meth:`begin` was; None
    works without a model. credits: of the sources in this process. memory_s: seconds of a bed's time after which it is
    told what is known of it, None where nobody can take it over.
    """

    def __init__(
        self,
        spec: WindowSpec,
        load_engine: Callable[[], Engine] | None,
        crew: Crew,
        accounting: Accounting,
        latency: LatencyBook,
        credits: Releases,
        post: Post,
        memory_s: float | None = None,
    ) -> None:
        self._memory_s = memory_s
        self._spec, self._load_engine, self._crew, self._credits, self._post = spec, load_engine, crew, credits, post
        self._accounting, self._latency = accounting, latency
        self._mailbox = Mailbox() if load_engine is not None else None
        if self._mailbox is not None:
            self._mailbox.on_skipped(self._skipped)
        self._inference: InferenceThread | None = None
        self._window: WindowStage | None = None

    def make_stages(
        self, send: Send, call_soon: CallSoon, renew_s: float | None = None
    ) -> tuple[WindowStage, AlarmStage]:
        """Built in the stream's loop; call_soon: runs a call there, from any thread. renew_s: of the alarm stage."""
        self._window = WindowStage(
            self._spec, self._mailbox, self._accounting, self._credits, send, memory_s=self._memory_s
        )
        if self._mailbox is not None:
            made_room = self._window.made_room
            self._mailbox.on_space(lambda: call_soon(made_room))
        return self._window, AlarmStage(send, renew_s, memory_s=self._memory_s)

    @property
    def held_up(self) -> bool:
        """Whether a full mailbox holds the windows up, which it may at speed max."""
        return self._window is not None and self._window.waiting

    def begin(self) -> None:
        """Load the model, in a thread of its own; a second call changes nothing."""
        if self._mailbox is None or self._load_engine is None or self._inference is not None:
            return
        self._inference = InferenceThread(
            self._mailbox,
            self._load_engine,
            self._spec,
            self._predicted,
            self._accounting,
            self._latency,
            memory_s=self._memory_s,
        )
        self._crew.spawn("inference", self._inference.run)

    def stop(self) -> None:
        """Let the model's thread end, without waiting."""
        if self._mailbox is not None:
            self._mailbox.close()

    def prepare(self, what: str, share: float) -> None:
        """``load_engine`` reports its progress, from any thread: for the status line."""
        if self._inference is not None:
            self._inference.prepare(what, share)

    @property
    def preparing(self) -> str:
        """What is being done until the model serves; "" from then on, and without a model."""
        if self._mailbox is None or self._crew.stopping.is_set():
            return ""
        return LOADING if self._inference is None else self._inference.preparing

    @property
    def backend(self) -> BackendInfo | None:
        """What runs the model; None before it serves."""
        return self._inference.backend if self._inference is not None else None

    @property
    def service(self) -> Service:
        """How it serves."""
        return self._inference.service if self._inference is not None else Service()

    @property
    def model(self) -> str:
        """The model's name and version; "" before it serves."""
        return self._inference.model if self._inference is not None else ""

    def status(self, bed: str, session: str, epoch: int) -> StatusRecord:
        """What is said of it to a bed."""
        backend, service = self.backend, self.service
        return StatusRecord(
            bed=bed,
            session=session,
            epoch=epoch,
            role="worker",
            backend=backend.name if backend else "",
            backend_detail=backend.detail if backend else "",
            precision=backend.precision if backend else "",
            model=self.model,
            service=service.state,
            notes=list(service.notes),
            preparing=self.preparing,
            counts={"samples_lost": self._accounting.samples_lost},
        )

    def _skipped(self, windows: Sequence[SkippedWindow]) -> None:
        """From the stream's loop: the model has none of this bed."""
        name = self.backend.name if self.backend is not None else ""
        self._predicted([skipped_record(w, self._spec, self.model, name, self.service) for w in windows])

    def _predicted(self, results: Sequence[Result]) -> None:
        """From the inference thread, or for it."""
        for result in results:
            if isinstance(result, MemoryRecord):
                self._post("vitals", result)
            else:
                record = end_of_stream(result, result.time_ns) if isinstance(result, EndOfBed) else result
                self._post("predictions", record)


class WorkerProcess(RoleProcess):
    """``vigil worker``: one of any number that share the beds of a broker. See :class:`WorkerRole`.

    cancel: set when it is to end, so that an engine under construction does not hold it up.
    """

    def __init__(
        self,
        spec: WindowSpec,
        load_engine: Callable[[], Engine] | None,
        broker: str,
        sharing: Sharing,
        cancel: Event | None = None,
    ) -> None:
        super().__init__(broker, sharing)
        self.accounting, self._latency = Accounting(), LatencyBook(time.monotonic)
        self._cancel = cancel or Event()
        self.role = WorkerRole(
            spec, load_engine, self.crew, self.accounting, self._latency, NOBODY, self.post, MEMORY_S
        )
        self._window: WindowStage | None = None
        self._alarm: AlarmStage | None = None

    @property
    def beds(self) -> tuple[str, ...]:
        """The beds that come to it."""
        return tuple(self._window.seen()) if self._window is not None else ()

    def snapshot(self) -> Snapshot:
        """How it stands, from any thread."""
        return snapshot_of(
            "worker",
            len(self.beds),
            self.accounting,
            self.stream,
            self.crew,
            ready=self.ready.is_set(),
            latency_ms=self._latency.recent(),
            alarms=self._alarm.standing() if self._alarm is not None else {},
        )

    def post(self, topic: str, record: AnyRecord) -> None:
        """Send a record, from any thread; a prediction says whose clock its stamps are of."""
        if isinstance(record, PredictionRecord):
            record = stamped(record, this_host(), clock_offset_ns())
        super().post(topic, record)

    def _make_stages(self, send: Send) -> Stages:
        from streams.app import Stages

        self._window, self._alarm = self.role.make_stages(send, self.stream.call_soon, RENEW_S)
        return Stages(self._window, self._alarm)

    def _on_ready(self) -> None:
        self.role.begin()

    def _announce(self) -> None:
        """How it is, for every bed that comes to it."""
        if self._window is None:
            return
        self.stream.call_soon(self._forget_silent)
        for bed, seen in self._window.seen().items():
            self.post("beds", self.role.status(bed, seen.session, seen.epoch))

    def _forget_silent(self) -> None:
        if self._window is not None and self._alarm is not None:
            self._alarm.forget(self._window.forget_silent(time.monotonic_ns(), SILENT_NS))

    def _tell_to_end(self) -> None:
        self.role.stop()  # before the cancel, whose error in the inference thread is then no failure
        self._cancel.set()


class _Nobody:
    """The sources are elsewhere."""

    def release(self, stage: str, tick: Hashable) -> None:
        """Nobody waits for it."""


NOBODY = _Nobody()
