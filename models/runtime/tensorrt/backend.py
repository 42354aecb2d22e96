"""The backends `tensorrt` and `tensorrt-rtx`: from a bundle to engines that serve."""

from __future__ import annotations

import logging
from dataclasses import replace

from models.runtime.backend import Arrays, BackendInfo, Precision, RuntimeOptions
from models.runtime.bundle import Bundle
from models.runtime.inputs import InputForm
from models.runtime.tensorrt.api import RTX, TENSORRT, Flavour, load_library
from models.runtime.tensorrt.builder import Settings
from models.runtime.tensorrt.cache import EngineCache, Entry
from models.runtime.tensorrt.device import Cuda, lacks_driver, open_device
from models.runtime.tensorrt.engines import Engines, Order, obtain
from models.runtime.tensorrt.session import PlanRefused, Session
from models.signals.errors import BackendUnavailable, BadInput

log = logging.getLogger("vigil.inference")

MAX_BUCKET = 4096  # as far as the exported batch dimension goes


def load(bundle: Bundle, options: RuntimeOptions) -> TensorRTBackend:
    """Engines of TensorRT. Takes minutes where they must be built, else a second.

    Raises BackendUnavailable in one sentence: what is missing and what installs it, or why no engine could be built;
    also when ``options.cancel`` was set. ``precision`` "auto" is fp16 here.
    """
    return _load(TENSORRT, bundle, options)


def load_rtx(bundle: Bundle, options: RuntimeOptions) -> TensorRTBackend:
    """Engines of TensorRT-RTX; as :func:`load`."""
    return _load(RTX, bundle, options)


class TensorRTBackend:
    """See :class:`models.runtime.backend.Backend`, Replays and CountsKernels. Used by the thread that loaded it.

    ``cache_key``: under which the gate's result of these engines is kept, None if they are not in the cache.
    """

    def __init__(self, session: Session, info: BackendInfo, entry: Entry | None) -> None:
        self._session, self._entry, self.info = session, entry, info
        self.cache_key = entry.key if entry is not None else None
        self._form = InputForm({name: (dtype, shape) for name, (shape, dtype) in session.inputs.items()})
        self._warm = False

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes with an engine."""
        return self._session.buckets

    @property
    def kernels(self) -> dict[int, int]:
        """In the recorded launch of each bucket; empty before :meth:`warm_up`."""
        return self._session.kernels

    def warm_up(self) -> None:
        """Runs every bucket and records its launch; again, it does nothing. Raises BackendFailed."""
        if self._warm:
            return
        self._session.record()
        self._warm = True
        if not self._session.replays:
            self.info = replace(self.info, detail=f"{self.info.detail}, without recorded launches")
        if self._entry is not None:
            for bucket, kernels in self._session.compiled().items():
                name = _kernels_name(bucket)
                if self._entry.extra(name) != kernels:
                    self._entry.keep_extra(name, kernels)

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs of any batch from 1 row, larger ones than the largest bucket in portions. Raises BadInput for names,
        shapes and types that the engine does not take, BackendFailed where CUDA or the library fails."""
        self._form.check(inputs)
        return self._session.run(inputs)

    def run_plain(self, inputs: Arrays) -> Arrays:
        """As :meth:`run`, each step enqueued by itself."""
        self._form.check(inputs)
        return self._session.run(inputs, plain=True)

    def layer_times(self, bucket: int, runs: int = 20) -> dict[str, float]:
        """Milliseconds of each layer of a bucket's engine, as the library's profiler tells them: see Session."""
        return self._session.layer_times(bucket, runs)

    def close(self) -> None:
        """Gives the engines and their memory back."""
        self._session.close()


def _load(flavour: Flavour, bundle: Bundle, options: RuntimeOptions) -> TensorRTBackend:
    buckets = tuple(sorted(set(options.buckets)))
    if not buckets or not 1 <= buckets[0] <= buckets[-1] <= MAX_BUCKET:
        raise BadInput(f"batch buckets from 1 to {MAX_BUCKET}", str(options.buckets), "leave them at their default")
    # Without a device the library is not even loaded: it takes 100 MB.
    opened = open_device(options.device, flavour.extra) if flavour.is_installed else None
    try:
        library = load_library(flavour)
    except BackendUnavailable as error:
        if not lacks_driver():
            raise
        raise BackendUnavailable(f"{error} (and the driver of an NVIDIA GPU, which this machine lacks)") from error
    cuda, device = opened or open_device(options.device, flavour.extra)
    if flavour is RTX:
        library.capability(*device.capability)
    precision: Precision = "fp16" if options.precision == "auto" else options.precision
    order = Order(
        library, device, bundle.model_path.read_bytes(), _variant, precision, buckets, Settings(),
        options.progress, options.cancel,
    )  # fmt: skip
    cache = EngineCache(options.cache)
    session, engines = _opened(order, cache, cuda)
    detail = (
        f"{library.title}, {device.name} (compute capability {device.capability[0]}.{device.capability[1]}), "
        f"driver {device.driver}, {precision}"
    )
    return TensorRTBackend(session, BackendInfo(flavour.name, detail, precision), engines.entry)


def _variant(graph: bytes, precision: Precision) -> bytes:
    """The graph to build; its libraries are loaded only where something is built."""
    from models.runtime.precision import variant

    return variant(graph, precision)


def _opened(order: Order, cache: EngineCache, cuda: Cuda) -> tuple[Session, Engines]:
    """A session; an entry whose plans do not open even here is quarantined and built once more."""
    for last in (False, True):
        engines = obtain(order, cache)
        entry = engines.entry
        compiled = {bucket: entry.extra(_kernels_name(bucket)) for bucket in engines.plans} if entry else {}
        try:
            return Session(order.library, cuda, engines.plans, compiled), engines
        except PlanRefused as error:
            if last or entry is None:
                raise
            cache.quarantine(entry.folder, str(error))
    raise BackendUnavailable(f"{order.what} cannot be opened")  # pragma: no cover - the loop ends before


def _kernels_name(bucket: int) -> str:
    return f"compiled_{bucket}.bin"
