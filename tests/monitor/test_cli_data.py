"""``vigil data``: tables of what was prepared, and one sentence where it cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.signals.errors import BadInput
from monitor.cli import app
from tests.data.real_files import write_case, write_night

runner = CliRunner()


def text_of(*arguments: str) -> str:
    done = runner.invoke(app, ["data", *arguments], catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_folder_is_prepared_and_reported(tmp_path: Path) -> None:
    for name in ("p1/a.vital", "p1/secret.vital", "p2/b.vital"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write_case(tmp_path / "in" / name, duration_s=60, leave_out=["SNUADC/PLETH"] if "b." in name else [])
    out = text_of(
        "folder", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--exclude", "secret*", "--processes", "1"
    )
    rows = [line.split() for line in out.splitlines()]
    assert ["excluded", "by", "name", "1", "2"] in rows
    assert ["a", "needed", "track", "is", "missing", "1", "1"] in rows
    assert "left out p2/b.vital: Expected tracks for PPG, found ECG (SNUADC/ECG_II)" in " ".join(out.split())
    assert "no patient in" in out and "another --salt" in out
    assert (tmp_path / "out" / "prepared.json").is_file()
    again = text_of("folder", str(tmp_path / "in"), "--out", str(tmp_path / "any"), "--need", "ABP", "--processes", "1")
    assert ["recordings", "in", "the", "folder", "0", "3"] in [line.split() for line in again.splitlines()]


def test_nights_are_prepared_with_their_stages(tmp_path: Path) -> None:
    for subject in range(2):
        write_night(tmp_path / "in", f"SC4{subject:02d}1", [(0, 60, "Sleep stage 2"), (60, 30, "Sleep stage R")], 90)
    out = text_of("sleep-edf", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--folds", "2", "--processes", "1")
    assert "N2 67%" in out and "REM 33%" in out


def test_bad_settings_and_folders_are_refused(tmp_path: Path) -> None:
    for arguments, found in (
        (("folder", str(tmp_path / "none")), "no folder"),
        (("folder", str(tmp_path), "--size", "huge"), "'huge'"),
        (("folder", str(tmp_path), "--stride-s", "0"), "at least 1"),
        (("folder", str(tmp_path), "--need", "ABP,XYZ"), "'XYZ'"),
        (("sleep-edf", str(tmp_path)), "nothing"),
        (("vitaldb", "--folder", str(tmp_path), "--no-download"), "neither"),
    ):
        with pytest.raises(BadInput, match=found):
            runner.invoke(app, ["data", *arguments, "--out", str(tmp_path / "out")], catch_exceptions=False)


def test_preparing_data_needs_no_torch() -> None:
    modules = "sys, models.data.prepare, models.data.vitaldb_cases, models.sizes, monitor.cli_data"
    code = f"import {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
