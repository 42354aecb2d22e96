"""What ``vigil`` and ``python -m monitor`` call first: are the packages that would be imported ours?

Vigil's packages have plain names. Another project's ``models`` or ``streams`` in the folder of the call, or earlier on
the path, would be imported in their place, and end in a traceback that says nothing of the cause.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "streams", "ui")


def main() -> None:
    """Runs the command line, or exits with 2 and one sentence where a stranger's package is in the way."""
    if wrong := stranger():
        print(f"vigil: {wrong}", file=sys.stderr)
        sys.exit(2)
    from monitor.cli import main as command_line

    command_line()


def stranger(packages: Iterable[str] = PACKAGES, house: Path = HOUSE) -> str:
    """One sentence if one of ``packages`` would not be imported from ``house``; "" if all are ours."""
    for name in packages:
        places = [Path(place).resolve() for place in _places(name)]
        if house / name not in places[:1]:
            found = str(places[0]) if places else "none"
            return (
                f"Expected Vigil's own package {name!r} in {house}, found {found}; "
                "call vigil from another folder, or take that one off PYTHONPATH."
            )
    return ""


def _places(name: str) -> list[str]:
    spec = find_spec(name)
    if spec is None:
        return []
    return list(spec.submodule_search_locations or ()) or ([spec.origin] if spec.origin else [])
