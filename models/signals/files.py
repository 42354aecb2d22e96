"""Small files that are replaced as a whole: a power cut or a full disk leaves the one before."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, *, private: bool = False) -> None:
    """Put ``content`` in the place of what is at ``path``, all of it or nothing; its folder is made. Where ``path`` is
    a link, it stays one. A new file is for its owner alone, another keeps its permissions, unless it is to be private.
    Raises OSError, and leaves nothing beside the file then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else the name may be on the disk before what it stands for
        if not private and target.exists():
            beside.chmod(target.stat().st_mode & 0o777)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
