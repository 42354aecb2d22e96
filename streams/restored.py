"""How restored chunks follow each other: each speaks for its own hop, and amends the half second before it. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streams.records import RestoredChunk

Float32 = npt.NDArray[np.float32]


def amended(stands: Float32, anew: Float32) -> Float32:
    """``stands`` [n] with what is said ``anew`` [n] of it. Where nothing stood, nothing may be said afterwards: the
    window whose hop it was had its reason (a pulse that was late, a sensor that was measured)."""
    return np.where(np.isfinite(stands) & np.isfinite(anew), anew, stands).astype(np.float32)


class RestoredLine:
    """A restored wave put together from its chunks, as it was shown: (first index, values) a hop, in the order in which
    they came; after a seek that may not be the order of time."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, Float32]] = []

    def take(self, chunk: RestoredChunk) -> None:
        """Takes the next chunk as it came."""
        values = np.frombuffer(chunk.data, "<f4")
        first = chunk.first_index + chunk.amends
        if self.pieces:
            begin, last = self.pieces[-1]
            common = min(chunk.amends, len(last))
            if common and begin + len(last) == first:
                last[-common:] = amended(last[-common:], values[chunk.amends - common : chunk.amends])
        self.pieces.append((first, values[chunk.amends :].astype(np.float32)))
