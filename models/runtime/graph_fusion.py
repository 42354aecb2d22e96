"""What TensorRT needs to see before it fuses: changes of form that leave a graph's mathematics as they are.

    convolutions   along [B, C, T] as [B, C, 1, T]: then ELU, residual and FiLM are taken into the convolution's kernel
    attention      query, key and value from one product and one transposition, the query's scale in its weights

Measured with TensorRT-RTX 1.7 on the demo model. Where a pattern is not found nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.runtime.graph_regions import GraphView, is_layer, weighs

if TYPE_CHECKING:
    import onnx

_ACTIVATIONS = frozenset({"Elu", "Gelu", "Relu"})
_SUMS = frozenset({"Add", "Mul"})


def fold_weights(graph: onnx.GraphProto) -> None:
    """Transposes of constants become constants, in place: the exporter leaves them where a weight is used twice."""
    from onnx import numpy_helper

    view = GraphView(graph)
    kept: list[onnx.NodeProto] = []
    for node in view.nodes:
        perm = [list(a.ints) for a in node.attribute if a.name == "perm"]
        if node.op_type == "Transpose" and node.input[0] in view.constants and perm:
            turned = np.ascontiguousarray(view.array(node.input[0]).transpose(perm[0]))
            graph.initializer.append(numpy_helper.from_array(turned, node.output[0]))
        else:
            kept.append(node)
    replace_nodes(graph, kept)


def lift_convolutions(graph: onnx.GraphProto) -> None:
    """Rewrites one-dimensional convolutions, and what activates and adds their results, as two-dimensional of height
    1, in place. The types of the new values are not entered."""
    view = GraphView(graph)
    lifted = lifted_nodes(view)
    writer = _Lifter(view)
    for i, node in enumerate(view.nodes):
        if i in lifted:
            writer.lift(node)
        else:
            writer.keep(node)
    for name in view.outputs & set(writer.made):
        writer.flat(name)
    replace_nodes(graph, writer.nodes)


def merge_projections(graph: onnx.GraphProto) -> None:
    """Gives each attention one product and one transposition for what comes from one input, in place."""
    from onnx import helper, numpy_helper

    view = GraphView(graph)
    instead: dict[int, list[onnx.NodeProto]] = {}
    for attention in filter(None, (_attention(view, node) for node in view.nodes)):
        a = attention
        scale = view.array(a.scale).astype(np.float32)
        query_weight, query_bias = (view.array(n) * scale for n in (a.query_weight, a.query_bias))
        both_weight = view.array(a.both_weight)
        shape = view.array(a.shape).copy()
        start, names = f"{a.scores}__projected", [a.query, f"{a.scores}__key", a.value]
        if a.source == a.memory:
            weight = np.concatenate([query_weight, both_weight], axis=1)
            bias = np.concatenate([query_bias, np.zeros(both_weight.shape[1], np.float32)])
        else:  # a decoder's queries attend to other tokens too
            weight, bias = both_weight, None
            names = names[1:]
            constants = {f"{start}_query_weight": query_weight, f"{start}_query_bias": query_bias}
            instead[a.query_nodes[0]] = [
                helper.make_node("MatMul", [a.source, f"{start}_query_weight"], [f"{start}_query"]),
                helper.make_node("Add", [f"{start}_query", f"{start}_query_bias"], [a.scaled]),
            ]
            graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items())
        shape[2] *= len(names)
        graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), f"{start}_weight"))
        graph.initializer.append(numpy_helper.from_array(shape, f"{start}_shape"))
        made = [helper.make_node("MatMul", [a.memory, f"{start}_weight"], [start])]
        flat = start
        if bias is not None:
            graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), f"{start}_bias"))
            flat = f"{start}_sum"
            made.append(helper.make_node("Add", [start, f"{start}_bias"], [flat]))
        made += [
            helper.make_node("Reshape", [flat, f"{start}_shape"], [f"{start}_heads"], allowzero=a.allowzero),
            helper.make_node("Transpose", [f"{start}_heads"], [f"{start}_turned"], perm=[0, 2, 1, 3]),
            helper.make_node("Split", [f"{start}_turned"], names, axis=1, num_outputs=len(names)),
            helper.make_node("Transpose", [f"{a.scores}__key"], [a.key], perm=[0, 1, 3, 2]),
        ]
        for i in (*a.query_nodes, *a.both_nodes):
            instead.setdefault(i, [])
        if a.source != a.memory:
            for i in a.query_nodes[3:]:  # reshape and transposition of the query stay
                instead[i] = [view.nodes[i]]
        first = min(a.both_nodes) if a.source != a.memory else min(*a.query_nodes, *a.both_nodes)
        instead[first] = made + instead[first]
    nodes = [new for i, node in enumerate(view.nodes) for new in instead.get(i, [node])]
    replace_nodes(graph, nodes)


@dataclass(frozen=True, slots=True)
class _Attention:
    """Names of one attention's values, and the indices of the nodes that make query, key and value."""

    source: str  # what the query is made of
    memory: str  # what key and value are made of
    query_weight: str
    query_bias: str
    scale: str
    both_weight: str
    shape: str  # of the reshape into heads, of the key
    allowzero: int
    scaled: str  # the query before its reshape
    query: str
    key: str
    value: str
    scores: str
    query_nodes: tuple[int, ...]  # product, bias, scale, reshape, transposition
    both_nodes: tuple[int, ...]


