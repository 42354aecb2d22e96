"""What no log may say: what recordings, their files and their tracks are called. People name files after patients.

Whoever opens a recording or hears of a bed says its words here; whatever is logged goes through :data:`HIDDEN`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from models.signals.modalities import Modality
from streams.records import AnyRecord, BedRecord

MARK = "[hidden]"
_LONG = 5
"""Letters from which on a name is looked for inside of other words."""
_OWN = frozenset(modality.value for modality in Modality)  # Vigil's own words for signals say nothing of anybody


class Redactor:
    """Thread-safe.

    >>> hidden = Redactor()
    >>> hidden.hide(["Smith"])
    >>> hidden("no track of Smith in Smithsonian")
    'no track of [hidden] in Smithsonian'
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._words: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def hide(self, words: Iterable[str]) -> None:
        """From now on none of these is said. Vigil's own names of signals are."""
        new = {part for word in words for part in (word, word.rpartition("/")[2]) if part.strip() and part not in _OWN}
        with self._lock:
            if new <= self._words:
                return
            self._words |= new
            longest_first = sorted(self._words, key=len, reverse=True)
            self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")

    def hide_files(self, sources: Iterable[str]) -> None:
        """Neither where the files lie nor what they are called."""
        for source in sources:
            path = Path(source)
            # A device or the built-in patient is no file, and its word names nobody.
            if path.exists() or path.suffix:
                self.hide([source, str(path.resolve()), path.name, path.stem])

    def follow(self, record: AnyRecord) -> None:
        """A subscriber of records: what beds are called by their recordings, and their channels by theirs."""
        if isinstance(record, BedRecord):
            self.hide([record.title, *(channel.label for channel in record.channels)])

    def everywhere(self, text: str, names: Iterable[str] = ()) -> str:
        """``text`` without what is hidden and without ``names``, also inside of other words and in other letters: what
        leaves the house may lose more than it must. Short ones only as words, else little would be left."""
        with self._lock:
            words = self._words | {name for name in names if name.strip()}
        for word in sorted(words, key=len, reverse=True):
            inside = len(word) >= _LONG
            for form in {word, repr(word)[1:-1], json.dumps(word)[1:-1]}:
                pattern = re.escape(form) if inside else rf"(?<![^\W_]){re.escape(form)}(?![^\W_])"
                text = re.sub(pattern, MARK, text, flags=re.IGNORECASE)
        return text

    def __call__(self, text: str) -> str:
        """``text`` with whatever is hidden left out."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MARK, text)


HIDDEN = Redactor()
"""Of this process; logging is one for all of it too."""
