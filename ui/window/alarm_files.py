"""What is kept of alarms over a restart, in files: limits by bed, silence and acknowledgement, a journal a bed.

    limits.toml             limits that were set on the screen, by bed: the user's configuration
    alarm-states.json       which beds are silent until when, and what was acknowledged
    alarm-journal/BED.jsonl what has happened, one line each; bounded

All of it is read and written by one helper thread, in order; the window hands over and takes what is there. A file that
cannot be read is said and left as it is; nothing is written over it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from models.signals.errors import BadInput
from streams.limit_settings import LimitSetting, checked
from ui.bed.alarm_journal import KEPT, Entry
from ui.bed.alarm_states import Mode
from ui.style.words import quoted

JOURNAL_BYTES = 400_000
"""From here on a journal is cut to its newest half."""
_HEAD = (
    "# Limits of alarms, set on the screen of Vigil: low, high and beyond which an alarm is high, by bed and numeric.\n"
)

Limits = Mapping[str, tuple[LimitSetting, ...]]


class KeptState(msgspec.Struct, frozen=True):
    """Of one bed: its silence, with times in seconds from 1970, and what was acknowledged: (session, key, since).
    session: the one that was silenced, another one is not; "" (a file of an earlier version): none is."""

    mode: Mode = Mode.ON
    session: str = ""
    since_unix_s: float = 0.0
    until_unix_s: float | None = None
    seen: list[tuple[str, str, float]] = []


class Kept(msgspec.Struct, frozen=True):
    """What was there when the display began."""

    limits: dict[str, tuple[LimitSetting, ...]] = {}
    states: dict[str, KeptState] = {}


class AlarmFiles:
    """config, state: the folders; None keeps nothing. worker: runs it all, one after the other."""

    def __init__(self, config: Path | None, state: Path | None, worker: Executor | None = None) -> None:
        self._limits = config / "limits.toml" if config is not None else None
        self._states = state / "alarm-states.json" if state is not None else None
        self._journals = state / "alarm-journal" if state is not None else None
        self._own = worker is None
        self._worker = worker or ThreadPoolExecutor(1, "display-alarms")
        self._doing: list[tuple[Callable[[Any], None], Future[Any]]] = []
        self._wrong: list[BadInput] = []
        self._refused: set[Path] = set()  # what could not be read is not written over

    def load(self, then: Callable[[Kept], None]) -> None:
        """``then`` gets what was kept, in a :meth:`poll`."""

        def take(found: tuple[Kept, list[BadInput]]) -> None:
            then(found[0])
            self._wrong += found[1]

        self._do(self._load, take)

    def load_journal(self, bed: str, then: Callable[[list[Entry]], None]) -> None:
        """``then`` gets the newest entries of a bed, oldest first."""
        self._do(partial(self._read_journal, bed), then)

    def keep_limits(self, limits: Limits) -> None:
        """Those of all beds."""
        self._do(partial(self._write, self._limits, partial(limits_toml, dict(limits))))

    def keep_states(self, states: Mapping[str, KeptState]) -> None:
        """Those of all beds."""
        kept = dict(states)
        self._do(partial(self._write, self._states, lambda: msgspec.json.encode(kept).decode()))

    def add_to_journal(self, bed: str, entries: Sequence[Entry]) -> None:
        """To the end of it."""
        self._do(partial(self._append, bed, tuple(entries)))

    def poll(self) -> list[str]:
        """Hands over what has been read; a sentence for each thing that went wrong."""
        said = []
        while self._doing and self._doing[0][1].done():
            then, future = self._doing.pop(0)
            error = future.exception()
            if error is None:
                then(future.result())
            elif isinstance(error, BadInput | OSError):
                said.append(f"alarms are not kept: {error}")
            else:
                raise error
        said += [f"alarms are not kept: {error}" for error in self._wrong]
        self._wrong = []
        return said

    def close(self) -> None:
        """What is waiting is written still; waits for nothing."""
        if self._own:
            self._worker.shutdown(wait=False)

    def _do(self, what: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        self._doing.append((then, self._worker.submit(what)))

    # On the helper's thread -------------------------------------------------------------------------------------------

    def _load(self) -> tuple[Kept, list[BadInput]]:
        kept, wrong = Kept(), []
        for path, parse, name in ((self._limits, limits_of, "limits"), (self._states, _states_of, "states")):
            try:
                kept = msgspec.structs.replace(kept, **{name: self._read(path, parse) or {}})
            except BadInput as error:
                wrong.append(error)
        return kept, wrong

    def _read(self, path: Path | None, parse: Callable[[str], Any]) -> Any:
        if path is None or not path.exists():
            return None
        try:
            return parse(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.MsgspecError, BadInput) as error:
            self._refused.add(path)
            raise BadInput(f"what Vigil wrote in {path}", str(error), "correct or remove the file") from error

    def _write(self, path: Path | None, text: Callable[[], str]) -> None:
        if path is None or path in self._refused:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}.new")
        new.write_text(text(), "utf-8")
        new.replace(path)  # whole, or as it was

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
        with path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
            full = file.tell() > JOURNAL_BYTES
        if full:
            newest = path.read_bytes()[-JOURNAL_BYTES // 2 :].partition(b"\n")[2]
            new = path.with_name(f"{path.name}.new")
            new.write_bytes(newest)
            new.replace(path)


def _states_of(text: str) -> dict[str, KeptState]:
    return msgspec.json.decode(text, type=dict[str, KeptState])


def limits_of(text: str) -> dict[str, tuple[LimitSetting, ...]]:
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
