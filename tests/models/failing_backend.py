"""A model small enough to be written down, behind a backend that fails on command; needs nothing but numpy.

The model honours the contract: what lies under the mask, other rows and padding change nothing. A :data:`Fault` changes
what a launch gives: wrong values in one output, row or bucket, NaN, a leak, an exception, a hang that the test ends.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from models.runtime.backend import Arrays, BackendInfo, Precision
from models.runtime.buckets import joined, padded, portions, rows_of
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.spec import BUNDLE_SCHEMA, BundleSpec
from models.signals.errors import BackendFailed
from models.signals.modalities import MODEL_MODALITIES
from models.signals.windows import CONTEXT_FIELDS

WIDTH, FRAMES, SAMPLES = 8, 10, 3000
SPEC = BundleSpec(
    schema=BUNDLE_SCHEMA,
    name="toy",
    version="1",
    modalities=[m.value for m in MODEL_MODALITIES],
    rate_hz=100,
    frame_s=3,
    frames=FRAMES,
    hop_s=1,
    context_fields=list(CONTEXT_FIELDS),
    horizons_min=[5, 10, 15],
    token_width=WIDTH,
    conformal={},
    preprocessing="1",
    trained_on="nothing",
    memory=True,
)
NAMES = [m.lower() for m in SPEC.modalities]

_PRESSURES = np.array([[0, 5, 10], [20, 30, 40], [-30, -25, -20]], np.float32)
_EEG = np.array([1, 1, 1, 1, 1, 20, 0.1], np.float32)

Fault = Callable[[Arrays, Arrays], Arrays]
"""Of a launch's inputs (padding included) and right outputs: the outputs that it gives instead."""


