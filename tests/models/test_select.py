"""Who serves: the first candidate and precision that the gate passes, with a reason for each one before it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from models.runtime import select
from models.runtime.backend import Backend, Precision, RuntimeOptions
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.select import CANDIDATES, Candidate, Selection, select_engine, survey
from models.signals.errors import BackendFailed, BackendUnavailable, BadInput
from tests.models.failing_backend import FailingBackend, FailingEngine, Fault, raises, toy_bundle, wrong
from tests.models.test_runtime import window

MISSING = "tensorrt is not installed; install it with: pip install -e '.[gpu]' in Vigil's folder"
Choose = Callable[..., Selection]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return toy_bundle(tmp_path_factory.mktemp("select") / "toy")


class Library:
    """A library of the toy: what is loaded from it in which precision, with a fault by precision."""

    def __init__(self, name: str, missing: str = "", buckets: bool = False, **faults: Fault) -> None:
        self.name, self.missing, self.buckets, self.faults = name, missing, buckets, faults
        self.loaded: list[Precision] = []
        self.made: list[FailingBackend] = []
        self.cache_key: str | None = None

    def load(self, bundle: Bundle, options: RuntimeOptions) -> Backend:
        if self.missing:
            raise BackendUnavailable(self.missing)
        precision = options.precision
        assert precision != "auto"
        self.loaded.append(precision)
        made = (FailingEngine if self.buckets else FailingBackend)(self.name, precision, self.faults.get(precision))
        if isinstance(made, FailingEngine):
            made.cache_key = self.cache_key
        self.made.append(made)
        return made


@pytest.fixture
def choose(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Choose]:
    """``select_engine`` where there are these libraries only."""
    chosen: list[Selection] = []

    def build(*libraries: Library, backend: str = "auto", **options: object) -> Selection:
        candidates = {}
        for library in libraries:
            only: tuple[Precision, ...] = ("fp32",) if library.name in ("onnx", "torch") else ("fp16", "bf16", "fp32")
            candidates[library.name] = Candidate(library.load, only, by_itself=library.name != "torch")
        monkeypatch.setattr(select, "CANDIDATES", candidates)
        chosen.append(select_engine(bundle, backend, options=RuntimeOptions(**options)))  # type: ignore[arg-type]
        return chosen[-1]

    yield build
    for selection in chosen:
        selection.engine.close()


def test_the_first_that_passes_serves(choose: Choose) -> None:
    gpu, onnx = Library("tensorrt", buckets=True), Library("onnx")
    selection = choose(gpu, onnx)
    assert selection.engine.backend.name == "tensorrt" and selection.engine.backend.precision == "fp16"
    assert selection.gate.passed and selection.gate.buckets == [1, 2, 4, 8]
    assert selection.passed_over == {} and selection.refused == ()
    assert selection.engine.service.notes == () and selection.engine.service.batch == 8
    assert gpu.loaded == ["fp16"] and onnx.made[0].closed  # the reference of the gate


def test_a_missing_library_is_passed_over_once_and_quietly(choose: Choose, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "vigil.inference"):
        selection = choose(Library("tensorrt", missing=MISSING), Library("onnx"))
    assert selection.engine.backend.name == "onnx"
    assert selection.passed_over == {"tensorrt": MISSING}
    assert selection.engine.service.notes == (MISSING,)  # it names the library itself
    assert caplog.records == []


def test_a_precision_that_the_gate_refuses_gives_way_to_the_next(choose: Choose) -> None:
    gpu = Library("tensorrt", buckets=True, fp16=wrong("risk", 0.05), bf16=raises("no kernel for bf16"))
    selection = choose(gpu, Library("onnx"))
    assert selection.engine.backend.precision == "fp32" and gpu.loaded == ["fp16", "bf16", "fp32"]
    assert list(selection.passed_over) == ["tensorrt fp16", "tensorrt bf16"] == list(selection.refused)
    assert "risk is off by 0.05" in selection.passed_over["tensorrt fp16"]
    assert "no kernel for bf16" in selection.passed_over["tensorrt bf16"]
    assert selection.engine.service.state == ""  # another precision of the same serves
    assert all(refused.ended.wait(30) for refused in gpu.made[:2]) and not gpu.made[2].closed


def test_a_gate_that_fails_everywhere_means_onnx_loudly(choose: Choose, caplog: pytest.LogCaptureFixture) -> None:
    sick = {precision: wrong("abp_wave", 20.0, bucket=4) for precision in ("fp16", "bf16", "fp32")}
    selection = choose(Library("tensorrt", buckets=True, **sick), Library("onnx"))
    assert selection.engine.backend.name == "onnx" and len(selection.refused) == 3
    said = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(said) == 3 and all("in batches of 4: abp_wave is off by 20 mmHg" in words for words in said)
    assert all("abp_wave" in note for note in selection.engine.service.notes)
    assert selection.engine.service.state == "refused"


def test_an_explicit_choice_that_cannot_be_had_raises(choose: Choose) -> None:
    with pytest.raises(BackendUnavailable, match="pip install"):
        choose(Library("tensorrt", missing=MISSING), Library("onnx"), backend="tensorrt")
    sick = {precision: wrong("depth", 9.0) for precision in ("fp16", "bf16", "fp32")}
    with pytest.raises(
        BackendUnavailable, match=r"tensorrt fp16: the gate refuses it.*tensorrt fp32: the gate refuses"
    ):
        choose(Library("tensorrt", **sick), Library("onnx"), backend="tensorrt")
    with pytest.raises(BackendUnavailable, match="onnx computes in fp32 and not in fp16"):
        choose(Library("onnx"), backend="onnx", precision="fp16")
    with pytest.raises(BadInput, match="tensorrt, onnx"):
        choose(Library("tensorrt"), Library("onnx"), backend="abacus")


def test_nothing_serves_that_the_gate_refuses(choose: Choose) -> None:
    with pytest.raises(BackendUnavailable, match=r"the gate refuses it: case .* risk is off by"):
        choose(Library("onnx", fp32=wrong("risk", 0.1)))


def test_torch_only_by_explicit_choice(choose: Choose) -> None:
    libraries = Library("onnx", fp32=wrong("risk", 0.1)), Library("torch")
    with pytest.raises(BackendUnavailable):
        choose(*libraries)
    libraries = Library("onnx"), Library("torch")
    assert choose(*libraries, backend="torch").engine.backend.name == "torch"


def test_an_explicit_precision_is_the_only_one_tried(choose: Choose) -> None:
    gpu = Library("tensorrt", buckets=True)
    selection = choose(gpu, Library("onnx"), precision="bf16")
    assert selection.engine.backend.precision == "bf16" and gpu.loaded == ["bf16"]


def test_what_served_and_failed_is_followed_by_onnx(choose: Choose) -> None:
    gpu, onnx = Library("tensorrt", buckets=True), Library("onnx")
    engine = choose(gpu, onnx).engine
    gpu.made[0].fault = raises("the device fell off the bus")
    with pytest.raises(BackendFailed, match="fell off the bus"):
        engine.predict([window()])
    (prediction,) = engine.predict([window()])
    assert prediction.valid and engine.backend.name == "onnx" and engine.service.state == "failed_over"
    assert engine.service.notes[-2:] == ("the device fell off the bus", "onnx took over")


def test_a_stored_pass_is_used_again_and_a_stored_failure_is_not(
    choose: Choose, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, bytes] = {}
    gpu = Library("tensorrt", buckets=True)
    gpu.cache_key = "key"
    monkeypatch.setattr(select, "_kept_gate", kept.get)
    monkeypatch.setattr(select, "_keep_gate", lambda key, result: kept.update({key: result}))
    first = choose(gpu, Library("onnx"))
    assert len(gpu.made[-1].launches) > 30 and first.gate.passed
    again = choose(gpu, Library("onnx"))
    assert again.gate == first.gate and gpu.made[-1].launches == []
    old = msgspec.structs.replace(first.gate, rules="older rules")
    failed = msgspec.structs.replace(first.gate, passed=False, reason="once")
    for stale in (msgspec.json.encode(old), msgspec.json.encode(failed), b"{}", b"\xff"):
        kept["key"] = stale
        assert choose(gpu, Library("onnx")).gate == first.gate
        assert len(gpu.made[-1].launches) > 30 and kept["key"] == msgspec.json.encode(first.gate)


def test_the_survey_tells_of_every_precision_until_one_passes(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Library("tensorrt", buckets=True, fp16=wrong("risk", 0.05))
    for name, library in {"tensorrt": gpu, "onnx": Library("onnx"), "rtx": Library("rtx", missing=MISSING)}.items():
        only: tuple[Precision, ...] = ("fp32",) if name == "onnx" else ("fp16", "bf16")
        monkeypatch.setitem(CANDIDATES, name, Candidate(library.load, only))
    refused, passed = survey(bundle, "tensorrt")
    assert (refused.precision, refused.passed, refused.refused) == ("fp16", False, True)
    assert (passed.precision, passed.passed) == ("bf16", True) and "tensorrt for tests" in passed.words
    assert gpu.made[-1].closed
    (whole,) = survey(bundle, "onnx")
    assert "in batches of 1, 3, 32" in whole.words
    (missing,) = survey(bundle, "rtx")
    assert missing.words == MISSING and not missing.refused


def test_auto_serves_the_shipped_bundle_and_says_what_it_passed_over(tmp_path: Path) -> None:
    selection = select_engine(load_bundle(), options=RuntimeOptions(cache=tmp_path))
    with_gpu = selection.engine.backend.name != "onnx"
    assert with_gpu or {label.partition(" ")[0] for label in selection.passed_over} == {"tensorrt", "tensorrt-rtx"}
    assert selection.gate.passed
    selection.engine.close()
