"""Replay as if live: one thread decodes ahead, another sends each tick when the replay clock makes it due.

Ticks lie on an absolute grid of event time and hold the samples with ``start <= t < end``; empty ticks are sent too.
Only the sender waits, for the clock and for whoever takes its ticks. Where the machine cannot keep the speed, the clock
falls back to what has been sent, and the pace is told: late samples would make every prediction late as well. At the
end of its recording the bed sends an end-of-stream tick; a seek begins a new epoch, also after the end, with the minute
before it at once (:mod:`streams.preroll`). As fast as possible, long stretches without any data are jumped over. A
withheld channel is sent marked, so that the truth can be compared and nobody takes it for a measurement.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import Any, Protocol

from models.signals.gaps import common, stretch_at
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.clock import ReplayClock
from streams.preroll import PREROLL_NS
from streams.records import DeviceNumber, WaveChunk, WaveTick
from streams.sources.bed_replay import Withholding, last_sample_ns
from streams.sources.pace import BEHIND_NS, Pace
from streams.sources.source import Emit

TICK_NS = 50_000_000
FAST_TICK_NS = 250_000_000
"""At speed max, where nobody waits for a tick: each costs half a millisecond whatever is in it. Numerics, windows and
predictions are the same; what is told of sensors and their alarms is so to the quarter second."""
BLOCK_NS = SECOND_NS  # decoded at once in a paced run
FAST_BLOCK_NS = 10 * SECOND_NS  # decoded at once at speed max: fewer, larger reads
READ_AHEAD = 3  # blocks that wait for the sender
GAP_SHOWN_NS = 60 * SECOND_NS
"""So much of an empty stretch is played at speed max: longer than any window, alarm delay or average. What is left of
it is skipped, since there is nothing in it."""
GAP_WORTH_NS = 10 * SECOND_NS  # a shorter rest is not worth a new epoch


class Cutter(Protocol):
    """What cuts the ticks of a bed; :class:`streams.sources.bed_replay.BedReplay` of a recording's channels,
    :class:`streams.sources.recorded_replay.RecordedReplay` of a recorded session's ticks."""

    bed: str
    session: str
    end_ns: int
    empty_ns: list[tuple[int, int]]
    withheld: Withholding

    def decode(self, start_ns: int, end_ns: int) -> Any:
        """What lies in ``[start_ns, end_ns)``, as ``chunks`` wants it; on the decoding thread."""

    def chunks(self, segments: Any, start_ns: int, end_ns: int, preroll: bool = False) -> list[WaveChunk]:
        """One chunk a channel of the tick, from what was decoded. preroll: it is not played."""

    def numbers(self, segments: Any, start_ns: int, end_ns: int, first: bool) -> list[DeviceNumber]:
        """What the device told within the tick. first: of an epoch, so that what it had told before is said too."""


@dataclass(slots=True)
class _Block:
    """What was decoded of ``[start_ns, end_ns)``."""

    epoch: int
    start_ns: int
    end_ns: int
    segments: Any


@dataclass(slots=True)
class _Progress:
    """Where the sender is in its epoch: event time sent up to, next tick_seq, whether it has ended."""

    epoch: int
    at_ns: int
    sequence: int = 0
    ended: bool = False


