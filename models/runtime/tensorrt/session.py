"""Engines at work: a context, pinned buffers and one recorded launch (CUDA graph) a bucket, on one stream.

A run writes into buffers that stay where they are, launches, waits, and copies the wanted rows out; what it allocates
are those copies alone. The recorded launch holds both copies between host and device. Where a launch cannot be
recorded, the same steps are enqueued one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runtime.backend import Arrays
from models.runtime.buckets import joined, portions, rows_of, write_padding
from models.runtime.tensorrt.api import Library
from models.runtime.tensorrt.device import Block, Cuda
from models.signals.errors import BackendFailed, BackendUnavailable

log = logging.getLogger("vigil.inference")

Shapes = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


class PlanRefused(BackendUnavailable):
    """The library does not open a plan that another process opened, or that fits nothing it was built for."""


class Session:
    """All buckets of one graph. plans: bucket -> plan. compiled: bucket -> kernels that TensorRT-RTX compiled before.

    Raises PlanRefused, or BackendUnavailable where memory or contexts are not to be had. Used by the thread that made
    it.
    """

    def __init__(
        self, library: Library, cuda: Cuda, plans: Mapping[int, bytes], compiled: Mapping[int, bytes] | None = None
    ) -> None:
        self._cuda = cuda
        self._slots: dict[int, _Slot] = {}
        self._stream: Any = None
        try:
            self._runtime = library.make(library.trt.Runtime, "makes no runtime", library.logger)
            # Not the default stream, on which every other user of the device would wait.
            self._stream = cuda.call("cudaStreamCreateWithFlags", cuda.rt.cudaStreamNonBlocking)
            for bucket in sorted(plans):
                kernels = (compiled or {}).get(bucket, b"")
                slot = _Slot(library, cuda, self._runtime, self._stream, bucket, plans[bucket], kernels)
                self._slots[bucket] = slot
            first = next(iter(self._slots.values()))
            self.inputs, self.outputs = first.row_shapes(first.inputs), first.row_shapes(first.outputs)
        except BackendFailed as error:
            self.close()
            raise BackendUnavailable(f"{library.title} engines cannot be set up: {error}") from error
        except BackendUnavailable:
            self.close()
            raise

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes with an engine."""
        return tuple(self._slots)

    @property
    def replays(self) -> bool:
        """Whether every launch is recorded."""
        return all(slot.recorded for slot in self._slots.values())

    @property
    def kernels(self) -> dict[int, int]:
        """Of each recorded launch, by bucket."""
        counts = {bucket: slot.kernel_count for bucket, slot in self._slots.items() if slot.recorded}
        return {bucket: count for bucket, count in counts.items() if count is not None}

    def record(self) -> None:
        """Run each bucket once and record its launch. Raises BackendFailed if it does not even run."""
        for slot in self._slots.values():
            slot.record()

    def compiled(self) -> dict[int, bytes]:
        """What TensorRT-RTX has compiled, by bucket; empty of mainline."""
        found = {bucket: slot.compiled() for bucket, slot in self._slots.items()}
        return {bucket: kernels for bucket, kernels in found.items() if kernels}

    def layer_times(self, bucket: int, runs: int) -> dict[str, float]:
        """Milliseconds of each layer of the bucket's engine, the mean of ``runs`` of padding: by the library's own
        profiler, which times layers one by one, so that their sum is more than a run takes."""
        return self._slots[bucket].layer_times(runs)

    def run(self, inputs: Arrays, *, plain: bool = False) -> Arrays:
        """Outputs of the rows of ``inputs`` (all of them there, of the right shapes); ``plain``: without replay."""
        if not self._slots:
            raise BackendFailed("the engine was closed")
        parts = [
            self._slots[bucket].run(rows_of(inputs, rows), rows.stop - rows.start, plain)
            for rows, bucket in portions(len(inputs["presence"]), self.buckets)
        ]
        return joined(parts)

    def close(self) -> None:
        """Frees what is held on the device; a device that has failed gives nothing back and that is logged."""
        for slot in self._slots.values():
            slot.close()
        self._slots.clear()
        self._runtime = None
        if self._stream is not None:
            _freed(self._cuda, "cudaStreamDestroy", self._stream)
            self._stream = None


