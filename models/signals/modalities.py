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
    CVP = "CVP"
    PAP = "PAP"
    ICP = "ICP"
    CO2 = "CO2"
    AWP = "AWP"


@dataclass(frozen=True, slots=True)
class ModalityInfo:
    """Canonical unit and the limits outside which a sample cannot be one of the sensor's.

    ``low`` and ``high`` are in ``unit``; None where the unit is arbitrary (PPG, RESP). Blood and head are measured by
    the same transducers, −30 to 300 mmHg (ANSI/AAMI BP22); a capnometer's baseline may drift a little below zero; a
    ventilator's airway pressure ends far inside of these.
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
    Modality.CVP: ModalityInfo("mmHg", "central venous pressure", -30.0, 300.0),
    Modality.PAP: ModalityInfo("mmHg", "pulmonary arterial pressure", -30.0, 300.0),
    Modality.ICP: ModalityInfo("mmHg", "intracranial pressure", -30.0, 300.0),
    Modality.CO2: ModalityInfo("mmHg", "carbon dioxide in the airway", -10.0, 200.0),
    Modality.AWP: ModalityInfo("cmH2O", "airway pressure", -100.0, 200.0),
}

MODEL_MODALITIES: tuple[Modality, ...] = (Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG)
"""What the shipped models read. The others are measured, shown and watched, and never estimated."""

LINE_PRESSURES: tuple[Modality, ...] = (Modality.CVP, Modality.PAP, Modality.ICP)
"""Pressures of a fluid-filled line or a catheter's tip beside the arterial one; their number is a mean."""

BREATHS: tuple[Modality, ...] = (Modality.RESP, Modality.CO2)
"""Waves that breaths are counted in, the preferred first."""


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
