"""The display's peers: what is asked of a machine that lacks one, and that they are given the waves of the display."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import display_peers
from benchmarks.display import CHANNELS
from benchmarks.frames import SHAPE, wave_values


def test_a_peer_that_is_not_installed_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display_peers, "find_spec", lambda name: None)
    assert benchmarks.main(["display", "--peer", "mne-lsl"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.endswith("install it beside Vigil: pip install mne-lsl.") and "\n" not in said
    display_peers.require("pyqtgraph")


class Enough(Exception):
    """The test has seen what it wants."""


class Outlet:
    """Keeps what is pushed."""

    pushed: list[np.ndarray]

    def __init__(self, about: Any) -> None:
        Outlet.pushed = []

    def push_chunk(self, block: np.ndarray) -> None:
        Outlet.pushed.append(block)
        if sum(map(len, Outlet.pushed)) > 300:
            raise Enough


def test_the_stream_is_the_waves_without_a_gap_each_as_high_as_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    info = SimpleNamespace(set_channel_names=lambda names: None)
    lsl = SimpleNamespace(StreamInfo=lambda *_: info, StreamOutlet=Outlet)
    monkeypatch.setattr(display_peers, "_mne_lsl", lambda module: lsl)
    names = [channel.modality.value for channel in CHANNELS]
    with pytest.raises(Enough):
        display_peers.send("x", names, names)
    sent = np.concatenate(Outlet.pushed)
    times = np.arange(len(sent)) / display_peers.STREAM_HZ
    for column, name in enumerate(names):
        offset, height = SHAPE[name]
        np.testing.assert_allclose(
            sent[:, column], (wave_values(name, times) - offset) / height * 100.0, rtol=0, atol=1e-3
        )


def test_pyqtgraph_draws_them(qapp: object) -> None:
    found = display_peers.measure_pyqtgraph(0.0, (640, 360), CHANNELS)
    assert found["frames"] > 0 and found["p50"] > 0 and found["gap_p99"] > 0
