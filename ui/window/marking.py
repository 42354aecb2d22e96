"""Marks that the operator sets: a key, a word if wanted, and a command to the bed, by which it is recorded."""

from __future__ import annotations

from collections.abc import Callable

from ui.bed.ward import Ward
from ui.panels.mark_entry import MarkEntry
from ui.style.language import tr
from ui.style.look import Look
from ui.style.words import clock_words
from ui.window.control_link import ControlLink
from ui.window.screen import Screen


class Marking:
    """say: tells the operator a few words. A mark is drawn when it has come back by the stream."""

    def __init__(self, link: ControlLink, ward: Ward, look: Look, face: Screen, say: Callable[[str], None]) -> None:
        self._link, self._ward, self._face, self._say = link, ward, face, say
        self.entry = MarkEntry(look, self._set, face)

    def mark_now(self) -> None:
        """Asks for the word of a mark at this moment."""
        clock = self._ward.on_show.state.clock
        if clock.started:
            self.entry.ask(clock.position_s, self._face.free)
        else:
            self._say(tr("nothing has arrived yet that could be marked"))

    def _set(self, time_s: float, word: str) -> None:
        at = clock_words(time_s)
        self._link.do(f"mark at {at}", lambda control: control.mark(time_s, word))
        self._say(tr("marked at {time}", time=at) + (f": {word}" if word else ""))
