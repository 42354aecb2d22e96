"""What the benchmarks on Kafka count of a bed, and which cases the faults are."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from msgspec.structs import replace

from benchmarks.beds import Heard
from benchmarks.faults import FAULTS, Cores, cases
from benchmarks.ward import STEP, search
from streams.records import AnyRecord, PredictionRecord, VitalsRecord, WaveTick

S = 10**9
TICK = WaveTick(bed="1", session="s", epoch=0, tick_seq=0, start_ns=0, end_ns=S // 10)
VITALS = VitalsRecord(bed="1", session="s", epoch=0, time_ns=S, hr=70.0)
PREDICTION = PredictionRecord(
    bed="1", session="s", epoch=0, window_end_ns=S, model="m", backend="onnx", modalities=["ECG"], presence=[[True]],
    ages_s=[0.0], valid=True, abstain=False, reason="", risk={"5": (0.1, 0.05, 0.2)}, stamps_ns={"due": 3 * S},
)  # fmt: skip


def heard(*records: AnyRecord) -> Heard:
    """Each came a second after the one before, from second 4 on."""
    bed = Heard()
    for at_s, record in enumerate(records, 4):
        bed.take(record, at_s * S)
    return bed


def counted(seconds: int, *records: AnyRecord) -> dict[str, int]:
    """What is not zero."""
    return {name: count for name, count in heard(*records).counts(seconds).items() if count}


def test_nothing_is_wrong_where_everything_came_once() -> None:
    told = [
        replace(record, **{name: second * S})
        for second in (1, 2)
        for record, name in ((VITALS, "time_ns"), (PREDICTION, "window_end_ns"))
    ]
    assert counted(2, TICK, replace(TICK, tick_seq=1), *told) == {"arrived": 2}


def test_what_never_came_is_missing_also_at_the_beginning_and_the_end() -> None:
    assert counted(4, replace(VITALS, time_ns=2 * S)) == {"missing": 3, "windows missing": 4}
    assert counted(1, VITALS) == {"windows missing": 1}


def test_a_tick_that_came_twice_is_told_from_another_epochs_and_from_an_end() -> None:
    ticks = [TICK, TICK, replace(TICK, epoch=1), replace(TICK, tick_seq=1, eos=True)]
    assert counted(0, *ticks) == {"arrived": 2, "twice": 1}


def test_what_is_told_again_is_told_from_what_is_told_otherwise() -> None:
    assert counted(1, VITALS, VITALS, PREDICTION) == {"again": 1}
    assert counted(1, VITALS, replace(VITALS, hr=71.0), VITALS, PREDICTION) == {"otherwise": 1}
    assert counted(1, VITALS, PREDICTION, replace(PREDICTION, risk={})) == {"windows otherwise": 1}
    assert heard(VITALS, VITALS, PREDICTION).fields_told_otherwise() == set()
    assert heard(VITALS, VITALS, PREDICTION, replace(PREDICTION, valid=False)).fields_told_otherwise() == {"valid"}
    late = replace(PREDICTION, valid=False)
    assert counted(1, VITALS, late, late) == {"windows again": 1, "windows invalid": 1}
    for why in ("late", "skipped"):
        assert counted(1, VITALS, replace(late, missed=why)) == {f"windows {why}": 1}


def test_who_told_a_prediction_and_when_is_no_part_of_what_it_says() -> None:
    other = replace(PREDICTION, stamps_ns={"due": 5 * S}, host="another", clock_ns=7)
    assert counted(1, VITALS, PREDICTION, other) == {"windows again": 1}


def test_silence_and_delays_are_of_the_wall() -> None:
    bed = heard(VITALS, TICK, TICK, TICK, replace(VITALS, time_ns=2 * S), replace(VITALS, time_ns=3 * S), PREDICTION)
    assert bed.silence_s == 4.0
    assert bed.window_ms == [7000.0] and bed.sample_ms == []
    assert heard(VITALS).silence_s == 0.0
    assert heard(replace(TICK, due_ns=3 * S)).sample_ms == [1000.0]


def test_an_outage_is_a_case_for_each_length_and_anything_else_one() -> None:
    found = cases(["none", "gone", "kill"], [10.0, 300.0])
    assert [(case.name, case.seconds) for case in found] == [("none", 0), ("gone", 10), ("gone", 300), ("kill", 0)]
    assert "300 s" in found[2].words
    assert all("{" not in case.words for case in cases(list(FAULTS), [60.0]))


def test_what_a_child_used_is_ours_also_when_it_has_ended() -> None:
    began, cores = time.monotonic(), Cores()
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    ours, others = cores.used()
    assert ours * (time.monotonic() - began) > 0.45
    assert others >= 0.0


@pytest.mark.parametrize(
    ("first", "most", "expected"), [(16, 43, (40, 44)), (16, 5, (4, 8)), (8, 8, (8, 12)), (4, 0, (0, 4))]
)
def test_the_search_ends_where_beds_stop_keeping_up(first: int, most: int, expected: tuple[int, int]) -> None:
    tried: list[int] = []

    def run(beds: int) -> list[object]:
        tried.append(beds)
        return [beds, "", 0, 0, 0, 0, int(beds > most), None]

    rows = search(run, first)
    kept = max((int(str(row[0])) for row in rows if not row[6]), default=0)
    failed = min(int(str(row[0])) for row in rows if row[6])
    assert kept <= most < failed <= kept + STEP and (kept, failed) == expected
    assert len(tried) == len(set(tried)) == len(rows) and tried[0] == first
