"""The plots one below the other, over one axis of time: alarms, numerics, predictions, presence; no behaviour.

Every plot has its line of the cross-hair and of now in common with the others, and its values beside it
(:mod:`.values`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QTransform
from PySide6.QtWidgets import QFrame, QGraphicsLineItem

from models.signals.modalities import Modality
from streams.limit_settings import LimitSetting
from ui.bed.series import HI, LO, MID, Float32, Stretch
from ui.bed.trends import AT, AlarmSpan
from ui.style.language import tr
from ui.style.look import Look, mixed
from ui.trends.items import Bars, Hands, ScaleAxis, Strokes, TimeAxis, TimeView, pen
from ui.trends.marks import ALARM_ROWS, LINES, alarm_bars, picture, presence_words
from ui.trends.plots import PLOTS, Line, Plot, limits_of
from ui.trends.shapes import bars, cuffs, segments, within
from ui.trends.values import Value, Values, colour_of, values_of

_LEFT, _RIGHT = 40.0, 30.0
_ALARMS, _CHANNEL, _AXIS = 30.0, 13.0, 20.0
_DASH_PX, _SPACING = 5.0, 5
_IDLE = 18.0  # of a plot without a channel
NOTHING = np.empty((0, 4))


class _Panel:
    """One plot and the shapes of its lines."""

    def __init__(self, plot: Plot, item: Any) -> None:
        self.plot, self.item = plot, item
        self.idle = plot.sometimes
        """Whether nothing was known of what most do not have, or of a channel that is not there: it needs no room."""
        self.grid = Strokes(smooth=False)
        self.spread = [Bars() for _ in plot.lines]
        self.between = Bars()
        self.strokes = [Strokes() for _ in plot.lines]
        self.bands = [Strokes() for _ in range(3)] if plot.risk else []
        for shape in (self.grid, *self.spread, self.between, *self.strokes, *self.bands):
            item.addItem(shape)
        self.limits: list[Any] = []
        self.edges: list[Any] = []

    @property
    def gone(self) -> bool:
        """Whether it is not to be seen: the bed never had what most do not have."""
        return self.idle and self.plot.sometimes

    def restyle(self, look: Look) -> None:
        """Colours and widths."""
        unit = max(1.0, look.unit)
        for line_, spread, stroke in zip(self.plot.lines, self.spread, self.strokes, strict=True):
            colour = colour_of(look, line_)
            pale = QColor(colour)
            pale.setAlpha(40 if line_.interval else 90)
            spread.restyle(pale)
            stroke.restyle(pen(colour, line_.width * unit))
        self.grid.restyle(pen(look.colour("line")))
        edge = QColor(colour_of(look, self.plot.lines[0]))
        edge.setAlpha(48)
        self.between.restyle(edge)
        names = ("risk_low", "risk_middle", "risk_high")
        for number, (shape, name) in enumerate(zip(self.bands, names, strict=False)):
            shape.restyle(pen(look.colour(name), (1.4 + 0.9 * number) * unit))
        self._colour_limits(look)
        for edge_line, name in zip(self.edges, names[1:], strict=False):
            edge_line.setPen(pen(mixed(look.colour(name), look.colour("background"), 0.5), 1.0, Qt.PenStyle.DashLine))

    def show_limits(self, settings: Sequence[LimitSetting] | None, look: Look) -> None:
        """A line at each alarm limit in force."""
        values = [value for vital in self.plot.limits for value in limits_of(settings, vital)]
        if values == [limit.value() for limit in self.limits]:
            return
        for limit in self.limits:
            self.item.removeItem(limit)
        self.limits = [pg.InfiniteLine(value, angle=0, movable=False) for value in values]
        for limit in self.limits:
            self.item.addItem(limit, ignoreBounds=True)
        self._colour_limits(look)

    def _colour_limits(self, look: Look) -> None:
        for limit in self.limits:
            limit.setPen(pen(mixed(look.colour("text_faint"), look.colour("background"), 0.35), 1.0))

    def draw(self, stretch: Stretch, dash: int, bands: tuple[float, float]) -> None:
        """The lines of a stretch, or its marks; the scale holds them."""
        first, step, plot = stretch.first_s, stretch.step_s, self.plot
        low, high = plot.span
        for line_, spread, stroke in zip(plot.lines, self.spread, self.strokes, strict=True):
            lo, mid, hi = columns(stretch.values, line_)
            if np.isfinite(lo).any():
                low, high = min(low, float(np.nanmin(lo))), max(high, float(np.nanmax(hi)))
            if plot.cuff:
                continue
            own = segments(first, step, mid, dash if line_.dashed else 0)
            if not (plot.risk and line_ is plot.lines[0]):
                stroke.draw(own)
            else:
                for shape, least, most in zip(self.bands, (-1.0, *bands), (*bands, 101.0), strict=True):
                    shape.draw(within(own, least, most))
            if line_.interval or step > 1:
                spread.draw(bars(first, step, lo, hi))
            else:
                spread.draw(NOTHING)
        if plot.between is not None:
            upper, lower = (AT[name] for name in plot.between)
            self.between.draw(bars(first, step, stretch.values[:, LO, lower], stretch.values[:, HI, upper]))
        # To the next ten, or one, with some room above and below.
        low = max(plot.most[0], plot.ends * np.floor(low / plot.ends))
        high = min(plot.most[1], plot.ends * np.ceil(high / plot.ends))
        room = 0.03 * (high - low)
        self.item.vb.setYRange(low - room, high + room, padding=0)
        if plot.cuff:
            systolic, mean, diastolic = (columns(stretch.values, line_) for line_ in plot.lines)
            marks = cuffs(first, step, (systolic[HI], mean[MID], diastolic[LO]), self.item.vb.viewPixelSize())
            for stroke, figures in zip(self.strokes, marks, strict=True):
                stroke.draw(figures)

    def rule(self, begin_s: float, end_s: float, times: Sequence[float]) -> None:
        """The grid: at these times, and at the marks of the left scale. An axis of pyqtgraph's takes long over one."""
        view, axis = self.item.vb, self.item.getAxis("left")
        low, high = view.viewRange()[1]
        levels = axis.tickValues(low, high, view.height())
        down = [(time_s, low, time_s, high) for time_s in times]
        across = [(begin_s, value, end_s, value) for value in (levels[0][1] if levels else ())]
        self.grid.draw(np.array(down + across).reshape(-1, 4))


