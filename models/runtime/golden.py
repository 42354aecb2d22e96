"""Does a backend give what the bundle's golden cases say?"""

from __future__ import annotations

import numpy as np

from models.runtime.backend import Backend
from models.runtime.bundle import Bundle

GOLDEN_TOLERANCE = 1e-3
"""Largest allowed difference of an fp32 backend, relative to each output's own range (at least 1)."""


def golden_difference(bundle: Bundle, backend: Backend) -> float:
    """Largest difference over all golden cases and outputs, relative to the output's range; inf if not finite."""
    worst = 0.0
    for inputs, expected in bundle.golden().values():
        found = backend.run(inputs)
        for name in expected:
            want = np.asarray(expected[name], np.float64)
            got = np.asarray(found[name], np.float64)
            if not np.isfinite(got).all():
                return float("inf")
            worst = max(worst, float(np.abs(got - want).max()) / max(1.0, float(np.abs(want).max())))
    return worst
