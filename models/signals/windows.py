"""What a model sees: the window specification and the window itself.

Windows end at ``k · hop_s`` from time zero; the newest frame is the last. Frames begin on whole seconds, so a hop of
one second brings one new frame; a frame is present iff each of its 1-s cells is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.findings import Findings
from models.signals.modalities import GRID_RATE_HZ, MODEL_MODALITIES, Modality

CONTEXT_FIELDS: tuple[str, ...] = (
    "level",  # last measured level: ABP MAP; PPG median of the last 60 s; ECG, EEG median of the last 10 s
    "scale",  # last measured spread: ABP pulse pressure; PPG IQR of the last 60 s; ECG, EEG IQR (10 s)
    "age_s",  # seconds from the end of the last present cell to the window's end; 0 while measured
    "mean_60s",  # mean of the level over the last 1, 5 and 10 minutes, of present cells only
    "mean_300s",
    "mean_600s",
    "own_delay_s",  # median delay from the ECG R peak to this modality's upstroke when last measured (ABP, PPG)
    "ppg_delay_s",  # the R-to-PPG-upstroke delay at the time this modality was last measured
    "delay_slope",  # ABP row: mmHg of MAP per second of R-to-PPG delay, shrunken regression over the last 10 min
)
"""Columns of ``context``; NaN where unknown (the model replaces it by a learned value). All but ``age_s`` are as of the
modality's last present cell and stay while it is absent (see :mod:`models.signals.context`)."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Which modalities, rate and framing a model wants; travels in its bundle, and the stream obeys it."""

    modalities: tuple[Modality, ...] = MODEL_MODALITIES
    rate_hz: int = GRID_RATE_HZ
    frame_s: int = 3
    frames: int = 10
    hop_s: int = 1

    @property
    def window_s(self) -> int:
        """Length of a window in s."""
        return self.frame_s * self.frames

    @property
    def samples(self) -> int:
        """Samples of a window, by modality."""
        return self.window_s * self.rate_hz


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one bed.

    signals: float32 [M, L] on the grid, physical units, NaN where missing (content under an absent frame is whatever
    was measured, possibly NaN; a model must not read it).
    presence: bool [M, N], per frame. cells: bool [M, window_s], what a model may read. context: float32 [M, C], see
    ``CONTEXT_FIELDS``. end_s: event time of the window's end, whole seconds from time zero. newest: why each modality
    was not measured in the newest cell, None where it was (RESP included where connected). findings: of that cell.
    """

    end_s: int
    signals: npt.NDArray[np.float32]
    presence: npt.NDArray[np.bool_]
    cells: npt.NDArray[np.bool_]
    context: npt.NDArray[np.float32]
    newest: Mapping[Modality, Absence | None] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
