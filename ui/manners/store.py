"""What the settings dialog asks of whoever keeps the settings, and which of them concern the one at the screen. Pure.

The keys are those of the settings file; who reads and writes that is further up (:mod:`monitor.settings_store`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Value = bool | float | str


@dataclass(frozen=True, slots=True)
class Setting:
    """value: in force. choices: all it may be, () where it is no word out of a list. expects: in words, what it may be.
    fixed_by: the flag or variable that holds over the file, "" where the file counts."""

    value: Value
    choices: tuple[str, ...] = ()
    expects: str = ""
    fixed_by: str = ""


class SettingsStore(Protocol):
    """Thread-safe for one caller at a time."""

    @property
    def place(self) -> str:
        """The file that :meth:`save` writes."""

    def setting(self, key: str) -> Setting:
        """What holds of a key, as ``display.theme``."""

    def save(self, changes: Mapping[str, Value]) -> None:
        """Write what is other now; all of it or nothing. Raises BadInput with the sentence of the command line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the dialog. at_once: counts as soon as it is saved, else at the next start."""

    key: str
    label: str
    at_once: bool = False


ENTRIES: dict[str, tuple[Entry, ...]] = {
    "Screen": (
        Entry("display.theme", "Colours", at_once=True),
        Entry("display.font_scale", "Size of writing (0.8–1.6)", at_once=True),
        Entry("display.language", "Language"),
        Entry("display.dpi", "Dots an inch of this screen"),
        Entry("display.full_screen", "Full screen at the start"),
    ),
    "Sound": (
        Entry("sound.on", "Sound"),
        Entry("sound.volume", "Volume in percent"),
        Entry("sound.beat_tone", "Beat tone"),
    ),
    "Recording and estimates": (
        Entry("recorder.folder", "Folder of recordings"),
        Entry("worker.widest_estimate", "Widest estimate, ± mmHg"),
    ),
}
"""By heading, from the top."""
