"""Alarms are told in German where they are painted, with all that the stream can say of them; files stay English."""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from models.signals.absence import Absence
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from monitor.exports import AlarmsCsv
from streams.alarms import arrhythmia, engine
from streams.alarms.circulation import ARRHYTHMIAS, Evidence, lost_pulses
from streams.alarms.limits import DEFAULT_LIMITS
from streams.alarms.technical import MODEL_BEHIND, SERVICE, of_leads, technical
from streams.records import LeadState
from tests.ui.harness import Screen
from ui.bed import alarm_words
from ui.bed.alarm_words import line_said, now_said, reason_said, text_said
from ui.bed.strip import strip_of, table
from ui.panels import alarm_list, top_bar
from ui.style.language import catalogue, speak

ENGLISH = re.compile(
    r"(?i)\b(no|the|and|off|low|high|show|shows|showed|none|pulse|pulses|beats|alone|although|last|serves|line|"
    r"signal (?=off)|back|model not|risk|disconnect|withheld|impedance|overload|range|lead[s]?)\b"
)
"""Words that a German sentence of ours has none of."""


@pytest.fixture(autouse=True)
def german() -> Iterator[None]:
    speak("de")
    yield
    speak("en")


def evidence() -> Iterator[Evidence]:
    """All that the sensors can say of the circulation."""
    lost = ([], [Modality.ABP], [Modality.PPG], [Modality.ABP, Modality.PPG], [Modality.ECG])
    for rhythm, abp, ppg, mean, now, silent in itertools.product(Rhythm, Pulse, Pulse, (None, 5.0, 40.0), (0, 1), lost):
        yield Evidence(rhythm, abp, ppg, mean, bool(now), frozenset(silent))


def limits() -> Iterator[str]:
    for limit in DEFAULT_LIMITS:
        if math.isfinite(limit.value):
            yield limit.words(limit.value - 2 if limit.below else limit.value + 0.4)


def lead_texts() -> Iterator[str]:
    for absence in ("", *(a.value for a in Absence if technical(Modality.ECG, a))):
        found = of_leads(Modality.ECG, (LeadState(1, "V5", ""), LeadState(0, "II", absence)))
        assert found is not None
        yield found[1]


def texts() -> set[str]:
    """Every text of an alarm that the stream can make."""
    found = {text for text, _ in ARRHYTHMIAS.values()} | {f"{text}?" for text, _ in ARRHYTHMIAS.values()}
    found |= {condition.text for said in evidence() for condition in lost_pulses(said).values()}
    found |= {made[1] for modality in Modality for absence in Absence if (made := technical(modality, absence))}
    found |= {text for _, text in SERVICE.values()} | {MODEL_BEHIND[1], *limits(), *lead_texts()}
    return found | {"HYPOTENSION RISK 87 > 85 (15 min)", "ECG NO BEATS FOUND"}


def judged() -> Iterator[str]:
    """What pulses make of a call, of all that there can be."""
    both = {Modality.ABP: 82.0, Modality.PPG: 81.0}
    some = ({}, {Modality.PPG: 81.0}, both)
    for silent, against, pulses, value, channels in itertools.product(
        ([], [Modality.ABP], [Modality.PPG], [Modality.ABP, Modality.PPG]), some, some, (None, 80.0, 30.0), ({}, both)
    ):
        findings = SimpleNamespace(showing=lambda _, silent=silent: silent)
        now = cast(Any, SimpleNamespace(findings=findings, channels=channels))
        yield arrhythmia._judged("vtach", value, now, against, pulses).reason
    for ecg, beats in itertools.product((True, False), ({Modality.PPG: 31.0}, both)):
        findings = SimpleNamespace(rhythm=Rhythm.UNCLEAR)
        now = cast(Any, SimpleNamespace(findings=findings, ecg_measured=ecg, pulse_rates=lambda _, beats=beats: beats))
        call = arrhythmia._by_pulse("brady.extreme", now, lambda rate: True)
        assert call is not None
        yield call.reason


def test_every_text_of_an_alarm_is_told_in_german() -> None:
    words, all_texts = catalogue("de"), texts()
    assert len(all_texts) > 100
    for text in all_texts:
        said = text_said(text)
        assert said.strip() and not ENGLISH.search(said), f"{text} is told as {said}"
        assert said != text or words.get(text.rstrip("?")) == text.rstrip("?"), f"{text} has no line"
        assert re.findall(r"\d+(?:\.\d+)?", said) == re.findall(r"\d+(?:\.\d+)?", text), "values stay"


def test_the_engine_makes_no_text_that_this_does_not_know() -> None:
    """A new rule with a text of its own needs a line above."""
    tree = ast.parse(Path(engine.__file__ or "").read_text("utf-8"))
    own = [
        ast.unparse(node.args[2])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Condition" and len(node.args) > 2
    ]
    own = [text for text in own if text not in ("text", "found[1]")]
    assert own == ["limit.words(standing.worst)", "'ECG NO BEATS FOUND'"]
    made = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "text"]
    assert len(made) == 1, "of the risk"


