"""Stamps across hosts: one boot is one host, and what another host stamped is taken over by the wall clocks."""

from __future__ import annotations

import subprocess
import sys
import time

from hypothesis import given
from hypothesis import strategies as st

from streams.host import clock_offset_ns, stamped, taken_over, this_host
from streams.records import CellRecord, PredictionRecord, WaveTick

S = 1_000_000_000


def tick(due_ns: int) -> WaveTick:
    return WaveTick(bed="1", session="s", epoch=0, tick_seq=0, start_ns=0, end_ns=S, due_ns=due_ns)


def prediction(stamps: dict[str, int]) -> PredictionRecord:
    return PredictionRecord(
        bed="1", session="s", epoch=0, window_end_ns=0, model="m", backend="b", modalities=[], presence=[], ages_s=[],
        valid=True, abstain=False, reason="", risk={}, stamps_ns=stamps,
    )  # fmt: skip


def test_all_processes_of_a_boot_are_one_host() -> None:
    code = "from streams.host import this_host; print(this_host())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == this_host() and len(other) == 12


def test_the_offset_is_that_of_the_two_clocks() -> None:
    before = time.time_ns() - time.monotonic_ns()
    assert abs(clock_offset_ns() - before) < S


@given(wall=st.integers(10**18, 2 * 10**18), boot_a=st.integers(0, 10**16), boot_b=st.integers(0, 10**16))
def test_a_moment_is_the_same_moment_on_either_host(wall: int, boot_a: int, boot_b: int) -> None:
    """Two hosts whose monotonic clocks began at different times and whose wall clocks agree."""
    sent = stamped(tick(wall - boot_a), "a", boot_a)
    read = taken_over(sent, "b", boot_b)
    assert isinstance(read, WaveTick) and read.due_ns + boot_b == wall
    stamps = {"due": wall - boot_a, "window": wall - boot_a + 5, "received": 0}
    record = taken_over(stamped(prediction(stamps), "a", boot_a), "b", boot_b)
    assert isinstance(record, PredictionRecord)
    assert record.stamps_ns == {"due": wall - boot_b, "window": wall - boot_b + 5, "received": 0}


def test_what_has_no_stamp_or_is_of_here_stays() -> None:
    assert taken_over(stamped(tick(0), "a", 5), "b", 9).due_ns == 0  # type: ignore[union-attr]
    for mine in (tick(77), stamped(tick(77), "b", 5), CellRecord(bed="1", session="s", epoch=0, second=3, absence={})):
        assert taken_over(mine, "b", 9) is mine
