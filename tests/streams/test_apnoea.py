"""Who is not seen to breathe: the seconds since the last breath, and the alarm of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.alarm_replay import replay
from models.signals.absence import Absence
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.alarms import AlarmEngine, limits_from
from streams.limit_settings import DEFAULT_SETTINGS, checked, default_setting
from streams.records import StateRecord, VitalsRecord
from streams.vitals.apnoea import ApnoeaWatch
from streams.vitals.respiration import rate_of_signal
from tests.streams.grids import vitals_over

RESP, CO2 = Modality.RESP, Modality.CO2
HZ, S = 100, 1_000_000_000
HEAD: dict[str, Any] = {"bed": "b", "session": "s", "epoch": 0}


def heart(seconds: float, per_min: float = 72.0, size: float = 0.15) -> np.ndarray:
    """The heart's trace in impedance, with noise."""
    t = np.arange(round(seconds * HZ)) / HZ
    return size * np.sin(2 * np.pi * per_min / 60 * t) + 0.01 * np.random.default_rng(2).standard_normal(len(t))


def chest(seconds: float, per_min: float = 12.0, size: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * HZ)) / HZ
    return size * np.sin(2 * np.pi * per_min / 60 * t) + heart(seconds)


def gas(seconds: float, per_min: float = 12.0) -> np.ndarray:
    t = np.arange(round(seconds * HZ)) / HZ
    return 38.0 * ((t * per_min / 60) % 1.0 > 0.6)


def nobody(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * HZ))


