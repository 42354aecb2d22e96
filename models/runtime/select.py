"""Which backend serves: an explicit choice or `auto`, with the reason for each candidate passed over.

A candidate is loaded once a precision (fp16, bf16, fp32) and tried by the gate; the first that passes serves, behind
the watchdog, and ONNX Runtime comes after it. A candidate whose gate fails in every precision is passed over loudly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import msgspec

from models.runtime.backend import Backend, Precision, RuntimeOptions
from models.runtime.backend_thread import BackendThread, Ended
from models.runtime.bundle import Bundle
from models.runtime.engine import WIDEST_MMHG, Engine
from models.runtime.gate import GateResult, gate, rules_of, spot_check
from models.runtime.guard import HANG_S, GuardedBackend, Service
from models.runtime.spec import AUTO
from models.signals.errors import BackendFailed, BackendUnavailable, BadInput

log = logging.getLogger("vigil.inference")

GATE_S = 120.0
"""For the whole gate; some 300 runs of a GPU engine are 0.2 s, of PyTorch on one core 10 s."""
REFERENCE = "onnx"

Load = Callable[[Bundle, RuntimeOptions], Backend]


@dataclass(frozen=True, slots=True)
class Candidate:
    """load: as in every backend module. precisions: best first. by_itself: whether `auto` may take it."""

    load: Load
    precisions: tuple[Precision, ...] = ("fp16", "bf16", "fp32")
    by_itself: bool = True


@runtime_checkable
class Cached(Protocol):
    """A backend that may come from a cache of built engines, with the gate's result beside it."""

    @property
    def cache_key(self) -> str | None:
        """Key of the engines' entry in the cache; None where they come from none."""


# Each library is imported when its backend is asked for: they take 0.1 to 3 s, or are not there.


def _tensorrt(bundle: Bundle, options: RuntimeOptions) -> Backend:
    from models.runtime.tensorrt.backend import load

    return load(bundle, options)


def _tensorrt_rtx(bundle: Bundle, options: RuntimeOptions) -> Backend:
    from models.runtime.tensorrt.backend import load_rtx

    return load_rtx(bundle, options)


def _onnx(bundle: Bundle, options: RuntimeOptions) -> Backend:
    from models.runtime.onnx_backend import OnnxBackend

    return OnnxBackend(bundle.model_path, bundle.spec, options.threads)


def _torch(bundle: Bundle, options: RuntimeOptions) -> Backend:
    from models.runtime.torch_backend import load

    return load(bundle, options)


CANDIDATES: dict[str, Candidate] = {
    "tensorrt": Candidate(_tensorrt),
    "tensorrt-rtx": Candidate(_tensorrt_rtx),
    REFERENCE: Candidate(_onnx, ("fp32",)),
    "torch": Candidate(_torch, ("fp32",), by_itself=False),
}
"""Backends in the order in which `auto` tries them."""


class ServedEngine(Engine):
    """An engine behind the watchdog, which says how it serves."""

    def __init__(self, bundle: Bundle, guard: GuardedBackend, imputer: str, widest_mmhg: float) -> None:
        super().__init__(bundle, guard, imputer, widest_mmhg)
        self._guard = guard

    @property
    def service(self) -> Service:
        """How it serves now, and why better backends do not."""
        return self._guard.service


@dataclass(frozen=True, slots=True)
class Selection:
    """The engine that serves, what the gate said of it, and why each better-placed candidate does not serve ("name" or
    "name precision" -> sentence). refused: those of them that the gate refused."""

    engine: ServedEngine
    gate: GateResult
    passed_over: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


@dataclass(slots=True)
class _Search:
    """What was tried on the way to a backend that may serve."""

    bundle: Bundle
    options: RuntimeOptions
    whole: bool = False
    """Whether the reference too goes through the whole gate."""
    passed_over: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def try_all(self, names: Sequence[str]) -> tuple[BackendThread, GateResult] | None:
        for name in names:
            found = self.try_one(name, CANDIDATES[name])
            if found is not None:
                return found
            for label in self.refused:
                if label.partition(" ")[0] == name:
                    log.warning("%s may not serve: %s", label, self.passed_over[label])
        return None

    def try_one(self, name: str, candidate: Candidate) -> tuple[BackendThread, GateResult] | None:
        """The candidate in the first precision that passes the gate. Raises BadInput for a graph that the reference
        itself cannot read, and Ended."""
        asked = self.options.precision
        precisions = candidate.precisions if asked == "auto" else tuple(p for p in candidate.precisions if p == asked)
        if not precisions:
            can = ", ".join(candidate.precisions)
            self.passed_over[name] = f"{name} computes in {can} and not in {asked}; choose {can} or auto"
        for precision in precisions:
            label = f"{name} {precision}" if len(precisions) > 1 else name
            thread = self._loading(name, candidate, precision)
            try:
                thread.loaded(None)  # an engine may have to be built, which takes minutes: ``cancel`` ends that
                result = thread.call(self._gated, GATE_S)
            except Ended:
                thread.close()
                raise
            except (BackendUnavailable, BackendFailed, BadInput) as error:
                if self.options.cancel.is_set():  # the build noticed it before the wait for it did
                    thread.close()
                    raise Ended("the run was ended") from error
                thread.leave()
                if isinstance(error, BadInput) and name == REFERENCE:
                    raise
                if self._same_again(name, label, str(error)):
                    return None
                continue
            if result.passed:
                return thread, result
            thread.leave()
            self.passed_over[label] = result.words()
            self.refused.append(label)
        return None

    def _loading(self, name: str, candidate: Candidate, precision: Precision) -> BackendThread:
        options = replace(self.options, precision=precision)

        def load() -> Backend:
            backend = candidate.load(self.bundle, options)
            backend.warm_up()
            return backend

        return BackendThread(name, load, options.cancel)

    def _gated(self, backend: Backend) -> GateResult:
        if backend.info.name == REFERENCE:
            return gate(self.bundle, backend) if self.whole else spot_check(self.bundle, backend)
        return _gated(self.bundle, backend, self.options)

    def _same_again(self, name: str, label: str, reason: str) -> bool:
        """Keep the reason; True if the precision is not to blame, since another one met with the same."""
        if reason in self.passed_over.values():
            self.passed_over = {k: v for k, v in self.passed_over.items() if v != reason} | {name: reason}
            return True
        self.passed_over[label] = reason
        return False


