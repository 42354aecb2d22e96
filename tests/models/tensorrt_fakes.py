"""A machine with a fake GPU and a fake TensorRT, for this process and for the ones it starts; and a graph to run."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.runtime.backend import Arrays, RuntimeOptions
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.tensorrt import api, build, process
from models.runtime.tensorrt.backend import TensorRTBackend, load, load_rtx
from models.runtime.tensorrt.build import Request
from tests.models import fake_cuda, fake_tensorrt
from tests.models.failing_backend import FRAMES, NAMES, SAMPLES, WIDTH, example, toy_bundle, toy_model

VERSION = fake_tensorrt.VERSIONS[-1]
_CHILD = """import json, os, sys
from tests.models.fake_tensorrt import make
sys.modules[__name__] = make(json.loads(os.environ["FAKE_TENSORRT"])["version"])
"""
_CHILD_CUDA = "from tests.models.fake_cuda import *\nfrom tests.models.fake_cuda import cudaError_t\n"


def toy_graph() -> bytes:
    """x [B, 4], presence [B, 2, 3], context [B, 2, 2] -> y = 2 x + number present [B, 4], known context [B, 2, 2]."""
    float_, bool_ = TensorProto.FLOAT, TensorProto.BOOL
    inputs = {"x": (float_, [4]), "presence": (bool_, [2, 3]), "context": (float_, [2, 2])}
    outputs = {"y": (float_, [4]), "known": (float_, [2, 2])}
    nodes = [
        helper.make_node("Cast", ["presence"], ["seen"], to=float_),
        helper.make_node("ReduceSum", ["seen", "frames"], ["counts"], keepdims=0),
        helper.make_node("ReduceSum", ["counts", "rows"], ["count"], keepdims=1),
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Add", ["twice", "count"], ["y"]),
        helper.make_node("IsNaN", ["context"], ["never"]),
        helper.make_node("Where", ["never", "nothing", "context"], ["known"]),
    ]
    constants = [
        helper.make_tensor("frames", TensorProto.INT64, [1], [2]),
        helper.make_tensor("rows", TensorProto.INT64, [1], [1]),
        helper.make_tensor("nothing", float_, [], [0.0]),
    ]
    sides = [
        [helper.make_tensor_value_info(name, kind, ["batch", *shape]) for name, (kind, shape) in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "toy", *sides, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def toy_inputs(rows: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    context = rng.normal(size=(rows, 2, 2)).astype(np.float32)
    context[:, 0, 0] = np.nan
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return {"x": x, "presence": rng.random((rows, 2, 3)) > 0.5, "context": context}


def toy_outputs(inputs: Arrays) -> Arrays:
    count = np.asarray(inputs["presence"]).sum(axis=(1, 2))[:, None].astype(np.float32)
    return {"y": 2 * inputs["x"] + count, "known": np.nan_to_num(inputs["context"], nan=0.0)}


def is_right(outputs: Arrays, inputs: Arrays) -> bool:
    return all(np.allclose(outputs[name], values) for name, values in toy_outputs(inputs).items())


def model_graph() -> bytes:
    """The model of ``failing_backend`` as a graph."""
    constants: dict[str, Any] = {
        "nothing": np.float32(0), "hundred": np.float32(100), "half": np.float32(0.5), "one": np.float32(1),
        "ten": np.float32(10), "twenty": np.float32(20), "level_mmhg": np.float32(85),
        "in_frames": np.array([-1, 4, FRAMES, SAMPLES // FRAMES]), "in_steps": np.array([-1, 4, FRAMES, WIDTH, 37]),
        "begin": np.array([0]), "end": np.array([296]), "a1": np.array([1]), "a2": np.array([2]), "a3": np.array([3]),
        "a4": np.array([4]), "a12": np.array([1, 2]), "pulses": np.sin(np.linspace(0, 40, SAMPLES, dtype=np.float32)),
        "p": np.array([[80, 85, 90], [100, 110, 120], [50, 55, 60]], np.float32),
        "r": np.float32([0.2, 0.3, 0.4]), "lo": np.float32([0.1, 0.2, 0.3]), "hi": np.float32([0.3, 0.4, 0.5]),
        "d": np.float32([40, 50, 60]), "e": np.float32([1, 1, 1, 1, 1, 20, 0.1]),
    }  # fmt: skip
    nodes = [helper.make_node("Unsqueeze", [name, "a1"], [f"{name}1"]) for name in NAMES]
    nodes.append(helper.make_node("Concat", [f"{name}1" for name in NAMES], ["signals"], axis=1))

    def node(kind: str, inputs: str, output: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs.split(), [output], **attributes))

    node("Reshape", "signals in_frames", "frames")
    node("Unsqueeze", "presence a3", "seen")
    node("Where", "seen frames nothing", "masked")
    node("Slice", "masked begin end a3", "cut")
    node("Reshape", "cut in_steps", "parts")
    node("ReduceMean", "parts a4", "means", keepdims=0)
    node("Div", "means hundred", "tokens")
    node("Cast", "presence", "seen_as_number", to=TensorProto.FLOAT)
    node("ReduceMin", "seen_as_number a2", "least", keepdims=1)
    node("Cast", "least", "whole", to=TensorProto.BOOL)
    node("IsNaN", "memory", "never")
    node("Or", "whole never", "forgotten")
    node("Where", "forgotten nothing memory", "known")
    node("Unsqueeze", "known a2", "remembered")
    node("Where", "seen tokens remembered", "restored_tokens")
    node("ReduceMean", "restored_tokens a12", "fused", keepdims=0)
    node("ReduceMean", "fused a1", "mean", keepdims=1)
    node("Sigmoid", "mean", "level")
    node("Mul", "level half", "halved")
    for name, table in {"risk": "r", "risk_lo": "lo", "risk_hi": "hi"}.items():
        node("Add", f"halved {table}", name)
    node("Mul", "level ten", "tenfold")
    node("Add", "tenfold d", "depth")
    node("Unsqueeze", "tenfold a2", "tall")
    node("Add", "tall p", "pressure")
    node("Add", "level one", "height")
    node("Mul", "height pulses", "pulse")
    node("Mul", "pulse twenty", "swing")
    node("Add", "swing level_mmhg", "abp_wave")
    node("Add", "pulse ten", "ppg_wave")
    node("Mul", "pulse half", "ecg_wave")
    node("Mul", "level e", "eeg_features")
    example_inputs, example_outputs = example(1), toy_model(example(1))
    sides = [
        [
            helper.make_tensor_value_info(
                name, TensorProto.BOOL if values.dtype == bool else TensorProto.FLOAT, ["batch", *values.shape[1:]]
            )
            for name, values in side.items()
        ]
        for side in (example_inputs, example_outputs)
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "model", *sides, tensors), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    return bytes(model.SerializeToString())


def model_bundle(folder: Path) -> Bundle:
    """The bundle of ``failing_backend`` with its model as a graph that libraries read."""
    toy_bundle(folder)
    (folder / "model.onnx").write_bytes(model_graph())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = hashlib.sha256(model_graph()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return load_bundle(folder)


class Rig:
    """The fake machine. ``version`` of the library, ``cuda``: the state of the fake CUDA."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        self.cuda = fake_cuda.renew()
        self.model = folder / "model.onnx"
        self.model.write_bytes(toy_graph())
        self.options = RuntimeOptions(precision="fp32", buckets=(1, 2, 4), cache=folder / "cache")
        modules = folder / "modules"
        (modules / "cuda" / "bindings").mkdir(parents=True)
        for name in ("tensorrt", "tensorrt_rtx"):
            (modules / f"{name}.py").write_text(_CHILD)
        for name in ("cuda/__init__.py", "cuda/bindings/__init__.py"):
            (modules / name).write_text("")
        (modules / "cuda" / "bindings" / "runtime.py").write_text(_CHILD_CUDA)
        patch.setenv("PYTHONPATH", str(modules))
        cuda, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
        bindings.runtime = fake_cuda  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "cuda", cuda)
        patch.setitem(sys.modules, "cuda.bindings", bindings)
        patch.setitem(sys.modules, "cuda.bindings.runtime", fake_cuda)
        self.install(VERSION)

    def install(self, version: str, **faults: Any) -> ModuleType:
        self.version = version
        library = fake_tensorrt.make(version)
        self._patch.setitem(sys.modules, library.__name__, library)
        api.load_library.cache_clear()
        self.faults(**faults)
        return library

    def faults(self, **faults: Any) -> None:
        self._patch.setenv("FAKE_TENSORRT", json.dumps({"version": self.version, **faults}))

    def once(self, name: str) -> str:
        """A fault that strikes once."""
        (self.folder / name).touch()
        return str(self.folder / name)

    def load(self, **options: Any) -> TensorRTBackend:
        bundle: Any = SimpleNamespace(model_path=self.model)
        make = load_rtx if self.version.startswith("rtx") else load
        return make(bundle, replace(self.options, **options))

    def inline(self) -> None:
        """Builds in this process from here on: for tests of what comes before and after."""

        def run(request: Request, report: Callable[[float], None], cancel: threading.Event) -> None:
            (build._open if request.open else build._build)(request, report, cancel)

        self._patch.setattr(process, "run", run)

    @property
    def cache(self) -> Path:
        assert self.options.cache is not None
        return self.options.cache

    def entries(self) -> list[Path]:
        return sorted(p for p in self.cache.glob("*") if p.is_dir() and not p.name.startswith("quarantine"))

    def quarantined(self) -> list[Path]:
        return sorted(self.cache.glob("quarantine-*"))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    yield Rig(tmp_path, monkeypatch)
    api.load_library.cache_clear()
