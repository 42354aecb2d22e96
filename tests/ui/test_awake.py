"""The screen stays awake while somebody is monitored, and a machine that slept shows nothing of before as current."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from models.signals.modalities import Modality
from tests.ui.harness import Inline, Later, Screen, hue_like
from tests.ui.synthetic import FakeSession
from ui.bed.liveness import Moment
from ui.manners.awake import KeepAwake
from ui.manners.sleep import SAID_S, SleepWatch, asleep_clock_s
from ui.window.manners import Surroundings


class Held:
    """A bus that keeps account; ``broken`` ones refuse with that."""

    def __init__(self, broken: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.broken = broken

    def hold(self) -> None:
        self.calls.append("hold")
        if self.broken is not None:
            raise self.broken

    def release(self) -> None:
        self.calls.append("release")


def test_it_is_held_once_and_released_once() -> None:
    bus = Held()
    awake = KeepAwake(bus, Inline())
    for wanted in (False, True, True, True, False, False, True):
        awake.want(wanted)
    awake.close()
    assert bus.calls == ["hold", "release", "hold", "release"]


@pytest.mark.parametrize("why", [OSError("there is no session bus"), ImportError("no QtDBus here")])
def test_a_bus_that_is_not_there_is_one_line_of_information(why: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bus = Held(broken=why)
    awake = KeepAwake(bus, Inline())
    for _ in range(3):
        awake.want(True)
        awake.want(False)
    assert "release" not in bus.calls
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", f"the screen may be blanked while somebody is monitored: {why}")
    ]


def test_a_slow_bus_is_told_what_is_wanted_in_the_end() -> None:
    bus, worker = Held(), Later()
    awake = KeepAwake(bus, worker)
    awake.want(True)
    awake.want(False)
    assert not bus.calls
    worker.run()
    assert not bus.calls
    awake.want(True)
    worker.run()
    assert bus.calls == ["hold"]


def test_a_session_holds_it_a_pause_and_the_end_let_go(screen) -> None:
    bus, session = Held(), FakeSession()
    s: Screen = screen(session=session, around=Surroundings(holder=bus))
    s.run_to(2.0)
    assert bus.calls == ["hold"]
    session.changes["paused"] = True
    s.frames(60)
    assert bus.calls == ["hold", "release"]
    session.changes["paused"] = False
    s.run_to(3.0)
    s.frames(60 * 5)
    assert s.window.banner.urgent and bus.calls == ["hold", "release", "hold"], "lost is no reason to go dark"
    s.window.close()
    assert bus.calls[-1] == "release" and len(bus.calls) == 4


SERVICE = """
import sys
from PySide6.QtCore import ClassInfo, QCoreApplication, QObject, QTimer, Slot
from PySide6.QtDBus import QDBusConnection, QDBusContext, QDBusServiceWatcher
@ClassInfo(**{"D-Bus Interface": "org.freedesktop.ScreenSaver"})
class Saver(QObject):
    @Slot(str, str, result="uint")
    def Inhibit(self, who, why):
        print("inhibit", who, why, flush=True)
        return 7
