"""The true TensorRT 10.15 on a machine without a GPU: as far as it goes there.

Skipped unless the environment variable VIGIL_TENSORRT names a folder with its libraries and bindings; nothing is
fetched here. Such a folder is made of two downloads of together 0.5 GB:

    mvn dependency:copy -Dartifact=org.bytedeco:tensorrt:10.15-1.5.13:jar:linux-x86_64-redist -DoutputDirectory=FOLDER
    pip download --no-deps --only-binary=:all: -d FOLDER tensorrt-cu13-bindings==10.15.1.29
    cd FOLDER && unzip -j *.jar 'org/bytedeco/tensorrt/linux-x86_64/*' && unzip *.whl

It goes to the builder, which wants CUDA: there is no network without one, and no parser without a network. To open a
plan crashes the process, with whatever content: why a process of its own goes first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models.runtime.tensorrt import process
from models.runtime.tensorrt.build import Request, plan_name
from models.runtime.tensorrt.device import lacks_driver
from models.signals.errors import BackendUnavailable
from tests.models.fake_tensorrt import FACTS

VERSION = "10.15.1.29"
_LIBRARIES = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")
_MODULE = """import ctypes, pathlib, sys
for name in {libraries!r}:
    ctypes.CDLL(str(pathlib.Path({folder!r}, name)), mode=ctypes.RTLD_GLOBAL)
sys.path.append({folder!r})
import tensorrt_bindings
sys.modules["tensorrt"] = tensorrt_bindings
"""
_LOOK = """import json, os, threading
from models.runtime.tensorrt.api import TENSORRT, load_library
from models.runtime.tensorrt.builder import Settings, _monitor, build_plan
from models.runtime.tensorrt.session import _profiler
from models.signals.errors import BackendUnavailable
from tests.models.read_signatures import read
library = load_library(TENSORRT)
trt = library.trt
told = {"title": library.title, "flags": library.strongly_typed(), "read": read(trt)}
told["strongly"] = int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
cancel, shares = threading.Event(), []
monitor = _monitor(trt, shares.append, cancel)
assert isinstance(monitor, trt.IProgressMonitor)
monitor.phase_start("Building engine", None, 2)
told["going"] = monitor.step_complete("Building engine", 0)
cancel.set()
told["cancelled"] = not monitor.step_complete("Building engine", 1)
profiler = _profiler(trt)
assert isinstance(profiler, trt.IProfiler)
profiler.report_layer_time("attention", 0.5)
profiler.report_layer_time("attention", 0.5)
told["times"], told["shares"] = profiler.times_ms, shares
try:
    build_plan(library, b"", 1, Settings())
except BackendUnavailable as error:
    told["refused"] = str(error)
runtime = library.make(trt.Runtime, "makes no runtime", library.logger)  # its end crashes without a driver
told["runtime"] = library.logger.words()
print(json.dumps(told), flush=True)
os._exit(0)
"""


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library under its name, for the processes that are started."""
    folder = os.environ.get("VIGIL_TENSORRT", "")
    if not folder:
        pytest.skip("VIGIL_TENSORRT names no folder with TensorRT's libraries and bindings")
    if not lacks_driver():
        pytest.skip("there is an NVIDIA driver: what is tried here is how it goes without one")
    missing = [name for name in (*_LIBRARIES, "tensorrt_bindings") if not Path(folder, name).exists()]
    if missing:
        pytest.fail(f"VIGIL_TENSORRT names a folder without {', '.join(missing)}")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tensorrt.py").write_text(_MODULE.format(libraries=_LIBRARIES, folder=folder))
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "modules"), str(root)]))


def test_it_loads_has_the_signatures_that_were_read_and_makes_no_builder_without_cuda(real: None) -> None:
    done = subprocess.run([sys.executable, "-P", "-c", _LOOK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["title"] == f"TensorRT {VERSION}" and told["read"] == FACTS[VERSION]
    assert told["flags"] == 1 << told["strongly"]
    assert told["going"] and told["cancelled"] and told["shares"] == [0.5, 1.0]
    assert told["times"] == {"attention": 1.0}
    assert told["refused"].startswith(f"TensorRT {VERSION} makes no builder: createInferBuilder: Error Code 6")
    assert "CUDA initialization failure with error: 35" in told["refused"]
    assert told["runtime"].startswith("createInferRuntime: Error Code 6")  # it makes one all the same


def test_the_building_process_says_so_too(real: None, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    request = Request("tensorrt", str(tmp_path), (1,), device=None)
    with pytest.raises(BackendUnavailable, match="makes no builder: createInferBuilder") as told:
        process.run(request, lambda share: None, threading.Event())
    assert not isinstance(told.value, process.Crashed)


def test_a_plan_that_crashes_the_library_crashes_a_process_of_its_own(real: None, tmp_path: Path) -> None:
    (tmp_path / plan_name(1)).write_bytes(b"no plan")
    request = Request("tensorrt", str(tmp_path), (1,), open=True, device=None)
    with pytest.raises(process.Crashed, match=r"^opening the engine crashed \(signal SIGSEGV\)"):
        process.run(request, lambda share: None, threading.Event())
