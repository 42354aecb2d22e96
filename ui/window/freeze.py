"""Frozen waves: what stands on the paper while the bed goes on, how it is scrolled, measured, and ended.

Numbers, alarms and bars are of now all the while; only the paper stands, in a blue frame that says of when it is. Who
turns away must not leave it behind: without a key or a click for ``THAWS_S`` it is live again, and the stamp counts
down to that. A minute is time enough to look from one wave to the next, and each move of a line begins it anew.

Memory has ten minutes; further back the recorder's file is read (:mod:`ui.window.history`), where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ui.bed.bedside import Bedside
from ui.bed.calipers import LINES, Calipers, peak, step_level, step_s
from ui.bed.flags import Flag, recorded
from ui.bed.held import View, begin_s, held, paged
from ui.bed.lanes import Lane
from ui.bed.past import wall_words, whose_words
from ui.bed.state import DisplayState
from ui.bed.ward import Ward
from ui.style.language import tr
from ui.style.look import Look
from ui.style.words import clock_words
from ui.waves.paper_layer import PaperLayer
from ui.waves.stamp import Stamp, past_stamp
from ui.waves.sweep import SweepView
from ui.window.history import NEAREST_S, History
from ui.window.operator import Operator

THAWS_S = 60.0
_FLAGS_EVERY_S = 0.1
_NOT_FROZEN = "freeze the waves first (Z)"


class Freeze:
    """``view``: what stands on the paper in place of the live bed; None while that, or a page of the past, does.
    operator: whose keys mean another thing while the waves stand."""

    def __init__(
        self,
        ward: Ward,
        sweep: SweepView,
        history: History,
        look: Look,
        operator: Operator,
        say: Callable[[str], None],
        now_s: Callable[[], float],
    ) -> None:
        self.ward, self.sweep, self.history = ward, sweep, history
        self._operator, self._say, self._now = operator, say, now_s
        self.layer = PaperLayer(sweep, look, self._used, self._scroll)
        self.frozen = False
        self.view: View | None = None
        self._first: View | None = None  # as it was when it was frozen
        self._unix_s = self._touched_s = 0.0
        self._flagged_s = -math.inf

    @property
    def _bed(self) -> Bedside:
        return self.ward.on_show

    @property
    def _seekable(self) -> bool:
        status = self._bed.status
        return status is None or status.seekable

    def _touch(self) -> None:
        self._touched_s = self._now()
        self.history.touch(self._touched_s)

    def _used(self) -> None:
        """The mouse was used on the paper: that of a page of the past is measured as if it were frozen."""
        if not self.frozen and self.history.page is not None:
            self.toggle_freeze()
        self._touch()

    # Begin and end ------------------------------------------------------------------------------------------------

    def toggle_freeze(self) -> None:
        """The waves stand, or go on."""
        if self.frozen:
            self.thaw()
            return
        if not self.sweep.isVisible():
            self._say(tr("no waves are on the screen to freeze"))
            return
        if self.history.page is None:
            head_s = self.sweep.head_s
            if head_s is None:
                self._say(tr("nothing has arrived yet that could be frozen"))
                return
            self.history.back()
            self._first = self.view = View(held(self._bed.state), head_s)
            self._unix_s = self.history.unix_s
        self.frozen = True
        self._touch()

    def thaw(self) -> None:
        """The waves go on; a page of the past that was on the screen before stays."""
        if self._first is not None:
            self.history.back()
        self.frozen, self.view, self._first = False, None, None
        self.layer.clear()

    def end(self) -> bool:
        """Thaws; whether anything was frozen."""
        was = self.frozen
        self.thaw()
        return was

    def poll(self, now_s: float) -> str:
        """Once a frame: ends what nobody looks at, and what no longer fits the bed. A sentence for the operator."""
        page = self.history.page
        self.layer.take_mouse(self.frozen or page is not None)
        if now_s - self._flagged_s >= _FLAGS_EVERY_S and (head_s := self.sweep.head_s) is not None:
            self._flagged_s = now_s
            self.layer.show_marks(self.flags(head_s - self.sweep.page_s, head_s))
        if not self.frozen:
            return ""
        if self._first is None and page is None:
            self.thaw()  # the page of the past that was measured is gone
            return ""
        if self._first is not None and _rows(self._first.state) != _rows(self._bed.state):
            self.thaw()
            return tr("the sensors have changed: these waves are live again")
        if now_s - self._touched_s >= THAWS_S:
            self.thaw()
            if page is None:
                return tr("frozen for {seconds:.0f} s without a key: live again", seconds=THAWS_S)
            return tr("frozen for {seconds:.0f} s without a key: calipers put away", seconds=THAWS_S)
        return ""

    def flags(self, begin_s: float, end_s: float) -> tuple[Flag, ...]:
        """The marks of what is on the paper, in [begin_s, end_s]: set meanwhile, or in the recording that it is."""
        page = self.history.page
        shown = page or self.view
        state = shown.state if shown is not None else self._bed.state
        told = recorded(self._bed.events, begin_s, end_s, state.session) if page is None else ()
        found = {*state.flags.within(begin_s, end_s, state.session), *told}
        return tuple(sorted(found, key=lambda flag: flag.time_s))

    def stamp(self) -> Stamp | None:
        """Across the waves: of when they are, and what is loud now; None while nothing is frozen here."""
        view = self.view
        if view is None:
            return None
        whose = whose_words(view.state.session, self._bed.state.session)
        at = clock_words(view.head_s) if self._seekable else wall_words(self._unix_at(view.head_s))
        words = "  ·  ".join(part for part in (whose, f"{tr('FROZEN')} {at}{self.left}") if part)
        high = [alarm.said for alarm in self._bed.state.alarms.standing if alarm.record.priority == "high"]
        return past_stamp(
            words, tr("NOW: {alarm}  —  Esc: live waves", alarm=high[0]) if high else "", urgent=bool(high)
        )

    @property
    def left(self) -> str:
        """How long it stays without a key, to be put behind what it is; "" while nothing is frozen."""
        if not self.frozen:
            return ""
        left_s = THAWS_S - (self._now() - self._touched_s)
        left = max(0, math.ceil(left_s))
        live = self._first is not None
        return "  ·  " + (tr("live in {left} s", left=left) if live else tr("calipers end in {left} s", left=left))

    # To and fro ---------------------------------------------------------------------------------------------------

    def seek_by(self, seconds: float) -> None:
        """A page back or on while frozen; else as it is."""
        if self.frozen:
            self._scroll(math.copysign(1.0, seconds))
        else:
            self._operator.seek_by(seconds)

    def _scroll(self, pages: float) -> None:
        """So many pages on, of what is frozen or of the past."""
        by_s = pages * self.sweep.page_s
        if self.frozen:
            self._touch()
        if self.view is None or self.history.looking:
            self._scroll_past(by_s)
        else:
            self._scroll_memory(self.view, by_s)

    def _scroll_memory(self, view: View, by_s: float) -> None:
        assert self._first is not None, "there is a view"
        target_s, lowest_s = view.head_s + by_s, self._lowest_s
        if target_s >= self._first.head_s:
            if view is self._first:
                self._say(tr("the waves were frozen here; Esc is live"))
            self.view = self._first
        elif target_s >= lowest_s or view.head_s > lowest_s + 1e-6:
            self.view = paged(self._first.state, max(target_s, lowest_s), self.sweep.page_s)
        elif not self._seekable and self.history.recorded and self.history.span_s is not None:
            self._look_at(self._unix_at(target_s))
        else:
            self._say(tr("memory begins at {time}", time=self._words_at(begin_s(self._first.state))) + self._no_further)

    @property
    def _no_further(self) -> str:
        if self._seekable:
            return tr("; seek to see what was before")
        return tr("; this run is not recorded: there is nothing before") if not self.history.recorded else ""

    def _scroll_past(self, by_s: float) -> None:
        page, span_s = self.history.page, self.history.span_s
        if page is None or span_s is None:
            return
        target_s = page.at_s + by_s
        if self._first is not None and target_s >= self._unix_at(self._lowest_s):
            self.history.back()  # memory has it
            return
        begin_s = min(span_s[0] + page.seconds, self.history.unix_s - NEAREST_S)
        if target_s < begin_s and page.at_s <= begin_s + 1e-3:
            self._say(tr("the recording begins at {time}: nothing was recorded before", time=wall_words(span_s[0])))
        self._look_at(max(target_s, begin_s))

    def _look_at(self, unix_s: float) -> None:
        self.history.look_at(unix_s, self._bed.name, self.sweep.page_s, self._now())

    def to_begin(self) -> None:
        """The first page there is: of the recording, else of memory."""
        span_s = self.history.span_s
        if not self.frozen and not self.history.looking:
            self._say(tr(_NOT_FROZEN))
        elif span_s is not None and (self._first is None or not self._seekable):
            self._look_at(min(span_s[0] + self.sweep.page_s, self.history.unix_s - NEAREST_S - 1.0))
        elif self._first is not None and self._lowest_s < self._first.head_s:
            self.view = paged(self._first.state, self._lowest_s, self.sweep.page_s)
        self._touch()

    def to_end(self) -> None:
        """Where it was frozen, or the newest page of the recording."""
        span_s = self.history.span_s
        if self._first is not None:
            self.history.back()
            self.view = self._first
        elif self.history.looking and span_s is not None:
            self._look_at(min(span_s[1], self.history.unix_s - NEAREST_S - 1.0))
        else:
            self._say(tr(_NOT_FROZEN))
        self._touch()

    @property
    def _lowest_s(self) -> float:
        """The right end of the first whole page of memory."""
        assert self._first is not None, "something is frozen"
        return min(begin_s(self._first.state) + self.sweep.page_s, self._first.head_s)

    def _unix_at(self, event_s: float) -> float:
        """The wall clock at a moment of a live bed, by when it was frozen."""
        assert self._first is not None, "something is frozen"
        return self._unix_s - (self._first.head_s - event_s)

    def _words_at(self, event_s: float) -> str:
        return clock_words(event_s) if self._seekable else wall_words(self._unix_at(event_s))

    # Calipers by keys ---------------------------------------------------------------------------------------------

    def next_line(self) -> None:
        """Calipers appear, or their next line is the one that keys move."""
        lane, line = self._chosen()
        if lane is None:
            return
        if lane.key not in self.layer.calipers:
            self._place(lane)
        else:
            self.layer.put(self.layer.calipers[lane.key], LINES[(LINES.index(line) + 1) % len(LINES)])

    def next_lane(self) -> None:
        """Keys move the calipers of the next lane."""
        lane, line = self._chosen()
        if lane is None:
            return
        if not self.layer.calipers:
            self._place(lane)
            return
        keys = [one.key for one in self.sweep.lanes]
        other = self.layer.lane_of(keys[(keys.index(lane.key) + 1) % len(keys)])
        assert other is not None, "one of the lanes"
        before = self.layer.calipers.get(lane.key)
        if other.key in self.layer.calipers:
            self.layer.put(self.layer.calipers[other.key], line)
        else:  # the same moments: from lane to lane is what they are compared for
            self._place(other, before)

    def _place(self, lane: Lane, like: Calipers | None = None) -> None:
        scale, head_s = self.sweep.scale_of(lane).scale, self.sweep.head_s or 0.0
        middle_s = head_s - self.sweep.page_of(lane) / 2.0
        begin, end = middle_s - 0.5, middle_s + 0.5
        if like is not None and self.layer.x_of(like.begin, lane) is not None:  # else a faster lane has gone beyond it
            begin, end = like.begin, like.end
        span = scale.high - scale.low
        self.layer.put(Calipers(lane.key, begin, end, scale.low + 0.75 * span, scale.low + 0.35 * span), LINES[0])

    def move_across(self, steps: float) -> None:
        """The chosen upright line by samples."""
        lane, line = self._chosen()
        calipers = self.layer.calipers.get(lane.key) if lane is not None else None
        if lane is not None and calipers is not None:
            line = line if line in ("begin", "end") else "end"
            moved = calipers.moved(line, steps * max(step_s(lane), 0.002))
            if self.layer.x_of(getattr(moved, line), lane) is not None:
                self.layer.put(moved, line)

    def move_up(self, steps: float) -> None:
        """The chosen level line by steps of the scale."""
        lane, line = self._chosen()
        calipers = self.layer.calipers.get(lane.key) if lane is not None else None
        if lane is not None and calipers is not None:
            line = line if line in ("first", "second") else "first"
            scale = self.sweep.scale_of(lane).scale
            moved = calipers.moved(line, steps * step_level(scale.low, scale.high))
            if scale.low <= getattr(moved, line) <= scale.high:
                self.layer.put(moved, line)

    def snap(self) -> None:
        """The chosen line goes to the wave's peak near to it; a level to that of the wave there."""
        lane, line = self._chosen()
        calipers = self.layer.calipers.get(lane.key) if lane is not None else None
        if lane is None or calipers is None:
            return
        found = peak(lane, calipers.begin if line in ("begin", "first") else calipers.end)
        if found is None:
            self._say(tr("there is no wave here to snap to"))
        else:
            self.layer.put(calipers.put(line, found[0] if line in ("begin", "end") else found[1]), line)

    def clear_calipers(self) -> None:
        """No calipers; the waves stay frozen."""
        self.layer.clear()
        self._touch()

    def _chosen(self) -> tuple[Lane | None, str]:
        """The lane and line that keys move; says where there is none."""
        if not self.frozen and self.history.page is not None:
            self.toggle_freeze()
        if not self.frozen or not self.sweep.lanes:
            self._say(tr(_NOT_FROZEN))
            return None, ""
        self._touch()
        key, line = self.layer.chosen or (self.sweep.lanes[0].key, "")
        return self.layer.lane_of(key) or self.sweep.lanes[0], line or LINES[0]


def _rows(state: DisplayState) -> list[str]:
    return [lane.key for lane in state.lanes]
