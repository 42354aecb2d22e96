"""Groups: losses by pattern meet the recorded windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.data.patterns import PATTERNS
from models.signals.windows import CONTEXT_FIELDS
from tests.models.student_data import make_group

AGE = CONTEXT_FIELDS.index("age_s")


def test_a_group_loses_sensors_by_pattern(tmp_path: Path) -> None:
    group = make_group(tmp_path, patients=2, windows=6, seed=1)
    rows = np.array([7, 0, 11])
    recorded = group.presence.copy()
    for name in PATTERNS:
        lost = group.lost_by(rows, name, np.random.default_rng(3))
        assert lost.presence.shape == recorded[rows].shape and lost.context.shape[:2] == recorded[rows].shape[:2]
        assert not (lost.presence & ~recorded[rows]).any()
        gone = ~lost.presence[..., -1]
        assert (np.nan_to_num(lost.context[..., AGE], nan=np.inf)[gone] > 0).all()
        again = group.lost_by(rows, name, np.random.default_rng(3))
        assert again.presence.tobytes() == lost.presence.tobytes()
    np.testing.assert_array_equal(group.presence, recorded)  # a loss is told, never written
