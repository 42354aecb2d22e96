"""The GPU taken away while it serves, in three ways: how long until ONNX Runtime serves, and what is lost meanwhile.

"raises": the library gives an error. "hangs": a batch does not come back. "lost": a kernel traps, after which no call
of CUDA in this process succeeds any more, as when a card falls off its bus. A window comes every hop, as at one bed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.gpu.book import Book
from benchmarks.gpu.engines import built_sets
from benchmarks.gpu.part import PartRequest
from benchmarks.inference import Stream
from models.runtime.backend import Arrays, Backend, RuntimeOptions
from models.runtime.backend_thread import BackendThread
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.guard import DEADLINE_S, GuardedBackend
from models.runtime.select import CANDIDATES, REFERENCE, standby
from models.signals.errors import BackendFailed

FAULTS = ("raises", "hangs", "lost")
SERVED_BEFORE, SERVED_AFTER = 3, 3  # windows
MOST_WINDOWS = 20
"""After the fault: what has not come back by then does not."""
TRAP = b""".version 6.3
.target sm_75
.address_size 64
.visible .entry lost() { trap; ret; }
\0"""


class TakenAway:
    """A backend that is well until ``fault`` says otherwise."""

    def __init__(self, inner: Backend) -> None:
        self._inner, self.info = inner, inner.info
        self.fault = ""
        self.released = threading.Event()

    @property
    def buckets(self) -> tuple[int, ...]:
        """Of the backend itself: the watchdog asks for the largest."""
        return tuple(getattr(self._inner, "buckets", (1,)))

    def warm_up(self) -> None:
        """As the backend itself."""
        self._inner.warm_up()

    def run(self, inputs: Arrays) -> Arrays:
        """What the backend gives, once the fault has struck."""
        if self.fault == "raises":
            raise BackendFailed("the fault that was asked for")
        if self.fault == "hangs":
            self.released.wait()
        if self.fault == "lost":
            trap()
        return self._inner.run(inputs)

    def close(self) -> None:
        """As the backend itself."""
        self._inner.close()


def trap() -> None:
    """A kernel that ends in a trap, in the context of this thread. What comes after it fails, and says so itself."""
    from cuda.bindings import driver

    def checked(found: tuple[Any, ...]) -> Any:
        if found[0] != driver.CUresult.CUDA_SUCCESS:
            raise BackendFailed(f"the kernel that was to trap could not be launched: {found[0]}")
        return found[1] if len(found) > 1 else None

    module = checked(driver.cuModuleLoadData(TRAP))
    kernel = checked(driver.cuModuleGetFunction(module, b"lost"))
    checked(driver.cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0))


def run(
    book: Book, request: PartRequest, clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> None:  # fmt: skip
    """See the module."""
    bundle = load_bundle(request.bundle or None)
    best = next(iter(built_sets(request)), None)
    if best is None:
        book.say("No engine of a GPU was built, so there is none to be taken away.")
        return
    options = RuntimeOptions(precision=best["precision"], buckets=tuple(best["buckets"]))
    for fault in FAULTS:
        wanted = DEADLINE_S + (SERVED_BEFORE + SERVED_AFTER + 2) * bundle.spec.hop_s
        if book.left() < wanted:
            book.say(f"The fault {fault!r} was not tried: the time does not allow {wanted:.0f} s for it.")
            continue
        book.row("faults", fault=fault, **one_fault(bundle, best["backend"], options, fault, clock, sleep))


def one_fault(
    bundle: Bundle, name: str, options: RuntimeOptions, fault: str, clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> dict[str, Any]:  # fmt: skip
    """Figures of one fault: told_s until the first lost window is known as lost, serves_s until the first valid
    prediction of the next backend, invalid windows between; None where nothing came back."""
    taken: list[TakenAway] = []

    def load() -> Backend:
        taken.append(TakenAway(CANDIDATES[name].load(bundle, options)))
        taken[0].warm_up()
        return taken[0]

    thread = BackendThread(name, load, options.cancel)
    thread.loaded(None)
    guard = GuardedBackend(thread, [(REFERENCE, lambda: standby(bundle, options))], deadline_s=DEADLINE_S)
    stream = Stream(bundle)
    began, hop = clock(), 0
    broken = told = serves = float("nan")
    invalid = after = 0
    try:
        for hop in range(SERVED_BEFORE + MOST_WINDOWS):
            sleep(max(0.0, began + hop * bundle.spec.hop_s - clock()))
            if hop == SERVED_BEFORE:
                taken[0].fault, broken = fault, clock()
            try:
                guard.run(stream.inputs(hop, 1))
            except BackendFailed:
                invalid += 1
                told = told if invalid > 1 else clock() - broken
                continue
            if hop >= SERVED_BEFORE:
                serves = serves if after else clock() - broken
                after += 1
                if after == SERVED_AFTER:
                    break
        return {
            "backend": name, "precision": options.precision, "told_s": round(told, 4), "serves_s": round(serves, 4),
            "invalid": invalid, "valid_after": after, "then": guard.info.name, "state": guard.service.state,
            "notes": list(guard.service.notes),
        }  # fmt: skip
    finally:
        guard.close()
        for backend in taken:
            backend.released.set()
