"""Precision variants of a bundle's one fp32 graph, made on the machine that runs them.

TensorRT 11 knows no precision flags: what is computed in half precision stands in the graph. Inputs and outputs keep
their types; casts stand inside, behind the Where that takes away NaN and 1e30 under the mask. Which nodes are half is
decided in :mod:`models.runtime.graph_regions`. Needs the package ``onnx``, not torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.runtime.backend import Precision
from models.runtime.graph_fusion import fold_weights, lift_convolutions, merge_projections
from models.runtime.graph_lanes import merge_lanes, merge_siblings
from models.runtime.graph_regions import FLOAT, GraphView, bounded_values, half_nodes
from models.runtime.graph_tokens import merge_tokens
from models.signals.errors import BackendUnavailable, BadInput
from models.signals.install import install_hint

if TYPE_CHECKING:
    import onnx

HALF_TYPES = {"fp16": 10, "bf16": 16}  # of onnx.TensorProto
LARGEST = {"fp16": 65504.0, "bf16": 3.3e38}
_SMALL_BYTES = 4096  # of a constant that may be a shape
_BF16_OPSET = 22  # Conv, Elu and MaxPool take bf16 from here on; what else the graph uses means the same in 20 and 22


def variant(graph: bytes, precision: Precision) -> bytes:
    """The fp32 ONNX ``graph`` with its trunk in ``precision``; fp32 gives it back as it is, if it is plain.

    What could overflow fp16 is clipped to its range before the cast. Raises BadInput for what is not a plain ONNX
    graph, BackendUnavailable where the package onnx is missing.
    """
    model = read_graph(graph)
    if precision == "fp32":
        return graph
    model = _arranged(model)
    _HalfWriter(GraphView(model.graph), precision).write()
    if precision == "bf16":
        model.opset_import[0].version = max(model.opset_import[0].version, _BF16_OPSET)
    return _written(model)


def arranged(graph: bytes) -> bytes:
    """The fp32 ``graph`` in the form that TensorRT fuses, without a change of precision; raises as :func:`variant`."""
    return _written(_arranged(read_graph(graph)))


def read_graph(graph: bytes) -> onnx.ModelProto:
    """A graph without control flow, functions or external data; the types of all its values are known."""
    model = parsed(graph)
    if elsewhere(model):
        raise _bad_graph("constants in another file")
    try:
        model = _typed(model)
    except load_onnx().shape_inference.InferenceError as error:
        raise _bad_graph(str(error).splitlines()[0]) from error
    if model.functions or any(a.type in (a.GRAPH, a.GRAPHS) for n in model.graph.node for a in n.attribute):
        raise _bad_graph("functions or control flow")
    return model


def elsewhere(model: onnx.ModelProto) -> list[str]:
    """Names of the constants that lie in another file: initializers, and tensors in attributes of the graph's nodes."""
    attributes = [a for node in model.graph.node for a in node.attribute]
    sparse = [*model.graph.sparse_initializer, *(s for a in attributes for s in (a.sparse_tensor, *a.sparse_tensors))]
    tensors = [
        *model.graph.initializer,
        *(t for a in attributes for t in (a.t, *a.tensors)),
        *(t for s in sparse for t in (s.values, s.indices)),
    ]
    return [t.name for t in tensors if t.data_location == t.EXTERNAL or t.external_data]


def parsed(graph: bytes) -> onnx.ModelProto:
    """The ONNX model in these bytes. Raises BadInput."""
    library = load_onnx()
    from google.protobuf.message import DecodeError

    try:
        model: onnx.ModelProto = library.load_model_from_string(graph)
    except DecodeError as error:
        raise _bad_graph(f"{len(graph)} bytes that are none ({error})") from error
    if not model.graph.node:
        raise _bad_graph(f"{len(graph)} bytes without a node")
    return model


def load_onnx() -> Any:
    """The package onnx, or BackendUnavailable with what installs it."""
    try:
        import onnx
        import onnx.checker
        import onnx.shape_inference
    except ImportError as error:
        raise BackendUnavailable(
            f"onnx is not installed ({error}), and makes the variants of a model; "
            f"install it with: {install_hint('gpu')}"
        ) from error
    return onnx


def _arranged(model: onnx.ModelProto) -> onnx.ModelProto:
    for change in (fold_weights, merge_siblings, merge_lanes, lift_convolutions, merge_projections, merge_tokens):
        change(model.graph)
        model = _typed(model)
    return model


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, with the types and shapes of all its values entered; InferenceError where they do not fit."""
    values = _inferred(model)
    del model.graph.value_info[:]
    model.graph.value_info.extend(values)
    return model


def _inferred(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Types and shapes of all values between inputs and outputs."""
    onnx = load_onnx()
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.name = model.graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(bare.graph, field).extend(getattr(model.graph, field))
    for tensor in model.graph.initializer:  # weights stay out: copied for each inference, large models take minutes
        if tensor.ByteSize() <= _SMALL_BYTES:
            bare.graph.initializer.append(tensor)
        else:
            bare.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return list(onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True).graph.value_info)


