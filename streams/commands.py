"""Operators' actions: made into records on one side of the wire, applied to the replay on the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Protocol

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.clock import checked_speed
from streams.records import CommandRecord


class Replay(Protocol):
    """What commands act on; :class:`streams.replay.ReplayPlayer` is one."""

    def pause(self) -> None:
        """Stand still."""

    def resume(self) -> None:
        """Go on."""

    def set_speed(self, speed: float | None, /) -> None:
        """Event seconds a second; None: as fast as possible."""

    def seek(self, time_s: float, /) -> None:
        """Go to ``time_s``, in a new epoch."""

    def step(self, seconds: float, /) -> None:
        """While paused, play so many seconds; else jump by them."""

    def set_dropped(self, modality: Modality, dropped: bool, /) -> None:
        """Withhold a modality, or give it back."""


class CommandMaker:
    """Numbers the commands of one operator of one session.

    time_ns: where the replay is when the command is given, in event time.
    """

    def __init__(self, bed: str, session: str, operator: str, time_ns: Callable[[], int]) -> None:
        self._bed, self._session, self._operator, self._time_ns = bed, session, operator, time_ns
        self._numbers = itertools.count(1)

    def __call__(self, name: str, **args: str | float) -> CommandRecord:
        """The next command; ``args`` as the applier reads them."""
        return CommandRecord(
            bed=self._bed,
            session=self._session,
            epoch=0,
            id=f"{self._session}-{next(self._numbers)}",
            operator=self._operator,
            time_ns=self._time_ns(),
            name=name,
            args=args,
        )


class CommandApplier:
    """Applies each command once, in order (delivery is at least once); BadInput for arguments that make no sense."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._done: dict[str, None] = {}

    def __call__(self, command: CommandRecord) -> None:
        """Applies the command unless it was applied before."""
        if command.id in self._done:
            return
        self._done[command.id] = None
        if len(self._done) > 1024:
            del self._done[next(iter(self._done))]
        match command.name:
            case "pause":
                self._replay.pause()
            case "resume":
                self._replay.resume()
            case "speed":
                self._replay.set_speed(checked_speed(_number(command, "speed")))
            case "seek":
                self._replay.seek(_number(command, "time_s"))
            case "step":
                self._replay.step(_number(command, "seconds"))
            case "drop" | "restore":
                self._replay.set_dropped(_modality(command), command.name == "drop")
            case "acknowledge":
                pass  # the display's own; here it only passes to whoever listens


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
