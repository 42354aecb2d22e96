"""The house: imports point downwards, heavy libraries stay out of the rooms that must start fast."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("monitor", "ui", "streams", "models", "benchmarks")

BELOW = (
    "models.batches", "models.data", "models.networks", "models.runtime", "models.signals", "models.physiome",
    "models.selfmask", "models.student", "models.distillation", "models.imputers", "models.objectives", "models.sizes",
    "models.progress",
)  # fmt: skip
"""Of what a model is, and what it is fed: neither trains nor judges."""

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    # longest matching room wins; values are the Vigil packages it may import
    "monitor": ("monitor", "ui", "streams", "models"),
    "ui": ("ui", "streams", "models.signals"),
    "ui.style": ("ui.style", "streams.control", "models.signals"),
    "ui.bed": ("ui.bed", "ui.style.language", "ui.style.theme", "ui.style.words", "streams", "models.signals"),
    "ui.waves": ("ui.waves", "ui.bed", "ui.style", "streams", "models.signals"),
    "ui.central": ("ui.central", "ui.waves", "ui.bed", "ui.style", "streams", "models.signals"),
    "ui.sound": ("ui.sound", "streams", "models.signals"),
    "ui.manners": ("ui.manners", "ui.style", "models.signals"),
    "ui.panels": ("ui.panels", "ui.waves", "ui.sound", "ui.bed", "ui.style", "streams", "models.signals"),
    "ui.trends": ("ui.trends", "ui.bed", "ui.style", "streams", "models.signals"),
    "ui.start": ("ui.start", "ui.style", "streams", "models.signals"),
    "streams": ("streams", "models.signals", "models.runtime"),
    "models": ("models",),
    "models.signals": ("models.signals",),
    "models.runtime": ("models.runtime", "models.signals"),
    "models.runtime.torch_backend": ("models",),  # the reference is the trained model itself
    "models.data.sim": ("models.data", "models.signals"),
    "models.batches": BELOW,
    "models.networks": BELOW,
    "models.training": (*BELOW, "models.training"),  # and nothing that judges
    "models.evaluation": (*BELOW, "models.evaluation", "models.training.run_folder"),  # judges a run, knows no stage
    "benchmarks": ("benchmarks", "monitor", "ui", "streams", "models"),
}
TORCH_FREE = ("models.signals", "models.runtime", "streams", "ui", "models.data.sim", "models.data.simulator")


def modules() -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


@cache
def imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Imported module names, and whether the import runs when the module is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top_level = {id(node) for node in tree.body}
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top_level) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            whole = node.module in ROOMS  # of a room what is imported is a module of it
            names = [f"{node.module}.{alias.name}" for alias in node.names] if whole else [node.module]
            found += [(name, id(node) in top_level) for name in names]
    return tuple(found)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def room_of(module: str) -> str:
    return max((room for room in MAY_IMPORT if within(module, room)), key=len)


def test_imports_point_downwards() -> None:
    wrong = [
        f"{module} must not import {name}"
        for module, path in modules()
        for name, _ in imports(path)
        if name.split(".")[0] in ROOMS and not any(within(name, package) for package in MAY_IMPORT[room_of(module)])
    ]
    assert not wrong


def test_the_monitor_needs_no_torch() -> None:
    wrong = [
        f"{module} imports {name} when it is loaded"
        for module, path in modules()
        if module.startswith("monitor") or any(within(module, room) for room in TORCH_FREE)
        for name, at_load in imports(path)
        if at_load and name.split(".")[0] in ("torch", "onnx", "onnxscript")
    ]
    assert not wrong


def test_the_stream_and_what_is_known_of_a_bed_meet_qt_nowhere() -> None:
    pure = ("streams", "ui.bed", "ui.style.language", "ui.style.theme", "ui.style.words", "ui.window.control_link",
            "ui.sound", "ui.window.sound_desk", "ui.central.order", "ui.central.grid", "ui.central.scale",
            "ui.central.tile_words", "ui.window.helpers", "ui.start.opening",
            "ui.start.choices", "ui.manners.store")  # fmt: skip
    wrong = [
        f"{module} imports {name}"
        for module, path in modules()
        if any(within(module, room) for room in pure)
        for name, _ in imports(path)
        if name.split(".")[0] == "PySide6"
    ]
    assert not wrong


def test_a_second_is_defined_once() -> None:
    wrong = [
        f"{module} says how many nanoseconds a second has; import SECOND_NS"
        for module, path in modules()
        if module != "models.signals.times" and has_billion(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not wrong


def has_billion(tree: ast.AST) -> bool:
    """As an integer: ``1e9`` in a formula of floats is no definition."""
    return any(
        (isinstance(node, ast.Constant) and type(node.value) is int and node.value == 10**9)
        or (isinstance(node, ast.BinOp) and ast.unparse(node) == "10 ** 9")
        for node in ast.walk(tree)
    )


def test_a_new_module_is_seen_by_these_tests() -> None:
    assert len(list(modules())) > 30


def test_starting_the_command_line_loads_nothing_heavy() -> None:
    """Start-up budget: these load when they are needed."""
    heavy = ("torch", "scipy.signal", "wfdb", "vitaldb", "pandas", "matplotlib", "pyqtgraph")
    code = f"import sys, monitor.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_files_stay_readable() -> None:
    """One concept a file."""
    long = [str(path) for _, path in modules() if len(path.read_text(encoding="utf-8").splitlines()) > 500]
    assert not long
