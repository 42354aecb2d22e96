"""Half-precision variants agree with the fp32 graph, and only the trunk is half: of the shipped graph that has all,
imputers and memory."""

from __future__ import annotations

import math
import sys
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.runtime.backend import Arrays
from models.runtime.bundle import IMPUTING_BUNDLE, load_bundle
from models.runtime.graph_checks import graph_faults
from models.runtime.graph_regions import GraphView, bounded_values, weighs
from models.runtime.precision import arranged, parsed, variant
from models.signals.errors import BackendUnavailable, BadInput

LIMITS = {
    # measured on the golden cases, with some room: mmHg, probability, index, mV, log10 uV² and Hz, and widths of tokens
    # (of the pressure wave the most where nothing tells its beats: next to nothing is drawn, and sized)
    "risk": 1e-4, "risk_lo": 1e-4, "risk_hi": 1e-4, "pressure": 0.06, "depth": 0.03, "abp_wave": 0.4,
    "ppg_wave": 3e-3, "ecg_wave": 1e-3, "eeg_features": 8e-3, "tokens": 0.02, "restored_tokens": 0.015, "fused": 0.012,
}  # fmt: skip
_HALF = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


@cache
def shipped() -> bytes:
    return (IMPUTING_BUNDLE / "model.onnx").read_bytes()


@cache
def half(precision: str = "fp16") -> bytes:
    return variant(shipped(), precision)  # type: ignore[arg-type]


def session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(running: onnxruntime.InferenceSession, inputs: Arrays) -> Arrays:
    names = [o.name for o in running.get_outputs()]
    return dict(zip(names, running.run(None, inputs), strict=True))


@pytest.fixture(scope="module")
def reference() -> onnxruntime.InferenceSession:
    return session(shipped())


@pytest.fixture(scope="module")
def halved() -> onnxruntime.InferenceSession:
    return session(half())


def view_of(graph: bytes) -> GraphView:
    return GraphView(onnx.shape_inference.infer_shapes(parsed(graph)).graph)


def difference(found: Arrays, wanted: Arrays, presence: np.ndarray) -> dict[str, float]:
    """Largest difference by output; of encoder tokens where they are defined."""
    worst = {}
    for name, value in wanted.items():
        apart = np.abs(found[name].astype(np.float64) - value)
        worst[name] = float((apart * presence[..., None] if name == "tokens" else apart).max())
    return worst


# -- against fp32 ------------------------------------------------------------------------------------------------------


def test_fp16_agrees_with_fp32_on_every_golden_case(reference, halved):
    for case, (inputs, _) in load_bundle(IMPUTING_BUNDLE).golden().items():
        wanted, found = run(reference, inputs), run(halved, inputs)
        worst = difference(found, wanted, inputs["presence"])
        assert all(math.isfinite(v) for v in worst.values()), case
        assert not {n: v for n, v in worst.items() if v > LIMITS[n]}, case
        assert any(worst[n] > 0 for n in ("risk", "fused", "tokens")) or not inputs["presence"].any(), case


def test_the_fp16_graph_sees_nothing_under_the_mask(halved):
    golden = load_bundle(IMPUTING_BUNDLE).golden()
    plain, nan, huge = (run(halved, golden[f"frames_absent{end}"][0]) for end in ("", "_nan", "_1e30"))
    for name in set(plain) - {"tokens"}:
        assert np.array_equal(plain[name], nan[name]) and np.array_equal(plain[name], huge[name]), name


