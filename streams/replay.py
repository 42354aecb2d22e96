"""Replay as if live: one thread decodes ahead, another sends each tick when the replay clock makes it due.

Ticks lie on an absolute grid of event time and hold the samples with ``start <= t < end``; empty ticks are sent too.
Only the sender waits, for the clock and for credits. Where the machine cannot keep the speed, the clock falls back to
what has been sent, and the pace is told: late samples would make every prediction late as well. At the end of its
recording a bed sends an end-of-stream tick; a seek begins a new epoch, also after the end. As fast as possible, long
stretches without any data are jumped over. A withheld channel is sent marked, so that the truth can be compared and
nobody takes it for a measurement.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Protocol

from models.signals.gaps import common, stretch_at
from models.signals.modalities import Modality
from streams.accounting import Accounting
from streams.bed_replay import BedReplay, Segments, last_sample_ns
from streams.clock import SECOND_NS, ReplayClock
from streams.codec import encode
from streams.pace import BEHIND_NS, Pace
from streams.records import WaveChunk, WaveTick

TICK_NS = 50_000_000
WARD_TICK_NS = 100_000_000
WARD_BEDS = 32
BLOCK_NS = SECOND_NS  # decoded at once in a paced run
FAST_BLOCK_NS = 10 * SECOND_NS  # decoded at once at speed max: fewer, larger reads
READ_AHEAD = 3  # blocks that wait for the sender
UNDER_WAY_NS = SECOND_NS // 2
GAP_SHOWN_NS = 60 * SECOND_NS
"""So much of an empty stretch is played at speed max: longer than any window, alarm delay or average. What is left of
it is skipped, since there is nothing in it."""
GAP_WORTH_NS = 10 * SECOND_NS  # a shorter rest is not worth a new epoch
STAGGERED_BEDS = 9  # from here on beds lag by different parts of a second


class CreditsLike(Protocol):
    """What the replay needs of :class:`streams.transport.Credits`."""

    def acquire(self, tick: Hashable, timeout: float | None = None, most: int | None = None) -> bool:
        """Waits for a credit; False if there will be none, or not in time. most: ticks under way that this one may
        make."""

    def forget(self, tick: Hashable) -> None:
        """The tick was not sent: its credit is free."""


def tick_length_ns(beds: int) -> int:
    """50 ms; 100 ms from 32 beds, since a worker handles about 2,000 messages a second."""
    return WARD_TICK_NS if beds >= WARD_BEDS else TICK_NS


def lags_ns(beds: int, tick_ns: int, hop_ns: int = SECOND_NS) -> list[int]:
    """How far each bed's replay lags behind the clock: from nine beds on spread over a hop, in whole ticks, so that
    not all of them close a second, and ask the model, at the same moment."""
    steps = hop_ns // tick_ns if beds >= STAGGERED_BEDS else 1
    return [i * steps // beds * tick_ns for i in range(beds)]


def most_under_way(beds: int, tick_ns: int, pace: float | None) -> int | None:
    """Ticks that may be sent and not yet handled: half a second's on the wall at ``pace``, however fast, and at least
    8 a bed; None at speed max."""
    return None if pace is None else beds * max(8, round(UNDER_WAY_NS * pace / tick_ns))


def tick_identity(tick: WaveTick) -> tuple[str, str, int, int]:
    """(bed, session, epoch, tick_seq): what makes two deliveries the same tick."""
    return tick.bed, tick.session, tick.epoch, tick.tick_seq


@dataclass(slots=True)
class _Block:
    """Decoded samples of all beds for ``[start_ns, end_ns)``."""

    epoch: int
    start_ns: int
    end_ns: int
    segments: list[Segments]


@dataclass(slots=True)
class _Progress:
    """Where the sender is in its epoch, by bed: event time sent up to, next tick_seq, whether it has ended."""

    epoch: int
    at_ns: list[int]
    sequence: list[int]
    ended: list[bool]


class ReplayPlayer:
    """Replays beds on one clock, with two threads whose bodies are :meth:`decode_ahead` and :meth:`send`.

    publish: ``publish(bed, message)`` hands an encoded tick to the broker, from the sender's thread.
    credits: taken for every tick, by its identity, before it is published.
    """

    def __init__(
        self,
        beds: Sequence[BedReplay],
        clock: ReplayClock,
        publish: Callable[[str, bytes], None],
        credits: CreditsLike,
        accounting: Accounting,
        *,
        tick_ns: int | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._beds, self._clock, self._publish, self._credits = list(beds), clock, publish, credits
        self._accounting, self._now = accounting, monotonic_ns
        self._tick_ns = tick_ns or tick_length_ns(len(beds))
        self._lags_ns = lags_ns(len(beds), self._tick_ns)
        never = math.inf
        self._empty_ns = common([*bed.empty_ns, (bed.end_ns, never)] for bed in self._beds)
        self._changed = Condition()
        self._blocks: deque[_Block] = deque()
        self._progress = self._begin()
        self._pace = Pace()
        self._stopped = False

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
                block_ns = FAST_BLOCK_NS if self._clock.speed is None else BLOCK_NS
                end_ns = min(self._on_grid(at_ns + block_ns), self._end_ns)
            block = _Block(epoch, at_ns, end_ns, [bed.decode(at_ns, end_ns) for bed in self._beds])
            with self._changed:
                if epoch == self._clock.epoch:
                    self._blocks.append(block)
                    at_ns = end_ns
                    self._changed.notify_all()

    def send(self) -> None:
        """Body of the sending thread: every tick when it is due, in order; returns when stopped."""
        while True:
            with self._changed:
                due = self._next_due()
                if due is None:
                    return
                progress = self._progress
                pace = self._pace.achieved(self._now()) if self._clock.speed is not None else None
                most = most_under_way(len(self._beds), self._tick_ns, pace or self._clock.speed)
                ticks = [tick for index, block in due for tick in self._cut(index, progress, block)]
            for tick in ticks:
                if not self._hand_over(tick, most):
                    return
            with self._changed:
                if progress is self._progress:
                    self._clock.reached(min(progress.at_ns))
                    self._pace.sent(min(progress.at_ns), self._now())

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
        self._tell(lambda: self._clock.seek(round(time_s * SECOND_NS)))

    def step(self, seconds: float) -> None:
        """While paused, play so many seconds; else jump by them."""
        self._tell(lambda: self._clock.step(round(seconds * SECOND_NS)))

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withhold a modality on every bed, or give it back, from the next tick on."""
        with self._changed:
            for bed in self._beds:
                (bed.held.add if dropped else bed.held.discard)(modality)

    def stop(self) -> None:
        """Both threads return; the caller closes the credits, on which the sender may wait."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

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
        """Every bed has sent its end of stream in this epoch."""
        with self._changed:
            return self._progress.epoch == self._clock.epoch and all(self._progress.ended)

    def dropped_now(self) -> frozenset[Modality]:
        """Modalities withheld at this moment, by the operator or by plan, on the first bed."""
        with self._changed:
            at_ns = self._progress.at_ns[0]
            return frozenset(m for m in Modality if self._beds[0].withheld(m, at_ns, at_ns + 1))

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
        beds = len(self._beds)
        return _Progress(self._clock.epoch, [self._clock.epoch_start_ns] * beds, [0] * beds, [False] * beds)

    def _on_grid(self, time_ns: int) -> int:
        """The first tick boundary at or after ``time_ns``."""
        return -(-time_ns // self._tick_ns) * self._tick_ns

    def _ahead(self, at_ns: int) -> bool:
        """The decoder need not go on: enough blocks wait, or everything is decoded."""
        return len(self._blocks) >= READ_AHEAD or at_ns >= self._end_ns

    def _tick_end(self, index: int) -> int:
        """Event time at which the next tick of a bed ends."""
        return min(self._on_grid(self._progress.at_ns[index] + 1), self._end_ns)

    def _next_due(self) -> list[tuple[int, _Block | None]] | None:
        """Wait for the next ticks to be due and decoded; the beds that send one, each with its block (None at the
        very end of the recording). None when stopped."""
        while not self._stopped:
            if self._progress.epoch != self._clock.epoch:
                self._progress = self._begin()
            if self._skipped():
                continue
            at_ns = self._progress.at_ns
            playing = [i for i, ended in enumerate(self._progress.ended) if not ended]
            if not playing:
                self._changed.wait()
                continue
            moments = {i: self._tick_end(i) + self._lags_ns[i] for i in playing}
            moment = min(moments.values())
            due = self._clock.due_ns(moment)
            if due is None:
                self._changed.wait()
                continue
            if due > (now := self._now()):
                self._changed.wait((due - now) / SECOND_NS)
                continue
            if self._clock.speed is not None and now - due > BEHIND_NS:
                self._pace.fell_back(self._clock.fall_back(moment), now)
            self._forget_before(min(at_ns[i] for i in playing))
            blocks = [(i, self._block_at(at_ns[i])) for i in playing if moments[i] == moment]
            if all(block is not None or at_ns[i] >= self._end_ns for i, block in blocks):
                return blocks
            self._changed.wait()
        return None

    def _skipped(self) -> bool:
        """Jump over the rest of a long stretch in which no bed has data, in a run as fast as possible: a new epoch."""
        at_ns = min(self._progress.at_ns)
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

    def _cut(self, index: int, progress: _Progress, block: _Block | None) -> list[WaveTick]:
        """What a bed sends next: a tick, and the end of its stream where that is reached."""
        bed, start_ns, end_ns = self._beds[index], progress.at_ns[index], self._tick_end(index)
        progress.at_ns[index] = end_ns
        ticks: list[WaveTick] = []
        if start_ns < bed.end_ns and block is not None:
            chunks = bed.chunks(block.segments[index], start_ns, end_ns)
            due = self._clock.due_ns(last_sample_ns(chunks, end_ns) + self._lags_ns[index]) or 0
            ticks.append(self._tick(index, progress, start_ns, end_ns, due, chunks, eos=False))
        if end_ns >= bed.end_ns:
            progress.ended[index] = True
            ticks.append(self._tick(index, progress, end_ns, end_ns, 0, [], eos=True))
        return ticks

    def _tick(
        self,
        index: int,
        progress: _Progress,
        start_ns: int,
        end_ns: int,
        due_ns: int,
        chunks: list[WaveChunk],
        *,
        eos: bool,
    ) -> WaveTick:
        bed = self._beds[index]
        sequence = progress.sequence[index]
        progress.sequence[index] += 1
        return WaveTick(
            bed=bed.bed,
            session=bed.session,
            epoch=progress.epoch,
            tick_seq=sequence,
            start_ns=start_ns,
            end_ns=end_ns,
            due_ns=due_ns,
            chunks=chunks,
            eos=eos,
        )

    # -- outside the lock -----------------------------------------------------------------------------------------

    def _hand_over(self, tick: WaveTick, most: int | None) -> bool:
        """Wait for a credit and publish; False when the credits are closed: the session is over."""
        if not self._credits.acquire(tick_identity(tick), most=most):
            return False
        self._accounting.sent(tick)
        self._publish(tick.bed, encode(tick))
        return True
