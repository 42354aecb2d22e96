"""Which backend serves: an explicit choice or `auto`, with the reason for each candidate passed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from models.runtime.backend import Backend
from models.runtime.bundle import Bundle
from models.runtime.engine import Engine
from models.runtime.spec import RESTORATION
from models.signals.errors import BackendUnavailable, BadInput


def _onnx(bundle: Bundle) -> Backend:
    from models.runtime.onnx_backend import OnnxBackend  # 0.1 s import: only when it is asked for

    return OnnxBackend(bundle.model_path, bundle.spec)


CANDIDATES: dict[str, Callable[[Bundle], Backend]] = {"onnx": _onnx}
"""Backends in the order in which `auto` tries them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The engine that serves, and why each better-placed candidate does not (name -> sentence)."""

    engine: Engine
    passed_over: dict[str, str] = field(default_factory=dict)


def select_engine(bundle: Bundle, backend: str = "auto", imputer: str = RESTORATION) -> Selection:
    """Load ``bundle`` on ``backend`` and warm it up; ``imputer`` as in :class:`Engine`.

    Raises BadInput for an unknown name and BackendUnavailable when an explicit choice (or every candidate) cannot
    be had.
    """
    if backend != "auto" and backend not in CANDIDATES:
        raise BadInput(
            f"a backend out of auto, {', '.join(CANDIDATES)}",
            repr(backend),
            "run `vigil doctor` to see what is usable",
        )
    passed_over: dict[str, str] = {}
    for name in CANDIDATES if backend == "auto" else (backend,):
        try:
            loaded = CANDIDATES[name](bundle)
        except BackendUnavailable as error:
            if backend != "auto":
                raise
            passed_over[name] = str(error)
            continue
        loaded.warm_up()
        return Selection(Engine(bundle, loaded, imputer), passed_over)
    raise BackendUnavailable("no backend can serve: " + "; ".join(f"{n}: {r}" for n, r in passed_over.items()))
