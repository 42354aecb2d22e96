"""What the trends of a bed would be if a display had been there from the beginning: folded out of what was recorded.

By the same state and gates as of a bed on show, so what is read here is what would have been kept. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from models.signals.times import SECOND_NS
from streams.records import AnyRecord, BedRecord, PredictionRecord
from streams.status import channels_of
from ui.bed.liveness import Life, Moment
from ui.bed.state import DisplayState
from ui.bed.trends import FINE_BLOCKS, Trends
from ui.style.theme import Theme


class TrendsFold:
    """Of one session of a bed. described: what its source had said of it before the first record."""

    def __init__(self, theme: Theme, bed: str, session: str, described: BedRecord | None) -> None:
        self._session = session
        self._state = DisplayState(theme, bed)
        self._state.keep(drawn=False, waves=False)
        self._state.trends.keep(FINE_BLOCKS)
        if described is not None:
            self._state.set_channels(channels_of(described))

    @property
    def trends(self) -> Trends:
        """As far as it was told; its monotonic clock is the recorder's wall clock."""
        return self._state.trends

    def tell(self, told: Iterable[tuple[int, AnyRecord]]) -> None:
        """Folds in what was told, in order: when that was taken (wall clock, ns), and the record."""
        for taken_ns, record in told:
            if record.session != self._session:
                continue
            taken_s = taken_ns / SECOND_NS
            if isinstance(record, BedRecord):
                self._state.set_channels(channels_of(record))
                continue
            if isinstance(record, PredictionRecord):  # the screen's gates close by themselves where findings go stale
                self._state.review(Moment(-math.inf, taken_s, Life.LIVE))
            self._state.apply(record, taken_s)
