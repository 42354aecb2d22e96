"""The samples of each moment, and the device that takes them: present, absent, failing, pulled out, dead."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Generator
from enum import Enum
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.ui.sound.outputs import Ear
from ui.sound.choice import SoundChoice
from ui.sound.figures import default_figures
from ui.sound.keeper import RETRY_S, STALL_S, Keeper
from ui.sound.output import MiniaudioOutput, NoOutput
from ui.sound.player import HUNG_S, Player, Wanted, volume_gain
from ui.sound.tones import burst_samples

FIGURES = default_figures()
RATE = FIGURES.sample_rate_hz
BLOCK = 800  # 1/60 s
STEP = BLOCK / RATE


class Desk:
    """A player whose blocks are kept; each call says that the screen is well."""

    def __init__(self) -> None:
        self.now = 50.0
        self.player = Player(FIGURES, self.now)

    def run(self, seconds: float, level: str = "", volume: int = 100, audible: bool = True, says: bool = True) -> Any:
        out = []
        for _ in range(max(1, round(seconds / STEP))):
            if says:
                self.player.want(Wanted(self.now, level, volume, audible))
            out.append(self.player.fill(BLOCK, self.now))
            self.now += STEP
        return np.concatenate(out)


def level_of(samples: np.ndarray) -> float:
    return float(np.abs(samples).max()) if len(samples) else 0.0


def test_a_burst_is_in_the_first_block_sample_for_sample() -> None:
    desk = Desk()
    assert level_of(desk.run(1.0)) == 0.0
    heard, meant = desk.run(3.3, "high"), burst_samples(FIGURES.burst["high"], FIGURES)
    np.testing.assert_allclose(heard[: len(meant)], meant, atol=1e-6)


def test_volume_turns_everything_down_by_its_decibels_and_nothing_off() -> None:
    loud, soft = (level_of(Desk().run(1.0, "high", volume)) for volume in (100, 10))
    assert 20 * np.log10(loud / soft) == pytest.approx(27.0, abs=0.1) and soft > 0.02
    gains = [volume_gain(volume) for volume in range(10, 101, 10)]
    assert all(a < b for a, b in pairwise(gains))
    assert volume_gain(0) == volume_gain(-50) == gains[0] and volume_gain(500) == 1.0


def test_sound_that_is_turned_off_is_gone_within_a_block_and_without_a_click() -> None:
    desk = Desk()
    loud = desk.run(0.1, "high")
    fade = desk.run(0.0, "high", audible=False)
    assert level_of(desk.run(3.0, "high", audible=False)) == 0.0
    joined = np.concatenate((loud, fade))
    assert np.abs(np.diff(joined)).max() <= 1.05 * np.abs(np.diff(loud)).max()


def test_a_higher_burst_takes_over_in_the_block_and_the_lower_one_fades() -> None:
    desk = Desk()
    desk.run(0.2, "medium")
    heard, high = desk.run(1.0, "high"), burst_samples(FIGURES.burst["high"], FIGURES)
    faded = round(0.011 * RATE)
    np.testing.assert_allclose(heard[faded : len(heard)], high[faded : len(heard)], atol=1e-6)


def test_beats_sound_at_once_and_late_ones_never() -> None:
    desk = Desk()
    desk.player.beat(800.0, desk.now)
    assert level_of(desk.run(0.07)) > 0.05
    desk.player.beat(800.0, desk.now - 0.5)
    assert level_of(desk.run(0.1)) == 0.0
    desk.player.beat(800.0, desk.now)
    assert level_of(desk.run(0.1, audible=False)) == 0.0
    assert level_of(desk.run(0.1)) == 0.0, "one of a silent time is not made up for"


def test_a_flood_of_beats_is_bounded_and_clipped() -> None:
    desk = Desk()
    for _ in range(10_000):
        desk.player.beat(800.0, desk.now)
    assert len(desk.player._beats) <= 8
    assert level_of(desk.run(4.0, "high")) <= 1.0


def test_a_screen_that_says_nothing_any_more_is_heard() -> None:
    desk = Desk()
    desk.run(1.0)
    assert level_of(desk.run(HUNG_S - 0.1, says=False)) == 0.0
    heard = desk.run(2.0, says=False)
    medium = burst_samples(FIGURES.burst["medium"], FIGURES)
    assert level_of(heard) == pytest.approx(level_of(medium), rel=1e-3)


def test_a_screen_that_hangs_is_heard_though_its_beds_are_silenced_but_not_where_sound_is_off() -> None:
    desk = Desk()
    desk.run(1.0, "high", audible=False)
    assert level_of(desk.run(HUNG_S - 0.1, says=False)) == 0.0
    medium = burst_samples(FIGURES.burst["medium"], FIGURES)
    assert level_of(desk.run(2.0, says=False)) == pytest.approx(level_of(medium), rel=1e-3)
    assert level_of(desk.run(8.0, audible=False)) == 0.0, "and ends when it goes on"
    desk.player.want(Wanted(desk.now, "high", audible=False, on=False))
    assert level_of(desk.run(HUNG_S + 3.0, says=False)) == 0.0


def test_a_screen_that_hangs_with_an_alarm_leaves_it_as_high_as_it_was() -> None:
    desk = Desk()
    desk.run(1.0, "high")
    heard = desk.run(30.0, says=False)
    assert level_of(heard[-10 * RATE :]) == pytest.approx(level_of(burst_samples(FIGURES.burst["high"], FIGURES)), 1e-3)


def test_volumes_go_by_tens_and_stay_within() -> None:
    assert [SoundChoice(volume=v).louder(d).volume for v, d in ((60, 1), (60, -1), (100, 1), (10, -1))] == [
        70, 50, 100, 10,
    ]  # fmt: skip


# The device -------------------------------------------------------------------------------------------------------


class Kept:
    """A keeper whose clock and thread are the test's."""

    def __init__(self) -> None:
        self.now = 10.0
        self.ear = Ear()
        self.player = Player(FIGURES, self.now)
        self.keeper = Keeper(self.player, self.ear.open, lambda: self.now)

    def run(self, seconds: float, pulls: bool = True, level: str = "") -> None:
        for _ in range(max(1, round(seconds / 0.1))):
            self.now += 0.1
            self.player.want(Wanted(self.now, level))
            self.keeper.step(self.now)
            if pulls:
                self.ear.pull(self.now, 0.1)


