"""The note on the depth of anaesthesia: both opinions, what is doubtful about them, and that it is not BIS. Pure."""

from __future__ import annotations

from models.signals.depth_opinion import DepthOpinion, Doubt, depth_opinion
from streams.records import PredictionRecord, VitalsRecord
from ui.style.language import tr
from ui.style.words import INVALID, number_words, range_words

DEPTH = "depth (not BIS)"
UNCERTAIN = "UNCERTAIN"
"""In a note: that a number in it is not to be relied on."""


def depth_note(vitals: VitalsRecord, prediction: PredictionRecord | None) -> str:
    """``depth (not BIS) 38–55, openibis 52``, or what is doubtful; "" where nothing is known of a measured EEG."""
    told, opinion = _opinion(vitals, prediction)
    if opinion is None:
        return ""
    said = []
    if opinion.model is not None and told:
        said.append(range_words(*told[1:]))
    if opinion.rule is not None:
        said.append(f"openibis {opinion.rule:.0f}")
    numbers = ", ".join(said) or INVALID
    match opinion.doubt:
        case Doubt.NONE:
            return f"{tr(DEPTH)} {numbers}"
        case Doubt.UNCONFIRMED:
            return f"{tr(DEPTH)} {numbers} ({tr(opinion.doubt.value)})"
        case Doubt.DISAGREEMENT:  # which the numbers say, and the place is narrow
            return f"{tr(DEPTH)} {tr(UNCERTAIN)} {numbers}"
        case _:
            return f"{tr(DEPTH)} {tr(UNCERTAIN)}, {tr(opinion.doubt.value)}: {numbers}"


def depth_number(vitals: VitalsRecord, prediction: PredictionRecord | None) -> str:
    """``46``, the model's depth or else the rule's, for where there is room for a number; ``46?`` where it is not to be
    relied on, ``-?-`` where there is none."""
    _, opinion = _opinion(vitals, prediction)
    if opinion is None:
        return INVALID
    value = opinion.rule if opinion.model is None else opinion.model
    number = number_words(value)
    return f"{number}?" if opinion.uncertain and number != INVALID else number


def _opinion(
    vitals: VitalsRecord, prediction: PredictionRecord | None
) -> tuple[tuple[float, float, float] | None, DepthOpinion | None]:
    told = prediction.depth if prediction is not None else None
    return told, depth_opinion(told[0] if told else None, vitals.openibis, bsr=vitals.bsr, emg_db=vitals.emg_db)
