"""A fake of the module ``tensorrt`` (or ``tensorrt_rtx``): exactly the surface that we call, in a given version.

Each name, argument and return value is checked against the binding's own signatures of that version
(``tensorrt_signatures.json``, read by ``read_signatures``), and numbers of enumerations are none of the real ones. A
plan holds the graph, and an engine computes with ONNX Runtime, on :mod:`fake_cuda`'s memory.

``FAKE_TENSORRT`` in the environment (JSON, read by child processes too) says the version and what goes wrong; see
:class:`Faults`.
"""

from __future__ import annotations

import enum
import inspect
import json
import os
import re
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime

from tests.models import fake_cuda

FACTS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("tensorrt_signatures.json").read_text("utf-8"))
VERSIONS = tuple(version for version in FACTS if not version.startswith("rtx"))
RTX_VERSION = next(version for version in FACTS if version.startswith("rtx"))
MAGIC = b"fake plan "


class Faults:
    """crash_build, refuse_builder, refuse_build, hang_build (says so by making the file ``hanging``), crash_open,
    refuse_open, chatter (prints to standard output), refuse_launch, refuse_address."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = json.loads(os.environ.get("FAKE_TENSORRT", "{}"))

    def __contains__(self, name: str) -> bool:
        """A fault given as a path holds until that file is gone, and takes it away: it strikes once."""
        told = self.told.get(name, False)
        if isinstance(told, str) and name != "hang_build":
            there = Path(told).exists()
            Path(told).unlink(missing_ok=True)
            return there
        return bool(told)

    @property
    def child(self) -> bool:
        return Path(sys.argv[0]).name == "build.py"


def make(version: str) -> ModuleType:
    """The module as that version has it."""
    library = ModuleType("tensorrt_rtx" if version.startswith("rtx") else "tensorrt")
    library.__version__ = version.removeprefix("rtx ")  # type: ignore[attr-defined]
    facts = FACTS[version]
    for at, (name, known) in enumerate(facts.items()):
        if isinstance(known, list):
            numbers = {member: 3 + 7 * i + at % 5 for i, member in enumerate(reversed(known))}
            setattr(library, name, enum.IntEnum(name, numbers))
        else:
            kind = type(name, (_KINDS[name],), {"_facts": known, "_library": library})
            setattr(library, name, kind)
    library.used = set()  # type: ignore[attr-defined]
    return library


class Checked:
    """Base of the fake's classes: whatever is asked of them must stand in the signatures, and is noted as used."""

    _facts: dict[str, Any]
    _library: Any

    def __init__(self, *args: Any) -> None:
        _bound(type(self)._name(), "__init__", self._facts["__init__"], self._library, args, {})
        self._library.used.add((self._name(), "__init__"))

    @classmethod
    def _name(cls) -> str:
        return next(k.__name__ for k in cls.__mro__ if "_facts" in vars(k))

    @classmethod
    def _made(cls, library: Any, **state: Any) -> Any:
        """Of a class that only the library makes."""
        made = getattr(library, cls.__name__)
        new = made.__new__(made)
        for name, value in state.items():
            object.__setattr__(new, name, value)
        return new

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name not in _PUBLIC:
            return object.__getattribute__(self, name)
        facts, library, kind = self._facts, self._library, self._name()
        if name not in facts:
            raise AttributeError(f"{library.__name__} {library.__version__}: {kind} has no {name}")
        library.used.add((kind, name))
        value = object.__getattribute__(self, name)
        if facts[name] == "property":
            return value

        def call(*args: Any, **arguments: Any) -> Any:
            returns = _bound(kind, name, facts[name], library, args, arguments)
            found = value(*args, **arguments)
            assert found is None or returns != "None", f"{kind}.{name} gives nothing"
            return found

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and self._name() in _ASSIGNED:
            if self._facts.get(name) != "property":
                raise AttributeError(f"{self._library.__name__} {self._library.__version__}: no {self._name()}.{name}")
            self._library.used.add((self._name(), name))
        object.__setattr__(self, name, value)


