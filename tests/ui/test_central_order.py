"""Where a bed's tile stands, pure: the most urgent first by a sort of the test's own, nothing dances or is hidden."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.modalities import Modality
from streams.records import AlarmRecord
from ui.bed.alarm_view import Alarm
from ui.bed.bed_words import BedWords, matters, standstills
from ui.bed.liveness import Life
from ui.central.grid import grid_for
from ui.central.order import DOWN_S, STILL_MOST_S, UP_S, Order, name_key
from ui.central.scale import STEPS, step_for

PRIORITIES = ("", "low", "medium", "high")
LIVES = (Life.LIVE, Life.LOST, Life.PAUSED, Life.ENDED, Life.WAITING)
WORDS = {Life.LOST: "NOT LIVE", Life.PAUSED: "PAUSED", Life.ENDED: "ENDED", Life.WAITING: "NO SAMPLES YET"}


def words(bed: str, priority: str = "", life: Life = Life.LIVE, seen: bool = False) -> BedWords:
    alarms: tuple[Alarm, ...] = ()
    if priority:
        record = AlarmRecord(
            bed=bed, session="s", epoch=0, time_ns=0, key="k", priority=priority, kind="physiological", text="T",
            active=True,
        )  # fmt: skip
        alarms = (Alarm(record, 0.0, seen),)
    return BedWords(bed, bed, life, WORDS.get(life, ""), "", "75", "ECG", "86", False, alarms)


def place(said: BedWords) -> tuple[int, int]:
    """Independent of the program's own: a table of who comes before whom."""
    table = ["high", "lost", "medium", "low", "paused", "ended", "live", "waiting"]
    by_life = table.index({Life.LIVE: "live", Life.WAITING: "waiting"}.get(said.life, said.life.value))
    if not said.alarms:
        return by_life, 0
    alarm = said.alarms[0]
    by_alarm = table.index(alarm.record.priority)
    return min(by_life, by_alarm), int(alarm.acknowledged or said.life is not Life.LIVE)


BEDS = st.lists(st.tuples(st.sampled_from(PRIORITIES), st.sampled_from(LIVES), st.booleans()), max_size=12)


@given(BEDS)
def test_at_first_the_beds_stand_by_urgency_and_equals_as_the_session_has_them(beds: list) -> None:
    said = [words(f"Bed {n}", *bed) for n, bed in enumerate(beds)]
    expected = sorted(range(len(said)), key=lambda n: (*place(said[n]), n))
    assert Order().settle(said, 100.0) == tuple(said[n].bed for n in expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(PRIORITIES), st.sampled_from(LIVES), st.booleans(),
                          st.integers(1, 20)), max_size=15))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_bed_moves_only_when_it_has_been_elsewhere_long_enough_and_then_surely(changes: list) -> None:
    """Against a judge who keeps the whole past of every bed, in half seconds."""
    order, now_s = Order(), 0.0
    said = {n: words(f"Bed {n}") for n in range(5)}
    held = {n: place(said[n]) for n in said}
    past: dict[int, list[tuple[int, int]]] = {n: [] for n in said}
    order.settle(list(said.values()), now_s)
    for changed, priority, life, seen, halves in changes:
        said[changed] = words(f"Bed {changed}", priority, life, seen)
        for _ in range(halves):
            now_s += 0.5
            for n, bed in said.items():
                past[n].append(place(bed))
                above = past[n][-int(UP_S / 0.5) - 1 :]
                below = past[n][-int(DOWN_S / 0.5) - 1 :]
                long_above = len(above) > UP_S / 0.5 and all(was < held[n] for was in above)
                long_below = len(below) > DOWN_S / 0.5 and all(was > held[n] for was in below)
                if long_above or long_below:
                    held[n], past[n] = place(bed), []
            expected = tuple(f"Bed {n}" for n in sorted(said, key=lambda n: (held[n], n)))
            assert order.settle(list(said.values()), now_s) == expected


