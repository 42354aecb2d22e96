"""The session starts at once, stops in time and never dies in silence."""

from __future__ import annotations

import asyncio
import threading

import pytest

from models.signals.errors import BadInput, VigilError
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from monitor.session import Session
from streams.codec import encode
from streams.commands import CommandMaker, Order
from streams.control import SessionControl
from streams.crew import SessionError
from streams.limit_settings import DEFAULT_SETTINGS, default_setting, moved
from streams.records import (
    AlarmRecord,
    AnyRecord,
    DeadLetter,
    LimitsRecord,
    PredictionRecord,
    StateRecord,
    VitalsRecord,
)
from streams.sources.bed_replay import Drop
from tests.monitor.sessions import BROKER, Make, arrives, collected, held_up, ticks
from tests.streams.sources import FakeEngine, PatientMap, session_of, wait_until


def test_start_waits_for_no_recording_and_the_status_is_there() -> None:
    slow = threading.Event()

    def opener() -> PatientMap:
        assert slow.wait(120)
        return PatientMap(600.0)

    session = session_of({"bed1": opener}, WindowSpec(), lambda: FakeEngine(), speed=50.0)  # type: ignore[arg-type,return-value]
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


def test_limits_are_judged_by_from_the_moment_they_are_set(make: Make) -> None:
    session = make()
    records = collected(session)
    session.start()

    def rates() -> list[float]:
        return [r.hr for r in list(records) if isinstance(r, VitalsRecord) and r.hr is not None]

    def told() -> list[LimitsRecord]:
        return [r for r in list(records) if isinstance(r, LimitsRecord)]

    wait_until(lambda: len(rates()) > 5, what="a heart rate")
    assert [(r.set_by, tuple(r.limits)) for r in told()] == [("", DEFAULT_SETTINGS)]
    high = float(round(rates()[-1]) - 10)
    session.set_limits([moved(default_setting("hr"), 20.0, high)])
    wait_until(lambda: any(isinstance(r, AlarmRecord) and r.key == "hr.high" for r in list(records)), what="the alarm")
    alarm = next(r for r in records if isinstance(r, AlarmRecord) and r.key == "hr.high")
    assert f"> {high:.0f}" in alarm.text and told()[-1].set_by == "operator"
    with pytest.raises(BadInput, match="a low limit"):
        session.set_limits([moved(default_setting("hr"), 90.0, 80.0)])


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
        wait_until(lambda: held_up(session), what="the full mailbox")
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

    def caught_up() -> bool:
        """A window that came after those that were skipped is told: the one that the model had in hand comes first."""
        return any(isinstance(r, PredictionRecord) and r.valid and r.window_end_ns > 18 * 10**9 for r in list(records))

    wait_until(caught_up, what="a prediction")
    session.stop()
    report = session.report()
    told = [r for r in records if isinstance(r, PredictionRecord)]
    assert [r.window_end_ns // 10**9 for r in told] == list(range(1, len(told) + 1))
    assert sum(r.missed == "skipped" for r in told) > 10
    assert report["skipped_windows"] > 10 and report["samples"]["ECG"]["lost"] == 0


def test_at_max_a_slow_model_makes_the_source_wait_and_nothing_is_skipped(make: Make) -> None:
    gate = threading.Event()
    engine = FakeEngine(wait=gate)
    session = make(90.0, engine=engine, speed=None)
    session.start()
    wait_until(lambda: held_up(session), what="the full mailbox")
    assert not session.wait(0.05)
    gate.set()
    assert session.wait(60)
    assert [w.end_s for w in engine.windows] == list(range(1, 91))
    assert session.report()["skipped_windows"] == 0


def test_without_a_model_the_waves_flow_and_the_run_ends() -> None:
    session = session_of({"bed1": lambda: PatientMap(20.0)}, WindowSpec(), None, speed=None)  # type: ignore[dict-item,return-value]
    session.start()
    assert session.wait(30)
    report = session.report()
    assert (report["windows"], report["predictions"], report["model"]) == (20, 0, None)
    assert (report["dead_letters"], report["late_samples"]) == (0, 0)


def test_three_beds_each_get_their_own(make: Make) -> None:
    engine = FakeEngine()
    sources = {f"bed{i}": (lambda s=10.0 + i: PatientMap(s)) for i in range(3)}
    session = session_of(sources, WindowSpec(), lambda: engine, speed=None)  # type: ignore[arg-type]
    records = collected(session)
    session.start()
    assert session.wait(60)
    for i in range(3):
        ends = [r.window_end_ns // 10**9 for r in records if isinstance(r, PredictionRecord) and r.bed == f"bed{i}"]
        assert ends == list(range(1, 11 + i))
    assert session.report()["samples"]["PPG"]["lost"] == 0


# -- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_malformed_message_is_a_dead_letter_and_stops_nothing(make: Make) -> None:
    session = make(broker=BROKER)
    command = CommandMaker("elsewhere", "somebody")
    records = collected(session)
    session.start()
    wait_until(lambda: len(ticks(records)) > 5)
    for topic, message in [
        ("waves", b"\xff\xfe nonsense"), ("waves", b""), ("vitals", b"{}"), ("predictions", b"\x81"),
        ("commands", b"\x00"),
    ]:  # fmt: skip
        arrives(topic, message)
    arrives("commands", encode(command("bed1", session.id, 0, Order("seek", {"time_s": float("1e300")}))))
    arrives("waves", encode(command("bed1", session.id, 0, Order("pause"))))
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
    source = session._sources.bed("bed1").source
    {"stream": session._stream.stop, "source": source.stop, "inference": session._worker.stop}[part]()
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

    session = session_of({"bed1": no_such_file}, WindowSpec(), None)  # type: ignore[dict-item]
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
