"""Fixtures and rules of the whole suite: where the real recordings are, and no undeclared ERROR log."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ROOT = Path(__file__).resolve().parent.parent
RECORDINGS = Path(os.environ.get("VIGIL_RECORDINGS", ROOT.parent / "shared" / "data"))


def pytest_report_header() -> str:
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed: the tests of networks, training and export are left out"
    return "torch is installed: the tests of networks, training and export are run"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the real recordings; tests that use them skip with the reason where it is absent."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"real recordings are not at {RECORDINGS} (set VIGIL_RECORDINGS)")
    return RECORDINGS


class _ErrorCatcher(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def no_undeclared_error_log(request: pytest.FixtureRequest):
    """Any ERROR log fails the test unless it is marked ``expects_error_log``."""
    catcher = _ErrorCatcher()
    logging.getLogger().addHandler(catcher)
    yield
    logging.getLogger().removeHandler(catcher)
    if catcher.messages and request.node.get_closest_marker("expects_error_log") is None:
        pytest.fail("undeclared ERROR log: " + "; ".join(catcher.messages[:5]))
