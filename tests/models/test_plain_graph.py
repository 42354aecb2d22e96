"""A graph without imputers: the learned missing token stays in absent slots; nothing is remembered, nothing chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import BundleText, example_inputs, export_bundle, plain, run_torch
from models.imputers import MaskTokenImputer
from models.networks.waves import NEWEST_FRAMES
from models.physiome import PhysioME
from models.runtime import bundle as bundles
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.engine import Engine
from models.runtime.golden import golden_difference
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.spec import CHOICE_INPUT, MEMORY_INPUT, OUTPUTS, RESTORATION, SELFMASK
from models.runtime.torch_backend import TorchBackend
from models.signals.errors import BadInput
from models.signals.windows import CONTEXT_FIELDS, Window
from tests.models.exported import CONFIG

pytestmark = pytest.mark.timeout(300)

OF_TOKENS = {"tokens", "restored_tokens"}


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhysioME, Bundle]:
    """A small model with both imputers and a memory, and its bundle without any."""
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = PhysioME(CONFIG).eval()
    with torch.no_grad():
        model.bedside.pressure.out.weight.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("plain")
    export_bundle(plain(model), folder, BundleText("tiny", "0", "nothing", "test", "# card"), ())
    return model, load_bundle(folder)


def backend_of(bundle: Bundle, whole: bool = False) -> OnnxBackend:
    return OnnxBackend(bundle.model_path, bundle.spec, threads=1, whole=whole)


@pytest.mark.parametrize("whole", [False, True])
def test_it_says_what_the_model_says_when_nothing_is_imputed(without: tuple[PhysioME, Bundle], whole: bool) -> None:
    model, bundle = without
    inputs = example_inputs(CONFIG, 3, seed=4)
    inputs["presence"] = np.random.default_rng(1).random(inputs["presence"].shape) > 0.4
    del inputs[MEMORY_INPUT]
    backend = backend_of(bundle, whole)
    found = backend.run(inputs)
    signals = torch.from_numpy(np.stack([inputs[m.value.lower()] for m in CONFIG.bedside_rows], 1))
    given = signals, torch.from_numpy(inputs["presence"]), torch.from_numpy(inputs["context"])
    with torch.no_grad():
        expected = model(*given, imputer=MaskTokenImputer(), wave_frames=NEWEST_FRAMES)
        imputed = model(*given, wave_frames=NEWEST_FRAMES)
    assert set(found) == set(OUTPUTS) - OF_TOKENS
    for name, values in found.items():
        scale = max(1.0, float(expected[name].abs().max()))
        assert np.abs(values - expected[name].numpy()).max() / scale < 1e-4, name
    assert np.abs(found["fused"] - imputed["fused"].numpy()).max() > 1e-3  # imputing would have made a difference
    torch_says = TorchBackend(model, bundle, "PyTorch").run(inputs)
    assert set(torch_says) == set(found) and all(np.allclose(torch_says[n], expected[n], atol=1e-5) for n in found)
    assert found["abp_wave"].shape == (3, NEWEST_FRAMES * CONFIG.frame_samples)
    assert golden_difference(bundle, backend) < 1e-4


def test_the_model_itself_is_left_as_it_was(without: tuple[PhysioME, Bundle]) -> None:
    model, _ = without
    assert model.memory is not None and model.config.use_memory and not isinstance(model.imputer, MaskTokenImputer)
    assert set(run_torch(model, example_inputs(CONFIG, 1))) == set(OUTPUTS)


def test_it_needs_neither_a_choice_nor_a_memory(without: tuple[PhysioME, Bundle]) -> None:
    _, bundle = without
    assert bundle.spec.imputers == () and not bundle.spec.memory and not OF_TOKENS & bundle.spec.given
    engine = Engine(bundle, backend_of(bundle))
    spec = bundle.window_spec
    window = Window(
        100, np.full((4, spec.samples), np.nan, np.float32), np.zeros((4, CONFIG.frames), bool),
        np.zeros((4, spec.window_s), bool), np.full((4, len(CONTEXT_FIELDS)), np.nan, np.float32),
    )  # fmt: skip
    assert not {CHOICE_INPUT, MEMORY_INPUT} & set(engine.inputs([window], ["bed"]))
    (prediction,) = engine.predict([window], ["bed"])
    assert prediction.valid and prediction.abstain and engine.imputer == "none" and engine.model == "tiny"
    memory = engine.memory_of("bed")
    assert memory.tokens is None and engine.remember("bed", memory)


def test_an_imputer_it_lacks_is_refused(without: tuple[PhysioME, Bundle], exported: tuple[object, Path]) -> None:
    _, bundle = without
    both = load_bundle(exported[1])
    assert bundle.imputer("auto") == bundle.imputer("none") == "none"
    assert both.imputer("auto") == RESTORATION and both.imputer(SELFMASK) == SELFMASK
    for held, asked, told in ((bundle, SELFMASK, "out of none"), (both, "none", "out of restoration, selfmask")):
        with pytest.raises(BadInput, match=told):
            held.imputer(asked)


def test_an_imputer_that_is_asked_for_brings_the_bundle_that_has_it(
    without: tuple[PhysioME, Bundle], exported: tuple[object, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where no bundle is named: a user's own is never exchanged for another."""
    _, bundle = without
    monkeypatch.setattr(bundles, "DEMO_BUNDLE", bundle.path)
    monkeypatch.setattr(bundles, "IMPUTING_BUNDLE", exported[1])
    for asked, folder in (("auto", bundle.path), ("none", bundle.path), (SELFMASK, exported[1])):
        assert load_bundle(None, asked).path == folder
        assert load_bundle(bundle.path, asked).path == bundle.path
