"""One plain reason a lane, never two that contradict: every absence, finding and estimate; header, number, pointer."""

from __future__ import annotations

import ast
import itertools
import math
import re
from pathlib import Path

import msgspec
import pytest

from models.runtime.engine import _too_uncertain
from models.signals.absence import Absence
from models.signals.estimable import MEASURED, NEVER_CONNECTED, SOURCES, forbidden, never_measured
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import MODEL_MODALITIES, Modality
from streams.records import RhythmRecord, StateRecord, VitalsRecord
from tests.ui.synthetic import NS, Chapter, FakeSession, Patient
from tests.ui.test_state import at, feed, lane, state_of
from ui.bed.lane_words import NO_ANSWER, NONE_GIVEN, NOT_KNOWN, REASONS, Known, LaneSaid, given_by, lane_said
from ui.bed.liveness import Moment
from ui.bed.readouts import readout
from ui.bed.state import DisplayState
from ui.style.language import retold, speak
from ui.style.theme import default_theme
from ui.style.words import absence_words
from ui.waves.backdrop import header_of
from ui.waves.scales import LaneScale

ROOT = Path(__file__).parents[2]
ABP, ECG, PPG, EEG = Modality.ABP, Modality.ECG, Modality.PPG, Modality.EEG
ABSENCES = [None, *Absence]
REFUSALS = [
    "",
    NEVER_CONNECTED,
    "no clean ABP of this patient yet",
    "too uncertain: ±12 mmHg",
    "too little of the pulse seen yet",
]
FINDINGS = [
    Findings(rhythm, {ABP: abp, PPG: ppg}, overdue)
    for rhythm, abp, ppg, overdue in itertools.product(Rhythm, Pulse, Pulse, (frozenset(), frozenset({PPG})))
]


def whys(modality: Modality, absence: Absence | None) -> set[str]:
    """Every reason that the sensors can give against an estimate of an absent channel, and none."""
    out = set()
    for found, others in itertools.product(FINDINGS, (None, Absence.NO_DATA)):
        missing = {**dict.fromkeys(MODEL_MODALITIES, others), modality: absence or Absence.NO_DATA}
        out.add(forbidden(modality, found, missing))
    return out


@pytest.mark.parametrize("modality", list(Modality))
def test_of_everything_that_can_be_known_one_thing_is_said(modality: Modality) -> None:
    seen = 0
    for absence in ABSENCES:
        for why, refused, answers, given, begun in itertools.product(
            whys(modality, absence), REFUSALS, *[(False, True)] * 3
        ):
            known = Known(modality, absence or "", why, refused, answers, given, begun)
            said = lane_said(known)
            seen += 1
            if not absence:
                assert said == LaneSaid(), "of a measured channel nothing is said"
                continue
            open_ = modality in SOURCES and not why and not refused and answers and given
            assert said.estimated == open_, known
            assert said.state == absence_words(absence)
            assert not (said.estimated and said.why_not), "a reason for what is there"
            if not said.estimated and (absence is not Absence.NOT_CONNECTED or begun):
                assert said.why_not, known
            clauses = re.findall(r"no estimate|estimate ended|never estimated|measured$", said.why_not)
            assert len(clauses) <= 1 and said.why_not.count(":") <= 2
            assert not said.why_not.startswith("estimate ended") or begun
            assert not said.why_not.startswith("no estimate") or not begun
            assert NEVER_CONNECTED not in said.why_not, "what has no signal, or was estimated, was connected"
            if not why and answers and refused and modality in SOURCES and refused != NEVER_CONNECTED:
                assert refused in said.why_not or absence is Absence.NOT_CONNECTED
            if why and modality in SOURCES and absence is not Absence.NOT_CONNECTED:
                assert why in said.why_not, "bad news is not hidden behind what the model lacks"
    assert seen >= 400


def test_the_reason_of_an_absence_that_no_model_answers() -> None:
    assert lane_said(Known(ABP, "flat")) == LaneSaid("flat line", why_not=f"no estimate: {NO_ANSWER}")
    assert lane_said(Known(ABP, "flat", answers=True)).why_not == f"no estimate: {NONE_GIVEN}"
    assert lane_said(Known(EEG, "withheld", "no beats", "x")) == LaneSaid("withheld", why_not="EEG is never estimated")
    assert lane_said(Known(ABP, "not connected", "the ECG is still", NEVER_CONNECTED)) == LaneSaid("not connected")


