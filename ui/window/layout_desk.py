"""The operator's layouts: which is in use, and the change of one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec

from ui.bed.lanes import Lane
from ui.bed.layout import Layout, RowChoice, next_of
from ui.bed.layout_file import LONGEST_NAME, Layouts, layouts_text, parse_layouts
from ui.style.language import tr
from ui.waves.sweep import SweepView
from ui.window.kept_file import KeptFile

USUAL = "Usual"
"""What the layout is called that nobody chose."""
Change = Callable[[Layouts], Layouts]


class LayoutDesk:
    """file: where layouts are kept; None: nowhere. say: tells the operator a few words."""

    def __init__(self, sweep: SweepView, file: Path | None, worker: Executor, say: Callable[[str], None]) -> None:
        self._sweep, self._say = sweep, say
        self._kept = KeptFile(file, tr("layouts of rows"), parse_layouts, layouts_text, Layouts(), worker, say)
        self.changed: Callable[[], None] = lambda: None
        sweep.layout_for = lambda keys: self._layouts.for_rows(keys)

    @property
    def _layouts(self) -> Layouts:
        return self._kept.value

    # What there is ------------------------------------------------------------------------------------------------

    @property
    def keys(self) -> list[str]:
        """Of all rows of the bed on show, in their usual order."""
        return [lane.key for lane in self._sweep.all_lanes]

    @property
    def layout(self) -> Layout:
        """That of the bed on show."""
        return self._layouts.for_rows(self.keys)

    @property
    def rows(self) -> list[tuple[RowChoice, Lane]]:
        """All rows of the bed on show as they are chosen, from the top."""
        by_key = {lane.key: lane for lane in self._sweep.all_lanes}
        return [(choice, by_key[choice.key]) for choice in self.layout.arranged(self.keys)]

    @property
    def names(self) -> list[str]:
        """Of the saved layouts."""
        return list(self._layouts.named)

    # What the operator does ---------------------------------------------------------------------------------------

    def move_row(self, key: str, step: int) -> None:
        """Further down; up for a negative ``step``."""
        self._put(self.layout.moved(self.keys, key, step))

    def resize_row(self, key: str, step: int) -> None:
        """Taller; lower for a negative ``step``."""
        self._put(self.layout.resized(self.keys, key, step))

    def toggle_row(self, key: str) -> None:
        """Hide a row or show it; the last one stays."""
        shown = next((row.shown for row in self.layout.arranged(self.keys) if row.key == key), None)
        if shown is None:
            return
        before = self.layout
        after = before.changed(self.keys, key, shown=not shown)
        if after is before:
            self._say(tr("one row stays on the screen"))
        self._put(after)

    def next_speed(self, key: str) -> None:
        """The next sweep speed for one row."""
        lane = self._lane(key)
        if lane is not None:
            speeds = self._sweep.speeds_mm_s
            self._change(key, speed_mm_s=next_of(speeds, self._sweep.speed_of(lane)))

    def next_filter(self, key: str) -> None:
        """The next filter for one row, where it has several."""
        lane = self._lane(key)
        if lane is not None and lane.style.filters:
            self._change(key, filter=next_of(list(lane.style.filters), lane.style.filter_name))

    def next_gain(self, key: str) -> None:
        """The next gain or sensitivity for one row, where it has a choice."""
        lane = self._lane(key)
        if lane is not None and lane.style.choices:
            now = self._sweep.scale_of(lane).choice or lane.style.choice
            self._change(key, gain=next_of(lane.style.choices, now))

    def _lane(self, key: str) -> Lane | None:
        return next((lane for lane in self._sweep.all_lanes if lane.key == key), None)

    def _change(self, key: str, **changes: Any) -> None:
        self._put(self.layout.changed(self.keys, key, **changes))

    def use_layout(self, name: str) -> None:
        """That of a name, or :data:`USUAL`."""
        self._put(self._layouts.named.get(name, Layout()), always=True)
        self._say(tr("layout: {name}", name=self.layout.name or tr(USUAL)))

    def next_layout(self) -> None:
        """The next of those saved; after the last the usual one."""
        if not self.names:
            self._say(tr("no layout is saved: R, then a name"))
            return
        self.use_layout(next_of([USUAL, *self.names], self.layout.name or USUAL))

    def save_layout(self, name: str) -> bool:
        """The present one under a name, with the gains of now; False where that is no name."""
        name = " ".join(name.split())[:LONGEST_NAME]
        if not name or name in (USUAL, tr(USUAL)):
            self._say(tr("a layout needs a name other than {usual!r}", usual=tr(USUAL)))
            return False
        rows = [
            msgspec.structs.replace(choice, gain=self._sweep.scale_of(lane).choice or 0.0) for choice, lane in self.rows
        ]
        layout, keys = self.layout.replaced(rows).named(name), self.keys
        self._order(lambda layouts: layouts.saved(layout).used(keys, layout))
        self._say(tr("layout saved as {name}", name=name))
        return True

    def delete_layout(self, name: str) -> None:
        """No longer among the saved ones; a screen that has it keeps it."""
        if name in self.names:
            self._order(lambda layouts: layouts.without(name))
            self._say(tr("layout {name} deleted", name=name))

    def _put(self, layout: Layout, always: bool = False) -> None:
        keys = self.keys
        if keys and (always or layout != self.layout):
            self._order(lambda layouts: layouts.used(keys, layout))

    def _order(self, change: Change) -> None:
        self._kept.order(change)
        self._renew()

    def _renew(self) -> None:
        self._sweep.relayout()
        self.changed()

    def poll(self) -> None:
        """Take what the file said; now and then, on the window's thread."""
        if self._kept.poll():
            self._renew()
