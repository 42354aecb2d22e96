"""The header of an EDF or BDF file, made fit for a strict reader: what many writers get wrong and others put up with.

The standard (Kemp et al., Electroencephalogr Clin Neurophysiol 1992, 82:391) asks for ASCII padded with spaces and for
decimal points. Files in use pad with NUL, write commas, put a date that no calendar has, list signals of no samples,
and write units in UTF-8. None of that makes a sample doubtful.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from models.signals.errors import BadInput

COPY_AGAIN = "copy or export the file again"
FIXED_BYTES = SIGNAL_BYTES = 256
MAX_SIGNALS = 2048
MAX_DURATION_S = 1e9

_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
_LABEL, _LIMITS, _DIGITAL, _SAMPLES = 0, (3, 4, 5, 6), (5, 6), 8
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_DATE, _TIME = (168, 176), (176, 184)


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """The header of ``length`` bytes in the file, read leniently.

    ``clean``: the same as the standard wants it, without the signals that have no samples. ``records``: data records by
    the header, -1 where it does not say. ``samples``: of each remaining signal in a data record. ``labels``: theirs.
    ``oddities``: what was put right, in words.
    """

    clean: bytes
    length: int
    bdf: bool
    discontinuous: bool
    records: int
    record_s: float
    samples: tuple[int, ...]
    labels: tuple[bytes, ...]
    oddities: tuple[str, ...]


def signals_in(fixed: bytes, name: str) -> int:
    """Number of signals by the fixed part of a header. Raises BadInput where this is none."""
    if fixed[:8] != b"\xffBIOSEMI" and fixed[:8].strip(b"\0 ") != b"0":
        raise BadInput("an EDF or BDF file", f"other content in {name!r}", "choose another file")
    if len(fixed) < FIXED_BYTES:
        raise BadInput("a whole EDF header", f"{len(fixed)} bytes in {name!r}", COPY_AGAIN)
    count = _whole_number(fixed[252:256], "number of signals", name)
    if not 0 <= count <= MAX_SIGNALS:
        raise BadInput(f"0 to {MAX_SIGNALS} signals", f"{count} in {name!r}", COPY_AGAIN)
    return count


def read_header(raw: bytes, name: str) -> EdfHeader:
    """The header ``raw``, fixed part and signals. Raises BadInput where it cannot be one, however leniently read."""
    odd: dict[str, None] = {}
    count = signals_in(raw[:FIXED_BYTES], name)
    length = FIXED_BYTES + SIGNAL_BYTES * count
    if len(raw) < length or _whole_number(raw[184:192], "length of the header", name) != length:
        raise BadInput(f"a header of {length} bytes", f"another in {name!r}", COPY_AGAIN)
    bdf = raw[:1] == b"\xff"
    if b"\0" in raw[:FIXED_BYTES] or b"\0" in raw[FIXED_BYTES:length]:
        odd["zero bytes for spaces"] = None
    fixed = bytearray(raw[:FIXED_BYTES].replace(b"\0", b" "))
    fixed[0:8] = b"\xffBIOSEMI" if bdf else b"0       "
    # Nobody asks for the date: what is no date must not cost the file.
    fixed[slice(*_DATE)], fixed[slice(*_TIME)] = b"01.01.85", b"00.00.00"
    try:
        records = _whole_number(raw[236:244], "number of data records", name)
    except BadInput:
        records = -1
        odd["no number of data records"] = None
    fixed[244:252] = _pointed(bytes(fixed[244:252]), odd)
    record_s = _seconds(bytes(fixed[244:252]), name)
    columns = _columns(raw[FIXED_BYTES:length].replace(b"\0", b" "), count)
    for column in _LIMITS:
        columns[column] = [_pointed(field, odd) for field in columns[column]]
    for column in _DIGITAL:
        columns[column] = [_integral(field) for field in columns[column]]
    samples = [_whole_number(field, "samples in a data record", name) for field in columns[_SAMPLES]]
    if samples and min(samples) < 0:
        raise BadInput("0 samples or more of each signal in a data record", f"{min(samples)} in {name!r}", COPY_AGAIN)
    kept = [i for i, n in enumerate(samples) if n]
    if len(kept) < count:
        odd[f"{count - len(kept)} of {count} signals without samples"] = None
    fixed[252:256] = str(len(kept)).ljust(4).encode()
    fixed[184:192] = str(FIXED_BYTES + SIGNAL_BYTES * len(kept)).ljust(8).encode()
    return EdfHeader(
        clean=bytes(fixed) + b"".join(column[i] for column in columns for i in kept),
        length=length,
        bdf=bdf,
        discontinuous=bytes(fixed[192:197]) in (b"EDF+D", b"BDF+D"),
        records=records,
        record_s=record_s,
        samples=tuple(samples[i] for i in kept),
        labels=tuple(columns[_LABEL][i].rstrip() for i in kept),
        oddities=tuple(odd),
    )


def _columns(signals: bytes, count: int) -> list[list[bytes]]:
    """The fields of the signals: for each kind of field those of all signals."""
    columns, at = [], 0
    for width in _WIDTHS:
        columns.append([signals[at + width * i : at + width * (i + 1)] for i in range(count)])
        at += width * count
    return columns


def _pointed(field: bytes, odd: dict[str, None]) -> bytes:
    """A number with its decimal comma made a point; anything else as it is."""
    pointed = bytes(field).replace(b",", b".")
    if pointed != field and _NUMBER.fullmatch(pointed.decode("latin-1").strip()):
        odd["decimal commas"] = None
        return pointed
    return bytes(field)


def _integral(field: bytes) -> bytes:
    """``-32768.0`` as the whole number that it is; anything else as it is."""
    text = field.decode("latin-1").strip()
    if _NUMBER.fullmatch(text) and not text.lstrip("+-").isdigit() and float(text).is_integer():
        return str(int(float(text))).ljust(len(field)).encode()[: len(field)]
    return field


def _whole_number(field: bytes, what: str, name: str) -> int:
    text = field.replace(b"\0", b" ").decode("latin-1").strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,8}", text):
        raise BadInput(f"a number as the {what}", f"{text!r} in {name!r}", COPY_AGAIN)
    return int(text)


def _seconds(field: bytes, name: str) -> float:
    text = field.decode("latin-1").strip()
    try:
        seconds = float(text)
    except ValueError as error:
        raise BadInput("a number as the duration of a record", f"{text!r} in {name!r}", COPY_AGAIN) from error
    if not (math.isfinite(seconds) and 0 <= seconds <= MAX_DURATION_S):
        raise BadInput("a duration of a record of 0 s or more", f"{text!r} in {name!r}", COPY_AGAIN)
    return seconds
