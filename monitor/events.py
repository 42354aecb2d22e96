"""``--log-json``: what a role says of itself, one JSON object a line on the error stream, for whoever collects logs.

    {"time": …, "role": "worker", "session": …, "event": "bed", "bed": "b-3f0c…"}

A bed is named by a keyed hash: the same wherever the same salt is known (``VIGIL_LOG_SALT``, or ``[log] salt_file``),
else only within the process. Errors are told by their kind and what was expected, never by what was found in a file.
"""

from __future__ import annotations

import hmac
import io
import json
import logging
import os
import secrets
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TextIO

from models.signals.errors import BackendUnavailable, BadInput, VigilError
from monitor.config import SALT
from monitor.config_keys import LogKeys
from monitor.redaction import HIDDEN
from streams.snapshot import Snapshot, unwell

LEAST_SALT = 16
OWN = ("vigil.session", "vigil.inference")
"""Loggers whose words are ours to the last; a device's driver quotes the device."""

Fact = str | int | float | bool | None


class EventLog:
    """Writes events of one role to ``out``. Thread-safe. now: the time of day."""

    def __init__(
        self,
        role: str,
        salt: bytes,
        out: TextIO,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._role, self._salt, self._out, self._now = role, salt, out, now
        self._lock = Lock()
        self.session = ""
        """The name of the session; "" before there is one."""

    def __call__(self, event: str, bed: str | None = None, **facts: Fact) -> None:
        """One line. Texts among ``facts`` go through what is hidden."""
        time = self._now().isoformat(timespec="milliseconds")
        line: dict[str, Fact] = {"time": time, "role": self._role, "session": self.session, "event": event}
        if bed is not None:
            line["bed"] = pseudonym(bed, self._salt)
        line |= {name: HIDDEN(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        with self._lock:
            self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._out.flush()


def pseudonym(bed: str, salt: bytes) -> str:
    """What a log calls a bed.

    >>> pseudonym("3", b"a salt that nobody knows")
    'b-d028d9875c06'
    """
    return f"b-{hmac.digest(salt, bed.encode(), 'sha256').hex()[:12]}"


def salt_of(keys: LogKeys, environment: Mapping[str, str] = os.environ) -> bytes:
    """From the environment or the file that the settings name; else one of this process alone. BadInput for one that
    could be guessed: there are few beds, so the salt is all that hides them."""
    if text := environment.get(SALT):
        salt, where = text.encode(), SALT
    elif keys.salt_file:
        path, where = Path(keys.salt_file), "the file of [log] salt_file"
        try:
            salt = path.read_bytes().strip()
        except OSError as error:
            raise BadInput(
                "the salt in the file of [log] salt_file", f"{path} ({error.strerror})", "make it"
            ) from error
    else:
        return secrets.token_bytes(32)
    if len(salt) < LEAST_SALT:
        raise BadInput(f"at least {LEAST_SALT} bytes in {where}", f"{len(salt)}", "make it of random letters")
    return salt


class Watcher:
    """Looks at a role now and then, and says what has changed. session: its name. beds: their names."""

    def __init__(
        self, say: EventLog, session: str, read: Callable[[], Snapshot], beds: Callable[[], Iterable[str]]
    ) -> None:
        self._say, self._read, self._beds = say, read, beds
        say.session = session
        self._known: set[str] = set()
        self._dead_letters = 0
        self._reason: str | None = None

    def look(self, now_ns: int) -> None:
        """At the moment ``now_ns`` of the monotonic clock."""
        now = self._read()
        names = set(self._beds())
        for bed in sorted(names - self._known):
            self._say("bed", bed)
        for bed in sorted(self._known - names):
            self._say("bed gone", bed)
        self._known = names
        if now.counts["dead_letters"] > self._dead_letters:
            self._dead_letters = now.counts["dead_letters"]
            self._say("dead letters", count=self._dead_letters)
        if (reason := unwell(now, now_ns)) != self._reason:
            self._say("unwell" if reason else "well", reason=reason)
            self._reason = reason

    def end(self) -> None:
        """The role has ended: what it did, in numbers."""
        now = self._read()
        lost = sum(counts["lost"] for counts in now.samples.values())
        counts: dict[str, Fact] = dict(now.counts)
        self._say("ended", None, beds=now.beds, samples_lost=lost, **counts)


@contextmanager
def events(keys: LogKeys, role: str) -> Iterator[EventLog | None]:
    """Inside, whatever the process says is an event; None, and all as ever, where the settings do not ask for it.

    Leaves with the exit code of what went wrong, which is said as an event too.
    """
    if not keys.json:
        yield None
        return
    say = EventLog(role, salt_of(keys), sys.stderr)
    handler = _Handler(say)
    logging.getLogger().addHandler(handler)
    say("started")
    try:
        with redirect_stderr(_Lines(say)):
            yield say
    except VigilError as error:
        expected = error.expected if isinstance(error, BadInput) else None
        say("failed", kind=type(error).__name__, expected=expected)
        sys.exit(2 if isinstance(error, BadInput | BackendUnavailable) else 1)
    finally:
        logging.getLogger().removeHandler(handler)


class _Lines(io.TextIOBase):
    """What is printed on the error stream, as notes."""

    def __init__(self, say: EventLog) -> None:
        self._say, self._rest = say, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._say("note", text=line.removeprefix("vigil: "))
        return len(text)


class _Handler(logging.Handler):
    """Log records as events. Of others than :data:`OWN` only the words of the programmer, not what was put into them;
    of an exception where it came from, not its text."""

    def __init__(self, say: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        own = record.name in OWN
        kind = where = None
        if record.exc_info and record.exc_info[0] is not None:
            kind = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None
        text = record.getMessage() if own else str(record.msg)
        self._say("log", level=record.levelname.lower(), logger=record.name, text=text, kind=kind, where=where)
