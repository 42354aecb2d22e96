"""Two ECG leads from the wire to the alarms: what is said, counted and shown when one of them is off."""

from __future__ import annotations

import numpy as np
import pytest

from tests.signals.waves import beat_times, ecg, pulse
from tests.streams.bedside import ABP, ECG, Bedside

SECONDS = 60


def bed(**second: float) -> Bedside:
    times = beat_times(72.0, SECONDS)
    return Bedside(
        {ECG: ecg(times, SECONDS, noise=0.01).astype(np.float32)},
        standby={ECG: ecg(times, SECONDS, amplitude=0.7, noise=0.01).astype(np.float32)},
        **second,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("from_s", [0, 20])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_flat_lead_beside_a_good_one_is_a_technical_message_and_no_asystole(from_s: int, noise: float) -> None:
    beside = bed()
    line = noise * np.random.default_rng(1).standard_normal((SECONDS - from_s) * 100)
    beside.signals[ECG][from_s * 100 :] = line.astype(np.float32)
    beside.play(0, SECONDS)
    assert not [change for _, change in beside.changes if change.kind == "physiological"]
    standing = beside.standing["technical.ECG.lead"]
    assert (standing.priority, standing.text) == ("low", "ECG FLAT LINE, V5 SERVES")
    assert "technical.ECG" not in beside.standing
    assert beside.vitals[-1].hr == pytest.approx(72, abs=1)
    known = [v for v in beside.vitals if v.hr is not None]
    assert len(known) >= SECONDS - 16
    assert beside.states[-1].state["ECG"] == ""
    assert [lead.label for lead in beside.states[-1].leads["ECG"]] == ["V5", "ECG"]


def test_asystole_in_both_leads_is_alarmed_as_with_one() -> None:
    alone, beside = bed(), bed()
    for one in (alone, beside):
        for leads in (one.signals, one.standby):
            leads[ECG][3000:] = 0.01 * np.random.default_rng(0).standard_normal(SECONDS * 100 - 3000)
    alone.standby = {}
    for one in (alone, beside):
        one.play(0, SECONDS)
    assert beside.first("asystole", "high") == alone.first("asystole", "high") <= 36


def test_an_artefact_on_the_lead_that_serves_does_not_hide_an_asystole() -> None:
    beside = bed()
    random = np.random.default_rng(0)
    beside.signals[ECG][2000:3000] = 0.0  # V5 serves
    for leads in (beside.signals, beside.standby):
        leads[ECG][4000:] = 0.01 * random.standard_normal(2000)
    beside.play(0, SECONDS)
    assert beside.first("asystole", "high") <= 46


def test_every_sample_of_both_leads_is_counted() -> None:
    beside = bed()
    beside.play(0, 20)
    counts = beside.accounting.samples(complete=False)["ECG"]
    assert (counts["received"], counts["lost"]) == (2 * 2000, 0)


def test_the_operator_withholds_all_leads() -> None:
    beside = bed()
    beside.play(0, 30, withheld={ECG: (10.0, 30.0)})
    assert beside.states[-1].state["ECG"] == "withheld"
    assert beside.vitals[-1].hr is None


def test_the_pulse_of_another_sensor_does_not_choose_the_lead() -> None:
    beside = bed()
    beside.signals[ABP] = pulse(beat_times(72.0, SECONDS) + 0.2, SECONDS, 60, 110).astype(np.float32)  # type: ignore[index]
    beside.play(0, 20)
    assert {state.leads["ECG"][0].lead for state in beside.states if state.leads} == {0}
