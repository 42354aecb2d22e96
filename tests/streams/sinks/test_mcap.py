"""The recorder's file: everything is in it, it may be cut anywhere, it ends where it must and says why."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mcap.reader import make_reader

from models.signals.errors import BadInput, VigilError
from streams.codec import decode, encode
from streams.records import BedRecord, WaveTick
from streams.sinks.mcap import LEAST_FREE_BYTES, Limits, McapSink, part_path
from streams.sources.mcap_file import McapFile
from tests.streams.sinks.records_made import UNIX, S, one_of_each, ramp_tick, record

ROOT = Path(__file__).resolve().parents[3]


def read(path: Path) -> list[bytes]:
    return [encode(r) for r in McapFile(path).records()]


def test_every_kind_of_record_comes_back_bit_for_bit(tmp_path: Path) -> None:
    records = one_of_each() + one_of_each("b/2")
    path = record(tmp_path / "x.mcap", records)
    file = McapFile(path)
    assert [encode(r) for r in file.records()] == [encode(r) for r in records]
    assert file.complete and not file.notes


@pytest.mark.parametrize("compress", [True, False])
def test_the_mcap_package_reads_it_too(tmp_path: Path, compress: bool) -> None:
    records = one_of_each()
    path = record(tmp_path / "x.mcap", records, compress=compress)
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == len(records)
        assert {c.topic for c in summary.channels.values()} == {
            f"{topic}/a" for topic in ("beds", "waves", "vitals", "predictions", "alarms", "commands", "deadletters")
        }
        found = list(reader.iter_messages(log_time_order=False))
    assert [message.data for _, _, message in found] == [encode(r) for r in records]
    assert {schema.name for schema, _, _ in found if schema} == {"vigil.wire.1"}
    assert {channel.message_encoding for _, channel, _ in found} == {"msgpack"}
    wave = next(message for _, channel, message in found if channel.topic == "waves/a")
    assert wave.log_time == UNIX + S and wave.sequence == 7, "event time on the wall clock, and the tick's own number"


def test_without_a_wall_clock_log_time_is_event_time(tmp_path: Path) -> None:
    path = record(tmp_path / "x.mcap", [ramp_tick(30)])
    with path.open("rb") as file:
        assert next(iter(make_reader(file).iter_messages()))[2].log_time == 30 * 50_000_000


def test_it_is_read_while_it_is_written(tmp_path: Path) -> None:
    sink = McapSink(tmp_path / "x.mcap")
    for i in range(25):
        sink.add(ramp_tick(i))
    sink.flush()
    sink.add(ramp_tick(25))
    file = McapFile(tmp_path / "x.mcap")
    assert [r.tick_seq for r in file.records() if isinstance(r, WaveTick)] == list(range(25))
    assert not file.complete and "still written" in file.notes[0]
    sink.close()
    assert len(read(tmp_path / "x.mcap")) == 26


def test_cut_anywhere_it_gives_what_was_whole(tmp_path: Path) -> None:
    path = record(tmp_path / "x.mcap", [ramp_tick(i) for i in range(60)])
    whole, content = read(path), path.read_bytes()
    cut = tmp_path / "cut.mcap"
    counts = []
    for length in range(8, len(content), 97):
        cut.write_bytes(content[:length])
        found = read(cut)
        assert found == whole[: len(found)] and len(found) % 10 == 0
        counts.append(len(found))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 60


KILLED = """
import os, signal, sys
from pathlib import Path
from streams.sinks.mcap import McapSink
from streams.sinks.sink import SinkRunner
from tests.streams.sinks.records_made import ramp_tick
now = 0
runner = SinkRunner(McapSink(Path(sys.argv[1])), flush_s=0.5, monotonic_ns=lambda: now)
for number in range(int(sys.argv[2])):  # a tick each 50 ms of the runner's clock
    now = number * 50_000_000
    runner(ramp_tick(number))
    if runner._wait_s() <= 0:
        runner.turn()
        print(number, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("ticks", [7, 155, 163])
def test_killed_it_has_lost_a_second_at_most_and_nothing_that_was_flushed(tmp_path: Path, ticks: int) -> None:
    path = tmp_path / "x.mcap"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(ticks)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    flushed = [int(line) for line in done.stdout.split()]
    found = [r.tick_seq for r in McapFile(path).records() if isinstance(r, WaveTick)] if path.exists() else []
    assert found == list(range(len(found)))
    assert len(found) >= (flushed[-1] + 1 if flushed else 0), "what was flushed is there"
    assert ticks - len(found) <= 20, "a second is 20 ticks"


def test_parts_follow_one_another_and_each_stands_for_itself(tmp_path: Path) -> None:
    bed = next(r for r in one_of_each() if isinstance(r, BedRecord))
    sink = McapSink(tmp_path / "x.mcap", Limits(part_bytes=4000))
    sink.add(bed)
    for i in range(200):
        sink.add(ramp_tick(i))
        if i % 10 == 9:
            sink.flush()
    sink.close()
    parts = sorted(p.name for p in tmp_path.iterdir())
    assert parts[0] == "x-001.mcap" and parts[-1] == "x.mcap" and len(parts) > 3
    found = list(McapFile(tmp_path / "x.mcap").records())
    assert [r.tick_seq for r in found if isinstance(r, WaveTick)] == list(range(200)), "read as one, nothing twice"
    for number in range(len(parts)):
        alone = tmp_path / "alone.mcap"
        alone.write_bytes(part_path(tmp_path / "x.mcap", number).read_bytes())
        assert next(iter(McapFile(alone).records())) == bed


def test_another_recording_that_is_called_like_a_part_is_none(tmp_path: Path) -> None:
    record(tmp_path / "x.mcap", [ramp_tick(0)])
    record(tmp_path / "x-001.mcap", [ramp_tick(1)])
    assert [r.tick_seq for r in McapFile(tmp_path / "x.mcap").records() if isinstance(r, WaveTick)] == [0]


def test_an_hour_ends_a_part(tmp_path: Path) -> None:
    now = [0]
    sink = McapSink(tmp_path / "x.mcap", wall_ns=lambda: now[0])
    for hour in range(3):
        now[0] = hour * 3601 * S
        sink.add(ramp_tick(hour))
        sink.flush()
    sink.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x-001.mcap", "x.mcap"]
    assert len(read(tmp_path / "x.mcap")) == 3


def test_a_disk_that_fills_up_ends_the_recording_with_a_sentence_and_a_whole_file(tmp_path: Path) -> None:
    free = [2 * LEAST_FREE_BYTES]
    sink = McapSink(tmp_path / "x.mcap", free=lambda folder: free[0])
    sink.add(ramp_tick(0))
    sink.flush()
    free[0] = LEAST_FREE_BYTES - 1
    sink.add(ramp_tick(1))
    with pytest.raises(VigilError, match=r"x\.mcap has ended: 1\.1 GB are free on its disk, and 1\.1 GB must stay so"):
        sink.flush()
    sink.close()
    file = McapFile(tmp_path / "x.mcap")
    assert len(list(file.records())) == 2 and file.complete


def test_without_room_it_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"1\.1 GB or more free for the recording, found 0\.0 MB in .*; make room"):
        McapSink(tmp_path / "x.mcap", free=lambda folder: 10)
    assert not list(tmp_path.iterdir())


