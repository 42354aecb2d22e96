"""Where the graph files of a bundle say that their weights lie, read from the bytes before any library parses them.

A constant of an ONNX file may name another file. Older ONNX Runtimes follow any such name, and what no manifest lists
is not verified. So a part may refer to bytes of ``model.onnx`` alone, and ``model.onnx`` to nothing: then the hashes
identify all weights. This walks Protocol Buffers without the package ``onnx``, past raw data, refusing what two readers
could take differently.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from models.signals.errors import BadInput

WHOLE = "model.onnx"
MAX_FIELDS = 2_000_000  # a file of more is none of ours, and would take seconds to walk
_MAX_DEPTH = 16
_MAX_WORD_BYTES = 4096  # of a key or value
_MAX_DIGITS = 19
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_NUMBER = (1 << 29) - 1  # of a field; some readers cut off what is above
_KEY = b"location"
"""The key that names a file: a message without these bytes names none."""

_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "initializer", 15: "sparse"},
    "inner graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "inner graph", 10: "tensor", 11: "inner graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "inner graph", 2: "inner graph"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Fields of ``onnx.proto`` that lead to tensors, by message."""
_PLAIN: dict[str, frozenset[int]] = {
    "model": frozenset({1, 2, 3, 4, 5, 6, 8, 14, 26}),
    "graph": frozenset({2, 10, 11, 12, 13, 14, 16}),
    "inner graph": frozenset({2, 10, 11, 12, 13, 14, 16}),
    "node": frozenset({1, 2, 3, 4, 6, 7, 8, 9, 10}),
    "attribute": frozenset({1, 2, 3, 4, 7, 8, 9, 13, 14, 15, 20, 21}),
    "function": frozenset({1, 4, 5, 6, 8, 9, 10, 12, 13, 14}),
    "training": frozenset({3, 4}),
    "sparse": frozenset({3}),
}
"""Fields that hold none."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor


def check_references(path: Path, whole_bytes: int | None) -> None:
    """Refuses a graph file with weights elsewhere than it may have them, or which is no Protocol Buffers message.

    whole_bytes: the size of ``model.onnx`` for a part, whose constants may be byte ranges of it; None for a file that
    must hold all its weights. Raises BadInput.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise _malformed(path, "an empty file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Walk(path, data, whole_bytes).message("model", 0, len(data), 0)


class _Walk:
    def __init__(self, path: Path, data: mmap.mmap, whole_bytes: int | None) -> None:
        self._path, self._data, self._whole_bytes = path, data, whole_bytes
        self._left = MAX_FIELDS

    def message(self, kind: str, at: int, end: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise _malformed(self._path, f"messages nested more than {_MAX_DEPTH} deep")
        nested, plain = _NESTED[kind], _PLAIN[kind]
        for number, wire, start, stop in self._fields(at, end):
            inner = nested.get(number)
            if inner is None:
                if number not in plain and self._data.find(_KEY, start, stop) >= 0:
                    raise _refused(self._path, f"the unknown field {number} of a {kind}, which may name a file")
            elif wire != _BYTES:
                raise _malformed(self._path, f"a {inner} of the wrong wire type")
            elif inner == "initializer":
                self._tensor(start, stop, self._whole_bytes)
            elif inner == "graph" or self._data.find(_KEY, start, stop) >= 0:
                if inner == "tensor":
                    self._tensor(start, stop, None)
                else:
                    self.message(inner, start, stop, depth + 1)

    def _tensor(self, at: int, end: int, whole_bytes: int | None) -> None:
        outside, entries = False, dict[bytes, bytes]()
        for number, wire, start, stop in self._fields(at, end):
            if number == _EXTERNAL_DATA and wire == _BYTES:
                key, value = self._entry(start, stop)
                if key in entries or key not in (_KEY, b"offset", b"length"):
                    raise _refused(self._path, f"a reference with {_text(key)} twice or unknown")
                entries[key] = value
            elif number == _DATA_LOCATION and wire == _VARINT:
                outside |= self._varint(start, stop)[0] != 0
            elif number in (_EXTERNAL_DATA, _DATA_LOCATION):
                raise _malformed(self._path, "a reference of the wrong wire type")
        if outside or entries:
            self._reference(entries, whole_bytes)

    def _reference(self, entries: dict[bytes, bytes], whole_bytes: int | None) -> None:
        location = entries.get(_KEY, b"")
        if whole_bytes is None or location != WHOLE.encode():
            raise _refused(self._path, f"a constant in the file {_text(location)}")
        offset, length = (entries.get(key, b"") for key in (b"offset", b"length"))
        if not (offset.isdigit() and length.isdigit() and max(len(offset), len(length)) <= _MAX_DIGITS and int(length)):
            raise _refused(self._path, f"a constant at offset {_text(offset)} with length {_text(length)}")
        if int(offset) + int(length) > whole_bytes:
            stop = int(offset) + int(length)
            raise _refused(self._path, f"a constant up to byte {stop} of {WHOLE}, which has {whole_bytes}")

    def _entry(self, at: int, end: int) -> tuple[bytes, bytes]:
        """Key and value of a StringStringEntryProto that has each once."""
        found: dict[int, bytes] = {}
        for number, wire, start, stop in self._fields(at, end):
            if number in found or number not in (1, 2) or wire != _BYTES or stop - start > _MAX_WORD_BYTES:
                raise _malformed(self._path, "a reference that is not one key and one value")
            found[number] = self._data[start:stop]
        return found.get(1, b""), found.get(2, b"")

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number and wire type of each field, and where its value starts and stops."""
        data = self._data
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise _malformed(self._path, f"more than {MAX_FIELDS} fields")
            tag = data[at]
            if tag < 0x80:  # as nearly all are, and sizes too: a call for each would take half of the time
                at += 1
            else:
                tag, at = self._varint(at, end)
            number, wire, start = tag >> 3, tag & 7, at
            if wire == _BYTES:
                size = data[at] if at < end else 0x80
                start, at = at + 1, at + 1 + size
                if size >= 0x80:
                    size, start = self._varint(start - 1, end)
                    at = start + size
            elif wire == _VARINT:
                at = self._varint(at, end)[1]
            elif wire in (_FIXED32, _FIXED64):
                at += 4 if wire == _FIXED32 else 8
            else:
                raise _malformed(self._path, f"a field of wire type {wire}")
            if at > end or not 0 < number <= _MAX_NUMBER:
                raise _malformed(self._path, "a field that is cut off" if at > end else f"a field number {number}")
            yield number, wire, start, at

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """The number that starts at this byte, and where it stops."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
            if byte < 0x80:
                return value, at
        raise _malformed(self._path, "a number that is cut off")


def _text(value: bytes) -> str:
    return repr(value[:80].decode("utf-8", "backslashreplace"))


def _refused(path: Path, found: str) -> BadInput:
    where = f"weights inside {WHOLE} of the bundle" + ("" if path.name == WHOLE else f" or {path.name} itself")
    return BadInput(where, f"{found}, in {path}", "export or download the bundle again")


def _malformed(path: Path, found: str) -> BadInput:
    return BadInput(f"an ONNX graph at {path}", found, "export or download the bundle again")
