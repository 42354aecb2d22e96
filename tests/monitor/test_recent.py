"""The list of what was open before: bounded, its owner's alone, and nothing where it cannot be read."""

from __future__ import annotations

import json
import stat
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.errors import BadInput
from monitor.recent import MOST, MOST_BYTES, Entry, RecentFile, merged

names = st.sampled_from([("a",), ("b",), ("a", "b"), *((str(n),) for n in range(15))])


@given(st.lists(st.tuples(names, st.booleans(), st.one_of(st.none(), st.floats(0, 1e5)))))
def test_newest_first_none_twice_and_never_too_many(steps: list[tuple[tuple[str, ...], bool, float | None]]) -> None:
    entries: tuple[Entry, ...] = ()
    for now, (sources, first, position_s) in enumerate(steps):
        known = sources in [entry.sources for entry in entries]
        before = [entry.sources for entry in entries]
        entries = merged(entries, Entry(sources, float(now), position_s), first)
        after = [entry.sources for entry in entries]
        assert len(after) == len(set(after)) <= MOST
        if first:
            assert entries[0] == Entry(sources, float(now), position_s)
            assert after[1:] == [name for name in before if name != sources][: MOST - 1]
        else:
            assert after == before, "who was left is not opened anew"
            assert not known or Entry(sources, float(now), position_s) in entries


def test_the_oldest_is_forgotten(tmp_path: Path) -> None:
    file = RecentFile(tmp_path / "recent.json")
    for number in range(MOST + 3):
        file.put(Entry((str(number),), float(number)), first=True)
    assert [entry.sources for entry in file.read()] == [(str(n),) for n in range(MOST + 2, 2, -1)]
    entries: tuple[Entry, ...] = ()
    for number in range(MOST + 3):
        entries = merged(entries, Entry((str(number),), float(number)), True)
    assert len(entries) == MOST


def test_what_is_put_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "recent.json"
    file = RecentFile(path)
    assert file.read() == ()
    file.put(Entry(("/a/ü ö.vital", "demo"), 5.0, 1512.25), first=True)
    file.put(Entry(("lsl:",), 6.0), first=True)
    assert RecentFile(path).read() == (Entry(("lsl:",), 6.0), Entry(("/a/ü ö.vital", "demo"), 5.0, 1512.25))
    assert [found.name for found in path.parent.iterdir()] == ["recent.json"], "nothing is left beside it"
    file.forget()
    assert file.read() == () and not path.exists()
    file.forget()


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files")
def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    RecentFile(path).put(Entry(("/smith.vital",), 5.0), first=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"recent": 3}', b'{"recent": [{"sources": "a"}]}',
        b'{"recent": [{"sources": ["a"], "left_unix_s": "x"}]}', b" " * (MOST_BYTES + 1),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recent.json"
    path.write_bytes(content)
    file = RecentFile(path)
    assert file.read() == ()
    file.put(Entry(("a",), 1.0), first=True)
    assert file.read() == (Entry(("a",), 1.0),)


def test_entries_that_name_nothing_are_left_out_and_too_many_cut(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    rows = [{"sources": names, "left_unix_s": 1} for names in ([], [""], *([f"f{n}"] for n in range(30)))]
    path.write_text(json.dumps({"recent": rows}))
    assert [entry.sources for entry in RecentFile(path).read()] == [(f"f{n}",) for n in range(MOST)]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(BadInput, match="the list of what was open before"):
        RecentFile(blocked / "recent.json").put(Entry(("a",), 1.0), first=True)
    folder = tmp_path / "recent.json"
    folder.mkdir()
    with pytest.raises(BadInput):
        RecentFile(folder).forget()


def test_several_threads_lose_nothing(tmp_path: Path) -> None:
    file = RecentFile(tmp_path / "recent.json")
    threads = [
        threading.Thread(target=lambda n=n: file.put(Entry((str(n),), float(n)), first=True)) for n in range(MOST)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.sources for entry in file.read()} == {(str(n),) for n in range(MOST)}
