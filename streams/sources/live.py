"""A live device as a bed: reads blocks, puts them on the grid, gives ticks in real time, and outlives a lost device.

One thread reads the device and hands out ticks, so nothing is shared but a few flags. While a device is lost its ticks
go on, empty, and it is opened again after a pause that doubles up to ``LONGEST_PAUSE_S``, with some chance in it, so
that many beds do not all knock at once. Its channels are then known again by their names.

Where the clock of one channel jumps, a new epoch of the whole bed begins (:mod:`streams.sources.ticks`): samples of
the others go on without a hole on the one axis of time, the receiver's, but what was learnt of two channels together
(from R wave to pulse) would be of two clocks, so all is learnt anew. Each time that costs the context, and the alarms
that stand: therefore a channel whose clock jumps ``MOST_JUMPS`` times within ``JUMPS_WITHIN_S`` is put at its arrivals
from then on, and its stamps are not believed any more. One bad clock must not keep a bed from ever raising an alarm.

Where the device has another patient, the next tick behind what was of the one before begins a new session of the bed;
what an operator withheld of that one is given back.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from threading import Event, Lock

import numpy as np
import numpy.typing as npt
from msgspec import structs

from models.signals.aliases import listing
from models.signals.channels import map_channels, source_unit
from models.signals.errors import BadInput
from models.signals.live_grid import LiveGrid, pieces
from models.signals.modalities import Modality
from models.signals.plain_text import plain
from models.signals.recording import Segment, Track, TrackKind
from models.signals.times import SECOND_NS
from models.signals.units import canonical_factor
from streams.records import BedChannel, BedRecord, WaveTick
from streams.sessions import of_next_patient
from streams.sources.device import AnotherPatient, Block, Device, DeviceChannel, DeviceLost, DeviceValue
from streams.sources.live_numbers import LiveNumbers
from streams.sources.player import TICK_NS
from streams.sources.source import Emit
from streams.sources.ticks import LEAST_HOLD_NS, Key, Ticks

OPEN_S, REOPEN_S = 10.0, 0.2
LONGEST_READ_S = 0.02
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
MOST_JUMPS, JUMPS_WITHIN_S = 3, 300.0

log = logging.getLogger("vigil.live")


@dataclass(slots=True)
class _Lane:
    """A channel that is taken: where it goes, its label there, by what its values are multiplied, its grid, and what it
    was said to be."""

    key: Key
    label: str
    factor: float
    grid: LiveGrid
    said: DeviceChannel
    as_said: bool = True
    jumps_s: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_JUMPS))
    by_arrival: bool = False  # its clock has jumped too often

    def jumped(self, arrived_s: float) -> None:
        """Its clock has jumped, once more."""
        self.jumps_s.append(arrived_s)
        if len(self.jumps_s) == MOST_JUMPS and arrived_s - self.jumps_s[0] <= JUMPS_WITHIN_S:
            log.warning("%s: its clock jumps again and again, and is not believed any more", self.label)
            self.by_arrival = True


class LiveSource:
    """A :class:`streams.sources.source.Source` of one device.

    overrides: modality → channel name, as with files. monotonic_ns, unix_ns, random, wait: for tests; ``wait(s)``
    sleeps at most so long and says whether the source has been stopped.
    """

    def __init__(
        self,
        device: Device,
        bed: str,
        session: str,
        *,
        overrides: Mapping[str, str] | None = None,
        tick_ns: int = TICK_NS,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        unix_ns: Callable[[], int] = time.time_ns,
        random: Random | None = None,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._device, self._bed, self._session = device, bed, session
        self._overrides, self._tick_ns = overrides, tick_ns
        self._now, self._unix_ns, self._random = monotonic_ns, unix_ns, random or Random()
        self._stopped, self._lock = Event(), Lock()
        self._wait = wait or self._stopped.wait
        self._lanes: dict[str, _Lane] = {}
        self._left_out: tuple[tuple[str, str], ...] = ()
        self._ticks: Ticks | None = None
        self._numbers = LiveNumbers(session)
        self._withheld: frozenset[Modality] = frozenset()
        self._zero_ns = 0
        self._lost = False
        self._pause_s, self._again_ns = FIRST_PAUSE_S, 0
        self._losses = self._unusable = self._ignored = self._patients = 0

    # -- the source ---------------------------------------------------------------------------------------------------

    def describe(self) -> BedRecord:
        """Opens the device; its channels as modalities in canonical units. BadInput where none is known or it is not
        there."""
        try:
            channels = self._device.open(OPEN_S)
        except (DeviceLost, OSError) as error:
            self._device.close()
            raise BadInput(
                f"the device {self._device.name!r} to answer",
                str(error).rstrip("."),
                "is it switched on and connected?",
            ) from error
        try:
            found = self._take(channels)
        except BaseException:
            self._device.close()
            raise
        # Samples that were on their way when the source began still have a tick.
        self._zero_ns = self._now() - LEAST_HOLD_NS
        return BedRecord(
            bed=self._bed,
            session=self._session,
            epoch=0,
            title=plain(self._device.name),
            channels=found,
            zero_unix_ns=self._unix_ns() - LEAST_HOLD_NS,
        )

    def run(self, emit: Emit) -> None:
        """Ticks in real time until :meth:`stop`, or until ``emit`` says False. ``due_ns`` is when the tick's newest
        sample was taken, in this machine's monotonic time."""
        ticks = self._ticks = Ticks(
            self._bed, self._session, self._tick_ns, zero_ns=self._zero_ns, start_ns=self._now() - LEAST_HOLD_NS
        )
        for lane in self._lanes.values():
            ticks.connect(lane.key, lane.label, lane.grid)
        try:
            self._forget_before()
            while not self._stopped.is_set():
                if self._lost and self._now() >= self._again_ns:
                    self._open_again(ticks)
                self._read(ticks)
                ticks.withheld = self._withheld
                for tick in ticks.cut(self._now()):
                    if self._stopped.is_set() or not emit(self._with_numbers(tick)):
                        return
        finally:
            self._device.close()

    def stop(self) -> None:
        """``run`` returns after the read that is going on, and closes the device."""
        self._stopped.set()

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withholds a modality from the next tick on, or gives it back."""
        with self._lock:
            self._withheld = self._withheld | {modality} if dropped else self._withheld - {modality}

    def dropped_now(self) -> frozenset[Modality]:
        """What is withheld at this moment."""
        return self._withheld

    # -- what it is doing ---------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Counts the jumps of a clock, and other patients."""
        return self._ticks.epoch if self._ticks is not None else 0

    @property
    def position_s(self) -> float:
        """Event time up to which ticks have been handed out, in seconds."""
        return self._ticks.reached_ns / SECOND_NS if self._ticks is not None else 0.0

    @property
    def lost(self) -> bool:
        """Whether the device is gone at this moment."""
        return self._lost

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """Channels of the device that are not taken, and why (a clause)."""
        return self._left_out

    def counts(self) -> dict[str, int]:
        """What became of samples and time so far.

        late_samples, early_samples: came after their tick, or absurdly early, and are left out. duplicate_samples.
        missing_samples: in gaps. gaps, epochs (clock jumps, other patients), losses (of the device), patients (after
        the first). unusable_samples: with stamps that are no number. ignored_samples: of channels that are not taken,
        and of before the first tick.
        """
        counted = self._ticks.counts if self._ticks is not None else None
        return {
            "late_samples": counted.late_samples if counted else 0,
            "early_samples": counted.early_samples if counted else 0,
            "duplicate_samples": counted.duplicate_samples if counted else 0,
            "missing_samples": sum(lane.grid.missing for lane in self._lanes.values()),
            "gaps": sum(lane.grid.gaps for lane in self._lanes.values()),
            "epochs": counted.epochs if counted else 0,
            "losses": self._losses,
            "patients": self._patients,
            "unusable_samples": self._unusable,
            "ignored_samples": self._ignored,
        }

    def emitted(self) -> dict[Key, int]:
        """Samples handed out so far, by modality and lead."""
        return dict(self._ticks.counts.emitted) if self._ticks is not None else {}

    # -- inside ---------------------------------------------------------------------------------------------------

    def _take(self, channels: Sequence[DeviceChannel]) -> list[BedChannel]:
        """Choose channels for modalities, by the table that files are read by."""
        said = {channel.name: channel for channel in channels}
        if len(said) < len(channels):
            raise BadInput(
                "a name of its own for each channel of the device",
                listing([c.name for c in channels]),
                "name them apart in the device's settings",
            )
        recording = _Listing(self._device.name, channels)
        mapped = map_channels(recording, self._overrides)
        tracks = {track.name: track for track in recording.tracks}
        found = []
        for modality, leads in mapped.leads.items():
            for channel in leads:
                factor = canonical_factor(source_unit(tracks[channel.track], modality), modality)
                label, grid = plain(channel.label), LiveGrid(channel.rate_hz)
                self._lanes[channel.track] = _Lane((modality, channel.lead), label, factor, grid, said[channel.track])
                found.append(BedChannel(modality.value, label, channel.unit, channel.rate_hz, channel.lead))
        why = dict(mapped.unusable)
        self._left_out = tuple((n, why.get(n, "it is not needed, or not known")) for n in said if n not in self._lanes)
        if self._left_out:
            log.info(
                "%s: not taken: %s",
                plain(self._device.name),
                "; ".join(f"{plain(name)} ({reason})" for name, reason in self._left_out[:20]),
            )
        return found

    def _forget_before(self) -> None:
        """What has piled up since the device was opened is of before, and says nothing about how late samples are."""
        with suppress(DeviceLost, OSError):  # the next read says so again
            for block in self._numbers_aside(self._device.read(0.0), self._now()):
                self._ignored += len(block.values)

    def _read(self, ticks: Ticks) -> None:
        """Wait for samples, but not beyond the end of the next tick, and take them in."""
        seconds = min(max((ticks.next_ns() - self._now()) / SECOND_NS, 0.001), LONGEST_READ_S)
        if self._lost:
            self._wait(seconds)
            return
        try:
            came = self._device.read(seconds)
        except (DeviceLost, OSError) as error:
            log.warning("%s: %s", plain(self._device.name), plain(str(error)))
            self._device.close()
            self._numbers.forget_clock()
            if isinstance(error, AnotherPatient):
                self._begin_session(ticks)
            self._lost = True
            self._losses += 1
            self._pause_s = FIRST_PAUSE_S
            self._pause()
            return
        now_ns = self._now()
        for block in self._numbers_aside(came, now_ns):
            self._add(ticks, block, now_ns)

    def _numbers_aside(self, came: Sequence[Block | DeviceValue], now_ns: int) -> list[Block]:
        """Take in the numbers among what has come, with the clock that they are on; the blocks are left."""
        blocks = [one for one in came if isinstance(one, Block)]
        ends = [float(one.stamps_s[-1]) for one in blocks if one.stamps_s is not None and len(one.stamps_s)]
        ends = [end for end in ends if math.isfinite(end)]
        if ends:
            self._numbers.see_clock(max(ends), now_ns - self._zero_ns)
        for one in came:
            if isinstance(one, DeviceValue):
                self._numbers.add(one, now_ns - self._zero_ns)
        return blocks

    def _with_numbers(self, tick: WaveTick) -> WaveTick:
        numbers = self._numbers.told(tick.session, tick.start_ns, tick.end_ns, tick.tick_seq == 0)
        return structs.replace(tick, numbers=numbers) if numbers else tick

    def _add(self, ticks: Ticks, block: Block, now_ns: int) -> None:
        lane = self._lanes.get(block.channel)
        count = len(block.values)
        if lane is None or not lane.as_said:
            self._ignored += count
            return
        stamps_s = block.stamps_s
        if stamps_s is not None:
            stamps_s = np.asarray(stamps_s, np.float64) - self._zero_ns / SECOND_NS
            if len(stamps_s) not in (1, count) or not np.isfinite(stamps_s).all():
                self._unusable += count
                return
        values = _in_unit(block.values, lane.factor)
        arrived_s = (now_ns - self._zero_ns) / SECOND_NS
        for piece in pieces(None if lane.by_arrival else stamps_s, count, lane.grid.rate_hz):
            part = stamps_s if stamps_s is None or len(stamps_s) < count else stamps_s[piece]
            counter = None if block.counter is None else block.counter + piece.start
            self._place(ticks, lane, values[piece], part, arrived_s, counter, now_ns)

    def _place(
        self,
        ticks: Ticks,
        lane: _Lane,
        values: npt.NDArray[np.float32],
        stamps_s: npt.NDArray[np.float64] | None,
        arrived_s: float,
        counter: int | None,
        now_ns: int,
    ) -> None:
        if not len(values):
            return
        placed = lane.grid.add(len(values), None if lane.by_arrival else stamps_s, arrived_s, counter)
        if placed is None:
            lane.jumped(arrived_s)
            lane.grid.begin(ticks.begin_epoch(lane.key) / SECOND_NS)
            placed = lane.grid.add(len(values), None if lane.by_arrival else stamps_s, arrived_s, counter)
        if placed is not None:
            ticks.add(lane.key, placed, values, now_ns)

    def _begin_session(self, ticks: Ticks) -> None:
        """Another patient: nothing of what is to come has to do with what was."""
        self._session = of_next_patient(self._session)
        log.warning("%s: session %s begins", plain(self._device.name), self._session)
        begin_s = ticks.begin_session(self._session) / SECOND_NS
        self._numbers.begin_session(self._session, self._now() - self._zero_ns)
        for lane in self._lanes.values():
            lane.grid.begin(begin_s)
        with self._lock:
            self._withheld = frozenset()
        self._patients += 1

    def _open_again(self, ticks: Ticks) -> None:
        """Try once. A channel that the device sends otherwise than before stays empty."""
        try:
            channels = self._device.open(REOPEN_S)
        except (DeviceLost, OSError, BadInput) as error:
            self._device.close()
            if isinstance(error, AnotherPatient):
                self._begin_session(ticks)
            self._pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S)
            self._pause()
            return
        said = {channel.name: channel for channel in channels}
        for name, lane in self._lanes.items():
            lane.as_said = said.get(name) == lane.said
            if not lane.as_said:
                log.warning("%s: %s has not come back as it was", plain(self._device.name), plain(name))
        self._lost = False

    def _pause(self) -> None:
        self._again_ns = self._now() + round(self._pause_s * self._random.uniform(0.5, 1.0) * SECOND_NS)


class _Listing:
    """What a device says it has, as the tracks of a recording: one table of names serves both. Nothing is known of its
    samples, so a channel counts as usable."""

    def __init__(self, name: str, channels: Sequence[DeviceChannel]) -> None:
        self.name = name
        self.tracks = tuple(
            Track(c.name, TrackKind.WAVE, c.unit, c.rate_hz, 0.0, 1, declared=c.declared) for c in channels
        )
        self.duration_s = 0.0

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        """A sample that is a number: the device has not spoken yet."""
        return Segment(0, np.zeros(1, np.float32))

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """None: a device tells its numbers itself."""
        raise KeyError(track)

    def events(self) -> list[tuple[float, str]]:
        """None."""
        return []

    def close(self) -> None:
        """Nothing is open."""


def _in_unit(values: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
    """float32 [n] in the canonical unit; what is no finite number is missing."""
    with np.errstate(over="ignore"):
        scaled = (np.asarray(values, np.float64) * factor).astype(np.float32)
    scaled[~np.isfinite(scaled)] = np.nan
    return scaled
