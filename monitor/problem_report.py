"""What somebody who is to help with a problem needs to see, as a zip, and nothing of a patient.

In it: versions, which settings are in force, the run in numbers, the end of the log. Not in it: waves, names of beds,
recordings, tracks, files, folders, machines or users. What is free text of a setting is not shown at all; numbers,
switches and words out of a list are. Texts go through :data:`monitor.redaction.HIDDEN`, and lose their paths, what this
machine and its user are called, and every address (:mod:`monitor.addresses`) besides.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec

from models.signals.install import DISTRIBUTION
from monitor.addresses import without_addresses, without_urls
from monitor.config import DEFAULT, InForce, key_type
from monitor.config_file import toml_words
from monitor.config_keys import Keys
from monitor.logs import log_path
from monitor.redaction import HIDDEN

LOG_LINES = 400
WORDS_OF = ("backend", "precision", "service", "highest_priority", "error", "backend_notes")
"""Entries of a run's report that are text, and not of anybody."""

_CODE = re.compile(r"(?:[A-Za-z]:)?[\\/](?:[^\\/\n\"']+[\\/])+((?:monitor|streams|models|ui)[\\/][\w\\/]+\.py)")
_QUOTED = re.compile(r"\"[^\"\n]*[\\/][^\"\n]*\"|'[^'\n]*[\\/][^'\n]*'")
_PATH = re.compile(
    r"(?<![\w.])(?:[A-Za-z]:)?(?:~[\w.-]*)?[\\/](?!(?:min|s|h)(?![\w\\/]))(?=[^\s\"])(?:[^\n:\"]|:(?!\s))*(?<![\s:.])"
)
"""A path ends at a colon or the line: folders may be called ``Smith, John (2)``."""
_EXTENSION = r"\.(?:vital|edf|bdf|rec|hea|dat|mcap|csv|npz|json|png|toml|log)\b"
_FILE = re.compile(
    rf"(?:[^\s\"'/\\]+[\\/](?:[^\n\"':/\\]*[\\/])*[^\n\"':/\\]*?|[^\s\"'/\\]+){_EXTENSION}", re.IGNORECASE
)


def scrubbed(text: str, names: Iterable[str] = ()) -> str:
    """``text`` without what is hidden, ``names``, paths and addresses; of this program's own source the part that is
    everybody's.

    >>> scrubbed('File "/home/smith/vigil/ui/bed/state.py", line 3: no file /data/John Smith/case 1.vital: gone')
    'File "ui/bed/state.py", line 3: no file [path]: gone'
    """
    return without_addresses(_without_paths(without_urls(HIDDEN.everywhere(text, names))), _is_setting)


def _without_paths(text: str) -> str:
    text = _CODE.sub(r"\1", text)
    text = _QUOTED.sub(lambda match: match[0] if _own(match[0][1:-1]) else "[path]", text)
    return _FILE.sub("[file]", _PATH.sub("[path]", text))


def _is_setting(name: str) -> bool:
    section, _, key = name.partition(".")
    return any(field.name == section and key in field.type.__struct_fields__ for field in msgspec.structs.fields(Keys))


def _own(path: str) -> bool:
    return re.fullmatch(r"(?:monitor|streams|models|ui)[\\/][\w\\/]+\.py", path) is not None


class ProblemReport:
    """force: the settings. report: the run in numbers (:mod:`monitor.report`), None where there is none. names: of
    beds, to be left out."""

    def __init__(
        self,
        force: InForce,
        report: Callable[[], Mapping[str, Any] | None],
        names: Callable[[], Iterable[str]],
    ) -> None:
        self._force, self._report, self._names = force, report, names

    def save(self, path: Path) -> bool:
        """Write the zip; False where that cannot be done."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with ZipFile(path, "w", ZIP_DEFLATED) as archive:
                for name, text in self.texts().items():
                    archive.writestr(name, text)
        except OSError:
            return False
        return True

    def texts(self) -> dict[str, str]:
        """The files of the zip."""
        names = (*self._names(), *_of_this_place(self._force))
        report = self._report()
        return {
            "versions.txt": "\n".join(_versions()) + "\n",
            "settings.toml": "\n".join(_settings(self._force)) + "\n",
            "report.json": json.dumps(_numbers(report, names), indent=2) + "\n",
            "log.txt": scrubbed("".join(_log()), names),
        }


def _of_this_place(force: InForce) -> list[str]:
    """What this machine and its user are called, and free text of the settings: a broker, a name, a prefix."""
    node, home = platform.node(), Path.home()
    found = [node, node.partition(".")[0], str(home), home.name, *_user()]
    for key, origin in force.origin.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(force.keys, section), name)
        if isinstance(value, str) and origin != DEFAULT and not _listed(key):
            _, scheme, place = value.partition("://")
            found += [value, *(re.split(r"[^\w.-]+", place) if scheme else ())]
    return [name for name in found if any(letter.isalpha() for letter in name)]


def _user() -> list[str]:
    try:
        return [getpass.getuser()]
    except (KeyError, OSError):  # without a name
        return []


def _versions() -> list[str]:
    packages = sorted({f"{one.name} {one.version}" for one in distributions() if one.name}, key=str.lower)
    system = f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} processors"
    return [
        f"Vigil {version(DISTRIBUTION)}, Python {platform.python_version()}, {system}",
        f"written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        *(f"{name}={os.environ[name]}" for name in ("QT_QPA_PLATFORM", "QT_SCALE_FACTOR") if name in os.environ),
        f"executable is {'frozen' if getattr(sys, 'frozen', False) else 'Python'}",
        "",
        *packages,
    ]


def _settings(force: InForce) -> list[str]:
    lines = []
    for section, keys in msgspec.to_builtins(force.keys).items():
        lines.append(f"[{section}]")
        for name, value in keys.items():
            key = f"{section}.{name}"
            origin = force.origin[key]
            origin = "the settings file" if origin == str(force.file) else origin
            shown = not isinstance(value, str) or value == "" or _listed(key) or origin == DEFAULT
            words = f"{name} = {toml_words(value)}" if shown else f"# {name} is set, not shown"
            lines.append(f"{words:<44} # {origin}")
        lines.append("")
    return lines


def _listed(key: str) -> bool:
    """Whether the value is a word out of a list."""
    hint = get_args(key_type(key)[0])[0]
    return get_origin(hint) is Literal


def _numbers(report: object, names: Sequence[str], key: str = "") -> object:
    """Of a run's report the numbers, and of texts those of :data:`WORDS_OF`, without names."""
    if isinstance(report, Mapping):
        kept = {name: value for name, value in report.items() if not isinstance(value, str) or name in WORDS_OF}
        return {
            _without_paths(HIDDEN.everywhere(str(name), names)): _numbers(value, names, str(name))
            for name, value in kept.items()
        }
    if isinstance(report, list | tuple):
        return [_numbers(value, names, key) for value in report if not isinstance(value, str) or key in WORDS_OF]
    return scrubbed(report, names) if isinstance(report, str) else report


def _log() -> Iterable[str]:
    path = log_path()
    if path is None or not path.is_file():
        return ["no log was written\n"]
    with path.open(encoding="utf-8", errors="replace") as file:
        return list(deque(file, LOG_LINES))
