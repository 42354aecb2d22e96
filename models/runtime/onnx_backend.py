"""ONNX Runtime on the CPU: the backend that is always there, and the fp32 reference of the others."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from models.runtime.backend import Arrays, BackendInfo
from models.runtime.spec import CHOICE_INPUT, MEMORY_INPUT, BundleSpec
from models.signals.errors import BackendUnavailable, BadInput

try:
    import onnxruntime
except ImportError as error:  # pragma: no cover - a declared dependency
    raise BackendUnavailable(
        f"onnxruntime is not installed ({error}); install it with: pip install onnxruntime"
    ) from error


def default_threads() -> int:
    """Threads for one inference: two where there are two cores, since a batch-1 call gains little beyond."""
    return min(2, os.cpu_count() or 1)


class OnnxBackend:
    """Runs a bundle's graph with ONNX Runtime. Raises BadInput when the graph does not fit the spec."""

    def __init__(self, model_path: Path, spec: BundleSpec, threads: int | None = None) -> None:
        threads = threads or default_threads()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A spinning pool would take the core from the stream between two inferences.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes have no common base
            reason = (str(error).splitlines() or [""])[0]
            raise _bad_graph(model_path, f"{type(error).__name__}: {reason}") from error
        self._spec = spec
        self._outputs = [o.name for o in self._session.get_outputs()]
        self._check(model_path)
        self._info = BackendInfo("onnx", f"ONNX Runtime {onnxruntime.__version__}, CPU, {threads} threads")

    @property
    def info(self) -> BackendInfo:
        return self._info

    def _check(self, model_path: Path) -> None:
        wanted = {m.lower() for m in self._spec.modalities} | {"presence", "context"}
        if len(self._spec.imputers) > 1:
            wanted.add(CHOICE_INPUT)
        if self._spec.memory:
            wanted.add(MEMORY_INPUT)
        found = {i.name: i.shape for i in self._session.get_inputs()}
        if wanted != set(found):
            raise _bad_graph(model_path, f"inputs {sorted(found)} where the spec says {sorted(wanted)}")
        each = [len(self._spec.modalities), self._spec.token_width]
        if self._spec.memory and list(found[MEMORY_INPUT][1:]) != each:
            raise _bad_graph(model_path, f"a memory of {found[MEMORY_INPUT][1:]} where the spec says {each}")
        missing = self._spec.given - set(self._outputs)
        if missing:
            raise _bad_graph(model_path, f"no outputs named {sorted(missing)}")

    def warm_up(self) -> None:
        s = self._spec
        m, length = len(s.modalities), s.rate_hz * s.frame_s * s.frames
        inputs: Arrays = {name.lower(): np.zeros((1, length), np.float32) for name in s.modalities}
        inputs["presence"] = np.zeros((1, m, s.frames), np.bool_)
        inputs["context"] = np.full((1, m, len(s.context_fields)), np.nan, np.float32)
        if len(s.imputers) > 1:
            inputs[CHOICE_INPUT] = np.zeros(1, np.bool_)
        if s.memory:
            inputs[MEMORY_INPUT] = np.full((1, m, s.token_width), np.nan, np.float32)
        for _ in range(2):
            self.run(inputs)

    def run(self, inputs: Arrays) -> Arrays:
        values = self._session.run(self._outputs, inputs)
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Nothing to free by hand: the session goes with the object."""


def _bad_graph(path: Path, found: str) -> BadInput:
    return BadInput(f"an ONNX graph of a Vigil bundle at {path}", found, "export the model again")
