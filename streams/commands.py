"""Operators' actions: made into records on one side of the wire, applied to the source on the other."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.clock import checked_speed
from streams.fields import MAX_ARGUMENTS
from streams.limit_settings import LimitSetting, checked
from streams.records import CommandRecord
from streams.sources.source import Seekable, Source

MARK = "mark"
"""The command, and how its note in a recording begins."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants: ``args`` as the applier reads them, ``limits`` of alarms; bed: "" is the one on show."""

    name: str
    args: Mapping[str, str | float] = field(default_factory=dict)
    limits: tuple[LimitSetting, ...] = ()
    bed: str = ""


class CommandMaker:
    """Numbers the commands of one operator at one desk.

    desk: a name that no other desk has: commands of one number are one command.
    """

    def __init__(self, desk: str, operator: str) -> None:
        self._desk, self._operator = desk, operator
        self._numbers = itertools.count(1)

    def __call__(self, bed: str, session: str, time_ns: int, order: Order) -> CommandRecord:
        """The next command to a bed of a session, which is at ``time_ns`` of event time."""
        return CommandRecord(
            bed=bed,
            session=session,
            epoch=0,
            id=f"{self._desk}-{next(self._numbers)}",
            operator=self._operator,
            time_ns=time_ns,
            name=order.name,
            args=dict(order.args),
            limits=list(order.limits),
        )


class Orders(ABC):
    """The operator's side of a :class:`streams.control.SessionControl`: each action becomes a command to the bed on
    show."""

    @abstractmethod
    def _order(self, order: Order) -> None:
        """Sends the command."""

    def pause(self) -> None:
        """Stands still; what is under way arrives."""
        self._order(Order("pause"))

    def resume(self) -> None:
        """Goes on from where it stands."""
        self._order(Order("resume"))

    def set_speed(self, speed: float) -> None:
        """Event seconds a second from here on."""
        self._order(Order("speed", {"speed": speed}))

    def seek(self, time_s: float) -> None:
        """Goes on from ``time_s`` in a new epoch; everything begins anew there."""
        self._order(Order("seek", {"time_s": time_s}))

    def step(self, seconds: float) -> None:
        """Plays ``seconds`` and stands again if paused, else jumps by them."""
        self._order(Order("step", {"seconds": seconds}))

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withholds the modality, or gives it back."""
        self._order(Order("drop" if dropped else "restore", {"modality": modality.value}))

    def set_limits(self, limits: Iterable[LimitSetting], bed: str = "") -> None:
        """Judges the alarms by these from now on, of any bed; BadInput for limits that make no sense."""
        self._order(Order("limits", limits=checked(limits), bed=bed))

    def acknowledge(self, alarms: Mapping[str, float]) -> None:
        """Tells whoever listens which alarms (key -> event time in seconds at which it began) somebody has seen."""
        told = list(alarms.items())
        for first in range(0, len(told), MAX_ARGUMENTS):
            self._order(Order("acknowledge", dict(told[first : first + MAX_ARGUMENTS])))

    def explain(self) -> None:
        """Asks what each sensor is worth to the newest prediction; the answer comes as a record."""
        self._order(Order("explain"))

    def mark(self, time_s: float, word: str) -> None:
        """Marks a moment of event time, with a word or ""; it goes to all who read the commands, and is recorded."""
        self._order(Order(MARK, {"time_s": time_s, "word": word}))


class CommandApplier:
    """Applies each command once, in order (delivery is at least once); BadInput for arguments that make no sense, and
    for what only a recording can do."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._done: dict[str, None] = {}

    def __call__(self, command: CommandRecord) -> None:
        """Applies the command unless it was applied before."""
        if command.id in self._done:
            return
        self._done[command.id] = None
        if len(self._done) > 1024:
            del self._done[next(iter(self._done))]
        match command.name:
            case "drop" | "restore":
                self._source.set_dropped(_modality(command), command.name == "drop")
            case "acknowledge" | "explain" | "limits" | "mark":
                pass  # of the displays, of the worker, and of who judges the alarms; here they only pass
            case _ if not isinstance(self._source, Seekable):
                raise BadInput(
                    "drop or restore, for a live source", f"the command {command.name!r}", "send it to a recording"
                )
            case "pause":
                self._source.pause()
            case "resume":
                self._source.resume()
            case "speed":
                self._source.set_speed(checked_speed(_number(command, "speed")))
            case "seek":
                self._source.seek(_number(command, "time_s"))
            case "step":
                self._source.step(_number(command, "seconds"))


def _number(command: CommandRecord, name: str) -> float:
    value = command.args.get(name)
    if isinstance(value, str) or value is None or not math.isfinite(value) or abs(value) > 1e9:
        raise BadInput(f"a number {name!r} with the command {command.name!r}", f"{value!r}", "send it again with one")
    return float(value)


def _modality(command: CommandRecord) -> Modality:
    value = command.args.get("modality")
    if value not in {m.value for m in Modality}:
        known = ", ".join(Modality)
        raise BadInput(f"one of {known} with the command {command.name!r}", f"{value!r}", "send it again with one")
    return Modality(value)


def mark_of(command: CommandRecord) -> tuple[float, str] | None:
    """Event time in s and word of a mark; None of another command, and of one that says no time."""
    time_s, word = command.args.get("time_s"), command.args.get("word", "")
    if command.name != MARK or isinstance(time_s, str) or time_s is None:
        return None
    return float(time_s), str(word)


def mark_words(word: str) -> str:
    """A mark among the notes of a recording.

    >>> mark_words("incision"), mark_words("")
    ('mark: incision', 'mark')
    """
    return f"{MARK}: {word}" if word else MARK
