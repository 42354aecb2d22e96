"""The .vital reader: every sample once, gaps, formats, numerics, events, and damage of every kind."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.readers.vital import VitalRecording
from models.signals.recording import TrackKind
from tests.signals.recording_files import START, VitalWave, blocks_of, vitaldb_case, write_vital


def whole(recording: VitalRecording, track: str) -> np.ndarray:
    about = next(t for t in recording.tracks if t.name == track)
    segment = recording.read(track, about.start_s, about.end_s)
    assert segment.first_index == 0
    assert len(segment.values) == about.samples
    return segment.values


@pytest.mark.parametrize("packed", [False, True])
def test_a_vitaldb_case(tmp_path: Path, packed: bool) -> None:
    recording = VitalRecording(vitaldb_case(tmp_path / "1.vital", packed=packed))
    tracks = {t.name: t for t in recording.tracks}
    art = tracks["SNUADC/ART"]
    assert (art.kind, art.unit, art.rate_hz, art.samples) == (TrackKind.WAVE, "mmHg", 500.0, 10_000)
    assert art.gaps_s == ((6.0, 8.4),)
    values = whole(recording, "SNUADC/ART")
    expected = np.arange(10_000, dtype=np.float32)
    expected[3000:4200] = np.nan
    np.testing.assert_array_equal(values, expected)
    assert tracks["SNUADC/PLETH"].start_s == 3.0
    assert tracks["BIS/EEG1_WAV"].rate_hz == 128.0
    times, numbers = recording.numerics("Solar8000/ART_MBP")
    np.testing.assert_allclose(times, np.arange(0, 20, 2), atol=1e-6)
    np.testing.assert_array_equal(numbers, 80 + times.round())
    assert recording.events() == [(2.0, "induction"), (7.5, "skin incision")]
    assert recording.duration_s == pytest.approx(20.0)
    assert recording.notes == []
    channels = map_channels(recording)
    assert {m: c.track for m, c in channels.channels.items()} == {
        Modality.ECG: "SNUADC/ECG_II",
        Modality.ABP: "SNUADC/ART",
        Modality.PPG: "SNUADC/PLETH",
        Modality.EEG: "BIS/EEG1_WAV",
    }


@pytest.mark.parametrize(("fmt", "gain", "offset"), [(5, 0.005, 0.0), (6, 0.0625, -50.0), (3, 1, 0), (4, 2.0, -1.0),
                                                     (7, 0.01, 3.0), (8, 0.5, 0.0), (2, 1.0, 0.0)])  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_sample_formats(tmp_path: Path, fmt: int, gain: float, offset: float, packed: bool) -> None:
    stored = np.arange(100)
    wave = VitalWave(100, "mmHg", [(0.0, stored[:50]), (1.0, stored[50:])], fmt, gain, offset)
    recording = VitalRecording(write_vital(tmp_path / "a.vital", {"D/ART": wave}, packed=packed))
    values = whole(recording, "D/ART")
    expected = np.full(150, np.nan)
    scaled = stored if fmt == 2 else stored * gain + offset
    expected[:50], expected[100:] = scaled[:50], scaled[50:]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert recording.tracks[0].gaps_s == ((0.5, 1.0),)


def test_in_an_unpacked_file_the_largest_value_is_a_value(tmp_path: Path) -> None:
    wave = VitalWave(100, "mmHg", [(0.0, np.array([0, 65535, 7]))], fmt=6)
    recording = VitalRecording(write_vital(tmp_path / "a.vital", {"D/ART": wave}))
    np.testing.assert_array_equal(whole(recording, "D/ART"), [0, 65535, 7])


def test_infinite_and_absurd_values_are_missing(tmp_path: Path) -> None:
    wave = VitalWave(100, "mV", [(0.0, np.array([1, np.inf, -np.inf, 5e9, np.nan, 2]))])
    recording = VitalRecording(write_vital(tmp_path / "a.vital", {"D/ECG": wave}))
    np.testing.assert_array_equal(whole(recording, "D/ECG"), [1, np.nan, np.nan, np.nan, np.nan, 2])


@given(
    rate=st.sampled_from([62.5, 125.0, 500.0]),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=15),
    gaps=st.lists(st.sampled_from([0, 0, 0, 50, 203]), min_size=15, max_size=15),
    jitter=st.lists(st.floats(-0.49, 0.49), min_size=15, max_size=15),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_sample_of_the_file_comes_out_exactly_once(tmp_path: Path, rate, sizes, gaps, jitter) -> None:
    index, blocks = 0, []
    number = 1.0
    for size, gap, shift in zip(sizes, gaps, jitter, strict=False):
        index += gap if blocks else 0
        blocks.append((max((index + (shift if blocks else 0)) / rate, 0), np.arange(number, number + size)))
        index += size
        number += size
    path = write_vital(tmp_path / "x.vital", {"D/ECG": VitalWave(rate, "mV", blocks)})
    recording = VitalRecording(path)
    values = whole(recording, "D/ECG")
    np.testing.assert_array_equal(values[~np.isnan(values)], np.arange(1, number))


def test_overlapping_records_are_left_out_and_said(tmp_path: Path) -> None:
    ramp = np.arange(300.0)
    wave = VitalWave(100, "mV", [(0, ramp[:100]), (1, ramp[100:200]), (1, ramp[100:200]), (2, ramp[200:])])
    recording = VitalRecording(write_vital(tmp_path / "x.vital", {"D/ECG": wave}))
    np.testing.assert_array_equal(whole(recording, "D/ECG"), ramp)
    assert recording.notes == ["D/ECG: 100 of 400 samples lie in records that overlap earlier ones and were left out"]


def test_rate_zero_and_gain_zero(tmp_path: Path) -> None:
    waves = {
        "D/ECG": VitalWave(0, "mV", [(0, np.arange(10.0))]),
        "D/ART": VitalWave(100, "mmHg", [(0, np.arange(10))], fmt=5, gain=0.0),
    }
    recording = VitalRecording(write_vital(tmp_path / "x.vital", waves))
    assert np.isnan(whole(recording, "D/ART")).all()
    assert "gain is 0" in recording.notes[0]
    with pytest.raises(BadInput, match="above 0 Hz, found 0 Hz on track 'D/ECG'"):
        recording.read("D/ECG", 0, 1)
    with pytest.raises(BadInput, match=r"'D/ECG': its sampling rate is 0 Hz.*1 more like it"):
        map_channels(recording)


def renamed(path: Path, old: bytes, new: bytes) -> Path:
    """The file with every ``old`` in its packets replaced by ``new`` of the same length."""
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(old, new)))
    return path


def test_two_tracks_of_one_name_are_both_there(tmp_path: Path) -> None:
    waves = {
        "D/ECG": VitalWave(100, "mV", blocks_of(np.arange(300.0), 100, 100)),
        "D/ECX": VitalWave(100, "mV", blocks_of(-np.arange(300.0), 100, 100)),
    }
    numbers = {"D/HRA": [(0.0, 60.0), (1.0, 61.0)], "D/HRB": [(0.5, 70.0)]}
    path = renamed(write_vital(tmp_path / "x.vital", waves, numbers), b"ECX", b"ECG")
    recording = VitalRecording(renamed(renamed(path, b"HRA", b"HRX"), b"HRB", b"HRX"))
    assert [t.name for t in recording.tracks] == ["D/ECG", "D/ECG #2", "D/HRX", "D/HRX #2"]
    np.testing.assert_array_equal(whole(recording, "D/ECG"), np.arange(300.0))
    np.testing.assert_array_equal(whole(recording, "D/ECG #2"), -np.arange(300.0))
    assert recording.numerics("D/HRX")[1].tolist() == [60, 61]
    assert recording.numerics("D/HRX #2")[1].tolist() == [70]
    assert map_channels(recording).channels[Modality.ECG].track == "D/ECG"
    assert map_channels(recording, {"ECG": "ECG #2"}).channels[Modality.ECG].track == "D/ECG #2"


def test_a_track_described_again_goes_on_and_a_changed_one_is_another(tmp_path: Path) -> None:
    """A recorder may repeat its descriptions; one that differs (another unit) must not give the old samples its own."""
    path = write_vital(tmp_path / "x.vital", {"D/ART": VitalWave(100, "mmHg", blocks_of(np.arange(300.0), 100, 100))})
    raw = gzip.decompress(path.read_bytes())
    parts = packets(raw)
    described = next(p for kind, p in parts if kind == 0)
    records = [p for kind, p in parts if kind == 1]
    head = raw[: raw.index(parts[0][1])] + b"".join(p for kind, p in parts if kind not in (0, 1))
    path.write_bytes(gzip.compress(head + described + records[0] + described + records[1] + records[2]))
    np.testing.assert_array_equal(whole(VitalRecording(path), "D/ART"), np.arange(300.0))
    other = described.replace(b"mmHg", b"cmHg")
    path.write_bytes(gzip.compress(head + described + records[0] + other + records[1] + records[2]))
    recording = VitalRecording(path)
    assert [(t.name, t.unit, t.samples) for t in recording.tracks] == [
        ("D/ART", "mmHg", 100),
        ("D/ART #2", "cmHg", 200),
    ]


def packets(raw: bytes) -> list[tuple[int, bytes]]:
    """The packets after the header, whole: (kind, bytes)."""
    at = 10 + struct.unpack_from("<H", raw, 8)[0]
    found = []
    while at < len(raw):
        kind, length = struct.unpack_from("<BI", raw, at)
        found.append((kind, raw[at : at + 5 + length]))
        at += 5 + length
    return found


def upstream(path: Path) -> dict[str, np.ndarray]:
    """Samples and numbers that the vitaldb package finds, by track: an independent decoder."""
    import vitaldb

    file = vitaldb.VitalFile()
    assert file.load_vital(str(path))
    return {
        name: np.concatenate([np.atleast_1d(rec["val"]) for rec in track.recs])
        for name, track in file.trks.items()
        if track.type in (1, 2) and track.recs
    }


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("part", [0.98, 0.7, 0.5, 0.31, -9, -8, -1])
def test_a_file_cut_in_its_gzip_stream_is_read_as_far_as_it_is_whole(tmp_path: Path, part: float, packed: bool) -> None:
    path = vitaldb_case(tmp_path / "1.vital", seconds=12, packed=packed)
    whole_file = VitalRecording(path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * part) if part > 0 else int(part)])
    recording = VitalRecording(path)
    assert recording.notes == ["the file ends in the middle of its data: what is whole before that was read"]
    complete = {t.name: t for t in whole_file.tracks}
    found = 0
    for track in recording.tracks:
        if track.kind is TrackKind.WAVE and track.samples:
            values = whole(recording, track.name)
            shift = round((track.start_s - complete[track.name].start_s) * (track.rate_hz or 0))
            assert shift == 0 or track.start_s == 0.0
            expected = whole(whole_file, track.name)
            np.testing.assert_array_equal(values, expected[: len(values)])
            found += int(np.isfinite(values).sum())
    theirs = sum(len(v) for name, v in upstream(path).items() if complete[name].kind is TrackKind.WAVE)
    assert found >= 0.9 * theirs if packed else found >= theirs  # packed: they count the fill of gaps
    assert found > 0


@pytest.mark.parametrize("missing", [1, 4, 100, 1999, 2001])
def test_a_file_cut_in_a_packet_loses_that_packet_only(tmp_path: Path, missing: int) -> None:
    path = write_vital(tmp_path / "x.vital", {"D/ECG": VitalWave(500, "mV", blocks_of(np.arange(5000.0), 500, 500))})
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-missing]))
    recording = VitalRecording(path)
    assert len(recording.notes) == 1
    np.testing.assert_array_equal(whole(recording, "D/ECG"), np.arange(4500.0))
    np.testing.assert_array_equal(upstream(path)["D/ECG"], np.arange(4500.0))


def test_zeros_that_were_allotted_and_never_written(tmp_path: Path) -> None:
    """Many file systems leave them behind a crash: they are the end of the file, not damage."""
    path = vitaldb_case(tmp_path / "1.vital", seconds=12)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    cut = whole(VitalRecording(path), "SNUADC/ECG_II")
    path.write_bytes(raw[: len(raw) // 2] + bytes(100_000))
    np.testing.assert_array_equal(whole(VitalRecording(path), "SNUADC/ECG_II"), cut)
    path.write_bytes(raw + bytes(4096))
    assert VitalRecording(path).notes == []


@pytest.mark.parametrize("keep", [3, 10, 20, 200])
def test_a_file_cut_before_its_first_record_is_refused(tmp_path: Path, keep: int) -> None:
    path = vitaldb_case(tmp_path / "1.vital", seconds=6)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"1\.vital"):
        VitalRecording(path)


@pytest.mark.parametrize("packed", [False, True])
def test_agrees_with_the_vitaldb_package(tmp_path: Path, packed: bool) -> None:
    path = vitaldb_case(tmp_path / "1.vital", packed=packed)
    recording, theirs = VitalRecording(path), upstream(path)
    for track in recording.tracks:
        if track.kind is TrackKind.WAVE:
            values = whole(recording, track.name)
            np.testing.assert_array_equal(
                values[np.isfinite(values)], theirs[track.name][np.isfinite(theirs[track.name])]
            )
        elif track.kind is TrackKind.NUMERIC:
            np.testing.assert_array_equal(recording.numerics(track.name)[1], theirs[track.name])


@pytest.mark.parametrize("unit", ["µV".encode(), "μV".encode(), "µV".encode("latin-1") + b" "])
def test_the_micro_sign_in_any_coding(tmp_path: Path, unit: bytes) -> None:
    path = write_vital(tmp_path / "x.vital", {"D/EEG1_WAV": VitalWave(128, "abc"[: len(unit)], [(0.0, np.ones(128))])})
    channels = map_channels(VitalRecording(renamed(path, b"abc"[: len(unit)], unit)))
    assert channels.read(Modality.EEG, 0, 10**9).values[0] == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "gzip"),
        (gzip.compress(b"hello world", mtime=0), "other content"),
        (gzip.compress(b"VITA", mtime=0), "ends in the middle"),
        (gzip.compress(b"VITA" + struct.pack("<IH", 3, 26) + bytes(26), mtime=0), "with tracks"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.vital"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        VitalRecording(path)


def _open_and_read(path: Path) -> None:
    """What a session does with a recording; anything but BadInput escapes."""
    try:
        recording = VitalRecording(path)
        channels = map_channels(recording)
    except BadInput as error:
        assert "\n" not in str(error)
        return
    for modality, channel in channels.channels.items():
        assert len(channels.read(modality, channel.origin_ns, channel.origin_ns + 2 * 10**9).values) <= 2e5 + 1
    recording.events()


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("small")
    waves = {
        "A/ECG_II": VitalWave(100, "mV", blocks_of(np.arange(200.0), 100, 50)),
        "A/ART": VitalWave(62.5, "mmHg", blocks_of(np.arange(100), 62.5, 50), fmt=6, gain=0.1, offset=-5),
    }
    path = write_vital(folder / "s.vital", waves, {"A/HR": [(0, 60), (1, 61)]}, [(0.5, "x")])
    return gzip.decompress(path.read_bytes())


@given(st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_give_bad_input_or_a_valid_read(tmp_path: Path, small_file: bytes, data) -> None:
    raw = bytearray(small_file)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1) | st.integers(0, 400))
        raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "f.vital"
    path.write_bytes(gzip.compress(bytes(raw), 1))
    _open_and_read(path)


@given(st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_of_the_archive(tmp_path: Path, small_file: bytes, data) -> None:
    raw = bytearray(gzip.compress(small_file, mtime=0))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "f.vital"
    path.write_bytes(bytes(raw))
    _open_and_read(path)


def test_times_before_or_far_after_the_rest(tmp_path: Path) -> None:
    far = VitalWave(100, "mV", [(0, np.arange(100.0)), (40 * 86_400, np.arange(100.0))])
    recording = VitalRecording(write_vital(tmp_path / "x.vital", {"D/ECG": far}))
    with pytest.raises(BadInput, match="it would last 40 days"):
        map_channels(recording)
    lost = VitalWave(100, "mV", [(-2 * START, np.arange(100.0))])
    with pytest.raises(BadInput, match="records with a time"):
        VitalRecording(write_vital(tmp_path / "y.vital", {"D/ECG": lost}))


@pytest.mark.recordings
def test_surgery1_whole(recordings: Path) -> None:
    import vitaldb

    path = recordings / "vital" / "surgery1.vital"
    recording = VitalRecording(path)
    reference = vitaldb.VitalFile(str(path))
    assert recording.notes == []
    for track in recording.tracks:
        if track.kind is not TrackKind.WAVE:
            continue
        stored = np.concatenate([rec["val"] for rec in reference.trks[track.name].recs])
        values = whole(recording, track.name)
        np.testing.assert_array_equal(values[~np.isnan(values)], stored)
    abp = next(t for t in recording.tracks if t.name == "Intellivue/ABP")
    assert len(abp.gaps_s) == 1
    assert abp.gaps_s[0] == pytest.approx((1666.048, 1667.667), abs=0.004)
    times, values = recording.numerics("Intellivue/ABP_MEAN")
    assert len(times) == 1927
    assert values[0] == 56
    assert len(recording.events()) == 21
    channels = map_channels(recording)
    assert sorted(channels.channels) == ["ABP", "AWP", "CVP", "ECG", "PPG"]
    assert channels.zero_s == 0.0
    assert channels.duration_s == pytest.approx(2015.26, abs=0.01), "the ventilator's pressure goes on for 40 s"


@pytest.mark.recordings
def test_intellivue_demo_scales_its_integers(recordings: Path) -> None:
    channels = map_channels(VitalRecording(recordings / "vital" / "intellivue_demo.vital"))
    assert sorted(channels.channels) == ["ABP", "ECG", "PPG", "RESP"]
    abp = channels.read(Modality.ABP, 10 * 10**9, 20 * 10**9).values
    assert 115 < abp.max() < 125
    assert 65 < abp.min() < 75
    ecg = channels.read(Modality.ECG, 10 * 10**9, 20 * 10**9).values
    assert 0.3 < ecg.max() < 3
