"""The house: imports point downwards, heavy libraries stay out of the rooms that must start fast."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("monitor", "ui", "streams", "models", "benchmarks")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    # longest matching room wins; values are the Vigil packages it may import
    "monitor": ("monitor", "ui", "streams", "models"),
    "ui": ("ui", "streams", "models.signals"),
    "streams": ("streams", "models.signals", "models.runtime"),
    "models": ("models",),
    "models.signals": ("models.signals",),
    "models.runtime": ("models.runtime", "models.signals"),
    "models.runtime.torch_backend": ("models",),  # the reference is the trained model itself
    "models.data.sim": ("models.data", "models.signals"),
    "benchmarks": ("benchmarks", "monitor", "ui", "streams", "models"),
}
TORCH_FREE = ("models.signals", "models.runtime", "streams", "ui", "models.data.sim", "models.data.simulator")


def modules() -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Imported module names, and whether the import runs when the module is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top_level = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top_level) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, id(node) in top_level


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def room_of(module: str) -> str:
    return max((room for room in MAY_IMPORT if within(module, room)), key=len)


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_point_downwards(module: str, path: Path) -> None:
    allowed = MAY_IMPORT[room_of(module)]
    for name, _ in imports(path):
        if name.split(".")[0] in ROOMS:
            assert any(within(name, package) for package in allowed), f"{module} must not import {name}"


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else "")
def test_the_monitor_needs_no_torch(module: str, path: Path) -> None:
    if module.startswith("monitor") or any(within(module, room) for room in TORCH_FREE):
        bad = [n for n, at_load in imports(path) if n.split(".")[0] in ("torch", "onnx", "onnxscript") and at_load]
        assert not bad, f"{module} imports {bad} when it is loaded"


def test_a_new_module_is_seen_by_these_tests() -> None:
    assert len(list(modules())) > 30


def test_starting_the_command_line_loads_nothing_heavy() -> None:
    """Start-up budget: these load when they are needed."""
    heavy = ("torch", "scipy.signal", "wfdb", "vitaldb", "pandas", "matplotlib")
    code = f"import sys, monitor.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [p for _, p in modules()], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, "one concept a file"
