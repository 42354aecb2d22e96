"""One part in a process of its own: ``python -m benchmarks.gpu.part REQUEST`` (JSON).

What crashes there crashes alone, what hangs can be ended, and the GPU is free for the next part.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from benchmarks.gpu.book import Book
from models.signals.errors import VigilError

PARTS: dict[str, tuple[float, str]] = {
    "environment": (0.5, "GPU, driver, versions and profilers"),
    "engines": (4.0, "engines of every batch size and precision, built and tried by the gate"),
    "speed": (1.4, "p50 and p99 of each engine, with and without recorded launches; kernels and layers"),
    "training": (1.5, "steps a second of the model's sizes, and the largest batch"),
    "end_to_end": (2.0, "latency of 1, 8 and 64 beds on the GPU"),
    "fail_over": (0.8, "the GPU taken away: how long until the next backend serves"),
    "paper": (4.0, "an engine of the paper's size; only where it is asked for"),
}
"""name → minutes of ten, and what it is. Each is the module of its name in this package, in the order of worth."""
ASKED_FOR = ("paper",)
"""Parts that ``--parts`` must name."""


@dataclass(frozen=True, slots=True)
class PartRequest:
    """What a part is asked. out: folder of results, those of the parts before it too. bundle: "" for the shipped one.
    device: of torch. beds: of a ward."""

    part: str
    out: str
    budget_s: float
    bundle: str = ""
    device: str = "cuda"
    beds: tuple[int, ...] = (1, 8, 64)

    @property
    def folder(self) -> Path:
        """Where results are."""
        return Path(self.out)

    def text(self) -> str:
        """As :func:`request_of` reads it."""
        return json.dumps(asdict(self))


def request_of(text: str) -> PartRequest:
    """The request in these words."""
    told = json.loads(text)
    return PartRequest(**told | {"beds": tuple(told["beds"])})


def run_part(request: PartRequest, module: ModuleType | None = None) -> None:
    """The part, and whatever ends it in its book."""
    book = Book(request.folder, request.part, request.budget_s)
    try:
        (module or importlib.import_module(f"benchmarks.gpu.{request.part}")).run(book, request)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the next part goes on, whatever a library raised
        book.failed(sentence_of(error))
    else:
        book.done()


def sentence_of(error: BaseException) -> str:
    """An error in one line: our own as they are, others with their kind."""
    words = " ".join(str(error).split())[:400]
    if isinstance(error, VigilError | SystemExit):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


if __name__ == "__main__":
    run_part(request_of(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a GPU that is gone, or a thread that hangs in it, is no part of the end