def test_numbers_beyond_fp16_stay_finite(reference, halved):
    """A plethysmogram counted in millions, a pressure amplifier gone mad and a memory that cannot be."""
    inputs = {k: v.copy() for k, v in load_bundle(IMPUTING_BUNDLE).golden()["no_abp"][0].items()}
    inputs["ppg"] = inputs["ppg"] * 1e6
    inputs["context"][0, 2, :2] *= 1e6
    inputs["context"][0, 2, 3:6] *= 1e6
    wanted, found = run(reference, inputs), run(halved, inputs)
    assert np.abs(found["risk"] - wanted["risk"]).max() < 1e-3
    assert np.abs(found["ppg_wave"] / 1e6 - wanted["ppg_wave"] / 1e6).max() < 0.02
    inputs["eeg"][:] = 1e9
    inputs["memory"][:] = 1e6
    found = run(halved, inputs)
    assert all(np.isfinite(v).all() for v in found.values())


@pytest.mark.parametrize("batch", [3])
def test_the_fp16_graph_takes_any_batch(halved, batch):
    cases = [inputs for inputs, _ in load_bundle(IMPUTING_BUNDLE).golden().values()][:batch]
    together = run(halved, {name: np.concatenate([c[name] for c in cases]) for name in cases[0]})
    for row, case in enumerate(cases):
        alone = run(halved, case)
        assert difference({n: v[row : row + 1] for n, v in together.items()}, alone, case["presence"])["risk"] < 1e-4


def test_the_changes_of_form_alone_change_nothing(reference):
    """Side by side, in two dimensions, with one projection: the same numbers in fp32."""
    changed = session(arranged(shipped()))
    golden = load_bundle(IMPUTING_BUNDLE).golden()
    for case in ("all_present", "frames_absent", "selfmask_no_abp", "all_absent"):
        inputs = golden[case][0]
        wanted, found = run(reference, inputs), run(changed, inputs)
        for name, value in difference(found, wanted, inputs["presence"]).items():
            assert value < 2e-5 * max(1.0, float(np.abs(wanted[name]).max())), (case, name)


# -- what is half ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_trunk_is_half_and_the_rest_is_not(precision):
    view = view_of(half(precision))
    kinds = {name: view.types[name] for name in view.types}

    def kind(name: str) -> int:
        return kinds[name]

    attentions = [n for n in view.nodes if n.op_type == "Softmax"]
    assert sum(n.op_type == "Softmax" for n in parsed(shipped()).graph.node) == 22
    # Encoders, decoders, and SelfMask with pass 1 are side by side, pass 2 is alone: two layers each.
    assert len(attentions) == 8
    for softmax in attentions:  # scores, bias, weights and values: otherwise TensorRT does not fuse
        assert weighs(view, softmax) and kind(softmax.input[0]) == kind(softmax.output[0]) == _HALF[precision]
    for node in view.nodes:
        if node.op_type == "LayerNormalization":
            assert {kind(n) for n in (*node.input, node.output[0])} == {TensorProto.FLOAT}
        if node.op_type in {"Exp", "Log", "Softplus", "Sigmoid", "Tanh", "ReduceMean", "GatherElements"}:
            assert kind(node.output[0]) == TensorProto.FLOAT, node.op_type
    names = {n.input[2]: n for n in view.nodes if n.op_type == "Gemm"}
    for part in ("pressure", "hypotension", "depth", "eeg_features"):  # probabilities and mmHg
        heads = [name for name in view.constants if name.startswith(f"model.heads.{part}.")]
        assert heads and all(kind(name) == TensorProto.FLOAT for name in heads), part
    assert names
    convolutions = [n for n in view.nodes if n.op_type == "Conv"]
    small = [n for n in convolutions if kind(n.output[0]) == TensorProto.FLOAT]
    assert len(small) == 1 and len(convolutions) > 20  # the filter that spreads beats, compared with thresholds
    products = [n for n in view.nodes if n.op_type in {"MatMul", "Gemm"}]
    assert sum(kind(n.output[0]) == TensorProto.FLOAT for n in products) < 16 and len(products) > 70


def test_faces_keep_their_types_and_names():
    before = parsed(shipped()).graph
    for precision in ("fp16", "bf16"):
        after = parsed(half(precision)).graph
        for old, new in ((before.input, after.input), (before.output, after.output)):
            assert [(v.name, v.type.tensor_type.elem_type) for v in old] == [
                (v.name, v.type.tensor_type.elem_type) for v in new
            ]
    assert variant(shipped(), "fp32") == shipped()


