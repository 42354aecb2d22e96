"""What every driver must do. Run it against one::

    from tests.sources.live.device_conformance import DeviceConformance, Rig

    class TestMyDriver(DeviceConformance):
        @pytest.fixture
        def rig(self):
            yield Rig(MyDevice("COM3"), now_s=time.monotonic)

The device must be there and sending while the suite runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from models.signals.device_numerics import kinds, scale_to
from streams.sources.device import SLACK_S, AnotherPatient, Block, Device, DeviceChannel, DeviceLost, DeviceValue

RATES_HZ = (5.0, 100_000.0)


@dataclass
class Rig:
    """A device that is there and sends, and the clock that it waits on (seconds).

    open_s: how long it may take to connect. listen_s: so long every channel needs to send something. vanish: makes it
    go away, admit: puts it to another patient, where a test can do that. notice_s: within which the driver knows.
    """

    device: Device
    now_s: Callable[[], float]
    open_s: float = 10.0
    listen_s: float = 1.0
    vanish: Callable[[], None] | None = None
    admit: Callable[[], None] | None = None
    notice_s: float = 5.0


def all_for(rig: Rig, seconds: float) -> list[Block | DeviceValue]:
    until, came = rig.now_s() + seconds, []
    while rig.now_s() < until:
        came += rig.device.read(0.02)
    return came


def read_for(rig: Rig, seconds: float) -> list[Block]:
    return [one for one in all_for(rig, seconds) if isinstance(one, Block)]


class DeviceConformance:
    """The suite: a subclass gives the fixture ``rig``."""

    def test_it_says_what_it_sends(self, rig: Rig) -> None:
        channels = rig.device.open(rig.open_s)
        try:
            assert rig.device.name.strip()
            assert channels and all(isinstance(c, DeviceChannel) for c in channels)
            assert len({c.name for c in channels}) == len(channels)
            assert all(c.name and RATES_HZ[0] <= c.rate_hz <= RATES_HZ[1] for c in channels)
        finally:
            rig.device.close()

    def test_blocks_are_what_the_contract_says(self, rig: Rig) -> None:
        channels = {c.name: c for c in rig.device.open(rig.open_s)}
        try:
            blocks = read_for(rig, rig.listen_s)
        finally:
            rig.device.close()
        assert {b.channel for b in blocks} == set(channels), "every channel sends"
        for block in blocks:
            assert block.values.dtype == np.float32 and block.values.ndim == 1 and len(block.values)
            if block.stamps_s is not None:
                assert block.stamps_s.dtype == np.float64
                assert block.stamps_s.shape in {(1,), (len(block.values),)}
                assert np.isfinite(block.stamps_s).all()
        for name, channel in channels.items():
            count = sum(len(b.values) for b in blocks if b.channel == name)
            assert 0.3 * rig.listen_s * channel.rate_hz <= count, f"{name} keeps its rate"

    def test_numbers_are_what_the_contract_says(self, rig: Rig) -> None:
        rig.device.open(rig.open_s)
        try:
            numbers = [one for one in all_for(rig, rig.listen_s) if not isinstance(one, Block)]
        finally:
            rig.device.close()
        for number in numbers:
            assert isinstance(number, DeviceValue)
            assert number.name in kinds(), "a kind of models/signals/numerics.toml"
            assert scale_to(number.unit, kinds()[number.name]) is not None, "a unit of what it is"
            assert number.value is None or np.isfinite(number.value)
            assert number.stamp_s is None or np.isfinite(number.stamp_s)

    def test_stamps_go_on_at_the_rate(self, rig: Rig) -> None:
        channels = {c.name: c for c in rig.device.open(rig.open_s)}
        try:
            blocks = read_for(rig, 1.5 * rig.listen_s)
        finally:
            rig.device.close()
        for name, channel in channels.items():
            mine = [b for b in blocks if b.channel == name and b.stamps_s is not None]
            if len(mine) < 3:
                continue
            lasts = np.array([b.stamps_s[-1] for b in mine if b.stamps_s is not None])
            counts = np.cumsum([len(b.values) for b in mine])
            spent, taken = lasts[-1] - lasts[0], (counts[-1] - counts[0]) / channel.rate_hz
            assert abs(spent - taken) < 0.1, f"{name}: stamps and samples disagree"

    def test_counters_count_samples(self, rig: Rig) -> None:
        rig.device.open(rig.open_s)
        try:
            blocks = read_for(rig, rig.listen_s)
        finally:
            rig.device.close()
        expected: dict[str, int] = {}
        for block in blocks:
            if block.counter is not None:
                assert block.counter >= expected.get(block.channel, block.counter), "counters do not run back"
                expected[block.channel] = block.counter + len(block.values)

    @pytest.mark.parametrize("timeout_s", (0.0, 0.02, 0.2))
    def test_read_keeps_its_time(self, rig: Rig, timeout_s: float) -> None:
        """The best of several, since the machine may be busy: a driver that blocks blocks each time."""
        rig.device.open(rig.open_s)
        try:
            taken = []
            for _ in range(5):
                begin = rig.now_s()
                rig.device.read(timeout_s)
                taken.append(rig.now_s() - begin)
        finally:
            rig.device.close()
        assert min(taken) <= timeout_s + SLACK_S

    def test_it_can_be_closed_at_any_time_and_opened_again(self, rig: Rig) -> None:
        rig.device.close()
        first = list(rig.device.open(rig.open_s))
        rig.device.close()
        rig.device.close()
        assert list(rig.device.open(rig.open_s)) == first
        try:
            assert read_for(rig, rig.listen_s)
        finally:
            rig.device.close()

    def test_a_lost_device_says_so_or_is_silent(self, rig: Rig) -> None:
        if rig.vanish is None:
            pytest.skip("this device cannot be made to go away")
        rig.device.open(rig.open_s)
        read_for(rig, 0.3)
        rig.vanish()
        try:
            read_for(rig, 0.3)  # what was under way
            assert read_for(rig, 0.3) == []
        except (DeviceLost, OSError):
            with pytest.raises((DeviceLost, OSError)):
                rig.device.read(0.0)
        finally:
            rig.device.close()

    def test_another_patient_is_said_once_and_behind_all_that_was_of_the_one_before(self, rig: Rig) -> None:
        if rig.admit is None:
            pytest.skip("this device cannot be put to another patient")
        rig.device.open(rig.open_s)
        try:
            assert read_for(rig, rig.listen_s), "nobody else is said while it is one patient"
            rig.admit()
            with pytest.raises(AnotherPatient):
                read_for(rig, rig.notice_s)
            with pytest.raises(AnotherPatient):
                rig.device.read(0.0)
            rig.device.close()
            rig.device.open(rig.open_s)
            assert read_for(rig, rig.listen_s)
        finally:
            rig.device.close()

    def test_another_patient_who_came_while_it_was_closed_is_said_by_open(self, rig: Rig) -> None:
        if rig.admit is None:
            pytest.skip("this device cannot be put to another patient")
        rig.device.open(rig.open_s)
        rig.device.close()
        rig.device.open(rig.open_s)  # the same one
        rig.device.close()
        rig.admit()
        try:
            with pytest.raises(AnotherPatient):
                rig.device.open(rig.open_s)
            rig.device.close()
            rig.device.open(rig.open_s)
            assert read_for(rig, rig.listen_s)
        finally:
            rig.device.close()

    def test_it_leaves_no_thread_of_python_behind(self, rig: Rig) -> None:
        before = set(threading.enumerate())
        rig.device.open(rig.open_s)
        read_for(rig, 0.2)
        rig.device.close()
        left = [t for t in threading.enumerate() if t not in before and not t.daemon]
        assert left == []
