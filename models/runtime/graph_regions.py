"""Which nodes of an exported graph may compute in half precision: decided by structure, whatever the model's size.

    trunk   what leads to an attention, a LayerNorm, an ELU or a convolution; behind the last of them come the heads,
            which turn the fused window into probabilities and mmHg, and the assembly of waves: these stay fp32
    half    in the trunk: products (MatMul, Gemm, Conv), the softmax of an attention, and what only adds, activates or
            moves their results
    fp32    the rest: scaling of inputs, masks, LayerNorm, means, everything computed from ``context``

A graph is read as ONNX writes it: nodes in topological order, each value with one producer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

FLOAT = 1  # onnx.TensorProto.FLOAT
_BOOL = 9

MOVES = frozenset(
    {"Reshape", "Transpose", "Slice", "Split", "Concat", "Gather", "Squeeze", "Unsqueeze", "Expand", "Identity"}
)
"""Operators that move values without computing: they are half where that saves a cast."""
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv"})
_FOLLOWERS = frozenset({"Add", "Mul", "Gelu", "Elu", "Relu", "MaxPool", "ReduceMax"})
_AT_MOST_ONE = frozenset({"Softmax", "Sigmoid", "Tanh"})
_SELECTIONS = frozenset({"Where", "ReduceMean", "ReduceMax", "ReduceMin", "MaxPool", "AveragePool"}) | MOVES


class GraphView:
    """Nodes, producers, consumers, element types, shapes and constants of one graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        from onnx import numpy_helper

        self.graph = graph
        self.nodes: list[onnx.NodeProto] = list(graph.node)
        self.constants: dict[str, onnx.TensorProto] = {t.name: t for t in graph.initializer}
        self.outputs = {o.name for o in graph.output}
        self.types = {t.name: t.data_type for t in graph.initializer}
        self.shapes: dict[str, tuple[int | str, ...]] = {t.name: tuple(t.dims) for t in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            self.types[value.name] = value.type.tensor_type.elem_type
            if value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                self.shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in dims)
        self.ranks = {name: len(shape) for name, shape in self.shapes.items()}
        self.producer = {name: i for i, node in enumerate(self.nodes) for name in node.output if name}
        self.consumers: dict[str, list[int]] = defaultdict(list)
        for i, node in enumerate(self.nodes):
            for name in node.input:
                if name:
                    self.consumers[name].append(i)
        self._array = numpy_helper.to_array

    def array(self, name: str) -> np.ndarray:
        """Value of a constant."""
        return np.asarray(self._array(self.constants[name]))

    def size(self, name: str) -> int:
        """Elements of a constant; 0 of anything else."""
        return math.prod(self.constants[name].dims) if name in self.constants else 0

    def floats(self, names: Iterable[str]) -> Iterator[str]:
        """Those that hold fp32."""
        return (name for name in names if name and self.types.get(name) == FLOAT)

    def behind(self, node: onnx.NodeProto) -> list[int]:
        """Nodes that read what ``node`` gives."""
        return [i for name in node.output for i in self.consumers[name]]


def half_nodes(view: GraphView) -> set[int]:
    """Indices of the nodes that compute in half precision."""
    inside, free = trunk(view), _free_values(view)
    half: set[int] = set()

    def is_half(name: str) -> bool:
        return view.producer.get(name, -1) in half

    for i in sorted(inside):
        node = view.nodes[i]
        given = [name for name in view.floats(node.input) if name not in free]
        if not list(view.floats(node.output)):
            continue
        if node.op_type in _PRODUCTS:
            if node.op_type != "Conv" or is_layer(view, node):
                half.add(i)
        elif node.op_type in _FOLLOWERS or (node.op_type == "Softmax" and weighs(view, node)):
            if any(map(is_half, given)):
                half.add(i)
        elif node.op_type in MOVES | {"Where"} and given and all(map(is_half, given)):
            half.add(i)
    for i in reversed(range(len(view.nodes))):  # casts go before the moves, so that less is moved
        node = view.nodes[i]
        readers = view.behind(node)
        if i in half or not readers or view.outputs & set(node.output) or not list(view.floats(node.output)):
            continue
        given = [name for name in view.floats(node.input) if name not in free]
        settled = node.op_type == "Where" and not given  # such as an attention's bias
        if (node.op_type in MOVES or settled) and half.issuperset(readers):
            half.add(i)
    return half


def bounded_values(view: GraphView, largest: float) -> set[str]:
    """fp32 values that cannot be over ``largest`` by their making, so that a cast to half is safe."""
    bounds = {n: _largest(view.array(n)) for n, tensor in view.constants.items() if tensor.data_type == FLOAT}
    for node in view.nodes:
        given = [bounds.get(name, math.inf) for name in view.floats(node.input)]
        bound = math.inf
        if node.op_type == "LayerNormalization" and len(given) == 3:
            bound = math.sqrt(view.size(node.input[1])) * given[1] + given[2]
        elif node.op_type in _AT_MOST_ONE:
            bound = 1.0
        elif node.op_type == "Clip" and len(given) == 3:
            bound = max(given[1:])
        elif node.op_type == "Cast" and view.types.get(node.input[0]) == _BOOL:
            bound = 1.0
        elif node.op_type in _SELECTIONS and given:
            bound = max(given)
        elif node.op_type == "Add":
            bound = sum(given)
        elif node.op_type == "Mul" and math.inf not in given:
            bound = math.prod(given)
        if bound < math.inf:
            bounds |= {name: bound for name in view.floats(node.output)}
    return {name for name, bound in bounds.items() if bound <= largest}


def trunk(view: GraphView) -> set[int]:
    """Indices of the nodes that lead to an attention, a LayerNorm, an ELU or a convolution, and of those."""
    inside: set[int] = set()
    for i in reversed(range(len(view.nodes))):
        if _ends_trunk(view, view.nodes[i]) or inside.intersection(view.behind(view.nodes[i])):
            inside.add(i)
    return inside


def _ends_trunk(view: GraphView, node: onnx.NodeProto) -> bool:
    if node.op_type == "Conv":
        return is_layer(view, node)
    if node.op_type == "Softmax":
        return weighs(view, node)
    return node.op_type in {"LayerNormalization", "Elu"}


def is_layer(view: GraphView, node: onnx.NodeProto) -> bool:
    """A convolution with channels, not a fixed filter of one signal (whose result is compared with thresholds)."""
    weight = view.constants.get(node.input[1])
    return weight is not None and max(weight.dims[:2]) > 1


def weighs(view: GraphView, softmax: onnx.NodeProto) -> bool:
    """The softmax of an attention: its weights go into a product, its scores come from one."""
    return any(view.nodes[i].op_type == "MatMul" for i in view.behind(softmax))


def _free_values(view: GraphView) -> set[str]:
    """Constants, and what only moves constants: as good in either type."""
    free = set(view.constants)
    for node in view.nodes:
        if node.op_type in MOVES and all(name in free for name in view.floats(node.input)):
            free.update(view.floats(node.output))
    return free


def _largest(array: np.ndarray) -> float:
    """Largest magnitude; inf if any is not finite."""
    if not array.size:
        return 0.0
    return float(np.abs(array).max()) if np.isfinite(array).all() else float("inf")
