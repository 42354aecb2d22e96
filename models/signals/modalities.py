"""The signals Vigil knows: names, canonical units and physical limits.

A *modality* is what is measured (arterial pressure), a *channel* or *track* one recorded lead of it
(``Intellivue/ABP``). All signal code works in the canonical unit given here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GRID_RATE_HZ = 100
"""Rate of the common grid that all modalities are resampled to (PhysioME, arXiv 2510.11110: 100 Hz)."""


class Modality(StrEnum):
    """A kind of measured signal. The order is the order of rows on the screen."""

    ECG = "ECG"
    ABP = "ABP"
    PPG = "PPG"
    EEG = "EEG"
    RESP = "RESP"


@dataclass(frozen=True, slots=True)
class ModalityInfo:
    """Canonical unit and the limits outside which a sample cannot be physiological.

    ``low`` and ``high`` are in ``unit``; None where the unit is arbitrary (PPG, RESP).
    """

    unit: str
    title: str
    low: float | None
    high: float | None


MODALITIES: dict[Modality, ModalityInfo] = {
    Modality.ECG: ModalityInfo("mV", "electrocardiogram", -20.0, 20.0),
    Modality.ABP: ModalityInfo("mmHg", "arterial blood pressure", -30.0, 300.0),
    Modality.PPG: ModalityInfo("au", "photoplethysmogram", None, None),
    Modality.EEG: ModalityInfo("uV", "electroencephalogram", -2000.0, 2000.0),
    Modality.RESP: ModalityInfo("au", "respiration", None, None),
}

MODEL_MODALITIES: tuple[Modality, ...] = (Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG)
"""What the shipped models read; RESP serves the respiratory rate only."""


class SleepChannel(StrEnum):
    """Leads of a polysomnogram that the sleep model reads, named as in Sleep-EDF; all in µV.

    They are rows of a model, not modalities of the bedside: several leads of one kind stand beside each other, and no
    rule of quality, display or alarm applies to them.
    """

    EEG_FPZ_CZ = "EEG Fpz-Cz"
    EEG_PZ_OZ = "EEG Pz-Oz"
    EOG = "EOG horizontal"


SLEEP_CHANNELS: tuple[SleepChannel, ...] = tuple(SleepChannel)
"""Rows of the sleep model, in order."""
