"""What is asked to be opened, one thing at a time, while what is on the screen goes on. No Qt, no clock of its own.

A choice is opened in a helper thread (:class:`Opener`), which may take long: a large file, a server, a device. The
newest choice wins; one that was given up is closed again as soon as it is open. Nothing here waits.

    idle → ASKED (the patient on the screen is live or being recorded: is that to end?) → OPENING → opened
                                                                            ↘ FAILED, one sentence
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Event
from typing import Protocol

from models.signals.errors import VigilError
from streams.control import SessionControl
from streams.feed import DisplayFeed
from ui.style.language import tr

log = logging.getLogger("vigil.door")

LONGEST_WORDS = 900
_NAMED = re.compile(r"[A-Za-z][A-Za-z0-9_]+:")  # two letters at least: the drive of a path has one


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be opened: ``sources`` as the command line has them, each a bed; from which second on."""

    sources: tuple[str, ...]
    from_s: float = 0.0

    @property
    def title(self) -> str:
        """
        >>> Choice(("/home/x/case.vital",)).title, Choice(("demo:scenario=pea",)).title, Choice(("a", "b/c.edf")).title
        ('case.vital', 'demo:scenario=pea', 'a and c.edf')
        """
        names = [word if _NAMED.match(word) else Path(word).name or word for word in self.sources]
        if len(names) == 2:
            return tr("{one} and {other}", one=names[0], other=names[1])
        return names[0] if len(names) == 1 else tr("{one} and {number} more", one=names[0], number=len(names) - 1)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that runs, and what a display needs of it. close: ends it and finishes its files, and waits for that;
    raises what could not be finished."""

    choice: Choice
    control: SessionControl
    feed: DisplayFeed
    recording: Path | None
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Recent:
    """Something that was open before: where it was left (s; None where it was over or live), when (seconds from 1970),
    and whether a file of it is not there any more."""

    choice: Choice
    position_s: float | None
    left_unix_s: float
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A stream or device of the network: the word that opens it, what it says of itself, and why it cannot be opened
    ("" where it can)."""

    word: str
    title: str
    detail: str
    unusable: str = ""


class Opener(Protocol):
    """What the display asks of the program behind it. All of it may wait, and is called from helper threads."""

    @property
    def scenarios(self) -> Sequence[str]:
        """Of the built-in patient, by name; no waiting."""

    def open(self, choice: Choice, cancelled: Event) -> Opened:
        """The session, as soon as its channels are known. ``cancelled``: nobody wants it any more. VigilError with one
        sentence where it cannot be opened."""

    def entered(self, opened: Opened) -> None:
        """It is on the screen."""

    def left(self, choice: Choice, position_s: float | None) -> None:
        """It is, or was last, at this second; None: over, or live."""

    def recent(self) -> tuple[Recent, ...]:
        """What was open before, newest first."""

    def forget(self) -> None:
        """Keep nothing of what was open before."""

    def find(self, scheme: str) -> tuple[Found, ...]:
        """What there is on the network, by a device's scheme (``lsl``). VigilError where it cannot be looked for."""

    @property
    def details(self) -> str:
        """Where the details of an error are."""


class Stage(Enum):
    """How far it is; see the module."""

    ASKED = "asked"
    OPENING = "opening"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Notice:
    """What to say over the window. ``answers``: words on a button, and the method of :class:`Opening` that it calls;
    the first changes nothing, and is what Esc means."""

    stage: Stage
    title: str
    words: str
    answers: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Attempt:
    choice: Choice
    since_s: float
    cancelled: Event
    future: Future[Opened]


@dataclass(frozen=True, slots=True)
class _Failure:
    """choice: what can be tried again, None for nothing."""

    title: str
    sentence: str
    choice: Choice | None


