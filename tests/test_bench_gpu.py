"""``python -m benchmarks gpu`` on a fake GPU: every part runs to its end, and what goes wrong in one is told."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.__main__ import main
from benchmarks.gpu import command, end_to_end, engines, environment, fail_over, process, speed
from benchmarks.gpu.book import Book, read
from benchmarks.gpu.part import PARTS, PartRequest, request_of, run_part
from benchmarks.gpu.process import run_in_process
from benchmarks.ward import CpuLoad
from models.runtime.backend import Backend, RuntimeOptions
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.select import CANDIDATES, Candidate
from models.signals.errors import BackendFailed, BackendUnavailable
from tests.models import fake_cuda
from tests.models.failing_backend import FailingEngine, example, raises, toy_bundle, wrong
from tests.models.fake_tensorrt import RTX_VERSION
from tests.models.tensorrt_fakes import VERSION, Rig, model_bundle, rig

__all__ = ["rig"]

BUCKETS = (1, 2, 8)


@pytest.fixture
def ask(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], dict[str, Any]]:
    """Runs one part on the fake machine, with TensorRT and TensorRT-RTX, and gives what it left."""
    rig.install(RTX_VERSION)
    rig.install(VERSION)
    rig.inline()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys.modules["cuda.bindings"], "driver", fake_cuda.driver, raising=False)
    for module in (engines, end_to_end):
        monkeypatch.setattr(module, "BUCKETS", BUCKETS)
    bundle = model_bundle(tmp_path / "toy").path
    (tmp_path / "out").mkdir()

    def run(part: str, budget_s: float) -> dict[str, Any]:
        run_part(PartRequest(part, str(tmp_path / "out"), budget_s, str(bundle), beds=(1, 8)))
        return read(tmp_path / "out", part)

    return run


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., None]:
    """Leaves behind that engines were built, as the part before would."""

    def leave(backend: str = "tensorrt", buckets: tuple[int, ...] = BUCKETS, passed: bool = True) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        book = Book(tmp_path / "out", "engines", 1.0)
        book.row("engines", backend=backend, precision="fp16", buckets=list(buckets), passed=passed)
        book.done()

    return leave


# -- the parts --------------------------------------------------------------------------------------------------------


def test_the_environment_says_what_is_there_and_what_is_not(
    ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    monkeypatch.setattr(environment, "find_spec", lambda name: None)  # torch takes seconds
    told = ask("environment", 5.0)
    assert told["state"] == "done"
    assert any(
        "Fake RTX, compute capability 8.9, 128 multiprocessors" in row["found"] for row in told["tables"]["machine"]
    )
    assert {"package": "TensorRT, loaded", "version": VERSION} in told["tables"]["packages"]
    assert {"The profiler nsys is not there.", "The profiler ncu is not there."} <= set(told["said"])


def test_what_nvidia_smi_and_a_profiler_say_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(asked: list[str], **_: Any) -> Any:
        words = (
            "NVIDIA H200, 580.1, 9.0, 143771 MiB, 4 MiB, 0 %, [N/A]\n" if "smi" in asked[0] else "x\nVersion 2026.1\n"
        )
        return environment.subprocess.CompletedProcess(asked, 0, words)

    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(environment.subprocess, "run", run)
    found = environment._from_driver()
    assert found["name"] == "NVIDIA H200" and found["utilization.gpu"] == "0 %" and "power.limit" not in found
    assert environment._first_version("ncu") == "Version 2026.1"


def test_engines_are_built_weighed_gated_and_then_timed(ask: Callable[..., dict[str, Any]]) -> None:
    """The toy's graph in fp16, bf16 and fp32, on both libraries; then the speed of each, in every batch."""
    told = ask("engines", 500.0)
    assert told["state"] == "done" and not told["said"], told
    sets = {(r["backend"], r["precision"]): r for r in told["tables"]["engines"]}
    assert set(sets) == {(b, p) for b in ("tensorrt", "tensorrt-rtx") for p in ("fp16", "bf16", "fp32")}
    for row in sets.values():
        assert row["buckets"] == list(BUCKETS) and row["passed"], row
        assert row["build_s"] > 0 and 0 <= row["of_limit"] <= 1 and row["worst"]["pressure"] < 0.5
    assert told["tables"]["engines"][0]["buckets"] == [1]  # the first engine of all says how long one takes
    batches = [r for r in told["tables"]["engines by batch"] if r["backend"] == "tensorrt" and r["precision"] == "bf16"]
    assert [(r["batch"], r["kernels"]) for r in batches] == [(1, 2), (2, 3), (8, 9)]
    assert all(r["plan_mb"] is not None and r["build_s"] is not None for r in batches)

    timed = ask("speed", 1.0)
    assert timed["state"] == "done" and not timed["said"], timed
    found = {(r["backend"], r["precision"], r["batch"]): r for r in timed["tables"]["batches"]}
    plain = f"tensorrt, {speed.PLAIN}"
    assert {key[2] for key in found} == set(BUCKETS)
    assert len(found) == len(BUCKETS) * (6 + 6 + 1)  # with recorded launches, without, and ONNX Runtime
    assert found["tensorrt", "fp16", 8]["kernels"] == 9 and found[plain, "fp16", 8]["kernels"] is None
    assert found["tensorrt", "fp16", 8]["launches_from_ms"] == pytest.approx(0.018)
    assert all(r["p99_ms"] >= r["p50_ms"] > 0 for r in found.values())
    layers = [
        r for r in timed["tables"]["layers"] if (r["backend"], r["precision"], r["batch"]) == ("tensorrt", "fp16", 8)
    ]
    assert [(r["layer"], r["ms"]) for r in layers] == [("attention", 0.75), ("convolution", 0.25)]
    assert timed["tables"]["layers, sums"][0] == {
        "backend": "tensorrt", "precision": "fp16", "batch": 1, "layers": 2, "ms": 1.0
    }  # fmt: skip


