"""The exported graph in parts, so that a runtime may keep the features of frames it has seen.

    scaling.onnx   signals, presence, context -> ``scaled`` [B, M, L]
    frames.onnx    ``frames_{modality}`` [F, samples] -> ``features_{modality}`` [F, d]; more than half of all work
    trunk.onnx     the graph's inputs and ``features`` [B, M, N, d] -> its outputs

Cut out of ``model.onnx``, which stays whole; a part's weights are byte ranges of that file, so that nothing is stored
twice. Networks and trunk are written as ONNX Runtime's CPU kernels like them: two-dimensional convolutions, for which
it has a layout of its own, and ELU by Exp, which it computes with vectors (frame networks take 40 % less time, the
trunk 10 %; equal within 1e-6).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.runtime.bundle import FRAMES_PART, SCALING_PART, TRUNK_PART
from models.runtime.graph_fusion import lift_convolutions
from models.runtime.spec import FEATURES, FRAMES, SCALED

_INSIDE_BYTES = 1024  # smaller constants stay in the part: shapes and axes are needed before weights are read


def write_parts(whole: Path, folder: Path, names: Sequence[str]) -> None:
    """Cuts the graph file ``whole``, exported with its seams, into the parts in ``folder``, where it lies as
    ``model.onnx``. ``names``: the inputs that are signals, in the order of the model's rows."""
    data = whole.read_bytes()
    model = onnx.load_model_from_string(data)
    shapes = {
        v.name: v for v in (*model.graph.input, *model.graph.output, *model.graph.value_info)
    }  # fmt: skip
    frames, features = ([f"{kind}_{n}" for n in names] for kind in (FRAMES, FEATURES))
    scaling = _between(model, [i.name for i in model.graph.input], [SCALED], shapes)
    networks = _between(model, frames, features, shapes)
    _own_batches(networks)
    trunk = _between(
        model, [*(i.name for i in model.graph.input), SCALED, FEATURES], [o.name for o in model.graph.output], shapes
    )
    networks, trunk = (onnx.shape_inference.infer_shapes(part) for part in (networks, trunk))
    for part in (networks, trunk):
        lift_convolutions(part.graph)
        expand_elu(part.graph)
    for part, name in ((scaling, SCALING_PART), (networks, FRAMES_PART), (trunk, TRUNK_PART)):
        del part.graph.value_info[:]
        _refer(part.graph, data)
        (folder / name).write_bytes(part.SerializeToString())


def expand_elu(graph: onnx.GraphProto) -> None:
    """ELU as max(x, exp(min(x, 0)) − 1), in place."""
    zero, minus_one = "elu_zero", "elu_minus_one"
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Elu" or any(a.name == "alpha" and a.f != 1.0 for a in node.attribute):
            nodes.append(node)
            continue
        x, y = node.input[0], node.output[0]
        nodes += [
            helper.make_node("Min", [x, zero], [f"{y}__low"]),
            helper.make_node("Exp", [f"{y}__low"], [f"{y}__exp"]),
            helper.make_node("Add", [f"{y}__exp", minus_one], [f"{y}__bent"]),
            helper.make_node("Max", [x, f"{y}__bent"], [y]),
        ]
    if len(nodes) > len(graph.node):
        constants = ((zero, 0.0), (minus_one, -1.0))
        graph.initializer.extend(numpy_helper.from_array(np.array(v, np.float32), n) for n, v in constants)
    del graph.node[:]
    graph.node.extend(nodes)


def _between(
    model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str], shapes: dict[str, onnx.ValueInfoProto]
) -> onnx.ModelProto:
    """The nodes that lead from ``inputs`` to ``outputs``; inputs that none of them reads are left out."""
    needed, nodes = set(outputs), []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output).difference(inputs):
            nodes.append(node)
            needed.update(name for name in node.input if name)
    graph = helper.make_graph(
        nodes[::-1], "part", [_value(shapes[n]) for n in inputs if n in needed], [_value(shapes[n]) for n in outputs],
        initializer=[t for t in model.graph.initializer if t.name in needed],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _value(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    return copy


def _own_batches(model: onnx.ModelProto) -> None:
    """Each modality has as many frames as it has: a batch of its own for each network."""
    for value in (*model.graph.input, *model.graph.output):
        name = value.name.partition("_")[2]
        value.type.tensor_type.shape.dim[0].dim_param = f"frames_of_{name}"


def _refer(graph: onnx.GraphProto, data: bytes) -> None:
    """Constants that are in ``data`` too become references to its bytes."""
    for tensor in graph.initializer:
        raw = tensor.raw_data
        at = data.find(raw) if len(raw) >= _INSIDE_BYTES else -1
        if at < 0:
            continue
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "model.onnx"), ("offset", at), ("length", len(raw))):
            tensor.external_data.add(key=key, value=str(value))
