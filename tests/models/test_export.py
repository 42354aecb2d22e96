"""The exported bundle: operators, agreement with torch, masks, batches, verification."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import onnx
import pytest
import torch

from models.export import (
    FORBIDDEN_OPERATORS,
    BundleText,
    append_to_card,
    example_inputs,
    export_bundle,
    golden_inputs,
    operators,
    run_torch,
)
from models.physiome import PhysioME, has_adapters
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.engine import Engine
from models.runtime.golden import golden_difference
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.spec import BOTH_IMPUTERS, CHOICE_INPUT, OUTPUTS, BundleSpec
from models.signals.errors import BadInput
from models.signals.windows import CONTEXT_FIELDS, Window
from tests.models.small import CI

SKIPPED = ("tokens",)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small model with LoRA in it, exported once."""
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = PhysioME(CI)
    model.freeze_encoders(4, 4.0, 0.1)
    with torch.no_grad():
        model.bedside.pressure.out.weight.normal_(std=0.1)
        for name, parameter in model.encoders.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("bundle")
    inputs = example_inputs(CI, 3, seed=1) | {CHOICE_INPUT: np.array([True, False, True])}
    before = run_torch(model, inputs)
    export_bundle(model, folder, BundleText("tiny", "0", "nothing", "test", "# card"), BOTH_IMPUTERS)
    return model, folder, inputs, before


def test_merging_lora_changes_nothing(exported):
    model, _, inputs, before = exported
    assert not has_adapters(model)
    after = run_torch(model, inputs)
    for name in OUTPUTS:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-4)


def test_no_control_flow_and_no_name_of_this_machine(exported):
    graph = onnx.load(str(exported[1] / "model.onnx"))
    assert not operators(graph) & FORBIDDEN_OPERATORS
    assert {"MatMul", "Softmax", "Where", "Conv"} <= operators(graph)
    text = (exported[1] / "model.onnx").read_bytes()
    assert b"site-packages" not in text and b"models/physiome.py" not in text
    batches = {i.name: i.type.tensor_type.shape.dim[0].dim_param for i in graph.graph.input}
    assert set(batches.values()) == {"batch"}
    assert all(init.external_data == [] or not init.external_data for init in graph.graph.initializer)


def test_onnx_runtime_equals_torch_on_golden_and_any_batch(exported):
    model, folder, inputs, _ = exported
    bundle = load_bundle(folder)
    backend = OnnxBackend(bundle.model_path, bundle.spec, threads=1)
    assert golden_difference(bundle, backend) < 1e-4
    assert set(bundle.golden()) == set(golden_inputs(CI, BOTH_IMPUTERS))
    whole, reference = backend.run(inputs), run_torch(model, inputs)
    for name in OUTPUTS:
        scale = max(1.0, float(np.abs(reference[name]).max()))
        assert np.abs(whole[name] - reference[name]).max() / scale < 1e-4, name
        for i in range(3):
            single = backend.run({key: value[i : i + 1] for key, value in inputs.items()})
            assert np.abs(single[name][0] - whole[name][i]).max() / scale < 1e-5, name


def test_golden_cases_prove_the_mask(exported):
    golden = load_bundle(exported[1]).golden()
    for imputer in ("", "selfmask_"):
        nan, huge, plain = (golden[f"{imputer}frames_absent{end}"][1] for end in ("_nan", "_1e30", ""))
        for name in set(OUTPUTS) - set(SKIPPED):
            assert np.array_equal(nan[name], huge[name]) and np.array_equal(nan[name], plain[name]), name
    assert np.isnan(golden["frames_absent_nan"][0]["abp"]).any()
    assert not np.array_equal(golden["no_abp"][1]["risk"], golden["all_present"][1]["risk"])


def test_golden_cases_hold_both_imputers(exported):
    """Only the choice differs between a case and its twin; where nothing is absent it has no say."""
    _, folder, inputs, _ = exported
    golden = load_bundle(folder).golden()
    twins = [name for name in golden if name.startswith("selfmask_")]
    assert len(twins) == len([name for name, (given, _) in golden.items() if not given["presence"].all()]) / 2 > 6
    for twin in twins:
        (one, a), (other, b) = golden[twin], golden[twin.removeprefix("selfmask_")]
        assert all(np.array_equal(one[n], other[n], equal_nan=one[n].dtype != bool) for n in one if n != CHOICE_INPUT)
        assert one[CHOICE_INPUT].all() and not other[CHOICE_INPUT].any()
        assert np.abs(a["fused"] - b["fused"]).max() > 1e-3, twin
    backend = OnnxBackend(folder / "model.onnx", load_bundle(folder).spec, threads=1)
    chosen, other = backend.run(inputs), backend.run(inputs | {CHOICE_INPUT: ~inputs[CHOICE_INPUT]})
    assert all(np.array_equal(chosen[name], other[name]) for name in set(OUTPUTS) - {"restored_tokens"})


def test_an_engine_serves_the_imputer_it_was_asked_for(exported):
    bundle = load_bundle(exported[1])
    spec = bundle.window_spec
    signals = np.full((4, spec.samples), np.nan, np.float32)
    context = np.full((4, len(CONTEXT_FIELDS)), np.nan, np.float32)
    window = Window(100, signals, np.zeros((4, CI.frames), bool), np.zeros((4, spec.window_s), bool), context)
    for imputer in BOTH_IMPUTERS:
        engine = Engine(bundle, OnnxBackend(bundle.model_path, bundle.spec, threads=1), imputer)
        assert engine.inputs([window, window])[CHOICE_INPUT].tolist() == 2 * [imputer == "selfmask"]
        (prediction,) = engine.predict([window])
        assert prediction.valid and prediction.abstain


def test_a_bundle_of_one_imputer_neither_needs_nor_takes_a_choice(exported):
    plain = json.loads((exported[1] / "spec.json").read_text(encoding="utf-8"))
    del plain["imputers"]  # as in bundles from before there were two
    spec = msgspec.json.decode(json.dumps(plain), type=BundleSpec)
    assert spec.imputers == ("restoration",)
    with pytest.raises(BadInput, match="restoration"):
        Engine(Bundle(exported[1], spec, "0" * 12), None, "selfmask")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="selfmask"):  # the graph asks for what the spec does not know
        OnnxBackend(exported[1] / "model.onnx", spec, threads=1)


def test_graph_does_not_grow_with_the_batch(exported):
    """A constant folded at the example's batch of 2 would make other batches fail or repeat rows."""
    _, folder, _, _ = exported
    bundle = load_bundle(folder)
    backend = OnnxBackend(bundle.model_path, bundle.spec, threads=1)
    for batch in (1, 5):
        out = backend.run(example_inputs(CI, batch, seed=9) | {CHOICE_INPUT: np.zeros(batch, np.bool_)})
        assert out["risk"].shape == (batch, 3)
        assert batch == 1 or np.abs(np.diff(out["fused"], axis=0)).max() > 1e-4


def test_a_damaged_bundle_is_refused(exported, tmp_path):
    for file in exported[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    append_to_card(tmp_path, "## More\n\nfigures")
    assert "## More" in (load_bundle(tmp_path).path / "card.md").read_text(encoding="utf-8")
    card = tmp_path / "card.md"
    card.write_text("other", encoding="utf-8")
    with pytest.raises(BadInput, match=r"card\.md"):
        load_bundle(tmp_path)
