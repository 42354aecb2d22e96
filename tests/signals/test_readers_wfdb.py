"""The WFDB reader: rates, segments, gaps, units, missing samples; damage and missing files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.readers import wfdb_records
from models.signals.readers.wfdb_records import WfdbRecording, unique_names
from models.signals.recording import TrackKind
from tests.signals.recording_files import write_wfdb, write_wfdb_segments

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb under pandas 3


def whole(recording: WfdbRecording, track: str) -> np.ndarray:
    about = next(t for t in recording.tracks if t.name == track)
    segment = recording.read(track, about.start_s, about.end_s)
    assert segment.first_index == 0
    assert len(segment.values) == about.samples
    return segment.values


def test_one_segment(tmp_path: Path) -> None:
    ramp = np.arange(5000.0)
    holes = np.where(ramp % 7 == 0, np.nan, -ramp)
    recording = WfdbRecording(write_wfdb(tmp_path, "r", 250, {"II": ("mV", ramp), "PLETH": ("NU", holes)}))
    np.testing.assert_array_equal(whole(recording, "II"), ramp)
    np.testing.assert_array_equal(whole(recording, "PLETH"), holes)
    assert recording.duration_s == 20
    assert recording.name == "r"
    assert [(t.unit, t.rate_hz) for t in recording.tracks] == [("mV", 250.0), ("NU", 250.0)]


def test_segments_gaps_and_a_signal_that_comes_later(tmp_path: Path) -> None:
    recording = WfdbRecording(write_wfdb_segments(tmp_path, "s"))
    two, abp = recording.tracks
    assert (two.name, two.start_s, two.samples, two.gaps_s) == ("II", 2.0, 4500, ((6.0, 10.0),))
    assert (abp.name, abp.start_s, abp.samples, abp.gaps_s) == ("ABP", 10.0, 500, ())
    expected = np.r_[np.arange(500.0), np.full(500, np.nan), np.arange(500.0, 4000)]
    np.testing.assert_array_equal(whole(recording, "II"), expected)
    np.testing.assert_array_equal(whole(recording, "ABP"), np.arange(500.0, 1000))
    channels = map_channels(recording)
    assert channels.zero_s == 2.0
    assert channels.channels[Modality.ABP].origin_ns == 8 * 10**9
    assert channels.gaps_s(Modality.ECG) == ((4.0, 8.0),)
    assert channels.duration_s == 36.0


def test_a_unit_that_changes_between_segments_is_converted(tmp_path: Path) -> None:
    path = write_wfdb_segments(tmp_path, "s")
    header = tmp_path / "s_3.hea"
    header.write_text(header.read_text().replace("/mV", "/uV"))
    values = whole(WfdbRecording(path), "II")
    np.testing.assert_allclose(values[1500:], np.arange(1000, 4000) / 1000, rtol=1e-6)
    header.write_text(header.read_text().replace("/uV", "/mmHg"))
    with pytest.raises(BadInput, match="unit"):
        WfdbRecording(path)


def test_reads_cross_blocks_and_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wfdb_records, "BLOCK_S", 0.5)
    monkeypatch.setattr(wfdb_records, "BLOCK_SAMPLES", 0)
    recording = WfdbRecording(write_wfdb_segments(tmp_path, "s"))
    reference = whole(recording, "II")
    for begin, end in [(0, 10), (60, 70), (490, 1010), (999, 1501), (1490, 1500), (0, 4500)]:
        segment = recording.read("II", 2 + begin / 125, 2 + end / 125)
        assert segment.first_index == begin
        np.testing.assert_array_equal(segment.values, reference[begin:end])
    assert len(recording._cache) <= wfdb_records.CACHED_BLOCKS


def test_slow_signals_are_numerics(tmp_path: Path) -> None:
    rate = np.array([60.0, np.nan, 62.0])
    recording = WfdbRecording(write_wfdb(tmp_path, "n", 1, {"HR": ("bpm", rate), "SpO2": ("%", rate)}))
    assert [t.kind for t in recording.tracks] == [TrackKind.NUMERIC] * 2
    times, values = recording.numerics("HR")
    np.testing.assert_array_equal(times, [0, 2])
    np.testing.assert_array_equal(values, [60, 62])
    with pytest.raises(KeyError):
        recording.read("HR", 0, 1)
    with pytest.raises(BadInput, match="no wave track"):
        map_channels(recording)


def test_unique_names() -> None:
    assert unique_names(["ECG", "ECG", "", "ABP"]) == ["ECG", "ECG #2", "signal 3", "ABP"]
    assert unique_names(["ECG #2", "ECG", "ECG", "ECG"]) == ["ECG #2", "ECG", "ECG #3", "ECG #4"]


@pytest.mark.parametrize("file", ["r.dat", "s_2.dat", "s_2.hea"])
def test_missing_files(tmp_path: Path, file: str) -> None:
    write_wfdb(tmp_path, "r", 250, {"II": ("mV", np.arange(100.0))})
    write_wfdb_segments(tmp_path, "s")
    (tmp_path / file).unlink()
    with pytest.raises(BadInput, match=f"{file}.*no such file"):
        WfdbRecording(tmp_path / f"{file[0]}.hea")


@pytest.mark.parametrize("missing", [1, 4, 8, 200])
def test_a_data_file_that_is_cut_off_is_read_as_far_as_it_is_whole(tmp_path: Path, missing: int) -> None:
    ramp = np.arange(1000.0)
    path = write_wfdb(tmp_path, "r", 250, {"II": ("mV", ramp), "ABP": ("mmHg", -ramp)})
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:-missing])
    recording = WfdbRecording(path)
    frames = 1000 - -(-missing // 8)  # a frame is 8 bytes
    assert recording.notes == [f"r.dat is cut off: {frames} of 1000 frames are there and were read"]
    np.testing.assert_array_equal(whole(recording, "II"), ramp[:frames])
    np.testing.assert_array_equal(whole(recording, "ABP"), -ramp[:frames])
    assert recording.duration_s == frames / 250
    reference = np.frombuffer(data.read_bytes()[: frames * 8], "<i4").reshape(-1, 2)  # format 32, resolution 1
    np.testing.assert_array_equal(whole(recording, "ABP"), reference[:, 1])
    recording.close()


def test_a_segment_that_is_cut_off_leaves_a_gap(tmp_path: Path) -> None:
    path = write_wfdb_segments(tmp_path, "s")
    data = tmp_path / "s_2.dat"
    data.write_bytes(data.read_bytes()[: 300 * 8])
    recording = WfdbRecording(path)
    expected = np.r_[
        np.arange(500.0), np.full(500, np.nan), np.arange(500.0, 800), np.full(200, np.nan), np.arange(1000.0, 4000)
    ]
    np.testing.assert_array_equal(whole(recording, "II"), expected)
    assert recording.tracks[0].gaps_s == ((6.0, 10.0), (12.4, 14.0))


@pytest.mark.parametrize("length", [" 0", "", " 0 12:00:00 01/02/2020"])
def test_a_length_that_the_header_does_not_know(tmp_path: Path, length: str) -> None:
    """header(5): 0 or nothing is "unknown"; the data file says. So does the package."""
    noise = np.random.default_rng(1).integers(-2000, 2000, (5000, 2))
    wfdb.wrsamp(
        "r", fs=250, units=["mV", "mmHg"], sig_name=["ECG", "BP"], d_signal=noise, fmt=["212", "212"],
        adc_gain=[200.0, 10.0], baseline=[0, 5], write_dir=str(tmp_path),
    )  # fmt: skip
    path = tmp_path / "r.hea"
    reference = wfdb.rdrecord(str(tmp_path / "r")).p_signal
    path.write_text(path.read_text().replace("r 2 250 5000", f"r 2 250{length}"))
    before = path.read_text()
    recording = WfdbRecording(path)
    assert recording.duration_s == 20
    assert recording.notes == []
    for column, name in enumerate(("ECG", "BP")):
        np.testing.assert_allclose(whole(recording, name), reference[:, column], rtol=1e-6)
    recording.close()
    assert path.read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.dat", "r.hea"]


@pytest.mark.parametrize(
    ("start", "odd"),
    [
        ("12:30:15 31/02/2020", True),
        ("12:30:15 00/00/0000", True),
        ("12:30:15 01/13/1999", True),
        ("25:00:00 01/01/2020", True),
        ("24:00:00", True),
        ("12:61:00", True),
        ("7:8:75.5", True),
        ("12:30:15.123456789 01/01/2020", True),
        ("-:--:-- --/--/----", True),
        ("12:30:15 1/2/96", True),
        ("12:30:15.250 29/02/2020", False),
        ("23:59:59", False),
        ("3:07", False),
    ],
)
def test_a_start_that_no_calendar_has_does_not_cost_the_record(tmp_path: Path, start: str, odd: bool) -> None:
    path = write_wfdb(tmp_path, "r", 250, {"II": ("mV", np.arange(1000.0))})
    path.write_text(path.read_text().replace("r 1 250 1000", f"r 1 250 1000 {start}"))
    recording = WfdbRecording(path)
    np.testing.assert_array_equal(whole(recording, "II"), np.arange(1000.0))
    assert bool(recording.notes) == odd
    recording.close()


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_microvolts_are_not_volts(tmp_path: Path, coding: str) -> None:
    """The package reads ASCII and drops the rest: of µV it makes V, a million times too much."""
    path = write_wfdb(tmp_path, "r", 250, {"EEG": ("uV", np.arange(1000.0))})
    path.write_bytes(path.read_text().replace("uV", "µV").encode(coding))
    channels = map_channels(WfdbRecording(path))
    assert channels.read(Modality.EEG, 0, 10**9).values[5] == 5


def test_slow_records_are_read_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of numerics at 1 Hz: a call of the package for each 30 s took seconds."""
    values = np.arange(86_400.0)
    path = write_wfdb(tmp_path, "n", 1, {"HR": ("bpm", values)})
    calls = []
    read = wfdb.rdrecord
    monkeypatch.setattr(wfdb, "rdrecord", lambda *args, **kwargs: calls.append(args) or read(*args, **kwargs))
    np.testing.assert_array_equal(WfdbRecording(path).numerics("HR")[1], values)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("r.dat 32", "../r.dat 32"),
        ("r.dat 32", "/etc/passwd 32"),
        ("r.dat 32", "s3://bucket/r.dat 32"),
        ("r.dat 32", "r.dat 999"),
        ("r 1 250 100", "r 1 0 100"),
        ("r 1 250 100", "r 0 250 100"),
        ("r 1 250 100", "nothing"),
        ("r 1 250 100", ""),
        ("r 1 250 100", "r/2 1 250 100"),
    ],
)
def test_headers_that_must_not_be_followed(tmp_path: Path, old: str, new: str) -> None:
    path = write_wfdb(tmp_path, "r", 250, {"II": ("mV", np.arange(100.0))})
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BadInput) as caught:
        map_channels(WfdbRecording(path))
    assert "\n" not in str(caught.value)


