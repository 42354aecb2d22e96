"""A moment out of the recording as a page of the screen: the records of then, folded as they were folded then. Pure.

The same state, lanes and readouts as for the live bed, at another moment: what was fresh then is shown, what was stale
then is ``-?-``. A gap is a gap; what the recording does not have is said in a sentence.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from streams.records import WaveTick
from streams.sessions import same_source
from streams.sources.look_back import Past
from streams.status import channels_of
from ui.bed.liveness import Life, Moment
from ui.bed.state import DisplayState
from ui.style.language import tr
from ui.style.theme import Theme
from ui.style.words import duration_words

_NS = 1e-9
LEAD_S = 15.0
"""Read before what a page shows: filters settle, and what is said once a second has been said."""
LONGEST_PAGE_S = 150.0
WORDS_S = 600.0
"""Of this long before it is known since when a sensor is absent, the last pressure, and the trend: as long as a display
remembers."""
_LATE_S = 1.6  # a recorder takes records every half second; a longer silence is one


@dataclass(frozen=True, slots=True)
class Page:
    """The bed at ``at_s`` (seconds from 1970). head_s: event time at the right end, None where nothing is known.
    seconds: of the paper. missing: what is not there, "" where nothing is missing."""

    bed: str
    at_s: float
    seconds: float
    state: DisplayState
    head_s: float | None
    moment: Moment
    missing: str = ""


def page_of(past: Past, theme: Theme, seconds: float) -> Page:
    """The page that ends at the moment of ``past``."""
    state = DisplayState(theme, past.bed)
    state.keep(drawn=False, waves=True)
    if past.described is not None:
        state.set_channels(channels_of(past.described))
    tick_ns: int | None = None
    silences: list[tuple[float, float]] = []
    for taken_ns, record in past.told:
        state.apply(record, taken_ns * _NS)
        if isinstance(record, WaveTick):
            if tick_ns is not None and (taken_ns - tick_ns) * _NS > _LATE_S:
                silences.append((tick_ns * _NS, taken_ns * _NS))
            tick_ns = taken_ns
    state.settle()
    at_s = past.at_ns * _NS
    if tick_ns is None or not state.clock.started:
        moment = Moment(0.0, at_s, Life.PAST)
        return Page(
            past.bed,
            at_s,
            seconds,
            state,
            None,
            moment,
            tr("nothing was recorded before {time}", time=wall_words(at_s)),
        )
    silent_s = at_s - tick_ns * _NS
    silent_s = silent_s if silent_s > _LATE_S else 0.0
    if silent_s:
        silences.append((tick_ns * _NS, at_s))
    head_s = state.clock.newest_s + silent_s
    state.clock.first_s = head_s - seconds  # the paper begins there
    return Page(
        past.bed, at_s, seconds, state, head_s, Moment(head_s, at_s, Life.PAST), _missing(silences, at_s, seconds)
    )


def _missing(silences: list[tuple[float, float]], at_s: float, seconds: float) -> str:
    shown = [(begin, end) for begin, end in silences if end > at_s - seconds]
    if not shown:
        return ""
    begin, end = shown[-1]
    return tr("nothing was recorded from {begin} to {end}", begin=wall_words(begin), end=wall_words(end))


def whose_words(then: str, now: str) -> str:
    """Of the session of a page, where it is not that of the bed now; "" where nothing is known of one of them.

    >>> whose_words("7-a", "7-a+2"), whose_words("7-a", "8-b"), whose_words("7-a", "7-a")
    ('ANOTHER PATIENT', 'ANOTHER SESSION', '')
    """
    if not then or not now or then == now:
        return ""
    return tr("ANOTHER PATIENT") if same_source(then, now) else tr("ANOTHER SESSION")


def wall_words(unix_s: float) -> str:
    """The clock on the wall here at a moment, ``14:32:10``."""
    return time.strftime("%H:%M:%S", time.localtime(unix_s))


def day_words(unix_s: float, now_s: float) -> str:
    """:func:`wall_words`, with the day before it where that is not today."""
    then, now = time.localtime(unix_s), time.localtime(now_s)
    return wall_words(unix_s) if then[:3] == now[:3] else time.strftime("%d %b %H:%M:%S", then)


def ago_words(seconds: float) -> str:
    """How long ago.

    >>> ago_words(42.0), ago_words(1500.0)
    ('42 s ago', '25 min ago')
    """
    return tr("{time} ago", time=duration_words(max(0.0, seconds)))
