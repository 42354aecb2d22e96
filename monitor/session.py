"""One run of the monitor: sources, stream, model and feed put together, watched and taken apart again.

``start`` returns at once: every source opens and Faust starts in parallel, each in its own thread, while the caller
builds its display. The waves of a bed flow as soon as its source and the stream are there; the model is loaded after
that. A thread, agent or task that dies ends the session with a sentence, never in silence.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from models.runtime.guard import Service
from models.signals.errors import BackendUnavailable, BadInput, VigilError
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from monitor.bed import Bed
from monitor.report import run_report
from streams.accounting import Accounting
from streams.alarm_log import AlarmCounts
from streams.clock import SECOND_NS
from streams.codec import encode
from streams.commands import CommandMaker
from streams.control import ChannelInfo, SessionStatus
from streams.feed import DisplayFeed
from streams.flow import Flow
from streams.inference import LOADING, EndOfBed, Engine, InferenceThread, Mailbox
from streams.latency import LatencyBook
from streams.records import AnyRecord, CommandRecord, PredictionRecord, WaveTick
from streams.runner import EMBEDDED, StreamRunner
from streams.sources.source import MakeSource
from streams.stages import (
    SHOW,
    WINDOW,
    AlarmStage,
    CommandStage,
    Send,
    ShowStage,
    Subscriber,
    WindowStage,
    end_of_stream,
)
from streams.threads import WatchedThread
from streams.transport.credits import Wait

if TYPE_CHECKING:
    from streams.app import Stages

log = logging.getLogger("vigil.session")

STOP_S = 5.0  # for a thread to end

_numbers = itertools.count(1)


class SessionError(VigilError):
    """A part of the session died; the text says which and why."""


class Session:
    """A run with one or more beds; as a :class:`streams.control.SessionControl` it is about the bed on show.

    sources: bed -> its source (:func:`streams.sources.replay.replays`); what is wrong with one comes from
    :meth:`wait_opened`. spec: the window that the model wants. load_engine: called in the inference thread once waves
    flow; None runs without a model. source: what the report calls the run's source. feed: for a display. stay_open:
    stay seekable at the end of the recordings instead of stopping. broker: ``embedded://`` unless told otherwise.
    cancel: set when the session stops, so that an engine under construction or a batch that hangs does not hold it up.
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
        cancel: Event | None = None,
        operator: str = "operator",
    ) -> None:
        if not sources:
            raise BadInput("at least one bed", "none", "name a source")
        self.id = f"{os.getpid()}-{next(_numbers)}-{time.time_ns() // 1_000_000:x}"
        self._beds = {name: Bed(name, make(name, self.id)) for name, make in sources.items()}
        self._shown = next(iter(self._beds.values()))
        self._spec, self._load_engine, self._source = spec, load_engine, source
        self._stay_open, self._cancel = stay_open, cancel or Event()
        self._command = CommandMaker(self.id, operator)

        self._accounting = Accounting()
        self._latency = LatencyBook(time.monotonic)
        self._alarms = AlarmCounts()
        self._flow = Flow(self._publish, [WINDOW, SHOW], self._accounting)
        self._mailbox = Mailbox() if load_engine is not None else None
        feeds = [feed] if feed is not None else []
        self._show = ShowStage(feeds, self._accounting, self._latency, self._flow.credits, self._on_end)
        self._show.subscribe(self._alarms)
        self._inference: InferenceThread | None = None
        self._window: WindowStage | None = None

        self._stream = StreamRunner(
            self.id, broker or f"{EMBEDDED}vigil-{self.id}", self._make_stages, self._unread, self._on_flowing
        )
        self._lock = Lock()
        self._threads: list[WatchedThread] = []
        self._opened, self._flowing = Event(), Event()
        self._ended, self._done, self._stopping = Event(), Event(), Event()
        self._failure: BaseException | None = None
        self._error = ""
        self._began_ns = self._finished_ns = 0
        self.first_shown_ns = 0
        """Monotonic time at which the display had shown the first samples; 0 before."""

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the sources and start the stream, in the background."""
        self._spawn("stream", self._stream.run)
        for bed in self._beds.values():
            self._spawn(f"source of bed {bed.name}", partial(self._play, bed))

    def wait_opened(self, timeout_s: float | None = None) -> bool:
        """Wait until the channels of every bed are known; False on timeout. Raises what is wrong with a source."""
        opened = self._opened.wait(timeout_s)
        self._raise_failure()
        return opened

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end: of the recording, by :meth:`stop`, or by a failure, which is raised; False on timeout.

        A session that does not stay open is taken down first.
        """
        done = self._done.wait(timeout_s)
        if done and not self._stay_open:
            self.stop()
        self._raise_failure()
        return done

    def stop(self) -> None:
        """End everything and wait for it; under a second. May be called more than once, from any other thread."""
        self._begin_stop()
        for thread in self._threads:
            thread.join(STOP_S)
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        if stuck:
            self._fail("stop", SessionError(f"The threads {', '.join(stuck)} did not end within {STOP_S:.0f} s."))

    def subscribe(self, callback: Subscriber) -> None:
        """``callback`` gets every decoded record, on the stream thread, truth of withheld channels included."""
        self._show.subscribe(callback)

    @property
    def failure(self) -> BaseException | None:
        """What ended the session, None while all is well."""
        return self._failure

    # -- the display's side -------------------------------------------------------------------------------------------

    @property
    def beds(self) -> tuple[str, ...]:
        """Names of all beds."""
        return tuple(self._beds)

    @property
    def bed(self) -> str:
        """The bed on show."""
        return self._shown.name

    def show(self, bed: str) -> None:
        """Another bed is on show: what is asked and told from now on is about that one."""
        self._shown = self._bed(bed)

    @property
    def title(self) -> str:
        """What the screen calls the recording or the device."""
        record = self._shown.record
        return record.title if record is not None else self._source

    @property
    def channels(self) -> tuple[ChannelInfo, ...]:
        """Channels in the order of the screen; known once opened."""
        return self._shown.channels

    @property
    def gaps_s(self) -> dict[Modality, tuple[tuple[float, float], ...]]:
        """Stretches [start, end) without data in s, by modality."""
        return self._shown.gaps_s

    def status(self) -> SessionStatus:
        """See :class:`streams.control.SessionStatus`."""
        bed, inference = self._shown, self._inference
        replay = bed.replay
        paused = replay is not None and replay.paused
        ended = bed.ended or self._done.is_set()
        progress_ns = self._progress_ns(bed)  # after paused and ended: it must not be from before they were left
        backend = inference.backend if inference is not None else None
        service = inference.service if inference is not None else Service()
        return SessionStatus(
            position_s=bed.position_s,
            duration_s=bed.duration_s,
            speed=replay.speed if replay is not None else 1.0,
            paused=paused,
            ended=ended,
            backend=backend.name if backend else "",
            backend_detail=backend.detail if backend else "",
            model=inference.model if inference else "",
            samples_lost=self._accounting.samples_lost,
            recording=False,
            heartbeat_ns=self._stream.heartbeat_ns,
            progress_ns=progress_ns,
            achieved_speed=replay.achieved_speed if replay is not None else None,
            latency_ms=self._latency.recent() if self._paced else {},
            dropped=bed.source.dropped_now(),
            error=self._error,
            precision=backend.precision if backend else "",
            service=service.state,
            notes=service.notes,
            preparing=self._preparing(),
        )

    def pause(self) -> None:
        """Stands still; what is under way arrives."""
        self._order("pause")

    def resume(self) -> None:
        """Goes on from where it stands."""
        self._order("resume")

    def set_speed(self, speed: float) -> None:
        """Event seconds a second from here on."""
        self._order("speed", speed=speed)

    def seek(self, time_s: float) -> None:
        """Goes on from ``time_s`` in a new epoch; everything begins anew there."""
        self._order("seek", time_s=time_s)

    def step(self, seconds: float) -> None:
        """Plays ``seconds`` and stands again if paused, else jumps by them."""
        self._order("step", seconds=seconds)

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withholds the modality, or gives it back."""
        self._order("drop" if dropped else "restore", modality=modality.value)

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        """Counts the latency of what was painted, stage by stage; the first is the first wave."""
        if not self.first_shown_ns:
            self.first_shown_ns = shown_ns
        self._latency.add_ns(stage, due_ns, shown_ns)

    def prepare(self, what: str, share: float) -> None:
        """``load_engine`` reports its progress, from any thread: for the status line."""
        if self._inference is not None:
            self._inference.prepare(what, share)

    def _progress_ns(self, bed: Bed) -> int:
        """When the last tick of the bed was handled, or it last stood by order; no later than since when one waits."""
        wait = self._flow.credits.longest_wait([bed.name])
        moved_ns = max(self._flow.credits.handled_ns(bed.name), bed.stood_ns)
        return moved_ns if wait is None else min(moved_ns, wait.since_ns)

    def _preparing(self) -> str:
        if self._mailbox is None or self._stopping.is_set():
            return ""
        return LOADING if self._inference is None else self._inference.preparing

    def report(self) -> dict[str, Any]:
        """The run in numbers, see :mod:`monitor.report`."""
        now_ns = self._finished_ns or time.monotonic_ns()
        replayed = [bed.replay for bed in self._beds.values() if bed.replay is not None]
        return run_report(
            source=self._source or self.title,
            beds=len(self._beds),
            wall_s=(now_ns - self._began_ns) / SECOND_NS if self._began_ns else 0.0,
            complete=self._ended.is_set() and self._flow.credits.under_way == 0,
            accounting=self._accounting,
            latency=self._latency if self._paced else None,
            inference=self._inference,
            alarms=self._alarms,
            slowed_s=max((replay.given_up_s for replay in replayed), default=0.0),
        )

    @property
    def _paced(self) -> bool:
        """Whether anything is due at any time: not where all is as fast as possible."""
        return any(bed.replay is None or bed.replay.speed is not None for bed in self._beds.values())

    # -- opening and playing ------------------------------------------------------------------------------------------

    def _play(self, bed: Bed) -> None:
        """Body of the thread of a bed's source."""
        record = bed.source.describe()
        for command in bed.described(record):
            self._post(command)
        if all(other.record is not None for other in self._beds.values()):
            self._opened.set()
        self._flowing.wait()
        bed.stood_ns = time.monotonic_ns()
        if self._stopping.is_set():
            bed.source.stop()
        self._begin(bed.stood_ns)
        bed.source.run(self._flow.emit_of(bed.source))

    def _begin(self, now_ns: int) -> None:
        """The first bed plays: the model may load."""
        with self._lock:
            if self._began_ns or self._stopping.is_set():
                return
            self._began_ns = now_ns
        if self._mailbox is not None and self._load_engine is not None:
            self._inference = InferenceThread(
                self._mailbox, self._load_engine, self._spec, self._predicted, self._accounting, self._latency
            )
            self._spawn("inference", self._inference.run)

    def _publish(self, bed: str, message: bytes) -> None:
        self._stream.post("waves", bed, message)

    def _predicted(self, results: Sequence[PredictionRecord | EndOfBed]) -> None:
        """From the inference thread."""
        for result in results:
            self._post(end_of_stream(result, result.time_ns) if isinstance(result, EndOfBed) else result, "predictions")

    def _order(self, name: str, **args: str | float) -> None:
        bed = self._shown
        self._post(self._command(bed.name, round(bed.position_s * SECOND_NS), name, **args))

    def _post(self, record: AnyRecord, topic: str = "commands") -> None:
        self._stream.post(topic, record.bed, encode(record))

    def _apply(self, command: CommandRecord) -> None:
        if self._bed(command.bed).apply(command):
            self._ended.clear()
            self._done.clear()
            self._finished_ns = 0

    def _bed(self, name: str) -> Bed:
        if name not in self._beds:
            raise BadInput(f"one of the beds {', '.join(self._beds)}", f"{name!r}", "name one of these")
        return self._beds[name]

    # -- the stream ---------------------------------------------------------------------------------------------------

    def _make_stages(self, send: Send) -> Stages:
        from streams.app import Stages

        self._window = WindowStage(self._spec, self._mailbox, self._accounting, self._flow.credits, send)
        if self._mailbox is not None:
            made_room = self._window.made_room
            self._mailbox.on_space(lambda: self._stream.call_soon(made_room))
        return Stages(self._window, AlarmStage(send), self._show, CommandStage(self.id, self._apply))

    def _unread(self) -> Wait | None:
        """The longest wait for a tick to be handled; none while a full mailbox holds it up."""
        held_up = self._window is not None and self._window.waiting
        return None if held_up else self._flow.credits.longest_wait()

    def _on_flowing(self) -> None:
        self._flowing.set()

    def _on_end(self, topic: str, tick: WaveTick) -> None:
        """A last consumer has seen the end of a bed on a topic; those of all beds make the end of the session."""
        if tick.session != self.id or tick.bed not in self._beds or not self._beds[tick.bed].end_seen(topic, tick):
            return
        if not all(bed.ended for bed in self._beds.values()):
            return
        self._finished_ns = time.monotonic_ns()
        self._ended.set()
        if not self._stay_open:
            self._begin_stop()
        self._done.set()

    # -- the end ------------------------------------------------------------------------------------------------------

    def _spawn(self, name: str, body: Callable[[], None]) -> None:
        def whole() -> None:
            body()
            if not self._stopping.is_set():
                raise SessionError(f"The {name} thread ended although nothing had told it to.")

        thread = WatchedThread(name, whole, self._fail)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _fail(self, where: str, error: BaseException) -> None:
        """Something died: keep the first reason and end the session. From any thread."""
        with self._lock:
            if self._failure is not None:
                return
            self._failure = error
            self._error = str(error) if isinstance(error, VigilError) else _sentence(where, error)
        if not isinstance(error, BadInput | BackendUnavailable):
            log.error("%s", self._error, exc_info=error)
        self._begin_stop()
        self._opened.set()
        self._done.set()

    def _raise_failure(self) -> None:
        if isinstance(self._failure, VigilError):
            raise self._failure
        if self._failure is not None:
            raise SessionError(self._error) from self._failure

    def _begin_stop(self) -> None:
        """Tell every part to end, without waiting."""
        self._stopping.set()
        if self._mailbox is not None:
            self._mailbox.close()  # before the cancel, whose error in the inference thread is then no failure
        self._cancel.set()
        if not self._finished_ns:
            self._finished_ns = time.monotonic_ns()
        for bed in self._beds.values():
            bed.source.stop()
        self._flow.credits.close()
        self._flowing.set()  # who waits for the stream need not any longer
        self._stream.stop()
        self._done.set()


def _sentence(where: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"The {where} failed: {type(error).__name__}{': ' + text if text else ''}."
