"""What the display's front door opens is a real session, with the manners of the run before, and ends like one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer.testing

from models.signals.errors import BadInput
from monitor import cli
from monitor.config import in_force
from monitor.front_door import FrontDoor, GivenUp, gone, whole_path
from monitor.recent import Entry, RecentFile
from monitor.settings import RunSettings, parse_drops
from tests.monitor.test_cli import pulse, vital_file
from ui.start.opening import Choice, Opened

NOW = threading.Event


@pytest.fixture
def front(tmp_path: Path) -> FrontDoor:
    return FrontDoor(
        RunSettings(), in_force(environment={}), recents=RecentFile(tmp_path / "recent.json"), unix=lambda: 7.0
    )


@pytest.fixture
def ended() -> Iterator[list[Opened]]:
    """Sessions that are ended whatever happens; then no thread of any is left."""
    opened: list[Opened] = []
    yield opened
    for one in opened:
        one.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("vigil-")]


def test_a_file_is_opened_where_it_was_left(front: FrontDoor, ended: list[Opened], tmp_path: Path) -> None:
    path = vital_file(tmp_path / "case.vital", {"SNUADC/ART": (pulse(60), 100.0, "mmHg")})
    opened = front.open(Choice((str(path),), 20.0), NOW())
    ended.append(opened)
    assert [channel.label for channel in opened.control.channels] == ["ART"]
    assert 20.0 <= opened.control.status().position_s < 60.0 and opened.recording is None
    opened.close()
    assert opened.control.status().ended


def test_a_second_session_beside_the_first_and_each_ends_alone(front: FrontDoor, ended: list[Opened]) -> None:
    first = front.open(Choice(("demo",)), NOW())
    second = front.open(Choice(("demo:seed=3",)), NOW())
    ended += [first, second]
    first.close()
    at_s, until = second.control.status().position_s, time.monotonic() + 20.0
    while second.control.status().position_s <= at_s and time.monotonic() < until:
        second.feed.drain(100)
    assert second.control.status().position_s > at_s and not second.control.status().ended
    assert second.control.status().error == ""


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (("/no/such/file.vital",), "no file"),
        (("https://example.org/a.vital",), "download the file first"),
        (("demo:scenario=flood",), "hypovolaemia"),
        (("vitaldb:0",), "VitalDB case from 1"),
        (("lsk:",), "did you mean lsl"),
        (("demo",) * 129, "128"),
        ((), "1 to 128"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence_and_leaves_nothing(
    front: FrontDoor, ended: list[Opened], sources: tuple[str, ...], words: str
) -> None:
    with pytest.raises(BadInput) as found:
        front.open(Choice(sources), NOW())
    assert words in str(found.value)


def test_files_that_are_none(front: FrontDoor, ended: list[Opened], tmp_path: Path) -> None:
    empty, noise = tmp_path / "empty.vital", tmp_path / "noise.edf"
    empty.touch()
    noise.write_bytes(bytes(range(256)) * 64)
    for path in (empty, noise, tmp_path / "nothing here"):
        with pytest.raises(BadInput):
            front.open(Choice((str(path),)), NOW())


def test_who_gives_up_gets_nothing_and_leaves_nothing(
    front: FrontDoor, ended: list[Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes its time: not the reader is waited for, but whether it is still wanted."""
    from monitor import sources

    began, release, usual = threading.Event(), threading.Event(), sources._opened

    def slow(*arguments: object) -> object:
        began.set()
        release.wait(20)
        return usual(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sources, "_opened", slow)
    cancelled, found = threading.Event(), []

    def open_it() -> None:
        with pytest.raises(GivenUp):
            front.open(Choice(("demo",)), cancelled)
        found.append(True)

    thread = threading.Thread(target=open_it)
    thread.start()
    assert began.wait(20)
    cancelled.set()
    release.set()
    thread.join(20)
    assert found == [True]


def test_the_next_run_has_the_manners_of_this_one_and_none_of_its_files(tmp_path: Path) -> None:
    settings = RunSettings(
        sources=("demo",), backend="onnx", unrecorded=True, lsl_out=False, speed=4.0, for_s=3.0, from_s=9.0,
        drops=parse_drops(["ABP:1-2"]), channels={"ECG": "II"}, record=tmp_path / "a.mcap", report=tmp_path / "r.json",
        vitals=tmp_path / "v.csv", names=("x",),
    )  # fmt: skip
    manners = FrontDoor(settings, in_force(environment={}))._manners
    assert manners == replace(RunSettings(), backend="onnx", unrecorded=True, from_s=9.0)
    assert not any(manners.outputs.values())


def test_what_was_open_is_listed_where_it_was_left(front: FrontDoor, ended: list[Opened], tmp_path: Path) -> None:
    opened = front.open(Choice(("demo:seed=3",)), NOW())
    ended.append(opened)
    front.entered(opened)
    front.left(opened.choice, 12.5)
    (recent,) = front.recent()
    assert (recent.choice.sources, recent.position_s, recent.left_unix_s) == (("demo:seed=3",), 12.5, 7.0)
    again = front.open(Choice(("demo:seed=3",)), NOW())
    ended.append(again)
    front.entered(again)
    assert front.recent()[0].position_s == 12.5, "a look at its beginning does not forget where it was left"
    front.forget()
    assert front.recent() == ()