def test_every_reason_and_present_value_is_told_in_german() -> None:
    made = [condition for said in evidence() for condition in lost_pulses(said).values()]
    reasons = {*judged(), *(condition.reason for condition in made)} - {""}
    assert len(reasons) > 60
    for reason in reasons:
        said = reason_said(reason)
        assert said.strip() and not ENGLISH.search(said), f"{reason} is told as {said}"
    assert {now_said(condition.now) for condition in made} == {"", "-?-", "Mittel 5", "Mittel 40"}


def test_what_has_no_line_is_told_as_it_came() -> None:
    assert text_said("SOMETHING NEW 12") == "SOMETHING NEW 12"
    assert reason_said("a reason of tomorrow, no ECG") == "a reason of tomorrow, kein EKG"
    assert line_said("SOMETHING NEW (of tomorrow)") == "SOMETHING NEW (of tomorrow)"


def test_a_line_of_the_journal_is_told_whole() -> None:
    assert line_said("ASYSTOLE (ABP shows no pulse)") == "ASYSTOLIE (ABP zeigt keinen Puls)"
    assert line_said("HYPOTENSION RISK 87 > 85 (15 min)") == "HYPOTONIERISIKO 87 > 85 (15 min)"
    assert line_said("V-TACH — ended 00:01:00") == "VENTR. TACHYKARDIE — beendet 00:01:00"
    assert line_said("Heart rate none–120 high 3 s off → 50–120 medium 3 s latching") == (
        "Herzfrequenz nichts–120 hoch 3 s aus → 50–120 mittel 3 s haltend"
    )


def test_every_template_serves_something() -> None:
    every, reasons = texts(), {*judged(), *(c.reason for said in evidence() for c in lost_pulses(said).values())}
    every |= {part for text in every for part in text.split(", ")}
    reasons |= {part for reason in reasons for part in reason.split(", ")}
    for templates, made in ((alarm_words.TEXTS, every), (alarm_words.REASONS, reasons)):
        for template in templates:
            pattern = re.sub(r"\\{\w+\\}", ".+?", re.escape(template))
            assert any(re.fullmatch(pattern, one) for one in made), f"{template} is never made"


def test_a_live_alarm_is_german_on_the_screen_and_english_in_files(screen, monkeypatch, tmp_path) -> None:
    painted: list[str] = []

    def note(painter: object, x: float, y: float, words: str, *rest: object, **more: object) -> float:
        painted.append(words)
        return 0.0

    s: Screen = screen(size=(1280, 760), kept=tmp_path)
    s.run_to(3.0)
    alarm = s.patient.alarm(
        "asystole", "ASYSTOLE", "high", "physiological", time_s=2.0, reason="ABP and PPG show no pulse"
    )
    risen = s.patient.alarm("map.low", "ABP LOW 58 < 65", "medium", "physiological", time_s=2.0, now="59")
    csv = AlarmsCsv(tmp_path / "alarms.csv")
    for record in (alarm, risen):
        s.feed.push(record)
        csv(record)
    monkeypatch.setattr(top_bar, "draw_text", note)
    monkeypatch.setattr(alarm_list, "draw_text", note)
    s.run_to(4.0)
    s.window.top.grab()
    assert "*** ASYSTOLIE" in painted and "** ABP TIEF 58 < 65" in painted and "   jetzt 59" in painted
    assert "*** ASYSTOLIE: ABP und PPG zeigen keinen Puls" in s.window.top.toolTip()
    painted.clear()
    s.window.alarm_room.toggle_alarms()
    s.run_to(5.0)
    s.window.alarms.grab()
    assert "*** ASYSTOLIE" in painted and "ABP und PPG zeigen keinen Puls" in painted and "begann" in painted
    assert "*** ASYSTOLIE (ABP und PPG zeigen keinen Puls)" in painted
    assert not [words for words in painted if "ASYSTOLE" in words or " LOW " in words]
    s.window.desk.acknowledge()
    s.run_to(6.0)
    csv.close()
    lanes = s.window.sweep.lanes
    strip = strip_of(lanes, 2.0, 4.0, bed="Bed 3", title="", when="", marks=())
    assert strip.lanes[0].said == "EKG II" and lanes[0].title == "EKG"
    (tmp_path / "strip.csv").write_text(table(strip), "utf-8")
    kept = "".join(file.read_text("utf-8") for file in tmp_path.rglob("*") if file.is_file())
    assert "ASYSTOLE" in kept and "ECG_II_mV" in kept and "ABP LOW 58 < 65" in kept and "acknowledged" in kept
    assert not re.search("EKG|ASYSTOLIE|TIEF|quittiert|begann", kept), "files stay English"
