"""A recording as a source: what it says of itself, what it refuses, and how it lets go of its file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.records import WaveTick
from streams.sources.bed_replay import Drop
from streams.sources.replay import ReplaySource, replays
from streams.sources.source import Seekable
from tests.streams.sources import PatientMap, S, wait_until

ABP, ECG = Modality.ABP, Modality.ECG


@dataclass
class Taker:
    """Takes every tick, or ``most`` of them."""

    most: int = 1 << 30
    ticks: list[WaveTick] = field(default_factory=list)

    def __call__(self, tick: WaveTick) -> bool:
        if len(self.ticks) >= self.most:
            return False
        self.ticks.append(tick)
        return True


def source_of(patient: PatientMap, **options: object) -> ReplaySource:
    return ReplaySource("7", "run", lambda: patient, **options)  # type: ignore[arg-type,return-value]


def test_it_says_what_it_has() -> None:
    source = source_of(PatientMap(20.0), speed=None)
    record = source.describe()
    assert (record.bed, record.session, record.title, record.seekable) == ("7", "run", "test", True)
    assert [(c.modality, c.unit, c.lead) for c in record.channels[:2]] == [("ECG", "mV", 0), ("ABP", "mmHg", 0)]
    assert record.start_ns == 0 and record.end_ns == pytest.approx(20 * S, abs=S)
    assert isinstance(source, Seekable)
    source.stop()
    source.run(Taker())


def test_it_plays_to_its_end_and_a_seek_afterwards_begins_anew() -> None:
    patient, taker = PatientMap(20.0), Taker()
    source = source_of(patient, speed=None, from_s=5.0, for_s=10.0)
    source.describe()
    assert source.position_s == 5.0
    runner = threading.Thread(target=source.run, args=(taker,))
    runner.start()
    wait_until(lambda: bool(taker.ticks) and taker.ticks[-1].eos)
    assert (taker.ticks[0].start_ns, taker.ticks[-1].end_ns) == (5 * S, 15 * S)
    source.seek(12.0)
    wait_until(lambda: taker.ticks[-1].eos and taker.ticks[-1].epoch == 1)
    played = (t for t in taker.ticks if t.epoch == 1 and t.goes_to_ns is None)
    assert next(played).start_ns == 12 * S and source.epoch == 1
    assert not patient.recording.closed
    source.stop()
    runner.join(60)
    assert not runner.is_alive() and patient.recording.closed
    assert not [t for t in threading.enumerate() if t.name == "vigil-decode-7"]


def test_it_ends_where_nobody_takes_its_ticks() -> None:
    patient = PatientMap(20.0)
    source = source_of(patient, speed=None)
    source.describe()
    source.run(Taker(most=3))
    assert patient.recording.closed


def test_what_is_wrong_with_the_recording_ends_it_with_that() -> None:
    patient = PatientMap(20.0, fail_at_s=3.0)
    source = source_of(patient, speed=None)
    source.describe()
    with pytest.raises(OSError, match="disk gone"):
        source.run(Taker())
    assert patient.recording.closed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"from_s": 30.0}, "a start within"),
        ({"for_s": 0.0}, "a length above 0"),
        ({"drops": (Drop(ABP, 30.0, 40.0),)}, "a range to drop"),
        ({"drops": (Drop(Modality.RESP, 1.0, 4.0),)}, "a channel to drop"),
        ({"speed": 60.0}, "a speed from"),
    ],
)
def test_what_cannot_be_played_is_one_sentence_and_the_file_is_closed(options: dict[str, object], says: str) -> None:
    patient = PatientMap(20.0)
    with pytest.raises(BadInput, match=says):
        source_of(patient, **options).describe()
    assert patient.recording.closed or "speed" in options  # which is refused before it is opened


def test_many_beds_get_longer_ticks_and_lag_by_their_part() -> None:
    made = replays({str(i): lambda: PatientMap(5.0) for i in range(40)}, speed=1.0)  # type: ignore[misc,return-value]
    options = [make.keywords for make in made.values()]  # type: ignore[attr-defined]
    assert {o["tick_ns"] for o in options} == {S // 10}
    assert sorted({o["lag_ns"] for o in options}) == [k * S // 10 for k in range(10)]
