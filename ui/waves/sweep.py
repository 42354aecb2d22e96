"""The sweep area: all waves on one paper, drawn incrementally.

Each frame clears the few columns that enter the erase gap, adds the few columns the beam has passed, and repaints
only those (design: incremental painting held 62 frames/s where redrawn curves gave 26-32). When the beam comes round,
the sweep just drawn is dimmed as a whole and overwritten from the left. Resizing, another speed or scale draws the
same way from the buffers, in one long step; estimates are drawn again as they were shown, never as they would be now.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QHelpEvent, QPainter, QPaintEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import QToolTip, QWidget

from ui.bed.lanes import Lane
from ui.bed.state import DisplayState
from ui.style.look import Look
from ui.style.words import clock_words, sweep_words
from ui.waves.backdrop import Backdrop, Header, header_of
from ui.waves.geometry import MM_PER_INCH, Paper, Row, ScreenScale, rows, screen_scale
from ui.waves.ink import LaneInk
from ui.waves.scales import LaneScale
from ui.waves.stamp import Stamp, paint_stamp
from ui.waves.truth_tags import TruthTags, paint_truth

_RANGE_S = 8.0
_EMPTY_SHARE = 0.45
_OBSERVE_EVERY_S = 1.0
_OBSERVE_FIRST_S = 0.25


class SweepView(QWidget):
    """Draws the lanes of one bed's state. :meth:`advance` moves the beam; ``painted`` is called at the end of every
    paint with the monotonic time in nanoseconds."""

    def __init__(self, state: DisplayState, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(240, 160)
        self.painted: Callable[[int], None] = lambda now_ns: None
        self.speed_mm_s = look.theme.sweep.speed_mm_s
        self._state, self._look = state, look
        self._inks: list[LaneInk] = []
        self._headers: list[Header] = []
        self._scales: dict[str, LaneScale] = {}
        self._scales_of = WeakKeyDictionary({state: self._scales})
        self._rows: list[Row] = []
        self._weights: list[float] = []
        self._paper: Paper | None = None
        self._beam = 0.0
        self._head_s: float | None = None
        self._anchor_s: float | None = None
        self._gap_end = 0
        self._generation = -1
        self._observed_s = -math.inf
        self._waves = QPixmap()
        self._back = QPixmap()
        self.stamp: Stamp | None = None
        self.truth: TruthTags | None = None
        self.repaints = 0

    def show_bed(self, state: DisplayState, like: DisplayState | None = None) -> None:
        """Another bed's waves, in the scales that they had or those of ``like``; of the one before nothing is left."""
        self._state = state
        if like is not None:
            self._scales_of[state] = self._scales_of.setdefault(like, {})
        self._scales = self._scales_of.setdefault(state, {})
        self._begin()

    def _begin(self) -> None:
        self._generation = self._state.generation
        self._anchor_s = self._head_s = None
        self._beam, self._gap_end, self._observed_s = 0.0, 0, -math.inf
        self.relayout()

    # Geometry ---------------------------------------------------------------------------------------------------

    @property
    def ratio(self) -> float:
        """Device pixels to a logical one."""
        return self.devicePixelRatioF()

    @property
    def screen_scale(self) -> ScreenScale:
        """Device pixels per millimetre of the screen this window is on, and whether that is known."""
        sweep, screen = self._look.theme.sweep, self.screen()
        if sweep.dpi:
            return ScreenScale(sweep.dpi / MM_PER_INCH, True)
        says = screen.physicalDotsPerInch() if screen is not None else 0.0
        return screen_scale(says, self.ratio, sweep.dpi_range, sweep.dpi_fallback)

    @property
    def px_per_mm(self) -> float:
        """Device pixels per millimetre."""
        return self.screen_scale.px_per_mm

    @property
    def margins(self) -> tuple[int, int]:
        """Left and right margin in device pixels: calibration bars, axis numbers."""
        unit = self._look.unit * self.ratio
        return round(34 * unit), round(38 * unit)

    @property
    def paper(self) -> Paper | None:
        """The geometry of the sweep; None before the first layout."""
        return self._paper

    @property
    def page_s(self) -> float:
        """Seconds that fit on the paper, before the beam comes to where it began."""
        paper = self._paper
        return (paper.width - paper.gap - 2) / paper.per_s if paper is not None else 10.0

    @property
    def head_s(self) -> float | None:
        """Event time up to which the waves have been drawn."""
        return self._head_s

    @property
    def lane_rows(self) -> list[Row]:
        """Where each lane lies, in device pixels."""
        return self._rows

    @property
    def lanes(self) -> list[Lane]:
        """The lanes that are drawn, as the rows."""
        return [ink.lane for ink in self._inks]

    @property
    def headers(self) -> list[Header]:
        """What is written over the rows, from the top."""
        return self._headers

    def scale_of(self, lane: Lane) -> LaneScale:
        """The scale of a lane."""
        return self._scales[lane.key]

    def _weigh(self) -> list[float]:
        """Share of the height a lane gets: little where there is nothing to draw."""
        return [
            lane.style.height * (1.0 if lane.connected or lane.estimate is not None else _EMPTY_SHARE)
            for lane in self._state.lanes
        ]

    def relayout(self) -> None:
        """Make everything anew for the present size, rows, sweep speed or scales."""
        ratio = self.ratio
        width, height = round(self.width() * ratio), round(self.height() * ratio)
        left, right = self.margins
        columns = max(16, width - left - right)
        px_per_mm = self.px_per_mm
        sweep = self._look.theme.sweep
        lanes = self._state.lanes
        self._weights = self._weigh()
        self._rows = rows(height, self._weights, self._look.unit * ratio)
        gap = max(3, round(columns * sweep.gap_fraction))
        self._paper = Paper(columns, self.speed_mm_s * px_per_mm, gap, self._anchor_s or 0.0)
        self._inks = []
        for lane, row in zip(lanes, self._rows, strict=True):
            scale = self._scales.get(lane.key)
            if scale is None:
                scale = self._scales[lane.key] = LaneScale(lane.style, row.wave_height / px_per_mm)
            scale.set_height(row.wave_height / px_per_mm)
            self._inks.append(LaneInk(lane, row, scale, self._look, ratio))
            self._inks[-1].shows_truth = self.truth is not None
        self._waves = QPixmap(columns, height)
        self._waves.fill(Qt.GlobalColor.transparent)
        self._back = QPixmap(width, height)
        self._back.setDevicePixelRatio(ratio)
        self._back.fill(self._look.colour("background"))
        self._waves.setDevicePixelRatio(ratio)
        self._headers = []
        self._refresh_backdrop()
        if self._head_s is not None and self._anchor_s is not None:
            self._redraw(self._inks)
        self.update()

    def set_sweep_speed(self, mm_s: float) -> None:
        """Millimetres of paper a second; everything is drawn anew."""
        self.speed_mm_s = mm_s
        self.relayout()

    # Time -------------------------------------------------------------------------------------------------------

    def advance(self, head_s: float | None) -> None:
        """Move the beam to ``head_s`` (event time) and draw what it passed; None: nothing has arrived yet."""
        state = self._state
        if self._generation != state.generation or len(self._inks) != len(state.lanes):
            self._begin()
        elif self._weights != self._weigh():  # the first estimate of a channel that is not connected
            self.relayout()
        if head_s is None or self._paper is None:
            return
        if self._anchor_s is None:
            self._anchor_s = min(head_s, state.clock.first_s)
            if state.clock.known_s is not None:  # what was before a seek is the sweep before this one
                self._anchor_s -= self._paper.width / self._paper.per_s
            self._paper = Paper(self._paper.width, self._paper.per_s, self._paper.gap, self._anchor_s)
            for ink in self._inks:
                ink.restart(self._paper, 0.0)
        self._head_s = head_s
        beam = self._paper.column(head_s)
        if beam < self._beam:
            return
        if beam - self._beam >= self._paper.width - self._paper.gap:
            self._redraw(self._inks)  # the beam has been all the way round since the last frame
        else:
            self._step(beam)
        self._observe_scales(head_s)
        self._refresh_backdrop()

    def _step(self, beam: float) -> None:
        paper = self._paper
        assert paper is not None
        before = self._beam
        painter = self._painter()
        gap_end = math.floor(beam) + 1 + paper.gap
        self._clear(painter, max(self._gap_end, math.floor(before)), gap_end, None)
        touched = self._draw(painter, self._inks, before, beam)
        painter.end()
        if math.floor(beam / paper.width) != math.floor(before / paper.width):
            self.update()
        else:
            touched.append((math.floor(before) - 3, gap_end, 0, self._waves.height()))
            for a, b, top, height in touched:
                self._update_columns(a, b, top, height)
        self._beam, self._gap_end = beam, gap_end

    def _draw(
        self, painter: QPainter, inks: list[LaneInk], before: float, beam: float
    ) -> list[tuple[int, int, int, int]]:
        """Measured lines from ``before`` to ``beam`` (dimming at each turn), then what lags behind it."""
        paper = self._paper
        assert paper is not None
        dim = self._look.theme.sweep.dim
        first, last = math.floor(before / paper.width), math.floor(beam / paper.width)
        oldest = max(0.0, beam - paper.width + paper.gap + 2)
        for sweep in range(first, last + 1):
            until = min(beam, float((sweep + 1) * paper.width))
            for ink in inks:
                ink.measured(painter, paper, sweep, until, oldest)
            if sweep < last:
                self._dim(painter, inks)
        touched = []
        for ink in inks:
            lag = ink.lane.estimate.lag_s if ink.lane.estimate is not None else 0.0
            for columns in (
                ink.cells(painter, paper, beam, oldest, last, dim),  # first: it fades what is measured, not estimates
                ink.truthful(painter, paper, beam, oldest, last, dim),
                ink.estimated(painter, paper, beam - lag * paper.per_s, oldest, last, dim),
            ):
                if columns is not None:
                    touched.append((*columns, ink.row.top, ink.row.height))
        return touched

    def _redraw(self, inks: list[LaneInk]) -> None:
        """Draw the visible past of ``inks`` anew from the buffers."""
        paper = self._paper
        if paper is None or self._head_s is None or self._anchor_s is None:
            return
        self.repaints += 1
        if paper.anchor_s != self._anchor_s:
            paper = self._paper = Paper(paper.width, paper.per_s, paper.gap, self._anchor_s)
        beam = max(0.0, paper.column(self._head_s))
        begin = max(0.0, beam - paper.width + paper.gap + 2)
        painter = self._painter()
        for ink in inks:
            self._clear(painter, 0, paper.width, ink.row)
            ink.restart(paper, begin)
        self._draw(painter, inks, begin, beam)
        painter.end()
        self._beam, self._gap_end = beam, math.floor(beam) + 1 + paper.gap
        self.update()

    def _painter(self) -> QPainter:
        painter = QPainter(self._waves)
        painter.scale(1.0 / self.ratio, 1.0 / self.ratio)  # paint in device pixels
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        return painter

    def _clear(self, painter: QPainter, begin: int, end: int, row: Row | None) -> None:
        assert self._paper is not None
        top, height = (0, self._waves.height()) if row is None else (row.top, row.height)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Clear)
        for _, left, width in self._paper.pieces(begin, min(end, begin + self._paper.width)):
            painter.fillRect(QRect(left, top, width, height), Qt.GlobalColor.transparent)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)

    def _dim(self, painter: QPainter, inks: list[LaneInk]) -> None:
        assert self._paper is not None
        fade = Qt.GlobalColor.black
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
        painter.setOpacity(self._look.theme.sweep.dim)
        for ink in inks:
            painter.fillRect(QRect(0, ink.row.top, self._paper.width, ink.row.height), fade)
        painter.setOpacity(1.0)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)

    def _update_columns(self, begin: int, end: int, top: int, height: int) -> None:
        assert self._paper is not None
        ratio, left = self.ratio, self.margins[0]
        for _, x, width in self._paper.pieces(max(0, begin), end):
            x0, y0 = math.floor((left + x) / ratio), math.floor(top / ratio)
            x1, y1 = math.ceil((left + x + width) / ratio), math.ceil((top + height) / ratio)
            self.update(QRect(x0, y0, x1 - x0, y1 - y0))

    # Scales and headers -----------------------------------------------------------------------------------------

    def _observe_scales(self, head_s: float) -> None:
        young = self._anchor_s is not None and head_s - self._anchor_s < 3.0
        if head_s - self._observed_s < (_OBSERVE_FIRST_S if young else _OBSERVE_EVERY_S):
            return
        self._observed_s = head_s
        changed = [
            ink
            for ink in self._inks
            if ink.scale.observe(ink.lane.range_of(head_s - _RANGE_S, head_s), head_s, ink.lane.pulse)
        ]
        self.rescale(changed)

    def rescale(self, inks: list[LaneInk]) -> None:
        """Draw lanes anew after a change of scale: grid, numbers and the whole visible past."""
        if not inks:
            return
        self._headers = []
        self._redraw(inks)
        self._refresh_backdrop()

    def choose_scale(self, modality: str, step: int) -> str:
        """Another gain or sensitivity for a modality; returns what to tell the operator."""
        for ink in self._inks:
            if ink.lane.modality.value == modality:
                if ink.scale.choose(step):
                    self.rescale([ink])
                return f"{modality} {ink.scale.scale.caption}"
        return ""

    def _refresh_backdrop(self) -> None:
        if self._back.isNull():
            return
        now_s = self._head_s or 0.0
        speed = sweep_words(self.speed_mm_s, self.screen_scale.known)
        headers = [
            header_of(ink.lane, ink.scale, "" if number else speed, now_s) for number, ink in enumerate(self._inks)
        ]
        if headers == self._headers:
            return
        painter = QPainter(self._back)
        ratio = self.ratio
        painter.scale(1.0 / ratio, 1.0 / ratio)
        left, right = self.margins
        width = round(self.width() * ratio)
        backdrop = Backdrop(self._look, ratio, self.px_per_mm)
        for number, (ink, header) in enumerate(zip(self._inks, headers, strict=True)):
            if number < len(self._headers) and self._headers[number] == header:
                continue
            last = number == len(headers) - 1
            backdrop.paint(painter, ink.lane, ink.row, ink.scale, header, left, width - right, width, last)
            top, bottom = math.floor(ink.row.top / ratio), math.ceil((ink.row.top + ink.row.height) / ratio)
            self.update(QRect(0, top, self.width(), bottom - top))
        painter.end()
        self._headers = headers

    def put_stamp(self, stamp: Stamp | None) -> None:
        """Words over all the waves, or none."""
        if stamp != self.stamp:
            self.stamp = stamp
            self.update()

    def put_truth(self, tags: TruthTags | None) -> None:
        """Draw what was withheld, with words over its lanes; None: do not."""
        if tags == self.truth:
            return
        turned, self.truth = (tags is None) != (self.truth is None), tags
        for ink in self._inks:
            ink.shows_truth = tags is not None
        if turned:
            self._redraw(self._inks)
        self.update()

    # Qt ---------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws ground and waves in the area to be painted, and what is stamped over them."""
        painter = QPainter(self)
        if self._back.isNull():
            painter.fillRect(self.rect(), self._look.colour("background"))
        else:
            ratio, left = self.ratio, self.margins[0]
            for part in event.region():  # type: ignore[attr-defined]
                painter.setClipRect(part)
                painter.drawPixmap(0, 0, self._back)
                painter.translate(left / ratio, 0)
                painter.drawPixmap(0, 0, self._waves)
                painter.translate(-left / ratio, 0)
                if self.truth is not None:
                    rows_of = {ink.lane.key: ink.row for ink in self._inks}
                    paint_truth(painter, QRectF(self.rect()), self.truth, rows_of, ratio, self._look)
                if self.stamp is not None:
                    paint_stamp(painter, QRectF(self.rect()), self.stamp, self._look)
        painter.end()
        self.painted(time.monotonic_ns())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draws everything anew."""
        super().resizeEvent(event)
        self.relayout()

    def changeEvent(self, event: QEvent) -> None:
        """Draws everything anew on a screen of another pixel ratio."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self.relayout()

    def event(self, event: QEvent) -> bool:
        """Tells what is under the pointer; all else is Qt's."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            words = self.words_at(event.pos())
            if words:
                QToolTip.showText(event.globalPos(), words, self)
            else:
                QToolTip.hideText()
                event.ignore()
            return True
        return super().event(event)

    def words_at(self, position: QPoint) -> str:
        """What the pointer is on: channel, time, and whether that second was measured and why not."""
        if self._paper is None:
            return ""
        x, y = position.x() * self.ratio - self.margins[0], position.y() * self.ratio
        ink = next((ink for ink in self._inks if ink.row.top <= y < ink.row.top + ink.row.height), None)
        if ink is None or not 0 <= x < self._paper.width:
            return ""
        time_s = self._paper.time_at(int(x), self._beam)
        if time_s is None:
            return ""
        return f"{ink.lane.title}  {clock_words(time_s)}  {ink.lane.words_of(math.floor(time_s))}"
