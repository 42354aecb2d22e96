"""Replay as if live: one thread decodes ahead, another sends each tick when the replay clock makes it due.

Ticks lie on an absolute grid of event time and hold the samples with ``start <= t < end``; empty ticks are sent too.
Only the sender waits, for the clock and for credits. At the end of its recording a bed sends an end-of-stream tick; a
seek begins a new epoch, also after the end. A withheld channel is sent marked, so that the truth can be compared and
nobody takes it for a measurement.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Protocol

from models.signals.modalities import Modality
from models.signals.recording import Segment
from streams.accounting import Accounting
from streams.clock import SECOND_NS, ReplayClock
from streams.codec import encode, samples_to_bytes
from streams.records import WaveChunk, WaveTick

TICK_NS = 50_000_000
WARD_TICK_NS = 100_000_000
WARD_BEDS = 32
BLOCK_NS = SECOND_NS  # decoded at once in a paced run
FAST_BLOCK_NS = 10 * SECOND_NS  # decoded at once at speed max: fewer, larger reads
READ_AHEAD = 3  # blocks that wait for the sender
STAGGERED_BEDS = 9  # from here on beds lag by different parts of a second


Segments = dict[tuple[Modality, int], Segment]
"""What was decoded, by modality and lead."""


class ChannelLike(Protocol):
    """What the replay needs to know of :class:`models.signals.channels.Channel`."""

    @property
    def label(self) -> str: ...
    @property
    def rate_hz(self) -> float: ...
    @property
    def origin_ns(self) -> int: ...
    @property
    def lead(self) -> int: ...
    def first_index_at(self, time_ns: int, /) -> int: ...


class Channels(Protocol):
    """What the replay needs of :class:`models.signals.channels.ChannelMap`."""

    @property
    def leads(self) -> Mapping[Modality, Sequence[ChannelLike]]: ...
    def read(self, modality: Modality, start_ns: int, end_ns: int, lead: int, /) -> Segment: ...


class CreditsLike(Protocol):
    """What the replay needs of :class:`streams.transport.Credits`."""

    def acquire(self, tick: Hashable, timeout: float | None = None) -> bool: ...
    def forget(self, tick: Hashable) -> None: ...


@dataclass(frozen=True, slots=True)
class Drop:
    """A modality is withheld for event times in ``[start_s, end_s)``; a tick that the range touches is withheld."""

    modality: Modality
    start_s: float
    end_s: float


def tick_length_ns(beds: int) -> int:
    """50 ms; 100 ms from 32 beds, since a worker handles about 2,000 messages a second."""
    return WARD_TICK_NS if beds >= WARD_BEDS else TICK_NS


def lags_ns(beds: int, tick_ns: int, hop_ns: int = SECOND_NS) -> list[int]:
    """How far each bed's replay lags behind the clock: from nine beds on spread over a hop, in whole ticks, so that
    not all of them close a second, and ask the model, at the same moment."""
    steps = hop_ns // tick_ns if beds >= STAGGERED_BEDS else 1
    return [i * steps // beds * tick_ns for i in range(beds)]


def tick_identity(tick: WaveTick) -> tuple[str, str, int, int]:
    """(bed, session, epoch, tick_seq): what makes two deliveries the same tick."""
    return tick.bed, tick.session, tick.epoch, tick.tick_seq


class BedReplay:
    """Cuts the ticks of one bed. Pure but for ``decode``, which reads the recording.

    end_ns: event time at which this bed ends; ``[0, end_ns)`` is what it has.
    """

    def __init__(self, bed: str, session: str, channels: Channels, end_ns: int, drops: Sequence[Drop] = ()) -> None:
        self.bed, self.session, self.end_ns = bed, session, end_ns
        self._channels = channels
        # float: an open end is infinite
        self._drops = [(d.modality, d.start_s * SECOND_NS, d.end_s * SECOND_NS) for d in drops]
        self.held: set[Modality] = set()  # withheld by the operator now

    def decode(self, start_ns: int, end_ns: int) -> Segments:
        """The samples of ``[start_ns, end_ns)`` of every channel; on the decoding thread."""
        end_ns = min(end_ns, self.end_ns)
        return {
            (modality, channel.lead): self._channels.read(modality, start_ns, end_ns, channel.lead)
            for modality, leads in self._channels.leads.items()
            for channel in leads
        }

    def withheld(self, modality: Modality, start_ns: int, end_ns: int) -> bool:
        return modality in self.held or any(
            m is modality and start < end_ns and start_ns < end for m, start, end in self._drops
        )

    def chunks(self, segments: Segments, start_ns: int, end_ns: int) -> list[WaveChunk]:
        """One chunk a channel (empty where the recording has nothing), from decoded ``segments``."""
        chunks = []
        for modality, channel in ((m, channel) for m, leads in self._channels.leads.items() for channel in leads):
            segment = segments[modality, channel.lead]
            first = max(channel.first_index_at(start_ns), segment.first_index)
            last = min(channel.first_index_at(end_ns), segment.first_index + len(segment.values))
            values = segment.values[first - segment.first_index : max(first, last) - segment.first_index]
            chunks.append(
                WaveChunk(
                    modality.value,
                    channel.label,
                    channel.rate_hz,
                    channel.origin_ns,
                    max(first, 0),
                    samples_to_bytes(values),
                    self.withheld(modality, start_ns, end_ns),
                    channel.lead,
                )
            )
        return chunks


def last_sample_ns(chunks: Sequence[WaveChunk], default: int) -> int:
    """Event time of the newest sample of a tick; ``default`` for an empty one."""
    times = [c.origin_ns + (c.first_index + len(c.data) // 4 - 1) * 1e9 / c.rate_hz for c in chunks if c.data]
    return round(max(times)) if times else default


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
        self._changed = Condition()
        self._blocks: deque[_Block] = deque()
        self._progress = self._begin()
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
                ticks = [tick for index, block in due for tick in self._cut(index, progress, block)]
            for tick in ticks:
                if not self._hand_over(tick):
                    return
            with self._changed:
                if progress is self._progress:
                    self._clock.reached(min(progress.at_ns))

    # -- the operator ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let the clock run: from now on ticks become due."""
        self._tell(self._clock.start)

    def pause(self) -> None:
        self._tell(self._clock.pause)

    def resume(self) -> None:
        self._tell(self._clock.resume)

    def set_speed(self, speed: float | None) -> None:
        self._tell(lambda: self._clock.set_speed(speed))

    def seek(self, time_s: float) -> None:
        self._tell(lambda: self._clock.seek(round(time_s * SECOND_NS)))

    def step(self, seconds: float) -> None:
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
        with self._changed:
            return self._clock.position_ns() / SECOND_NS

    @property
    def sent_s(self) -> float:
        """Event time up to which everything has been handed over."""
        with self._changed:
            return min(self._progress.at_ns) / SECOND_NS

    @property
    def speed(self) -> float | None:
        return self._clock.speed

    @property
    def paused(self) -> bool:
        return self._clock.paused

    @property
    def epoch(self) -> int:
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
            self._forget_before(min(at_ns[i] for i in playing))
            blocks = [(i, self._block_at(at_ns[i])) for i in playing if moments[i] == moment]
            if all(block is not None or at_ns[i] >= self._end_ns for i, block in blocks):
                return blocks
            self._changed.wait()
        return None

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

    def _hand_over(self, tick: WaveTick) -> bool:
        """Wait for a credit and publish; False when the credits are closed: the session is over."""
        if not self._credits.acquire(tick_identity(tick)):
            return False
        self._accounting.sent(tick)
        self._publish(tick.bed, encode(tick))
        return True
