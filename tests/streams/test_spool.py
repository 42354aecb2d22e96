"""The queue on disk: first in, first out, never above its limit, and whole messages only, whatever happened to it."""

from __future__ import annotations

import stat
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.spool import SEGMENTS, Spool

HEAD = 8  # bytes before each message
MESSAGES = st.binary(max_size=60)


@given(st.lists(st.one_of(MESSAGES, st.none(), st.just("again")), max_size=60), st.integers(1, 2000))
def test_it_gives_the_newest_that_fit_in_order(steps: list[bytes | str | None], limit: int) -> None:
    """bytes are put in, None takes one out, "again" is a process that ended and one that goes on."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        spool, model = Spool(folder, limit), deque[bytes]()
        put = taken = dropped = refused = 0
        for step in steps:
            if isinstance(step, bytes):
                put += 1
                gone = spool.push(step)
                if HEAD + len(step) > limit:
                    assert gone == 1
                    refused += 1
                    continue
                model.append(step)
                dropped += gone
                for _ in range(gone):
                    model.popleft()
            elif step is None:
                message = spool.pop()
                taken += message is not None
                assert message == (model.popleft() if model else None)
            elif not taken:  # who goes on does not know what was taken out of a segment
                spool.release()
                spool = Spool(folder, limit)
            assert len(spool) == len(model) == put - taken - dropped - refused
            assert spool.size <= limit
            assert sum(file.stat().st_size for file in folder.iterdir()) <= limit
        spool.close()
        assert not list(folder.iterdir())


@given(st.lists(MESSAGES, min_size=1, max_size=20), st.data())
def test_whatever_a_killed_process_left_is_whole_messages_from_the_oldest_on(
    messages: list[bytes], data: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        first = Spool(folder, 1 << 20)
        for message in messages:
            first.push(message)
        first.release()
        (file,) = folder.iterdir()
        lying = file.read_bytes()
        if data.draw(st.booleans()):
            kept = data.draw(st.integers(0, len(lying)))
            file.write_bytes(lying[:kept])
        else:
            kept = data.draw(st.integers(0, len(lying) - 1))
            file.write_bytes(lying[:kept] + bytes([lying[kept] ^ 0x55]) + lying[kept + 1 :])
        ends = [sum(HEAD + len(m) for m in messages[: n + 1]) for n in range(len(messages))]
        whole = messages[: sum(end <= kept for end in ends)]
        spool = Spool(folder, 1 << 20)
        assert len(spool) == len(whole)
        spool.push(b"after")
        assert [spool.pop() for _ in range(len(whole) + 2)] == [*whole, b"after", None]


def test_the_oldest_goes_where_there_is_no_room(tmp_path: Path) -> None:
    limit = SEGMENTS * 100
    spool = Spool(tmp_path, limit)
    dropped = [spool.push(b"%092d" % n) for n in range(SEGMENTS + 3)]  # each fills a segment
    assert dropped == [0] * SEGMENTS + [1] * 3
    assert [int(spool.pop() or b"-1") for _ in range(SEGMENTS + 1)] == [*range(3, SEGMENTS + 3), -1]


def test_nobody_else_may_read_what_lies_there(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1000)
    spool.push(b"a patient")
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_message_that_a_full_disk_cut_off_is_not_in_it_and_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 10_000)
    spool.push(b"before")
    real = spool._tail
    assert real is not None

    class Full:
        def write(self, what: bytes) -> int:
            return real.write(what[:5])

        def close(self) -> None:
            real.close()

    monkeypatch.setattr(spool, "_tail", Full())
    with pytest.raises(OSError, match="No space"):
        spool.push(b"cut off")
    assert len(spool) == 1
    spool.push(b"after")
    assert [spool.pop() for _ in range(3)] == [b"before", b"after", None]


def test_it_wants_room() -> None:
    with pytest.raises(ValueError, match="at least a byte"):
        Spool(Path("nowhere"), 0)
