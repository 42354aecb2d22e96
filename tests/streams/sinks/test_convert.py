"""Converted recordings, opened again by the packages that own the formats and by Vigil: the same values, NaN as NaN."""

from __future__ import annotations

import datetime
from pathlib import Path

import edfio
import numpy as np
import pytest
import vitaldb
import wfdb
from msgspec.structs import replace

from models.signals.channels import map_channels
from models.signals.errors import BadInput, VigilError
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.recording import TrackKind
from monitor.convert import convert
from streams.codec import chunk_values, samples_to_bytes
from streams.mailbox import BEHIND
from streams.records import AlarmRecord, AnyRecord, CommandRecord, DeviceNumber, PredictionRecord, RestoredChunk
from streams.sinks.convert import NOBODY_KNOWS_UNIX_S, Signal, frame
from streams.sinks.edf_file import _record_s
from streams.sources.recorded import open_recorded
from tests.streams.sinks.records_made import UNIX, S, bed_record, one_of_each, patient, record, ticks

SECONDS, GAP_S = 30, (11.0, 14.0)
HEADS = {"bed": "a", "session": "s", "epoch": 0}
SUFFIXES = [".hea", ".edf", ".vital"]
MISSED_S = (24, 25, 26)
MISSED = f"no prediction of 3 windows: {BEHIND}"
ALARM_TEXT = "MAP 50 (limit 65) – low"
ALARM = {"key": "k", "priority": "high", "kind": "physiological", "text": ALARM_TEXT}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five channels from second 2 on, a gap of 3 s in the pressure (NaN and none at all), estimates in it, an alarm."""
    channels = patient(SECONDS)
    made: list[AnyRecord] = [bed_record(channels)]
    prediction = next(r for r in one_of_each() if isinstance(r, PredictionRecord))
    for tick in ticks(channels, 2, SECONDS):
        chunks = []
        for chunk in tick.chunks:
            gone = chunk.modality == "ABP" and GAP_S[0] * S <= tick.start_ns < GAP_S[1] * S
            nothing = samples_to_bytes(np.full(len(chunk.data) // 4, np.nan, np.float32))
            chunks.append(replace(chunk, data=(b"" if tick.tick_seq % 2 else nothing)) if gone else chunk)
        made.append(replace(tick, chunks=chunks))
        if tick.end_ns % S == 0 and GAP_S[0] < tick.end_ns / S <= GAP_S[1]:
            first = tick.end_ns // S * 100 - 100
            wave = estimate(np.arange(first, first + 100))
            restored = RestoredChunk("ABP", 100, first, *(samples_to_bytes(wave + k) for k in (0, -5, 5)))
            made.append(replace(prediction, window_end_ns=tick.end_ns, restored=[restored]))
        elif tick.end_ns % S == 0 and tick.end_ns // S in MISSED_S:
            skipped = {"valid": False, "reason": BEHIND, "missed": "skipped", "risk": {}, "restored": []}
            made.append(replace(prediction, window_end_ns=tick.end_ns, **skipped))
    made += [
        AlarmRecord(**HEADS, time_ns=12 * S, **ALARM, active=True),
        AlarmRecord(**HEADS, time_ns=15 * S, **ALARM, active=False),
        CommandRecord(**HEADS, id="1", operator="o", time_ns=20 * S, name="drop", args={"modality": "PPG"}),
    ]  # fmt: skip
    return record(tmp_path_factory.mktemp("session") / "x.mcap", made)


def estimate(index: np.ndarray) -> np.ndarray:
    return (80 + 10 * np.sin(index / 20)).astype(np.float32)


def expected(session: Path) -> dict[str, tuple[float, np.ndarray]]:
    """Name → rate and samples from second 2 on, read from the recorded session itself."""
    opened = open_recorded(str(session))
    found = {}
    for track in opened.tracks:
        rate = track.rate_hz or 0.0
        values = opened.read(track.name, 2.0, SECONDS).values
        found[track.name.split("/")[1]] = (rate, values)
    index = np.arange(200, SECONDS * 100)
    whole = estimate(index)
    whole[(index < GAP_S[0] * 100) | (index >= GAP_S[1] * 100)] = np.nan
    found["EST ABP"] = (100.0, whole)
    return found


def agree(found: np.ndarray, values: np.ndarray, steps: float) -> None:
    """The same within half a step of the format, NaN where there is none; what follows the end is NaN too."""
    known = np.isfinite(values)
    assert len(found) >= len(values)
    np.testing.assert_array_equal(np.isfinite(found[: len(values)]), known)
    assert not np.isfinite(found[len(values) :]).any()
    error = np.abs(found[: len(values)][known] - values[known]).max()
    assert error <= (values[known].max() - values[known].min()) / steps + 1e-6 * np.abs(values[known]).max()


def test_wfdb_reads_it(session: Path, tmp_path: Path) -> None:
    files = convert(str(session), tmp_path / "case.hea")
    assert sorted(p.name for p in files) == sorted(p.name for p in tmp_path.iterdir())
    back = wfdb.rdrecord(str(tmp_path / "case"), smooth_frames=False)
    wanted = expected(session)
    assert set(back.sig_name) == set(wanted) and back.units[back.sig_name.index("EST ABP")] == "mmHg"
    for name, values, per_frame in zip(back.sig_name, back.e_p_signal, back.samps_per_frame, strict=True):
        assert back.fs * per_frame == pytest.approx(wanted[name][0])
        agree(values, wanted[name][1], steps=2 * 64_000)
    assert back.base_datetime == datetime.datetime.fromtimestamp(UNIX / S + 2, datetime.UTC).replace(tzinfo=None)
    notes = wfdb.rdann(str(tmp_path / "case"), "alarm")
    assert [t / notes.fs for t in notes.sample] == [10.0, 13.0, 18.0, 22.0]
    assert notes.aux_note == [
        "high began: MAP 50 (limit 65) ? low", "high ended: MAP 50 (limit 65) ? low", "operator: drop PPG",
        MISSED,
    ]  # fmt: skip


def test_edfio_reads_it(session: Path, tmp_path: Path) -> None:
    convert(str(session), tmp_path / "case.edf")
    back = edfio.read_edf(tmp_path / "case.edf")
    wanted = expected(session)
    assert {s.label for s in back.signals} == set(wanted)
    for signal in back.signals:
        rate, values = wanted[signal.label]
        assert signal.sampling_frequency == rate
        data = np.where(signal.digital == -32768, np.nan, signal.data)
        agree(data, values, steps=2 * 60_000)
        assert "missing samples are digital -32768" in signal.transducer_type
    assert [(a.onset, a.text) for a in back.annotations] == [
        (10.0, f"high began: {ALARM_TEXT}"), (13.0, f"high ended: {ALARM_TEXT}"), (18.0, "operator: drop PPG"),
        (22.0, MISSED),
    ]  # fmt: skip
    moment = datetime.datetime.combine(back.recording.startdate, back.starttime, datetime.UTC)
    assert moment.timestamp() == UNIX / S + 2


def test_vitaldb_reads_it(session: Path, tmp_path: Path) -> None:
    convert(str(session), tmp_path / "case.vital")
    back = vitaldb.VitalFile(str(tmp_path / "case.vital"))
    wanted = expected(session)
    assert set(back.get_track_names()) == {*(f"Vigil/{name}" for name in wanted), "EVENT"}
    for name, (rate, values) in wanted.items():
        track = back.trks[f"Vigil/{name}"]
        assert track.srate == rate and track.fmt == 1
        found = np.full(len(values), np.nan, np.float32)
        for block in track.recs:
            first = round((block["dt"] - UNIX / S - 2) * rate)
            found[first : first + len(block["val"])] = block["val"]
        np.testing.assert_array_equal(found, values)
    assert [(r["dt"] - UNIX / S - 2, r["val"]) for r in back.trks["EVENT"].recs] == [
        (10.0, f"high began: {ALARM_TEXT}"), (13.0, f"high ended: {ALARM_TEXT}"), (18.0, "operator: drop PPG"),
        (22.0, MISSED),
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_vigil_reads_it_and_takes_no_estimate_for_a_measurement(session: Path, tmp_path: Path, suffix: str) -> None:
    convert(str(session), tmp_path / f"case{suffix}")
    mapped = map_channels(open_recording(str(tmp_path / f"case{suffix}")))
    original = open_recorded(str(session)).channel_map()
    assert mapped.channels.keys() == original.channels.keys()
    for modality, channel in mapped.channels.items():
        assert "EST" not in channel.track
        before = original.read(modality, 2 * S, SECONDS * S).values
        after = mapped.read(modality, 0, (SECONDS - 2) * S).values
        agree(after, before, steps=60_000)
    gap = mapped.read(Modality.ABP, round((GAP_S[0] - 2) * S), round((GAP_S[1] - 2) * S)).values
    assert np.isnan(gap).all() and len(gap)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_other_recording_too(tmp_path: Path, suffix: str) -> None:
    convert("demo:seed=5,duration=20", tmp_path / f"case{suffix}")
    source, back = (
        map_channels(open_recording("demo:seed=5,duration=20")),
        open_recording(str(tmp_path / f"case{suffix}")),
    )
    mapped = map_channels(back)
    for modality in source.channels:
        agree(mapped.read(modality, 0, 20 * S).values, source.read(modality, 0, 20 * S).values, steps=60_000)


def test_without_a_wall_clock_the_day_is_one_that_nobody_takes_for_it(tmp_path: Path) -> None:
    convert("demo:seed=5,duration=20", tmp_path / "case.vital")
    assert vitaldb.VitalFile(str(tmp_path / "case.vital")).dtstart == NOBODY_KNOWS_UNIX_S


def test_rates_share_the_shortest_frame() -> None:
    def of(*rates: float) -> list[Signal]:
        return [Signal(str(r), "", r, np.zeros(0, np.float32)) for r in rates]

    assert float(frame(of(500, 125, 128, 62.5, 100))) == 2.0
    assert float(frame(of(250))) == 1 / 250
    assert float(frame(of(300, 7.5))) == pytest.approx(2 / 15)
    assert float(frame(of(499.98, 125.01))) == pytest.approx(1 / 0.03)
    for rates, words in [((499.99, 125.01), r"499\.99, 125\.01"), ((100 * np.pi, 125), r"314\.1593, 125")]:
        with pytest.raises(BadInput, match=rf"a common frame of at most 60 s, found {words} Hz; convert to \.vital"):
            frame(of(*rates))
    assert float(_record_s(of(300, 7.5))) == 1.2, "16/15 s is no number for a header"
    with pytest.raises(BadInput, match="common frame"):
        _record_s(of(100 * np.pi))


@pytest.mark.parametrize(
    ("name", "words"),
    [("case.csv", "an output named"), ("none/case.edf", "an existing folder"), ("old.edf", "a new file"),
     ("ward 1.hea", "a record name"), ("old.hea", r"'old\.dat', which is there")],
)  # fmt: skip
def test_what_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "old.edf").write_bytes(b"old")
    (tmp_path / "old.dat").write_bytes(b"old")
    with pytest.raises(BadInput, match=words):
        convert("demo:duration=20", tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.dat", "old.edf"]
    assert (tmp_path / "old.dat").read_bytes() == b"old"


def test_a_disk_that_is_full_is_said_with_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vitaldb.VitalFile, "to_vital", full)
    with pytest.raises(VigilError, match=r"case\.vital could not be written: No space left on device"):
        convert("demo:duration=20", tmp_path / "case.vital")
    assert not list(tmp_path.iterdir())


def test_a_missing_mark_needs_a_range_without_it(tmp_path: Path) -> None:
    """An ordinary EDF file may well have −32768 as a value."""
    ordinary = edfio.EdfSignal(np.array([-32768.0, 5.0] * 250), 250, label="ECG", physical_dimension="mV",
                               physical_range=(-32768, 32767))  # fmt: skip
    edfio.Edf([ordinary]).write(tmp_path / "x.edf")
    assert open_recording(str(tmp_path / "x.edf")).read("ECG", 0, 1).values[0] == -32768


def test_the_recorded_chunks_have_the_gap_in_both_ways(session: Path) -> None:
    opened = open_recorded(str(session))
    values = opened.read(next(t.name for t in opened.tracks if t.name.startswith("ABP")), *GAP_S).values
    assert np.isnan(values).all() and len(chunk_values(values.tobytes())) == 375


def test_what_the_device_measured_is_in_the_session_and_in_a_file_that_holds_numbers(tmp_path: Path) -> None:
    """SpO2 each second, none for two of them, told again every while; of another bed and an unknown kind nothing."""
    channels = patient(SECONDS)
    made: list[AnyRecord] = [bed_record(channels)]
    for tick in ticks(channels, 2, SECONDS):
        second, whole = tick.start_ns // S, tick.start_ns % S == 0 and not tick.eos
        value = None if second in (9, 10) else 90.0 + second / 10
        now = [DeviceNumber("spo2", tick.start_ns, value), DeviceNumber("of a later year", tick.start_ns, 1.0)]
        again = [DeviceNumber("spo2", tick.start_ns - S, 50.0)] if second % 10 == 0 else []
        made.append(replace(tick, numbers=[*again, *now] if whole else []))
        if whole:
            made.append(replace(tick, bed="b", chunks=[], numbers=[DeviceNumber("bis", tick.start_ns, 40.0)]))
    path = record(tmp_path / "x.mcap", made)
    opened = open_recorded(f"{path}#a")
    (track,) = [t for t in opened.tracks if t.kind is TrackKind.NUMERIC]
    times_s, values = opened.numerics(track.name)
    assert (track.name, track.unit, track.start_s, track.samples) == ("DEVICE/PLETH_SPO2", "%", 2.0, SECONDS - 2)
    assert times_s.tolist() == list(range(2, SECONDS))
    wanted = [np.nan if s in (9, 10) else 90.0 + s / 10 for s in range(2, SECONDS)]
    np.testing.assert_allclose(values, wanted)
    with pytest.raises(KeyError):
        opened.numerics("DEVICE/BIS")
    convert(f"{path}#a", tmp_path / "x.vital")
    read = open_recording(str(tmp_path / "x.vital"))
    at_s, written = read.numerics("DEVICE/PLETH_SPO2")
    known = np.isfinite(values)
    np.testing.assert_allclose(written, values[known], rtol=1e-6)
    np.testing.assert_allclose(at_s - at_s[0], times_s[known] - times_s[0], atol=1e-6)
    peer = vitaldb.VitalFile(str(tmp_path / "x.vital"))
    theirs = peer.to_numpy("DEVICE/PLETH_SPO2", 1.0).ravel()
    np.testing.assert_allclose(theirs[np.isfinite(theirs)], values[known], rtol=1e-6)
    for suffix in (".hea", ".edf"):
        convert(f"{path}#a", tmp_path / f"x{suffix}")
        assert all(t.kind is not TrackKind.NUMERIC for t in open_recording(str(tmp_path / f"x{suffix}")).tracks)
