"""A recording of the recorder (``session.mcap``), played again as any other recording.

Times are those of the session: its event time is the recording's time, its sample indices are the tracks'. So the same
windows come out, bit for bit, at the same seconds. What was withheld is there and is withheld again.

A file may hold several beds, sessions and epochs (each seek or clock jump begins one). One bed is played, of one
session: the one with the most data. Its epochs lie on one axis of event time. Where that was a recording itself (the
bed's record says seekable), or where no two of them cover the same time, all of them are played in the order of event
time, with a gap wherever nothing was played; else (a live device's clock ran back) the one with the most data, since
two pasts cannot be glued together. ``notes`` say what was left out; ``FILE#BED`` and ``FILE#BED@EPOCH`` choose.
What came late then comes in time now.

A live device's channel changes rate and origin whenever its clock is corrected, and a channel of a recording has one of
each. :mod:`streams.sources.recorded_replay` plays the ticks as they were sent; :meth:`RecordedSession.read` (for
converting and looking) puts such samples on the line that has most of them, each less than two samples from its time.
"""

from __future__ import annotations

import re
import statistics
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.signals.channels import MAX_DURATION_S, Channel, ChannelMap
from models.signals.errors import BadInput
from models.signals.modalities import MODALITIES, Modality
from models.signals.plain_text import plain
from models.signals.readers.grid import clip_range
from models.signals.recording import Segment, Track, TrackKind
from models.signals.times import SECOND_NS
from streams.alarm_log import AlarmLog
from streams.codec import chunk_values
from streams.commands import mark_of, mark_words
from streams.records import TOPICS, AlarmRecord, AnyRecord, BedRecord, CommandRecord, PredictionRecord, WaveTick
from streams.sources.bed_replay import Drop
from streams.sources.mcap_file import McapFile, Place
from streams.sources.player import TICK_NS
from streams.sources.recorded_numbers import RecordedNumbers
from streams.sources.recorded_replay import RecordedReplay
from streams.sources.stretches import Grid, IntArray, Lead, Stretch, chosen, chosen_bed, gaps_s, index_on

CACHE_BYTES = 16 << 20
FIRST_NS = 10 * SECOND_NS  # by whose ticks their length is told
MAX_STRETCHES = 65_536
NEAR = 0.01  # of its rate; a corrected clock changes it by half of that at most
_CHOICE = re.compile(r"(?P<path>.+)#(?P<bed>[^#@]*)(?:@(?P<epoch>\d{1,18}))?")


@dataclass(frozen=True, slots=True)
class RecordedMap(ChannelMap):
    """The channels of a recorded session as they were sent: labels, leads, rates, indices and time zero.

    begin_ns, end_ns: event time from its first to its last tick. tick_ns: how long its ticks were, in the beginning.
    drops: what was withheld then, for the replay to withhold again.
    """

    begin_ns: int = 0
    end_ns: int = 0
    tick_ns: int = TICK_NS
    drops: tuple[Drop, ...] = ()

    def replay(
        self,
        bed: str,
        session: str,
        end_ns: int,
        drops: Sequence[Drop] = (),
        empty_s: Sequence[tuple[float, float]] = (),
    ) -> RecordedReplay:
        """Cuts the ticks of the bed as they were sent, see :mod:`streams.sources.recorded_replay`."""
        assert isinstance(self.recording, RecordedSession)
        return RecordedReplay(bed, session, self.recording, end_ns, drops, empty_s)

    @property
    def duration_s(self) -> float:
        """Seconds from time zero to the end of the last tick: an end without any sample belongs to it."""
        return self.end_ns / SECOND_NS


