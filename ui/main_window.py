"""The bedside screen: what is on it, and what happens sixty times a second.

    top bar       bed, source, alarms; a list of them (L)                  ui/top_bar.py, alarm_view.py, alarm_list.py
    banner        only when the display has something to say itself        ui/top_bar.py, ui/liveness.py
    sweep         the waves, estimates, presence strips; a stamp           ui/sweep.py, ui/ink.py, backdrop.py, stamp.py
    numerics      one tile a lane                                          ui/numerics.py, ui/readouts.py
    prediction    risk, trend, age; made from                              ui/prediction_tile.py, ui/prediction_view.py
    replay bar    pause, speed, position, status                           ui/replay_bar.py, ui/status_words.py

A frame (:meth:`MainWindow.frame`): drain the feed within a budget, fold the records into the state, move the beam,
and every tenth of a second renew what is said in words. The window never waits for the session (ui/control_link.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path

from PySide6.QtCore import QRect, QStandardPaths, Qt, QTimer
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QImage,
    QKeySequence,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMainWindow, QMenu, QVBoxLayout, QWidget

from models.signals.gaps import common, stretch_at
from models.signals.modalities import Modality
from streams.control import SessionControl
from streams.feed import DisplayFeed
from ui.alarm_list import AlarmList
from ui.alarm_view import alarm_of, fields, lit
from ui.control_link import ControlLink
from ui.geometry import Row
from ui.help_overlay import HelpOverlay
from ui.liveness import Life, Moment, judge
from ui.look import Look
from ui.numerics import Flash, NumericsPanel
from ui.picture import write_picture
from ui.prediction_tile import MadeFromTile, PredictionTile
from ui.prediction_view import prediction_words
from ui.readouts import readout
from ui.replay_bar import ReplayBar
from ui.shortcuts import SHORTCUTS, next_speed
from ui.stamp import stamp_of
from ui.state import DisplayState
from ui.status_words import status_words
from ui.sweep import SweepView
from ui.theme import Theme, default_theme
from ui.top_bar import Banner, TopBar
from ui.words import clock_words, duration_words, speed_words

FRAME_MS = 16
_BUDGET_S = 0.001
_BACKLOG_BUDGET_S = 0.006  # behind by so much that dropping records is near: waves before smoothness
_BACKLOG = 256
_BATCH = 16
_WORDS_EVERY_S = 0.1
_BEAT_LIT_S = 0.12


class MainWindow(QMainWindow):
    """The display of one session. ``start=False`` leaves the frames to the caller (tests, which also bring their
    clock and the worker that calls the session)."""

    def __init__(
        self,
        control: SessionControl,
        feed: DisplayFeed,
        *,
        theme: Theme | None = None,
        start: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        worker: Executor | None = None,
    ) -> None:
        super().__init__()
        self._monotonic = monotonic
        self.look = Look(theme or default_theme())
        self.state = DisplayState(self.look.theme)
        self.link = ControlLink(control, monotonic(), worker)
        self._writer = worker or ThreadPoolExecutor(1, "display-picture")
        self._pictures: list[tuple[Path, Future[bool]]] = []
        self._feed = feed
        self._words_s = 0.0
        self._moment = Moment(0.0, monotonic(), Life.WAITING)
        self._unpaused_s = self._going_s = monotonic()
        self._said_beam = 0.0
        self._said_rows: list[Row] = []
        self._speed: float | None = 1.0
        self._prediction_seen: int | None = None
        self.frames = 0
        self.pictures: Path | None = None
        self.closing: Callable[[], None] = lambda: None
        self.setWindowTitle("Vigil")
        self._build()
        self.resize(1456, 819)
        self.setMinimumSize(1024, 640)
        self.frame_timer = QTimer(self)
        self.frame_timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.frame_timer.timeout.connect(self.frame)
        if start:
            self.frame_timer.start(FRAME_MS)

    # Making -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        look = self.look
        self.menu = QMenu(self)
        self.top = TopBar(look, self.toggle_alarms)
        self.banner = Banner(look)
        self.sweep = SweepView(self.state, look)
        self.sweep.painted = self._painted
        self.numerics = NumericsPanel(look)
        self.prediction = PredictionTile(look)
        self.made_from = MadeFromTile(look)
        self.replay = ReplayBar(look, self.toggle_pause, self.set_speed, self.seek, self.step, self.menu)
        self._tiles = QWidget()
        tiles = QHBoxLayout(self._tiles)
        tiles.addWidget(self.prediction, 6)
        tiles.addWidget(self.made_from, 5)
        self._tiles_layout = tiles
        waves = QHBoxLayout()
        waves.setSpacing(0)
        waves.addWidget(self.sweep, 1)
        waves.addWidget(self.numerics)
        centre = QWidget()
        centre.setStyleSheet(f"background: {look.theme.colour['background']};")
        layout = self._layout = QVBoxLayout(centre)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.top)
        layout.addWidget(self.banner)
        layout.addLayout(waves, 1)
        layout.addWidget(self._tiles)
        layout.addWidget(self.replay)
        self.setCentralWidget(centre)
        self._centre = centre
        self.alarms = AlarmList(look, centre)
        self.help = HelpOverlay(look, centre)
        self.toast = QLabel(centre)
        self.toast.setTextFormat(Qt.TextFormat.PlainText)  # names of tracks and files are no markup
        self.toast.hide()
        self._toast_timer = QTimer(self)
        self._toast_timer.setSingleShot(True)
        self._toast_timer.timeout.connect(self.toast.hide)
        self._build_menu()
        for shortcut in SHORTCUTS:
            action = getattr(self, shortcut.action)
            if shortcut.argument is not None:
                action = partial(action, shortcut.argument)
            for key in shortcut.keys:
                QShortcut(QKeySequence(key), self).activated.connect(lambda action=action: action())

    def _build_menu(self) -> None:
        speeds = self.menu.addMenu("Sweep speed")
        group = QActionGroup(speeds)
        self._sweep_actions: dict[float, QAction] = {}
        for mm_s in self.look.theme.sweep.speeds_mm_s:
            action = speeds.addAction(f"{mm_s:g} mm/s")
            action.setCheckable(True)
            action.setChecked(mm_s == self.sweep.speed_mm_s)
            action.triggered.connect(lambda _checked=False, mm_s=mm_s: self.set_sweep_speed(mm_s))
            group.addAction(action)
            self._sweep_actions[mm_s] = action
        for title, shown in (
            ("ECG gain up", partial(self.change_gain, 1)),
            ("ECG gain down", partial(self.change_gain, -1)),
            ("Standing alarms", self.toggle_alarms),
            ("Save a picture", self.screenshot),
            ("Full screen", self.toggle_full_screen),
            ("Keys …", self.toggle_help),
            ("Quit", self.close),
        ):
            self.menu.addAction(title).triggered.connect(lambda _checked=False, shown=shown: shown())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fits heights, margins and fonts to the window."""
        look = self.look
        look.set_window(self.width(), self.height())
        self.top.setFixedHeight(look.px(60))
        self.banner.setFixedHeight(look.px(28))
        self.replay.setFixedHeight(look.px(36))
        self._tiles.setFixedHeight(look.px(90))
        self._tiles_layout.setContentsMargins(look.px(18), look.px(6), look.px(18), look.px(6))
        self._tiles_layout.setSpacing(look.px(14))
        self.numerics.setFixedWidth(min(look.px(372), round(self.width() * 0.29)))
        self.replay.restyle()
        super().resizeEvent(event)
        centre = self._centre
        self.help.setGeometry(centre.rect())
        room = QRect(0, look.px(60), self.width() - self.numerics.width(), round(self.height() * 0.6))
        self.alarms.give_room(room)
        self._place_toast()

    # Sixty times a second ---------------------------------------------------------------------------------------

    def frame(self) -> None:
        """One frame: see the module's first lines."""
        now_s = self._monotonic()
        for sentence in self.link.poll(now_s):
            self.say(sentence)
        self._take_records()
        status = self.link.status
        if status is None or status.paused:
            self._unpaused_s = now_s
        if status is None or status.paused or status.ended:
            self._going_s = now_s
        if status is not None:
            self._speed = status.pace
            snapshot = self.link.snapshot
            if snapshot is not None and self.state.set_channels(snapshot[1]):
                self.sweep.relayout()
        self.state.settle()
        head_s = self.state.clock.advance(self._monotonic(), self._speed)
        self.sweep.advance(head_s)
        self.frames += 1
        if now_s - self._words_s >= _WORDS_EVERY_S:
            self._words_s = now_s
            self._tell_pictures()
            self._say_all(now_s, head_s)
        elif self._said_rows is not self.sweep.lane_rows:  # laid out anew: the numerics must not lag behind
            self._say_numbers(head_s)

    def _take_records(self) -> None:
        """Fold records in until the feed is empty or the frame's budget is spent."""
        started = self._monotonic()
        waiting = self._feed.status.waiting
        budget = _BUDGET_S if waiting < _BACKLOG else _BACKLOG_BUDGET_S
        while waiting > 0:
            records = self._feed.drain(_BATCH)
            if not records:
                return
            now_s = self._monotonic()
            for record in records:
                self.state.apply(record, now_s)
            if self._monotonic() - started >= budget:
                return

    def _painted(self, shown_ns: int) -> None:
        """End of a paint of the waves: report the ticks it completed."""
        head_s = self.sweep.head_s
        if head_s is None:
            return
        for _, due_ns in self.state.drawn_until(head_s):
            self.link.report_shown("sample_to_screen", due_ns, shown_ns)

    # Ten times a second -----------------------------------------------------------------------------------------

    def _say_all(self, now_s: float, head_s: float | None) -> None:
        state, status = self.state, self.link.status
        life = self._judge(now_s, head_s)
        running = life in (Life.LIVE, Life.LOST)  # what is lost ages on
        event_s = state.clock.source_now(now_s, self._going_s if running else None)
        self._moment = Moment(event_s, now_s, life, self._unpaused_s, self._speed)
        position_s = head_s if head_s is not None else (status.position_s if status is not None else 0.0)
        self._say_numbers(head_s)
        self._say_prediction()
        title = self.link.snapshot[3] if self.link.snapshot is not None else ""
        speeds = speed_words(self._asked_speed, status.achieved_speed if status is not None else None)
        source = f"{clock_words(position_s)}  ·  {speeds}  ·  {title}"
        bed = f"Bed {state.bed}" if state.bed.isdigit() else state.bed
        live, standing = life is Life.LIVE, state.alarms.standing
        self.top.show_state(bed or "Vigil", source, fields(standing, now_s, self.look.theme.alarm, live))
        self.alarms.show_alarms(standing, event_s, not live)
        if status is not None and self.link.snapshot is not None:
            self.replay.show_state(position_s, status.duration_s, status.speed, status.paused, self.link.snapshot[2])
        self.replay.status.say(*status_words(status, self._feed.status))

    @property
    def _asked_speed(self) -> float | None:
        """Event seconds a second that the session is to go at; before its first answer, what the screen goes by."""
        return self.link.status.speed if self.link.status is not None else self._speed

    def _judge(self, now_s: float, head_s: float | None) -> Life:
        """Whether all this is live; said in the banner and over the waves."""
        status, link = self.link.status, self.link
        verdict = judge(
            status,
            link.failure,
            ended=self.state.ended,
            silent_s=now_s - status.heartbeat_ns * 1e-9 if status is not None else 0.0,
            unanswered_s=now_s - link.answered_s,
            idle_s=self.state.clock.idle_s(now_s, self._going_s),
            limit_s=self.look.theme.alarm.heartbeat_s,
        )
        self.banner.say(verdict.words, verdict.urgent)
        self.sweep.put_stamp(stamp_of(verdict.life, head_s))
        return verdict.life

    def _say_numbers(self, head_s: float | None) -> None:
        state, moment, style = self.state, self._moment, self.look.theme.alarm
        self._said_rows = self.sweep.lane_rows
        readouts = [readout(state, lane, moment) for lane in state.lanes]
        beam = head_s or 0.0
        moving, self._said_beam = beam != self._said_beam, beam
        beating = moving and any(
            0.0 <= beam - beat.time_ns * 1e-9 < _BEAT_LIT_S * max(1.0, self._speed or 1.0) for beat in state.beats
        )
        standing = state.alarms.standing
        has_resp = any(lane.modality is Modality.RESP for lane in state.lanes)
        alarms = [
            alarm_of(lane.modality, standing, has_resp) if lane.connected or not found.invalid else None
            for lane, found in zip(state.lanes, readouts, strict=True)
        ]
        flashes = [
            Flash(alarm, lit(alarm.record.priority, moment.wall_s, style), moment.life is not Life.LIVE)
            if alarm is not None
            else None
            for alarm in alarms
        ]
        self.numerics.show_readouts(state.lanes, self.sweep.lane_rows, readouts, beating, flashes)

    def _say_prediction(self) -> None:
        record = self.state.prediction
        words = prediction_words(self.state, self._moment)
        self.prediction.show_prediction(words, self.state.trend, self._moment.event_s)
        self.made_from.show_prediction(words)
        if record is not None and record.window_end_ns != self._prediction_seen:
            self._prediction_seen = record.window_end_ns
            due = record.stamps_ns.get("due", 0)
            if due:
                self.link.report_shown("window_to_screen", due, round(self._monotonic() * 1e9))

    # The operator -----------------------------------------------------------------------------------------------

    def toggle_pause(self) -> None:
        """Pause, or go on."""
        status = self.link.status
        if status is not None and status.paused:
            self.link.do("resume", lambda control: control.resume())
        else:
            self.link.do("pause", lambda control: control.pause())

    def set_speed(self, speed: float) -> None:
        """Event seconds a second."""
        self.link.do(f"speed {speed_words(speed)}", lambda control: control.set_speed(speed))

    def change_speed(self, direction: float) -> None:
        """The next speed of the list, faster for a positive ``direction``."""
        self.set_speed(next_speed(self._asked_speed, int(direction)))

    def seek(self, time_s: float) -> None:
        """Go to ``time_s`` of the recording."""
        self.link.do(f"seek to {clock_words(time_s)}", lambda control: control.seek(time_s))

    def seek_by(self, seconds: float) -> None:
        """Go so many seconds on, or back, within the recording."""
        status = self.link.status
        if status is not None:
            self.seek(min(max(0.0, status.position_s + seconds), max(0.0, status.duration_s)))

    def skip_gap(self) -> None:
        """Go to where a sensor measures again, from a stretch in which none does."""
        status, snapshot = self.link.status, self.link.snapshot
        if status is None or snapshot is None:
            return
        gap = stretch_at(common(snapshot[2].values()), status.position_s)
        if gap is None or gap[1] >= status.duration_s:
            self.say("no gap to skip: a sensor has data here, or none has any more")
        else:
            self.seek(math.floor(gap[1]))
            self.say(f"skipped {duration_words(gap[1] - status.position_s)} without data")

    def step(self, seconds: float) -> None:
        """While paused, play so many seconds."""
        status = self.link.status
        if status is not None and status.paused:
            self.link.do("step", lambda control: control.step(seconds))

    def toggle_sensor(self, row: float) -> None:
        """Drop the sensor of a row, or give it back; what is withheld is marked so wherever it would be shown."""
        number = int(row) - 1
        status = self.link.status
        if status is None or number >= len(self.state.lanes):
            return
        lane = self.state.lanes[number]
        if not lane.connected:
            self.say(f"{lane.title} is not connected")
            return
        drop = lane.modality not in status.dropped
        self.link.do(
            f"{'drop' if drop else 'restore'} {lane.title}",
            lambda control: control.set_dropped(lane.modality, drop),
        )
        self.say(f"{lane.title} WITHHELD — press {number + 1} to restore" if drop else f"{lane.title} restored")

    def change_gain(self, direction: float) -> None:
        """The ECG's next gain, up for a positive ``direction``."""
        self.say(self.sweep.choose_scale("ECG", int(direction)))

    def change_sensitivity(self, direction: float) -> None:
        """The EEG's next sensitivity, more µV/cm for a positive ``direction``."""
        self.say(self.sweep.choose_scale("EEG", int(direction)))

    def set_sweep_speed(self, mm_s: float) -> None:
        """Millimetres of paper a second."""
        self.sweep.set_sweep_speed(mm_s)
        if mm_s in self._sweep_actions:
            self._sweep_actions[mm_s].setChecked(True)
        self.say(f"sweep {mm_s:g} mm/s")

    def next_sweep_speed(self) -> None:
        """The next sweep speed of the theme; after the last the first."""
        speeds = self.look.theme.sweep.speeds_mm_s
        at = speeds.index(self.sweep.speed_mm_s) if self.sweep.speed_mm_s in speeds else -1
        self.set_sweep_speed(speeds[(at + 1) % len(speeds)])

    def acknowledge(self) -> None:
        """Standing alarms stop flashing."""
        self.say("alarms acknowledged" if self.state.alarms.acknowledge() else "no alarm to acknowledge")

    def toggle_alarms(self) -> None:
        """Show or hide the list of standing alarms."""
        self.alarms.setVisible(not self.alarms.isVisible())
        self.alarms.raise_()

    def toggle_full_screen(self) -> None:
        """Fill the screen, or go back to a window."""
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    def toggle_help(self) -> None:
        """Show or hide the keys."""
        self.help.setVisible(not self.help.isVisible())
        self.help.raise_()

    def screenshot(self) -> None:
        """Save a picture of the window, in a thread of its own; a later frame says where."""
        folder = self.pictures or Path(
            QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation) or "."
        )
        path = folder / f"vigil-{datetime.now():%Y%m%d-%H%M%S}.png"
        # Compressing a PNG takes longer than a frame, so another thread does it.
        self._pictures.append((path, self._writer.submit(write_picture, self.picture(), path)))

    def _tell_pictures(self) -> None:
        for path, written in [picture for picture in self._pictures if picture[1].done()]:
            self._pictures.remove((path, written))
            self.say(f"saved {path}" if written.result() else f"could not write {path}")

    def save_picture(self, path: Path) -> bool:
        """Write the window to a PNG and wait for it; False where the path cannot be written.

        At the end of a recording it is the picture of its last moment: that it is over is no part of it.
        """
        if self._moment.life is Life.ENDED:
            self.banner.say("", False)
            self.sweep.put_stamp(None)
            self._layout.activate()
            self._say_numbers(self.sweep.head_s)
        return write_picture(self.picture(), path)

    def picture(self) -> QImage:
        """The window as it is, without passing remarks."""
        self.toast.hide()
        return self.grab().toImage()

    def say(self, sentence: str) -> None:
        """A few words to the operator, for four seconds."""
        if not sentence:
            return
        self.toast.setText(sentence)
        colours = self.look.theme.colour
        self.toast.setStyleSheet(
            f"background: {colours['panel_edge']}; color: {colours['text']};"
            f" border-radius: 4px; padding: 7px 14px; font-size: {self.look.px(13)}px;"
        )
        self.toast.adjustSize()
        self._place_toast()
        self.toast.show()
        self.toast.raise_()
        self._toast_timer.start(4000)

    def _place_toast(self) -> None:
        centre = self._centre
        self.toast.move(
            (centre.width() - self.toast.width()) // 2,
            centre.height() - self.look.px(150) - self.toast.height(),
        )

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stops the frames, the link and the thread of pictures."""
        self.frame_timer.stop()
        self.closing()
        self.link.close()
        self._writer.shutdown(wait=False)
        super().closeEvent(event)
