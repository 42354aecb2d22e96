"""Files made to do harm: small ones that unpack to gigabytes, and names that are more than names."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.plain_text import decoded, plain
from models.signals.readers import open_recording, vital_packets
from models.signals.readers.vital import VitalRecording
from monitor.inspect import print_inspection
from tests.signals.recording_files import write_edf, write_wfdb

HEADER = b"VITA" + struct.pack("<IH", 3, 26) + bytes(26)
PACKED = b"VITA" + struct.pack("<IH", 3, 27) + bytes(26) + b"\x01"


def text(words: bytes) -> bytes:
    return struct.pack("<I", len(words)) + words


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack("<BI", kind, len(body)) + body


def track(number: int = 1, kind: int = 1, name: bytes = b"ECG") -> bytes:
    described = struct.pack("<HBB", number, kind, 1) + text(name) + text(b"mV")
    return packet(0, described + struct.pack("<ffIfddBI", 0, 0, 0, 100.0, 1.0, 0.0, 0, 0))


def record(values: bytes, time_s: float = 1.6e9, number: int = 1) -> bytes:
    return packet(1, struct.pack("<HdH", 10, time_s, number) + values)


def samples(count: int) -> bytes:
    return struct.pack("<I", count) + bytes(4 * count)


BOMBS = {
    "records without anything": (HEADER + track(), packet(1, b"")),
    "records without samples": (HEADER + track(), record(samples(0))),
    "the same sample": (HEADER + track(), record(samples(1))),
    "the same number": (HEADER + track(kind=2), record(struct.pack("<f", 60))),
    "the same words": (HEADER + track(kind=5), record(bytes(4) + text(b"x" * 40))),
    "kinds that nobody knows": (HEADER + track(), packet(77, bytes(20))),
    "records of no track": (HEADER + track(), record(samples(1), number=9)),
    "raw data": (HEADER + track(), packet(10, bytes(64))),
    "commands": (HEADER + track(), packet(6, b"\x06")),
    "one device": (HEADER, packet(9, struct.pack("<I", 1) + text(b"a") + text(b"b"))),
    "devices": (HEADER, b"".join(packet(9, struct.pack("<I", i) + text(b"a") + text(b"b")) for i in range(4000))),
    "tracks": (HEADER, b"".join(track(i) for i in range(1, 4000))),
    "flat samples": (HEADER + track(), record(samples(200_000))),
    "one packet of a packed file": (
        PACKED + track() + struct.pack("<BI", 1, 0xFFFFFFF0) + struct.pack("<HdHI", 10, 1.6e9, 1, 1 << 29),
        bytes(4096),
    ),
}


class Counted:
    """What the reader had unpacked when it gave up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = self.packets = 0
        take, packet_of = vital_packets._Stream.take, vital_packets._Decoder._packet

        def counted_take(stream, count: int) -> bytes:
            found = take(stream, count)
            self.bytes += len(found)
            return found

        def counted_packet(decoder, kind: int, body: bytes) -> bool:
            self.packets += 1
            return packet_of(decoder, kind, body)

        monkeypatch.setattr(vital_packets._Stream, "take", counted_take)
        monkeypatch.setattr(vital_packets._Decoder, "_packet", counted_packet)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_costs_little_and_says_one_sentence(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte or less that would unpack to 2 GiB: the reader stops after a small part of it. (Work is counted, not
    timed: 20,000 packets are some 30 ms, 8 MiB some 10.)"""
    monkeypatch.setattr(vital_packets, "FREE_BYTES", 4 << 20)
    head, unit = BOMBS[kind]
    pack = zlib.compressobj(9, wbits=31)
    block = unit * max(1, (1 << 20) // len(unit))
    bomb = pack.compress(head) + b"".join(pack.compress(block) for _ in range(12)) + pack.flush()
    (tmp_path / "x.vital").write_bytes(bomb)
    counted = Counted(monkeypatch)
    with pytest.raises(BadInput, match=r"do not open it|at most 2048 tracks") as caught:
        VitalRecording(tmp_path / "x.vital")
    assert "\n" not in str(caught.value)
    assert counted.packets <= 2 * vital_packets.FREE_IDLE + 1
    assert counted.bytes <= 8 << 20


def test_packets_are_bounded_by_the_size_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers with times of their own say something; still there are no more of them than a file has room for."""
    monkeypatch.setattr(vital_packets, "FREE_PACKETS", 1000)
    body = b"".join(record(struct.pack("<f", 60), 1.6e9 + i) for i in range(30_000))
    (tmp_path / "x.vital").write_bytes(zlib.compress(HEADER + track(kind=2) + body, 9, wbits=31))
    size = (tmp_path / "x.vital").stat().st_size
    counted = Counted(monkeypatch)
    with pytest.raises(BadInput, match="packets of a recording"):
        VitalRecording(tmp_path / "x.vital")
    assert counted.packets <= 1001 + size / vital_packets.BYTES_PER_PACKET


def test_a_day_of_numbers_is_no_bomb(tmp_path: Path) -> None:
    """The most compressible honest file: a constant number each second for a day. And hours of a flat line."""
    body = b"".join(record(struct.pack("<f", 60), 1.6e9 + i) for i in range(86_400))
    (tmp_path / "x.vital").write_bytes(zlib.compress(HEADER + track(kind=2) + body, 9, wbits=31))
    assert len(VitalRecording(tmp_path / "x.vital").numerics("ECG")[0]) == 86_400
    body = b"".join(record(samples(100), 1.6e9 + i) for i in range(10_000))
    (tmp_path / "y.vital").write_bytes(zlib.compress(HEADER + track() + body, 9, wbits=31))
    assert VitalRecording(tmp_path / "y.vital").tracks[0].samples == 1_000_000


def test_plain_text() -> None:
    assert plain("ECG II") == "ECG II"
    assert plain("\x1b]0;gone\x07\x9b2J") == "\\x1b]0;gone\\x07\\x9b2J"
    assert plain("a\nb\tc\0") == "a\\nb\\tc\\x00"
    assert plain("\u202eGCE") == "\\u202eGCE"  # reads from right to left
    assert plain("<b>ECG</b> [red]") == "<b>ECG</b> [red]"
    assert plain("µV 심전도") == "µV 심전도"
    assert len(plain("x" * 1_000_000)) == 120
    assert len(plain("x" * 120)) == 120
    assert decoded(b"EC\0G\0\0") == "ECG"


# Names -----------------------------------------------------------------------------------------------------------

EVIL = "\x1b]0;gone\x07\x1b[2J[red]<b>ECG</b>\u202e"


def _vital(folder: Path) -> Path:
    name = EVIL.encode()
    path = folder / "x.vital"
    body = b"".join(record(samples(100), 1.6e9 + i) for i in range(3))
    events = track(2, 5, b"EVENT") + record(bytes(4) + text(name), number=2)
    path.write_bytes(zlib.compress(HEADER + track(name=name).replace(b"mV", b"\x1b[") + body + events, wbits=31))
    return path


def _wfdb(folder: Path) -> Path:
    path = write_wfdb(folder, "r", 250, {"ECG": ("mV", np.arange(500.0))})
    path.write_text(path.read_text().replace("ECG", "\x1b[2J[red]<b>"))
    return path


def _edf(folder: Path) -> Path:
    path = write_edf(
        folder / "x.edf", {"ECGECGECGECGECGE": (250.0, "mV", np.arange(2500.0))}, annotations=[(1.0, "abcd")]
    )
    raw = path.read_bytes().replace(b"ECGECGECGECGECGE", b"\x1b[2J\x9b2J[red]<b>X").replace(b"abcd", b"\x1b[2J")
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("make", [_vital, _wfdb, _edf])
def test_nothing_in_a_file_moves_the_terminal(make, tmp_path: Path) -> None:
    """Escape sequences, also as single bytes (C1), and characters that turn the direction, in names, units, events."""
    path = make(tmp_path)
    recording = open_recording(str(path))
    found = [t.name for t in recording.tracks] + [t.unit for t in recording.tracks]
    found += [words for _, words in recording.events()] + list(recording.notes)
    assert any("[2J" in words for words in found)
    assert all(words.isprintable() for words in found)
    for terminal in (False, True):
        out = io.StringIO()
        print_inspection(str(path), Console(file=out, force_terminal=terminal, no_color=True, width=200))
        shown = out.getvalue()
        if not terminal:
            assert "[red]" in shown
            assert "<b>" in shown
            assert all(c.isprintable() or c == "\n" for c in shown)
        for raw in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e"):
            assert raw not in shown
    with pytest.raises(BadInput) as caught:
        map_channels(recording, {"ECG": "nothing of the kind"})
    assert str(caught.value).isprintable()


def test_a_thousand_tracks_are_no_table_that_never_ends(tmp_path: Path) -> None:
    body = b"".join(track(i, name=b"x%d" % i) + record(samples(100), number=i) for i in range(1, 1001))
    (tmp_path / "x.vital").write_bytes(zlib.compress(HEADER + body, wbits=31))
    out = io.StringIO()
    assert not print_inspection(str(tmp_path / "x.vital"), Console(file=out))
    assert "600 more tracks" in out.getvalue()
