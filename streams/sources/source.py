"""The seam between whatever has a patient's signals and the stream: one source is one bed.

A source says what it has (:meth:`Source.describe`), then gives tick after tick until it ends or is stopped
(:meth:`Source.run`). Ticks lie on the absolute grid of event time (``k · tick_ns``), without a hole: what is missing is
an empty chunk or NaN, never a tick left out. A source that sees another patient at its device goes on with ticks of
another session (:mod:`streams.sessions`) and of the next epoch, on the same axis of time. A recording can also be
paused, sought and slowed (:class:`Seekable`); a device cannot. For a device driver there is a smaller contract of its
own (:mod:`streams.sources.device`), and :class:`streams.sources.live.LiveSource` makes a source of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from models.signals.modalities import Modality
from streams.records import BedRecord, WaveTick

Emit = Callable[[WaveTick], bool]
"""Hands a tick over. It may wait for room where the source is a recording; of a device's ticks those without room are
dropped and counted by whoever takes them. False: nobody takes any more, :meth:`Source.run` returns."""


class Source(Protocol):
    """One bed. ``describe`` and then ``run`` are called once, in a thread of the source's own, ``run`` also where
    :meth:`stop` came first; the rest from any thread, once it is described."""

    @property
    def epoch(self) -> int:
        """Counts the fresh starts: jumps of an operator, or of a device's clock, and other patients."""

    @property
    def position_s(self) -> float:
        """Event time now, in seconds; of a device that of the newest tick."""

    def describe(self) -> BedRecord:
        """Opens what it reads and says what it has; may take seconds. BadInput, in one sentence, where it cannot."""

    def run(self, emit: Emit) -> None:
        """Gives ticks until :meth:`stop`, or until nobody takes them; an end that is reached is a tick with ``eos``.

        A source that loses its device keeps giving ticks, empty ones, and tries to find it again. Whatever it raises
        ends the session.
        """

    def stop(self) -> None:
        """``run`` returns soon, and closes what it has open."""

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withholds a modality from the next tick on, or gives it back: its chunks are then marked ``withheld``."""

    def dropped_now(self) -> frozenset[Modality]:
        """What is withheld at this moment."""


@runtime_checkable
class Seekable(Source, Protocol):
    """A recording: it has an end, and somebody decides where in it to be."""

    @property
    def speed(self) -> float | None:
        """Event seconds a second; None: as fast as possible."""

    @property
    def achieved_speed(self) -> float | None:
        """Event seconds a second where the machine does not keep the asked speed; None where it does."""

    @property
    def given_up_s(self) -> float:
        """Wall seconds by which it has fallen back so far, since the machine could not keep the speed."""

    @property
    def paused(self) -> bool:
        """Whether it stands by order."""

    def pause(self) -> None:
        """Stand still."""

    def resume(self) -> None:
        """Go on."""

    def set_speed(self, speed: float | None) -> None:
        """Event seconds a second; None: as fast as possible. BadInput for a speed that is none."""

    def seek(self, time_s: float) -> None:
        """Go to ``time_s``, in a new epoch."""

    def step(self, seconds: float) -> None:
        """While paused, play so many seconds; else jump by them."""


MakeSource = Callable[[str, str], Source]
"""A source for (bed, session)."""
