"""What is said of a channel that is not measured: one state and one reason, never two that contradict. Pure.

Header, number, pointer and terminal all read :func:`lane_said`; none of them looks for a reason of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from models.signals.absence import Absence
from models.signals.estimable import MEASURED, NEVER_CONNECTED, NO_RHYTHM, SOURCES, TOO_LITTLE, never_measured
from models.signals.modalities import Modality
from streams.records import PredictionRecord
from ui.style.language import retold, tr
from ui.style.words import absence_words

NO_ANSWER = "no result from the model now"
NONE_GIVEN = "the model gives none now"
NOT_KNOWN = "not known whether there is a pulse"
REASONS = (
    NO_ANSWER,
    NONE_GIVEN,
    NEVER_CONNECTED,
    MEASURED,
    *NO_RHYTHM.values(),
    TOO_LITTLE,
    NOT_KNOWN,
    "too uncertain: ±{half} mmHg",
    "too long without a clean ABP",
    "{modality} is never estimated",
    "the {one} and the {other} show no pulse",
    "the {modality} shows no pulse",
    "no pulse on {one} or {other} to estimate it from",
    "no pulse on {modality} to estimate it from",
    "the next pulse on the {modality} is late",
    "no clean {modality} of this patient yet",
    "too little of the pleth seen beside the last pressure",
    "too few pulses to estimate it from",
    "pulse rate {now}, {then} when the pressure was last measured",
    "the pleth has shrunk to {share} % since the pressure was last measured",
)
"""What :mod:`models.signals.estimable`, the engine and the display can say, as it is translated; a test holds them
together."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a lane at a moment. absence: "" while measured. forbidden: why no estimate may be shown by what
    the sensors say now; refused: why the model gave none in its last window; answers: whether that is valid and not
    stale; given: whether it holds an estimate of this lane. begun: whether one was shown in this absence."""

    modality: Modality
    absence: str = ""
    forbidden: str = ""
    refused: str = ""
    answers: bool = False
    given: bool = False
    begun: bool = False


@dataclass(frozen=True, slots=True)
class LaneSaid:
    """state: "" while measured, else why it is not ("sensor off"). estimated: whether an estimate stands in its place.
    why_not: the clause that says why none does, "" where one does and where ``state`` says enough."""

    state: str = ""
    estimated: bool = False
    why_not: str = ""


def lane_said(known: Known) -> LaneSaid:
    """State and reason of a lane; the gravest reason first: bad news before what the model lacks."""
    if not known.absence:
        return LaneSaid()
    state = absence_words(known.absence)
    why = retold(_why_not(known), REASONS)
    if not why:
        return LaneSaid(state, estimated=True)
    if known.absence == Absence.NOT_CONNECTED.value and not known.begun:
        return LaneSaid(state)  # which is why
    if known.modality not in SOURCES:
        return LaneSaid(state, why_not=why)
    return LaneSaid(
        state, why_not=tr("estimate ended: {why}", why=why) if known.begun else tr("no estimate: {why}", why=why)
    )


def _why_not(known: Known) -> str:
    """Nothing if an estimate stands. What holds now comes before what held in the model's last window: of a sensor that
    was still measured, or not yet connected, then."""
    if known.modality not in SOURCES:
        return f"{known.modality} is never estimated"
    if known.forbidden:
        return known.forbidden
    if not known.answers:
        return NO_ANSWER
    if known.refused == NEVER_CONNECTED:
        return never_measured(known.modality)
    return known.refused or ("" if known.given else NONE_GIVEN)


def given_by(prediction: PredictionRecord | None) -> Collection[str]:
    """The modalities of which a prediction has an estimate; of a pressure numbers and wave come and go together."""
    if prediction is None:
        return frozenset()
    waves = {chunk.modality for chunk in prediction.restored} - {Modality.ABP.value}
    known = {name for name, values in (prediction.pressures or {}).items() if all(map(math.isfinite, values))}
    numbers = {"map", "sbp", "dbp"} <= known
    return waves | {Modality.ABP.value} if numbers else waves
