"""The settings file as a file: where a user's own lies, and how single keys of one are changed.

The standard library reads TOML and writes none. A key is one line of text here, and nothing but that line changes:
comments, order and what was written by hand stay. The result is read back before it takes the file's place; where it
does not say what was wanted (a value over several lines), nothing is written.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import msgspec
from platformdirs import user_config_path

from models.signals.errors import BadInput


def users_own() -> Path:
    """The file that is read where none is named."""
    return user_config_path("vigil", appauthor=False) / "settings.toml"


def toml_words(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {toml_words(each)}' for name, each in value.items())} }}"
    if isinstance(value, str):
        # A JSON string is a basic string of TOML, which wants one more character escaped.
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    return str(value)


def changed(text: str, changes: Mapping[str, object]) -> str:
    """``text`` of a settings file with other values, by key as ``display.theme``; BadInput where that cannot be done
    line by line.

    >>> changed("[display] # the window\\ntheme = 'dark' # for nights\\n", {"display.theme": "light"})
    '[display] # the window\\ntheme = "light" # for nights\\n'
    """
    wanted: dict[str, dict[str, Any]] = tomllib.loads(text)
    lines = text.removesuffix("\n").split("\n") if text else []
    for key, value in changes.items():
        section, _, name = key.partition(".")
        wanted.setdefault(section, {})[name] = value
        _put(lines, section, name, toml_words(value))
    out = "\n".join(lines) + "\n"
    try:
        found = tomllib.loads(out)
    except tomllib.TOMLDecodeError:
        found = {}
    if found != wanted:
        raise BadInput("one line a key in the settings file", "a value over several lines", "change it there by hand")
    return out


def _put(lines: list[str], section: str, name: str, words: str) -> None:
    head = next((n for n, line in enumerate(lines) if re.match(rf"\s*\[\s*{section}\s*\]", line)), None)
    if head is None:
        lines += [*([""] if lines else []), f"[{section}]", f"{name} = {words}"]
        return
    end = next((n for n in range(head + 1, len(lines)) if re.match(r"\s*\[", lines[n])), len(lines))
    for n in range(head + 1, end):
        if (match := re.match(rf"(\s*{name}\s*=\s*)", lines[n])) is not None:
            lines[n] = match[1] + words + _comment(lines[n][match.end() :])
            return
    while end > head + 1 and not lines[end - 1].strip():
        end -= 1  # a blank line before the next section stays there
    lines.insert(end, f"{name} = {words}")


def _comment(rest: str) -> str:
    """What stands behind the value: a ``#`` inside of quotes begins no comment."""
    match = re.match(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[^#"'])*?(\s*#.*)?$""", rest)
    return (match[1] or "") if match is not None else ""


def write_changes(path: Path, changes: Mapping[str, object]) -> None:
    """Change keys of the file at ``path``, which is made where there is none. BadInput where it cannot be written."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        out = changed(text, changes)
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.resolve()  # where a link leads, so that it stays one
        with NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=".settings-", suffix=".toml", delete=False
        ) as file:
            file.write(out)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(file.name, target.stat().st_mode & 0o777)
        os.replace(file.name, target)
    except OSError as error:
        raise BadInput(
            "a settings file that can be written", f"{path} ({error.strerror})", "look there, or name another"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"TOML in {path}", f"something else ({error})", "correct it there") from error
