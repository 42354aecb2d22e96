"""The same beds through other pipelines: one script for all, what was due is accounted for, who is missing is told."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.open_loop import Punctuality
from benchmarks.pipelines import bare, peers
from benchmarks.pipelines.command import ELSEWHERE, text_of
from benchmarks.pipelines.measure import found_of
from benchmarks.pipelines.peers import PEERS, chosen
from benchmarks.pipelines.script import TICKS_S, bed_names, described, script
from benchmarks.pipelines.trial import Trial, heard
from benchmarks.pipelines.vigil import ScriptedSource
from models.signals.errors import BadInput
from models.signals.times import SECOND_NS
from streams.mailbox import WindowJob
from streams.records import WaveTick

MS = SECOND_NS // 1000


def trial(folder: Path, **how: Any) -> Trial:
    """Of one bed; two seconds count after one that does not."""
    words: dict[str, Any] = {"peer": "bare", "beds": 1, "seconds": 2, "warm_s": 1, "begin_ns": 5 * SECOND_NS}
    return Trial(**words | {"folder": str(folder)} | how)


def test_a_tick_is_due_when_its_last_sample_is() -> None:
    cues = script(2, 2)
    assert [(cue.tick.bed, cue.after_ns) for cue in cues[:4]] == [
        ("bed1", 50 * MS), ("bed2", 50 * MS), ("bed1", 100 * MS), ("bed2", 100 * MS)
    ]  # fmt: skip
    assert len(cues) == 2 * 2 * TICKS_S
    assert cues[2].due(7 * MS).due_ns == 107 * MS and cues[2].tick.due_ns == 0
    assert all(cue.tick.end_ns == cue.after_ns for cue in cues)
    first, second = cues[0].tick, cues[1].tick
    assert first.chunks[0].data != second.chunks[0].data  # another patient
    assert {c.modality for c in first.chunks} == {c.modality for c in described("bed1").channels}
    assert script(2, 2, only="bed2") == [cue for cue in cues if cue.tick.bed == "bed2"]


def test_many_beds_do_not_close_a_second_at_one_moment() -> None:
    firsts = [cue.after_ns for cue in script(20, 1) if cue.tick.tick_seq == 0]
    assert firsts == [number * 50 * MS for number in range(1, 21)]


def test_what_did_not_come_is_lost_and_what_was_due_before_is_not_counted(tmp_path: Path) -> None:
    one, begin_ns = trial(tmp_path), 5 * SECOND_NS
    ticks = [("bed1", n, begin_ns + (n + 1) * 50 * MS + 3 * MS) for n in range(60) if n not in (7, 33)]
    said = [("bed1", end, begin_ns + end * SECOND_NS + 80 * MS) for end in (1, 2)]
    found = found_of(one, ticks, said, 12.0)
    assert found.ticks == Punctuality(due=40, lost=1, twice=0, p50_ms=3.0, p99_ms=3.0, most_ms=3.0)
    assert found.windows == Punctuality(due=2, lost=0, twice=0, p50_ms=80.0, p99_ms=80.0, most_ms=80.0)
    assert found_of(one, ticks, said[:1], 12.0).windows.lost == 1
    text = text_of([found], {}, 2, 1)
    assert "| bare | 1 | 12 | 3 | 3 | 80 | 80 | 1 | 0 | 2 |" in text and "Not measured" not in text


class Oracle:
    """Says something of every window, at once."""

    def __init__(self, beds: int) -> None:
        self.beds = beds

    def predict(self, jobs: list[WindowJob]) -> None:
        assert len(jobs) == 1

    def close(self) -> None:
        pass


def test_the_bare_loop_hands_over_every_tick_and_a_prediction_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bare, "ModelWork", Oracle)
    over = trial(tmp_path, beds=2, begin_ns=time.monotonic_ns() - 60 * SECOND_NS)  # due long ago: nobody waits
    bare.run(over)
    ticks, said = heard(tmp_path)
    assert sorted((bed, number) for bed, number, _ in ticks) == [(b, n) for b in bed_names(2) for n in range(60)]
    assert sorted((bed, end) for bed, end, _ in said) == [(b, end) for b in bed_names(2) for end in (1, 2)]


def test_vigils_source_gives_the_script_until_nobody_takes_it() -> None:
    cues, begin_ns = script(1, 1), time.monotonic_ns() - 60 * SECOND_NS
    got: list[WaveTick] = []

    def take(tick: WaveTick) -> bool:
        got.append(tick)
        return len(got) < 5

    ScriptedSource("bed1", "pipelines", cues, begin_ns).run(take)
    assert got == [cue.due(begin_ns) for cue in cues[:5]]


def test_who_is_not_there_is_named_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    names, missing = chosen(None, None)
    assert names == ["bare", "vigil"]
    assert missing.keys() == PEERS.keys() - set(names)
    text = text_of([], missing, 30, 10)
    assert "- ezmsg: not installed (pip install -e '.[peers]')." in text
    assert "- aiokafka: no --broker was named." in text
    assert all(f"- {name}: " in text for name in missing)
    assert chosen(["aiokafka"], "kafka://localhost:9092") == (["aiokafka"], {})


def test_a_pipeline_that_does_not_exist_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="a pipeline out of bare, vigil"):
        chosen(["spark"], None)


def test_a_trial_that_failed_is_told() -> None:
    found = found_of(trial(Path(), peer="ezmsg"), [], [], None, "exit code 1: line one\nline | two")
    text = text_of([found], {}, 2, 1)
    assert "- ezmsg, beds 1: did not go through (exit code 1: line one line / two)." in text
    assert "| ezmsg | 1 | – | – | – | – | – | 40 | 2 | 2 |" in text


def test_a_trial_is_the_same_on_the_other_side(tmp_path: Path) -> None:
    one = trial(tmp_path, broker="kafka://localhost:9092")
    assert Trial.loaded(one.dumped()) == one
    assert (one.total_s, one.from_ns, one.until_ns, one.bootstrap) == (
        3, 6 * SECOND_NS, 8 * SECOND_NS, "localhost:9092"
    )  # fmt: skip


def test_what_runs_a_pipeline_and_what_is_measured_elsewhere_exist() -> None:
    for peer in PEERS.values():
        module, _, function = peer.runs.partition(":")
        spec = importlib.util.find_spec(f"benchmarks.pipelines.{module}")
        assert spec is not None and spec.origin is not None
        assert f"\ndef {function}(trial: Trial) -> None:" in Path(spec.origin).read_text(encoding="utf-8")
    assert {name for _, _, name in ELSEWHERE} <= BENCHMARKS.keys()
