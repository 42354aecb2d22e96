"""No machine and nobody who works at one is in a problem report: over the lines that this program, and what it stands
on, can write, with what such lines are filled with."""

from __future__ import annotations

import ast
import getpass
import logging
import platform
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.addresses import without_addresses
from monitor.config import in_force
from monitor.logs import _Hiding
from monitor.problem_report import ProblemReport, scrubbed

ROOT = Path(__file__).parents[2]
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
LINE = _Hiding("%(asctime)s %(levelname)s %(name)s: %(message)s").format


def logged(folder: Path) -> Iterator[str]:
    """The format of every log call below a folder."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(ast.Attribute(whose, level), [ast.Constant(str(words)), *_]) if (
                    level in LEVELS and ast.unparse(whose).rpartition(".")[2] in ("log", "_log", "logger")
                ):
                    yield words


OURS = [words for folder in ("monitor", "streams", "models", "ui") for words in logged(ROOT / folder)]
BENEATH = [
    words
    for name in ("aiokafka", "mode", "faust")
    if (spec := find_spec(name)) is not None and spec.origin is not None
    for words in logged(Path(spec.origin).parent)
]

NAME = st.from_regex(r"[a-z]{4}[a-z0-9]{2,8}q[0-9]", fullmatch=True)
PLACES = [
    "{host}:9092",
    "{host}.ward.example",
    "{host}.ward.local:9092",
    "kafka://{host}:9092",
    "kafka://{user}:x@{host}.lan,{host}2.lan:9093",
    "https://{host}.example/data/{user}",
    "[Errno 111] Connect call failed ('{ip}', 9092)",
    "[Errno 111] Connect call failed ('{ip6}', 9092, 0, 0)",
    "Multiple exceptions: [Errno 111] Connect call failed ('{ip6}', 9092, 0, 0), [Errno 111] ('{ip}', 9092)",
    "Unable to bootstrap from [('{host}', 9092, <AddressFamily.AF_UNSPEC: 0>)]",
    "BrokerMetadata(nodeId=0, host='{host}', port=9092, rack=None)",
    "<AIOKafkaConnection host={host} port=9092>",
    "Hostname mismatch, certificate is not valid for '{host}'.",
    "IP address mismatch, certificate is not valid for '{ip}'.",
    "Cannot connect to host {host}:443 ssl:default [Name or service not known]",
    "{ip}",
    "[{ip6}]:9092",
    "{user}@{host}",
    "SASL authentication failed for user {user}",
    "Principal = User:{user} is Denied Operation from host = {ip} on Topic",
    "username='{user}', password=None",
    "WARD\\{user}",
    "no answer at {host}:9092; check [broker] url",
    "'BioSemi' (EEG, source_id={user}, hostname={host}, 8 ch, 256 Hz)",
    "LSL hostname={host}",
    "SDC address=https://{host}:6464/x, epr=urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
    "[Errno 13] Permission denied: '/home/{user}/.cache/vigil'",
    "cannot read /home/{user}, {host} (2)/x y.vital: gone",
    "cannot read recordings/{user} {host}/case.vital: gone",
    "C:\\Users\\{user}\\AppData\\Local\\vigil is full",
    "\\\\{host}\\share\\{user}",
    "~{user}/case",
    "<Task pending coro=<run() running at /home/{user}/.venv/lib/mode/services.py:830>>",
]


def filled(words: str, said: str) -> str:
    """A log call with ``said`` in each of its places for text."""
    for whole in (said, 3, 3.0):
        try:
            count = words.replace("%%", "").count("%")
            values = [said] * count if isinstance(whole, str) else [said] * (count - 1) + [whole]
            return words % tuple(values)
        except (TypeError, ValueError):
            continue
    return f"{words} {said}"


def test_the_lines_are_those_of_the_program() -> None:
    assert len(OURS) > 40 and len(BENEATH) > 60
    assert any("did not close within" in words for words in OURS)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([*OURS, *BENEATH]),
    st.sampled_from(PLACES),
    NAME,
    NAME,
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
)
def test_no_line_says_where_or_who(words: str, place: str, host: str, user: str, ip: object, ip6: object) -> None:
    said = place.format(host=host, user=user, ip=ip, ip6=ip6)
    record = logging.LogRecord("aiokafka.conn", 30, "", 0, filled(words, said).replace("%", "%%"), (), None)
    found = scrubbed(LINE(record))
    assert host not in found and user not in found and str(ip) not in found
    assert str(ip6) not in found
    assert " WARNING aiokafka.conn: " in found, "of whom the line is, is said"


@given(st.sampled_from([*OURS, *BENEATH]))
def test_what_says_nothing_of_anybody_stays(words: str) -> None:
    assert scrubbed(filled(words, "a fault")) == filled(words, "a fault")


def test_what_this_machine_and_its_user_are_called_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "bedside7.ward.example")
    monkeypatch.setattr(getpass, "getuser", lambda: "asmith")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/anna.smith"))
    log, config = tmp_path / "vigil.log", tmp_path / "ward.toml"
    log.write_text(
        "kafka1 is away, bedside7 waits\nasmith and anna.smith may not\nno topic icu-north-waves\nuser drsno\n"
    )
    config.write_text(
        "[broker]\nurl = 'kafka://kafka1:9092'\nprefix = 'icu-north-'\n[sasl]\nusername = 'drsno'\n"
        "password_file = 'x'\n[tls]\nca = 'system'\n"
    )
    monkeypatch.setattr("monitor.problem_report.log_path", lambda: log)
    found = ProblemReport(in_force(config, environment={}), lambda: None, lambda: ()).texts()["log.txt"]
    assert found.splitlines() == [
        "[hidden] is away, [hidden] waits",
        "[hidden] and [hidden] may not",
        "no topic [hidden]waves",
        "user [hidden]",
    ]


TRACEBACK = """Traceback (most recent call last):
  File "/home/smith/vigil/streams/crew.py", line 31, in whole
    self._asked.append(await work.result(host, 9092))
    ~~~~~~~~~~~~~~~~~~^^^^^^
  File "/home/smith/.venv/lib/aiokafka/client.py", line 20, in bootstrap
    raise KafkaConnectionError(f"Unable to bootstrap from {self.hosts}")
aiokafka.errors.KafkaConnectionError: Unable to bootstrap from [('kafka1', 9092)]"""


def test_a_traceback_keeps_its_source_and_loses_its_values() -> None:
    found = scrubbed(TRACEBACK)
    for line in (2, 3, 5):
        assert found.splitlines()[line] == TRACEBACK.splitlines()[line]
    assert '  File "streams/crew.py", line 31, in whole' in found.splitlines()
    assert found.splitlines()[-1] == "aiokafka.errors.KafkaConnectionError: Unable to bootstrap from [([host], 9092)]"
    assert "smith" not in found


@pytest.mark.parametrize(
    "words",
    [
        "the tick of 21:33:29 came 0.4 s late, at 72 /min, of TensorRT 10.13",
        "display.theme and broker.url are set; logging.handlers too",
        "prediction 3/4 not valid",
    ],
)
def test_times_figures_and_settings_are_no_addresses(words: str) -> None:
    assert without_addresses(words, lambda name: name in ("display.theme", "broker.url")) == words
    assert scrubbed(words) == words