def _bound(kind: str, name: str, signatures: list[str], library: Any, args: Any, arguments: Any) -> str:
    """Return type of the first overload that takes these arguments. TypeError if none does."""
    problems = []
    for signature in signatures:
        inside, _, returns = signature.rpartition(") -> ")
        parts = [p for p in re.split(r",\s*(?![^<\[]*[>\]])", inside[1:]) if not p.startswith("self")]
        fields = [re.match(r"(\w+): ([^=]+?)(?: = .*)?$", part) for part in parts]
        parameters = [
            inspect.Parameter(
                field[1],
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=None if " = " in part else inspect.Parameter.empty,
                annotation=field[2],
            )
            for field, part in zip(fields, parts, strict=True)
            if field is not None
        ]
        try:
            found = inspect.Signature(parameters).bind(*args, **arguments)
            for parameter in parameters:
                if parameter.name in found.arguments:
                    _typed(parameter, found.arguments[parameter.name], library)
        except TypeError as error:
            problems.append(str(error))
        else:
            return returns
    raise TypeError(f"{kind}.{name}: {'; '.join(problems)} (its signatures: {signatures})")


def _typed(parameter: inspect.Parameter, value: Any, library: Any) -> None:
    kind = str(parameter.annotation)
    simple: dict[str, Any] = {"str": str, "bool": bool, "int": int, "SupportsInt": int}
    if kind.lower() == "buffer":
        memoryview(value)
        return
    if kind == "Dims":
        good = all(isinstance(n, int) for n in value)
    elif kind in simple:
        good = isinstance(value, simple[kind]) and (kind == "bool" or not isinstance(value, bool))
        good = good or (parameter.name == "parent_phase" and value is None)  # of the outermost, as seen
    else:
        wanted = getattr(library, kind.rpartition("::")[2].split(".")[0], None)
        good = wanted is None or value is None or isinstance(value, wanted) or kind == "ILogger.Severity"
    if not good:
        raise TypeError(f"{parameter.name} is a {kind}, not {value!r}")


class _Severity(enum.IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger(Checked):
    INTERNAL_ERROR, ERROR, WARNING = _Severity.INTERNAL_ERROR, _Severity.ERROR, _Severity.WARNING
    _ready = False

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "_ready", True)


class IProgressMonitor(Checked):
    _ready = False

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "_ready", True)


class IProfiler(Checked):
    _ready = False

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "_ready", True)


class INetworkDefinition(Checked):
    _inputs: list[Any]
    _graph: bytes

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    def get_input(self, index: int) -> Any:
        return self._inputs[index]


class ITensor(Checked):
    shape: Any = ()


class ParserError(Checked):
    _text = ""

    def desc(self) -> str:
        return self._text


class OnnxParser(Checked):
    def __init__(self, network: Any, logger: Any) -> None:
        super().__init__(network, logger)
        self._network, self._logger, self._errors = network, logger, []

    def parse(self, model: Any, path: str | None = None) -> bool:
        graph = bytes(model)
        try:
            session = _session(graph)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's classes have no common base
            self._errors.append(str(error).splitlines()[0])
            self._logger.log(_Severity.ERROR, "In node -1: the model cannot be read")
            return False
        tensors = []
        for item in session.get_inputs():
            tensor = ITensor._made(self._library, shape=(-1, *item.shape[1:]))
            tensors.append(tensor)
        object.__setattr__(self._network, "_inputs", tensors)
        object.__setattr__(self._network, "_graph", graph)
        return True

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return ParserError._made(self._library, _text=self._errors[index])


class ITimingCache(Checked):
    _content = b""

    def serialize(self) -> Any:
        return IHostMemory(self._content)


class IHostMemory(bytes):
    """What the binding gives has the buffer protocol."""


class IBuilderConfig(Checked):
    builder_optimization_level = 3
    max_aux_streams = -1
    progress_monitor: Any = None
    num_compute_capabilities = 0
    _timing: Any = None
    _pools: dict[Any, int]
    _cleared: list[Any]

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[pool] = pool_size

    def clear_flag(self, flag: Any) -> None:
        self._cleared.append(flag)

    def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
        content = bytes(serialized_timing_cache)
        if content and not content.startswith(b"timed"):
            return None
        return ITimingCache._made(self._library, _content=content)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self._timing = cache
        return True

    def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
        return index < self.num_compute_capabilities


