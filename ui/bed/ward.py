"""All beds of a session: each record goes to the bed that it is about, and one of the beds is on show.

A bed that is not on show loses nothing but, in a large ward, its waves: numbers, rhythm, alarms and predictions are
folded for every bed alike, so that it can be judged from outside and looked at any moment. No Qt, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.control import BedView
from streams.records import AnyRecord, CommandRecord, DeadLetter
from ui.bed.bed_words import BedWords, bed_words
from ui.bed.bedside import Answer, Bedside
from ui.style.theme import Theme

KEPT_WAVES = 8
"""Beds up to which each keeps its waves, some MB of them; of more, the one on show, and of the others a glimpse."""
GLIMPSES = 128
"""Beds up to which there are glimpses, 36 to 48 kB and about a thousandth of a core each."""
_AT_ONCE = 40  # beds judged in one go, a millisecond for ten


class Ward:
    """``on_show`` is the bed on show; before the first record or answer it has no name yet."""

    def __init__(self, theme: Theme, now_s: float) -> None:
        self._theme = theme
        self._beds: dict[str, Bedside] = {}
        self._known: tuple[str, ...] = ()
        self._said: dict[str, BedWords] = {}
        self._turn = 0
        self._shared: tuple[bool, bool, Bedside] | None = None
        self.on_show = Bedside("", theme, now_s)

    @property
    def names(self) -> tuple[str, ...]:
        """The beds, in the session's order; after them who else sends."""
        return tuple(self._beds)

    @property
    def beds(self) -> tuple[Bedside, ...]:
        """In the order of their names; before the first has one, that on show."""
        return tuple(self._beds.values()) or (self.on_show,)

    def apply(self, record: AnyRecord, now_s: float) -> None:
        """Fold a record into its bed."""
        bed = self._beds.get(record.bed)
        if bed is None:
            if isinstance(record, CommandRecord | DeadLetter):
                return  # of somebody who has no data
            bed = self._admit(record.bed, now_s)
        bed.state.apply(record, now_s)

    def take(self, snapshot: BedView, now_s: float) -> bool:
        """An answer of the session about the bed that is on show. Returns True if the rows of that changed."""
        if snapshot.beds != self._known:
            self._known = snapshot.beds
            for name in snapshot.beds:
                self._admit(name, now_s)
            rest = [name for name in self._beds if name not in snapshot.beds]
            self._beds = {name: self._beds[name] for name in (*snapshot.beds, *rest)}
        self.show(snapshot.bed, now_s)
        return self.on_show.take(snapshot)

    def hear(self, snapshots: Iterable[BedView], now_s: float) -> None:
        """Answers about beds that are not on show."""
        for snapshot in snapshots:
            if snapshot.bed != self.on_show.name:
                self._admit(snapshot.bed, now_s).take(snapshot)

    def show(self, name: str, now_s: float) -> None:
        """Put a bed on show."""
        if name == self.on_show.name:
            return
        self.on_show = self._admit(name, now_s)
        prediction = self.on_show.state.prediction
        self.on_show.prediction_seen = prediction.window_end_ns if prediction is not None else None
        self._share_memory()

    def neighbour(self, direction: int) -> str:
        """The name of the next bed, or of the one before; the ends meet."""
        names = self.names
        if not names:
            return ""
        at = names.index(self.on_show.name) if self.on_show.name in names else 0
        return names[(at + direction) % len(names)]

    def keep_time(self, now_s: float) -> None:
        """See :meth:`ui.bed.bedside.Bedside.keep_time`; of all beds."""
        for bed in self.beds:
            bed.keep_time(now_s)

    def wake(self, now_s: float) -> None:
        """See :meth:`ui.bed.bedside.Bedside.wake`; of all beds."""
        for bed in self.beds:
            bed.wake(now_s)

    def judge(self, now_s: float, answer: Answer) -> None:
        """Judge the bed on show, and the others after bringing their beams and waves up to date; of a very large ward
        a part of them, each in its turn."""
        parts = 1 + len(self._beds) // _AT_ONCE
        self._turn = (self._turn + 1) % parts
        for number, bed in enumerate(self.beds):
            if bed is self.on_show or number % parts == self._turn or bed.name not in self._said:
                if bed is not self.on_show:
                    bed.advance(now_s)
                    bed.state.settle()
                bed.judge(now_s, answer)
                words = bed_words(bed)
                if words != self._said.get(bed.name):  # who looks for what is new need not look into it
                    self._said[bed.name] = words

    @property
    def said(self) -> tuple[BedWords, ...]:
        """What is to be said of each bed, by its last judgement."""
        return tuple(self._said[name] for name in self._beds if name in self._said)

    def over(self, now_s: float) -> bool:
        """Whether the bed on show has ended and no other goes on."""
        status = self.on_show.status
        return status is not None and status.ended and not any(bed.moves(now_s) for bed in self._beds.values())

    def _admit(self, name: str, now_s: float) -> Bedside:
        bed = self._beds.get(name)
        if bed is None:
            if not self.on_show.name:
                bed = self.on_show  # the nameless one is whoever comes first
                bed.state.bed = name
            else:
                bed = Bedside(name, self._theme, now_s)
            self._beds[name] = bed
            self._share_memory(bed)
        return bed

    def _share_memory(self, new: Bedside | None = None) -> None:
        """Who keeps which waves; of a ``new`` bed only, where it changes nothing for the others."""
        few, some = len(self._beds) <= KEPT_WAVES, len(self._beds) <= GLIMPSES
        before, self._shared = self._shared, (few, some, self.on_show)
        for bed in (new,) if new is not None and before == self._shared else self._beds.values():
            shown = bed is self.on_show
            bed.state.keep(drawn=shown, waves=few or shown, glimpse=some)
