"""Damage: of bytes as a disk or a network does it, and of a message's values as a broken or hostile sender does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from models.signals.times import SECOND_NS

NUMBERS = (0, 1, -1, 2, 7, 64, 255, 1 << 16, (1 << 31) - 1, -(1 << 31), 1 << 32, 1 << 53, 1 << 61, (1 << 62) - 1,
           -(1 << 62), (1 << 63) - 1, -(1 << 63), 0.5, -0.25, 1e-9, 1e9, 1e300, -1e300, 5e-324,
           float("nan"), float("inf"), float("-inf"))  # fmt: skip
WORDS = ("", "?", "a", "b", "ECG", "ABP", "PPG", "EEG", "RESP", "no data", "flat", "beats", "asystole", "none",
         "present", "high", "low", "technical", "drop", "seek", "waves", "x" * 128, "x" * 1024, "\0", "\x1b[2J",
         "\u202e<b>", "é" * 60)  # fmt: skip
SAMPLES = (0.0, 1e30, -1e30, 3.4e38, float("nan"), float("inf"), 1e-40, 32767.0)


class Damage:
    """Draws from one seed; the same seed, the same damage."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def below(self, count: int) -> int:
        """A number in [0, count)."""
        return int(self.rng.integers(0, max(1, count)))

    def one_of(self, things: Any) -> Any:
        """Any of them."""
        return things[self.below(len(things))]

    # -- bytes ------------------------------------------------------------------------------------------------------

    def broken(self, content: bytes, most: int = 8, head: int = 0) -> bytes:
        """``content`` with one to ``most`` places flipped, overwritten, cut out, doubled, or cut off from there on;
        half of them in its first ``head`` bytes."""
        data = bytearray(content)
        for _ in range(1 + self.below(most)):
            at = self.below(min(head, len(data)) if head and self.below(2) else len(data))
            kind = self.below(9)
            if kind == 0 and data:
                data[at] ^= 1 << self.below(8)
            elif kind == 1:
                data[at : at + 4] = self.rng.integers(0, 256, 4, np.uint8).tobytes()
            elif kind == 2:
                number = self.one_of((0, 1, 0xFF, 0xFFFF, 0xFFFFFFFF, 1 << 31, 1 << 62, (1 << 63) - 1))
                width = self.one_of((2, 4, 8))
                data[at : at + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "little")
            elif kind == 3:
                del data[at : at + 1 + self.below(64)]
            elif kind == 4:
                data[at:at] = data[at : at + 1 + self.below(256)]
            elif kind == 5 and self.below(4) == 0:
                del data[at:]
            elif kind == 6:
                data[at : at + 8] = struct.pack("<d", self.one_of((float("nan"), float("inf"), -1.0, 1e300, 5e-324)))
            elif kind == 7:
                data[at : at + 1] = self.one_of((b"9", b"-", b" ", b"\n", b"/", b"0", b"e", b"~", b"(", b"99999999"))
            else:
                data[at : at + 5] = b"\xc7\xff\xff\xff\xff"  # msgpack that promises 4 GB
        return bytes(data)

    def text(self, content: str) -> str:
        """A text file of fields in lines with one to four of them changed, doubled, moved or left out."""
        lines = content.split("\n")
        for _ in range(1 + self.below(4)):
            at = self.below(len(lines))
            fields = lines[at].split(" ")
            field = self.below(len(fields))
            kind = self.below(6)
            if kind == 0:
                fields[field] = str(self.one_of(NUMBERS))
            elif kind == 1:
                fields[field] = self.one_of(WORDS)
            elif kind == 2:
                del fields[field]
            elif kind == 3:
                lines.insert(at, self.one_of(lines))
                continue
            elif kind == 4:
                lines[at] = self.broken(lines[at].encode(), 2).decode("latin-1")
                continue
            else:
                fields[field] = self.one_of(self.one_of(lines).split(" "))
            lines[at] = " ".join(fields)
        return "\n".join(lines)

    # -- values -----------------------------------------------------------------------------------------------------

    def message(self, content: bytes, others: list[bytes]) -> bytes:
        """A msgpack message with one to three of its values changed, and now and then its bytes; ``others`` lend
        values."""
        if self.below(6) == 0:
            return self.broken(content, 3)
        value = msgspec.msgpack.decode(content)
        for _ in range(1 + self.below(3)):
            value = self._changed(value, others)
        try:
            return msgspec.msgpack.encode(value)
        except (OverflowError, UnicodeEncodeError):
            return content

    def _changed(self, root: Any, others: list[bytes]) -> Any:
        holders = _holders(root)
        if not holders:
            return root
        holder, key = self.one_of(holders)
        kind = self.below(8)
        if kind == 0 and isinstance(holder, list):
            self._list(holder)
        elif kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = self._from(others, key)
        elif kind == 2 and isinstance(holder, dict):
            holder[self.one_of(WORDS)] = holder[key]
        else:
            holder[key] = self._value(holder[key])
        return root

    def _list(self, items: list[Any]) -> None:
        kind = self.below(4)
        at = self.below(len(items))
        if kind == 0:
            del items[at]
        elif kind == 1:
            items.insert(at, self.one_of(items))
        elif kind == 2:
            items.extend(items * min(64, 4096 // len(items)))
        else:
            items.reverse()

    def _from(self, others: list[bytes], key: Any) -> Any:
        """What another message has under that name, or anywhere."""
        donor = msgspec.msgpack.decode(self.one_of(others))
        if isinstance(donor, dict) and key in donor and self.below(2):
            return donor[key]
        holder, other = self.one_of(_holders(donor))
        return holder[other]

    def _value(self, before: Any) -> Any:
        """Something in its place: mostly of its own kind, since that is what comes through the checks."""
        kind = self.below(8)
        if kind == 0:
            return self.one_of((None, True, [], {}, "", b"", self.one_of(NUMBERS), self.one_of(WORDS)))
        match before:
            case bool():
                return not before
            case int():
                near: tuple[Callable[[], int], ...] = (
                    lambda: before + 1 + self.below(3), lambda: before - 1 - self.below(3), lambda: -before,
                    lambda: before + SECOND_NS * (1 + self.below(100)),
                    lambda: before - SECOND_NS * (1 + self.below(100)),
                    lambda: before * 2, lambda: int(self.one_of([n for n in NUMBERS if isinstance(n, int)])),
                )  # fmt: skip
                return max(-(1 << 63), min((1 << 64) - 1, self.one_of(near)()))
            case float():
                return self.one_of((self.one_of(NUMBERS), before * 2, before / 3, -before, before + 1.0, before * 1000))
            case str():
                return self.one_of(WORDS)
            case bytes():
                return self._samples(before)
            case _:
                return self.one_of((None, [], {}, before))

    def _samples(self, before: bytes) -> bytes:
        kind = self.below(6)
        if kind == 0:
            return before[: self.below(len(before) + 1)]
        if kind == 1:
            return before + before[: 4 * self.below(len(before) // 4 + 1)]
        values = np.frombuffer(before[: len(before) // 4 * 4], "<f4").copy()
        if kind == 2:
            values[:] = self.one_of(SAMPLES)
        elif len(values):
            first = self.below(len(values))
            values[first : first + 1 + self.below(len(values))] = self.one_of(SAMPLES)
        return values.tobytes()


def _holders(root: Any) -> list[tuple[Any, Any]]:
    """Every place in a decoded message: the dict or list, and its key there."""
    found: list[tuple[Any, Any]] = []
    waiting = [root]
    while waiting:
        value = waiting.pop()
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inside in items:
            found.append((value, key))
            waiting.append(inside)
    return found
