"""The GPU through CUDA's runtime: which one it is, memory that both sides reach, a stream and recorded launches."""

from __future__ import annotations

import ctypes
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.signals.errors import BackendFailed, BackendUnavailable
from models.signals.install import install_hint

_ALIGN = 256  # of every tensor in its block: what kernels that read vectors want
_DRIVER_FILE = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class Device:
    """capability: compute capability, such as (8, 9); processors: streaming multiprocessors; driver: its version and
    that of the CUDA it brings."""

    index: int
    name: str
    capability: tuple[int, int]
    processors: int
    driver: str


class Cuda:
    """CUDA's runtime on one device. Every call's code is checked; BackendFailed with its name and CUDA's words."""

    def __init__(self, runtime: Any) -> None:
        self.rt = runtime

    def call(self, name: str, *args: Any) -> Any:
        """What the function gives besides its code: nothing, one value or a tuple."""
        code, *values = getattr(self.rt, name)(*args)
        if code != self.rt.cudaError_t.cudaSuccess:
            raise BackendFailed(f"CUDA failed in {name}: {self.words(code)}")
        return values[0] if len(values) == 1 else tuple(values)

    def words(self, code: Any) -> str:
        """CUDA's words for an error code."""
        _, text = self.rt.cudaGetErrorString(code)
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def open_device(index: int, extra: str = "gpu") -> tuple[Cuda, Device]:
    """CUDA with the device ``index`` made the one of this thread. BackendUnavailable in one sentence where the
    bindings, the driver or the GPU is missing."""
    try:
        from cuda.bindings import runtime
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: bindings that find no CUDA library
        raise BackendUnavailable(
            f"cuda-python is not installed ({error}); install it with: {install_hint(extra)}"
        ) from error
    cuda = Cuda(runtime)
    code, count = runtime.cudaGetDeviceCount()
    if code == runtime.cudaError_t.cudaErrorInsufficientDriver:
        raise BackendUnavailable(_driver_missing(cuda))
    if code != runtime.cudaError_t.cudaSuccess or not count:
        raise BackendUnavailable(
            f"no NVIDIA GPU can be used ({cuda.words(code)}); choose the backend onnx, or see what nvidia-smi says"
        )
    if not 0 <= index < count:
        raise BackendUnavailable(f"there is no GPU {index}: this machine has {count}, counted from 0")
    try:
        cuda.call("cudaSetDevice", index)
        return cuda, _described(cuda, index)
    except BackendFailed as error:
        raise BackendUnavailable(f"GPU {index} cannot be used: {error}") from error


def lacks_driver() -> bool:
    """Whether this machine has no NVIDIA driver at all; asks no package."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return True
    return False


def _described(cuda: Cuda, index: int) -> Device:
    kinds = cuda.rt.cudaDeviceAttr
    major, minor, processors = (
        int(cuda.call("cudaDeviceGetAttribute", kind, index))
        for kind in (
            kinds.cudaDevAttrComputeCapabilityMajor,
            kinds.cudaDevAttrComputeCapabilityMinor,
            kinds.cudaDevAttrMultiProcessorCount,
        )
    )
    name = cuda.call("cudaGetDeviceProperties", index).name
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return Device(index, name.rstrip("\0"), (major, minor), processors, _driver(cuda))


def _driver(cuda: Cuda) -> str:
    """Kernel module's version, where the system tells it, and the CUDA that it brings."""
    kernel = ""
    if _DRIVER_FILE.is_file():
        found = re.search(r"Kernel Module.*?(\d+\.\d+(?:\.\d+)?)", _DRIVER_FILE.read_text("utf-8", "replace"))
        kernel = f"{found.group(1)}, " if found else ""
    return f"{kernel}CUDA {_cuda_version(int(cuda.call('cudaDriverGetVersion')))}"


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver_missing(cuda: Cuda) -> str:
    code, version = cuda.rt.cudaDriverGetVersion()
    _, needed = cuda.rt.cudaRuntimeGetVersion()
    if code != cuda.rt.cudaError_t.cudaSuccess or not version:
        return "there is no NVIDIA driver on this machine; choose the backend onnx, or install the driver of the GPU"
    return (
        f"the NVIDIA driver brings CUDA {_cuda_version(version)} and cuda-python needs {_cuda_version(needed)}; "
        "update the driver"
    )


class Block:
    """Tensors side by side in one block of pinned host memory and in one of the device, at the same offsets: one copy
    moves them all. ``views``: name -> the host's array."""

    def __init__(self, cuda: Cuda, tensors: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
        self._cuda = cuda
        self._offsets: dict[str, int] = {}
        self.nbytes = 0
        for name, (shape, dtype) in tensors.items():
            self._offsets[name] = self.nbytes
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            self.nbytes += -(-size // _ALIGN) * _ALIGN
        self.host = self.device = 0
        try:
            self.host = int(cuda.call("cudaHostAlloc", max(self.nbytes, _ALIGN), cuda.rt.cudaHostAllocDefault))
            self.device = int(cuda.call("cudaMalloc", max(self.nbytes, _ALIGN)))
        except BackendFailed:
            self.free()
            raise
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * self.nbytes).from_address(self.host))
        self.views: dict[str, npt.NDArray[np.generic]] = {
            name: memory[at : at + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize].view(dtype).reshape(shape)
            for (name, (shape, dtype)), at in zip(tensors.items(), self._offsets.values(), strict=True)
        }

    def address(self, name: str) -> int:
        """Of the tensor on the device."""
        return self.device + self._offsets[name]

    def to_device(self, stream: Any) -> None:
        """Copies all tensors to the device, in the order of ``stream``; returns before it is done."""
        kind = self._cuda.rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._cuda.call("cudaMemcpyAsync", self.device, self.host, self.nbytes, kind, stream)

    def to_host(self, stream: Any) -> None:
        """Copies all tensors to the host, in the order of ``stream``; returns before it is done."""
        kind = self._cuda.rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._cuda.call("cudaMemcpyAsync", self.host, self.device, self.nbytes, kind, stream)

    def free(self) -> None:
        """The views are dead from here on."""
        self.views = {}
        host, device, self.host, self.device = self.host, self.device, 0, 0
        try:
            if host:
                self._cuda.call("cudaFreeHost", host)
        finally:
            if device:
                self._cuda.call("cudaFree", device)