def test_a_cast_to_fp16_is_bounded_or_clipped():
    view = view_of(half())
    bounded = bounded_values(view, 65504.0)
    casts = [n for n in view.nodes if n.op_type == "Cast" and view.types[n.output[0]] == TensorProto.FLOAT16]
    assert len(casts) > 20 and all(n.input[0] in bounded for n in casts)


def test_the_mask_bias_stays_a_number_of_fp16():
    view = view_of(half())
    lowest = min(
        float(np.min(view.array(name).astype(np.float64), initial=0.0))
        for name, tensor in view.constants.items()
        if tensor.data_type == TensorProto.FLOAT16
    )
    assert lowest == -1e4


def test_bf16_constants_are_rounded_to_nearest():
    view, original = view_of(half("bf16")), view_of(arranged(shipped()))
    checked = 0
    for name, tensor in view.constants.items():
        source = name.removesuffix("__bf16")
        if tensor.data_type != TensorProto.BFLOAT16 or source not in original.constants:
            continue
        whole, rounded = original.array(source), numpy_helper.to_array(tensor).astype(np.float32)
        assert np.all(np.abs(rounded - whole) <= np.abs(whole) * 2.0**-8 + 1e-38), name
        checked += 1
    assert checked > 100


def test_bf16_computes_the_same_as_fp32_but_for_rounding():
    """ONNX Runtime has no bf16 on the CPU: the reference evaluator of onnx runs an attention of the house's form."""
    from onnx.reference import ReferenceEvaluator

    graph, inputs = attention_graph(7, 16, 2), _attention_inputs(7, 16)
    (wanted,) = session(graph).run(None, inputs)
    for precision, limit in (("bf16", 0.1), ("fp16", 0.01)):
        halved = variant(graph, precision)  # type: ignore[arg-type]
        assert any(n.op_type == "Softmax" for n in parsed(halved).graph.node)
        (found,) = ReferenceEvaluator(parsed(halved)).run(None, inputs)
        assert 0 < np.abs(found - wanted).max() < limit


