"""What the user asked of a run, parsed and checked in one place.

Each parser takes the text of one command-line option and raises BadInput with what was expected and found.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from models.runtime.backend import Precision
from models.runtime.engine import WIDEST_MMHG
from models.runtime.spec import AUTO
from models.signals.aliases import modality_named
from models.signals.errors import BadInput
from streams.sources.bed_replay import Drop

if TYPE_CHECKING:
    from monitor.config_keys import WorkerKeys

MIN_SPEED, MAX_SPEED = 0.25, 50.0
MAX_WIDEST_MMHG = 50.0
MAX_PORT = 65_535
BROKER = f"a broker like kafka://HOST:9092 (port 1 to {MAX_PORT})"
_DROP = re.compile(r"^(?P<modality>[A-Za-z][A-Za-z0-9]*):(?P<start>[^-]*)-(?P<end>.*)$")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything `vigil run` needs. ``names``: of the beds, by default their numbers. ``speed`` None means as fast as
    possible."""

    sources: tuple[str, ...] = ("demo",)
    names: tuple[str, ...] = ()
    speed: float | None = 1.0
    from_s: float = 0.0
    for_s: float | None = None
    channels: dict[str, str] = field(default_factory=dict)
    drops: tuple[Drop, ...] = ()
    bundle: Path | None = None
    backend: str = "auto"
    precision: Precision | Literal["auto"] = "auto"
    imputer: str = AUTO
    widest_mmhg: float = WIDEST_MMHG
    headless: bool = False
    report: Path | None = None
    vitals: Path | None = None
    predictions: Path | None = None
    alarms: Path | None = None
    restored: Path | None = None
    screenshot: Path | None = None
    record: Path | None = None
    unrecorded: bool = False
    lsl_out: bool = False
    broker: str | None = None

    @property
    def outputs(self) -> dict[str, Path | None]:
        """Option -> the file it asks for, of those that a run leaves at its end."""
        return {
            "--report": self.report,
            "--vitals": self.vitals,
            "--predictions": self.predictions,
            "--alarms": self.alarms,
            "--restored": self.restored,
            "--screenshot": self.screenshot,
        }


def with_model(settings: RunSettings, keys: WorkerKeys) -> RunSettings:
    """``settings`` with the model that ``keys``, which were checked, ask for."""
    return replace(
        settings,
        bundle=Path(keys.bundle) if keys.bundle else None,
        backend=keys.backend,
        precision=parse_precision(keys.precision),
        imputer=keys.imputer,
        widest_mmhg=keys.widest_estimate,
    )


def parse_broker(text: str) -> str:
    """``kafka://HOST:PORT``, or ``embedded://NAME`` for all in one process."""
    match = re.fullmatch(r"kafka://([^\s/:@]+)(:\d{1,5})?/?|embedded://[A-Za-z0-9_-]+", text)
    port = int(match[2][1:]) if match is not None and match[2] else 1
    if match is None or not 1 <= port <= MAX_PORT:
        raise BadInput(BROKER, repr(text), "write its address so")
    return text.rstrip("/")


def parse_prefix(text: str) -> str:
    """Of the names of topics: letters, digits, ``.``, ``_`` and ``-``, as Kafka has them."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", text):
        raise BadInput("letters, digits, '.', '_' and '-' in --prefix, at most 64", repr(text), "choose another")
    return text


def parse_speed(text: str) -> float | None:
    """``max`` or a factor of 0.25–50."""
    if text.strip().lower() == "max":
        return None
    speed = _number(text.rstrip("xX×"), "--speed")
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise BadInput(f"a speed of {MIN_SPEED:g} to {MAX_SPEED:g}, or max", text, "choose one of these")
    return speed


def parse_precision(text: str) -> Precision | Literal["auto"]:
    """``auto``, ``fp32``, ``fp16`` or ``bf16``."""
    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if text.strip().lower() == precision:
            return precision
    if text.strip().lower() != "auto":
        raise BadInput(f"a precision out of auto, {', '.join(known)}", repr(text), "choose one of these")
    return "auto"


def parse_widest(text: str) -> float:
    """Half of an 80 % interval in mmHg, from 0 (no estimate of the pressure at all) to 50."""
    widest = _number(text, "--widest-estimate")
    if not 0.0 <= widest <= MAX_WIDEST_MMHG:
        raise BadInput(f"0 to {MAX_WIDEST_MMHG:g} mmHg in --widest-estimate", repr(text), "write for example 10")
    return widest


def parse_drops(entries: list[str]) -> tuple[Drop, ...]:
    """``["ABP:120-240"]`` → drops; the end may be left out for "until the end". The session checks them against the
    recording's length."""
    return tuple(_drop(part.strip()) for text in entries for part in text.split(",") if part.strip())


def _drop(text: str) -> Drop:
    example = "write for example --drop ABP:120-240"
    match = _DROP.match(text)
    if match is None:
        raise BadInput("MODALITY:START-END in --drop", repr(text), example)
    modality = modality_named(match["modality"])
    start = _number(match["start"], "--drop")
    end = _number(match["end"], "--drop") if match["end"].strip() else math.inf
    if start < 0 or end <= start:
        raise BadInput("0 ≤ START < END in --drop, in seconds from time zero", repr(text), example)
    return Drop(modality, start, end)


def check_outputs(outputs: Mapping[str, Path | None], sources: Sequence[str]) -> None:
    """Refuse output paths (option -> path) before the run rather than after it: one that cannot be written, one that
    is given twice, and a recording itself."""
    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        _check_writable(path, option)
        if path.is_file() and any(os.path.isfile(source) and path.samefile(source) for source in sources):
            raise BadInput(f"a file of its own for {option}", f"the recording {path} itself", "give another file name")
        real = path.resolve()
        if real in seen and (path.is_file() or not path.exists()):  # /dev/null may be given twice
            raise BadInput(f"a file of its own for {option}", f"that of {seen[real]}, {path}", "give another file name")
        seen[real] = option


def _check_writable(path: Path, option: str) -> None:
    try:
        if path.is_dir():
            raise BadInput(f"a file for {option}", f"the folder {path}", "give a file name")
        if not path.resolve().parent.is_dir():
            raise BadInput(f"an existing folder for {option}", f"none at {path.resolve().parent}", "make it first")
        new = not path.exists()
        if new or path.is_file():
            path.open("ab").close()  # what lies there stays until the run has something to write
        if new:
            path.resolve().unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"a file that can be written for {option}", f"{path} ({reason})", "choose another") from error


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise BadInput(f"a number in {option}", repr(text), "write it as 120 or 12.5") from None
    if not math.isfinite(value):
        raise BadInput(f"a finite number in {option}", repr(text), "write it as 120 or 12.5")
    return value
