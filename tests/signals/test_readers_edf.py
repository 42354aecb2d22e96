"""The EDF reader: EDF, EDF+C, EDF+D with its gaps, BDF; annotations; damage of every kind."""

from __future__ import annotations

import warnings
from pathlib import Path

import edfio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.readers import edf
from models.signals.readers.edf import EdfRecording
from models.signals.recording import TrackKind
from tests.signals.recording_files import write_edf

SECONDS = 12


def ramp(rate: float) -> np.ndarray:
    return np.arange(round(SECONDS * rate), dtype=np.float64)


def signals() -> dict[str, tuple[float, str, np.ndarray]]:
    return {
        "EEG Fpz-Cz": (100.0, "uV", ramp(100)),
        "ECG": (250.0, "mV", -ramp(250)),
        "SaO2": (1.0, "%", 90 + ramp(1)),
    }


def whole(recording: EdfRecording, track: str) -> np.ndarray:
    about = next(t for t in recording.tracks if t.name == track)
    segment = recording.read(track, about.start_s, about.end_s)
    assert segment.first_index == 0
    assert len(segment.values) == about.samples
    return segment.values


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
@pytest.mark.parametrize("annotated", [False, True])
def test_continuous(tmp_path: Path, suffix: str, annotated: bool) -> None:
    notes = [(2.5, "sleep stage W"), (11.0, "arousal")] if annotated else None
    recording = EdfRecording(write_edf(tmp_path / f"x{suffix}", signals(), annotations=notes))
    np.testing.assert_array_equal(whole(recording, "EEG Fpz-Cz"), ramp(100))
    np.testing.assert_array_equal(whole(recording, "ECG"), -ramp(250))
    assert [(t.kind, t.rate_hz) for t in recording.tracks] == [
        (TrackKind.WAVE, 100.0),
        (TrackKind.WAVE, 250.0),
        (TrackKind.NUMERIC, None),
    ]
    times, values = recording.numerics("SaO2")
    np.testing.assert_array_equal(times, np.arange(SECONDS))
    np.testing.assert_array_equal(values, 90 + times)
    assert recording.events() == (notes or [])
    assert recording.duration_s == SECONDS
    with pytest.raises(KeyError):
        recording.read("SaO2", 0, 1)
    with pytest.raises(KeyError):
        recording.numerics("ECG")


ONSETS = [0, 1, 2, 5, 6, 7.5, 8.5, 9.5, 100.25, 101.25, 102.25, 103.25]


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_discontinuous_keeps_its_gaps(tmp_path: Path, suffix: str) -> None:
    notes = [(0.5, "a text")]
    recording = EdfRecording(write_edf(tmp_path / f"d{suffix}", signals(), annotations=notes, onsets=ONSETS))
    assert recording.duration_s == 104.25
    for name, rate, sign in (("EEG Fpz-Cz", 100, 1), ("ECG", 250, -1)):
        values = whole(recording, name)
        expected = np.full(len(values), np.nan)
        for number, onset in enumerate(ONSETS):
            first = round(onset * rate)
            expected[first : first + rate] = sign * np.arange(number * rate, (number + 1) * rate)
        np.testing.assert_array_equal(values, expected)
        about = next(t for t in recording.tracks if t.name == name)
        np.testing.assert_allclose(about.gaps_s, [(3, 5), (7, 7.5), (10.5, 100.25)], atol=0.5 / rate)
    assert recording.events() == [(0.5, notes[0][1])]
    channels = map_channels(recording)
    assert channels.gaps_s(Modality.ECG)[0] == (3.0, 5.0)


def test_a_first_record_that_begins_late(tmp_path: Path) -> None:
    onsets = [0.4 + k for k in range(SECONDS)]
    recording = EdfRecording(write_edf(tmp_path / "d.edf", signals(), onsets=onsets))
    assert recording.tracks[0].start_s == pytest.approx(0.4)
    channels = map_channels(recording)
    assert channels.zero_s == pytest.approx(0.4)
    assert channels.read(Modality.ECG, 0, 10**9).values[1] == -1


def test_discontinuous_without_start_times_is_refused(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "d.edf", signals())
    raw = bytearray(path.read_bytes())
    raw[192:197] = b"EDF+D"
    path.write_bytes(bytes(raw))
    with pytest.raises(BadInput, match="a start time for each record of a discontinuous file"):
        EdfRecording(path)


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_reads_cross_blocks(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edf, "BLOCK_BYTES", 2200)
    notes = [(1.0, "first"), (7.25, "second"), (11.5, "third")]
    recording = EdfRecording(write_edf(tmp_path / f"x{suffix}", signals(), annotations=notes))
    assert recording._layout.block_records < 4
    for begin, end in [(0, 10), (240, 260), (700, 800), (1, 2999), (2990, 3000)]:
        np.testing.assert_array_equal(recording.read("ECG", begin / 250, end / 250).values, -ramp(250)[begin:end])
    assert recording.events() == notes
    assert len(recording._cache) <= edf.CACHED_BLOCKS


