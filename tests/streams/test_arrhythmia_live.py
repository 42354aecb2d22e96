"""The alarms of whole recordings through the live path, and how the benchmark judges them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.alarm_replay import replay
from benchmarks.alarms import ALARM_S, WINDOW_S, Score, in_tuning, judge
from benchmarks.background import Tally, recordings_of
from streams.alarms.arrhythmia import HARDLY_UNLIKE
from streams.records import AlarmRecord

FIRST = ALARM_S - WINDOW_S


def change(
    key: str, active: bool = True, priority: str = "high", reason: str = "ECG alone", kind: str = "physiological"
) -> AlarmRecord:
    return AlarmRecord(
        bed="", session="", epoch=0, time_ns=0, key=key, priority=priority, kind=kind, text=key, active=active,
        reason=reason,
    )  # fmt: skip


def verdict(*changes: tuple[int, AlarmRecord]) -> tuple[bool, bool, bool]:
    judged = judge("x", "Asystole", True, changes)
    return judged.high, judged.called, judged.heard


def test_an_alarm_counts_where_it_stood_within_the_window() -> None:
    assert verdict((FIRST + 1, change("asystole"))) == (True, True, True)
    assert verdict((100, change("asystole"))) == (True, True, True)
    assert verdict((100, change("asystole")), (FIRST + 2, change("asystole", active=False))) == (True, True, True)
    assert verdict((100, change("asystole")), (FIRST - 5, change("asystole", active=False))) == (False, False, False)
    assert verdict() == (False, False, False)


def test_a_contradicted_alarm_is_called_and_heard_and_another_is_only_heard() -> None:
    contradicted = change("asystole", priority="medium", reason="PPG pulses at 80/min")
    assert verdict((FIRST + 1, contradicted)) == (False, True, True)
    assert verdict((FIRST + 1, change("vtach"))) == (False, False, True)
    assert verdict((FIRST + 1, change("hr.high", priority="medium"))) == (False, False, False)
    assert verdict((FIRST + 1, change("asystole", priority="medium", reason=HARDLY_UNLIKE))) == (False, False, True)


def test_the_score_counts_a_missed_alarm_five_times() -> None:
    true = np.array([True] * 10 + [False] * 10)
    said = np.array([True] * 8 + [False] * 2 + [True] * 3 + [False] * 7)
    score = Score.of(true, said)
    assert (score.tp, score.fn, score.fp, score.tn) == (8, 2, 3, 7)
    assert score.challenge == pytest.approx(100 * 15 / (15 + 3 + 10))


def test_the_halves_are_by_name_alone() -> None:
    halves = [in_tuning(f"a{number}s") for number in range(400)]
    assert 150 < sum(halves) < 250
    assert in_tuning("a142s") is in_tuning("a142s")


def test_a_tally_counts_begins_and_seconds_at_each_priority() -> None:
    tally = Tally()
    tally.add(
        [
            (10, change("vtach", priority="medium")),
            (12, change("vtach", priority="medium", reason="another")),
            (14, change("vtach")),
            (20, change("vtach", active=False)),
            (90, change("asystole")),
        ],
        100,
    )
    tally.add([], 100)
    assert tally.begun == {("vtach", "medium"): 1, ("vtach", "high"): 1, ("asystole", "high"): 1}
    assert tally.stood_s == {("vtach", "medium"): 4, ("vtach", "high"): 6, ("asystole", "high"): 10}
    assert (tally.recordings, tally.seconds) == (2, 200)
    assert tally.rate(("vtach", "high")) == "18.0 (3.00 %)" and tally.rate(("vfib", "high")) == "0"


def test_of_a_set_one_recording_of_each_patient_comes_first(tmp_path: Path) -> None:
    for name in ("a1", "a2", "a3", "b1", "c1"):
        (tmp_path / f"{name}.hea").touch()
    (tmp_path / "index.csv").write_text("record,group\na1,a\na2,a\na3,a\nb1,b\nc1,c\n")
    assert [Path(p).stem for p in recordings_of(str(tmp_path), 4)] == ["a1", "b1", "c1", "a2"]
    assert recordings_of("demo:seed=7", 4) == ["demo:seed=7"]


def high(folder: Path, name: str, until_s: int) -> dict[str, list[tuple[int, bool]]]:
    found: dict[str, list[tuple[int, bool]]] = {}
    for second, alarm in replay(str(folder / f"{name}.hea"), 0, until_s):
        if alarm.priority == "high":
            found.setdefault(alarm.key, []).append((second, alarm.active))
    return found


def spans(scenario: str, key: str, until_s: int) -> list[tuple[int, int, str]]:
    """(began, ended, priority) of an alarm in a crisis of the simulator."""
    found: list[tuple[int, int, str]] = []
    for second, alarm in replay(f"demo:scenario={scenario}", 0, until_s):
        if (
            alarm.key == key
            and alarm.active
            and (not found or found[-1][1] < until_s or found[-1][2] != alarm.priority)
        ):
            found = [(a, min(b, second), p) for a, b, p in found] + [(second, until_s, alarm.priority)]
        elif alarm.key == key and not alarm.active:
            found = [(a, min(b, second), p) for a, b, p in found]
    return found


def test_movement_that_looks_ventricular_is_contradicted_by_a_pressure_that_pulses_on() -> None:
    red = [s for key in ("vtach", "vfib", "tachy.extreme") for s in spans("motion", key, 100) if s[2] == "high"]
    assert red == []


def test_a_ventricular_tachycardia_is_red_until_it_ends() -> None:
    """From 30 to 80 s; until 92 its heart is slowing down."""
    (began, ended, priority), *others = spans("vtach", "vtach", 110)
    assert began <= 40 and 80 <= ended <= 92 and priority == "high" and not others


@pytest.mark.recordings
def test_arrests_of_known_onset(recordings: Path) -> None:
    folder = recordings.parent / "cases" / "arrest"
    if not folder.is_dir():
        pytest.skip(f"no made-up arrests at {folder}")
    arrest = high(folder, "arrest2", 290)
    assert 230 <= arrest["vfib"][0][0] <= 236
    assert all(active for _, active in arrest["vfib"])
    assert 150 <= arrest["tachy.extreme"][0][0] <= 160
    assert 190 <= arrest["brady.extreme"][0][0] <= 200
    assert "asystole" not in arrest
    assert all(second >= 230 for second, _ in arrest.get("vtach", []))
    assert high(folder, "asysstart", 60)["asystole"][0][0] <= 5
    assert high(folder, "vfstart", 60)["vfib"][0][0] <= 5
    rhythms = {"asystole", "vfib", "vtach", "brady.extreme", "tachy.extreme"}
    for healthy in ("cal", "normal_noabp"):
        assert not rhythms & high(folder, healthy, 120).keys()
