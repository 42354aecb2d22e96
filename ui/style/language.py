"""What the screen says in another language than English: a catalogue by the English words.

Why a TOML table and not gettext: its compiled catalogues need a tool at every build and a binary file in the source,
and what it is good at beyond a table, plural forms, the screen hardly needs (numbers stand before units). The English
words are the key: what has no translation is said in English, never not at all. What goes to logs, files and the stream
stays English.

The language is of the process, chosen once, before the first window: :func:`speak`.
"""

from __future__ import annotations

import locale
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources

ENGLISH = "en"
LANGUAGES = (ENGLISH, "de")
AUTO = "auto"
_spoken: dict[str, str] = {}


@cache
def catalogue(language: str) -> dict[str, str]:
    """By the English words; empty for English. KeyError for what is no language of ours."""
    if language not in LANGUAGES:
        raise KeyError(language)
    if language == ENGLISH:
        return {}
    text = resources.files("ui.style").joinpath("languages", f"{language}.toml").read_text("utf-8")
    words: dict[str, str] = tomllib.loads(text)["words"]
    return words


def speak(language: str) -> None:
    """From now on. ``auto``: that of the system, where it is one of ours."""
    _spoken.clear()
    _spoken.update(catalogue(chosen(language)))


def chosen(language: str) -> str:
    """The language that ``auto`` is here, else ``language`` itself."""
    if language != AUTO:
        return language
    system = (locale.getlocale()[0] or "").replace("-", "_").split("_")[0].lower()
    named = {"german": "de", "deutsch": "de"}.get(system, system)
    return named if named in LANGUAGES else ENGLISH


def both(words: str, **values: object) -> tuple[str, str]:
    """``words`` in English, for what is kept, and in the language that is spoken.

    >>> both("saved {path}", path="/x")
    ('saved /x', 'saved /x')
    """
    return words.format(**values), tr(words, **values)


def retold(sentence: str, templates: Iterable[str]) -> str:
    """An English sentence that came from elsewhere, by the first of ``templates`` that it can have been made from, in
    the language that is spoken; itself where it is of none.

    >>> retold("no clean ABP yet", ("no clean {modality} yet",))
    'no clean ABP yet'
    """
    if not _spoken:
        return sentence
    for template in templates:
        found = _pattern(template).fullmatch(sentence)
        if found is not None:
            return tr(template, **{name: tr(value) for name, value in found.groupdict().items()})
    return sentence


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(template)))


def tr(words: str, **values: object) -> str:
    """``words`` in the language that is spoken, with ``values`` in place of their names in braces.

    >>> tr("Quit"), tr("saved {path}", path="/x")
    ('Quit', 'saved /x')
    """
    said = _spoken.get(words, words)
    return said.format(**values) if values else said
