"""What the wire remembers of decoded messages, and that what is shared stays as it came."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.accounting import Accounting
from streams.codec import MAX_MESSAGE_BYTES, DecodeError, encode
from streams.feed import DisplayFeed
from streams.latency import LatencyBook
from streams.records import AnyRecord, PredictionRecord, WaveChunk, WaveTick
from streams.stages import ShowStage
from streams.transport.credits import Credits
from streams.wire import REMEMBERED_BYTES, DecodedMessages


def message(sequence: int, samples: int = 0) -> bytes:
    chunk = WaveChunk("EEG", "EEG1", 10_000.0, 0, 0, b"\0" * 4 * samples)
    return encode(
        WaveTick(bed="b", session="s", epoch=0, tick_seq=sequence, start_ns=0, end_ns=60 * 10**9, chunks=[chunk])
    )


def test_the_second_reader_finds_the_message_decoded() -> None:
    decoded = DecodedMessages()
    data = message(1, 5)
    assert decoded.read(data) is decoded.read(bytes(bytearray(data)))
    assert len(decoded) == 1 and decoded.size == len(data)


def test_the_largest_messages_take_no_more_than_their_room() -> None:
    decoded = DecodedMessages()
    large = [message(i, (MAX_MESSAGE_BYTES - 200) // 4) for i in range(12)]
    for data in large:
        decoded.read(data)
        assert decoded.size <= REMEMBERED_BYTES
    assert len(decoded) == 8


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 60)), max_size=40))
def test_what_is_remembered_is_bounded_and_right(read: list[tuple[int, int]]) -> None:
    decoded = DecodedMessages(messages=4, size=700)
    for sequence, samples in read:
        data = message(sequence, samples)
        record = decoded.read(data)
        assert isinstance(record, WaveTick) and encode(record) == data
        assert len(decoded) <= 4 and decoded.size <= 700


@pytest.mark.parametrize("data", [None, b"", b"\xc1", b"\0" * (MAX_MESSAGE_BYTES + 1)])
def test_what_cannot_be_read_is_not_remembered(data: bytes | None) -> None:
    decoded = DecodedMessages()
    for _ in range(2):
        with pytest.raises(DecodeError):
            decoded.read(data)
    assert len(decoded) == decoded.size == 0


def test_showing_a_prediction_does_not_change_the_record_that_others_read() -> None:
    came = PredictionRecord(
        bed="b", session="s", epoch=0, window_end_ns=0, model="m", backend="b", modalities=[], presence=[], ages_s=[],
        valid=True, abstain=False, reason="", risk={}, stamps_ns={"due": 5},
    )  # fmt: skip
    shown: list[AnyRecord] = []
    feed = DisplayFeed(10)
    book = LatencyBook(lambda: 0.0)
    show = ShowStage(
        [feed], Accounting(), book, Credits(1, ["show"]), lambda topic, tick: None, monotonic_ns=lambda: 99
    )
    show.subscribe(shown.append)
    asyncio.run(show.handle("predictions", came))
    assert came.stamps_ns == {"due": 5}
    for record in (*shown, *feed.drain()):
        assert isinstance(record, PredictionRecord) and record.stamps_ns == {"due": 5, "published": 99}
    assert len(shown) == 1 and book.report()["window_to_prediction"]["max"] is not None
