"""A small file is replaced whole or not at all, and nothing is left beside it."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from models.signals.files import write_whole

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and links of files")


def test_it_is_made_with_its_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.toml"
    for content in (b"one\r\n", b""):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert [found.name for found in path.parent.iterdir()] == ["x.toml"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_disk_that_is_full_leaves_the_file_before_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*(os, "fsync", full) if failing == "fsync" else (Path, "replace", full))
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"after")
    assert [found.name for found in tmp_path.iterdir()] == ["x"] and path.read_bytes() == b"before"


@POSIX
def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "x", tmp_path / "link"
    write_whole(path, b"a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    link.symlink_to(path)
    write_whole(link, b"b")
    assert link.is_symlink() and path.read_bytes() == b"b" and stat.S_IMODE(path.stat().st_mode) == 0o644
    write_whole(path, b"c", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
