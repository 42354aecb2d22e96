"""The gate lets a sound backend through, and finds every way in which an engine may be wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.runtime.backend import Arrays, HasBuckets, Precision, Replays
from models.runtime.buckets import bucket_for, padded, portions
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.gate import LIMITS, GateResult, gate, rules_of, spot_check
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.spec import OUTPUTS
from tests.models.failing_backend import (
    FailingBackend,
    FailingEngine,
    Fault,
    example,
    leak,
    neighbours,
    raises,
    toy_bundle,
    wrong,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return toy_bundle(tmp_path_factory.mktemp("gate") / "toy")


def nan_in_a_row(inputs: Arrays, outputs: Arrays) -> Arrays:
    risk = np.array(outputs["risk"])
    risk[-1] = np.nan
    return outputs | {"risk": risk}


def unsteady() -> Fault:
    rng = np.random.default_rng(0)

    def fault(inputs: Arrays, outputs: Arrays) -> Arrays:
        return outputs | {"depth": outputs["depth"] + np.float32(rng.uniform(0, 1e-3))}

    return fault


def test_a_sound_engine_passes_and_the_result_survives_storage(bundle: Bundle) -> None:
    engine = FailingEngine()
    assert isinstance(engine, HasBuckets) and isinstance(engine, Replays)
    result = gate(bundle, engine)
    assert result.passed and result.reason == ""
    assert result.buckets == [1, 2, 4, 8] and result.cases == 10
    assert set(result.worst) == set(OUTPUTS) - {"tokens"}
    assert msgspec.json.decode(msgspec.json.encode(result), type=GateResult) == result
    assert "10 cases in batches of 1, 2, 4, 8" in result.words()
    assert max(engine.launches) == 8 and len(engine.launches) < 120


def test_a_sound_backend_without_buckets_passes(bundle: Bundle) -> None:
    backend = FailingBackend()
    assert not isinstance(backend, HasBuckets)
    assert gate(bundle, backend).passed and set(backend.launches) == {1, 3, 32}
    backend.launches.clear()
    assert spot_check(bundle, backend).passed and backend.launches == [8]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (wrong("pressure", 0.2), r"case all_present in batches of 1: pressure is off by 0\.2 mmHg, at most 0\.05"),
        (wrong("risk", 0.001, row=3, bucket=4), r"case no_ppg in batches of 4: risk is off by 0\.001, at most 0\.0005"),
        (wrong("depth", 0.5, bucket=8), r"in batches of 8: depth is off by 0\.5 points"),
        (wrong("ppg_wave", 0.01, row=0, bucket=2), r"in batches of 2: ppg_wave is off by .* of its size"),
        (wrong("fused", 0.01), r"fused is off by"),
        (wrong("eeg_features", 0.002), r"eeg_features is off by 0\.002 log10"),
        (nan_in_a_row, r"case all_present in batches of 1: risk is not finite"),
        (leak("ecg_wave", 1e-37), r"case no_ecg in batches of 1: ecg_wave changes with what lies under the mask"),
        (neighbours("depth", 0.04), r"in batches of 2: depth changes with padding or neighbours by 0\.0\d+ points"),
        (raises("out of memory"), r"a batch of 1 failed: out of memory"),
        (unsteady(), r"depth is not the same twice"),
    ],
    ids=["one output", "one row of one bucket", "one bucket", "wave", "representation", "column of an output",
         "not finite", "content", "neighbours", "raises", "not repeatable"],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(bundle: Bundle, fault: Fault, said: str) -> None:
    result = gate(bundle, FailingEngine(fault=fault))
    assert not result.passed
    assert msgspec.json.decode(msgspec.json.encode(result), type=GateResult).reason == result.reason
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(result.words())


def test_a_replay_that_differs_from_the_plain_run_is_found(bundle: Bundle) -> None:
    engine = FailingEngine()
    engine.replay_fault = wrong("risk", 1e-6, bucket=4)
    assert "in batches of 4: risk differs between replay and plain run" in gate(bundle, engine).reason


def test_padding_that_leaks_is_found(bundle: Bundle) -> None:
    """Padding rows of zeros that count as measured."""

    class Careless(FailingEngine):
        def _split(self, inputs: Arrays, fault: Fault | None) -> Arrays:
            short = len(inputs["presence"])
            bucket = bucket_for(short, self.buckets)
            outputs = super()._split(padded(inputs, bucket) if short < bucket else inputs, fault)
            return {name: np.roll(v, bucket - short, axis=0)[:short] for name, v in outputs.items()}

    assert "changes with padding or neighbours" in gate(bundle, Careless()).reason


def test_tokens_are_held_against_the_reference(bundle: Bundle) -> None:
    engine = FailingEngine(fault=wrong("tokens", 0.01))
    assert gate(bundle, engine).passed  # golden cases do not know tokens
    assert "tokens is off by" in gate(bundle, engine, FailingBackend()).reason
    assert gate(bundle, FailingEngine(), FailingBackend()).worst["tokens"] == 0


def test_an_output_that_is_missing_or_misshapen_is_found(bundle: Bundle) -> None:
    def without(inputs: Arrays, outputs: Arrays) -> Arrays:
        return {name: values for name, values in outputs.items() if name != "fused"}

    def narrow(inputs: Arrays, outputs: Arrays) -> Arrays:
        return outputs | {"risk": outputs["risk"][:, :2]}

    assert "does not give the output fused" in gate(bundle, FailingBackend(fault=without)).reason
    assert "risk has the shape [2] a row where [3] is due" in gate(bundle, FailingBackend(fault=narrow)).reason


@pytest.mark.parametrize(("precision", "passes"), [("fp32", False), ("fp16", False), ("bf16", True)])
def test_limits_go_with_the_precision(bundle: Bundle, precision: Precision, passes: bool) -> None:
    assert gate(bundle, FailingEngine("toy", precision, wrong("abp_wave", 2.0))).passed is passes


def test_every_output_has_limits_that_grow_with_the_rounding() -> None:
    assert {name for limit in LIMITS for name in limit.outputs} == set(OUTPUTS)
    assert all(0 < limit.fp32 < limit.fp16 < limit.bf16 for limit in LIMITS)
    columns = sorted(limit.columns for limit in LIMITS if limit.outputs == ("eeg_features",))
    assert columns == [(0, 5), (5, 6), (6, 7)]


def test_a_bundle_without_golden_cases_never_serves(tmp_path: Path) -> None:
    bare = toy_bundle(tmp_path / "bare")
    np.savez(bare.path / "golden.npz")
    for result in (gate(bare, FailingBackend()), spot_check(bare, FailingBackend())):
        assert not result.passed and "no golden cases" in result.reason


def test_a_stored_result_belongs_to_its_golden_cases(bundle: Bundle, tmp_path: Path) -> None:
    other = toy_bundle(tmp_path / "other")
    assert gate(bundle, FailingBackend()).rules == rules_of(bundle) == rules_of(other)
    np.savez(other.path / "golden.npz")
    assert rules_of(other) != rules_of(bundle)


def test_the_shipped_bundle_passes_on_onnx_runtime_with_room() -> None:
    shipped = load_bundle()
    backend = OnnxBackend(shipped.model_path, shipped.spec)
    spot = spot_check(shipped, backend)
    assert spot.passed and spot.share < 0.1
    assert spot.worst.keys() == shipped.spec.given - {"tokens"}


def test_the_shipped_graph_hides_what_lies_under_the_mask_whatever_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.runtime.gate.BATCHES", (1, 7))
    shipped = load_bundle()
    backend = OnnxBackend(shipped.model_path, shipped.spec)
    result = gate(shipped, backend, backend)
    assert result.passed, result.reason
    assert result.worst.keys() == shipped.spec.given and result.share < 0.1


# -- buckets ----------------------------------------------------------------------------------------------------------


def test_only_what_is_over_the_largest_bucket_is_split() -> None:
    buckets = (1, 2, 4, 8)
    assert [bucket_for(n, buckets) for n in (1, 2, 3, 5, 8, 9)] == [1, 2, 4, 8, 8, 8]
    assert list(portions(8, buckets)) == [(slice(0, 8), 8)]
    assert list(portions(19, buckets)) == [(slice(0, 8), 8), (slice(8, 16), 8), (slice(16, 19), 4)]
    for call in (lambda: bucket_for(0, buckets), lambda: list(portions(0, buckets))):
        with pytest.raises(ValueError, match="a batch of 0 rows"):
            call()


def test_padding_is_a_bed_of_which_nothing_is_known() -> None:
    inputs = example(3) | {"selfmask": np.ones(3, np.bool_)}
    larger = padded(inputs, 8)
    for name, values in larger.items():
        assert values.shape[0] == 8 and values.dtype == inputs[name].dtype
        np.testing.assert_array_equal(values[:3], inputs[name])
        if name in ("context", "memory"):
            assert np.isnan(values[3:]).all()
        else:
            assert not values[3:].any()
    assert padded(inputs, 3) is inputs
    with pytest.raises(ValueError, match="3 rows for a bucket of 2"):
        padded(inputs, 2)