class ReplayPlayer:
    """Replays a bed on its clock, with two threads whose bodies are :meth:`decode_ahead` and :meth:`send`.

    fast_tick_ns: the length of ticks at speed max. lag_ns: how far it lags behind the clock. preroll_ns: what a seek
    sends of before it.
    """

    def __init__(
        self,
        bed: Cutter,
        clock: ReplayClock,
        *,
        tick_ns: int = TICK_NS,
        fast_tick_ns: int = FAST_TICK_NS,
        lag_ns: int = 0,
        preroll_ns: int = PREROLL_NS,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._bed, self._clock, self._tick_ns, self._lag_ns, self._now = bed, clock, tick_ns, lag_ns, monotonic_ns
        self._fast_tick_ns, self._preroll_ns = fast_tick_ns, preroll_ns
        self._empty_ns = common([[*bed.empty_ns, (bed.end_ns, math.inf)]])
        self._changed = Condition()
        self._blocks: deque[_Block] = deque()
        self._progress = self._begin()
        self._pace = Pace()
        self._stopped = False
        self._failure: BaseException | None = None

    # -- the two threads ----------------------------------------------------------------------------------------------

    def decode_ahead(self) -> None:
        """Body of the decoding thread: keeps a few blocks ready; returns when stopped."""
        epoch, at_ns = -1, 0
        while True:
            with self._changed:
                while not self._stopped and epoch == self._clock.epoch and self._ahead(at_ns):
                    self._changed.wait()
                if self._stopped:
                    return
                if epoch != self._clock.epoch:
                    epoch, at_ns = self._clock.epoch, self._clock.epoch_start_ns
                    self._blocks.clear()
                    self._changed.notify_all()
                    if at_ns >= self._end_ns:
                        continue
                fast = self._clock.speed is None or at_ns < self._clock.goes_to_ns
                block_ns = FAST_BLOCK_NS if fast else BLOCK_NS
                end_ns = min(self._on_grid(at_ns + block_ns), self._end_ns)
            block = _Block(epoch, at_ns, end_ns, self._bed.decode(at_ns, end_ns))
            with self._changed:
                if epoch == self._clock.epoch:
                    self._blocks.append(block)
                    at_ns = end_ns
                    self._changed.notify_all()

    def send(self, emit: Emit) -> None:
        """Body of the sending thread: every tick when it is due, in order; returns when stopped, or when nobody takes
        them any more. Raises what :meth:`fail` was told."""
        while True:
            with self._changed:
                due = self._next_due()
                if due is None:
                    if self._failure is not None:
                        raise self._failure
                    return
                progress = self._progress
                ticks = self._cut(progress, due[0])
            for tick in ticks:
                if not emit(tick):
                    return
            with self._changed:
                if progress is self._progress and progress.epoch == self._clock.epoch:
                    going = self._clock.going
                    self._clock.reached(progress.at_ns)
                    if going:
                        self._pace.restart()
                    self._pace.sent(progress.at_ns, self._now())

    # -- the operator ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let the clock run: from now on ticks become due."""
        self._tell(self._clock.start)

    def pause(self) -> None:
        """Stand still."""
        self._tell(self._clock.pause)

    def resume(self) -> None:
        """Go on."""
        self._tell(self._clock.resume)

    def set_speed(self, speed: float | None) -> None:
        """Event seconds a second; None: as fast as possible. BadInput for a speed that is none."""
        self._tell(lambda: self._clock.set_speed(speed))

    def seek(self, time_s: float) -> None:
        """Go to ``time_s``, in a new epoch."""
        self._tell(lambda: self._clock.seek(round(time_s * SECOND_NS), self._preroll_ns))

    def step(self, seconds: float) -> None:
        """While paused, play so many seconds; else jump by them."""
        self._tell(lambda: self._clock.step(round(seconds * SECOND_NS), self._preroll_ns))

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withhold a modality, or give it back, from the next tick on."""
        with self._changed:
            if dropped:
                self._bed.withheld.hold(modality, self._clock.position_ns())
            else:
                self._bed.withheld.give_back(modality)

    def stop(self) -> None:
        """Both threads return."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def fail(self, _thread: str, error: BaseException) -> None:
        """The decoding thread died of ``error``: the sender raises it."""
        with self._changed:
            self._failure = error
        self.stop()

    # -- what it is doing -----------------------------------------------------------------------------------------

    @property
    def position_s(self) -> float:
        """Event time now."""
        with self._changed:
            return self._clock.position_ns() / SECOND_NS

    @property
    def speed(self) -> float | None:
        """Event seconds a second; None: as fast as possible."""
        return self._clock.speed

    @property
    def achieved_speed(self) -> float | None:
        """Event seconds a second where the machine does not keep the asked speed; None where it does."""
        with self._changed:
            return self._pace.achieved(self._now())

    @property
    def given_up_s(self) -> float:
        """Wall seconds by which the replay has fallen back so far, since the machine could not keep the speed."""
        with self._changed:
            return self._pace.given_up_ns / SECOND_NS

    @property
    def paused(self) -> bool:
        """Whether it stands by order."""
        return self._clock.paused

    @property
    def epoch(self) -> int:
        """Counts the jumps."""
        return self._clock.epoch

    @property
    def ended(self) -> bool:
        """The end of stream has been sent in this epoch."""
        with self._changed:
            return self._progress.epoch == self._clock.epoch and self._progress.ended

    def dropped_now(self) -> frozenset[Modality]:
        """Modalities withheld at this moment, by the operator or by plan."""
        with self._changed:
            at_ns = self._progress.at_ns
            return frozenset(m for m in Modality if self._bed.withheld.of(m, at_ns, at_ns + 1))

    # -- inside the lock ------------------------------------------------------------------------------------------

    @property
    def _end_ns(self) -> int:
        return self._clock.span.end_ns

    def _tell(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._pace.restart()
            self._changed.notify_all()

    def _begin(self) -> _Progress:
        return _Progress(self._clock.epoch, self._clock.epoch_start_ns)

    def _on_grid(self, time_ns: int) -> int:
        """The first tick boundary at or after ``time_ns``."""
        return -(-time_ns // self._tick_now_ns) * self._tick_now_ns

    @property
    def _tick_now_ns(self) -> int:
        """What is sent before a seek is as in a run from the beginning, tick by tick."""
        return self._fast_tick_ns if self._clock.speed is None and not self._clock.going else self._tick_ns

    def _ahead(self, at_ns: int) -> bool:
        """The decoder need not go on: enough blocks wait, or everything is decoded."""
        return len(self._blocks) >= READ_AHEAD or at_ns >= self._end_ns

    def _tick_end(self) -> int:
        """Event time at which the next tick ends."""
        at_ns = self._progress.at_ns
        most_ns = self._clock.goes_to_ns if at_ns < self._clock.goes_to_ns else self._end_ns
        return min(self._on_grid(at_ns + 1), most_ns)

    def _next_due(self) -> tuple[_Block | None] | None:
        """Wait for the next tick to be due and decoded: its block, None at the very end of the recording. None, and no
        tuple, when stopped."""
        while not self._stopped:
            if self._progress.epoch != self._clock.epoch:
                self._progress = self._begin()
                self._bed.withheld.jumped(self._clock.goes_to_ns)
            if self._skipped():
                continue
            if self._progress.ended:
                self._changed.wait()
                continue
            moment = self._tick_end() + (0 if self._clock.going else self._lag_ns)
            due = self._clock.due_ns(moment)
            if due is None:
                self._changed.wait()
                continue
            if due > (now := self._now()):
                self._changed.wait((due - now) / SECOND_NS)
                continue
            if self._clock.speed is not None and not self._clock.going and now - due > BEHIND_NS:
                self._pace.fell_back(self._clock.fall_back(moment), now)
            at_ns = self._progress.at_ns
            self._forget_before(at_ns)
            block = self._block_at(at_ns)
            if block is not None or at_ns >= self._end_ns:
                return (block,)
            self._changed.wait()
        return None

    def _skipped(self) -> bool:
        """Jump over the rest of a long stretch without data, in a run as fast as possible: a new epoch."""
        at_ns = self._progress.at_ns
        gap = stretch_at(self._empty_ns, at_ns)
        if self._clock.speed is not None or not self._clock.running or gap is None or gap[1] > self._end_ns:
            return False
        landing_ns = int(gap[1]) // SECOND_NS * SECOND_NS  # windows and cells lie on whole seconds
        shown_ns = at_ns - max(gap[0], self._clock.epoch_start_ns)
        if shown_ns < GAP_SHOWN_NS or landing_ns - at_ns < GAP_WORTH_NS:
            return False
        self._clock.seek(landing_ns)
        self._changed.notify_all()
        return True

    def _forget_before(self, at_ns: int) -> None:
        while self._blocks and (self._blocks[0].epoch != self._clock.epoch or self._blocks[0].end_ns <= at_ns):
            self._blocks.popleft()
            self._changed.notify_all()

    def _block_at(self, at_ns: int) -> _Block | None:
        return next((block for block in self._blocks if block.start_ns <= at_ns < block.end_ns), None)

    def _cut(self, progress: _Progress, block: _Block | None) -> list[WaveTick]:
        """What is sent next: a tick, and the end of the stream where that is reached."""
        bed, start_ns, end_ns = self._bed, progress.at_ns, self._tick_end()
        if block is not None:
            end_ns = min(end_ns, block.end_ns)  # decoded before the speed was another
        progress.at_ns = end_ns
        ticks: list[WaveTick] = []
        if start_ns < bed.end_ns and block is not None:
            preroll = start_ns < self._clock.goes_to_ns
            chunks = bed.chunks(block.segments, start_ns, end_ns, preroll)
            lag_ns = 0 if preroll else self._lag_ns
            due = self._clock.due_ns(last_sample_ns(chunks, end_ns) + lag_ns) or 0
            numbers = bed.numbers(block.segments, start_ns, end_ns, progress.sequence == 0)
            ticks.append(self._tick(progress, start_ns, end_ns, due, chunks, numbers))
        if end_ns >= bed.end_ns:
            progress.ended = True
            ticks.append(self._tick(progress, end_ns, end_ns, 0, [], [], eos=True))
        return ticks

    def _tick(
        self,
        progress: _Progress,
        start_ns: int,
        end_ns: int,
        due_ns: int,
        chunks: list[WaveChunk],
        numbers: list[DeviceNumber],
        *,
        eos: bool = False,
    ) -> WaveTick:
        sequence = progress.sequence
        progress.sequence += 1
        return WaveTick(
            bed=self._bed.bed,
            session=self._bed.session,
            epoch=progress.epoch,
            tick_seq=sequence,
            start_ns=start_ns,
            end_ns=end_ns,
            due_ns=due_ns,
            chunks=chunks,
            numbers=numbers,
            eos=eos,
            goes_to_ns=self._clock.goes_to_ns if start_ns < self._clock.goes_to_ns else None,
        )