class Opening:
    """worker: runs what may wait, each call at once and apart from the others."""

    def __init__(self, opener: Opener, worker: Executor) -> None:
        self._opener, self._worker = opener, worker
        self._attempt: _Attempt | None = None
        self._given_up: list[_Attempt] = []
        self._asked: tuple[Choice, str] | None = None
        self._failed: _Failure | None = None
        self.closings: list[Future[None]] = []
        """Of sessions that are being ended."""

    # What is asked for ------------------------------------------------------------------------------------------

    def ask(self, choice: Choice, now_s: float, ends: str = "") -> None:
        """Open it. ends: what of the patient on the screen would end with that, and is asked about first."""
        self.dismiss()
        self.cancel()
        if ends:
            self._asked = choice, ends
        else:
            self._begin(choice, now_s)

    def confirm(self, now_s: float) -> None:
        """What is on the screen may end."""
        if self._asked is not None:
            (choice, _), self._asked = self._asked, None
            self._begin(choice, now_s)

    def retry(self, now_s: float) -> None:
        """What has failed, once more."""
        if self._failed is not None:
            choice, self._failed = self._failed.choice, None
            if choice is not None:
                self._begin(choice, now_s)

    def refuse(self, sentence: str, title: str = "") -> None:
        """Say what cannot even be tried, or has gone wrong without being asked for."""
        self.dismiss()
        self._failed = _Failure(title or tr("Nothing was opened"), sentence, None)

    def cancel(self) -> None:
        """Give up what is being opened."""
        if self._attempt is not None:
            self._attempt.cancelled.set()
            self._given_up.append(self._attempt)
            self._attempt = None

    def dismiss(self) -> None:
        """The question is answered with no, the sentence is read."""
        self._asked = self._failed = None

    def _begin(self, choice: Choice, now_s: float) -> None:
        cancelled = Event()
        self._attempt = _Attempt(choice, now_s, cancelled, self._worker.submit(self._opener.open, choice, cancelled))

    # What comes -------------------------------------------------------------------------------------------------

    def poll(self) -> Opened | None:
        """What has been opened since the last call; it is the caller's to show and to end."""
        for late in [one for one in self._given_up if one.future.done()]:
            self._given_up.remove(late)
            self._close_again(late)
        attempt = self._attempt
        if attempt is None or not attempt.future.done():
            return None
        self._attempt = None
        error = attempt.future.exception()
        if error is None:
            return attempt.future.result()
        title = attempt.choice.title
        sentence = self.sentence(tr("{title} could not be opened", title=title), error)
        self._failed = _Failure(tr("{title} was not opened", title=title), sentence, attempt.choice)
        return None

    def _close_again(self, attempt: _Attempt) -> None:
        error = attempt.future.exception()
        if error is None:
            self.end(attempt.future.result())
        elif not isinstance(error, VigilError):
            self.sentence("", error)  # nobody waits for it, but the log

    def sentence(self, what: str, error: BaseException) -> str:
        """What to say of an error: its own sentence, if it was raised on purpose; else ``what`` has gone wrong, and
        where the details are."""
        if isinstance(error, VigilError):
            return str(error)
        log.error("%s", type(error).__name__, exc_info=error)
        return tr(
            "{what}, by a fault of this program ({fault}); the details are {where}.",
            what=what,
            fault=type(error).__name__,
            where=self._opener.details,
        )

    def end(self, opened: Opened) -> None:
        """End a session, in a helper thread."""
        self.closings.append(self._worker.submit(opened.close))

    def ended(self) -> list[str]:
        """A sentence for each session whose end has gone wrong since the last call."""
        done = [closing for closing in self.closings if closing.done()]
        self.closings = [closing for closing in self.closings if closing not in done]
        wrong = [error for closing in done if (error := closing.exception()) is not None]
        return [self.sentence(tr("The run before did not end well"), error) for error in wrong]

    def close(self, opening_s: float, closing_s: float) -> list[Future[None]]:
        """Give everything up and wait, at most so long, until it has been opened, and ended: how the ends went."""
        self.cancel()
        wait([attempt.future for attempt in self._given_up], opening_s)
        self.poll()
        return list(wait(self.closings, closing_s).done)

    # What is said -----------------------------------------------------------------------------------------------

    def notice(self, now_s: float, *, behind: bool = False) -> Notice | None:
        """What to say of it all. behind: whether a patient is on the screen behind it."""
        if self._asked is not None:
            choice, ends = self._asked
            return Notice(
                Stage.ASKED,
                ends,
                tr("Open {title} in its place?", title=choice.title),
                ((tr("Stay"), "dismiss"), (tr("End it, and open"), "confirm")),
            )
        if self._attempt is not None:
            seconds = max(0, int(now_s - self._attempt.since_s))
            goes_on = tr("What is on the screen goes on until then.") + " " if behind else ""
            return Notice(
                Stage.OPENING,
                tr("Opening {title} …", title=self._attempt.choice.title),
                f"{goes_on}{seconds} s",
                ((tr("Cancel"), "cancel"),),
            )
        if self._failed is not None:
            title, sentence, again = self._failed.title, self._failed.sentence, self._failed.choice is not None
            words = sentence if len(sentence) <= LONGEST_WORDS else f"{sentence[:LONGEST_WORDS]} …"
            return Notice(
                Stage.FAILED, title, words, ((tr("Close"), "dismiss"), (tr("Try again"), "retry"))[: 1 + again]
            )
        return None
