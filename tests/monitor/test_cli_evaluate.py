"""``vigil evaluate``: help without torch, and what is wrong said in one sentence."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.signals.errors import BadInput
from monitor.cli import app
from monitor.cli_evaluate import evaluate_app

ROOT = Path(__file__).resolve().parents[2]
TOPICS = ("restoration", "hypotension", "depth", "sleep", "calibration", "invariance", "students")
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra `train`")


@pytest.mark.parametrize("topic", TOPICS)
def test_help_teaches(topic: str) -> None:
    said = CliRunner().invoke(evaluate_app, [topic, "--help"], terminal_width=120).output
    assert "RUN" in said and "--out" in said and "Example: vigil evaluate" in said


def test_all_topics_are_listed() -> None:
    said = CliRunner().invoke(app, ["evaluate", "--help"], terminal_width=120).output
    assert all(topic in said for topic in TOPICS)


@needs_torch
@pytest.mark.parametrize("topic", TOPICS)
def test_a_folder_that_is_no_run_is_named(topic: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(evaluate_app, [topic, str(tmp_path), "--out", str(tmp_path / "out")])
    assert isinstance(found.exception, BadInput) and "a run folder" in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_without_torch_the_extra_is_named(tmp_path: Path) -> None:
    """In a process of its own, where torch cannot be imported."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"sys.argv = ['vigil', 'evaluate', 'depth', {str(tmp_path)!r}]\n"
        "import monitor.cli as cli; cli.log_to_file = lambda: None; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "Evaluation needs torch" in done.stderr and "Traceback" not in done.stderr
    assert "pip install -e '.[train]'" in done.stderr
