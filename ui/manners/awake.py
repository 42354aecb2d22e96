"""The screen is not blanked, nor the machine put to sleep by itself, while somebody is being monitored.

Linux: org.freedesktop.ScreenSaver on the session's bus, held by a connection of its own, so that it ends with it also
where this process dies. Windows: SetThreadExecutionState. macOS: caffeinate. Where none of these is to be had the
monitoring goes on; the log says so once, as information. All of it happens in a helper thread: a bus may not answer.
"""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

WHY = "a patient is being monitored"
_TIMEOUT_MS = 2000
_numbers = itertools.count()
log = logging.getLogger(__name__)


class Holder(Protocol):
    """Keeps the screen awake between the two calls, which come from one thread. Raises OSError or ImportError where it
    cannot."""

    def hold(self) -> None:
        """From now on."""

    def release(self) -> None:
        """No longer."""


class KeepAwake:
    """holder: as of the system, see :func:`system_holder`. worker: of one thread, in which it is called."""

    def __init__(self, holder: Holder, worker: Executor) -> None:
        self._holder, self._worker = holder, worker
        self._wanted = self._held = self._told = False

    def want(self, awake: bool) -> None:
        """To be called again and again with what is wanted now; waits for nothing."""
        if awake != self._wanted:
            self._wanted = awake
            self._worker.submit(self._do)

    def _do(self) -> None:
        wanted = self._wanted
        if wanted == self._held:
            return
        try:
            (self._holder.hold if wanted else self._holder.release)()
        except (OSError, ImportError) as error:
            if not self._told:
                self._told = True
                log.info("the screen may be blanked while somebody is monitored: %s", error)
            return
        self._held = wanted

    def close(self) -> None:
        """Let go, and take no more orders; waits for nothing."""
        self.want(False)
        self._worker.shutdown(wait=False)


class Bus:
    """org.freedesktop.ScreenSaver. service: by which name it is asked."""

    def __init__(self, service: str = "org.freedesktop.ScreenSaver") -> None:
        self._service, self._connection = service, f"vigil-awake-{next(_numbers)}"

    def hold(self) -> None:
        """A connection that inhibits until it is closed."""
        from PySide6.QtDBus import QDBus, QDBusConnection, QDBusMessage

        bus = QDBusConnection.connectToBus(QDBusConnection.BusType.SessionBus, self._connection)
        if not bus.isConnected():
            QDBusConnection.disconnectFromBus(self._connection)
            raise OSError("there is no session bus")
        path = "/org/freedesktop/ScreenSaver"
        call = QDBusMessage.createMethodCall(self._service, path, "org.freedesktop.ScreenSaver", "Inhibit")
        call.setArguments(["Vigil", WHY])
        answer = bus.call(call, QDBus.CallMode.Block, _TIMEOUT_MS)
        if answer.type() != QDBusMessage.MessageType.ReplyMessage:
            QDBusConnection.disconnectFromBus(self._connection)
            raise OSError(answer.errorMessage() or "no answer from the screen saver")

    def release(self) -> None:
        """Closes it."""
        from PySide6.QtDBus import QDBusConnection

        QDBusConnection.disconnectFromBus(self._connection)


class _Windows:
    _CONTINUOUS, _SYSTEM, _DISPLAY = 0x80000000, 0x1, 0x2

    def hold(self) -> None:
        self._set(self._CONTINUOUS | self._SYSTEM | self._DISPLAY)

    def release(self) -> None:
        self._set(self._CONTINUOUS)

    def _set(self, state: int) -> None:
        import ctypes

        if not ctypes.windll.kernel32.SetThreadExecutionState(ctypes.c_uint(state)):  # type: ignore[attr-defined]
            raise OSError("SetThreadExecutionState was refused")


class _Mac:
    _process: subprocess.Popen[bytes] | None = None

    def hold(self) -> None:
        # It ends by itself with this process.
        self._process = subprocess.Popen(["/usr/bin/caffeinate", "-d", "-i", "-w", str(os.getpid())])

    def release(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


class _None:
    """Of a window that nobody sees."""

    def hold(self) -> None:
        """Nothing to be done."""

    def release(self) -> None:
        """Nothing to be done."""


def system_holder(platform: str) -> Holder:
    """For a Qt platform, as ``xcb``."""
    if platform in ("offscreen", "minimal", "vnc"):
        return _None()
    makes: dict[str, Callable[[], Holder]] = {"win32": _Windows, "darwin": _Mac}
    return makes.get(sys.platform, Bus)()
