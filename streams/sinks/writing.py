"""What goes wrong while a file is written, said with its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.signals.errors import VigilError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever goes wrong while ``path`` is written is said with its name: a full disk does not know it."""
    try:
        yield
    except OSError as error:
        raise VigilError(f"The output {path} could not be written: {error.strerror or error}.") from error
