"""A whole session with a recorder beside it, and a session over what that wrote: the same records, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from models.signals.channels import ChannelMap
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.codec import encode
from streams.records import AnyRecord, BedRecord, PredictionRecord, StatusRecord, WaveTick
from streams.sinks.mcap import McapSink, topic_of
from streams.sinks.sink import SinkRunner
from streams.sources.bed_replay import Drop
from streams.sources.mcap_file import McapFile
from streams.sources.recorded import RecordedSession
from tests.streams.sinks.records_made import patient
from tests.streams.sources import FakeEngine, session_of

SECONDS = 60


def run(channels: ChannelMap, drops: Sequence[Drop], recording: Path) -> tuple[list[AnyRecord], FakeEngine]:
    """Runs a session at max with a recorder; its records as subscribers got them, and the model with its windows."""
    engine, kept = FakeEngine(), list[AnyRecord]()
    session = session_of({"a": lambda: channels}, WindowSpec(), lambda: engine, speed=None, drops=drops)
    recorder = SinkRunner(McapSink(recording))
    recorder.start()
    session.subscribe(recorder)
    session.subscribe(kept.append)
    session.start()
    assert session.wait(110)
    session.stop()
    recorder.close()
    status = recorder.status
    assert (status.written, status.dropped, status.failure) == (len(kept), 0, "")
    return kept, engine


def plain(records: Sequence[AnyRecord]) -> dict[str, list[bytes]]:
    """Records by topic without what a run has of its own: its name, and stamps of the clock."""
    found: dict[str, list[bytes]] = {}
    for record in records:
        changes: dict[str, object] = {"session": "s"}
        if isinstance(record, WaveTick):
            changes["due_ns"] = 0
        if isinstance(record, PredictionRecord):
            changes["stamps_ns"] = {}
        if isinstance(record, StatusRecord | BedRecord):
            continue
        found.setdefault(topic_of(record), []).append(encode(replace(record, **changes)))
    return found


def test_what_was_recorded_plays_again_to_the_same_records(tmp_path: Path) -> None:
    kept, model = run(patient(SECONDS), [Drop(Modality.ABP, 20.0, 40.0)], tmp_path / "x.mcap")
    file = McapFile(tmp_path / "x.mcap")
    assert [encode(r) for r in file.records()] == [encode(r) for r in kept], "the file has what subscribers got"
    assert file.complete and not file.notes

    channels = RecordedSession(tmp_path / "x.mcap").channel_map()
    again, model_again = run(channels, channels.drops, tmp_path / "again.mcap")
    assert plain(again) == plain(kept) and len(plain(kept)["predictions"]) > 30
    for window, before in zip(model_again.windows, model.windows, strict=True):
        assert window.end_s == before.end_s
        for name in ("signals", "presence", "cells", "context"):
            assert getattr(window, name).tobytes() == getattr(before, name).tobytes()
