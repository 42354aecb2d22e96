"""The terminal view and the table of `vigil inspect`: what is stale is not fresh, what a file says is not markup."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from models.signals.absence import Absence
from models.signals.inspection import Inspection, TrackReport
from models.signals.modalities import Modality
from models.signals.recording import TrackKind
from monitor import inspect as inspection
from monitor.footer import footer
from monitor.terminal import TerminalView
from streams.control import BedView, ChannelInfo, SessionStatus
from streams.feed import DisplayFeed
from streams.records import (
    AlarmRecord,
    AnyRecord,
    ArrhythmiaCall,
    CellRecord,
    PredictionRecord,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveTick,
)

S = 10**9
HEAD = {"bed": "1", "session": "s"}
CHANNELS = tuple(
    ChannelInfo(m, label, unit, rate)
    for m, label, unit, rate in (
        (Modality.ECG, "II", "mV", 500.0), (Modality.ABP, "ART", "mmHg", 125.0), (Modality.PPG, "PLETH", "", 100.0),
    )
)  # fmt: skip
CURRENT = "37 (20–50)"


def tick(second: int, epoch: int = 0) -> WaveTick:
    return WaveTick(**HEAD, epoch=epoch, tick_seq=second, start_ns=second * S - S // 20, end_ns=second * S)  # type: ignore[arg-type]


def state(second: int, epoch: int = 0, **absent: str) -> StateRecord:
    return StateRecord(**HEAD, epoch=epoch, time_ns=second * S, state={m: absent.get(m, "") for m in Modality})  # type: ignore[arg-type]


def rhythm(second: int, epoch: int = 0, **changes: Any) -> RhythmRecord:
    fields: dict[str, Any] = {"rhythm": "beats", "pulse": {"ABP": "present", "PPG": "present"}}
    return RhythmRecord(**HEAD, epoch=epoch, time_ns=second * S, **(fields | changes))  # type: ignore[arg-type]


def vitals(second: int, epoch: int = 0, **values: Any) -> VitalsRecord:
    fields: dict[str, Any] = {"hr": 72.0, "hr_source": "ECG", "abp_sys": 120.0, "abp_dia": 60.0, "abp_map": 80.0}
    return VitalsRecord(**HEAD, epoch=epoch, time_ns=second * S, **(fields | values))  # type: ignore[arg-type]


def prediction(second: int, epoch: int = 0, **changes: Any) -> PredictionRecord:
    fields: dict[str, Any] = {
        "valid": True, "abstain": False, "reason": "", "risk": {"5": (0.37, 0.2, 0.5)},
        "pressures": {"map": (81.0, 76.0, 88.0), "sbp": (118.0, 108.0, 128.0), "dbp": (62.0, 55.0, 70.0)},
    }  # fmt: skip
    return PredictionRecord(
        **HEAD, epoch=epoch, window_end_ns=second * S, model="m", backend="b", modalities=[], presence=[], ages_s=[],
        **(fields | changes),
    )  # type: ignore[arg-type]  # fmt: skip


def alarm(key: str, text: str, priority: str, kind: str = "physiological", **changes: Any) -> AlarmRecord:
    fields: dict[str, Any] = {"epoch": 0, "time_ns": 9 * S, "active": True}
    return AlarmRecord(**HEAD, key=key, text=text, priority=priority, kind=kind, **(fields | changes))  # type: ignore[arg-type]


LOST_ABP = (
    tick(10), state(10, ABP=Absence.NO_DATA), rhythm(10, pulse={"PPG": "present"}),
    vitals(10, abp_sys=None, abp_dia=None, abp_map=None), prediction(10),
)  # fmt: skip
HEALTHY = (tick(10), state(10), rhythm(10), vitals(10), prediction(10))


class Bedside:
    """The view of a session that a test makes up, on a clock that it moves."""

    def __init__(self, title: str = "demo", beds: tuple[str, ...] = ("1",), **changes: Any) -> None:
        self.now_s = 1000.0
        self.feed = DisplayFeed()
        self.status = SessionStatus(
            position_s=0.0, duration_s=60.0, speed=1.0, paused=False, ended=False, backend="b", backend_detail="",
            model="m", samples_lost=0, recording=False, heartbeat_ns=0,
        )  # fmt: skip
        self.status = replace(self.status, **changes)
        self.beats = self.progresses = True
        self.control: Any = SimpleNamespace(title=title, bed=beds[0], beds=beds, show=self._show, view=self._snapshot)
        self.view = TerminalView(self.control, self.feed, lambda: self.now_s)

    def _show(self, bed: str) -> None:
        self.control.bed = bed

    def _snapshot(self, bed: str = "") -> BedView:
        control = self.control
        return BedView(self._told(), CHANNELS, {}, control.title, bed or control.bed, control.beds)

    def _told(self) -> SessionStatus:
        now_ns = round(self.now_s * S)
        changes = {"heartbeat_ns": now_ns if self.beats else 0, "progress_ns": now_ns if self.progresses else S}
        return replace(self.status, **changes)

    def shown(self, *records: AnyRecord, after_s: float = 0.0) -> str:
        self.now_s += after_s
        for record in records:
            self.feed.push(record)
        self.view.update()
        out = Console(file=io.StringIO(), width=160)
        out.print(self.view.render())
        return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def nothing_current(text: str) -> bool:
    return not any(value in text for value in ("HR 72", "ABP 120/60", "118/62", "ESTIMATED", CURRENT))


def test_measured_values_and_a_risk() -> None:
    text = Bedside().shown(*HEALTHY)
    assert "HR 72 /min" in text and "ABP 120/60 (80) mmHg" in text and CURRENT in text
    assert "ESTIMATED" not in text and "Research and teaching only — not for clinical decisions" in text


def test_an_estimate_carries_the_word_and_goes_stale_with_its_prediction() -> None:
    bedside = Bedside()
    text = bedside.shown(*LOST_ABP)
    assert "MAP 76–88 mmHg ESTIMATED" in text and "no signal" in text and "no estimate" not in text
    assert CURRENT in text
    text = bedside.shown(tick(22), rhythm(22, pulse={"PPG": "present"}), after_s=12.0)
    assert nothing_current(text) and "76–88" not in text and "ABP -?-" in text and "STALE · 12 s old" in text


def test_no_estimate_and_no_risk_without_a_pulse() -> None:
    """The records still carry both, from the second before; what the sensors say now counts."""
    text = Bedside().shown(*LOST_ABP, tick(11), rhythm(11, rhythm="fibrillation", pulse={"PPG": "none"}))
    assert nothing_current(text) and "ABP -?-" in text
    assert "NO PULSE" in text


def test_a_mean_without_a_pulse_is_shown_and_said() -> None:
    text = Bedside().shown(
        *HEALTHY, tick(11), state(11), rhythm(11, rhythm="still", pulse={"ABP": "none", "PPG": "none"}),
        vitals(11, hr=None, abp_sys=None, abp_dia=None, abp_map=12.0),
        alarm("abp.no_pulse", "ABP NO PULSE", "high", now="12 mmHg"),
    )  # fmt: skip
    assert "ABP -?- (12) mmHg" in text and "HR -?-" in text and nothing_current(text)
    assert text.count("NO PULSE") >= 2 and "*** ABP NO PULSE (now 12 mmHg)" in text


def test_a_low_pressure_is_said_and_no_probability() -> None:
    text = Bedside().shown(*HEALTHY, tick(11), rhythm(11), vitals(11, abp_sys=70.0, abp_dia=40.0, abp_map=55.0))
    assert "MAP < 65 NOW" in text and "55 mmHg" in text and CURRENT not in text


def test_a_record_that_abstains_gives_its_reason_and_no_risk_whatever_it_carries() -> None:
    text = Bedside().shown(*HEALTHY[:-1], prediction(10, abstain=True, reason="no ABP within 5 min"))
    assert "no ABP within 5 min" in text and CURRENT not in text
    text = Bedside().shown(*HEALTHY[:-1], prediction(10, valid=False, reason="the device is gone"))
    assert "the device is gone" in text and CURRENT not in text


def test_alarms_stand_above_all_else_worst_first_and_none_hides_another() -> None:
    words = [
        alarm("technical.EEG", "EEG HIGH IMPEDANCE", "low", "technical"),
        alarm("map.low", "ABP LOW 48 < 65", "medium", now="58"),
        alarm("technical.ECG", "ECG LEADS OFF", "medium", "technical"),
        alarm("asystole", "ASYSTOLE", "high", reason="no pulse in ABP and PPG either"),
        *(alarm(f"more.{i}", f"MORE {i}", "high") for i in range(5)),
    ]
    text = Bedside().shown(*HEALTHY, *words)
    at = [text.index(record.text) for record in words]
    assert at[3] < at[4] < at[1] < at[2] < at[0] < text.index("HR 72")
    assert "*** ASYSTOLE   no pulse in ABP and PPG either" in text and "** ABP LOW 48 < 65 (now 58)" in text
    assert all(f"*** MORE {i}" in text for i in range(5))


def test_an_alarm_that_ended_is_gone_and_one_of_before_a_seek_too() -> None:
    bedside = Bedside()
    assert "ASYSTOLE" in bedside.shown(*HEALTHY, alarm("asystole", "ASYSTOLE", "high"))
    assert "ASYSTOLE" not in bedside.shown(alarm("asystole", "ASYSTOLE", "high", active=False))
    assert "ABP LOW" in bedside.shown(alarm("map.low", "ABP LOW", "medium"))
    assert "ABP LOW" not in bedside.shown(tick(3, epoch=1))


def test_a_rhythm_that_nothing_should_count_gives_no_rate() -> None:
    call = ArrhythmiaCall("vfib", "confirmed", "no pulse in ABP")
    text = Bedside().shown(*HEALTHY, tick(11), rhythm(11, rhythm="fibrillation", calls=[call]), vitals(11, hr=143.0))
    assert "HR -?-" in text and "143" not in text and " VF " in text


# -- what is not live ---------------------------------------------------------------------------------------------


def test_a_loop_that_beats_and_handles_nothing_is_seen_within_three_seconds() -> None:
    bedside = Bedside()
    assert CURRENT in bedside.shown(*HEALTHY)
    bedside.progresses = False
    for _ in range(3):
        text = bedside.shown(tick(11), after_s=1.0)
    assert "NO SAMPLES FROM THE STREAM" in text and nothing_current(text)


@pytest.mark.parametrize("beats", [True, False])
def test_a_stream_that_gives_nothing_turns_every_value_unknown_within_three_seconds(beats: bool) -> None:
    bedside = Bedside()
    assert "HR 72" in bedside.shown(*HEALTHY, alarm("asystole", "ASYSTOLE", "high"))
    bedside.beats = beats
    text = bedside.shown(after_s=3.0)
    assert "what you see is not live" in text and nothing_current(text)
    assert "ASYSTOLE" in text, "an alarm does not vanish because the stream did"


def test_a_session_that_died_says_why_and_shows_no_value() -> None:
    bedside = Bedside()
    bedside.shown(*HEALTHY)
    bedside.status = replace(bedside.status, ended=True, error="The inference failed: SystemExit: 3.")
    text = bedside.shown(after_s=0.25)
    assert "SESSION STOPPED: The inference failed: SystemExit: 3." in text and nothing_current(text)


def test_the_end_is_stamped_and_what_was_shown_goes_within_three_seconds() -> None:
    bedside = Bedside()
    bedside.shown(*HEALTHY)
    bedside.status = replace(bedside.status, ended=True)
    assert "END OF RECORDING" in bedside.shown(after_s=0.25)
    assert nothing_current(bedside.shown(after_s=3.0))


def test_a_pause_is_stamped_and_no_value_is_late_after_it() -> None:
    bedside = Bedside()
    bedside.shown(*HEALTHY)
    bedside.status = replace(bedside.status, paused=True)
    for _ in range(100):
        text = bedside.shown(after_s=0.25)
        assert "PAUSED" in text and "HR 72" in text
    bedside.status = replace(bedside.status, paused=False)
    text = bedside.shown(after_s=0.25)
    assert "PAUSED" not in text and "not live" not in text and "HR 72" in text


def test_before_the_first_samples_it_waits_and_says_so() -> None:
    text = Bedside().shown()
    assert "WAITING" in text and text.count("-?-") >= 3


# -- several beds -------------------------------------------------------------------------------------------------


def of(bed: str, *records: AnyRecord) -> list[AnyRecord]:
    return [msgspec.structs.replace(record, bed=bed) for record in records]


def test_one_bed_has_no_table_of_beds() -> None:
    text = Bedside().shown(*HEALTHY)
    assert "Bed 1" not in text and "▸" not in text


def test_several_beds_are_a_line_each_in_the_words_of_the_strip() -> None:
    bedside = Bedside(beds=("1", "2", "ICU 3"))
    text = bedside.shown(*HEALTHY, *of("2", *LOST_ABP), *of("ICU 3", tick(10), state(10)))
    lines = {line.split("HR")[0].strip("│ "): line for line in text.splitlines() if "no alarm" in line}
    assert list(lines) == ["▸ Bed 1", "Bed 2", "ICU 3"]
    assert "HR 72 ECG" in lines["▸ Bed 1"] and "MAP 80" in lines["▸ Bed 1"]
    assert "MAP 76–88 ESTIMATED" in lines["Bed 2"] and "HR -?-" in lines["ICU 3"] and "MAP -?-" in lines["ICU 3"]
    assert "HR 72 /min" in text and "Bed 1  demo" in text, "the first in detail"


def test_the_first_of_the_worst_beds_is_in_detail_and_nothing_of_it_under_another_name() -> None:
    bedside = Bedside(beds=("1", "2", "3"))
    high = alarm("asystole", "ASYSTOLE", "high", reason="no pulse in ABP and PPG either")
    second = of("2", tick(10), state(10), rhythm(10), vitals(10, hr=31.0), alarm("a", "MORE", "low"), high)
    text = bedside.shown(*HEALTHY, *second, *of("3", *HEALTHY, alarm("map.low", "ABP LOW", "medium")))
    assert "▸ Bed 2" in text and "Bed 2  demo" in text and bedside.control.bed == "2"
    assert "HR 31 /min" in text and "HR 72 /min" not in text, "the detail is of Bed 2"
    line = next(line for line in text.splitlines() if "▸ Bed 2" in line)
    assert "HR 31 ECG" in line and "*** ASYSTOLE" in line and "+1" in line
    text = bedside.shown(*of("2", alarm("asystole", "ASYSTOLE", "high", active=False)))
    assert "▸ Bed 3" in text and "ABP LOW" in text and "ASYSTOLE" not in text


def test_a_bed_that_gives_nothing_is_lost_while_the_others_go_on() -> None:
    bedside = Bedside(beds=("1", "2"))
    bedside.shown(*HEALTHY, *of("2", *HEALTHY))
    for second in range(11, 15):
        text = bedside.shown(tick(second), rhythm(second), vitals(second), after_s=1.0)
    line = next(line for line in text.splitlines() if "Bed 2  " in line and "HR" in line)
    assert "NOT LIVE" in line and "HR -?-" in line and "MAP -?-" in line and "NO SAMPLES" in line
    assert "▸ Bed 2" in text and "what you see is not live" in text, "a lost bed is looked at"
    other = next(line for line in text.splitlines() if "Bed 1" in line)
    assert "HR 72 ECG" in other and "NOT LIVE" not in other


def test_a_live_source_has_no_length() -> None:
    text = Bedside(seekable=False, position_s=83.0).shown(*HEALTHY)
    assert "LIVE  00:01:23 since start" in text and "00:01:00" not in text


# -- the rest -----------------------------------------------------------------------------------------------------


def test_presence_is_a_strip() -> None:
    cells = [CellRecord(**HEAD, epoch=0, second=s, absence={"ECG": "" if s < 3 else "flat"}) for s in range(5)]  # type: ignore[arg-type]
    assert "███░░" in Bedside().shown(*HEALTHY, *cells)


def test_the_footer_says_what_is_done_until_the_model_serves() -> None:
    text = Bedside(backend="", model="", preparing="building TensorRT engines, fp16: 40 %").shown()
    assert "1× · building TensorRT engines, fp16: 40 % · 0 lost" in text
    assert "1× · b · m · 0 lost" in Bedside(preparing="late").shown()


def test_a_run_without_any_screen_says_that_it_stands_still() -> None:
    status = replace(Bedside().status, heartbeat_ns=90 * S, progress_ns=80 * S)
    assert footer(status, 84 * S).startswith("NOTHING READ FOR 4 s · 1× · b")
    for fine in (footer(status), footer(status, 82 * S), footer(replace(status, paused=True), 99 * S)):
        assert fine.startswith("1× · b")
    assert "FOR 5 s" in footer(replace(status, heartbeat_ns=70 * S), 75 * S)


def test_a_result_of_before_a_seek_is_not_shown() -> None:
    text = Bedside().shown(*LOST_ABP, tick(30, epoch=1), prediction(11))
    assert "no prediction yet" in text and nothing_current(text)


def test_names_are_never_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "[/bold]x" in Bedside(title="[/bold]x").shown()
    track = TrackReport("Dev/[/red]X", TrackKind.WAVE, "mV", 100.0, 0.0, 1.0, 100, (), None, "its unit is '[/u]'")
    found = Inspection("s", "[/b]name", 1.0, 0.0, (track,), "problem [/p]", ("note [/n]",))
    monkeypatch.setattr(inspection, "inspect", lambda _: found)
    out = io.StringIO()
    inspection.print_inspection("s", Console(file=out))
    for text in ("Dev/[/red]X", "'[/u]'", "[/b]name", "[/p]", "[/n]"):
        assert text in out.getvalue()
