"""Text from a recording as plain, printable text: names, units and notes that somebody else's file brings along.

A track name may hold escape sequences that move a terminal's cursor or rename its window, characters that turn the
reading direction round, or a megabyte of anything. Readers pass every text through :func:`plain` where it enters, so
that nothing behind them (terminal, screen, CSV, log) has to think of it. Markup is not removed: ``<b>`` is a fine name,
and what shows it must show it as it is.
"""

from __future__ import annotations

MAX_CHARACTERS = 120
"""Longer names are cut: no device has one, and a screen has no room."""


def plain(text: str, longest: int = MAX_CHARACTERS) -> str:
    """``text`` in printable characters, the others written as escapes, at most ``longest`` characters.

    >>> plain("ECG\\x1b[31m")
    'ECG\\\\x1b[31m'
    """
    text = text[: longest + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def decoded(raw: bytes) -> str:
    """Bytes of a file as text: UTF-8 where they are that, else Latin-1 (an older ``µV`` is one byte); NUL is padding.

    >>> decoded("µV".encode()), decoded("µV".encode("latin-1"))
    ('µV', 'µV')
    """
    raw = raw.replace(b"\0", b"")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
