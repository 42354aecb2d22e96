"""Which of a recording's numerics is the monitor's own."""

from __future__ import annotations

import pytest

from benchmarks.numerics import REFERENCES, WAVE_OF, reference_track

INTELLIVUE = ["EV1000/HR", "EV1000/ART_MBP", "Intellivue/HR", "Intellivue/ABP_MEAN", "Intellivue/ECG_HR", "Pump/HR"]
VITALDB = ["CardioQ/HR", "Solar8000/HR", "Solar8000/ART_MBP", "Solar8000/PLETH_HR", "EV1000/ART_MBP"]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("numerics", "field", "wave", "expected"),
    [
        (INTELLIVUE, "hr", "Intellivue/ECG_II", "Intellivue/HR"),
        (INTELLIVUE, "abp_map", "Intellivue/ABP", "Intellivue/ABP_MEAN"),
        (INTELLIVUE, "hr", "", "Intellivue/HR"),
        (["EV1000/HR"], "hr", "Intellivue/ECG_II", "EV1000/HR"),
        (VITALDB, "hr", "SNUADC/ECG_II", "Solar8000/HR"),
        (VITALDB, "abp_map", "SNUADC/ART", "Solar8000/ART_MBP"),
        (["HR", "PULSE"], "hr", "II", "HR"),
        (["X/BIS"], "hr", "X/ECG", None),
    ],
)
def test_the_monitors_own_numeric(numerics: list[str], field: str, wave: str, expected: str, order: int) -> None:
    assert reference_track(numerics[::order], REFERENCES[field][0], wave) == expected


def test_every_reference_has_its_wave() -> None:
    assert WAVE_OF.keys() == REFERENCES.keys()
