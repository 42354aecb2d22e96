"""The terminal view and the table of `vigil inspect`: what is stale is not fresh, what a file says is not markup."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from models.signals.inspection import Inspection, TrackReport
from models.signals.modalities import Modality
from models.signals.recording import TrackKind
from monitor import inspect as inspection
from monitor.terminal import TerminalView
from streams.control import ChannelInfo, SessionStatus
from streams.feed import DisplayFeed
from streams.records import PredictionRecord, VitalsRecord, WaveTick

S = 10**9


def tick(second: int, epoch: int = 0) -> WaveTick:
    return WaveTick(bed="1", session="s", epoch=epoch, tick_seq=second, start_ns=(second - 1) * S, end_ns=second * S)


def prediction(second: int, epoch: int = 0) -> PredictionRecord:
    return PredictionRecord(
        bed="1", session="s", epoch=epoch, window_end_ns=second * S, model="m", backend="b", modalities=[],
        presence=[], ages_s=[], valid=True, abstain=False, reason="", risk={"5": (0.37, 0.2, 0.5)},
        pressures={"map": (71.0, 60.0, 80.0), "sbp": (118.0, 1.0, 2.0), "dbp": (52.0, 1.0, 2.0)},
    )  # fmt: skip


def view(feed: DisplayFeed, title: str = "demo", **changes: Any) -> TerminalView:
    status = SessionStatus(
        position_s=0.0, duration_s=60.0, speed=1.0, paused=False, ended=False, backend="b", backend_detail="",
        model="m", samples_lost=0, recording=False, heartbeat_ns=0,
    )  # fmt: skip
    status = replace(status, **changes)
    channels = (ChannelInfo(Modality.ABP, "ART", "mmHg", 125.0),)
    control: Any = SimpleNamespace(channels=channels, title=title, status=lambda: status)
    return TerminalView(control, feed)


def shown(terminal: TerminalView) -> str:
    terminal.update()
    out = Console(file=io.StringIO(), width=120)
    out.print(terminal.render())
    return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_an_estimate_carries_the_word_and_goes_stale_with_its_prediction() -> None:
    feed = DisplayFeed()
    terminal = view(feed)
    for record in (tick(10), prediction(10)):
        feed.push(record)
    text = shown(terminal)
    assert "118/52 (71) mmHg ESTIMATED" in text
    assert "37 (20" in text
    feed.push(tick(22))
    text = shown(terminal)
    assert "ESTIMATED" not in text
    assert "no prediction for 12 s" in text


def test_the_footer_says_what_is_done_until_the_model_serves() -> None:
    text = shown(view(DisplayFeed(), backend="", model="", preparing="building TensorRT engines, fp16: 40 %"))
    assert "1× · building TensorRT engines, fp16: 40 % · 0 lost" in text
    assert "1× · b · m · 0 lost" in shown(view(DisplayFeed(), preparing="late"))


def test_a_measured_pressure_stands_before_an_estimate() -> None:
    feed = DisplayFeed()
    for record in (
        tick(10),
        prediction(10),
        VitalsRecord(bed="1", session="s", epoch=0, time_ns=10 * S, abp_sys=120.0, abp_dia=60.0, abp_map=80.0),
    ):
        feed.push(record)
    text = shown(view(feed))
    assert "120/60 (80) mmHg" in text
    assert "ESTIMATED" not in text


def test_a_result_of_before_a_seek_is_not_shown() -> None:
    feed = DisplayFeed()
    for record in (tick(10), prediction(10), tick(30, epoch=1), prediction(11)):
        feed.push(record)
    text = shown(view(feed))
    assert "no prediction yet" in text
    assert "ESTIMATED" not in text


def test_names_are_never_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "[/bold]x" in shown(view(DisplayFeed(), title="[/bold]x"))
    track = TrackReport("Dev/[/red]X", TrackKind.WAVE, "mV", 100.0, 0.0, 1.0, 100, (), None, "its unit is '[/u]'")
    found = Inspection("s", "[/b]name", 1.0, 0.0, (track,), "problem [/p]", ("note [/n]",))
    monkeypatch.setattr(inspection, "inspect", lambda _: found)
    out = io.StringIO()
    inspection.print_inspection("s", Console(file=out))
    for text in ("Dev/[/red]X", "'[/u]'", "[/b]name", "[/p]", "[/n]"):
        assert text in out.getvalue()
