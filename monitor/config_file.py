"""The settings file as a file: where a user's own lies, and how single keys of one are changed.

The standard library reads TOML and writes none. A key is one line of text here, and nothing but that line changes:
comments, order and what was written by hand stay. The result is read back before it takes the file's place; where it
does not say what was wanted (a value over several lines), nothing is written. Line ends stay what they are.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from platformdirs import user_config_path

from models.signals.errors import BadInput
from models.signals.files import write_whole


def config_folder() -> Path:
    """Of what its user chooses (``~/.config/vigil``)."""
    return user_config_path("vigil", appauthor=False)


def users_own() -> Path:
    """The file that is read where none is named."""
    return config_folder() / "settings.toml"


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
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
        out = changed(text.replace("\r\n", "\n"), changes)
        write_whole(path, (out.replace("\n", "\r\n") if "\r\n" in text else out).encode())
    except OSError as error:
        raise BadInput(
            "a settings file that can be written", f"{path} ({error.strerror})", "look there, or name another"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"TOML in {path}", f"something else ({error})", "correct it there") from error
