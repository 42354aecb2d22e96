"""The session is operated from any thread, and says what a display must see."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from models.signals.modalities import Modality
from models.signals.recording import Segment
from models.signals.windows import WindowSpec
from streams.codec import encode
from streams.commands import mark_of
from streams.feed import DisplayFeed
from streams.records import (
    AlarmRecord,
    CommandRecord,
    PredictionRecord,
    StateRecord,
    WaveTick,
)
from streams.stages import END_TOPICS, ShowStage, WindowStage
from tests.monitor.sessions import BROKER, Make, arrives, collected, silent_s, ticks
from tests.streams.sources import FakeEngine, PatientMap, S, session_of, wait_until

# -- the operator -------------------------------------------------------------------------------------------------


def test_pause_resume_speed_and_step(make: Make) -> None:
    session = make(speed=10.0)
    records = collected(session)
    session.start()
    wait_until(lambda: len(ticks(records)) > 20)
    session.pause()
    wait_until(lambda: session.status().paused)
    at = session.status().position_s
    session.step(2.0)
    wait_until(lambda: session.status().position_s == pytest.approx(at + 2.0))
    session.set_speed(50.0)
    wait_until(lambda: session.status().speed == 50.0)
    session.resume()
    wait_until(lambda: session.status().position_s > at + 5.0)
    commands = [r.name for r in records if isinstance(r, CommandRecord)]
    assert commands == ["pause", "step", "speed", "resume"]
    assert {t.epoch for t in ticks(records)} == {0}


def test_a_mark_goes_to_all_who_listen_and_changes_nothing(make: Make) -> None:
    session = make(speed=10.0)
    records = collected(session)
    session.start()
    wait_until(lambda: len(ticks(records)) > 5)
    session.mark(0.25, "incision")
    wait_until(lambda: any(isinstance(r, CommandRecord) for r in records))
    (mark,) = [r for r in records if isinstance(r, CommandRecord)]
    assert mark_of(mark) == (0.25, "incision") and mark.session == ticks(records)[0].session
    assert mark_of(replace(mark, args={"word": "x"})) is None and mark_of(replace(mark, name="seek")) is None
    seen = len(ticks(records))
    wait_until(lambda: len(ticks(records)) > seen + 5)
    assert {t.epoch for t in ticks(records)} == {0} and not session.status().paused


def test_a_seek_begins_an_epoch_and_glues_nothing(make: Make) -> None:
    engine = FakeEngine()
    session = make(engine=engine)
    records = collected(session)
    session.start()
    wait_until(lambda: len(engine.windows) > 8)
    session.seek(300.0)
    wait_until(lambda: any(t.epoch == 1 for t in ticks(records)))
    first = next(t for t in ticks(records) if t.epoch == 1)
    assert (first.start_ns, first.tick_seq) == (240 * 10**9, 0), "the minute before comes first"
    wait_until(lambda: any(w.end_s > 242 for w in engine.windows))
    window = next(w for w in engine.windows if w.end_s > 242)
    assert not window.cells[:, : -(window.end_s - 240)].any(), "cells of the old epoch in a window of the new"


def test_a_dropped_sensor_leaves_the_measured_state_and_comes_back(make: Make) -> None:
    session = make(speed=20.0)
    records = collected(session)
    session.start()

    def state() -> str:
        found = [r for r in list(records) if isinstance(r, StateRecord)]
        return found[-1].state["ABP"] if found else "none yet"

    wait_until(lambda: state() == "")
    session.set_dropped(Modality.ABP, True)
    wait_until(lambda: session.status().dropped == {Modality.ABP})
    wait_until(lambda: state() == "withheld")
    held = [t for t in ticks(records) for c in t.chunks if c.modality == "ABP" and c.withheld]
    since = next(r.time_ns for r in records if isinstance(r, StateRecord) and r.state["ABP"] == "withheld")
    assert since - held[0].start_ns <= 10**9
    session.set_dropped(Modality.ABP, False)
    wait_until(lambda: state() == "")


def test_a_command_given_before_the_start_is_not_lost(make: Make) -> None:
    session = make()
    session.pause()
    session.start()
    wait_until(lambda: session.status().paused)


def test_a_session_that_stays_open_can_be_replayed_after_its_end(make: Make) -> None:
    feed = DisplayFeed(100_000)
    session = make(20.0, speed=None, stay_open=True, feed=feed)
    session.start()
    assert session.wait(30)
    assert session.status().ended and session.status().error == ""
    session.seek(15.0)
    wait_until(lambda: any(isinstance(r, WaveTick) and r.epoch == 1 for r in feed.drain(1000)))
    assert session.wait(30)
    assert session.status().ended
    heartbeat = session.status().heartbeat_ns
    wait_until(lambda: session.status().heartbeat_ns > heartbeat, what="a heartbeat after the end")


def test_the_end_of_an_epoch_that_was_left_is_not_the_end(make: Make) -> None:
    session = make(broker=BROKER)
    session.start()
    session.pause()
    session.seek(100.0)
    wait_until(lambda: session.status().position_s == 100.0)
    old = WaveTick(bed="bed1", session=session.id, epoch=0, tick_seq=9, start_ns=0, end_ns=0, eos=True)
    for topic in END_TOPICS:
        arrives(topic, encode(old))
        arrives(topic, b"nonsense")  # whose dead letter tells that what was before it has been read
    wait_until(lambda: session.report()["dead_letters"] >= len(END_TOPICS), what="a dead letter a topic")
    assert not session.wait(0) and not session.status().ended


def test_what_the_display_shows_is_in_the_latencies(make: Make) -> None:
    session = make()
    assert session.first_shown_ns == 0
    session.shown("sample_to_screen", 10**9, 10**9 + 50_000_000)
    assert session.first_shown_ns == 10**9 + 50_000_000
    assert session.report()["latency_ms"]["sample_to_screen"]["max"] == 50.0


@pytest.mark.slow
def test_a_thousand_pauses_over_the_wire_and_the_session_lives(make: Make) -> None:
    """Every command through the stream itself, among waves that go by fifty times as fast."""
    session, epochs = make(feed=DisplayFeed()), {0}
    session.subscribe(lambda record: epochs.add(record.epoch) if isinstance(record, WaveTick) else None)
    session.start()
    assert session.wait_opened(10)
    for cycle in range(1000):
        session.pause()
        session.resume()
        if cycle % 50 == 49:
            session.seek(10.0)
            wait_until(lambda at=cycle: (at + 1) // 50 in epochs)  # type: ignore[misc]
    wait_until(lambda: not session.status().paused)
    position_s = session.status().position_s
    wait_until(lambda: session.status().position_s > position_s + 2.0)
    assert session.failure is None and session.status().error == ""
    assert session.report()["samples"]["ECG"]["lost"] == 0


def test_an_operator_who_presses_whatever_key_does_not_kill_the_session(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.runner.HEARTBEAT_S", 0.01)
    chance = random.Random(7)
    session = make(stay_open=True)
    session.start()
    keys: list[Callable[[], None]] = [
        session.pause, session.resume, lambda: session.seek(chance.uniform(-10, 700)),
        lambda: session.step(chance.uniform(-20, 20)), lambda: session.set_speed(chance.choice([0.25, 1.0, 50.0])),
        lambda: session.set_dropped(chance.choice(list(Modality)), chance.random() < 0.5),
    ]  # fmt: skip
    for _ in range(20):
        for _ in range(50):
            chance.choice(keys)()
        heartbeat_ns = session.status().heartbeat_ns
        wait_until(lambda seen=heartbeat_ns: session.status().heartbeat_ns > seen)  # type: ignore[misc]
        assert session.failure is None and session.status().error == ""
    session.set_speed(50.0)
    session.seek(100.0)
    session.resume()
    wait_until(lambda: 100.0 < session.status().position_s < 590.0 and not session.status().ended)
    position_s = session.status().position_s
    wait_until(lambda: session.status().position_s > position_s)


def test_commands_wait_for_a_recording_that_opens_slowly(make: Make) -> None:
    gate, patient = threading.Event(), PatientMap(600.0)

    def slow() -> PatientMap:
        assert gate.wait(20)
        return patient

    session = session_of({"bed1": slow}, WindowSpec(), None, speed=50.0)  # type: ignore[dict-item]
    records = collected(session)
    try:
        session.start()
        session.pause()
        session.set_dropped(Modality.ABP, True)
        session.set_speed(99.0)
        wait_until(lambda: sum(isinstance(r, CommandRecord) for r in list(records)) == 3, what="the commands")
        gate.set()
        wait_until(lambda: session.status().paused and session.status().dropped == {Modality.ABP})
        wait_until(lambda: session.report()["dead_letters"] == 1, what="the nonsense among the dead letters")
        assert session.status().error == ""
    finally:
        gate.set()
        session.stop()


# -- what a display must see --------------------------------------------------------------------------------------


def test_a_source_that_gives_nothing_shows_in_the_progress_and_so_does_its_return(make: Make) -> None:
    gate, hangs = threading.Event(), threading.Event()

    class Hanging(PatientMap):
        def read(self, *args: Any) -> Segment:
            if args[1] >= 20 * S:
                hangs.set()
                assert gate.wait(60)
            return super().read(*args)

    session = make(source=Hanging(600.0))
    session.start()
    try:
        assert hangs.wait(60)
        wait_until(lambda: silent_s(session) > 0.5, what="silence")
        status = session.status()
        assert not status.paused and not status.ended and status.error == ""
        assert time.monotonic_ns() - status.heartbeat_ns < status.heartbeat_ns - status.progress_ns, (
            "it beats all the time"
        )
        silence_ns = status.progress_ns
        session.set_speed(25.0)  # a key pressed in vain is no sign of life
        wait_until(lambda: session.status().speed == 25.0)
        assert session.status().progress_ns == silence_ns
    finally:
        gate.set()
    wait_until(lambda: session.status().progress_ns > silence_ns, what="progress")


@pytest.mark.parametrize("stage", [WindowStage, ShowStage])
def test_a_stage_that_reads_nothing_shows_in_the_progress_although_the_other_one_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, stage: type[Any]
) -> None:
    stuck, handle = threading.Event(), stage.handle

    async def until_stuck(*arguments: Any) -> None:
        if stuck.is_set():
            await asyncio.Event().wait()
        await handle(*arguments)

    monkeypatch.setattr(stage, "handle", until_stuck)
    session = make()
    session.start()
    wait_until(lambda: session.status().position_s > 2.0)
    stuck.set()
    wait_until(lambda: silent_s(session) > 0.5, what="silence")
    assert not session.status().ended


def test_after_a_long_pause_nothing_looks_late(make: Make) -> None:
    """Also before the first tick after it has been handled."""
    session = make(speed=1.0)
    session.start()
    credits = session._flow.credits
    for _ in range(10):
        wait_until(lambda: credits.handled_ns("bed1") > 0)
        before_ns = credits.handled_ns("bed1")
        session.pause()
        wait_until(lambda: session.status().paused)
        credits._handled_ns.clear()  # as if it were long ago
        session.resume()
        while (status := session.status()).paused:
            pass
        assert status.progress_ns >= before_ns


def test_after_the_end_nothing_looks_late_either(make: Make) -> None:
    session = make(20.0, speed=None, stay_open=True)
    session.start()
    assert session.wait(30)
    asked_ns = time.monotonic_ns()
    session.seek(5.0)
    wait_until(lambda: not (status := session.status()).ended and status.progress_ns >= asked_ns)


def test_what_alarms_and_predictions_give_as_their_reason_arrives_word_for_word(make: Make) -> None:
    feed = DisplayFeed(100_000)
    session = make(feed=feed, broker=BROKER)
    records = collected(session)
    session.start()
    wait_until(lambda: len(ticks(records)) > 5)
    head = {"bed": "bed1", "session": session.id, "epoch": 0}
    began = AlarmRecord(
        **head, time_ns=0, key="asystole", priority="high", kind="physiological", text="ASYSTOLE", active=True,
        reason="ABP and PPG show no pulse", now="6 s",
    )  # fmt: skip
    abstains = PredictionRecord(
        **head, window_end_ns=S, model="m", backend="b", modalities=[], presence=[], ages_s=[], valid=True,
        abstain=True, reason="the ECG shows no rhythm", risk={},
    )  # fmt: skip
    for topic, record in (("alarms", began), ("predictions", abstains)):
        arrives(topic, encode(record))
    wait_until(lambda: any(isinstance(r, AlarmRecord) and r.key == "asystole" for r in list(records)))
    wait_until(lambda: any(isinstance(r, PredictionRecord) and r.reason == abstains.reason for r in list(records)))
    assert began in records and began in feed.drain(100_000)
    session.stop()
    row = session.report()["alarms"]["asystole"]
    assert (row["count"], row["highest_priority"], row["first_s"]) == (1, "high", 0.0) and row["seconds_active"] > 0