def test_every_reason_is_said_in_german() -> None:
    speak("de")
    try:
        for modality, absence in itertools.product(Modality, (*Absence, None)):
            for why in {*whys(modality, absence), *REFUSALS, NO_ANSWER, NONE_GIVEN, NOT_KNOWN, _too_uncertain(12.0),
                        _too_uncertain(math.nan), never_measured(modality)} - {""}:  # fmt: skip
                assert retold(why, REASONS) != why, f"{why} is in no template"
        known = Known(ABP, "lead off", "the next pulse on the PPG is late", begun=True)
        assert lane_said(known) == LaneSaid(
            "Sensor ab", why_not="Schätzung beendet: der nächste Puls auf PPG bleibt aus"
        )
    finally:
        speak("en")


def test_numbers_and_wave_of_a_pressure_are_given_together() -> None:
    made = Patient(absent={ABP: [(3, 99, Absence.FLAT)], ECG: [(3, 99, Absence.FLAT)]}).prediction(9)
    assert set(given_by(made)) == {"ABP", "ECG"}
    assert set(given_by(msgspec.structs.replace(made, pressures=None))) == {"ECG"}
    nothing = {**(made.pressures or {}), "sbp": (92.0, math.nan, 101.0)}
    assert set(given_by(msgspec.structs.replace(made, pressures=nothing))) == {"ECG"}
    assert not given_by(None)


# The screen --------------------------------------------------------------------------------------------------------


def status(state: DisplayState, modality: Modality, event_s: float) -> str:
    row = lane(state, modality)
    return header_of(row, LaneScale(row.style, 20.0), "", event_s).status


HEAD: dict[str, object] = {"bed": "Bed 3", "session": "s", "epoch": 0}


@pytest.mark.parametrize("offer", ["estimate", "refused", "nothing", "invalid", "stale", "never"])
def test_header_number_and_wave_agree_whatever_is_absent(offer: str) -> None:
    """All absences of the pressure, sensors that are there or not, all findings that matter; the model offers an
    estimate of all that is absent, refuses it, gives none, fails, is stale or never answered."""
    makers = [None, Absence.NO_DATA, Absence.WITHHELD, Absence.NOT_CONNECTED]
    findings = [Rhythm.BEATS, Rhythm.STILL, Rhythm.UNKNOWN]
    for gone, ecg, ppg, rhythm, pulse in itertools.product(ABSENCES, makers, makers, findings, (Pulse.PRESENT, None)):
        state = DisplayState(default_theme())
        state.set_channels(FakeSession().channels)
        absence = {ABP: gone, ECG: ecg, PPG: ppg, EEG: None}
        reasons = {m.value: str(reason or "") for m, reason in absence.items()}
        patient = Patient(absent={m: [(3, 99, reason)] for m, reason in absence.items() if reason})
        if offer != "never":
            made = patient.prediction(8)
            if offer == "refused":
                made = msgspec.structs.replace(made, not_estimable={m: "too uncertain" for m in reasons})
            if offer == "nothing":
                made = msgspec.structs.replace(made, restored=[], pressures=None)
            state.apply(msgspec.structs.replace(made, valid=offer != "invalid"), 108.1)
        state.apply(StateRecord(**HEAD, time_ns=9 * NS, state=reasons), 109.0)  # type: ignore[arg-type]
        source = next((m for m in (ECG, ABP, PPG) if absence[m] is None), None)
        rate = 64.0 if source else None
        values = {"hr": rate, "hr_source": source or "", "pulse_rate": rate if source in (ABP, PPG) else None}
        state.apply(VitalsRecord(**HEAD, time_ns=9 * NS, **values), 109.0)  # type: ignore[arg-type]
        shown = {PPG.value: pulse.value} if pulse and not ppg else {}
        state.apply(RhythmRecord(**HEAD, time_ns=9 * NS, rhythm=rhythm.value, pulse=shown, overdue=[]), 109.0)  # type: ignore[arg-type]
        moment = at(9.2) if offer != "stale" else Moment(9.2, 109.2, speed=0.1)
        if offer == "stale":
            state.review(Moment(12.0, 112.0))
        for row in state.lanes:
            found = readout(state, row, moment) if offer != "stale" else readout(state, row, Moment(11.5, 111.5))
            header = header_of(row, LaneScale(row.style, 20.0), "", 9.2)
            case = (offer, gone, ecg, ppg, rhythm, pulse, row.key, header.status, found)
            assert not (header.estimated and "estimate:" in header.status), case
            assert found.estimated <= header.estimated and found.estimated <= bool(row.absence), case
            assert bool(header.status) == bool(row.absence), case
            assert found.mark in ("", "ESTIMATED") or found.invalid, "WITHHELD beside a number"
            assert ("from" in " ".join(found.notes)) <= (not found.invalid), case
            if row.modality is ABP and header.estimated:
                assert found.estimated, "an estimate is drawn, and its number is missing"
            if offer in ("refused", "nothing", "invalid", "stale", "never"):
                assert not header.estimated, case


