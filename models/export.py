"""From a trained PhysioME to a bundle: one fp32 ONNX with its spec, golden cases, card and hashes.

The graph is static: a batch dimension, no control flow, no data-dependent shapes, no external data. Golden cases hold
inputs and outputs of the torch model, so every backend can prove that it computes the same.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import torch

from models.export_parts import write_parts
from models.imputers import MaskTokenImputer
from models.physiome import InferenceGraph, PhysioME, PhysioMEConfig, seams
from models.progress import silent
from models.runtime.backend import Arrays
from models.runtime.bundle import GOLDEN_BASE, NEEDED_FILES, PARTS
from models.runtime.carried import CARRIED
from models.runtime.carried import FILES as CARRIED_FILES
from models.runtime.graph_checks import graph_faults
from models.runtime.spec import (
    BOTH_IMPUTERS,
    BUNDLE_SCHEMA,
    CHOICE_INPUT,
    MEMORY_INPUT,
    OUTPUTS,
    RESTORATION,
    SELFMASK,
    BundleSpec,
    Conformal,
    PressureTable,
    RiskTable,
)
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

OPSET = 20
BUNDLE_LIMIT_BYTES = 20 << 20
HORIZONS_MIN = [5, 10, 15]
_GOLDEN_SKIPPED = ("tokens",)  # undefined where absent


@dataclass(frozen=True, slots=True)
class BundleText:
    """Words of a bundle: name, version, one line on the training data, and the card (Markdown); and what was measured
    of its intervals."""

    name: str
    version: str
    trained_on: str
    preprocessing: str
    card: str
    conformal: dict[str, Conformal] = field(default_factory=dict)
    pressure: PressureTable | None = None
    risk: RiskTable | None = None


def input_names(config: PhysioMEConfig, imputers: Sequence[str] = (RESTORATION,)) -> list[str]:
    """Names of the graph's inputs, in order: a wave a modality, presence, context, and what else this model needs."""
    choice = [CHOICE_INPUT] if len(imputers) > 1 else []
    memory = [MEMORY_INPUT] if config.use_memory else []
    return [m.value.lower() for m in config.modalities] + ["presence", "context", *choice, *memory]