def test_step_by_step_is_not_the_recorded_launch() -> None:
    engine = FailingEngine("gpu")
    engine.replay_fault = raises("the recorded launch")
    inputs = example(2)
    assert speed.StepByStep(engine).run(inputs)["risk"].shape == (2, 3)
    with pytest.raises(BackendFailed, match="the recorded launch"):
        engine.run(inputs)


def test_each_precision_takes_the_batches_that_its_time_allows_and_says_so(
    ask: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.BuildClock, "each_s", property(lambda self: [10.0] * self.count))
    # A clock that stands: fp16 has 48 s of 80, bf16 the half and fp32 all of what is left.
    book = Book(tmp_path / "out", "engines", 80.0, lambda: 0.0)
    weights = {"tensorrt": engines.WEIGHTS["tensorrt"]}
    engines.build_all(book, load_bundle(tmp_path / "toy"), "engines", BUCKETS, weights)
    sets = [(r["precision"], r["buckets"]) for r in book.tables["engines"]]
    assert sets == [("fp16", [1]), ("fp16", [1, 8]), ("bf16", [1, 8]), ("fp32", [1, 2, 8])]
    assert book.said == [
        f"tensorrt {precision}: batches of 2 were not built, since one engine takes 10 s and the time does not allow "
        "it; a larger --minutes does."
        for precision in ("fp16", "bf16")
    ]


