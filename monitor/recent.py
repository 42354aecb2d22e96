"""What was open before, and where it was left: a small file of the user's own, newest first.

It names files, which people name after patients, so only its owner may read it, and :meth:`RecentFile.forget` leaves
nothing. A file that cannot be read is none: the next session begins it anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import msgspec
from platformdirs import user_data_path

from models.signals.errors import BadInput
from models.signals.files import write_whole

MOST = 10
MOST_BYTES = 1 << 20
MOST_BEDS = 128

log = logging.getLogger("vigil.recent")


class Entry(msgspec.Struct, frozen=True):
    """``sources``: as the command line has them, files with their whole path. ``position_s``: seconds of the recording,
    None where it was over, or live. ``left_unix_s``: seconds from 1970."""

    sources: tuple[str, ...]
    left_unix_s: float
    position_s: float | None = None


class _Kept(msgspec.Struct, frozen=True):
    recent: tuple[Entry, ...]


def merged(entries: Iterable[Entry], new: Entry, first: bool) -> tuple[Entry, ...]:
    """``new`` in the place of its like, at most :data:`MOST` of them. first: or before all others, if it has come last;
    else only where it is known."""
    old = tuple(entries)
    others = [entry for entry in old if entry.sources != new.sources]
    if first:
        return (new, *others)[:MOST]
    return tuple(new if entry.sources == new.sources else entry for entry in old)


class RecentFile:
    """Thread-safe. path: of the file, by default in the user's own data."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_data_path("vigil") / "recent.json"
        self._lock = Lock()

    def read(self) -> tuple[Entry, ...]:
        """Newest first; none where there is no file, or no such one."""
        with self._lock:
            return self._read()

    def put(self, entry: Entry, *, first: bool) -> None:
        """Keep ``entry``; see :func:`merged`. BadInput where that cannot be written."""
        with self._lock:
            self._write(merged(self._read(), entry, first))

    def forget(self) -> None:
        """Keep nothing. BadInput where what there is cannot be taken away."""
        with self._lock:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                raise self._wrong(error) from error

    def _read(self) -> tuple[Entry, ...]:
        try:
            if self._path.stat().st_size > MOST_BYTES:
                raise msgspec.DecodeError("too large")
            found = msgspec.json.decode(self._path.read_bytes(), type=_Kept).recent
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("the list of what was open before cannot be read, and begins anew: %s", type(error).__name__)
            return ()
        whole = [entry for entry in found if 0 < len(entry.sources) <= MOST_BEDS and all(entry.sources)]
        return tuple(whole[:MOST])

    def _write(self, entries: tuple[Entry, ...]) -> None:
        try:
            write_whole(self._path, msgspec.json.format(msgspec.json.encode(_Kept(entries))) + b"\n", private=True)
        except OSError as error:
            raise self._wrong(error) from error

    def _wrong(self, error: OSError) -> BadInput:
        return BadInput(
            "to keep the list of what was open before",
            f"that {self._path} cannot be written ({error.strerror or error})",
            "make room or give leave there, or go on without it",
        )
