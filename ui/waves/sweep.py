"""The sweep area: the lanes that the operator wants to see, on a paper for each speed, drawn incrementally.

Each frame clears the few columns that enter the erase gap, adds the few columns the beam has passed, and repaints
only those (design: incremental painting held 62 frames/s where redrawn curves gave 26-32). When the beam comes round,
the sweep just drawn is dimmed as a whole and overwritten from the left. Resizing, another speed or scale draws the
same way from the buffers, in one long step; estimates are drawn again as they were shown, never as they would be now.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from weakref import WeakKeyDictionary

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QHelpEvent, QPainter, QPaintEvent, QPixmap, QResizeEvent, QScreen
from PySide6.QtWidgets import QToolTip, QWidget

from models.signals.findings import PULSE_CHANNELS
from ui.bed.lanes import Lane
from ui.bed.layout import Layout
from ui.bed.state import DisplayState
from ui.style.look import Look
from ui.style.words import clock_words, sweep_words
from ui.waves.arrangement import Arrangement
from ui.waves.backdrop import Backdrop, Header, header_of
from ui.waves.geometry import MM_PER_INCH, Paper, Row, ScreenScale, rows, screen_scale, shares
from ui.waves.ink import LaneInk
from ui.waves.scales import LaneScale
from ui.waves.sheet import Sheet
from ui.waves.stamp import Stamp, paint_stamp
from ui.waves.truth_tags import TruthTags, paint_truth

_RANGE_S, _SLOW_RANGE_S = 8.0, 20.0  # of a lane with a slow sweep of its own, which shows breaths
_OBSERVE_EVERY_S = 1.0
_OBSERVE_FIRST_S = 0.25


def screen_name(screen: QScreen) -> str:
    """A screen by maker, model, serial number, connector and pixels."""
    size, ratio = screen.size(), screen.devicePixelRatio()
    pixels = f"{round(size.width() * ratio)}x{round(size.height() * ratio)}"
    return " ".join(filter(None, (screen.manufacturer(), screen.model(), screen.serialNumber(), screen.name(), pixels)))


class SweepView(QWidget):
    """Draws the lanes of one bed's state. :meth:`advance` moves the beam; ``painted`` is called at the end of every
    paint with the monotonic time in nanoseconds. ``layout_for``: says how the rows of these keys are to be shown; asked
    at each :meth:`relayout`. ``speed_mm_s``: of the lanes that have no speed of their own. ``measured``: device pixels
    a millimetre, by :func:`screen_name`, of the screens that the operator measured."""

    def __init__(self, state: DisplayState, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(240, 160)
        self.painted: Callable[[int], None] = lambda now_ns: None
        self.layout_for: Callable[[Sequence[str]], Layout] = lambda keys: Layout()
        self.speed_mm_s = look.theme.sweep.speed_mm_s
        self.measured: Mapping[str, float] = {}
        self._state, self._look = state, look
        self._inks: list[LaneInk] = []
        self._arranged = Arrangement((), Layout(), {})
        self._headers: list[Header] = []
        self._scales: dict[str, LaneScale] = {}
        self._scales_of = WeakKeyDictionary({state: self._scales})
        self._rows: list[Row] = []
        self._weights: tuple[list[float], list[float | None]] = ([], [])
        self._sheets: list[Sheet] = []
        self._head_s: float | None = None
        self._anchor_s: float | None = None
        self._began_s = 0.0
        self._still = self._led = False
        self._generation = -1
        self._observed_s = -math.inf
        self._waves = QPixmap()
        self._back = QPixmap()
        self.stamp: Stamp | None = None
        self.truth: TruthTags | None = None
        self.repaints = 0

    def show_bed(self, state: DisplayState, like: DisplayState | None = None, still: bool = False) -> None:
        """Another bed's waves, in the scales that they had or those of ``like``; of the one before nothing is left.
        still: a page of the past, which ends at the right edge at every speed."""
        self._state, self._still = state, still
        if like is not None:
            self._scales_of[state] = self._scales_of.setdefault(like, {})
        self._scales = self._scales_of.setdefault(state, {})
        self._begin()

    def _begin(self) -> None:
        self._generation = self._state.generation
        self._anchor_s = self._head_s = None
        self._observed_s = -math.inf
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
        measured = self.measured.get(screen_name(screen)) if self.measured else None
        if measured is not None:
            return ScreenScale(measured, True)
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
    def lanes(self) -> list[Lane]:
        """Those on show, from the top."""
        return self._arranged.shown

    @property
    def all_lanes(self) -> list[Lane]:
        """Also those that are hidden, in their usual order."""
        return self._arranged.all

    @property
    def hidden(self) -> list[Lane]:
        """Those that the operator does not want to see."""
        return self._arranged.hidden

    @property
    def speeds_mm_s(self) -> list[float]:
        """Sweep speeds to choose from."""
        return self._look.theme.sweep.speeds_mm_s

    def _sheet_of(self, ink: LaneInk) -> Sheet:
        return next(sheet for sheet in self._sheets if ink in sheet.inks)

    @property
    def paper(self) -> Paper | None:
        """The geometry of the uppermost lane; None before the first layout."""
        return self._sheets[0].paper if self._sheets else None

    def paper_of(self, lane: Lane) -> Paper:
        """The geometry of a lane on show."""
        return self._sheet_of(next(ink for ink in self._inks if ink.lane is lane)).paper

    def page_of(self, lane: Lane) -> float:
        """Seconds that fit on the paper of a lane on show."""
        return self._sheet_of(next(ink for ink in self._inks if ink.lane is lane)).page_s

    @property
    def page_s(self) -> float:
        """Seconds that fit on the slowest paper."""
        return max((sheet.page_s for sheet in self._sheets), default=10.0)

    @property
    def head_s(self) -> float | None:
        """Event time up to which the waves have been drawn."""
        return self._head_s

    @property
    def lane_rows(self) -> list[Row]:
        """Where each lane lies, in device pixels."""
        return self._rows

    @property
    def headers(self) -> list[Header]:
        """What is written over the rows, from the top."""
        return self._headers

    def scale_of(self, lane: Lane) -> LaneScale:
        """The scale of a lane."""
        return self._scales[lane.key]

    def speed_of(self, lane: Lane) -> float:
        """Millimetres a second of a lane: its own, or that of the screen."""
        return lane.style.speed_mm_s or self.speed_mm_s

    def _weigh(self) -> tuple[list[float], list[float | None]]:
        return self._arranged.heights(self._scales, self.px_per_mm, self._look.unit * self.ratio)

    def relayout(self) -> None:
        """Make everything anew for the present size, rows, layout, sweep speeds or scales."""
        ratio = self.ratio
        width, height = round(self.width() * ratio), round(self.height() * ratio)
        left, right = self.margins
        columns = max(16, width - left - right)
        px_per_mm = self.px_per_mm
        state, styles = self._state, self._look.theme.lanes
        layout = self.layout_for([lane.key for lane in state.lanes])
        self._arranged = Arrangement(state.lanes, layout, styles)
        self._arranged.scaled(self._scales)
        self._weights = self._weigh()
        self._rows = rows(height, shares(height, *self._weights), self._look.unit * ratio) if self.lanes else []
        self._inks = []
        for lane, row in zip(self.lanes, self._rows, strict=True):
            scale = self._scales[lane.key]
            scale.set_height(row.wave_height / px_per_mm)
            self._inks.append(LaneInk(lane, row, scale, self._look, ratio))
            self._inks[-1].shows_truth = self.truth is not None
        self._cut_sheets(columns, px_per_mm)
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

    def _cut_sheets(self, columns: int, px_per_mm: float) -> None:
        """A paper for each speed, that of the uppermost lane first."""
        gap = max(3, round(columns * self._look.theme.sweep.gap_fraction))
        by_speed: dict[float, list[LaneInk]] = {} if self._inks else {self.speed_mm_s: []}
        for ink in self._inks:
            by_speed.setdefault(self.speed_of(ink.lane), []).append(ink)
        self._sheets = []
        for speed, inks in by_speed.items():
            sheet = Sheet(speed, Paper(columns, speed * px_per_mm, gap, 0.0), inks)
            sheet.begin(self._anchor_of(sheet))
            self._sheets.append(sheet)

    def _anchor_of(self, sheet: Sheet) -> float:
        """Where the paper of a sheet begins. What was before a seek is the sweep before this one."""
        begin = self._anchor_s or 0.0
        if self._led:
            begin -= sheet.paper.width / sheet.paper.per_s
        return max(begin, self._began_s - sheet.page_s) if self._still else begin

    def set_sweep_speed(self, mm_s: float) -> None:
        """Millimetres of paper a second; everything is drawn anew."""
        self.speed_mm_s = mm_s
        self.relayout()

    # Time -------------------------------------------------------------------------------------------------------

    def advance(self, head_s: float | None) -> None:
        """Move the beam to ``head_s`` (event time) and draw what it passed; None: nothing has arrived yet."""
        state = self._state
        if self._generation != state.generation or len(self.all_lanes) != len(state.lanes):
            self._begin()
        elif self._weights != self._weigh():  # the first estimate of a channel that is not connected; a need
            self.relayout()
        if head_s is None or not self._sheets:
            return
        if self._anchor_s is None:
            self._anchor_s, self._began_s = min(head_s, state.clock.first_s), head_s
            self._led = state.clock.known_s is not None
            for sheet in self._sheets:
                sheet.begin(self._anchor_of(sheet))
        if self._head_s is not None and head_s < self._head_s:
            return
        self._head_s = head_s
        beams = [(sheet, sheet.paper.column(head_s)) for sheet in self._sheets]
        round_ = [sheet for sheet, beam in beams if beam - sheet.beam >= sheet.paper.width - sheet.paper.gap]
        for sheet in round_:  # the beam has been all the way round since the last frame
            self._redraw(sheet.inks)
        painter = self._painter()
        for sheet, beam in beams:
            if sheet not in round_:
                self._step(painter, sheet, beam)
        painter.end()
        self._observe_scales(head_s)
        self._refresh_backdrop()

    def _step(self, painter: QPainter, sheet: Sheet, beam: float) -> None:
        paper, before = sheet.paper, sheet.beam
        gap_end = math.floor(beam) + 1 + paper.gap
        self._clear(painter, paper, max(sheet.gap_end, math.floor(before)), gap_end, sheet.bands)
        touched = self._draw(painter, sheet, sheet.inks, before, beam)
        turned = math.floor(beam / paper.width) != math.floor(before / paper.width)
        for top, height in sheet.bands if beam != before else ():  # of one that stands nothing is to be painted anew
            touched.append((0, paper.width, top, height) if turned else (math.floor(before) - 3, gap_end, top, height))
        for a, b, top, height in touched:
            self._update_columns(paper, a, b, top, height)
        sheet.stand(beam)

    def _draw(
        self, painter: QPainter, sheet: Sheet, inks: list[LaneInk], before: float, beam: float
    ) -> list[tuple[int, int, int, int]]:
        """Measured lines from ``before`` to ``beam`` (dimming at each turn), then what lags behind it."""
        paper = sheet.paper
        dim = self._look.theme.sweep.dim
        first, last = math.floor(before / paper.width), math.floor(beam / paper.width)
        oldest = max(0.0, beam - paper.width + paper.gap + 2)
        for sweep in range(first, last + 1):
            until = min(beam, float((sweep + 1) * paper.width))
            for ink in inks:
                ink.measured(painter, paper, sweep, until, oldest)
            if sweep < last:
                self._dim(painter, paper, inks)
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

    def _redraw(self, inks: Sequence[LaneInk]) -> None:
        """Draw the visible past of ``inks`` anew from the buffers."""
        if self._head_s is None or self._anchor_s is None:
            return
        self.repaints += 1
        for sheet in self._sheets:
            mine, paper = [ink for ink in sheet.inks if ink in inks], sheet.paper
            if not mine:
                continue
            beam = max(0.0, paper.column(self._head_s))
            begin = max(0.0, beam - paper.width + paper.gap + 2)
            painter = self._painter()
            for ink in mine:
                self._clear(painter, paper, 0, paper.width, [(ink.row.top, ink.row.height)])
                ink.restart(paper, begin)
            self._draw(painter, sheet, mine, begin, beam)
            painter.end()
            sheet.stand(beam)
        self.update()

    def _painter(self) -> QPainter:
        painter = QPainter(self._waves)
        painter.scale(1.0 / self.ratio, 1.0 / self.ratio)  # paint in device pixels
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        return painter

    def _clear(self, painter: QPainter, paper: Paper, begin: int, end: int, bands: Sequence[tuple[int, int]]) -> None:
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Clear)
        for _, left, width in paper.pieces(begin, min(end, begin + paper.width)):
            for top, height in bands:
                painter.fillRect(QRect(left, top, width, height), Qt.GlobalColor.transparent)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)

    def _dim(self, painter: QPainter, paper: Paper, inks: list[LaneInk]) -> None:
        fade = Qt.GlobalColor.black
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
        painter.setOpacity(self._look.theme.sweep.dim)
        for ink in inks:
            painter.fillRect(QRect(0, ink.row.top, paper.width, ink.row.height), fade)
        painter.setOpacity(1.0)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)

    def _update_columns(self, paper: Paper, begin: int, end: int, top: int, height: int) -> None:
        ratio, left = self.ratio, self.margins[0]
        for _, x, width in paper.pieces(max(0, begin), end):
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
            if ink.scale.observe(
                ink.lane.range_of(head_s - (_SLOW_RANGE_S if ink.lane.style.speed_mm_s else _RANGE_S), head_s),
                head_s,
                ink.lane.pulse if ink.lane.modality in PULSE_CHANNELS else None,
                bool(ink.lane.absence),
            )
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
        """Another gain or sensitivity for all rows of a modality; returns what to tell the operator."""
        mine = [ink for ink in self._inks if ink.lane.modality.value == modality]
        self.rescale([ink for ink in mine if ink.scale.choose(step)])
        return f"{modality} {mine[0].scale.scale.caption}" if mine else ""

    def _refresh_backdrop(self) -> None:
        if self._back.isNull():
            return
        now_s = self._head_s or 0.0
        known = self.screen_scale.known
        headers = [
            header_of(ink.lane, ink.scale, sweep_words(self.speed_of(ink.lane), known, bool(number)), now_s)
            for number, ink in enumerate(self._inks)
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

    def event(self, event: QEvent) -> bool:
        """Draws everything anew on a screen of other millimetres or another pixel ratio, and tells what is under the
        pointer; all else is Qt's."""
        if event.type() in (QEvent.Type.ScreenChangeInternal, QEvent.Type.DevicePixelRatioChange):
            self.relayout()
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
        x, y = position.x() * self.ratio - self.margins[0], position.y() * self.ratio
        ink = next((ink for ink in self._inks if ink.row.top <= y < ink.row.top + ink.row.height), None)
        if ink is None:
            return ""
        sheet = self._sheet_of(ink)
        time_s = sheet.paper.time_at(int(x), sheet.beam) if 0 <= x < sheet.paper.width else None
        if time_s is None:
            return ""
        return f"{ink.lane.title}  {clock_words(time_s)}  {ink.lane.words_of(math.floor(time_s))}"
