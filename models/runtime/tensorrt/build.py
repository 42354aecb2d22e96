"""The process that builds engines, and first opens them: what crashes here crashes alone.

``python -m models.runtime.tensorrt.build``: one request (JSON) on a line of standard input, then lines (JSON) of what
happens on standard output. When standard input ends, whoever asked is gone or has cancelled, and so does this process.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import IO

import msgspec

from models.runtime.tensorrt.api import FLAVOURS, load_library
from models.runtime.tensorrt.builder import Report, Settings, build_plan
from models.runtime.tensorrt.device import open_device
from models.signals.errors import BackendFailed, BackendUnavailable

GRACE_S = 2.0  # for the builder to stop by itself
CANCELLED = 3  # exit code


class Request(msgspec.Struct, frozen=True):
    """folder: with ``model.onnx`` and, if there is one, ``timing.bin``, where the plans go; open: the plans that are
    there are opened and nothing is built. capability: of the GPU; without it CUDA is not touched (plans of
    TensorRT-RTX need no GPU)."""

    flavour: str
    folder: str
    buckets: tuple[int, ...]
    open: bool = False
    device: int | None = 0
    capability: tuple[int, int] | None = None
    settings: Settings = Settings()


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """share: done, of all. error: the sentence that ends it; unopened: it is the plan's fault. done: all is well."""

    share: float = 0.0
    error: str = ""
    unopened: bool = False
    done: bool = False


class Unopened(BackendUnavailable):
    """The library is there, and so is the GPU, but it does not open the plan."""


def plan_name(bucket: int) -> str:
    """File of one bucket's engine."""
    return f"batch_{bucket}.plan"


def main() -> int:
    """The building process: a request on standard input, events on standard output. Returns the exit code."""
    out = _own_stdout()
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    cancel = threading.Event()
    threading.Thread(target=_watch, args=(cancel,), daemon=True).start()
    lock, last = threading.Lock(), -1.0

    def tell(event: Event) -> None:
        with lock:
            out.write(msgspec.json.encode(event) + b"\n")
            out.flush()

    def progress(share: float) -> None:
        nonlocal last
        if share >= last + 0.005 or share >= 1.0:
            last = share
            tell(Event(share=share))

    try:
        if request.device is not None:
            open_device(request.device, FLAVOURS[request.flavour].extra)
        (_open if request.open else _build)(request, progress, cancel)
    except (BackendUnavailable, BackendFailed) as error:
        tell(Event(error=str(error), unopened=isinstance(error, Unopened)))
        return 1
    except OSError as error:
        tell(Event(error=f"the engine could not be written to the temporary folder ({error.strerror or error})"))
        return 1
    tell(Event(done=True))
    return 0


def _build(request: Request, progress: Report, cancel: threading.Event) -> None:
    library, folder = load_library(FLAVOURS[request.flavour]), Path(request.folder)
    graph = (folder / "model.onnx").read_bytes()
    kept = folder / "timing.bin"
    timing = kept.read_bytes() if kept.is_file() else b""
    count = len(request.buckets)
    for at, bucket in enumerate(request.buckets):
        plan, timing = build_plan(
            library, graph, bucket, request.settings, capability=request.capability, timing=timing,
            report=lambda share, at=at: progress((at + share) / count), cancel=cancel,  # type: ignore[misc]
        )  # fmt: skip
        (folder / plan_name(bucket)).write_bytes(plan)
        if timing:
            kept.write_bytes(timing)


def _open(request: Request, progress: Report, cancel: threading.Event) -> None:
    library, folder = load_library(FLAVOURS[request.flavour]), Path(request.folder)
    runtime = library.make(library.trt.Runtime, "makes no runtime", library.logger)
    for at, bucket in enumerate(request.buckets):
        plan = (folder / plan_name(bucket)).read_bytes()
        if runtime.deserialize_cuda_engine(plan) is None:
            raise Unopened(library.sentence(f"does not open the engine for batches of {bucket}"))
        progress((at + 1) / len(request.buckets))


def _watch(cancel: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not buffered: its lock would be held at the interpreter's end
        pass
    cancel.set()
    threading.Event().wait(GRACE_S)
    os._exit(CANCELLED)  # in whatever call the builder is


def _own_stdout() -> IO[bytes]:
    """Standard output for this protocol alone: what a library prints goes to standard error."""
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(own, "wb")


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # libraries' own ends are no part of this
