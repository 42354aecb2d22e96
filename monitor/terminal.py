"""The live terminal view: numerics, presence and prediction where there is no screen."""

from __future__ import annotations

from collections import deque
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.signals.modalities import Modality
from streams.control import SessionControl, SessionStatus
from streams.feed import DisplayFeed
from streams.records import AlarmRecord, CellRecord, PredictionRecord, StateRecord, VitalsRecord, WaveTick
from ui.status_words import backend_words

COLOURS = {Modality.ECG: "green", Modality.ABP: "red", Modality.PPG: "cyan", Modality.EEG: "yellow"}
STRIP_S = 40
STALE_S = 3.0
"""A prediction older than this is not shown, nor the pressures estimated with it; in fast replay that many seconds of
real time, as on the display."""
FASTEST = 50.0  # what "as fast as possible" counts as
UNKNOWN = "-?-"


class TerminalView:
    """Latest of everything, as a rich renderable. ``update`` drains the feed; call it a few times a second."""

    def __init__(self, control: SessionControl, feed: DisplayFeed) -> None:
        self._control, self._feed = control, feed
        self._vitals: VitalsRecord | None = None
        self._prediction: PredictionRecord | None = None
        self._state: dict[str, str] = {}
        self._alarms: dict[str, AlarmRecord] = {}
        self._cells: dict[str, deque[bool]] = {}
        self._epoch = -1
        self._time_ns = 0

    def update(self) -> None:
        for record in self._feed.drain(4096):
            if record.epoch < self._epoch:
                continue  # a window that was with the model at a seek
            if record.epoch > self._epoch:
                self._epoch, self._time_ns = record.epoch, 0
                self._vitals = self._prediction = None
                self._cells.clear()
            if isinstance(record, WaveTick):
                self._time_ns = record.end_ns
            elif isinstance(record, VitalsRecord):
                self._vitals = record
            elif isinstance(record, PredictionRecord):
                self._prediction = record
            elif isinstance(record, StateRecord):
                self._state = dict(record.state)
            elif isinstance(record, CellRecord):
                for modality, reason in record.absence.items():
                    self._cells.setdefault(modality, deque(maxlen=STRIP_S)).append(not reason)
            elif isinstance(record, AlarmRecord):
                if record.active:
                    self._alarms[record.key] = record
                else:
                    self._alarms.pop(record.key, None)

    def render(self) -> Panel:
        status = self._control.status()
        table = Table.grid(padding=(0, 2))
        for channel in self._control.channels:
            table.add_row(*self._row(channel.modality))
        last = Text(footer(status), style="dim")
        parts: list[RenderableType] = [self._alarm_line(), table, self._prediction_line(), last]
        title = f"{self._control.title}  {clock(status.position_s)} / {clock(status.duration_s)}"
        return Panel(
            Group(*parts),
            title=escape(title),
            subtitle="Research and teaching only — not for clinical decisions",
            expand=False,
        )

    def _row(self, modality: Modality) -> tuple[Text, Text, Text, Text]:
        colour = COLOURS.get(modality, "white")
        reason = self._state.get(modality.value, "")
        strip = Text()
        for present in self._cells.get(modality.value, ()):
            strip.append("█" if present else "░", style=colour if present else "dim")
        return (
            Text(modality.value, style=f"bold {colour}"),
            self._numeric(modality, colour),
            strip,
            Text(reason.upper()),
        )

    def _numeric(self, modality: Modality, colour: str) -> Text:
        v = self._vitals
        if modality is Modality.ABP:
            p = self._prediction
            estimated = p.pressures if p is not None and p.valid and not self._is_stale(p) else None
            if v is not None and v.abp_map is not None:
                return Text(f"{number(v.abp_sys)}/{number(v.abp_dia)} ({number(v.abp_map)}) mmHg", style=colour)
            if estimated:
                s, d, m = (estimated[k][0] for k in ("sbp", "dbp", "map"))
                return Text(f"~{s:.0f}/{d:.0f} ({m:.0f}) mmHg ESTIMATED", style=f"italic {colour}")
            return Text(f"{UNKNOWN} mmHg", style=colour)
        texts = {
            Modality.ECG: f"HR {number(v.hr if v else None)} /min {v.hr_source if v else ''}",
            Modality.PPG: f"PR {number(v.pulse_rate if v else None)} /min",
            Modality.EEG: f"SEF {number(v.sef95 if v else None, 1)} Hz",
            Modality.RESP: f"RR {number(v.resp_rate if v else None)} /min",
        }
        return Text(texts[modality], style=colour)

    def _prediction_line(self) -> Text:
        p = self._prediction
        if p is None:
            return Text("Hypotension MAP < 65: no prediction yet", style="dim")
        if not p.valid or p.abstain:
            return Text(f"Hypotension MAP < 65: {p.reason}", style="yellow")
        if self._is_stale(p):
            age_s = (self._time_ns - p.window_end_ns) / 1e9
            return Text(f"Hypotension MAP < 65: no prediction for {age_s:.0f} s", style="yellow")
        risks = "   ".join(f"{h} min {100 * r[0]:.0f} ({100 * r[1]:.0f}–{100 * r[2]:.0f})" for h, r in p.risk.items())
        depth = f"   depth (not BIS) {p.depth[0]:.0f} ({p.depth[1]:.0f}–{p.depth[2]:.0f})" if p.depth else ""
        return Text(f"Hypotension MAP < 65:  {risks or 'not given by this model'}{depth}")

    def _is_stale(self, prediction: PredictionRecord) -> bool:
        speed = self._control.status().speed
        return self._time_ns - prediction.window_end_ns > STALE_S * 1e9 * max(1.0, speed or FASTEST)

    def _alarm_line(self) -> Text:
        line = Text()
        for alarm in self._alarms.values():
            style = {"high": "bold white on red", "medium": "black on yellow"}.get(alarm.priority, "black on cyan")
            line.append(f" {alarm.text} ", style=style)
            line.append(" ")
        return line


def footer(status: SessionStatus) -> str:
    """The status line: backend (or what is being done until there is one), model, latency, losses."""
    speed = "max" if status.speed is None else f"{status.speed:g}×"
    parts = [speed, backend_words(status) or status.preparing, status.model]
    for stage, label in (("sample_to_feed", "sample→feed"), ("window_to_prediction", "window→prediction")):
        if stage in status.latency_ms:
            parts.append(f"{label} {status.latency_ms[stage][0]:.0f} ms")
    parts.append(f"{status.samples_lost} lost")
    return " · ".join(part for part in parts if part)


def clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def number(value: float | None, places: int = 0) -> str:
    return UNKNOWN if value is None else f"{value:.{places}f}"


def live(view: TerminalView, out: TextIO) -> Live:
    """A rich Live on ``out`` that redraws four times a second."""
    return Live(view.render(), console=Console(file=out), refresh_per_second=4, transient=False)