class _Mismatch(Exception):
    """The nodes do not form the pattern."""


def _attention(view: GraphView, softmax: onnx.NodeProto) -> _Attention | None:
    """The attention around a softmax, if it is written as models.networks.transformer writes it."""
    if softmax.op_type != "Softmax" or not weighs(view, softmax):
        return None
    walk = _Walk(view)
    try:
        biased = walk.maker(softmax.input[0], "Add")
        scores = walk.maker(walk.operand(biased, "MatMul"), "MatMul")
        weighted = view.nodes[next(i for i in view.behind(softmax) if view.nodes[i].op_type == "MatMul")]
        query, key, value = scores.input[0], scores.input[1], weighted.input[1]
        turned = [
            walk.maker(name, "Transpose", perm)
            for name, perm in ((query, [0, 2, 1, 3]), (key, [0, 2, 3, 1]), (value, [0, 2, 1, 3]))
        ]
        heads = [walk.maker(node.input[0], "Reshape") for node in turned]
        scaled = walk.maker(heads[0].input[0], "Mul")
        summed = walk.maker(walk.operand(scaled, "Add"), "Add")
        asked = walk.maker(walk.operand(summed, "MatMul"), "MatMul")
        split = walk.maker(heads[1].input[0], "Split")
        if heads[2].input[0] != split.output[1] or heads[1].input[0] != split.output[0] or len(split.input) > 1:
            raise _Mismatch
        told = walk.maker(split.input[0], "MatMul")
        scale, bias = walk.constant(scaled), walk.constant(summed)
        if any(n not in view.constants for n in (asked.input[1], told.input[1], heads[1].input[1])):
            raise _Mismatch
        shapes = [view.array(node.input[1]).tolist() for node in heads[1:]]
        if shapes[0] != shapes[1] or len(shapes[0]) != 4 or view.array(scale).size != 1:
            raise _Mismatch
    except _Mismatch:
        return None
    allowzero = next((a.i for a in heads[1].attribute if a.name == "allowzero"), 0)
    indices = [view.producer[node.output[0]] for node in (asked, summed, scaled, heads[0], turned[0])]
    both = [view.producer[node.output[0]] for node in (told, split, *heads[1:], *turned[1:])]
    return _Attention(
        source=asked.input[0], memory=told.input[0], query_weight=asked.input[1], query_bias=bias, scale=scale,
        both_weight=told.input[1], shape=heads[1].input[1], allowzero=allowzero, scaled=scaled.output[0],
        query=query, key=key, value=value, scores=scores.output[0], query_nodes=tuple(indices),
        both_nodes=tuple(both),
    )  # fmt: skip


class _Walk:
    """Steps from a value to what makes it; every step raises _Mismatch where the pattern ends."""

    def __init__(self, view: GraphView) -> None:
        self.view = view

    def maker(self, name: str, operator: str, perm: list[int] | None = None) -> onnx.NodeProto:
        """The node that makes the value, for one reader only (two for the halves of a Split)."""
        node = self.view.nodes[self.view.producer[name]] if name in self.view.producer else None
        if node is None or node.op_type != operator or len(self.view.consumers[name]) > 1 or name in self.view.outputs:
            raise _Mismatch
        if perm is not None and [list(a.ints) for a in node.attribute if a.name == "perm"] != [perm]:
            raise _Mismatch
        return node

    def operand(self, node: onnx.NodeProto, operator: str) -> str:
        """That of two operands which ``operator`` makes."""
        names: Sequence[str] = node.input
        for name in names:
            if name in self.view.producer and self.view.nodes[self.view.producer[name]].op_type == operator:
                return name
        raise _Mismatch

    def constant(self, node: onnx.NodeProto) -> str:
        """That of two operands which is constant."""
        names: Sequence[str] = node.input
        for name in names:
            if name in self.view.constants:
                return name
        raise _Mismatch


