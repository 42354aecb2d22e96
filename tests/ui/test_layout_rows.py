"""Layouts of rows: whatever is chosen, every row has one place; and what was written is read again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.errors import BadInput
from ui.bed.layout import HEIGHTS, Layout, RowChoice
from ui.bed.layout_file import Layouts, layouts_text, parse_layouts
from ui.waves.geometry import rows, shares

KEYS = ("ECG", "ECG:V", "ABP", "PPG", "EEG", "RESP")
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
choices = st.builds(
    RowChoice,
    st.one_of(st.sampled_from((*KEYS, "CVP", "ABP:FEM")), texts),
    shown=st.booleans(),
    height=st.sampled_from(HEIGHTS),
    speed_mm_s=st.sampled_from((0.0, 6.25, 25.0)),
    gain=st.floats(0.0, 100.0),
    filter=st.sampled_from(("", "monitor", "off")),
)
layouts = st.builds(Layout, st.just(""), st.lists(choices, max_size=6).map(tuple))
keys_there = st.lists(st.sampled_from(KEYS), unique=True, min_size=1)


@settings(max_examples=40, deadline=None)
@given(layouts, keys_there)
def test_every_row_has_one_place_whatever_the_layout_names(layout: Layout, keys: list[str]) -> None:
    arranged = layout.arranged(keys)
    assert sorted(row.key for row in arranged) == sorted(keys)
    assert any(row.shown for row in arranged), "a screen without a wave"
    wanted = list(dict.fromkeys(row.key for row in layout.rows if row.key in keys))
    assert [row.key for row in arranged if row.key in wanted] == wanted, "the order that was chosen"


@settings(max_examples=40, deadline=None)
@given(layouts, keys_there, st.data())
def test_moving_and_changing_a_row_leaves_the_others(layout: Layout, keys: list[str], data: st.DataObject) -> None:
    key, step = data.draw(st.sampled_from(keys)), data.draw(st.integers(-8, 8))
    before, after = layout.arranged(keys), layout.moved(keys, key, step).arranged(keys)
    others = [row for row in before if row.key != key]
    assert [row for row in after if row.key != key] == others
    place = [row.key for row in before].index(key)
    assert [row.key for row in after].index(key) == min(len(keys) - 1, max(0, place + step))
    taller = layout.resized(keys, key, 1).arranged(keys)
    own = next(row for row in before if row.key == key)
    changed = next(row for row in taller if row.key == key)
    assert changed.height == min(HEIGHTS[-1], next((h for h in HEIGHTS if h > own.height), HEIGHTS[-1]))
    assert [row for row in taller if row.key != key] == others


@settings(max_examples=40, deadline=None)
@given(layouts, keys_there)
def test_a_change_keeps_what_waits_for_another_recording(layout: Layout, keys: list[str]) -> None:
    absent = {row.key for row in layout.rows} - set(keys)
    after = layout.changed(keys, keys[0], height=2.0)
    assert absent <= {row.key for row in after.rows}


def test_the_last_row_on_show_cannot_be_hidden() -> None:
    one = Layout("", (RowChoice("ECG"), RowChoice("ABP", shown=False)))
    assert one.changed(["ECG", "ABP"], "ECG", shown=False) is one
    assert not one.arranged(["ECG", "ABP"])[1].shown
    assert one.arranged(["ABP"])[0].shown, "all that is there would be hidden"


def test_a_row_the_layout_does_not_name_is_shown_where_it_would_be() -> None:
    layout = Layout("", (RowChoice("RESP"), RowChoice("ECG")))
    assert [row.key for row in layout.arranged(["ECG", "ABP", "RESP"])] == ["RESP", "ECG", "ABP"]
    assert [row.key for row in Layout("", (RowChoice("RESP"),)).arranged(["ECG", "RESP"])] == ["ECG", "RESP"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts, layouts), max_size=3), st.lists(st.tuples(keys_there, layouts), max_size=2))
def test_what_is_written_is_read_again(named: list[tuple[str, Layout]], last: list[tuple[list[str], Layout]]) -> None:
    all_of_them = Layouts()
    for name, layout in named:
        all_of_them = all_of_them.saved(layout.named(name))
    for keys, layout in last:
        all_of_them = all_of_them.used(keys, layout)
    assert parse_layouts(layouts_text(all_of_them), "here") == all_of_them


def test_the_last_layout_is_of_the_rows_whatever_their_order() -> None:
    mine = Layout("mine", (RowChoice("ABP"),))
    kept = Layouts().saved(mine).used(["ECG", "ABP"], mine)
    assert kept.for_rows(["ABP", "ECG"]) == mine
    assert kept.for_rows(["ABP"]) == Layout()
    gone = kept.without("mine")
    assert not gone.named and gone.for_rows(["ABP", "ECG"]) == mine.named("")


@pytest.mark.parametrize(
    "text",
    [
        "layout = 3",
        "[[layout]]\nname = 'x'\nrows = [{ key = 'ECG', height = nan }]",
        "[[layout]]\nname = 'x'\nrows = [{ key = 'ECG', height = 1e9 }]",
        "[[layout]]\nrows = [{ key = 'ECG' }]",
        "[[layout]]\nname = 'x'\nrows = [{ kee = 'ECG' }]",
        "[[lay",
    ],
)
def test_another_file_is_told_in_a_sentence(text: str) -> None:
    with pytest.raises(BadInput, match=r"layouts of rows in the\.toml"):
        parse_layouts(text, "the.toml")


needs = st.one_of(st.none(), st.floats(1.0, 500.0))


@settings(max_examples=40, deadline=None)
@given(st.integers(200, 3000), st.lists(st.tuples(st.floats(0.2, 3.0), needs), min_size=1, max_size=8))
def test_heights_sum_and_no_row_takes_more_than_it_needs(height: int, asked: list[tuple[float, float | None]]) -> None:
    weights, need = [w for w, _ in asked], [n for _, n in asked]
    got = shares(height, weights, need)
    assert sum(got) == pytest.approx(height) and min(got) > 0
    fair = [height * w / sum(weights) for w in weights]
    takers = [i for i, n in enumerate(need) if n is None]
    for i, n in enumerate(need):
        if n is not None and takers:
            assert got[i] == pytest.approx(min(fair[i], n))
        else:
            assert got[i] >= fair[i] - 1e-6
    assert len({round(got[i] / weights[i], 6) for i in takers}) <= 1, "the rest by weight"
    made = rows(height, got, 1.0)
    assert sum(row.height for row in made) == height


def test_a_choice_is_checked_when_it_is_made_of_a_file() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"key": ""}, RowChoice)
