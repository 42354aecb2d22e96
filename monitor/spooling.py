"""Where what devices send is kept while the broker is away: a folder of the process's own that nobody else may read."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

from platformdirs import user_state_path

from streams.spool import Spool

try:
    import fcntl
except ImportError:  # pragma: no cover - no such library on Windows: there, what a killed process left stays
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"


class SpoolFolder:
    """``base``/NAME, made when it is first needed and deleted in the end. What killed processes have left there
    is deleted at the start: its session is over, and it is about patients. base: None is the user's own.

    limit: bytes on disk at most.
    """

    def __init__(self, name: str, limit: int, base: Path | None = None) -> None:
        self._base = base or user_state_path("vigil") / "spool"
        self._folder, self._limit = self._base / name, limit
        self._lock: IO[bytes] | None = None
        for folder in self._base.glob("*/"):
            _delete_if_nobodys(folder)

    def open(self) -> Spool:
        """The queue on disk; OSError where there can be none."""
        self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._lock is None:
            self._lock = (self._folder / LOCK).open("ab")
            if fcntl is not None:
                fcntl.flock(self._lock, fcntl.LOCK_EX)
        return Spool(self._folder, self._limit)

    def close(self) -> None:
        """Deletes it, with what is left in it."""
        if self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._lock.close()
            self._lock = None


def _delete_if_nobodys(folder: Path) -> None:
    lock = folder / LOCK
    if fcntl is None or not lock.is_file():  # another kind of folder, or one that is being made just now
        return
    with suppress(OSError), lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held: its process lives
        shutil.rmtree(folder)
