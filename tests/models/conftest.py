"""Fixtures of the model's tests; without torch (``./test --no-torch``) the files that need it are left out."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRA = ("torch", "onnx", "safetensors", "matplotlib", "tensorboard")
"""What the extra ``train`` brings."""


@cache
def needs_extra(path: Path, at_load: bool = True) -> bool:
    """Whether a file imports the extra, itself or through files of this project (only when it is loaded, or ever)."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body if at_load else ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{name}" for name in names)]
        for name in names:
            place = ROOT.joinpath(*name.split("."))
            inner = next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)
            if name.split(".")[0] in EXTRA or (inner is not None and needs_extra(inner)):
                return True
    return False


if importlib.util.find_spec("torch") is not None:
    from tests.models.exported import exported as exported
    from tests.models.small import small_model as small_model
    from tests.models.small import stacked as stacked
else:
    here = Path(__file__).parent
    files = sorted(here.rglob("test_*.py"))
    collect_ignore = [f.relative_to(here).as_posix() for f in files if needs_extra(f, at_load=False)]