def select_engine(
    bundle: Bundle,
    backend: str = "auto",
    imputer: str = AUTO,
    options: RuntimeOptions | None = None,
    *,
    deadline_s: float = HANG_S,
    widest_mmhg: float = WIDEST_MMHG,
) -> Selection:
    """Load ``bundle`` on ``backend``, let the gate try it, and put the watchdog before it; ``imputer`` and
    ``widest_mmhg`` as in :class:`Engine`, ``deadline_s`` for a batch: a paced run wants DEADLINE_S.

    Raises BadInput for an unknown name and BackendUnavailable when an explicit choice (or every candidate) cannot
    be had or may not serve.
    """
    if backend != "auto" and backend not in CANDIDATES:
        raise BadInput(
            f"a backend out of auto, {', '.join(CANDIDATES)}",
            repr(backend),
            "run `vigil doctor` to see what is usable",
        )
    imputer = bundle.imputer(imputer)
    search = _Search(bundle, options or RuntimeOptions())
    names = [name for name, c in CANDIDATES.items() if c.by_itself] if backend == "auto" else [backend]
    found = search.try_all(names)
    reasons = [
        reason if reason.lower().startswith(label.partition(" ")[0]) else f"{label}: {reason}"
        for label, reason in search.passed_over.items()
    ]
    if found is None:
        if len(reasons) == 1:
            raise BackendUnavailable(next(iter(search.passed_over.values())))
        raise BackendUnavailable("no backend can serve: " + "; ".join(reasons))
    thread, result = found
    guard = GuardedBackend(
        thread, [(REFERENCE, lambda: standby(bundle, search.options))],
        deadline_s=deadline_s, cancel=search.options.cancel, notes=reasons,
        refused=any(label.partition(" ")[0] != thread.name for label in search.refused),
    )  # fmt: skip
    return Selection(
        ServedEngine(bundle, guard, imputer, widest_mmhg), result, search.passed_over, tuple(search.refused)
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one candidate, in one precision or ("") in any. words: its library and device and what the gate
    said, or why it is not to be had and what installs it. refused: by the gate."""

    precision: str
    passed: bool
    refused: bool
    words: str


def survey(bundle: Bundle, backend: str, options: RuntimeOptions | None = None) -> list[Finding]:
    """For `vigil doctor`: the candidate ``backend`` tried as :func:`select_engine` does, up to the precision that
    passes, and closed again; the reference with the whole gate."""
    options = options or RuntimeOptions()
    search = _Search(bundle, options, whole=True)
    try:
        found = search.try_one(backend, CANDIDATES[backend])
    except BadInput as error:
        return [Finding("", False, True, str(error))]
    findings = [
        Finding(label.partition(" ")[2], False, label in search.refused, reason)
        for label, reason in search.passed_over.items()
    ]
    if found is not None:
        thread, result = found
        thread.close()
        findings.append(Finding(result.precision, True, False, f"{thread.info.detail}; {result.words()}"))
    return findings


def _gated(bundle: Bundle, backend: Backend, options: RuntimeOptions) -> GateResult:
    """The gate's result, from the cache where the same gate has passed the same engine before."""
    key = backend.cache_key if isinstance(backend, Cached) else None
    if key is not None and (stored := _stored(key, bundle)) is not None:
        return stored
    reference = CANDIDATES[REFERENCE].load(bundle, replace(options, precision="fp32"))
    try:
        result = gate(bundle, backend, reference)
    finally:
        reference.close()
    if key is not None:
        _keep_gate(key, msgspec.json.encode(result))
    return result


def _kept_gate(key: str) -> bytes | None:
    from models.runtime.tensorrt.cache import stored_gate

    return stored_gate(key)


def _keep_gate(key: str, result: bytes) -> None:
    from models.runtime.tensorrt.cache import store_gate

    store_gate(key, result)


def _stored(key: str, bundle: Bundle) -> GateResult | None:
    """A pass by the present rules; anything else is tried anew."""
    kept = _kept_gate(key)
    if kept is None:
        return None
    try:
        result = msgspec.json.decode(kept, type=GateResult)
    except msgspec.DecodeError as error:
        log.info("A stored result of the gate cannot be read, the gate runs again: %s", error)
        return None
    return result if result.passed and result.rules == rules_of(bundle) else None


def standby(bundle: Bundle, options: RuntimeOptions) -> Backend:
    """The reference, for when what serves has failed. Raises BackendUnavailable if even that may not serve."""
    backend = CANDIDATES[REFERENCE].load(bundle, replace(options, precision="fp32"))
    backend.warm_up()
    result = spot_check(bundle, backend)
    if not result.passed:
        backend.close()
        raise BackendUnavailable(f"{REFERENCE}: {result.words()}")
    return backend
