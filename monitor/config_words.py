"""What ``vigil settings`` prints: the settings in force as a settings file, each line with where its value is from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import msgspec

from monitor.config import PASSWORD, InForce
from monitor.config_file import toml_words, users_own


def lines(settings: InForce, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """The file, line by line: TOML that can be kept as one. Of a password only whether there is one."""
    if settings.file is None:
        yield f"# no settings file; {users_own()} would be read if it were there"
    else:
        yield f"# {settings.file} is read"
    for section, keys in msgspec.to_builtins(settings.keys).items():
        yield f"[{section}]"
        for name, value in keys.items():
            # What is not set has no value that a file could hold.
            words = f"# {name} is not set" if value == "" else f"{name} = {toml_words(value)}"
            yield f"{words:<44} # {settings.origin[f'{section}.{name}']}"
        if section == "sasl":
            there = bool(environment.get(PASSWORD))
            yield f"{'# password: ' + ('there, not shown' if there else 'none'):<44} # {PASSWORD}"
        yield ""