def test_a_build_that_ends_leaves_what_it_had_and_its_reason_once(
    ask: Callable[..., dict[str, Any]], rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.faults(refuse_build=True)
    monkeypatch.setattr(engines, "WEIGHTS", {"tensorrt": engines.WEIGHTS["tensorrt"]})
    told = ask("engines", 90.0)
    assert told["state"] == "done" and "engines" not in told["tables"]
    (sentence,) = told["said"]
    assert sentence.startswith("tensorrt fp16, batches of 1:") and "Could not find any implementation" in sentence
    assert ask("speed", 1.0)["said"] == ["No engine of a GPU was built, so none is timed."]


def test_an_engine_that_the_gate_refuses_is_told_with_its_reason(
    ask: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(FailingEngine):
        """Off by more than may be, in batches of 8."""

    def load(bundle: Bundle, options: RuntimeOptions) -> Backend:
        return Wrong("tensorrt", "fp16", wrong("pressure", 9.0, bucket=8))

    monkeypatch.setitem(CANDIDATES, "tensorrt", Candidate(load))
    monkeypatch.setitem(CANDIDATES, "onnx", Candidate(lambda bundle, options: FailingEngine("onnx")))
    book = Book(tmp_path / "out", "engines", 100.0)
    engines.build_all(
        book, load_bundle(toy_bundle(tmp_path / "numpy").path), "engines", BUCKETS, {"tensorrt": {"fp16": 1}}
    )
    refused = book.tables["engines"][0]
    assert not refused["passed"] and "pressure is off by 9 mmHg" in refused["gate"]


@pytest.mark.parametrize("fault", fail_over.FAULTS)
def test_onnx_takes_over_when_the_gpu_is_taken_away(
    ask: Callable[..., dict[str, Any]], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test waits for a clock: that of the hops goes by itself, and the watchdog's deadline is short."""
    monkeypatch.setattr(engines, "WEIGHTS", {"tensorrt": {"fp16": 1.0}})
    monkeypatch.setattr(fail_over, "FAULTS", (fault,))
    monkeypatch.setattr(fail_over, "DEADLINE_S", 0.5)
    monkeypatch.setattr(fail_over.time, "sleep", lambda _: None)
    ask("engines", 500.0)
    part = fail_over.run
    monkeypatch.setattr(fail_over, "run", lambda book, request: part(book, request, sleep=lambda _: None))
    told = ask("fail_over", 100.0)
    assert told["state"] == "done", told
    (row,) = told["tables"]["faults"]
    assert (row["fault"], row["backend"], row["then"], row["state"]) == (fault, "tensorrt", "onnx", "failed_over")
    assert row["invalid"] == 1 and row["valid_after"] == 3
    assert 0 <= row["told_s"] <= row["serves_s"]
    words = {"raises": "the fault that was asked for", "hangs": "gave no answer within 0.5 s", "lost": "CUDA failed"}
    assert words[fault] in row["notes"][0] and row["notes"][-1] == "onnx took over"


def test_a_kernel_that_cannot_be_launched_is_no_lost_gpu(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["cuda.bindings"], "driver", fake_cuda.driver, raising=False)
    monkeypatch.setattr(fail_over, "TRAP", b"garbage")
    with pytest.raises(BackendFailed, match=r"could not be launched: .*(INVALID_PTX|218)"):
        fail_over.trap()


def test_wards_are_run_on_the_best_engine_and_on_onnx_for_comparison(
    ask: Callable[..., dict[str, Any]], built: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def run_beds(beds: int, seconds: int, *arguments: str) -> tuple[dict[str, Any], Any]:
        asked.append((beds, *arguments))
        figures = {"p50": 5.0, "p99": 50.0, "max": 60.0}
        report = {
            "latency_ms": {"sample_to_feed": figures}, "backend": arguments[1], "precision": arguments[3], "windows": 9,
            "predictions": 9, "invalid_predictions": 0, "skipped_windows": 0, "slowed_seconds": 0.0,
            "peak_rss_mb": 300.0, "service": "as chosen", "backend_notes": ["a note"],
        }  # fmt: skip
        return report, CpuLoad()

    monkeypatch.setattr(end_to_end, "run_beds", run_beds)
    built()
    told = ask("end_to_end", 200.0)
    assert told["state"] == "done", told
    toy = ["--bundle", str(tmp_path / "toy")]
    gpu, cpu = ["--backend", "tensorrt", "--precision", "fp16"], ["--backend", "onnx", "--precision", "fp32"]
    assert asked == [(1, *gpu, *toy), (8, *gpu, *toy), (8, *cpu, *toy)]
    first = told["tables"]["wards"][0]
    assert first["sample → out p99 (ms)"] == 50.0 and first["window → prediction p50 (ms)"] is None
    assert first["cores"] is None  # too short a run to say
    built(buckets=(1, 8))
    assert "takes engines of every batch size" in ask("end_to_end", 200.0)["said"][0]
    built()
    assert len(ask("end_to_end", 30.0)["said"]) == 3  # the time does not allow any


def test_without_engines_nothing_is_taken_away_or_timed(ask: Callable[..., dict[str, Any]]) -> None:
    assert ask("fail_over", 50.0)["said"] == ["No engine of a GPU was built, so there is none to be taken away."]
    assert ask("speed", 50.0)["said"] == ["No engine of a GPU was built, so none is timed."]


# -- the command ------------------------------------------------------------------------------------------------------


def test_without_a_gpu_it_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise BackendUnavailable("there is no NVIDIA driver on this machine")

    monkeypatch.setattr(environment, "open_device", none)
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    assert main(["gpu", "--out", str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err.strip()
    assert said == (
        "benchmarks: no NVIDIA GPU was found, so nothing is measured: there is no NVIDIA driver on this machine"
    )
    assert not (tmp_path / "results").exists()


def test_parts_follow_one_another_whatever_became_of_them(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets: dict[str, float] = {}

    def run(request: PartRequest, environment: dict[str, str]) -> str:
        assert Path(environment["XDG_CACHE_HOME"]).is_dir()
        budgets[request.part] = request.budget_s
        if request.part == "training":
            return ""  # without a word
        book = Book(request.folder, request.part, request.budget_s)
        book.row("speeds" if request.part == "speed" else "a | table", batch=8, ms=1.5, nested={"a": 1}, buckets=[1, 2])
        if request.part == "engines":
            return "it was ended after its 160 s; what it had found until then is told"
        book.done()
        return ""

    monkeypatch.setattr(command, "run_in_process", run)
    out = tmp_path / "results"
    assert main(["gpu", "--out", str(out), "--parts", "training", "speed", "engines", "environment"]) == 1
    assert list(budgets) == ["environment", "engines", "speed", "training"]
    assert budgets["engines"] == pytest.approx(600 * 4.0 / 6.9, rel=0.01)  # what the one before left is shared
    assert budgets["training"] == pytest.approx(600, rel=0.01)
    told = json.loads((out / "summary.json").read_text())
    assert told["tables"][0]["rows"][1][:2] == ["engines", "failed"]
    assert told["figures"]["engines"]["tables"]["a | table"][0]["nested"] == {"a": 1}
    text = (out / "summary.md").read_text()
    assert "| engines | failed |" in text and "ended after its 160 s" in text and "it left no results" in text
    assert "| batch | ms | buckets |\n|---|---|---|\n| 8 | 1.5 | 1, 2 |" in text
    assert "Made by `python -m" in text
    assert sorted(p.name for p in out.iterdir()) == [
        "engines.json", "environment.json", "speed.json", "summary.json", "summary.md", "training.json"
    ]  # fmt: skip


def test_a_part_without_time_is_not_begun(tmp_path: Path) -> None:
    now = [0.0]

    def run(request: PartRequest) -> str:
        now[0] += 100.0
        Book(request.folder, request.part, 1.0).done()
        return ""

    requests = [PartRequest(part, str(tmp_path), 0.0) for part in ("engines", "speed")]
    command.run_parts(requests, 60.0, "Fake", run, lambda: now[0])
    assert read(tmp_path, "engines")["state"] == "done"
    assert read(tmp_path, "speed")["error"] == "it was not begun: no time was left"


def test_unknown_parts_and_no_minutes_are_one_sentence(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", "--parts", "abacus"]) == 2 and "abacus" in capsys.readouterr().err
    assert main(["gpu", "--minutes", "0"]) == 2 and "above 0" in capsys.readouterr().err
    assert "paper" in command.chosen(["paper"]) and "paper" not in command.chosen(None)
    assert set(command.chosen(None)) == set(PARTS) - {"paper"}


def test_a_terminated_command_ends_its_part_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit), command.ended_as_one():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


# -- a part's process -------------------------------------------------------------------------------------------------


def test_a_request_is_read_back() -> None:
    request = PartRequest("speed", "/out", 12.5, "/bundle", "cpu", (1, 2))
    assert request_of(request.text()) == request


def test_a_part_runs_in_a_process_of_its_own(rig: Rig, tmp_path: Path) -> None:
    """The fake GPU is there too."""
    assert run_in_process(PartRequest("environment", str(tmp_path), 120.0), {}) == ""
    told = read(tmp_path, "environment")
    assert told["state"] == "done" and "Fake RTX" in json.dumps(told["tables"])


def test_one_that_runs_over_is_ended_and_one_that_crashes_is_told(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = PartRequest("environment", str(tmp_path), 0.0)
    assert run_in_process(request, {}, grace_s=0.0).startswith("it was ended after its 0 s")
    (rig.folder / "modules" / "cuda" / "bindings" / "runtime.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    crashed = run_in_process(PartRequest("environment", str(tmp_path), 120.0), {})
    assert crashed.startswith("it ended in a crash (SIGSEGV)")
    assert read(tmp_path, "environment")["state"] == "running"  # what it had is there


def test_what_a_part_has_started_ends_with_it(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "pid"
    (rig.folder / "modules" / "cuda" / "bindings" / "runtime.py").write_text(
        "import pathlib, signal, subprocess\n"
        "own = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(note)!r} + '.part').write_text(str(own.pid))\n"
        f"pathlib.Path({str(note)!r} + '.part').rename({str(note)!r})\n"
        "signal.pause()\n"
    )
    begun: list[Any] = []

    class UntilItHangs(subprocess.Popen[bytes]):
        """Its time is over as soon as it has started something."""

        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            begun.append(self)

        def wait(self, timeout: float | None = None) -> int:
            if timeout is None:
                return super().wait()
            while not note.is_file():
                assert self.poll() is None, "it ended by itself"
            raise subprocess.TimeoutExpired("a part", timeout)

    monkeypatch.setattr(process.subprocess, "Popen", UntilItHangs)
    assert "it was ended after its 120 s" in run_in_process(PartRequest("environment", str(tmp_path), 120.0), {})
    assert begun[0].returncode == -signal.SIGKILL
    left = int(note.read_text())
    with contextlib.suppress(psutil.NoSuchProcess):  # whoever inherits it may take a moment to bury it
        assert psutil.Process(left).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def test_whatever_a_part_raises_is_its_sentence(tmp_path: Path) -> None:
    class Broken:
        """A module whose run says why it cannot."""

        error: BaseException = ValueError("two\nlines")

        def run(self, book: Book, request: PartRequest) -> None:
            book.say("so far so good")
            raise self.error

    module: Any = Broken()
    for error, words in (
        (ValueError("two\nlines"), "ValueError: two lines"), (SystemExit("`vigil run` ended"), "`vigil run` ended"),
        (BackendUnavailable("no GPU"), "no GPU"), (MemoryError(), "MemoryError"),
    ):  # fmt: skip
        module.error = error
        run_part(PartRequest("speed", str(tmp_path), 1.0), module)
        told = read(tmp_path, "speed")
        assert (told["state"], told["error"], told["said"]) == ("failed", words, ["so far so good"])
