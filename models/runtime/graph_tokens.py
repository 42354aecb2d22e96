"""Transformers of one form side by side: the modality encoders, and the decoders, as one with batched products.

Values [B, S, d] of M lanes lie one behind another: ``tall`` [M·B, S, d] for what is the same for each token or head
(attention), ``flat`` [M, B·S, d] for what has weights of its own in each lane. The same numbers in the same order, so
that going from one to the other costs nothing. The mathematics stay as they are; a form that is not found is left
alone.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.runtime.graph_fusion import replace_nodes
from models.runtime.graph_lanes import in_order
from models.runtime.graph_regions import GraphView, trunk

if TYPE_CHECKING:
    import onnx

_Form = tuple[object, ...]
_ALIKE = frozenset({"Softmax", "Transpose", "Split", "Reshape", "Concat"})  # the same in every lane
_UNARY = frozenset({"Gelu", "Elu"})
_OPERATORS = _ALIKE | _UNARY | {"LayerNormalization", "MatMul", "Gemm", "Add", "Mul"}

_STEPS_AHEAD = 6


def merge_tokens(graph: onnx.GraphProto) -> None:
    """Merges transformers over [B, S, d] of one form that do not depend on each other, in place."""
    view = GraphView(graph)
    writer = _TokenWriter(view)
    for group, operands in _groups(view):
        writer.merge(group, operands)
    nodes = writer.finished()
    if nodes is not None:
        replace_nodes(graph, nodes)


def _groups(view: GraphView) -> list[tuple[list[int], tuple[str, ...]]]:
    """Nodes of one form, in the order of the graph, and what their operands are: lane, leaf, own or same."""
    inside, futures = trunk(view), _futures(view)
    before = [0] * len(view.nodes)  # bit j: the node depends on node j
    lanes: dict[str, _Form] = {}
    numbers: dict[_Form, int] = {}  # for each form and turn: a form that held those before it would grow like a tree
    groups: dict[int, list[int]] = defaultdict(list)
    kinds: dict[int, tuple[str, ...]] = {}
    for i, node in enumerate(view.nodes):
        for name in node.input:
            maker = view.producer.get(name)
            if maker is not None:
                before[i] |= before[maker] | 1 << maker
        operands = _operands(view, node, lanes) if i in inside else ()
        if not operands:
            continue
        described = tuple(_description(view, n, k, lanes) for n, k in zip(node.input, operands, strict=True))
        attributes = tuple(sorted(a.SerializeToString() for a in node.attribute))
        ahead = futures[i] if "lane" not in operands else ()
        form: _Form = (node.op_type, attributes, len(node.output), described, ahead)
        for turn in itertools.count():  # nodes of one form that depend on each other are in groups of their own
            number = numbers.setdefault((*form, turn), len(numbers))
            if not any(before[i] >> j & 1 for j in groups[number]):
                break
        groups[number].append(i)
        kinds[number] = operands
        lanes |= {name: (number, place) for place, name in enumerate(node.output)}
    return [(group, kinds[number]) for number, group in groups.items() if len(group) > 1]


def _futures(view: GraphView) -> list[_Form]:
    """What becomes of each node's results, a few steps on: where lanes begin, those that part soon are kept apart."""
    known: list[_Form] = [(node.op_type,) for node in view.nodes]
    numbers: dict[_Form, _Form] = {}
    for _ in range(_STEPS_AHEAD):
        nexts = [(n.op_type, *sorted(str(known[i]) for i in view.behind(n))) for n in view.nodes]
        known = [numbers.setdefault(form, (len(numbers),)) for form in nexts]
    return known


