"""Engines at work, on a fake GPU that computes with ONNX Runtime and keeps CUDA's rules."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.runtime.backend import Backend, CountsKernels, HasBuckets, Replays, RuntimeOptions
from models.runtime.select import Cached, select_engine
from models.signals.errors import BackendFailed, BackendUnavailable, BadInput
from tests.models import fake_cuda
from tests.models.fake_tensorrt import RTX_VERSION
from tests.models.tensorrt_fakes import Rig, is_right, model_bundle, toy_inputs
from tests.models.tensorrt_fakes import rig as own

__all__ = ["own"]

UNKNOWN = fake_cuda.cudaError_t.cudaErrorUnknown


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def rig(own: Rig, built: Path) -> Rig:
    """With a cache of engines that the tests here share: what they try comes after the build."""
    own.options = replace(own.options, cache=built)
    own.inline()
    return own


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 11])
def test_any_batch_is_padded_split_and_right(rig: Rig, rows: int) -> None:
    backend = rig.load()
    backend.warm_up()
    inputs = toy_inputs(rows, seed=rows)
    for outputs in (backend.run(inputs), backend.run_plain(inputs)):
        assert outputs["y"].shape == (rows, 4) and is_right(outputs, inputs)
    backend.close()
    assert rig.cuda.held == 0


def test_it_is_a_backend_with_buckets_replay_and_cache(rig: Rig) -> None:
    backend = rig.load()
    served: Backend = backend
    assert isinstance(served, HasBuckets) and isinstance(served, Replays) and isinstance(served, Cached)
    assert backend.buckets == (1, 2, 4) and backend.info.name == "tensorrt" and backend.info.precision == "fp32"
    for word in ("TensorRT 11.4.0.106", "Fake RTX", "8.9", "CUDA 13.0", "fp32"):
        assert word in backend.info.detail
    backend.close()


def test_a_launch_is_recorded_after_a_plain_one_with_the_copies_inside(rig: Rig) -> None:
    backend = rig.load(buckets=(2,))
    rig.cuda.calls.clear()
    backend.warm_up()
    assert [name for name in rig.cuda.calls if name not in ("cudaGraphGetNodes", "cudaGraphNodeGetType")] == [
        "cudaMemcpyAsync", "execute", "cudaMemcpyAsync", "cudaStreamSynchronize",
        "cudaStreamBeginCapture", "cudaMemcpyAsync", "execute", "cudaMemcpyAsync", "cudaStreamEndCapture",
        "cudaGraphInstantiate", "cudaGraphDestroy", "cudaGraphLaunch", "cudaStreamSynchronize",
    ]  # fmt: skip
    rig.cuda.calls.clear()
    backend.warm_up()
    assert rig.cuda.calls == []  # once is enough
    backend.close()


def test_the_kernels_of_each_recorded_launch_are_counted(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    backend = rig.load()
    assert isinstance(backend, CountsKernels) and backend.kernels == {}
    backend.warm_up()
    assert backend.kernels == {1: 2, 2: 3, 4: 5}  # the copies are none
    backend.close()
    rig.cuda.failing["cudaGraphNodeGetType"] = UNKNOWN
    with caplog.at_level(logging.INFO):
        uncounted = rig.load()
        uncounted.warm_up()
    assert uncounted.kernels == {} and "could not be counted" in caplog.text
    assert "without recorded launches" not in uncounted.info.detail
    uncounted.close()
    rig.cuda.failing = {"cudaGraphInstantiate": UNKNOWN}
    unrecorded = rig.load()
    unrecorded.warm_up()
    assert unrecorded.kernels == {}
    unrecorded.close()
    assert rig.cuda.held == 0


def test_a_run_allocates_nothing_and_makes_two_calls(rig: Rig) -> None:
    backend = rig.load()
    backend.warm_up()
    held = rig.cuda.held
    rig.cuda.calls.clear()
    for rows in (1, 2, 3, 4):
        backend.run(toy_inputs(rows))
    assert rig.cuda.calls == ["cudaGraphLaunch", "cudaStreamSynchronize"] * 4
    rig.cuda.calls.clear()
    backend.run_plain(toy_inputs(3))
    assert rig.cuda.calls == ["cudaMemcpyAsync", "execute", "cudaMemcpyAsync", "cudaStreamSynchronize"]
    assert rig.cuda.held == held
    backend.close()


def test_rows_that_pad_are_absent(rig: Rig) -> None:
    backend = rig.load(buckets=(4,))
    backend.warm_up()
    backend.run({name: values + values for name, values in toy_inputs(4).items()})  # leaves its rows behind
    backend.run(toy_inputs(3))
    block = backend._session._slots[4]._in
    assert block is not None
    views = block.views
    assert not views["presence"][3].any() and np.isnan(views["context"][3]).all() and (views["x"][3] == 0).all()
    backend.close()


def test_results_outlive_the_next_run_and_the_backend(rig: Rig) -> None:
    backend = rig.load()
    backend.warm_up()
    inputs = toy_inputs(4)
    outputs = backend.run(inputs)
    backend.run(toy_inputs(4, seed=9))
    backend.close()
    assert is_right(outputs, inputs)
    with pytest.raises(BackendFailed, match="closed"):
        backend.run(inputs)


def test_a_launch_that_cannot_be_recorded_runs_plainly(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    backend = rig.load(buckets=(1, 2))
    rig.cuda.failing["cudaStreamEndCapture"] = fake_cuda.cudaError_t.cudaErrorStreamCaptureUnsupported
    backend.warm_up()
    said = [r.message for r in caplog.records if "recorded" in r.message]
    assert len(said) == 2 and "StreamCaptureUnsupported" in said[0]
    assert "without recorded launches" in backend.info.detail
    rig.cuda.failing.clear()
    inputs = toy_inputs(3)
    assert is_right(backend.run(inputs), inputs)
    backend.close()
    assert rig.cuda.held == 0


def test_a_library_that_refuses_a_capture_leaves_the_stream_usable(rig: Rig) -> None:
    backend = rig.load(buckets=(2,))
    slot = backend._session._slots[2]
    plain = slot._context.execute_async_v3

    class Shy:
        """Takes no launch while one is recorded."""

        def execute_async_v3(self, stream: Any) -> bool:
            return rig.cuda.captured is None and bool(plain(stream))

    slot._context = Shy()
    backend.warm_up()
    assert not backend._session.replays and rig.cuda.captured is None
    inputs = toy_inputs(2)
    assert is_right(backend.run(inputs), inputs)
    backend.close()
    assert rig.cuda.held == 0


RUNNING = ["cudaGraphLaunch", "cudaStreamSynchronize"]
LOADING = [
    "cudaSetDevice", "cudaDeviceGetAttribute", "cudaGetDeviceProperties", "cudaHostAlloc", "cudaMalloc",
    "cudaStreamCreateWithFlags",
]  # fmt: skip
RECORDING = ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphLaunch"]
ENDING = ["cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaGraphExecDestroy", "cudaGraphDestroy"]


@pytest.mark.parametrize("name", RUNNING)
def test_a_run_whose_call_fails_has_failed(rig: Rig, name: str) -> None:
    backend = rig.load()
    backend.warm_up()
    rig.cuda.failing[name] = UNKNOWN
    with pytest.raises(BackendFailed, match=f"CUDA failed in {name}: Unknown"):
        backend.run(toy_inputs(1))
    rig.cuda.failing.clear()
    backend.close()


@pytest.mark.parametrize("name", LOADING)
def test_a_load_whose_call_fails_is_unavailable_and_holds_nothing(rig: Rig, name: str) -> None:
    rig.load().close()
    rig.cuda.failing[name] = UNKNOWN
    with pytest.raises(BackendUnavailable, match=f"CUDA failed in {name}: Unknown"):
        rig.load()
    rig.cuda.failing.clear()
    assert rig.cuda.held == 0


@pytest.mark.parametrize("name", [*RECORDING, *ENDING])
def test_what_fails_beside_the_runs_is_said_and_changes_no_number(
    rig: Rig, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = rig.load()
    rig.cuda.failing[name] = UNKNOWN
    with caplog.at_level(logging.INFO):
        backend.warm_up()
        if name != "cudaGraphLaunch":
            inputs = toy_inputs(4)
            assert is_right(backend.run(inputs), inputs)
        backend.close()
    assert any(f"CUDA failed in {name}" in record.message for record in caplog.records)


def test_a_device_that_has_no_memory_left_says_so(rig: Rig) -> None:
    rig.load().close()
    rig.cuda.failing["cudaMalloc"] = fake_cuda.cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(BackendUnavailable, match=r"engines cannot be set up: CUDA failed in cudaMalloc: MemoryAlloc"):
        rig.load()
    assert rig.cuda.held == 0


def test_what_the_library_refuses_comes_with_its_words(rig: Rig) -> None:
    backend = rig.load()
    backend.warm_up()
    rig.faults(refuse_launch=True)
    with pytest.raises(BackendFailed, match=r"could not launch a batch of 2: enqueueV3: the device is gone"):
        backend.run_plain(toy_inputs(2))
    backend.close()
    rig.faults(refuse_address=True)
    with pytest.raises(BackendUnavailable, match="takes no address for x: setTensorAddress"):
        rig.load()
    assert rig.cuda.held == 0


def changed(**change: Any) -> dict[str, Any]:
    inputs: dict[str, Any] = toy_inputs(2) | change
    return {name: values for name, values in inputs.items() if values is not None}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (toy_inputs(0), "at least one window"),
        (changed(x=None), "found no x"),
        (changed(co2=np.zeros((2, 4), np.float32)), "found an unknown co2"),
        (changed(x=np.zeros((2, 5), np.float32)), r"float32 \[2, 4\] for the input x, found float32 \[2, 5\]"),
        (changed(x=np.zeros((3, 4), np.float32)), r"float32 \[2, 4\] for the input x, found float32 \[3, 4\]"),
        (changed(x=np.zeros((2, 4), np.float64)), r"float32 \[2, 4\] for the input x, found float64"),
        (changed(presence=np.ones((2, 2, 3), np.uint8)), r"bool \[2, 2, 3\] for the input presence, found uint8"),
    ],
    ids=["empty batch", "missing", "unknown", "long", "ragged", "type", "mask type"],
)
def test_bad_inputs_are_one_sentence(rig: Rig, inputs: dict[str, Any], words: str) -> None:
    backend = rig.load(buckets=(2,))
    with pytest.raises(BadInput, match=words):
        backend.run(inputs)
    backend.close()


@pytest.mark.parametrize("buckets", [(), (0, 1), (1, 9999)])
def test_buckets_have_bounds(rig: Rig, buckets: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="batch buckets from 1 to 4096"):
        rig.load(buckets=buckets)


def test_rtx_keeps_the_kernels_it_compiled(own: Rig) -> None:
    rig = own
    rig.inline()
    rig.install(RTX_VERSION)
    backend = rig.load(buckets=(1, 2))
    assert backend.info.name == "tensorrt-rtx"
    backend.warm_up()
    backend.close()
    (entry,) = rig.entries()
    kept = sorted(path.name for path in entry.glob("compiled_*"))
    assert kept == ["compiled_1.bin", "compiled_2.bin"]
    again = rig.load(buckets=(1, 2))
    assert again._session._slots[1]._kernels._content == [b"compiled for the fake"]
    again.close()
    (entry / kept[0]).write_bytes(b"damaged" * 9)
    third = rig.load(buckets=(1, 2))
    assert third._session._slots[1]._kernels._content == [b""]
    third.warm_up()
    inputs = toy_inputs(1)
    assert is_right(third.run(inputs), inputs)
    third.close()


def test_a_bundle_passes_the_gate_and_is_served_out_of_the_cache(tmp_path: Path, own: Rig) -> None:
    """From `--backend tensorrt` to what may be shown: built, opened, recorded, gated, kept, in half precision too."""
    bundle = model_bundle(tmp_path / "bundle")
    options = RuntimeOptions(threads=1, buckets=(1, 2, 4), cache=own.cache)
    selection = select_engine(bundle, "tensorrt", options=options)
    assert selection.gate.passed and selection.gate.buckets == [1, 2, 4] and selection.gate.backend == "tensorrt"
    assert selection.gate.precision == "fp16" and 0 < selection.gate.share < 1
    selection.engine.close()
    (entry,) = own.entries()
    assert (entry / "gate.json").is_file()
    own.cuda.calls.clear()
    own.faults(crash_build=True)  # nothing is built again, and the gate is not run again
    again = select_engine(bundle, "tensorrt", options=options)
    assert again.gate == selection.gate
    assert own.cuda.calls.count("cudaStreamSynchronize") == 2 * len(options.buckets)
    again.engine.close()
    assert own.cuda.held == 0
