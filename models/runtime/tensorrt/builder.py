"""What the library is asked to build: one engine a bucket, all its shapes static.

One engine a bucket and not one engine with a static profile a bucket: measured with TensorRT-RTX 1.7 on the shipped
model in fp16, seven profiles share little (115 MB against 157 MB, some 10 s each either way), a batch takes as many
kernels (229 at 8), and apart each engine can be refused and told of on its own, and needs no switch of profiles.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from models.runtime.tensorrt.api import Library
from models.signals.errors import BackendUnavailable

log = logging.getLogger("vigil.inference")

Report = Callable[[float], None]


class Settings(msgspec.Struct, frozen=True):
    """All of them are part of the cache's key. aux_streams: side streams of an engine; each costs steps that only
    order it, and the trunk is one chain."""

    workspace_bytes: int = 1 << 30
    optimization_level: int = 3
    aux_streams: int = 0


class Cancelled(BackendUnavailable):
    """The build was ended because nobody waits for it."""


def build_plan(
    library: Library,
    graph: bytes,
    batch: int,
    settings: Settings,
    *,
    capability: tuple[int, int] | None = None,
    timing: bytes = b"",
    report: Report = lambda share: None,
    cancel: threading.Event | None = None,
) -> tuple[bytes, bytes]:
    """The plan of ``graph`` (ONNX) for batches of ``batch``, and the timing cache with what was measured for it.

    capability: of the GPU, for TensorRT-RTX; mainline builds for the current one. report: share done, 0 to 1, from
    any thread. Raises BackendUnavailable with the library's words, Cancelled when ``cancel`` was set.
    """
    trt = library.trt
    builder = library.make(trt.Builder, "makes no builder", library.logger)
    network = library.need(builder.create_network(library.strongly_typed()), "makes no network")
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(graph):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(min(parser.num_errors, 3)))
        raise BackendUnavailable(library.sentence("cannot read the graph") + (f" ({reasons})" if reasons else ""))
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        tensor.shape = (batch, *list(tensor.shape)[1:])
    config = library.need(builder.create_builder_config(), "makes no configuration")
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_bytes)
    config.builder_optimization_level = settings.optimization_level
    config.max_aux_streams = settings.aux_streams
    config.clear_flag(trt.BuilderFlag.TF32)  # what stands in fp32 is meant so: the gate would find it out
    cache = None
    if library.is_rtx:  # it times nothing: kernels are chosen when they are compiled on the GPU
        config.num_compute_capabilities = 1
        assert capability is not None
        library.need(config.set_compute_capability(library.capability(*capability), 0), "refuses the GPU")
    else:
        cache = _timing_cache(library, config, timing)
    monitor = _monitor(trt, report, cancel or threading.Event())
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor.cancelled:
        raise Cancelled("the build of the engine was cancelled")
    plan = library.need(plan, f"could not build the engine for batches of {batch}")
    report(1.0)
    return bytes(memoryview(plan)), b"" if cache is None else bytes(memoryview(cache.serialize()))


def _timing_cache(library: Library, config: Any, timing: bytes) -> Any:
    """The timing cache of this build. One that is damaged or of another version begins empty."""
    for content in (timing, b"") if timing else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
        log.info("%s", library.sentence("takes no timing cache"))
    return None


def _monitor(trt: Any, report: Report, cancel: threading.Event) -> Any:
    """Progress of one build. Called from any of the builder's threads; the caller keeps it as long as the build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._lock = threading.Lock()
            self._phases: dict[str, list[Any]] = {}  # name -> [parent, steps, done]
            self._share = 0.0
            self.cancelled = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._phases[phase_name] = [parent_phase, max(1, num_steps), 0]

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._phases.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                if phase_name in self._phases:
                    self._phases[phase_name][2] = step + 1
                share = self._share = max(self._share, min(1.0, self._done(phase_name, 0)))
                self.cancelled = self.cancelled or cancel.is_set()
                going_on = not self.cancelled
            report(share)
            return going_on

        def _done(self, name: str, depth: int) -> float:
            """Share of the root phase that is done, where ``name`` is the innermost one."""
            share = 0.0
            while name in self._phases and depth < 32:
                parent, steps, done = self._phases[name]
                share, name, depth = min(1.0, (done + share) / steps), parent, depth + 1
            return share

    return Monitor()
