"""Downloads: whole or not there, going on where they stopped, with an end to their patience."""

from __future__ import annotations

import contextlib
import email.message
import errno
import http.client
import io
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.data import download
from models.data.download import ATTEMPTS, fetch
from models.signals.errors import BadInput, VigilError

BODY = bytes(range(256)) * 40


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes, cut_after: int | None) -> None:
        self.status, self._headers = status, headers
        self._stream = io.BytesIO(body if cut_after is None else body[:cut_after])
        self._cut = cut_after is not None

    def getheader(self, name: str) -> str | None:
        return self._headers.get(name)

    def read(self, amount: int) -> bytes:
        piece = self._stream.read(min(amount, 1000))
        if not piece and self._cut:
            raise http.client.IncompleteRead(b"")
        return piece


class Server:
    """Serves ``body``; ``cuts``: after how many bytes each answer breaks off (None: never)."""

    def __init__(self, body: bytes = BODY, cuts: tuple[int | None, ...] = (), tag: str = '"1"', ranges: bool = True):
        self.body, self.cuts, self.tag, self.ranges = body, list(cuts), tag, ranges
        self.asked: list[dict[str, str]] = []

    @contextlib.contextmanager
    def __call__(self, address: str, headers: dict[str, str]) -> Iterator[Reply]:
        self.asked.append(headers)
        cut = self.cuts.pop(0) if self.cuts else None
        about = {"ETag": self.tag} if self.tag else {}
        start = int(headers.get("Range", "bytes=0-")[6:-1])
        if start and self.ranges and headers.get("If-Range") == self.tag:
            part = self.body[start:]
            about |= {"Content-Range": f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"}
            yield Reply(206, about | {"Content-Length": str(len(part))}, part, cut)
        else:
            yield Reply(200, about | {"Content-Length": str(len(self.body))}, self.body, cut)


def fine(_: Path) -> None:
    pass


def get(server: object, path: Path, check=fine) -> list[float]:
    waits: list[float] = []
    fetch("http://x/1", path, "case 1", check, opened=server, wait=waits.append)  # type: ignore[arg-type]
    return waits


def test_a_file_arrives_whole_and_is_not_asked_for_again(tmp_path: Path) -> None:
    server = Server()
    assert get(server, tmp_path / "a" / "1.vital") == []
    assert (tmp_path / "a" / "1.vital").read_bytes() == BODY
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["1.vital"]
    get(server, tmp_path / "a" / "1.vital")
    assert len(server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_one_goes_on_where_it_stopped(tmp_path: Path, ranges: bool) -> None:
    server = Server(cuts=(4000, 2000, None), ranges=ranges)
    waits = get(server, tmp_path / "1.vital")
    assert (tmp_path / "1.vital").read_bytes() == BODY
    assert [h.get("Range") for h in server.asked] == [None, "bytes=4000-", "bytes=6000-" if ranges else "bytes=2000-"]
    assert waits == [1.0, 2.0]


def test_the_next_run_goes_on_too_unless_the_copy_has_changed(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no connection after 4 attempts"):
        get(Server(cuts=(1000,) * ATTEMPTS), tmp_path / "1.vital")
    part = tmp_path / "1.vital.part"
    assert part.read_bytes() == BODY[: 1000 * ATTEMPTS]
    assert not (tmp_path / "1.vital").exists()
    changed = Server(body=BODY[::-1], tag='"2"')
    get(changed, tmp_path / "1.vital")
    assert changed.asked[0]["Range"] == "bytes=4000-"
    assert (tmp_path / "1.vital").read_bytes() == BODY[::-1]


def test_without_a_mark_of_the_copy_it_begins_anew(tmp_path: Path) -> None:
    server = Server(cuts=(4000, None), tag="")
    get(server, tmp_path / "1.vital")
    assert [h.get("Range") for h in server.asked] == [None, None]
    assert (tmp_path / "1.vital").read_bytes() == BODY


def test_damage_is_thrown_away_and_named_in_the_end(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def check(path: Path) -> None:
        seen.append(path.read_bytes())
        raise BadInput("an intact file", "damage", "fetch it again")

    with pytest.raises(BadInput, match="found damage"):
        get(Server(), tmp_path / "1.vital", check)
    assert seen == [BODY] * ATTEMPTS  # from the beginning each time
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_lacks_is_not_asked_for_twice(tmp_path: Path) -> None:
    asked = []

    def missing(address: str, headers: dict[str, str]):
        asked.append(address)
        raise urllib.error.HTTPError(address, 404, "Not Found", email.message.Message(), None)

    with pytest.raises(BadInput, match="case 1 on the server, found its answer 404"):
        get(missing, tmp_path / "1.vital")
    assert len(asked) == 1


def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    server, asked = Server(), []

    def busy(address: str, headers: dict[str, str]):
        asked.append(address)
        if len(asked) < 3:
            raise urllib.error.HTTPError(address, 503, "busy", email.message.Message(), None)
        return server(address, headers)

    assert get(busy, tmp_path / "1.vital") == [1.0, 2.0]


def test_no_network_says_so_and_what_to_do(tmp_path: Path) -> None:
    def unplugged(address: str, headers: dict[str, str]):
        raise urllib.error.URLError("unreachable")

    with pytest.raises(BadInput, match=r"no connection after 4 attempts \(unreachable\); check the network"):
        get(unplugged, tmp_path / "1.vital")


def test_a_full_disk_keeps_what_is_there_and_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput):
        get(Server(cuts=(1000,) * ATTEMPTS), tmp_path / "1.vital")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_go_on", full)
    with pytest.raises(VigilError, match="The disk is full at case 1") as error:
        get(Server(), tmp_path / "1.vital")
    assert not isinstance(error.value, BadInput)
    assert (tmp_path / "1.vital.part").stat().st_size == 4000


def test_an_endless_answer_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 5000)
    with pytest.raises(BadInput, match="fetch it by hand"):
        get(Server(), tmp_path / "1.vital")
    assert not (tmp_path / "1.vital").exists()
