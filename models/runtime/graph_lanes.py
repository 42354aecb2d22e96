"""Side by side instead of one after another: networks of one form over different inputs become one with groups.

A small model's time on a GPU is the number of its kernels, hardly their size. The frame networks of the modalities
(and each one's branches) and the wave decoders differ only in weights: their convolutions are done as one convolution
with a group for each, smaller kernels padded with zeros, what follows them on the channels of all. The same for
linear maps of one input. The mathematics stay as they are; a form that is not found is left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.runtime.graph_fusion import lifted_nodes, replace_nodes
from models.runtime.graph_regions import GraphView, trunk

if TYPE_CHECKING:
    import onnx

_Signature = tuple[object, ...]


def merge_lanes(graph: onnx.GraphProto) -> None:
    """Merges convolutions [B, C, T] of one form, and what follows them alike, in place; types are to be inferred."""
    view = GraphView(graph)
    writer = _LaneWriter(view)
    for group in _groups(view):
        writer.merge(group)
    nodes = writer.finished()
    if nodes is not None:
        replace_nodes(graph, nodes)


def merge_siblings(graph: onnx.GraphProto) -> None:
    """Merges linear maps (Gemm) of one input, in place; those of the trunk apart from those of the heads."""
    from onnx import helper, numpy_helper

    view = GraphView(graph)
    inside = trunk(view)
    siblings: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for i, node in enumerate(view.nodes):
        plain = {a.name: (a.i if a.name.startswith("trans") else a.f) for a in node.attribute}
        constant = len(node.input) == 3 and all(name in view.constants for name in node.input[1:])
        usual = plain.get("transB") == 1 and not plain.get("transA") and plain.get("alpha", 1) == plain.get("beta", 1)
        if node.op_type == "Gemm" and constant and usual and plain.get("alpha", 1) == 1:
            siblings[node.input[0], i in inside].append(i)
    instead: dict[int, list[onnx.NodeProto]] = {}
    for (source, _), members in siblings.items():
        if len(members) < 2:
            continue
        nodes = [view.nodes[i] for i in members]
        start = f"{nodes[0].output[0]}__siblings"
        sizes = np.array([view.constants[node.input[1]].dims[0] for node in nodes], np.int64)
        values = {"weight": 1, "bias": 2}
        for name, k in values.items():
            joined = np.concatenate([view.array(node.input[k]) for node in nodes])
            graph.initializer.append(numpy_helper.from_array(joined, f"{start}_{name}"))
        graph.initializer.append(numpy_helper.from_array(sizes, f"{start}_sizes"))
        instead |= {i: [] for i in members}
        instead[members[0]] = [
            helper.make_node("Gemm", [source, f"{start}_weight", f"{start}_bias"], [start], transB=1),
            helper.make_node("Split", [start, f"{start}_sizes"], [n.output[0] for n in nodes], axis=-1),
        ]
    replace_nodes(graph, [new for i, node in enumerate(view.nodes) for new in instead.get(i, [node])])


def _groups(view: GraphView) -> list[list[int]]:
    """Nodes of one form that do not depend on each other, in the order of the graph."""
    lanes = {i for i in lifted_nodes(view) if view.nodes[i].op_type not in {"Concat", "Gather"}}
    lanes = {i for i in lanes if all(view.size(n) <= 1 for n in view.nodes[i].input) or view.nodes[i].op_type == "Conv"}
    forms: dict[str, _Signature] = {}
    numbers: dict[_Signature, int] = {}
    members: dict[int, list[int]] = defaultdict(list)
    before = [0] * len(view.nodes)  # bit j: the node depends on node j
    for i, node in enumerate(view.nodes):
        for name in node.input:
            maker = view.producer.get(name)
            if maker is not None:
                before[i] |= before[maker] | 1 << maker
        if i in lanes:
            form = _form(view, node, forms)
            number = numbers.setdefault(form, len(numbers))
            forms[node.output[0]] = ("lane", number)
            members[number].append(i)
    groups = [group for group in members.values() if len(group) > 1]
    return [group for group in groups if not any(before[i] & sum(1 << j for j in group) for i in group)]


def _form(view: GraphView, node: onnx.NodeProto, forms: dict[str, _Signature]) -> _Signature:
    """All that must be alike for nodes to be merged."""
    skipped: set[str] = set()
    weights: tuple[object, ...] = ()
    inputs = list(node.input)
    if node.op_type == "Conv":
        dims = list(view.constants[inputs[1]].dims)
        centred = _centred(view, node)
        weights = (*dims[:2], len(inputs), centred, 1 if dims[2] == 1 else 0 if centred else dims[2])
        skipped, inputs = {"kernel_shape", "pads"} if centred else set(), inputs[:1]
    attributes = sorted(a.SerializeToString() for a in node.attribute if a.name not in skipped)
    given: list[object] = []
    for name in inputs:
        if name in view.constants:
            given.append(float(view.array(name).reshape(-1)[0]))
        else:
            given.append(forms.get(name, ("leaf", view.shapes.get(name))))
    return (node.op_type, tuple(attributes), weights, tuple(given))


def _centred(view: GraphView, node: onnx.NodeProto) -> bool:
    """Whether a convolution's kernel is odd and padded alike on both sides, so that a longer one can hold it."""
    length = view.constants[node.input[1]].dims[2]
    half = length // 2 * _integers(node, "dilations", [1])[0]
    return length % 2 == 1 and _integers(node, "pads", [0, 0]) == [half, half] and _integers(node, "group", [1]) == [1]


