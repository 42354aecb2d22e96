"""From a graph to plans that open: out of the cache, or built once in a process of its own and put there.

Where the cache cannot be read or written (no rights, no space, no locks), the engines are built in a temporary folder
for this run alone, with one warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from models.runtime.backend import Precision, Progress
from models.runtime.tensorrt import process
from models.runtime.tensorrt.api import Library
from models.runtime.tensorrt.build import Request, Unopened, plan_name
from models.runtime.tensorrt.builder import Settings
from models.runtime.tensorrt.cache import Damaged, EngineCache, Entry, Keyed, key_of
from models.runtime.tensorrt.device import Device
from models.signals.errors import BackendUnavailable

log = logging.getLogger("vigil.inference")

_RUNTIME = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted. model: the bundle's fp32 graph, of which ``variant`` makes the one to build, if it must be."""

    library: Library
    device: Device
    model: bytes
    variant: Callable[[bytes, Precision], bytes]
    precision: Precision
    buckets: tuple[int, ...]
    settings: Settings
    progress: Progress
    cancel: threading.Event

    @property
    def keyed(self) -> Keyed:
        """All that the plans depend on."""
        device = self.device
        return {
            "graph": hashlib.sha256(self.model).hexdigest(),
            "forms": _forms(),
            "library": self.library.flavour.name,
            "version": self.library.version,
            "gpu": device.name,
            "capability": list(device.capability),
            "processors": device.processors,
            "driver": device.driver,
            "system": f"{platform.system()} {platform.machine()}",
            "precision": self.precision,
            "buckets": list(self.buckets),
            "settings": msgspec.to_builtins(self.settings),
        }

    @property
    def timing_name(self) -> str:
        """Of the measurements that this build may use: those of the same library on the same GPU."""
        same = ("library", "version", "gpu", "capability", "driver")
        return key_of({name: self.keyed[name] for name in same})[:16]

    @property
    def what(self) -> str:
        """ "TensorRT engines, fp16", for progress and errors."""
        return f"{self.library.flavour.title} engines, {self.precision}"


@dataclass(frozen=True, slots=True)
class Engines:
    """plans: bucket -> plan. entry: in the cache, None if they are of this run alone."""

    plans: dict[int, bytes]
    entry: Entry | None


def _forms() -> str:
    """Of the code that makes variants and engines of a graph: what it makes changes with it."""
    files = [*sorted(_RUNTIME.glob("graph_*.py")), _RUNTIME / "precision.py", _RUNTIME / "tensorrt" / "builder.py"]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


def obtain(order: Order, cache: EngineCache) -> Engines:
    """Plans that a process has opened. Raises BackendUnavailable (Cancelled, process.Crashed) in one sentence."""
    keyed = order.keyed
    key = key_of(keyed)
    found = _from_cache(order, cache, key)
    if found is not None:
        return found
    with _scratch(order) as folder:
        built = False
        try:
            with cache.locked(order.cancel, lambda: order.progress(f"{order.what}: another process builds", 0.0)):
                found = _from_cache(order, cache, key)
                if found is not None:
                    return found
                _build(order, cache, folder)
                built = True
                entry = cache.store(key, keyed, {bucket: folder / plan_name(bucket) for bucket in order.buckets})
                entry.mark_opened()
                return Engines(_read(order, folder), entry)
        except OSError as error:
            _say_uncached(cache, error)
        if not built:
            _build(order, cache, folder)
        return Engines(_read(order, folder), None)


@contextlib.contextmanager
def _scratch(order: Order) -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="vigil-engines-", ignore_cleanup_errors=True)
    except OSError as error:
        raise BackendUnavailable(
            f"{order.what}: no temporary folder can be made ({error.strerror}); make room or set TMPDIR"
        ) from error
    with folder as path:
        yield Path(path)


def _from_cache(order: Order, cache: EngineCache, key: str) -> Engines | None:
    """The cached plans; an entry that is damaged or does not open is quarantined."""
    entry = cache.find(key)
    if entry is None:
        return None
    try:
        plans = entry.read()
        if set(plans) != set(order.buckets):
            raise Damaged("it lacks buckets")
        if not entry.opened:
            _try_open(order, entry.folder)
            entry.mark_opened()
    except (Damaged, OSError, Unopened, process.Crashed) as error:
        cache.quarantine(entry.folder, str(error))
        return None
    return Engines(plans, entry)


def _build(order: Order, cache: EngineCache, folder: Path) -> None:
    """Plans into ``folder``, opened once. Raises BackendUnavailable, also where there is no room even there."""
    graph = order.variant(order.model, order.precision)
    timing = cache.timing(order.timing_name)
    try:
        (folder / "model.onnx").write_bytes(graph)
        if timing:
            (folder / "timing.bin").write_bytes(timing)
    except OSError as error:
        raise BackendUnavailable(
            f"{order.what}: the temporary folder takes no graph ({error.strerror}); make room or set TMPDIR"
        ) from error
    order.progress(f"building {order.what}", 0.0)
    request = _request(order, folder, open_only=False)
    process.run(request, lambda share: order.progress(f"building {order.what}", share), order.cancel)
    made = folder / "timing.bin"
    if made.is_file():
        cache.keep_timing(order.timing_name, made.read_bytes())
    _try_open(order, folder)


def _read(order: Order, folder: Path) -> dict[int, bytes]:
    try:
        return {bucket: (folder / plan_name(bucket)).read_bytes() for bucket in order.buckets}
    except OSError as error:
        raise BackendUnavailable(f"{order.what}: a built engine cannot be read ({error.strerror})") from error


def _try_open(order: Order, folder: Path) -> None:
    """Opening a plan can crash the interpreter: another one goes first."""
    order.progress(f"opening {order.what}", 0.0)
    process.run(_request(order, folder, open_only=True), lambda share: None, order.cancel)


def _request(order: Order, folder: Path, *, open_only: bool) -> Request:
    return Request(
        flavour=order.library.flavour.name, folder=str(folder), buckets=order.buckets, open=open_only,
        device=order.device.index, capability=order.device.capability, settings=order.settings,
    )  # fmt: skip


def _say_uncached(cache: EngineCache, error: OSError) -> None:
    log.warning(
        "The engine cache at %s cannot be used (%s): engines are built for this run alone; make room or give the "
        "folder to this user.", cache.root, error.strerror or error,
    )  # fmt: skip
