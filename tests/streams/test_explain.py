"""A question to the model: it waits for its turn, never holds a window up, and is always answered or told why not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from models.runtime.leave_out import NOT_THERE, LeftOut
from models.runtime.prediction import Interval, Prediction
from models.signals.errors import BackendFailed
from models.signals.leave_out import WindowPast
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from monitor.session import Session
from streams.accounting import Accounting
from streams.codec import DecodeError, decode, encode
from streams.explain import MEASURED, MOVED_ON, NO_MODEL, NO_WINDOW, explained, refused
from streams.mailbox import BUSY, LOADING, MOST_QUESTIONS, PATIENCE_S, QUIET_S, ExplainJob, Mailbox, WindowJob
from streams.records import AnyRecord, CommandRecord, ExplainRecord, LeftOutRow, PredictionRecord, WaveTick
from streams.roles.worker import NOBODY
from streams.stages import WindowStage
from tests.streams.sources import FakeEngine, PatientMap, prediction, session_of, wait_until
from tests.streams.test_inference import SPEC, Desk, job, window

M = Modality
S = 10**9


def question(end_s: int, bed: str = "bed1", epoch: int = 0) -> ExplainJob:
    past = WindowPast(SPEC, window(end_s), None, np.empty(0, np.float32))
    return ExplainJob(bed, "s", epoch, past, 0, asked_ns=end_s * S)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def box() -> Mailbox:
    """Of a model that takes 10 ms a window, and has had two of bed1, a second apart."""
    clock = Clock()
    made = Mailbox(8, clock)
    made.clock = clock  # type: ignore[attr-defined]
    for second in (1, 2):
        clock.now_s += 1.0
        made.keep_newest(job(second))
        made.take(1)
    made.pace(0.01)
    return made


def at(box: Mailbox, seconds: float) -> None:
    box.clock.now_s += seconds  # type: ignore[attr-defined]


def taken(box: Mailbox) -> list[object]:
    return list(box.take(9))


def test_a_question_waits_for_the_next_window_of_its_bed_and_comes_right_after_it(box: Mailbox) -> None:
    assert box.ask(question(2)) == ""
    at(box, 0.9)
    assert box._answerable() == ([], pytest.approx(QUIET_S - 0.9))
    box.keep_newest(job(3))
    assert [type(i) for i in taken(box)] == [WindowJob]
    assert taken(box) == [question_like(box, 2)]


def question_like(box: Mailbox, end_s: int) -> object:
    class Like:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, ExplainJob) and other.past.window.end_s == end_s and not other.refused

    return Like()


def test_where_no_window_comes_it_is_answered_at_once(box: Mailbox) -> None:
    at(box, 60.0)  # paused
    box.ask(question(2))
    assert taken(box) == [question_like(box, 2)]


def test_windows_of_other_beds_come_first(box: Mailbox) -> None:
    at(box, 60.0)
    box.ask(question(2))
    box.keep_newest(job(7, "bed2"))
    assert [type(i) for i in taken(box)] == [WindowJob]
    assert taken(box) == [question_like(box, 2)]


def test_the_second_of_two_at_once_takes_the_place_of_the_first(box: Mailbox) -> None:
    at(box, 60.0)
    assert [box.ask(question(1)), box.ask(question(2))] == ["", ""]
    assert taken(box) == [question_like(box, 2)] and box._answerable() == ([], None)


@pytest.mark.parametrize("faster", [True, False])
def test_a_model_that_has_no_time_says_so(box: Mailbox, faster: bool) -> None:
    """At fifty times real time, or a model of which the windows never stop waiting."""
    for _ in range(9):
        box.pace(0.3 if not faster else 0.02)
    box.ask(question(2))
    if faster:
        for second in (3, 4):
            at(box, 0.02)
            box.keep_newest(job(second))
        box.take(9)
    else:
        at(box, PATIENCE_S + 0.1)
        box.keep_newest(job(3))
    (found,) = taken(box)
    assert isinstance(found, ExplainJob) and found.refused == BUSY


def test_questions_are_bounded_and_go_with_the_mailbox(box: Mailbox) -> None:
    said = [box.ask(question(2, f"bed{i}")) for i in range(MOST_QUESTIONS + 1)]
    assert said == [""] * MOST_QUESTIONS + [BUSY] and box.ask(question(3, "bed0")) == ""
    box.close()
    assert box.ask(question(2)) == LOADING and box.take(1) == []
    assert Mailbox().ask(question(1)) == LOADING, "the model has not asked for windows yet"


# -- the thread of the model ------------------------------------------------------------------------------------------


def answers(desk: Desk) -> list[ExplainRecord]:
    return [r for r in desk.delivered if isinstance(r, ExplainRecord)]


class AtItsPace(Desk):
    """Its windows come a second apart by the mailbox's clock, however long this machine takes for them."""

    def __init__(self, engine: FakeEngine) -> None:
        self.now_s = 0.0
        super().__init__(engine, lambda: self.now_s, monotonic_ns=lambda: round(self.now_s * S))

    def offer(self, item: WindowJob) -> None:
        self.now_s = float(item.window.end_s)
        self.mailbox.offer(item)


