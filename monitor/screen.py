"""Whether a window can be opened here: asked before Qt is, which ends the process where nothing answers."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

_TIMEOUT_S = 2.0
UNSET = "DISPLAY and WAYLAND_DISPLAY are unset"
"""Why there is no window where none was asked for."""


def no_screen(environment: Mapping[str, str] | None = None) -> str:
    """Why no window can be opened, as half a sentence; "" where one can: a display server answers, or a Qt platform
    that needs none was asked for by name (``QT_QPA_PLATFORM=offscreen``).

    Of a Wayland server and an X server one is enough, as Qt takes either. ``environment``: the process's own, which X
    is asked by, unless a test names another.
    """
    given = os.environ if environment is None else environment
    platform = given.get("QT_QPA_PLATFORM", "")
    if sys.platform in ("darwin", "win32") or (platform and platform.split(":")[0] not in ("xcb", "wayland")):
        return ""
    wayland, x11 = given.get("WAYLAND_DISPLAY", ""), given.get("DISPLAY", "")
    silent = []
    if wayland and not platform.startswith("xcb"):
        if _wayland_answers(given):
            return ""
        silent.append(f"WAYLAND_DISPLAY {wayland}")
    if x11 and not platform.startswith("wayland"):
        if _x_answers(x11):
            return ""
        silent.append(f"DISPLAY {x11}")
    if silent:
        return f"nothing answers at {' or '.join(silent)}"
    return UNSET


def _wayland_answers(environment: Mapping[str, str]) -> bool:
    name = Path(environment["WAYLAND_DISPLAY"])
    place = name if name.is_absolute() else Path(environment.get("XDG_RUNTIME_DIR", "")) / name
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_TIMEOUT_S)
        try:
            probe.connect(str(place))
        except OSError:
            return False
    return True


def _x_answers(display: str) -> bool:
    """Asked with the library that Qt itself uses, so that a refused key counts as no answer too."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True  # Qt's own error says which library is missing
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)]
    xcb.xcb_connection_has_error.argtypes = [ctypes.c_void_p]
    xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(display.encode(), None)  # never NULL: a failed one carries its error
    failed = bool(xcb.xcb_connection_has_error(connection))
    xcb.xcb_disconnect(connection)
    return not failed
