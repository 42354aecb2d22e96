"""Every example in a docstring does what it says."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("monitor", "models", "streams", "ui", "benchmarks")
WITH_EXAMPLES = [
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]
"""Only these are imported: all together would cost seconds, and some need torch."""


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples_hold(path: Path) -> None:
    result = doctest.testmod(importlib.import_module(".".join(path.with_suffix("").parts)))
    assert result.attempted > 0, "the file has >>> outside of a docstring"
    assert result.failed == 0  # doctest has printed what differs


def test_examples_are_found() -> None:
    """Else a renamed folder would leave none, and nothing would fail."""
    assert len(WITH_EXAMPLES) > 5
