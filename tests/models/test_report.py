"""Tables and plots: what is written is what was found, and it says what it is of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.evaluation.report import caption, cell, markdown, over_seeds, plot, write_table
from tests.models.tables import read_table

NOTE = caption(3560, 40, [1, 2], True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (float("nan"), "–"), (float("inf"), "∞"), ("all", "all"), (3, "3"), (12345.0, "12,345"),
     (0.81066, "0.811"), (12.345, "12.3"), (1.0, "1.000"), (np.float32(0.5), "0.500"), (-0.02, "-0.020")],
)  # fmt: skip
def test_cells(value, shown):
    assert cell(value) == shown


def test_a_caption_counts_and_says_simulated():
    assert NOTE == "Simulated patients: 40; 3,560 windows; 2 seeds (1, 2)."
    assert caption(10, 1, 1, False, "Cadence 20 s.") == "Recorded patients: 1; 10 windows; 1 seed. Cadence 20 s."


def test_a_table_keeps_every_key_in_full_precision_and_shows_the_chosen_ones(tmp_path):
    rows = [
        {"setting": "all", "auroc": 1 / 3, "hidden": 7.0},
        {"setting": "a|b, c", "auroc": float("nan"), "late": 2.0},
    ]
    page, sheet = write_table(rows, {"setting": "sensors", "auroc": "AUROC"}, tmp_path, "t", "Title", NOTE)
    text = page.read_text("utf-8")
    assert text.startswith("# Title\n\nSimulated patients") and "| all | 0.333 |" in text and "hidden" not in text
    back = read_table(sheet)
    assert back[0] == {"setting": "all", "auroc": 1 / 3, "hidden": 7.0}
    assert back[1]["setting"] == "a|b, c" and math.isnan(float(back[1]["auroc"])) and back[1]["late"] == 2.0


def test_a_bar_in_a_cell_does_not_split_the_column():
    assert markdown([{"a": "x|y"}], {"a": "A"}).splitlines()[-1] == r"| x\|y |"


def test_a_table_that_says_nothing_of_itself_or_shows_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="note"):
        write_table([{"a": 1.0}], {"a": "A"}, tmp_path, "t", "T", "")
    with pytest.raises(ValueError, match="no row has b"):
        write_table([{"a": 1.0}], {"a": "A", "b": "B"}, tmp_path, "t", "T", NOTE)
    assert "No rows" in write_table([], {"a": "A"}, tmp_path, "t", "T", NOTE)[0].read_text("utf-8")


def test_seeds_are_averaged_row_by_row_whatever_their_order():
    first = [{"setting": "x", "mae": 1.0, "n": 5}, {"setting": "y", "mae": 3.0, "n": 5}]
    second = [{"setting": "y", "mae": 5.0, "n": 5}, {"setting": "x", "mae": float("nan"), "n": 5}]
    x, y = over_seeds([first, second], ["setting"])
    assert (x["setting"], x["mae"], x["seeds"]) == ("x", 1.0, 2) and math.isnan(float(x["mae_sd"]))
    assert y["mae"] == 4.0 and y["mae_sd"] == pytest.approx(math.sqrt(2.0)) and y["n_sd"] == 0.0
    assert "mae_sd" not in over_seeds([first], ["setting"])[0]


def test_a_plot_is_a_picture_with_its_note(tmp_path):
    pytest.importorskip("matplotlib", reason="plots need the extra `train`")
    with plot(tmp_path, "p", "Title", NOTE, rows=1, cols=2) as axes:
        axes[0].plot([0, 1], [1, 2])
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="note"), plot(tmp_path, "q", "Title", ""):
        pass
