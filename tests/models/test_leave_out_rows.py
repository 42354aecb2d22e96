"""A row of the leave-one-out is what is shown of a bed whose sensor was withheld from the window's beginning on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from models.data.simulator import open_demo
from models.runtime.backend import Arrays
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.engine import Engine
from models.runtime.leave_out import NO_OTHER, NOT_KNOWN, NOT_THERE, LeftOut, gated
from models.runtime.memory import EngineMemory
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.prediction import Interval, Prediction
from models.signals.channels import map_channels
from models.signals.errors import BackendFailed
from models.signals.estimable import not_estimable
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.leave_out import WindowPast
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Chunk
from models.signals.windows import Window
from tests.models.test_memory_runtime import REMEMBERS, MemoryBackend
from tests.models.test_runtime import engine as fake_engine
from tests.models.test_runtime import window as plain_window

M = Modality
S = 10**9
END_S, LONG_S = 40, 76
BUNDLE = load_bundle()
_recording = map_channels(open_demo("demo:seed=7,scenario=hypovolaemia,faults=off,duration=120"), {"RESP": "none"})
_chunks = {
    half: [Chunk.of(c, _recording.read(m, half * S // 2, (half + 1) * S // 2)) for m, c in _recording.channels.items()]
    for half in range(2 * LONG_S + 4)
}


@dataclass
class Bed:
    pipeline: BedPipeline
    engine: Engine
    window: Window
    said: Prediction

    def rows(self) -> dict[Modality | None, LeftOut]:
        return {row.modality: row for row in self.engine.leave_out(self.pipeline.past(self.window), "bed")}


class Counting(OnnxBackend):
    batches: list[int]

    def run(self, inputs: Arrays) -> Arrays:
        self.batches.append(len(inputs["presence"]))
        return super().run(inputs)


def bed(*losses: tuple[Modality, float, float], end_s: int = END_S) -> Bed:
    """After the window that ends at ``end_s``; losses: modality, withheld from, to."""
    backend = Counting(BUNDLE.model_path, BUNDLE.spec, 1)
    backend.batches = []
    engine = Engine(BUNDLE, backend)
    pipeline, found = BedPipeline(BUNDLE.window_spec, list(_recording.channels)), None
    for half, chunks in _chunks.items():
        at = half / 2
        now = [replace(c, withheld=any(c.modality is m and a <= at < b for m, a, b in losses)) for c in chunks]
        for window in pipeline.push(now, half * S // 2, (half + 1) * S // 2).windows:
            (said,) = engine.predict([window], ["bed"])
            found = Bed(pipeline, engine, window, said)
            if window.end_s == end_s:
                return found
    raise AssertionError("the window never came")


def assert_same(found: Prediction | None, expected: Prediction) -> None:
    assert found is not None and found.valid
    assert (found.abstain, found.reason, found.not_estimable) == (
        expected.abstain,
        expected.reason,
        expected.not_estimable,
    )
    assert set(found.risk) == set(expected.risk)
    values = [(found.risk[k], expected.risk[k], 1e-5) for k in found.risk]
    values += [(found.depth, expected.depth, 1e-3)]
    for name in ("map", "sbp", "dbp"):
        values.append(((found.pressures or {}).get(name), (expected.pressures or {}).get(name), 1e-3))
    for a, b, near in values:
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert (a.value, a.lo, a.hi) == pytest.approx((b.value, b.lo, b.hi), abs=near)


@pytest.fixture(scope="module")
def whole() -> Iterator[Bed]:
    yield bed()


@pytest.mark.parametrize("lost", BUNDLE.window_spec.modalities)
def test_a_row_is_what_a_withheld_sensor_gives(whole: Bed, lost: Modality) -> None:
    real = bed((lost, END_S - 30 + 0.5, END_S + 9))
    assert not real.window.cells[BUNDLE.window_spec.modalities.index(lost)].any()
    assert_same(whole.rows()[lost].prediction, real.said)


def test_a_row_of_a_bed_that_lost_its_pressure_a_while_ago() -> None:
    """How the pressure went with the delay is not learnt without an ECG, how it went with the rest is."""
    gone = (M.ABP, LONG_S - 12.0, LONG_S + 9.0)
    real = bed(gone, (M.ECG, LONG_S - 30 + 0.5, LONG_S + 9.0), end_s=LONG_S)
    assert real.said.pressures is not None
    assert_same(bed(gone, end_s=LONG_S).rows()[M.ECG].prediction, real.said)


def test_all_rows_are_one_batch_and_the_first_is_what_was_said(whole: Bed) -> None:
    backend = whole.engine._backend
    assert isinstance(backend, Counting)
    before = len(backend.batches)
    rows = whole.rows()
    assert backend.batches[before:] == [5]
    assert list(rows) == [None, *BUNDLE.window_spec.modalities]
    assert_same(rows[None].prediction, whole.said)
    assert rows[M.ABP].prediction is not None and rows[M.ABP].prediction.pressures is not None


def test_nothing_is_learnt_of_a_question(whole: Bed) -> None:
    def known() -> EngineMemory:
        return whole.engine.memory_of("bed")

    before, first = known(), whole.rows()
    assert known() == before or known().past == before.past
    again = whole.rows()
    for modality, row in first.items():
        assert row.prediction is not None
        assert_same(again[modality].prediction, row.prediction)
    assert whole.engine.memory_of(("left out", "bed", M.ABP)).past == whole.engine.memory_of("nobody").past


def test_a_sensor_that_is_not_there_and_the_only_one() -> None:
    rows = bed((M.ABP, 0, 99), (M.EEG, 0, 99), end_s=6).rows()
    assert {m: row.reason for m, row in rows.items() if row.reason} == {M.ABP: NOT_THERE, M.EEG: NOT_THERE}
    alone = bed((M.ABP, 0, 99), (M.EEG, 0, 99), (M.ECG, 0, 99), end_s=6).rows()
    assert alone[M.PPG].reason == NO_OTHER and alone[None].prediction is not None


def test_in_the_first_seconds_a_row_knows_nothing_of_before() -> None:
    early = bed(end_s=8)
    real = bed((M.ABP, 0.0, 99.0), end_s=8)
    found = early.rows()[M.ABP].prediction
    assert found is not None and found.abstain and found.pressures is None
    assert found.not_estimable[M.ABP] == "no clean ABP of this patient yet"  # never connected, where it was withheld
    assert found.reason == real.said.reason


# -- memory and gates, without a graph --------------------------------------------------------------------------------


def past_of(window: Window, engine: Engine) -> WindowPast:
    pipeline = BedPipeline(engine.window_spec, list(M))
    return replace(pipeline.past(window), context=pipeline._context.past(0, 0))


def test_tokens_of_the_sensor_are_those_of_when_the_window_began() -> None:
    backend = MemoryBackend()
    made = Engine(Bundle(Path(), REMEMBERS, "0" * 12), backend)
    for end_s in range(31, 101):
        window = plain_window(end_s=end_s)
        window.context[0, 0] = end_s  # what tells the tokens
        made.predict([window], ["bed"])
    backend.served.clear()
    made.leave_out(past_of(window, made), "bed")
    mean = 4.5  # of the numbers of the frames
    assert len(backend.served) == 5
    for row, (_, memory) in enumerate(backend.served[1:]):
        expected = np.full(4, 99 + mean)
        expected[row] = 70 + mean
        np.testing.assert_allclose(memory[:, 0], expected)


def test_what_another_engine_knew_is_not_known_of_before_it() -> None:
    made = fake_engine()
    window = plain_window(end_s=60)
    made.predict([plain_window(end_s=59)], ["bed"])
    made.remember("bed", made.memory_of("bed"))
    made.predict([window], ["bed"])
    rows = made.leave_out(past_of(window, made), "bed")
    assert {row.reason for row in rows} == {NOT_KNOWN}


NEWS: Sequence[tuple[str, Findings, float]] = [
    ("the ABP shows no pulse", Findings(Rhythm.BEATS, {M.ABP: Pulse.NONE, M.PPG: Pulse.PRESENT}), 80.0),
    ("no rhythm on the ECG", Findings(Rhythm.FIBRILLATION, {M.ABP: Pulse.PRESENT, M.PPG: Pulse.PRESENT}), 80.0),
    ("MAP below 65 in the last seconds", Findings(Rhythm.BEATS, {M.ABP: Pulse.PRESENT, M.PPG: Pulse.PRESENT}), 50.0),
]


@pytest.mark.parametrize(("why", "findings", "level"), NEWS)
@pytest.mark.parametrize("modality", BUNDLE.window_spec.modalities)
def test_no_row_outvotes_bad_news(why: str, findings: Findings, level: float, modality: Modality) -> None:
    window = replace(plain_window(), findings=findings)
    window.context[1, 0] = level
    fine = Interval(0.1, 0.0, 0.2)
    said = Prediction(
        100, window.presence, True, False, "", {5: fine}, None, {"map": Interval(80, 75, 85)}, (), {}, ()
    )  # fmt: skip
    shown = gated(said, window, BUNDLE.window_spec, modality)
    assert shown.abstain and shown.risk == {} and shown.reason == why
    if level > 65 and modality is M.ABP:
        assert shown.pressures is None and shown.not_estimable[M.ABP]
        assert not_estimable(M.ABP, window, BUNDLE.window_spec)


def test_a_batch_that_is_lost_is_told_and_leaves_nothing(whole: Bed) -> None:
    class Broken(MemoryBackend):
        broken = False

        def run(self, inputs: Arrays) -> Arrays:
            if self.broken:
                raise BackendFailed("the device is gone")
            return super().run(inputs)

    backend = Broken()
    made = Engine(Bundle(Path(), REMEMBERS, "0" * 12), backend)
    window = plain_window(end_s=40)
    made.predict([window], ["bed"])
    backend.broken = True
    with pytest.raises(BackendFailed, match="device"):
        made.leave_out(past_of(window, made), "bed")
    assert made._memory is not None and len(made._memory) == 1
