"""Engines that are built for minutes the first time: the run, the doctor and a bar say so."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from models.runtime import select
from models.runtime.backend import Backend, RuntimeOptions
from models.runtime.bundle import Bundle
from models.runtime.select import Candidate
from models.signals.errors import BackendUnavailable
from models.signals.windows import WindowSpec
from monitor import doctor
from monitor.bars import progress_bar
from monitor.running import open_session
from monitor.settings import RunSettings
from streams.inference import LOADING
from tests.streams.sources import FakeEngine, PatientMap, session_of, wait_until

STEP = "building TensorRT engines, fp16"


def test_a_run_shows_what_is_built_until_the_model_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    served, go, engine = threading.Event(), threading.Event(), FakeEngine()

    def select_engine(
        bundle: Bundle, backend: str, imputer: str, options: RuntimeOptions, *, deadline_s: float, widest_mmhg: float
    ) -> SimpleNamespace:
        engine.window_spec = bundle.window_spec
        assert go.wait(60)
        options.progress(STEP, 0.4)
        assert served.wait(60)
        return SimpleNamespace(engine=engine, refused=(), passed_over={})

    monkeypatch.setattr(select, "select_engine", select_engine)
    session = open_session(RunSettings(for_s=30.0, headless=True))
    try:
        assert session.status().preparing == LOADING  # before the recording is open
        session.start()
        wait_until(lambda: session.status().position_s > 0)
        assert session.status().preparing == LOADING
        go.set()
        wait_until(lambda: session.status().preparing == f"{STEP}: 40 %", what="the progress")
        served.set()
        wait_until(lambda: session.status().backend == "fake", what="the model")
        assert session.status().preparing == ""
    finally:
        go.set()
        served.set()
        session.stop()


def test_a_session_without_a_model_or_at_its_end_prepares_none() -> None:
    source = {"bed1": lambda: PatientMap(5.0)}
    without = session_of(source, WindowSpec(), None)  # type: ignore[arg-type]
    assert without.status().preparing == ""
    without.prepare(STEP, 0.4)
    ended = session_of(source, WindowSpec(), FakeEngine)  # type: ignore[arg-type]
    assert ended.status().preparing == LOADING
    ended.stop()
    assert ended.status().preparing == ""


def test_the_doctor_shows_it_on_the_error_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(bundle: Bundle, options: RuntimeOptions) -> Backend:
        options.progress(STEP, 0.0)
        options.progress(STEP, 0.5)
        raise BackendUnavailable("no room for engines")

    monkeypatch.setattr(select, "CANDIDATES", {"tensorrt": Candidate(load, ("fp16",))})
    assert not doctor.backends()
    out, error = capsys.readouterr()
    assert error.splitlines() == [STEP]  # no terminal: a line a step
    assert "no room for engines" in out and STEP not in out


def test_a_bar_on_a_terminal_is_gone_afterwards_and_leaves_standard_output_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress_bar("trying [tensorrt]", console) as progress:
        assert "trying [tensorrt]" in console.file.getvalue()  # type: ignore[attr-defined]
        threading.Thread(target=progress, args=(STEP, 0.4)).start()
        print("a line of the report")
        wait_until(lambda: STEP in console.file.getvalue())  # type: ignore[attr-defined]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "40%" in text and text.endswith("\x1b[1A\x1b[2K")  # up and cleared
    assert capsys.readouterr().out == "a line of the report\n"
