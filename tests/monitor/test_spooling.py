"""The folder of what is kept for a broker: private, gone in the end, and not left behind by who was killed."""

from __future__ import annotations

import stat
from pathlib import Path

from monitor.spooling import LOCK, SpoolFolder


def test_it_is_private_made_when_needed_and_gone_in_the_end(tmp_path: Path) -> None:
    base = tmp_path / "state" / "spool"
    folder = SpoolFolder("mine", 1000, base)
    assert not base.exists()
    spool = folder.open()
    assert stat.S_IMODE(base.stat().st_mode) == 0o700 == stat.S_IMODE((base / "mine").stat().st_mode)
    spool.push(b"a patient")
    folder.close()
    assert not list(base.iterdir())


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    living = SpoolFolder("living", 1000, tmp_path)
    living.open().push(b"still to be sent")
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / LOCK).touch()
    (tmp_path / "dead" / "00000001.spool").write_bytes(b"of a session that is over")
    (tmp_path / "something else").mkdir()
    SpoolFolder("mine", 1000, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"living", "something else"}
    living.close()