def columns(values: Float32, line_: Line) -> tuple[Float32, Float32, Float32]:
    """Least, middle and greatest of a line, on its plot's left scale; of one with an interval the ends of that."""
    at = AT[line_.column]
    lo, hi = (at + 1, at + 2) if line_.interval else (at, at)
    factor = np.float32(line_.factor)
    return values[:, LO, lo] * factor, values[:, MID, at] * factor, values[:, HI, hi] * factor


class Canvas(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Draws what it is given. hands: of the pointer; pointed: told the event time below the pointer, None where it is
    on no plot."""

    def __init__(self, look: Look, hands: Hands, pointed: Callable[[float | None], None]) -> None:
        super().__init__()
        self._look, self._pointed = look, pointed
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFrameShape(QFrame.Shape.NoFrame)
        layout = self.ci
        layout.setContentsMargins(0, 0, 0, 0)
        self.axis = TimeAxis()
        self.alarms = self._plot(hands, 0)
        self.panels: list[_Panel] = []
        for row, plot in enumerate(PLOTS, 1):
            item = self._plot(hands, row, right=ScaleAxis("right", plot.right[0]) if plot.right else None)
            self.panels.append(_Panel(plot, item))
        risk = next(panel for panel in self.panels if panel.plot.risk)
        for edge in look.theme.prediction.bands:
            risk.edges.append(pg.InfiniteLine(edge, angle=0, movable=False))
            risk.item.addItem(risk.edges[-1], ignoreBounds=True)
        self.strip = self._plot(hands, len(PLOTS) + 1, bottom=self.axis)
        self._image = pg.ImageItem(axisOrder="row-major")
        self.strip.addItem(self._image)
        self.values = Values(look)
        layout.addItem(self.values, 0, 1, len(PLOTS) + 2, 1)
        self._ticks: dict[tuple[int, str], tuple[Bars, Bars]] = {}
        self._modalities: tuple[Modality, ...] = ()
        self._cross, self._now = QGraphicsLineItem(), QGraphicsLineItem()
        for number, item in enumerate((self._now, self._cross)):
            item.setZValue(100 + number)
            self.scene().addItem(item)
        self.scene().sigMouseMoved.connect(self._moved)
        self.restyle()

    def _plot(self, hands: Hands, row: int, bottom: Any = None, right: Any = None) -> Any:
        sides = (("left", ScaleAxis("left")), ("bottom", bottom), ("right", right))
        axes = {name: axis for name, axis in sides if axis is not None}
        plot = pg.PlotItem(viewBox=TimeView(hands), axisItems=axes, enableMenu=False)
        plot.hideButtons()
        for name in ("left", "right", "bottom", "top"):
            plot.showAxis(name, name in ("left", "right") or (name == "bottom" and bottom is not None))
        plot.getAxis("right").setStyle(showValues=right is not None, tickLength=0)
        self.ci.addItem(plot, row, 0)
        return plot

    @property
    def plots(self) -> list[Any]:
        """All of them, from the top."""
        return [self.alarms, *(panel.item for panel in self.panels), self.strip]

    # Looks --------------------------------------------------------------------------------------------------------

    def restyle(self) -> None:
        """Colours, fonts and sizes by the present interface unit."""
        look, layout = self._look, self.ci.layout
        self.setBackground(look.colour("background"))
        layout.setVerticalSpacing(look.px(_SPACING))
        layout.setHorizontalSpacing(0)
        quiet, words = pen(look.colour("line")), pen(look.colour("text_faint"))
        font = look.font(10)
        for plot in self.plots:
            plot.layout.setContentsMargins(0, 0, 0, 0)
            for name, width in (("left", _LEFT), ("right", _RIGHT)):
                axis = plot.getAxis(name)
                axis.setWidth(look.px(width))
                axis.setPen(quiet if name == "left" else pen(QColor(0, 0, 0, 0)))
                axis.setTextPen(words)
                axis.setTickFont(font)
                axis.setStyle(tickTextOffset=look.px(4), hideOverlappingLabels=True, maxTickLevel=0)
            plot.vb.setBackgroundColor(mixed(look.colour("panel"), look.colour("background"), 0.45))
            plot.vb.setBorder(quiet)
        for panel in self.panels:
            panel.restyle(look)
            panel.item.getAxis("left").setStyle(tickLength=-look.px(3))
            panel.item.getAxis("left").room_px = look.px(15)
            if panel.plot.right:
                panel.item.getAxis("right").room_px = look.px(15)
        eeg = next(panel for panel in self.panels if panel.plot.right)
        eeg.item.getAxis("right").setTextPen(pen(look.modality(Modality.EEG)))
        for plot in (self.alarms, self.strip):
            plot.getAxis("left").setStyle(tickLength=0)
        self.axis.setHeight(look.px(_AXIS))
        self.axis.setPen(quiet)
        self.axis.setTextPen(pen(look.colour("text_soft")))
        self.axis.setTickFont(look.font(11))
        self.axis.setStyle(tickLength=-look.px(4), tickTextOffset=look.px(3))
        self.axis.room_px = look.px(96)
        layout.setRowFixedHeight(0, look.px(_ALARMS))
        self.alarms.getAxis("left").setTicks([[(2.5, tr("high")), (1.5, tr("med")), (0.5, tr("tech"))]])
        self.alarms.getAxis("left").setTickFont(look.font(8))
        self.alarms.vb.setYRange(0, len(ALARM_ROWS), padding=0)
        for number, plot in enumerate(PLOTS, 1):
            panel = self.panels[number - 1]
            panel.item.setVisible(not panel.gone)
            layout.setRowMinimumHeight(number, 0 if panel.gone else look.px(_IDLE) if panel.idle else 10)
            panel.item.setPreferredHeight(10)  # else many share alike, whatever they weigh
            layout.setRowSpacing(number, 0 if panel.gone else look.px(_SPACING))
            layout.setRowStretchFactor(number, 0 if panel.idle else plot.weight)
            layout.setRowMaximumHeight(number, 0 if panel.gone else look.px(_IDLE) if panel.idle else 10_000)
        self._fit_strip()
        self.values.fit()
        self._cross.setPen(pen(look.colour("text"), look.unit))
        self._now.setPen(pen(mixed(look.colour("accent"), look.colour("text"), 0.3), look.unit, Qt.PenStyle.DotLine))
        for key, shapes in self._ticks.items():
            self._colour_ticks(key, shapes)

    def _fit_strip(self) -> None:
        look, count = self._look, max(1, len(self._modalities))
        self.ci.layout.setRowFixedHeight(len(PLOTS) + 1, look.px(_CHANNEL) * count + look.px(_AXIS))
        self.strip.vb.setYRange(0, count, padding=0)
        names = [(count - number - 0.5, m.value) for number, m in enumerate(self._modalities)]
        self.strip.getAxis("left").setTicks([names])
        self.strip.getAxis("left").setTickFont(look.font(8.5))

    def _colour_ticks(self, key: tuple[int, str], shapes: tuple[Bars, Bars]) -> None:
        own = self._look.theme.alarm.colours.get(key[1], self._look.theme.alarm.colours["low"])
        shapes[0].restyle(QColor(own.lit))
        shapes[1].restyle(mixed(QColor(own.lit), self._look.colour("background"), 0.45))

    # What is drawn ------------------------------------------------------------------------------------------------

    def show_range(self, begin_s: float, end_s: float) -> None:
        """From when to when all plots go."""
        for plot in self.plots:
            plot.vb.setXRange(begin_s, end_s, padding=0)

    def draw(
        self,
        stretch: Stretch,
        alarms: Sequence[AlarmSpan],
        modalities: tuple[Modality, ...],
        unconnected: frozenset[Modality],
        known: frozenset[str],
        now_s: float,
        limits: Sequence[LimitSetting] | None,
    ) -> None:
        """All of a stretch, within the present range. modalities: rows of the presence. known: see
        :attr:`ui.bed.trends.Trends.known`."""
        self._find_idle(stretch, unconnected, known)
        pixel_s = self.pixel_s
        dash = max(1, round(_DASH_PX * self._look.unit * pixel_s / stretch.step_s))
        (begin_s, end_s), _ = self.strip.vb.viewRange()
        times = self.axis.tickValues(begin_s, end_s, self.strip.vb.width())[0][1]
        for panel in self.panels:
            panel.show_limits(limits, self._look)
            panel.draw(stretch, dash, self._look.theme.prediction.bands)
            panel.rule(begin_s, end_s, times)
        if modalities != self._modalities:
            self._modalities = modalities
            self._fit_strip()
        self._image.setImage(picture(self._look, stretch, modalities), autoLevels=False, levels=(0, 255))
        # A pixel of the picture is a bucket wide and an eighth of a row high.
        at = QTransform.fromTranslate(stretch.first_s, 0.0)
        self._image.setTransform(at.scale(stretch.step_s, 1.0 / LINES))
        marks = alarm_bars(alarms, now_s, pixel_s)
        for key in marks.keys() - self._ticks.keys():
            shapes = self._ticks[key] = Bars(), Bars()
            self._colour_ticks(key, shapes)
            for shape in reversed(shapes):
                self.alarms.addItem(shape)
        for key, shapes in self._ticks.items():
            for shape, figures in zip(shapes, marks.get(key, (NOTHING, NOTHING)), strict=True):
                shape.draw(figures)

    def _find_idle(self, stretch: Stretch, unconnected: frozenset[Modality], known: frozenset[str]) -> None:
        changed = False
        for panel in self.panels:
            ats = [AT[line_.column] for line_ in panel.plot.lines]
            if panel.plot.sometimes:
                idle = known.isdisjoint(line_.column for line_ in panel.plot.lines)
            else:
                idle = panel.plot.needs in unconnected and bool(np.isnan(stretch.values[:, MID, ats]).all())
            changed |= idle != panel.idle
            panel.idle = idle
            panel.item.getAxis("left").setStyle(showValues=not idle)
            if panel.plot.right:
                panel.item.getAxis("right").setStyle(showValues=not idle)
        if changed:
            self.restyle()
            self.ci.layout.activate()

    @property
    def pixel_s(self) -> float:
        """Seconds a logical pixel."""
        (begin, end), _ = self.strip.vb.viewRange()
        return float((end - begin) / max(1.0, self.strip.vb.width()))

    def mark(self, cross_s: float | None, now_s: float | None) -> None:
        """Where the cross-hair and now are; None, or outside: no line."""
        self.ci.layout.activate()  # what has just been given another size lies there now
        (begin, end), _ = self.strip.vb.viewRange()
        top = self.alarms.vb.sceneBoundingRect().top()
        bottom = self.strip.vb.sceneBoundingRect().bottom()
        for item, time_s in ((self._cross, cross_s), (self._now, now_s)):
            shown = time_s is not None and begin <= time_s <= end
            item.setVisible(shown)
            if shown and time_s is not None:
                x = self.strip.vb.mapViewToScene(QPointF(time_s, 0.0)).x()
                item.setLine(QLineF(x, top, x, bottom))

    def say(self, head: tuple[str, str], strong: bool, row: Float32 | None, presence: Any, cuff: str) -> None:
        """The values of one moment: row [3, columns], presence [2, modalities]; None: not known. cuff: how old a cuff's
        are."""
        plots: dict[int, tuple[QRectF, Plot, tuple[Value, ...]]] = {
            number: (
                panel.item.vb.sceneBoundingRect(),
                panel.plot,
                () if panel.idle else values_of(panel.plot, row, cuff),
            )
            for number, panel in enumerate(self.panels)
            if not panel.gone
        }
        rows = [(m.value, *presence_words(self._look, presence, m)) for m in self._modalities]
        self.values.say(head, strong, plots, (self.strip.vb.sceneBoundingRect(), rows))

    # The pointer --------------------------------------------------------------------------------------------------

    def _moved(self, at: QPointF) -> None:
        inside = any(plot.vb.sceneBoundingRect().contains(at) for plot in self.plots)
        self._pointed(self.strip.vb.mapSceneToView(at).x() if inside else None)

    def leaveEvent(self, event: Any) -> None:
        """The pointer is on no plot any more."""
        super().leaveEvent(event)
        self._pointed(None)
