"""The exported bundle: operators, agreement with torch, masks, batches, verification."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import onnx
import pytest
import torch

from benchmarks.offline import drive
from models.data.simulator import open_demo
from models.export import BundleText, example_inputs, golden_inputs, input_names, run_torch, seal, write_graph
from models.making import demo
from models.physiome import has_adapters
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.engine import Engine
from models.runtime.golden import golden_difference
from models.runtime.graph_checks import graph_faults, operators
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.prediction import Prediction
from models.runtime.spec import BOTH_IMPUTERS, CHOICE_INPUT, MEMORY_INPUT, OUTPUTS, RESTORATION, BundleSpec
from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window
from tests.models.exported import CONFIG
from tests.models.small import CI

pytestmark = pytest.mark.timeout(300)  # whole evaluations and exports: minutes on a busy machine

SKIPPED = ("tokens",)  # undefined where absent
GIVEN = set(OUTPUTS) - set(SKIPPED)


def test_merging_lora_changes_nothing(exported):
    model, _, inputs, before = exported
    assert not has_adapters(model)
    after = run_torch(model, inputs)
    for name in OUTPUTS:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-4)


def test_no_control_flow_and_no_name_of_this_machine(exported):
    text = (exported[1] / "model.onnx").read_bytes()
    graph = onnx.load_model_from_string(text)
    assert graph_faults(text) == []
    assert {"MatMul", "Softmax", "Where", "Conv"} <= operators(graph)
    assert b"site-packages" not in text and b"models/physiome.py" not in text
    batches = {i.name: i.type.tensor_type.shape.dim[0].dim_param for i in graph.graph.input}
    assert set(batches.values()) == {"batch"}
    assert all(init.external_data == [] or not init.external_data for init in graph.graph.initializer)


class Sorted(torch.nn.Module):
    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return inputs[0].sort(dim=1).values


def test_a_graph_that_would_not_run_everywhere_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="the operator TopK is none of those"):
        write_graph(Sorted(), {"x": np.zeros((2, 5), np.float32)}, ["y"], tmp_path / "sorted.onnx")


@pytest.mark.parametrize("wrong", [False, True], ids=["in parts", "whole"])
def test_both_forms_of_the_graph_are_proved(exported, monkeypatch, wrong):
    """The bundle that is there passes; were the graph wrong in one of its forms, it would not."""

    class Wrong(OnnxBackend):
        def __init__(self, *given, whole: bool) -> None:
            super().__init__(*given, whole=whole)
            self.added = float(whole == wrong)

        def run(self, inputs):
            return {name: values + self.added for name, values in super().run(inputs).items()}

    model, folder, _, _ = exported
    monkeypatch.setattr(demo, "export_bundle", lambda *given: None)
    given = model, BundleText("", "", "", "", ""), folder, BOTH_IMPUTERS, lambda *progress: None
    assert demo.export(*given) == folder
    monkeypatch.setattr(demo, "OnnxBackend", Wrong)
    with pytest.raises(ArithmeticError, match="whole" if wrong else "in parts"):
        demo.export(*given)


def test_onnx_runtime_equals_torch_on_golden_and_any_batch(exported):
    model, folder, inputs, _ = exported
    bundle = load_bundle(folder)
    backend = OnnxBackend(bundle.model_path, bundle.spec, threads=1)
    assert golden_difference(bundle, backend) < 1e-4
    assert set(bundle.golden()) == set(golden_inputs(CONFIG, BOTH_IMPUTERS))
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
        for name in GIVEN:
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
    window = Window(100, signals, np.zeros((4, CONFIG.frames), bool), np.zeros((4, spec.window_s), bool), context)
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
        out = backend.run(example_inputs(CONFIG, batch, seed=9) | {CHOICE_INPUT: np.zeros(batch, np.bool_)})
        assert out["risk"].shape == (batch, 3)
        assert batch == 1 or np.abs(np.diff(out["fused"], axis=0)).max() > 1e-4


def test_a_damaged_bundle_is_refused(exported, tmp_path):
    for file in exported[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = tmp_path / "card.md"
    card.write_text("other", encoding="utf-8")
    with pytest.raises(BadInput, match=r"card\.md"):
        load_bundle(tmp_path)
    seal(tmp_path)
    assert (load_bundle(tmp_path).path / "card.md").read_text(encoding="utf-8") == "other"


# -- the token memory --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backend(exported):
    bundle = load_bundle(exported[1])
    return OnnxBackend(bundle.model_path, bundle.spec, threads=1)


def test_the_memory_is_the_last_input_of_a_model_that_has_one(exported):
    assert load_bundle(exported[1]).spec.memory
    assert input_names(CONFIG, BOTH_IMPUTERS)[-4:] == ["presence", "context", CHOICE_INPUT, MEMORY_INPUT]
    assert input_names(CONFIG)[-2:] == ["context", MEMORY_INPUT] and MEMORY_INPUT not in input_names(CI)
    assert set(golden_inputs(CI)) < set(golden_inputs(CONFIG)) and MEMORY_INPUT not in golden_inputs(CI)["all_absent"]


def test_golden_cases_prove_whose_memory_counts(exported, backend):
    """Of absent modalities it does, of wholly present ones no bit of it, NaN and 1e30 included; also in the graph."""
    golden = load_bundle(exported[1]).golden()
    for case in ("no_ecg", "selfmask_no_ecg", "all_present"):
        for word in ("memory_1e30", "memory_nan"):
            (plain, wanted), (inputs, expected) = golden[case], golden[f"{case}_{word}"]
            assert not np.array_equal(inputs[MEMORY_INPUT], plain[MEMORY_INPUT])
            served, found = backend.run(plain), backend.run(inputs)
            for output in GIVEN:
                assert np.array_equal(expected[output], wanted[output]), (case, word, output)
                assert np.array_equal(found[output], served[output]), (case, word, output)
    for case in ("no_ecg", "selfmask_no_ecg", "frames_absent", "all_absent", "selfmask_all_absent"):
        (nothing, never), (all_of_it, known) = golden[f"{case}_never"], golden[case]
        assert np.isnan(nothing[MEMORY_INPUT]).all() and np.isfinite(all_of_it[MEMORY_INPUT]).all()
        assert all(np.isfinite(never[output]).all() for output in GIVEN)
        assert np.abs(never["fused"] - known["fused"]).max() > 1e-3, case
    half, known, never = (golden[f"all_absent{w}"][1]["restored_tokens"][0] for w in ("_half_known", "", "_never"))
    np.testing.assert_allclose(half[1::2], known[1::2], rtol=1e-5, atol=1e-5)  # each row by its own memory
    np.testing.assert_allclose(half[::2], never[::2], rtol=1e-5, atol=1e-5)
    assert np.abs(known - never).max(axis=(1, 2)).min() > 1e-2


def test_a_spec_and_a_graph_that_differ_about_the_memory_are_refused(exported, tmp_path):
    path, spec = exported[1] / "model.onnx", load_bundle(exported[1]).spec
    for change in ({"memory": False}, {"token_width": 7}):
        with pytest.raises(BadInput, match="memory"):
            OnnxBackend(path, msgspec.structs.replace(spec, **change), threads=1)
    graph = onnx.load(str(path))
    float_, bool_ = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
    kinds = {m.value.lower(): float_ for m in CI.modalities} | {"presence": bool_, "context": float_}
    inputs = [onnx.helper.make_tensor_value_info(name, kind, ["batch"]) for name, kind in kinds.items()]
    outputs = [onnx.helper.make_tensor_value_info(name, float_, ["batch"]) for name in OUTPUTS]
    nodes = [onnx.helper.make_node("Identity", ["context"], [name]) for name in OUTPUTS]
    made = onnx.helper.make_graph(nodes, "without", inputs, outputs)
    onnx.save(
        onnx.helper.make_model(made, opset_imports=graph.opset_import, ir_version=graph.ir_version), tmp_path / "g"
    )
    forgetful = msgspec.structs.replace(spec, memory=False, imputers=(RESTORATION,), parts=False)
    OnnxBackend(tmp_path / "g", forgetful, threads=1)
    with pytest.raises(BadInput, match="memory"):
        OnnxBackend(tmp_path / "g", msgspec.structs.replace(forgetful, memory=True), threads=1)


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    """A recording of which the pressure fails, comes back and is lost for good, the plethysmogram gone for a while."""
    lost = {Modality.ABP: [(30.0, 34.0), (62.0, 90.0)], Modality.PPG: [(45.0, 48.0)]}
    patient = map_channels(open_demo("demo:seed=3,faults=off,duration=75"))
    found = [w for _, out in drive(patient, CONFIG.window_spec, lost) for w in out.windows]
    whole = [w.presence.all(axis=1) for w in found]
    assert 0 < sum(w[1] for w in whole) < len(found) - 20 and any(w.all() for w in whole)
    return found


def play(engine: Engine, windows: list[Window], sizes: list[int], keys: bool = True) -> list[Prediction]:
    found: list[Prediction] = []
    for turn in range(len(windows)):
        part = windows[len(found) : len(found) + sizes[turn % len(sizes)]]
        found += engine.predict(part, [("bed1", "s", 0)] * len(part) if keys else ())
    return found


def numbers(predictions: list[Prediction]) -> np.ndarray:
    rows = []
    for p in predictions:
        assert p.valid
        pressures = [i.value for i in p.pressures.values()] if p.pressures else [np.nan] * 3
        waves = {w.modality: w.values for w in p.restored}
        risk = [i.value for i in p.risk.values()] or [np.nan] * 3
        rows.append([*risk, *pressures, *(waves.get(Modality.ABP, np.full(150, np.nan)))])
    return np.array(rows)


@pytest.mark.parametrize("imputer", BOTH_IMPUTERS)
def test_the_same_recording_gives_the_same_in_any_batches(exported, backend, windows, imputer):
    bundle = load_bundle(exported[1])
    one_by_one = numbers(play(Engine(bundle, backend, imputer, widest_mmhg=1e9), windows, [1]))
    assert np.isfinite(one_by_one[:, 3:]).any()
    for sizes in ([16], [3, 7, 1, 11]):
        batched = numbers(play(Engine(bundle, backend, imputer, widest_mmhg=1e9), windows, sizes))
        np.testing.assert_allclose(batched, one_by_one, rtol=1e-4, atol=1e-4)
    forgetful = numbers(play(Engine(bundle, backend, imputer, widest_mmhg=1e9), windows, [16], keys=False))
    whole = np.array([w.presence.all() for w in windows])
    np.testing.assert_allclose(forgetful[whole], one_by_one[whole], rtol=1e-4, atol=1e-4)
    gone = np.array([70 <= w.end_s <= 75 for w in windows])  # young enough for the pressure to be estimated
    assert np.nanmin(np.nanmax(np.abs(forgetful - one_by_one)[gone], axis=1)) > 1


def test_the_memory_of_an_engine_is_the_mean_of_the_last_whole_window(exported, backend, windows):
    """Against the torch model's own tokens, not the graph's."""
    model, bundle = exported[0], load_bundle(exported[1])
    engine = Engine(bundle, backend)
    play(engine, windows, [5])
    remembered = engine.inputs(windows[-1:], [("bed1", "s", 0)])[MEMORY_INPUT][0]
    for row in range(len(CONFIG.modalities)):
        last = [w for w in windows if w.presence[row].all()][-1]
        tokens = run_torch(model, engine.inputs([last]))["tokens"][0, row]
        np.testing.assert_allclose(remembered[row], tokens.mean(0), rtol=1e-4, atol=1e-4)
