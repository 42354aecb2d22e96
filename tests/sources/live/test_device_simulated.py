"""The simulated device obeys the contract that drivers have to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sources.live.device_conformance import DeviceConformance, Rig
from tests.sources.live.simulated import SECOND, Clock, SimulatedDevice


class TestSimulated(DeviceConformance):
    @pytest.fixture(params=("last", "each", "none"))
    def rig(self, request: pytest.FixtureRequest) -> Iterator[Rig]:
        clock = Clock()
        device = SimulatedDevice(clock, stamps=request.param, counts=True, jitter_s=0.02)

        def vanish() -> None:
            device.absent = ((0.0, 1e9),)

        def admit() -> None:
            device.patients = (*device.patients, device.true_s)

        yield Rig(device, lambda: clock.now / SECOND, vanish=vanish, admit=admit)
