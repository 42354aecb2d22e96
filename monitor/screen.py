"""Whether a window can be opened here."""

from __future__ import annotations

import os
import sys


def has_screen() -> bool:
    """A display server, or a Qt platform that was asked for by name (``QT_QPA_PLATFORM=offscreen``)."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
