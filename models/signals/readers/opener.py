"""Open whatever a user names as SOURCE: the built-in patient, a file, a WFDB record or a VitalDB case."""

from __future__ import annotations

import difflib
import importlib
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from models.signals.errors import BadInput
from models.signals.recording import Recording

FORMATS = ".vital (Vital Recorder), .hea (WFDB header), .edf or .bdf, .mcap (Vigil's own)"
_DEMO = "models.data.simulator"
_RECORDED = "streams.sources.recorded"
_MCAP = b"\x89MCAP0\r\n"
_MAGIC_BYTES = 512


def open_recording(source: str) -> Recording:
    """The recording that ``source`` names.

    source: ``demo`` or ``demo:key=value,…`` (simulator), ``vitaldb:CASEID`` (VitalDB's open data set), or a path to
    a ``.vital``, ``.edf``, ``.bdf`` file, a WFDB header (with or without ``.hea``), or what the recorder wrote
    (``FILE.mcap``, ``FILE.mcap#BED``, ``FILE.mcap#BED@EPOCH``).

    Raises BadInput, in one sentence, for anything that is not a recording or cannot be read as one.
    """
    text = str(source).strip()
    if not text:
        raise BadInput("a source", "empty text", f"use 'demo', 'vitaldb:CASEID' or a file: {FORMATS}")
    scheme, colon, rest = text.partition(":")
    if scheme.casefold() == "demo":  # a file of that name is "./demo"
        # Not imported from above: signal code knows no data sets; the simulator is one more source by name.
        simulated: Recording = importlib.import_module(_DEMO).open_demo(text)
        return simulated
    if colon and scheme.casefold() == "vitaldb":
        from models.signals.readers.vitaldb_open import open_case

        return open_case(rest)
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        raise BadInput("a local file, 'demo' or 'vitaldb:CASEID'", f"the address {text!r}", "download the file first")
    if ".mcap#" in text and not Path(text).is_file():
        return _recorded(text)
    return _open_path(text)


def _recorded(text: str) -> Recording:
    # Not imported from above either: what the recorder's messages mean is the stream's to know.
    session: Recording = importlib.import_module(_RECORDED).open_recorded(text)
    return session


def _open_path(text: str) -> Recording:
    path = _existing(Path(text).expanduser())
    if path.is_dir():
        raise BadInput("a recording", f"the folder {text!r}", f"name a file in it: {FORMATS}")
    try:
        with path.open("rb") as file:
            head = file.read(_MAGIC_BYTES)
    except OSError as error:
        raise BadInput("a readable file", f"{text!r}: {error.strerror}", "check its permissions") from error
    if not head:
        raise BadInput("a recording", f"the empty file {path.name!r}", "choose another file, or copy it again")
    return _reader(path, head)(path)


def _existing(path: Path) -> Path:
    """``path``, or the header of the WFDB record it names without a suffix. Raises BadInput where there is none."""
    try:
        header = Path(f"{path}.hea")
        if path.is_file() or (path.is_dir() and not header.is_file()):
            return path
        if header.is_file():
            return header
        if path.exists():
            raise BadInput("a recording", f"{str(path)!r}, which is no ordinary file", f"name a file: {FORMATS}")
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise BadInput("a path", f"{str(path)!r} ({error})", f"name a file: {FORMATS}") from error
    near = difflib.get_close_matches(path.name, beside, n=3)
    remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else "check the path, or use 'demo'"
    raise BadInput("an existing recording", f"no file {str(path)!r}", remedy)


def _reader(path: Path, head: bytes) -> Callable[[Path], Recording]:
    """The reader for a file, by its suffix, or by its first bytes where the suffix says nothing."""
    if head.startswith(_MCAP):
        return lambda path: _recorded(str(path))
    suffix = path.suffix.casefold()
    inside = _unpacked(head)
    if inside is not None and not inside.startswith(b"VITA") and (suffix != ".vital" or inside):
        raise _packed(path, inside)
    if head[:4] in _ARCHIVES:
        raise BadInput("a recording", f"{path.name!r}, {_ARCHIVES[head[:4]]}", "unpack it first")
    if suffix == ".vital" or inside is not None:
        from models.signals.readers.vital import VitalRecording

        return VitalRecording
    if suffix == ".hea":
        from models.signals.readers.wfdb_records import WfdbRecording

        return WfdbRecording
    if suffix in (".edf", ".bdf", ".rec") or _is_edf(head):
        from models.signals.readers.edf import EdfRecording

        return EdfRecording
    if suffix == ".dat" and path.with_suffix(".hea").is_file():
        raise BadInput("a WFDB header", f"its data file {path.name!r}", f"open {path.with_suffix('.hea').name!r}")
    raise BadInput(f"a recording: {FORMATS}", f"{path.name!r}, which is none of these", "choose another file")


_ARCHIVES = {b"PK\x03\x04": "a ZIP archive", b"\xfd7zX": "an XZ archive", b"7z\xbc\xaf": "a 7-Zip archive"}


def _unpacked(head: bytes) -> bytes | None:
    """The first bytes in a gzip file that begins with ``head``; None where it is no gzip file."""
    if head[:2] != b"\x1f\x8b":
        return None
    try:
        return zlib.decompressobj(31).decompress(head, _MAGIC_BYTES)
    except zlib.error:
        return b""


def _is_edf(head: bytes) -> bool:
    return head[:8] == b"\xffBIOSEMI" or (len(head) >= 8 and head[:1] == b"0" and not head[1:8].strip(b" \0"))


def _packed(path: Path, inside: bytes) -> BadInput:
    """What is in a gzip file that is no ``.vital`` file, which alone are packed by themselves."""
    if inside.startswith(b"\x1f\x8b"):
        what = "a .vital file packed once more"
    elif _is_edf(inside):
        what = "a packed EDF or BDF file"
    elif ".hea" in path.suffixes or ".dat" in path.suffixes:
        what = "a packed file of a WFDB record"
    else:
        what = "a gzip file of something else than a .vital file"
    return BadInput("a recording", f"{path.name!r}, {what}", f"unpack it first: gunzip {path.name}")
