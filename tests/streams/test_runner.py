"""The watch over the stream: dead within five seconds of reading nothing, alive after a pause of any length."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from models.signals.modalities import Modality
from streams.accounting import Accounting
from streams.app import Stages
from streams.clock import ReplayClock, Span
from streams.codec import encode
from streams.latency import LatencyBook
from streams.records import AnyRecord, WaveTick, tick_identity
from streams.runner import HEARTBEAT_S, STALL_S, StallWatch, StreamRunner, StreamStalled
from streams.sources.bed_replay import BedReplay
from streams.sources.player import ReplayPlayer
from streams.stages import SHOW, WINDOW, ShowStage
from streams.transport.credits import Credits, Wait
from tests.streams.sources import CountingMap, S, running, wait_until

STALL_NS, BEAT_NS = int(STALL_S * S), int(HEARTBEAT_S * S)
TICK_NS = S // 20


class Bench:
    """Credits and the watch over them on a clock of the test's own; beats as the stream's loop does."""

    def __init__(self) -> None:
        self.now_ns = 1000 * S
        self.credits = Credits(200, [WINDOW, SHOW], lane=lambda tick: tick[0], monotonic_ns=lambda: self.now_ns)  # type: ignore[index]
        self.watch = StallWatch()
        self.held_up = False
        self._beat_ns = self.now_ns
        self._sequence = 0

    def beat(self) -> None:
        self.watch.look(None if self.held_up else self.credits.longest_wait(), self.now_ns)

    def send(self, bed: str = "1") -> tuple[str, int]:
        self._sequence += 1
        tick = (bed, self._sequence)
        self.credits.acquire(tick, timeout=0)
        return tick

    def handle(self, tick: tuple[str, int], *stages: str) -> None:
        for stage in stages or (WINDOW, SHOW):
            self.credits.release(stage, tick)

    def idle(self, seconds: float) -> None:
        """Time passes, and the loop beats."""
        end_ns = self.now_ns + round(seconds * S)
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + BEAT_NS)
            self.beat()

    def play(self, seconds: float, handle: Callable[[tuple[str, int]], None], beds: tuple[str, ...] = ("1",)) -> None:
        """Ticks of the beds, twenty a second, each handed to ``handle``; beats between them."""
        for step in range(round(seconds * S / TICK_NS)):
            self.now_ns += TICK_NS
            for bed in beds:
                handle(self.send(bed))
            if step % (BEAT_NS // TICK_NS) == 0:
                self.beat()


@pytest.mark.parametrize("pause_s", [0.0, 4.9, 5.1, 6.0, 86_400.0])
def test_a_tick_that_became_readable_just_now_is_no_stall_however_long_the_pause_was(pause_s: float) -> None:
    """The interleaving that killed one resume in 24: the source has sent, the loop beats, nobody has read yet."""
    bench = Bench()
    bench.play(1.0, bench.handle)
    bench.idle(pause_s)
    tick = bench.send()
    bench.beat()
    bench.now_ns += STALL_NS
    bench.beat()  # not read for as long as is allowed
    bench.handle(tick)
    bench.play(1.0, bench.handle)


def test_the_same_where_the_loop_had_no_beat_in_all_the_pause() -> None:
    bench = Bench()
    bench.play(1.0, bench.handle)
    bench.now_ns += 60 * S
    bench.send()
    bench.beat()


def test_the_wait_itself_is_never_older_than_the_tick() -> None:
    bench = Bench()
    bench.handle(bench.send())
    bench.now_ns += 60 * S
    bench.send()
    assert bench.credits.longest_wait() in (Wait(bench.now_ns, WINDOW, "1"), Wait(bench.now_ns, SHOW, "1"))


@pytest.mark.parametrize("lost", [WINDOW, SHOW, "both"])
def test_a_stage_that_reads_no_more_is_found_dead_in_time(lost: str) -> None:
    """Also where the other one reads on, and long before the credits are used up."""
    bench = Bench()
    bench.play(3.0, bench.handle)
    dead_ns = bench.now_ns
    left = {WINDOW, SHOW} - {lost} if lost != "both" else set()
    with pytest.raises(
        StreamStalled, match=r"stands still: for 5 s the stage '\w+' has read none of the ticks of bed 1"
    ):
        bench.play(60.0, lambda tick: [bench.handle(tick, stage) for stage in left] and None)
    assert STALL_NS < bench.now_ns - dead_ns <= STALL_NS + 2 * BEAT_NS


def test_a_stream_that_never_reads_its_first_tick_is_found_dead_too() -> None:
    bench = Bench()
    with pytest.raises(StreamStalled):
        bench.play(60.0, lambda tick: None)
    assert bench.now_ns <= 1000 * S + STALL_NS + 2 * BEAT_NS


def test_one_partition_that_stands_still_is_found_dead_while_the_others_go_on() -> None:
    bench = Bench()
    beds = ("1", "2", "3")
    bench.play(3.0, bench.handle, beds)
    dead_ns = bench.now_ns
    with pytest.raises(StreamStalled, match="of bed 2 that wait"):
        bench.play(60.0, lambda tick: None if tick[0] == "2" else bench.handle(tick), beds)
    assert bench.now_ns - dead_ns <= STALL_NS + 2 * BEAT_NS


def test_a_bed_that_has_ended_or_is_empty_is_no_partition_that_stands_still() -> None:
    bench = Bench()
    bench.play(3.0, bench.handle, ("1", "2"))
    bench.play(60.0, bench.handle, ("1",))


def test_a_slow_stage_that_reads_on_is_alive() -> None:
    bench = Bench()
    waiting = [bench.send() for _ in range(20)]
    for tick in waiting:
        bench.idle(4.9)
        bench.handle(tick)
    assert bench.credits.longest_wait() is None


def test_a_full_mailbox_holds_the_windower_up_for_as_long_as_it_likes_and_after_it_the_time_begins_anew() -> None:
    bench = Bench()
    bench.send()
    bench.held_up = True
    bench.idle(100.0)
    bench.held_up = False
    bench.idle(STALL_S)
    with pytest.raises(StreamStalled):
        bench.idle(2 * HEARTBEAT_S)


def test_a_process_that_was_stopped_for_a_while_is_not_dead_and_one_that_reads_nothing_after_it_is() -> None:
    bench = Bench()
    bench.play(1.0, bench.handle)
    bench.send()
    bench.now_ns += 3600 * S
    bench.beat()
    bench.idle(STALL_S)
    with pytest.raises(StreamStalled):
        bench.idle(2 * HEARTBEAT_S)


# -- the stream itself, on an embedded hub, with an operator ---------------------------------------------------------


class SteppedTime:
    """The monotonic clock, and hours that a test lets pass at once. Ticks are dated under ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._ahead_ns = 0

    def __call__(self) -> int:
        return time.monotonic_ns() + self._ahead_ns

    def pass_by(self, seconds: float) -> None:
        self._ahead_ns += round(seconds * S)