def told(
    waves: Mapping[Modality, np.ndarray],
    why: Mapping[Modality, Mapping[int, Absence]] | None = None,
    rate: float | None = 72.0,
) -> list[float | None]:
    """What the watch says at second 1, 2, …; why: why the cell [k, k + 1) was not measured."""
    watch, out = ApnoeaWatch(), []
    for second in range(1, len(next(iter(waves.values()))) // HZ + 1):
        cut = slice((second - 1) * HZ, second * HZ)
        cells = {m: (why or {}).get(m, {}).get(second - 1) for m in waves}
        out.append(watch.update(second, {m: w[cut].astype(np.float32) for m, w in waves.items()}, cells, rate))
    return out


def still(seconds: range) -> dict[int, Absence]:
    return dict.fromkeys(seconds, Absence.FLAT)


# The rule -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [(RESP,), (CO2,), (RESP, CO2)])
def test_silence_counts_from_the_last_breath_and_ends_with_the_next(there: tuple[Modality, ...]) -> None:
    waves = {
        RESP: np.concatenate((chest(60), heart(60), chest(20))),
        CO2: np.concatenate((gas(60), nobody(60), gas(20))),
    }
    out = told({m: waves[m] for m in there})
    assert max(v for v in out[11:60] if v is not None) < 6
    for second in range(66, 119):
        assert out[second - 1] == pytest.approx(second - 60, abs=3)
    assert max(v for v in out[126:] if v is not None) < 6


@given(
    pauses=st.lists(st.floats(0.0, 12.0), min_size=3, max_size=6),
    there=st.sampled_from(((RESP,), (CO2,), (RESP, CO2))),
)
@settings(max_examples=25, deadline=None)
def test_who_breathes_within_the_delay_is_never_apnoeic(pauses: list[float], there: tuple[Modality, ...]) -> None:
    """Single breaths of five seconds with pauses between."""
    chests, gases = [chest(30)], [gas(30)]
    for pause in pauses:
        chests += [heart(pause), chest(5)]
        gases += [nobody(pause), gas(5)]
    waves = {RESP: np.concatenate(chests), CO2: np.concatenate(gases)}
    assert all(v is not None and v <= 20 for v in told({m: waves[m] for m in there}))


@given(silent=st.integers(22, 70), size=st.floats(0.02, 50.0), rate=st.sampled_from((45.0, 72.0, 130.0)),
       there=st.sampled_from(((RESP,), (CO2,), (RESP, CO2))))  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_silence_longer_than_the_delay_is_always_told(
    silent: int, size: float, rate: float, there: tuple[Modality, ...]
) -> None:
    """Whatever the size of the breaths before, and with the heart in the impedance."""
    beats = heart(silent + 3, rate)
    waves = {
        RESP: size * np.concatenate((chest(30), beats)),
        CO2: np.concatenate((gas(30), nobody(silent + 3))),
    }
    last = told({m: waves[m] for m in there}, rate=rate)[-1]
    assert last is not None and silent - 2 <= last <= silent + 8


def test_a_breath_in_either_wave_is_a_breath() -> None:
    assert max(v or 0 for v in told({RESP: chest(90), CO2: np.concatenate((gas(30), nobody(60)))})) < 11
    assert max(v or 0 for v in told({RESP: np.concatenate((chest(30), heart(60))), CO2: gas(90)})) < 6


def test_impedance_that_swings_with_the_heart_is_no_breath_beside_a_silent_capnogram() -> None:
    """A deep trace of the heart from the beginning on, which impedance alone cannot tell from breaths."""
    swings = heart(90, size=1.0)
    assert max(v or 0 for v in told({RESP: swings})) < 12
    assert told({RESP: swings, CO2: nobody(90)})[-1] > 60  # type: ignore[operator]
    assert max(v or 0 for v in told({RESP: chest(90, 20.0), CO2: nobody(90)})) < 12, "breaths of its own"


def test_smaller_breaths_for_good_become_usual_and_smaller_beats_do_not() -> None:
    t = np.arange(60 * HZ) / HZ
    small = 0.2 * np.sin(2 * np.pi * 15 / 60 * t)
    out = told({RESP: np.concatenate((chest(30), small))})
    assert max(v or 0 for v in out) <= 25 and out[-1] < 6  # type: ignore[operator]
    assert told({RESP: np.concatenate((chest(30), heart(60, 50.0, 0.2)))}, rate=50.0)[-1] > 50  # type: ignore[operator]
    assert told({RESP: np.concatenate((chest(30), heart(60, 50.0, 0.2)))}, rate=None)[-1] > 50  # type: ignore[operator]


@pytest.mark.parametrize("why", [Absence.LEAD_OFF, Absence.NO_DATA, Absence.ARTEFACT, Absence.WITHHELD])
def test_what_is_not_measured_is_no_evidence_and_nothing_is_glued_over_it(why: Absence) -> None:
    wave = np.concatenate((chest(30), heart(60)))
    out = told({RESP: wave}, {RESP: dict.fromkeys(range(45, 48), why)})
    assert out[44] == pytest.approx(15, abs=2) and out[45:48] == [None] * 3
    assert out[48:90] == [float(n) for n in range(1, 43)]


def test_a_gap_in_the_samples_is_a_gap_also_where_the_cell_was_measured() -> None:
    wave = np.concatenate((gas(30), nobody(30)))
    wave[4000:4030] = np.nan
    assert told({CO2: wave})[39:43] == [pytest.approx(10, abs=3), None, 1.0, 2.0]


def test_flat_is_evidence_after_a_breath_and_none_before() -> None:
    waves = {CO2: np.concatenate((gas(30), nobody(40)))}
    assert told(waves, {CO2: still(range(40, 70))})[-1] == pytest.approx(40, abs=3)
    assert told({CO2: nobody(60)}, {CO2: still(range(9, 60))})[8:] == [9.0] + [None] * 51


def test_a_breath_that_a_lost_sensor_showed_still_counts() -> None:
    waves = {RESP: np.concatenate((chest(60), nobody(30))), CO2: nobody(90)}
    out = told(waves, {RESP: dict.fromkeys(range(60, 90), Absence.LEAD_OFF)})
    assert out[-1] == pytest.approx(30, abs=3)


def test_no_rate_is_told_of_breaths_that_have_ended() -> None:
    """It looks at 40 s, and said 30/min still 17 s after the last one."""
    t = np.arange(75 * HZ) / HZ
    wave = np.where(t < 50, np.sin(2 * np.pi * 0.5 * t), 0.0)
    out = vitals_over({RESP: wave}, 75)
    assert out[49].resp_rate == pytest.approx(30, abs=1)
    assert rate_of_signal(wave[27 * HZ : 67 * HZ]) is not None
    assert all(v.resp_rate is None and v.resp_source == "" for v in out if v.second >= 66)


# The alarm ------------------------------------------------------------------------------------------------------------


def vitals(second: int, apnoea_s: float | None) -> VitalsRecord:
    return VitalsRecord(**HEAD, time_ns=second * S, apnoea_s=apnoea_s)


def state(second: int, **states: str) -> StateRecord:
    return StateRecord(**HEAD, time_ns=second * S, state=states)


def test_it_begins_past_its_limit_is_high_and_ends_with_a_breath() -> None:
    engine = AlarmEngine()
    said = [(r.time_ns // S, r.text, r.now, r.priority, r.active) for k in range(1, 27)
            for r in engine.on_vitals(vitals(k, k + 0.7 if k < 25 else 0.2))]  # fmt: skip
    assert said[0] == (20, "APNOEA > 20 s", "20 s", "high", True)
    assert [now for _, _, now, _, active in said if active] == ["20 s", "21 s", "22 s", "23 s", "24 s"]
    assert said[-1] == (25, "APNOEA > 20 s", "", "high", False)


def test_a_sensor_that_is_lost_meanwhile_is_not_a_breath_and_not_for_ever_an_apnoea() -> None:
    engine = AlarmEngine()
    engine.on_vitals(vitals(1, 30.0))
    (held,) = engine.on_vitals(vitals(2, None))
    assert (held.active, held.now) == (True, "-?-")
    assert [r.active for k in range(3, 14) for r in engine.on_vitals(vitals(k, None))] == [False]


def test_a_flat_line_of_the_breaths_is_not_told_beside_it_and_comes_back_after() -> None:
    engine = AlarmEngine()
    engine.on_state(state(1, RESP="flat", CO2="lead off", PPG="flat"))
    engine.on_vitals(vitals(1, 12.0))
    assert {"RESP FLAT LINE", "CO2 SENSOR OFF", "PPG FLAT LINE"} == set(engine.active.values())
    engine.on_vitals(vitals(2, 21.0))
    assert "RESP FLAT LINE" not in engine.active.values(), "at once"
    engine.on_state(state(3, RESP="flat", CO2="lead off", PPG="flat"))
    assert set(engine.active.values()) == {"APNOEA > 20 s", "CO2 SENSOR OFF", "PPG FLAT LINE"}
    engine.on_vitals(vitals(4, None))
    for second in range(4, 15):
        engine.on_vitals(vitals(second, None))
        engine.on_state(state(second, RESP="flat", CO2="lead off", PPG="flat"))
    assert "RESP FLAT LINE" in engine.active.values() and "APNOEA > 20 s" not in engine.active.values()


def test_its_delay_is_set_like_a_limit_from_10_to_40_s_and_it_has_no_other() -> None:
    plain = default_setting("apnoea_s")
    assert (plain.on, plain.low, plain.high, plain.priority) == (True, None, 20.0, "high")
    others = [s for s in DEFAULT_SETTINGS if s.vital != "apnoea_s"]
    for refused in ({"high": 9.0}, {"high": 41.0}, {"low": 10.0}, {"delay_s": 5.0}, {"extreme_high": 30.0}):
        with pytest.raises(BadInput, match="Apnoea"):
            checked([*others, replace(plain, **refused)])
    engine = AlarmEngine(limits_from(checked([*others, replace(plain, high=35.0)])))
    assert engine.on_vitals(vitals(1, 34.9)) == [] and engine.on_vitals(vitals(2, 35.9))[0].text == "APNOEA > 35 s"
    engine.set_limits(limits_from(checked([*others, replace(plain, on=False)])))
    assert [r.active for r in engine.on_vitals(vitals(3, 36.9))] == [False]


# The whole path -------------------------------------------------------------------------------------------------------


def test_the_built_in_patient_stops_breathing_and_begins_again() -> None:
    """Through pipeline, numerics and alarms: 65 s of apnoea from 45 s on, with the heart in the impedance."""
    changes = [(second, r) for second, r in replay("demo:scenario=apnoea", 0, 130) if r.key == "apnoea.high"]
    assert changes[0][0] == pytest.approx(66, abs=4) and changes[0][1].active
    assert changes[-1][0] == pytest.approx(112, abs=3) and not changes[-1][1].active
    assert all(r.priority == "high" and r.text == "APNOEA > 20 s" for _, r in changes)
    assert [r.active for _, r in changes].count(False) == 1


def test_without_its_sensor_nobody_is_told_of_what_nobody_sees() -> None:
    sensors = (Modality.ECG, Modality.ABP, Modality.PPG)
    assert not [r for _, r in replay("demo:scenario=apnoea", 30, 100, sensors) if r.key == "apnoea.high"]