app = QCoreApplication([])
bus = QDBusConnection.sessionBus()
saver = Saver()
flags = QDBusConnection.RegisterOption.ExportAllSlots
assert bus.registerObject("/org/freedesktop/ScreenSaver", saver, flags)
assert bus.registerService("org.freedesktop.ScreenSaver")
print("ready", flush=True)
app.exec()
"""
CLIENT = """
import sys
from PySide6.QtCore import QCoreApplication
from ui.manners.awake import Bus
app = QCoreApplication([])
bus = Bus()
bus.hold(); print("held", flush=True)
sys.stdin.readline()
bus.release(); print("released", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(shutil.which("dbus-run-session") is None, reason="needs a D-Bus daemon")
def test_a_real_bus_is_asked_and_holds_until_the_connection_is_closed() -> None:
    """The saver's side of it ends with the connection, which the bus sees go."""
    script = (
        "import subprocess, sys\n"
        f"service = subprocess.Popen([sys.executable, '-c', {SERVICE!r}], stdout=subprocess.PIPE, text=True)\n"
        "assert service.stdout.readline() == 'ready\\n'\n"
        f"client = subprocess.Popen([sys.executable, '-c', {CLIENT!r}], stdin=subprocess.PIPE,\n"
        "                          stdout=subprocess.PIPE, text=True)\n"
        "names = lambda: subprocess.run(['dbus-send', '--session', '--print-reply', '--dest=org.freedesktop.DBus',\n"
        "    '/', 'org.freedesktop.DBus.ListNames'], capture_output=True, text=True).stdout.count('\":1.')\n"
        "print(service.stdout.readline().strip(), client.stdout.readline().strip(), names())\n"
        "client.stdin.write('\\n'); client.stdin.flush()\n"
        "print(client.stdout.readline().strip(), names())\n"
        "client.kill(); service.kill()\n"
    )
    done = subprocess.run(
        ["dbus-run-session", "--", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    match = re.search(r"inhibit Vigil a patient is being monitored held (\d+)\nreleased (\d+)", done.stdout)
    assert match is not None, done.stdout + done.stderr
    assert int(match[2]) == int(match[1]) - 1, "the connection that held it is gone"


# Sleep ---------------------------------------------------------------------------------------------------------------


def test_what_one_clock_gains_is_sleep() -> None:
    watch = SleepWatch(50.0)
    assert watch.slept_s(100.0, 50.0004) == 0.0 and watch.words(100.0) == ""
    assert watch.slept_s(101.0, 50.9) == 0.0, "less than a second is no sleep"
    assert watch.slept_s(102.0, 50.9 + 720.0) == pytest.approx(720.0)
    assert watch.slept_s(102.1, 50.9 + 720.0) == 0.0, "told once"
    assert watch.words(103.0).startswith("THIS MACHINE SLEPT 12 min")
    assert watch.words(102.0 + SAID_S + 0.1) == ""


def test_clocks_that_drift_apart_have_not_slept() -> None:
    watch = SleepWatch(50.0)
    for second in range(1, 14 * 3600 * 3):  # 20 ppm: a second after 14 hours
        assert watch.slept_s(100.0 + second, 50.0 + 20e-6 * second) == 0.0
    drifted_s = 50.0 + 20e-6 * second
    assert watch.slept_s(101.0 + second, drifted_s + 300.0) == pytest.approx(300.0)


def test_a_machine_that_cannot_tell_has_not_slept() -> None:
    watch = SleepWatch(math.nan)
    assert watch.slept_s(1.0, math.nan) == watch.slept_s(1.0, 5.0) == 0.0


def test_the_clock_of_this_machine_stands_while_it_is_awake() -> None:
    before, until = asleep_clock_s(), time.monotonic() + 0.02
    while time.monotonic() < until:
        pass
    assert math.isnan(before) or abs(asleep_clock_s() - before) < 0.005


def test_what_came_before_the_sleep_is_not_current_after_it() -> None:
    assert Moment(10.0, 100.0).fresh(9.5, 99.5)
    assert not Moment(10.0, 100.0, woke_s=99.9).fresh(9.5, 99.5)
    assert Moment(10.0, 100.2, woke_s=99.9).fresh(9.9, 100.1)


def test_after_a_sleep_numbers_are_unknown_waves_begin_anew_and_the_screen_says_it(screen, caplog) -> None:
    slept = [5.0]
    session = FakeSession()
    session.changes["seekable"] = False
    s: Screen = screen(session=session, around=Surroundings(asleep_s=lambda: slept[0]))
    s.run_to(6.0)
    values = [r.value for r in s.window.numerics.readouts.values()]
    assert "-?-" not in values[0]
    ecg = s.wave_area(Modality.ECG)
    colour = s.window.look.theme.lanes[Modality.ECG].colour
    before = hue_like(s.pixels(ecg), colour)[:, s.columns(2.0, 5.0)].any(axis=0).mean()
    assert before > 0.5
    slept[0] += 720.0
    s.frames(8)
    assert next(r.value for r in s.window.numerics.readouts.values()) == "-?-"
    assert s.window.banner.isVisible() and s.window.banner.words.startswith("THIS MACHINE SLEPT 12 min")
    assert not hue_like(s.pixels(ecg), colour)[:, s.columns(2.0, 5.0)].any(), "nothing of before is on the paper"
    assert "slept 720 s" in caplog.text
    s.run_to(8.6)
    assert next(r.value for r in s.window.numerics.readouts.values()) != "-?-"
    drawn = hue_like(s.pixels(ecg), colour).any(axis=0)
    assert drawn[s.columns(7.0, 8.3)].mean() > 0.5 and not drawn[s.columns(2.0, 5.5)].any()


def test_a_paused_replay_has_missed_nothing(screen) -> None:
    slept = [0.0]
    session = FakeSession()
    s: Screen = screen(session=session, around=Surroundings(asleep_s=lambda: slept[0]))
    s.run_to(4.0)
    session.changes["paused"] = True
    s.frames(30)
    before = [r.value for r in s.window.numerics.readouts.values()]
    slept[0] = 100.0
    s.frames(30)
    assert [r.value for r in s.window.numerics.readouts.values()] == before and before[0] != "-?-"
