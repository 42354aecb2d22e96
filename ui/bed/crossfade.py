"""How one hop of a restored wave follows the last: cross-faded over 150 ms, never revised.

Each hop comes from another window, so the two need not meet. The step between them is taken up by an offset that
fades out over the first 150 ms of the newer hop (raised cosine); what has been shown stays as it is. Where the older
hop reaches on into the newer one the step is that of one moment; else that from its last sample, slope included.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


def cross_fade(previous_last: float, values: Float32, rate_hz: float, fade_s: float = 0.150) -> Float32:
    """``values`` [n] with the step from ``previous_last`` faded out; unchanged where either side is NaN."""
    if len(values) == 0 or not np.isfinite(previous_last) or not np.isfinite(values[0]):
        return values
    n = min(len(values), max(1, round(fade_s * rate_hz)))
    weight = 0.5 * (1.0 + np.cos(np.pi * np.arange(1, n + 1) / (n + 1)))
    out = values.copy()
    out[:n] += ((previous_last - float(values[0])) * weight).astype(np.float32)
    return out


def join_hop(
    previous: tuple[float, float, float],
    values: Float32,
    lo: Float32,
    hi: Float32,
    rate_hz: float,
    fade_s: float = 0.150,
) -> tuple[Float32, Float32, Float32]:
    """Cross-fade a hop and its 10-90 % band from ``previous`` = (value, lo, hi) of the older hop at the first new
    sample, or at its last one, NaN if none.

    The band keeps enclosing the line: lo <= value <= hi wherever the input had it so.
    """
    line = cross_fade(previous[0], values, rate_hz, fade_s)
    low = cross_fade(previous[1], lo, rate_hz, fade_s)
    high = cross_fade(previous[2], hi, rate_hz, fade_s)
    return (
        line,
        np.where(lo <= values, np.minimum(low, line), low),
        np.where(hi >= values, np.maximum(high, line), high),
    )
