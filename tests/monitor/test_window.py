"""What a window is begun with, and what ends a display before it has one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from monitor import roles
from monitor.config import in_force
from monitor.window import begin_window
from streams.roles.display import DisplayProcess
from ui.style.language import speak, tr


def test_every_window_begins_with_what_is_set(qtbot: QtBot, tmp_path: Path) -> None:
    own = tmp_path / "settings.toml"
    own.write_text("[display]\nfont_scale = 1.5\nlanguage = 'de'\n[sound]\non = false\n")
    force = in_force(own, environment={})
    try:
        choices = begin_window(force, lambda: None, tuple)
        assert tr("Settings") == "Einstellungen"
    finally:
        speak("en")
    assert choices["font_scale"] == 1.5 and not choices["sound"].on
    assert choices["around"].store is not None and choices["around"].report is not None


def test_a_display_that_is_ended_while_it_asks_the_broker_lets_go_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    done: list[object] = []

    def wait_ready(self: DisplayProcess) -> None:
        done.append(signal.getsignal(signal.SIGTERM))
        assert done != [signal.SIG_DFL], "it would end this process with all its tests"
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(DisplayProcess, "start", lambda self: None)
    monkeypatch.setattr(DisplayProcess, "wait_ready", wait_ready)
    monkeypatch.setattr(DisplayProcess, "stop", lambda self: done.append("stopped"))
    before = signal.getsignal(signal.SIGTERM)
    force = in_force(flags={"broker.url": "kafka://127.0.0.1:1"}, environment={})
    with pytest.raises(KeyboardInterrupt):
        roles.run_display(force, "")
    assert done == [signal.default_int_handler, "stopped"] and signal.getsignal(signal.SIGTERM) is before