class DatedCredits(Credits):
    """Credits whose ticks are not dated while time passes by."""

    def __init__(self, time_ns: SteppedTime) -> None:
        super().__init__(200, [SHOW], lane=lambda tick: tick[0], monotonic_ns=time_ns)  # type: ignore[index]
        self._lock = time_ns.lock

    def acquire(self, *args: Any, **options: Any) -> bool:
        with self._lock:
            return super().acquire(*args, **options)


class Player:
    """A replay through an embedded stream with a last consumer alone; whoever looks after it looks a thousand times a
    second, so that looks fall between the sending and the reading of ticks."""

    def __init__(self, name: str) -> None:
        self.time_ns = SteppedTime()
        self.credits = DatedCredits(self.time_ns)
        self.accounting = Accounting()
        self.shown = 0
        self.oldest_ns = 0
        self.crashed: list[BaseException] = []
        self._flowing = threading.Event()
        show = ShowStage([], self.accounting, LatencyBook(time.monotonic), self.credits, lambda topic, tick: None)
        show.subscribe(self._seen)
        self.runner = StreamRunner(
            name, f"embedded://{name}", lambda send: Stages(show=show), self._unread, self._flowing.set,
            monotonic_ns=self.time_ns,
        )  # fmt: skip
        source = CountingMap(3600.0, {Modality.ECG: 100.0})
        self.replay = ReplayPlayer(BedReplay("1", name, source, 3600 * S), ReplayClock(Span(0, 3600 * S), 10.0))

    def _emit(self, tick: WaveTick) -> bool:
        if not self.credits.acquire(tick_identity(tick)):
            return False
        self.runner.post("waves", tick.bed, encode(tick))
        return True

    @contextmanager
    def playing(self) -> Iterator[None]:
        with running(self._run, self.replay.decode_ahead, lambda: self.replay.send(self._emit), stop=self._stop):
            assert self._flowing.wait(60)
            self.replay.start()
            yield
            assert not self.crashed

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(lambda: bool(self.crashed) or condition(), what=what)
        if self.crashed:
            raise self.crashed[0]

    def wait_for_ticks(self, count: int = 1) -> None:
        target = self.shown + count
        self.wait_for(lambda: self.shown >= target, "ticks")

    def let_time_pass(self, seconds: float) -> None:
        """As soon as no tick is under way, and so that the loop has looked in between."""

        def passed() -> bool:
            with self.time_ns.lock:
                if self.credits.under_way:
                    return False
                self.time_ns.pass_by(seconds)
                return True

        self.wait_for(passed, "a moment without ticks under way")
        now_ns = self.time_ns()
        self.wait_for(lambda: self.runner.heartbeat_ns >= now_ns, "a heartbeat")

    def _unread(self) -> Wait | None:
        wait = self.credits.longest_wait()
        if wait is not None:
            self.oldest_ns = max(self.oldest_ns, self.time_ns() - wait.since_ns)
        return wait

    def _seen(self, record: AnyRecord) -> None:
        self.shown += isinstance(record, WaveTick)

    def _run(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:
            self.crashed.append(error)
            raise

    def _stop(self) -> None:
        self.replay.stop()
        self.credits.close()
        self.runner.stop()


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.runner.HEARTBEAT_S", 0.001)


@pytest.mark.slow
def test_a_thousand_pauses_of_six_seconds_and_no_dead_stream() -> None:
    player = Player("thousand-pauses")
    with player.playing():
        for _ in range(1000):
            player.replay.pause()
            player.let_time_pass(6.0)
            player.replay.resume()
            player.wait_for_ticks()
    assert player.oldest_ns < STALL_NS, "a wait counted from before the pause"
    assert player.accounting.counted("dead_letters") == 0


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_an_operator_who_presses_whatever_key_at_whatever_moment(seed: int) -> None:
    """Long pauses fall between keys at any moment without ticks under way, paused or not."""
    chance = random.Random(seed)
    player = Player(f"keys-{seed}")
    replay = player.replay
    keys: list[Callable[[], None]] = [
        replay.pause, replay.resume, replay.resume, lambda: replay.seek(chance.uniform(0, 3500)),
        lambda: replay.step(chance.uniform(-5, 5)), lambda: replay.set_speed(chance.choice([2.0, 5.0, 10.0])),
        lambda: player.let_time_pass(chance.uniform(0, 60)),
    ]  # fmt: skip
    with player.playing():
        for _ in range(500):
            chance.choice(keys)()
        replay.resume()
        replay.set_speed(10.0)
        player.wait_for_ticks(50)
    assert player.oldest_ns < STALL_NS


def test_a_stage_that_is_stuck_takes_the_stream_down_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    player = Player("stuck")
    monkeypatch.setattr(Credits, "release", lambda *_: None)
    with pytest.raises(StreamStalled, match="the stage 'show' has read none"), player.playing():
        player.wait_for(lambda: player.shown > 0, "ticks")
        while not player.crashed:  # the loop is not held up: no look comes late
            seen_ns = player.runner.heartbeat_ns
            player.time_ns.pass_by(0.25)
            player.wait_for(lambda seen=seen_ns: player.runner.heartbeat_ns > seen, "a look")
        raise player.crashed[0]


def test_a_runner_that_waits_for_a_broker_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    async def nobody_answers(*_: object, **__: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("streams.transport.kafka_topics.ensure_topics", nobody_answers)
    runner = StreamRunner("s", "kafka://nowhere:1", lambda send: Stages(), lambda: None, lambda: None)
    thread = threading.Thread(target=runner.run)
    thread.start()
    assert asked.wait(60)
    runner.stop()
    thread.join(60)
    assert not thread.is_alive()
