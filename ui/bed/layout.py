"""Which rows a screen shows, in what order, how high, and how each is drawn: the operator's choice. Pure.

A layout names rows by the key of their lane (:attr:`ui.bed.lanes.Lane.key`). It may name rows that are not there, which
wait for a recording that has them, and rows may be there that it does not name, which are shown where they would be
without it. So one layout serves many recordings, and a new sensor is never left out by an old choice. Rows without a
number (further leads of a sensor, the airway's pressure) are hidden until somebody chooses them: nothing would be
missed with them, and each of them makes the others lower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from ui.style.language import tr

T = TypeVar("T")
HEIGHTS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""Of a row, times what it would have; half an octave from step to step."""
MOST_ROWS = 64
LONGEST_KEY = 200
FURTHER = ":"
"""Stands in the key of a row of a further lead, after its modality: "ECG:V5"."""
ASKED_FOR = frozenset({"AWP"})
"""Keys of other rows that are shown when somebody asks: a ventilator has its pressure on a screen of its own."""


class RowChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one row is shown. height: times its usual one. speed_mm_s: of its sweep, gain: of its scale (mm per unit, or
    units per cm), 0: as the theme has it. filter: by its name in the theme, "": the theme's own."""

    key: Annotated[str, Meta(min_length=1, max_length=LONGEST_KEY)]
    shown: bool = True
    height: Annotated[float, Meta(ge=HEIGHTS[0], le=HEIGHTS[-1])] = 1.0
    speed_mm_s: Annotated[float, Meta(ge=0.0, le=200.0)] = 0.0
    gain: Annotated[float, Meta(ge=0.0, le=1e6)] = 0.0
    filter: Annotated[str, Meta(max_length=40)] = ""


@dataclass(frozen=True)
class Layout:
    """name: "" for one that was not saved by a name. rows: from the top; of a key that comes twice the first counts."""

    name: str = ""
    rows: tuple[RowChoice, ...] = field(default=())

    def arranged(self, keys: Sequence[str]) -> tuple[RowChoice, ...]:
        """A choice for each of ``keys`` (which stand in their usual order), from the top; never all of them hidden."""
        there = set(keys)
        out = [row for row in _first(self.rows) if row.key in there]
        at = {row.key for row in out}
        for number, key in enumerate(dict.fromkeys(keys)):
            if key in at:
                continue
            before = [k for k in keys[:number] if k in at]
            place = next((i for i, row in enumerate(out) if before and row.key == before[-1]), -1) + 1
            out.insert(place, usual_choice(key))
            at.add(key)
        if not any(row.shown for row in out):
            usual = {row.key for row in out if usual_choice(row.key).shown} or there
            out = [msgspec.structs.replace(row, shown=row.key in usual) for row in out]
        return tuple(out)

    def replaced(self, rows: Iterable[RowChoice]) -> Layout:
        """With these, from the top; what waits for another recording stays. Without a name: it is another now."""
        rows = tuple(rows)
        here = {row.key for row in rows}
        waiting = [row for row in _first(self.rows) if row.key not in here]
        return Layout("", (*rows, *waiting)[:MOST_ROWS])

    def moved(self, keys: Sequence[str], key: str, step: int) -> Layout:
        """The row of ``key`` ``step`` places further down; up for a negative one, not beyond the ends."""
        rows = list(self.arranged(keys))
        at = next((i for i, row in enumerate(rows) if row.key == key), None)
        if at is None:
            return self
        rows.insert(min(len(rows) - 1, max(0, at + step)), rows.pop(at))
        return self.replaced(rows)

    def changed(self, keys: Sequence[str], key: str, **changes: Any) -> Layout:
        """The row of ``key`` otherwise: fields of :class:`RowChoice`. The last row on show cannot be hidden."""
        rows = [msgspec.structs.replace(row, **changes) if row.key == key else row for row in self.arranged(keys)]
        return self.replaced(rows) if any(row.shown for row in rows) else self

    def resized(self, keys: Sequence[str], key: str, step: int) -> Layout:
        """The row of ``key`` a step taller, or for a negative one lower."""
        row = next((row for row in self.arranged(keys) if row.key == key), None)
        if row is None:
            return self
        at = min(range(len(HEIGHTS)), key=lambda i: abs(HEIGHTS[i] - row.height))
        return self.changed(keys, key, height=HEIGHTS[min(len(HEIGHTS) - 1, max(0, at + step))])

    def named(self, name: str) -> Layout:
        """The same under a name."""
        return Layout(name, self.rows)


def usual_choice(key: str) -> RowChoice:
    """Of a row that nobody has chosen anything for.

    >>> usual_choice("ECG").shown, usual_choice("ECG:V5").shown, usual_choice("AWP").shown
    (True, False, False)
    """
    return RowChoice(key, shown=FURTHER not in key and key not in ASKED_FOR)


def _first(rows: Iterable[RowChoice]) -> list[RowChoice]:
    """Without those whose key came before."""
    found: dict[str, RowChoice] = {}
    for row in rows:
        found.setdefault(row.key, row)
    return list(found.values())


def next_of(choices: Sequence[T], now: T) -> T:
    """What comes after ``now`` in the list; the first after the last, and where it is not in it.

    >>> next_of((0.0, 6.25, 25.0), 25.0), next_of((0.0, 6.25, 25.0), 7.0)
    (0.0, 0.0)
    """
    return choices[(choices.index(now) + 1) % len(choices)] if now in choices else choices[0]


def hidden_words(names: Sequence[str]) -> str:
    """
    >>> hidden_words(["PPG", "EEG"]), hidden_words(["EEG"]), hidden_words([])
    ('2 rows hidden: PPG, EEG', '1 row hidden: EEG', '')
    """
    if not names:
        return ""
    said = tr("1 row hidden") if len(names) == 1 else tr("{number} rows hidden", number=len(names))
    return f"{said}: {', '.join(names)}"