class Builder(Checked):
    def __init__(self, logger: Any) -> None:
        assert logger._ready, "ILogger.__init__ was not called"
        if "refuse_builder" in Faults():  # as seen of 10.15 on a machine without a driver
            logger.log(_Severity.ERROR, "createInferBuilder: Error Code 6: CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        super().__init__(logger)
        self._logger = logger

    def create_network(self, flags: int = 0) -> Any:
        strongly = 1 << int(self._library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        assert flags == strongly, "precision stands in the graph"
        return INetworkDefinition._made(self._library, _inputs=[], _graph=b"")

    def create_builder_config(self) -> Any:
        return IBuilderConfig._made(self._library, _pools={}, _cleared=[])

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        faults, library = Faults(), self._library
        assert config._pools[library.MemoryPoolType.WORKSPACE] > 0, "the workspace is not bounded"
        assert config._cleared == [library.BuilderFlag.TF32]
        if "chatter" in faults:
            os.write(1, b"a library that prints\n")
        if not _worked(config.progress_monitor):
            return None
        if "crash_build" in faults:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hang_build" in faults:
            Path(faults.told["hang_build"]).touch()
            threading.Event().wait(60)
        if "refuse_build" in faults:
            self._logger.log(_Severity.ERROR, "10: Could not find any implementation for node attn")
            self._logger.log(_Severity.ERROR, "buildSerializedNetwork failed")
            return None
        if config._timing is not None:
            object.__setattr__(config._timing, "_content", (config._timing._content or b"timed") + b"+")
        shapes = [list(tensor.shape) for tensor in network._inputs]
        assert all(min(shape) > 0 for shape in shapes), "a dynamic shape"
        head = json.dumps({"version": library.__version__, "batch": shapes[0][0]}).encode()
        return IHostMemory(MAGIC + head + b"\n" + network._graph)


def _worked(monitor: Any) -> bool:
    """A build's phases, in a thread of the builder's own. False if it was cancelled."""
    going = [True]

    def phases() -> None:
        monitor.phase_start("Building engine", None, 2)
        for outer in range(2):
            monitor.phase_start("Timing", "Building engine", 4)
            for step in range(4):
                going[0] = going[0] and monitor.step_complete("Timing", step)
            monitor.phase_finish("Timing")
            going[0] = going[0] and monitor.step_complete("Building engine", outer)
        monitor.phase_finish("Building engine")

    assert monitor._ready, "IProgressMonitor.__init__ was not called"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(phases).result()
    return going[0]


class Runtime(Checked):
    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
        plan, faults = bytes(serialized_engine), Faults()
        if faults.child and "crash_open" in faults:
            os.kill(os.getpid(), signal.SIGSEGV)
        head, _, graph = plan.removeprefix(MAGIC).partition(b"\n")
        there = "refuse_open" in faults if faults.child else "refuse_open_here" in faults
        if there or not plan.startswith(MAGIC) or json.loads(head)["version"] != self._library.__version__:
            self._logger.log(_Severity.ERROR, "The engine plan file is not compatible with this version")
            return None
        batch = json.loads(head)["batch"]
        return ICudaEngine._made(self._library, _session=_session(graph), _batch=batch, _logger=self._logger)


class ICudaEngine(Checked):
    _session: onnxruntime.InferenceSession
    _batch: int
    _logger: Any

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors())

    def _tensors(self) -> list[Any]:
        return [*self._session.get_inputs(), *self._session.get_outputs()]

    def _tensor(self, name: str) -> Any:
        return next(t for t in self._tensors() if t.name == name)

    def get_tensor_name(self, index: int) -> str:
        return str(self._tensors()[index].name)

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._library.TensorIOMode
        return modes.INPUT if name in [t.name for t in self._session.get_inputs()] else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        kinds = {"tensor(float)": "FLOAT", "tensor(bool)": "BOOL", "tensor(int64)": "INT64", "tensor(uint8)": "UINT8"}
        return self._library.DataType[kinds[self._tensor(name).type]]

    def get_tensor_shape(self, name: str) -> Any:
        return (self._batch, *self._tensor(name).shape[1:])

    def create_runtime_config(self) -> Any:
        return IRuntimeConfig._made(self._library)

    def create_execution_context(self, runtime_config: Any = None) -> Any:
        return IExecutionContext._made(
            self._library, _engine=self, _addresses={}, _config=runtime_config, _warm=False
        )  # fmt: skip


class IRuntimeConfig(Checked):
    cuda_graph_strategy: Any = None
    _cache: Any = None

    def create_runtime_cache(self) -> Any:
        return IRuntimeCache._made(self._library, _content=[b""])

    def set_runtime_cache(self, cache: Any = None) -> bool:
        self._cache = cache
        return True


class IRuntimeCache(Checked):
    _content: list[bytes]

    def serialize(self) -> Any:
        return IHostMemory(self._content[0])

    def deserialize(self, blob: Any) -> bool:
        self._content[0] = bytes(blob)
        return bytes(blob).startswith(b"compiled")


class IExecutionContext(Checked):
    _engine: Any
    _config: Any
    _addresses: dict[str, int]
    _warm: bool
    profiler: Any = None

    def set_tensor_address(self, name: str, memory: int) -> bool:
        engine = self._engine
        size = int(np.prod(engine.get_tensor_shape(name))) * (1 if engine._tensor(name).type == "tensor(bool)" else 4)
        if "refuse_address" in Faults() or memory % 256 or not fake_cuda.within(fake_cuda.machine.device, memory, size):
            engine._logger.log(_Severity.ERROR, f"setTensorAddress: bad address of {name}")
            return False
        self._addresses[name] = memory
        return True

    def infer_shapes(self) -> list[str]:
        return [t.name for t in self._engine._tensors() if t.name not in self._addresses]

    def execute_async_v3(self, stream_handle: int) -> bool:
        machine = fake_cuda.machine
        if "refuse_launch" in Faults():
            self._engine._logger.log(_Severity.ERROR, "enqueueV3: the device is gone")
            return False
        machine.calls.append("execute")
        if machine.captured is not None and not self._warm:
            self._engine._logger.log(_Severity.ERROR, "operation not permitted when stream is capturing")
            return False
        if self.profiler is not None:  # layers are timed one by one
            assert self.profiler._ready, "IProfiler.__init__ was not called"
            self.profiler.report_layer_time("attention", 0.75)
            self.profiler.report_layer_time("convolution", 0.25)
        for _ in range(self._engine._batch):  # a larger bucket has more kernels
            machine.put(stream_handle, _idle)
        return machine.put(stream_handle, self._compute) == fake_cuda.OK

    def _compute(self) -> None:
        self._warm = True
        if self._config is not None and self._config._cache is not None:
            self._config._cache._content[0] = b"compiled for the fake"
        session = self._engine._session
        feeds = {t.name: self._array(t) for t in session.get_inputs()}
        outputs = [t for t in session.get_outputs()]
        for tensor, values in zip(outputs, session.run([t.name for t in outputs], feeds), strict=True):
            self._array(tensor)[...] = values

    def _array(self, tensor: Any) -> Any:
        import ctypes

        shape = self._engine.get_tensor_shape(tensor.name)
        dtype = np.dtype(np.bool_ if tensor.type == "tensor(bool)" else np.float32)
        size = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_uint8 * size).from_address(self._addresses[tensor.name])
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)


def _idle() -> None:
    """A kernel besides the one that computes all."""


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


_KINDS: dict[str, type] = {
    name: globals()[name] for name, known in FACTS[RTX_VERSION].items() if isinstance(known, dict)
}
_ASSIGNED = {"IBuilderConfig", "ITensor", "IRuntimeConfig", "IExecutionContext"}
_PUBLIC = {member for known in FACTS[RTX_VERSION].values() if isinstance(known, dict) for member in known}
