"""What is on the screen and where it lies: bars above and below, and between them one page at a time.

The first page is the bedside (waves, numerics, predictions). Others are put in with :meth:`Screen.add_page`; the bars
with alarms and status stay over every page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from PySide6.QtCore import QPoint, QRect, QSize
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from ui.bed.lanes import Lane
from ui.bed.readouts import Readout
from ui.bed.state import DisplayState
from ui.bed.ward import Ward
from ui.panels.alarm_list import AlarmList
from ui.panels.bed_strip import HEIGHT as BEDS_HEIGHT
from ui.panels.bed_strip import BedStrip
from ui.panels.flashes import Flash
from ui.panels.help_overlay import HelpOverlay
from ui.panels.hidden_rows import HEIGHT as HIDDEN_HEIGHT
from ui.panels.hidden_rows import HiddenRows, hidden_row
from ui.panels.history_band import HEIGHT as BAND_HEIGHT
from ui.panels.history_band import HistoryBand
from ui.panels.limits_panel import LimitsPanel
from ui.panels.numerics import NumericsPanel
from ui.panels.prediction_tile import MadeFromTile, PredictionTile
from ui.panels.replay_bar import ReplayBar
from ui.panels.small_numerics import HEIGHT as SMALL_HEIGHT
from ui.panels.small_numerics import SmallNumerics
from ui.panels.sound_sign import WIDTH as SOUND_WIDTH
from ui.panels.sound_sign import SoundSign
from ui.panels.toast import Toast
from ui.panels.top_bar import Banner, TopBar
from ui.panels.worth_table import WorthTable
from ui.style.look import Look
from ui.waves.sweep import SweepView
from ui.window.menu import MainMenu

BEDSIDE = "bedside"
_TOP_HEIGHT, _BANNER_HEIGHT, _TILES_HEIGHT, _REPLAY_HEIGHT = 60, 28, 110, 36


class Page(Protocol):
    """What a page beside the bedside can do; a QWidget."""

    def renew(self, ward: Ward, now_s: float) -> None:
        """Ten times a second while it is on show; ``now_s`` monotonic."""


@runtime_checkable
class MovingPage(Page, Protocol):
    """A page on which something moves."""

    def advance(self, ward: Ward, now_s: float) -> None:
        """Once a frame while it is on show."""


class Screen(QWidget):
    """act: does the action of a name (:mod:`ui.panels.shortcuts`), with its arguments. ``page``: which is on show."""

    def __init__(self, look: Look, state: DisplayState, act: Callable[..., Any], menu: MainMenu) -> None:
        super().__init__()
        self._look = look
        self.top = TopBar(look, partial(act, "toggle_alarms"), partial(act, "acknowledge_alarm"))
        self.sound = SoundSign(look, self.top)
        self.banner = Banner(look)
        self.beds = BedStrip(look, partial(act, "show_bed"))
        self.past = HistoryBand(look, partial(act, "back_to_live"))
        self.sweep = SweepView(state, look)
        self.numerics = NumericsPanel(look, partial(act, "toggle_limits"))
        self.small = SmallNumerics(look, partial(act, "toggle_limits"))
        self.hidden = HiddenRows(look, partial(act, "choose_rows"))
        self.prediction = PredictionTile(look)
        self.made_from = MadeFromTile(look, partial(act, "toggle_worth"))
        self.replay = ReplayBar(
            look,
            partial(act, "toggle_pause"),
            partial(act, "set_speed"),
            partial(act, "go_to"),
            partial(act, "step"),
            menu,
            partial(act, "back_to_live"),
        )
        self._stack = QStackedWidget()
        self._pages: dict[str, QWidget] = {}
        self.page, self._opened_from = BEDSIDE, ""
        self._put(BEDSIDE, self._bedside())
        column = self._column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._room = QWidget()
        for bar in (self.top, self.beds, self._room):
            column.addWidget(bar)
        column.addWidget(self._stack, 1)
        column.addWidget(self.replay)
        for over in (self.banner, self.past):
            over.setParent(self)
            over.hide()
        self.alarms = AlarmList(look, self, partial(act, "acknowledge_alarm"))
        self.limits = LimitsPanel(look, self, partial(act, "set_limits"))
        self.worth = WorthTable(look, self)
        self.help = HelpOverlay(look, self)
        self.toast = Toast(look, self)

    def _bedside(self) -> QWidget:
        self.tiles = QWidget()
        tiles = self._row = QHBoxLayout(self.tiles)
        tiles.addWidget(self.prediction, 7)
        tiles.addWidget(self.made_from, 4)
        waves = QHBoxLayout()
        waves.setSpacing(0)
        waves.addWidget(self.sweep, 1)
        waves.addWidget(self.numerics)
        bedside = QWidget()
        column = QVBoxLayout(bedside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(waves, 1)
        column.addWidget(self.small)
        column.addWidget(self.hidden)
        column.addWidget(self.tiles)
        return bedside

    # Pages --------------------------------------------------------------------------------------------------------

    def add_page(self, name: str, page: Page) -> None:
        """One more page, a QWidget."""
        assert isinstance(page, QWidget)
        self._put(name, page)

    def _put(self, name: str, page: QWidget) -> None:
        self._pages[name] = page
        self._stack.addWidget(page)

    def turn_to(self, name: str) -> None:
        """Put the page of a name on show; ``page`` is the name of that."""
        self.page, self._opened_from = name, ""
        self._stack.setCurrentWidget(self._pages[name])

    def renew(self, ward: Ward, now_s: float) -> None:
        """See :meth:`Page.renew`, of the page on show."""
        page: Any = self._pages[self.page]
        if self.page != BEDSIDE:
            page.renew(ward, now_s)

    def advance(self, ward: Ward, now_s: float) -> None:
        """See :meth:`MovingPage.advance`, of the page on show."""
        page = self._pages[self.page]
        if isinstance(page, MovingPage):
            page.advance(ward, now_s)

    def open_bedside(self) -> None:
        """To the bedside from another page, to which :meth:`back` leads."""
        page = self.page
        self.turn_to(BEDSIDE)
        self._opened_from = page if page != BEDSIDE else ""

    def back(self) -> bool:
        """To the page from which the bedside was opened; False where it was not."""
        page = self._opened_from
        if page:
            self.turn_to(page)
        return bool(page)

    def show_numbers(
        self, lanes: list[Lane], readouts: list[Readout], beat: bool, flashes: Sequence[Flash | None]
    ) -> None:
        """Of all lanes, those on show first: beside their waves, and of the hidden ones in a line below. Not there is
        what has no number that would be missed: a further lead, the airway's pressure."""
        rows = self.sweep.lane_rows
        shown = len(rows)
        self.numerics.show_readouts(lanes[:shown], rows, readouts[:shown], beat, flashes[:shown])
        hidden = zip(lanes[shown:], readouts[shown:], flashes[shown:], strict=True)
        self.hidden.show_rows([hidden_row(*one) for one in hidden if one[1].value])

    # Sizes --------------------------------------------------------------------------------------------------------

    def fit(self, width: int) -> None:
        """Heights, margins and fonts for a window so wide."""
        look = self._look
        sheet = f"background: {look.theme.colour['background']};"
        if self.styleSheet() != sheet:
            self.setStyleSheet(sheet)
        self.top.setFixedHeight(look.px(_TOP_HEIGHT))
        self.beds.setFixedHeight(look.px(BEDS_HEIGHT))
        self._room.setFixedHeight(look.px(_BANNER_HEIGHT))
        self.hidden.setFixedHeight(look.px(HIDDEN_HEIGHT))
        self.small.setFixedHeight(look.px(SMALL_HEIGHT))
        self.top.reserved = look.px(SOUND_WIDTH) + 8 * look.unit
        self.replay.setFixedHeight(look.px(_REPLAY_HEIGHT))
        self.tiles.setFixedHeight(look.px(_TILES_HEIGHT))
        self._row.setContentsMargins(look.px(18), look.px(6), look.px(18), look.px(6))
        self._row.setSpacing(look.px(14))
        self.numerics.setFixedWidth(min(look.px(372), round(width * 0.29)))
        self.replay.restyle()

    def cover(self, window: QSize, *, beds: bool) -> None:
        """Places what lies over the pages. The list of alarms covers waves: neither a number nor the ``beds``. The
        banner has room of its own, the band of the past covers the headings of the first row besides: lanes keep place
        and size, and alarms stay free."""
        self.help.setGeometry(self.rect())
        self.sound.setGeometry(round(self.top.signs_left), 0, self._look.px(SOUND_WIDTH), self.top.height())
        top = self._look.px(_TOP_HEIGHT) + (self._look.px(BEDS_HEIGHT) if beds else 0)
        room, band = self._look.px(_BANNER_HEIGHT), self._look.px(BAND_HEIGHT)
        said = 0 if self.banner.isHidden() else room
        self.banner.setGeometry(0, top, window.width(), room)
        self.past.setGeometry(0, top + said, window.width(), band)
        over = 0 if self.page == BEDSIDE or self.past.isHidden() else said + band - room  # no lanes, but buttons
        self._room.setFixedHeight(room + over)
        top += room
        waves = QRect(0, top, window.width() - self.numerics.width(), round(window.height() * 0.6))
        if self.alarms.room != waves:
            self.alarms.give_room(waves)
        floor = self._stack.geometry().bottom() - self.tiles.height()
        self.worth.give_room(QRect(0, top, waves.width(), max(1, floor - top)))
        self.limits.place(self.rect().adjusted(0, top, -self.numerics.width(), -self.replay.height()))
        self.toast.give_room(self.free)

    @property
    def free(self) -> QRect:
        """Where words may lie for a while: over the waves, not over a number; or over another page."""
        if self.page != BEDSIDE:
            return self._stack.geometry()
        return QRect(self.sweep.mapTo(self, QPoint()), self.sweep.size())

    def settle(self) -> None:
        """What has been shown or hidden has its place at once, not with the next event."""
        self._column.activate()
