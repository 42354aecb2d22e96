"""The session starts at once, is operated from any thread, stops in time and never dies in silence."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from models.signals.errors import BadInput, VigilError
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from monitor.session import Session, SessionError
from streams.codec import encode
from streams.control import SessionControl
from streams.feed import DisplayFeed
from streams.records import AnyRecord, CommandRecord, DeadLetter, PredictionRecord, StateRecord, WaveTick
from streams.replay import Drop
from streams.stages import END_TOPICS
from tests.streams.sources import FakeEngine, PatientMap, wait_until

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


def test_start_returns_at_once_and_the_status_is_there(make: Make) -> None:
    session = make()
    control: SessionControl = session
    begin = time.monotonic()
    session.start()
    assert time.monotonic() - begin < 0.5
    assert not control.status().ended and control.status().error == ""
    assert session.wait_opened(10)
    assert [c.modality for c in session.channels] == [Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG]
    assert session.status().duration_s == pytest.approx(600, abs=0.1)
    wait_until(lambda: session.status().model == "fake")
    assert session.status().backend == "fake"


def test_stop_takes_less_than_a_second_and_may_be_called_twice(make: Make) -> None:
    session = make()
    records = collected(session)
    session.start()
    wait_until(lambda: len(ticks(records)) > 50)
    begin = time.monotonic()
    session.stop()
    session.stop()
    assert time.monotonic() - begin < 1.0
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
    begin = time.monotonic()
    session.stop()
    assert time.monotonic() - begin < 1.0 and session.failure is None


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
