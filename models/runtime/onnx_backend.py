"""ONNX Runtime on the CPU: the backend that is always there, and the fp32 reference of the others.

A bundle with its graph in parts is run in parts: frame networks only for frames not seen before
(:mod:`models.runtime.frame_cache`), then the trunk. One without runs as the whole graph it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.runtime.backend import Arrays, BackendInfo
from models.runtime.bundle import FRAMES_PART, SCALING_PART, TRUNK_PART
from models.runtime.frame_cache import KEPT_FRAMES, Floats, FrameCache, Tally
from models.runtime.inputs import InputForm
from models.runtime.spec import FEATURES, FRAMES, MEMORY_INPUT, SCALED, BundleSpec
from models.runtime.threads import default_threads
from models.signals.errors import BackendFailed, BackendUnavailable, BadInput
from models.signals.install import install_hint

try:
    import onnxruntime
except ImportError as error:  # pragma: no cover - a declared dependency
    raise BackendUnavailable(f"onnxruntime is not installed ({error}); install it with: {install_hint()}") from error


class OnnxBackend:
    """Runs a bundle's graph with ONNX Runtime. Raises BadInput when the graph does not fit the spec.

    kept_frames: of each modality the features of so many frames are kept; 0: none. whole: the whole graph, although
    the bundle has it in parts.
    """

    def __init__(
        self, model_path: Path, spec: BundleSpec, threads: int | None = None, *, kept_frames: int = KEPT_FRAMES,
        whole: bool = False,
    ) -> None:  # fmt: skip
        threads = threads or default_threads()
        self._spec, self._form = spec, InputForm.of(spec)
        self._frames: FrameCache | None = None
        if spec.parts and not whole:
            self._open_parts(model_path.parent, threads, kept_frames)
        else:
            self._session = _session(model_path, threads)
        self._inputs = [i.name for i in self._session.get_inputs()]
        self._outputs = [o.name for o in self._session.get_outputs()]
        self._check(model_path)
        self._info = BackendInfo("onnx", f"ONNX Runtime {onnxruntime.__version__}, CPU, {threads} threads")

    @property
    def info(self) -> BackendInfo:
        """Which backend this is, in name, words and precision."""
        return self._info

    @property
    def tally(self) -> Tally | None:
        """Frames asked for and computed so far; None where the whole graph runs."""
        return self._frames.tally if self._frames else None

    def _open_parts(self, folder: Path, threads: int, kept: int) -> None:
        s = self._spec
        self._scaling = _session(folder / SCALING_PART, 1)
        networks, self._session = (_session(folder / name, threads) for name in (FRAMES_PART, TRUNK_PART))
        names = [m.lower() for m in s.modalities]
        given, wanted = ([f"{kind}_{name}" for name in names] for kind in (FRAMES, FEATURES))
        if sorted(given) != sorted(i.name for i in networks.get_inputs()):
            raise _bad_graph(folder / FRAMES_PART, f"inputs {[i.name for i in networks.get_inputs()]}")
        if SCALED not in [o.name for o in self._scaling.get_outputs()]:
            raise _bad_graph(folder / SCALING_PART, f"no output named {SCALED}")

        def run(frames: Sequence[Floats]) -> Sequence[Floats]:
            features: Sequence[Floats] = networks.run(wanted, dict(zip(given, frames, strict=True)))
            return features

        self._frames = FrameCache(run, len(names), s.frames, s.token_width, kept)

    def _check(self, model_path: Path) -> None:
        wanted = set(self._form.each)
        found = {i.name: i.shape for i in self._session.get_inputs()}
        if self._frames is None and wanted != set(found):
            raise _bad_graph(model_path, f"inputs {sorted(found)} where the spec says {sorted(wanted)}")
        # Of a trunk, signals are what is scaled and what became features of frames.
        strange = (set(found) ^ wanted) - {SCALED, FEATURES, *(m.lower() for m in self._spec.modalities)}
        if strange:
            raise _bad_graph(model_path.with_name(TRUNK_PART), f"another opinion than the spec on {sorted(strange)}")
        each = [len(self._spec.modalities), self._spec.token_width]
        if MEMORY_INPUT in found and list(found[MEMORY_INPUT][1:]) != each:
            raise _bad_graph(model_path, f"a memory of {found[MEMORY_INPUT][1:]} where the spec says {each}")
        missing = self._spec.given - set(self._outputs)
        if missing:
            raise _bad_graph(model_path, f"no outputs named {sorted(missing)}")

    def warm_up(self) -> None:
        """Two runs of an empty window, in which the library allocates what it needs."""
        for _ in range(2):
            self.run(self._form.nothing(1))

    def run(self, inputs: Arrays) -> Arrays:
        """The outputs by name. Raises BadInput for inputs that do not fit, BackendFailed where the library fails."""
        self._form.check(inputs)
        try:
            if self._frames is not None:
                (scaled,) = self._scaling.run([SCALED], {i.name: inputs[i.name] for i in self._scaling.get_inputs()})
                inputs = inputs | {SCALED: scaled, FEATURES: self._frames.features(scaled)}
            values = self._session.run(self._outputs, {name: inputs[name] for name in self._inputs})
        except Exception as error:
            raise BackendFailed(f"ONNX Runtime failed: {type(error).__name__}: {_first_line(error)}") from error
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Nothing to free by hand: the sessions go with the object."""


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning pool would take the core from the stream between two inferences.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes have no common base
        raise _bad_graph(path, f"{type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _bad_graph(path: Path, found: str) -> BadInput:
    return BadInput(f"an ONNX graph of a Vigil bundle at {path}", found, "export the model again")
