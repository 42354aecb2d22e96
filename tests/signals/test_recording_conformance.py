"""What every recording must do, whatever it was read from: one suite for all readers and the simulator.

The protocol is :class:`models.signals.recording.Recording`; a new source is one more entry in ``SOURCES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.signals.channels import map_channels
from models.signals.readers import open_recording
from models.signals.recording import Recording, Track, TrackKind
from tests.signals.recording_files import vitaldb_case, write_edf, write_wfdb, write_wfdb_segments
from tests.streams.sinks.records_made import patient, record, ticks

RAMP = np.arange(6000.0)
EDF_SIGNALS = {
    "ECG": (250.0, "mV", RAMP[:3000]),
    "EEG C4-A1": (100.0, "uV", RAMP[:1200]),
    "HR": (1.0, "bpm", 60 + RAMP[:12]),
}
EDF_ONSETS = [0.25, 1.25, 2.25, 5, 6, 7.5, 8.5, 9.5, 20, 21, 22, 23]

SOURCES: dict[str, Callable[[Path], str]] = {
    "vital": lambda folder: str(vitaldb_case(folder / "a.vital")),
    "vital packed": lambda folder: str(vitaldb_case(folder / "p.vital", packed=True)),
    "wfdb": lambda folder: str(write_wfdb(folder, "w", 250, {"II": ("mV", RAMP), "ABP": ("mmHg", RAMP)})),
    "wfdb segments": lambda folder: str(write_wfdb_segments(folder, "s")),
    "edf": lambda folder: str(write_edf(folder / "a.edf", EDF_SIGNALS)),
    "edf+c": lambda folder: str(write_edf(folder / "c.edf", EDF_SIGNALS, annotations=[(3.0, "arousal")])),
    "edf+d": lambda folder: str(write_edf(folder / "d.edf", EDF_SIGNALS, onsets=EDF_ONSETS)),
    "bdf+d": lambda folder: str(write_edf(folder / "d.bdf", EDF_SIGNALS, onsets=EDF_ONSETS)),
    "mcap": lambda folder: str(record(folder / "x.mcap", ticks(patient(60), 2, 50))),
    "simulator": lambda folder: "demo:seed=7,duration=120",
}
REAL = {
    "surgery1": "vital/surgery1.vital",
    "intellivue_demo": "vital/intellivue_demo.vital",
    "v102s": "wfdb/v102s.hea",
    "041s": "wfdb/041s/041s.hea",
    "slp41m": "wfdb/slp41m.hea",
    "s25047": "wfdb/s25047/s25047-2704-05-04-10-44.hea",
}


@pytest.fixture(
    scope="module",
    params=[*SOURCES, *(pytest.param(name, marks=pytest.mark.recordings) for name in REAL)],
)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    if request.param in SOURCES:
        source = SOURCES[request.param](tmp_path_factory.mktemp("recording"))
    else:
        source = str(request.getfixturevalue("recordings") / REAL[request.param])
    opened = open_recording(source)
    yield opened
    opened.close()


def waves(recording: Recording) -> list[Track]:
    found = [t for t in recording.tracks if t.kind is TrackKind.WAVE]
    assert found
    return found


def test_protocol_and_metadata(recording: Recording) -> None:
    assert isinstance(recording, Recording)
    assert recording.name
    assert "/" not in recording.name
    names = [t.name for t in recording.tracks]
    assert len(set(names)) == len(names)
    assert recording.tracks == recording.tracks
    for track in recording.tracks:
        assert np.isfinite(track.start_s)
        assert track.samples >= 0
        if track.kind is TrackKind.WAVE:
            assert track.rate_hz is not None
            assert track.rate_hz > 0
            assert track.end_s <= recording.duration_s + 1 / track.rate_hz
        else:
            assert track.rate_hz is None


def test_gaps_are_ordered_inside_the_track_and_hold_no_data(recording: Recording) -> None:
    for track in waves(recording):
        end = track.start_s
        for begin, stop in track.gaps_s:
            assert end < begin < stop or (begin == end == track.start_s)
            assert stop <= track.end_s + 1e-9
            end = stop
            segment = recording.read(track.name, begin, stop)
            assert len(segment.values)
            assert np.isnan(segment.values).all()


def test_a_whole_track_is_its_pieces(recording: Recording) -> None:
    """Reading in pieces of any size gives the same samples at the same indices."""
    for track in waves(recording):
        span = min(track.end_s - track.start_s, 40.0)
        whole = recording.read(track.name, track.start_s, track.start_s + span)
        assert whole.first_index == 0
        assert whole.values.dtype == np.float32
        assert whole.values.ndim == 1
        pieces, expected_index = [], 0
        edges = np.linspace(track.start_s, track.start_s + span, 38)
        for begin, end in pairwise(edges):
            piece = recording.read(track.name, begin, end)
            assert piece.first_index == expected_index
            expected_index += len(piece.values)
            pieces.append(piece.values)
        np.testing.assert_array_equal(np.concatenate(pieces), whole.values)


@given(st.data())
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_range_holds_exactly_the_samples_in_it(recording: Recording, data) -> None:
    track = data.draw(st.sampled_from(waves(recording)))
    rate = track.rate_hz or 1.0
    begin = data.draw(st.floats(track.start_s - 3, track.end_s + 3))
    end = begin + data.draw(st.floats(0, 5))
    segment = recording.read(track.name, begin, end)
    first, count = segment.first_index, len(segment.values)
    assert 0 <= first <= track.samples
    assert first + count <= track.samples
    slack = 1e-5 / rate  # float64 seconds
    if count:
        assert track.start_s + first / rate >= begin - slack
        assert track.start_s + (first + count - 1) / rate < end + slack
        if first:
            assert track.start_s + (first - 1) / rate < begin + slack
        if first + count < track.samples:
            assert track.start_s + (first + count) / rate >= end - slack
    again = recording.read(track.name, begin, end)
    np.testing.assert_array_equal(again.values, segment.values)


def test_ranges_outside_are_empty(recording: Recording) -> None:
    for track in waves(recording):
        for begin, end in [
            (track.start_s - 10, track.start_s - 1),
            (track.end_s + 1, track.end_s + 10),
            (track.start_s + 1, track.start_s + 1),
        ]:
            assert len(recording.read(track.name, begin, end).values) == 0


def test_missing_is_nan_and_there_is_something(recording: Recording) -> None:
    for channel in map_channels(recording).channels.values():
        track = next(t for t in recording.tracks if t.name == channel.track)
        values = recording.read(track.name, track.start_s, min(track.end_s, track.start_s + 60)).values
        assert not np.isinf(values).any()
        assert np.isfinite(values).any()


def test_returned_samples_belong_to_the_caller(recording: Recording) -> None:
    track = waves(recording)[0]
    values = recording.read(track.name, track.start_s, track.start_s + 1).values
    before = values.copy()
    values[:] = -12345
    np.testing.assert_array_equal(recording.read(track.name, track.start_s, track.start_s + 1).values, before)


def test_unknown_and_numeric_tracks_raise_key_error(recording: Recording) -> None:
    with pytest.raises(KeyError):
        recording.read("no such track", 0, 1)
    with pytest.raises(KeyError):
        recording.numerics("no such track")
    for track in recording.tracks:
        if track.kind is not TrackKind.WAVE:
            with pytest.raises(KeyError):
                recording.read(track.name, 0, 1)


def test_numerics_and_events_are_in_order(recording: Recording) -> None:
    for track in recording.tracks:
        if track.kind is TrackKind.NUMERIC:
            times, values = recording.numerics(track.name)
            assert times.shape == values.shape
            assert times.dtype == values.dtype == np.float64
            assert np.all(np.diff(times) >= 0)
            assert not np.isinf(values).any()  # unknown is NaN
    events = recording.events()
    assert events == sorted(events)
    assert all(isinstance(text, str) for _, text in events)


def test_mapped_channels_give_every_sample_once(recording: Recording) -> None:
    """What a session streams in ticks of 50 ms is the recording, sample for sample."""
    channels = map_channels(recording)
    begin_ns, end_ns = 2 * 10**9, 6 * 10**9
    for modality, channel in channels.channels.items():
        ticks = [channels.read(modality, t, t + 50_000_000) for t in range(begin_ns, end_ns, 50_000_000)]
        index = min(max(channel.first_index_at(begin_ns), 0), channel.samples)
        for tick in ticks:
            if len(tick.values):
                assert tick.first_index == index
                index += len(tick.values)
        assert index == min(max(channel.first_index_at(end_ns), 0), channel.samples)
        streamed = np.concatenate([tick.values for tick in ticks])
        np.testing.assert_array_equal(streamed, channels.read(modality, begin_ns, end_ns).values)
    assert min(channel.origin_ns for channel in channels.channels.values()) == 0
    assert channels.duration_s <= recording.duration_s - channels.zero_s + 0.05
