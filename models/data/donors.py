"""What was measured last before a sensor was lost: the *donor*, the last wholly measured window before the loss.

The engine remembers the tokens of the last window in which a sensor was wholly there. Training and evaluation look the
same window up among those on disk, so both have the same past, and never one that the loss already touched.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

NONE = -1
"""Row of a donor that does not exist."""
_SPAN = 1 << 33  # seconds, more than any study lasts: studies lie one after the other on one line


class Donors:
    """Looks donors up for one group of windows.

    whole bool [W, M]: every frame of the modality was measured; study_of [W]; end_s [W], whole seconds.
    """

    def __init__(self, whole: Bools, study_of: Indices, end_s: npt.NDArray[np.generic]) -> None:
        self._study, self._end = study_of.astype(np.int64), end_s.astype(np.int64)
        time = self._study * _SPAN + self._end
        self._rows: list[Indices] = []
        self._times: list[npt.NDArray[np.int64]] = []
        for measured in whole.T:
            rows = np.flatnonzero(measured)
            rows = rows[np.argsort(time[rows], kind="stable")]
            self._rows.append(rows)
            self._times.append(time[rows])

    def __call__(self, rows: Indices, ages_s: Floats) -> Indices:
        """Row of the last whole window of each modality, of the same study, that had ended ``ages_s`` [B, M] before the
        end of ``rows``; where nothing was lost (0), the latest before this window. ``NONE``: there is none, or the
        modality was never measured (an infinite age)."""
        before = np.where(np.isfinite(ages_s), np.maximum(ages_s, 1.0), float(_SPAN // 2))
        latest = self._end[rows][:, None] - np.ceil(before).astype(np.int64)
        study = self._study[rows]
        out = np.full(ages_s.shape, NONE, np.intp)
        for m, (donors, times) in enumerate(zip(self._rows, self._times, strict=True)):
            if not len(donors):
                continue
            at = np.searchsorted(times, study * _SPAN + np.maximum(latest[:, m], -1), side="right") - 1
            found = donors[np.maximum(at, 0)]
            out[:, m] = np.where((at >= 0) & (self._study[found] == study) & (latest[:, m] >= 0), found, NONE)
        return out


def since_loss(recorded: Bools, left: Bools, ages_s: Floats, step_s: int, frame_s: int) -> Floats:
    """Seconds [B, M] to the end of the window since the last measurement before the loss.

    That is ``ages_s`` where a modality was lost so long ago. Frames lost here and there (``recorded`` but not ``left``,
    bool [B, M, N], and not for their age) count from the beginning of the first, so that no donor holds what was taken.
    """
    end_before = (recorded.shape[-1] - 1 - np.arange(recorded.shape[-1])) * step_s  # as in models.data.missingness
    scattered = recorded & ~left & (ages_s[..., None] <= end_before)
    begin = end_before[scattered.argmax(-1)] + frame_s
    return np.where(scattered.any(-1), np.maximum(ages_s, begin), ages_s).astype(np.float64)
