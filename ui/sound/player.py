"""The samples of each moment: asked for by the audio library's thread, told what should sound by the screen's.

Nothing here waits or locks: what the screen says is one frozen object put in place of the one before, and beats go
through a bounded queue. So a burst goes on by its figures however long a frame takes; and where the screen says nothing
any more, that is heard.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from ui.sound.choice import LOUDEST, QUIETEST
from ui.sound.figures import Figures, rank
from ui.sound.schedule import Schedule
from ui.sound.tones import Samples, beat_samples, gain_of

HUNG_S = 5.0
"""Without a word from the screen for so long, it hangs: an alarm of medium priority at least."""
_FADE_S = 0.010
_LATE_S = 0.4  # a beat that waited longer than this is not played any more; on a busy machine blocks come 0.2 s apart
_QUIETEST_DB = -30.0


def volume_gain(volume: int) -> float:
    """Of a volume in percent: 100 is full scale, 10 is 27 dB less, and there is none below."""
    return gain_of(_QUIETEST_DB * (1.0 - min(max(volume, QUIETEST), LOUDEST) / 100.0))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should sound, said at monotonic ``at_s``: the priority of alarms ("" for none), the volume in percent.
    audible: whether anything may, by what is known of the beds. on: whether there is sound at all; a screen that hangs
    is heard by that alone."""

    at_s: float
    level: str = ""
    volume: int = LOUDEST
    audible: bool = True
    on: bool = True


class _Voice:
    """Samples on their way out, the rest of them faded once they are ``cut``."""

    def __init__(self, samples: Samples, fade: int) -> None:
        self._samples, self._at, self._fade = samples, 0, fade

    def cut(self) -> None:
        rest = self._samples[self._at : self._at + self._fade]
        self._samples, self._at = rest * np.linspace(1.0, 0.0, len(rest), dtype=np.float32), 0

    def add_to(self, block: Samples) -> bool:
        """Adds what is due to a block; whether anything is left."""
        part = self._samples[self._at : self._at + len(block)]
        block[: len(part)] += part
        self._at += len(part)
        return self._at < len(self._samples)


class Player:
    """``filled_s``: monotonic time of the last block, −inf before the first."""

    def __init__(self, figures: Figures, now_s: float) -> None:
        self.rate_hz = figures.sample_rate_hz
        self.filled_s = float("-inf")
        self._figures = figures
        self._schedule = Schedule(figures)
        self._wanted = Wanted(now_s, audible=False, on=False)
        self._beats: deque[tuple[float, float]] = deque(maxlen=8)
        self._voices: list[_Voice] = []
        self._alarm: _Voice | None = None
        self._gain = 0.0
        self._pitch, self._beat = 0.0, np.zeros(0, np.float32)

    # From the screen's thread -------------------------------------------------------------------------------------

    def want(self, wanted: Wanted) -> None:
        """What should sound from now on."""
        self._wanted = wanted

    def beat(self, pitch_hz: float, now_s: float) -> None:
        """One beat tone now."""
        self._beats.append((pitch_hz, now_s))

    # From the audio library's thread ------------------------------------------------------------------------------

    def restart(self) -> None:
        """Before the first block of an output that has just been opened: whatever should sound begins anew."""
        self._schedule.restart()
        self._voices, self._alarm, self._gain = [], None, 0.0
        self._beats.clear()

    def fill(self, frames: int, now_s: float) -> Samples:
        """The next ``frames`` samples."""
        wanted, self.filled_s = self._wanted, now_s
        hung = wanted.on and now_s - wanted.at_s > HUNG_S
        audible = wanted.audible or hung
        level = wanted.level if wanted.audible else ""
        level = "medium" if hung and rank(level) < rank("medium") else level
        start, cut = self._schedule.step(now_s, level, audible)
        if cut and self._alarm is not None:
            self._alarm.cut()
            self._alarm = None
        if start:
            self._alarm = self._sound(self._schedule.samples[start])
        while self._beats:
            pitch, at_s = self._beats.popleft()
            if wanted.audible and now_s - at_s <= _LATE_S:
                self._sound(self._beat_tone(pitch))
        block = np.zeros(frames, np.float32)
        self._voices = [voice for voice in self._voices if voice.add_to(block)]
        gain = volume_gain(wanted.volume) if audible else 0.0
        if self._gain == 0.0 and gain > 0.0:
            self._gain = gain  # there was nothing to be heard of: a pulse begins at its height
        block *= np.linspace(self._gain, gain, frames, dtype=np.float32)
        self._gain = gain
        return np.clip(block, -1.0, 1.0)

    def _sound(self, samples: Samples) -> _Voice:
        voice = _Voice(samples, round(_FADE_S * self.rate_hz))
        self._voices.append(voice)
        return voice

    def _beat_tone(self, pitch_hz: float) -> Samples:
        if pitch_hz != self._pitch:
            self._pitch, self._beat = pitch_hz, beat_samples(pitch_hz, self._figures)
        return self._beat
