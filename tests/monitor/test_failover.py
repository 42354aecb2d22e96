"""A session whose inference engine fails in the middle: each sample is kept, what is lost is said, the rest goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from models.runtime.backend import Arrays
from models.runtime.backend_thread import BackendThread
from models.runtime.bundle import Bundle
from models.runtime.engine import WIDEST_MMHG
from models.runtime.guard import GuardedBackend
from models.runtime.select import ServedEngine
from monitor.footer import footer
from monitor.session import Session
from streams.feed import FeedStatus
from streams.records import AlarmRecord, AnyRecord, PredictionRecord
from tests.models.failing_backend import SPEC, FailingBackend, FailingEngine, Fault, Hang, raises
from tests.streams.sources import PatientMap, session_of
from ui.bed.status_words import status_words

SECONDS = 40


class Small(FailingEngine):
    """At most two windows a run, so that there are many runs."""

    @property
    def buckets(self) -> tuple[int, ...]:
        return (1, 2)


class Ward:
    """A session on the test patient at speed max, with a GPU that fails at a launch and a CPU behind it."""

    def __init__(self) -> None:
        self.hang, self.cancel, self.missed = Hang(), threading.Event(), False
        self.sessions: list[Session] = []
        self.records: list[AnyRecord] = []

    def wait(self, answers: queue.SimpleQueue[object], within_s: float) -> object:
        """The deadline passes once the hang is entered, never because the machine is slow."""
        for _ in range(60_000):
            try:
                return answers.get(timeout=0.001)
            except queue.Empty:
                if self.cancel.is_set():
                    raise
                if self.hang.entered.is_set() and not self.missed:
                    self.missed = True
                    raise
        raise AssertionError("no answer and no hang")

    def session(self, fault: Fault, fallback: Callable[[], FailingBackend], at: int = 4) -> Session:
        gpu = Small("gpu", "fp16")

        def from_then_on(inputs: Arrays, outputs: Arrays) -> Arrays:
            return fault(inputs, outputs) if len(gpu.launches) >= at else outputs

        gpu.fault = from_then_on
        bundle = Bundle(Path(), SPEC, "0" * 12)

        def load_engine() -> ServedEngine:
            thread = BackendThread("gpu", lambda: gpu, self.cancel, self.wait)
            thread.loaded(None)
            guard = GuardedBackend(
                thread, [("onnx", fallback)], deadline_s=0.25, cancel=self.cancel, wait=self.wait,
                notes=("tensorrt: not installed",),
            )  # fmt: skip
            return ServedEngine(bundle, guard, "restoration", WIDEST_MMHG)

        session = session_of(
            {"bed1": lambda: PatientMap(SECONDS)}, bundle.window_spec, load_engine, speed=None, cancel=self.cancel
        )
        session.subscribe(self.records.append)
        self.sessions.append(session)
        return session

    @property
    def predictions(self) -> list[PredictionRecord]:
        return [record for record in self.records if isinstance(record, PredictionRecord)]

    @property
    def alarms(self) -> list[tuple[str, str, str]]:
        found = [r for r in self.records if isinstance(r, AlarmRecord) and r.key == "technical.model" and r.active]
        return [(alarm.text, alarm.priority, alarm.kind) for alarm in found]


@pytest.fixture
def ward() -> Iterator[Ward]:
    made = Ward()
    yield made
    for session in made.sessions:
        session.stop()
    made.hang.release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("vigil-model"):
            thread.join(10)
            assert not thread.is_alive()


def to_nan(inputs: Arrays, outputs: Arrays) -> Arrays:
    return outputs | {"risk": np.full_like(outputs["risk"], np.nan)}


def everything_kept(session: Session, ward: Ward) -> None:
    report = session.report()
    assert report["seconds_streamed"] == SECONDS and report["dead_letters"] == 0
    assert all(c["lost"] == 0 and c["sent"] == c["received"] > 0 for c in report["samples"].values())
    assert report["windows"] == report["predictions"] == len(ward.predictions) == SECONDS
    assert [r.window_end_ns // 10**9 for r in ward.predictions] == list(range(1, SECONDS + 1))


@pytest.mark.parametrize("how", ["raises", "hangs", "NaN"])
def test_an_engine_that_fails_loses_a_batch_and_nothing_else(ward: Ward, how: str) -> None:
    faults: dict[str, Fault] = {"raises": raises(), "hangs": ward.hang, "NaN": to_nan}
    reasons = {
        "raises": "the device is gone",
        "hangs": "gpu gave no answer within 0.25 s",
        "NaN": "gpu gave values that are not finite",
    }
    session = ward.session(faults[how], lambda: Small("onnx"))
    session.start()
    assert session.wait(60)
    everything_kept(session, ward)
    lost = [record for record in ward.predictions if not record.valid]
    first = ward.predictions.index(lost[0])
    assert 0 < len(lost) <= 2 and lost == ward.predictions[first : first + len(lost)]
    assert {record.reason for record in lost} == {reasons[how]} and not any(record.risk for record in lost)
    before, after = ward.predictions[:first], ward.predictions[first + len(lost) :]
    assert before and after
    assert {(r.backend, r.service) for r in before} == {("gpu", "")}
    assert {(r.backend, r.service) for r in after} == {("onnx", "failed_over")}
    assert ward.alarms == [("MODEL FAILED OVER", "low", "technical")]
    report, status = session.report(), session.status()
    assert (report["backend"], report["precision"], report["service"]) == ("onnx", "fp32", "failed_over")
    assert report["invalid_predictions"] == len(lost)
    assert report["backend_notes"] == ["tensorrt: not installed", reasons[how], "onnx took over"]
    line, more = status_words(status, FeedStatus(0, 0, 0))
    assert "onnx fp32, failed over" in line and "onnx fp32, failed over" in footer(status)
    assert "tensorrt: not installed" in more and reasons[how] in more


def test_without_any_engine_left_the_waves_go_on_and_predictions_say_why(ward: Ward) -> None:
    session = ward.session(raises("the device is gone"), lambda: Small("onnx", fault=raises("no memory")))
    session.start()
    assert session.wait(60)
    everything_kept(session, ward)
    last = ward.predictions[-1]
    assert not last.valid and last.service == "unavailable"
    assert last.reason == "the model is not available: no backend is left, no memory"
    assert ward.alarms == [("MODEL FAILED OVER", "low", "technical"), ("MODEL NOT AVAILABLE", "medium", "technical")]
    assert status_words(session.status(), FeedStatus(0, 0, 0))[0].startswith("model not available")


def test_a_session_with_a_hanging_engine_stops_in_time(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.runtime.backend_thread.CLOSE_S", 0.05)
    ward.missed = True  # the deadline never passes
    session = ward.session(ward.hang, lambda: FailingBackend("onnx"), at=1)
    session.start()
    assert ward.hang.entered.wait(30)
    session.stop()
    assert session.failure is None