def lifted_nodes(view: GraphView) -> set[int]:
    """Convolutions along [B, C, T], and the nodes that go with them."""
    lifted: set[int] = set()
    for i, node in enumerate(view.nodes):
        if view.ranks.get(node.output[0]) != 3:
            continue
        inside = [view.producer.get(name, -1) in lifted for name in node.input]
        if node.op_type == "Conv":
            follows = is_layer(view, node)
        elif node.op_type in {"Concat", "Gather"}:  # of channels
            moved = node.input if node.op_type == "Concat" else node.input[:1]
            follows = all(inside[: len(moved)]) and [a.i for a in node.attribute if a.name == "axis"] == [1]
        elif node.op_type in _SUMS:
            follows = any(inside) and all(view.ranks.get(n, 9) == 3 or view.size(n) == 1 for n in node.input)
        else:
            follows = inside[0] and (node.op_type in _ACTIVATIONS or node.op_type == "MaxPool")
        if follows:
            lifted.add(i)
    return lifted


class _Lifter:
    """Writes nodes with some values in four dimensions."""

    def __init__(self, view: GraphView) -> None:
        from onnx import helper, numpy_helper

        self.view, self._node, self._tensor = view, helper.make_node, numpy_helper.from_array
        self._attribute = helper.make_attribute
        self.nodes: list[onnx.NodeProto] = []
        self.made: dict[str, str] = {}  # value of three dimensions -> its name in four
        self._flat: set[str] = set()  # lifted values that are also there in three
        self._axis = "height_axis"
        if not any(t.name == self._axis for t in view.graph.initializer):
            view.graph.initializer.append(self._tensor(np.array([2], np.int64), self._axis))

    def keep(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            if name in self.made and self.view.producer.get(name) is not None:
                self.flat(name)
        self.nodes.append(node)

    def flat(self, name: str) -> None:
        """Makes the three-dimensional form of a value that has been lifted by its producer."""
        if name in self._flat or not self._lifts(name):
            return
        self._flat.add(name)
        self.nodes.append(self._node("Squeeze", [self.made[name], self._axis], [name], name=f"flat_{name}"))

    def lift(self, node: onnx.NodeProto) -> None:
        if node.op_type in {"Conv", "MaxPool"}:
            self._lengthen(node)
        inputs = [self._high(node.input[0])]
        if node.op_type == "Conv":
            inputs += [self._weight(node.input[1]), *node.input[2:]]
        else:
            inputs += [self._high(name) for name in node.input[1:]]
        high = f"{node.output[0]}__high"
        del node.input[:]
        node.input.extend(inputs)
        self.made[node.output[0]] = node.output[0] = high
        self.nodes.append(node)

    def _lifts(self, name: str) -> bool:
        """Whether the producer itself makes the four-dimensional form."""
        return name in self.made and not self.made[name].endswith("__raised")

    def _high(self, name: str) -> str:
        """The value in four dimensions; a scalar serves as it is."""
        if self.view.ranks.get(name) != 3:
            return name
        if name not in self.made:
            self.made[name] = f"{name}__raised"
            self.nodes.append(self._node("Unsqueeze", [name, self._axis], [self.made[name]], name=f"raise_{name}"))
        return self.made[name]

    def _weight(self, name: str) -> str:
        high = f"{name}__high"
        if high not in self.made.values():
            self.made[name] = high
            self.view.graph.initializer.append(self._tensor(self.view.array(name)[:, :, None], high))
        return high

    def _lengthen(self, node: onnx.NodeProto) -> None:
        """Window attributes of one dimension to those of two."""
        before = {"kernel_shape": [1], "strides": [1], "dilations": [1]}
        for attribute in node.attribute:
            values = list(attribute.ints)
            if attribute.name in before:
                changed = before[attribute.name] + values
            elif attribute.name == "pads":
                changed = [0, values[0], 0, values[1]]
            else:
                continue
            attribute.CopyFrom(self._attribute(attribute.name, changed))


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Puts ``nodes`` in the place of a graph's own and drops the constants and shapes of what is no longer there."""
    nodes = list(nodes)
    used = {name for node in nodes for name in node.input}
    there = {name for node in nodes for name in node.output}
    constants = [t for t in graph.initializer if t.name in used]
    values = [v for v in graph.value_info if v.name in there]
    for field, kept in ((graph.node, nodes), (graph.initializer, constants), (graph.value_info, values)):
        del field[:]
        field.extend(kept)
