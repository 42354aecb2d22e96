"""What this machine is: the GPU and what else runs on it, driver, CUDA, libraries, and the profilers that are there."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from benchmarks.gpu.book import Book
from benchmarks.gpu.part import PartRequest
from models.runtime.machine import machine
from models.runtime.tensorrt.api import FLAVOURS, load_library
from models.runtime.tensorrt.device import open_device
from models.signals.errors import BackendUnavailable

PACKAGES = (
    "tensorrt", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings", "tensorrt-rtx-cu13-bindings",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13", "cuda-python", "cuda-bindings", "torch", "triton", "onnx", "onnxruntime",
    "numpy", "msgspec", "faust-streaming",
)  # fmt: skip
PROFILERS = ("nsys", "ncu")
_ASKED = (
    "name", "driver_version", "compute_cap", "memory.total", "memory.used", "utilization.gpu", "power.limit",
    "clocks.max.sm", "clocks.sm", "temperature.gpu", "pcie.link.gen.current", "pcie.link.width.current",
)  # fmt: skip


def find_gpu() -> str:
    """The GPU's name. BackendUnavailable in one sentence where no library finds one."""
    try:
        return open_device(0)[1].name
    except BackendUnavailable as error:
        if find_spec("torch") is None:
            raise BackendUnavailable(f"no NVIDIA GPU was found, so nothing is measured: {error}") from error
        import torch

        if not torch.cuda.is_available():
            raise BackendUnavailable(f"no NVIDIA GPU was found, so nothing is measured: {error}") from error
        return str(torch.cuda.get_device_name(0))


def run(book: Book, request: PartRequest) -> None:
    """See the module."""
    book.row("machine", what="machine", found=machine())
    for what, found in _from_driver().items():
        book.row("machine", what=what, found=found)
    if not shutil.which("nvidia-smi"):
        book.say("There is no nvidia-smi: clocks, power and what else runs on the GPU are not told.")
    try:
        device = open_device(0)[1]
        major, minor = device.capability
        book.row("machine", what="CUDA device", found=f"{device.name}, compute capability {major}.{minor}, "
                 f"{device.processors} multiprocessors, driver {device.driver}")  # fmt: skip
    except BackendUnavailable as error:
        book.say(f"CUDA's runtime: {error}.")
    for package in PACKAGES:
        try:
            book.row("packages", package=package, version=version(package))
        except PackageNotFoundError:
            continue
    for flavour in FLAVOURS.values():
        try:
            book.row("packages", package=f"{flavour.title}, loaded", version=load_library(flavour).version)
        except BackendUnavailable as error:
            book.say(f"{flavour.title}: {error}.")
    _torch(book)
    for name in PROFILERS:
        if shutil.which(name):
            book.row("packages", package=name, version=_first_version(name))
        else:
            book.say(f"The profiler {name} is not there.")


def _from_driver() -> dict[str, str]:
    """What nvidia-smi says of the first GPU; nothing of what it does not know."""
    if not shutil.which("nvidia-smi"):
        return {}
    asked = ["nvidia-smi", "-i", "0", "--format=csv,noheader", f"--query-gpu={','.join(_ASKED)}"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout.strip() else []
    return {name: value for name, value in zip(_ASKED, values, strict=False) if not value.startswith("[")}


def _torch(book: Book) -> None:
    if find_spec("torch") is None:
        book.say("torch is not installed: nothing is trained.")
        return
    import torch

    if not torch.cuda.is_available():
        book.say(f"torch {torch.__version__} finds no GPU: it is built for CUDA {torch.version.cuda or 'none'}.")
        return
    free, total = torch.cuda.mem_get_info()
    book.row("machine", what="torch", found=f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN "
             f"{torch.backends.cudnn.version()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, bf16 "
             f"{'yes' if torch.cuda.is_bf16_supported() else 'no'}")  # fmt: skip


def _first_version(name: str) -> str:
    try:
        done = subprocess.run([name, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "there, but it does not run"
    return next((line.strip() for line in done.stdout.splitlines() if "ersion" in line), "there")
