"""The optional judge: a module of its shape is asked as it wants to be, and its absence is one sentence."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.hpi import RATE_HZ, WINDOW_S, hpi_by_minute, hpi_module
from models.data.simulator import simulate_patient
from models.signals.errors import BadInput

NAME = "openvital.filters.abp_hpi"


class Stand(ModuleType):
    """Refuses a narrow pulse, as the real one does; its score is the mean of the pressure."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.switched = 0
        self.cfg: dict[str, object] = {}
        self.model: SimpleNamespace | None = None

    def run(self, inp: Any, opt: object, cfg: object) -> list[Any] | None:
        wave = inp["ART"]["vals"]
        assert len(wave) == WINDOW_S * RATE_HZ and inp["ART"]["srate"] == RATE_HZ
        self.model = self.model or SimpleNamespace(eval=self.switch)
        return None if wave.max() - wave.min() < 30.0 else [[{"dt": 20, "val": int(wave.mean())}]]

    def switch(self) -> None:
        self.switched += 1


def test_every_minute_is_asked_for_its_last_20_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand()
    monkeypatch.setitem(sys.modules, "openvital", ModuleType("openvital"))
    monkeypatch.setitem(sys.modules, "openvital.filters", ModuleType("openvital.filters"))
    monkeypatch.setitem(sys.modules, NAME, stand)
    found = hpi_module()
    assert found is stand and stand.switched == 1, "the network is out of training mode before it is asked"
    patient = simulate_patient(3, duration_s=130.0, faults=False)
    scores = hpi_by_minute(found, patient)
    wave = patient.read_clean("SIM/ART", 100.0, 120.0).values
    assert len(scores) == 2 and scores[1] == pytest.approx(wave.mean() / 100.0, abs=0.02)
    monkeypatch.setattr(stand, "run", lambda *_: None)
    assert np.isnan(hpi_by_minute(found, patient)).all()


def test_without_it_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvital", None)
    with pytest.raises(BadInput, match="pip install openvital"):
        hpi_module()