def attention_graph(tokens: int, width: int, heads: int, lanes: int = 1, chained: bool = False) -> bytes:
    """Attentions in the house's form; ``chained``: each asks about what the one before it gave."""
    rng = np.random.default_rng(0)
    split, join = [-1, tokens, heads, width // heads], [-1, tokens, width]
    constants: dict[str, np.ndarray] = {"zero": np.float32(0), "low": np.float32(-1e4), "scale": np.float32(0.35)}
    shapes = {"split": split, "join": join, "axes": [1, 2]}
    nodes = [
        helper.make_node("Where", ["keep", "zero", "low"], ["bias0"]),
        helper.make_node("Unsqueeze", ["bias0", "axes"], ["bias"]),
    ]
    for i in range(lanes):
        source = f"y{i - 1}" if chained and i else f"x{i}"
        sizes = {"wq": (width, width), "bq": (width,), "wkv": (width, 2 * width), "wo": (width, width)}
        sizes |= {"gain": (width,), "move": (width,)}
        constants |= {f"{name}{i}": rng.standard_normal(size) * 0.2 for name, size in sizes.items()}
        for operator, inputs, outputs, attributes in (
            ("LayerNormalization", [source, "gain", "move"], ["n"], {"axis": -1}),
            ("MatMul", ["n", "wq"], ["q0"], {}),
            ("Add", ["q0", "bq"], ["q1"], {}),
            ("Mul", ["q1", "scale"], ["q2"], {}),
            ("MatMul", ["n", "wkv"], ["kv"], {}),
            ("Split", ["kv"], ["k0", "v0"], {"axis": 2, "num_outputs": 2}),
            ("Reshape", ["q2", "split"], ["qh"], {}),
            ("Reshape", ["k0", "split"], ["kh"], {}),
            ("Reshape", ["v0", "split"], ["vh"], {}),
            ("Transpose", ["qh"], ["q"], {"perm": [0, 2, 1, 3]}),
            ("Transpose", ["kh"], ["k"], {"perm": [0, 2, 3, 1]}),
            ("Transpose", ["vh"], ["v"], {"perm": [0, 2, 1, 3]}),
            ("MatMul", ["q", "k"], ["s"], {}),
            ("Add", ["s", "bias"], ["sb"], {}),
            ("Softmax", ["sb"], ["w"], {"axis": -1}),
            ("MatMul", ["w", "v"], ["o"], {}),
            ("Transpose", ["o"], ["ot"], {"perm": [0, 2, 1, 3]}),
            ("Reshape", ["ot", "join"], ["oj"], {}),
            ("MatMul", ["oj", "wo"], ["p"], {}),
            ("Add", [source, "p"], ["r"], {}),
            ("LayerNormalization", ["r", "gain", "move"], ["y"], {"axis": -1}),
        ):
            common = {"zero", "low", "scale", "bias", source, *shapes}
            own = [[n if n in common else f"{n}{i}" for n in names] for names in (inputs, outputs)]
            nodes.append(helper.make_node(operator, *own, **attributes))
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()]
    tensors += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in shapes.items()]
    kind = (TensorProto.FLOAT, ["batch", tokens, width])
    inputs = {f"x{i}": kind for i in range(1 if chained else lanes)} | {"keep": (TensorProto.BOOL, ["batch", tokens])}
    return _model(nodes, inputs, {f"y{i}": kind for i in range(lanes)}, tensors)


