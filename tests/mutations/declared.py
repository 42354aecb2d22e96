"""The declared wrongs, read and checked: a wrong whose text is no longer in its file says so."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent


class Outdated(ValueError):
    """A declared wrong does not fit the file any more."""


@dataclass(frozen=True)
class Wrong:
    """``old`` of ``file`` becomes ``new``; ``tests`` must fail. ``harmless``: why no test can see it ("": one must)."""

    name: str
    subject: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    harmless: str = ""

    @property
    def module(self) -> str:
        """Dotted name of the file."""
        return self.file.removesuffix(".py").replace("/", ".")

    def applied(self) -> str:
        """The file's text with the wrong in it. Raises Outdated where ``old`` is not there exactly once, or where the
        result is no Python."""
        text = (ROOT / self.file).read_text(encoding="utf-8")
        found = text.count(self.old)
        if found != 1:
            raise Outdated(
                f"{self.subject}: {self.name!r}: expected {self.old!r} once in {self.file}, found it {found} times; "
                "bring tests/mutations up to date"
            )
        changed = text.replace(self.old, self.new)
        try:
            compile(changed, self.file, "exec")
        except SyntaxError as error:
            raise Outdated(f"{self.subject}: {self.name!r}: {self.file} would be no Python ({error})") from error
        return changed


def declared(subjects: Sequence[str] = ()) -> list[Wrong]:
    """All wrongs, or those of some files here (by name without ``.toml``). Raises Outdated for a name that is none."""
    known = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
    strange = sorted(set(subjects) - set(known))
    if strange:
        raise Outdated(f"expected subjects out of {', '.join(known)}, found {', '.join(strange)}")
    found: list[Wrong] = []
    for subject in subjects or known:
        content = tomllib.loads(known[subject].read_text(encoding="utf-8"))
        for entry in content["wrong"]:
            entry = {"subject": subject, "file": content.get("file"), "tests": content["tests"]} | entry
            found.append(Wrong(**entry | {"tests": tuple(entry["tests"])}))
    return found
