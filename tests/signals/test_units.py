"""Units: every spelling in the table, factors that are known from elsewhere, and what must be refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.errors import BadInput
from models.signals.modalities import MODALITIES, Modality
from models.signals.units import canonical_factor, factor, symbol

PRESSURES = ["mmHg", "cmH2O", "Pa", "hPa", "mbar", "kPa", "bar"]


@pytest.mark.parametrize(
    ("unit", "target", "expected"),
    [
        ("kPa", "mmHg", 7.50062),
        ("cmH2O", "mmHg", 0.735559),
        ("mbar", "mmHg", 0.750062),
        ("hPa", "mbar", 1.0),
        ("mV", "uV", 1000.0),
        ("V", "mV", 1000.0),
        ("nV", "uV", 1e-3),
        ("bpm", "Hz", 1 / 60),
        ("%", "1", 0.01),
        ("torr", "mmHg", 1.0),
    ],
)
def test_known_factors(unit: str, target: str, expected: float) -> None:
    assert factor(unit, target) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spelling", ["uV", "UV", " µV ", "μV", "microvolt", "uv,"])
def test_spellings_of_the_microvolt(spelling: str) -> None:
    assert symbol(spelling) == "uV"
    assert canonical_factor(spelling, Modality.EEG) == 1.0
    assert canonical_factor(spelling, Modality.ECG) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("unit", "modality"),
    [("mV", Modality.ABP), ("mmHg", Modality.ECG), ("furlong", Modality.EEG), ("", Modality.ABP), ("%", Modality.ECG)],
)
def test_a_unit_of_another_kind_is_refused_in_one_sentence(unit: str, modality: Modality) -> None:
    with pytest.raises(BadInput, match=r"Expected a unit of .*, found the unit .*; choose") as caught:
        canonical_factor(unit, modality)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", ["", "NU", "au", "%", "mV", "ohm", "l", "mmHg", "what is this"])
def test_arbitrary_scales_are_taken_as_they_are(unit: str) -> None:
    for modality in (Modality.PPG, Modality.RESP):
        assert canonical_factor(unit, modality) == 1.0


@given(st.sampled_from(PRESSURES), st.sampled_from(PRESSURES), st.sampled_from(PRESSURES))
def test_conversions_agree_with_each_other(a: str, b: str, c: str) -> None:
    assert factor(a, b) * factor(b, c) == pytest.approx(factor(a, c), rel=1e-12)
    assert factor(a, b) * factor(b, a) == pytest.approx(1.0, rel=1e-12)


def test_every_canonical_unit_is_known() -> None:
    for modality, info in MODALITIES.items():
        assert canonical_factor(info.unit, modality) == 1.0


@given(st.text(max_size=12))
def test_any_text_is_a_known_unit_or_bad_input(unit: str) -> None:
    try:
        scale = canonical_factor(unit, Modality.ABP)
    except BadInput:
        return
    assert scale > 0
