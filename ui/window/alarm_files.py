"""What is kept of alarms over a restart, in files: limits by bed, silence and acknowledgement, a journal a bed.

    limits.toml             limits that were set on the screen, by bed: the user's configuration
    alarm-states.json       which beds are silent until when, and what was acknowledged
    alarm-journal/BED.jsonl what has happened, one line each; bounded

All of it is read and written by one helper thread, in order; the window hands over and takes what is there. Limits and
states are changed bed by bed, so that two displays keep each other's; a file of these that cannot be read is said and
left as it is. Of a journal the lines that can be read are taken, and more are put behind them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from os import SEEK_END
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from models.signals.errors import BadInput
from models.signals.files import write_whole
from streams.limit_settings import LimitSetting, checked
from ui.bed.alarm_journal import KEPT, Entry
from ui.bed.alarm_states import Mode
from ui.style.language import tr
from ui.style.words import quoted
from ui.window.kept_file import KeptFile

JOURNAL_BYTES = 400_000
"""From here on a journal is cut to its newest half."""
_HEAD = (
    "# Limits of alarms, set on the screen of Vigil: low, high and beyond which an alarm is high, by bed and numeric.\n"
)

Limits = Mapping[str, tuple[LimitSetting, ...]]
T = TypeVar("T")


class KeptState(msgspec.Struct, frozen=True):
    """Of one bed: its silence, with times in seconds from 1970, and what was acknowledged: (session, key, since).
    session: the one that was silenced, another one is not; "" (a file of an earlier version): none is."""

    mode: Mode = Mode.ON
    session: str = ""
    since_unix_s: float = 0.0
    until_unix_s: float | None = None
    seen: list[tuple[str, str, float]] = []


class AlarmFiles:
    """config, state: the folders; None keeps nothing. worker: runs it all, one after the other.

    limits, states: by bed, what was kept and what was ordered since (:class:`ui.window.kept_file.KeptFile`)."""

    def __init__(self, config: Path | None, state: Path | None, worker: Executor | None = None) -> None:
        self._own = worker is None
        self._worker = worker or ThreadPoolExecutor(1, "display-alarms")
        self._said: list[str] = []
        self.limits = KeptFile[Limits](
            config / "limits.toml" if config is not None else None,
            tr("limits of alarms"), partial(_parsed, limits_of), limits_toml, {}, self._worker, self._said.append,
        )  # fmt: skip
        self.states = KeptFile[Mapping[str, KeptState]](
            state / "alarm-states.json" if state is not None else None,
            tr("states of alarms"), partial(_parsed, _states_of), _states_text, {}, self._worker, self._said.append,
        )  # fmt: skip
        self._journals = state / "alarm-journal" if state is not None else None
        self._doing: list[tuple[Callable[[Any], None], Future[Any]]] = []
        self._journals_told = False  # that they cannot be written

    def load_journal(self, bed: str, then: Callable[[list[Entry]], None]) -> None:
        """``then`` gets the newest entries of a bed, oldest first, in a :meth:`poll`."""
        self._do(partial(self._read_journal, bed), then)

    def keep_limits(self, bed: str, limits: tuple[LimitSetting, ...] | None) -> None:
        """Those of one bed; None: none."""
        self.limits.order(partial(_with, bed, limits))

    def keep_state(self, bed: str, state: KeptState | None) -> None:
        """That of one bed; None: none."""
        self.states.order(partial(_with, bed, state))

    def add_to_journal(self, bed: str, entries: Sequence[Entry]) -> None:
        """To the end of it."""
        self._do(partial(self._append, bed, tuple(entries)))

    def poll(self) -> list[str]:
        """Hands over what has been read; a sentence for each thing that has gone wrong, and went right before."""
        self.limits.poll()
        self.states.poll()
        while self._doing and self._doing[0][1].done():
            then, future = self._doing.pop(0)
            error = future.exception()
            if error is None:
                then(future.result())
            elif not isinstance(error, OSError):
                raise error
            elif not self._journals_told:
                self._said.append(tr("the journal of alarms is not kept: {error}", error=error))
            self._journals_told = error is not None
        said = self._said[:]
        self._said.clear()
        return said

    def close(self) -> None:
        """What is waiting is written still; waits for nothing."""
        if self._own:
            self._worker.shutdown(wait=False)

    def _do(self, what: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        self._doing.append((then, self._worker.submit(what)))

    # On the helper's thread -------------------------------------------------------------------------------------------

    def _journal(self, bed: str) -> Path | None:
        return self._journals / f"{quote(bed, safe=' ')[:200]}.jsonl" if self._journals is not None else None

    def _read_journal(self, bed: str) -> list[Entry]:
        path = self._journal(bed)
        if path is None or not path.exists():
            return []
        found = []
        for line in path.read_bytes().splitlines()[-KEPT:]:
            try:
                found.append(msgspec.json.decode(line, type=Entry))
            except msgspec.MsgspecError:
                continue  # a line that a power cut left half
        return found

    def _append(self, bed: str, entries: tuple[Entry, ...]) -> None:
        path = self._journal(bed)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if file.tell():
                file.seek(-1, SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # a power cut left half a line
            file.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
            full = file.tell() > JOURNAL_BYTES
        if full:
            newest = path.read_bytes()[-JOURNAL_BYTES // 2 :].partition(b"\n")[2]
            write_whole(path, newest)


def _with(bed: str, value: T | None, kept: Mapping[str, T]) -> dict[str, T]:
    others = {name: theirs for name, theirs in kept.items() if name != bed}
    return others if value is None else {**others, bed: value}


def _parsed(parse: Callable[[str], T], text: str, name: str) -> T:
    try:
        return parse(text)
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError, BadInput) as error:
        raise BadInput(f"what Vigil wrote in {name}", str(error), "correct or remove the file") from error


def _states_of(text: str) -> Mapping[str, KeptState]:
    return msgspec.json.decode(text, type=dict[str, KeptState])


def _states_text(states: Mapping[str, KeptState]) -> str:
    return msgspec.json.encode(states).decode()


def limits_of(text: str) -> Limits:
    """Limits by bed out of TOML; BadInput for what makes no sense."""
    found: dict[str, tuple[LimitSetting, ...]] = {}
    for bed, by_vital in tomllib.loads(text).items():
        if not isinstance(by_vital, dict):
            raise BadInput(f"limits of the bed {bed!r} by numeric", repr(by_vital), "write them below [bed.numeric]")
        rows = [{"vital": vital, **row} if isinstance(row, dict) else row for vital, row in by_vital.items()]
        found[bed] = checked(msgspec.convert(rows, list[LimitSetting]))
    return found


def limits_toml(limits: Limits) -> str:
    """Limits by bed as TOML."""
    lines = [_HEAD]
    for bed, settings in limits.items():
        for setting in settings:
            lines.append(f"[{quoted(bed)}.{setting.vital}]")
            for name, value in msgspec.structs.asdict(setting).items():
                if name != "vital" and value is not None:
                    lines.append(f"{name} = {_toml(value)}")
            lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else quoted(value) if isinstance(value, str) else repr(value)