def test_the_thread_answers_with_the_rows_after_the_window() -> None:
    engine = FakeEngine()
    desk = AtItsPace(engine)
    with desk.running():  # type: ignore[attr-defined]
        desk.offer(job(5))
        wait_until(lambda: len(engine.windows) == 1)
        assert desk.mailbox.ask(question(5)) == ""
        desk.offer(job(6))
        wait_until(lambda: bool(answers(desk)))
    (answer,) = answers(desk)
    assert decode(encode(answer)) == answer and answer.window_end_ns == 5 * S and answer.window_s == SPEC.window_s
    assert [row.without for row in answer.rows] == ["", *(m.value for m in SPEC.modalities)]
    assert engine.questions[0][1:] == (job(5).key, 2) and desk.accounting.counted("predictions") == 2


def test_a_question_about_an_epoch_that_was_left_is_not_answered_as_of_now() -> None:
    engine = FakeEngine()
    desk = AtItsPace(engine)
    with desk.running():  # type: ignore[attr-defined]
        desk.offer(replace(job(5), epoch=1))
        wait_until(lambda: len(engine.windows) == 1)
        desk.mailbox.ask(question(5, epoch=0))
        desk.offer(replace(job(6), epoch=1))
        wait_until(lambda: bool(answers(desk)))
    assert (answers(desk)[0].reason, answers(desk)[0].epoch) == (MOVED_ON, 0) and not engine.questions


def test_a_batch_that_is_lost_is_an_answer_without_rows_and_the_thread_goes_on() -> None:
    class Breaks(FakeEngine):
        def leave_out(self, past: WindowPast, key: Hashable) -> list[LeftOut]:
            raise BackendFailed("the device is gone")

    engine = Breaks()
    desk = AtItsPace(engine)
    with desk.running():  # type: ignore[attr-defined]
        desk.offer(job(5))
        wait_until(lambda: len(engine.windows) == 1)
        desk.mailbox.ask(question(5))
        desk.offer(job(6))
        wait_until(lambda: bool(answers(desk)))
        desk.offer(job(7))
        wait_until(lambda: len(engine.windows) == 3)
    assert answers(desk)[0].reason == "the device is gone" and answers(desk)[0].rows == []


# -- rows -------------------------------------------------------------------------------------------------------------

FINE = Interval(0.2, 0.1, 0.3)


def said(**changes: object) -> Prediction:
    return replace(prediction(window(9)), **changes)  # type: ignore[arg-type]


