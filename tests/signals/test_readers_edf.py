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
from models.signals.inspection import inspect
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
@pytest.mark.parametrize("keep", [1, 7, 200, 300, 1000, 1500])
def test_a_file_cut_before_its_first_record_is_refused(tmp_path: Path, suffix: str, keep: int) -> None:
    path = write_edf(tmp_path / f"x{suffix}", signals(), annotations=[])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"x\.[eb]df"):
        EdfRecording(path)


def with_header(path: Path, *fields: tuple[int, bytes]) -> Path:
    """The file with some bytes of its header replaced."""
    raw = bytearray(path.read_bytes())
    for at, field in fields:
        raw[at : at + len(field)] = field
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize(
    ("counted", "cut", "records", "words"),
    [
        (b"12", 1, 11, "counts 12 data records, the file holds 11 and a part of one: 11 were read"),
        (b"20", 0, 12, "counts 20 data records, the file holds 12: 12 were read"),
        (b"8 ", 0, 12, "counts 8 data records, the file holds 12: 12 were read"),
        (b"0 ", 0, 12, "counts 0 data records, the file holds 12: 12 were read"),
        (b"99999999", 700, 11, "the file holds 11 and a part of one"),
        (b"-1", 5, 11, "still being written: 11 data records and a part of one"),
        (b"ab", 0, 12, "no number of data records"),
    ],
)
def test_what_a_crashed_recorder_leaves(
    tmp_path: Path, suffix: str, annotated: bool, counted: bytes, cut: int, records: int, words: str
) -> None:
    """The whole records are read and a note says so; edfio and MNE read as many."""
    path = write_edf(tmp_path / f"x{suffix}", signals(), annotations=[(2.5, "W")] if annotated else None)
    with_header(path, (236, counted.ljust(8)))
    path.write_bytes(path.read_bytes()[: -cut or None])
    recording = EdfRecording(path)
    np.testing.assert_array_equal(whole(recording, "ECG"), -ramp(250)[: records * 250])
    np.testing.assert_array_equal(whole(recording, "EEG Fpz-Cz"), ramp(100)[: records * 100])
    assert recording.duration_s == records
    assert len(recording.notes) == 1
    assert words in recording.notes[0]
    assert recording.events() == ([(2.5, "W")] if annotated else [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = edfio.read_bdf if suffix == ".bdf" else edfio.read_edf
        try:
            reference = theirs(path).signals[1].data
        except ValueError:
            return  # a count that is no number, or BDF of another size: not read there
    np.testing.assert_array_equal(whole(recording, "ECG")[: len(reference)], reference[: records * 250])


def test_records_that_were_never_written_are_no_zeros(tmp_path: Path) -> None:
    """A file system may leave zeros behind a crash; a pressure of 0 would be a patient without one."""
    path = write_edf(tmp_path / "x.edf", signals())
    with_header(path, (236, b"-1      "))
    record = 2 * (100 + 250 + 1)
    path.write_bytes(path.read_bytes() + bytes(5 * record + 17))
    recording = EdfRecording(path)
    np.testing.assert_array_equal(whole(recording, "ECG"), -ramp(250))
    assert "the last 5 never written" in recording.notes[0]


def test_a_record_length_that_does_not_fit_is_damage_not_a_crash(tmp_path: Path) -> None:
    """Records with start times of their own show whether they lie where the header says."""
    path = write_edf(tmp_path / "x.edf", signals(), annotations=[(1.0, "x")])
    with_header(path, (256 + 216 * 4, b"60      "))  # samples of the first signal in a record: 100 before
    with pytest.raises(BadInput, match="records of another form"):
        EdfRecording(path)


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_sloppy_headers_are_read_as_meant(tmp_path: Path, suffix: str) -> None:
    path = write_edf(tmp_path / f"x{suffix}", signals())
    raw = path.read_bytes()
    low = b"-8388608" if suffix == ".bdf" else b"-32768"
    limits = 256 + 3 * 104
    sloppy = {
        "zero bytes for spaces": [(244, b"1\0\0\0\0\0\0\0"), (80, bytes(10))],
        "decimal commas": [(limits, (low[:6] + b",0")[:8].ljust(8)), (244, b"1,0     ")],
        "no date": [(168, b"31.02.99"), (176, b"99.99.99")],
        "a whole number with a point": [(limits + 6 * 8, (low if len(low) == 8 else low + b".0").ljust(8))],
    }
    if suffix == ".edf":
        sloppy["zero bytes for spaces"].append((0, b"0\0\0\0\0\0\0\0"))
    for words, fields in sloppy.items():
        if suffix == ".bdf" and words == "decimal commas":
            fields = fields[1:]
        path.write_bytes(raw)
        recording = EdfRecording(with_header(path, *fields))
        np.testing.assert_array_equal(whole(recording, "ECG"), -ramp(250), err_msg=words)
        assert (words in recording.notes[0]) if recording.notes else words.split()[0] in ("no", "a")


def test_signals_without_samples_and_files_without_signals(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "x.edf", signals(), annotations=[])
    raw = path.read_bytes()
    head, data = bytearray(raw[: 256 * 5]), raw[256 * 5 :]
    per_record = [int(head[256 + 216 * 4 + 8 * i : 256 + 216 * 4 + 8 * i + 8]) for i in range(4)]
    # No annotations at all in the place where they belong, as some writers have it.
    head[256 + 216 * 4 + 24 : 256 + 216 * 4 + 32] = b"0       "
    size = 2 * sum(per_record)
    records = [data[i : i + size - 2 * per_record[3]] for i in range(0, len(data), size)]
    path.write_bytes(bytes(head) + b"".join(records))
    recording = EdfRecording(path)
    np.testing.assert_array_equal(whole(recording, "ECG"), -ramp(250))
    assert "1 of 4 signals without samples" in recording.notes[0]
    # Annotations alone: what happened is known, nothing can be shown.
    edfio.Edf([], annotations=[edfio.EdfAnnotation(1.5, None, "lights off")]).write(path)
    recording = EdfRecording(path)
    assert recording.tracks == ()
    assert recording.events() == [(1.5, "lights off")]
    assert inspect(str(path)).problem.endswith("found no wave track; choose another recording.")
    # No signal at all.
    path.write_bytes(raw[:184] + b"256     " + raw[192:236] + b"0       1       0   ")
    assert (EdfRecording(path).tracks, EdfRecording(path).duration_s) == ((), 0.0)


@pytest.mark.parametrize("micro", ["µV", "μV"])
def test_units_in_utf_8(tmp_path: Path, micro: str) -> None:
    path = write_edf(tmp_path / "x.edf", {"EEG": (100.0, "uV", ramp(100))})
    path.write_bytes(path.read_bytes().replace(b"uV  ", micro.encode() + b" "))
    recording = EdfRecording(path)
    assert recording.tracks[0].unit == micro
    assert map_channels(recording).read(Modality.EEG, 0, 10**9).values[5] == 5


def test_absurd_limits_warn_nobody(tmp_path: Path) -> None:
    """Limits of 1e38 overflow; the values are unknown then, and numpy says nothing about it."""
    path = write_edf(tmp_path / "x.edf", {"ECG": (250.0, "V", ramp(250)), "EEG": (100.0, "uV", ramp(100))})
    limits = 256 + 2 * 104
    for low, high in ((b"-9e99", b"9e99"), (b"-3e38", b"3e38"), (b"1e-320", b"2e-320"), (b"nan", b"inf")):
        with_header(path, (limits, low.ljust(8)), (limits + 16, high.ljust(8)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            channels = map_channels(EdfRecording(path), {"ECG": "none"})
            channels = map_channels(EdfRecording(path))
            for modality, channel in channels.channels.items():
                values = channels.read(modality, channel.origin_ns, 10**10).values
                assert not np.isinf(values).any()


@pytest.mark.parametrize(
    ("at", "text", "message"),
    [
        (0, b"1       ", "an EDF or BDF file"),
        (252, b"-1  ", "0 to 2048 signals"),
        (252, b"abcd", "number of signals"),
        (244, b"0       ", "rates above 0"),
        (244, b"nan     ", "duration of a record"),
        (184, b"99      ", "a header of"),
        (256 + 216 * 3, b"-5      ", "0 samples or more"),
        (256 + 216 * 3, b"99999999", "found 1e.08 Hz"),
        (256 + 216 * 3, b"5000    ", "with data records"),
    ],
)
def test_damaged_headers(tmp_path: Path, at: int, text: bytes, message: str) -> None:
    path = with_header(write_edf(tmp_path / "x.edf", signals()), (at, text))
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
