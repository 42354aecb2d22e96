"""Names as monitors write them, what a file itself says its tracks are, and guesses at what nobody named."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from models.data.simulator import open_demo
from models.signals.aliases import candidates, modality_named
from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.guesses import guess
from models.signals.inspection import inspect
from models.signals.modalities import MODALITIES, Modality
from models.signals.readers.vital import MONTYPES, VitalRecording
from models.signals.recording import OTHER_SIGNAL
from tests.signals.recording_files import VitalWave, write_vital, write_wfdb

A, P, E, R = Modality.ABP, Modality.PPG, Modality.ECG, Modality.RESP


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        *((name, A) for name in ("IBP1", "IBP-1", "IBP 1", "P1", "INVP1", "InvP1", "INVP-1", "IABP", "IBP")),
        *((name, A) for name in ("IABP_WAV", "Dev/P1", "P1 wave", "IBP1_WAVE", "Arterial Pressure", "ART-1", "INVBP1")),
        *((name, P) for name in ("SpO2 wave", "SPO2_WAVE", "SpO2-Wave", "SpO2 Waveform", "PlethWV", "Plet", "PLETH1")),
        *((name, P) for name in ("SpO2 Pleth", "spo2pleth", "PlethWave", "Pleth wave", "Pulse wave", "SPO2_PLETH")),
        *((name, E) for name in ("ECG II", "ECG-II", "ECGII", "EKG-II", "ECG lead II", "ECG Wave", "M/ECG 1")),
        *((name, R) for name in ("RESP wave", "RespWV", "Resp.")),
        *((name, Modality.CVP) for name in ("CVP", "CVP1", "IBP CVP", "CVP_WAV1", "D/CVP wave", "P-CVP")),
        *((name, Modality.PAP) for name in ("PAP", "PAP_WAVE", "P_PAP", "Pulmonary artery pressure")),
        *((name, Modality.ICP) for name in ("ICP", "ICP1", "ICP wave", "Intracranial pressure")),
        *((name, Modality.CO2) for name in ("CO2 wave", "CO2", "Capnogram", "D/CO2_WAV", "AWCO2")),
        *((name, Modality.AWP) for name in ("AWP", "Paw", "Airway pressure", "PAW_WAVE")),
    ],
)  # fmt: skip
def test_names_of_monitors(name: str, modality: Modality) -> None:
    assert [m for m in MODALITIES if candidates(m, [name])] == [modality]


@pytest.mark.parametrize(
    "name",
    ["SpO2", "SaO2", "SPO2 %", "P2", "IBP2", "INVP2", "NIBP", "LAP", "HR", "PR", "Temp1", "P", "BIS"],
)  # fmt: skip
def test_names_that_are_something_else_or_could_be(name: str) -> None:
    """A second line is as often venous as arterial; a saturation is a number, whatever rate it is stored at."""
    assert not [m for m in MODALITIES if candidates(m, [name])]


def test_a_named_line_goes_before_a_numbered_one() -> None:
    assert candidates(A, ["IBP1", "ART"]) == ["ART", "IBP1"]
    assert candidates(A, ["P-1", "P1"]) == ["P1", "P-1"]
    assert candidates(E, ["ECGII", "ECG_II"]) == ["ECG_II", "ECGII"]


def test_an_electrode_is_no_pressure(tmp_path: Path) -> None:
    """P1 is a place on the scalp too: the unit tells."""
    path = write_wfdb(tmp_path, "r", 250, {"P1": ("uV", np.arange(1000.0)), "II": ("mV", np.arange(1000.0))})
    assert list(inspect(str(path)).taken) == [E]


# What the file says -------------------------------------------------------------------------------------------------


def with_montypes(path: Path, kinds: dict[str, int]) -> Path:
    """The ``.vital`` file with the montype of some tracks set (the byte after the offset in a track packet)."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    at = 10 + struct.unpack_from("<H", raw, 8)[0]
    while at < len(raw):
        kind, length = struct.unpack_from("<BI", raw, at)
        if kind == 0:
            name_length = struct.unpack_from("<I", raw, at + 9)[0]
            name = raw[at + 13 : at + 13 + name_length].decode()
            unit_at = at + 13 + name_length
            place = unit_at + 4 + struct.unpack_from("<I", raw, unit_at)[0] + 12 + 4 + 8 + 8
            raw[place] = kinds.get(name, raw[place])
        at += 5 + length
    path.write_bytes(gzip.compress(bytes(raw)))
    return path


def waves(*tracks: tuple[str, str]) -> dict[str, VitalWave]:
    return {f"D/{name}": VitalWave(100, unit, [(0.0, np.arange(500.0))]) for name, unit in tracks}


def taken(path: Path) -> dict[Modality, str]:
    return {m: c.track for m, c in map_channels(VitalRecording(path)).channels.items()}


