"""A bundle in parts: what ONNX Runtime computes part by part, with frames kept, is what the whole graph gives."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.offline import drive
from models.data.simulator import open_demo
from models.export import OPSET, seal
from models.export_parts import expand_elu
from models.runtime.backend import RuntimeOptions
from models.runtime.bundle import PARTS, Bundle, load_bundle
from models.runtime.engine import Engine
from models.runtime.graph_fusion import lift_convolutions
from models.runtime.inputs import InputForm
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.spec import BOTH_IMPUTERS
from models.runtime.torch_backend import TorchBackend
from models.runtime.torch_backend import load as load_torch
from models.signals.channels import map_channels
from models.signals.errors import BackendFailed, BackendUnavailable, BadInput
from models.signals.modalities import Modality
from tests.models.exported import CONFIG

pytestmark = pytest.mark.timeout(300)  # the export may happen here


@pytest.fixture(scope="module")
def bundle(exported) -> Bundle:
    return load_bundle(exported[1])


def backend(bundle: Bundle, **changes) -> OnnxBackend:
    return OnnxBackend(bundle.model_path, bundle.spec, threads=1, **changes)


def worst(one, other, presence) -> float:
    """Largest difference relative to each output's range (at least 1); tokens of absent frames are undefined."""
    found = 0.0
    for name, want in one.items():
        if name == "tokens":
            want, other = (
                np.where(presence[..., None], want, 0),
                other | {name: np.where(presence[..., None], other[name], 0)},
            )
        found = max(found, float(np.abs(want - other[name]).max()) / max(1.0, float(np.abs(want).max())))
    return found


def test_the_parts_agree_on_every_golden_case(bundle):
    whole, kept, none = backend(bundle, whole=True), backend(bundle), backend(bundle, kept_frames=0)
    assert whole.tally is None and bundle.spec.parts
    for case, (inputs, _) in bundle.golden().items():
        wanted = whole.run(inputs)
        for found in (kept.run(inputs), none.run(inputs)):
            assert worst(wanted, found, inputs["presence"]) < 1e-5, case
    assert none.tally.computed == none.tally.asked > 3 * kept.tally.computed > 0


@pytest.mark.parametrize("sizes", [[1], [5, 1, 3]])
def test_a_stream_with_losses_late_samples_and_a_seek_is_the_same(bundle, sizes):
    lost = {Modality.ABP: [(30.0, 33.0), (41.0, 50.0)], Modality.ECG: [(38.0, 39.0)]}
    patient = map_channels(open_demo("demo:seed=4,faults=on,duration=50"))
    windows = [w for _, out in drive(patient, CONFIG.window_spec, lost) for w in out.windows]
    windows = [*windows, *windows[:6]]  # a seek back
    engine, kept, whole = Engine(bundle, backend(bundle)), backend(bundle), backend(bundle, whole=True)
    rng, at, turn = np.random.default_rng(0), 0, 0
    while at < len(windows):
        part = windows[at : at + sizes[turn % len(sizes)]]
        at, turn = at + len(part), turn + 1
        inputs = engine.inputs(part)
        if turn % 3 == 0:  # something comes late, some of it as a gap that is held
            inputs["ecg"][:, rng.integers(0, CONFIG.samples, 3)] = [0.7, -0.2, np.nan]
        assert worst(whole.run(inputs), kept.run(inputs), inputs["presence"]) < 1e-5
    if sizes == [1]:  # each hop one new frame of ECG, ABP and EEG; all of the PPG, whose unit follows the last minute
        share = kept.tally.computed / kept.tally.asked
        assert share < 0.7


def test_weights_are_not_stored_twice(bundle):
    sizes = {name: (bundle.path / name).stat().st_size for name in (*PARTS, "model.onnx")}
    assert sum(sizes[name] for name in PARTS) < sizes["model.onnx"]
    for name in PARTS:
        graph = onnx.load(str(bundle.path / name), load_external_data=False)
        for tensor in graph.graph.initializer:
            entries = {e.key: e.value for e in tensor.external_data}
            assert len(tensor.raw_data) < 1024 or not entries
            assert not entries or entries["location"] == "model.onnx"


