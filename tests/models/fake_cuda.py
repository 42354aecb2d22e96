"""A fake of ``cuda.bindings.runtime``: exactly the functions that we call, over ctypes memory, which keeps the rules.

What a stream is given runs when it is waited for; during a capture it goes into the graph instead, and nothing may be
allocated or waited for. Addresses must lie within what was allocated. ``calls`` are the names in order; ``failing``
names functions that give an error code.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

Step = Callable[[], None]


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorUnknown = 999


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


class cudaDeviceAttr(enum.IntEnum):
    cudaDevAttrMultiProcessorCount = 16
    cudaDevAttrComputeCapabilityMajor = 75
    cudaDevAttrComputeCapabilityMinor = 76


class cudaGraphNodeType(enum.IntEnum):
    cudaGraphNodeTypeKernel = 0
    cudaGraphNodeTypeMemcpy = 1


cudaHostAllocDefault = 0
cudaStreamNonBlocking = 1
OK, INVALID = cudaError_t.cudaSuccess, cudaError_t.cudaErrorInvalidValue


class Handle(int):
    """Of a stream or graph: what cuda.bindings gives is an object that converts to a number too."""


@dataclass
class Copy:
    """A step that is no kernel."""

    dst: int
    src: int
    count: int

    def __call__(self) -> None:
        ctypes.memmove(self.dst, self.src, self.count)


@dataclass
class Memory:
    """What keeps it alive, and how much of it was asked for."""

    block: Any
    size: int


@dataclass
class Machine:
    """State of the fake. driver: CUDA version; devices: how many."""

    driver: int = 13000
    devices: int = 1
    name: str = "Fake RTX"
    capability: tuple[int, int] = (8, 9)
    calls: list[str] = field(default_factory=list)
    failing: dict[str, cudaError_t] = field(default_factory=dict)
    host: dict[int, Any] = field(default_factory=dict)
    device: dict[int, Any] = field(default_factory=dict)
    streams: dict[int, list[Step]] = field(default_factory=dict)
    graphs: dict[int, list[Step]] = field(default_factory=dict)
    launches: dict[int, list[Step]] = field(default_factory=dict)
    captured: list[Step] | None = None
    fault: str = ""  # raised by a step: what a stream does fails when it is waited for
    count: int = 0

    def handle(self) -> Handle:
        self.count += 1
        return Handle(0x1000 + self.count)

    @property
    def held(self) -> int:
        """Allocations, streams and graphs that were not given back."""
        return sum(map(len, (self.host, self.device, self.streams, self.graphs, self.launches)))

    def put(self, stream: int, step: Step) -> cudaError_t:
        if int(stream) not in self.streams:
            return INVALID
        (self.streams[int(stream)] if self.captured is None else self.captured).append(step)
        return OK


machine = Machine()


def renew(**state: Any) -> Machine:
    """A machine as after a start."""
    machine.__dict__.update(Machine(**state).__dict__)
    return machine


def within(memory: dict[int, Any], address: int, size: int) -> bool:
    return any(start <= address and address + size <= start + block.size for start, block in memory.items())


def _function(body: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        machine.calls.append(body.__name__)
        if body.__name__ in machine.failing:
            code = machine.failing[body.__name__]
            _leave_capture(body.__name__)
            return (code,) if _values[body.__name__] == 0 else (code, *[None] * _values[body.__name__])
        found = body(*args)
        return found if isinstance(found, tuple) else (found,)

    _values[body.__name__] = body.__annotations__["return"].count(",")
    return call


_values: dict[str, int] = {}


def _leave_capture(name: str) -> None:
    if name == "cudaStreamEndCapture":  # a failed end is an end
        machine.captured = None


@_function
def cudaGetDeviceCount() -> tuple[cudaError_t, int | None]:
    if machine.driver < 12000:
        return cudaError_t.cudaErrorInsufficientDriver, None
    return (OK, machine.devices) if machine.devices else (cudaError_t.cudaErrorNoDevice, None)


@_function
def cudaDriverGetVersion() -> tuple[cudaError_t, int]:
    return OK, machine.driver


@_function
def cudaRuntimeGetVersion() -> tuple[cudaError_t, int]:
    return OK, 13000


def cudaGetErrorString(error: cudaError_t) -> tuple[cudaError_t, bytes]:
    return OK, error.name.removeprefix("cudaError").encode()


@_function
def cudaSetDevice(device: int) -> cudaError_t:
    return OK if 0 <= device < machine.devices else INVALID


@_function
def cudaDeviceGetAttribute(attr: cudaDeviceAttr, device: int) -> tuple[cudaError_t, int]:
    major, minor = machine.capability
    return OK, {16: 128, 75: major, 76: minor}[int(attr)]


@_function
def cudaGetDeviceProperties(device: int) -> tuple[cudaError_t, Any]:
    return OK, SimpleNamespace(name=machine.name.encode() + b"\0")


@_function
def cudaHostAlloc(size: int, flags: int) -> tuple[cudaError_t, int | None]:
    return _allocated(machine.host, size)


@_function
def cudaMalloc(size: int) -> tuple[cudaError_t, int | None]:
    return _allocated(machine.device, size)


def _allocated(memory: dict[int, Any], size: int) -> tuple[cudaError_t, int | None]:
    if machine.captured is not None:
        return cudaError_t.cudaErrorStreamCaptureUnsupported, None
    block = (ctypes.c_uint8 * (size + 256))()
    address = -(-ctypes.addressof(block) // 256) * 256
    ctypes.memset(address, 0xA5, size)  # nobody may count on zeros
    memory[address] = Memory(block, size)
    return OK, address


@_function
def cudaFreeHost(ptr: int) -> cudaError_t:
    return OK if machine.host.pop(ptr, None) is not None else INVALID


@_function
def cudaFree(devPtr: int) -> cudaError_t:
    return OK if machine.device.pop(devPtr, None) is not None else INVALID


@_function
def cudaStreamCreateWithFlags(flags: int) -> tuple[cudaError_t, Handle]:
    handle = machine.handle()
    machine.streams[int(handle)] = []
    assert flags == cudaStreamNonBlocking
    return OK, handle


@_function
def cudaStreamDestroy(stream: Handle) -> cudaError_t:
    return OK if machine.streams.pop(int(stream), None) is not None else INVALID


@_function
def cudaMemcpyAsync(dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: Handle) -> cudaError_t:
    sides = (machine.device, machine.host) if kind == 1 else (machine.host, machine.device)
    if not within(sides[0], dst, count) or not within(sides[1], src, count):
        return INVALID
    return machine.put(stream, Copy(dst, src, count))


@_function
def cudaStreamSynchronize(stream: Handle) -> cudaError_t:
    if machine.captured is not None:
        return cudaError_t.cudaErrorStreamCaptureUnsupported
    steps = machine.streams[int(stream)]
    while steps:
        steps.pop(0)()
    return cudaError_t.cudaErrorUnknown if machine.fault else OK


@_function
def cudaStreamBeginCapture(stream: Handle, mode: cudaStreamCaptureMode) -> cudaError_t:
    if machine.streams[int(stream)] or machine.captured is not None:  # something was not waited for
        return cudaError_t.cudaErrorStreamCaptureUnsupported
    machine.captured = []
    return OK


@_function
def cudaStreamEndCapture(stream: Handle) -> tuple[cudaError_t, Handle | None]:
    if machine.captured is None:
        return INVALID, None
    handle = machine.handle()
    machine.graphs[int(handle)], machine.captured = machine.captured, None
    return OK, handle


@_function
def cudaGraphGetNodes(graph: Handle, numNodes: int) -> tuple[cudaError_t, list[Step] | None, int | None]:
    steps = machine.graphs[int(graph)]
    return OK, steps[:numNodes], len(steps)


@_function
def cudaGraphNodeGetType(node: Step) -> tuple[cudaError_t, cudaGraphNodeType | None]:
    kinds = cudaGraphNodeType
    return OK, kinds.cudaGraphNodeTypeMemcpy if isinstance(node, Copy) else kinds.cudaGraphNodeTypeKernel


@_function
def cudaGraphInstantiate(graph: Handle, flags: int) -> tuple[cudaError_t, Handle]:
    handle = machine.handle()
    machine.launches[int(handle)] = machine.graphs[int(graph)]
    return OK, handle


@_function
def cudaGraphDestroy(graph: Handle) -> cudaError_t:
    return OK if machine.graphs.pop(int(graph), None) is not None else INVALID


@_function
def cudaGraphExecDestroy(graphExec: Handle) -> cudaError_t:
    return OK if machine.launches.pop(int(graphExec), None) is not None else INVALID


@_function
def cudaGraphLaunch(graphExec: Handle, stream: Handle) -> cudaError_t:
    for step in machine.launches[int(graphExec)]:
        machine.put(stream, step)
    return OK


class driver:
    """A fake of ``cuda.bindings.driver``: what loads a kernel that traps, and launches it."""

    class CUresult(enum.IntEnum):
        CUDA_SUCCESS = 0
        CUDA_ERROR_INVALID_PTX = 218

    @staticmethod
    def cuModuleLoadData(image: bytes) -> tuple[Any, Handle | None]:
        results = driver.CUresult
        good = image.startswith(b".version") and image.endswith(b"\0")
        return (results.CUDA_SUCCESS, machine.handle()) if good else (results.CUDA_ERROR_INVALID_PTX, None)

    @staticmethod
    def cuModuleGetFunction(hmod: Handle, name: bytes) -> tuple[Any, Handle]:
        return driver.CUresult.CUDA_SUCCESS, machine.handle()

    @staticmethod
    def cuLaunchKernel(f: Handle, *arguments: int) -> tuple[Any]:
        assert len(arguments) == 10, "grid, block, shared memory, stream, parameters, extra"
        machine.fault = "trap"
        return (driver.CUresult.CUDA_SUCCESS,)
