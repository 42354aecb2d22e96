"""The layouts of a user as the text of a TOML file: those saved by a name, and the last one used for each set of rows.
Pure; reading and writing is :mod:`ui.window.layout_desk`'s.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from models.signals.errors import BadInput
from ui.bed.layout import FURTHER, MOST_ROWS, Layout, RowChoice
from ui.style.words import quoted

MOST_NAMED, MOST_LAST = 100, 100
LONGEST_NAME = 40

K = TypeVar("K")
Keys = tuple[str, ...]


@dataclass(frozen=True)
class Layouts:
    """named: by their names, in the order in which they were saved. last: by :func:`rows_set`."""

    named: Mapping[str, Layout] = field(default_factory=dict)
    last: Mapping[Keys, Layout] = field(default_factory=dict)

    def saved(self, layout: Layout) -> Layouts:
        """With this one under its name."""
        return Layouts(_newest({**self.named, layout.name: layout}, MOST_NAMED), self.last)

    def without(self, name: str) -> Layouts:
        """Without that of a name; where it is in use, it stays so without its name."""
        last = {keys: layout.named("") if layout.name == name else layout for keys, layout in self.last.items()}
        return Layouts({n: layout for n, layout in self.named.items() if n != name}, last)

    def used(self, keys: Iterable[str], layout: Layout) -> Layouts:
        """With this one as the last for the rows ``keys``."""
        of = rows_set(keys)
        last = {k: one for k, one in self.last.items() if k != of}
        return Layouts(self.named, _newest({**last, of: layout}, MOST_LAST))

    def for_rows(self, keys: Iterable[str]) -> Layout:
        """The last one for the rows ``keys``; without one the usual."""
        return self.last.get(rows_set(keys), Layout())


def rows_set(keys: Iterable[str]) -> Keys:
    """Rows whatever their order. Further leads do not make another set: a screen that was arranged without them stays
    so when the device begins to send one."""
    return tuple(sorted(key for key in set(keys) if FURTHER not in key))


def _newest(layouts: dict[K, Layout], most: int) -> dict[K, Layout]:
    return dict(list(layouts.items())[-most:])


class _Saved(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""
    rows: Annotated[list[RowChoice], Meta(max_length=MOST_ROWS)] = []
    of: list[str] = []


class _File(msgspec.Struct, forbid_unknown_fields=True):
    layout: list[_Saved] = []
    last: list[_Saved] = []


def parse_layouts(text: str, where: str) -> Layouts:
    """What :func:`layouts_text` wrote; BadInput with a sentence that names ``where`` for anything else."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
        for saved in (*found.layout, *found.last):
            if not all(math.isfinite(n) for row in saved.rows for n in (row.height, row.speed_mm_s, row.gain)):
                raise ValueError(f"a number that is none in layout {saved.name!r}")
            if saved in found.layout and not saved.name:
                raise ValueError("a layout without a name")
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as error:
        raise BadInput(
            f"layouts of rows in {where}", str(error), "correct the file, or delete it to begin anew"
        ) from error
    return Layouts(
        {saved.name: Layout(saved.name, tuple(saved.rows)) for saved in found.layout},
        {rows_set(saved.of): Layout(saved.name, tuple(saved.rows)) for saved in found.last},
    )


def layouts_text(layouts: Layouts) -> str:
    """As TOML."""
    out = ["# Layouts of the rows of waves; written by Vigil, and read when it starts.\n"]
    for layout in layouts.named.values():
        out.append(f"\n[[layout]]\nname = {_toml(layout.name)}\n{_rows(layout)}")
    for keys, layout in layouts.last.items():
        of = ", ".join(map(_toml, keys))
        out.append(f"\n[[last]]\nof = [{of}]\nname = {_toml(layout.name)}\n{_rows(layout)}")
    return "".join(out)


def _rows(layout: Layout) -> str:
    """Inline tables, with what is not as usual."""
    usual = RowChoice("x")
    lines = []
    for row in layout.rows:
        said = {name: getattr(row, name) for name in RowChoice.__struct_fields__}
        fields = ", ".join(f"{n} = {_toml(v)}" for n, v in said.items() if n == "key" or v != getattr(usual, n))
        lines.append(f"    {{ {fields} }},\n")
    return f"rows = [\n{''.join(lines)}]\n"


def _toml(value: Any) -> str:
    """A string, number or truth value."""
    return quoted(value) if isinstance(value, str) else json.dumps(value)