def example_inputs(config: PhysioMEConfig, batch: int, seed: int = 0) -> Arrays:
    """Plausible inputs: pulses at 70/min, a pressure near 85 mmHg, noise for the EEG; all present, context known.

    For a model with memory also ``memory``, as wide as encoder tokens, all known.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(config.samples) / config.rate_hz
    phase = 2 * np.pi * (70 / 60) * t[None] + rng.uniform(0, 6, (batch, 1))
    pulse = np.sin(phase) + 0.4 * np.sin(2 * phase + 0.8)
    waves = {
        Modality.ECG: np.exp(-((np.sin(phase / 2 + 0.4) / 0.08) ** 2)),
        Modality.ABP: 85 + 20 * pulse,
        Modality.PPG: 1.5 * pulse + 10,
        Modality.EEG: 20 * rng.standard_normal((batch, config.samples)),
    }
    context = np.full((batch, len(config.modalities), len(CONTEXT_FIELDS)), np.nan, np.float32)
    usual = {
        Modality.ECG: (0.1, 0.2, 0, 0.1, 0.1, 0.1, np.nan, np.nan, np.nan),
        Modality.ABP: (85, 45, 0, 85, 84, 80, 0.25, 0.5, -150),
        Modality.PPG: (10, 2.0, 0, 10, 10, 10, 0.5, 0.5, np.nan),
        Modality.EEG: (0, 25, 0, 0, 0, 0, np.nan, np.nan, np.nan),
    }
    for row, modality in enumerate(config.bedside_rows):
        context[:, row] = usual[modality]
    arrays: Arrays = {m.value.lower(): waves[m].astype(np.float32) for m in config.bedside_rows}
    arrays["presence"] = np.ones((batch, len(config.modalities), config.frames), np.bool_)
    arrays["context"] = context
    if config.use_memory:
        each = (batch, len(config.modalities), config.width)
        arrays[MEMORY_INPUT] = rng.standard_normal(each).astype(np.float32)
    return arrays


def golden_inputs(config: PhysioMEConfig, imputers: Sequence[str] = (RESTORATION,)) -> dict[str, Arrays]:
    """The cases: every subset of the modalities, absence frame by frame, NaN and 1e30 under the mask, inputs far beyond
    every range, unknown context; with memory also those of :func:`_memory_cases`. Of a graph with two imputers each
    case but the complete ones comes twice, ``selfmask_…`` too."""
    base = example_inputs(config, 1, seed=7)
    names = [m.value.lower() for m in config.modalities]
    rng = np.random.default_rng(11)
    cases: dict[str, Arrays] = {"all_present": base}

    def case(presence: npt.NDArray[np.bool_], fill: float | None = None, unknown: bool = False) -> Arrays:
        arrays = {k: v.copy() for k, v in base.items()}
        arrays["presence"] = presence[None]
        hidden = np.repeat(~presence, config.frame_samples, axis=1)
        for row, name in enumerate(names):
            if fill is not None:
                arrays[name][0, hidden[row]] = fill
        if unknown:
            arrays["context"][:] = np.nan
        return arrays

    full = np.ones((len(names), config.frames), np.bool_)
    for row, name in enumerate(names):
        presence = full.copy()
        presence[row] = False
        cases[f"no_{name}"] = case(presence, fill=np.nan)
        cases[f"no_{name}"]["context"][0, row, CONTEXT_FIELDS.index("age_s")] = 120.0
    for kept in range(1, len(names) - 1):
        for rows in combinations(range(len(names)), kept):
            cases["only_" + "_".join(names[row] for row in rows)] = case(_rows_present(full, rows), fill=np.nan)
    ragged = rng.random(full.shape) > 0.4
    cases["frames_absent"] = case(ragged)
    cases["frames_absent_nan"] = case(ragged, fill=np.nan)
    cases["frames_absent_1e30"] = case(ragged, fill=1e30)
    cases["all_absent"] = case(~full, fill=np.nan, unknown=True)
    cases["context_unknown"] = case(full, unknown=True)
    cases["saturated"] = base | {name: np.where(base[name] > base[name].mean(), 1e5, -1e5).astype(np.float32)
                                 for name in names}  # fmt: skip
    if config.use_memory:
        cases |= _memory_cases(cases)
    if len(imputers) > 1:
        lossy = {name: arrays for name, arrays in cases.items() if not arrays["presence"].all()}
        cases = {name: arrays | {CHOICE_INPUT: np.zeros(1, np.bool_)} for name, arrays in cases.items()}
        cases |= {f"{SELFMASK}_{n}": arrays | {CHOICE_INPUT: np.ones(1, np.bool_)} for n, arrays in lossy.items()}
    return cases


def _rows_present(full: npt.NDArray[np.bool_], rows: Sequence[int]) -> npt.NDArray[np.bool_]:
    presence = np.zeros_like(full)
    presence[list(rows)] = True
    return presence


def _memory_cases(cases: dict[str, Arrays]) -> dict[str, Arrays]:
    """Losses with a memory of nothing (NaN) and of every other modality only; 1e30 and NaN where nothing is absent."""
    found: dict[str, Arrays] = {}
    losses = [name for name in cases if name.startswith("no_")]

    def case(name: str, word: str, memory: npt.NDArray[np.generic]) -> None:
        found[f"{name}_{word}"] = cases[name] | {MEMORY_INPUT: memory.astype(np.float32)}

    for name in (*losses, "frames_absent", "all_absent"):
        case(name, "never", np.full_like(cases[name][MEMORY_INPUT], np.nan))
    for name in (losses[0], "all_present"):
        lossy = ~np.asarray(cases[name]["presence"].all(axis=2))[..., None]
        for word, fill in (("memory_1e30", 1e30), ("memory_nan", np.nan)):
            case(name, word, np.where(lossy, cases[name][MEMORY_INPUT], fill))
    half = cases["all_absent"][MEMORY_INPUT].copy()
    half[:, ::2] = np.nan
    case("all_absent", "half_known", half)
    return found


def run_torch(model: PhysioME, inputs: Arrays) -> Arrays:
    """Outputs of the torch model in eval mode, by name; with ``selfmask`` among the inputs it chooses the imputer."""
    model.eval()
    names = input_names(model.config, BOTH_IMPUTERS if CHOICE_INPUT in inputs else (RESTORATION,))
    with torch.no_grad():
        values = InferenceGraph(model)(*(torch.from_numpy(np.asarray(inputs[n])) for n in names))
    return {name: value.numpy() for name, value in zip(model.config.outputs, values, strict=True)}


def export_onnx(model: PhysioME, path: Path, imputers: Sequence[str] = (RESTORATION,)) -> None:
    """Writes the fp32 graph of ``model``, its adapters merged, as :func:`write_graph` does, with its seams named."""
    model.eval()
    model.merge_adapters()
    example = example_inputs(model.config, 2) | {CHOICE_INPUT: np.array([False, True])}
    names = input_names(model.config, imputers)
    write_graph(
        InferenceGraph(model, seams=True), {n: example[n] for n in names}, model.config.outputs, path,
        seams(model.config),
    )  # fmt: skip


def write_graph(
    module: torch.nn.Module, example: Arrays, outputs: Sequence[str], path: Path, inner: Sequence[str] = ()
) -> None:
    """Writes an fp32 graph with a dynamic batch: ``example`` holds its inputs, in order, with a batch of two.

    ``inner``: names for what the module gives after ``outputs``; these values stay inside the graph. Raises ValueError
    for what :func:`models.runtime.graph_checks.graph_faults` finds.
    """
    names = list(example)
    arguments = tuple(torch.from_numpy(np.asarray(example[n])) for n in names)
    batch = torch.export.Dim("batch", min=1, max=4096)
    logging.getLogger("torch.onnx").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, arguments, dynamo=True, opset_version=OPSET, input_names=names,
            output_names=[*outputs, *inner], dynamic_shapes=(tuple({0: batch} for _ in names),),
            external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    program.save(str(path), external_data=False)
    graph = onnx.load(str(path))
    for entry in graph.metadata_props:
        entry.value = ""
    for node in graph.graph.node:  # stack traces name the machine that exported
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info, *graph.graph.initializer):
        del value.metadata_props[:]
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    _hide_outputs(graph.graph, inner)
    onnx.checker.check_model(graph)
    written = graph.SerializeToString()
    if faults := graph_faults(written):
        raise ValueError(f"the exported graph would not run everywhere: {faults[0]}")
    path.write_bytes(written)


def _hide_outputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """These outputs become values inside the graph, of known shape."""
    known = {v.name for v in graph.value_info}
    for value in [o for o in graph.output if o.name in names]:
        if value.name not in known:
            graph.value_info.append(value)
        graph.output.remove(value)


def bundle_spec(config: PhysioMEConfig, text: BundleText, imputers: Sequence[str] = (RESTORATION,)) -> BundleSpec:
    """What the bundle that :func:`export_bundle` writes says of itself."""
    return BundleSpec(
        schema=BUNDLE_SCHEMA, name=text.name, version=text.version,
        modalities=[m.value for m in config.modalities], rate_hz=config.rate_hz, frame_s=config.frame_s,
        frames=config.frames, hop_s=1, context_fields=list(CONTEXT_FIELDS), horizons_min=HORIZONS_MIN,
        token_width=config.width, conformal=text.conformal, preprocessing=text.preprocessing,
        trained_on=text.trained_on, imputers=tuple(imputers), memory=config.use_memory,
        outputs=[] if config.outputs == tuple(OUTPUTS) else list(config.outputs), parts=True, pressure=text.pressure,
        risk=text.risk,
    )  # fmt: skip


def plain(model: PhysioME) -> PhysioME:
    """The same network without imputers and their memory: the learned missing token stays in absent slots, as heads and
    waves have met it in their share of training steps (``plain_share``)."""
    found = copy.deepcopy(model)
    found.memory, found.imputer = None, MaskTokenImputer()
    found.config = replace(model.config, imputer="mask_token", use_memory=False)
    return found


def export_bundle(
    model: PhysioME, folder: Path, text: BundleText, imputers: Sequence[str] = (RESTORATION,),
    progress: Callable[[str, int, int], None] = silent, limit: int = BUNDLE_LIMIT_BYTES,
) -> None:  # fmt: skip
    """Writes a bundle's files (:mod:`models.runtime.bundle`), the parts of the graph too; the manifest last, over a
    trained model that lies in ``checkpoint/`` already as well (:func:`models.training.carry.carry_model`).

    ``imputers``: ``BOTH_IMPUTERS`` once the SelfMask stage has run, so that the user may choose; () of a model made
    :func:`plain`. The model's LoRA adapters are merged. ``progress`` is called with stage, done, total. Raises
    ValueError as :func:`seal` does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cases = golden_inputs(model.config, imputers)
    progress("export: graph", 0, 1)
    export_onnx(model, folder / "model.onnx.part", imputers)
    os.replace(folder / "model.onnx.part", folder / "model.onnx")
    write_parts(folder / "model.onnx", folder, [m.value.lower() for m in model.config.bedside_rows])
    progress("export: graph", 1, 1)
    (folder / "spec.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(bundle_spec(model.config, text, imputers)))
    )
    golden: dict[str, tuple[Arrays, Arrays]] = {}
    for case, inputs in cases.items():
        golden[case] = inputs, run_torch(model, inputs)
        progress("export: golden cases", len(golden), len(cases))
    save_golden(folder / "golden.npz", golden)
    (folder / "card.md").write_text(text.card, encoding="utf-8")
    seal(folder, limit)


