"""VitalDB's open data set (Lee et al., Sci Data 2022, 9:279; CC BY-NC-SA 4.0), by case id.

A case is one ``.vital`` file, found at the address that the ``vitaldb`` package knows. It is fetched once, with a
time limit, into the user's cache, and then read like any other ``.vital`` file.
"""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from models.signals.errors import BadInput
from models.signals.readers.vital import VitalRecording

LAST_CASE = 6388
TIMEOUT_S = 8.0
"""Longest wait for an answer, and for each piece of it."""
MAX_DOWNLOAD_BYTES = 2 << 30
CASES_KEPT = 20
_PIECE_BYTES = 1 << 18


def open_case(case: str, cache: Path | None = None) -> VitalRecording:
    """The case with id ``case`` (1 to 6388), from the cache or from VitalDB.

    Raises BadInput for another id, and where VitalDB cannot be reached or does not answer in time.
    """
    text = case.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= LAST_CASE):
        raise BadInput(f"a VitalDB case from 1 to {LAST_CASE}", repr(case), "write for example vitaldb:1")
    number = int(text)
    folder = cache or _cache_folder()
    path = folder / f"{number}.vital"
    if not path.is_file():
        _fetch(number, path)
    os.utime(path)
    _forget_oldest(folder)
    return VitalRecording(path, name=f"vitaldb:{number}")


def _cache_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("vigil", appauthor=False)) / "vitaldb"


def _address(number: int) -> str:
    """Where the package's own loader finds a case (``VitalFile.load_opendata``)."""
    from vitaldb import dataset

    return f"{dataset.api_url}/{dataset.DATASET_VERSION}/{number}.vital"


def _fetch(number: int, path: Path) -> None:
    """Download a case beside ``path`` and move it there when it is whole."""
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(_address(number), timeout=TIMEOUT_S) as answer:
            expected = answer.headers.get("Content-Length")
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
                partial = Path(file.name)
                received = 0
                while piece := answer.read(_PIECE_BYTES):
                    received += len(piece)
                    if received > MAX_DOWNLOAD_BYTES:
                        raise BadInput(f"a case of at most {MAX_DOWNLOAD_BYTES >> 30} GiB", "more", "open a file")
                    file.write(piece)
        if expected is not None and expected.isdigit() and received != int(expected):
            raise BadInput(f"{expected} bytes of VitalDB case {number}", f"{received}", "try again")
        os.replace(partial, path)
        partial = None
    except urllib.error.HTTPError as error:
        raise BadInput(
            f"VitalDB case {number} on the server", f"its answer {error.code} {error.reason}", "try another case"
        ) from error
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", None) or error
        raise BadInput(
            f"VitalDB's server to answer within {TIMEOUT_S:g} s",
            f"no connection ({reason})",
            f"check the network, or download case {number} elsewhere and open the .vital file",
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _forget_oldest(folder: Path) -> None:
    """Keep the cases used last."""
    cases = sorted(folder.glob("*.vital"), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in cases[CASES_KEPT:]:
        path.unlink(missing_ok=True)
