"""The settings of the dialog: what is in force, and the file that they are written into."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from monitor.config import DEFAULT, InForce, checked, choices, key_type
from monitor.config_file import users_own, write_changes
from ui.manners.store import Setting, Value


class StoredSettings:
    """A :class:`ui.manners.store.SettingsStore` of what was in force at the start."""

    def __init__(self, force: InForce) -> None:
        self._file = force.file or users_own()
        self._origin = force.origin
        self._values: dict[str, Value] = {
            f"{section}.{name}": value
            for section, keys in msgspec.to_builtins(force.keys).items()
            for name, value in keys.items()
        }

    @property
    def place(self) -> str:
        """See the protocol."""
        return str(self._file)

    def setting(self, key: str) -> Setting:
        """See the protocol. KeyError for what is no key."""
        origin = self._origin[key]
        meta = key_type(key)[1]
        fixed = "" if origin in (DEFAULT, str(self._file)) else origin
        return Setting(self._values[key], choices(key), meta.description or "", fixed)

    def save(self, changes: Mapping[str, Value]) -> None:
        """See the protocol. What a flag or a variable holds cannot be changed."""
        found: dict[str, Value] = {}
        for key, value in changes.items():
            section, _, name = key.partition(".")
            where = f"[{section}] {name} of {self._file}"
            found[key] = checked(key, value, where, strict=False, folder=self._file.parent)
        write_changes(self._file, found)
        self._values |= found