class RecordedSession:
    """A ``.mcap`` file (and its parts) behind the :class:`models.signals.recording.Recording` protocol: one bed.

    bed: which, where there are several. epoch: that one alone. Raises BadInput for a file that is none, has no waves,
    or has several beds of which none is named. Its waves are read from the file as they are asked for; the whole file
    is gone through once when it is opened.
    """

    def __init__(self, path: Path, bed: str | None = None, epoch: int | None = None) -> None:
        self._name = plain(path.name)
        self._file = McapFile(path)
        try:
            self._places: list[Place] = []
            self._numbers = RecordedNumbers()
            stretches, self._described = self._scan()
            self.bed = chosen_bed(self._name, list(stretches), bed)
            self.beds = tuple(stretches)
            self._described_bed = self._described.get(self.bed)
            self._stretches, left_out = chosen(self._name, stretches[self.bed], self._described_bed, epoch)
            self.notes = [*self._file.notes, *left_out]
            self._channels = self._make_channels()
            self._tracks += self._numbers.choose(self.bed, {(s.session, s.epoch) for s in self._stretches})
        except BaseException:
            self._file.close()
            raise
        self._cache: OrderedDict[int, list[WaveTick]] = OrderedDict()
        self._cached_bytes: dict[int, int] = {}
        self._events: list[tuple[float, str]] | None = None

    # -- the protocol of a recording --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The file's name."""
        return self._name

    @property
    def duration_s(self) -> float:
        """From event time zero to the end of the last tick, in s."""
        return max(s.end_ns for s in self._stretches) / SECOND_NS

    @property
    def tracks(self) -> tuple[Track, ...]:
        """A wave ``MODALITY/LABEL`` a channel, in canonical units; a name that comes again has its lead behind it."""
        return self._tracks

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        """Samples with ``start_s <= time < end_s``, withheld ones too; KeyError for an unknown track."""
        lead, channel = self._by_track[track]
        first, last = clip_range(channel.origin_ns / SECOND_NS, channel.rate_hz, channel.samples, start_s, end_s)
        values = np.full(last - first, np.nan, np.float32)
        runs_first, runs_end, runs_place = self._runs[lead]
        touched = (runs_first < last) & (runs_end > first)
        grid = self._lines[lead]
        for place in dict.fromkeys(runs_place[touched].tolist()):
            for tick in self._ticks(place):
                for chunk in tick.chunks:
                    if (chunk.modality, chunk.lead) == lead and chunk.data and _near(chunk.rate_hz, grid.rate_hz):
                        samples = chunk_values(chunk.data)
                        at = index_on(grid, chunk.first_index, chunk.rate_hz, chunk.origin_ns)
                        lo, hi = max(first, at), min(last, at + len(samples))
                        if lo < hi:
                            values[lo - first : hi - first] = samples[lo - at : hi - at]
        return Segment(first, values)

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """What the device told: times in s and values, NaN where it had none. The stream's own numerics are made anew.
        KeyError for an unknown track."""
        return self._numbers.read(track)

    def events(self) -> list[tuple[float, str]]:
        """Alarms that began, changed or ended, what the operator did, and where the model missed windows, at their
        event times."""
        if self._events is None:
            self._events = sorted(_events(self.records()))
        return self._events

    def close(self) -> None:
        """Closes the file."""
        self._cache.clear()
        self._file.close()

    # -- more than a recording has ------------------------------------------------------------------------------------

    @property
    def zero_unix_ns(self) -> int | None:
        """The wall clock at event time zero, None where nobody knows."""
        return self._described_bed.zero_unix_ns if self._described_bed else None

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Every channel, in the order of the screen."""
        return tuple(self._channels.values())

    def ticks(self, start_ns: int, end_ns: int) -> list[WaveTick]:
        """The recorded ticks that touch ``[start_ns, end_ns)`` of event time, epoch by epoch as they came."""
        return [
            tick
            for stretch in self._stretches
            for place, (begin, end) in stretch.places.items()
            if begin < end_ns and start_ns < end
            for tick in self._ticks(place)
            if (tick.session, tick.epoch) == (stretch.session, stretch.epoch)
            and tick.start_ns < end_ns
            and start_ns < tick.end_ns
        ]

    def channel_map(self) -> RecordedMap:
        """Its channels as they were sent, instead of what their names would be taken for."""
        by_modality: dict[Modality, list[Channel]] = {}
        for (modality, _), channel in sorted(self._channels.items()):
            by_modality.setdefault(Modality(modality), []).append(channel)
        ordered = {m: by_modality[m] for m in Modality if m in by_modality}
        begin_ns = min(s.start_ns for s in self._stretches)
        lengths = [t.end_ns - t.start_ns for t in self.ticks(begin_ns, begin_ns + FIRST_NS) if t.end_ns > t.start_ns]
        return RecordedMap(
            self,
            {m: leads[0] for m, leads in ordered.items()},
            0.0,
            (),
            {m: tuple(leads[1:]) for m, leads in ordered.items() if len(leads) > 1},
            {channel.track: 1.0 for channel in self._channels.values()},
            begin_ns=begin_ns,
            end_ns=max(s.end_ns for s in self._stretches),
            tick_ns=statistics.mode(lengths) if lengths else TICK_NS,
            drops=tuple(
                Drop(Modality(modality), start / SECOND_NS, end / SECOND_NS)
                for stretch in self._stretches
                for modality, spans in stretch.withheld.items()
                for start, end in spans
            ),
        )

    def records(self) -> Iterable[AnyRecord]:
        """The records of the bed in the epochs that are played, in the order in which they were recorded."""
        played = {(s.session, s.epoch) for s in self._stretches}
        for record in self._file.records(lambda message: message.may_be(TOPICS, self.bed)):
            if record.bed == self.bed and (
                (record.session, record.epoch) in played or isinstance(record, BedRecord | CommandRecord)
            ):
                yield record

    # -- opening ------------------------------------------------------------------------------------------------------

    def _scan(self) -> tuple[dict[str, list[Stretch]], dict[str, BedRecord]]:
        """The stretches of each bed in the order of the file, and what the newest record of a bed says of it."""
        found: dict[tuple[str, str, int], Stretch] = {}
        described: dict[str, BedRecord] = {}
        for place in self._file.places():
            number = len(self._places)
            self._places.append(place)
            for message in self._file.messages(place):
                record = self._file.record(message) if message.may_be(("waves", "beds")) else None
                if isinstance(record, BedRecord):
                    described[record.bed] = record
                elif isinstance(record, WaveTick):
                    key = record.bed, record.session, record.epoch
                    if key not in found and len(found) >= MAX_STRETCHES:
                        many = f"more than {MAX_STRETCHES} epochs in {self._name!r}"
                        raise BadInput("a recording of a session", many, "choose another file")
                    stretch = found.setdefault(key, Stretch(*key[1:], record.start_ns, record.end_ns))
                    self._numbers.take(record)
                    stretch.add(record, number)
        beds: dict[str, list[Stretch]] = {}
        for (bed, _, _), stretch in found.items():
            beds.setdefault(bed, []).append(stretch)
        return beds, described

    def _make_channels(self) -> dict[Lead, Channel]:
        """One channel a lead, on the line of time that has most of its samples; those of others are put beside them."""
        self._runs: dict[Lead, tuple[IntArray, IntArray, IntArray]] = {}
        self._lines: dict[Lead, Grid] = {}
        channels: dict[Lead, Channel] = {}
        names: dict[str, Lead] = {}
        begin_ns, end_ns = min(s.start_ns for s in self._stretches), max(s.end_ns for s in self._stretches)
        if begin_ns < 0 or end_ns - begin_ns > MAX_DURATION_S * SECOND_NS:
            raise BadInput(
                "a session of at most 31 days from its time zero on",
                f"event times from {begin_ns / SECOND_NS:.0f} to {end_ns / SECOND_NS:.0f} s in {self._name!r}",
                "choose another epoch or file",
            )
        self._tracks: tuple[Track, ...] = ()
        order = {m.value: i for i, m in enumerate(Modality)}
        leads = sorted({lead for s in self._stretches for lead in s.grids}, key=lambda lead: (order[lead[0]], lead[1]))
        moved = left_out = 0
        for lead in leads:
            grids = [grid for s in self._stretches for grid in s.grids.get(lead, {}).values()]
            best = self._lines[lead] = max(grids, key=lambda g: g.samples)
            kept = [g for g in grids if _near(g.rate_hz, best.rate_hz)]
            left_out += sum(g.samples for g in grids) - sum(g.samples for g in kept)
            moved += sum(g.samples for g in kept if (g.rate_hz, g.origin_ns) != (best.rate_hz, best.origin_ns))
            runs = _runs(kept, best)
            self._runs[lead] = runs
            label = plain(best.label).rpartition("/")[2].strip(" ,") or lead[0]
            name = f"{lead[0]}/{label}"
            name = name if name not in names else f"{name} {lead[1]}"
            names[name] = lead
            samples = int(runs[1].max(initial=0))
            modality = Modality(lead[0])
            channels[lead] = Channel(
                modality, name, best.label, best.rate_hz, MODALITIES[modality].unit, best.origin_ns, samples, lead[1]
            )
            start_s = best.origin_ns / SECOND_NS
            gaps = gaps_s(runs[0], runs[1], best, least=1 if len(kept) == 1 else 3)
            self._tracks += (
                Track(name, TrackKind.WAVE, MODALITIES[modality].unit, best.rate_hz, start_s, samples, gaps,
                      modality.value),
            )  # fmt: skip
        if not any(channel.samples for channel in channels.values()):
            raise BadInput("a recording with waves", f"none in {self._name!r}", "choose another file")
        if moved:
            self.notes.append(f"{moved} samples lie on other lines of time than most: the device's clock was corrected")
        if left_out:
            self.notes.append(f"{left_out} samples were left out: their channel changed its rate")
        self._by_track = {name: (lead, channels[lead]) for name, lead in names.items()}
        return channels

    def _ticks(self, place: int) -> list[WaveTick]:
        """The ticks of a chunk that belong to what is played, in the order in which they came."""
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        played = {(s.session, s.epoch) for s in self._stretches}
        found = []
        size = 0
        for message in self._file.messages(self._places[place], again=True):
            tick = self._file.record(message) if message.may_be(("waves",), self.bed) else None
            if isinstance(tick, WaveTick) and (tick.session, tick.epoch) in played and tick.bed == self.bed:
                found.append(tick)
                size += 2 * len(message.data)
        self._cache[place], self._cached_bytes[place] = found, size
        while len(self._cache) > 1 and sum(self._cached_bytes.values()) > CACHE_BYTES:
            oldest, _ = self._cache.popitem(last=False)
            del self._cached_bytes[oldest]
        return found


def open_recorded(source: str) -> RecordedSession:
    """``FILE.mcap``, ``FILE.mcap#BED`` or ``FILE.mcap#BED@EPOCH``; a file of that whole name comes first.

    Raises BadInput as :class:`RecordedSession`.
    """
    match = None if Path(source).is_file() else _CHOICE.fullmatch(source)
    if match is None:
        return RecordedSession(Path(source).expanduser())
    epoch = int(match["epoch"]) if match["epoch"] else None
    return RecordedSession(Path(match["path"]).expanduser(), match["bed"] or None, epoch)


def _near(rate_hz: float, other_hz: float) -> bool:
    """Whether two rates are those of one device whose clock is off."""
    return abs(rate_hz - other_hz) <= NEAR * other_hz


def _runs(grids: Iterable[Grid], on: Grid) -> tuple[IntArray, IntArray, IntArray]:
    """The runs of several lines on one of them: first, end and chunk of each."""
    rows = [
        (index_on(on, first, g.rate_hz, g.origin_ns), index_on(on, end, g.rate_hz, g.origin_ns), place)
        for g in grids
        for first, end, place in zip(g.first, g.end, g.place, strict=True)
    ]
    table = np.array(rows, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _events(records: Iterable[AnyRecord]) -> Iterable[tuple[float, str]]:
    log = AlarmLog()
    texts: dict[tuple[str, str], str] = {}  # of alarms as last read, by session and key
    missed: list[PredictionRecord] = []  # windows in a row that were late, or that were skipped
    for record in records:
        if isinstance(record, PredictionRecord):
            if missed and _kind(record) != _kind(missed[-1]):
                yield _no_prediction(missed)
                missed = []
            if record.missed:
                missed.append(record)
        if isinstance(record, AlarmRecord):
            texts[record.session, record.key] = record.text
        if isinstance(record, CommandRecord) and (mark := mark_of(record)) is not None:
            yield mark[0], plain(mark_words(mark[1]))
        elif isinstance(record, CommandRecord) and record.name != "explain":
            # An acknowledgement says of each alarm when it began, which is no word for a reader.
            seen = [texts.get((record.session, key), key) for key in record.args]
            told = seen if record.name == "acknowledge" else map(str, record.args.values())
            yield record.time_ns / SECOND_NS, f"operator: {record.name} {', '.join(map(plain, told))}".rstrip()
        for event in log.follow(record):
            yield event.time_ns / SECOND_NS, plain(f"{event.alarm.priority} {event.event}: {event.alarm.text}", 200)
    for event in log.standing():
        yield event.time_ns / SECOND_NS, plain(f"{event.alarm.priority} {event.event}: {event.alarm.text}", 200)
    if missed:
        yield _no_prediction(missed)


def _kind(record: PredictionRecord) -> tuple[str, int, str]:
    return record.session, record.epoch, record.missed


def _no_prediction(missed: list[PredictionRecord]) -> tuple[float, str]:
    first, count = missed[0], len(missed)
    of = f"{count} windows" if count > 1 else "a window"
    return first.window_end_ns / SECOND_NS, plain(f"no prediction of {of}: {first.reason}", 200)