class _HalfWriter:
    """Rewrites a graph with some nodes in half precision; a value keeps its name in the type of its producer."""

    def __init__(self, view: GraphView, precision: str) -> None:
        self.view, self.type = view, HALF_TYPES[precision]
        self.largest, self.precision = LARGEST[precision], precision
        self.bounded = bounded_values(view, self.largest)
        self.half = {i for i in half_nodes(view) if self._fits(view.nodes[i])}
        self.nodes: list[onnx.NodeProto] = []
        self.copies: dict[tuple[str, bool], str] = {}  # value, wanted in half -> name of its copy of the other type
        self.renamed: dict[str, str] = {}  # outputs of the graph that are computed in half

    def _fits(self, node: onnx.NodeProto) -> bool:
        """Whether a node's constants are within the range of the type."""
        return all(name in self.bounded for name in self.view.floats(node.input) if name in self.view.constants)

    def write(self) -> None:
        from onnx import TensorProto

        graph = self.view.graph
        for i, node in enumerate(self.view.nodes):
            inside = i in self.half
            for k, name in enumerate(node.input):
                if name and self.view.types.get(name) == FLOAT:
                    node.input[k] = self._as(name, inside)
            if inside:
                for k, name in enumerate(node.output):
                    if name in self.view.outputs:
                        self.renamed[name] = node.output[k] = f"{name}__{self.precision}"
            self.nodes.append(node)
            for name in [*self.renamed]:
                if self.renamed[name] in node.output:
                    self._cast(self.renamed[name], name, TensorProto.FLOAT)
                    self.copies[name, False] = name
        del graph.node[:]
        graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        constants = [t for t in graph.initializer if t.name in used]
        del graph.initializer[:]
        graph.initializer.extend(constants)
        del graph.value_info[:]  # of the old types

    def _as(self, name: str, wanted: bool) -> str:
        """Name under which the value is found in the wanted type."""
        if (self.view.producer.get(name, -1) in self.half) == wanted:
            return self.renamed.get(name, name) if wanted else name
        if (name, wanted) not in self.copies:
            self.copies[name, wanted] = self._copy(name, wanted)
        return self.copies[name, wanted]

    def _copy(self, name: str, wanted: bool) -> str:
        from onnx import TensorProto

        copy = f"{name}__{self.precision if wanted else 'fp32'}"
        if not wanted:
            self._cast(self.renamed.get(name, name), copy, TensorProto.FLOAT)
        elif name in self.view.constants:
            self.view.graph.initializer.append(_half_constant(self.view.array(name), copy, self.precision))
        else:
            self._cast(name if name in self.bounded else self._clipped(name), copy, self.type)
        return copy

    def _cast(self, name: str, to: str, kind: int) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node("Cast", [name], [to], name=f"cast_{to}", to=kind))

    def _clipped(self, name: str) -> str:
        """The value within the range of fp16; bf16 has that of fp32."""
        if self.precision != "fp16":
            return name
        from onnx import helper, numpy_helper

        low, high = "fp16_lowest", "fp16_highest"
        if not any(t.name == low for t in self.view.graph.initializer):
            for bound, value in ((low, -self.largest), (high, self.largest)):
                self.view.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), bound))
        self.nodes.append(helper.make_node("Clip", [name, low, high], [f"{name}__clipped"], name=f"clip_{name}"))
        return f"{name}__clipped"


def _half_constant(array: np.ndarray, name: str, precision: str) -> onnx.TensorProto:
    from onnx import TensorProto, numpy_helper

    if precision == "fp16":
        return numpy_helper.from_array(array.astype(np.float16), name)
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to nearest, ties to even
    data = rounded.astype("<u2").tobytes()
    return TensorProto(name=name, dims=array.shape, data_type=TensorProto.BFLOAT16, raw_data=data)


def _written(model: onnx.ModelProto) -> bytes:
    """The model as bytes, after the checks of onnx."""
    onnx = load_onnx()
    onnx.checker.check_model(model)
    _inferred(model)
    return bytes(model.SerializeToString())


def _bad_graph(found: str, expected: str = "a plain ONNX graph of a Vigil bundle") -> BadInput:
    return BadInput(expected, found, "export the model again with this version of Vigil")