def test_a_bundle_from_before_there_were_parts_runs_whole(bundle, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(bundle.path, old)
    for name in PARTS:
        (old / name).unlink()
    spec = json.loads((old / "spec.json").read_text(encoding="utf-8"))
    del spec["parts"]
    (old / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    seal(old)
    loaded = load_bundle(old)
    assert not loaded.spec.parts and backend(loaded).tally is None


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_missing_or_altered_is_refused(bundle, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    (copy / name).write_bytes((copy / name).read_bytes() + b"x")
    with pytest.raises(BadInput, match="altered or damaged"):
        load_bundle(copy)
    (copy / name).unlink()
    seal(copy)
    with pytest.raises(BadInput, match="as its spec says"):
        load_bundle(copy)


def test_the_form_that_onnx_runtime_likes_is_the_same_function():
    """A convolutional network with a residual and both poolings, as the frame networks have."""
    rng = np.random.default_rng(0)
    kernels = {"a": (8, 1, 7), "b": (8, 8, 3), "c": (12, 8, 1)}
    constants = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in kernels.items()]
    constants.append(numpy_helper.from_array(np.array([1]), "one"))
    nodes = [
        helper.make_node("Unsqueeze", ["x", "one"], ["x1"]),
        helper.make_node("Conv", ["x1", "a"], ["s"], kernel_shape=[7], strides=[2], pads=[3, 3]),
        helper.make_node("Elu", ["s"], ["s1"]),
        helper.make_node("MaxPool", ["s1"], ["s2"], kernel_shape=[3], strides=[2], pads=[1, 1]),
        helper.make_node("Conv", ["s2", "b"], ["t"], kernel_shape=[3], pads=[1, 1]),
        helper.make_node("Add", ["t", "s2"], ["u"]),
        helper.make_node("Elu", ["u"], ["v"]),
        helper.make_node("Conv", ["v", "c"], ["w"], kernel_shape=[1]),
        helper.make_node("Elu", ["w"], ["z"]),
        helper.make_node("ReduceMean", ["z", "two"], ["y"], keepdims=0),
    ]
    constants.append(numpy_helper.from_array(np.array([2]), "two"))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["f", w]) for n, w in (("x", 40), ("y", 12))]
    plain = helper.make_model(
        helper.make_graph(nodes, "net", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", OPSET)]
    )
    changed = onnx.shape_inference.infer_shapes(plain)
    lift_convolutions(changed.graph)
    expand_elu(changed.graph)
    del changed.graph.value_info[:]
    assert not any(n.op_type == "Elu" for n in changed.graph.node)
    x = 3 * rng.standard_normal((5, 40)).astype(np.float32)
    one, other = (
        onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for m in (plain, changed)
    )
    np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"abp": None}, "no abp"),
        ({"spo2": np.zeros((2, 10), np.float32)}, "an unknown spo2"),
        ({"ecg": np.zeros((2, 7), np.float32)}, r"found float32 \[2, 7\]"),
        ({"ecg": np.zeros((2, CONFIG.samples))}, "found float64"),
        ({"presence": np.zeros((2, 4, CONFIG.frames), np.float32)}, "bool .* for the input presence"),
        ({"context": np.zeros((1, 4, 9), np.float32)}, "input context"),
        ({"presence": np.zeros((0, 4, CONFIG.frames), np.bool_)}, "an empty one"),
    ],
)
def test_wrong_inputs_are_one_sentence(bundle, change, words):
    inputs = InputForm.of(bundle.spec).nothing(2) | change
    for name in [name for name, value in inputs.items() if value is None]:
        del inputs[name]
    with pytest.raises(BadInput, match=words):
        backend(bundle).run(inputs)


def test_a_library_that_fails_is_the_backends_failure(bundle):
    broken = backend(bundle)

    class Session:
        def run(self, *_):
            raise ValueError("[ONNXRuntimeError] : 6 : out of memory\nmore")

    broken._session = Session()
    with pytest.raises(BackendFailed, match=r"out of memory$"):
        broken.run(InputForm.of(bundle.spec).nothing(1))


# -- torch as a backend ------------------------------------------------------------------------------------------------


def test_torch_runs_the_same_inputs(exported, bundle):
    torch_backend = TorchBackend(exported[0], bundle, "PyTorch")
    inputs, expected = bundle.golden()["frames_absent_nan"]
    found = torch_backend.run(inputs)
    assert all(np.allclose(found[name], values, rtol=1e-5, atol=1e-5) for name, values in expected.items())
    with pytest.raises(BadInput, match="no abp"):
        torch_backend.run({n: v for n, v in inputs.items() if n != "abp"})


def test_torch_needs_the_run_that_the_bundle_lies_in(bundle, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(bundle.path, run / "bundle")
    with pytest.raises(BackendUnavailable, match=r"model\.safetensors"):
        load_torch(load_bundle(run / "bundle"), RuntimeOptions())
    (run / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BackendUnavailable, match="cannot read the model"):
        load_torch(load_bundle(run / "bundle"), RuntimeOptions())


def test_every_subset_and_saturation_is_among_the_golden_cases(bundle):
    golden = bundle.golden()
    for imputer in ("", "selfmask_"):
        subsets = {
            tuple(inputs["presence"][0].any(axis=1))
            for case, (inputs, _) in golden.items()
            if case.startswith(imputer) and inputs["presence"].any(axis=2).sum() == inputs["presence"].all(axis=2).sum()
        }
        assert len(subsets) >= 2**4 - 1
    assert np.abs(golden["saturated"][0]["abp"]).min() >= 1e5
    assert bundle.spec.imputers == BOTH_IMPUTERS
