"""The engine's memory: what was last wholly there, whose it is, and that batching does not show."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.runtime.backend import Arrays
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.engine import Engine
from models.runtime.memory import MAX_KEYS, BedMemory, EngineMemory, rounds
from models.runtime.pressure_past import NUMBERS
from models.runtime.spec import MEMORY_INPUT
from models.signals.errors import BackendFailed, BadInput
from models.signals.windows import CONTEXT_FIELDS, Window
from tests.models.test_runtime import ABP, ECG, PPG, SPEC, TABLE, FakeBackend, write_bundle
from tests.signals.waves import beat_times, pulse

REMEMBERS = msgspec.structs.replace(SPEC, memory=True, pressure=TABLE)
ROWS, FRAMES, WIDTH = 4, SPEC.frames, SPEC.token_width


class MemoryBackend(FakeBackend):
    """Tokens are known functions of the window; keeps the memory that each window was served with, by its level."""

    def __init__(self) -> None:
        super().__init__()
        self.served: list[tuple[float, np.ndarray]] = []
        self.batches: list[int] = []

    def run(self, inputs: Arrays) -> Arrays:
        level = np.asarray(inputs["context"])[:, 0, 0]
        self.batches.append(len(level))
        self.served += [(float(x), m.copy()) for x, m in zip(level, inputs[MEMORY_INPUT], strict=True)]
        tokens = level[:, None, None, None] + np.arange(FRAMES)[:, None] + np.zeros((1, ROWS, 1, WIDTH))
        tokens = np.where(inputs["presence"][..., None], tokens, np.nan).astype(np.float32)
        return super().run(inputs) | {"tokens": tokens}


def engine() -> tuple[Engine, MemoryBackend]:
    backend = MemoryBackend()
    return Engine(Bundle(Path(), REMEMBERS, "0" * 12), backend), backend


def token(level: float) -> float:
    """Mean token of a wholly present row of the window of this level."""
    return level + (FRAMES - 1) / 2


def window(level: float, presence: np.ndarray | None = None) -> Window:
    """A window that is told by its level, with frames [M, N] present (all of them by default)."""
    presence = np.ones((ROWS, FRAMES), bool) if presence is None else presence
    context = np.zeros((ROWS, len(CONTEXT_FIELDS)), np.float32)
    context[0, 0] = level
    return Window(int(level) + 30, np.zeros((ROWS, 3000), np.float32), presence, presence.repeat(3, 1), context)


def lacking(*rows: int, frame: int = 0) -> np.ndarray:
    presence = np.ones((ROWS, FRAMES), bool)
    presence[list(rows), frame] = False
    return presence


def test_the_last_whole_window_is_remembered_by_modality() -> None:
    made, backend = engine()
    assert made.remembers
    for w in (window(1), window(2, lacking(ABP)), window(3, lacking(ECG, ABP)), window(4, ~lacking())):
        made.predict([w], ["bed1"])
    (_, first), (_, second), (_, third), (_, fourth) = backend.served
    assert np.isnan(first).all() and first.dtype == np.float32 and first.shape == (ROWS, WIDTH)
    np.testing.assert_allclose(second, token(1))
    np.testing.assert_allclose(third[ABP], token(1))
    np.testing.assert_allclose(third[[ECG, 2, 3]], token(2))
    np.testing.assert_allclose(fourth[:, 0], [token(2), token(1), token(3), token(3)])


def test_keys_share_nothing_and_no_key_remembers_nothing() -> None:
    made, backend = engine()
    made.predict([window(1), window(2), window(3)], ["a", "b", ("a", 1)])
    made.predict([window(4)])
    made.predict([window(5), window(6), window(7), window(8)], ["a", "b", ("a", 1), "c"])
    assert np.isnan(backend.served[3][1]).all() and np.isnan(backend.served[7][1]).all()
    assert [m[0, 0] for _, m in backend.served[4:7]] == [token(1), token(2), token(3)]
    made.forget("a")
    made.forget("never seen")
    made.predict([window(9), window(10)], ["a", "b"])
    assert np.isnan(backend.served[-2][1]).all() and backend.served[-1][1][0, 0] == token(6)
    with pytest.raises(ValueError, match="1 keys for 2 windows"):
        made.predict([window(1), window(2)], ["a"])


def test_a_model_without_memory_is_given_none_and_takes_keys() -> None:
    class Strict(FakeBackend):
        def run(self, inputs: Arrays) -> Arrays:
            assert MEMORY_INPUT not in inputs
            return super().run(inputs)

    made = Engine(Bundle(Path(), SPEC, "0" * 12), Strict())
    assert len(made.predict([window(1), window(2, lacking(ABP))], ["a", "a"])) == 2
    made.forget("a")


Course = list[tuple[str, list[tuple[int, int]]]]
courses = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, FRAMES - 1)), max_size=3),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(courses, st.lists(st.integers(1, 16), min_size=1, max_size=8))
def test_batching_does_not_show(course: Course, sizes: list[int]) -> None:
    """Any course of absences over several beds in any batches: each window gets what one by one would give it."""
    windows, expected = [], []
    known = {key: np.full((ROWS, WIDTH), np.nan, np.float32) for key in "abc"}
    for level, (key, holes) in enumerate(course):
        presence = np.ones((ROWS, FRAMES), bool)
        for hole in holes:
            presence[hole] = False
        windows.append(window(level, presence))
        needs = ~presence.all(1)
        expected.append((needs, known[key][needs]))
        known[key] = known[key].copy()
        known[key][presence.all(1)] = token(level)
    made, backend = engine()
    at = turn = 0
    while at < len(windows):
        size = sizes[turn % len(sizes)]
        found = made.predict(windows[at : at + size], [key for key, _ in course[at : at + size]])
        assert [p.window_end_s for p in found] == [w.end_s for w in windows[at : at + size]]
        at, turn = at + size, turn + 1
    assert [level for level, _ in backend.served] == list(range(len(windows)))
    for (_, memory), (needs, rows) in zip(backend.served, expected, strict=True):
        np.testing.assert_array_equal(memory[needs], rows)


def test_a_batch_is_cut_only_where_a_window_needs_an_earlier_one_of_it() -> None:
    made, backend = engine()
    made.predict([window(i) for i in range(16)], ["a"] * 16)
    made.predict([window(i, lacking(ABP)) for i in range(16)], ["a"] * 16)
    made.predict([window(i, None if i % 2 else lacking(ABP)) for i in range(16)], [f"bed{i}" for i in range(16)])
    assert backend.batches == [16, 16, 16]
    lost_and_found = [window(i, lacking(ABP) if 4 <= i < 10 else None) for i in range(16)]
    made.predict(lost_and_found, ["a"] * 16)
    assert backend.batches[3:] == [4, 12]
    whole = np.ones((4, ROWS, FRAMES), bool)
    assert list(rounds("abab", whole)) == [slice(0, 4)] and list(rounds([], whole[:0])) == []


def test_memory_is_bounded_and_keeps_those_seen_last() -> None:
    memory = BedMemory(ROWS, WIDTH, limit=3)
    whole, tokens = np.ones((1, ROWS, FRAMES), bool), np.ones((1, ROWS, FRAMES, WIDTH), np.float32)
    for key in "abc":
        memory.learn(key, whole, tokens)
    memory.learn("a", ~whole, tokens)  # seen, with nothing to learn
    memory.learn("d", whole, tokens)
    memory.learn("e", ~whole, tokens)  # nothing known: takes no one's place
    assert len(memory) == 3
    known = np.isfinite(memory.recall("abcde")).all((1, 2))
    assert known.tolist() == [True, False, True, True, False]
    bounded = BedMemory(ROWS, WIDTH)
    for key in range(3 * MAX_KEYS):
        bounded.learn([key], whole, tokens)
    assert len(bounded) == MAX_KEYS


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_remembered(bad: float) -> None:
    memory = BedMemory(ROWS, WIDTH)
    whole, tokens = np.ones((2, ROWS, FRAMES), bool), np.ones((2, ROWS, FRAMES, WIDTH), np.float32)
    tokens[1] = 2
    tokens[1, ABP, 3, 5] = bad
    memory.learn(["a", "a"], whole, tokens)
    recalled = memory.recall(["a"])[0]
    assert (recalled[ABP] == 1).all() and (recalled[[ECG, 2, 3]] == 2).all()
    recalled[:] = 7
    assert (memory.recall(["a"]) != 7).all(), "what was handed out is the memory itself"


def test_a_memory_needs_tokens(tmp_path: Path) -> None:
    poor = msgspec.structs.replace(REMEMBERS, outputs=["risk", "risk_lo", "risk_hi"])
    with pytest.raises(BadInput, match="tokens"):
        load_bundle(write_bundle(tmp_path / "poor", poor))
    old = msgspec.to_builtins(SPEC)
    del old["memory"]
    assert msgspec.convert(old, type(SPEC)).memory is False
    assert load_bundle(write_bundle(tmp_path / "rich", REMEMBERS)).spec.memory


def test_a_round_that_is_lost_takes_nothing_from_those_before_it() -> None:
    class Breaks(MemoryBackend):
        def run(self, inputs: Arrays) -> Arrays:
            if len(self.batches) == 1:
                raise BackendFailed("it broke")
            return super().run(inputs)

    made = Engine(Bundle(Path(), REMEMBERS, "0" * 12), Breaks())
    course = [window(1), window(2, lacking(ABP)), window(3, lacking(ABP))]
    first, *others = made.predict(course, ["bed", "bed", "bed"])
    assert first.valid and all(not p.valid and p.reason == "it broke" for p in others)
    assert [p.window_end_s for p in others] == [32, 33]
    with pytest.raises(BackendFailed):
        made.predict(course[1:], ["bed", "bed"])


lacks = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, FRAMES - 1)), max_size=3)


def lived_in(level: int, lacking: list[tuple[int, int]]) -> Window:
    """A window with pulses of a rate and height of its own, some frames absent."""
    presence = np.ones((ROWS, FRAMES), bool)
    for row, frame in lacking:
        presence[row, frame] = False
    made = window(level, presence)
    beats = beat_times(60.0 + level % 20, 30)
    made.signals[ABP] = pulse(beats, 30, 60.0, 110.0 + level % 7)
    made.signals[PPG] = pulse(beats + 0.2, 30, 0.0, 1.0 + 0.05 * (level % 5))
    return made


@settings(max_examples=25, deadline=None)
@given(st.lists(lacks, min_size=2, max_size=12), st.data())
def test_an_engine_that_is_told_what_another_remembers_goes_on_as_it(
    course: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(course) - 1))
    windows = [lived_in(level, lacking) for level, lacking in enumerate(course)]
    straight, backend = engine()
    for made in windows[:cut]:
        straight.predict([made], ["a"])
    memory = straight.memory_of("a")
    heir, heir_backend = engine()
    heir.predict([lived_in(50, [])], [("a", "elsewhere")])  # warming: what it learnt is replaced
    assert heir.remember(("a", "elsewhere"), memory)
    backend.served.clear()
    heir_backend.served.clear()
    for made in windows[cut:]:
        expected, found = straight.predict([made], ["a"]), heir.predict([made], [("a", "elsewhere")])
        assert repr(found) == repr(expected)
    for (_, mine), (_, its) in zip(heir_backend.served, backend.served, strict=True):
        np.testing.assert_array_equal(mine, its)
    same(heir.memory_of(("a", "elsewhere")), straight.memory_of("a"))


def same(a: EngineMemory, b: EngineMemory) -> None:
    assert (a.model, a.form, a.look, a.pleth) == (b.model, b.form, b.look, b.pleth)
    assert (a.past or (0.0,) * NUMBERS) == (b.past or (0.0,) * NUMBERS)
    assert (a.tokens is None) == (b.tokens is None)
    if a.tokens is not None and b.tokens is not None:
        assert a.tokens.tobytes() == b.tokens.tobytes()


def test_what_is_remembered_is_all_of_it_and_a_copy() -> None:
    made, _ = engine()
    same(made.memory_of("a"), EngineMemory("0" * 12))
    made.predict([lived_in(3, [])], ["a"])
    memory = made.memory_of("a")
    assert memory.tokens is not None and memory.form is not None and memory.look is not None
    assert memory.look[0] == pytest.approx(63.0, rel=0.05)
    assert memory.pleth is not None and memory.pleth[0] == pytest.approx(63.0, rel=0.05)
    assert memory.past == (0.0,) * NUMBERS
    made.predict([lived_in(5, [])], ["a"])  # a window that ends at a fifth second
    assert made.memory_of("a").past != memory.past
    made.predict([lived_in(9, [])], ["a"])
    assert made.memory_of("a").tokens[0, 0] == token(9) and memory.tokens[0, 0] == token(3)  # type: ignore[index]
    assert made.remember("a", EngineMemory("0" * 12))
    same(made.memory_of("a"), EngineMemory("0" * 12))


@pytest.mark.parametrize(
    "memory",
    [
        EngineMemory("1" * 12, form=0.4),
        EngineMemory("0" * 12, np.zeros((ROWS, WIDTH + 1), np.float32), 0.4),
        EngineMemory("0" * 12, form=0.4, past=(0.0,) * (NUMBERS - 1)),
    ],
)
def test_what_another_model_remembers_is_left_aside(memory: EngineMemory) -> None:
    made, _ = engine()
    made.predict([lived_in(3, [])], ["a"])
    before = made.memory_of("a")
    assert not made.remember("a", memory)
    same(made.memory_of("a"), before)
