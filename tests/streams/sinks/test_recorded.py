"""A recorded session played again: the same samples, the same windows, the same records, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from models.signals.channels import ChannelMap, map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.recording import Recording
from models.signals.times import SECOND_NS
from streams.codec import chunk_values, samples_to_bytes
from streams.records import CommandRecord, WaveChunk, WaveTick
from streams.sources.bed_replay import Drop
from streams.sources.recorded import RecordedSession, open_recorded
from tests.streams.sinks.records_made import (
    TICK_NS,
    S,
    bed_record,
    one_of_each,
    outcome,
    patient,
    ramp_tick,
    record,
    ticks,
)

ABP = Modality.ABP


def replayed(session: RecordedSession, made: Sequence[WaveTick]) -> list[WaveTick]:
    """What a replay of the recording sends over the span of the ticks that were recorded."""
    channels = session.channel_map()
    assert (channels.begin_ns, channels.end_ns) == (made[0].start_ns, made[-1].end_ns)
    return ticks(
        channels, channels.begin_ns / S, channels.end_ns / S, epoch=made[0].epoch, drops=channels.drops,
    )  # fmt: skip


def same(path: Path, made: Sequence[WaveTick], epoch: int | None = None) -> RecordedSession:
    """Asserts that the recording, played again, sends the ticks that were recorded and that they come to the same."""
    session = RecordedSession(path, epoch=epoch)
    again = replayed(session, made)
    assert again == list(made)
    assert outcome(again) == outcome(made)
    return session


def test_a_session_comes_out_byte_for_byte(tmp_path: Path) -> None:
    channels = patient(40)
    made = ticks(channels, 0, 40)
    path = record(tmp_path / "x.mcap", [bed_record(channels), *made, *one_of_each()[2:]])
    session = same(path, made)
    assert isinstance(session, Recording) and session.name == "x.mcap" and session.duration_s == 40
    assert session.zero_unix_ns == 1_700_000_000 * S
    assert outcome(made), "there are windows to compare"


def test_begun_in_the_middle_times_and_indices_stay_those_of_the_session(tmp_path: Path) -> None:
    channels = patient(40)
    made = ticks(channels, 12.34, 31)
    session = same(record(tmp_path / "x.mcap", made), made)
    assert session.channel_map().begin_ns == 12_340_000_000
    assert all(track.gaps_s[0][0] <= 0.1 and 12.3 < track.gaps_s[0][1] < 12.4 for track in session.tracks)


def test_withheld_and_missing_samples_are_withheld_and_missing_again(tmp_path: Path) -> None:
    channels = patient(60)
    drops = [Drop(ABP, 20.0, 31.02), Drop(Modality.PPG, 25.0, 26.0), Drop(ABP, 40.0, 41.0)]
    made = []
    for tick in ticks(channels, 0, 60, drops=drops):
        chunks = []
        for chunk in tick.chunks:
            values = chunk_values(chunk.data).copy()
            if chunk.modality == "ECG" and 33 * S <= tick.start_ns < 35 * S:
                values[:] = np.nan
            chunks.append(replace(chunk, data=samples_to_bytes(values)))
        made.append(replace(tick, chunks=chunks))
    session = same(record(tmp_path / "x.mcap", made), made)
    assert {(d.modality, d.start_s, d.end_s) for d in session.channel_map().drops} == {
        (ABP, 20.0, 31.05), (Modality.PPG, 25.0, 26.0), (ABP, 40.0, 41.0),
    }  # fmt: skip


def holed(made: Sequence[WaveTick], begin_s: float, end_s: float, modality: str = "ABP") -> list[WaveTick]:
    """A device that sends nothing for a while: empty chunks."""
    return [
        replace(tick, chunks=[
            replace(c, data=b"") if c.modality == modality and begin_s * S <= tick.start_ns < end_s * S else c
            for c in tick.chunks
        ])
        for tick in made
    ]  # fmt: skip


def test_a_gap_without_samples_gives_the_same_windows_and_is_listed(tmp_path: Path) -> None:
    made = holed(ticks(patient(40), 0, 40), 15, 22)
    session = RecordedSession(record(tmp_path / "x.mcap", made))
    assert outcome(replayed(session, made)) == outcome(made)
    track = next(t for t in session.tracks if t.name.startswith("ABP"))
    assert track.gaps_s == ((15.0, 22.0),)
    assert np.isnan(session.read(track.name, 14.0, 23.0).values).sum() == 7 * track.rate_hz


def test_an_end_without_samples_belongs_to_it(tmp_path: Path) -> None:
    channels = patient(30)
    made = ticks(channels, 0, 30)
    for modality in channels.channels:
        made = holed(made, 24, 31, modality.value)
    session = RecordedSession(record(tmp_path / "x.mcap", made))
    assert session.channel_map().duration_s == 30
    assert outcome(replayed(session, made)) == outcome(made)


def test_ticks_that_were_lost_leave_a_gap_and_duplicates_nothing(tmp_path: Path) -> None:
    made = [ramp_tick(i) for i in range(100)]
    sent = [*made[:40], *made[35:45], *made[60:]]
    session = RecordedSession(record(tmp_path / "x.mcap", sent))
    values = session.read("ECG/II", 0, 5).values
    assert session.tracks[0].gaps_s == ((2.25, 3.0),)
    expected = np.arange(2500, dtype=np.float32)
    expected[45 * 25 : 60 * 25] = np.nan
    np.testing.assert_array_equal(values, expected)


def test_epochs_of_a_recording_that_was_sought_in_are_one_again(tmp_path: Path) -> None:
    channels = patient(60)
    epochs = [
        ticks(channels, 0, 20, epoch=0)[:-1],
        ticks(channels, 40, 60, epoch=1)[:-1],
        ticks(channels, 15, 30, epoch=2),
    ]
    path = record(tmp_path / "x.mcap", [bed_record(channels), *(t for made in epochs for t in made)])
    session = RecordedSession(path)
    assert not session.notes
    for track, channel in zip(session.tracks, channels.channels.values(), strict=True):
        assert len(track.gaps_s) == 1 and track.gaps_s[0] == pytest.approx((30.0, 40.0), abs=1 / channel.rate_hz)
        for begin, end in ((0.0, 30.0), (40.0, 60.0)):
            original = channels.read(channel.modality, round(begin * S), round(end * S)).values
            np.testing.assert_array_equal(session.read(track.name, begin, end).values, original)
    for number, made in enumerate(epochs):  # each alone comes to what it came to then
        alone = RecordedSession(path, epoch=number).channel_map()
        again = ticks(alone, alone.begin_ns / S, alone.end_ns / S, epoch=number)
        again = again if made[-1].eos else again[:-1]
        assert again == made and outcome(again) == outcome(made)


def test_two_pasts_of_a_device_are_not_glued(tmp_path: Path) -> None:
    first = [ramp_tick(i) for i in range(100)]
    second = [
        replace(t, epoch=1, chunks=[replace(t.chunks[0], data=samples_to_bytes(-chunk_values(t.chunks[0].data)))])
        for t in first[50:80]
    ]
    path = record(tmp_path / "x.mcap", [*first, *second])
    session = RecordedSession(path)
    assert "epoch 0 is played, 1 can be named" in session.notes[0]
    assert (session.read("ECG/II", 0, 5).values >= 0).all()
    other = open_recorded(f"{path}#a@1")
    assert (other.read("ECG/II", 2.5, 4).values < 0).all() and other.channel_map().begin_ns == 50 * TICK_NS
    with pytest.raises(BadInput, match="one of the epochs 0, 1"):
        open_recorded(f"{path}#a@7")


def test_a_clock_that_jumped_ahead_leaves_a_gap(tmp_path: Path) -> None:
    early, late = [ramp_tick(i) for i in range(40)], [ramp_tick(i, epoch=1) for i in range(4000, 4040)]
    session = RecordedSession(record(tmp_path / "x.mcap", [*early, *late]))
    assert session.tracks[0].gaps_s == ((2.0, 200.0),) and not session.notes


def test_of_several_beds_one_is_named(tmp_path: Path) -> None:
    path = record(tmp_path / "x.mcap", [ramp_tick(0), ramp_tick(0, bed="b"), ramp_tick(1, bed="b")])
    with pytest.raises(BadInput, match=r"Expected one bed, found 'a', 'b' in 'x\.mcap'; name one: x\.mcap#BED\."):
        open_recorded(str(path))
    assert open_recorded(f"{path}#b").duration_s == 0.1
    with pytest.raises(BadInput, match="one of the beds 'a', 'b', found 'c'"):
        open_recorded(f"{path}#c")


def test_another_session_in_the_file_is_left_out_and_said(tmp_path: Path) -> None:
    other = [replace(ramp_tick(i), session="t") for i in range(9)]
    session = RecordedSession(record(tmp_path / "x.mcap", [*(ramp_tick(i) for i in range(20)), *other]))
    assert session.duration_s == 1.0 and session.notes == ["1 other sessions in the file are left out"]


def test_names_are_known_without_the_exact_map_too(tmp_path: Path) -> None:
    channels = patient(30)
    session = RecordedSession(record(tmp_path / "x.mcap", ticks(channels, 0, 30)))
    by_name: ChannelMap = map_channels(session)
    assert by_name.zero_s == 0
    for modality, channel in session.channel_map().channels.items():
        assert by_name.channels[modality] == replace_label(channel, by_name.channels[modality].label)


def replace_label(channel: object, label: str) -> object:
    from dataclasses import replace as changed

    return changed(channel, label=label)  # type: ignore[type-var]


def test_leads_keep_their_numbers(tmp_path: Path) -> None:
    def tick(i: int) -> WaveTick:
        wave = ramp_tick(i).chunks[0]
        standby = WaveChunk(
            "ECG", "II", 500.0, 0, wave.first_index, samples_to_bytes(-chunk_values(wave.data)), False, 1
        )
        return replace(ramp_tick(i), chunks=[wave, standby])

    made = [tick(i) for i in range(100)]
    session = RecordedSession(record(tmp_path / "x.mcap", made))
    assert [t.name for t in session.tracks] == ["ECG/II", "ECG/II 1"]
    leads = session.channel_map().leads[Modality.ECG]
    assert [(c.lead, c.label) for c in leads] == [(0, "II"), (1, "II")]
    assert (session.channel_map().read(Modality.ECG, 0, 5 * S, 1).values <= 0).all()
    assert replayed(session, made)[:-1] == made


# -- ticks as they were sent ----------------------------------------------------------------------------------------


def sent_again(session: RecordedSession, made: Sequence[WaveTick], drops: Sequence[Drop] = ()) -> list[WaveTick]:
    """What the exact replay sends for the ticks of ``made``, decoded in blocks of a second."""
    channels = session.channel_map()
    replay = channels.replay("a", "s", channels.end_ns, drops)
    again = []
    for tick in made:
        block = tick.start_ns // S * S
        decoded = replay.decode(block, block + S)
        again.append(replace(tick, chunks=[] if tick.eos else replay.chunks(decoded, tick.start_ns, tick.end_ns)))
    return again


def corrected(seconds: float) -> list[WaveTick]:
    """A device at 500 Hz whose clock is found to be off by 0.4 % after two seconds, and by −0.2 % after five: its index
    runs on, its rate and origin change at the first sample of a tick."""
    made, index, rate, origin_ns = [], 0, 500.0, 0
    for sequence in range(round(seconds * 20)):
        start_ns, end_ns = sequence * TICK_NS, (sequence + 1) * TICK_NS
        if start_ns in (2 * S, 5 * S):
            at_ns = origin_ns + index * 1e9 / rate
            rate = 502.0 if start_ns == 2 * S else 499.0
            origin_ns = round(at_ns - index * 1e9 / rate)
        count = 0
        while origin_ns + (index + count) * 1e9 / rate < end_ns:
            count += 1
        data = samples_to_bytes(np.arange(index, index + count, dtype=np.float32))
        chunk = WaveChunk("ECG", "II", rate, origin_ns, index, data)
        made.append(WaveTick(bed="a", session="s", epoch=0, tick_seq=sequence, start_ns=start_ns, end_ns=end_ns,
                             chunks=[chunk]))  # fmt: skip
        index += count
    return made


def test_a_device_whose_clock_was_corrected_is_sent_again_as_it_was(tmp_path: Path) -> None:
    made = corrected(40)
    session = RecordedSession(record(tmp_path / "x.mcap", made))
    again = sent_again(session, made)
    assert again == made and outcome(again) == outcome(made)
    assert "the device's clock was corrected" in session.notes[0]


def test_and_its_samples_lie_on_one_line_near_their_times(tmp_path: Path) -> None:
    session = RecordedSession(record(tmp_path / "x.mcap", corrected(40)))
    (track,) = session.tracks
    assert track.rate_hz == 499.0 and all(end < 0.001 for _, end in track.gaps_s), "none after time zero"
    segment = session.read(track.name, 0, 40)
    times = track.start_s + (segment.first_index + np.arange(len(segment.values))) / 499.0
    true = np.where(times < 2, times * 500, np.where(times < 5, 1000 + (times - 2) * 502, 2506 + (times - 5) * 499))
    known = np.isfinite(segment.values)
    assert known.mean() > 0.995 and np.abs(segment.values - true)[known].max() < 1.5


def test_other_ticks_hold_the_same_samples(tmp_path: Path) -> None:
    made = corrected(9)
    session = RecordedSession(record(tmp_path / "x.mcap", [*made[:31], *made[32:]]))
    longer = [replace(made[i], tick_seq=i // 3, end_ns=made[i + 2].end_ns, chunks=[]) for i in range(0, len(made), 3)]
    channels = session.channel_map()
    replay = channels.replay("a", "s", channels.end_ns)
    ticked = replay.decode(0, 9 * S)
    values = np.concatenate([chunk_values(c.data) for t in longer for c in replay.chunks(ticked, t.start_ns, t.end_ns)])
    expected = np.concatenate([chunk_values(t.chunks[0].data) for t in [*made[:31], *made[32:]]])
    np.testing.assert_array_equal(values[np.isfinite(values)], expected)
    assert len(values) == len(expected) + 25, "the tick that is missing between others is NaN"


def test_what_was_withheld_is_withheld_and_what_is_dropped_now_too(tmp_path: Path) -> None:
    channels = patient(20)
    made = ticks(channels, 0, 20, drops=[Drop(ABP, 5.0, 6.0)])
    session = RecordedSession(record(tmp_path / "x.mcap", made))
    assert sent_again(session, made) == made
    both = ticks(channels, 0, 20, drops=[Drop(ABP, 5.0, 6.0), Drop(Modality.ECG, 10.0, 12.0)])
    assert sent_again(session, made, [Drop(Modality.ECG, 10.0, 12.0)]) == both


def test_alarms_and_commands_are_its_events(tmp_path: Path) -> None:
    session = RecordedSession(record(tmp_path / "x.mcap", one_of_each()))
    assert session.events() == [
        (2.0, "high began: MAP 50"), (2.0, "high standing at the end: MAP 50"), (2.0, "operator: drop ABP"),
    ]  # fmt: skip


def test_an_acknowledgement_names_the_alarms(tmp_path: Path) -> None:
    """As they read; the times at which they began, which it says of each, are nobody's words."""
    seen = CommandRecord(
        bed="a", session="s", epoch=0, id="7", operator="", time_ns=3 * SECOND_NS, name="acknowledge",
        args={"k": 2.0, "hr.high": 1.0},
    )  # fmt: skip
    session = RecordedSession(record(tmp_path / "x.mcap", [*one_of_each(), seen]))
    assert session.events()[-1] == (3.0, "operator: acknowledge MAP 50, hr.high")


def test_without_waves_it_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a recording with waves, found none in 'x\.mcap'"):
        RecordedSession(record(tmp_path / "x.mcap", one_of_each()[2:]))


def test_reading_keeps_little_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.sources.recorded.CACHE_BYTES", 9000)
    session = RecordedSession(record(tmp_path / "x.mcap", [ramp_tick(i) for i in range(400)]))
    np.testing.assert_array_equal(session.read("ECG/II", 0, 20).values, np.arange(10_000, dtype=np.float32))
    assert sum(session._cached_bytes.values()) <= 9000 and session._cached_bytes.keys() == session._cache.keys()
