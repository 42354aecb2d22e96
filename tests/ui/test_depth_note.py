"""The note on depth: two numbers, BIS is none of them, and a doubt is said before the number that it is about."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from models.signals.modalities import Modality
from tests.ui.synthetic import Chapter, Patient
from tests.ui.test_state import at, lane, state_of
from ui.bed.depth_words import UNCERTAIN, depth_note
from ui.bed.readouts import readout


def note(**vitals: float | None) -> str:
    state = state_of(Patient(story=[Chapter(0, 99, vitals=vitals)]), 9.5)
    return readout(state, lane(state, Modality.EEG), at(9.5)).notes[-1]


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        ({"openibis": 52.0}, "depth (not BIS) 38–55, openibis 52"),
        ({"openibis": None}, "depth (not BIS) 38–55 (unconfirmed)"),
        ({"openibis": 71.0}, "depth (not BIS) UNCERTAIN 38–55, openibis 71"),
        ({"openibis": 52.0, "emg_db": 58.0}, "depth (not BIS) UNCERTAIN, muscle: 38–55, openibis 52"),
        ({"openibis": 2.0, "bsr": 0.97}, "depth (not BIS) UNCERTAIN, isoelectric: -?-"),
        ({"openibis": 30.0, "bsr": 0.4}, "depth (not BIS) UNCERTAIN 38–55, openibis 30"),
    ],
)
def test_what_the_readout_says(vitals: dict[str, float | None], words: str) -> None:
    assert note(**vitals) == words


def test_the_rule_stands_alone_where_the_model_says_nothing() -> None:
    patient = Patient()
    state = state_of(patient, 9.5)
    vitals = state.current_vitals(at(9.5))
    assert vitals is not None
    assert depth_note(vitals, None) == "depth (not BIS) openibis 50 (unconfirmed)"
    assert depth_note(replace(vitals, openibis=None), None) == ""


def test_the_doubt_comes_before_the_number() -> None:
    """A note that is too long for its place is cut at the end."""
    said = note(openibis=71.0)
    assert said.index(UNCERTAIN) < said.index("38")


def test_no_alarm_comes_of_a_doubt() -> None:
    state = state_of(Patient(story=[Chapter(0, 99, vitals={"openibis": 99.0})]), 9.5)
    assert not state.alarms.standing
