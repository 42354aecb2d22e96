"""The central view: a tile a bed, the most urgent first; a click or ``Enter`` opens the bed, arrows choose one.

The bed that is chosen here is the bed on show: the bars above are about it, and so is what a key does. All tiles lie
in one pixmap. A tile is painted where what it says has changed, part by part; a wave by the piece that is new, thirty
times a second; a tile that moves is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
    QShowEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QToolTip, QWidget

from models.signals.modalities import Modality
from ui.bed.alarm_view import colours, lit
from ui.bed.bed_words import BedWords, count_words, standing_words
from ui.bed.bedside import Bedside
from ui.bed.liveness import Life
from ui.bed.state import GLIMPSED
from ui.bed.ward import Ward
from ui.central.grid import Grid, grid_for
from ui.central.order import Order
from ui.central.small_wave import SmallWave, Strokes
from ui.central.tile import LEAST, TilePainter, TileShape, tile_shape
from ui.central.tile_words import TileWords, tile_words, wave_words
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.theme import PRIORITIES
from ui.style.words import tooltip_words

CENTRAL = "central"
"""The name of the page."""
_WAVES_HZ = 30.0
_TURNS = 5  # calls of renew in which the numbers of every tile have had their turn
_STILL_S = 1.5  # after the pointer has moved
_HOME_S = 60.0  # without a key or a click, back to the first page
_HEAD = 26.0
_ARROWS = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
_OPENS = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class _Tile:
    """What of a bed has been painted, and its waves."""

    def __init__(self, bed: Bedside, said: BedWords) -> None:
        self.bed, self.said = bed, said
        self.words = tile_words(bed, said)
        self.place = QRect()
        self.head: object = None
        self.body: object = None
        self.frame: object = None
        self.painted: tuple[BedWords, TileWords, bool, bool] | None = None  # of what, in which phase, chosen or not
        self.no_wave: list[str | None] = []  # what is written where a wave would be; "" where there is one
        self.waves: list[SmallWave] = []


class CentralPage(QWidget):
    """on_open: a bed is to be seen on its own; on_choose: it is chosen, and the tiles stay. Both are given its name."""

    def __init__(
        self,
        look: Look,
        on_open: Callable[[str], None],
        on_choose: Callable[[str], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self._look, self._on_open, self._on_choose = look, on_open, on_choose
        self._order = Order()
        self.order: tuple[str, ...] = ()
        self.page = 0
        self._grid: Grid = grid_for(1, (0, 0, 1, 1), LEAST, 1)
        self._shape: TileShape = tile_shape(100, 100, 1.0)
        self._painter = TilePainter(look, self._shape)
        self._ink = QPixmap()
        self._tiles: dict[str, _Tile] = {}
        self._ward: Ward | None = None  # of the last renew
        self._said: dict[str, BedWords] = {}
        self._chosen = ""
        self._head_said: object = None
        self._summed: object = None
        self._summary = ("", "", "")
        self._worst: BedWords | None = None  # on another page
        self._lit: dict[str, bool] = {}
        self._now_s = self._touched_s = 0.0
        self._pointer_s = self._waves_s = -1e9
        self._turn = 0

    # What is where --------------------------------------------------------------------------------------------------

    @property
    def shown(self) -> tuple[str, ...]:
        """The beds that have a tile on this page, in order."""
        slots = self._grid.slots
        return self.order[self.page * slots : (self.page + 1) * slots]

    @property
    def hidden(self) -> tuple[BedWords, ...]:
        """What is said of the beds on the other pages."""
        shown = set(self.shown)
        return tuple(self._said[name] for name in self.order if name not in shown)

    def place_of(self, bed: str) -> QRect | None:
        """Where the tile of a bed is; None if it is on another page."""
        tile = self._tiles.get(bed)
        return QRect(tile.place) if tile is not None else None

    def words_of(self, bed: str) -> TileWords:
        """What is said in the tile of a bed of this page."""
        return self._tiles[bed].words

    @property
    def summary(self) -> tuple[str, str, str]:
        """The line above the tiles: how many beds and in which order; what is the matter with them; of other pages."""
        beds = count_words(len(self.order), self._order.by_name)
        everything = standing_words(self._said[name] for name in self.order)
        pages, hidden = self._grid.pages(len(self.order)), self.hidden
        if pages < 2:
            return beds, everything, ""
        page = tr("page {page} of {pages}", page=self.page + 1, pages=pages)
        return beds, everything, f"{page}  ·  {tr('{n} not seen here', n=len(hidden))}: {standing_words(hidden)}"

    def _bed_at(self, point: QPoint) -> str | None:
        slot, shown = self._grid.slot_at(point.x(), point.y()), self.shown
        return shown[slot] if slot is not None and slot < len(shown) else None

    # Ten times a second ---------------------------------------------------------------------------------------------

    def renew(self, ward: Ward, now_s: float) -> None:
        """Order, words and alarms as they are now; see :class:`ui.window.screen.Page`."""
        if not self.hasFocus() and self.window().focusWidget() is None:
            self.setFocus()
        self._ward, self._now_s = ward, now_s
        said = ward.said
        self._said, self._chosen = {words.bed: words for words in said}, ward.on_show.name
        still = now_s - self._pointer_s < _STILL_S
        before, self.order = self.order, self._order.settle(said, now_s, still)
        if self.page and now_s - self._touched_s > _HOME_S:
            self.page = 0
        self._lay(anew=self.order != before)
        style = self._look.theme.alarm
        self._lit = {priority: lit(priority, now_s, style) for priority in PRIORITIES}
        self._turn = (self._turn + 1) % _TURNS
        beds = {bed.name: bed for bed in ward.beds}
        painter = self._begin()
        for number, name in enumerate(self.shown):
            tile, words = self._tiles.get(name), self._said[name]
            if tile is None or tile.bed is not beds[name]:
                tile = self._tiles[name] = _Tile(beds[name], words)
                self._put(tile, self._rect(number))
            elif number % _TURNS == self._turn or words != tile.said:
                tile.said, tile.words = words, tile_words(tile.bed, words)
            self._paint_tile(painter, tile)
        painter.end()
        self._paint_head()

    def _rect(self, slot: int) -> QRect:
        return QRect(*self._grid.place(slot))

    def _lay(self, anew: bool) -> None:
        """Puts the tiles where they belong; where only the order is another, what is painted moves with them."""
        unit, count = self._look.unit, len(self.order)
        edge, head, gap = round(8 * unit), round(_HEAD * unit), max(3, round(5 * unit))
        place = (edge, head, max(1, self.width() - 2 * edge), max(1, self.height() - head - round(5 * unit)))
        grid = grid_for(count, place, (LEAST[0] * unit, LEAST[1] * unit), gap)
        ratio = self.devicePixelRatioF()
        size = self.size() * ratio
        if grid != self._grid or self._ink.size() != size:
            self._grid = grid
            self._shape = tile_shape(grid.width, grid.height, unit)
            self._painter = TilePainter(self._look, self._shape)
            self._ink = QPixmap(size)
            self._ink.setDevicePixelRatio(ratio)
            self._ink.fill(self._look.colour("panel"))
            self._tiles, self._head_said = {}, None
            self.update()
        self.page = min(self.page, grid.pages(count) - 1)
        shown = self.shown
        if anew or set(shown) != set(self._tiles):
            self._move({name: self._rect(slot) for slot, name in enumerate(shown)})

    def _move(self, places: dict[str, QRect]) -> None:
        self._tiles = {name: tile for name, tile in self._tiles.items() if name in places}
        before, ratio = QPixmap(self._ink), self.devicePixelRatioF()
        whole = ratio == int(ratio)
        painter = QPainter(self._ink)
        free = [QRect(self._rect(slot)) for slot in range(len(places), self._grid.slots)]
        for rect in free:
            painter.fillRect(rect, self._look.colour("panel"))
            self.update(rect)
        for name, tile in self._tiles.items():
            place = places[name]
            if place == tile.place:
                continue
            if whole:
                source = QRect(tile.place.topLeft() * ratio, tile.place.size() * ratio)
                painter.drawPixmap(place, before, source)
                tile.place = place
                self.update(place)
            else:  # a pixel of the screen does not begin where a tile does
                self._put(tile, place)
        painter.end()

    def _put(self, tile: _Tile, place: QRect) -> None:
        """The tile is to be painted as a whole, at ``place``."""
        tile.place, tile.head, tile.body, tile.frame, tile.painted = place, None, None, None, None
        tile.no_wave, tile.waves = [None] * len(self._shape.waves), []
        ratio = self.devicePixelRatioF()
        for modality, area in zip(self._rows(tile), self._shape.waves, strict=False):
            device = QRect(area.topLeft() * ratio, area.size() * ratio)
            tile.waves.append(SmallWave(modality, device, self._pen))

    @property
    def _pen(self) -> float:
        """How wide waves are drawn, in device pixels."""
        return max(1.0, 0.9 * self._shape.k) * self.devicePixelRatioF()

    def _rows(self, tile: _Tile) -> tuple[Modality, ...]:
        """Whose wave is where. Where there is room for one, it is the first that is measured."""
        if len(self._shape.waves) >= len(GLIMPSED):
            return GLIMPSED
        lanes = [tile.bed.state.lane(modality.value) for modality in GLIMPSED]
        measured = [m for m, lane in zip(GLIMPSED, lanes, strict=True) if lane and lane.connected and not lane.absence]
        return (measured[0] if measured else GLIMPSED[0],)

    # Painting into the pixmap ---------------------------------------------------------------------------------------

    def _begin(self) -> QPainter:
        painter = QPainter(self._ink)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        return painter

    def _paint_tile(self, painter: QPainter, tile: _Tile) -> None:
        """The parts of a tile that are not as they were."""
        said, words, shape = tile.said, tile.words, self._shape
        worst = said.worst
        phase = worst is None or said.held or worst.quiet or said.still or self._lit.get(worst.record.priority, True)
        chosen = said.bed == self._chosen
        seen, tile.painted = tile.painted, (said, words, phase, chosen)
        if seen is not None and seen[0] is said and seen[1] is words and seen[2:] == (phase, chosen):
            return
        quiet = worst is not None and worst.quiet
        frame = (chosen, said.life, worst.record.priority if worst is not None else "", quiet)
        head = (
            said.title,
            said.alarms,
            said.why_lost,
            words.life_words,
            words.vacant,
            words.sensors,
            words.finding,
            phase,
        )
        body = (said.held, words.heart, words.pressure, words.small, words.risk, words.band, words.news)
        rows = self._rows(tile)
        if tuple(wave.modality for wave in tile.waves) != rows:
            self._put(tile, tile.place)
        painter.save()
        painter.translate(tile.place.topLeft())
        if frame != tile.frame:
            self._painter.frame(painter, said, chosen)
            tile.frame, tile.head, tile.body = frame, None, None
            tile.no_wave = [None] * len(shape.waves)
            self.update(tile.place)
        if head != tile.head:
            self._painter.head(painter, said, words, phase)
            tile.head = head
            self.update(shape.head.translated(tile.place.topLeft()))
        if body != tile.body:
            self._painter.body(painter, said, words)
            tile.body = body
            self.update(shape.body.translated(tile.place.topLeft()))
        for number, (modality, area) in enumerate(zip(rows, shape.waves, strict=False)):
            state = tile.bed.state
            why = said.life_words if said.held else wave_words(state.lane(modality.value), state.glimpsed)
            if said.held and number:
                why = " "
            if why != tile.no_wave[number]:
                tile.no_wave[number] = why
                tile.waves[number].forget()
                if not why:
                    painter.fillRect(area, self._look.colour("background"))
                elif number and said.held:
                    pass
                else:
                    whole = area if not said.held else area.united(shape.waves[-1])
                    self._painter.no_wave(painter, whole, said, modality, why)
                self.update(area.translated(tile.place.topLeft()))
        painter.restore()

    def advance(self, ward: Ward, now_s: float) -> None:
        """Once a frame: the waves go on, thirty times a second."""
        if now_s - self._waves_s < 1.0 / _WAVES_HZ - 0.002 or self._ink.isNull():
            return
        self._waves_s = now_s
        ratio, strokes = self.devicePixelRatioF(), Strokes()
        rows: dict[int, QRect] = {}  # what is to be copied to the screen, a rectangle a row of tiles
        for name in self.shown:
            tile = self._tiles.get(name)
            if tile is None or tile.said.life is not Life.LIVE:
                continue
            bed = tile.bed
            beam_s = bed.state.clock.position_s if bed is ward.on_show else bed.advance(now_s)
            if beam_s is None:
                continue
            place = tile.place
            corner = (round(place.left() * ratio), round(place.top() * ratio))
            for wave, why, area in zip(tile.waves, tile.no_wave, self._shape.waves, strict=False):
                lane = bed.state.lane(wave.modality.value) if why == "" else None
                if lane is not None and wave.step(lane, beam_s, corner, strokes):
                    line = place.top() + area.top()
                    rows[line] = rows.get(line, QRect()).united(area.translated(place.topLeft()))
        if not rows:
            return
        painter = self._begin()
        painter.scale(1.0 / ratio, 1.0 / ratio)
        inks = {modality: self._look.modality(modality) for modality in strokes.drawn}
        strokes.paint(painter, self._look.colour("background"), inks, self._pen)
        painter.end()
        for row in rows.values():
            self.update(row)

    def _paint_head(self) -> None:
        """The line above the tiles; what cannot be seen here is as loud as it would be."""
        look, unit = self._look, self._look.unit
        about = (tuple(self._said.values()), self.order, self.page, self._grid)
        if about != self._summed:
            self._summed, self._summary = about, self.summary
            self._worst = min(self.hidden, key=lambda words: words.rank, default=None)
        beds, everything, other = self._summary
        worst = self._worst
        colours_ = self._elsewhere(worst)
        said = (beds, everything, other, colours_, self.width())
        if said == self._head_said:
            return
        self._head_said = said
        area = QRect(0, 0, self.width(), round(_HEAD * unit))
        painter = self._begin()
        painter.fillRect(area, look.colour("panel"))
        base, left, right = area.height() * 0.68, 10 * unit, self.width() - 10 * unit
        if other:
            font = look.fitted(other, 13, 0.55 * self.width(), True)
            text = elided(other, font, 0.55 * self.width())
            width = QFontMetricsF(font).horizontalAdvance(text)
            box = QRectF(right - width - 8 * unit, 2 * unit, width + 16 * unit, area.height() - 4 * unit)
            if colours_ is not None:
                painter.fillRect(box, QColor(colours_[0]))
            draw_text(painter, right, base, text, font, QColor(colours_[1]) if colours_ else look.colour("text"), True)
            right = box.left() - 8 * unit
        left += draw_text(painter, left, base, beds, look.font(13, True), look.colour("text")) + 14 * unit
        hint = tr("Enter or click: open   ·   Esc: back")
        font = look.font(13)
        room = right - left
        at = left + draw_text(painter, left, base, elided(everything, font, room), font, look.colour("text_soft"))
        small = look.font(11)
        if not other and QFontMetricsF(small).horizontalAdvance(hint) < right - at - 20 * unit:
            draw_text(painter, right, base, hint, small, look.colour("text_faint"), right=True)
        painter.end()
        self.update(area)

    def _elsewhere(self, worst: BedWords | None) -> tuple[str, str] | None:
        """Ground and letters of what is said of other pages, by the worst of it."""
        style = self._look.theme.alarm
        if worst is None:
            return None
        alarm = worst.worst
        if alarm is not None and not alarm.quiet and not worst.held:
            phase = worst.still or self._lit.get(alarm.record.priority, True)
            return colours(alarm, phase, worst.held, style, worst.still)
        if worst.life is Life.LOST:
            return style.colours["high"].lit, style.colours["high"].ink
        if alarm is not None:
            own = style.colours.get(alarm.record.priority, style.colours["low"])
            return own.held, own.held_ink
        return None

    # The operator ---------------------------------------------------------------------------------------------------

    def sort_by(self, by_name: bool) -> None:
        """By name, or by urgency."""
        self._order.by_name = by_name
        self.page, self._pointer_s = 0, -1e9

    @property
    def by_name(self) -> bool:
        """Whether the tiles are sorted by name."""
        return self._order.by_name

    def turn(self, pages: int) -> None:
        """So many pages on, or back."""
        self.page = min(max(0, self.page + pages), self._grid.pages(len(self.order)) - 1)
        self._touched_s = self._now_s

    def go(self, across: int, down: int) -> None:
        """Choose the tile beside the chosen one; from the last of a page on, the next page."""
        shown, columns = self.shown, self._grid.columns
        self._touched_s = self._pointer_s = self._now_s
        if self._chosen not in shown:
            if shown:
                self._on_choose(shown[0])
            return
        at = self.page * self._grid.slots + shown.index(self._chosen) + across + down * columns
        if down > 0 and at >= len(self.order) and (len(self.order) - 1) // columns > (at - columns) // columns:
            at = len(self.order) - 1
        if 0 <= at < len(self.order):
            self.page = at // self._grid.slots
            self._on_choose(self.order[at])

    def event(self, event: QEvent) -> bool:
        """Arrows and Enter are this page's own; tells all alarms of the bed under the pointer."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
            if plain and (event.key() in _ARROWS or event.key() in _OPENS):
                event.accept()
                return True
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            name = self._bed_at(event.pos())
            if name is not None:
                QToolTip.showText(event.globalPos(), tooltip_words(self._tooltip(name)), self)
                return True
        return super().event(event)

    def _tooltip(self, name: str) -> str:
        tile = self._tiles.get(name)
        sensors: Sequence[str] = [f"{s.modality.value}: {s.words}" for s in tile.words.sensors] if tile else ()
        return "\n".join((self._said[name].told, *sensors))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows choose, Enter opens."""
        key = Qt.Key(event.key())
        if key in _ARROWS:
            self.go(*_ARROWS[key])
        elif key in _OPENS and self._chosen:
            self._on_open(self._chosen)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Opens the bed that was clicked; a click on what is said of other pages turns to the next."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._touched_s = self._now_s
        name = self._bed_at(event.position().toPoint())
        if name is not None:
            self._on_open(name)
        elif event.position().y() < _HEAD * self._look.unit and self._grid.pages(len(self.order)) > 1:
            self.page = (self.page + 1) % self._grid.pages(len(self.order))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """A hand at the tiles holds them where they are."""
        self._pointer_s = self._now_s

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Turns the pages."""
        if event.angleDelta().y():
            self.turn(-1 if event.angleDelta().y() > 0 else 1)

    # Qt -------------------------------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """The keys go here."""
        super().showEvent(event)
        self.setFocus()
        self._touched_s = self._now_s

    def resizeEvent(self, event: QResizeEvent) -> None:
        """All is laid out anew, at once: nothing of another size stays."""
        super().resizeEvent(event)
        self._ink = QPixmap()
        if self._ward is not None:
            self.renew(self._ward, self._now_s)
            self._waves_s = -1e9
            self.advance(self._ward, self._now_s)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Copies what has changed from the pixmap."""
        painter = QPainter(self)
        if self._ink.isNull():
            painter.fillRect(event.rect(), self._look.colour("panel"))
        ratio = self.devicePixelRatioF()
        for rect in event.region():  # type: ignore[attr-defined]
            painter.drawPixmap(rect, self._ink, QRect(rect.topLeft() * ratio, rect.size() * ratio))
        painter.end()