def test_an_estimate_that_ends_says_so_and_the_tape_says_only_what_was_measured() -> None:
    patient = Patient(absent={ABP: [(4, 99, Absence.NO_DATA)]}, restore=False)
    state = state_of(patient, 9.5)
    assert status(state, ABP, 9.5) == "NO SIGNAL 5 s · no estimate: no clean ABP of this patient yet"
    patient.restore = True
    feed(state, patient, 9.5, 14.5)
    state.review(at(14.5))
    assert status(state, ABP, 14.5).startswith("NO SIGNAL 10 s · the estimate lags")
    assert lane(state, ABP).words_of(6) == "absent: no signal", "nothing of now is said of then"
    assert lane(state, ABP).words_of(12) == "absent: no signal; estimated"
    patient.restore = False
    feed(state, patient, 14.5, 16.5)
    assert status(state, ABP, 16.5) == "NO SIGNAL 12 s · estimate ended: no clean ABP of this patient yet"
    state.review(at(30.0))
    assert status(state, ABP, 30.0).startswith("NO SIGNAL 26 s"), "an age runs on"


def test_ages_run_on_however_long_the_absence() -> None:
    patient = Patient(absent={ABP: [(4, 999, Absence.NO_DATA)], EEG: [(4, 999, Absence.FLAT)]})
    state = state_of(patient, 4.0)
    for second in range(5, 95):
        for record in (*patient.second(second), patient.prediction(second)):
            state.apply(record, 100.0 + second)
    assert status(state, EEG, 94.0) == "FLAT LINE 90 s · EEG is never estimated"
    found = readout(state, lane(state, ABP), at(94.2))
    assert found.notes[-1] == "measured 118/71 (86), 91 s ago"
    assert readout(state, lane(state, EEG), at(94.2)).notes == ("flat line for 90 s",)


def test_a_number_of_another_sensor_is_not_withheld() -> None:
    state = state_of(Patient(absent={ECG: [(3, 99, Absence.WITHHELD)]}), 9.5)
    found = readout(state, lane(state, ECG), at(9.5))
    assert (found.value, found.mark) == ("75", "") and found.notes[0] == "from ABP ART (ECG withheld)"
    nothing = [Chapter(3, 99, vitals={"hr": None, "hr_source": ""})]
    state = state_of(Patient(absent={ECG: [(3, 99, Absence.WITHHELD)]}, story=nothing), 9.5)
    found = readout(state, lane(state, ECG), at(9.5))
    assert (found.value, found.mark) == ("-?-", "WITHHELD") and found.notes[0] == "withheld for 6 s"


def test_a_channel_that_is_back_does_not_end_the_drawing_of_its_last_second() -> None:
    patient = Patient(absent={ABP: [(4, 12, Absence.NO_DATA)]})
    state = state_of(patient, 11.5)
    line = lane(state, ABP).estimate.line.ring
    back = msgspec.structs.replace(patient.prediction(12), restored=[], pressures=None, not_estimable={"ABP": MEASURED})
    state.apply(back, 112.1)
    assert line.read(1050, 1100).min() > 0


# Words -------------------------------------------------------------------------------------------------------------

JARGON = re.compile(
    r"\bpriors?\b|conformal|estimable|imput|\btokens?\b|restor(ed|ation)\b|latent|logit|quantile|abstain|\bNaN\b|finite|posterior|inference",
    re.IGNORECASE,
)
SPEAKING = [
    *sorted((ROOT / "ui/bed").glob("*.py")), ROOT / "ui/style/words.py", *sorted((ROOT / "ui/panels").glob("*.py")),
    ROOT / "models/signals/estimable.py", ROOT / "models/signals/absence.py", ROOT / "models/runtime/anchor.py",
    ROOT / "models/runtime/risk_policy.py", ROOT / "models/signals/depth_opinion.py", ROOT / "monitor/terminal.py",
]  # fmt: skip


def said_in(path: Path) -> list[str]:
    """String constants of a module that may be sentences: no docstrings, no names."""
    tree = ast.parse(path.read_text("utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [str(n.value) for n in texts if id(n) not in silent and (" " in str(n.value) or str(n.value).istitle())]


@pytest.mark.parametrize("path", SPEAKING, ids=lambda path: path.name)
def test_no_jargon_on_the_screen(path: Path) -> None:
    assert [text for text in said_in(path) if JARGON.search(text)] == []
