"""What no program can beat: the graph's arithmetic and traffic against what this machine's cores and memory give."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LAUNCH_US = (2.0, 2.8)  # of one kernel in a replayed CUDA graph, measured elsewhere


@dataclass(frozen=True, slots=True)
class Work:
    """Of one window: floating-point operations of products and convolutions, and bytes of inputs and outputs; bytes of
    weights, which a batch reads once; nodes of the graph."""

    flops: float
    io_bytes: float
    weight_bytes: float
    nodes: int


@dataclass(frozen=True, slots=True)
class Peak:
    """GFLOP/s of an fp32 product of matrices and GB/s of a copy, in numpy."""

    gflops: float
    gbytes: float

    def better(self, other: Peak) -> Peak:
        """The best of both: what else runs on the machine only makes it slower."""
        return Peak(max(self.gflops, other.gflops), max(self.gbytes, other.gbytes))


def work_of(path: Path) -> Work:
    """Read off the graph by shape inference. ImportError without the package onnx."""
    import onnx
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(onnx.load(str(path))).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        shapes[value.name] = [_extent(dim) for dim in value.type.tensor_type.shape.dim]
    flops = 0.0
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm", "Conv"):
            continue
        made, weight = math.prod(shapes.get(node.output[0], [0])), shapes.get(node.input[1], [])
        if len(weight) < 2:
            continue  # of unknown shape: the floor is only lower without it
        if node.op_type == "Conv":
            depth = math.prod(weight[1:])
        else:
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            depth = weight[-1] if turned else weight[-2]
        flops += 2.0 * made * depth
    ends = [math.prod(shapes[v.name]) for v in (*graph.input, *graph.output)]
    weights = sum(len(t.raw_data) for t in graph.initializer)
    return Work(flops, 4.0 * sum(ends), float(weights), len(graph.node))


def _extent(dim: Any) -> int:
    """A dimension for a batch of one: ``10*batch`` is 10."""
    factor = str(dim.dim_param).partition("*")[0]
    return int(dim.dim_value) or (int(factor) if factor.isdigit() else 1)


def measure_peak() -> Peak:
    """About half a second; the best of many short tries."""
    rng = np.random.default_rng(0)
    n, megabytes = 512, 16
    a, b = (rng.standard_normal((n, n), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    product = _best(lambda: np.matmul(a, b, out=out))
    source = np.ones(megabytes << 18, np.float32)
    target = np.empty_like(source)
    copy = _best(lambda: np.copyto(target, source))
    return Peak(2.0 * n**3 / product / 1e9, 2.0 * source.nbytes / copy / 1e9)


def floor_ms(work: Work, peak: Peak, batch: int) -> float:
    """Arithmetic or traffic of a batch on the CPU, whichever takes longer."""
    arithmetic = batch * work.flops / (peak.gflops * 1e9)
    traffic = (work.weight_bytes + batch * work.io_bytes) / (peak.gbytes * 1e9)
    return 1e3 * max(arithmetic, traffic)


def launches_ms(kernels: int) -> tuple[float, float]:
    """A chain of so many kernels on a GPU, which for a small batch is what takes the time."""
    return kernels * LAUNCH_US[0] / 1e3, kernels * LAUNCH_US[1] / 1e3


def _best(task: Callable[[], object], tries: int = 40) -> float:
    times = []
    for _ in range(tries):
        begin = time.perf_counter()
        task()
        times.append(time.perf_counter() - begin)
    return min(times)
