"""Aliases: the names of the archives go where they belong, in the right order, and users' names are understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.aliases import alias_tables, candidates, find_track, modality_named, parse_overrides
from models.signals.errors import BadInput
from models.signals.modalities import MODALITIES, Modality
from models.signals.units import canonical_factor

VITALDB = ["SNUADC/ART", "SNUADC/ECG_V5", "SNUADC/ECG_II", "SNUADC/PLETH", "SNUADC/CVP", "SNUADC/FEM",
           "BIS/EEG1_WAV", "BIS/EEG2_WAV", "Primus/AWP", "Primus/CO2"]  # fmt: skip
VITAL_RECORDER = ["Intellivue/ECG_II", "Intellivue/ABP", "Intellivue/PLETH", "Intellivue/RESP", "Intellivue/CVP",
                  "VSCapture/AWP", "VSCapture/FLOW"]  # fmt: skip
MIMIC = ["V", "II", "ABP", "PLETH", "RESP", "PAP", "CVP"]
BIDMC = ["RESP,", "PLETH,", "V,", "AVR,", "II,"]
POLYSOMNOGRAPHIC = ["ECG", "BP", "EEG (C4-A1)", "Resp (nasal)", "Resp (abdominal)", "EOG (right)", "EMG"]
SLEEP_EDF = ["EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal"]


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        (
            VITALDB,
            [
                "SNUADC/ECG_II",
                "SNUADC/ART",
                "SNUADC/PLETH",
                "BIS/EEG1_WAV",
                None,
                "SNUADC/CVP",
                None,
                None,
                "Primus/CO2",
                "Primus/AWP",
            ],
        ),
        (
            VITAL_RECORDER,
            [
                "Intellivue/ECG_II",
                "Intellivue/ABP",
                "Intellivue/PLETH",
                None,
                "Intellivue/RESP",
                "Intellivue/CVP",
                None,
                None,
                None,
                "VSCapture/AWP",
            ],
        ),
        (MIMIC, ["II", "ABP", "PLETH", None, "RESP", "CVP", "PAP"]),
        (BIDMC, ["II,", None, "PLETH,", None, "RESP,"]),
        (POLYSOMNOGRAPHIC, ["ECG", "BP", None, "EEG (C4-A1)", "Resp (nasal)"]),
        (SLEEP_EDF, [None, None, None, "EEG Fpz-Cz", None]),
        (["MCL1", "ART", "Pleth"], ["MCL1", "ART", "Pleth", None, None]),
        (["Bx50/ECG1", "Bx50/ART"], ["Bx50/ECG1", "Bx50/ART", None, None, None]),
    ],
)
def test_preferred_track(tracks: list[str], expected: list[str | None]) -> None:
    found = [(candidates(modality, tracks) or [None])[0] for modality in MODALITIES]
    assert found == expected + [None] * (len(MODALITIES) - len(expected))


def test_order_of_preference_falls_back() -> None:
    assert candidates(Modality.ABP, VITALDB) == ["SNUADC/ART", "SNUADC/FEM"]
    assert candidates(Modality.ECG, VITALDB) == ["SNUADC/ECG_II", "SNUADC/ECG_V5"]


@pytest.mark.parametrize("name", ["EMG", "EOG (right)", "FLOW", "SpO2", "PAWP", "CPAP", "CPP", "EtCO2", "FiCO2"])
def test_other_signals_are_left_alone(name: str) -> None:
    assert not [modality for modality in MODALITIES if candidates(modality, [name])]


def test_the_table_is_sound() -> None:
    seen: dict[str, Modality] = {}
    for modality, table in alias_tables().items():
        assert canonical_factor(table.assumed_unit, modality) == 1.0  # what is assumed is the canonical unit
        assert len(set(table.names)) == len(table.names), f"{modality} lists a name twice"
        for name in table.names:
            assert name not in seen, f"{name!r} is in {seen.get(name)} and {modality}"
            seen[name] = modality


def test_find_track_full_name_part_and_case() -> None:
    assert find_track("SNUADC/ART", VITALDB) == "SNUADC/ART"
    assert find_track("snuadc/art", VITALDB) == "SNUADC/ART"
    assert find_track("Ecg_ii", VITALDB) == "SNUADC/ECG_II"
    assert find_track("II", BIDMC) == "II,"
    assert find_track("a", ["a", "A"]) == "a"


def test_unknown_track_lists_the_known_and_the_near() -> None:
    with pytest.raises(BadInput) as caught:
        find_track("ECG_I", VITALDB)
    text = str(caught.value)
    assert all(name in text for name in VITALDB)
    assert "did you mean 'SNUADC/ECG_II'" in text
    assert "\n" not in text


def test_ambiguous_name_is_refused() -> None:
    with pytest.raises(BadInput, match="'A/ART' and 'B/ART'; give the full name"):
        find_track("ART", ["A/ART", "B/ART"])


def test_a_long_list_is_cut() -> None:
    with pytest.raises(BadInput, match="and 80 more"):
        find_track("zzz", [f"T{i}" for i in range(100)])


def test_overrides() -> None:
    assert parse_overrides(["ECG=II,abp = ART", "PPG=none"]) == {"ECG": "II", "ABP": "ART", "PPG": "none"}
    assert parse_overrides([]) == {}
    assert parse_overrides(["EEG=EEG (C4-A1)"]) == {"EEG": "EEG (C4-A1)"}


@pytest.mark.parametrize("text", ["ECG", "=II", "ECG=", "EKGG=II", "ECG=II,ECG=V"])
def test_bad_overrides(text: str) -> None:
    with pytest.raises(BadInput):
        parse_overrides([text])


def test_unknown_modality() -> None:
    assert modality_named(" ecg ") is Modality.ECG
    with pytest.raises(BadInput, match="ECG, ABP, PPG, EEG, RESP, CVP, PAP, ICP, CO2, AWP"):
        modality_named("LAP")


@given(st.text(max_size=20), st.lists(st.text(max_size=12), max_size=8, unique=True))
def test_any_name_is_found_or_bad_input(wanted: str, tracks: list[str]) -> None:
    try:
        assert find_track(wanted, tracks) in tracks
    except BadInput as error:
        assert wanted not in tracks
        assert str(error)
    for modality in MODALITIES:
        assert set(candidates(modality, tracks)) <= set(tracks)
