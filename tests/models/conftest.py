"""Fixtures of the model's tests; without torch (``./test --no-torch``) the files that need it are left out."""

from __future__ import annotations

import importlib.util
from pathlib import Path

NEEDS_TORCH = ("import torch", "from torch", "models.training")
HAS_TORCH = importlib.util.find_spec("torch") is not None

if HAS_TORCH:
    from tests.models.small import small_model as small_model
    from tests.models.small import stacked as stacked
else:
    files = sorted(Path(__file__).parent.glob("*.py"))
    collect_ignore = [f.name for f in files if any(word in f.read_text("utf-8") for word in NEEDS_TORCH)]
    collect_ignore.remove("conftest.py")