def test_an_alarm_that_comes_and_goes_moves_nothing_and_one_that_stays_moves_once() -> None:
    order, beds = Order(), [words(f"Bed {n}") for n in range(5)]
    start = order.settle(beds, 0.0)
    orders = set()
    for tenth in range(110):  # a second on, a second off
        beds[3] = words("Bed 3", "high" if tenth // 10 % 2 else "")
        orders.add(order.settle(beds, 0.1 * tenth))
    assert orders == {start}
    beds[3] = words("Bed 3", "high")
    moved = [order.settle(beds, 11.0 + 0.1 * tenth) for tenth in range(40)]
    assert sum(a != b for a, b in itertools.pairwise(moved)) == 1 and moved[-1][0] == "Bed 3"
    assert moved[int(UP_S * 10) - 2] == start
    beds[3] = words("Bed 3", "high", seen=True)  # acknowledged, and alone: it stays
    assert {order.settle(beds, 15.0 + 0.1 * tenth) for tenth in range(200)} == {moved[-1]}


def test_a_hand_at_the_tiles_holds_them_but_not_for_ever_and_hides_nobody() -> None:
    order, beds = Order(), [words(f"Bed {n}") for n in range(4)]
    start = order.settle(beds, 0.0)
    beds = [words("Bed 0"), words("Bed 1"), words("Bed 3", "high"), words("new", "high")]
    for tenth in range(1, int(STILL_MOST_S * 10)):
        got = order.settle(beds, 0.1 * tenth, still=True)
        assert got == ("Bed 0", "Bed 1", "Bed 3", "new") and start[2] == "Bed 2", "gone goes, new is there"
    assert order.settle(beds, 0.1 + STILL_MOST_S, still=True)[:2] == ("Bed 3", "new")


@given(st.lists(st.text(max_size=8), unique=True, max_size=10))
def test_any_names_are_sorted_and_all_are_there(names: list[str]) -> None:
    order = Order()
    order.by_name = True
    got = order.settle([words(name, "high" if n % 2 else "") for n, name in enumerate(names)], 0.0)
    assert sorted(got) == sorted(names) and list(got) == sorted(names, key=name_key)


def test_by_name_urgency_moves_nothing_and_by_urgency_again_it_does() -> None:
    order = Order()
    beds = [words("Bed 10"), words("Bed 9", "high"), words("Bed 2", life=Life.LOST)]
    order.by_name = True
    assert order.settle(beds, 0.0) == ("Bed 2", "Bed 9", "Bed 10")
    order.by_name = False
    assert order.settle(beds, 0.1) == ("Bed 9", "Bed 2", "Bed 10")


def test_what_is_the_matter_is_counted_worst_first() -> None:
    said = [words("1", "high"), words("2", "medium", Life.LOST), words("3", "low"), words("4", life=Life.ENDED),
            words("5", life=Life.WAITING), words("6", life=Life.WAITING), words("7")]  # fmt: skip
    assert matters(said) == ["1 HIGH", "1 NOT LIVE", "1 MEDIUM", "1 LOW"]
    assert standstills(said) == ["1 ENDED", "2 NO SAMPLES YET"]


# The grid ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 1200), st.integers(40, 4000), st.integers(40, 2200), st.integers(1, 14))
@settings(max_examples=200)
def test_every_bed_has_one_place_none_overlap_and_all_lie_inside(count: int, width: int, height: int, gap: int) -> None:
    grid = grid_for(count, (7, 20, width, height), (100.0, 80.0), gap)
    assert grid.pages(count) * grid.slots >= count > (grid.pages(count) - 1) * grid.slots or count == 0
    places = [grid.place(slot) for slot in range(grid.slots)]
    for slot, (left, top, wide, high) in enumerate(places):
        assert left >= 7 and left + wide <= 7 + width and top >= 20 and top + high <= 20 + height
        assert grid.slot_at(left, top) == grid.slot_at(left + wide - 1, top + high - 1) == slot
        assert grid.slot_at(left + wide, top) != slot
    assert len({(left, top) for left, top, _, _ in places}) == grid.slots
    assert (grid.columns == 1 or grid.width >= 100) and (grid.rows == 1 or grid.height >= 80)
    assert grid.slot_at(6, 20) is None and grid.slot_at(7, 19) is None and grid.slot_at(7 + width, 20) is None


@pytest.mark.parametrize(("count", "size"), [(1, (1264, 600)), (8, (1264, 600)), (24, (1440, 640)), (60, (1900, 890))])
def test_as_many_as_there_are_share_the_whole_place(count: int, size: tuple[int, int]) -> None:
    grid = grid_for(count, (0, 0, *size), (150.0, 110.0), 6)
    assert grid.pages(count) == 1 and grid.slots - count < grid.columns
    tried = [(min((size[0] - 6 * (c - 1)) // c / 1.5, (size[1] - 6 * (-(-count // c) - 1)) // -(-count // c)))
             for c in range(1, count + 1)]  # fmt: skip
    assert min(grid.width / 1.5, grid.height) >= max(tried) - 1.0, "no other number of columns gives larger tiles"


# The scale of a small wave ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", list(STEPS))
def test_noise_on_a_flat_line_stays_flat_and_what_is_not_a_number_counts_for_nothing(modality: Modality) -> None:
    smallest = STEPS[modality][0]
    flat = np.full(3000, 0.01) + 0.01 * np.sin(np.arange(3000))
    assert step_for(modality, flat) == smallest
    flat[::7], flat[3::11], flat[5::13] = np.nan, np.inf, -np.inf
    assert step_for(modality, flat) == smallest
    assert step_for(modality, np.full(100, np.nan)) == step_for(modality, np.empty(0)) == smallest
    assert step_for(modality, np.linspace(-1e6, 1e6, 100)) == STEPS[modality][-1]


def test_a_pressure_is_drawn_from_zero() -> None:
    assert step_for(Modality.ABP, np.linspace(12, 18, 500)) == (0.0, 160.0)
    assert step_for(Modality.ABP, np.linspace(90, 200, 500)) == (0.0, 240.0)
    assert step_for(Modality.ECG, np.linspace(-0.5, 2.0, 500)) == (-1.2, 2.8)