def test_all_parts_together_have_a_limit(tmp_path: Path) -> None:
    sink = McapSink(tmp_path / "x.mcap", Limits(part_bytes=30_000, total_bytes=200_000))
    with pytest.raises(VigilError, match=r"all its parts have reached 0\.2 MB"):
        for i in range(5000):
            sink.add(ramp_tick(i))
            sink.flush()
    with pytest.raises(VigilError, match="has ended"):
        sink.add(ramp_tick(0))
    size = sum(p.stat().st_size for p in tmp_path.iterdir())
    assert 200_000 <= size < 400_000 and len(read(tmp_path / "x.mcap")) == i + 1


class FullDisk:
    """A file whose disk is full after so many bytes."""

    def __init__(self, file: object, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)  # type: ignore[attr-defined,no-any-return]

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_a_full_disk_is_said_with_the_name_and_leaves_a_readable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: FullDisk(real(self, *a, **k), 30_000))
    sink = McapSink(tmp_path / "x.mcap")
    with pytest.raises(VigilError, match=r"The output .*x\.mcap could not be written: No space left on device"):
        for i in range(5000):
            sink.add(ramp_tick(i))
            sink.flush()
    sink.close()
    monkeypatch.undo()
    assert len(read(tmp_path / "x.mcap")) == i


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="Expected a recording named"):
        McapSink(tmp_path / "x.csv")
    with pytest.raises(BadInput, match="make it first"):
        McapSink(tmp_path / "none" / "x.mcap")
    (tmp_path / "x.mcap").write_bytes(b"old")
    with pytest.raises(BadInput, match="choose another name"):
        McapSink(tmp_path / "x.mcap")
    assert (tmp_path / "x.mcap").read_bytes() == b"old"
    monkeypatch.setattr(os, "access", lambda *a: False)  # root may write everywhere
    with pytest.raises(BadInput, match="a folder that can be written"):
        McapSink(tmp_path / "y.mcap")


def test_a_bed_cannot_name_a_path(tmp_path: Path) -> None:
    hostile = ramp_tick(0, bed="../../etc/passwd")
    path = record(tmp_path / "x.mcap", [hostile])
    assert [p.name for p in tmp_path.iterdir()] == ["x.mcap"]
    assert read(path) == [encode(hostile)] and decode(read(path)[0]).bed == hostile.bed
