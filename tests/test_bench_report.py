"""One results format: what is published can be read again, says where it comes from, and tells no paths."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.tables import table
from models.signals.errors import VigilError

TEXT = "## Of beds\n\n" + table(["beds", "p99 (ms)", "note"], [[4, 1.25, "kept up"], [8, None, "late"]])


def test_what_is_published_is_read_again_as_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["/somewhere/benchmarks/__main__.py", "ward", "/home/me/case.vital", "--beds", "4"]
    )
    report.publish(TEXT, tmp_path / "of" / "ward.md", {"all_ms": [1.0, math.nan]})
    told = json.loads((tmp_path / "of" / "ward.json").read_text())
    columns = ["beds", "p99 (ms)", "note"]
    assert told["tables"] == [{"columns": columns, "rows": [[4, 1.25, "kept up"], [8, None, "late"]]}]
    assert told["figures"] == {"all_ms": [1.0, None]}
    assert told["command"] == "python -m benchmarks ward case.vital --beds 4"
    assert {"numpy", "onnxruntime"} <= told["versions"].keys()
    words = (tmp_path / "of" / "ward.md").read_text()
    assert words.startswith(TEXT) and "`python -m benchmarks ward case.vital --beds 4`" in words
    assert "/home/me" not in words + json.dumps(told)
    assert capsys.readouterr().out == TEXT + "\n"


def test_a_picture_is_drawn_beside_or_its_absence_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn: list[Path] = []
    report.publish(TEXT, tmp_path / "a.md", draw=drawn.append)
    assert drawn == [tmp_path / "a.png"]

    def cannot(path: Path) -> None:
        raise ImportError(name="matplotlib")

    report.publish(TEXT, tmp_path / "b.md", draw=cannot)
    assert (tmp_path / "b.json").is_file() and "matplotlib is not installed" in capsys.readouterr().err


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VigilError, match="could not be written"):
        report.publish(TEXT, tmp_path / "file" / "ward.md")


def test_a_text_without_tables_has_none() -> None:
    assert report.tables_of("no | table\nhere") == []
