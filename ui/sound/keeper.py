"""Keeps an output open while there should be sound: opens it, sees when it dies, tries again. The log has a line when
that changes; the screen asks for ``trouble``.

Opening and closing a device may wait for seconds (or, with a broken sound server, for ever), so a thread of its own
does it. What is not known to play counts as silent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Thread

from ui.sound.output import NoOutput, OpenOutput, Output
from ui.sound.player import Player
from ui.sound.tones import Samples

RETRY_S = 3.0
STALL_S = 3.0
"""An output that has asked for no samples for so long plays nothing. (PulseAudio has been seen to pause for 1.7 s after
the first.)"""
_LOOK_S = 0.2
_OPENING = "opening the audio device"
_LOST = "audio device lost"
_FAILED = "audio device failed"

_log = logging.getLogger(__name__)


class Keeper:
    """``trouble``: why nothing can be heard, "" where all is well or nothing is asked for."""

    def __init__(
        self, player: Player, open_output: OpenOutput, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._player, self._open_output, self._monotonic = player, open_output, monotonic
        self._output: Output | None = None
        self._wanted = False
        self._tried_s = self._opened_s = float("-inf")
        self._said = _OPENING
        self._look, self._over = Event(), Event()
        self._thread: Thread | None = None
        self.trouble = ""

    def want(self, sound: bool) -> None:
        """Whether there should be sound at all."""
        if sound == self._wanted:
            return
        self.trouble = _OPENING if sound else ""
        self._wanted = sound
        self._tried_s = float("-inf")
        self._look.set()

    def step(self, now_s: float) -> None:
        """Do what is to be done now; in the thread, or by a test."""
        output = self._output
        if output is not None:
            since_s = max(self._player.filled_s, self._opened_s)
            if not self._wanted or output.failure or now_s - since_s > STALL_S:
                if self._wanted:  # said first of all: closing it may take for ever
                    self._say(_FAILED if output.failure else _LOST, output.failure)
                self._output, self._tried_s = None, now_s
                output.close()
        elif self._wanted and now_s - self._tried_s >= RETRY_S:
            self._tried_s = now_s
            self._open()

    def _open(self) -> None:
        self._player.restart()
        try:
            output = self._open_output(self._player.rate_hz, self._fill)
        except NoOutput as why:
            self._say(str(why))
            return
        self._output, self._opened_s = output, self._monotonic()
        self._say("")
        _log.info("sound through %s", output.name)

    def _fill(self, frames: int) -> Samples:
        return self._player.fill(frames, self._monotonic())

    def _say(self, trouble: str, why: str = "") -> None:
        if self._wanted:
            self.trouble = trouble
        if trouble and trouble != self._said:
            words = f"{trouble} ({why})" if why else trouble
            _log.warning("no sound: %s; tried again every %g s", words, RETRY_S)
        self._said = trouble

    # Its thread ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in a thread that keeps nothing from ending."""
        self._thread = Thread(target=self._run, name="sound", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            self.step(self._monotonic())
            self._look.wait(_LOOK_S)
            self._look.clear()
        self._wanted = False
        self.step(self._monotonic())

    def close(self) -> None:
        """Ends the sound; waits for nothing."""
        self._over.set()
        self._look.set()

    def join(self, timeout_s: float) -> None:
        """Wait, after :meth:`close`, until the device is closed too."""
        if self._thread is not None:
            self._thread.join(timeout_s)
