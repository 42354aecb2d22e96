"""The way to the loudspeaker: miniaudio.

Weighed: QtMultimedia is of a piece with the screen, but is PySide6-Addons, 59 MB to fetch and 160 MB on disk for one
tone. sounddevice is small, but on Linux wants the system's PortAudio, which a bare machine has not. miniaudio (MIT,
kept up) is one C file with a binding of 0.6 MB, finds PulseAudio, PipeWire and ALSA, Core Audio and WASAPI by itself,
and has wheels for Linux, macOS and Windows, but none for Linux and Windows on ARM, where a compiler makes it (extra
``sound``). It asks for samples in a thread of its own.

What it does not do, and is done here and in keeper.py: left alone it takes its "null" device where there is none, and
plays to nobody; a device that only throws samples away counts as one; an unplugged one may just ask for no more samples
(its issue 341). That the system's own mixer is turned down nobody can see from here.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Protocol

from ui.sound.tones import Samples

_BUFFER_MS = 80  # of three such: what other threads may hold this one up by
_BACKENDS = {
    "linux": ("PULSEAUDIO", "ALSA"),
    "darwin": ("COREAUDIO",),
    "win32": ("WASAPI", "DSOUND", "WINMM"),
}
_ELSEWHERE = ("SNDIO", "AUDIO4", "OSS")
_DUMMIES = ("dummy output", "discard all samples")
"""What the devices that only throw samples away are called by PulseAudio and PipeWire, and by ALSA."""

Fill = Callable[[int], Samples]
"""The next so many samples."""


class NoOutput(Exception):
    """There is nothing to play through; the text says why in a few words, for the screen."""


class Output(Protocol):
    """Something that plays: it asks ``fill`` for samples, in a thread of its own, until it is closed."""

    name: str
    failure: str
    """Why it asks no more, "" while it does."""

    def close(self) -> None:
        """Asks no more. May wait."""


OpenOutput = Callable[[int, Fill], Output]
"""Opens one at so many samples a second; may wait; raises NoOutput."""


class MiniaudioOutput:
    """The system's usual output, mono."""

    def __init__(self, rate_hz: int, fill: Fill) -> None:
        try:
            import miniaudio
        except (ImportError, OSError) as error:
            raise NoOutput("sound library missing") from error
        self.failure = ""
        self._fill = fill
        backends = [miniaudio.Backend[name] for name in _BACKENDS.get(sys.platform, _ELSEWHERE)]
        _hush_alsa()
        try:
            names = [str(device["name"]) for device in miniaudio.Devices(backends).get_playbacks()]
            if not any(is_real(name) for name in names):
                raise NoOutput("no audio device")
            self._device: Any = miniaudio.PlaybackDevice(
                output_format=miniaudio.SampleFormat.FLOAT32,
                nchannels=1,
                sample_rate=rate_hz,
                buffersize_msec=_BUFFER_MS,
                backends=backends,
                app_name="Vigil",
            )
            self.name = str(self._device.backend)
            samples = self._samples()
            next(samples)
            self._device.start(samples)
        except miniaudio.MiniaudioError as error:
            raise NoOutput("no audio device") from error

    def _samples(self) -> Generator[Samples | bytes, int, None]:
        frames = yield b""
        while True:
            try:
                block = self._fill(frames)
            except Exception as error:  # noqa: BLE001 (an exception in the library's thread reaches nobody: it is told)
                self.failure = f"{type(error).__name__}: {error}"
                return
            frames = yield block.reshape(-1, 1)

    def close(self) -> None:
        """See :class:`Output`."""
        self._device.close()


def is_real(name: str) -> bool:
    """
    >>> is_real("Built-in Audio Analog Stereo"), is_real("Dummy Output")
    (True, False)
    """
    return not name.lower().startswith(_DUMMIES)


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
_NOTHING = _HANDLER(lambda *_: None)


def _hush_alsa() -> None:
    """ALSA writes twenty lines to the terminal each time that it finds no card, which is tried every few seconds; what
    is wrong is on the screen and in the log."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # without ALSA nothing is written either
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(_NOTHING)
