"""The runner: nothing waits for a sink, what is left out is counted and told, what fails says its file's name."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from models.signals.errors import VigilError
from streams.records import AlarmRecord, AnyRecord, WaveTick
from streams.sinks.sink import SinkRunner, weight
from tests.streams.sinks.records_made import one_of_each, ramp_tick
from tests.streams.sources import wait_until


class ListSink:
    """Keeps what it is given; ``before``: called at each record."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.name, self.before = "/somewhere/x.mcap", before
        self.records: list[AnyRecord] = []
        self.flushed: list[int] = []
        self.closed = 0

    def add(self, record: AnyRecord) -> None:
        self.before()
        self.records.append(record)

    def flush(self) -> None:
        self.flushed.append(len(self.records))

    def close(self) -> None:
        self.closed += 1


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


ALARM = next(r for r in one_of_each() if isinstance(r, AlarmRecord))


def test_everything_arrives_in_order_and_is_flushed_before_the_end() -> None:
    sink = ListSink()
    runner = SinkRunner(sink)
    runner.start()
    records = [ramp_tick(i) for i in range(500)] + one_of_each()
    for record in records:
        runner(record)
    runner.close()
    assert sink.records == records and sink.flushed[-1] == len(records) and sink.closed == 1
    status = runner.status
    assert (status.pushed, status.written, status.dropped, status.waiting_bytes, status.failure) == (513, 513, 0, 0, "")


def test_a_full_queue_leaves_out_new_waves_first_counts_them_and_says_so() -> None:
    told: list[int] = []
    sink = ListSink()
    size = weight(ramp_tick(0))
    runner = SinkRunner(sink, capacity_bytes=16 * size, on_drops=told.append)
    for i in range(20):
        runner(ramp_tick(i))
    runner(ALARM)
    assert runner.status.dropped == 6 and not told, "14 of 16 places are for waves, and nobody is told on this thread"
    runner.turn()
    assert sink.records == [*(ramp_tick(i) for i in range(14)), ALARM] and told == [6]
    runner(ramp_tick(20))
    runner.turn()
    assert told == [6, 6] and sink.records[-1] == ramp_tick(20)
    status = runner.status
    assert (status.pushed, status.written, status.dropped, status.waiting_bytes) == (22, 16, 6, 0)


def test_the_pusher_does_not_wait_for_a_sink_that_hangs() -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        goes_on.wait()

    runner = SinkRunner(ListSink(hang), capacity_bytes=10 * weight(ramp_tick(0)), flush_s=0.0)
    runner.start()
    runner(ramp_tick(0))
    assert hangs.wait(60)
    for i in range(1, 1000):
        runner(ramp_tick(i))  # returns although nothing is taken
    assert runner.status.dropped == 1000 - 8 and runner.status.waiting_bytes <= 10 * weight(ramp_tick(0))
    with pytest.raises(VigilError, match=r"x\.mcap was not finished within 0 s"):
        runner.close(timeout_s=0)
    goes_on.set()
    runner.close()


@pytest.mark.parametrize("error", [VigilError("The disk of x.mcap is full."), OSError(28, "No space left on device")])
def test_a_failure_is_told_once_with_the_name_and_the_rest_is_counted(error: Exception) -> None:
    failures: list[VigilError] = []

    def fail() -> None:
        raise error

    sink = ListSink(fail)
    runner = SinkRunner(sink, on_failure=failures.append, flush_s=0.0)
    runner.start()
    runner(ramp_tick(0))
    wait_until(lambda: bool(failures), what="the failure")
    runner(ramp_tick(1))
    runner.close()
    assert len(failures) == 1 and "x.mcap" in str(failures[0]) and str(failures[0]) == runner.status.failure
    assert runner.status.dropped == 2 and runner.status.written == 0 and sink.closed == 1


def test_an_end_that_cannot_be_written_is_told_too() -> None:
    failures: list[VigilError] = []
    sink = ListSink()

    def fail() -> None:
        raise OSError(5, "Input/output error")

    sink.close = fail  # type: ignore[method-assign]
    runner = SinkRunner(sink, on_failure=failures.append)
    runner.start()
    runner(ramp_tick(0))
    runner.close()
    assert "x.mcap failed: OSError: [Errno 5]" in str(failures[0]) and runner.status.written == 1


def test_records_wait_for_the_disk_no_longer_than_agreed() -> None:
    clock = Clock()
    runner = SinkRunner(ListSink(), flush_s=0.5, monotonic_ns=clock)
    assert runner._wait_s() is None, "with nothing to write it sleeps"
    runner(ramp_tick(0))
    clock.now_ns = 300_000_000
    runner(ramp_tick(1))
    assert runner._wait_s() == pytest.approx(0.2), "the oldest counts"
    runner.turn()
    assert runner._wait_s() is None


def test_a_quarter_of_the_queue_is_written_before_its_time() -> None:
    runner = SinkRunner(ListSink(), capacity_bytes=8 * weight(ramp_tick(0)), flush_s=1e9)
    runner(ramp_tick(0))
    assert (runner._wait_s() or 0) > 0
    runner(ramp_tick(1))
    assert runner._wait_s() == 0


def test_samples_weigh_what_they_take() -> None:
    assert weight(ramp_tick(0)) >= 100 and weight(ALARM) == 512
    assert all(weight(r) >= sum(len(c.data) for c in r.chunks) for r in one_of_each() if isinstance(r, WaveTick))
