"""The prediction on the screen: its tile and what it was made from, and on demand what each sensor is worth to it.

Asking never waits, and the answer is of the bed that was on show when it was asked.
"""

from __future__ import annotations

from collections.abc import Callable

from ui.bed.bedside import Bedside
from ui.bed.past import Page
from ui.bed.prediction_view import prediction_words
from ui.bed.ward import Ward
from ui.bed.worth_view import worth_words
from ui.window.control_link import ControlLink
from ui.window.screen import Screen


class PredictionDesk:
    """now_s: monotonic seconds."""

    def __init__(self, link: ControlLink, ward: Ward, face: Screen, now_s: Callable[[], float]) -> None:
        self._link, self._ward, self._now = link, ward, now_s
        self._tile, self._made_from, self._table = face.prediction, face.made_from, face.worth
        self._asked: tuple[str, int, float] | None = None  # of which bed and fresh start, when

    def say(self, bed: Bedside, page: Page | None) -> None:
        """Ten times a second: of the bed on show, or of the page of its past, which has no table."""
        state, moment = (bed.state, bed.moment) if page is None else (page.state, page.moment)
        words = prediction_words(state, moment)
        self._tile.show_prediction(words, state.trend, state.maps, moment.event_s)
        self._made_from.show_prediction(words)
        if page is not None:
            self._table.hide()
        self._say_worth(bed)
        record = bed.state.prediction
        if page is None and record is not None and record.window_end_ns != bed.prediction_seen:
            bed.prediction_seen = record.window_end_ns
            due = record.stamps_ns.get("due", 0)
            if due:
                self._link.report_shown("window_to_screen", due, round(self._now() * 1e9))

    def toggle_worth(self) -> None:
        """Ask what each sensor is worth and show it, or put that away."""
        if self._table.isVisible():
            self._table.hide()
        else:
            self.ask_worth()

    def ask_worth(self) -> None:
        """Ask, and show what comes."""
        bed = self._ward.on_show
        self._asked = (bed.state.bed, bed.state.generation, self._now())
        self._link.do("what each sensor is worth", lambda control: control.explain())
        self._say_worth(bed)
        self._table.show()
        self._table.raise_()

    def _say_worth(self, bed: Bedside) -> None:
        asked = self._asked
        mine = asked is not None and asked[:2] == (bed.state.bed, bed.state.generation)
        self._table.show_worth(worth_words(bed.state, bed.moment, asked[2] if asked is not None and mine else None))
