"""In a crisis the whole path — pipeline, model, alarms, screen — says what the table of ``benchmarks.arrests`` asks.

The cases are replayed without Faust: the windower, the model, the alarm engine and the display's state in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.arrests.cases import ABP, ECG, RECORDS, SIMULATED, Case, of_folder
from benchmarks.arrests.command import Way, judged, with_truth
from benchmarks.arrests.looks import LOOK_S, Look, looks
from benchmarks.arrests.replay import SharedEngine, offline
from benchmarks.arrests.rules import NoEstimate, NoRisk, Raises, Rule, Silent, Tile
from models.signals.modalities import Modality
from streams.records import AlarmRecord
from ui.bed.alarm_view import Alarm

ROOT = Path(__file__).resolve().parent.parent
ARRESTS = ROOT.parent / "shared" / "cases" / "arrest"

TELLING = {
    "pea": Way("without ABP", withheld=(ABP,)),  # an estimate stands when the pulse is lost
    "asystole": Way(),
    "vfib": Way("without ECG", withheld=(ECG,)),
    "shock": Way(),
    "flush": Way(),
    "disconnect": Way(),
    "damping": Way(),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[SharedEngine]:
    shared = SharedEngine()
    yield shared
    shared.close()


def misses(case: Case, way: Way, engine: SharedEngine) -> list[str]:
    seen = list(looks(offline(case.source, engine, drops=way.drops, until_s=case.until_s)))
    rows = judged(case, way, seen)
    assert len(rows) >= len(case.musts) // 2, "the case asks nothing of this way of playing it"
    return [f"{row.words}: {row.judgement.figure}" for row in rows if not row.judgement.met]


@pytest.mark.parametrize("name", TELLING)
def test_a_crisis_is_told_as_it_is(name: str, engine: SharedEngine) -> None:
    case = with_truth(next(case for case in SIMULATED if case.name == name))
    assert misses(case, TELLING[name], engine) == []


BRADY = pytest.mark.xfail(reason="EXTREME BRADY for two seconds from beats on either side of an artefact", strict=True)


@pytest.mark.recordings
@pytest.mark.parametrize(
    "name", [pytest.param(case.name, marks=[BRADY] if case.name == "weird" else []) for case in RECORDS]
)
def test_the_made_up_arrests_are_told_as_they_are(name: str, engine: SharedEngine) -> None:
    if not ARRESTS.is_dir():
        pytest.skip(f"the made-up arrests are not at {ARRESTS}")
    (case,) = of_folder(str(ARRESTS), [name])
    assert misses(case, Way(), engine) == []


# The judge itself ----------------------------------------------------------------------------------------------------


def seen(
    *, red: tuple[tuple[float, float], ...] = (), tile: str = "-?-", drawn: float | None = None, until_s: float = 60.0
) -> list[Look]:
    """Looks from 30 s on. red: spans in which ASYSTOLE stands. drawn: an estimated ABP shows the patient up to here."""
    record = AlarmRecord(bed="1", session="s", epoch=0, time_ns=0, key="asystole", priority="high",
                         kind="physiological", text="ASYSTOLE", active=True)  # fmt: skip
    out = []
    for k in range(1, round((until_s - 30.0) / LOOK_S) + 1):
        at_s = 30.0 + k * LOOK_S
        alarms = (Alarm(record, 0.0),) if any(a < at_s <= b for a, b in red) else ()
        wave = {Modality.ABP: at_s - 1.0} if drawn is not None and at_s - 1.0 <= drawn else {}
        out.append(Look(at_s, alarms, {}, wave, tile, ""))
    return out


SPAN = (30.0, 60.0)


@pytest.mark.parametrize(("rule", "looks", "met", "late_s"), [
    (Raises(("asystole",), SPAN), seen(red=((36.0, 60.0),)), True, 6.1),
    (Raises(("asystole",), SPAN), seen(red=((41.0, 60.0),)), False, 11.1),
    (Raises(("asystole",), SPAN), seen(red=((36.0, 45.0), (47.0, 60.0))), False, 6.1),
    (Raises(("asystole",), SPAN), seen(red=((36.0, 50.0),)), False, 6.1),
    (Raises(("vfib",), SPAN), seen(red=((36.0, 60.0),)), False, None),
    (Raises(("asystole",), SPAN), seen(), False, None),
    (Silent(SPAN), seen(), True, None), (Silent(SPAN), seen(red=((40.0, 40.2),)), False, None),
    (Silent(SPAN, ("vfib",)), seen(red=((40.0, 50.0),)), True, None),
    (NoEstimate(SPAN, 30.0), seen(drawn=31.5), True, 1.5), (NoEstimate(SPAN, 30.0), seen(drawn=34.0), False, 4.0),
    (NoEstimate(SPAN), seen(drawn=30.5), False, None), (NoEstimate(SPAN), seen(), True, None),
    (NoRisk(SPAN), seen(tile="risk 8 (6–9)"), False, None), (NoRisk(SPAN), seen(tile="NO PULSE"), True, None),
    (Tile(("NO PULSE",), SPAN), seen(tile="NO PULSE"), True, None),
    (Tile(("NO PULSE",), SPAN), seen(tile="MAP < 65 NOW"), False, None),
])  # fmt: skip
def test_the_judge_sees_what_is_late_interrupted_or_missing(
    rule: Rule, looks: list[Look], met: bool, late_s: float | None
) -> None:
    found = rule.judge(looks)
    assert found.met is met
    assert found.late_s == (pytest.approx(late_s, abs=0.01) if late_s is not None else None)
