"""``vigil display --recording``: the window of a broker looks back in what a recorder beside it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor import roles
from monitor.config import in_force
from tests.ui.recorded import Recorder
from tests.ui.synthetic import Patient


class NoProcess:
    """A display whose broker says nothing."""

    def __init__(self, *_: Any) -> None:
        self.control = self.crew = self

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


def test_the_window_is_given_the_recording(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, qapp: object) -> None:
    path = tmp_path / "night.mcap"
    Recorder(path, Patient()).run_to(2.0)
    shown: list[dict[str, Any]] = []
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setattr(roles, "DisplayProcess", NoProcess)
    monkeypatch.setattr(roles, "_say_other_wards", lambda *_: None)
    monkeypatch.setattr("ui.window.app.run_display", lambda *_, **more: shown.append(more) or 0)
    for recording in (path, None):
        assert roles.run_display(in_force(None, {"broker.url": "kafka://nowhere:9092"}), "", recording) == 0
    assert [one["recording"] for one in shown] == [path, None]
