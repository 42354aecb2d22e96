"""Why a sensor is not usable: one vocabulary for states, presence cells, reports and the screen."""

from __future__ import annotations

from enum import StrEnum


class Absence(StrEnum):
    """Reason that a modality is not measured now (state) or in one 1-s cell (presence)."""

    NOT_CONNECTED = "not connected"  # the recording or feed has no such channel
    NO_DATA = "no data"  # nothing arrived, or more than 40 ms of the cell is missing
    WITHHELD = "withheld"  # the operator dropped it (--drop, key); the truth is kept for comparison
    LEAD_OFF = "lead off"
    SATURATED = "saturated"
    OUT_OF_RANGE = "out of range"
    FLAT = "flat"
    NOT_PULSATILE = "not pulsatile"  # ABP or PPG without a pulse: transducer open to air, flush, sensor off
    ARTEFACT = "artefact"  # the signal-quality index says no