def toy_model(inputs: Arrays) -> Arrays:
    """Outputs of the toy: means of the frames that are present, each row for itself."""
    presence = np.asarray(inputs["presence"], np.bool_)
    frames = np.stack([inputs[name] for name in NAMES], axis=1).reshape(-1, 4, FRAMES, SAMPLES // FRAMES)
    frames = np.where(presence[..., None], frames, np.float32(0))
    steps = frames[..., :296].reshape(*frames.shape[:3], WIDTH, -1).mean(axis=-1) / np.float32(100)
    whole = presence.all(axis=2)[..., None]
    remembered = np.where(whole | np.isnan(inputs["memory"]), np.float32(0), inputs["memory"])
    restored = np.where(presence[..., None], steps, remembered[:, :, None])
    fused = restored.mean(axis=(1, 2))
    level = 1 / (1 + np.exp(-fused.mean(axis=1, keepdims=True)))
    later = np.array([0, 0.1, 0.2], np.float32)
    time = np.linspace(0, 40, SAMPLES, dtype=np.float32)
    pulse = np.sin(time)[None] * (1 + level)
    return {
        "risk": 0.2 + level / 2 + later,
        "risk_lo": 0.1 + level / 2 + later,
        "risk_hi": 0.3 + level / 2 + later,
        "depth": 40 + 10 * level + 100 * later,
        "pressure": 80 + 10 * level[..., None] + _PRESSURES,
        "abp_wave": 85 + 20 * pulse,
        "ppg_wave": 10 + pulse,
        "ecg_wave": 0.5 * pulse,
        "eeg_features": np.repeat(level, 7, axis=1) * _EEG,
        "tokens": np.where(presence[..., None], steps, np.float32(np.nan)),  # undefined where absent
        "restored_tokens": restored,
        "fused": fused,
    }


class FailingBackend:
    """The toy without buckets. ``fault``: set it at any time; None is sound. ``launches``: batch of each run."""

    def __init__(self, name: str = "toy", precision: Precision = "fp32", fault: Fault | None = None) -> None:
        self.info = BackendInfo(name, f"{name} for tests", precision)
        self.fault = fault
        self.launches: list[int] = []
        self.threads: set[str] = set()
        self.ended = threading.Event()

    @property
    def closed(self) -> bool:
        return self.ended.is_set()

    def warm_up(self) -> None:
        self.launches.clear()

    def run(self, inputs: Arrays) -> Arrays:
        return self._launch(inputs, self.fault)

    def close(self) -> None:
        self.ended.set()

    def _launch(self, inputs: Arrays, fault: Fault | None) -> Arrays:
        self.launches.append(len(inputs["presence"]))
        self.threads.add(threading.current_thread().name)
        outputs: Arrays = {name: values.astype(np.float32) for name, values in toy_model(inputs).items()}
        return outputs if fault is None else fault(inputs, outputs)


class FailingEngine(FailingBackend):
    """The toy with buckets and replay, as TensorRT has them. ``replay_fault`` is not in the plain run."""

    replay_fault: Fault | None = None
    cache_key: str | None = None

    @property
    def buckets(self) -> tuple[int, ...]:
        return (1, 2, 4, 8)

    def run(self, inputs: Arrays) -> Arrays:
        return self._split(inputs, self.replay_fault or self.fault)

    def run_plain(self, inputs: Arrays) -> Arrays:
        return self._split(inputs, self.fault)

    def _split(self, inputs: Arrays, fault: Fault | None) -> Arrays:
        parts = []
        for rows, bucket in portions(len(inputs["presence"]), self.buckets):
            found = self._launch(padded(rows_of(inputs, rows), bucket), fault)
            parts.append(rows_of(found, slice(0, rows.stop - rows.start)))
        return joined(parts)


def wrong(output: str, by: float, *, row: int | None = None, bucket: int | None = None) -> Fault:
    """``output`` is off by so much: in one row of the batch, in one bucket, or always."""

    def fault(inputs: Arrays, outputs: Arrays) -> Arrays:
        if bucket in (None, len(inputs["presence"])):
            changed = np.array(outputs[output], np.float32)
            changed[slice(None) if row is None else slice(row, row + 1)] += np.float32(by)
            return outputs | {output: changed}
        return outputs

    return fault


def leak(output: str, share: float) -> Fault:
    """``output`` moves with the signal under the mask."""

    def fault(inputs: Arrays, outputs: Arrays) -> Arrays:
        hidden = np.repeat(~np.asarray(inputs["presence"], np.bool_)[:, 0], SAMPLES // FRAMES, axis=1)
        content = np.nan_to_num(np.where(hidden, inputs["ecg"], 0), nan=0.0).astype(np.float32)
        return outputs | {output: outputs[output] + np.float32(share) * content.max(axis=1, keepdims=True)}

    return fault


def neighbours(output: str, share: float) -> Fault:
    """``output`` moves with how much of the whole batch is absent, padding included."""

    def fault(inputs: Arrays, outputs: Arrays) -> Arrays:
        absent = 1 - np.asarray(inputs["presence"], np.float32).mean()
        return outputs | {output: outputs[output] + np.float32(share) * absent}

    return fault


def raises(words: str = "the device is gone") -> Fault:
    def fault(inputs: Arrays, outputs: Arrays) -> Arrays:
        raise BackendFailed(words)

    return fault


class Hang:
    """A fault that blocks in the launch until ``release``; ``entered`` is set while it does."""

    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()

    def __call__(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        self.entered.set()
        assert self.release.wait(30), "a test left a backend hanging"
        return outputs


def example(rows: int, seed: int = 0) -> Arrays:
    """Inputs of ``rows`` windows, all present, context and memory known."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {name: rng.normal(20, 30, (rows, SAMPLES)).astype(np.float32) for name in NAMES}
    arrays["presence"] = np.ones((rows, 4, FRAMES), np.bool_)
    arrays["context"] = rng.normal(0, 1, (rows, 4, len(CONTEXT_FIELDS))).astype(np.float32)
    arrays["memory"] = rng.normal(0, 1, (rows, 4, WIDTH)).astype(np.float32)
    return arrays


def toy_cases() -> dict[str, Arrays]:
    """Golden inputs of the toy, named as those of an exported bundle."""
    base = example(1)
    cases = {"all_present": base}

    def case(presence: np.ndarray, fill: float | None = None) -> Arrays:
        arrays = {name: values.copy() for name, values in base.items()} | {"presence": presence[None]}
        if fill is not None:
            for row, name in enumerate(NAMES):
                arrays[name][0, np.repeat(~presence[row], SAMPLES // FRAMES)] = fill
        return arrays

    full = np.ones((4, FRAMES), np.bool_)
    for row, name in enumerate(NAMES):
        presence = full.copy()
        presence[row] = False
        cases[f"no_{name}"] = case(presence, np.nan)
    ragged = np.random.default_rng(5).random(full.shape) > 0.4
    cases |= {"frames_absent": case(ragged), "frames_absent_nan": case(ragged, np.nan)}
    cases |= {"frames_absent_1e30": case(ragged, 1e30), "all_absent": case(~full, np.nan)}
    cases["all_absent_never"] = cases["all_absent"] | {"memory": np.full_like(base["memory"], np.nan)}
    return cases


def toy_bundle(folder: Path, spec: BundleSpec = SPEC) -> Bundle:
    """A sealed bundle whose golden cases are the toy's; its graph is not one."""
    folder.mkdir(parents=True)
    kept: Arrays = {}
    for case, inputs in toy_cases().items():
        outputs = {name: values for name, values in toy_model(inputs).items() if name != "tokens"}
        kept |= {f"{case}/in/{name}": values for name, values in inputs.items()}
        kept |= {f"{case}/out/{name}": np.asarray(values, np.float32) for name, values in outputs.items()}
    np.savez(folder / "golden.npz", **kept)  # type: ignore[arg-type]
    words = b"no graph: the toy is written in numpy"
    (folder / "model.onnx").write_bytes(bytes([0x32, len(words)]) + words)  # the doc_string of an ONNX model
    (folder / "card.md").write_text("a toy")
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    names = ("model.onnx", "card.md", "golden.npz", "spec.json")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "manifest.json").write_text(json.dumps({"schema": BUNDLE_SCHEMA, "files": files}))
    return load_bundle(folder)