def _operands(view: GraphView, node: onnx.NodeProto, lanes: dict[str, _Form]) -> tuple[str, ...]:
    """What each operand is: a ``lane``, a ``leaf`` to be joined, an ``own`` constant of the lane, or the ``same``
    constant for all; nothing if the node is not for lanes."""
    if node.op_type not in _OPERATORS or any(not _joinable(view, name) for name in node.output):
        return ()
    kinds = tuple("lane" if n in lanes else "same" if n in view.constants else "leaf" for n in node.input)
    if any(kind == "leaf" and not _joinable(view, n) for n, kind in zip(node.input, kinds, strict=True)):
        return ()
    ranks = [view.ranks.get(name, 0) for name in node.input]
    if node.op_type == "LayerNormalization":
        return (kinds[0], "own", "own") if kinds[1:] == ("same", "same") and ranks[0] < 4 else ()
    if node.op_type == "Gemm":
        return (kinds[0], "own", "own") if kinds[1:] == ("same", "same") and _is_linear(node) else ()
    if node.op_type == "MatMul" and kinds[1] == "same":
        return (kinds[0], "own") if ranks == [3, 2] else ()
    if "lane" not in kinds:
        return ()
    if node.op_type == "MatMul":
        return kinds if kinds == ("lane", "lane") and view.ranks[node.output[0]] == 4 else ()
    if node.op_type in {"Add", "Mul"}:
        if "same" not in kinds:
            return kinds if set(ranks) == {view.ranks[node.output[0]]} else ()
        constant = node.input[kinds.index("same")]
        if view.size(constant) == 1 or view.shapes[constant][0] == 1:
            return kinds
        vector = view.ranks[constant] == 1 and view.ranks[node.output[0]] == 3
        return tuple("own" if k == "same" else k for k in kinds) if vector else ()
    return kinds if _keeps_rows(view, node) else ()


def _keeps_rows(view: GraphView, node: onnx.NodeProto) -> bool:
    """Whether an operator leaves the first axis, along which the lanes lie, alone."""
    integers = {a.name: list(a.ints) or [a.i] for a in node.attribute}
    if node.op_type == "Reshape":
        shape = view.array(node.input[1]).tolist() if node.input[1] in view.constants else [1]
        return bool(shape[0] == -1 and 0 not in shape[1:])
    if node.op_type == "Transpose":
        return bool(integers.get("perm", [1])[0] == 0)
    if node.op_type in {"Split", "Concat"}:
        return integers.get("axis", [0])[0] > 0 and all(view.ranks.get(n, 0) > 1 for n in node.output)
    return node.op_type in _UNARY or integers.get("axis", [-1]) == [-1]


def _is_linear(node: onnx.NodeProto) -> bool:
    """x Wᵀ + b, as models of this program write it."""
    numbers = {a.name: a.i if a.name.startswith("trans") else a.f for a in node.attribute}
    usual = numbers.get("alpha", 1) == numbers.get("beta", 1) == 1
    return usual and numbers.get("transB") == 1 and not numbers.get("transA")


def _joinable(view: GraphView, name: str) -> bool:
    """A value [B, ...] of two to four axes of which all but the batch are fixed."""
    shape = view.shapes.get(name, ())
    return 2 <= len(shape) <= 4 and isinstance(shape[0], str) and all(isinstance(d, int) for d in shape[1:])


def _description(view: GraphView, name: str, kind: str, lanes: dict[str, _Form]) -> _Form:
    if kind == "lane":
        return (kind, lanes[name])
    if kind == "same":
        array = view.array(name)
        return (kind, array.shape, array.tobytes())
    shape = view.shapes[name]
    if kind == "leaf" and str(shape[0]).startswith("unk"):  # a length that shape inference could not name
        shape = ("", *shape[1:])
    return (kind, shape)


@dataclass(slots=True)
class _Pack:
    """One merged value: the old values in order, what a lane's row looks like, and the names of its forms."""

    values: list[str]
    row: tuple[int, ...]
    forms: dict[str, str]


