"""Which recorded track is taken for which modality: the table ``aliases.toml`` and the names a user gives.

Pure matching of names; what is then read, and whether it is usable, is decided in :mod:`models.signals.channels`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources

from models.signals.errors import BadInput
from models.signals.modalities import MODALITIES, Modality

NOT_WANTED = "none"
"""What a user writes for the track of a modality that shall not be mapped (``--channels RESP=none``)."""

_LISTED = 20  # names listed in an error message
_MODALITY_WORDS = {
    "ekg": Modality.ECG, "art": Modality.ABP, "ibp": Modality.ABP, "iabp": Modality.ABP, "bp": Modality.ABP,
    "pleth": Modality.PPG, "spo2": Modality.PPG, "bis": Modality.EEG, "rr": Modality.RESP,
    "etco2": Modality.CO2, "capno": Modality.CO2, "paw": Modality.AWP, "pa": Modality.PAP,
}  # fmt: skip
"""What people call a modality; offered, not taken."""


@dataclass(frozen=True, slots=True)
class AliasTable:
    """Names in order of preference, and the unit assumed where a file gives none, for one modality."""

    modality: Modality
    assumed_unit: str
    names: tuple[str, ...]


@cache
def alias_tables() -> Mapping[Modality, AliasTable]:
    """The tables of ``aliases.toml``, by modality."""
    text = resources.files("models.signals").joinpath("aliases.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    return {
        modality: AliasTable(modality, data[modality]["unit"], tuple(data[modality]["tracks"]))
        for modality in MODALITIES
    }


def _key(name: str) -> str:
    """Comparable form of a track name: BIDMC writes ``II,``, EDF pads with spaces."""
    return " ".join(name.strip().strip(",").split()).casefold()


def _short(name: str) -> str:
    """The part of a track name after the device."""
    return name.rpartition("/")[2]


def candidates(modality: Modality, tracks: Sequence[str], declared: Mapping[str, str] | None = None) -> list[str]:
    """Names among ``tracks`` (waves) that are known for ``modality``, the preferred first.

    declared: track → what the recording itself says it is (see :class:`models.signals.recording.Track`), where it says
    so. That counts before names: such tracks come first, and never for another modality.
    Preference: place in the table; among equals, place in the recording.

    >>> candidates(Modality.ECG, ["SNUADC/ECG_V5", "SNUADC/ECG_II", "SNUADC/ART"])
    ['SNUADC/ECG_II', 'SNUADC/ECG_V5']
    """
    declared = {name: kind for name, kind in (declared or {}).items() if kind}
    named = _named(modality, [name for name in tracks if declared.get(name, modality) == modality])
    said = [name for name in tracks if declared.get(name) == modality]
    first = [name for name in named if name in said]
    return list(dict.fromkeys([*first, *said, *named]))


def _named(modality: Modality, tracks: Sequence[str]) -> list[str]:
    return named_among(alias_tables()[modality].names, tracks)


def named_among(names: Sequence[str], tracks: Sequence[str]) -> list[str]:
    """Those of ``tracks`` that a table of ``names`` knows, the preferred first; what it knows only without spaces and
    punctuation comes last."""
    found: dict[str, None] = {}
    keys = [_key(name) for name in names]
    keyed = [(name, _key(name), _key(_short(name))) for name in tracks]
    for alias in keys:
        for name, full, short in keyed:
            if fnmatchcase(full if "/" in alias else short, alias):
                found.setdefault(name)
    squeezed = [(name, _squeezed(short)) for name, _, short in keyed if name not in found]
    for alias in (_squeezed(alias) for alias in keys if "/" not in alias and "*" not in alias):
        for name, short in squeezed:
            if short == alias:
                found.setdefault(name)
    return list(found)


def _squeezed(key: str) -> str:
    return "".join(c for c in key if c not in " _-.()[]:")


def find_track(wanted: str, tracks: Sequence[str]) -> str:
    """The one of ``tracks`` that a user means by ``wanted``: its full name, or the part after the device.

    Case does not count unless two tracks differ by it alone. Raises BadInput with the known tracks and near matches
    where there is none, and with the full names where ``wanted`` fits more than one.
    """
    if wanted in tracks:
        return wanted
    for fits in (
        [t for t in tracks if _key(t) == _key(wanted)],
        [t for t in tracks if _key(_short(t)) == _key(wanted)],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise BadInput(
                "the name of one track",
                f"{wanted!r}, which fits {' and '.join(map(repr, fits))}",
                "give the full name",
            )
    raise BadInput(f"one of the wave tracks {listing(tracks)}", f"{wanted!r}", _hint(wanted, tracks))


def _hint(wanted: str, tracks: Sequence[str]) -> str:
    near: dict[str, None] = {}
    for form in (_key, lambda name: _key(_short(name))):
        by_form = {form(t): t for t in tracks}
        for hit in difflib.get_close_matches(_key(wanted), list(by_form), n=3, cutoff=0.4):
            near.setdefault(by_form[hit])
    if not near:
        return "choose one of these, or see 'vigil inspect' for all tracks"
    return f"did you mean {' or '.join(map(repr, list(near)[:3]))}?"


def listing(names: Sequence[str]) -> str:
    """Names for an error message, at most twenty of them."""
    if not names:
        return "(none)"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(repr, names[:_LISTED])) + more


def parse_overrides(texts: Iterable[str]) -> dict[str, str]:
    """``["ECG=II,ABP=ART"]`` → ``{"ECG": "II", "ABP": "ART"}``, as given with ``--channels``.

    Raises BadInput for text of another shape, an unknown modality or one that is given twice.
    """
    overrides: dict[str, str] = {}
    for item in (part.strip() for text in texts for part in text.split(",")):
        if not item:
            continue
        name, equals, track = (part.strip() for part in item.partition("="))
        if not (name and equals and track):
            raise BadInput("channels as MODALITY=TRACK, such as ECG=II,ABP=ART", repr(item), "write them that way")
        modality = modality_named(name)
        if modality in overrides:
            raise BadInput(f"one track for {modality}", f"{overrides[modality]!r} and {track!r}", "give one of them")
        overrides[modality] = track
    return overrides


def modality_named(name: str) -> Modality:
    """The modality that a user means; raises BadInput for an unknown one."""
    try:
        return Modality(name.strip().upper())
    except ValueError as error:
        known = ", ".join(Modality)
        word = _MODALITY_WORDS.get(name.strip().casefold())
        near = [word] if word else difflib.get_close_matches(name.strip().upper(), list(Modality), n=2)
        remedy = f"did you mean {' or '.join(near)}?" if near else "use one of these names"
        raise BadInput(f"one of the modalities {known}", repr(name), remedy) from error
