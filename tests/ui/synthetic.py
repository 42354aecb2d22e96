"""A stream without a stream: records as the real one sends them, and a session that only remembers what it was told.

Waves are simple shapes with known values (pixels are checked against them), not physiology.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from models.signals.absence import Absence
from models.signals.errors import BadInput
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from streams.control import BedView, ChannelInfo, SessionStatus
from streams.feed import DisplayFeed
from streams.limit_settings import DEFAULT_SETTINGS, LimitSetting, checked
from streams.records import (
    AlarmRecord,
    AnyRecord,
    ArrhythmiaCall,
    BeatRecord,
    CellRecord,
    CommandRecord,
    LeadState,
    LimitsRecord,
    PredictionRecord,
    RestoredChunk,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)

TICK_S = 0.05
NS = 1_000_000_000
RATES = {Modality.ECG: 500.0, Modality.ABP: 125.0, Modality.PPG: 125.0, Modality.EEG: 128.0}
LABELS = {Modality.ECG: "II", Modality.ABP: "ART", Modality.PPG: "PLETH", Modality.EEG: "BIS 1"}
AMENDS = 50  # samples of a restored wave that say anew what the window before said
MODEL = (Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG)


def wave(modality: Modality, t: np.ndarray) -> np.ndarray:
    """Values at times ``t`` [s] in canonical units; one beat every 0.8 s."""
    phase = np.mod(t, 0.8)
    match modality:
        case Modality.ECG:
            spike = 1.0 * np.exp(-(((phase - 0.30) / 0.012) ** 2)) - 0.25 * np.exp(-(((phase - 0.33) / 0.012) ** 2))
            return (
                spike + 0.12 * np.exp(-(((phase - 0.14) / 0.03) ** 2)) + 0.3 * np.exp(-(((phase - 0.55) / 0.05) ** 2))
            )
        case Modality.ABP:
            return 70 + 45 * np.exp(-(((phase - 0.45) / 0.09) ** 2)) + 12 * np.exp(-(((phase - 0.66) / 0.07) ** 2))
        case Modality.PPG:
            return 0.2 + np.exp(-(((phase - 0.5) / 0.11) ** 2)) + 0.3 * np.exp(-(((phase - 0.72) / 0.08) ** 2))
        case Modality.EEG:
            return 22 * np.sin(2 * np.pi * 9.7 * t) * (1 + 0.6 * np.sin(2 * np.pi * 0.3 * t)) + 12 * np.sin(
                2 * np.pi * 1.9 * t
            )
        case _:
            return np.sin(2 * np.pi * 0.22 * t)


@dataclass
class Chapter:
    """What differs from the ordinary in seconds [begin, end): findings, calls, fields of the vitals and predictions,
    waves."""

    begin: float
    end: float
    rhythm: Rhythm = Rhythm.BEATS
    pulse: dict[Modality, Pulse] = field(default_factory=dict)
    overdue: tuple[Modality, ...] = ()
    calls: list[ArrhythmiaCall] = field(default_factory=list)
    vitals: dict[str, object] = field(default_factory=dict)
    predicted: dict[str, object] = field(default_factory=dict)
    waves: dict[Modality, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)


_ORDINARY = Chapter(-math.inf, math.inf)


@dataclass
class Patient:
    """Makes the records of event time [0, …) tick by tick.

    absent: modality -> [(start, end, reason)], whole seconds; measured samples are NaN there unless ``keep_samples``.
    """

    absent: dict[Modality, list[tuple[int, int, Absence]]] = field(default_factory=dict)
    modalities: tuple[Modality, ...] = MODEL
    epoch: int = 0
    session: str = "s"
    bed: str = "Bed 3"
    keep_samples: bool = False
    cell_delay_s: float = 0.0
    prediction_delay_s: float = 0.1
    risk_15: float = 0.81
    restore: bool = True
    story: list[Chapter] = field(default_factory=list)
    limits: tuple[LimitSetting, ...] = DEFAULT_SETTINGS
    limits_by: str = ""
    leads: tuple[str, ...] = ()
    """Labels of the further leads of the ECG, which are ``1 / (1 + lead)`` as high."""
    lead_absent: dict[int, list[tuple[int, int, Absence]]] = field(default_factory=dict)
    serves: list[tuple[int, int]] = field(default_factory=list)
    """(from which second, which lead of the ECG), ascending; the preferred one before."""

    def chapter(self, second: float) -> Chapter:
        return next((c for c in self.story if c.begin <= second < c.end), _ORDINARY)

    def reason(self, modality: Modality, second: float) -> str:
        for begin, end, reason in self.absent.get(modality, []):
            if begin <= second < end:
                return reason.value
        return ""

    def _head(self) -> dict[str, object]:
        return {"bed": self.bed, "session": self.session, "epoch": self.epoch}

    def tick(self, seq: int, due_ns: int = 0, eos: bool = False) -> list[AnyRecord]:
        """The wave tick ``seq`` and everything else that becomes known at its end."""
        start, end = seq * TICK_S, (seq + 1) * TICK_S
        chunks = []
        for modality in self.modalities:
            rate = RATES.get(modality, 62.5)
            first, last = math.ceil(start * rate - 1e-6), math.ceil(end * rate - 1e-6)
            times = np.arange(first, last) / rate
            shape = self.chapter(start).waves.get(modality)
            values = (shape(times) if shape else wave(modality, times)).astype("<f4")
            if not self.keep_samples:
                gone = np.array([bool(self.reason(modality, float(t))) for t in times], bool)
                values[gone] = np.nan
            chunks.append(WaveChunk(modality.value, LABELS.get(modality, "x"), rate, 0, first, values.tobytes()))
            if modality is Modality.ECG:
                chunks += [self._further(lead, first, times) for lead in range(1, len(self.leads) + 1)]
        out: list[AnyRecord] = [
            WaveTick(
                **self._head(),
                tick_seq=seq,
                start_ns=round(start * NS),
                end_ns=round(end * NS),
                due_ns=due_ns,
                chunks=chunks,
                eos=eos,
            )
        ]
        second = round(end)
        if abs(end - second) < TICK_S / 2:
            out += self.second(second)
        if abs(end - second - self.prediction_delay_s) < TICK_S / 2 and second >= 1:
            out.append(self.prediction(second))
        return out

    def _further(self, lead: int, first: int, times: np.ndarray) -> WaveChunk:
        values = (wave(Modality.ECG, times) / (1 + lead)).astype("<f4")
        values[[self._lead_reason(lead, float(t)) != "" for t in times]] = np.nan
        return WaveChunk("ECG", self.leads[lead - 1], RATES[Modality.ECG], 0, first, values.tobytes(), lead=lead)

    def _lead_reason(self, lead: int, second: float) -> str:
        told = self.absent.get(Modality.ECG, []) if lead == 0 else self.lead_absent.get(lead, [])
        return next((why.value for begin, end, why in told if begin <= second < end), "")

    def _lead_states(self, second: int) -> dict[str, list[LeadState]]:
        """As the newest cell has it, the one that serves first."""
        if not self.leads:
            return {}
        serving = next((lead for at, lead in reversed(self.serves) if at <= second), 0)
        said = [LeadState(k, label, self._lead_reason(k, second)) for k, label in enumerate(("II", *self.leads))]
        return {"ECG": sorted(said, key=lambda s: (s.lead != serving, s.lead))}

    def second(self, second: int) -> list[AnyRecord]:
        """Cells of the second that ends at ``second``, states and numerics now."""
        reasons = {m.value: self.reason(m, second - 1) for m in MODEL}
        now = {m.value: self.reason(m, second) for m in MODEL}
        pressure = not now["ABP"]
        chapter = self.chapter(second - 0.5)
        usual = {m: Pulse.UNKNOWN if now[m] else Pulse.PRESENT for m in (Modality.ABP, Modality.PPG)}
        rhythm = Rhythm.UNKNOWN if now["ECG"] and chapter is _ORDINARY else chapter.rhythm
        vitals = VitalsRecord(
            **self._head(),
            time_ns=second * NS,
            hr=75.0 if not now["ECG"] or pressure else None,
            hr_source="ECG" if not now["ECG"] else "ABP",
            pulse_rate=75.0 if not now["PPG"] else None,
            abp_sys=118.0 if pressure else None,
            abp_dia=71.0 if pressure else None,
            abp_map=86.0 if pressure else None,
            resp_rate=12.0,
            resp_source="ECG",
            sef95=None if now["EEG"] else 13.2,
            bsr=None if now["EEG"] else 0.0,
            rppg_delay_s=0.412,
            openibis=None if now["EEG"] else 50.0,
        )
        limits = list(self.limits)
        return [
            StateRecord(**self._head(), time_ns=second * NS, state=now, leads=self._lead_states(second - 1)),
            LimitsRecord(**self._head(), time_ns=second * NS, limits=limits, set_by=self.limits_by),
            CellRecord(**self._head(), second=second - 1, absence=reasons),
            msgspec.structs.replace(vitals, **chapter.vitals),
            RhythmRecord(
                **self._head(),
                time_ns=second * NS,
                rhythm=rhythm.value,
                pulse={m.value: pulse.value for m, pulse in {**usual, **chapter.pulse}.items()},
                overdue=[m.value for m in chapter.overdue],
                calls=chapter.calls,
            ),
            BeatRecord(**self._head(), time_ns=second * NS, source="ECG"),
        ]

    def prediction(
        self, end: int, valid: bool = True, abstain: bool = False, reason: str = "", window_s: int = 30
    ) -> PredictionRecord:
        newest = end - 1
        presence = [[not self.reason(m, end - window_s + 3 * k) for k in range(window_s // 3)] for m in MODEL]
        for row, modality in zip(presence, MODEL, strict=True):
            row[-1] = not self.reason(modality, newest)
        restored, refused, ages = [], {}, []
        for modality in MODEL:
            age = 0.0
            while age < end and self.reason(modality, newest - age):
                age += 1.0
            ages.append(age)
            if not self.reason(modality, newest):
                continue
            if modality is Modality.EEG:
                refused["EEG"] = "EEG is never estimated"
            elif not self.restore:
                refused[modality.value] = f"no clean {modality} of this patient yet"
            else:
                times = np.arange(newest * 100 - AMENDS, end * 100) / 100.0
                values = (wave(modality, times) - (4 if modality is Modality.ABP else 0)).astype("<f4")
                if not self.reason(modality, newest - 1):
                    values[:AMENDS] = np.nan
                spread = np.float32(7.0) if modality is Modality.ABP else np.float32(np.nan)
                restored.append(
                    RestoredChunk(
                        modality.value,
                        100,
                        newest * 100 - AMENDS,
                        values.tobytes(),
                        (values - spread).tobytes(),
                        (values + spread).tobytes(),
                        AMENDS,
                    )
                )
        abp_absent = bool(self.reason(Modality.ABP, newest))
        made = PredictionRecord(
            **self._head(),
            window_end_ns=end * NS,
            model="PhysioME demo",
            backend="onnx",
            modalities=[m.value for m in MODEL],
            presence=presence,
            ages_s=list(ages),
            valid=valid,
            abstain=abstain,
            reason=reason,
            risk={
                "5": (self.risk_15 - 0.10, 0.55, 0.82),
                "10": (self.risk_15 - 0.03, 0.62, 0.88),
                "15": (self.risk_15, 0.66, 0.90),
            },
            depth=None if self.reason(Modality.EEG, newest) else (46.0, 38.0, 55.0),
            pressures={"map": (66.0, 59.0, 73.0), "sbp": (92.0, 84.0, 101.0), "dbp": (51.0, 45.0, 57.0)}
            if abp_absent and self.restore
            else None,
            restored=restored,
            not_estimable=refused,
            stamps_ns={"due": time.monotonic_ns()},
        )
        return msgspec.structs.replace(made, **self.chapter(end - 0.5).predicted)

    def alarm(
        self,
        key: str,
        text: str,
        priority: str = "low",
        kind: str = "technical",
        active: bool = True,
        time_s: float = 0.0,
        reason: str = "",
        now: str = "",
    ) -> AlarmRecord:
        return AlarmRecord(
            **self._head(),
            time_ns=round(time_s * NS),
            key=key,
            priority=priority,
            kind=kind,
            text=text,
            active=active,
            reason=reason,
            now=now,
        )

    def mark(self, time_s: float, word: str) -> CommandRecord:
        """As it comes back by the stream: commands know no epoch."""
        head = {**self._head(), "epoch": 0}
        args: dict[str, str | float] = {"time_s": time_s, "word": word}
        return CommandRecord(**head, id="desk-1", operator="o", time_ns=round(time_s * NS), name="mark", args=args)

    def run(self, feed: DisplayFeed, begin_s: float, end_s: float) -> None:
        """Push all records of [begin, end) at once."""
        for seq in range(round(begin_s / TICK_S), round(end_s / TICK_S)):
            for record in self.tick(seq):
                feed.push(record)


class FakeSession:
    """A SessionControl that remembers its calls. changes: to the status of whichever bed is on show; of: to that of one
    bed; lacking: modalities that a bed does not have."""

    def __init__(
        self,
        modalities: tuple[Modality, ...] = MODEL,
        duration_s: float = 2016.0,
        beds: tuple[str, ...] = ("Bed 3",),
        leads: tuple[str, ...] = (),
    ) -> None:
        self.beds, self.bed = beds, beds[0]
        self.of: dict[str, dict[str, object]] = {}
        self.lacking: dict[str, tuple[Modality, ...]] = {}
        self.calls: list[tuple[object, ...]] = []
        self.called_for: list[str] = []  # the bed on show at each of the calls
        self.reports: list[tuple[str, int, int]] = []
        self.reported_for: list[str] = []
        self.delay_s = 0.0
        self.failing: Exception | None = None
        self.events: tuple[tuple[float, str], ...] = ()
        self.frozen_heartbeat: int | None = None
        self.changes: dict[str, object] = {}
        self._channels = tuple(
            ChannelInfo(
                m,
                LABELS.get(m, "x"),
                {"ABP": "mmHg", "ECG": "mV", "EEG": "uV"}.get(m.value, "au"),
                RATES.get(m, 62.5),
            )
            for m in modalities
        ) + tuple(ChannelInfo(Modality.ECG, label, "mV", 500.0, lead + 1) for lead, label in enumerate(leads))
        self._duration_s = duration_s

    def show(self, bed: str) -> None:
        if bed not in self.beds:
            raise BadInput(f"one of {', '.join(self.beds)}", bed, "name one of these")
        self.bed = bed

    @property
    def title(self) -> str:
        return "surgery1.vital" if self.bed == self.beds[0] else f"case of {self.bed}"

    @property
    def channels(self) -> tuple[ChannelInfo, ...]:
        return tuple(c for c in self._channels if c.modality not in self.lacking.get(self.bed, ()))

    @property
    def gaps_s(self) -> dict[Modality, tuple[tuple[float, float], ...]]:
        return {Modality.ABP: ((0.0, 428.0), (608.0, 1974.0)), Modality.EEG: ((1450.0, 1500.0),)}

    def status(self) -> SessionStatus:
        if self.delay_s:
            time.sleep(self.delay_s)
        heartbeat = self.frozen_heartbeat if self.frozen_heartbeat is not None else time.monotonic_ns()
        values: dict[str, object] = {
            "position_s": 1512.0,
            "duration_s": self._duration_s,
            "speed": 1.0,
            "paused": False,
            "ended": False,
            "backend": "onnx",
            "backend_detail": "ONNX Runtime 1.20, CPU, 1 thread",
            "model": "PhysioME demo",
            "samples_lost": 0,
            "recording": True,
            "heartbeat_ns": heartbeat,
            "latency_ms": {"sample_to_screen": (71.0, 92.0), "window_to_prediction": (38.0, 61.0)},
        }
        return SessionStatus(**{**values, **self.changes, **self.of.get(self.bed, {})})  # type: ignore[arg-type]

    def view(self, bed: str = "") -> BedView:
        shown, self.bed = self.bed, bed or self.bed
        try:
            return BedView(self.status(), self.channels, self.gaps_s, self.title, self.bed, self.beds, self.events)
        finally:
            self.bed = shown

    def _call(self, *call: object) -> None:
        self.calls.append(call)
        self.called_for.append(self.bed)
        if self.failing is not None:
            raise self.failing

    def pause(self) -> None:
        self._call("pause")

    def resume(self) -> None:
        self._call("resume")

    def set_speed(self, speed: float) -> None:
        self._call("speed", speed)

    def seek(self, time_s: float) -> None:
        self._call("seek", time_s)

    def step(self, seconds: float) -> None:
        self._call("step", seconds)

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        self._call("drop", modality, dropped)

    def explain(self) -> None:
        self._call("explain")

    def set_limits(self, limits: Iterable[LimitSetting], bed: str = "") -> None:
        self._call("limits", checked(limits), bed)

    def acknowledge(self, alarms: Mapping[str, float]) -> None:
        self._call("acknowledge", dict(alarms))

    def mark(self, time_s: float, word: str) -> None:
        self._call("mark", time_s, word)

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        self.reports.append((stage, due_ns, shown_ns))
        self.reported_for.append(self.bed)
