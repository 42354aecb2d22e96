"""Where the details go: a rotating log file in the user's log folder; the terminal shows sentences only."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from platformdirs import user_log_path

from monitor.redaction import HIDDEN

MAX_BYTES = 1 << 20
BACKUPS = 3


def log_to_file() -> Path | None:
    """Send warnings and worse of every library to the log file; to the error stream where it cannot be written.

    Tracebacks belong there. Logs carry no samples, names or identifiers of a patient.
    """
    path = user_log_path("vigil", appauthor=False) / "vigil.log"
    handler: logging.Handler
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True)
    except OSError:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Hiding("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    return path if isinstance(handler, RotatingFileHandler) else None


def log_path() -> Path | None:
    """The file that warnings and errors go to now; None where it is the error stream."""
    files = [Path(one.baseFilename) for one in logging.getLogger().handlers if isinstance(one, RotatingFileHandler)]
    return files[0] if files else None


class _Hiding(logging.Formatter):
    """Leaves out what recordings are called."""

    def format(self, record: logging.LogRecord) -> str:
        return HIDDEN(super().format(record))
