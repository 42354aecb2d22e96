"""What a driver of a bedside device has to do: four calls, from one thread, and a name.

A driver is a class with these methods; it imports nothing else of Vigil but this file. A device that sends two
channels over a serial line, complete but for the parsing::

    class Pulse5000:
        name = "Pulse 5000"

        def __init__(self, port):
            self._port = port

        def open(self, timeout_s):
            self._line = serial.Serial(self._port, 115200, timeout=0)
            return [DeviceChannel("ECG_II", "mV", 250.0), DeviceChannel("PLETH", "", 125.0)]

        def read(self, timeout_s):
            select.select([self._line], [], [], timeout_s)
            frames = parse(self._line.read(4096))          # whatever has arrived, also nothing
            return [Block(f.channel, f.samples, None, counter=f.number) for f in frames]

        def close(self):
            self._line.close()

:class:`streams.sources.live.LiveSource` does the rest: which channel is which modality (by name, as in files), units,
time, gaps, drift, ticks, and finding a lost device again. ``tests/sources/live/device_conformance.py`` is a suite
that any driver can be run against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.signals.errors import VigilError

SLACK_S = 0.1
"""By so much ``open`` and ``read`` may overstay their ``timeout_s``; ticks and ``stop`` wait for them."""


class DeviceLost(VigilError):
    """The device does not answer any more, or not yet. The source closes it and opens it again after a while."""


class AnotherPatient(DeviceLost):
    """The device is with another patient, or with nobody any more. What it has sent so far was of the one before; what
    it sends after its next ``open`` is of the other. The source goes on in a new session, into which nothing of the
    patient before is carried: no context, no memory of a model, no alarm, no trend, no wave on the screen.

    Raised by ``read`` as soon as the driver knows; by ``open``, once, where the change fell into a time without
    connection, and the ``open`` after that has the other's.
    """


@dataclass(frozen=True, slots=True)
class DeviceChannel:
    """A wave that a device sends: its own name for it (each once), the unit of its values ("" if it has none or does
    not say), and its nominal rate in Hz.

    declared: the modality ("ECG", "ABP", "CVP") where the device itself says what the channel is,
    "other" where it says that it is none of them, "" where the name has to do.
    """

    name: str
    unit: str
    rate_hz: float
    declared: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive samples of one channel, in the order in which they were taken.

    values: float32 [n] in the channel's unit, NaN for a sample that the device marks as invalid.
    stamps_s: float64, seconds: [n], one a sample; or [1], of the last one; or None, where the device gives no time and
    the moment of arrival has to do. On the clock of ``time.monotonic`` of this machine, where the driver can convert
    to it; a clock of the device's own does too, whatever its zero: then samples are put at their arrival, smoothed.
    Jitter of some 20 ms and drift of ±500 ppm are normal.
    counter: the device's own number of the first sample, counted in samples and without a wrap-around, where it has
    one: losses are then exact.
    """

    channel: str
    values: npt.NDArray[np.float32]
    stamps_s: npt.NDArray[np.float64] | None = None
    counter: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceValue:
    """A number that the device has measured itself (SpO2, a cuff's pressure), as it tells it; none where it has none.

    name: of its kind, as in ``models/signals/numerics.toml``; what is not known there is left aside. value: in ``unit``
    (one that is of something else makes it unknown); None as soon as the device has none, or none that is valid.
    stamp_s: when it was measured, on the clock of the blocks' stamps, None where the device does not say: then a value
    counts as new when it comes, and nobody knows how old it is. A value that was told before may come again.
    """

    name: str
    value: float | None
    unit: str
    stamp_s: float | None = None


class Device(Protocol):
    """A bedside device. All calls come from one thread, one at a time; ``open`` first, and again after ``close``."""

    @property
    def name(self) -> str:
        """For the screen; no patient data."""

    def open(self, timeout_s: float) -> Sequence[DeviceChannel]:
        """Connects within ``timeout_s``; what the device sends. Samples of before need not come.

        Raises DeviceLost (or OSError) where it is not there now, BadInput where it never can be had like this, and
        AnotherPatient where it is with somebody else than when it was open before.
        """

    def read(self, timeout_s: float) -> Sequence[Block | DeviceValue]:
        """Everything that has arrived since the last call; waits for it no longer than ``timeout_s``, [] if there is
        nothing. Several blocks of a channel come in order, and so do several values of a number.

        Raises DeviceLost (or OSError) once the device is gone, AnotherPatient once its patient is, after all that was
        of that one. What it has raised once it goes on raising until ``open``.
        """

    def close(self) -> None:
        """Gives everything back. A second call, and one before ``open``, does nothing."""