def _attention_inputs(tokens: int, width: int, lanes: int = 1) -> Arrays:
    rng = np.random.default_rng(1)
    keep = np.arange(tokens) < np.array([[tokens], [tokens // 2]])
    return {f"x{i}": rng.standard_normal((2, tokens, width)).astype(np.float32) for i in range(lanes)} | {"keep": keep}


@pytest.mark.parametrize(("chained", "attentions"), [(False, 1), (True, 3)])
def test_transformers_of_one_form_are_done_side_by_side(chained, attentions):
    """Unless one needs what another gives."""
    graph = attention_graph(7, 16, 2, lanes=3, chained=chained)
    inputs = _attention_inputs(7, 16, lanes=1 if chained else 3)
    wanted = session(graph).run(None, inputs)
    merged = arranged(graph)
    assert sum(n.op_type == "Softmax" for n in parsed(merged).graph.node) == attentions
    for found, value in zip(session(merged).run(None, inputs), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5)
    for found, value in zip(session(variant(graph, "fp16")).run(None, inputs), wanted, strict=True):
        assert 0 < np.abs(found - value).max() < 0.02


def _model(nodes, inputs, outputs, constants=()) -> bytes:
    faces = [[helper.make_tensor_value_info(n, k, s) for n, (k, s) in face.items()] for face in (inputs, outputs)]
    graph = helper.make_graph(nodes, "test", *faces, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def test_another_form_of_attention_is_left_alone_and_still_halved():
    graph = parsed(attention_graph(7, 16, 2))
    for node in graph.graph.node:
        if node.op_type == "Mul":
            node.op_type = "Div"
    other = graph.SerializeToString()
    halved = variant(other, "fp16")
    assert sum(n.op_type == "MatMul" for n in parsed(halved).graph.node) == 5
    inputs = _attention_inputs(7, 16)
    assert np.abs(session(halved).run(None, inputs)[0] - session(other).run(None, inputs)[0]).max() < 0.02


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_made_is_said_in_one_sentence(monkeypatch):
    for junk in (b"", b"no graph", shipped()[:5000]):
        for precision in ("fp32", "fp16"):
            with pytest.raises(BadInput, match="ONNX graph"):
                variant(junk, precision)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendUnavailable, match=r"pip install -e '\.\[gpu\]'"):
        variant(shipped(), "fp16")


# -- what a graph may hold ---------------------------------------------------------------------------------------------


def test_the_shipped_graph_and_its_variants_hold_only_what_every_engine_runs():
    for graph in (shipped(), half(), half("bf16")):
        assert graph_faults(graph) == []


def _faulty(node, extra=(), constants=(), shape=("batch", 3)) -> list[str]:
    nodes = [*extra, node]
    return graph_faults(_model(nodes, {"x": (TensorProto.FLOAT, shape)}, {"y": (TensorProto.FLOAT, None)}, constants))


def test_faults_of_a_graph_are_found():
    inner = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])], "inner", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    condition = numpy_helper.from_array(np.array(True), "c")
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    found = " ".join(_faulty(branch, constants=[condition]))
    assert "operator If" in found and "control flow" in found
    nonzero = [helper.make_node("NonZero", ["x"], ["i"])]
    assert "NonZero" in _faulty(helper.make_node("Cast", ["i"], ["y"], to=1), nonzero)[0]
    scores = [helper.make_node("Erf2", ["x"], ["e"], domain="com.example")]
    assert "com.example.Erf2" in _faulty(helper.make_node("Identity", ["e"], ["y"]), scores)[0]
    rows = numpy_helper.from_array(np.ones((2, 3), np.float32), "rows")
    assert "fixed shape [2, 3]" in " ".join(_faulty(helper.make_node("Add", ["x", "rows"], ["y"]), (), [rows]))
    two = numpy_helper.from_array(np.array([2, 3], np.int64), "two")
    assert "fixed shape [2, 3]" in " ".join(_faulty(helper.make_node("Reshape", ["x", "two"], ["y"]), (), [two]))
    assert "fixed shape" in " ".join(_faulty(helper.make_node("Identity", ["x"], ["y"]), shape=(2, 3)))
    cast = [helper.make_node("Cast", ["x"], ["s"], to=TensorProto.INT64)]
    flat = _faulty(helper.make_node("Reshape", ["x", "s"], ["y"]), cast, shape=("batch",))
    assert "depends on data: s" in " ".join(flat)
    padded = _faulty(helper.make_node("Pad", ["x", "s"], ["y"]), cast, shape=("batch",))
    assert "the shape of Pad  depends on data: s" in " ".join(padded)


def test_constants_in_another_file_are_refused(tmp_path):
    model = parsed(shipped())
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="weights", size_threshold=1024)
    outside = (tmp_path / "m.onnx").read_bytes()
    assert "another file" in graph_faults(outside)[0]
    inside = parsed(shipped())  # and in a node, where the checks of onnx do not look
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "kept elsewhere")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    inside.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))
    assert "kept elsewhere" in graph_faults(inside.SerializeToString())[-1]
    for graph in (outside, inside.SerializeToString()):
        for precision in ("fp32", "fp16"):
            with pytest.raises(BadInput, match="another file"):
                variant(graph, precision)  # type: ignore[arg-type]


# -- networks side by side ---------------------------------------------------------------------------------------------


