"""What an exported graph may hold: one static graph for every subset of sensors, of operators that every engine runs.

No control flow, no shape that depends on data, no external data, nothing folded at the export's example batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from models.runtime.precision import elsewhere, load_onnx, parsed

if TYPE_CHECKING:
    import onnx

ALLOWED = frozenset(
    {"Abs", "Add", "And", "Cast", "Clip", "Concat", "Conv", "Div", "Elu", "Equal", "Exp", "Expand", "Gather", "Gelu"}
    | {"Gemm", "Greater", "GreaterOrEqual", "Identity", "LayerNormalization", "Less", "LessOrEqual", "Log", "MatMul"}
    | {"Max", "MaxPool", "Min", "Mul", "Neg", "Not", "Or", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu"}
    | {"Reshape", "Shape", "Sigmoid", "Slice", "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Tanh"}
    | {"Transpose", "Unsqueeze", "Where"}
)
"""Operators whose work and shapes are fixed by the batch alone."""
UNUSUAL = {
    "AveragePool": "smooths slopes before beats are searched for, over a fixed window",
    "Floor": "the whole part of a delay in samples, for interpolation between two of them",
    "GatherElements": "reads a wave ahead by its own delay: the indices are data, the shapes are not",
    "GatherND": "of a student's context the fields of its own sensor: the indices are constants",
    "Pad": "of a sleep model the ends of the presence, whose frames overlap: by a constant count",
    "Pow": "the square of a slope",
    "Tile": "one delay for each of the four forms of a source: a constant count",
}
"""Further operators, and what each is there for."""
_STEADY = frozenset({"Shape"})  # what depends only on the shape of its input


def graph_faults(graph: bytes) -> list[str]:
    """One sentence for everything that an exported graph may not hold; empty for a good one.

    Raises BadInput for what is no ONNX graph, BackendUnavailable where the package onnx is missing.
    """
    model = parsed(graph)
    return [*_operator_faults(model), *_external_data(model)] or list(_batch_faults(model))


def operators(model: onnx.ModelProto) -> set[str]:
    """Every operator of the graph, its functions and inner graphs; with its domain unless that is ONNX itself."""
    found: set[str] = set()
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        found.add(f"{node.domain}.{node.op_type}" if node.domain not in {"", "ai.onnx"} else node.op_type)
        for attribute in node.attribute:
            waiting += [*attribute.g.node, *(inner for g in attribute.graphs for inner in g.node)]
    return found


def _operator_faults(model: onnx.ModelProto) -> Iterator[str]:
    for name in sorted(operators(model) - ALLOWED - UNUSUAL.keys()):
        yield f"the operator {name} is none of those that every engine runs with shapes known beforehand"
    for node in model.graph.node:
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            yield f"{node.op_type} {node.name} holds a graph of its own: control flow"
    if model.functions:
        yield f"{len(model.functions)} functions, where one plain graph is expected"


def _external_data(model: onnx.ModelProto) -> Iterator[str]:
    for name in elsewhere(model):
        yield f"the constant {name} lies in another file"


def _batch_faults(model: onnx.ModelProto) -> Iterator[str]:
    """Shapes computed from data, and values that lose the batch: a constant or a shape folded for one batch."""
    onnx = load_onnx()
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        yield f"types or shapes do not fit: {str(error).splitlines()[0]}"
        return
    shapes = {
        value.name: [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    for value in model.graph.input:
        if shapes[value.name][:1] != [None]:
            yield f"the input {value.name} has the fixed shape {shapes[value.name]}"
    fed = {value.name for value in model.graph.input}  # computed from the content of an input
    for node in model.graph.node:
        if node.op_type in _STEADY or not fed.intersection(node.input):
            continue
        fed.update(node.output)
        data_dependent = _shape_inputs(node) & fed
        if data_dependent:
            yield f"the shape of {node.op_type} {node.name} depends on data: {', '.join(sorted(data_dependent))}"
        for name in node.output:
            shape = shapes.get(name)
            if shape is not None and None not in shape:
                yield f"{node.op_type} {node.name} gives the fixed shape {shape}: something was folded for one batch"


def _shape_inputs(node: onnx.NodeProto) -> set[str]:
    """Inputs that decide an output's shape."""
    place = {
        "Reshape": (1,),
        "Expand": (1,),
        "Tile": (1,),
        "Slice": (1, 2, 3, 4),
        "Pad": (1, 3),
        "Split": (1,),
        "Squeeze": (1,),
    }
    return {node.input[i] for i in place.get(node.op_type, ()) if i < len(node.input)}
