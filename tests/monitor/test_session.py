"""The session starts at once, is operated from any thread, stops in time and never dies in silence."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from models.signals.errors import BadInput, VigilError
from models.signals.modalities import Modality
from models.signals.recording import Segment
from models.signals.windows import WindowSpec
from monitor.session import Session, SessionError
from streams.codec import encode
from streams.control import SessionControl
from streams.feed import DisplayFeed
from streams.records import (
    AlarmRecord,
    AnyRecord,
    CommandRecord,
    DeadLetter,
    PredictionRecord,
    StateRecord,
    WaveTick,
)
from streams.sources.bed_replay import Drop
from streams.stages import END_TOPICS, ShowStage, WindowStage
from tests.streams.sources import FakeEngine, PatientMap, S, wait_until

Make = Callable[..., Session]


@pytest.fixture
def make() -> Iterator[Make]:
    """Builds sessions on the test patient; whatever a test leaves running is stopped."""
    made: list[Session] = []

    def build(
        seconds: float = 600.0, *, engine: FakeEngine | None = None, source: PatientMap | None = None, **options: object
    ) -> Session:
        model = engine or FakeEngine()
        options.setdefault("speed", 50.0)
        patient = source or PatientMap(seconds)
        session = Session({"bed1": lambda: patient}, WindowSpec(), lambda: model, **options)  # type: ignore[arg-type,return-value]
        made.append(session)
        return session

    yield build
    for session in made:
        session.stop()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("vigil-")]


def collected(session: Session) -> list[AnyRecord]:
    records: list[AnyRecord] = []
    session.subscribe(records.append)
    return records


def ticks(records: list[AnyRecord]) -> list[WaveTick]:
    return [r for r in list(records) if isinstance(r, WaveTick)]


def test_start_waits_for_no_recording_and_the_status_is_there() -> None:
    slow = threading.Event()

    def opener() -> PatientMap:
        assert slow.wait(120)
        return PatientMap(600.0)

    session = Session({"bed1": opener}, WindowSpec(), lambda: FakeEngine(), speed=50.0)  # type: ignore[arg-type,return-value]
    control: SessionControl = session
    session.start()
    try:
        assert not session.wait_opened(0) and not control.status().ended and control.status().error == ""
        slow.set()
        _is_there(session)
    finally:
        slow.set()
        session.stop()


def _is_there(session: Session) -> None:
    assert session.wait_opened(10)
    assert [c.modality for c in session.channels] == [Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG]
    assert session.status().duration_s == pytest.approx(600, abs=0.1)
    wait_until(lambda: session.status().model == "fake")
    assert session.status().backend == "fake"


def test_stop_may_be_called_twice(make: Make) -> None:
    session = make()
    records = collected(session)
    session.start()
    wait_until(lambda: len(ticks(records)) > 50)
    session.stop()
    session.stop()
    assert session.wait(0)
    assert session.status().ended and session.status().error == ""


def test_stop_right_after_start(make: Make) -> None:
    session = make()
    session.start()
    session.stop()
    assert session.status().ended and session.failure is None


def test_stop_while_a_full_mailbox_holds_the_windower_up(make: Make) -> None:
    gate = threading.Event()
    session = make(engine=FakeEngine(wait=gate), speed=None)
    session.start()
    try:
        wait_until(lambda: session._window is not None and session._window.waiting, what="the full mailbox")
    finally:
        gate.set()
    session.stop()
    assert session.failure is None


def test_a_slow_model_skips_windows_and_never_holds_the_waves(make: Make) -> None:
    gate = threading.Event()
    session = make(engine=FakeEngine(wait=gate))
    records = collected(session)
    session.start()
    wait_until(lambda: len(ticks(records)) > 400, what="waves")
    gate.set()
    wait_until(lambda: any(isinstance(r, PredictionRecord) for r in list(records)), what="a prediction")
    session.stop()
    report = session.report()
    assert report["skipped_windows"] > 10 and report["samples"]["ECG"]["lost"] == 0


def test_at_max_a_slow_model_makes_the_source_wait_and_nothing_is_skipped(make: Make) -> None:
    gate = threading.Event()
    engine = FakeEngine(wait=gate)
    session = make(150.0, engine=engine, speed=None)
    session.start()
    wait_until(lambda: session._window is not None and session._window.waiting, what="the full mailbox")
    assert not session.wait(0.05)
    gate.set()
    assert session.wait(60)
    assert [w.end_s for w in engine.windows] == list(range(1, 151))
    assert session.report()["skipped_windows"] == 0


def test_without_a_model_the_waves_flow_and_the_run_ends() -> None:
    session = Session({"bed1": lambda: PatientMap(20.0)}, WindowSpec(), None, speed=None)  # type: ignore[dict-item,return-value]
    session.start()
    assert session.wait(30)
    report = session.report()
    assert (report["windows"], report["predictions"], report["model"]) == (20, 0, None)
    assert (report["dead_letters"], report["late_samples"]) == (0, 0)


def test_three_beds_each_get_their_own(make: Make) -> None:
    engine = FakeEngine()
    sources = {f"bed{i}": (lambda s=10.0 + i: PatientMap(s)) for i in range(3)}
    session = Session(sources, WindowSpec(), lambda: engine, speed=None)  # type: ignore[arg-type]
    records = collected(session)
    session.start()
    assert session.wait(60)
    for i in range(3):
        ends = [r.window_end_ns // 10**9 for r in records if isinstance(r, PredictionRecord) and r.bed == f"bed{i}"]
        assert ends == list(range(1, 11 + i))
    assert session.report()["samples"]["PPG"]["lost"] == 0


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


def test_a_seek_begins_an_epoch_and_glues_nothing(make: Make) -> None:
    engine = FakeEngine()
    session = make(engine=engine)
    records = collected(session)
    session.start()
    wait_until(lambda: len(engine.windows) > 8)
    session.seek(300.0)
    wait_until(lambda: any(t.epoch == 1 for t in ticks(records)))
    first = next(t for t in ticks(records) if t.epoch == 1)
    assert (first.start_ns, first.tick_seq) == (300 * 10**9, 0)
    wait_until(lambda: any(w.end_s > 302 for w in engine.windows))
    window = next(w for w in engine.windows if w.end_s > 302)
    assert not window.cells[:, : -(window.end_s - 300)].any(), "cells of the old epoch in a window of the new"


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
    session = make()
    session.start()
    session.pause()
    session.seek(100.0)
    wait_until(lambda: session._player is not None and session._player.epoch == 1)
    old = WaveTick(bed="bed1", session=session.id, epoch=0, tick_seq=9, start_ns=0, end_ns=0, eos=True)
    for topic in END_TOPICS:
        session._on_end(topic, old)
    assert not session.wait(0) and not session.status().ended


def test_what_the_display_shows_is_in_the_latencies(make: Make) -> None:
    session = make()
    assert session.first_shown_ns == 0
    session.shown("sample_to_screen", 10**9, 10**9 + 50_000_000)
    assert session.first_shown_ns == 10**9 + 50_000_000
    assert session.report()["latency_ms"]["sample_to_screen"]["max"] == 50.0


def test_a_thousand_pauses_over_the_wire_and_the_session_lives(make: Make) -> None:
    """Every command through the stream itself, among waves that go by fifty times as fast."""
    session = make(feed=DisplayFeed())
    session.start()
    assert session.wait_opened(10)
    for cycle in range(1000):
        session.pause()
        session.resume()
        if cycle % 50 == 49:
            session.seek(10.0)
            wait_until(lambda at=cycle: session._player is not None and session._player.epoch == (at + 1) // 50)  # type: ignore[misc]
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


# -- what a display must see --------------------------------------------------------------------------------------


def silent_s(session: Session) -> float:
    return (time.monotonic_ns() - session.status().progress_ns) / 1e9


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
    for _ in range(10):
        wait_until(lambda: session._credits.handled_ns > 0)
        before_ns = session._credits.handled_ns
        session.pause()
        wait_until(lambda: session.status().paused)
        session._credits._handled_ns.clear()  # as if it were long ago
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
    session = make(feed=feed)
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
        session._stream.post(topic, "bed1", encode(record))
    wait_until(lambda: any(isinstance(r, AlarmRecord) and r.key == "asystole" for r in list(records)))
    wait_until(lambda: any(isinstance(r, PredictionRecord) and r.reason == abstains.reason for r in list(records)))
    assert began in records and began in feed.drain(100_000)
    session.stop()
    row = session.report()["alarms"]["asystole"]
    assert (row["count"], row["highest_priority"], row["first_s"]) == (1, "high", 0.0) and row["seconds_active"] > 0


# -- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_malformed_message_is_a_dead_letter_and_stops_nothing(make: Make) -> None:
    session = make()
    records = collected(session)
    session.start()
    wait_until(lambda: len(ticks(records)) > 5)
    for topic, message in [
        ("waves", b"\xff\xfe nonsense"), ("waves", b""), ("vitals", b"{}"), ("predictions", b"\x81"),
        ("commands", b"\x00"),
    ]:  # fmt: skip
        session._stream.post(topic, "bed1", message)
    session._stream.post("commands", "bed1", encode(session._command("seek", time_s=float("1e300"))))
    session._stream.post("waves", "bed1", encode(session._command("pause")))
    wait_until(lambda: session.report()["dead_letters"] == 7, what="seven dead letters")
    letters = [r for r in records if isinstance(r, DeadLetter)]
    assert sorted(x.topic for x in letters) == [
        "commands", "commands", "predictions", "vitals", "waves", "waves", "waves",
    ]  # fmt: skip
    assert all(x.reason.endswith(".") and len(x.head) <= 64 for x in letters)
    count = len(ticks(records))
    wait_until(lambda: len(ticks(records)) > count + 50, what="waves after the garbage")
    assert session.status().error == "" and session.report()["samples"]["ECG"]["lost"] == 0


def fails_visibly(session: Session, reason: str) -> None:
    with pytest.raises(VigilError, match=reason):
        session.wait(20)
    status = session.status()
    assert status.ended and reason in status.error and "\n" not in status.error
    assert session.failure is not None


@pytest.mark.expects_error_log
def test_an_exception_in_the_model_ends_the_session_with_the_reason(make: Make) -> None:
    engine = FakeEngine(fail_at=3)
    session = make(engine=engine)
    session.start()
    fails_visibly(session, "the model broke")
    assert engine.closed


@pytest.mark.expects_error_log
def test_a_model_that_ends_its_own_thread_ends_the_session_with_the_reason(make: Make) -> None:
    engine = FakeEngine()

    def leave(*_: object, **__: object) -> None:
        raise SystemExit(3)

    engine.predict = leave  # type: ignore[assignment,method-assign]
    session = make(engine=engine)
    session.start()
    fails_visibly(session, "The inference failed: SystemExit")


@pytest.mark.expects_error_log
@pytest.mark.parametrize("part", ["stream", "source", "inference"])
def test_a_thread_that_leaves_without_a_word_ends_the_session_with_one(make: Make, part: str) -> None:
    session = make()
    session.start()
    wait_until(lambda: session.status().model == "fake")
    assert session._player is not None and session._mailbox is not None
    {"stream": session._stream.stop, "source": session._player.stop, "inference": session._mailbox.close}[part]()
    fails_visibly(session, "thread ended although nothing had told it to")


@pytest.mark.expects_error_log
def test_an_exception_in_an_agent_ends_the_session_with_the_reason(make: Make) -> None:
    session = make()

    def broken(record: AnyRecord) -> None:
        if isinstance(record, StateRecord):
            raise ZeroDivisionError("subscriber broke")

    session.subscribe(broken)
    session.start()
    fails_visibly(session, "subscriber broke")


@pytest.mark.expects_error_log
def test_an_exception_in_the_windower_ends_the_session_with_the_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise IndexError("the windower broke")

    monkeypatch.setattr("streams.windower.BedWindower.handle", broken)
    session = make()
    session.start()
    fails_visibly(session, "the windower broke")


@pytest.mark.expects_error_log
@pytest.mark.parametrize("speed", [None, 50.0])
def test_a_recording_that_breaks_off_ends_the_session_with_the_reason(make: Make, speed: float | None) -> None:
    session = make(source=PatientMap(100.0, fail_at_s=30.0), speed=speed)
    session.start()
    fails_visibly(session, "disk gone")


@pytest.mark.expects_error_log
def test_another_window_than_promised_is_refused(make: Make) -> None:
    session = make(engine=FakeEngine(spec=WindowSpec(frames=5)))
    session.start()
    fails_visibly(session, "differs from the one")


@pytest.mark.expects_error_log
def test_a_stream_that_stands_still_is_noticed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.runner.STALL_S", 0.3)

    async def stuck(*_: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("streams.stages.WindowStage.handle", stuck)
    session = make()
    session.start()
    fails_visibly(session, "stands still")


def test_bad_input_is_raised_as_such(make: Make) -> None:
    def no_such_file() -> None:
        raise BadInput("a recording", "nothing", "name another")

    session = Session({"bed1": no_such_file}, WindowSpec(), None)  # type: ignore[dict-item]
    session.start()
    with pytest.raises(BadInput, match="found nothing"):
        session.wait_opened(10)
    session.stop()
    assert session.status().error.startswith("Expected a recording")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"from_s": 600.5}, "a start within"),
        ({"from_s": -1.0}, "a start within"),
        ({"for_s": 0.0}, "above 0 s"),
        ({"drops": [Drop(Modality.RESP, 1, 2)]}, "a channel to drop"),
        ({"drops": [Drop(Modality.ABP, 20, 10)]}, "a range to drop"),
        ({"drops": [Drop(Modality.ABP, 700, 710)]}, "a range to drop"),
    ],
)
def test_settings_that_make_no_sense(make: Make, options: dict[str, object], says: str) -> None:
    session = make(**options)
    session.start()
    with pytest.raises(BadInput, match=says):
        session.wait_opened(10)


def test_an_error_of_the_session_is_a_vigil_error() -> None:
    assert issubclass(SessionError, VigilError)


def test_commands_wait_for_a_recording_that_opens_slowly(make: Make) -> None:
    gate, patient = threading.Event(), PatientMap(600.0)

    def slow() -> PatientMap:
        assert gate.wait(20)
        return patient

    session = Session({"bed1": slow}, WindowSpec(), None, speed=50.0)  # type: ignore[dict-item]
    try:
        session.start()
        session.pause()
        session.set_dropped(Modality.ABP, True)
        session.set_speed(99.0)
        wait_until(lambda: len(session._early) == 3, what="the commands")
        gate.set()
        wait_until(lambda: session.status().paused and session.status().dropped == {Modality.ABP})
        wait_until(lambda: session.report()["dead_letters"] == 1, what="the nonsense among the dead letters")
        assert session.status().error == ""
    finally:
        gate.set()
        session.stop()
