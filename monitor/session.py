"""One run of the monitor: sources, stream, model and feed put together, watched and taken apart again.

``start`` returns at once: every source opens and Faust starts in parallel, each in its own thread, while the caller
builds its display. The waves of a bed flow as soon as its source and the stream are there; the model is loaded after
that. A thread, agent or task that dies ends the session with a sentence, never in silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from models.signals.times import SECOND_NS
from models.signals.windows import WindowSpec
from monitor.report import run_report
from streams.accounting import Accounting
from streams.alarm_log import AlarmCounts
from streams.codec import encode
from streams.commands import CommandMaker, Order, Orders
from streams.control import BedView, SessionStatus
from streams.crew import Crew
from streams.feed import DisplayFeed
from streams.flow import Flow
from streams.inference import Engine
from streams.latency import LatencyBook
from streams.records import AnyRecord, CommandRecord, WaveTick
from streams.roles.bed import Bed
from streams.roles.process import session_name
from streams.roles.source import SourceRole, status_of
from streams.roles.worker import WorkerRole
from streams.runner import EMBEDDED, Sharing, StreamRunner
from streams.sinks.sink import SinkRunner
from streams.snapshot import Snapshot, snapshot_of
from streams.sources.source import MakeSource
from streams.stages import SHOW, WINDOW, CommandStage, Send, ShowStage, Subscriber
from streams.status import OnShow, channels_of, events_of, gaps_of, session_status
from streams.transport.credits import Wait

if TYPE_CHECKING:
    from streams.app import Stages


class Session(Orders, OnShow):
    """A run with one or more beds; as a :class:`streams.control.SessionControl` it is about the bed on show.

    sources: bed -> its source (:func:`streams.sources.replay.replays`); what is wrong with one comes from
    :meth:`wait_opened`. spec: the window that the model wants. load_engine: called in the inference thread once waves
    flow; None runs without a model. source: what the report calls the run's source. feed: for a display. stay_open:
    stay seekable at the end of the recordings instead of stopping. broker: ``embedded://`` unless told otherwise;
    sharing: of it. cancel: set when the session stops, so that an engine under construction or a batch that hangs does
    not hold it up.
    """

    def __init__(
        self,
        sources: Mapping[str, MakeSource],
        spec: WindowSpec,
        load_engine: Callable[[], Engine] | None,
        *,
        source: str = "",
        feed: DisplayFeed | None = None,
        stay_open: bool = False,
        broker: str | None = None,
        sharing: Sharing | None = None,
        cancel: Event | None = None,
        operator: str = "operator",
    ) -> None:
        self.id = session_name()
        self._source, self._stay_open, self._cancel = source, stay_open, cancel or Event()
        self._accounting = Accounting()
        self._latency = LatencyBook(time.monotonic)
        self._alarms = AlarmCounts()
        self._crew = Crew(self._end)
        self._flow = Flow(self._publish, [WINDOW, SHOW], self._accounting)
        self._worker = WorkerRole(
            spec, load_engine, self._crew, self._accounting, self._latency, self._flow.credits, self._post
        )
        self._sources = SourceRole(self.id, sources, self._crew, self._flow, self._post, self._on_play)
        self._shown = next(iter(self._sources.beds.values()))
        self._command = CommandMaker(self.id, operator)
        feeds = [feed] if feed is not None else []
        self._show = ShowStage(feeds, self._accounting, self._latency, self._flow.credits, self._on_end)
        self._show.subscribe(self._alarms)
        self._stream = StreamRunner(
            self.id,
            broker or f"{EMBEDDED}vigil-{self.id}",
            self._make_stages,
            self._unread,
            self._sources.begin,
            sharing=sharing,
        )
        self._recorder: SinkRunner | None = None
        self._lock = Lock()
        self._ended, self._done = Event(), Event()
        self._began_ns = self._finished_ns = 0
        self.first_shown_ns = 0
        """Monotonic time at which the display had shown the first samples; 0 before."""

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the sources and start the stream, in the background."""
        self._crew.spawn("stream", self._stream.run)
        self._sources.start()

    def wait_opened(self, timeout_s: float | None = None) -> bool:
        """Wait until the channels of every bed are known; False on timeout. Raises what is wrong with a source."""
        opened = self._sources.opened.wait(timeout_s)
        self._crew.raise_failure()
        return opened

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end: of the recordings, by :meth:`stop`, or by a failure, which is raised; False on timeout.

        A session that does not stay open is taken down first.
        """
        done = self._done.wait(timeout_s)
        if done and not self._stay_open:
            self.stop()
        self._crew.raise_failure()
        return done

    def stop(self) -> None:
        """End everything and wait for it; under a second. May be called more than once, from any other thread."""
        self._crew.stop()

    def subscribe(self, callback: Subscriber) -> None:
        """``callback`` gets every decoded record, on the stream thread, truth of withheld channels included."""
        self._show.subscribe(callback)

    def record_with(self, recorder: SinkRunner) -> None:
        """``recorder`` gets every record, and the screen says whether it still writes."""
        self._recorder = recorder
        self.subscribe(recorder)

    @property
    def failure(self) -> BaseException | None:
        """What ended the session, None while all is well."""
        return self._crew.failure

    # -- the display's side -------------------------------------------------------------------------------------------

    @property
    def beds(self) -> tuple[str, ...]:
        """Names of all beds."""
        return tuple(self._sources.beds)

    @property
    def bed(self) -> str:
        """The bed on show."""
        return self._shown.name

    def show(self, bed: str) -> None:
        """Another bed is on show: what is asked and told from now on is about that one."""
        self._shown = self._sources.bed(bed)

    def view(self, bed: str = "") -> BedView:
        """What is to be said of any bed; "" is the one on show."""
        asked = self._sources.bed(bed) if bed else self._shown
        record = asked.record
        title, events = (record.title if record is not None else self._source), events_of(record)
        return BedView(self._status(asked), channels_of(record), gaps_of(record), title, asked.name, self.beds, events)

    def _status(self, bed: Bed) -> SessionStatus:
        source = status_of(bed, bed.session or self.id)
        progress_ns = self._sources.progress_ns(bed)  # after paused and ended: not from before they were left
        found = session_status(
            bed.record,
            source,
            self._worker.status(bed.name, source.session, source.epoch),
            heartbeat_ns=self._stream.heartbeat_ns,
            progress_ns=progress_ns,
            latency_ms=self._latency.recent(),
            error=self._crew.error,
            recording=self._recorder is not None and not self._recorder.status.failure,
        )
        return replace(found, ended=True) if self._done.is_set() else found

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        """Counts the latency of what was painted, stage by stage; the first is the first wave."""
        if not self.first_shown_ns:
            self.first_shown_ns = shown_ns
        self._latency.add_ns(stage, due_ns, shown_ns)

    def prepare(self, what: str, share: float) -> None:
        """``load_engine`` reports its progress, from any thread: for the status line."""
        self._worker.prepare(what, share)

    def report(self) -> dict[str, Any]:
        """The run in numbers, see :mod:`monitor.report`."""
        now_ns = self._finished_ns or time.monotonic_ns()
        return run_report(
            source=self._source or self.title,
            beds=len(self._sources.beds),
            wall_s=(now_ns - self._began_ns) / SECOND_NS if self._began_ns else 0.0,
            complete=self._ended.is_set() and self._flow.credits.under_way == 0,
            accounting=self._accounting,
            latency=self._latency if self._sources.paced else None,
            worker=self._worker,
            alarms=self._alarms,
            slowed_s=self._sources.slowed_s,
        )

    def snapshot(self) -> Snapshot:
        """How it stands, from any thread."""
        found = snapshot_of(
            "run",
            len(self._sources.beds),
            self._accounting,
            self._stream,
            self._crew,
            ready=self._sources.flowing.is_set(),
            latency_ms=self._latency.recent() if self._sources.paced else {},
            alarms=self._alarms.standing(),
        )
        return replace(found, recorder=self._recorder.status) if self._recorder is not None else found

    # -- what happens -------------------------------------------------------------------------------------------------

    def _on_play(self) -> None:
        """A bed plays: with the first the run has begun, and the model may load."""
        with self._lock:
            if self._began_ns:
                return
            self._began_ns = time.monotonic_ns()
        self._worker.begin()

    def _publish(self, bed: str, message: bytes) -> None:
        self._stream.post("waves", bed, message)

    def _post(self, topic: str, record: AnyRecord) -> None:
        self._stream.post(topic, record.bed, encode(record))

    def _order(self, order: Order) -> None:
        asked = self._sources.bed(order.bed) if order.bed else self._shown
        at_ns = round(asked.position_s * SECOND_NS)
        self._post("commands", self._command(asked.name, asked.session or self.id, at_ns, order))

    def _apply(self, command: CommandRecord) -> None:
        if self._sources.apply(command):
            self._ended.clear()
            self._done.clear()
            self._finished_ns = 0

    # -- the stream ---------------------------------------------------------------------------------------------------

    def _make_stages(self, send: Send) -> Stages:
        from streams.app import Stages

        window, alarm = self._worker.make_stages(send, self._stream.call_soon)
        return Stages(window, alarm, self._show, CommandStage(self.id, self._apply))

    def _unread(self) -> Wait | None:
        """The longest wait for a tick to be handled; none while a full mailbox holds it up."""
        return None if self._worker.held_up else self._flow.credits.longest_wait()

    def _on_end(self, topic: str, tick: WaveTick) -> None:
        """A last consumer has seen the end of a bed on a topic; those of all beds make the end of the session."""
        if not self._sources.end_seen(topic, tick):
            return
        self._finished_ns = time.monotonic_ns()
        self._ended.set()
        if not self._stay_open:
            self._crew.begin_stop()
        self._done.set()

    def _end(self) -> None:
        """Tell every part to end, without waiting."""
        self._worker.stop()  # before the cancel, whose error in the inference thread is then no failure
        self._cancel.set()
        if not self._finished_ns:
            self._finished_ns = time.monotonic_ns()
        self._sources.stop()
        self._stream.stop()
        self._done.set()
