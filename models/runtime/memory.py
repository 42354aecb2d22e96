"""What each bed's sensors looked like when they were last wholly there: the token memory of an engine.

Row m of a bed's memory is the mean over the frames of modality m's encoder tokens in the last window all of whose
frames of m were present; NaN = never. Encoder tokens depend on their own window only, never on the memory, so a
window's memory is exactly that of the windows before it, however the windows were batched: :func:`rounds` cuts a batch
where a window needs what an earlier one of the same batch brings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

MAX_KEYS = 256 + 8  # beds in their newest epoch, 0.4 MB for the shipped model; and the rows of one leave-one-out


T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class EngineMemory:
    """All that an engine remembers of one key, for the engine of another process (:meth:`Engine.memory_of`).

    model: fingerprint of the graph that it is of; to another one it says nothing. tokens: float32 [M, d], see above,
    None where there are none. form: of the pressure pulse (:mod:`models.runtime.pulse_form`). Beside the last pressure:
    look: rate per minute and height of the pleth in ten seconds (:mod:`models.runtime.anchor`); pleth: rate and form
    factor in a window (:mod:`models.runtime.pleth_look`); past: how it went with delay, rate and form
    (:meth:`models.runtime.pressure_past.PressurePast.numbers`).
    """

    model: str
    tokens: FloatArray | None = None
    form: float | None = None
    look: tuple[float, float] | None = None
    pleth: tuple[float, float] | None = None
    past: tuple[float, ...] | None = None


class Remembered(Generic[T]):
    """A value by key, bounded: of more than ``limit`` keys the one that was longest not used is forgotten."""

    def __init__(self, limit: int = MAX_KEYS) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def put(self, key: Hashable, value: T) -> None:
        """Keeps the value; the key counts as just used."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def get(self, key: Hashable) -> T | None:
        """The value of ``key``, None where there is none; one that is needed now is not the one to be forgotten."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def restore(self, key: Hashable, value: T | None) -> None:
        """Know of ``key`` that value, None: nothing."""
        if value is None:
            self.forget(key)
        else:
            self.put(key, value)

    def forget(self, key: Hashable) -> None:
        """Drop what is known of ``key``, if anything is."""
        self._kept.pop(key, None)


class BedMemory:
    """Bounded: of more than ``limit`` keys the one that was longest not seen is forgotten. Not thread-safe."""

    def __init__(self, rows: int, width: int, limit: int = MAX_KEYS) -> None:
        self._never = np.full((rows, width), np.nan, np.float32)
        self._limit = limit
        self._kept: OrderedDict[Hashable, FloatArray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, keys: Sequence[Hashable]) -> FloatArray:
        """Memory [B, M, d] of each key; NaN where there is none."""
        return np.stack([self._kept.get(key, self._never) for key in keys])

    def unknown(self, batch: int) -> FloatArray:
        """Memory [B, M, d] of nobody: all NaN."""
        return np.broadcast_to(self._never, (batch, *self._never.shape)).copy()

    def learn(self, keys: Sequence[Hashable], presence: BoolArray, tokens: npt.NDArray[np.generic]) -> None:
        """Remember the encoder ``tokens`` [B, M, N, d] of windows with ``presence`` [B, M, N], later over earlier.

        Rows with an absent frame, and rows that are not finite, leave what was known.
        """
        means = tokens.mean(axis=2, dtype=np.float32)
        whole: BoolArray = np.asarray(presence.all(axis=2) & np.isfinite(means).all(axis=2))
        for i, key in enumerate(keys):
            if whole[i].any():
                mine = self._kept.get(key)
                if mine is None:
                    mine = self._kept[key] = self._never.copy()
                mine[whole[i]] = means[i, whole[i]]
            if key in self._kept:
                self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def export(self, key: Hashable) -> FloatArray | None:
        """A copy [M, d] of what is known of ``key``, None where nothing is."""
        mine = self._kept.get(key)
        return None if mine is None else mine.copy()

    def restore(self, key: Hashable, tokens: FloatArray | None) -> None:
        """Know of ``key`` what ``tokens`` [M, d] say, None: nothing. Raises ValueError for another shape."""
        if tokens is None:
            self.forget(key)
            return
        if tokens.shape != self._never.shape:
            raise ValueError(f"a memory of shape {self._never.shape} cannot take in one of shape {tokens.shape}")
        self._kept[key] = tokens.astype(np.float32)
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Drop what is known of ``key``, if anything is."""
        self._kept.pop(key, None)


def rounds(keys: Sequence[Hashable], presence: BoolArray) -> Iterator[slice]:
    """Cuts a batch (``presence`` [B, M, N]) into runs in which no window needs what another one brings.

    A window needs the memory of the modalities that it lacks a frame of, and brings that of the ones it has wholly. A
    dropout stays in the window for its whole length, so a bed costs at most one cut a modality and window length.
    """
    whole: BoolArray = np.asarray(presence.all(axis=2))
    brought: dict[Hashable, BoolArray] = {}
    begin = 0
    for i, key in enumerate(keys):
        before = brought.get(key)
        if before is not None and (before & ~whole[i]).any():
            yield slice(begin, i)
            begin, before = i, None
            brought.clear()
        brought[key] = whole[i] if before is None else before | whole[i]
    if begin < len(keys):
        yield slice(begin, len(keys))
