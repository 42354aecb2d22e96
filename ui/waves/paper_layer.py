"""What lies over the waves and is no wave: calipers with their values, and the flags of marks.

A layer of its own over the sweep, so that the waves are drawn as if it were not there. While the waves stand it takes
the mouse: a drag sets calipers in the lane that it begins in, or moves the line that it begins at; with Shift the lines
snap to the wave's peaks; the wheel scrolls.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QLineF, QObject, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF, QWheelEvent
from PySide6.QtWidgets import QWidget

from ui.bed.calipers import Calipers, peak, reading
from ui.bed.flags import Flag
from ui.bed.lanes import Lane
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.waves.geometry import Paper
from ui.waves.sweep import SweepView

_NEAR_PX = 6.0
_LEAST_PX = 3.0  # a shorter drag is a click
_OFF_PAGE = "the other line is off the page"
_SEAM = "across the seam of the sweep"


class PaperLayer(QWidget):
    """touched: called at every use of the mouse; scrolled: with pages, negative is back."""

    def __init__(
        self, sweep: SweepView, look: Look, touched: Callable[[], None], scrolled: Callable[[float], None]
    ) -> None:
        super().__init__(sweep)
        self._sweep, self._look, self._touched, self._scrolled = sweep, look, touched, scrolled
        self.calipers: dict[str, Calipers] = {}
        self.chosen: tuple[str, str] | None = None
        """Lane and line that keys move."""
        self.marks: tuple[Flag, ...] = ()
        self._drag: tuple[QPointF, dict[str, Calipers]] | None = None
        self.take_mouse(False)
        self.setGeometry(sweep.rect())
        sweep.installEventFilter(self)
        self.show()

    def take_mouse(self, takes: bool) -> None:
        """Whether the mouse is for calipers."""
        if self.testAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents) == takes:
            self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents, not takes)
            if takes:
                self.setCursor(Qt.CursorShape.CrossCursor)
            else:
                self.unsetCursor()

    def show_marks(self, marks: tuple[Flag, ...]) -> None:
        """These are on the paper."""
        if marks != self.marks:
            self.marks = marks
            self.update()

    def put(self, calipers: Calipers, line: str) -> None:
        """Calipers of a lane, the line of which was moved last."""
        self.calipers[calipers.lane] = calipers
        self.chosen = calipers.lane, line
        self.update()

    def clear(self) -> None:
        """No calipers."""
        self.calipers, self.chosen, self._drag = {}, None, None
        self.update()

    # Where things lie, in logical pixels ------------------------------------------------------------------------

    def _paper(self, lane: Lane | None) -> Paper | None:
        return self._sweep.paper if lane is None else self._sweep.paper_of(lane)

    def x_of(self, time_s: float, lane: Lane | None = None) -> float | None:
        """Where an event time is shown in a lane, by default the uppermost; None off the paper."""
        paper, head_s = self._paper(lane), self._sweep.head_s
        if paper is None or head_s is None:
            return None
        column = paper.place(time_s, paper.column(head_s))
        return None if column is None else (self._sweep.margins[0] + column) / self._sweep.ratio

    def time_of(self, x: float, lane: Lane | None = None) -> float | None:
        """The event time shown at ``x`` of a lane, by default the uppermost; None in the gap and off the paper."""
        paper, head_s = self._paper(lane), self._sweep.head_s
        column = x * self._sweep.ratio - self._sweep.margins[0]
        if paper is None or head_s is None or not 0 <= column < paper.width:
            return None
        return paper.time_at(column, paper.column(head_s))

    def lane_at(self, y: float) -> Lane | None:
        """The lane of a row."""
        at = y * self._sweep.ratio
        for lane, row in zip(self._sweep.lanes, self._sweep.lane_rows, strict=True):
            if row.top <= at < row.top + row.height:
                return lane
        return None

    def lane_of(self, key: str) -> Lane | None:
        """The lane of a name, where it is on the paper."""
        return next((lane for lane in self._sweep.lanes if lane.key == key), None)

    def _area(self, lane: Lane) -> QRectF:
        row = self._sweep.lane_rows[[one.key for one in self._sweep.lanes].index(lane.key)]
        ratio, (left, right) = self._sweep.ratio, self._sweep.margins
        return QRectF(
            left / ratio, row.wave_top / ratio, self.width() - (left + right) / ratio, row.wave_height / ratio
        )

    def y_of(self, lane: Lane, level: float) -> float:
        """Where a level of a lane lies, kept within its row."""
        area = self._area(lane)
        y = self._sweep.scale_of(lane).scale.y(level, area.top(), area.height())
        return min(max(y, area.top()), area.bottom())

    def level_of(self, lane: Lane, y: float) -> float:
        """The level of a lane at a height, kept within its row."""
        area, scale = self._area(lane), self._sweep.scale_of(lane).scale
        share = (min(max(y, area.top()), area.bottom()) - area.top()) / area.height()
        return scale.high - share * (scale.high - scale.low)

    # The mouse --------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keeps the size of the sweep."""
        if watched is self._sweep and event.type() == QEvent.Type.Resize:
            self.setGeometry(self._sweep.rect())
        return False

    def wheelEvent(self, event: QWheelEvent) -> None:
        """An eighth of a page a notch."""
        self._touched()
        self._scrolled(-event.angleDelta().y() / 120.0 / 8.0)
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Takes the line under the pointer, or begins new calipers there."""
        self._touched()
        at = event.position()
        self._drag = at, dict(self.calipers)
        near = self._line_at(at)
        if near is not None:
            self.chosen = near
            self.update()
            return
        lane = self.lane_at(at.y())
        time_s = self.time_of(at.x(), lane)
        if lane is None or time_s is None:
            self._drag = None
            return
        time_s, level = self._snapped(lane, time_s, self.level_of(lane, at.y()), event)
        self.put(Calipers(lane.key, time_s, time_s, level, level), "")

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The line that was taken, or the far corner of new calipers, follows."""
        if self._drag is None or self.chosen is None:
            return
        self._touched()
        key, line = self.chosen
        lane, calipers = self.lane_of(key), self.calipers.get(key)
        time_s = self.time_of(event.position().x(), lane)
        if lane is None or calipers is None:
            return
        level = self.level_of(lane, event.position().y())
        if time_s is not None:
            time_s, level = self._snapped(lane, time_s, level, event)
        if time_s is not None and line in ("", "begin", "end"):
            calipers = calipers.put(line or "end", time_s)
        if line in ("", "first", "second"):
            calipers = calipers.put(line or "second", level)
        self.put(calipers, line)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click without a drag sets nothing."""
        if self._drag is None or self.chosen is None:
            return
        (pressed, before), self._drag = self._drag, None
        key, line = self.chosen
        if not line and (event.position() - pressed).manhattanLength() < _LEAST_PX:
            self.calipers, self.chosen = before, None
        elif not line:
            self.chosen = key, "end"
        self.update()

    def _snapped(self, lane: Lane, time_s: float, level: float, event: QMouseEvent) -> tuple[float, float]:
        found = peak(lane, time_s) if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else None
        return found or (time_s, level)

    def _line_at(self, at: QPointF) -> tuple[str, str] | None:
        lane = self.lane_at(at.y())
        calipers = self.calipers.get(lane.key) if lane is not None else None
        if lane is None or calipers is None:
            return None
        away = {name: x for name in ("begin", "end") if (x := self.x_of(getattr(calipers, name), lane)) is not None}
        found = [(abs(x - at.x()), name) for name, x in away.items()]
        within = not away or min(away.values()) - _NEAR_PX <= at.x() <= max(away.values()) + _NEAR_PX
        if within:
            levels = ("first", "second")
            found += [(abs(self.y_of(lane, getattr(calipers, name)) - at.y()), name) for name in levels]
        distance, name = min(found, default=(_NEAR_PX, ""))
        return (lane.key, name) if distance < _NEAR_PX else None

    # Painting ---------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws flags, then calipers."""
        if not self.marks and not self.calipers:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for mark in self.marks:
            self._flag(painter, mark)
        for key, calipers in self.calipers.items():
            lane = self.lane_of(key)
            if lane is not None:
                self._calipers(painter, lane, calipers)
        painter.end()

    def _flag(self, painter: QPainter, mark: Flag) -> None:
        x = self.x_of(mark.time_s)
        if x is None:
            return
        unit, colour, font = self._look.unit, self._look.colour("text"), self._look.font(11, True)
        top = 38 * unit  # under the words that are stamped on waves which stand
        pen = QPen(colour, max(1.0, unit))
        pen.setDashPattern([2.0, 4.0])
        painter.setPen(pen)
        for lane, row in zip(self._sweep.lanes, self._sweep.lane_rows, strict=True):
            at, ratio = self.x_of(mark.time_s, lane), self._sweep.ratio  # lanes of another speed have it elsewhere
            if at is not None:
                painter.drawLine(QLineF(at, max(top, row.top / ratio), at, (row.top + row.height) / ratio))
        width = QFontMetricsF(font).horizontalAdvance(mark.word) + 10 * unit if mark.word else 10 * unit
        right = x + width < self.width()
        side = 1.0 if right else -1.0
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        if not mark.word:
            points = [QPointF(x, top), QPointF(x + side * width, top + 6 * unit), QPointF(x, top + 12 * unit)]
            painter.drawPolygon(QPolygonF(points))
            return
        painter.drawRect(QRectF(x if right else x - width, top, width, 16 * unit))
        left = (x if right else x - width) + 5 * unit
        draw_text(painter, left, top + 12.5 * unit, mark.word, font, self._look.colour("background"))

    def _calipers(self, painter: QPainter, lane: Lane, calipers: Calipers) -> None:
        unit, area = self._look.unit, self._area(lane)
        chosen = self.chosen[1] if self.chosen is not None and self.chosen[0] == lane.key else None
        xs = {name: self.x_of(getattr(calipers, name), lane) for name in ("begin", "end")}
        ys = {name: self.y_of(lane, getattr(calipers, name)) for name in ("first", "second")}
        there = [x for x in xs.values() if x is not None]
        if not there:
            return
        faint = QColor(self._look.colour("text"))
        faint.setAlphaF(0.22)
        for name, x in xs.items():
            if x is None:
                continue
            if chosen is not None:  # to compare with the other lanes
                painter.setPen(QPen(faint, max(1.0, unit)))
                painter.drawLine(QLineF(x, 0, x, self.height()))
            painter.setPen(self._pen(name == chosen))
            painter.drawLine(QLineF(x, area.top(), x, area.bottom()))
        earlier, later = sorted((calipers.begin, calipers.end))
        x0, x1 = self.x_of(earlier, lane), self.x_of(later, lane)
        seam = x0 is not None and x1 is not None and x1 < x0
        for name, y in ys.items():
            painter.setPen(self._pen(name == chosen))
            for left, right in (
                [(x0, x1)] if x0 is not None and x1 is not None and not seam else [(x, x) for x in there]
            ):
                painter.drawLine(QLineF(left - 7 * unit, y, right + 7 * unit, y))
        found = reading(lane, calipers)
        words, said = found.words
        aside = tr(_SEAM) if seam else tr(_OFF_PAGE) if len(there) < 2 else ""
        said = "  ·  ".join(part for part in (said, aside) if part)
        self._label(painter, area, min(there), max(there), words, said, found.ground.estimated)

    def _pen(self, chosen: bool) -> QPen:
        unit = self._look.unit
        return QPen(self._look.colour("alarm_medium" if chosen else "text"), (2.0 if chosen else 1.2) * unit)

    def _label(
        self, painter: QPainter, area: QRectF, left: float, right: float, words: str, said: str, estimated: bool
    ) -> None:
        """Beside the lines, in the row, where there is more room."""
        unit, font, small = self._look.unit, self._look.font(14, True), self._look.font(12, True)
        width = max(QFontMetricsF(font).horizontalAdvance(words), QFontMetricsF(small).horizontalAdvance(said))
        width = min(width + 18 * unit, area.width())
        height = (42 if said else 25) * unit
        x = right + 10 * unit if area.right() - right >= left - area.left() else left - 10 * unit - width
        x = min(max(x, area.left()), area.right() - width)
        box = QRectF(x, max(area.top(), area.bottom() - height - 2 * unit), width, height)
        ground = QColor(self._look.colour("background"))
        ground.setAlphaF(0.88)
        pen = QPen(self._look.colour("text"), unit)
        if estimated:
            pen.setDashPattern([4.0, 3.0])
        painter.setPen(pen)
        painter.setBrush(ground)
        painter.drawRoundedRect(box, 3 * unit, 3 * unit)
        colour, inside = self._look.colour("text"), x + 9 * unit
        draw_text(painter, inside, box.top() + 18 * unit, elided(words, font, width - 12 * unit), font, colour)
        if said:
            loud = self._look.colour("absent")
            draw_text(painter, inside, box.top() + 35 * unit, elided(said, small, width - 12 * unit), small, loud)
