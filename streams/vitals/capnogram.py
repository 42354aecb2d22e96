"""End-tidal CO2: the highest partial pressure of each breath, which is what a capnometer calls so (ISO 80601-2-55).

A breath is a rise and a fall of the gas by 4 mmHg at least, between turning points, as peaks are told from ripple in
Billauer's *peakdet*: no level has to be crossed, so rebreathing, which lifts the baseline, and the small breaths of a
failing circulation are found as well, and the heart's oscillations on the plateau are not. A breath is complete when
the gas has fallen again. The newest one is told for 15 s, which is a breath at 4/min; after that none is known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.signals.modalities import GRID_RATE_HZ

SPAN_S = 20
HELD_S = 15.0
LEAST_MMHG = 4.0
RATE_HZ = 10  # of the gas as it is looked at: means of 0.1 s, so that a spike is no breath


def end_tidal(x: npt.NDArray[np.float32]) -> float | None:
    """x: [n] mmHg at 100 Hz, whole seconds, NaN where not measured. The highest value of the newest complete breath of
    the last 20 s, None where the last 15 have none."""
    tenths = x[-SPAN_S * GRID_RATE_HZ :].astype(np.float64).reshape(-1, GRID_RATE_HZ // RATE_HZ)
    known = np.isfinite(tenths)
    count = np.count_nonzero(known, axis=1)
    values = np.where(known, tenths, 0.0).sum(axis=1) / np.where(count, count, np.nan)
    found: float | None = None
    found_at = 0
    low = high = np.nan  # since the last turning point
    rising = False
    for at, value in enumerate(values.tolist()):
        if np.isnan(value):
            low = high = np.nan
            rising = False
            continue
        low, high = float(np.fmin(low, value)), float(np.fmax(high, value))
        if rising and value < high - LEAST_MMHG:
            found, found_at, low, rising = high, at, value, False
        elif not rising and value > low + LEAST_MMHG:
            high, rising = value, True
    return found if found is not None and len(values) - found_at <= HELD_S * RATE_HZ else None
