"""Files over HTTP into a cache: resumable, checked, with bounded retries; a half-fetched file never has its name.

A file grows as ``name.part`` and is renamed when it is whole. An interrupted one goes on from where it stopped (HTTP
range requests, RFC 9110 section 14), unless the server's copy has changed or it cannot serve ranges.
"""

from __future__ import annotations

import errno
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from models.signals.errors import BadInput, VigilError

TIMEOUT_S = 20.0
ATTEMPTS = 4
WAIT_S = 1.0
"""Before the second attempt; doubled before each further one."""
MAX_BYTES = 4 << 30
_PIECE = 1 << 18
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class Unreachable(BadInput):
    """The server did not answer, attempt after attempt: asking it for other files is of no use now."""


class Answer(Protocol):
    """What is used of ``http.client.HTTPResponse``."""

    status: int

    def getheader(self, name: str) -> str | None:
        """The header's value; None where the server sent none."""

    def read(self, amount: int) -> bytes:
        """At most ``amount`` bytes of the body; empty at its end."""


Open = Callable[[str, dict[str, str]], AbstractContextManager[Answer]]
"""Opens an address with headers. Raises OSError as ``urllib`` does."""


def open_url(address: str, headers: dict[str, str]) -> AbstractContextManager[Answer]:
    """The server's answer to a request with ``headers``. Raises OSError as :func:`urllib.request.urlopen` does."""
    answer: AbstractContextManager[Answer] = urllib.request.urlopen(
        urllib.request.Request(address, headers=headers), timeout=TIMEOUT_S
    )
    return answer


def fetch(
    address: str, path: Path, what: str, check: Callable[[Path], None], *,
    opened: Open = open_url, wait: Callable[[float], None] = time.sleep,
    received: Callable[[int], None] = lambda _: None,
) -> None:  # fmt: skip
    """``address`` to ``path``; nothing is done where that exists.

    what: the file in words. check: raises BadInput for a file that is whole but of the wrong kind or damaged; it is
    thrown away and fetched once more. received: called with the number of bytes of each piece.

    Raises BadInput where the server does not have it or sends damage again and again, Unreachable where it does not
    answer, VigilError for a full disk (what was fetched so far is kept, so the next run goes on).
    """
    if path.is_file():
        return
    part = path.with_name(path.name + ".part")
    trouble: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            wait(WAIT_S * 2 ** (attempt - 1))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _go_on(address, part, what, opened, received)
            check(part)
            part.replace(path)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what is there is longer than the server's copy
                part.unlink(missing_ok=True)
            elif error.code not in _AGAIN:
                raise BadInput(
                    f"{what} on the server", f"its answer {error.code} {error.reason}", "check the number, or try later"
                ) from error
            trouble = error
        except BadInput as error:
            part.unlink(missing_ok=True)
            trouble = error
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise VigilError(
                    f"The disk is full at {what} (what was fetched is kept as {part.name}): free some space, or choose "
                    "another folder, and run the same command again."
                ) from error
            if isinstance(error, PermissionError):
                raise BadInput("a folder that can be written", f"{path.parent} cannot", "choose another") from error
            trouble = error
    if isinstance(trouble, BadInput):
        raise trouble
    reason = getattr(trouble, "reason", None) or trouble
    raise Unreachable(
        f"an answer for {what}", f"no connection after {ATTEMPTS} attempts ({reason})",
        "check the network and run again (it goes on from here), or go on without downloading",
    )  # fmt: skip


def _go_on(address: str, part: Path, what: str, opened: Open, received: Callable[[int], None]) -> None:
    """One attempt: appends to ``part`` what is missing. Raises OSError where the connection ends early."""
    mark = part.with_name(part.name + ".etag")
    have = part.stat().st_size if part.is_file() else 0
    tag = mark.read_text(encoding="utf-8") if have and mark.is_file() else ""
    if not tag:
        have = 0  # without a mark of the copy, two versions could be sewn together
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    with opened(address, headers) as answer:
        going_on = have > 0 and answer.status == 206 and _range_start(answer) == have
        whole = _length(answer, have if going_on else 0)
        if whole is not None and whole > MAX_BYTES:
            raise BadInput(f"at most {MAX_BYTES >> 30} GiB for {what}", f"{whole >> 30} GiB", "fetch it by hand")
        new_tag = answer.getheader("ETag") or ""
        if not new_tag or new_tag.startswith("W/"):  # a weak one does not promise the same bytes
            new_tag = answer.getheader("Last-Modified") or ""
        if new_tag:
            mark.write_text(new_tag, encoding="utf-8")
        else:
            mark.unlink(missing_ok=True)
        size = have if going_on else 0
        with part.open("ab" if going_on else "wb") as stream:
            while piece := answer.read(_PIECE):
                size += len(piece)
                if size > MAX_BYTES:
                    raise BadInput(f"at most {MAX_BYTES >> 30} GiB for {what}", "more", "fetch it by hand")
                stream.write(piece)
                received(len(piece))
    if whole is not None and size != whole:
        raise ConnectionError(f"{size} of {whole} bytes came")
    mark.unlink(missing_ok=True)


def _range_start(answer: Answer) -> int | None:
    text = (answer.getheader("Content-Range") or "").removeprefix("bytes ").partition("-")[0].strip()
    return int(text) if text.isdigit() else None


def _length(answer: Answer, have: int) -> int | None:
    """Bytes of the whole file, where the server says so."""
    text = answer.getheader("Content-Length") or ""
    return have + int(text) if text.isdigit() else None