def test_what_the_file_says_goes_before_names(tmp_path: Path) -> None:
    path = write_vital(
        tmp_path / "x.vital", waves(("X1", "mV"), ("X2", "mmHg"), ("X3", ""), ("X4", "uV"), ("ABP", "mmHg"))
    )
    assert taken(path) == {A: "D/ABP"}
    with_montypes(path, {"X1": 1, "X2": 4, "X3": 8, "X4": 28})
    assert taken(path) == {E: "D/X1", A: "D/X2", P: "D/X3", Modality.EEG: "D/X4"}


def test_a_venous_pressure_is_no_arterial_one_whatever_it_is_called(tmp_path: Path) -> None:
    path = with_montypes(write_vital(tmp_path / "x.vital", waves(("P1", "mmHg"), ("IBP1", "mmHg"))), {"P1": 20})
    assert taken(path) == {A: "D/IBP1", Modality.CVP: "D/P1"}
    with_montypes(path, {"P1": 92})
    assert taken(path) == {A: "D/IBP1"}
    assert next(t for t in VitalRecording(path).tracks if t.name == "D/P1").declared == OTHER_SIGNAL


def test_among_tracks_that_the_file_declares_the_name_decides(tmp_path: Path) -> None:
    path = write_vital(tmp_path / "x.vital", waves(("CO2", "mmHg"), ("RESP", "ohm"), ("V", "mV"), ("II", "mV")))
    with_montypes(path, {"CO2": 13, "RESP": 11, "V": 1, "II": 1})
    assert taken(path) == {R: "D/RESP", E: "D/II", Modality.CO2: "D/CO2"}


def test_a_kind_that_waves_do_not_have_says_nothing(tmp_path: Path) -> None:
    path = with_montypes(write_vital(tmp_path / "x.vital", waves(("ART", "mmHg"))), {"ART": 5})
    assert taken(path) == {A: "D/ART"}
    assert set(MONTYPES.values()) == {*Modality, OTHER_SIGNAL}


# Guesses ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unnamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulator's patient under names that say nothing."""
    demo = map_channels(open_demo("demo:seed=3,duration=60"))
    units = {E: "mV", A: "mmHg", P: "", Modality.EEG: "uV", R: ""}
    tracks = {}
    for number, (modality, channel) in enumerate(demo.channels.items(), start=1):
        values = demo.read(modality, 0, 60 * 10**9).values
        tracks[f"D/CH{number}"] = VitalWave(channel.rate_hz, units[modality], [(0.0, values)])
    rng = np.random.default_rng(0)
    tracks["D/NOISE"] = VitalWave(100, "", [(0.0, rng.normal(size=6000))])
    tracks["D/FLAT"] = VitalWave(100, "mmHg", [(0.0, np.full(6000, 8.0))])
    time = np.arange(6000) / 100
    tracks["D/VEIN"] = VitalWave(100, "mmHg", [(0.0, 8 + 2 * np.sin(2 * np.pi * 1.2 * time))])
    return write_vital(tmp_path_factory.mktemp("unnamed") / "x.vital", tracks)


def test_guesses_by_unit_rate_and_shape(unnamed: Path) -> None:
    recording = VitalRecording(unnamed)
    found = {t.name: guess(recording, t) for t in recording.tracks}
    demo = list(map_channels(open_demo("demo:seed=3,duration=60")).channels)
    for number, modality in enumerate(demo, start=1):
        one = found[f"D/CH{number}"]
        assert one is not None, modality
        assert one.modality == modality
    for name in ("D/NOISE", "D/FLAT", "D/VEIN"):
        assert found[name] is None, name


def test_a_guess_is_offered_and_never_taken(unnamed: Path) -> None:
    found = inspect(str(unnamed))
    assert found.taken == {}
    assert "looks like ECG (mV" in found.problem
    assert "a guess" in found.problem
    offered = {t.guess.modality for t in found.tracks if t.guess is not None}
    assert {E, A, P} <= offered
    with pytest.raises(BadInput, match=r"did you mean 'D/CH1'.*looks like ECG .*a guess"):
        map_channels(VitalRecording(unnamed), {"ECG": "CH11"})


def test_no_guess_for_what_is_taken(unnamed: Path) -> None:
    found = inspect(str(unnamed), {"ECG": "CH1"})
    assert E not in {t.guess.modality for t in found.tracks if t.guess is not None}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("EKG", "ECG"), ("pleth", "PPG"), ("EGC", "ECG"), ("IBP", "ABP"), ("etCO2", "CO2"), ("Paw", "AWP")],
)
def test_a_modality_written_otherwise(wrong: str, right: str) -> None:
    with pytest.raises(BadInput, match=f"did you mean .*{right}"):
        modality_named(wrong)
