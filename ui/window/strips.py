"""Strips on paper and tables of what is shown: taken at one go, written by the helper thread of the pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ui.bed.bedside import Bedside
from ui.bed.past import Page, day_words, wall_words
from ui.bed.strip import Strip, strip_of, table
from ui.style.language import tr
from ui.style.theme import Theme
from ui.style.words import bed_title, clock_words
from ui.waves.scales import Scale
from ui.waves.strip_paper import write_strip
from ui.window.freeze import Freeze
from ui.window.picture import Pictures

STRIP_S = 10.0


class Strips:
    """say: tells the operator a few words; where a file went is said by a later frame."""

    def __init__(self, freeze: Freeze, pictures: Pictures, theme: Theme, say: Callable[[str], None]) -> None:
        self._ward, self._sweep, self._history, self._freeze = freeze.ward, freeze.sweep, freeze.history, freeze
        self._pictures, self._theme, self._say = pictures, theme, say

    def print_strip(self, seconds: float = STRIP_S) -> None:
        """A PDF of the page that stands, else of the last ``seconds``."""
        taken = self._take(seconds)
        if taken is not None:
            self._pictures.write("pdf", partial(_write_pdf, *taken, self._theme))

    def save_table(self) -> None:
        """The page that stands, else the last ten seconds, as CSV."""
        taken = self._take(STRIP_S)
        if taken is not None:
            self._pictures.write("csv", partial(_write_csv, taken[0]))

    def _take(self, seconds: float) -> tuple[Strip, list[Scale]] | None:
        bed, head_s, page = self._ward.on_show, self._sweep.head_s, self._history.page
        shown = page or self._freeze.view
        if head_s is None or not self._sweep.isVisible():
            self._say(tr("there are no waves on the screen to take"))
            return None
        state = shown.state if shown is not None else bed.state
        begin_s = max(head_s - (self._sweep.page_s if shown is not None else seconds), state.clock.first_s)
        title = bed.snapshot.title if bed.snapshot is not None else ""
        lanes = self._sweep.lanes
        scales = [self._sweep.scale_of(lane).scale for lane in lanes]
        when = self._when(bed, page, begin_s, head_s)
        marks = self._freeze.flags(begin_s, head_s)
        strip = strip_of(lanes, begin_s, head_s, bed=bed_title(bed.name), title=title, when=when, marks=marks)
        return strip, scales

    def _when(self, bed: Bedside, page: Page | None, begin_s: float, head_s: float) -> str:
        """Of when it is, on the wall where that is known, and when it was printed."""
        unix_s = self._history.unix_s
        span = {"begin": clock_words(begin_s), "end": clock_words(head_s)}
        live = bed.snapshot is not None and not bed.snapshot.status.seekable
        of_live = tr("{begin} to {end} of the live source", **span)
        event = of_live if live else tr("{begin} to {end} of the recording", **span)
        what = tr("PAST") if page is not None else tr("FROZEN") if self._freeze.view is not None else tr("LIVE")
        wall = " · " + tr("at {time}", time=day_words(page.at_s, unix_s)) if page is not None else ""
        missing = f" · {page.missing}" if page is not None and page.missing else ""
        return f"{what} {event}{wall}{missing} · " + tr("printed {time}", time=wall_words(unix_s))


def _write_pdf(strip: Strip, scales: list[Scale], theme: Theme, path: Path) -> bool:
    return write_strip(strip, theme, scales, str(path))


def _write_csv(strip: Strip, path: Path) -> bool:
    path.write_text(table(strip), encoding="utf-8")
    return True
