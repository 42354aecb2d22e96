"""What must be said, as rules over the looks at a screen. Each gives whether it was met, and the figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.arrests.looks import LOOK_S, Look
from models.signals.modalities import MODEL_MODALITIES, Modality
from ui.bed.alarm_view import Alarm

PRIORITIES = ("low", "medium", "high")
HELD_S = 1.0  # shorter interruptions of an alarm are not counted


@dataclass(frozen=True, slots=True)
class Judgement:
    """met: whether the rule held. figure: in words, for the table. late_s: of a rule that has a deadline or measures a
    delay, the seconds; None elsewhere and where it never came."""

    met: bool
    figure: str
    late_s: float | None = None


class Rule(Protocol):
    """What must be said within a span of time."""

    @property
    def words(self) -> str:
        """The rule in words, for the table."""

    @property
    def span(self) -> tuple[float, float]:
        """Event time [begin, end) in s that it holds for."""

    def judge(self, looks: Sequence[Look]) -> Judgement:
        """looks: those within ``span``, at least one."""
        ...


@dataclass(frozen=True, slots=True)
class Raises:
    """An alarm out of ``keys`` within ``within_s`` of the beginning of the span, and from then on to its end."""

    keys: tuple[str, ...]
    span: tuple[float, float]
    within_s: float = 10.0
    priority: str = "high"

    @property
    def words(self) -> str:
        """The rule in words, for the table."""
        colour = {"high": "red", "medium": "at least yellow", "low": "any"}[self.priority]
        return f"{colour} {_or(self.keys)} within {self.within_s:g} s, and until {self.span[1]:g} s"

    def judge(self, looks: Sequence[Look]) -> Judgement:
        """Met if such an alarm came in time and stood from then on; late_s: until it came."""
        begin = max(self.span[0], looks[0].at_s - LOOK_S)
        stood = [any(_is(a, self.keys, self.priority) for a in look.alarms) for look in looks]
        if True not in stood:
            return Judgement(False, "never")
        first = stood.index(True)
        late_s = max(0.0, looks[first].at_s - begin)
        gaps = _runs(looks[first:], [not s for s in stood[first:]])
        longest = max((b - a for a, b in gaps), default=0.0)
        figure = f"{late_s:.1f} s"
        if longest > HELD_S:
            figure += f"; silent for {_spans(g for g in gaps if g[1] - g[0] > HELD_S)}"
        return Judgement(late_s <= self.within_s and longest <= HELD_S, figure, late_s)


@dataclass(frozen=True, slots=True)
class Silent:
    """No alarm of ``priority`` or above, out of ``keys`` (empty: none at all)."""

    span: tuple[float, float]
    keys: tuple[str, ...] = ()
    priority: str = "high"

    @property
    def words(self) -> str:
        """The rule in words, for the table."""
        colour = {"high": "red", "medium": "red or yellow", "low": "alarm"}[self.priority]
        return f"no {colour}{' ' + _or(self.keys) if self.keys else ''} {_from_to(self.span)}"

    def judge(self, looks: Sequence[Look]) -> Judgement:
        """Met if no such alarm stood at any look."""
        stood: dict[str, list[bool]] = {}
        for i, look in enumerate(looks):
            for alarm in look.alarms:
                physiological = alarm.record.kind == "physiological" or bool(self.keys)
                if physiological and _is(alarm, self.keys or (alarm.record.key,), self.priority):
                    stood.setdefault(alarm.record.key, [False] * len(looks))[i] = True
        if not stood:
            return Judgement(True, "none")
        return Judgement(False, "; ".join(f"{key} {_spans(_runs(looks, s))}" for key, s in stood.items()))


@dataclass(frozen=True, slots=True)
class Number:
    """A measured number is shown for ``least`` of the time, and within [low, high] whenever it is; ``least`` 0: it need
    not be, None: it must not."""

    name: str
    span: tuple[float, float]
    low: float = -math.inf
    high: float = math.inf
    least: float | None = 0.9

    @property
    def words(self) -> str:
        """The rule in words, for the table."""
        if self.least is None:
            return f"{self.name} -?- {_from_to(self.span)}"
        if math.isinf(self.low):
            return f"{self.name} shown {_from_to(self.span)}"
        return f"{self.name} {self.low:g}–{self.high:g}{' if shown' if not self.least else ''} {_from_to(self.span)}"

    def judge(self, looks: Sequence[Look]) -> Judgement:
        """Met if the number was shown often enough, and never outside its limits."""
        values = [look.value(self.name) for look in looks]
        known = [value for value in values if value is not None]
        share = len(known) / len(values)
        extremes = f"{min(known):.0f}–{max(known):.0f}, " if known else ""
        figure = f"{extremes}shown {100 * share:.0f} % of the time"
        if self.least is None:
            return Judgement(not known, figure)
        wrong = [not self.low <= value <= self.high if value is not None else False for value in values]
        if any(wrong):
            figure += f"; wrong for {_spans(_runs(looks, wrong))}"
        return Judgement(share >= self.least and not any(wrong), figure)


@dataclass(frozen=True, slots=True)
class NoEstimate:
    """No estimate, in digits or as a wave. The last true pulse has to be missed before anything can know:
    ``last_pulse_s`` is when it was, and the figure how long after it digits still stood, and how far beyond it a wave
    was drawn."""

    span: tuple[float, float]
    last_pulse_s: float | None = None
    within_s: float = 3.0
    modalities: tuple[Modality, ...] = MODEL_MODALITIES

    @property
    def words(self) -> str:
        """The rule in words, for the table."""
        late = f", {self.within_s:g} s after the last pulse" if self.last_pulse_s is not None else ""
        return f"no estimate {_from_to(self.span)}{late}"

    def judge(self, looks: Sequence[Look]) -> Judgement:
        """Met if no estimate was drawn later than ``within_s`` after the last pulse; late_s: of the latest."""
        last = self.last_pulse_s if self.last_pulse_s is not None else self.span[0]
        digits = [look.at_s - last for look in looks for m in self.modalities if _estimated(look, m)]
        waves = [look.drawn[m] - last for look in looks for m in self.modalities if m in look.drawn]
        late_s = max([*digits, *waves, 0.0])
        if self.last_pulse_s is None:
            shown = [any(look.estimated(m) for m in self.modalities) for look in looks]
            return Judgement(True not in shown, _spans(_runs(looks, shown)) or "none")
        figure = f"digits {max([*digits, 0.0]):.1f} s, wave {max([*waves, 0.0]):.1f} s"
        return Judgement(late_s <= self.within_s, figure, late_s)


@dataclass(frozen=True, slots=True)
class EstimateWithin:
    """An estimate of the mean pressure, where one is shown, is no further off than this."""

    span: tuple[float, float]
    low: float
    high: float

    @property
    def words(self) -> str:
        """The rule in words, for the table."""
        return f"estimated MAP, if any, {self.low:g}–{self.high:g} {_from_to(self.span)}"

    def judge(self, looks: Sequence[Look]) -> Judgement:
        """Met if no estimate shown was outside [low, high]."""
        values = [look.value("~MAP") for look in looks]
        known = [value for value in values if value is not None]
        if not known:
            return Judgement(True, "none shown")
        wrong = [value is not None and not self.low <= value <= self.high for value in values]
        figure = f"~{min(known):.0f}–{max(known):.0f}"
        return Judgement(not any(wrong), figure + (f"; wrong for {_spans(_runs(looks, wrong))}" if any(wrong) else ""))


@dataclass(frozen=True, slots=True)
class NoRisk:
    """The tile shows no risk."""

    span: tuple[float, float]

    @property
    def words(self) -> str:
        """The rule in words, for the table."""
        return f"no risk {_from_to(self.span)}"

    def judge(self, looks: Sequence[Look]) -> Judgement:
        """Met if no look shows a risk."""
        shown = [look.has_risk for look in looks]
        if True not in shown:
            return Judgement(True, "none")
        first = looks[shown.index(True)].tile
        return Judgement(False, f"{_spans(_runs(looks, shown))}: {first}")


@dataclass(frozen=True, slots=True)
class Tile:
    """The headline of the prediction tile contains one of these words."""

    texts: tuple[str, ...]
    span: tuple[float, float]

    @property
    def words(self) -> str:
        """The rule in words, for the table."""
        return f"tile says {' or '.join(repr(text) for text in self.texts)} {_from_to(self.span)}"

    def judge(self, looks: Sequence[Look]) -> Judgement:
        """Met if another headline never stood for longer than ``HELD_S``."""
        wrong = [not any(text in look.tile for text in self.texts) for look in looks]
        if not any(wrong):
            return Judgement(True, "always")
        runs = _runs(looks, wrong)
        return Judgement(max(b - a for a, b in runs) <= HELD_S, f"{looks[wrong.index(True)].tile!r} for {_spans(runs)}")


def _estimated(look: Look, modality: Modality) -> bool:
    number = look.numbers.get(modality)
    return number is not None and number.estimated


def _is(alarm: Alarm, keys: Iterable[str], priority: str) -> bool:
    of = PRIORITIES.index(alarm.record.priority)
    return alarm.record.key in keys and of >= PRIORITIES.index(priority)


def _runs(looks: Sequence[Look], wanted: Sequence[bool]) -> list[tuple[float, float]]:
    """[begin, end) of each unbroken run of looks that are ``wanted``."""
    step = looks[1].at_s - looks[0].at_s if len(looks) > 1 else LOOK_S
    runs: list[tuple[float, float]] = []
    for look, yes in zip(looks, wanted, strict=True):
        if yes and runs and look.at_s - runs[-1][1] < 0.5 * step:
            runs[-1] = (runs[-1][0], look.at_s + step)
        elif yes:
            runs.append((look.at_s, look.at_s + step))
    return runs


def _spans(runs: Iterable[tuple[float, float]], most: int = 3) -> str:
    """How many seconds in all, and when."""
    found = list(runs)
    if not found:
        return ""
    when = ", ".join(f"{a:.0f}–{b:.0f}" for a, b in found[:most])
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{sum(b - a for a, b in found):.1f} s ({when}{rest})"


def _from_to(span: tuple[float, float]) -> str:
    return f"{span[0]:.0f}–{span[1]:.0f} s"


def _or(keys: Sequence[str]) -> str:
    return " / ".join(f"`{key}`" for key in keys)