def save_golden(path: Path, cases: Mapping[str, tuple[Arrays, Arrays]]) -> None:
    """Inputs and outputs of the cases, as ``Bundle.golden`` reads them: nothing that is the same is kept twice."""
    kept: dict[str, npt.NDArray[np.generic]] = {}
    first: dict[tuple[str, bytes], str] = {}
    base = cases[GOLDEN_BASE][0]
    for case, (inputs, outputs) in cases.items():
        for name, value in inputs.items():
            if case == GOLDEN_BASE or name not in base or value.tobytes() != base[name].tobytes():
                kept[f"{case}/in/{name}"] = value
        for name, value in outputs.items():
            if name in _GOLDEN_SKIPPED:
                continue
            holder = first.setdefault((name, value.tobytes()), case)
            if holder == case:
                kept[f"{case}/out/{name}"] = value
            else:
                kept[f"{case}/like/{name}"] = np.array(holder)
    np.savez_compressed(path, allow_pickle=False, **kept)


def seal(folder: Path, limit: int = BUNDLE_LIMIT_BYTES) -> None:
    """Writes the manifest: sha256 of every file. ValueError if the bundle has more than ``limit`` bytes, of which the
    model that it carries is none."""
    names = [*NEEDED_FILES, *(name for name in PARTS if (folder / name).is_file())]
    size = sum((folder / name).stat().st_size for name in names)
    if size > limit:
        raise ValueError(f"the bundle has {size} bytes; at most {limit} are allowed")
    manifest: dict[str, object] = {"schema": BUNDLE_SCHEMA, "files": _hashes(folder, names)}
    carried = [name for name in CARRIED_FILES if (folder / CARRIED / name).is_file()]
    if carried:
        manifest["checkpoint"] = _hashes(folder / CARRIED, carried)
    (folder / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))


def _hashes(folder: Path, names: Sequence[str]) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
