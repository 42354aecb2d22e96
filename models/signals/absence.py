"""Why a sensor is not measured: one vocabulary for states, presence cells, reports and screen; and the three states.

A modality is *measured*, also when what it says is terrible (a pressure of 12 mmHg, a finger without a pulse: those are
findings, see :mod:`models.signals.findings`); *untrusted*, where samples flow but are artefact; or *absent*, where
there are none or the sensor is known to be off.
"""

from __future__ import annotations

from enum import StrEnum


class Standing(StrEnum):
    """What may be made of a modality now."""

    MEASURED = "measured"
    UNTRUSTED = "untrusted"
    ABSENT = "absent"


class Absence(StrEnum):
    """Reason that a modality is not measured now (state) or in one 1-s cell (presence)."""

    NOT_CONNECTED = "not connected"  # the recording or feed has no such channel
    NO_DATA = "no data"  # nothing arrived, or more than 40 ms of the cell is missing
    WITHHELD = "withheld"  # the operator dropped it (--drop, key); the truth is kept for comparison
    LEAD_OFF = "lead off"
    SATURATED = "saturated"
    OUT_OF_RANGE = "out of range"  # more than the sensor can say, not than a patient should have
    FLAT = "flat"  # does not move at all: an electrode or probe that is off, or nothing to see
    FLUSH = "flush"  # the artery line shows its pressure bag
    ARTEFACT = "artefact"  # the signal-quality index says no


_STANDING = {
    Absence.NOT_CONNECTED: Standing.ABSENT,
    Absence.NO_DATA: Standing.ABSENT,
    Absence.WITHHELD: Standing.ABSENT,
    Absence.LEAD_OFF: Standing.ABSENT,
    Absence.SATURATED: Standing.UNTRUSTED,
    Absence.OUT_OF_RANGE: Standing.UNTRUSTED,
    Absence.FLAT: Standing.UNTRUSTED,
    Absence.FLUSH: Standing.UNTRUSTED,
    Absence.ARTEFACT: Standing.UNTRUSTED,
}


def standing_of(absence: Absence | None) -> Standing:
    """The state that an absence stands for; None is measured."""
    return Standing.MEASURED if absence is None else _STANDING[absence]
