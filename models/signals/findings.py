"""What the sensors say about the circulation in one second: the rhythm of the ECG, and the pulse of each pulse channel.

A finding is a measurement. *No pulse* is said only of a signal that is there and without one; of a sensor that is
absent or shows artefact the pulse is not known, which is no news, neither good nor bad.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from models.signals.modalities import Modality

PULSE_CHANNELS = (Modality.ABP, Modality.PPG)


class Rhythm(StrEnum):
    """What the ECG of the newest seconds shows."""

    BEATS = "beats"
    STILL = "still"  # no deflection: asystole, or an electrode that is off
    FIBRILLATION = "fibrillation"  # ventricular fibrillation or flutter: nothing that a beat detector should count
    UNCLEAR = "unclear"  # it moves, but shows no beats that can be told
    UNKNOWN = ""  # not measured, or too short to tell


class Pulse(StrEnum):
    """What a pulse channel of the newest seconds shows."""

    PRESENT = "present"
    NONE = "none"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """Of one second. ``pulse``: by pulse channel; one that is not listed is not known. ``overdue``: the channels that
    have shown pulses and now miss the next one, long before that is a lost pulse."""

    rhythm: Rhythm = Rhythm.UNKNOWN
    pulse: Mapping[Modality, Pulse] = field(default_factory=dict)
    overdue: frozenset[Modality] = frozenset()

    def pulse_of(self, modality: Modality) -> Pulse:
        """Of a pulse channel; UNKNOWN where it is not listed."""
        return self.pulse.get(modality, Pulse.UNKNOWN)

    def showing(self, pulse: Pulse) -> tuple[Modality, ...]:
        """The pulse channels that show ``pulse``, in the order of the screen."""
        return tuple(m for m in PULSE_CHANNELS if self.pulse_of(m) is pulse)