def test_what_is_not_known_to_play_counts_as_silent() -> None:
    k = Kept()
    assert k.keeper.trouble == ""  # nothing is asked for
    k.keeper.want(True)
    assert k.keeper.trouble == "opening the audio device"
    k.run(0.1)
    assert k.keeper.trouble == "" and k.ear.opened == 1


def test_no_device_is_said_and_it_is_tried_again_until_there_is_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ui.sound.keeper")
    k = Kept()
    k.ear.there = False
    k.keeper.want(True)
    k.run(20.0)
    assert k.keeper.trouble == "no audio device"
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "no sound: no audio device; tried again every 3 s")
    ]
    k.ear.there = True
    k.run(RETRY_S + 0.1)
    assert k.keeper.trouble == "" and k.ear.opened == 1
    assert caplog.records[-1].getMessage() == "sound through the test's ear"


def test_a_device_that_fails_is_said_and_the_alarm_sounds_anew_once_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    k = Kept()
    k.keeper.want(True)
    k.run(2.0, level="high")
    assert k.ear.output is not None
    k.ear.output.failure = "device gone"
    k.ear.there = False
    k.run(0.1, level="high")
    assert k.keeper.trouble == "audio device failed" and k.ear.closed == 1
    assert "audio device failed (device gone)" in caplog.text
    k.run(RETRY_S + 0.1, level="high")
    assert k.keeper.trouble == "no audio device"
    k.ear.there = True
    k.run(RETRY_S + 0.1, level="high")
    assert k.keeper.trouble == ""
    back_s = next(now for now, block in k.ear.blocks if now > 16 and level_of(block) > 0)
    assert back_s <= k.now, "at once, whatever the interval"