def test_segment_names_are_checked_too(tmp_path: Path) -> None:
    path = write_wfdb_segments(tmp_path, "s")
    text = path.read_text()
    path.write_text(text.replace("s_1", "../s_1"))
    with pytest.raises(BadInput):
        WfdbRecording(path)
    path.write_text(text.replace("s_1 500", "s 500"))
    with pytest.raises(BadInput, match="a record of segments"):
        WfdbRecording(path)


def test_length_from_the_data_file_where_the_header_gives_none(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, "r", 250, {"II": ("mV", np.arange(100.0)), "V": ("mV", np.arange(100.0))})
    path.write_text(path.read_text().replace("r 2 250 100", "r 2 250"))
    np.testing.assert_array_equal(whole(WfdbRecording(path), "V"), np.arange(100))


@given(st.data())
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_headers_give_bad_input_or_a_valid_read(tmp_path: Path, data) -> None:
    folder = tmp_path / "w"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = write_wfdb_segments(folder, "s")
    target = data.draw(st.sampled_from(["s.hea", "s_1.hea", "s_2.hea", "s_1.dat"]))
    raw = bytearray((folder / target).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        place = data.draw(st.integers(0, max(len(raw) - 1, 0)))
        if kind == "cut":
            del raw[place:]
        elif kind == "insert":
            raw[place:place] = data.draw(st.sampled_from([b"9", b"-", b" ", b"\n", b"0", b"x4", b"\xff"]))
        elif raw:
            raw[place] = data.draw(st.integers(0, 255))
    (folder / target).write_bytes(bytes(raw))
    try:
        channels = map_channels(WfdbRecording(path))
        for modality, channel in channels.channels.items():
            channels.read(modality, channel.origin_ns, channel.origin_ns + 10**9)
    except BadInput as error:
        assert "\n" not in str(error)


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["v102s", "slp41m"])
def test_real_single_segments_agree_with_the_package(recordings: Path, name: str) -> None:
    recording = WfdbRecording(recordings / "wfdb" / f"{name}.hea")
    reference = wfdb.rdrecord(str(recordings / "wfdb" / name))
    for column, track in enumerate(recording.tracks):
        np.testing.assert_allclose(whole(recording, track.name), reference.p_signal[:, column], rtol=1e-6, atol=1e-9)


