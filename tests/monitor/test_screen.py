"""No window where no display server answers: Qt would end the process, so it is asked before Qt is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.screen import no_screen

DEAD = ":87"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="display servers are Linux's here")


@linux
def test_nothing_named_nothing_there() -> None:
    assert no_screen({}) == "DISPLAY and WAYLAND_DISPLAY are unset"
    assert no_screen({"QT_QPA_PLATFORM": "xcb"}) == "DISPLAY and WAYLAND_DISPLAY are unset"


def test_a_platform_without_a_server_needs_none() -> None:
    assert no_screen({"QT_QPA_PLATFORM": "offscreen", "DISPLAY": DEAD}) == ""
    assert no_screen({"QT_QPA_PLATFORM": "minimal:enable_fonts"}) == ""


@linux
def test_a_display_that_does_not_answer_is_named(tmp_path: Path) -> None:
    assert no_screen({"DISPLAY": DEAD}) == f"nothing answers at DISPLAY {DEAD}"
    assert no_screen({"DISPLAY": "not a display"}) == "nothing answers at DISPLAY not a display"
    both = {"DISPLAY": DEAD, "WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert no_screen(both) == f"nothing answers at WAYLAND_DISPLAY wayland-7 or DISPLAY {DEAD}"
    assert no_screen(both | {"QT_QPA_PLATFORM": "xcb"}) == f"nothing answers at DISPLAY {DEAD}"


@linux
@pytest.mark.parametrize("absolute", [False, True])
def test_a_wayland_server_that_answers_is_enough(tmp_path: Path, absolute: bool) -> None:
    place = tmp_path / "wayland-7"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen(1)
        named = {"WAYLAND_DISPLAY": str(place) if absolute else place.name, "XDG_RUNTIME_DIR": str(tmp_path)}
        assert no_screen(named | {"DISPLAY": DEAD}) == ""
        assert no_screen(named | {"QT_QPA_PLATFORM": "xcb", "DISPLAY": DEAD}) != ""


@linux
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_an_x_server_that_answers_is_a_screen() -> None:
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-nolisten", "tcp"], pass_fds=[write],
                              stderr=subprocess.DEVNULL)  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as said:
            number = said.readline().strip()  # it writes its number when it listens
        assert no_screen({"DISPLAY": f":{number}"}) == ""
    finally:
        server.terminate()
        server.wait()
    assert no_screen({"DISPLAY": f":{number}"}) == f"nothing answers at DISPLAY :{number}"


@linux
def test_a_run_with_a_dead_display_says_so_and_goes_on_without_a_window(tmp_path: Path) -> None:
    """Qt would abort: exit code 134, and no patient."""
    environment = {k: v for k, v in os.environ.items() if k not in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "run", "demo", "--for", "2", "--speed", "max", "--vitals", "v.csv"],
        env=environment | {"DISPLAY": DEAD, "PYTHONPATH": os.getcwd()}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"vigil: no window, since nothing answers at DISPLAY {DEAD}; it goes on without one" in done.stderr
    assert len((tmp_path / "v.csv").read_text().splitlines()) >= 2