def test_micro_sign_and_repeated_labels(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "x.edf", {"EEG": (100.0, "uV", ramp(100)), "EEX": (100.0, "uV", ramp(100) + 1)})
    path.write_bytes(path.read_bytes().replace(b"EEX", b"EEG").replace(b"uV ", "µV ".encode("latin-1")))
    recording = EdfRecording(path)
    assert [(t.name, t.unit) for t in recording.tracks] == [("EEG", "µV"), ("EEG #2", "µV")]
    channels = map_channels(recording)
    assert channels.read(Modality.EEG, 0, 10**9).values[5] == 5


def test_a_signal_without_calibration_is_no_number(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "x.edf", {"ECG": (250.0, "mV", ramp(250)), "EEG": (100.0, "uV", ramp(100))})
    raw = bytearray(path.read_bytes())
    at = 256 + 2 * (16 + 80 + 8)  # physical minimum and maximum, of each signal
    raw[at : at + 8] = raw[at + 16 : at + 24]
    path.write_bytes(bytes(raw))
    recording = EdfRecording(path)
    assert np.isnan(whole(recording, "ECG")).all()
    assert "limits" in recording.notes[0]
    channels = map_channels(recording)
    assert list(channels.channels) == [Modality.EEG]
    assert channels.unusable == (("ECG", "it holds no valid sample"),)


def test_a_file_still_being_written_counts_whole_records(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "x.edf", signals())
    raw = bytearray(path.read_bytes())
    raw[236:244] = b"-1      "
    path.write_bytes(bytes(raw) + b"half a record")
    np.testing.assert_array_equal(whole(EdfRecording(path), "ECG"), -ramp(250))


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
@pytest.mark.parametrize("keep", [1, 7, 200, 300, 1000, 1500, -700, -1])
def test_truncated(tmp_path: Path, suffix: str, keep: int) -> None:
    path = write_edf(tmp_path / f"x{suffix}", signals(), annotations=[])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"x\.[eb]df"):
        EdfRecording(path)


@pytest.mark.parametrize(
    ("at", "text", "message"),
    [
        (0, b"1       ", "an EDF or BDF file"),
        (252, b"0   ", "1 to 2048 signals"),
        (252, b"abcd", "number of signals"),
        (236, b"99999999", "99999999 data records"),
        (236, b"0       ", "0 data records"),
        (244, b"0       ", "rates above 0"),
        (244, b"nan     ", "duration of a record"),
        (184, b"99      ", "a header of"),
        (256 + 216 * 3, b"0       ", "1 sample or more"),
        (256 + 216 * 3, b"-5      ", "1 sample or more"),
        (256 + 216 * 3, b"99999999", "found 1e.08 Hz"),
        (256 + 216 * 3, b"5000    ", "data records of"),
    ],
)
def test_damaged_headers(tmp_path: Path, at: int, text: bytes, message: str) -> None:
    path = write_edf(tmp_path / "x.edf", signals())
    raw = bytearray(path.read_bytes())
    raw[at : at + len(text)] = text
    path.write_bytes(bytes(raw))
    with pytest.raises(BadInput, match=message) as caught:
        EdfRecording(path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("small")
    parts = {"ECG": (50.0, "mV", np.arange(300.0)), "EEG": (100.0, "uV", np.arange(600.0))}
    notes = [(0.5, "some text")]
    return {
        suffix: write_edf(folder / f"s{suffix}", parts, annotations=notes, onsets=[0, 1, 2, 4, 5, 6]).read_bytes()
        for suffix in (".edf", ".bdf")
    }


@given(st.data())
@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_give_bad_input_or_a_valid_read(tmp_path: Path, small_files: dict[str, bytes], data) -> None:
    suffix = data.draw(st.sampled_from([".edf", ".bdf"]))
    raw = bytearray(small_files[suffix])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1) | st.integers(184, 1023))
        raw[place] = data.draw(st.integers(0, 255) | st.sampled_from(list(b"0123456789+-. \x14")))
    path = tmp_path / f"f{suffix}"
    path.write_bytes(bytes(raw))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            recording = EdfRecording(path)
            channels = map_channels(recording)
            for modality, channel in channels.channels.items():
                channels.read(modality, channel.origin_ns, channel.origin_ns + 10**9)
            recording.events()
        except BadInput as error:
            assert "\n" not in str(error)


def test_agrees_with_edfio_on_real_calibration(tmp_path: Path) -> None:
    wave = 1.5 * np.sin(np.arange(2500) / 7)
    path = tmp_path / "x.edf"
    edfio.Edf([edfio.EdfSignal(wave, 250, label="ECG", physical_dimension="mV")]).write(path)
    np.testing.assert_allclose(whole(EdfRecording(path), "ECG"), edfio.read_edf(path).signals[0].data, rtol=1e-6)
