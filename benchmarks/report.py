"""How every benchmark tells its result: Markdown for readers, JSON for programs, a picture where one says more.

``FILE.md`` is the text, with a last line that says by what command, on what revision and with which versions it was
made. ``FILE.json`` beside it holds that too, every table of the text as columns and rows, and the benchmark's own
``figures``; its keys are those of :class:`Provenance`, ``tables`` and ``figures``. ``FILE.png`` is the picture.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.runtime.machine import machine
from models.signals.errors import VigilError

TOLD_VERSIONS = (
    "numpy", "onnxruntime", "faust-streaming", "aiokafka", "msgspec", "PySide6-Essentials", "pyqtgraph",
    "ezmsg", "quixstreams", "timeflux",
)  # fmt: skip
_ROOT = Path(__file__).resolve().parents[1]
_SEPARATOR = re.compile(r"^\|(?:\s*:?-{3,}:?\s*\|)+$")

Draw = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result comes from. revision: of git, ``+`` where files were changed, None outside a checkout."""

    command: str
    machine: str
    revision: str | None
    versions: dict[str, str]
    made: str

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        revision = f" at {self.revision}" if self.revision else ""
        return f"Made by `{self.command}`{revision} on {self.made}; {versions}."


def provenance() -> Provenance:
    """Of what runs now. Of paths in the command only the last part is told: the rest is a machine's own."""
    words = [Path(word).name if "/" in word and "://" not in word else word for word in sys.argv[1:]]
    name = Path(sys.argv[0]).parent.name if sys.argv[0].endswith("__main__.py") else Path(sys.argv[0]).name
    found = {}
    for package in TOLD_VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    made = datetime.now(UTC).strftime("%Y-%m-%d")
    return Provenance(" ".join([f"python -m {name}", *words]), machine(), _revision(), found, made)


def publish(text: str, out: Path | None, figures: Mapping[str, Any] | None = None, draw: Draw | None = None) -> None:
    """Prints the text and, with ``out``, writes the three files beside one another.

    figures: what JSON can hold; numbers that are not finite become null. draw: makes the picture at a path. VigilError
    where a file cannot be written.
    """
    print(text)
    if out is None:
        return
    made = provenance()
    told = {**asdict(made), "tables": tables_of(text), "figures": figures or {}}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(f"{text}\n\n{made}\n", encoding="utf-8")
        out.with_suffix(".json").write_text(json.dumps(finite(told), indent=1) + "\n", encoding="utf-8")
        if draw is not None:
            draw(out.with_suffix(".png"))
    except OSError as error:
        raise VigilError(f"The table {out} could not be written: {error.strerror or error}.") from error
    except ImportError as error:
        print(f"no picture: {error.name or error} is not installed", file=sys.stderr)


def tables_of(text: str) -> list[dict[str, Any]]:
    """Every Markdown table of a text: its columns and rows, numbers where a cell is one, None for a dash.

    >>> tables_of("| a | b |\\n|---|---|\\n| 1.5 | x |\\n| – | 2 |")
    [{'columns': ['a', 'b'], 'rows': [[1.5, 'x'], [None, 2]]}]
    """
    found: list[dict[str, Any]] = []
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if not _SEPARATOR.match(line.strip()) or i == 0:
            continue
        rows = []
        for row in lines[i + 1 :]:
            if not row.startswith("|"):
                break
            rows.append([_value(cell) for cell in _cells(row)])
        found.append({"columns": _cells(lines[i - 1]), "rows": rows})
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _value(cell: str) -> Any:
    if cell in ("–", ""):
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def finite(value: Any) -> Any:
    """JSON has no NaN: null instead.

    >>> finite({"a": [1.0, float("nan")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


def _revision() -> str | None:
    """Of the checkout that this file lies in."""
    try:
        head = subprocess.run(
            ["git", "-C", str(_ROOT), "rev-parse", "--short=8", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(_ROOT), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}{'+' if changed else ''}"
