"""One run of the monitor: recording, replay, stream, model and feed put together, watched and taken apart again.

``start`` returns at once: the recording opens and Faust starts in parallel, each in its own thread, while the caller
builds its display. Waves flow as soon as both are there; the model is loaded after that. A thread, agent or task
that dies ends the session with a sentence, never in silence.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from models.runtime.guard import Service
from models.signals.channels import ChannelMap, missing_s
from models.signals.errors import BackendUnavailable, BadInput, VigilError
from models.signals.gaps import common
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from monitor.report import run_report
from streams.accounting import Accounting
from streams.alarm_log import AlarmCounts
from streams.bed_replay import BedReplay, Drop
from streams.clock import SECOND_NS, ReplayClock, Span
from streams.codec import encode
from streams.commands import CommandApplier, CommandMaker
from streams.control import ChannelInfo, SessionStatus
from streams.feed import DisplayFeed
from streams.inference import LOADING, EndOfBed, Engine, InferenceThread, Mailbox
from streams.latency import LatencyBook
from streams.records import CommandRecord, PredictionRecord, WaveTick
from streams.replay import ReplayPlayer
from streams.runner import EMBEDDED, StreamRunner
from streams.stages import (
    END_TOPICS,
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
from streams.transport.credits import Credits, Wait

if TYPE_CHECKING:
    from streams.app import Stages

log = logging.getLogger("vigil.session")

MAX_UNDER_WAY = 200  # ticks sent and not yet handled: 10 s of one bed
STOP_S = 5.0  # for a thread to end

OpenSource = Callable[[], ChannelMap]
_numbers = itertools.count(1)


class SessionError(VigilError):
    """A part of the session died; the text says which and why."""


class Session:
    """A running replay of one or more beds; implements :class:`streams.control.SessionControl`.

    sources: bed -> how to open its recording (called in a thread of its own, errors come from :meth:`wait_opened`).
    spec: the window that the model wants. load_engine: called in the inference thread once waves flow; None runs
    without a model. speed: None for as fast as possible. from_s, for_s: the stretch to replay, seconds from time
    zero. drops: channels withheld. feed: for a display. stay_open: stay seekable at the end of the recording instead
    of stopping. broker: ``embedded://`` unless told otherwise. cancel: set when the session stops, so that an engine
    under construction or a batch that hangs does not hold it up.
    """

    def __init__(
        self,
        sources: Mapping[str, OpenSource],
        spec: WindowSpec,
        load_engine: Callable[[], Engine] | None,
        *,
        source: str = "",
        speed: float | None = 1.0,
        from_s: float = 0.0,
        for_s: float | None = None,
        drops: Sequence[Drop] = (),
        feed: DisplayFeed | None = None,
        stay_open: bool = False,
        broker: str | None = None,
        cancel: Event | None = None,
        operator: str = "operator",
    ) -> None:
        if not sources:
            raise BadInput("at least one bed", "none", "name a source")
        self.id = f"{os.getpid()}-{next(_numbers)}-{time.time_ns() // 1_000_000:x}"
        self._sources, self._spec, self._load_engine = dict(sources), spec, load_engine
        self._source, self._speed, self._from_s, self._for_s, self._drops = source, speed, from_s, for_s, tuple(drops)
        self._stay_open, self._cancel = stay_open, cancel or Event()
        self._maps: dict[str, ChannelMap] = {}
        self._channels: tuple[ChannelInfo, ...] = ()
        self._gaps: dict[Modality, tuple[tuple[float, float], ...]] = {}
        self._title, self._duration_s = source, 0.0
        self._player: ReplayPlayer | None = None
        self._applier: CommandApplier | None = None
        self._early: list[CommandRecord] = []
        self._command = CommandMaker(next(iter(sources)), self.id, operator, self._position_ns)

        self._accounting = Accounting()
        self._latency = LatencyBook(time.monotonic)
        self._alarms = AlarmCounts()
        self._credits = Credits(MAX_UNDER_WAY, [WINDOW, SHOW], lane=_bed_of)
        self._mailbox = Mailbox() if load_engine is not None else None
        feeds = [feed] if feed is not None else []
        self._show = ShowStage(feeds, self._accounting, self._latency, self._credits, self._on_end)
        self._show.subscribe(self._alarms)
        self._inference: InferenceThread | None = None
        self._window: WindowStage | None = None

        self._stream = StreamRunner(
            self.id, broker or f"{EMBEDDED}vigil-{self.id}", self._make_stages, self._unread, self._on_flowing
        )
        self._lock = Lock()
        self._threads: list[WatchedThread] = []
        self._opened, self._flowing, self._playing = Event(), Event(), Event()
        self._ended, self._done, self._stopping = Event(), Event(), Event()
        self._failure: BaseException | None = None
        self._error = ""
        self._acknowledged: dict[int, set[tuple[str, str]]] = {}
        self._began_ns = self._finished_ns = 0
        self._stood_ns = time.monotonic_ns()  # the replay was not to move until then
        self.first_shown_ns = 0
        """Monotonic time at which the display had shown the first samples; 0 before."""

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the recording and start the stream, in the background."""
        self._spawn("stream", self._stream.run)
        self._spawn("open", self._open)

    def wait_opened(self, timeout_s: float | None = None) -> bool:
        """Wait until the channels are known; False on timeout. Raises what is wrong with the source (BadInput)."""
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
        with self._lock:
            maps, self._maps = self._maps, {}
        for channels in maps.values():
            channels.recording.close()

    def subscribe(self, callback: Subscriber) -> None:
        """``callback`` gets every decoded record, on the stream thread, truth of withheld channels included."""
        self._show.subscribe(callback)

    @property
    def failure(self) -> BaseException | None:
        """What ended the session, None while all is well."""
        return self._failure

    # -- the display's side -------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """What the screen calls the recording."""
        return self._title

    @property
    def channels(self) -> tuple[ChannelInfo, ...]:
        """Channels of the first bed, in the order of the screen; known once opened."""
        return self._channels

    @property
    def gaps_s(self) -> dict[Modality, tuple[tuple[float, float], ...]]:
        """Stretches [start, end) without data in s, by modality."""
        return self._gaps

    def status(self) -> SessionStatus:
        """See :class:`streams.control.SessionStatus`."""
        player, inference = self._player, self._inference
        paused = player.paused if player else False
        ended = self._ended.is_set() or self._done.is_set()
        progress_ns = self._progress_ns()  # after paused and ended: it must not be from before they were left
        backend = inference.backend if inference is not None else None
        service = inference.service if inference is not None else Service()
        return SessionStatus(
            position_s=player.position_s if player else self._from_s,
            duration_s=self._duration_s,
            speed=player.speed if player else self._speed,
            paused=paused,
            ended=ended,
            backend=backend.name if backend else "",
            backend_detail=backend.detail if backend else "",
            model=inference.model if inference else "",
            samples_lost=self._accounting.samples_lost,
            recording=False,
            heartbeat_ns=self._stream.heartbeat_ns,
            progress_ns=progress_ns,
            achieved_speed=player.achieved_speed if player else None,
            latency_ms={} if self._speed is None else self._latency.recent(),
            dropped=player.dropped_now() if player else frozenset(),
            error=self._error,
            precision=backend.precision if backend else "",
            service=service.state,
            notes=service.notes,
            preparing=self._preparing(),
        )

    def pause(self) -> None:
        """Stands still; what is under way arrives."""
        self._send(self._command("pause"))

    def resume(self) -> None:
        """Goes on from where it stands."""
        self._send(self._command("resume"))

    def set_speed(self, speed: float) -> None:
        """Event seconds a second from here on."""
        self._send(self._command("speed", speed=speed))

    def seek(self, time_s: float) -> None:
        """Goes on from ``time_s`` in a new epoch; everything begins anew there."""
        self._send(self._command("seek", time_s=time_s))

    def step(self, seconds: float) -> None:
        """Plays ``seconds`` and stands again if paused, else jumps by them."""
        self._send(self._command("step", seconds=seconds))

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withholds the modality, or gives it back."""
        self._send(self._command("drop" if dropped else "restore", modality=modality.value))

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        """Counts the latency of what was painted, stage by stage; the first is the first wave."""
        if not self.first_shown_ns:
            self.first_shown_ns = shown_ns
        self._latency.add_ns(stage, due_ns, shown_ns)

    def prepare(self, what: str, share: float) -> None:
        """``load_engine`` reports its progress, from any thread: for the status line."""
        if self._inference is not None:
            self._inference.prepare(what, share)

    def _progress_ns(self) -> int:
        """When the last tick was handled, or the replay last stood by order; no later than since when one waits."""
        wait = self._credits.longest_wait()
        moved_ns = max(self._credits.handled_ns, self._stood_ns)
        return moved_ns if wait is None else min(moved_ns, wait.since_ns)

    def _preparing(self) -> str:
        if self._mailbox is None or self._stopping.is_set():
            return ""
        return LOADING if self._inference is None else self._inference.preparing

    def report(self) -> dict[str, Any]:
        """The run in numbers, see :mod:`monitor.report`."""
        now_ns = self._finished_ns or time.monotonic_ns()
        return run_report(
            source=self._source or self._title,
            beds=len(self._sources),
            wall_s=(now_ns - self._began_ns) / SECOND_NS if self._began_ns else 0.0,
            complete=self._ended.is_set() and self._credits.under_way == 0,
            accounting=self._accounting,
            latency=None if self._speed is None else self._latency,
            inference=self._inference,
            alarms=self._alarms,
            slowed_s=self._player.given_up_s if self._player else 0.0,
        )

    # -- opening and playing ------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Body of the thread that opens the recordings and then decodes them ahead."""
        maps = {bed: opener() for bed, opener in self._sources.items()}
        with self._lock:
            self._maps = maps
        first = next(iter(maps.values()))
        self._duration_s = max(channels.duration_s for channels in maps.values())
        self._title = first.recording.name
        self._channels = tuple(
            ChannelInfo(m, first.channels[m].label, first.channels[m].unit, first.channels[m].rate_hz)
            for m in Modality
            if m in first.channels
        )
        self._gaps = missing_s(first)
        span = self._span()
        self._check_drops(first, span)
        beds = [
            BedReplay(
                bed,
                self.id,
                channels,
                min(round(channels.duration_s * SECOND_NS), span.end_ns),
                self._drops,
                common(missing_s(channels).values()),
            )
            for bed, channels in maps.items()
        ]
        player = ReplayPlayer(beds, ReplayClock(span, self._speed), self._publish, self._credits, self._accounting)
        with self._lock:
            self._player, self._applier = player, CommandApplier(player)
            early, self._early = self._early, []
        for command in early:
            self._send(command)
        self._opened.set()
        self._play_if_ready()
        if self._stopping.is_set():
            player.stop()
        player.decode_ahead()

    def _span(self) -> Span:
        duration = self._duration_s
        if not 0 <= self._from_s < duration:
            raise BadInput(f"a start within the recording's {duration:.0f} s", f"{self._from_s:g} s", "start earlier")
        if self._for_s is not None and not self._for_s > 0:
            raise BadInput("a length above 0 s", f"{self._for_s:g} s", "leave it out to play to the end")
        end_s = duration if self._for_s is None else min(duration, self._from_s + self._for_s)
        return Span(round(self._from_s * SECOND_NS), round(end_s * SECOND_NS))

    def _check_drops(self, channels: ChannelMap, span: Span) -> None:
        for drop in self._drops:
            if drop.modality not in channels.channels:
                mapped = ", ".join(channels.channels)
                raise BadInput(f"a channel to drop out of {mapped}", drop.modality, "name one that the recording has")
            begin_s, end_s = span.start_ns / SECOND_NS, span.end_ns / SECOND_NS
            if not (drop.start_s < drop.end_s and drop.start_s < end_s and drop.end_s > begin_s):
                raise BadInput(
                    f"a range to drop within {begin_s:g}-{end_s:g} s",
                    f"{drop.modality}:{drop.start_s:g}-{drop.end_s:g}",
                    "give start and end in seconds from the recording's start",
                )

    def _play_if_ready(self) -> None:
        """Both the recording and the stream are there: let the clock run."""
        with self._lock:
            player = self._player
            if player is None or not self._flowing.is_set() or self._playing.is_set():
                return
            self._playing.set()
        self._began_ns = self._stood_ns = time.monotonic_ns()
        player.start()
        self._spawn("source", player.send)
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
            record = end_of_stream(result, result.time_ns) if isinstance(result, EndOfBed) else result
            self._stream.post("predictions", record.bed, encode(record))

    def _send(self, command: CommandRecord) -> None:
        self._stream.post("commands", command.bed, encode(command))

    def _apply(self, command: CommandRecord) -> None:
        with self._lock:
            applier, player = self._applier, self._player
            if applier is None or player is None:  # the recording is still being opened
                self._early.append(command)
                return
        if player.paused or self._ended.is_set():
            self._stood_ns = time.monotonic_ns()  # before it moves: what it had to show until now is nothing
        if self._ended.is_set() and command.name in ("seek", "step"):
            self._ended.clear()
            self._done.clear()
            self._finished_ns = 0
        applier(command)

    def _position_ns(self) -> int:
        return round(self._player.position_s * SECOND_NS) if self._player else 0

    # -- the stream ---------------------------------------------------------------------------------------------------

    def _make_stages(self, send: Send) -> Stages:
        from streams.app import Stages

        self._window = WindowStage(self._spec, self._mailbox, self._accounting, self._credits, send)
        if self._mailbox is not None:
            made_room = self._window.made_room
            self._mailbox.on_space(lambda: self._stream.call_soon(made_room))
        return Stages(self._window, AlarmStage(send), self._show, CommandStage(self.id, self._apply))

    def _unread(self) -> Wait | None:
        """The longest wait for a tick to be handled; none while a full mailbox holds it up."""
        held_up = self._window is not None and self._window.waiting
        return None if held_up else self._credits.longest_wait()

    def _on_flowing(self) -> None:
        self._flowing.set()
        self._play_if_ready()

    def _on_end(self, topic: str, tick: WaveTick) -> None:
        """A last consumer has seen the end of a bed on a topic; all of them make the end of the session."""
        player = self._player
        if tick.session != self.id or player is None:
            return
        acknowledged = self._acknowledged.setdefault(tick.epoch, set())
        acknowledged.add((topic, tick.bed))
        if len(acknowledged) < len(END_TOPICS) * len(self._sources) or tick.epoch != player.epoch:
            return
        self._acknowledged.clear()
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
        if self._player is not None:
            self._player.stop()
        self._credits.close()
        self._stream.stop()
        self._done.set()


def _bed_of(tick: Hashable) -> Hashable:
    """The bed in a tick's identity."""
    return tick[0] if isinstance(tick, tuple) else None


def _sentence(where: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"The {where} failed: {type(error).__name__}{': ' + text if text else ''}."
