"""The page of trends of the bed on show: minutes to the whole session, and the way to any moment of it.

    buttons       how much time, now, save; what is missing
    alarms        from onset to end                                       marks.py
    plots         numerics, estimates, risk; beside them the values       canvas.py, plots.py, values.py
    presence      a row a channel                                         marks.py

What is known is kept in :mod:`ui.bed.trends`, which stretch of it is shown in :mod:`.span`. Ten times a second the page
looks whether there is anything new; it draws when there is, at most once a second or a pixel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from models.signals.device_numerics import kinds
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.times import SECOND_NS
from ui.bed.alarm_words import text_said
from ui.bed.bedside import Bedside
from ui.bed.liveness import Life
from ui.bed.past import wall_words
from ui.bed.prediction_view import prediction_words
from ui.bed.series import ALL, MEASURED, MID, Bytes, Float32, Stretch, code_of
from ui.bed.trends import AT, COLUMNS, CUFF, CUFF_COLUMNS, MEASURED_COLUMNS, MODALITIES, MODEL_COLUMNS, Trends
from ui.bed.ward import Ward
from ui.style.language import tr
from ui.style.look import Look
from ui.style.words import INVALID, clock_words, duration_words
from ui.trends.canvas import Canvas
from ui.trends.export import Export, Sheet, picture_of, svg_of
from ui.trends.span import CHOICES, Span

MOST_ROWS = 30_000  # of a table
REDRAWN_S = 0.5
"""So often the plots follow, at most; who zooms or pans does not wait."""
BUCKET_PX = 1.3
"""A bucket is at least so wide: more lines take long to paint and show no more."""
_STEP, _LEAP = 1 / 100, 1 / 2  # of what is shown
_HEIGHT = 34
CUFF_FRESH_S = kinds()["nibp_sys"].fresh_ns // SECOND_NS
"""So long a cuff's measurement is said."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What the plots were last drawn from."""

    bed: str
    changes: int
    range_s: tuple[float, float]
    size: tuple[int, int]
    unit: float


