"""Two opinions on the depth of anaesthesia, the model's and a published rule's: how far a number may be trusted.

Neither is BIS, and neither has been shown to be right of a given patient; what they share is the EEG. So agreement is
no proof, but disagreement is a warning, and the screen says it beside both numbers instead of choosing one. It is no
alarm. What makes both wrong at once is said before all else:

* an EEG in which nothing is left, 95 % suppressed: isoelectric, or an electrode that hears nothing. No number at all;
* muscle, from 55 dB on, where BIS monitors have a full bar: fast power that is not the brain's. The rule would take it
  for waking, and is not shown such seconds (:mod:`streams.vitals.monitor`).

An EEG that is artefact has no opinion in the first place (:mod:`models.signals.eeg_artefacts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MOST_DIFFERENCE = 15.0
ISOELECTRIC_BSR = 0.95
MUSCLE_DB = 55.0


class Doubt(Enum):
    """Why a depth is not to be relied on, in words; NONE where both opinions are there and agree."""

    NONE = ""
    UNCONFIRMED = "unconfirmed"
    DISAGREEMENT = "disagreement"
    MUSCLE = "muscle"
    ISOELECTRIC = "isoelectric"


@dataclass(frozen=True, slots=True)
class DepthOpinion:
    """model, rule: depth 0–100 by each, None where it may not be shown. doubt: what to make of them."""

    model: float | None
    rule: float | None
    doubt: Doubt

    @property
    def uncertain(self) -> bool:
        """Whether the numbers are marked."""
        return self.doubt in (Doubt.DISAGREEMENT, Doubt.MUSCLE, Doubt.ISOELECTRIC)


def depth_opinion(
    model: float | None, rule: float | None, *, bsr: float | None = None, emg_db: float | None = None
) -> DepthOpinion | None:
    """What to make of a depth by the model and by openibis, at the same moment of the same measured EEG.

    bsr: share of suppression, 0–1; emg_db: power of muscle in dB above 0.0001 µV². None for each that is unknown; None
    where there is no opinion, and nothing to be said against one.
    """
    if bsr is not None and bsr >= ISOELECTRIC_BSR:
        return DepthOpinion(None, None, Doubt.ISOELECTRIC)
    if model is None and rule is None:
        return None
    if emg_db is not None and emg_db >= MUSCLE_DB:
        return DepthOpinion(model, rule, Doubt.MUSCLE)
    if model is None or rule is None:
        return DepthOpinion(model, rule, Doubt.UNCONFIRMED)
    return DepthOpinion(model, rule, Doubt.DISAGREEMENT if abs(model - rule) > MOST_DIFFERENCE else Doubt.NONE)
