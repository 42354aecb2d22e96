"""A small file of the operator's choices: read once, and changed whole or not at all, in a helper thread.

Each change is made to what is in the file then, so that two windows keep each other's choices. Where the file cannot be
read or written, that is said once, it is left alone, and the choices last as long as the window.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Generic, TypeVar

from models.signals.errors import BadInput
from models.signals.files import write_whole
from ui.style.language import tr

T = TypeVar("T")


class KeptFile(Generic[T]):
    """file: None keeps nothing. what: is in it, in words. parse: a text and the name of the file to choices, BadInput
    for another text; text: the way back. value: the choices now, ``empty`` at first. say: tells the operator."""

    def __init__(
        self,
        file: Path | None,
        what: str,
        parse: Callable[[str, str], T],
        text: Callable[[T], str],
        empty: T,
        worker: Executor,
        say: Callable[[str], None],
    ) -> None:
        self.value = empty
        self._file, self._what, self._parse, self._text = file, what, parse, text
        self._empty, self._worker, self._say = empty, worker, say
        self._waiting: list[Future[T]] = []
        self._told = False  # that the file cannot be read or written
        if file is not None:
            self._waiting.append(worker.submit(self._read, file))

    def order(self, change: Callable[[T], T]) -> None:
        """Make a change, here at once and in the file soon."""
        self.value = change(self.value)
        if self._file is not None:
            self._waiting.append(self._worker.submit(self._rewrite, self._file, change))

    @property
    def settled(self) -> bool:
        """Whether ``value`` is what the file said, as far as it could, with all changes since; see :meth:`poll`."""
        return not self._waiting

    def poll(self) -> bool:
        """Take what the file said; whether the choices are others now."""
        before = self.value
        while self._waiting and self._waiting[0].done():
            try:
                found = self._waiting.pop(0).result()
            except BadInput as why:
                if not self._told:
                    self._say(tr("{what} are not kept: {why}", what=self._what, why=why))
                self._told = True
                continue
            self._told = False
            if not self._waiting:  # else what was ordered since is not in it
                self.value = found
        return self.value != before

    def _read(self, file: Path) -> T:
        try:
            text = file.read_text("utf-8")
        except FileNotFoundError:
            return self._empty
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{self._what} in {file}", str(error), "correct or delete the file") from error
        return self._parse(text, str(file))

    def _rewrite(self, file: Path, change: Callable[[T], T]) -> T:
        value = change(self._read(file))
        try:
            write_whole(file, self._text(value).encode("utf-8", errors="replace"))
        except OSError as error:
            raise BadInput(f"a folder for {file} that can be written", str(error), "make it writable") from error
        return value
