"""Where the zero of an ECG or EEG channel lies: what a recording coupled to direct current adds is no fault.

An electrode on skin is a battery: amplifiers without a high-pass (BioSemi, OpenBCI) record its tens or hundreds of
millivolts with the signal, and let it drift. IEC 60601-2-27 (201.12.1.101.2) asks an ECG to work at ±300 mV of it. So a
level says nothing by itself; what says something is a channel that *leaves* its level. The rules of quality and state
that speak of a level therefore measure it from here, which is the causal high-pass of a judgement: no sample is ever
changed for it, and a channel coupled to alternating current has its zero at 0 as before.

The zero is 0 and, beside it, one other level at most, which has to be earned, second by second:

* the first level that a channel shows, since there is nothing that it could have left;
* any level in reach of the present one, as long as the channel shows something alive there: so it follows a drift, and
  stays where it is when the patient's signal ends;
* a level out of reach once the channel is known to live there: beats in an ECG, some seconds of clean EEG.

An electrode that has come off shows neither, wherever it drifts. Small levels (``Reach.coupled``) count as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.signals.modalities import Modality

AMENDABLE_S = 16


@dataclass(frozen=True, slots=True)
class Reach:
    """lost: from this distance a level is not the channel's own any more (canonical unit). coupled: a level below this
    is one that amplifiers without an offset show too. settle_s: seconds alive, one after the other, after which a
    channel has settled on another level."""

    lost: float
    coupled: float
    settle_s: int


REACH: Mapping[Modality, Reach] = MappingProxyType(
    {
        # An open electrode drifts to the end of an input range of at least ±5 mV (IEC 60601-2-27, 201.12.1.101.1), 4.5
        # with errors of gain. Beats are proof enough.
        Modality.ECG: Reach(lost=4.5, coupled=2.0, settle_s=1),
        # The offset that an open EEG electrode shows; nothing in an EEG is as sure as a beat.
        Modality.EEG: Reach(lost=300.0, coupled=150.0, settle_s=10),
    }
)


@dataclass(frozen=True, slots=True)
class Zero:
    """What is known of a channel's own level after a cell."""

    level: float | None = None
    last: float = 0.0  # level of the last cell out of reach
    settling_s: int = 0


class OffsetTrack:
    """The zero of one channel. Cells must come in order; ``forget`` takes back the newest ones."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self.reset()

    def reset(self) -> None:
        """Forget every cell: a new epoch."""
        self._of: dict[int, Zero] = {}

    def forget(self, second: int) -> None:
        """Take back the cells from ``second`` on."""
        for known in [s for s in self._of if s >= second]:
            del self._of[known]

    def export(self, second: int) -> tuple[int, Zero] | None:
        """What the cells before ``second`` have left: the newest of them that had a level, and the zero then."""
        newest = max((s for s in self._of if s < second), default=None)
        return None if newest is None else (newest, self._of[newest])

    def restore(self, state: tuple[int, Zero] | None) -> None:
        """From now on as the track that ``state`` was taken of."""
        self._of = {} if state is None else dict([state])

    def follow(self, second: int, level: float, *, alive: bool, sure: bool, first: bool) -> None:
        """Take in the cell ``second`` at ``level``.

        alive: it shows what the sensor is there for. sure: it would be known as that at any level. first: it may be
        the first level of this channel. A second without a level is left out.
        """
        was = self._before(second)
        near = was.level is not None and abs(level - was.level) < self._reach.lost
        now = Zero(was.level)
        if (was.level is None and first) or (near and alive):
            now = Zero(level)
        elif not near and sure and abs(level) >= self._reach.coupled:
            steady = was.settling_s > 0 and abs(level - was.last) < self._reach.lost
            settling_s = was.settling_s + 1 if steady else 1
            now = Zero(level) if settling_s >= self._reach.settle_s else Zero(was.level, level, settling_s)
        self._of[second] = now
        for old in [s for s in self._of if s < second - AMENDABLE_S]:
            del self._of[old]

    def at(self, second: int, level: float) -> float:
        """The zero that a cell ``second`` at ``level`` is judged from: 0 or the channel's own, whichever is nearer."""
        own = self._before(second + 1).level
        if own is None or abs(own) < self._reach.coupled or abs(level) < abs(level - own):
            return 0.0
        return own

    def _before(self, second: int) -> Zero:
        known = self.export(second)
        return Zero() if known is None else known[1]