@pytest.mark.recordings
def test_041s_several_rates_two_segments(recordings: Path) -> None:
    recording = WfdbRecording(recordings / "wfdb" / "041s" / "041s.hea")
    assert {t.name: (t.rate_hz, t.samples) for t in recording.tracks} == {
        **{lead: (500.0, 8000) for lead in ("III", "I", "V")},
        **{name: (125.0, 2000) for name in ("ABP", "PAP", "PLETH", "RESP")},
    }
    assert whole(recording, "ABP").mean() == pytest.approx(56, abs=1)
    for part, at in (("041s01", 0), ("041s02", 8)):
        own = wfdb.rdrecord(str(recordings / "wfdb" / "041s" / part), smooth_frames=False)
        for column, name in enumerate(own.sig_name):
            values = recording.read(name, at, at + 8).values
            np.testing.assert_allclose(values, own.e_p_signal[column], rtol=1e-6)


@pytest.mark.recordings
def test_s25047_layout_and_gaps(recordings: Path) -> None:
    recording = WfdbRecording(recordings / "wfdb" / "s25047" / "s25047-2704-05-04-10-44.hea")
    tracks = {t.name: t for t in recording.tracks}
    assert tracks["II"].start_s == pytest.approx(205.92)
    assert tracks["ABP"].start_s == pytest.approx(3565.92)
    reference = wfdb.rdrecord(str(recordings / "wfdb" / "s25047" / "s25047-2704-05-04-10-44"))
    for column, name in enumerate(reference.sig_name):
        values = whole(recording, name)
        np.testing.assert_allclose(values, reference.p_signal[-len(values) :, column], rtol=1e-6, atol=1e-9)
    assert np.nanpercentile(whole(recording, "ABP"), 95) < 30  # the channel that is there but invalid
    channels = map_channels(recording)
    assert channels.duration_s == pytest.approx(4140)


@pytest.mark.parametrize(
    "described", ["r.dat 32:3", "r.dat 8", "r.dat 61", "r.dat 212", "r.dat 310", "r.dat 311", "r.dat 24"]
)
def test_blocks_agree_with_reading_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, described: str) -> None:
    """Skewed signals, differences (format 8) and packed formats: a block needs more than its own bytes."""
    monkeypatch.setattr(wfdb_records, "BLOCK_S", 0.3)
    monkeypatch.setattr(wfdb_records, "BLOCK_SAMPLES", 0)
    noise = np.random.default_rng(1).integers(-(2**30), 2**30, 1000).astype(np.float64)
    path = write_wfdb(tmp_path, "r", 250, {"II": ("mV", noise), "V": ("mV", noise[::-1])})
    path.write_text(path.read_text().replace("r.dat 32", described, 1).replace("r.dat 32", described.split(":")[0], 1))
    reference = wfdb.rdrecord(str(tmp_path / "r")).p_signal
    recording = WfdbRecording(path)
    for column, name in enumerate(("II", "V")):
        np.testing.assert_allclose(whole(recording, name), reference[:, column], rtol=1e-6)
    assert len(recording._cache) > 1 or described == "r.dat 8"
