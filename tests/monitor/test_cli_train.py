"""``vigil train``: what is refused and how, and a whole small run from the command line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.monitor.test_cli import Vigil, one_sentence
from tests.monitor.test_cli import vigil as vigil

COMMANDS = ("demo", "full", "pretrain", "fuse", "heads", "risk", "selfmask", "waves", "distil")
TINY = """
name = "tiny"
version = "0"
size = "ci"
seed = 3
threads = 1
device = "cpu"

[data]
source = "simulator"
train_patients = 1
stop_patients = 1
calibration_patients = 1
test_patients = 1
duration_s = 70
stride_s = 10
processes = 1

[pretrain]
steps = 2
batch = 4

[fusion]
steps = 2
batch = 4
"""

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="trains")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(vigil: Vigil, command: str) -> None:
    code, out, _ = vigil("train", command, "--help")
    assert code == 0
    assert "Example:" in out and "vigil train" in out


@needs_torch
def test_stages_one_after_the_other_and_an_ablation_from_them(vigil: Vigil, tmp_path: Path) -> None:
    config, run = tmp_path / "tiny.toml", tmp_path / "run"
    config.write_text(TINY, encoding="utf-8")
    code, _, err = vigil("train", "pretrain", "--config", str(config), "--out", str(run))
    assert code == 0, err
    assert "pretrain" in err and "100%" in err
    code, _, err = vigil("train", "fuse", "--config", str(config), "--out", str(run))
    assert code == 0, err
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["seed"] == 3 and (run / "fusion.csv").is_file() and (run / "model.safetensors").is_file()

    code, _, err = vigil("train", "fuse", "--config", str(config), "--out", str(run), "--no-resume")
    assert code == 2 and "--resume" in one_sentence(err)
    code, _, err = vigil("train", "fuse", "--config", str(config), "--out", str(run), "--seed", "4")
    assert code == 2 and "another run" in one_sentence(err)
    other = ["--config", str(config), "--from", str(run), "--out", str(tmp_path / "other")]
    code, _, err = vigil("train", "fuse", *other, "--seed", "4")
    assert code == 2 and "a stage pretrain" in one_sentence(err)

    config.write_text(TINY.replace("[fusion]", "[objective]\nstop_gradient = false\n\n[fusion]"), encoding="utf-8")
    ablation = tmp_path / "ablation"
    code, _, err = vigil("train", "fuse", "--config", str(config), "--from", str(run), "--out", str(ablation))
    assert code == 0, err
    assert (ablation / "pretrain.safetensors").read_bytes() == (run / "pretrain.safetensors").read_bytes()
    assert not (ablation / "data").exists()


@needs_torch
def test_what_does_not_fit_is_said_in_one_sentence(vigil: Vigil, tmp_path: Path) -> None:
    config, out = tmp_path / "tiny.toml", str(tmp_path / "out")
    code, _, err = vigil("train", "demo", "--config", str(config), "--out", out)
    assert code == 2 and "readable training configuration" in one_sentence(err)
    config.write_text(TINY.replace("steps = 2", "steps = 2.5", 1), encoding="utf-8")
    code, _, err = vigil("train", "demo", "--config", str(config), "--out", out)
    assert code == 2 and "$.pretrain.steps" in one_sentence(err)
    config.write_text(TINY, encoding="utf-8")
    code, _, err = vigil("train", "selfmask", "--config", str(config), "--out", out)
    assert code == 2 and "[selfmask]" in one_sentence(err)
    code, _, err = vigil("train", "fuse", "--config", str(config), "--from", str(tmp_path / "no"), "--out", out)
    assert code == 2 and "--from" in one_sentence(err)
    code, _, err = vigil("train", "distil", "--from", str(tmp_path / "no"))
    assert code == 2 and "run folder" in one_sentence(err)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine", encoding="utf-8")
    code, _, err = vigil("train", "pretrain", "--config", str(config), "--out", out)
    assert code == 2 and "choose another folder" in one_sentence(err)


def test_without_the_extra_it_says_what_to_install(vigil: Vigil, tmp_path: Path, monkeypatch) -> None:
    def missing(module: str):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("monitor.cli_train.import_module", missing)
    code, _, err = vigil("train", "demo", "--out", str(tmp_path / "out"))
    assert code == 2 and "pip install -e '.[train]'" in one_sentence(err)
