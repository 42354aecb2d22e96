"""The settings in force: the file's, over these the environment's, over these the flags', each with where it is from.

``[broker] url`` of the file is ``VIGIL_BROKER_URL`` in the environment and ``--broker`` on the command line. Everything
is checked before anything begins; what is wrong is one sentence with the key and where it stands.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from models.signals.errors import BadInput
from monitor.config_file import users_own
from monitor.config_keys import Keys, Section
from monitor.settings import parse_broker, parse_precision, parse_prefix
from streams.transport.kafka_options import RETENTION_H

CONFIG = "VIGIL_CONFIG"
PASSWORD = "VIGIL_SASL_PASSWORD"
SALT = "VIGIL_LOG_SALT"
NOT_KEYS = (PASSWORD, SALT)
"""Variables of the environment that are no key of the file: they are secret."""
SAME = 0.85
"""So like a variable of ours is a slip of the finger, where nothing else tells that it was meant for us."""
DEFAULT = "default"

FLAGS = {
    "broker.url": "--broker",
    "broker.prefix": "--prefix",
    "broker.partitions": "--partitions",
    "worker.bundle": "--bundle",
    "worker.backend": "--backend",
    "worker.precision": "--precision",
    "worker.imputer": "--imputer",
    "worker.widest_estimate": "--widest-estimate",
    "metrics.port": "--metrics",
    "log.json": "--log-json",
    "sound.on": "--mute",
}
_PARSERS: dict[str, Callable[[str], object]] = {
    "broker.url": parse_broker,
    "broker.prefix": parse_prefix,
    "worker.precision": parse_precision,
}


@dataclass(frozen=True, slots=True)
class InForce:
    """keys: what holds. origin: key, as ``broker.url``, → the flag, variable or file it is from, or "default". file:
    the one that was read, None where there was none."""

    keys: Keys
    origin: Mapping[str, str]
    file: Path | None = None


def in_force(
    config: Path | None = None,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> InForce:
    """The settings that hold. config: the file that ``--config`` names; else the one of ``VIGIL_CONFIG``, else the
    user's own (:func:`monitor.config_file.users_own`) where there is one. flags: key → what the command line says of
    it, None where it says nothing. Raises BadInput."""
    file = config or (Path(environment[CONFIG]) if environment.get(CONFIG) else None)
    if file is None and os.path.isfile(users_own()):
        file = users_own()
    values: dict[str, dict[str, object]] = {name: {} for name in _sections()}
    origin: dict[str, str] = {}
    said = [*(_of_file(file) if file is not None else ()), *_of_environment(environment), *_of_flags(flags or {})]
    for key, value, where in said:
        section, _, name = key.partition(".")
        # Topics that are not named keep what they have.
        values[section][name] = {**RETENTION_H, **value} if isinstance(value, dict) else value
        origin[key] = where
    keys = msgspec.convert(values, Keys)  # each was checked alone; this one forbids what none of them saw
    return InForce(keys, {key: origin.get(key, DEFAULT) for key in _all_keys()}, file)


Said = list[tuple[str, object, str]]
"""Key, its value, and where it stands."""


def _of_file(path: Path) -> Said:
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise BadInput("a settings file", f"{path} ({error.strerror})", "give another to --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"TOML in {path}", f"something else ({error})", "correct it there") from error
    said: Said = []
    for section, content in found.items():
        kind = _sections().get(section)
        if kind is None:
            known = [f"[{name}]" for name in _sections()]
            raise BadInput(
                f"the sections {', '.join(known)} in {path}",
                f"[{section}]",
                _near(f"[{section}]", known, "write one of these"),
            )
        if not isinstance(content, dict):
            raise BadInput(f"a section [{section}] in {path}", f"{section} = {content!r}", f"write [{section}] above")
        for name, value in content.items():
            where = f"[{section}] {name} of {path}"
            if (section, name) == ("sasl", "password"):
                raise BadInput(
                    f"the password in {PASSWORD}, or in a file that [sasl] password_file names",
                    f"it in {path}",
                    "take it out there",
                )
            if name not in kind.__struct_fields__:
                raise BadInput(
                    f"a key of [{section}] in {path}",
                    repr(name),
                    _near(name, kind.__struct_fields__, f"those are {', '.join(kind.__struct_fields__)}"),
                )
            key = f"{section}.{name}"
            said.append((key, checked(key, value, where, strict=True, folder=path.parent), str(path)))
    return said


def _of_environment(environment: Mapping[str, str]) -> Said:
    variables = {_variable(key): key for key in _all_keys()}
    beginnings = tuple(f"VIGIL_{section.upper()}_" for section in _sections())
    said: Said = []
    for name, text in environment.items():
        if name in (CONFIG, *NOT_KEYS) or not text or not name.startswith("VIGIL_"):
            continue
        if not name.startswith(beginnings) and not difflib.get_close_matches(
            name, (CONFIG, *NOT_KEYS, *variables), n=1, cutoff=SAME
        ):
            continue  # of the tests, or of another program
        if name not in variables:
            raise BadInput(
                "a setting in a variable that begins with VIGIL_",
                name,
                _near(name, (CONFIG, *NOT_KEYS, *variables), "see `vigil settings`"),
            )
        key = variables[name]
        value = _pairs(text, name) if key == "broker.retention_hours" else text
        said.append((key, checked(key, value, name, strict=False), name))
    return said


def _of_flags(flags: Mapping[str, object]) -> Said:
    return [
        (key, checked(key, value, FLAGS[key], strict=False), FLAGS[key])
        for key, value in flags.items()
        if value is not None
    ]


def checked(key: str, value: object, where: str, *, strict: bool, folder: Path | None = None) -> Any:
    """``value`` as the key has it; BadInput says what it may be. folder: from which a path is seen."""
    kind, meta = key_type(key)
    try:
        found = msgspec.convert(str(value) if isinstance(value, Path) else value, kind, strict=strict)
        if (parse := _PARSERS.get(key)) is not None and found != "":
            found = parse(str(found))
    except (msgspec.ValidationError, BadInput) as error:
        raise BadInput(f"{meta.description} in {where}", repr(value), "correct it there") from error
    extra = meta.extra or {}
    if extra.get("path") and found and found != extra.get("but"):
        path = Path(str(found)).expanduser()
        return str(folder / path if folder is not None else path)
    return found


def _pairs(text: str, where: str) -> dict[str, str]:
    """``waves=6,alarms=48`` → by topic."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not equals for _, equals, _ in pairs):
        raise BadInput(f"hours by topic in {where}", repr(text), "write for example waves=6,alarms=48")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _near(word: str, known: Mapping[str, object] | list[str] | tuple[str, ...], otherwise: str) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise


def _variable(key: str) -> str:
    return f"VIGIL_{key.replace('.', '_').upper()}"


def key_type(key: str) -> tuple[Any, Meta]:
    """The type of a key, and what is said of it. KeyError for what is no key."""
    return _kinds()[key]


def choices(key: str) -> tuple[str, ...]:
    """The words that a key may have; none where it takes more than words out of a list. KeyError for what is no key."""
    kind = get_args(key_type(key)[0])[0]  # each is Annotated
    return get_args(kind) if get_origin(kind) is Literal else ()


def _sections() -> dict[str, type[Section]]:
    return get_type_hints(Keys)


def _all_keys() -> list[str]:
    return list(_kinds())


def _kinds() -> dict[str, tuple[Any, Meta]]:
    """Key → its type and what is said of it."""
    found: dict[str, tuple[Any, Meta]] = {}
    for section, kind in _sections().items():
        for name, hint in get_type_hints(kind, include_extras=True).items():
            (meta,) = (part for part in hint.__metadata__ if isinstance(part, Meta))
            found[f"{section}.{name}"] = hint, meta
    return found
