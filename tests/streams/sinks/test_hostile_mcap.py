"""Recordings that somebody has damaged or made up: records or one sentence, and no more work than their size."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from msgspec.structs import replace

from models.signals.errors import BadInput
from models.signals.readers.opener import open_recording
from streams.codec import encode
from streams.records import WaveTick
from streams.sources import mcap_file
from streams.sources.mcap_file import McapFile
from streams.sources.recorded import RecordedSession, open_recorded
from tests.streams.sinks.records_made import ramp_tick, record

MAGIC = b"\x89MCAP0\r\n"


def entry(opcode: int, content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<BQ", opcode, len(content) if length is None else length) + content


def text(words: str) -> bytes:
    return struct.pack("<I", len(words.encode())) + words.encode()


def chunk(inside: bytes, compression: str = "", *, size: int | None = None, crc: int | None = None) -> bytes:
    packed = {"": lambda b: b, "zstd": zstandard.compress, "lz4": lz4.frame.compress}.get(compression, bytes)(inside)
    return entry(6, struct.pack("<QQQI", 0, 0, len(inside) if size is None else size,
                                zlib.crc32(inside) if crc is None else crc)
                 + text(compression) + struct.pack("<Q", len(packed)) + packed)  # fmt: skip


SCHEMA = entry(3, struct.pack("<H", 1) + text("vigil.wire.1") + text("") + struct.pack("<I", 0))
CHANNEL = entry(4, struct.pack("<HH", 1, 1) + text("waves/a") + text("msgpack") + struct.pack("<I", 0))


def message(data: bytes, channel: int = 1) -> bytes:
    return entry(5, struct.pack("<HIQQ", channel, 0, 0, 0) + data)


WAVES = SCHEMA + CHANNEL + b"".join(message(encode(ramp_tick(i))) for i in range(20))


def written(folder: Path, *parts: bytes) -> Path:
    path = folder / "x.mcap"
    path.write_bytes(MAGIC + entry(1, text("") + text("")) + b"".join(parts))
    return path


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_files_of_other_writers_are_read(tmp_path: Path, compression: str) -> None:
    path = written(tmp_path, chunk(WAVES, compression), entry(15, bytes(4)))
    assert RecordedSession(path).duration_s == 1.0
    assert not RecordedSession(path).notes


def test_messages_outside_of_chunks_are_read(tmp_path: Path) -> None:
    assert RecordedSession(written(tmp_path, WAVES, entry(15, bytes(4)))).duration_s == 1.0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (chunk(b"x" * 100, size=1 << 40), "its sizes are not those of a chunk"),
        (chunk(b"x" * 100, "zstd", size=99), "its sizes disagree"),
        (chunk(b"x" * 100, "lz4", size=99), "its checksum or length is wrong"),
        (chunk(b"x" * 100, crc=1), "its checksum or length is wrong"),
        (chunk(b"x" * 100, "gzip"), "its compression is not known"),
        (chunk(entry(5, b"", length=1 << 50)), "a record in it is longer than the chunk"),
        (chunk(bytes(5 << 20), "zstd"), "its sizes are not those of a chunk"),
        (chunk(entry(3, b"\x01")), "a record in it is cut"),
        (entry(6, b"short"), "its head is cut"),
        (entry(6, bytes(5 << 20)), "the most are 4 MiB"),
        (entry(6, struct.pack("<QQQI", 0, 0, 100, 0) + text("zstd") + bytes(8) + b"nope"), "cannot|sizes"),
    ],
)  # fmt: skip
def test_of_a_damaged_chunk_nothing_is_taken_and_the_rest_is(tmp_path: Path, bad: bytes, words: str) -> None:
    path = written(tmp_path, chunk(WAVES), bad, chunk(message(encode(ramp_tick(20)))), entry(15, bytes(4)))
    session = RecordedSession(path)
    assert session.duration_s == 1.05
    assert len(session.notes) == 1 and np.any([w in session.notes[0] for w in words.split("|")]), session.notes


def test_a_length_beyond_the_file_is_its_end(tmp_path: Path) -> None:
    session = RecordedSession(written(tmp_path, chunk(WAVES), entry(6, b"abc", length=(1 << 64) - 1)))
    assert session.duration_s == 1.0 and "ends early" in session.notes[0]


def test_zstd_that_hides_its_size_is_unpacked_no_further_than_it_claims(tmp_path: Path) -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    packed = stream.compress(bytes(64 << 20)) + stream.flush()
    bad = entry(6, struct.pack("<QQQI", 0, 0, 1000, 0) + text("zstd") + struct.pack("<Q", len(packed)) + packed)
    session = RecordedSession(written(tmp_path, chunk(WAVES), bad, entry(15, bytes(4))))
    assert "left out" in session.notes[0]


@pytest.mark.parametrize("kind", ["nothing", "empty messages", "no kind"])
def test_a_bomb_is_refused_after_a_small_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    unpacked = []
    real = zstandard.ZstdDecompressor

    class Counted:
        def __init__(self, **options: int) -> None:
            self._real = real(**options)

        def decompress(self, packed: bytes, size: int) -> bytes:
            unpacked.append(size)
            return self._real.decompress(packed, size)

    monkeypatch.setattr(mcap_file.zstandard, "ZstdDecompressor", Counted)
    inside = {"nothing": bytes(4 << 20), "empty messages": message(b"") * 100_000, "no kind": entry(99, b"") * 400_000}
    path = written(tmp_path, *[chunk(inside[kind], "zstd")] * 2000)
    with pytest.raises(BadInput, match=r"unpacks to at most 64 times its size, found 'x\.mcap'"):
        RecordedSession(path)
    assert sum(unpacked) <= 64 * path.stat().st_size + (12 << 20) < 2000 * (4 << 20) / 100


def test_a_flat_line_for_hours_is_no_bomb(tmp_path: Path) -> None:
    """The most compressible honest recording: chunks of 1 MiB of nothing but NaN."""
    gone = np.full(25, np.nan, "<f4").tobytes()
    made = [replace(ramp_tick(i), chunks=[replace(ramp_tick(i).chunks[0], data=gone)]) for i in range(3000)]
    path = record(tmp_path / "x.mcap", made, flush_every=10**6)
    unpacked = sum(len(encode(t)) for t in made)
    assert RecordedSession(path).duration_s == 150
    assert unpacked / path.stat().st_size < mcap_file.MAX_RATIO / 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not begin like one"),
        (b"\x89MCAP1\r\n", "does not begin like one"),
        (MAGIC, "none in 'x.mcap'"),
        (MAGIC + chunk(SCHEMA.replace(b"wire.1", b"wire.9") + CHANNEL), "of wire version 1, found '9'"),
        (MAGIC + chunk(SCHEMA.replace(b"vigil", b"other") + CHANNEL + message(encode(ramp_tick(0)))), "none in"),
    ],
)
def test_what_is_no_recording_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.mcap").write_bytes(content)
    with pytest.raises(BadInput, match=words) as caught:
        RecordedSession(tmp_path / "x.mcap")
    assert len(str(caught.value).splitlines()) == 1


def test_messages_that_are_no_records_are_left_out_and_counted(tmp_path: Path) -> None:
    junk = message(b"\xc7\xff\xff\xff\xff") + message(b"") + message(encode(ramp_tick(5))[:50])
    file = McapFile(written(tmp_path, chunk(WAVES + junk), entry(15, bytes(4))))
    assert len(list(file.records())) == 20 and len(file.notes) == 2
    assert file.notes[0].endswith("Input data was truncated. (2 times)") and file.notes[1].endswith("empty.")


def test_names_in_a_file_open_nothing_and_move_no_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J/etc/passwd"
    made = [replace(ramp_tick(i, bed=evil), chunks=[replace(ramp_tick(i).chunks[0], label=evil)]) for i in range(20)]
    session = RecordedSession(record(tmp_path / "x.mcap", made))
    assert all(track.name.isprintable() for track in session.tracks) and session.tracks[0].name == "ECG/passwd"
    with pytest.raises(BadInput) as caught:
        RecordedSession(tmp_path / "x.mcap", bed="b")
    assert str(caught.value).isprintable()


def test_a_lost_first_chunk_takes_no_other_with_it(tmp_path: Path) -> None:
    """It names the channels; the records say their topic and bed themselves."""
    more = chunk(b"".join(message(encode(ramp_tick(i))) for i in range(20, 40)))
    session = RecordedSession(written(tmp_path, chunk(WAVES, crc=1), more, entry(15, bytes(4))))
    assert session.channel_map().begin_ns == 10**9 and session.duration_s == 2.0
    assert session.read("ECG/II", 1, 2).values[0] == 500


def test_times_of_a_thousand_years_are_refused(tmp_path: Path) -> None:
    far = WaveTick(bed="a", session="s", epoch=0, tick_seq=1, start_ns=1 << 61, end_ns=1 << 61)
    with pytest.raises(BadInput, match="at most 31 days"):
        RecordedSession(record(tmp_path / "x.mcap", [ramp_tick(0), far]))


def test_it_opens_by_its_content_by_name_and_by_bed(tmp_path: Path) -> None:
    path = record(tmp_path / "x.mcap", [ramp_tick(i) for i in range(20)])
    other = tmp_path / "no-suffix"
    other.write_bytes(path.read_bytes())
    for source in (path, other, f"{path}#a", f"{path}#a@0", f"{path}#"):
        assert open_recording(str(source)).duration_s == 1.0
    odd = tmp_path / "y.mcap#b"
    odd.write_bytes(path.read_bytes())
    assert open_recorded(str(odd)).duration_s == 1.0, "a file of that whole name comes first"
    with pytest.raises(BadInput, match=r"a readable recording, found 'none\.mcap': No such file"):
        open_recording(str(tmp_path / "none.mcap#a"))
