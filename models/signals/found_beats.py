"""The beats of a block of one channel, sought once: whoever looks at the very same samples is told what was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.beats import EcgBlock, qrs_complexes, upstrokes
from models.signals.modalities import GRID_RATE_HZ, Modality

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FoundBeats:
    """samples: [n] of the 100-Hz grid, NaN where missing, a copy. at: positions in them of R peaks (ECG) or upstrokes
    (ABP, PPG), in fractional samples; none for the others. strange: complexes of an ECG that resemble no other, see
    :func:`models.signals.beats.qrs_complexes`. ecg: the block of an ECG as its detectors have it.
    """

    samples: FloatArray
    at: npt.NDArray[np.float64]
    strange: int = 0
    ecg: EcgBlock | None = None

    @classmethod
    def of(cls, modality: Modality, samples: FloatArray) -> FoundBeats:
        """Seek them."""
        samples = samples.copy()
        if modality is Modality.ECG:
            ecg = EcgBlock(samples, GRID_RATE_HZ)
            at, strange = qrs_complexes(ecg)
            return cls(samples, at, strange, ecg)
        if modality is Modality.ABP:
            return cls(samples, upstrokes(samples, GRID_RATE_HZ, kind="ABP"))
        if modality is Modality.PPG:
            return cls(samples, upstrokes(samples, GRID_RATE_HZ, kind="PPG"))
        return cls(samples, np.empty(0))

    def are_of(self, samples: FloatArray) -> bool:
        """Whether they were sought in these samples, bit for bit: in another block others may be found."""
        return self.samples.dtype == samples.dtype and self.samples.tobytes() == samples.tobytes()
