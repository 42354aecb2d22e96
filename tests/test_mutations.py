"""The declared wrongs still fit the code, and are put in without a trace on disk."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutations import declared as module
from tests.mutations.__main__ import _Finder, first_failure
from tests.mutations.declared import ROOT, Outdated, Wrong, declared


def test_every_declared_wrong_fits_its_file_and_is_another() -> None:
    wrongs = declared()
    assert len(wrongs) > 200 and len({(w.subject, w.name) for w in wrongs}) == len(wrongs)
    for wrong in wrongs:
        assert wrong.applied() != (ROOT / wrong.file).read_text(encoding="utf-8")
        assert wrong.tests and all((ROOT / test).is_file() for test in wrong.tests), wrong.name


def test_a_wrong_that_no_longer_fits_says_so() -> None:
    plain = Wrong("a name", "subject", "models/objectives.py", "no such text", "x", ())
    with pytest.raises(Outdated, match=r"'a name': expected 'no such text' once in models/objectives.py, found it 0"):
        plain.applied()
    with pytest.raises(Outdated, match="would be no Python"):
        Wrong("a name", "subject", "models/objectives.py", "QUANTILES = (", "QUANTILES = ((", ()).applied()
    with pytest.raises(Outdated, match="expected subjects out of"):
        declared(["nothing"])


def test_the_changed_text_is_what_is_imported() -> None:
    """In a process of its own, for modules stay imported."""
    path = Path(module.__file__).with_name("wrong_text.py")
    code = (
        "import sys; from pathlib import Path; from importlib.machinery import PathFinder\n"
        "from tests.mutations.__main__ import _Finder\n"
        f"sys.meta_path.insert(0, _Finder('models.objectives_x', Path({str(path)!r}), 'VALUE = 7'))\n"
        "import models.objectives_x as x; print(x.VALUE, x.__file__)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["7", str(path)] and not path.exists()
    finder = _Finder("models.objectives", path, "")
    assert finder.find_spec("models.selfmask") is None
    assert importlib.util.find_spec("models.objectives_x") is None


def test_the_test_that_saw_it_is_named(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_text("..F\nFAILED tests/models/test_x.py::test_y[1-2] - AssertionError: no\n1 failed\n")
    assert first_failure(output) == "test_x.py::test_y[1-2]"
    output.write_text("4 passed\n")
    assert first_failure(output) == ""