def _two_networks() -> bytes:
    """Two sensors, each with a stem and two branches of kernels 3 and 5 that add what came in: a frame network."""
    rng = np.random.default_rng(3)
    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def layer(name: str, source: str, outputs: int, inputs: int, kernel: int, stride: int = 1) -> str:
        weight = constant(f"{name}.w", (rng.standard_normal((outputs, inputs, kernel)) * 0.3).astype(np.float32))
        bias = constant(f"{name}.b", rng.standard_normal(outputs).astype(np.float32))
        pads = [kernel // 2, kernel // 2]
        nodes.append(helper.make_node("Conv", [source, weight, bias], [name], pads=pads, strides=[stride]))
        return name

    def step(operator: str, name: str, *sources: str, **attributes: object) -> str:
        nodes.append(helper.make_node(operator, sources, [name], **attributes))
        return name

    axis, joined = constant("axis", np.array([2], np.int64)), []
    for m in ("a", "b"):
        stem = step("Elu", f"{m}s", layer(f"{m}stem", m, 4, 1, 7, 2))
        pooled = step("MaxPool", f"{m}p", stem, kernel_shape=[3], strides=[2], pads=[1, 1])
        branches = []
        for kernel in (3, 5):
            first = step("Elu", f"{m}{kernel}e", layer(f"{m}{kernel}c", pooled, 4, 4, kernel))
            added = step("Add", f"{m}{kernel}r", layer(f"{m}{kernel}d", first, 4, 4, kernel), pooled)
            branches.append(step("Elu", f"{m}{kernel}o", added))
        maps = step("Concat", f"{m}maps", *branches, axis=1)
        joined.append(step("ReduceMean", f"{m}mean", maps, axis, keepdims=0))
        joined.append(step("ReduceMax", f"{m}max", maps, axis, keepdims=0))
    step("Concat", "y", *joined, axis=1)
    faces = {name: (TensorProto.FLOAT, ["batch", 1, 40]) for name in ("a", "b")}
    return _model(nodes, faces, {"y": (TensorProto.FLOAT, ["batch", 32])}, constants)


def test_networks_of_one_form_are_done_side_by_side():
    graph = _two_networks()
    inputs = {n: np.random.default_rng(4).standard_normal((3, 1, 40)).astype(np.float32) for n in ("a", "b")}
    (wanted,) = session(graph).run(None, inputs)
    merged = parsed(arranged(graph)).graph
    convolutions = [n for n in merged.node if n.op_type == "Conv"]
    groups = [a.i for n in convolutions for a in n.attribute if a.name == "group"]
    assert groups == [2, 2, 4]  # of 10: stems, first and second convolutions of the branches
    assert sum(n.op_type == "Elu" for n in merged.node) == 3
    np.testing.assert_allclose(session(arranged(graph)).run(None, inputs)[0], wanted, rtol=1e-5, atol=1e-5)
    assert 0 < np.abs(session(variant(graph, "fp16")).run(None, inputs)[0] - wanted).max() < 0.01


def test_networks_that_feed_each_other_stay_apart():
    """Of one form, but the second sensor's network reads what the first one's gives."""
    graph = parsed(_two_networks())
    for node in graph.graph.node:
        node.input[:] = ["fed" if name == "b" else name for name in node.input]
    at = next(i for i, node in enumerate(graph.graph.node) if node.output[0] == "bstem")
    whole = numpy_helper.from_array(np.array([0, 1, 40], np.int64), "whole")
    four = numpy_helper.from_array(np.array([0, 1, 10], np.int64), "four")
    first = numpy_helper.from_array(np.array([0], np.int64), "first")
    times = numpy_helper.from_array(np.array([1, 1, 4], np.int64), "times")
    graph.graph.initializer.extend([whole, four, first, times])
    extra = [
        helper.make_node("Gather", ["a3o", "first"], ["one"], axis=1),
        helper.make_node("Tile", ["one", "times"], ["long"]),
        helper.make_node("Add", ["long", "b"], ["fed"]),
    ]
    nodes = [*graph.graph.node[:at], *extra, *graph.graph.node[at:]]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    chained = graph.SerializeToString()
    inputs = {n: np.random.default_rng(4).standard_normal((3, 1, 40)).astype(np.float32) for n in ("a", "b")}
    (wanted,) = session(chained).run(None, inputs)
    merged = arranged(chained)
    assert max(a.i for n in parsed(merged).graph.node for a in n.attribute if a.name == "group") <= 2
    np.testing.assert_allclose(session(merged).run(None, inputs)[0], wanted, rtol=1e-5, atol=1e-5)
