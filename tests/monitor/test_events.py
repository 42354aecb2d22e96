"""Logs for machines: what they say, and that they never say what a recording, its file or its tracks are called."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from models.signals.errors import BadInput
from monitor.config_keys import LogKeys
from monitor.events import EventLog, Watcher, events, pseudonym, salt_of
from monitor.logs import _Hiding
from monitor.redaction import HIDDEN, Redactor
from streams.records import BedChannel, BedRecord
from tests.monitor.test_cli import pulse, vital_file
from tests.monitor.test_watchpoint import WELL

SALT = "sixteen letters or more"
SECRETS = ("Smith", "SMITH", "Jane", "ward-of-smith")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def run(tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    """A command in a process of its own: exit code, error stream, and what is in its log file."""
    state = tmp_path / "state"
    environment = os.environ | {"VIGIL_LOG_SALT": SALT, "XDG_STATE_HOME": str(state), "XDG_CACHE_HOME": str(state)}
    done = subprocess.run(
        [sys.executable, "-m", "monitor", *arguments],
        env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert not any(secret in done.stdout for secret in SECRETS)
    return done.returncode, done.stderr, "".join(p.read_text() for p in state.rglob("vigil.log"))


def smiths(tmp_path: Path) -> Path:
    folder = tmp_path / "ward-of-smith"
    folder.mkdir()
    tracks = {"SMITH/MYART": (pulse(12), 100.0, "mmHg"), "SNUADC/ART": (pulse(12), 100.0, "mmHg")}
    return vital_file(folder / "Smith Jane.vital", tracks)


def test_no_log_of_a_session_says_a_title_a_label_or_a_file_name(tmp_path: Path) -> None:
    path = smiths(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])  # so that its reader has something to say of it
    fast = ("--headless", "--speed", "max", "--log-json", "--channels", "ABP=SMITH/MYART")
    code, said, log = run(tmp_path, "run", str(path), *fast)
    assert code == 0, said
    assert not [secret for secret in (*SECRETS, "MYART", "SNUADC", "vital") if secret in said + log]
    found = lines(said)
    assert [e["event"] for e in found if e["event"] in ("started", "bed", "ended")] == ["started", "bed", "ended"]
    (note,) = (e["text"] for e in found if e["event"] == "note")
    assert note.startswith("[hidden]: the file ends in the middle of its data")
    (bed,) = (e["bed"] for e in found if e["event"] == "bed")
    assert bed == pseudonym("1", SALT.encode()), "the same in every role that knows the salt"
    assert {e["role"] for e in found} == {"run"}
    assert found[-1]["predictions"] > 0 and found[-1]["session"]


def test_what_goes_wrong_is_said_without_the_names_either(tmp_path: Path) -> None:
    path = smiths(tmp_path)
    for source in (str(path.with_name("Smith Jan.vital")), str(path.with_name("Smith.hea"))):
        code, said, log = run(tmp_path, "run", source, "--headless", "--log-json")
        assert code == 2
        assert not [secret for secret in SECRETS if secret in said + log]
        assert lines(said)[-1] | {"time": ""} == {
            "time": "", "role": "run", "session": lines(said)[-1]["session"], "event": "failed", "kind": "BadInput",
            "expected": "an existing recording",
        }  # fmt: skip


def test_the_log_file_leaves_names_out_of_tracebacks() -> None:
    HIDDEN.hide_files(["/somewhere/Brown Bob.vital"])
    HIDDEN.follow(
        BedRecord(bed="1", session="s", epoch=0, title="Brown, Bob", channels=[BedChannel("ABP", "B-ART", "mmHg", 1.0)])
    )
    try:
        raise OSError(5, "Input/output error", "/somewhere/Brown Bob.vital")
    except OSError:
        record = logging.LogRecord("vigil.session", 40, "x", 1, "%s: %s", ("Brown, Bob", "B-ART"), sys.exc_info())
    text = _Hiding("%(message)s").format(record)
    assert "Brown" not in text and "B-ART" not in text
    assert text.startswith("[hidden]: [hidden]\nTraceback") and "Input/output error: '[hidden]'" in text


def test_vigils_own_names_of_signals_are_said() -> None:
    hidden = Redactor()
    hidden.hide(["ECG", "II", "SNUADC/ECG_II", ""])
    assert hidden("ECG of II and SNUADC/ECG_II and ECG_II in VIII") == (
        "ECG of [hidden] and [hidden] and [hidden] in VIII"
    )
    hidden.hide_files(["demo:seed=3", "lsl:"])
    assert hidden("demo:seed=3") == "demo:seed=3"


def event_log() -> tuple[EventLog, io.StringIO]:
    out = io.StringIO()
    return EventLog("worker", SALT.encode(), out, lambda: datetime(2026, 1, 2, tzinfo=UTC)), out


def test_a_watcher_says_what_changed_and_nothing_twice() -> None:
    say, out = event_log()
    now, beds = [WELL], ["7"]
    watcher = Watcher(say, "s1", lambda: now[0], lambda: beds)
    for _ in range(3):
        watcher.look(WELL.heartbeat_ns)
    now[0] = replace(WELL, failure="SessionError", counts=dict(WELL.counts) | {"dead_letters": 2})
    beds[:] = ["8"]
    for _ in range(3):
        watcher.look(WELL.heartbeat_ns)
    watcher.end()
    found = lines(out.getvalue())
    assert [e["event"] for e in found] == ["bed", "well", "bed", "bed gone", "dead letters", "unwell", "ended"]
    assert found[0] == {
        "time": "2026-01-02T00:00:00.000+00:00", "role": "worker", "session": "s1", "event": "bed",
        "bed": pseudonym("7", SALT.encode()),
    }  # fmt: skip
    assert found[4]["count"] == 2 and "SessionError" in found[5]["reason"] and found[6]["samples_lost"] == 20


@pytest.mark.expects_error_log
def test_others_warnings_are_told_without_what_was_put_into_them(capsys: pytest.CaptureFixture[str]) -> None:
    with events(LogKeys(json=True), "worker"):
        logging.getLogger("aiokafka.client").warning("cannot reach %s", "Mr Green")
        try:
            raise ValueError("Mr Green")
        except ValueError:
            logging.getLogger("vigil.session").exception("a thread died")
        print("vigil: passed over tensorrt: no GPU", file=sys.stderr)
    text = capsys.readouterr().err
    assert "Green" not in text
    _, foreign, own, note = lines(text)
    assert (foreign["text"], foreign["level"], foreign["logger"]) == ("cannot reach %s", "warning", "aiokafka.client")
    assert (own["text"], own["kind"]) == ("a thread died", "ValueError") and own["where"].startswith("test_events.py:")
    assert note["text"] == "passed over tensorrt: no GPU"


def test_without_the_option_nothing_changes() -> None:
    before, stream = list(logging.getLogger().handlers), sys.stderr
    with events(LogKeys(), "worker") as say:
        assert say is None and sys.stderr is stream and logging.getLogger().handlers == before


def test_the_salt(tmp_path: Path) -> None:
    path = tmp_path / "salt"
    path.write_text(f"{SALT}\n")
    assert salt_of(LogKeys(salt_file=str(path)), {}) == SALT.encode()
    assert salt_of(LogKeys(salt_file=str(path)), {"VIGIL_LOG_SALT": "of the environment"}) == b"of the environment"
    assert salt_of(LogKeys(), {}) != salt_of(LogKeys(), {}), "of each process alone"
    with pytest.raises(BadInput, match=r"at least 16 bytes in VIGIL_LOG_SALT, found 5"):
        salt_of(LogKeys(), {"VIGIL_LOG_SALT": "short"})
    with pytest.raises(BadInput, match=r"salt_file.*No such file"):
        salt_of(LogKeys(salt_file=str(tmp_path / "none")), {})
