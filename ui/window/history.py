"""Looking back in a live run: which moment is on the screen, and where it is read.

A helper thread follows the recorder's file and reads one page at a time (:mod:`ui.bed.past`); of several requests the
newest wins, so that who holds a key down waits for one page, not for each that was passed. The window's thread asks,
and takes what is there (:meth:`History.poll`). Until a page has come, what was on the screen stays, under its own name.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from models.signals.errors import VigilError
from streams.control import SessionStatus
from streams.sources.look_back import LookBack
from ui.bed.past import LEAD_S, LONGEST_PAGE_S, WORDS_S, Page, page_of
from ui.panels.replay_bar import Recorded
from ui.style.language import tr
from ui.style.theme import Theme

FIRST_LOOK_S = 30.0
"""So far back the first look is."""
NEAREST_S = 2.0  # a moment that is nearer to now is now: the recorder has not handed it to the disk yet
FOLLOW_S = 2.0
NOBODY_LOOKS_S = 300.0
"""Without a key or a click for so long the screen goes back to now."""


@dataclass(frozen=True, slots=True)
class Request:
    """A page that is wanted: which bed, at which moment (seconds from 1970), so many seconds of paper."""

    bed: str
    at_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class _Answer:
    span_s: tuple[float, float] | None
    page: Page | None
    more: bool


def moved(at_s: float | None, by_s: float, span_s: tuple[float, float], now_s: float) -> float | None:
    """Where a look leads that goes ``by_s`` on from ``at_s`` (None: now): within the recording, None for now."""
    target = max((now_s if at_s is None else at_s) + by_s, span_s[0])
    return None if target > now_s - NEAREST_S else target


class History:
    """``page``: what is on the screen in place of the live bed, None while that is live. recording: where the run is
    recorded, None where it is not. unix: seconds from 1970."""

    def __init__(
        self,
        recording: Path | None,
        theme: Theme,
        *,
        worker: Executor | None = None,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._theme, self._unix = theme, unix
        self.look_back = LookBack(recording) if recording is not None else None
        """Of the recording; for one thread at a time, which holds ``lock``."""
        self.lock = threading.Lock()
        self._worker = worker or (ThreadPoolExecutor(1, "display-history") if recording is not None else None)
        self._own = worker is None
        self._reading: tuple[Request | None, Future[_Answer]] | None = None
        self._wanted: Request | None = None
        self._asked_s: float | None = None  # the moment that was asked for last; None: now
        self._bed = ""  # and of which bed
        self._followed_s = self._touched_s = -math.inf
        self.span_s: tuple[float, float] | None = None
        """Of the recording, seconds from 1970; None before its first record is on the disk."""
        self.page: Page | None = None
        self.failure = ""
        """Why it cannot be read, as a sentence."""

    @property
    def recorded(self) -> bool:
        """Whether there is a recording to look back in."""
        return self.look_back is not None

    @property
    def unix_s(self) -> float:
        """The wall clock."""
        return self._unix()

    @property
    def looking(self) -> bool:
        """Whether another moment than now is on the screen, or asked for."""
        return self.page is not None or self._asked_s is not None

    def recorded_span(self, status: SessionStatus) -> Recorded | None:
        """What the bar shows of a live bed's recording; None for one that is sought, unless its past is on show."""
        if self.span_s is None or (status.seekable and self.page is None):
            return None
        return Recorded(self.span_s[0], self.unix_s, self.page.at_s if self.page is not None else None)

    # What is asked for ------------------------------------------------------------------------------------------

    def look(self, by_s: float, bed: str, seconds: float, now_s: float) -> bool:
        """Go ``by_s`` on from the moment on the screen; whether that is a look into the past. Needs a ``span_s``."""
        assert self.span_s is not None, "asked before"
        return self.look_at(moved(self._asked_s, by_s, self.span_s, self._unix()), bed, seconds, now_s)

    def look_at(self, at_s: float | None, bed: str, seconds: float, now_s: float) -> bool:
        """Look at a moment; None, or one too near to now, is live."""
        self._touched_s = now_s
        if at_s is None or at_s > self._unix() - NEAREST_S:
            self.back()
            return False
        self._asked_s, self._bed = at_s, bed
        self._wanted = Request(bed, at_s, min(seconds, LONGEST_PAGE_S))
        self._submit()
        return True

    def touch(self, now_s: float) -> None:
        """Somebody is at work on what is on the screen."""
        self._touched_s = now_s

    def renew(self, seconds: float) -> None:
        """The page on the screen has another length now; read it again."""
        if self.page is not None and self._asked_s is not None and abs(self.page.seconds - seconds) > 0.01:
            wanted = Request(self.page.bed, self._asked_s, min(seconds, LONGEST_PAGE_S))
            reading = self._reading[0] if self._reading is not None else None
            if wanted not in (self._wanted, reading) and wanted.seconds != self.page.seconds:
                self._wanted = wanted

    def back(self) -> None:
        """Now is on the screen again."""
        self._asked_s = self._wanted = self.page = None

    # What comes -------------------------------------------------------------------------------------------------

    def poll(self, now_s: float) -> str:
        """Takes what has been read, and has more read; once a frame. A sentence for the operator, or ""."""
        said = ""
        if self._reading is not None and self._reading[1].done():
            (request, future), self._reading = self._reading, None
            said = self._take(request, future)
        if self.looking and now_s - self._touched_s > NOBODY_LOOKS_S:
            self.back()
            said = tr("nobody looked back any more: this is live")
        if self.look_back is not None and now_s - self._followed_s >= FOLLOW_S and self._reading is None:
            self._followed_s = now_s
            self._submit(follow=True)
        else:
            self._submit()
        return said

    def _take(self, request: Request | None, future: Future[_Answer]) -> str:
        try:
            answer = future.result()
        except (VigilError, OSError) as error:
            self.failure = tr("The recording cannot be read: {error}", error=error)
            if request is not None:
                self.back()
            return self.failure if request is not None else ""
        self.failure, self.span_s = "", answer.span_s
        if answer.more:
            self._followed_s = -math.inf  # the rest as soon as nothing else is wanted
        if answer.page is not None and self._asked_s is not None and answer.page.bed == self._bed:
            self.page = answer.page  # also one that was passed meanwhile: it says itself of when it is
        return ""

    def _submit(self, *, follow: bool = False) -> None:
        if self._reading is not None or self._worker is None or not (follow or self._wanted is not None):
            return
        request, self._wanted = self._wanted, None
        self._reading = request, self._worker.submit(self._read, request)

    def close(self) -> None:
        """Lets the helper end; waits for nothing."""
        if self._own and self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)

    # On the helper's thread -------------------------------------------------------------------------------------

    def _read(self, request: Request | None) -> _Answer:
        look_back = self.look_back
        assert look_back is not None
        with self.lock:
            return self._read_in(look_back, request)

    def _read_in(self, look_back: LookBack, request: Request | None) -> _Answer:
        more = look_back.follow()
        while more and request is not None:  # what was asked for may lie there
            more = look_back.follow()
        page = None
        if request is not None:
            past = look_back.past(request.bed, round(request.at_s * 1e9), request.seconds + LEAD_S, WORDS_S)
            page = page_of(past, self._theme, request.seconds)
        span = look_back.span_ns
        return _Answer(None if span is None else (span[0] * 1e-9, span[1] * 1e-9), page, more)
