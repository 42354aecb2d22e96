"""The mailbox skips or waits, the thread batches over beds, and what the model says arrives as it was said."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from models.runtime.backend import BackendInfo
from models.runtime.guard import Service
from models.runtime.memory import EngineMemory
from models.runtime.prediction import Prediction
from models.signals.errors import BackendFailed, BackendUnavailable
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec
from streams.accounting import Accounting
from streams.codec import chunk_values, decode, encode
from streams.inference import LOADING, InferenceError, InferenceThread, Result
from streams.latency import LatencyBook
from streams.mailbox import EndOfBed, Mailbox, SkippedWindow, WindowJob
from streams.records import MemoryRecord, PredictionRecord
from tests.streams.sources import FakeEngine, running, wait_until

S = 10**9
SPEC = WindowSpec()


def window(end_s: int) -> Window:
    rows = len(SPEC.modalities)
    return Window(
        end_s,
        np.zeros((rows, SPEC.samples), np.float32),
        np.ones((rows, SPEC.frames), bool),
        np.ones((rows, SPEC.window_s), bool),
        np.full((rows, len(CONTEXT_FIELDS)), np.nan, np.float32),
    )


def job(end_s: int, bed: str = "bed1", due: int = 0) -> WindowJob:
    return WindowJob(bed, "s", 0, window(end_s), {"due": due, "window": due})


class Desk:
    """An inference thread with its mailbox; collects what it delivers."""

    def __init__(self, engine: FakeEngine, monotonic: Callable[[], float] = time.monotonic, **options: object) -> None:
        self.load: Callable[[], FakeEngine] = lambda: engine
        self.deliver: Callable[[Sequence[Result]], None] = lambda told: self.delivered.extend(told)
        self.engine, self.mailbox, self.accounting = engine, Mailbox(8, monotonic), Accounting()
        self.latency = LatencyBook(lambda: 0.0)
        self.delivered: list[Result] = []
        self.thread = InferenceThread(
            self.mailbox,
            lambda: self.load(),
            SPEC,
            lambda items: self.deliver(items),
            self.accounting,
            self.latency,
            **options,  # type: ignore[arg-type]
        )

    def has_delivered(self, items: int) -> bool:
        return len(self.delivered) == items

    def running(self) -> object:
        return running(self.thread.run, stop=self.mailbox.close)


def test_paced_keeps_the_newest_window_of_each_bed() -> None:
    box = Mailbox(2)
    skipped = [box.keep_newest(job(s, bed)) for s in range(1, 6) for bed in ("a", "b", "c")]
    assert sum(skipped) == 12 and len(box) == 3
    assert [(i.bed, i.window.end_s) for i in box.take(10) if isinstance(i, WindowJob)] == [("a", 5), ("b", 5), ("c", 5)]


@pytest.mark.parametrize("step", ["in step", "staggered"])
def test_a_model_that_is_too_slow_serves_every_bed_in_turn(step: str) -> None:
    """Sixty beds, a window a second each, and a model that takes thirty of them: nobody is left behind."""
    box = Mailbox()
    beds, served, oldest = [f"bed{i}" for i in range(60)], Counter[str](), 0
    for second in range(1, 41):
        for begin in range(1) if step == "in step" else range(0, 60, 6):
            for bed in beds if step == "in step" else beds[begin : begin + 6]:
                box.keep_newest(job(second, bed))
            for item in box.take(30 if step == "in step" else 3):
                if isinstance(item, SkippedWindow):
                    continue
                assert isinstance(item, WindowJob)
                served[item.bed] += 1
                oldest = max(oldest, second - item.window.end_s)
    assert set(served.values()) == {20} if step == "in step" else max(served.values()) - min(served.values()) <= 1
    assert len(served) == 60 and oldest <= 1


def test_the_newest_window_takes_the_place_of_the_one_it_replaces() -> None:
    box = Mailbox()
    skipped = [box.keep_newest(job(second, bed)) for second, bed in ((1, "a"), (1, "b"), (2, "b"), (2, "a"), (1, "c"))]
    assert skipped == [0, 0, 1, 1, 0]
    assert [(i.bed, i.window.end_s) for i in box.take(9) if isinstance(i, WindowJob)] == [("a", 2), ("b", 2), ("c", 1)]


def test_the_end_of_a_bed_is_never_skipped() -> None:
    box = Mailbox(1)
    box.keep_newest(job(1))
    assert box.offer(EndOfBed("bed1", "s", 0, S))
    assert box.keep_newest(job(2)) == 1
    assert [type(item) for item in box.take(5)] == [SkippedWindow, EndOfBed, WindowJob]


def test_at_max_a_full_mailbox_refuses_and_tells_of_room() -> None:
    box, told = Mailbox(2), threading.Event()
    box.on_space(told.set)
    assert box.offer(job(1)) and box.offer(job(2)) and not box.offer(job(3))
    assert box.offer(EndOfBed("bed1", "s", 0, S))
    assert [len(box.take(1)), told.is_set()] == [1, True]
    assert not box.offer(job(3)) and len(box.take(1)) == 1 and box.offer(job(3))


def test_closing_wakes_who_waits() -> None:
    box = Mailbox()
    taken: list[list[object]] = []
    with running(lambda: taken.append(list(box.take(1))), stop=box.close):
        pass
    assert taken == [[]]


def test_windows_of_all_beds_go_as_one_batch() -> None:
    engine = FakeEngine()
    desk = Desk(engine, gather_s=5.0)
    beds = [f"bed{i}" for i in range(4)]
    with desk.running():  # type: ignore[attr-defined]
        for bed in beds:
            desk.mailbox.offer(job(1, bed))
        wait_until(lambda: len(desk.delivered) == 4)
        for bed in beds:
            desk.mailbox.offer(job(2, bed))
        wait_until(lambda: len(desk.delivered) == 8)
    assert engine.batches[-1] == 4 and sum(engine.batches) == 8
    assert engine.closed


def test_results_leave_in_order_and_the_end_comes_last() -> None:
    desk = Desk(FakeEngine())
    for second in range(1, 6):
        desk.mailbox.offer(job(second))
    desk.mailbox.offer(EndOfBed("bed1", "s", 0, 5 * S))
    with desk.running():  # type: ignore[attr-defined]
        wait_until(lambda: len(desk.delivered) == 6)
    ends = [r.window_end_ns // S for r in desk.delivered if isinstance(r, PredictionRecord)]
    assert ends == [1, 2, 3, 4, 5] and isinstance(desk.delivered[-1], EndOfBed)
    assert desk.accounting.counted("predictions") == 5


def test_the_model_is_told_whose_windows_they_are_and_when_one_has_ended() -> None:
    """Batched or one by one: the same keys, and what is over is forgotten, once."""
    told = []
    for batch in (1, 16):
        desk = Desk(FakeEngine(), batch=batch)
        for item in (
            job(1), job(1, "bed2"), job(2), replace(job(50), stretch=1), replace(job(9), epoch=1), job(2, "bed2"),
            EndOfBed("bed1", "s", 1, 9 * S), EndOfBed("bed1", "s", 1, 9 * S), EndOfBed("bed3", "s", 0, S),
        ):  # fmt: skip
            assert desk.mailbox.offer(item)
        with desk.running():  # type: ignore[attr-defined]
            wait_until(partial(desk.has_delivered, 9))
        told.append((desk.engine.keys, desk.engine.forgotten))
    assert told[0] == told[1]
    keys, forgotten = told[0]
    mine = [("bed1", "s", 0, 0), ("bed1", "s", 0, 1), ("bed1", "s", 1, 0)]
    assert keys == [mine[0], ("bed2", "s", 0, 0), mine[0], mine[1], mine[2], ("bed2", "s", 0, 0)]
    assert forgotten == mine


def test_what_is_done_until_the_model_serves_is_told_and_nothing_after() -> None:
    desk, told = Desk(FakeEngine()), []

    def load() -> FakeEngine:
        for step, share in (("building engines, fp16", 0.0), ("building engines, fp16", 0.405), ("opening", 0.0)):
            told.append(desk.thread.preparing)
            desk.thread.prepare(step, share)
        told.append(desk.thread.preparing)
        return desk.engine

    desk.load = load
    with desk.running():  # type: ignore[attr-defined]
        wait_until(lambda: desk.thread.backend is not None)
    assert told == [LOADING, "building engines, fp16", "building engines, fp16: 40 %", "opening"]
    desk.thread.prepare("building engines, bf16", 0.1)  # a thread that the load gave up comes late
    assert desk.thread.preparing == ""


def test_a_load_that_was_ended_prepares_nothing() -> None:
    desk = Desk(FakeEngine())

    def load() -> FakeEngine:
        desk.mailbox.close()
        raise BackendUnavailable("cancelled")

    desk.load = load
    desk.thread.run()
    assert desk.thread.preparing == "" and desk.thread.backend is None


def test_a_prediction_survives_the_wire_as_it_was_made() -> None:
    desk = Desk(FakeEngine())
    desk.mailbox.offer(job(7))
    with desk.running():  # type: ignore[attr-defined]
        wait_until(lambda: bool(desk.delivered))
    record = desk.delivered[0]
    assert isinstance(record, PredictionRecord)
    assert decode(encode(record)) == record
    assert record.risk["5"] == (0.1, 0.0, 0.2) and record.depth == (45.0, 40.0, 50.0)
    assert record.presence == [[True] * 10] * 4 and record.ages_s == [None] * 4
    restored = record.restored[0]
    assert (restored.modality, restored.first_index, restored.rate_hz) == ("ABP", 600, 100)
    np.testing.assert_array_equal(chunk_values(restored.hi), np.linspace(60, 120, 100, dtype=np.float32) + 5)


@pytest.mark.parametrize(("late_s", "valid"), [(0.2, True), (1.5, False)])
def test_a_result_that_comes_too_late_is_not_valid(late_s: float, valid: bool) -> None:
    desk = Desk(FakeEngine(), monotonic_ns=lambda: 100 * S)
    desk.mailbox.offer(job(7, due=round((100 - late_s) * S)))
    with desk.running():  # type: ignore[attr-defined]
        wait_until(lambda: bool(desk.delivered))
    record = desk.delivered[0]
    assert isinstance(record, PredictionRecord) and record.valid is valid
    assert record.reason == ("" if valid else "the result came 1.5 s after its window")


def test_without_a_deadline_nothing_is_late() -> None:
    desk = Desk(FakeEngine(), monotonic_ns=lambda: 10**6 * S)
    desk.mailbox.offer(job(7, due=0))
    with desk.running():  # type: ignore[attr-defined]
        wait_until(lambda: bool(desk.delivered))
    assert isinstance(desk.delivered[0], PredictionRecord) and desk.delivered[0].valid


def test_a_batch_is_as_large_as_one_run_of_the_backend_and_follows_a_fail_over() -> None:
    engine = FakeEngine()
    engine.service = Service(batch=3)
    desk = Desk(engine)
    for second in range(1, 9):
        desk.mailbox.offer(job(second))
    told: list[int] = []

    def deliver(items: Sequence[Result]) -> None:
        desk.delivered.extend(items)
        told.append(len(items))
        engine.service = Service("failed_over", batch=1)

    desk.deliver = deliver
    with desk.running():  # type: ignore[attr-defined]
        wait_until(partial(desk.has_delivered, 8))
    assert told == [3, 3, 1, 1]  # what serves is read after each batch
    assert desk.thread.service.state == "failed_over"


def test_a_batch_that_is_lost_is_delivered_as_invalid_with_the_reason() -> None:
    class Sick(FakeEngine):
        def predict(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
            if any(w.end_s == 2 for w in windows):
                self.service, self.backend = Service("failed_over", ("gpu hung",)), BackendInfo("onnx", "CPU")
                raise BackendFailed("gpu gave no answer within 2 s")
            return super().predict(windows, keys)

    desk = Desk(Sick(), batch=1)
    for item in (job(1), job(2), EndOfBed("bed2", "s", 0, S), job(3), EndOfBed("bed1", "s", 0, 3 * S)):
        assert desk.mailbox.offer(item)
    with desk.running():  # type: ignore[attr-defined]
        wait_until(partial(desk.has_delivered, 5))
    first, lost, end, third, last = desk.delivered
    assert isinstance(end, EndOfBed) and isinstance(last, EndOfBed)
    for record, valid, service in ((first, True, ""), (lost, False, "failed_over"), (third, True, "failed_over")):
        assert isinstance(record, PredictionRecord)
        assert (record.valid, record.service) == (valid, service) and decode(encode(record)) == record
    assert isinstance(lost, PredictionRecord) and lost.reason == "gpu gave no answer within 2 s"
    assert lost.risk == {} and lost.restored == [] and lost.presence == [[True] * 10] * 4
    assert desk.accounting.counted("invalid_predictions") == 1 and desk.accounting.counted("predictions") == 3
    assert desk.thread.backend is not None and desk.thread.backend.name == "onnx"
    assert desk.engine.forgotten == [("bed1", "s", 0, 0)]


def test_an_engine_whose_load_is_given_up_at_the_end_is_no_error() -> None:
    desk = Desk(FakeEngine())

    def load() -> FakeEngine:
        raise BackendUnavailable("the build was cancelled")

    desk.load = load
    with pytest.raises(BackendUnavailable):
        desk.thread.run()
    desk.mailbox.close()
    desk.thread.run()


def test_what_the_model_raises_leaves_the_thread_and_the_engine_is_closed() -> None:
    engine = FakeEngine(fail_at=2)
    desk = Desk(engine)
    for second in (1, 2):
        desk.mailbox.offer(job(second))
    with pytest.raises(ArithmeticError, match="the model broke"):
        desk.thread.run()
    assert engine.closed


def test_a_model_that_loses_a_window_is_found_out() -> None:
    class Forgetful(FakeEngine):
        def predict(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
            return super().predict(windows, keys)[:-1]

    desk = Desk(Forgetful())
    desk.mailbox.offer(job(1))
    with pytest.raises(InferenceError, match="0 predictions for 1 windows"):
        desk.thread.run()


def test_unknown_numbers_do_not_reach_the_wire_as_nan() -> None:
    class Unknown(FakeEngine):
        def predict(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
            return [
                Prediction(w.end_s, w.presence, False, False, "the model's output was not finite", {}, None, None,
                           not_estimable={Modality.EEG: "never"}, ages_s=(math.nan, math.inf, 1.0, 0.0))
                for w in windows
            ]  # fmt: skip

    desk = Desk(Unknown())
    desk.mailbox.offer(job(1))
    with desk.running():  # type: ignore[attr-defined]
        wait_until(lambda: bool(desk.delivered))
    record = desk.delivered[0]
    assert isinstance(record, PredictionRecord) and decode(encode(record)) == record
    assert record.ages_s == [None, None, 1.0, 0.0] and record.not_estimable == {"EEG": "never"}


def test_windows_that_warm_the_model_are_never_skipped_and_what_is_inherited_is_not_lost() -> None:
    box, past = Mailbox(), EngineMemory("fake")
    box.offer(replace(job(1), warming=True))
    box.offer(replace(job(2), warming=True))
    assert box.keep_newest(replace(job(3), inherited=past)) == 0
    assert box.keep_newest(job(4)) == 1
    taken = [item for item in box.take(9) if isinstance(item, WindowJob)]
    assert [(i.window.end_s, i.warming, i.inherited) for i in taken] == [
        (1, True, None),
        (2, True, None),
        (4, False, past),
    ]
    box.keep_newest(replace(job(5), inherited=past))
    assert box.keep_newest(replace(job(6), stretch=1)) == 1  # the clock has jumped: it was of the time before
    assert [item.inherited for item in box.take(9) if isinstance(item, WindowJob)] == [None]


def test_what_is_inherited_is_remembered_between_the_windows_where_it_belongs() -> None:
    engine, past = FakeEngine(), EngineMemory("fake", form=0.4)
    desk = Desk(engine)
    desk.mailbox.offer(replace(job(1), warming=True))
    desk.mailbox.offer(job(1, "bed2"))
    desk.mailbox.offer(replace(job(2), inherited=past))
    desk.mailbox.offer(job(3))
    with desk.running():  # type: ignore[attr-defined]
        wait_until(partial(desk.has_delivered, 3))
    assert engine.remembered == [(("bed1", "s", 0, 0), past, 2)]
    assert [(r.bed, r.window_end_ns // S) for r in desk.delivered] == [("bed2", 1), ("bed1", 2), ("bed1", 3)]  # type: ignore[union-attr]


def test_what_the_model_remembers_is_told_every_ten_seconds_of_a_bed_after_its_window() -> None:
    desk = Desk(FakeEngine(), memory_s=10.0, batch=1)
    course = [replace(job(s, bed), tick_seq=20 * s) for s in range(1, 23) for bed in ("bed1", "bed2")]
    course += [replace(job(5), epoch=1), replace(job(6), epoch=1), replace(job(30), epoch=1, warming=True)]
    with desk.running():  # type: ignore[attr-defined]
        for item in course:
            wait_until(partial(desk.mailbox.offer, item))
        wait_until(lambda: sum(isinstance(r, PredictionRecord) for r in desk.delivered) == 46)
    told = [r for r in desk.delivered if isinstance(r, MemoryRecord)]
    assert [(r.bed, r.epoch, r.time_ns // S, r.tick_seq) for r in told if r.epoch == 0] == [
        (bed, 0, s, 20 * s) for s in (1, 11, 21) for bed in ("bed1", "bed2")
    ]
    assert [(r.bed, r.time_ns // S) for r in told if r.epoch == 1] == [("bed1", 5)]
    assert all(decode(encode(r)) == r and r.model is not None and r.model.form for r in told)


def test_in_one_process_nothing_is_told() -> None:
    desk = Desk(FakeEngine())
    for second in (1, 2):
        desk.mailbox.offer(job(second))
    with desk.running():  # type: ignore[attr-defined]
        wait_until(partial(desk.has_delivered, 2))
    assert all(isinstance(r, PredictionRecord) for r in desk.delivered)