def _integers(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    for attribute in node.attribute:
        if attribute.name == name:
            return list(attribute.ints) or [attribute.i]
    return default


class _LaneWriter:
    """Merged nodes; ``lanes`` says in which merged value, and where, each of the old values is."""

    def __init__(self, view: GraphView) -> None:
        from onnx import helper, numpy_helper

        self.view, self._node, self._tensor = view, helper.make_node, numpy_helper.from_array
        self.lanes: dict[str, tuple[str, int]] = {}
        self.values: dict[str, list[str]] = {}  # merged value -> the old values in order
        self.merged: list[onnx.NodeProto] = []
        self.gone: set[int] = set()

    def merge(self, group: list[int]) -> None:
        """One node in the place of ``group``, in the order of the lanes of its first lane input."""
        nodes = [self.view.nodes[i] for i in group]
        nodes.sort(key=lambda node: [self.lanes.get(name, ("", 0))[1] for name in node.input])
        first = nodes[0]
        name = f"{first.output[0]}__lanes"
        if first.op_type == "Conv":
            self._convolution(nodes, name)
        else:
            inputs = [self._operand([node.input[k] for node in nodes]) for k in range(len(first.input))]
            made = self._node(first.op_type, inputs, [name], name=name)
            made.attribute.extend(first.attribute)
            self.merged.append(made)
        self.gone.update(group)
        self.values[name] = [node.output[0] for node in nodes]
        for place, node in enumerate(nodes):
            self.lanes[node.output[0]] = (name, place)

    def finished(self) -> list[onnx.NodeProto] | None:
        """All nodes in topological order; None if merging would close a circle."""
        rest = [node for i, node in enumerate(self.view.nodes) if i not in self.gone]
        read = {name for node in (*rest, *self.merged) for name in node.input} | self.view.outputs
        for name, values in self.values.items():
            if read.intersection(values):
                self.merged.append(self._node("Split", [name], values, axis=1, num_outputs=len(values)))
        return in_order([*rest, *self.merged])

    def _operand(self, names: list[str]) -> str:
        """One value for the same operand of all lanes."""
        if names[0] in self.view.constants:
            return names[0]  # of one element, and of the same value by the lanes' form
        repeats = self._repeats(names)
        if repeats:
            lane = self.lanes[names[0]][0]
            return lane if repeats == 1 else self._repeated(lane, repeats, self._channels(names[0]))
        made = f"{names[0]}__with_{len(names)}"
        if not any(made in node.output for node in self.merged):
            self.merged.append(self._node("Concat", names, [made], axis=1, name=made))
        return made

    def _channels(self, name: str) -> int:
        return int(self.view.shapes[name][1])

    def _repeats(self, names: list[str]) -> int:
        """How often each lane of one merged value follows itself in ``names``; 0 if they are not that value's."""
        if any(name not in self.lanes for name in names) or len({self.lanes[name][0] for name in names}) > 1:
            return 0
        lanes = len(self.values[self.lanes[names[0]][0]])
        repeats = len(names) // lanes
        wanted = [place for place in range(lanes) for _ in range(repeats)]
        return repeats if [self.lanes[name][1] for name in names] == wanted else 0

    def _repeated(self, lane: str, repeats: int, channels: int) -> str:
        """A merged value with each lane several times."""
        made = f"{lane}__times_{repeats}"
        if not any(made in node.output for node in self.merged):
            lanes = np.arange(len(self.values[lane]) * channels).reshape(-1, 1, channels)
            index = np.repeat(lanes, repeats, axis=1).reshape(-1).astype(np.int64)
            self.view.graph.initializer.append(self._tensor(index, f"{made}_index"))
            self.merged.append(self._node("Gather", [lane, f"{made}_index"], [made], axis=1, name=made))
        return made

    def _convolution(self, nodes: list[onnx.NodeProto], name: str) -> None:
        names = [node.input[0] for node in nodes]
        repeats = self._repeats(names)
        if repeats:
            source, groups = self.lanes[names[0]][0], len(nodes) // repeats
        elif len(set(names)) == 1:
            source, groups = names[0], 1
        else:
            source, groups = self._operand(names), len(nodes)
        weights = [self.view.array(node.input[1]) for node in nodes]
        length = max(w.shape[2] for w in weights)
        padded = [np.pad(w, ((0, 0), (0, 0), ((length - w.shape[2]) // 2,) * 2)) for w in weights]
        constants = {f"{name}_weight": np.concatenate(padded)}
        if len(nodes[0].input) == 3:
            constants[f"{name}_bias"] = np.concatenate([self.view.array(node.input[2]) for node in nodes])
        self.view.graph.initializer.extend(self._tensor(value, key) for key, value in constants.items())
        dilation = _integers(nodes[0], "dilations", [1])
        pads = _integers(nodes[0], "pads", [0, 0])
        if _centred(self.view, nodes[0]):
            pads = [length // 2 * dilation[0]] * 2
        made = self._node(
            "Conv", [source, *constants], [name], name=name, group=groups, pads=pads, dilations=dilation,
            kernel_shape=[length], strides=_integers(nodes[0], "strides", [1]),
        )  # fmt: skip
        self.merged.append(made)


def in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto] | None:
    """Nodes in topological order, otherwise as they were; None where there is none."""
    producer = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    waiting = [len({producer[n] for n in node.input if n in producer}) for node in nodes]
    readers: dict[int, set[int]] = defaultdict(set)
    for i, node in enumerate(nodes):
        for name in node.input:
            if name in producer:
                readers[producer[name]].add(i)
    ready = [i for i, count in enumerate(waiting) if count == 0][::-1]
    order: list[onnx.NodeProto] = []
    while ready:
        i = ready.pop()
        order.append(nodes[i])
        for reader in sorted(readers[i], reverse=True):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    return order if len(order) == len(nodes) else None
