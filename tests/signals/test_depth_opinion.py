"""Two opinions on depth: neither is chosen, and what makes both wrong is said before all else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.depth_opinion import DepthOpinion, Doubt, depth_opinion

DEPTH = st.none() | st.floats(0, 100)


@pytest.mark.parametrize(
    ("model", "rule", "more", "doubt"),
    [
        (46.0, 52.0, {}, Doubt.NONE),
        (46.0, 61.0, {}, Doubt.NONE),
        (46.0, 61.5, {}, Doubt.DISAGREEMENT),
        (61.5, 46.0, {}, Doubt.DISAGREEMENT),
        (46.0, None, {}, Doubt.UNCONFIRMED),
        (None, 46.0, {}, Doubt.UNCONFIRMED),
        (46.0, 50.0, {"emg_db": 55.0}, Doubt.MUSCLE),
        (46.0, 90.0, {"emg_db": 60.0}, Doubt.MUSCLE),
        (46.0, None, {"emg_db": 60.0}, Doubt.MUSCLE),
        (46.0, 50.0, {"emg_db": 54.0, "bsr": 0.5}, Doubt.NONE),
        (20.0, 3.0, {"bsr": 0.96}, Doubt.ISOELECTRIC),
        (None, None, {"bsr": 1.0}, Doubt.ISOELECTRIC),
    ],
)
def test_what_is_doubtful(model: float | None, rule: float | None, more: dict[str, float], doubt: Doubt) -> None:
    found = depth_opinion(model, rule, **more)
    assert found is not None and found.doubt is doubt
    assert found.uncertain == (doubt not in (Doubt.NONE, Doubt.UNCONFIRMED))
    expected = (None, None) if doubt is Doubt.ISOELECTRIC else (model, rule)
    assert (found.model, found.rule) == expected


def test_without_any_opinion_there_is_nothing_to_say() -> None:
    assert depth_opinion(None, None) is None
    assert depth_opinion(None, None, bsr=0.2, emg_db=70.0) is None


@given(DEPTH, DEPTH, st.none() | st.floats(0, 1), st.none() | st.floats(-40, 90))
def test_never_a_confident_number_where_it_must_not_be(
    model: float | None, rule: float | None, bsr: float | None, emg_db: float | None
) -> None:
    found = depth_opinion(model, rule, bsr=bsr, emg_db=emg_db)
    if found is None or found.doubt is not Doubt.NONE:
        return
    assert model is not None and rule is not None and abs(model - rule) <= 15
    assert (bsr is None or bsr < 0.95) and (emg_db is None or emg_db < 55)
    assert found == DepthOpinion(model, rule, Doubt.NONE)
