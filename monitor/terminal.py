"""The live terminal view, where there is no screen: alarms, numerics, presence and prediction.

It says what the bedside display says: both read :class:`ui.state.DisplayState` with the same pure functions, so that a
value is stale, an estimate withheld or a risk not given in both or in none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.signals.modalities import Modality
from monitor.footer import footer
from streams.control import SessionControl, SessionStatus
from streams.feed import DisplayFeed
from ui.alarm_view import Alarm
from ui.lanes import Lane
from ui.liveness import Life, Moment, Verdict, judge
from ui.low_pressure import LOW_MMHG
from ui.prediction_view import prediction_words
from ui.readouts import readout
from ui.state import DisplayState
from ui.theme import default_theme
from ui.words import absence_words, clock_words

COLOURS = {Modality.ECG: "green", Modality.ABP: "red", Modality.PPG: "cyan", Modality.EEG: "yellow"}
ALARM_STYLES = {"high": "bold white on red", "medium": "black on yellow", "low": "black on cyan", "": "yellow"}
NOT_LIVE = "black on white"
STAMPS = {Life.WAITING: "WAITING FOR THE FIRST SAMPLES", Life.PAUSED: "PAUSED: all values are of this moment"}
DISCLAIMER = "Research and teaching only — not for clinical decisions"
STRIP_S = 40
_BATCH, _BATCHES = 4096, 4


class TerminalView:
    """Latest of everything, as a rich renderable. ``update`` drains the feed; call it a few times a second."""

    def __init__(
        self, control: SessionControl, feed: DisplayFeed, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._control, self._feed, self._monotonic = control, feed, monotonic
        self._theme = default_theme()
        self._state = DisplayState(self._theme)
        self._unpaused_s = self._going_s = monotonic()

    def update(self) -> None:
        """Takes in what has come since the last call."""
        status, now_s = self._control.status(), self._monotonic()
        if status.paused:
            self._unpaused_s = now_s
        if status.paused or status.ended:
            self._going_s = now_s
        self._state.set_channels(self._control.channels)
        for _ in range(_BATCHES):  # not until it is empty: the stream may be faster than this
            records = self._feed.drain(_BATCH)
            for record in records:
                self._state.apply(record, now_s)
            if len(records) < _BATCH:
                break
        self._state.clock.advance(now_s, status.pace)

    def render(self) -> Panel:
        """The view of this moment."""
        status, now_s = self._control.status(), self._monotonic()
        idle_s = self._state.clock.idle_s(now_s, self._going_s)
        verdict = self._judge(status, now_s, idle_s)
        running = verdict.life in (Life.LIVE, Life.LOST)  # what is lost ages on
        event_s = self._state.clock.source_now(now_s, self._going_s if running else None)
        moment = Moment(event_s, now_s, verdict.life, self._unpaused_s, status.pace)
        table = Table.grid(padding=(0, 2))
        for lane in self._state.lanes:
            table.add_row(*self._row(lane, moment))
        parts: list[RenderableType] = [
            *self._stamp(verdict),
            *self._alarms(moment),
            table,
            self._prediction(moment),
            Text(footer(status), style="dim"),
            Text(DISCLAIMER, style="dim"),
        ]
        title = f"{self._control.title}  {clock_words(status.position_s)} / {clock_words(status.duration_s)}"
        return Panel(Group(*parts), title=escape(title), expand=False)

    def _judge(self, status: SessionStatus, now_s: float, idle_s: float | None) -> Verdict:
        """Whether all this is live. A stage that has handled nothing counts as much as a tick that has not come."""
        if idle_s is not None and status.progress_ns:
            idle_s = max(idle_s, now_s - max(status.progress_ns * 1e-9, self._going_s))
        return judge(
            status,
            "",
            ended=self._state.ended,
            silent_s=now_s - status.heartbeat_ns * 1e-9,
            unanswered_s=0.0,
            idle_s=idle_s,
            limit_s=self._theme.alarm.heartbeat_s,
        )

    @staticmethod
    def _stamp(verdict: Verdict) -> list[Text]:
        if verdict.life is Life.ENDED:
            return [Text(" END OF RECORDING: nothing here is live ", style=NOT_LIVE)]
        words = verdict.words or STAMPS.get(verdict.life, "")
        return [Text(f" {words} ", style=ALARM_STYLES["high"] if verdict.urgent else NOT_LIVE)] if words else []

    def _alarms(self, moment: Moment) -> list[Text]:
        """Every standing alarm, worst first, a line each: none takes the place of another."""
        held = moment.life is not Life.LIVE
        return [_alarm_line(alarm, held) for alarm in self._state.alarms.standing]

    def _row(self, lane: Lane, moment: Moment) -> tuple[Text, Text, Text, Text]:
        colour = COLOURS.get(lane.modality, "white")
        said = readout(self._state, lane, moment)
        value = f"{said.value} ({said.second})" if said.second else said.value
        words = " ".join(word for word in (said.label, value, said.unit, said.mark) if word)
        numeric = Text(words, style=f"italic {colour}" if said.estimated else colour)
        if said.finding.words:
            numeric.append(" ").append(f" {said.finding.words} ", style=ALARM_STYLES.get(said.finding.priority, ""))
        strip = Text()
        for second in range(max(0, lane.cells.newest - STRIP_S + 1), lane.cells.newest + 1):
            cell = lane.cells.get(second)
            present = cell is not None and not cell.absence
            strip.append("█" if present else "░", style=colour if present else "dim")
        notes = (absence_words(lane.absence), *said.notes) if said.estimated else said.notes
        return Text(lane.key, style=f"bold {colour}"), numeric, strip, Text("; ".join(notes), style="dim")

    def _prediction(self, moment: Moment) -> Text:
        """What is the case now before what may come; a risk only where the record gives one."""
        said = prediction_words(self._state, moment)
        if said.news is not None:
            words = f"{said.news.headline}   {said.news.detail}".rstrip()
            return Text(f" {words} ", style=ALARM_STYLES.get(said.news.priority, ""))
        label = f"Hypotension MAP < {LOW_MMHG:.0f}:"
        if said.reason:
            return Text(f"{label} {said.reason}", style="yellow")
        risks = "   ".join(f"{r.horizon} {r.value}" + (f" ({r.interval})" if r.interval else "") for r in said.risks)
        return Text(f"{label} {risks}   {said.age}", style="yellow" if said.stale else "")


def _alarm_line(alarm: Alarm, held: bool) -> Text:
    now = f" ({alarm.now})" if alarm.now else ""
    line = Text(f" {alarm.words}{now} ", style=NOT_LIVE if held else ALARM_STYLES.get(alarm.record.priority, ""))
    if alarm.record.reason:
        line.append(f"  {alarm.record.reason}", style="not bold default on default")
    return line


def live(view: TerminalView, out: TextIO) -> Live:
    """A rich Live on ``out`` that redraws four times a second."""
    return Live(view.render(), console=Console(file=out), refresh_per_second=4, transient=False)
