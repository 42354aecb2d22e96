"""What the operator can do to the bed on show, by key, button or menu: to its replay, its sensors and waves.

What is about alarms is in window/alarm_desk.py.

Nothing here waits: an action is handed to the session's helper thread, in order, and so goes to the bed that was on
show when it was asked for. What cannot be done is said in a few words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor

from models.signals.gaps import common, stretch_at
from streams.control import SessionStatus
from ui.bed.bedside import Bedside
from ui.bed.marks import BEFORE_S, neighbour
from ui.bed.ward import Ward
from ui.panels.shortcuts import next_speed
from ui.style.language import tr
from ui.style.words import clock_words, duration_words, speed_words
from ui.waves.sweep import SweepView
from ui.window.control_link import ControlLink
from ui.window.history import FIRST_LOOK_S, History
from ui.window.truth_view import TruthView

LIVE_SOURCE = "a live source cannot be paused, sought or played at another speed"


class Operator:
    """say: tells the operator a few words. show_bed: puts the bed of a name on show. history: of this run.
    aside: does what would hold up the screen. now_s:
    monotonic seconds. sweep_chosen: told the millimetres a second after a change."""

    def __init__(
        self,
        link: ControlLink,
        ward: Ward,
        sweep: SweepView,
        *,
        say: Callable[[str], None],
        show_bed: Callable[[str], None],
        history: History,
        aside: Executor,
        now_s: Callable[[], float],
        sweep_chosen: Callable[[float], None],
    ) -> None:
        self._link, self._ward, self._sweep = link, ward, sweep
        self._say, self._show_bed, self._sweep_chosen = say, show_bed, sweep_chosen
        self._history, self._now = history, now_s
        self.truth = TruthView(aside)
        self.door: Callable[[str], None] = lambda how: say(tr("nothing else can be opened in this window"))

    @property
    def _bed(self) -> Bedside:
        return self._ward.on_show

    @property
    def _status(self) -> SessionStatus | None:
        return self._bed.status

    def open_other(self, how: str) -> None:
        """Something else in the place of this run: a ``file`` by dialog, or what the ``start`` page has."""
        self.door(how)

    # Replay -------------------------------------------------------------------------------------------------------

    def _live(self) -> bool:
        """Whether the bed is a live device's, which is said."""
        live = self._status is not None and not self._status.seekable
        if live:
            self._say(tr(LIVE_SOURCE))
        return live

    def toggle_pause(self) -> None:
        """Pause, or go on."""
        if self._live():
            return
        if self._status is not None and self._status.paused:
            self._link.do(tr("resume"), lambda control: control.resume())
        else:
            self._link.do(tr("pause"), lambda control: control.pause())

    def set_speed(self, speed: float) -> None:
        """Event seconds a second."""
        if not self._live():
            self._link.do(tr("speed {speed}", speed=speed_words(speed)), lambda control: control.set_speed(speed))

    def change_speed(self, direction: float) -> None:
        """The next speed of the list, faster for a positive ``direction``."""
        status = self._status
        self.set_speed(next_speed(status.speed if status is not None else self._bed.speed, int(direction)))

    def seek(self, time_s: float) -> None:
        """Go to ``time_s`` of the recording."""
        if not self._live():
            self._link.do(tr("seek to {time}", time=clock_words(time_s)), lambda control: control.seek(time_s))

    def seek_by(self, seconds: float) -> None:
        """Go so many seconds on, or back, within the recording; of a live bed in what is recorded of it."""
        status = self._status
        if self._history.looking or (status is not None and not status.seekable and self._history.recorded):
            self.look_by(seconds)
        elif status is not None:
            self.seek(min(max(0.0, status.position_s + seconds), max(0.0, status.duration_s)))

    def skip_gap(self) -> None:
        """Go to where a sensor measures again, from a stretch in which none does."""
        status, snapshot = self._status, self._bed.snapshot
        if status is None or snapshot is None or self._live():
            return
        gap = stretch_at(common(snapshot.gaps_s.values()), status.position_s)
        if gap is None or gap[1] >= status.duration_s:
            self._say(tr("no gap to skip: a sensor has data here, or none has any more"))
        else:
            self.seek(math.floor(gap[1]))
            skipped = duration_words(gap[1] - status.position_s)
            self._say(tr("skipped {time} without data", time=skipped))

    def seek_mark(self, direction: float) -> None:
        """Go to shortly before the next alarm, loss or annotation that is known, or for a negative ``direction`` to the
        one before."""
        status = self._status
        if status is None or self._live():
            return
        mark = neighbour(self._bed.marks, status.position_s, int(direction))
        if mark is None:
            self._say(tr("no event is known after this") if direction > 0 else tr("no event is known before this"))
        else:
            self.seek(max(0.0, mark.begin_s - BEFORE_S))
            self._say(f"{clock_words(mark.begin_s)}  {mark.words}")

    def step(self, seconds: float) -> None:
        """While paused, play so many seconds."""
        if not self._live() and self._status is not None and self._status.paused:
            self._link.do(tr("step"), lambda control: control.step(seconds))

    # The past of a live bed ---------------------------------------------------------------------------------------

    def look_by(self, seconds: float) -> None:
        """Look so many seconds back, or on again, in what is recorded of this run; up to now is live."""
        if self._recorded():
            was = self._history.looking
            past = self._history.look(seconds, self._bed.name, self._sweep.page_s, self._now())
            if was and not past:
                self._say(tr("this is live"))

    def look_at(self, unix_s: float) -> None:
        """Look at a moment, in seconds from 1970."""
        if self._recorded():
            self._history.look_at(unix_s, self._bed.name, self._sweep.page_s, self._now())

    def toggle_history(self) -> None:
        """Look back, or go back to live."""
        if self._history.looking:
            self._history.back()
        else:
            self.look_by(-FIRST_LOOK_S)

    def back_to_live(self) -> None:
        """What is the case now."""
        self._history.back()

    def _recorded(self) -> bool:
        """Whether there is a recording to look back in; why not is said."""
        if not self._history.recorded:
            self._say(tr("this run is not recorded here: there is nothing to look back in"))
        elif self._history.span_s is None:
            self._say(self._history.failure or tr("the recording has not begun yet"))
        return self._history.span_s is not None

    # Beds and sensors ---------------------------------------------------------------------------------------------

    def next_bed(self, direction: float) -> None:
        """Show the next bed, or for a negative ``direction`` the one before."""
        name = self._ward.neighbour(int(direction))
        if name == self._bed.name:
            self._say(tr("there is no other bed"))
        else:
            self._show_bed(name)

    def toggle_sensor(self, row: float) -> None:
        """Drop the sensor of a row, or give it back; what is withheld is marked so wherever it would be shown."""
        number = int(row) - 1
        status, lanes = self._status, self._sweep.lanes
        if status is None or number >= len(lanes):
            return
        lane = lanes[number]
        if not lane.connected:
            self._say(tr("{sensor} is not connected", sensor=lane.title))
            return
        drop = lane.modality not in status.dropped
        of = lane.modality.value
        if any(not other.first for other in self._sweep.all_lanes if other.modality is lane.modality):
            of = tr("{sensor}, all its leads,", sensor=of)  # they are one cable
        self._link.do(
            tr("drop {sensor}", sensor=lane.title) if drop else tr("restore {sensor}", sensor=lane.title),
            lambda control: control.set_dropped(lane.modality, drop),
        )
        withheld = tr("{sensor} WITHHELD — press {key} to restore", sensor=of, key=number + 1)
        self._say(withheld if drop else tr("{sensor} restored", sensor=of))

    def toggle_truth(self) -> None:
        """Draw what is withheld, or hide it again."""
        self._say(self.truth.toggle(self._status is None or self._status.seekable))

    # Waves --------------------------------------------------------------------------------------------------------

    def change_gain(self, direction: float) -> None:
        """The ECG's next gain, up for a positive ``direction``."""
        self._say(self._sweep.choose_scale("ECG", int(direction)))

    def change_sensitivity(self, direction: float) -> None:
        """The EEG's next sensitivity, more µV/cm for a positive ``direction``."""
        self._say(self._sweep.choose_scale("EEG", int(direction)))

    def set_sweep_speed(self, mm_s: float) -> None:
        """Millimetres of paper a second."""
        self._sweep.set_sweep_speed(mm_s)
        self._sweep_chosen(mm_s)
        self._say(tr("sweep {speed:g} mm/s", speed=mm_s))

    def next_sweep_speed(self) -> None:
        """The next sweep speed of the theme; after the last the first."""
        speeds = self._bed.state.theme.sweep.speeds_mm_s
        at = speeds.index(self._sweep.speed_mm_s) if self._sweep.speed_mm_s in speeds else -1
        self.set_sweep_speed(speeds[(at + 1) % len(speeds)])
