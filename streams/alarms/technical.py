"""Technical conditions: why a sensor is not measured, and how the model serves, as data."""

from __future__ import annotations

from collections.abc import Sequence

from models.signals.absence import Absence
from models.signals.modalities import BREATHS, Modality
from streams.records import LeadState

ENGINE, BEHIND = "technical.model", "technical.model_behind"

TECHNICAL: dict[Absence, tuple[str, str]] = {
    # reason: (priority, text of any modality); "" has no condition
    Absence.NOT_CONNECTED: ("", ""),
    Absence.NO_DATA: ("low", "NO SIGNAL"),
    Absence.WITHHELD: ("low", "WITHHELD"),
    Absence.LEAD_OFF: ("low", "SENSOR OFF"),
    Absence.SATURATED: ("low", "OVERLOAD"),
    Absence.OUT_OF_RANGE: ("low", "OUT OF RANGE"),
    Absence.FLAT: ("low", "FLAT LINE"),
    Absence.FLUSH: ("low", "LINE FLUSHED"),
    Absence.ARTEFACT: ("low", "ARTEFACT"),
}

TECHNICAL_OF: dict[tuple[Modality, Absence], tuple[str, str]] = {
    # what monitors say of one modality in particular
    (Modality.ECG, Absence.LEAD_OFF): ("medium", "LEADS OFF"),
    (Modality.ECG, Absence.FLAT): ("medium", "FLAT LINE"),
    (Modality.EEG, Absence.LEAD_OFF): ("low", "HIGH IMPEDANCE"),
    (Modality.RESP, Absence.LEAD_OFF): ("low", "LEADS OFF"),
}

SERVICE: dict[str, tuple[str, str]] = {
    # of a prediction: (priority, text) of the model's own technical condition, none for other values
    "failed_over": ("low", "MODEL FAILED OVER"),
    "unavailable": ("medium", "MODEL NOT AVAILABLE"),
}
"""After a fail-over predictions are as good as before, from a slower backend or a restarted one: low, and until the run
ends, since what broke once may break again. Without a model risk and estimates are gone, measured waves and their
alarms are not: medium."""

MODEL_BEHIND = ("low", "MODEL BEHIND")
"""Of windows that the model had no time for, one after another: risk and estimates are gone as well, but it ends by
itself once the machine has less to do."""


def technical(modality: Modality, absence: Absence) -> tuple[str, str] | None:
    """Priority and text of the technical condition, None where there is none."""
    priority, text = TECHNICAL_OF.get((modality, absence), TECHNICAL[absence])
    return (priority, f"{modality.value} {text}") if priority else None


FLAT_BREATHS: dict[str, str] = {
    f"technical.{modality.value}": found[1] for modality in BREATHS if (found := technical(modality, Absence.FLAT))
}
"""Key and text of a wave of breaths that does not move: beside an apnoea it is that apnoea, told twice."""


def of_leads(modality: Modality, leads: Sequence[LeadState]) -> tuple[str, str] | None:
    """Priority and text where another lead serves than the preferred one, None where it does not. leads: the one that
    serves first."""
    serving, preferred = leads[0], min(leads, key=lambda lead: lead.lead)
    if serving is preferred:
        return None
    if preferred.absence:
        absence = Absence(preferred.absence)
        why = TECHNICAL_OF.get((modality, absence), TECHNICAL[absence])[1]
    else:
        why = "IS BACK"
    name = preferred.label if preferred.label.startswith(modality) else f"{modality.value} {preferred.label}"
    return "low", f"{name} {why}, {serving.label} SERVES"
