"""From what was dropped, typed or kept to what is opened, and the words for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.signals.errors import BadInput
from ui.start.opening import Choice, Recent
from ui.style.language import tr
from ui.style.words import clock_words, duration_words

FILTERS = (
    "Recordings (*.vital *.hea *.edf *.bdf *.rec *.mcap)",
    "Vital Recorder (*.vital)",
    "WFDB headers (*.hea)",
    "EDF and BDF (*.edf *.bdf *.rec)",
    "Recorded by Vigil (*.mcap)",
    "All files (*)",
)
"""Of the file dialog; a file of another name may be one of these all the same."""
MOST_DROPPED = 128
LONGEST_WORD = 4096
FROM_START_S = 5.0
"""Who was left before is begun at the start."""


def dropped(files: Sequence[str], addresses: Sequence[str], text: str) -> Choice:
    """What to open for something that was dropped: ``files`` of this machine, each a bed; else a ``text`` of one line
    that names a source. addresses: those of elsewhere. BadInput for all else.

    >>> dropped(["/a/case.vital"], [], "").sources, dropped([], [], " vitaldb:7 ").sources
    (('/a/case.vital',), ('vitaldb:7',))
    """
    if addresses:
        raise BadInput("files of this machine", f"the address {addresses[0]}", "download it first, and drop the file")
    if len(files) > MOST_DROPPED:
        raise BadInput(f"at most {MOST_DROPPED} files at once", f"{len(files)}", "drop fewer of them")
    if files:
        return Choice(tuple(dict.fromkeys(files)))
    return typed(text)


def typed(text: str) -> Choice:
    """What to open for a line that was typed. BadInput for none, and for several.

    >>> typed("demo:scenario=pea").sources
    ('demo:scenario=pea',)
    """
    word = text.strip()
    if not word:
        raise BadInput("a source", "nothing", "name a file, or for example vitaldb:7")
    if len(word) > LONGEST_WORD or len(word.splitlines()) > 1 or not word.isprintable():
        raise BadInput("a file or the name of a source", "a longer text", "choose a file instead")
    return Choice((word,))


def vitaldb(text: str) -> Choice:
    """
    >>> vitaldb(" 7 ").sources
    ('vitaldb:7',)
    """
    case = text.strip().removeprefix("vitaldb:")
    if not case:
        raise BadInput("the number of a VitalDB case", "nothing", "write for example 1")
    return typed(f"vitaldb:{case}")


def demo(scenario: str) -> Choice:
    """
    >>> demo("demo").sources, demo("pea").sources
    (('demo',), ('demo:scenario=pea',))
    """
    return Choice(("demo",) if scenario == "demo" else (f"demo:scenario={scenario}",))


def resumed(recent: Recent) -> Choice:
    """Where it was left; from its start where that was all but there, or is not known."""
    position_s = recent.position_s
    return Choice(recent.choice.sources, position_s if position_s is not None and position_s > FROM_START_S else 0.0)


def goes_on(recents: Sequence[Recent]) -> Recent | None:
    """The last session, if one can go on with it: it was left in its midst, and is there."""
    last = recents[0] if recents else None
    return last if last is not None and not last.missing and resumed(last).from_s else None


def ago_words(seconds: float) -> str:
    """
    >>> ago_words(40.0), ago_words(7200.0), ago_words(9e5), ago_words(-5.0)
    ('40 s ago', '2 h ago', '10 days ago', '0 s ago')
    """
    days = int(seconds / 86400.0)
    if days >= 2:
        return tr("{days} days ago", days=days)
    return tr("{time} ago", time=duration_words(max(0.0, seconds)))


def folder_of(recent: Recent) -> str:
    """Where its files lie, "" where it is none, or they are gone."""
    path = Path(recent.choice.sources[0])
    return str(path.parent) if path.is_absolute() and not recent.missing else ""


def recent_words(recent: Recent, now_unix_s: float) -> str:
    """Where it was left, when, and where it lies."""
    at = (
        tr("left at {time}", time=clock_words(recent.position_s))
        if resumed(recent).from_s and recent.position_s
        else ""
    )
    ago = ago_words(now_unix_s - recent.left_unix_s)
    path = Path(recent.choice.sources[0])
    where = str(path.parent) if path.is_absolute() else ""
    parts = [tr("not there any more")] if recent.missing else [at, ago]
    return "  ·  ".join(part for part in (*parts, where) if part)