class _Slot:
    """One bucket: its engine, context, buffers and recorded launch."""

    def __init__(
        self, library: Library, cuda: Cuda, runtime: Any, stream: Any, bucket: int, plan: bytes, kernels: bytes
    ) -> None:
        self._library, self._cuda, self._stream, self.bucket = library, cuda, stream, bucket
        self._launch: Any = None  # of the recorded graph
        self.kernel_count: int | None = None  # in it
        self._in: Block | None = None
        self._out: Block | None = None
        self._config: Any = None  # of TensorRT-RTX's contexts
        self._engine = runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise PlanRefused(library.sentence(f"does not open the engine for batches of {bucket}"))
        self._kernels = self._make_kernels(kernels)
        self._context = self._make_context()
        self.inputs, self.outputs = self._tensors()
        try:
            self._in, self._out = Block(cuda, self.inputs), Block(cuda, self.outputs)
            self._bind(self._context)
        except (BackendFailed, BackendUnavailable):
            self.close()
            raise

    def row_shapes(self, tensors: Shapes) -> Shapes:
        return {name: (shape[1:], dtype) for name, (shape, dtype) in tensors.items()}

    @property
    def recorded(self) -> bool:
        return self._launch is not None

    def run(self, inputs: Arrays, rows: int, plain: bool) -> Arrays:
        assert self._in is not None and self._out is not None
        for name, view in self._in.views.items():
            view[:rows] = inputs[name]
        if rows < self.bucket:
            write_padding(self._in.views, rows)
        if self._launch is None or plain:
            self._enqueue()
        else:
            self._cuda.call("cudaGraphLaunch", self._launch, self._stream)
        self._cuda.call("cudaStreamSynchronize", self._stream)
        return {name: view[:rows].copy() for name, view in self._out.views.items()}

    def record(self) -> None:
        assert self._in is not None
        write_padding(self._in.views, 0)
        self._enqueue()  # what is allocated or compiled at the first launch may not be while one is recorded
        self._cuda.call("cudaStreamSynchronize", self._stream)
        try:
            launch = self._captured()
            self._cuda.call("cudaGraphLaunch", launch, self._stream)
            self._cuda.call("cudaStreamSynchronize", self._stream)
        except BackendFailed as error:
            log.warning(
                "Batches of %d run without a recorded launch, some 0.1 ms slower each: %s", self.bucket, error
            )  # fmt: skip
        else:
            self._launch = launch

    def layer_times(self, runs: int) -> dict[str, float]:
        assert self._in is not None
        context = self._make_context()  # one of its own: a profiler stays where it was set
        self._bind(context)
        self._enqueue(context)
        self._cuda.call("cudaStreamSynchronize", self._stream)
        context.profiler = profiler = _profiler(self._library.trt)
        for _ in range(runs):
            self._enqueue(context)
            self._cuda.call("cudaStreamSynchronize", self._stream)
        return {name: ms / runs for name, ms in profiler.times_ms.items()}

    def compiled(self) -> bytes:
        if self._kernels is None:
            return b""
        content = self._kernels.serialize()
        return b"" if content is None else bytes(memoryview(content))

    def close(self) -> None:
        if self._launch is not None:
            _freed(self._cuda, "cudaGraphExecDestroy", self._launch)
        self._launch = None
        for block in (self._in, self._out):
            if block is not None:
                try:
                    block.free()
                except BackendFailed as error:
                    log.info("Memory was not given back: %s", error)
        self._in = self._out = None
        self._context = self._engine = self._kernels = self._config = None

    def _make_kernels(self, kernels: bytes) -> Any:
        """TensorRT-RTX's cache of what it compiles on the GPU, with what it compiled before; None of mainline."""
        if not self._library.is_rtx:
            return None
        self._config = self._library.need(self._engine.create_runtime_config(), "makes no runtime configuration")
        # Launches are recorded here, with the copies inside.
        self._config.cuda_graph_strategy = self._library.trt.CudaGraphStrategy.DISABLED
        cache = self._config.create_runtime_cache()
        if cache is not None:
            if kernels and not cache.deserialize(kernels):
                log.info("%s", self._library.sentence("takes no kernels compiled before and compiles them again"))
            self._library.need(self._config.set_runtime_cache(cache), "takes no cache of compiled kernels")
        return cache

    def _make_context(self) -> Any:
        config = (self._config,) if self._library.is_rtx else ()
        return self._library.need(self._engine.create_execution_context(*config), "makes no execution context")

    def _tensors(self) -> tuple[Shapes, Shapes]:
        """Inputs and outputs, with shapes of the whole bucket. PlanRefused for what no engine of ours has."""
        engine, modes = self._engine, self._library.trt.TensorIOMode
        inputs: Shapes = {}
        outputs: Shapes = {}
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            shape = tuple(int(n) for n in engine.get_tensor_shape(name))
            if not shape or shape[0] != self.bucket or min(shape) < 1:
                raise PlanRefused(f"the engine for batches of {self.bucket} has {name} of shape {list(shape)}")
            side = inputs if engine.get_tensor_mode(name) == modes.INPUT else outputs
            side[name] = shape, self._numpy_type(name)
        return inputs, outputs

    def _numpy_type(self, name: str) -> np.dtype[Any]:
        kinds = self._library.trt.DataType
        known: list[tuple[Any, npt.DTypeLike]] = [
            (kinds.FLOAT, np.float32), (kinds.BOOL, np.bool_), (kinds.INT64, np.int64), (kinds.INT32, np.int32),
            (kinds.HALF, np.float16),
        ]  # fmt: skip
        found = self._engine.get_tensor_dtype(name)
        for kind, dtype in known:
            if found == kind:
                return np.dtype(dtype)
        raise PlanRefused(f"the engine for batches of {self.bucket} has {name} in {found}, which numpy has not")

    def _bind(self, context: Any) -> None:
        assert self._in is not None and self._out is not None
        for block in (self._in, self._out):
            for name in block.views:
                bound = context.set_tensor_address(name, block.address(name))
                self._library.need(bound, f"takes no address for {name}")
        missing = context.infer_shapes()
        if missing:
            raise PlanRefused(self._library.sentence(f"misses shapes or addresses of {', '.join(missing)}"))

    def _enqueue(self, context: Any = None) -> None:
        assert self._in is not None and self._out is not None
        self._in.to_device(self._stream)
        if not (context or self._context).execute_async_v3(self._stream_handle()):
            raise BackendFailed(self._library.sentence(f"could not launch a batch of {self.bucket}"))
        self._out.to_host(self._stream)

    def _stream_handle(self) -> int:
        return int(self._stream)

    def _captured(self) -> Any:
        cuda, stream = self._cuda, self._stream
        # Thread-local: what other threads do with CUDA meanwhile is no fault of this record.
        cuda.call("cudaStreamBeginCapture", stream, cuda.rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            self._enqueue()
        except BackendFailed:
            # The stream must leave the capture, whatever it holds; only then is it of use for plain launches.
            code, graph = cuda.rt.cudaStreamEndCapture(stream)
            if code == cuda.rt.cudaError_t.cudaSuccess and graph is not None:
                _freed(cuda, "cudaGraphDestroy", graph)
            raise
        graph = cuda.call("cudaStreamEndCapture", stream)
        try:
            self.kernel_count = _kernels_of(cuda, graph)
            return cuda.call("cudaGraphInstantiate", graph, 0)
        finally:
            _freed(cuda, "cudaGraphDestroy", graph)


def _profiler(trt: Any) -> Any:
    """Sums what the library tells of each layer."""

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times_ms: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times_ms[layer_name] = self.times_ms.get(layer_name, 0.0) + ms

    return Profiler()


def _kernels_of(cuda: Cuda, graph: Any) -> int | None:
    """Kernels in a recorded graph, what it copies and clears aside. The library's own list of layers would not do: a
    region that it compiled as a whole is one layer of any number of kernels."""
    kinds = cuda.rt.cudaGraphNodeType
    try:
        _, count = cuda.call("cudaGraphGetNodes", graph, 0)
        nodes, _ = cuda.call("cudaGraphGetNodes", graph, count)
        kernels: int = sum(cuda.call("cudaGraphNodeGetType", node) == kinds.cudaGraphNodeTypeKernel for node in nodes)
        return kernels
    except (BackendFailed, ValueError) as error:  # ValueError: a kind of a newer CUDA than the bindings know
        log.info("The kernels of a recorded launch could not be counted: %s", error)
        return None


def _freed(cuda: Cuda, name: str, handle: Any) -> None:
    try:
        cuda.call(name, handle)
    except BackendFailed as error:
        log.info("Something was not given back: %s", error)