class TrendsPage(QWidget):
    """go: to a moment of the bed on show, event time in s. unix: seconds from 1970, for live beds, whose times are said
    by the clock on the wall."""

    def __init__(self, look: Look, go: Callable[[float], None], unix: Callable[[], float]) -> None:
        super().__init__()
        self._look, self._go, self._unix = look, go, unix
        # Of moves in quick succession the last one would be dropped: the cross-hair would stand beside the pointer.
        pg.setConfigOptions(antialias=True, mouseRateLimit=0)
        self.span = Span()
        self.cross_s: float | None = None
        """Event time of the cross-hair."""
        self.before = ""
        """What is to be said of what was recorded before."""
        self._by_pointer = False
        self._bed: Bedside | None = None
        self._drawn: _Drawn | None = None
        self._stretch: Stretch | None = None
        self._clock_s = 0.0
        self._drawn_s = -math.inf
        self._until_s = -math.inf  # up to which the plots are as they would be drawn
        self._unit = look.unit
        self.canvas = Canvas(look, self, self._point)
        self._spans = {
            length: self._button(tr(name), tr("Show {length} (Ctrl+↑ and Ctrl+↓)", length=tr(name)))
            for name, length in CHOICES
        }
        for length, button in self._spans.items():
            button.setCheckable(True)
            button.clicked.connect(lambda _checked=False, length=length: self._choose(length))
        self._now = self._button(tr("● NOW"), tr("Go on with the present moment (Ctrl+End)"))
        self._now.setCheckable(True)
        self._now.clicked.connect(lambda: self.do("now"))
        self.note = QLabel()
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        self._title = QLabel(tr("Trends"))
        self._title.setTextFormat(Qt.TextFormat.PlainText)
        for widget in (self._title, *self._spans.values(), self._now):
            row.addWidget(widget)
        row.addWidget(self.note, 1)
        self.buttons = QWidget()
        self.buttons.setLayout(row)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.buttons)
        column.addWidget(self.canvas, 1)
        self._restyle()

    def _button(self, text: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setFocusPolicy(self.focusPolicy())
        button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        return button

    def _restyle(self) -> None:
        look, colours = self._look, self._look.theme.colour
        self._unit = look.unit
        self.buttons.setFixedHeight(look.px(_HEIGHT))
        self.buttons.setStyleSheet(
            f"QWidget {{ background: {colours['background']}; }}"
            f"QToolButton {{ color: {colours['text_soft']}; border: 1px solid {colours['panel_edge']};"
            f" border-radius: {look.px(3)}px; padding: 0 {look.px(10)}px; margin: {look.px(4)}px 1px;"
            f" font-size: {look.px(13)}px; }}"
            f"QToolButton:hover {{ color: {colours['text']}; }}"
            f"QToolButton:checked {{ color: {colours['on_accent']}; background: {colours['accent']}; }}"
        )
        self._title.setFont(look.font(15, True))
        self._title.setStyleSheet(f"color: {colours['text']}; padding: 0 {look.px(12)}px;")
        self.note.setFont(look.font(12))
        self.note.setStyleSheet(f"color: {colours['text_soft']}; padding: 0 {look.px(12)}px;")
        self.canvas.restyle()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Sizes by the window's unit."""
        super().resizeEvent(event)
        if self._unit != self._look.unit:
            self._restyle()

    # Ten times a second -------------------------------------------------------------------------------------------

    def renew(self, ward: Ward, now_s: float) -> None:
        """See :class:`ui.window.screen.Page`."""
        bed = ward.on_show
        if bed is not self._bed:
            self._bed, self.cross_s = bed, None
            self.span.to_now()
        self._clock_s = now_s
        if self._unit != self._look.unit:
            self._restyle()
        trends = bed.state.trends
        present_s = self._present_s
        self.span.renew(trends.span_s or (present_s, present_s), present_s, now_s)
        for length, button in self._spans.items():
            button.setChecked(length == self.span.chosen_s)
        self._now.setChecked(self.span.following)
        self._draw(bed, trends, present_s)
        self._say(bed, trends)

    @property
    def _present_s(self) -> float:
        """Event time of the bed on show, at least as far as it has said anything."""
        assert self._bed is not None
        newest_s = self._bed.state.trends.now_s or 0.0
        running = self._bed.verdict.life not in (Life.WAITING, Life.ENDED)
        return max(newest_s, self._bed.moment.event_s) if running else newest_s

    def _draw(self, bed: Bedside, trends: Trends, present_s: float) -> None:
        begin_s, end_s = self.span.range_s
        # In whole pixels, or seconds where these are longer: not for every tenth of a second a new picture.
        width = max(1.0, self.canvas.strip.vb.width())
        quantum = max(1.0, (end_s - begin_s) / width) if self.span.following else (end_s - begin_s) / width
        shift = math.ceil(end_s / quantum) * quantum - end_s
        range_s = begin_s + shift, end_s + shift
        size = self.canvas.width(), self.canvas.height()
        drawn = _Drawn(bed.name, trends.changes, range_s, size, self._look.unit)
        before = self._drawn
        if drawn == before:
            return
        same = before is not None and (before.bed, before.range_s, before.size, before.unit) == (
            bed.name, range_s, size, self._look.unit)  # fmt: skip
        ahead = before is not None and (before.bed, before.size) == (bed.name, size) and self.span.following
        if ahead and before is not None and self._clock_s - self._drawn_s < REDRAWN_S:
            length = before.range_s[1] - before.range_s[0]
            if abs(end_s - begin_s - length) < 0.01 * length and before.range_s[0] <= range_s[0] <= before.range_s[1]:
                return  # in a quick replay, too, no more pictures than one can look at
        if same and before is not None and math.floor(present_s / quantum) * quantum < self._until_s:
            return  # less than a pixel of news
        self._drawn, self._drawn_s = drawn, self._clock_s
        self._until_s = math.floor(present_s / quantum) * quantum + quantum
        words = self._words(bed)
        self.canvas.axis.words = words
        self.canvas.axis.shift_s = self._shift_s(bed, trends)
        self.canvas.ci.layout.activate()  # else what was just resized is drawn for its old size
        self.canvas.show_range(*range_s)
        self._stretch = trends.stretch(*range_s, max(200, round(width / BUCKET_PX)))
        self.canvas.draw(
            self._stretch,
            trends.alarms(*range_s),
            _rows(bed),
            _unconnected(bed),
            trends.known,
            present_s,
            bed.state.limits,
        )

    # Words --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _live(bed: Bedside) -> bool:
        return bed.status is not None and not bed.status.seekable

    def unix_s(self, time_s: float) -> float:
        """When an event time of the live bed on show was, in seconds from 1970."""
        assert self._bed is not None
        ahead_s = self._bed.state.trends.ahead_s(time_s) or 0.0
        return self._unix() - (self._clock_s - (time_s + ahead_s))

    def _words(self, bed: Bedside) -> Callable[[float], str]:
        return (lambda time_s: wall_words(self.unix_s(time_s))) if self._live(bed) else _in_recording

    def _shift_s(self, bed: Bedside, trends: Trends) -> float:
        """By which the words of a time are ahead of it."""
        if not self._live(bed) or trends.now_s is None:
            return 0.0
        unix_s = self.unix_s(trends.now_s)
        return unix_s + time.localtime(unix_s).tm_gmtoff - trends.now_s

    def _say(self, bed: Bedside, trends: Trends) -> None:
        words, present_s = self._words(bed), self._present_s
        self.canvas.mark(self.cross_s, present_s)
        stretch, at_s = self._stretch, self.cross_s
        if at_s is None:
            head = tr("NOW") if bed.verdict.life is Life.LIVE else tr(bed.verdict.life.value.upper())
            row, presence = newest(bed)
            vitals = bed.state.current_vitals(bed.moment)
            cuff = _ago(vitals.nibp_age_s if vitals is not None else None)
            said = f"{head}  {words(present_s)}", self._standing(trends, present_s)
            self.canvas.say(said, False, row, presence, cuff)
        else:
            number = math.floor((at_s - stretch.first_s) / stretch.step_s) if stretch is not None else -1
            known = stretch is not None and 0 <= number < len(stretch.values)
            row, age_s = measured_by(stretch, number) if known and stretch is not None else (None, None)
            presence = stretch.presence[number] if known and stretch is not None else None
            self.canvas.say((words(at_s), self._standing(trends, at_s)), True, row, presence, _ago(age_s))
        self.note.setText("   ·   ".join(self._notes(bed, trends, words)))

    @staticmethod
    def _standing(trends: Trends, at_s: float) -> str:
        """The worst alarm that stood at a moment, and how many others."""
        rank = {"high": 0, "medium": 1, "low": 2}
        stood = [a for a in trends.alarms(at_s, at_s + 1e-6) if a.begin_s <= at_s]
        stood.sort(key=lambda alarm: (rank.get(alarm.priority, 3), alarm.kind == "technical", -alarm.begin_s))
        if not stood:
            return tr("no alarm")
        return text_said(stood[0].text) + (f"  +{len(stood) - 1}" if len(stood) > 1 else "")

    def _notes(self, bed: Bedside, trends: Trends, words: Callable[[float], str]) -> list[str]:
        known = trends.span_s
        said = [self.before] if self.before else []
        if known is None:
            return [tr("nothing known yet"), *said]
        notes = []
        if not self.span.following:
            notes.append(tr("does not follow now: Ctrl+End or ● NOW"))
        if self._stretch is not None and self._stretch.step_s > 1:
            step_s = self._stretch.step_s
            step = f"{step_s} s" if step_s < 60 else f"{step_s // 60} min"
            notes.append(tr("middle, least and greatest of {step}", step=step))
        if self.span.range_s[0] < known[0] - 1.0 or math.isinf(self.span.chosen_s):
            time = words(known[0])
            seen = tr("recorded since {time}", time=time) if trends.adopted else tr("seen here since {time}", time=time)
            notes.append(seen)
        return notes + said

    # What the operator does ---------------------------------------------------------------------------------------

    def do(self, order: str) -> None:
        """An order of the keyboard, by its name (:mod:`ui.panels.shortcuts`)."""
        begin_s, end_s = self.span.range_s
        length = end_s - begin_s
        match order:
            case "back" | "on" | "leap back" | "leap on":
                step = (_LEAP if order.startswith("leap") else _STEP) * length
                self._cross(step if order.endswith("on") else -step)
            case "longer" | "shorter":
                self.span.step(1 if order == "longer" else -1)
                if self.cross_s is not None:
                    self.span.show(self.cross_s)
            case "all":
                self._choose(math.inf)
            case "now":
                self.cross_s = None
                self.span.to_now()
            case "go" if self.cross_s is not None:
                self.visit(self.cross_s)
            case _:
                pass

    def _choose(self, length_s: float) -> None:
        self.span.choose(length_s)

    def _cross(self, by_s: float) -> None:
        """The cross-hair goes on, at first from now; the page follows it."""
        if self._bed is None:
            return
        known = self._bed.state.trends.span_s
        at_s = self._present_s if self.cross_s is None else self.cross_s
        first_s, last_s = known or (at_s, at_s)
        self.cross_s, self._by_pointer = min(max(at_s + by_s, first_s), max(last_s, self._present_s)), False
        self.span.show(self.cross_s)

    def _point(self, time_s: float | None) -> None:
        if time_s is not None or self._by_pointer:  # who leaves does not take what was set by key
            self.cross_s, self._by_pointer = time_s, time_s is not None

    def zoom(self, factor: float, at_s: float) -> None:
        """The wheel was turned."""
        self.span.zoom(factor, at_s)

    def pan(self, by_s: float) -> None:
        """The page was dragged."""
        self.span.pan(by_s)

    def visit(self, at_s: float) -> None:
        """A moment was clicked."""
        if self._bed is not None and self._bed.state.trends.span_s is not None:
            self._go(at_s)

    # Files --------------------------------------------------------------------------------------------------------

    def export(self) -> Export | None:
        """What is shown, for files; None before anything is."""
        bed, stretch = self._bed, self._stretch
        if bed is None or stretch is None:
            return None
        wall = self.unix_s if self._live(bed) else None
        begin_s, end_s = self.canvas.strip.vb.viewRange()[0]
        exact = bed.state.trends.stretch(begin_s, end_s, MOST_ROWS)
        first_unix_s = wall(exact.first_s) if wall is not None else None
        return Export(picture_of(self.canvas), svg_of(self.canvas), Sheet(exact, first_unix_s))


def newest(bed: Bedside) -> tuple[Float32 | None, Bytes | None]:
    """[3, columns] and [2, modalities]: what may be shown as current of a bed, by the rules of the numerics and of the
    prediction tile; None where nothing may."""
    state, moment = bed.state, bed.moment
    state.review(moment)
    row = np.full((3, len(COLUMNS)), np.nan, np.float32)
    vitals, prediction = state.current_vitals(moment), state.current_prediction(moment)
    if vitals is not None:
        row[:, MEASURED_COLUMNS] = _said(state.trends, vitals.time_ns)[:, MEASURED_COLUMNS]
        row[:, CUFF_COLUMNS] = [math.nan if (said := getattr(vitals, one)) is None else said for one in CUFF]
    if prediction is not None:
        row[:, MODEL_COLUMNS] = _said(state.trends, prediction.window_end_ns)[:, MODEL_COLUMNS]
        abp = state.lane(Modality.ABP)
        if abp is None or not abp.said.estimated:
            row[:, AT["map_estimated"] :] = np.nan
        if all(risk.value == INVALID for risk in prediction_words(state, moment).risks):
            row[:, AT["risk_5"] : AT["depth"]] = np.nan
    if moment.life in (Life.WAITING, Life.LOST) or not state.absence:
        return row, None
    presence = np.zeros((2, len(MODALITIES)), np.uint8)
    for modality, absence in state.absence.items():
        code = code_of(absence.value if absence is not None else "")
        presence[:, MODALITIES.index(modality)] = (0, ALL) if code == MEASURED else (code, 0)
    return row, presence


def measured_by(stretch: Stretch, number: int) -> tuple[Float32, float | None]:
    """[3, columns], what was known in a bucket, with what a cuff had measured by then and may have been shown, and how
    long before in s; None where there is none."""
    row = stretch.values[number].copy()
    oldest = max(0, number - CUFF_FRESH_S // stretch.step_s)
    found = np.flatnonzero(np.isfinite(stretch.values[oldest : number + 1, MID, CUFF_COLUMNS]).any(1))
    if not len(found):
        return row, None
    at = oldest + int(found[-1])
    row[:, CUFF_COLUMNS] = stretch.values[at][:, CUFF_COLUMNS]
    return row, float((number - at) * stretch.step_s)


def _ago(age_s: float | None) -> str:
    return "" if age_s is None else tr("{time} ago", time=duration_words(age_s))


def _said(trends: Trends, time_ns: int) -> Float32:
    second = time_ns // SECOND_NS
    row: Float32 = trends.stretch(second, second + 1, 1).values[0]
    return row


def _rows(bed: Bedside) -> tuple[Modality, ...]:
    """Of the presence: the rows of the bedside, one a modality."""
    return tuple(dict.fromkeys(lane.modality for lane in bed.state.lanes)) or MODEL_MODALITIES


def _unconnected(bed: Bedside) -> frozenset[Modality]:
    """Of which the bed has no channel."""
    lanes = bed.state.lanes
    return frozenset(lane.modality for lane in lanes) - {lane.modality for lane in lanes if lane.connected}


def _in_recording(time_s: float) -> str:
    """Nothing is before its beginning."""
    return clock_words(time_s) if time_s > -0.5 else ""
