"""The bedside screen: what is on it, and what happens sixty times a second.

    top bar       bed, source, alarms; a list of them (L)                  panels/top_bar.py, alarm_list.py
    banner        only when the display has something to say itself        panels/top_bar.py, bed/liveness.py
    history       over a page of the past, with the numbers of now         panels/history_band.py, window/history.py
    beds          a chip a bed, where there are two or more                panels/bed_strip.py, bed/bed_words.py
    sweep         the waves, estimates, presence strips; a stamp           waves/
    numerics      one tile a lane                                          panels/numerics.py, bed/readouts.py
    trends        a page of its own                                        trends.py, ui/trends/
    prediction    risk, trend, age; made from                              panels/prediction_tile.py
    central       all beds as tiles, in place of the four above (B)        central/
    worth         over the waves: what each sensor is worth (X)            panels/worth_table.py, prediction_desk.py
    replay bar    pause, speed, position, status                           panels/replay_bar.py, bed/status_words.py

What keys, buttons and menu do is in window/operator.py, for alarms in window/alarm_desk.py; what is known of each bed
in bed/ward.py and bed/bedside.py; what lies where in window/screen.py.

A frame (:meth:`MainWindow.frame`): drain the feed within a budget, fold the records into their beds, move the beam,
and every tenth of a second renew what is said in words. The window never waits for the session (control_link.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent, QImage, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QMainWindow, QToolTip

from streams.control import BedView, SessionControl
from streams.feed import DisplayFeed
from ui.bed.bedside import Answer
from ui.bed.liveness import Life
from ui.bed.past import Page, wall_words, whose_words
from ui.bed.readouts import readout
from ui.bed.small_numbers import small_numbers
from ui.bed.state import DisplayState
from ui.bed.status_words import status_words
from ui.bed.ward import Ward
from ui.central.page import CENTRAL, CentralPage
from ui.panels.flashes import flashes_of, small_flashes
from ui.panels.history_band import band_words
from ui.panels.shortcuts import SHORTCUTS
from ui.sound.beat_clock import lit
from ui.sound.choice import SILENT, SoundChoice
from ui.sound.figures import default_figures
from ui.sound.output import MiniaudioOutput, OpenOutput
from ui.style.language import tr
from ui.style.look import Look
from ui.style.theme import Theme, default_theme
from ui.style.words import clock_words, speed_words
from ui.waves.geometry import Row
from ui.waves.stamp import past_stamp, stamp_of
from ui.window.alarm_desk import AlarmDesk
from ui.window.alarm_files import AlarmFiles
from ui.window.alarm_room import AlarmRoom
from ui.window.application import make_application
from ui.window.choices import ScreenChoices
from ui.window.control_link import ControlLink
from ui.window.history import History
from ui.window.intake import take_records
from ui.window.manners import ALONE, Manners, Surroundings
from ui.window.menu import MainMenu
from ui.window.operator import Operator
from ui.window.paper_desk import PaperDesk
from ui.window.picture import Pictures, write_picture
from ui.window.prediction_desk import PredictionDesk
from ui.window.screen import BEDSIDE, Screen
from ui.window.sound_desk import SoundDesk
from ui.window.trends import TRENDS, TrendsRoom
from ui.window.trends_past import TrendsPast

FRAME_MS = 16
_WORDS_EVERY_S = 0.1


class MainWindow(QMainWindow):
    """The display of one session. recording: the file that the run is being recorded into, to look back in. sound: what
    is to be heard, through what ``open_output`` opens. files: of what is set and done about alarms, kept: folder of
    what else is chosen; by default nowhere. around: what there is besides. ``start=False`` leaves the frames to the
    caller (tests, which also bring their clocks and the worker that calls the session)."""

    def __init__(
        self,
        control: SessionControl,
        feed: DisplayFeed,
        *,
        theme: Theme | None = None,
        font_scale: float = 1.0,
        start: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        worker: Executor | None = None,
        recording: Path | None = None,
        unix: Callable[[], float] = time.time,
        sound: SoundChoice = SILENT,
        open_output: OpenOutput = MiniaudioOutput,
        files: AlarmFiles | None = None,
        around: Surroundings = ALONE,
        kept: Path | None = None,
    ) -> None:
        super().__init__()
        self._monotonic = monotonic
        self.look = Look(theme or default_theme(), font_scale)
        self.ward = Ward(self.look.theme, monotonic())
        self.link = ControlLink(control, monotonic(), worker)
        aside = worker or ThreadPoolExecutor(1, "display-aside")
        self.pictures = Pictures(aside)
        self.history = History(recording, self.look.theme, worker=worker, unix=unix)
        self._shown_page: Page | None = None
        self._feed = feed
        self._taken: BedView | None = None
        self._heard: tuple[BedView, ...] = ()
        self._words_s = 0.0
        self._said_beam = 0.0
        self._said_rows: list[Row] = []
        self.frames = 0
        self.closing: Callable[[], None] = lambda: None
        self.setWindowTitle("Vigil")
        self.menu = MainMenu(self)
        face = self.face = Screen(self.look, self.state, lambda name, *args: self.action_of(name)(*args), self.menu)
        self.top, self.banner, self.beds, self.past = face.top, face.banner, face.beds, face.past
        self.sweep, self.numerics, self.replay = face.sweep, face.numerics, face.replay
        self.prediction, self.made_from = face.prediction, face.made_from
        self.alarms, self.limits, self.help, self.toast = face.alarms, face.limits, face.help, face.toast
        self.central = CentralPage(self.look, self.open_bed, self.show_bed)
        face.add_page(CENTRAL, self.central)
        self.setCentralWidget(face)
        self.sweep.painted = self._painted
        self.operator = Operator(
            self.link,
            self.ward,
            self.sweep,
            say=self.say,
            show_bed=self.show_bed,
            history=self.history,
            aside=aside,
            now_s=self._monotonic,
            sweep_chosen=self.menu.check_speed,
        )
        self.sound = SoundDesk(self.ward, sound, open_output, say=self.say, monotonic=monotonic, start=start)
        files = files or AlarmFiles(None, None, worker)
        self.desk = AlarmDesk(self.link, self.ward, files, say=self.say, now_s=monotonic, unix=unix)
        self.alarm_room = AlarmRoom(face, self.desk, self.look)
        past = TrendsPast(self.history, lambda: self.look.theme, worker)
        self.trends = TrendsRoom(self.look, self._visit, lambda: self.history.unix_s, self.pictures, aside, past)
        face.add_page(TRENDS, self.trends)
        self.on_trends = self.trends.do
        self.foresight = PredictionDesk(self.link, self.ward, face, self._monotonic)
        self.toggle_worth, self.ask_worth = self.foresight.toggle_worth, self.foresight.ask_worth
        self.paper = PaperDesk(
            self.link, self.ward, self.history, self.operator, self.pictures, self.look, face, self.say, monotonic
        )
        self.freeze, self._frozen = self.paper.freeze, self.paper.freeze.view
        more: dict[str, Any] = {"files": self.pictures, "say": self.say, "now_s": monotonic, "restyled": self._restyle}
        self.manners = Manners(self, self.look, around, worker, writer=aside, ward=self.ward, **more)
        self.choices = ScreenChoices(self.sweep, self.look, kept, aside, self.say, self.menu, self)
        self._give_orders()
        self.resize(1456, 819)
        self.setMinimumSize(1024, 640)
        self.frame_timer = QTimer(self)
        self.frame_timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.frame_timer.timeout.connect(self.frame)
        if start:
            self.frame_timer.start(FRAME_MS)

    @property
    def state(self) -> DisplayState:
        """What is known of the bed on show."""
        return self.ward.on_show.state

    @property
    def now_s(self) -> float:
        """Monotonic seconds, by the window's clock."""
        return self._monotonic()

    def _give_orders(self) -> None:
        """Keys and menu, from their tables."""
        speeds = self.look.theme.sweep.speeds_mm_s
        self.menu.fill(speeds, self.sweep.speed_mm_s, self.operator.set_sweep_speed, self.action_of)
        for shortcut in SHORTCUTS:
            action = self.action_of(shortcut.action)
            if shortcut.argument is not None:
                action = partial(action, shortcut.argument)
            for key in shortcut.keys:
                QShortcut(QKeySequence(key), self).activated.connect(lambda action=action: action())

    def action_of(self, name: str) -> Callable[..., object]:
        """The method behind an action of the keyboard: of the operator, of sound or alarms, or of the window itself."""
        owners = (
            *self.paper.desks,
            self.operator,
            self.sound,
            self.desk,
            self.alarm_room,
            self.manners,
            self.choices,
            self,
        )
        found: Callable[..., object] = getattr(next(owner for owner in owners if hasattr(owner, name)), name)
        return found

    def _restyle(self) -> None:
        """Everything is painted anew: theme or font scale are others now."""
        make_application(self.look.theme)
        self.trends.restyle()
        size = self.central.size()
        self.central.resizeEvent(QResizeEvent(size, size))  # lays all of it out anew
        self._fit()
        self.sweep.relayout()
        self._words_s = 0.0

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fits heights, margins and fonts to the window."""
        self._fit()
        super().resizeEvent(event)
        self._cover()

    def _fit(self) -> None:
        self.look.set_window(self.width(), self.height())
        self.face.fit(self.width())
        small = self.look.font(13)
        self.menu.fit(small)
        QToolTip.setFont(small)

    def _cover(self) -> None:
        self.face.cover(self.size(), beds=len(self.ward.names) > 1)

    # Sixty times a second ---------------------------------------------------------------------------------------

    def frame(self) -> None:
        """One frame: see the module's first lines. A fault that ends it is on the screen while it lasts, since all else
        there stands as it was."""
        try:
            self._frame()
        except Exception as error:
            self.banner.say(
                tr("THIS DISPLAY HAS A FAULT ({fault}) — what you see is not live", fault=type(error).__name__), True
            )
            self._cover()
            raise

    def _frame(self) -> None:
        now_s = self._monotonic()
        for sentence in self.link.poll(now_s):
            self.say(sentence)
        take_records(self._feed, self.ward, self.desk.follow, self._monotonic)
        self.manners.frame(now_s)
        self._take_answer(now_s)
        self.ward.keep_time(now_s)
        self.state.settle()
        head_s = self.ward.on_show.advance(self._monotonic())
        turned = self._turn_page(now_s)
        self.sound.frame(now_s, head_s if self._shown_page is None and self.face.page != CENTRAL else None)
        if self.face.page != BEDSIDE:
            self.state.undrawn.clear()  # nobody sees these ticks drawn
            self.face.advance(self.ward, now_s)
        elif self._shown_page is None and self._frozen is None:
            self.sweep.advance(head_s)
        self.frames += 1
        if turned or now_s - self._words_s >= _WORDS_EVERY_S:
            self._words_s = now_s
            for sentence in self.pictures.done():
                self.say(sentence)
            self.manners.renew()
            self._say_all(now_s, head_s)
        elif self._said_rows is not self.sweep.lane_rows:  # laid out anew: the numerics must not lag behind
            self._say_numbers(head_s)

    def _take_answer(self, now_s: float) -> None:
        """What the session says of the bed on show; what it said of another one is no longer asked for."""
        snapshot = self.link.snapshot
        if snapshot is None or snapshot is self._taken or snapshot.bed != self.link.bed:
            return
        self._taken, before = snapshot, self.ward.on_show
        changed = self.ward.take(snapshot, now_s)
        if self.link.others is not self._heard:
            self._heard = self.link.others
            self.ward.hear(self._heard, now_s)
        if self.ward.on_show is not before:
            self._turn_to_bed(now_s)
        elif changed:
            self.sweep.relayout()

    def _answer(self, now_s: float) -> Answer:
        link = self.link
        status = link.snapshot.status if link.snapshot is not None else None
        return Answer(status, link.failure, now_s - link.answered_s)

    def _turn_page(self, now_s: float) -> bool:
        """What has been read of the past comes on the screen, or what is live comes back; whether that changed."""
        history = self.history
        self.say(history.poll(now_s))
        self.say(self.freeze.poll(now_s))
        history.renew(self.sweep.page_s)
        page, frozen = history.page, self.freeze.view
        shown = page or frozen
        if shown is not None:
            self.state.undrawn.clear()  # nobody sees these ticks, so there is nothing to be told of their drawing
        if page is self._shown_page and frozen is self._frozen:
            return False
        self._shown_page, self._frozen = page, frozen
        like = self.state if page is None else None
        self.sweep.show_bed(self.state if shown is None else shown.state, like, still=page is not None)
        if shown is not None:
            self.sweep.advance(shown.head_s)
        return True

    def go_to(self, time_s: float) -> None:
        """The bar was let go: of a recording that is sought, of a live bed's looked back in."""
        span_s = self.history.span_s
        if span_s is not None and self.ward.on_show.status is not None and not self.ward.on_show.status.seekable:
            self.operator.look_at(span_s[0] + time_s)
        else:
            self.operator.seek(time_s)

    def _visit(self, time_s: float) -> None:
        """A moment of the trends was chosen, event time: it is shown on the bedside, of a live bed out of what is
        recorded."""
        status = self.ward.on_show.status
        if status is not None and not status.seekable and self.trends.page is not None:
            self.operator.look_at(self.trends.page.unix_s(time_s))
            if not self.history.recorded or self.history.span_s is None:
                return
        else:
            longest_s = status.duration_s if status is not None and status.duration_s > 0 else time_s
            self.operator.seek(min(max(0.0, time_s), longest_s))
        self.face.turn_to(BEDSIDE)

    def show_bed(self, name: str) -> None:
        """Put a bed on show: all that is drawn and all that is ordered from here on is about that one."""
        if name == self.ward.on_show.name:
            return
        now_s = self._monotonic()
        self.toast.hide()  # it was about the bed before
        self.link.show(name)
        self.ward.show(name, now_s)
        self._turn_to_bed(now_s)

    def open_bed(self, name: str) -> None:
        """Put a bed on show, by itself; ``Esc`` leads back."""
        self.show_bed(name)
        self.face.open_bedside()

    def _turn_to_bed(self, now_s: float) -> None:
        """Nothing of the bed before is left on the screen, and the other one is live."""
        self.replay.seek.let_go()
        self.paper.put_away()
        self.history.back()
        self._shown_page = self._frozen = None
        self.sweep.show_bed(self.state)
        self.state.settle()
        self.ward.keep_time(now_s)
        head_s = self.ward.on_show.advance(now_s)
        self.sweep.advance(head_s)
        self._say_all(now_s, head_s)

    def _painted(self, shown_ns: int) -> None:
        """End of a paint of the waves: report the ticks it completed."""
        head_s = self.sweep.head_s
        if head_s is None or self._shown_page is not None or self._frozen is not None:
            return
        for _, due_ns in self.state.drawn_until(head_s):
            self.link.report_shown("sample_to_screen", due_ns, shown_ns)

    # Ten times a second -----------------------------------------------------------------------------------------

    def _say_all(self, now_s: float, head_s: float | None) -> None:
        answer, bed = self._answer(now_s), self.ward.on_show
        self.ward.judge(now_s, answer)
        self.desk.poll()
        self.choices.poll()
        status = bed.status
        seekable = status is None or status.seekable
        self.banner.say(*self.manners.banner(bed.verdict, now_s))
        page = self._shown_page
        self._say_past(now_s)
        if page is None:
            live_stamp = stamp_of(bed.verdict, head_s, seekable, self.state.clock.goes_to_s)
            self.sweep.put_stamp(self.freeze.stamp() or live_stamp)
        if self._frozen is None:  # what is said of the truth is of now
            self.operator.truth.renew(self.state, self.sweep, bed.speed, seekable)
        self.beds.show_beds(self.ward.said, bed.name, now_s)
        self._cover()
        self.face.renew(self.ward, now_s)
        self.face.sound.say(*self.sound.words())
        position_s = head_s if head_s is not None else (status.position_s if status is not None else 0.0)
        self._say_numbers(head_s)
        self.foresight.say(bed, page)
        title = bed.snapshot.title if bed.snapshot is not None else ""
        speeds = speed_words(*bed.speeds)
        source = f"{clock_words(position_s)}  ·  {speeds if seekable else tr('LIVE')}  ·  {title}"
        self.alarm_room.say(bed, source, now_s, self.history.unix_s)
        if status is not None:
            gaps = bed.snapshot.gaps_s if bed.snapshot is not None else {}
            self.replay.show_state(
                position_s, status, gaps, self.history.recorded_span(status), bed.marks, bed.speeds[1]
            )
        self.replay.status.say(*status_words(status, self._feed.status))

    def _say_past(self, now_s: float) -> None:
        """Of when the page is that is looked at, and beside it the numbers of now."""
        page = self._shown_page
        self.past.say(None if page is None else band_words(page, self.ward.on_show, self.history.unix_s))
        if page is not None:
            whose = whose_words(page.state.session, self.state.session) or tr("PAST")
            self.sweep.put_stamp(past_stamp(f"{whose} {wall_words(page.at_s)}{self.freeze.left}", page.missing))

    def _say_numbers(self, head_s: float | None) -> None:
        page = self._shown_page
        state, moment = (self.state, self.ward.on_show.moment) if page is None else (page.state, page.moment)
        self._said_rows = self.sweep.lane_rows
        lanes = [*self.sweep.lanes, *self.sweep.hidden]
        readouts = [readout(state, lane, moment) for lane in lanes]
        beam = (head_s or 0.0) if page is None else self._said_beam
        moving, self._said_beam = beam != self._said_beam, beam
        beating = moving and lit(state.beats, beam, default_figures().beat.delay_s, moment.speed)
        still = self.desk.silence.still(self._monotonic())
        flashes = flashes_of(lanes, readouts, state.alarms.standing, moment, self.look.theme.alarm, still)
        self.face.show_numbers(lanes, readouts, beating, flashes)
        small = small_numbers(state, moment)
        style = self.look.theme.alarm
        self.face.small.show_numbers(small, small_flashes(small, state.alarms.standing, moment, style, still))

    # The window itself ------------------------------------------------------------------------------------------

    def turn_page(self, name: str) -> None:
        """Show a page, or the bedside again where it is shown already."""
        self.face.turn_to(BEDSIDE if self.face.page == name else name)

    def toggle_help(self) -> None:
        """Show or hide the keys."""
        self.help.setVisible(not self.help.isVisible())
        self.help.raise_()

    def escape(self) -> None:
        """Close what lies over the waves, the topmost first; with nothing open, back from the past to live."""
        for open_one in (self.paper.marking.entry, self.help, self.limits, self.face.worth, self.alarms):
            if open_one.isVisible():
                open_one.hide()
                return
        if self.face.page != BEDSIDE:
            self.face.turn_to(BEDSIDE)
            return
        if not self.freeze.end() and (self.history.looking or not self.face.back()):
            self.operator.back_to_live()

    def sort_central(self) -> None:
        """The beds of the central view by name, or by urgency again."""
        self.central.sort_by(not self.central.by_name)
        self.face.turn_to(CENTRAL)

    def screenshot(self) -> None:
        """Save a picture of the window; a later frame says where."""
        self.pictures.take(self.picture())

    def save_picture(self, path: Path) -> bool:
        """Write the window to a PNG and wait for it; False where the path cannot be written.

        At the end of a recording it is the picture of its last moment: that it is over is no part of it.
        """
        if self.ward.on_show.verdict.life is Life.ENDED:
            self.banner.say("", False)
            self.sweep.put_stamp(None)
            self.face.settle()
            self._say_numbers(self.sweep.head_s)
        return write_picture(self.picture(), path)

    def picture(self) -> QImage:
        """The window as it is, without passing remarks."""
        self.toast.hide()
        return self.grab().toImage()

    def say(self, sentence: str) -> None:
        """A few words to the operator."""
        self.toast.say(sentence)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stops the frames, the link and the thread of pictures. A window that is closed from outside while its run is
        being recorded asks first; who is told to end (a signal, the end of the run) ends."""
        status = self.ward.on_show.status
        if event.spontaneous() and status is not None and status.recording and self.manners.asks():
            event.ignore()
            return
        self.frame_timer.stop()
        self.closing()
        self.desk.close()
        self.link.close()
        self.history.close()
        self.trends.past.close()
        self.pictures.close()
        self.sound.close()
        self.manners.awake.close()
        super().closeEvent(event)
