"""What was recorded before this window was there, for the page of trends.

A helper thread goes through the recorder's file (:mod:`streams.sources.look_back`) from its beginning to when the bed
was first heard of here, when the page is first opened for that bed. It rests as long as it works, so that the waves
stay smooth, and takes ``MOST_BYTES`` of the file at most. What it finds is added to the trends in one go.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from models.signals.errors import VigilError
from models.signals.times import SECOND_NS
from streams.sources.look_back import LookBack
from ui.bed.bedside import Bedside
from ui.bed.trends import JOINED_S, Trends
from ui.bed.trends_past import TrendsFold
from ui.style.language import tr
from ui.style.theme import Theme
from ui.window.history import History

MOST_BYTES = 1 << 30
"""Of the recording, the newest before the window was opened: two days of one bed."""
PIECE_BYTES = 1 << 19
"""Read in one go: while it is, nobody looks back."""
FLUSHED_S = 3.0  # what a recorder takes is on the disk by then
LOOKED_FOR_S = 5.0  # so often for a file that is not there


class _NotThere(Exception):
    """Nothing is recorded, or not yet."""


@dataclass(slots=True)
class _Reading:
    """Of one bed. done_share: of what is to be read. trends: None where nothing was recorded. left: what of it is not
    there, words for the operator."""

    bed: str
    session: str
    until_ns: int
    cancel: threading.Event
    done_share: float = 0.0
    trends: Trends | None = None
    left: tuple[str, ...] = ()


class TrendsPast:
    """history: whose recording it is. worker: reads; by default a thread of its own. rest: waits so many seconds, less
    where the event is set."""

    def __init__(
        self,
        history: History,
        theme: Callable[[], Theme],
        worker: Executor | None = None,
        rest: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._history, self._theme, self._worker, self._rest = history, theme, worker, rest
        self._own = worker is None
        self._reading: tuple[_Reading, Future[None]] | None = None
        self._said: dict[str, tuple[str, str]] = {}  # bed -> of which session, and what is to be said of it for good
        self._again_s: dict[str, float] = {}

    def renew(self, bed: Bedside, now_s: float) -> str:
        """To be called while the page shows ``bed``: has it read, and adds what was; what is to be said of it."""
        look_back, trends = self._history.look_back, bed.state.trends
        if look_back is None:
            return ""
        if self._reading is not None and (self._reading[0].bed, self._reading[0].session) != (
            bed.name, trends.session):  # fmt: skip
            self._reading[0].cancel.set()
        if self._reading is not None and self._reading[1].done():
            (reading, future), self._reading = self._reading, None
            if not reading.cancel.is_set():
                self._take(reading, future, bed, now_s, look_back)
        if trends.joined_s is None:
            return ""
        session, words = self._said.get(bed.name, ("", ""))
        if session == trends.session and now_s < self._again_s.get(bed.name, float("inf")):
            return words
        if self._reading is not None:
            share = self._reading[0].done_share
            return tr("reading what was recorded before: {share:.0f} %", share=100.0 * share)
        if now_s < trends.joined_s + JOINED_S + FLUSHED_S:
            return words
        until_s = self._history.unix_s - (now_s - trends.joined_s) + JOINED_S
        reading = _Reading(bed.name, trends.session, round(until_s * SECOND_NS), threading.Event())
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "display-trends")
        self._reading = reading, self._worker.submit(self._read, look_back, reading)
        return words or tr("reading what was recorded before")

    def _take(self, reading: _Reading, future: Future[None], bed: Bedside, now_s: float, look_back: LookBack) -> None:
        self._again_s.pop(bed.name, None)
        try:
            future.result()
        except _NotThere:
            words = tr("what was before is not known: there is no recording {name}", name=look_back.name)
            self._again_s[bed.name] = now_s + LOOKED_FOR_S
        except (VigilError, OSError) as error:
            words = tr("what was before is not known: the recording cannot be read: {error}", error=error)
        else:
            words = "; ".join(reading.left)
            if reading.trends is not None:
                bed.state.trends.adopt(reading.trends, now_s - self._history.unix_s)
        self._said[bed.name] = reading.session, words

    def close(self) -> None:
        """Lets the helper end; waits for nothing."""
        if self._reading is not None:
            self._reading[0].cancel.set()
        if self._own and self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)

    # On the helper's thread -------------------------------------------------------------------------------------

    def _read(self, look_back: LookBack, reading: _Reading) -> None:
        more = True
        while more and not reading.cancel.is_set():
            with self._worked(reading), self._history.lock:  # let go of before the rest
                more = look_back.follow(PIECE_BYTES)
        with self._history.lock:
            begun = look_back.beginning(reading.bed, reading.until_ns, MOST_BYTES)
        if begun.spot is None and look_back.span_ns is None:
            raise _NotThere
        fold = TrendsFold(self._theme(), reading.bed, reading.session, begun.described)
        fold.tell(begun.alarms)
        spot, damaged = begun.spot, False
        while spot is not None and not reading.cancel.is_set():
            with self._worked(reading):
                with self._history.lock:
                    words = look_back.words(reading.bed, spot, reading.until_ns, PIECE_BYTES)
                fold.tell(words.told)
            spot, damaged = words.spot, damaged or words.damaged
            if words.told:
                whole_ns = max(1, reading.until_ns - begun.begin_ns)
                reading.done_share = min(1.0, (words.told[-1][0] - begun.begin_ns) / whole_ns)
        left = (
            ()
            if begun.whole
            else (tr("of what was recorded before only the newest {size} MB were read", size=MOST_BYTES >> 20),)
        )
        reading.left = (*left, tr("some of what was recorded before is damaged")) if damaged else left
        reading.trends = fold.trends

    @contextmanager
    def _worked(self, reading: _Reading) -> Iterator[None]:
        """Rests as long as the work in it took."""
        begun_s = time.monotonic()
        yield
        self._rest(reading.cancel, min(1.0, time.monotonic() - begun_s))
