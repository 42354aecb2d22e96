"""What is said of a bed in a chip of the strip, or in a line of the terminal: the same words as its own screen. Pure.

Numbers come from the readouts that the large tiles show, so that nothing is stale, or estimated, in one place only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models.signals.modalities import Modality
from ui.bed.alarm_states import STILL
from ui.bed.alarm_view import Alarm
from ui.bed.bedside import Bedside
from ui.bed.liveness import Life
from ui.bed.readouts import Readout, readout
from ui.style.language import tr
from ui.style.theme import PRIORITIES
from ui.style.words import INVALID, bed_title

LIVES = {Life.WAITING: "NO SAMPLES YET", Life.PAUSED: "PAUSED", Life.ENDED: "ENDED", Life.LOST: "NOT LIVE"}

_LOST_RANK = 1  # after the high alarms
_UNSEEN_RANK = len(PRIORITIES) + 1  # of what has ended and nobody has seen
_QUIET_RANK = _UNSEEN_RANK + 1
_QUIET = (Life.PAUSED, Life.PAST, Life.ENDED, Life.LIVE, Life.WAITING)


@dataclass(frozen=True, slots=True)
class BedWords:
    """bed: its name as the session has it, title: as the screen has it. life: whether its data is live, life_words:
    what there is to say of that. rate: the heart rate, or ``-?-``, rate_source: the channel that it comes from. mean:
    the mean pressure, or ``-?-``; a range where it is estimated. alarms: all that stand, worst first, then what has
    ended unseen. silence: why it makes no sound, "" where it may."""

    bed: str
    title: str
    life: Life
    life_words: str
    why_lost: str
    rate: str
    rate_source: str
    mean: str
    estimated: bool
    alarms: tuple[Alarm, ...]
    silence: str = ""

    @property
    def worst(self) -> Alarm | None:
        """The first of the alarms."""
        return self.alarms[0] if self.alarms else None

    @property
    def more(self) -> int:
        """How many alarms stand besides the worst."""
        return max(0, len(self.alarms) - 1)

    @property
    def held(self) -> bool:
        """Whether what it says is not live, and hence does not flash."""
        return self.life is not Life.LIVE

    @property
    def still(self) -> bool:
        """Whether its alarms do not flash by order."""
        return self.silence in STILL

    @property
    def rank(self) -> tuple[int, bool]:
        """The smaller, the sooner somebody should look: high alarms, then beds that are lost, then other alarms, then
        what has ended unseen, what stands or is over, what is well, and who has never sent; what was acknowledged, or
        is not live, after its equals."""
        worst = self.worst
        quiet = _LOST_RANK if self.life is Life.LOST else _QUIET_RANK + _QUIET.index(self.life)
        if worst is None:
            return quiet, False
        if worst.ended_s is not None:  # nothing stands any more, but nobody has looked
            return min(quiet, _UNSEEN_RANK), False
        priority = worst.record.priority
        place = PRIORITIES.index(priority) if priority in PRIORITIES else len(PRIORITIES) - 1
        alarming = place if place < _LOST_RANK else place + 1
        return min(quiet, alarming), worst.quiet or self.held

    @property
    def told(self) -> str:
        """All of it, for a tooltip: the state of the bed, then a line an alarm."""
        alarms = [": ".join(filter(None, (alarm.said, alarm.why))) for alarm in self.alarms]
        return "\n".join([f"{self.title}  {self.why_lost or self.life_words}".rstrip(), *alarms])


def bed_words(bed: Bedside) -> BedWords:
    """What is said of a bed at its ``moment``, by its ``verdict``."""
    state, moment = bed.state, bed.moment
    said: dict[Modality, Readout] = {}
    for lane in state.lanes:
        if lane.first and lane.modality in (Modality.ECG, Modality.ABP):
            said[lane.modality] = readout(state, lane, moment)
    heart, pressure = said.get(Modality.ECG), said.get(Modality.ABP)
    rate = heart.value if heart is not None else INVALID
    vitals = state.current_vitals(moment)
    return BedWords(
        bed=bed.name,
        title=bed_title(bed.name),
        life=moment.life,
        life_words=tr(LIVES.get(moment.life, "")),
        why_lost=bed.verdict.spoken.split(" — ")[0] if moment.life is Life.LOST else "",
        rate=rate,
        rate_source=vitals.hr_source if vitals is not None and rate != INVALID else "",
        mean=pressure.mean if pressure is not None else INVALID,
        estimated=pressure is not None and pressure.estimated,
        alarms=state.alarms.shown,
        silence=bed.switch.silence.at(moment.wall_s).value,
    )


def in_room(said: tuple[BedWords, ...], room: int, on_show: str) -> tuple[tuple[BedWords, ...], tuple[BedWords, ...]]:
    """The beds that are shown and the rest: those that most need a look, and the one on show, in their own order so
    that no chip jumps; the rest worst first."""
    ranked = sorted(said, key=lambda words: words.rank)
    if len(said) <= room:
        return said, ()
    first = [words for words in ranked if words.bed == on_show]
    others = [words for words in ranked if words.bed != on_show]
    chosen = {words.bed for words in (first + others)[: max(1, room)]}
    return tuple(w for w in said if w.bed in chosen), tuple(w for w in ranked if w.bed not in chosen)


def rest_words(rest: Iterable[BedWords]) -> tuple[str, str]:
    """Of the beds without a chip: how many, and what is the matter with them, the two worst things of it."""
    rest = tuple(rest)
    count = tr("+{number} bed", number=len(rest)) if len(rest) == 1 else tr("+{number} beds", number=len(rest))
    return count, ", ".join(matters(rest)[:2]) or tr("no alarm")


def matters(said: Iterable[BedWords]) -> list[str]:
    """What is the matter with beds, and with how many of them, worst first: ``2 HIGH``, ``1 NOT LIVE``, ``3 LOW``."""
    by: dict[str, int] = {}
    for words in said:
        if words.life is Life.LOST:
            by[LIVES[Life.LOST]] = by.get(LIVES[Life.LOST], 0) + 1
        if words.worst is not None and words.worst.ended_s is None:
            by[words.worst.record.priority] = by.get(words.worst.record.priority, 0) + 1
    order = (PRIORITIES[0], LIVES[Life.LOST], *PRIORITIES[1:])
    return [f"{by[name]} {tr(name.upper())}" for name in order if name in by]


def standstills(said: Iterable[BedWords]) -> list[str]:
    """How many beds say nothing, though nothing is lost: ``1 PAUSED``, ``3 ENDED``, ``2 NO SAMPLES YET``."""
    said = tuple(said)
    counts = {life: sum(words.life is life for words in said) for life in (Life.PAUSED, Life.ENDED, Life.WAITING)}
    return [f"{count} {tr(LIVES[life])}" for life, count in counts.items() if count]


def standing_words(said: Iterable[BedWords]) -> str:
    """All that is to be said of many beds: what is the matter, and which stand still."""
    said = tuple(said)
    return ", ".join((*(matters(said) or [tr("no alarm")]), *standstills(said)))


def count_words(beds: int, by_name: bool) -> str:
    """
    >>> count_words(1, True), count_words(12, False)
    ('1 bed, by name', '12 beds, by urgency')
    """
    count = tr("1 bed") if beds == 1 else tr("{number} beds", number=beds)
    return f"{count}, {tr('by name') if by_name else tr('by urgency')}"
