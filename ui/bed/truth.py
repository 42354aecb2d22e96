"""What a withheld sensor really said: the truth under an estimate, and how far the estimate is off. Pure.

A replay sends the samples of a withheld channel marked as such (``withheld`` of :class:`streams.records.WaveChunk`):
stream, model, alarms and numerics leave them alone, and so does all else of the screen. Nothing in here leaves the
display: the truth has no record, so nothing can take it for a measurement.

The true mean pressure is computed as the measured one is, by the stream's own windower, which is given the last ticks
of before and all of the stretch with nothing withheld: the number that the monitor would have shown. That costs as much
as the stream's own work on the bed, so it runs beside the screen (:mod:`ui.window.truth_view`) and only in a stretch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.records import VitalsRecord, WaveTick
from streams.windower import BedWindower
from ui.style.language import tr

BEFORE_NS = 20 * SECOND_NS
"""Of what comes before the stretch: a pressure is an average over 12 s, and a state is judged by some more."""
KEPT = 600  # seconds of truth and estimate
WAITING = 2400  # ticks that wait to be computed: two minutes
_ABP = Modality.ABP.value
T = TypeVar("T")

Mean = tuple[int, float | None]
"""Event time in ns, and the mean pressure in mmHg; None where unknown."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of the stretch that is withheld now. true_mmhg: the newest true mean; off_mmhg: the estimate of the same second
    less that; error_mmhg: the mean absolute error over all ``seconds`` that have both; covered: share of these in which
    the 80 % interval held the truth. None where there is nothing."""

    true_mmhg: float | None
    off_mmhg: float | None
    error_mmhg: float | None
    covered: float | None
    seconds: int


class TruthNumbers:
    """The mean pressures of one stretch, from its ticks in order. Not for the thread of the screen."""

    def __init__(self) -> None:
        self._windower = BedWindower(WindowSpec(frames=1), Accounting())

    def take(self, ticks: Iterable[WaveTick]) -> list[Mean]:
        """The means of the seconds that these ticks close."""
        found: list[Mean] = []
        for tick in ticks:
            given = replace(tick, chunks=[replace(chunk, withheld=False) for chunk in tick.chunks])
            records = self._windower.handle(given, 0).records
            found += [(r.time_ns, r.abp_map) for r in records if isinstance(r, VitalsRecord)]
        return found


class Truth:
    """Of one bed. ``stretch`` counts the stretches in which the pressure is withheld; ``held``: it is now."""

    def __init__(self) -> None:
        self.stretch = 0
        self._before: deque[WaveTick] = deque()
        self._waiting: deque[WaveTick] = deque(maxlen=WAITING)
        self.clear()

    def clear(self) -> None:
        """A new epoch: nothing of before is gone on with."""
        self.held, self._since_ns = False, 0
        self._before.clear()
        self._begin()

    def _begin(self) -> None:
        self.stretch += 1
        self._waiting.clear()
        self._true: dict[int, float] = {}
        self._estimates: dict[int, tuple[float, float, float]] = {}

    def see(self, tick: WaveTick) -> None:
        """Takes every tick of the bed, in order."""
        held = any(chunk.withheld and chunk.data and chunk.modality == _ABP for chunk in tick.chunks)
        if held and not self.held:
            self._begin()
            self._since_ns = tick.start_ns
            self._waiting.extend(self._before)
        self.held = held
        if held:
            self._waiting.append(tick)
        self._before.append(tick)
        while self._before[0].end_ns <= tick.end_ns - BEFORE_NS:
            self._before.popleft()

    def estimated(self, time_ns: int, mean: tuple[float, float, float]) -> None:
        """A mean pressure with its 80 % interval that may be shown: value, lo, hi in mmHg."""
        if self.held and time_ns > self._since_ns:
            self._estimates[time_ns] = mean
            _bound(self._estimates)

    def taken(self) -> list[WaveTick]:
        """Takes out the ticks that wait to be computed."""
        ticks = list(self._waiting)
        self._waiting.clear()
        return ticks

    def told(self, stretch: int, means: Iterable[Mean]) -> None:
        """What was computed of ticks of a ``stretch``; of another one it is left aside."""
        if stretch != self.stretch:
            return
        self._true.update((at, mean) for at, mean in means if mean is not None and at > self._since_ns)
        _bound(self._true)

    def score(self) -> Score | None:
        """How far the estimate is off; None while the pressure is not withheld."""
        if not self.held:
            return None
        both = sorted(self._true.keys() & self._estimates.keys())
        off = [self._estimates[at][0] - self._true[at] for at in both]
        inside = [self._estimates[at][1] <= self._true[at] <= self._estimates[at][2] for at in both]
        newest = max(self._true, default=None)
        return Score(
            true_mmhg=self._true[newest] if newest is not None else None,
            off_mmhg=off[-1] if both and both[-1] == newest else None,
            error_mmhg=sum(map(abs, off)) / len(off) if off else None,
            covered=sum(inside) / len(inside) if inside else None,
            seconds=len(both),
        )


def truth_words(score: Score | None) -> str:
    """The words over a lane whose truth is drawn.

    >>> truth_words(Score(78.2, 3.1, 2.42, 0.85, 48))
    'TRUTH mean 78 mmHg · estimate +3 · mean error 2.4 in 48 s · 80 % interval held 85 %'
    >>> truth_words(Score(78.2, None, None, None, 0)), truth_words(None)
    ('TRUTH mean 78 mmHg · no estimate', 'TRUTH')
    """
    if score is None:
        return tr("TRUTH")
    true = "-?-" if score.true_mmhg is None else f"{score.true_mmhg:.0f}"
    parts = [tr("TRUTH mean {value} mmHg", value=true)]
    off = score.off_mmhg
    parts.append(tr("no estimate") if off is None else tr("estimate {off:+.0f}", off=off))
    if score.error_mmhg is not None and score.covered is not None:
        parts.append(tr("mean error {error:.1f} in {seconds} s", error=score.error_mmhg, seconds=score.seconds))
        parts.append(tr("80 % interval held {share:.0f} %", share=100 * score.covered))
    return " · ".join(parts)


def _bound(kept: dict[int, T]) -> None:
    while len(kept) > KEPT:
        del kept[min(kept)]