class _TokenWriter:
    def __init__(self, view: GraphView) -> None:
        from onnx import helper, numpy_helper

        self.view, self._node, self._tensor = view, helper.make_node, numpy_helper.from_array
        self.packs: dict[str, tuple[_Pack, int]] = {}  # old value -> where it is now
        self.merged: list[onnx.NodeProto] = []
        self.gone: set[int] = set()
        self._constants = set(view.constants)

    def merge(self, group: list[int], operands: tuple[str, ...]) -> None:
        """One node for all of ``group``, in the order of the lanes that it continues."""
        nodes = [self.view.nodes[i] for i in group]
        lane = next((k for k, kind in enumerate(operands) if kind == "lane"), None)
        if lane is not None:
            nodes.sort(key=lambda node: self.packs[node.input[lane]][1] if node.input[lane] in self.packs else 0)
        first = nodes[0]
        sums = first.op_type in {"Add", "Mul"} and "leaf" not in operands and self.view.ranks[first.output[0]] < 4
        small = all(self.view.size(n) < 2 for n, k in zip(first.input, operands, strict=True) if k == "same")
        form = "flat" if "own" in operands or first.op_type in _UNARY or (sums and small) else "tall"
        inputs = [self._operand([node.input[k] for node in nodes], kind, form) for k, kind in enumerate(operands)]
        made = [f"{name}__{form}" for name in first.output]
        if first.op_type == "LayerNormalization":
            self._normalisation(first, inputs, made[0])
        elif first.op_type == "Gemm":
            self._linear(nodes, inputs, made[0])
        else:
            node = self._node(first.op_type, inputs, made, name=made[0])
            node.attribute.extend(first.attribute)
            self.merged.append(node)
        self.gone.update(group)
        for place, name in enumerate(made):
            values = [node.output[place] for node in nodes]
            row = tuple(int(d) for d in self.view.shapes[values[0]][1:])
            pack = _Pack(values, row, {form: name})
            self.packs |= {value: (pack, lane) for lane, value in enumerate(values)}

    def finished(self) -> list[onnx.NodeProto] | None:
        """All nodes in topological order; None if merging would close a circle."""
        rest = [node for i, node in enumerate(self.view.nodes) if i not in self.gone]
        read = {name for node in (*rest, *self.merged) for name in node.input} | self.view.outputs
        for pack in {id(p): p for p, _ in self.packs.values()}.values():
            if read.intersection(pack.values):
                tall = self._form(pack, "tall")
                self.merged.append(self._node("Split", [tall], pack.values, axis=0, num_outputs=len(pack.values)))
        return in_order([*rest, *self.merged])

    def _operand(self, names: list[str], kind: str, form: str) -> str:
        if kind == "same":
            return names[0]
        if kind == "lane" and names[0] in self.packs and self.packs[names[0]][0].values == names:
            return self._form(self.packs[names[0]][0], form)
        if kind == "own":
            stacked = np.stack([self.view.array(name) for name in names])
            owners = f"{names[0]}__own_{len(names)}_{names[-1]}"
            return self._constant(owners, stacked[:, None] if stacked.ndim == 2 else stacked)
        row = tuple(int(d) for d in self.view.shapes[names[0]][1:])
        joined = f"{names[0]}__joined_{names[-1]}"
        if not any(joined in node.output for node in self.merged):
            self.merged.append(self._node("Concat", names, [joined], axis=0, name=joined))
        return self._form(_Pack(names, row, {"tall": joined}), form)

    def _form(self, pack: _Pack, form: str) -> str:
        """The merged value, tall or flat."""
        if form not in pack.forms:
            (source,) = pack.forms.values()
            shape = [-1, *pack.row] if form == "tall" else [len(pack.values), -1, pack.row[-1]]
            constant = self._constant("_".join(map(str, ("tokens", *shape))), np.array(shape, np.int64))
            pack.forms[form] = f"{source}__{form}"
            if not any(pack.forms[form] in node.output for node in self.merged):
                self.merged.append(self._node("Reshape", [source, constant], [pack.forms[form]]))
        return pack.forms[form]

    def _normalisation(self, node: onnx.NodeProto, inputs: list[str], made: str) -> None:
        """Normalised alike, then scaled and moved by each lane's own numbers."""
        width = self.view.shapes[node.input[1]][0]
        one = self._constant(f"ones_{width}", np.ones(int(width), np.float32))
        none = self._constant(f"zeros_{width}", np.zeros(int(width), np.float32))
        plain = self._node("LayerNormalization", [inputs[0], one, none], [f"{made}_plain"], name=f"{made}_plain")
        plain.attribute.extend(node.attribute)
        self.merged += [
            plain,
            self._node("Mul", [f"{made}_plain", inputs[1]], [f"{made}_scaled"]),
            self._node("Add", [f"{made}_scaled", inputs[2]], [made]),
        ]

    def _linear(self, nodes: list[onnx.NodeProto], inputs: list[str], made: str) -> None:
        weights = np.stack([self.view.array(node.input[1]).T for node in nodes])
        weight = self._constant(f"{made}_weight", weights)
        self.merged += [
            self._node("MatMul", [inputs[0], weight], [f"{made}_product"], name=f"{made}_product"),
            self._node("Add", [f"{made}_product", inputs[2]], [made]),
        ]

    def _constant(self, name: str, value: np.ndarray) -> str:
        if name not in self._constants:
            self._constants.add(name)
            self.view.graph.initializer.append(self._tensor(np.ascontiguousarray(value), name))
        return name
