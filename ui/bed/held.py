"""What a bed's waves were at a moment, held while the bed goes on: a seek, another patient or ten minutes more change
nothing in it. Pure.

Only what is drawn is held: lanes with their samples, estimates, cells and words, some MB. Numbers, alarms and the way
to them are of now and are asked of the live state.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from ui.bed.lanes import Lane
from ui.bed.state import DisplayState


@dataclass(frozen=True, slots=True)
class View:
    """What stands on the paper: a state, and event time at the right end."""

    state: DisplayState
    head_s: float


def held(state: DisplayState) -> DisplayState:
    """A copy of a state's waves; whatever else it holds is not to be read."""
    other = copy.copy(state)
    other.clock = copy.copy(state.clock)
    other.lanes = [_lane(lane) for lane in state.lanes]
    return other


def paged(state: DisplayState, head_s: float, seconds: float) -> View:
    """A page of a held state that begins at the left of the paper and ends at ``head_s``."""
    other = copy.copy(state)
    other.clock = copy.copy(state.clock)
    other.clock.first_s = head_s - seconds
    return View(other, head_s)


def begin_s(state: DisplayState) -> float:
    """Event time from which memory has samples of any lane; the newest time where it has none."""
    found = [state.clock.newest_s]
    for lane in state.lanes:
        lines = [lane.trace.shown] if lane.trace is not None else []
        lines += [lane.estimate.line] if lane.estimate is not None else []
        found += [float(line.times(line.ring.start, line.ring.start + 1)[0]) for line in lines if line.ring.end]
    return min(found)


def _lane(lane: Lane) -> Lane:
    return replace(
        lane,
        trace=copy.deepcopy(lane.trace),
        estimate=copy.deepcopy(lane.estimate),
        cells=lane.cells.held(),
        badges=dict(lane.badges),
        absence_words=dict(lane.absence_words),
    )
