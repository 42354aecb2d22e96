"""The watchdog: a backend that hangs, breaks or gives nonsense loses its batch and its place, and nothing else."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from models.runtime.backend import Arrays
from models.runtime.backend_thread import BackendThread, Ended, Missed
from models.runtime.guard import MAX_STUCK, RESTARTS, GuardedBackend
from models.signals.errors import BackendFailed, BackendUnavailable, BadInput
from tests.models.failing_backend import FailingBackend, FailingEngine, Hang, example, raises, toy_model

Load = Callable[[], FailingBackend]


class Bench:
    """Builds guards whose deadline passes once for each hang that is entered, and never else: no test waits for a
    clock."""

    def __init__(self) -> None:
        self.hangs: list[Hang] = []
        self.missed: list[Hang] = []
        self.cancel = threading.Event()
        self.guards: list[GuardedBackend] = []

    def hang(self) -> Hang:
        self.hangs.append(Hang())
        return self.hangs[-1]

    def wait(self, answers: queue.SimpleQueue[object], within_s: float) -> object:
        for _ in range(30_000):
            try:
                return answers.get(timeout=0.001)
            except queue.Empty:
                if entered := [hang for hang in self.hangs if hang.entered.is_set() and hang not in self.missed]:
                    self.missed += entered
                    raise
        raise AssertionError("no answer and no hang")

    def guard(self, first: FailingBackend, *chain: tuple[str, Load], deadline_s: float = 0.25) -> GuardedBackend:
        thread = BackendThread(first.info.name, lambda: first, self.cancel, self.wait)
        thread.loaded(None)
        guard = GuardedBackend(thread, chain, deadline_s=deadline_s, cancel=self.cancel, wait=self.wait)
        self.guards.append(guard)
        return guard


@pytest.fixture
def bench() -> Iterator[Bench]:
    before = {thread.ident for thread in threading.enumerate()}
    made = Bench()
    yield made
    with ExitStack() as stack:
        for guard in made.guards:
            stack.callback(guard.close)
        for hang in made.hangs:
            stack.callback(hang.release.set)
    for thread in threading.enumerate():
        if thread.ident not in before:
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} is left over"


def nan_rows(*rows: int) -> Callable[[Arrays, Arrays], Arrays]:
    def fault(inputs: Arrays, outputs: Arrays) -> Arrays:
        risk = np.array(outputs["risk"])
        risk[list(rows)] = np.nan
        return outputs | {"risk": risk}

    return fault


def right(outputs: Arrays, inputs: Arrays) -> bool:
    return all(np.allclose(v, toy_model(inputs)[name], equal_nan=True) for name, v in outputs.items())


def test_a_sound_backend_serves_in_a_thread_of_its_own(bench: Bench) -> None:
    first, inputs = FailingBackend(), example(3)
    guard = bench.guard(first, ("onnx", lambda: pytest.fail("the fall-back is loaded only when it is needed")))
    for _ in range(3):
        assert right(guard.run(inputs), inputs)
    assert guard.info.name == "toy" and guard.service.state == "" and guard.service.notes == ()
    assert guard.service.batch == 16 and bench.guard(FailingEngine()).service.batch == 8
    assert first.threads == {"vigil-model-toy"}
    guard.close()
    assert first.closed
    with pytest.raises(BackendFailed, match="closed"):
        guard.run(inputs)


def test_a_hang_loses_its_batch_and_the_next_backend_takes_over(bench: Bench) -> None:
    hang, inputs = bench.hang(), example(2)
    first, second = FailingBackend("gpu"), FailingBackend("onnx")
    guard = bench.guard(first, ("onnx", lambda: second))
    guard.run(inputs)
    first.fault = hang
    with pytest.raises(BackendFailed, match=r"gpu gave no answer within 0\.25 s"):
        guard.run(inputs)
    assert guard.service.state == "failed_over" and guard.info.name == "onnx"
    assert right(guard.run(inputs), inputs)
    assert guard.service.notes == ("gpu gave no answer within 0.25 s", "onnx took over")
    assert not first.closed and second.launches
    hang.release.set()  # the driver comes back after all: nobody hears it, and it is closed
    for thread in threading.enumerate():
        if thread.name == "vigil-model-gpu":
            thread.join(10)
    assert first.closed
    assert right(guard.run(inputs), inputs)


@pytest.mark.parametrize("error", [BackendFailed("the device is gone"), ValueError("shape mismatch"), MemoryError()])
def test_whatever_a_library_raises_is_a_failure_with_a_sentence(bench: Bench, error: Exception) -> None:
    def fault(inputs: Arrays, outputs: Arrays) -> Arrays:
        raise error

    guard = bench.guard(FailingBackend("gpu", fault=fault), ("onnx", FailingBackend))
    said = "the device is gone" if isinstance(error, BackendFailed) else f"gpu failed: {type(error).__name__}"
    with pytest.raises(BackendFailed, match=said):
        guard.run(example(1))
    assert right(guard.run(example(1)), example(1))


def test_a_backend_that_makes_nan_of_good_input_is_sick(bench: Bench) -> None:
    inputs, second = example(4), FailingBackend("onnx")
    guard = bench.guard(FailingBackend("gpu", fault=nan_rows(1, 2)), ("onnx", lambda: second))
    with pytest.raises(BackendFailed, match="gpu gave values that are not finite"):
        guard.run(inputs)
    assert second.launches == [2]  # asked about the two rows only
    assert guard.service.state == "failed_over" and guard.info.name == "onnx"
    assert right(guard.run(inputs), inputs)


def test_a_window_that_no_backend_makes_numbers_of_is_itself_to_blame(bench: Bench) -> None:
    inputs, loads = example(3), []

    def load() -> FailingBackend:
        loads.append(1)
        return FailingBackend("onnx", fault=nan_rows(0))

    guard = bench.guard(FailingBackend("gpu", fault=nan_rows(1)), ("onnx", load))
    for _ in range(3):
        assert np.isnan(guard.run(inputs)["risk"]).any(axis=1).tolist() == [False, True, False]
    assert guard.service.state == "" and guard.info.name == "gpu" and loads == [1]


def test_without_a_second_opinion_what_serves_goes_on(bench: Bench) -> None:
    def load() -> FailingBackend:
        raise BackendUnavailable("onnxruntime is not installed")

    guard = bench.guard(FailingBackend("gpu", fault=nan_rows(0)), ("onnx", load))
    assert np.isnan(guard.run(example(2))["risk"][0]).all()
    assert guard.service.state == ""


def test_tokens_of_absent_frames_may_be_anything(bench: Bench) -> None:
    inputs = example(2)
    inputs["presence"][:, 1, 3:5] = False
    guard = bench.guard(FailingBackend(), ("onnx", lambda: pytest.fail("nothing is wrong")))
    assert np.isnan(guard.run(inputs)["tokens"]).any()


def test_one_that_does_not_load_is_passed_and_the_last_is_started_again(bench: Bench) -> None:
    def broken() -> FailingBackend:
        raise BackendUnavailable("no room on the device")

    made: list[FailingBackend] = []

    def load() -> FailingBackend:
        made.append(FailingBackend("onnx"))
        return made[-1]

    guard = bench.guard(FailingBackend("gpu", fault=raises()), ("rtx", broken), ("onnx", load))
    for served in range(1, 2 * RESTARTS):
        with pytest.raises(BackendFailed):
            guard.run(example(1))
        assert right(guard.run(example(1)), example(1))  # a batch that is served begins the count again
        assert len(made) == served
        made[-1].fault = raises()
    assert "no room on the device" in guard.service.notes


def test_when_nothing_is_left_every_batch_says_why(bench: Bench) -> None:
    guard = bench.guard(FailingBackend("gpu", fault=raises()), ("onnx", lambda: FailingBackend("onnx", fault=raises())))
    for _ in range(RESTARTS + 2):
        assert guard.service.state != "unavailable"
        with pytest.raises(BackendFailed, match=r"^the device is gone$"):
            guard.run(example(1))
    for _ in range(2):
        with pytest.raises(BackendFailed, match="the model is not available: no backend is left, the device is gone"):
            guard.run(example(1))
    assert guard.service.state == "unavailable" and guard.info.name == "onnx"


def test_threads_that_never_come_back_are_bounded(bench: Bench) -> None:
    guard = bench.guard(
        FailingBackend("gpu", fault=bench.hang()), ("onnx", lambda: FailingBackend("onnx", fault=bench.hang()))
    )
    for _ in range(MAX_STUCK):
        with pytest.raises(BackendFailed, match="gave no answer"):
            guard.run(example(1))
        for hang in bench.hangs[:-1]:
            assert hang.entered.is_set()
    with pytest.raises(BackendFailed, match=f"{MAX_STUCK} backends hang"):
        guard.run(example(1))
    hung = [t for t in threading.enumerate() if t.name.startswith("vigil-model") and t.is_alive()]
    assert len(hung) == MAX_STUCK


def test_the_end_of_the_run_does_not_wait_for_a_hang(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.runtime.backend_thread.CLOSE_S", 0.05)
    guard = bench.guard(FailingBackend("gpu", fault=bench.hang()), ("onnx", FailingBackend), deadline_s=1e9)
    bench.cancel.set()
    with pytest.raises(Ended):
        guard.run(example(1))
    assert guard.service.state == ""


def test_a_load_that_is_refused_comes_as_it_is(bench: Bench) -> None:
    def load() -> FailingBackend:
        raise BadInput("a graph", "none", "export it")

    thread = BackendThread("onnx", load, bench.cancel)
    with pytest.raises(BadInput, match="Expected a graph"):
        thread.loaded(30)


def test_a_load_has_its_own_bound(bench: Bench) -> None:
    hang = bench.hang()

    def load() -> FailingBackend:
        hang({}, {})
        return FailingBackend()

    thread = BackendThread("gpu", load, bench.cancel, bench.wait)
    with pytest.raises(Missed, match=r"gpu did not load within 0\.25 s"):
        thread.loaded(0.25)
    thread.leave()
    assert thread.stuck


def test_second_opinions_that_hang_are_bounded_and_said(bench: Bench) -> None:
    guard = bench.guard(
        FailingBackend("gpu", fault=nan_rows(0)), ("onnx", lambda: FailingBackend("onnx", fault=bench.hang()))
    )
    for _ in range(2 * MAX_STUCK + RESTARTS):
        assert np.isnan(guard.run(example(2))["risk"][0]).all()
    assert len(bench.hangs) == RESTARTS and guard.service.state == ""
    assert any("no second opinion" in note for note in guard.service.notes)