def test_an_alarm_begins_anew_with_the_device_and_waits_for_no_interval() -> None:
    k = Kept()
    k.keeper.want(True)
    k.run(1.0, level="high")
    assert k.ear.output is not None
    k.ear.output.failure = "device gone"
    gone_s = k.now
    k.run(RETRY_S + 0.5, level="high")
    assert k.ear.opened == 2
    heard = np.trim_zeros(np.concatenate([block for now, block in k.ear.blocks if now > gone_s]), "f")
    meant = np.trim_zeros(burst_samples(FIGURES.burst["high"], FIGURES), "f")
    np.testing.assert_allclose(heard[: RATE // 5], meant[: RATE // 5], atol=1e-6)


def test_a_device_that_asks_for_nothing_any_more_is_lost_before_it_is_closed() -> None:
    """Closing it may wait for ever."""
    k = Kept()
    k.keeper.want(True)
    k.run(1.0)
    said: list[str] = []
    k.ear.on_close = lambda: said.append(k.keeper.trouble)
    k.run(STALL_S + 0.2, pulls=False)
    assert said == ["audio device lost"] and k.keeper.trouble == "audio device lost"


def test_sound_off_lets_the_device_go_and_on_opens_it_at_once() -> None:
    k = Kept()
    k.keeper.want(True)
    k.run(1.0)
    k.keeper.want(False)
    k.run(0.1)
    assert k.ear.closed == 1 and k.keeper.trouble == ""
    k.keeper.want(True)
    k.run(0.1)
    assert k.ear.opened == 2 and k.keeper.trouble == ""


def test_its_thread_opens_and_closes_and_keeps_nobody_waiting() -> None:
    ear, opened = Ear(), threading.Event()

    def opening(rate_hz: int, fill: Any) -> Any:
        output = ear.open(rate_hz, fill)
        opened.set()
        return output

    player = Player(FIGURES, 0.0)
    keeper = Keeper(player, opening)
    keeper.want(True)
    keeper.start()
    assert opened.wait(30)
    keeper.close()
    keeper.join(30)
    assert ear.closed == 1


def test_a_device_that_hangs_holds_up_no_one_and_is_said() -> None:
    never = threading.Event()

    def hanging(rate_hz: int, fill: Any) -> Any:
        never.wait(60)
        raise NoOutput("no audio device")

    keeper = Keeper(Player(FIGURES, 0.0), hanging)
    keeper.want(True)
    keeper.start()
    assert keeper.trouble == "opening the audio device"
    keeper.close()
    keeper.join(0.0)
    never.set()
    keeper.join(30)


# The library ------------------------------------------------------------------------------------------------------


class Fake(ModuleType):
    """miniaudio, as far as it is used: ``names`` of devices, ``refuses`` the one that is opened."""

    class MiniaudioError(Exception):
        pass

    class Backend(Enum):
        PULSEAUDIO = 1
        ALSA = 2
        COREAUDIO = 3
        WASAPI = 4
        DSOUND = 5
        WINMM = 6
        NULL = 7

    class SampleFormat(Enum):
        FLOAT32 = 1

    def __init__(self, names: list[str], refuses: bool = False, lists: bool = True) -> None:
        super().__init__("miniaudio")
        fake, self.playing, self.closed = self, None, False
        self.asked: list[Any] = []

        class Devices:
            def __init__(self, backends: list[Any]) -> None:
                fake.asked += backends
                if not lists:
                    raise fake.MiniaudioError("cannot init context", -103)

            def get_playbacks(self) -> list[dict[str, str]]:
                return [{"name": name} for name in names]

        class PlaybackDevice:
            backend = "PulseAudio"

            def __init__(self, **options: Any) -> None:
                fake.asked += options["backends"]
                if refuses:
                    raise fake.MiniaudioError("failed to init device", -401)

            def start(self, samples: Generator[Any, int, None]) -> None:
                fake.playing = samples  # type: ignore[assignment]

            def close(self) -> None:
                fake.closed = True

        self.Devices, self.PlaybackDevice = Devices, PlaybackDevice


def with_library(monkeypatch: pytest.MonkeyPatch, fake: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "miniaudio", fake)


def silence(frames: int) -> Any:
    return np.zeros(frames, np.float32)


@pytest.mark.parametrize(
    ("fake", "words"),
    [
        (None, "sound library missing"),
        (Fake([]), "no audio device"),
        (Fake(["Dummy Output"]), "no audio device"),
        (Fake(["Discard all samples (playback) or generate zero samples (capture)"]), "no audio device"),
        (Fake(["Built-in Audio"], refuses=True), "no audio device"),
        (Fake(["Built-in Audio"], lists=False), "no audio device"),
    ],
)
def test_no_library_no_device_and_devices_that_play_to_nobody(
    monkeypatch: pytest.MonkeyPatch, fake: Fake | None, words: str
) -> None:
    with_library(monkeypatch, fake)
    with pytest.raises(NoOutput, match=words):
        MiniaudioOutput(RATE, silence)
    if fake is not None:
        assert fake.Backend.NULL not in fake.asked and fake.asked, "which would play to nobody, and say nothing"


def test_the_library_is_given_what_it_asks_for_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(["Dummy Output", "Built-in Audio"])
    with_library(monkeypatch, fake)
    output = MiniaudioOutput(RATE, lambda frames: np.arange(frames, dtype=np.float32))
    assert fake.playing is not None
    for frames in (480, 1, 1441):
        block = fake.playing.send(frames)
        assert block.shape == (frames, 1) and block.dtype == np.float32
        np.testing.assert_array_equal(block[:, 0], np.arange(frames))
    assert output.failure == ""
    output.close()
    assert fake.closed


def test_an_exception_in_the_librarys_thread_is_told_and_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(["Built-in Audio"])
    with_library(monkeypatch, fake)

    def broken(frames: int) -> Any:
        raise ZeroDivisionError("float division")

    output = MiniaudioOutput(RATE, broken)
    assert fake.playing is not None
    with pytest.raises(StopIteration):
        fake.playing.send(480)
    assert output.failure == "ZeroDivisionError: float division"
