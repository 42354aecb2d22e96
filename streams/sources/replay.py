"""A recording as one bed's source: opened, checked, described, then played (:mod:`streams.sources.player`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from models.signals.channels import ChannelMap, missing_s
from models.signals.device_numerics import series_of
from models.signals.errors import BadInput
from models.signals.gaps import common
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.clock import ReplayClock, Span, checked_speed
from streams.fields import MAX_EVENTS
from streams.records import BedChannel, BedRecord
from streams.sources.bed_replay import BedReplay, Drop
from streams.sources.player import FAST_TICK_NS, TICK_NS, Cutter, ReplayPlayer
from streams.sources.recorded import RecordedMap
from streams.sources.source import Emit, MakeSource
from streams.threads import WatchedThread

WARD_TICK_NS = 100_000_000
WARD_BEDS = 32
EVENT_LENGTH = 120  # characters of an annotation that a mark has room for
STAGGERED_BEDS = 9  # from here on beds lag by different parts of a second

OpenChannels = Callable[[], ChannelMap]


def tick_length_ns(beds: int) -> int:
    """50 ms; 100 ms from 32 beds, since a worker handles about 2,000 messages a second."""
    return WARD_TICK_NS if beds >= WARD_BEDS else TICK_NS


def lags_ns(beds: int, tick_ns: int, hop_ns: int = SECOND_NS) -> list[int]:
    """How far each bed's replay lags behind the clock: from nine beds on spread over a hop, in whole ticks, so that
    not all of them close a second, and ask the model, at the same moment."""
    steps = hop_ns // tick_ns if beds >= STAGGERED_BEDS else 1
    return [i * steps // beds * tick_ns for i in range(beds)]


def replays(
    recordings: Mapping[str, OpenChannels],
    *,
    speed: float | None = 1.0,
    from_s: float = 0.0,
    for_s: float | None = None,
    drops: Sequence[Drop] = (),
    fast_tick_ns: int = FAST_TICK_NS,
) -> dict[str, MakeSource]:
    """A source for the recording of each bed, see :class:`ReplaySource`. recordings: bed -> how to open it."""
    tick_ns = tick_length_ns(len(recordings))
    return {
        bed: partial(
            ReplaySource,
            open_channels=opener,
            speed=speed,
            from_s=from_s,
            for_s=for_s,
            drops=drops,
            tick_ns=tick_ns,
            fast_tick_ns=fast_tick_ns,
            lag_ns=lag_ns,
        )
        for (bed, opener), lag_ns in zip(recordings.items(), lags_ns(len(recordings), tick_ns), strict=True)
    }


class ReplaySource:
    """Replays one recording as one bed; a :class:`streams.sources.source.Seekable`.

    open_channels: called once, by :meth:`describe`; what it raises is what is wrong with the recording. speed: None for
    as fast as possible. from_s, for_s: the stretch to replay, in seconds from time zero. drops: channels withheld.
    fast_tick_ns: of ticks at speed max; a recorded session has its own. lag_ns: how far it lags behind its clock.
    Nothing may be asked of the replay before it is described but where it will begin and how fast.
    """

    def __init__(
        self,
        bed: str,
        session: str,
        open_channels: OpenChannels,
        *,
        speed: float | None = 1.0,
        from_s: float = 0.0,
        for_s: float | None = None,
        drops: Sequence[Drop] = (),
        tick_ns: int = TICK_NS,
        fast_tick_ns: int = FAST_TICK_NS,
        lag_ns: int = 0,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._bed, self._session, self._open = bed, session, open_channels
        self._speed, self._from_s, self._for_s, self._drops = checked_speed(speed), from_s, for_s, tuple(drops)
        self._tick_ns, self._fast_tick_ns = tick_ns, fast_tick_ns
        self._lag_ns, self._now = lag_ns, monotonic_ns
        self._channels: ChannelMap | None = None
        self._player: ReplayPlayer | None = None
        self._decoder: WatchedThread | None = None

    # -- the life of a source -----------------------------------------------------------------------------------------

    def describe(self) -> BedRecord:
        """Opens the recording, and begins to read ahead in a thread of its own."""
        with ExitStack() as stack:
            self._channels = channels = self._open()
            stack.callback(channels.recording.close)
            record = self._prepare(channels)
            stack.pop_all()  # from now on it is run that closes
        return record

    def _prepare(self, channels: ChannelMap) -> BedRecord:
        span, missing = self._span(channels.duration_s), missing_s(channels)
        self._check_drops(channels, span)
        events = _events(channels)  # before the decoder reads of the same file, as all here
        end_ns, empty_s = min(round(channels.duration_s * SECOND_NS), span.end_ns), common(missing.values())
        if isinstance(channels, RecordedMap):  # its ticks are sent as they were
            bed: Cutter = channels.replay(self._bed, self._session, end_ns, self._drops, empty_s)
        else:
            numbers = series_of(channels, channels.recording.tracks)
            bed = BedReplay(self._bed, self._session, channels, end_ns, self._drops, empty_s, numbers)
        clock = ReplayClock(span, self._speed, monotonic_ns=self._now)
        fast_ns = channels.tick_ns if isinstance(channels, RecordedMap) else self._fast_tick_ns
        player = ReplayPlayer(
            bed,
            clock,
            tick_ns=self._tick_ns,
            fast_tick_ns=fast_ns,
            lag_ns=self._lag_ns,
            monotonic_ns=self._now,
        )
        self._decoder = WatchedThread(f"decode-{self._bed}", player.decode_ahead, player.fail)
        self._decoder.start()
        self._player = player
        return BedRecord(
            bed=self._bed,
            session=self._session,
            epoch=0,
            title=channels.recording.name,
            channels=[
                BedChannel(m.value, c.label, c.unit, c.rate_hz, c.lead)
                for m in Modality
                for c in channels.leads.get(m, ())
            ],
            gaps_s={m.value: list(gaps) for m, gaps in missing.items()},
            seekable=True,
            start_ns=0,
            end_ns=round(channels.duration_s * SECOND_NS),
            events=events,
        )

    def run(self, emit: Emit) -> None:
        """Plays, from this call on, until stopped or until nobody takes the ticks; then the recording is closed."""
        player, decoder, channels = self._player, self._decoder, self._channels
        assert player is not None and decoder is not None and channels is not None, "described first"
        try:
            player.start()
            player.send(emit)
        finally:
            player.stop()
            decoder.join()
            channels.recording.close()

    def stop(self) -> None:
        """:meth:`run` returns; called before it, as soon as it begins."""
        if self._player is not None:
            self._player.stop()

    # -- the operator -------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stand still."""
        self._playing.pause()

    def resume(self) -> None:
        """Go on."""
        self._playing.resume()

    def set_speed(self, speed: float | None) -> None:
        """Event seconds a second; None: as fast as possible. BadInput for a speed that is none."""
        self._playing.set_speed(speed)

    def seek(self, time_s: float) -> None:
        """Go to ``time_s``, in a new epoch."""
        self._playing.seek(time_s)

    def step(self, seconds: float) -> None:
        """While paused, play so many seconds; else jump by them."""
        self._playing.step(seconds)

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withhold a modality, or give it back, from the next tick on."""
        self._playing.set_dropped(modality, dropped)

    # -- what it is doing ---------------------------------------------------------------------------------------------

    @property
    def position_s(self) -> float:
        """Event time now."""
        return self._player.position_s if self._player is not None else self._from_s

    @property
    def speed(self) -> float | None:
        """Event seconds a second; None: as fast as possible."""
        return self._player.speed if self._player is not None else self._speed

    @property
    def achieved_speed(self) -> float | None:
        """Event seconds a second where the machine does not keep the asked speed; None where it does."""
        return self._player.achieved_speed if self._player is not None else None

    @property
    def given_up_s(self) -> float:
        """Wall seconds by which the replay has fallen back so far, since the machine could not keep the speed."""
        return self._player.given_up_s if self._player is not None else 0.0

    @property
    def paused(self) -> bool:
        """Whether it stands by order."""
        return self._player is not None and self._player.paused

    @property
    def epoch(self) -> int:
        """Counts the jumps."""
        return self._player.epoch if self._player is not None else 0

    def dropped_now(self) -> frozenset[Modality]:
        """Modalities withheld at this moment, by the operator or by plan."""
        return self._player.dropped_now() if self._player is not None else frozenset()

    # -- checks -------------------------------------------------------------------------------------------------------

    @property
    def _playing(self) -> ReplayPlayer:
        assert self._player is not None, "described first"
        return self._player

    def _span(self, duration_s: float) -> Span:
        if not 0 <= self._from_s < duration_s:
            raise BadInput(f"a start within the recording's {duration_s:.0f} s", f"{self._from_s:g} s", "start earlier")
        if self._for_s is not None and not self._for_s > 0:
            raise BadInput("a length above 0 s", f"{self._for_s:g} s", "leave it out to play to the end")
        end_s = duration_s if self._for_s is None else min(duration_s, self._from_s + self._for_s)
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


def _events(channels: ChannelMap) -> list[tuple[float, str]]:
    """The recording's annotations that lie in it, in order, as many and as long as a description may have."""
    found = sorted((at_s, text.strip()) for at_s, text in channels.events() if 0 <= at_s <= channels.duration_s)
    return [(at_s, text[:EVENT_LENGTH]) for at_s, text in found if text][:MAX_EVENTS]
