"""The name under which Vigil is installed, and how to install what is missing: one wording for every message."""

from __future__ import annotations

DISTRIBUTION = "vigil-bedside"


def install_hint(extra: str = "") -> str:
    """What a user runs in Vigil's folder.

    Not a name of the package index: what is there under a like name may be a stranger's.

    >>> install_hint("train")
    "pip install -e '.[train]' in Vigil's folder"
    >>> install_hint()
    "pip install -e . in Vigil's folder"
    """
    what = f"'.[{extra}]'" if extra else "."
    return f"pip install -e {what} in Vigil's folder"
