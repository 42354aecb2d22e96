"""What the screen says of sound, so that silence is never ambiguous. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ui.sound.choice import SoundChoice


@dataclass(frozen=True, slots=True)
class SoundWords:
    """``crossed``: nothing is heard. ``warns``: which nobody has asked for."""

    head: str
    detail: str
    crossed: bool = False
    warns: bool = False


def sound_words(choice: SoundChoice, trouble: str, silent: str, beats: str) -> SoundWords:
    """trouble: why nothing can be heard. silent: why no bed may sound now, "" where one may. beats: what is said of the
    beat tone.

    >>> sound_words(SoundChoice(), "no audio device", "", "")
    SoundWords(head='NO SOUND', detail='no audio device', crossed=True, warns=True)
    >>> sound_words(SoundChoice(), "", "", "ECG").detail
    '60 %  ♪ ECG'
    """
    if not choice.on:
        return SoundWords("SOUND OFF", "Shift+M: on", crossed=True)
    if trouble:
        return SoundWords("NO SOUND", trouble, crossed=True, warns=True)
    if silent:
        return SoundWords("SILENT", silent, crossed=True)
    return SoundWords("SOUND ON", f"{choice.volume} %  ♪ {beats}" if beats else f"{choice.volume} %")
