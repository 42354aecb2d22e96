"""A problem report says what is needed to help, and no name of a patient, whatever things are called."""

from __future__ import annotations

import json
import logging
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor import problem_report
from monitor.config import in_force
from monitor.config_file import toml_words
from monitor.logs import _Hiding
from monitor.problem_report import ProblemReport, scrubbed
from monitor.redaction import Redactor

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=2, max_size=24
).filter(lambda name: any(c.isalpha() for c in name) and len(name.strip()) > 1 and name == name.strip())
VERSIONS = problem_report._versions()


def texts_of(
    bed: str, title: str, label: str, path: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Of a run whose every name got into the log, in the ways that names get there."""
    hidden = Redactor()
    monkeypatch.setattr(problem_report, "HIDDEN", hidden)
    monkeypatch.setattr("monitor.logs.HIDDEN", hidden)
    log = folder / "vigil.log"
    line = _Hiding("%(levelname)s %(name)s: %(message)s").format
    said = [
        f"bed {bed} lost",
        f"no track {label!r}_raw in {title}",
        f"cannot read {path}: gone",
        f"open({path!r})",
        f"x{title}x",
    ]
    log.write_text("".join(line(logging.LogRecord("vigil", 30, "", 0, words, (), None)) + "\n" for words in said))
    hidden.hide([title, label])
    monkeypatch.setattr(problem_report, "log_path", lambda: log)
    monkeypatch.setattr(problem_report, "_versions", lambda: VERSIONS)
    config = folder / "ward.toml"
    config.write_text(
        f"[recorder]\nfolder = {toml_words('/srv/Z' + title)}\n[sasl]\nusername = {toml_words(title)}\n"
        f"password_file = 'secret'\n[broker]\nprefix = 'icu-'\n[display]\ntheme = 'light'\n"
    )
    report = {
        "source": f"{title}, {path}",
        "samples": {"ECG": {"sent": 5}},
        "alarms": {"hr.high": {"count": 1, "highest_priority": "high"}},
        "backend": "onnx",
        "backend_notes": [f"no engine in {path}"],
        "model": title,
        "error": f"The source {path} of bed {bed} ended.",
    }
    made = ProblemReport(in_force(config, environment={}), lambda: report, lambda: [bed])
    out = folder / "report.zip"
    assert made.save(out)
    with ZipFile(out) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@settings(max_examples=40)
@given(NAMES, NAMES, NAMES, NAMES)
@example("Smith, John", "smith_1972 (2).vital", "ART+x", "O'Neill \\d")
@example("Bett 7", "Müller", "Ämne", "Case 12 Smith")
def test_no_name_of_anything_is_in_any_of_its_files(bed: str, title: str, label: str, name: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        path = f"/data/{name.replace('/', '-')}.vital"
        found = texts_of(bed, title, label, path, Path(folder), monkeypatch)
        report = json.loads(found["report.json"])
        assert "source" not in report and "model" not in report
        for text in (found["log.txt"], found["settings.toml"], found["report.json"]):
            assert path not in text and "/data/" not in text and folder not in text
            for word in (bed, title, label):
                if len(word) >= 5 and word.lower() not in PLAIN:
                    assert word.lower() not in text.lower()


PLAIN = "\n".join(
    (
        *problem_report._settings(in_force(environment={})),
        "samples alarms backend_notes highest_priority [hidden] [path]",
    )
).lower()
"""What every report says: a bed that is called "alarms" is not told by it."""


def test_it_says_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = texts_of("Theatre 2", "smith_1972", "ART", "/data/John Smith/a.vital", tmp_path, monkeypatch)
    assert set(found) == {"versions.txt", "settings.toml", "report.json", "log.txt"}
    assert "PySide6" in found["versions.txt"] and "Vigil" in found["versions.txt"]
    said = tomllib.loads(found["settings.toml"])
    assert said["display"]["theme"] == "light" and said["sound"]["volume"] == 60
    for secret in ("icu-", "secret", "smith", "/srv"):
        assert secret not in found["settings.toml"].lower()
    assert "# folder is set, not shown" in found["settings.toml"] and "# the settings file" in found["settings.toml"]
    report = json.loads(found["report.json"])
    assert report["samples"] == {"ECG": {"sent": 5}} and report["alarms"]["hr.high"]["highest_priority"] == "high"
    assert report["error"].startswith("The source [path]") and "Theatre" not in report["error"]
    assert "Smith" not in "".join(found.values()) and "bed [hidden] lost" in found["log.txt"]


def test_a_traceback_keeps_the_place_in_our_source() -> None:
    text = 'File "/home/smith/x y/site-packages/streams/feed.py", line 12, in drain'
    assert scrubbed(text) == 'File "streams/feed.py", line 12, in drain'
    assert scrubbed("C:\\Users\\Smith\\case.edf: no") == "[path]: no"


def test_where_it_cannot_be_written_it_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert not ProblemReport(in_force(environment={}), lambda: None, lambda: ()).save(blocked / "x.zip")
