"""The seam to the library: TensorRT 10.x, 11.x or TensorRT-RTX as one object.

Flags and enumerations are taken by name, never by number, since numbers moved between versions; precision is no flag
but stands in the graph. Every bool and None that the library gives is checked with its own words as the reason.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import logging
import re
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from models.signals.errors import BackendUnavailable
from models.signals.install import install_hint

log = logging.getLogger("vigil.inference")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Flavour:
    """modules: names under which it is imported, best first. extra: of the package, which installs it. majors: of the
    versions whose calls were checked. bundled: where else its libraries may lie, by package and start of file name."""

    name: str
    title: str
    modules: tuple[str, ...]
    extra: str
    majors: tuple[int, ...]
    bundled: tuple[str, tuple[str, ...]] = ("", ())

    @property
    def install(self) -> str:
        """How to get it, as the end of a sentence."""
        return f"install it with: {install_hint(self.extra)}"

    @property
    def is_installed(self) -> bool:
        """Whether its bindings are there; nothing is loaded."""
        return any(name in sys.modules or importlib.util.find_spec(name) is not None for name in self.modules)


TENSORRT = Flavour("tensorrt", "TensorRT", ("tensorrt",), "gpu", (10, 11))
RTX = Flavour(
    "tensorrt-rtx", "TensorRT-RTX", ("tensorrt_rtx", "tensorrt_rtx_bindings"), "rtx", (1,),
    # The bindings come without libraries; those of ONNX Runtime's plugin are the same ones.
    ("onnxruntime_ep_nv_tensorrt_rtx", ("libtensorrt_rtx.so.", "libtensorrt_onnxparser_rtx.so.")),
)  # fmt: skip
FLAVOURS = {flavour.name: flavour for flavour in (TENSORRT, RTX)}


class Library:
    """One loaded library with its logger, which outlives whatever is made with it. ``trt``: the module."""

    def __init__(self, flavour: Flavour, trt: Any) -> None:
        self.flavour, self.trt = flavour, trt
        self.version = str(trt.__version__)
        self.logger = _logger(trt)

    @property
    def title(self) -> str:
        """ "TensorRT 10.15.1.29"."""
        return f"{self.flavour.title} {self.version}"

    @property
    def is_rtx(self) -> bool:
        """Whether it is TensorRT-RTX."""
        return self.flavour is RTX

    def need(self, value: _T | None, what: str) -> _T:
        """The value that the library gave; BackendUnavailable with its words if that is None or False."""
        if value is None or value is False:
            raise BackendUnavailable(self.sentence(what))
        return value

    def make(self, kind: Callable[..., _T], what: str, *arguments: Any) -> _T:
        """An object of the library's; BackendUnavailable with its words where it makes none, which the bindings tell as
        a TypeError."""
        try:
            return kind(*arguments)
        except TypeError as error:
            raise BackendUnavailable(self.sentence(what)) from error

    def sentence(self, what: str) -> str:
        """ "TensorRT 10.15 could not build …: its own words" """
        words = self.logger.words()
        return f"{self.title} {what}" + (f": {words}" if words else "")

    def strongly_typed(self) -> int:
        """Flags of a network whose types are those of the graph: 10.x needs it, 11.x knows no other and ignores it."""
        return 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def capability(self, major: int, minor: int) -> Any:
        """TensorRT-RTX's name of a compute capability. BackendUnavailable for a GPU that it does not support."""
        known = self.trt.ComputeCapability.__members__
        name = f"SM{major}{minor}"
        if name not in known:
            can = ", ".join(n for n in known if n.startswith("SM"))
            raise BackendUnavailable(
                f"{self.title} supports GPUs of {can}, not of {name}; choose the backend tensorrt or onnx"
            )
        return known[name]


@functools.cache
def load_library(flavour: Flavour) -> Library:
    """Import it. BackendUnavailable with the missing piece and what installs it."""
    problems: list[str] = []
    for module in flavour.modules:
        try:
            carried = _preload(flavour, module)
            trt = importlib.import_module(module)
        except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: a library of another version
            problems.append(_one_line(error))
            continue
        major = int(re.match(r"\d+", str(trt.__version__)).group())  # type: ignore[union-attr]
        if major not in flavour.majors:
            wanted = " or ".join(f"{m}.x" for m in flavour.majors)
            raise BackendUnavailable(
                f"{flavour.title} is installed as {trt.__version__}, and {wanted} is needed; {flavour.install}"
            )
        if carried and not str(trt.__version__).startswith(carried):
            raise BackendUnavailable(
                f"the bindings of {flavour.title} are {trt.__version__} and its library is {carried}; {flavour.install}"
            )
        return Library(flavour, trt)
    raise BackendUnavailable(f"{flavour.title} is not installed ({'; '.join(problems)}); {flavour.install}")


def _preload(flavour: Flavour, module: str) -> str:
    """Load the libraries that lie in another package, so that bindings without any find them. Their version."""
    version = ""
    package, starts = flavour.bundled
    if not module.endswith("_bindings") or importlib.util.find_spec(module) is None:
        return version
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or []) if found else []:
        for start in starts:
            for file in sorted(Path(folder).glob(f"{start}*"), key=lambda path: len(path.name))[-1:]:
                ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
                version = file.name.removeprefix(start)
    return version


def _logger(trt: Any) -> Any:
    """A logger of this library's kind that keeps what went wrong. Called from any of the library's threads."""
    errors = (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR)
    spoken = (*errors, trt.ILogger.WARNING)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._kept: deque[str] = deque(maxlen=8)

        def log(self, severity: Any, msg: str) -> None:
            if severity in errors:
                self._kept.append(msg)
            if severity in spoken:
                log.debug("%s: %s", trt.__name__, msg)

        def words(self) -> str:
            """The first error since the last call: what follows it are its consequences."""
            kept = list(self._kept)
            self._kept.clear()
            return _shortened(kept[0]) if kept else ""

    return Logger()


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:299]}…"


def _one_line(error: Exception) -> str:
    return _shortened(str(error) or type(error).__name__)
