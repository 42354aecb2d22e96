"""LabStreamingLayer out: what is played comes in again, sample by sample; numerics and predictions as they are."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from models.signals.modalities import Modality
from streams.codec import chunk_values
from streams.records import PredictionRecord, VitalsRecord, WaveTick
from streams.sinks.lsl_out import FIELDS, PREDICTED, NumericOutlets, WaveOutlets, predicted
from streams.sources.bed_replay import Drop
from streams.sources.live import LiveSource
from streams.sources.lsl import LslDevice
from streams.sources.replay import ReplaySource
from tests.streams.sources import PatientMap, wait_until

pylsl = pytest.importorskip("pylsl")
HEAD = {"bed": "1", "session": "s", "epoch": 0}


def a_prediction(**options: object) -> PredictionRecord:
    fields: dict[str, object] = {
        "window_end_ns": 0, "model": "m", "backend": "b", "modalities": [], "presence": [], "ages_s": [], "valid": True,
        "abstain": False, "reason": "", "risk": {"5": (0.1, 0.0, 0.2)}, "depth": (47.0, 45.0, 49.0),
    }  # fmt: skip
    return PredictionRecord(**HEAD, **fields | options)  # type: ignore[arg-type]


def test_what_is_not_known_is_nan_and_what_is_not_given_is_not_sent() -> None:
    values = dict(zip(PREDICTED, predicted(a_prediction(pressures={"map": (80.0, 75.0, 85.0)})), strict=True))
    assert (values["risk_5"], values["depth_hi"], values["map_lo"]) == (0.1, 49.0, 75.0)
    assert math.isnan(values["risk_10"]) and math.isnan(values["sys"])
    abstaining = dict(zip(PREDICTED, predicted(a_prediction(abstain=True)), strict=True))
    assert math.isnan(abstaining["risk_5"]) and abstaining["depth"] == 47.0
    assert all(math.isnan(v) for v in predicted(a_prediction(valid=False)))


@pytest.mark.slow
def test_a_recording_that_is_played_comes_in_again_to_the_sample() -> None:
    patient = PatientMap(600.0)
    source = ReplaySource("1", "s", lambda: patient, drops=(Drop(Modality.ABP, 0.0, 600.0),))  # type: ignore[arg-type,return-value]
    outlets = WaveOutlets(source.describe())
    player = threading.Thread(target=source.run, args=(outlets,), daemon=True)
    player.start()
    live = LiveSource(LslDevice("lsl:"), "1", "live", overrides={"RESP": "none"})
    record = live.describe()
    assert {c.modality for c in record.channels} >= {"ECG", "PPG", "EEG"}
    ticks: list[WaveTick] = []
    listener = threading.Thread(target=live.run, args=(lambda tick: not ticks.append(tick),), daemon=True)
    listener.start()
    wait_until(lambda: len(ticks) > 160, what="eight seconds")
    live.stop()
    source.stop()
    listener.join(60)
    player.join(60)
    counted = np.concatenate([chunk_values(c.data) for t in ticks for c in t.chunks if c.modality == "PPG"])
    counted = counted[np.isfinite(counted)]
    assert len(counted) > 600 and (np.diff(counted) == 1).all(), "the test's PPG counts its samples"
    assert not [c for t in ticks for c in t.chunks if c.modality == "ABP" and c.data], "what is withheld is not sent"


@pytest.mark.slow
def test_numerics_come_as_they_are() -> None:
    outlets = NumericOutlets()
    outlets(VitalsRecord(**HEAD, time_ns=0, hr=60.0))
    outlets(a_prediction())
    found = pylsl.resolve_byprop("name", "Vigil numerics 1", timeout=10)
    inlet = pylsl.StreamInlet(found[0])
    inlet.open_stream(10)
    outlets(VitalsRecord(**HEAD, time_ns=10**9, hr=71.5, abp_map=None))
    sample, _ = inlet.pull_sample(10)
    values = dict(zip(FIELDS, sample, strict=True))
    assert values["hr"] == 71.5 and math.isnan(values["abp_map"])
    inlet.close_stream()
