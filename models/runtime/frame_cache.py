"""Features of frames that were seen before: a hop of one second brings one new frame a modality, not a window of them.

Frames are known by their content: the samples as the network would read them, scaled, held over short gaps, zero where
absent. So nothing has to be invalidated: a late sample, other units of the PPG, a seek or another bed are another
content, and what has the same content has the same features whoever's it is. Three rasters of frames live at once,
since frames are 3 s long and windows hop by 1 s.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Networks = Callable[[Sequence[Floats]], Sequence[Floats]]
"""Frames [F, samples] of each modality, at least one -> their features [F, d]."""

KEPT_FRAMES = 4096
"""Of each modality: 30 of each bed for more than a hundred beds, 6 MB for the shipped model."""


@dataclass(slots=True)
class Tally:
    """Frames that were asked for, and those of them that had to be computed."""

    asked: int = 0
    computed: int = 0


class FrameCache:
    """Features of the frames of ``modalities`` rows. ``kept`` of each are remembered, the longest unused go first; 0:
    none, and each frame is computed each time, absent ones too, so that the time does not depend on the mask."""

    def __init__(self, networks: Networks, modalities: int, frames: int, width: int, kept: int = KEPT_FRAMES) -> None:
        self._networks, self._frames, self._width = networks, frames, width
        self._rows = [_Row(kept, width) for _ in range(modalities)] if kept else []
        self.tally = Tally()

    def features(self, scaled: Floats) -> Floats:
        """[B, M, L] in model units -> [B, M, N, d]."""
        batch, modalities, _ = scaled.shape
        frames = scaled.reshape(batch, modalities, self._frames, -1).swapaxes(0, 1).reshape(
            modalities, batch * self._frames, -1
        )  # fmt: skip
        if self._rows:
            found = self._remembered(frames)
        else:
            found = np.stack(self._networks(list(frames)))
            self.tally.computed += found.shape[0] * found.shape[1]
        self.tally.asked += modalities * frames.shape[1]
        return found.reshape(modalities, batch, self._frames, self._width).swapaxes(0, 1)

    def _remembered(self, frames: Floats) -> Floats:
        found = np.empty((*frames.shape[:2], self._width), np.float32)
        plans = [row.look_up(values, out) for row, values, out in zip(self._rows, frames, found, strict=True)]
        if any(len(plan.first) for plan in plans):
            # A modality without a new frame has one computed again: a batch of none is no batch.
            wanted = [values[plan.first or [0]] for plan, values in zip(plans, frames, strict=True)]
            for row, plan, features, out in zip(self._rows, plans, self._networks(wanted), found, strict=True):
                out[plan.places] = features[plan.which]
                row.learn(plan.keys, features)
                self.tally.computed += len(plan.first)
        return found


@dataclass(frozen=True, slots=True)
class _Plan:
    """keys: of the frames that are new, first: where each stands first; places, which: every place, and whose."""

    keys: list[bytes]
    first: list[int]
    places: list[int]
    which: list[int]


class _Row:
    """Features of one modality by the content of their frames."""

    def __init__(self, kept: int, width: int) -> None:
        self._slot: OrderedDict[bytes, int] = OrderedDict()  # longest unused first
        self._store = np.empty((kept, width), np.float32)

    def look_up(self, frames: Floats, out: Floats) -> _Plan:
        """Writes what is known into ``out`` and says what is not."""
        places, slots, new = [], [], _Plan([], [], [], [])
        fresh: dict[bytes, int] = {}
        for at, frame in enumerate(np.ascontiguousarray(frames)):
            key = hashlib.blake2b(frame, digest_size=16).digest()
            slot = self._slot.get(key)
            if slot is not None:
                self._slot.move_to_end(key)
                places.append(at)
                slots.append(slot)
                continue
            which = fresh.setdefault(key, len(fresh))
            if which == len(new.keys):
                new.keys.append(key)
                new.first.append(at)
            new.places.append(at)
            new.which.append(which)
        out[places] = self._store[slots]
        return new

    def learn(self, keys: Sequence[bytes], features: Floats) -> None:
        for key, values in zip(keys, features, strict=False):
            full = len(self._slot) == len(self._store)
            slot = self._slot.popitem(last=False)[1] if full else len(self._slot)
            self._store[slot] = values
            self._slot[key] = slot
