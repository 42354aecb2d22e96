"""Mutated recordings: whatever a file says, there is a recording to play, or one sentence.

The files are of the built-in patient, written by Vigil's own writers: ``.vital`` (damaged inside of its packing, or as
it lies on the disk), WFDB (header, samples or notes), EDF+, and the recorder's MCAP (damaged bytes, with and without
checksums made right again; and records that the wire allows and nobody would send). Each is opened, inspected, read
whole, and played through a windower, and what is played must be what the wire allows.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.fuzz.messages import base_messages
from benchmarks.fuzz.mutations import Damage
from models.signals.channels import ChannelMap, map_channels
from models.signals.errors import BadInput
from models.signals.inspection import describe
from models.signals.readers.opener import open_recording
from models.signals.recording import Recording, TrackKind
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.codec import DecodeError, decode, encode
from streams.records import AnyRecord, WaveTick
from streams.sinks.convert import convert
from streams.sinks.mcap import McapSink
from streams.sources.recorded import RecordedSession
from streams.sources.replay import ReplaySource
from streams.windower import BedWindower

KINDS = ("vital", "wfdb", "edf", "mcap")
READ_S = 60.0
PLAY_S = 4.0
HEAD_BYTES = 2048  # where formats say what follows
SOURCE = "demo:duration=12,seed=3"


class Recordings:
    """The whole files, by kind, made once in ``folder``; and the damaged ones, made there one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        whole = folder / "whole"
        whole.mkdir()
        patient = open_recording(SOURCE)
        self._vital, self._edf, self._header = (
            convert(patient, whole / f"x{suffix}")[-1].read_bytes() for suffix in (".vital", ".edf", ".hea")
        )
        self._samples = (whole / "x.dat").read_bytes()
        patient.close()
        self._records = [decode(message) for topic, message in base_messages() if topic != "deadletters"]
        self._mcap = [_recorded(self._records, whole / f"{way}.mcap", compress=way) for way in (True, False)]

    def run_case(self, seed: int) -> str:
        """Of which kind the damaged recording was, and what became of it. Raises whatever else than one sentence comes
        of it, with a note."""
        damage = Damage(seed)
        kind = KINDS[seed % len(KINDS)]
        path = self._folder / f"x.{'hea' if kind == 'wfdb' else kind}"
        try:
            getattr(self, f"_make_{kind}")(damage, path)
            return f"{kind}: {outcome(path)}"
        except Exception as error:
            error.add_note(f"seed {seed}: {path}")
            raise

    def _make_vital(self, damage: Damage, path: Path) -> None:
        if damage.below(4) == 0:
            path.write_bytes(damage.broken(self._vital, head=HEAD_BYTES))
            return
        inside = damage.broken(gzip.decompress(self._vital), head=HEAD_BYTES)
        path.write_bytes(gzip.compress(inside, 1, mtime=0))

    def _make_edf(self, damage: Damage, path: Path) -> None:
        path.write_bytes(damage.broken(self._edf, head=HEAD_BYTES))

    def _make_wfdb(self, damage: Damage, path: Path) -> None:
        header, samples = self._header, self._samples
        if damage.below(4):
            header = damage.text(header.decode()).encode("utf-8", "replace")
        else:
            samples = damage.broken(samples)
        path.write_bytes(header)
        path.with_suffix(".dat").write_bytes(samples)

    def _make_mcap(self, damage: Damage, path: Path) -> None:
        if damage.below(2):
            made = damage.broken(damage.one_of(self._mcap))
            path.write_bytes(mended(made) if damage.below(5) else made)
            return
        others = [encode(record) for record in self._records]
        mutated: list[AnyRecord] = []
        for record in self._records:
            mutated.append(record)
            if damage.below(8) == 0:
                with suppress(DecodeError):
                    mutated[-1] = decode(damage.message(encode(record), others))
        path.write_bytes(_recorded(mutated, path.with_name("made.mcap"), compress=False))


def _recorded(records: list[AnyRecord], path: Path, *, compress: bool) -> bytes:
    path.unlink(missing_ok=True)
    sink = McapSink(path, compress=compress)
    for number, record in enumerate(records, 1):
        sink.add(record)
        if number % 50 == 0:
            sink.flush()
    sink.close()
    content = path.read_bytes()
    path.unlink()
    return content


def outcome(path: Path) -> str:
    """Does with a recording what the programs do: "played", or "sentence"."""
    try:
        with closing(open_recording(str(path))) as recording:
            _look(recording)
        _play(partial(_opened, path))
    except BadInput as error:
        if len(str(error).splitlines()) != 1:
            raise ValueError(f"no single sentence: {error}") from error
        return "sentence"
    return "played"


def _look(recording: Recording) -> None:
    """As ``vigil inspect``, and reads the first minute of each track."""
    describe(recording)
    recording.events()
    for track in recording.tracks:
        if track.kind is TrackKind.WAVE:
            values = recording.read(track.name, track.start_s, min(track.end_s, track.start_s + READ_S)).values
            if np.isinf(values).any():
                raise ArithmeticError(f"a sample of {track.name!r} is infinite")
        elif track.kind is TrackKind.NUMERIC:
            recording.numerics(track.name)


def _opened(path: Path) -> ChannelMap:
    recording = open_recording(str(path))
    return recording.channel_map() if isinstance(recording, RecordedSession) else map_channels(recording)


def _play(channels: Callable[[], ChannelMap]) -> None:
    """Plays the first seconds of the bed; whatever is sent must come through the wire."""
    source = ReplaySource("a", "s", channels, speed=None, for_s=PLAY_S)
    windower = BedWindower(WindowSpec(), Accounting())
    description = source.describe()

    def take(tick: WaveTick) -> bool:
        received = decode(encode(tick))
        assert isinstance(received, WaveTick)
        for record in windower.handle(received, 0).records:
            decode(encode(record))
        return not tick.eos

    try:
        decode(encode(description))
    except BaseException:
        source.stop()
        source.run(take)
        raise
    source.run(take)


def mended(content: bytes) -> bytes:
    """An MCAP file whose chunks, where they are not compressed, have the length and checksum of what is in them: so
    that what is in them is looked at."""
    data, at = bytearray(content), 8
    while at + 9 <= len(data):
        opcode, length = data[at], int.from_bytes(data[at + 1 : at + 9], "little")
        at += 9
        if opcode == 6 and data[at + 28 : at + 32] == bytes(4) and at + length <= len(data):
            inside = bytes(data[at + 40 : at + length])
            data[at + 16 : at + 24] = len(inside).to_bytes(8, "little")
            data[at + 24 : at + 28] = zlib.crc32(inside).to_bytes(4, "little")
        at += length
    return bytes(data)
