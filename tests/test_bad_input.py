"""What a user may get wrong, item by item: one sentence with what was expected, what was found and what to do, exit
code 2, no traceback; and what runs already goes on.

The rows of the table in ``docs/operations.md`` ("What is said when …") are called here word for word, each in a folder
with a few files, and must say what stands there. What needs a device, a broker or a window, or has many cases, is
tested where that is:

    a recording that cannot be read                      tests/monitor/test_cli.py, tests/signals/test_hostile_files.py
    options of a run out of range                        tests/monitor/test_cli.py, tests/monitor/test_settings.py
    a wrong key or value of the settings, a variable     tests/monitor/test_config.py
    the broker's certificate, name and password          tests/transport/test_security.py
    topics with other partitions, refused by the broker  tests/transport/test_kafka_topics.py
    dead letters of a ward that is not there             tests/transport/test_dead_letters.py
    two sources of one bed on a real Kafka               tests/transport/test_roles.py
    the broker away while roles run                      tests/transport/test_broker_away.py
    LSL streams: none, listed, two of a kind             tests/sources/live/test_lsl.py
    an SDC device that refuses, is another, is silent    tests/sources/live/test_sdc.py
    a recording's disk that fills up, its limits         tests/streams/sinks/test_mcap.py
    an output that cannot be written                     tests/monitor/test_exports.py, sinks/test_convert.py
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import shlex
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.signals.errors import BadInput
from models.signals.windows import WindowSpec
from monitor.config import in_force
from monitor.config_uses import sharing_of
from monitor.roles import _say_other_wards
from streams.roles.source import SourceProcess
from streams.roles.worker import WorkerProcess
from streams.sources import lsl
from streams.sources.replay import replays
from streams.transport import first_contact as contact
from streams.transport import hub
from streams.transport.security import Security
from tests.monitor.test_cli import FAST, Vigil, one_sentence, vigil  # noqa: F401
from tests.streams.sources import FakeEngine, PatientMap, wait_until
from tests.streams.test_remote import Desk
from tests.transport.test_roles import running
from tests.ui.test_liveness import verdict

DOCS = Path(__file__).resolve().parent.parent / "docs" / "operations.md"
ROW = re.compile(r"^\| `vigil (?P<command>[^`]+)` \| (?P<said>Expected .+) \|$", re.MULTILINE)
ROWS = [(row["command"], row["said"]) for row in ROW.finditer(DOCS.read_text(encoding="utf-8"))]
FILES = {
    "key.toml": '[broker]\nurll = "kafka://kafka.ward:9092"\n',
    "range.toml": "[metrics]\nport = 70000\n",
    "there.toml": '[recorder]\nfolder = "case.vital"\n',
    "case.vital": "",
}
Space = namedtuple("Space", "total used free")


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the rows are called in: some files, an empty folder, one on a full disk, one that is read-only,
    and one LSL stream on the network."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name in ("empty", "full", "readonly"):
        (tmp_path / name).mkdir()
    access, usage = os.access, shutil.disk_usage
    amp = lsl.StreamSaid("Amp", "ECG", "a-1", "or-3", 500.0, 1, True)
    monkeypatch.setattr(os, "access", lambda path, mode: "readonly" not in str(path) and access(path, mode))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: Space(1, 1, 10**6) if "full" in str(path) else usage(path)
    )  # root may write everywhere, and a test fills no disk
    for name in [name for name in os.environ if name.startswith("VIGIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(lsl, "_look", lambda *_: [amp])
    monkeypatch.setattr(lsl, "_said", lambda _, info: info)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_the_table_is_found() -> None:
    assert len(ROWS) >= 18, "docs/operations.md has the table, in the form that is called here"


@pytest.mark.expects_error_log  # where there is no broker the client says it too
@pytest.mark.parametrize(("command", "said"), ROWS, ids=[command for command, _ in ROWS])
def test_the_command_line_says_what_the_table_says(vigil: Vigil, ward: Path, command: str, said: str) -> None:  # noqa: F811
    if "lsl:" in command:
        pytest.importorskip("pylsl", reason="pylsl is not installed (extra lsl)")
    if "sdc:" in command:
        pytest.importorskip("sdc11073", reason="sdc11073 is not installed (extra sdc)", exc_type=ImportError)
    code, _, err = vigil(*shlex.split(command))
    lines = [line.removeprefix("vigil: ") for line in err.splitlines() if line.startswith("vigil: Expected")]
    assert [line.replace(f"{ward}/", "").replace(str(ward), ".") for line in lines] == [said], err
    assert code == 2 and "Traceback" not in err
    assert not list(ward.rglob("*.mcap")), "nothing was begun"


def test_what_listens_and_says_nothing_is_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact, "ANSWER_S", 0.2)

    class Client:
        closed = False

        async def start(self) -> None:
            await asyncio.Event().wait()

        async def stop(self) -> None:
            self.closed = True

    client = Client()
    with pytest.raises(BadInput, match=r"a Kafka broker at 127\.0\.0\.1:22, found no answer; start it, or check the"):
        asyncio.run(contact.first_contact(client, "127.0.0.1:22", Security()))
    assert client.closed


def test_a_second_source_of_a_bed_hears_the_first_with_what_the_command_line_asks_for() -> None:
    """``vigil source`` as it shares the broker; that the first plays on: tests/transport/test_roles.py."""
    force = in_force(None, {"broker.url": "kafka://any:9092", "broker.prefix": "twice-"}, {})
    plain, workers = sharing_of(force, {}), sharing_of(force, {}, group="w", only_own=False)
    with hub("bad-input"):
        first, second = (
            SourceProcess(replays({"7": lambda: PatientMap(600.0)}, speed=1.0), "embedded://bad-input", plain)  # type: ignore[arg-type,dict-item,return-value]
            for _ in range(2)
        )
        with running(WorkerProcess(WindowSpec(), FakeEngine, "embedded://bad-input", workers), first):
            wait_until(lambda: first.accounting.counted("ticks_sent") > 0, what="the first to play")
            second.start()
            with pytest.raises(BadInput, match=r"found bed '7' of another source; give others with --bed"):
                second.wait(60)
            assert not second.accounting.counted("ticks_sent"), "not a tick of the second patient"


def test_a_display_of_a_bed_that_is_not_there_lists_those_that_are() -> None:
    desk = Desk("7")
    assert desk.session.status().vacant == "waiting for bed 7: nothing is sent on this broker"
    for bed in ("1", "10", "2"):
        desk.bed(bed)
    assert desk.session.status().vacant == "no bed 7: those there are 1, 2, 10"
    assert verdict(idle=None, vacant=desk.session.status().vacant).words == "no bed 7: those there are 1, 2, 10"
    desk.bed("7")
    desk.says("7", "source")
    assert desk.session.status().vacant == ""
    for number in range(20, 40):
        desk.bed(str(number))
    desk.session._wanted = "99"
    assert desk.session.status().vacant.endswith("26, 27, 12 more")


@pytest.mark.parametrize(
    ("prefix", "others", "said"),
    [
        ("wrd-", ("", "ward-"), "no ward with --prefix wrd- was on this broker, .* have none, --prefix ward-: did you"),
        ("", ("ward-",), "no ward without --prefix was on this broker"),
        ("ward-", (), "^$"),
    ],
)
def test_a_prefix_that_nobody_had_is_said_with_those_there(
    capsys: pytest.CaptureFixture[str], prefix: str, others: tuple[str, ...], said: str
) -> None:
    role = SimpleNamespace(stream=SimpleNamespace(other_wards=others))
    _say_other_wards(role, in_force(None, {"broker.prefix": prefix}, {}))  # type: ignore[arg-type]
    assert re.search(said, capsys.readouterr().err)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_recording_whose_disk_fills_up_or_turns_read_only_ends_and_the_run_goes_on(
    vigil: Vigil,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    written, sync = [0], os.fdatasync

    def until_then(file: int) -> None:
        written[0] += 1
        if written[0] > 2:
            raise OSError(number, os.strerror(number))
        sync(file)

    monkeypatch.setattr(os, "fdatasync", until_then)
    report, path = tmp_path / "report.json", tmp_path / "night.mcap"
    options = ("--record", str(path), "--report", str(report), "--for", "20", "--headless", "--speed", "10")
    code, _, err = vigil("run", "demo:faults=off", *options)
    assert code == 0, err
    assert one_sentence(err) == (
        "vigil: nothing more is recorded, the monitoring goes on: "
        f"The output {path} could not be written: {os.strerror(number)}."
    )
    found = json.loads(report.read_text())
    assert found["error"] is None and found["samples"]["ECG"]["received"] == 20 * 500
    code, _, err = vigil("run", str(path), *FAST)
    assert code == 0, err
