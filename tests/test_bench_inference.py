"""``vigil bench inference``: the floor is computed right, contenders meet the same windows, absences are told."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import inference
from benchmarks.__main__ import main
from benchmarks.inference import Contender, Result, markdown, measure, report
from benchmarks.roofline import Peak, Work, floor_ms, launches_ms
from models.runtime import select
from models.runtime.backend import Arrays, Backend, BackendInfo, RuntimeOptions
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.threads import Choice, candidates, default_threads, keep_threads
from models.signals.errors import BadInput
from monitor import cli, cli_bench
from tests.models.failing_backend import toy_bundle

WORK = Work(flops=200e6, io_bytes=1e6, weight_bytes=12e6, nodes=3)


class Recorder:
    """Keeps what it is given."""

    def __init__(self, log: list[tuple[str, Arrays]], name: str) -> None:
        self.log, self.info = log, BackendInfo(name, f"{name}, in a test")

    def run(self, inputs: Arrays) -> Arrays:
        self.log.append((self.info.name, inputs))
        return {}

    def warm_up(self) -> None: ...

    def close(self) -> None:
        self.log.append((self.info.name, {}))


def test_the_floor_is_arithmetic_or_traffic() -> None:
    assert floor_ms(WORK, Peak(100.0, 1000.0), 10) == pytest.approx(20.0)
    assert floor_ms(WORK, Peak(1e9, 2.0), 8) == pytest.approx(10.0)
    assert launches_ms(100) == pytest.approx((0.2, 0.28))


def test_the_work_is_counted_from_the_graph(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    from benchmarks.roofline import work_of

    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("kernel", (4, 2, 3)), ("weight", (40, 5)))
    ]
    constants.append(numpy_helper.from_array(np.array([0, 40]), "flat"))
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["maps"], kernel_shape=[3], pads=[1, 1]),
        helper.make_node("Reshape", ["maps", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 10]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph), tmp_path / "g.onnx")
    work = work_of(tmp_path / "g.onnx")
    assert work.flops == 2 * (4 * 10 * 2 * 3) + 2 * 40 * 5
    assert (work.io_bytes, work.nodes) == (4.0 * (20 + 5), 3)


def test_every_contender_meets_the_same_windows_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, Arrays]] = []
    known: dict[str, dict[int, int]] = {"onnx": {}, "gpu": {1: 50, 2: 60}}
    made = [Contender(name, "fp32", Recorder(log, name), kernels) for name, kernels in known.items()]
    monkeypatch.setattr(inference, "contenders_of", lambda *_: (made, {"torch": "torch is not installed"}))
    monkeypatch.setattr(inference, "measure_peak", lambda: Peak(100.0, 10.0))
    monkeypatch.setattr(inference, "work_of", lambda _: WORK)
    result = measure(load_bundle(), buckets=(1, 3), seconds=0.01)
    assert [(t.name, t.batch) for t in result.timings] == [("onnx", 1), ("gpu", 1), ("onnx", 3), ("gpu", 3)]
    assert all(t.rounds >= inference.LEAST_ROUNDS and t.p99_ms >= t.p50_ms > 0 for t in result.timings)
    assert result.timings[0].floor_ms == pytest.approx(2.0)
    assert result.timings[0].launches_ms is None and result.timings[1].launches_ms == pytest.approx((0.1, 0.14))
    assert result.timings[3].launches_ms == pytest.approx((0.22, 0.308))  # 60 and 50 kernels: 2 rows and 1
    first, second = log[0], log[1]
    assert {first[0], second[0]} == {"onnx", "gpu"} and first[1] is second[1]
    beds = next(inputs for _, inputs in log if inputs and len(inputs["abp"]) == 3)["abp"]
    assert len({bed.tobytes() for bed in beds}) == 3
    masks = {inputs["presence"][0, :, 0].tobytes() for _, inputs in log if inputs}
    assert len(masks) == 2 ** len(load_bundle().spec.modalities)
    assert [name for name, inputs in log if not inputs] == ["onnx", "gpu"]  # closed, once each
    report(result, tmp_path / "out" / "inference.md")
    assert json.loads((tmp_path / "out" / "inference.json").read_text())["figures"]["timings"][0]["name"] == "onnx"
    text = (tmp_path / "out" / "inference.md").read_text()
    assert "not here: torch: torch is not installed" in text and "0.100–0.140 (launches)" in text


def test_threads_are_chosen_by_measurement_and_kept_for_this_machine(tmp_path: Path) -> None:
    assert inference.fewest({1: 20.0, 2: 10.9, 4: 10.0}) == 2
    assert inference.fewest({1: 20.0, 2: 11.1, 4: 10.0}) == 4
    usual, path = default_threads(tmp_path / "none.json"), tmp_path / "cache" / "threads.json"
    for n in candidates():
        keep_threads(n, path)
        assert default_threads(path) == n
    keep_threads(1000, path)
    assert default_threads(path) == usual
    path.write_bytes(msgspec.json.encode(Choice("another machine", 1)))
    assert default_threads(path) == usual
    path.write_bytes(b"{")
    assert default_threads(path) == usual


def test_without_onnx_there_is_no_floor() -> None:
    assert "pip install -e '.[gpu]'" in markdown(Result("m", "b", [], [], Peak(1.0, 1.0), None, {}))


def test_what_a_build_reports_and_the_kernels_it_leads_to_reach_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(Recorder):
        buckets = (1, 2)

        def __init__(self, kernels: dict[int, int]) -> None:
            super().__init__([], "gpu")
            self.kernels = kernels

    def load(bundle: Bundle, options: RuntimeOptions) -> Backend:
        options.progress(f"building, {options.precision}", 0.5)
        return Counting({1: 7, 2: 8} if options.precision == "fp16" else {2: 8})

    monkeypatch.setitem(select.CANDIDATES, "tensorrt", select.Candidate(load, ("fp16", "fp32")))
    said: list[tuple[str, float]] = []
    found, _ = inference.contenders_of(toy_bundle(tmp_path / "toy"), ["tensorrt"], 1, lambda *step: said.append(step))
    assert said == [("building, fp16", 0.5), ("building, fp32", 0.5)]
    assert [c.launches(3) for c in found] == [15, None]  # of one bucket they are not known: of no batch then


def test_an_unknown_backend_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="abacus"):
        inference.contenders_of(toy_bundle(tmp_path / "toy"), ["abacus"], 1)


def test_the_command_line_hands_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], env: dict[str, str], check: bool) -> subprocess.CompletedProcess[str]:
        asked.append(command[1:])
        assert Path(env["PYTHONPATH"].split(os.pathsep)[0], "benchmarks").is_dir()
        return subprocess.CompletedProcess(command, 2)

    monkeypatch.setattr(cli_bench.subprocess, "run", run)
    arguments = ["--bundle", "b", "--seconds", "5.0", "--threads", "1", "--backend", "onnx", "--batch", "4", "--tune"]
    outcome = CliRunner().invoke(cli.app, ["bench", "inference", *arguments])
    assert outcome.exit_code == 2
    assert asked == [["-P", "-m", "benchmarks", "inference", *arguments]]


def test_a_wrong_option_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inference", "--batch", "0"]) == 2
    assert "above 0" in capsys.readouterr().err
