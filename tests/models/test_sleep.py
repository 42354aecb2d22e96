"""Sleep staging: figures by hand, and the whole evaluation on nights of EDF files as Sleep-EDF has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.batches.group import Group
from models.data.dataset import WindowDataset
from models.data.sleep_edf import cut_night, night_orders
from models.data.sources import SleepEdfData
from models.evaluation.sleep import accuracy, by_channels, confusion, evaluate_sleep, kappa, macro_auc, macro_f1
from models.physiome import PhysioME
from models.signals.errors import BadInput
from models.signals.modalities import SLEEP_CHANNELS
from models.sizes import SIZES
from tests.data.real_files import write_night
from tests.models.tables import read_table

NIGHT = [(0, 90, "Sleep stage W"), (90, 30, "Sleep stage 1"), (120, 60, "Sleep stage 2"), (180, 60, "Sleep stage R")]
TINY = replace(SIZES["ci"], frames=27, frame_s=4, frame_step_s=1, modalities=SLEEP_CHANNELS, task="sleep")


def test_figures_by_hand():
    truth, said = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    counts = confusion(truth, said, 3)
    assert counts.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert accuracy(counts) == pytest.approx(4 / 6)
    assert macro_f1(counts) == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    chance = (3 * 3 + 2 * 3 + 1 * 0) / 36
    assert kappa(counts) == pytest.approx((4 / 6 - chance) / (1 - chance))
    assert kappa(np.diag([3, 4])) == 1.0 and np.isnan(kappa(np.diag([3, 0])))
    absent = confusion(truth, said, 5)  # stages that do not occur do not count
    assert macro_f1(absent) == pytest.approx(macro_f1(counts))


def test_auc_is_of_shares_against_the_rest():
    truth = np.array([0, 0, 1, 1, 2, 2])
    perfect = np.eye(5)[truth] * 4.0
    assert macro_auc(perfect, truth) == 1.0 and macro_auc(-perfect, truth) < 0.2
    assert macro_auc(np.zeros((6, 5)), truth) == 0.5
    assert np.isnan(macro_auc(np.zeros((3, 5)), np.zeros(3, int)))


def night_group(folder: Path, study: str, seed: int) -> Group:
    write_night(folder / "edf", study, NIGHT, 240, seed=seed)
    orders, _ = night_orders(SleepEdfData(path=str(folder / "edf")), folder / "out")
    for order in orders:
        cut_night(order)
    return Group(WindowDataset([o.folder for o in orders]), TINY, 1)


def run_of(group: Group, model: PhysioME, seed: int) -> SimpleNamespace:
    group.features = torch.randn(
        (len(group), 3, TINY.frames, TINY.width), generator=torch.Generator().manual_seed(seed)
    )
    return SimpleNamespace(settings=SimpleNamespace(seed=seed), model=model, group=lambda name: group, conformal={})


def test_folds_of_nights_are_evaluated_by_subset(tmp_path):
    torch.manual_seed(0)
    model = PhysioME(TINY).eval()
    groups = [night_group(tmp_path / "a", "SC4001", 1), night_group(tmp_path / "b", "SC4011", 2)]
    rows = evaluate_sleep([run_of(g, model, k) for k, g in enumerate(groups)], tmp_path / "out")
    assert len(rows) == 7 and {r["seeds"] for r in rows} == {2} and all(0 <= float(r["acc"]) <= 1 for r in rows)
    assert rows[0]["setting"] == "all sensors" and rows[0]["epochs"] == 8
    text = (tmp_path / "out" / "sleep.md").read_text("utf-8")
    assert "Recorded patients: 2" in text and "imulated" not in text
    beside = read_table(tmp_path / "out" / "sleep_beside_paper.csv")
    paper = [r for r in beside if r["method"] == "DP-NeuroNet (paper)"]
    assert [r["acc"] for r in paper] == [76.51, 77.77, 78.83] and "macro_f1" not in paper[0]
    with pytest.raises(BadInput, match="common test subject"):
        evaluate_sleep([run_of(groups[0], model, 0), run_of(groups[0], model, 1)], tmp_path / "twice")


def test_channels_are_averaged_over_their_subsets():
    rows = [{"channels": k, "acc": a, "macro_f1": a, "kappa": a, "auc": a} for k, a in ((3, 0.9), (1, 0.4), (1, 0.6))]
    ours = [r for r in by_channels(rows) if r["method"] == "this run"]
    assert [(r["channels"], r["acc"]) for r in ours] == [(1, pytest.approx(50)), (3, pytest.approx(90))]


def test_a_bedside_run_is_refused(tmp_path):
    run = SimpleNamespace(model=SimpleNamespace(config=SIZES["ci"]))
    with pytest.raises(BadInput, match="sleep"):
        evaluate_sleep([run], tmp_path)