def test_each_lack_in_a_row_has_its_reason() -> None:
    rows = [
        LeftOut(None, said(depth=None)),
        LeftOut(M.ABP, said(pressures={"map": FINE}, risk={}, abstain=True, reason="no ABP now")),
        LeftOut(M.PPG, None, NOT_THERE),
        LeftOut(M.EEG, said(depth=None)),
        LeftOut(M.ECG, said(valid=False, reason="the model's output was not finite")),
    ]
    record = explained(question(9), rows, ("risk", "depth", "pressure"), "m", "b")
    all_there, abp, ppg, eeg, ecg = record.rows
    assert (all_there.no_map, all_there.no_depth) == (MEASURED, "less than 15 s of EEG")
    assert (abp.map_mmhg, abp.no_map, abp.risk, abp.no_risk) == ((0.2, 0.1, 0.3), "", {}, "no ABP now")
    assert (ppg.reason, ppg.risk, ppg.no_map) == (NOT_THERE, {}, "")
    assert (eeg.no_depth, eeg.risk["5"]) == ("no EEG", (0.1, 0.0, 0.2))
    assert ecg == LeftOutRow("ECG", "the model's output was not finite")
    poor = explained(question(9), [LeftOut(M.ABP, said(depth=None))], ("risk",), "m", "b").rows[0]
    assert poor.no_map == poor.no_depth == "this model does not give it"
    refused_abp = said(not_estimable={M.ABP: "no pulse on PPG to estimate it from"})
    assert explained(question(9), [LeftOut(M.ABP, refused_abp)], ("depth", "pressure"), "m", "b").rows[0].no_map == (
        "no pulse on PPG to estimate it from"
    )


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"rows": [LeftOutRow("ABP")]}, "first row"),
        ({"rows": [LeftOutRow(""), LeftOutRow("ABP"), LeftOutRow("ABP")]}, "one row a sensor"),
        ({"rows": [LeftOutRow("")], "reason": "none"}, "refused has no rows"),
        ({"rows": [LeftOutRow(""), LeftOutRow("ABP", "gone", depth=(1.0, 0.0, 2.0))]}, "row that is refused"),
        ({"rows": [LeftOutRow("thermometer")]}, "modality is one of"),
        ({"window_s": -1}, "seconds"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(change: dict[str, object], rule: str) -> None:
    record = msgspec.structs.replace(refused("b", "s", 0, 0, ""), **change)
    with pytest.raises(DecodeError, match=rule):
        decode(encode(record))


# -- through the stream -----------------------------------------------------------------------------------------------


def command(session: str, name: str = "explain", bed: str = "bed1") -> CommandRecord:
    return CommandRecord(bed=bed, session=session, epoch=0, id="1", operator="o", time_ns=7 * S, name=name)


def test_without_a_model_or_a_window_it_is_said_why() -> None:
    sent: list[ExplainRecord] = []

    async def send(topic: str, record: AnyRecord) -> None:
        if isinstance(record, ExplainRecord):
            assert topic == "predictions"
            sent.append(record)

    async def ask(mailbox: Mailbox | None) -> None:
        stage = WindowStage(WindowSpec(), mailbox, Accounting(), NOBODY, send)
        await stage.explain(command("s"))  # no tick of it came here
        await stage.handle(WaveTick(bed="bed1", session="s", epoch=3, tick_seq=0, start_ns=0, end_ns=S // 20))
        await stage.explain(command("another patient"))
        await stage.explain(command("s", "pause"))
        await stage.explain(command("s"))

    asyncio.run(ask(None))
    asyncio.run(ask(Mailbox()))
    found = [(r.reason, r.epoch, r.asked_ns) for r in sent]
    assert found == [(NO_MODEL, 3, 7 * S), (NO_WINDOW, 3, 7 * S)]


@pytest.fixture
def make() -> Callable[..., tuple[Session, list[AnyRecord]]]:
    sessions: list[Session] = []

    def made(engine: object, **options: object) -> tuple[Session, list[AnyRecord]]:
        session = session_of({"bed1": lambda: PatientMap(600.0)}, WindowSpec(), lambda: engine, **options)  # type: ignore[arg-type]
        sessions.append(session)
        records: list[AnyRecord] = []
        session.subscribe(records.append)
        session.start()
        return session, records

    yield made  # type: ignore[misc]
    for session in sessions:
        session.stop()


def found(records: Sequence[AnyRecord]) -> list[ExplainRecord]:
    return [r for r in list(records) if isinstance(r, ExplainRecord)]


def test_a_display_asks_and_the_answer_comes_with_the_predictions(make: Callable[..., object]) -> None:
    engine = FakeEngine()
    session, records = make(engine, speed=5.0)  # type: ignore[misc]
    wait_until(lambda: len(engine.windows) > 3)
    session.pause()
    wait_until(lambda: session.status().paused)
    session.explain()
    session.explain()
    wait_until(lambda: len(found(records)) >= 1, what="an answer while it stands still")
    newest = max(r.window_end_ns for r in list(records) if isinstance(r, PredictionRecord))
    assert found(records)[-1].window_end_ns == newest and len(found(records)[-1].rows) == 5
    past, _, _ = engine.questions[-1]
    assert past.window is engine.windows[-1] and past.context is not None
    assert session.report()["dead_letters"] == 0 and session.status().paused


def test_the_model_is_asked_before_it_is_loaded_and_while_it_hangs(make: Callable[..., object]) -> None:
    wait = threading.Event()
    engine = FakeEngine(wait=wait)
    session, records = make(engine, speed=5.0)  # type: ignore[misc]
    wait_until(lambda: session.status().position_s > 1.5)
    session.explain()
    session.seek(300.0)  # while the question, or its answer, is on its way
    wait.set()
    wait_until(lambda: any(isinstance(r, PredictionRecord) and r.epoch == 1 for r in list(records)))
    wait_until(lambda: len(found(records)) == 1)
    (answer,) = found(records)
    assert answer.epoch == 0 or answer.window_end_ns >= 300 * S, "an answer of before the seek passes for one of now"