def test_a_file_that_vanished_is_said_to_be_missing(front: FrontDoor, tmp_path: Path) -> None:
    path = tmp_path / "case.vital"
    path.touch()
    front._recents.put(Entry((str(path), "demo"), 1.0), first=True)
    assert [recent.missing for recent in front.recent()] == [False]
    path.unlink()
    assert [recent.missing for recent in front.recent()] == [True]


def test_what_may_be_missing_at_all(tmp_path: Path) -> None:
    (tmp_path / "r.hea").touch()
    (tmp_path / "s.mcap").touch()
    assert not any(map(gone, ["demo", "vitaldb:7", "lsl:name=x", str(tmp_path / "r"), f"{tmp_path}/s.mcap#1"]))
    assert gone(str(tmp_path / "q")) and gone(f"{tmp_path}/t.mcap#1")


def test_a_path_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.hea").touch()
    assert whole_path("r") == str(tmp_path / "r") and whole_path("./r.hea") == str(tmp_path / "r.hea")
    assert whole_path("demo") == "demo" and whole_path("lsl:name=x") == "lsl:name=x"


def test_what_is_on_the_network_is_named_so_that_it_opens(front: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    from streams.sources import lsl

    said = lsl.StreamSaid("Amp", "ECG", "a1", "host", 500.0, 2, True)
    odd = lsl.StreamSaid("a, b", "EEG", "id7", "host", 0.0, 2, True)
    monkeypatch.setattr(lsl, "lsl_streams", lambda: [said, odd])
    amp, other = front.find("lsl")
    assert lsl.lsl_criteria(amp.word) == {"name": "Amp", "source_id": "a1"} and not amp.unusable
    assert lsl.lsl_criteria(other.word) == {"source_id": "id7"} and other.unusable
    monkeypatch.setattr(lsl, "lsl_streams", lambda: [said, odd, replace(said, name="Press", source_id="")])
    together, *streams = front.find("lsl")
    assert (together.word, together.detail) == ("lsl:", "as one patient: Amp, Press") and len(streams) == 3
    with pytest.raises(BadInput):
        front.find("usb")


def test_the_port_of_metrics_is_of_the_process(tmp_path: Path, ended: list[Opened]) -> None:
    """Two sessions are open for a moment, and one port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    force = in_force(flags={"metrics.port": port}, environment={})
    front = FrontDoor(RunSettings(), force, recents=RecentFile(tmp_path / "r.json"))
    first = front.open(Choice(("demo",)), NOW())
    ended.append(first)
    with front._watched:
        front.entered(first)
        second = front.open(Choice(("demo:seed=3",)), NOW())
        ended.append(second)
        front.entered(second)
        first.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
            assert json.load(answer)["role"] == "run"


def test_a_port_that_is_taken_is_had_with_the_next_session_and_keeps_none_off_the_list(
    tmp_path: Path, ended: list[Opened]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        force = in_force(flags={"metrics.port": port}, environment={})
        front = FrontDoor(RunSettings(), force, recents=RecentFile(tmp_path / "r.json"))
        first = front.open(Choice(("demo",)), NOW())
        ended.append(first)
        with pytest.raises(BadInput, match="a free port"):
            front.entered(first)
    assert [recent.choice.sources for recent in front.recent()] == [("demo",)], "it is on the screen all the same"
    second = front.open(Choice(("demo:seed=3",)), NOW())
    ended.append(second)
    with front._watched:
        front.entered(second)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
            assert json.load(answer)["role"] == "run"


# Without a command ------------------------------------------------------------------------------------------------


def test_vigil_alone_opens_the_start_page(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, ends = [], []

    def show(self: FrontDoor, running: object = None) -> int:
        shown.append(running)
        ends.append(signal.getsignal(signal.SIGTERM))
        return 0

    monkeypatch.setattr(FrontDoor, "show", show)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    done = typer.testing.CliRunner().invoke(cli.app, [])
    assert done.exit_code == 0 and shown == [None]
    assert ends == [signal.default_int_handler], "also before there is a window, and while what was open is ended"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="display servers are Linux's here")
@pytest.mark.parametrize("display", ["", ":87"])
def test_without_a_screen_vigil_alone_says_what_there_is(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    done = typer.testing.CliRunner().invoke(cli.app, [])
    assert done.exit_code == 0
    assert "inspect" in done.output and "convert" in done.output and "Usage" in done.output
    assert ("no start page" in done.output) == bool(display)


def test_help_still_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FrontDoor, "show", lambda self: pytest.fail("a window"))
    done = typer.testing.CliRunner().invoke(cli.app, ["--help"])
    assert done.exit_code == 0 and "start page" in done.output and "vigil run" in done.output


def test_run_alone_is_vigil_alone(tmp_path: Path) -> None:
    """The script, with another program in the place of the one that it would install."""
    root = Path(cli.__file__).resolve().parent.parent
    (tmp_path / "run").write_bytes((root / "run").read_bytes())
    (tmp_path / ".setup.sh").write_text("make_venv() { :; }\nwant_qt_libraries() { :; }\n")
    program = tmp_path / ".venv" / "bin" / "vigil"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$#:$*"\n')
    program.chmod(0o755)
    for arguments, said in (
        ([], "0:"),
        (["demo"], "2:run demo"),
        (["run", "demo"], "2:run demo"),
        (["--help"], "1:--help"),
    ):
        done = subprocess.run(["sh", str(tmp_path / "run"), *arguments], capture_output=True, text=True, env=os.environ)
        assert done.stdout.strip() == said, done.stderr
