"""Several beds in one session: each with its own source, clock, commands and end."""

from __future__ import annotations

import pytest

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.records import AnyRecord, WaveTick
from tests.streams.sources import FakeEngine, PatientMap, S, session_of, wait_until

LENGTHS = {"a": 30.0, "b": 12.0, "c": 20.0}


def two(speed: float | None, **options: object):  # type: ignore[no-untyped-def]
    patients = {bed: PatientMap(600.0) for bed in "ab"}
    return session_of(
        {bed: lambda patient=patient: patient for bed, patient in patients.items()},  # type: ignore[misc]
        WindowSpec(), None, speed=speed, stay_open=True, **options,
    )  # fmt: skip


def test_beds_of_different_lengths_end_each_for_itself_and_the_session_with_the_last() -> None:
    patients = {bed: PatientMap(seconds) for bed, seconds in LENGTHS.items()}
    records: list[AnyRecord] = []
    engine = FakeEngine()
    session = session_of(
        {bed: lambda patient=patient: patient for bed, patient in patients.items()},  # type: ignore[misc]
        WindowSpec(), lambda: engine, speed=None,
    )  # fmt: skip
    session.subscribe(records.append)
    session.start()
    assert session.wait(120)
    ends = {bed: max(r.end_ns for r in records if isinstance(r, WaveTick) and r.bed == bed) for bed in LENGTHS}
    assert {bed: round(end / S) for bed, end in ends.items()} == {bed: round(s) for bed, s in LENGTHS.items()}
    assert all(patient.recording.closed for patient in patients.values())
    report = session.report()
    assert report["windows"] == report["predictions"] == 62
    assert report["samples"]["PPG"]["sent"] == report["samples"]["PPG"]["received"] == 6200


def test_what_is_asked_and_ordered_is_about_the_bed_on_show() -> None:
    session = two(2.0)
    session.start()
    try:
        assert session.wait_opened(60) and session.beds == ("a", "b") and session.bed == "a"
        session.pause()
        wait_until(lambda: session.status().paused)
        session.show("b")
        assert session.bed == "b" and not session.status().paused
        session.set_dropped(Modality.ABP, True)
        wait_until(lambda: session.status().dropped == {Modality.ABP})
        session.seek(300.0)
        session.set_speed(5.0)
        wait_until(lambda: session.status().position_s >= 300.0 and session.status().speed == 5.0)
        session.show("a")
        status = session.status()
        assert status.paused and not status.dropped and status.speed == 2.0 and status.position_s < 300.0
        with pytest.raises(BadInput, match="one of the beds a, b"):
            session.show("z")
    finally:
        session.stop()


def test_a_bed_that_cannot_be_opened_ends_the_session_with_its_sentence() -> None:
    def broken() -> PatientMap:
        raise BadInput("a recording", "nothing", "name one")

    good = PatientMap(600.0)
    session = session_of({"a": lambda: good, "b": broken}, WindowSpec(), None)
    session.start()
    with pytest.raises(BadInput, match="a recording"):
        session.wait(60)
    session.stop()
    assert good.recording.closed
