"""What the operator wants to hear."""

from __future__ import annotations

from dataclasses import dataclass, replace

QUIETEST, LOUDEST = 10, 100
"""Volumes in percent; no alarm can be turned down to nothing, only off, which the screen says."""
_STEP = 10


@dataclass(frozen=True, slots=True)
class SoundChoice:
    """Sound at all, its volume in percent, the beat tone."""

    on: bool = True
    volume: int = 60
    beat_tone: bool = True

    def louder(self, direction: int) -> SoundChoice:
        """The next volume, up for a positive ``direction``."""
        return replace(self, volume=min(max(self.volume + direction * _STEP, QUIETEST), LOUDEST))


SILENT = SoundChoice(on=False)
