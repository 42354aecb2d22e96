"""``python -m benchmarks gpu``: what only a GPU can show, in parts, within ten minutes, with nothing to download.

Each part runs in a process of its own and within a budget; one that fails, crashes or runs over is told in a sentence,
and the next goes on with the time that is left. Results are written as they come: ``PART.json`` by every part,
``summary.md`` and ``summary.json`` after each.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gpu.book import columns, read, write
from benchmarks.gpu.environment import find_gpu
from benchmarks.gpu.part import ASKED_FOR, PARTS, PartRequest
from benchmarks.gpu.process import run_in_process
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.signals.errors import BadInput, VigilError

LEAST_S = 5.0
"""A part with less than this is not begun."""
LONGEST_TABLE = 60  # rows of a table in the summary; the part's own file has them all

Run = Callable[[PartRequest], str]


def main(argv: list[str]) -> int:
    """Runs the parts and writes the results; returns the exit code, 1 where a part failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of results (gpu-results)")
    parser.add_argument("--parts", nargs="+", metavar="PART", help=", ".join(
        f"{name}: {what}" for name, (_, what) in PARTS.items()))  # fmt: skip
    parser.add_argument("--minutes", type=float, default=10.0, help="for all parts together (default 10)")
    parser.add_argument("--bundle", type=Path, help="default: the shipped demo model")
    parser.add_argument("--beds", type=int, nargs="+", default=[1, 8, 64], help="of the wards (default 1 8 64)")
    o = parser.parse_args(argv)
    parts = chosen(o.parts)
    if o.minutes <= 0 or min(o.beds) < 1:
        raise BadInput("minutes and beds above 0", "less", "leave the option out")
    gpu = find_gpu()
    folder = o.out.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:  # of another run
            (folder / f"{part}.json").unlink(missing_ok=True)
    except OSError as error:
        raise VigilError(f"The folder {o.out} cannot be written: {error.strerror or error}.") from error
    with tempfile.TemporaryDirectory(prefix="vigil-gpu-", ignore_cleanup_errors=True) as cache:
        # Engines are built anew, so that the time of a build is one; the user's own stay as they are.
        environment = {"XDG_CACHE_HOME": cache}
        bundle = str(o.bundle.resolve()) if o.bundle else ""
        requests = [PartRequest(p, str(folder), 0.0, bundle, beds=tuple(o.beds)) for p in parts]
        with ended_as_one():
            run_parts(requests, 60.0 * o.minutes, gpu, lambda request: run_in_process(request, environment))
    publish(summary(folder, parts, gpu), folder / "summary.md", {part: read(folder, part) for part in parts})
    return 0 if all(read(folder, part).get("state") == "done" for part in parts) else 1


@contextmanager
def ended_as_one() -> Iterator[None]:
    """Whoever ends this process (`timeout` does) ends the part at work too."""

    def leave(*_: object) -> None:
        sys.exit(143)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def chosen(names: Sequence[str] | None) -> list[str]:
    """The parts of these names in the order of :data:`PARTS`; BadInput for an unknown one.

    >>> chosen(["speed", "environment"])
    ['environment', 'speed']
    """
    if strange := sorted(set(names or ()) - set(PARTS)):
        raise BadInput(f"parts out of {', '.join(PARTS)}", strange[0], "see --help")
    return [name for name in PARTS if (name in names if names else name not in ASKED_FOR)]


def budget(parts: Sequence[str], at: int, left_s: float) -> float:
    """Seconds of the part ``at``: its share of what is left, so that time that one part does not need is the next
    ones'.

    >>> round(budget(["engines", "speed"], 0, 540.0)), budget(["engines", "speed"], 1, 400.0)
    (400, 400.0)
    """
    weights = [PARTS[name][0] for name in parts[at:]]
    return left_s * weights[0] / sum(weights)


def run_parts(
    requests: Sequence[PartRequest], seconds: float, gpu: str, run: Run, clock: Callable[[], float] = time.monotonic
) -> None:  # fmt: skip
    """Each part by ``run``, which gives "" or the sentence on why it was ended; the summary is written after each."""
    end = clock() + seconds
    parts = [request.part for request in requests]
    for at, request in enumerate(requests):
        budget_s = budget(parts, at, end - clock())
        if budget_s < LEAST_S and end - clock() < LEAST_S:
            _failed(request, "it was not begun: no time was left")
            continue
        print(f"{request.part}: {PARTS[request.part][1]}, {budget_s:.0f} s at most", file=sys.stderr, flush=True)
        asked = PartRequest(
            request.part, request.out, budget_s, request.bundle, request.device, request.beds
        )  # fmt: skip
        if ended := run(asked):
            _failed(request, ended)
        elif not read(request.folder, request.part):
            _failed(request, "it left no results")
        told = read(request.folder, request.part)
        print(f"{request.part}: {told['state']} {told['error']}".rstrip(), file=sys.stderr, flush=True)
        (request.folder / "summary.md").write_text(summary(request.folder, parts[: at + 1], gpu) + "\n", "utf-8")


def _failed(request: PartRequest, error: str) -> None:
    """Notes in the part's results how it ended; what it had found stays."""
    found = read(request.folder, request.part)
    empty: dict[str, Any] = {"part": request.part, "seconds": None, "tables": {}, "said": []}
    write(request.folder, request.part, empty | found | {"state": "failed", "error": error})


def summary(folder: Path, parts: Sequence[str], gpu: str) -> str:
    """All parts as Markdown: how each ended, its tables and its sentences."""
    told = [read(folder, part) for part in parts]
    rows = [[part["part"], part["state"], part["seconds"], part["error"] or None] for part in told]
    lines = [f"## GPU: {gpu}, {machine()}", "", table(["part", "state", "seconds", "why"], rows)]
    for part in told:
        lines += ["", f"### {part['part']}: {PARTS[part['part']][1]}"]
        for name, found in part["tables"].items():
            shown = [c for c in columns(found) if not any(isinstance(row.get(c), dict) for row in found)]
            cells = [[_cell(row.get(c)) for c in shown] for row in found[:LONGEST_TABLE]]
            lines += ["", f"{name}:", "", table(shown, cells)]
            if len(found) > LONGEST_TABLE:
                lines += ["", f"{len(found) - LONGEST_TABLE} more rows are in `{part['part']}.json`."]
        if part["said"]:
            lines += ["", *(f"- {sentence}" for sentence in part["said"])]
    return "\n".join(lines)


def _cell(value: object) -> object:
    """As in a table: lists in words; what would break the table is taken out."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, str):
        return " ".join(value.replace("|", "/").split())
    return value
