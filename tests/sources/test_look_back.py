"""What was recorded around a moment, read while it is recorded: nothing of another time or bed, and no more memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from models.signals.errors import BadInput
from streams.codec import encode
from streams.limit_settings import checked, default_setting, moved
from streams.records import AlarmRecord, AnyRecord, BedRecord, LimitsRecord, WaveTick
from streams.sources import look_back
from streams.sources.look_back import LookBack
from tests.ui.recorded import UNIX_S, Recorder, alarm
from tests.ui.synthetic import NS, Patient


def at(second: float) -> int:
    return round((UNIX_S + second) * NS)


def coded(told: Sequence[tuple[int, AnyRecord]]) -> list[tuple[int, bytes]]:
    return [(taken_ns, encode(record)) for taken_ns, record in told]


def between(recorder: Recorder, begin_ns: int, end_ns: int, bed: str = "Bed 3") -> list[tuple[int, AnyRecord]]:
    """What was recorded then, after the limits of before, which are said each second and change at none."""
    told = [(ns, r) for ns, r in recorder.told if r.bed == bed and ns <= end_ns and not isinstance(r, BedRecord)]
    limits = [(ns, r) for ns, r in told if isinstance(r, LimitsRecord) and ns < begin_ns]
    return [*limits[:1], *((ns, r) for ns, r in told if begin_ns <= ns)]


def followed(path: Path, **slices: int) -> LookBack:
    found = LookBack(path)
    while found.follow(**slices):
        pass
    return found


def test_it_reads_what_was_told_by_then_while_the_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    found = LookBack(path)
    assert not found.follow() and found.span_ns is None, "not there yet"
    recorder = Recorder(path, Patient())
    recorder.run_to(30)
    while found.follow():
        pass
    assert found.span_ns == (at(0), at(30))
    recorder.run_to(60.2)  # what is in the open chunk is not on the disk
    while found.follow():
        pass
    assert found.span_ns == (at(0), at(60))
    for moment in (8.0, 31.3, 60.0):
        past = found.past("Bed 3", at(moment), 5.0)
        assert coded(past.told) == coded(between(recorder, at(moment - 5.0), at(moment)))
        assert any(isinstance(record, WaveTick) for _, record in past.told)
        assert past.described == recorder.told[0][1]


def test_a_look_goes_through_parts_that_follow_one_another(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x.mcap", Patient(), part_s=10.0)
    found = LookBack(tmp_path / "x.mcap")
    for second in range(1, 41):
        recorder.run_to(second)
        while found.follow():
            pass
    assert len(list(tmp_path.iterdir())) >= 4
    assert found.span_ns == (at(0), at(40))
    past = found.past("Bed 3", at(22.0), 15.0)
    assert coded(past.told) == coded(between(recorder, at(7.0), at(22.0)))


@pytest.mark.parametrize("cut", [-1, -9, -200, -5000])
def test_a_chunk_that_is_not_whole_yet_is_read_when_it_is(tmp_path: Path, cut: int) -> None:
    recorder = Recorder(tmp_path / "whole.mcap", Patient())
    recorder.run_to(20)
    content = (tmp_path / "whole.mcap").read_bytes()
    growing = tmp_path / "x.mcap"
    growing.write_bytes(content[:cut])
    found = followed(growing)
    growing.write_bytes(content)
    while found.follow():
        pass
    whole = between(recorder, at(0), at(20))
    assert coded(found.past("Bed 3", at(20), 60).told) == coded(whole)


def test_alarms_that_began_before_are_told_first_and_renewals_are_not(tmp_path: Path) -> None:
    began, renewed = alarm(5, "HR 171 > 120"), alarm(6, "HR 171 > 120")
    ended = alarm(40, "HR 171 > 120", active=False)
    recorder = Recorder(tmp_path / "x.mcap", Patient(), [began, renewed, ended])
    recorder.run_to(60)
    found = followed(tmp_path / "x.mcap")
    told = [record for _, record in found.past("Bed 3", at(30), 10).told if isinstance(record, AlarmRecord)]
    assert told == [began]
    told = [record for _, record in found.past("Bed 3", at(55), 10).told if isinstance(record, AlarmRecord)]
    assert told == [began, ended]


def test_limits_that_were_set_before_are_told_first_and_those_of_later_are_not(tmp_path: Path) -> None:
    patient = Patient()
    recorder = Recorder(tmp_path / "x.mcap", patient)
    sets = [checked([moved(default_setting("hr"), 50.0, high)]) for high in (120.0, 140.0, 150.0)]
    for second, patient.limits in zip((10, 40, 60), sets, strict=True):
        recorder.run_to(second)
    found = followed(tmp_path / "x.mcap")
    for moment, said in ((8, sets[:1]), (35, sets[:2]), (59, sets)):
        told = [tuple(r.limits) for _, r in found.past("Bed 3", at(moment), 0.1).told if isinstance(r, LimitsRecord)]
        assert list(dict.fromkeys(told)) == said, f"at {moment} s"


def test_each_bed_has_its_own_past(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x.mcap", Patient())
    other = Patient(bed="b")
    for second in range(20):
        recorder.run_to(second + 1)
        recorder.add(record for seq in range(20 * second, 20 * second + 20) for record in other.tick(seq))
    recorder.sink.flush()
    found = followed(tmp_path / "x.mcap")
    for bed in ("Bed 3", "b"):
        past = found.past(bed, at(15), 5)
        assert coded(past.told) == coded(between(recorder, at(10), at(15), bed)) != []
    assert not found.past("nobody", at(15), 5).told


def test_what_was_said_before_is_read_without_its_waves(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x.mcap", Patient())
    recorder.run_to(40)
    told = followed(tmp_path / "x.mcap").past("Bed 3", at(40), 5, 30).told
    assert min(ns for ns, record in told if isinstance(record, WaveTick)) == at(35)
    assert min(ns for ns, record in told if not isinstance(record, WaveTick | LimitsRecord)) == at(10.0)


def test_where_nothing_was_recorded_nothing_is_told(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x.mcap", Patient())
    recorder.run_to(10)
    recorder.pause_to(30)
    recorder.run_to(40)
    found = followed(tmp_path / "x.mcap")
    assert all(isinstance(record, LimitsRecord) for _, record in found.past("Bed 3", at(28), 10).told)
    assert not [r for ns, r in found.past("Bed 3", at(35), 20).told if at(10) < ns < at(30)]


def test_what_is_kept_of_a_long_recording_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_back, "MOST_BLOCKS", 16)
    monkeypatch.setattr(look_back, "BLOCK_NS", NS)
    recorder = Recorder(tmp_path / "x.mcap", Patient())
    recorder.run_to(120)
    found = followed(tmp_path / "x.mcap", most_bytes=50_000)
    assert len(found._blocks) <= 16
    past = found.past("Bed 3", at(61), 5)
    assert coded(past.told) == coded(between(recorder, at(56), at(61)))


def test_what_is_no_recording_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(b"no recording at all")
    with pytest.raises(BadInput, match="an MCAP recording"):
        LookBack(tmp_path / "x.mcap").follow()
