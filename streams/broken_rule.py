"""Why a message was refused by its types, as a sentence: which rule it broke, where, and what it holds there.

msgspec says what it expected and the path; the rule in words is the description of the field's type
(:mod:`streams.fields`). Only a message that is refused is looked at twice, so nothing of this costs one that is good.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import get_args

import msgspec
from msgspec import inspect

from models.signals.plain_text import plain
from streams.records import WIRE_VERSION, AnyRecord

MOST_SAID, MOST_FOUND = 200, 40
_HOW_MANY: dict[type, str] = {str: "characters", bytes: "bytes"}
_SAID = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?")
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
_LIMIT = re.compile(r"Invalid enum value (?P<name>.*)|Expected `(?P<kind>\w+)` (?:of length|>|<)")
_KINDS: dict[type[inspect.Type], str] = {
    inspect.StrType: "str",
    inspect.IntType: "int",
    inspect.FloatType: "float",
    inspect.BytesType: "bytes",
    inspect.ListType: "array",
    inspect.DictType: "object",
}


class _Head(msgspec.Struct):
    t: str = ""
    v: int = WIRE_VERSION


def broken_rule(data: bytes, error: Exception) -> str:
    """The sentence for a message that msgspec has refused with ``error``."""
    said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    try:
        head = msgspec.msgpack.decode(data, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"The message is not a Vigil record: {said[:MOST_SAID]}."
    if head.v != WIRE_VERSION:
        return f"The message has wire version {head.v}, this program reads version {WIRE_VERSION}."
    parts, record = _SAID.fullmatch(said), _records().get(head.t)
    limit = _LIMIT.match(parts["what"]) if parts is not None else None
    if parts is None or limit is None or record is None:
        return f"The message is not a Vigil record: {said[:MOST_SAID]}."
    steps = [name or index for name, index in _STEP.findall(parts["path"] or "")]
    place, kinds = _follow(record, steps)
    if parts["key"]:
        kinds = [key for kind in kinds if isinstance(kind, inspect.DictType) for key in _alternatives(kind.key_type)]
    found = plain(limit["name"] or _found(data, steps), MOST_FOUND)
    return f"The message breaks a rule: {_rule(kinds, limit['kind']) or parts['what']}; found {found} at {place}."


def _rule(kinds: Sequence[inspect.Type], kind: str | None) -> str:
    """The description of the alternative that msgspec has tried."""
    for each in kinds:
        if isinstance(each, inspect.Metadata) and (kind is None or _KINDS.get(type(each.type)) == kind):
            return str((each.extra_json_schema or {}).get("description", ""))
    return ""


def _follow(record: inspect.Type, steps: Sequence[str]) -> tuple[str, list[inspect.Type]]:
    """Where the steps of a path lead to, in words, and what the types there may be."""
    place, kinds = "", _alternatives(record)
    for step in steps:
        name, following = next(filter(None, (_step(kind, step) for kind in kinds)), ("", None))
        place += name
        kinds = [] if following is None else _alternatives(following)
    return place.lstrip("."), kinds


def _step(kind: inspect.Type, step: str) -> tuple[str, inspect.Type] | None:
    """A step into a type: its name, and the type there; None where it does not lead into this one."""
    if isinstance(kind, inspect.Metadata):
        return _step(kind.type, step)
    if isinstance(kind, inspect.StructType):
        fields = {str(i) if kind.array_like else f.encode_name: f for i, f in enumerate(kind.fields)}
        return (f".{fields[step].name}", fields[step].type) if step in fields else None
    if isinstance(kind, inspect.DictType):
        return "[…]", kind.value_type
    if isinstance(kind, inspect.TupleType):
        return f"[{step}]", kind.item_types[int(step)]
    if isinstance(kind, inspect.ListType):
        return f"[{step}]", kind.item_type
    return None


def _found(data: bytes, steps: Sequence[str]) -> str:
    """What the message holds where the steps lead to: a number as it is, of anything else how much; no text of it."""
    try:
        value = msgspec.msgpack.decode(data)
        for step in steps:
            value = value[int(step)] if isinstance(value, list) else value[step]
        if isinstance(value, (int, float)):
            return f"{value}"
        return f"{len(value)} {_HOW_MANY.get(type(value), 'of them')}"
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError, ValueError):
        return "another"  # msgspec does not say which value of a dictionary, and a key may come twice


def _alternatives(kind: inspect.Type) -> list[inspect.Type]:
    return list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]


@cache
def _records() -> dict[str, inspect.Type]:
    found = inspect.multi_type_info(get_args(AnyRecord))
    return {str(kind.tag): kind for kind in found if isinstance(kind, inspect.StructType)}
