"""The live terminal view, where there is no screen: alarms, numerics, presence and prediction.

It says what the bedside display says: both read :class:`ui.bed.ward.Ward` with the same pure functions, so that a
value is stale, an estimate withheld or a risk not given in both or in none. Several beds are a line each; below them
the first of those that most need a look is said in detail.
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
from ui.bed.alarm_view import Alarm
from ui.bed.bed_words import BedWords
from ui.bed.bedside import Answer, Bedside
from ui.bed.lanes import Lane
from ui.bed.liveness import Life, Verdict
from ui.bed.low_pressure import LOW_MMHG
from ui.bed.prediction_view import prediction_words
from ui.bed.readouts import readout
from ui.bed.small_numbers import small_numbers
from ui.bed.ward import Ward
from ui.style.theme import default_theme
from ui.style.words import DISCLAIMER, bed_title, clock_words
from ui.window.control_link import ask_all

COLOURS = {Modality.ECG: "green", Modality.ABP: "red", Modality.PPG: "cyan", Modality.EEG: "yellow"}
ALARM_STYLES = {"high": "bold white on red", "medium": "black on yellow", "low": "black on cyan", "": "yellow"}
NOT_LIVE = "black on white"
STAMPS = {Life.WAITING: "WAITING FOR THE FIRST SAMPLES", Life.PAUSED: "PAUSED: all values are of this moment"}
STRIP_S = 40
_BATCH, _BATCHES = 4096, 4


class TerminalView:
    """Latest of everything, as a rich renderable. ``update`` drains the feed; call it a few times a second."""

    def __init__(
        self, control: SessionControl, feed: DisplayFeed, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._control, self._feed, self._monotonic = control, feed, monotonic
        self._ward = Ward(default_theme(), monotonic())

    def update(self) -> None:
        """Takes in what has come since the last call."""
        now_s = self._monotonic()
        self._ask(now_s)
        for _ in range(_BATCHES):  # not until it is empty: the stream may be faster than this
            records = self._feed.drain(_BATCH)
            for record in records:
                self._ward.apply(record, now_s)
            if len(records) < _BATCH:
                break
        self._ward.on_show.advance(now_s)

    def _ask(self, now_s: float) -> Answer:
        shown, *others = ask_all(self._control)
        answer = Answer(shown.status, stages=True)
        self._ward.take(shown, now_s)
        self._ward.hear(others, now_s)
        self._ward.keep_time(now_s)
        self._ward.judge(now_s, answer)
        return answer

    def render(self) -> Panel:
        """The view of this moment."""
        now_s = self._monotonic()
        answer = self._ask(now_s)
        said = self._ward.said
        first = min(said, key=lambda words: words.rank)  # of equals the first
        if first.bed != self._ward.on_show.name:
            self._control.show(first.bed)
            answer = self._ask(now_s)
        bed, status = self._ward.on_show, answer.status
        assert status is not None
        table = Table.grid(padding=(0, 2))
        for lane in bed.state.lanes:
            if lane.first:  # there are no waves here, which is all that a further lead has
                table.add_row(*self._row(bed, lane))
        parts: list[RenderableType] = [
            *([_beds(said, bed.name)] if len(said) > 1 else []),
            *self._stamp(bed.verdict, bed.state.clock.goes_to_s),
            *self._alarms(bed),
            table,
            *self._small(bed),
            self._prediction(bed),
            Text(footer(status), style="dim"),
            Text(DISCLAIMER, style="dim"),
        ]
        name = f"{bed_title(bed.name)}  " if len(said) > 1 else ""
        title = bed.snapshot.title if bed.snapshot is not None else ""
        return Panel(Group(*parts), title=escape(f"{name}{title}  {_position(status)}"), expand=False)

    @staticmethod
    def _stamp(verdict: Verdict, goes_to_s: float | None) -> list[Text]:
        if verdict.life is Life.ENDED:
            return [Text(" END OF RECORDING: nothing here is live ", style=NOT_LIVE)]
        words = verdict.words or STAMPS.get(verdict.life, "")
        if verdict.life is Life.WAITING and goes_to_s is not None:
            words = f"GOING TO {clock_words(goes_to_s)} …"
        return [Text(f" {words} ", style=ALARM_STYLES["high"] if verdict.urgent else NOT_LIVE)] if words else []

    @staticmethod
    def _alarms(bed: Bedside) -> list[Text]:
        """Every standing alarm, worst first, a line each: none takes the place of another."""
        held = bed.verdict.life is not Life.LIVE
        return [_alarm_line(alarm, held) for alarm in bed.state.alarms.standing]

    @staticmethod
    def _row(bed: Bedside, lane: Lane) -> tuple[Text, Text, Text, Text]:
        colour = COLOURS.get(lane.modality, "white")
        said = readout(bed.state, lane, bed.moment)
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
        notes = (lane.said.state if said.estimated else "", *said.notes, lane.said.why_not)
        return Text(lane.key, style=f"bold {colour}"), numeric, strip, Text("; ".join(filter(None, notes)), style="dim")

    @staticmethod
    def _small(bed: Bedside) -> list[Text]:
        """What the device measured itself, in a line."""
        found = small_numbers(bed.state, bed.moment)
        words = [" ".join(filter(None, (n.label, n.value, n.unit, n.note and f"({n.note})"))) for n in found]
        return [Text("   ".join(words))] if words else []

    @staticmethod
    def _prediction(bed: Bedside) -> Text:
        """What is the case now before what may come; a risk only where the record gives one."""
        said = prediction_words(bed.state, bed.moment)
        if said.news is not None:
            words = f"{said.news.headline}   {said.news.detail}".rstrip()
            return Text(f" {words} ", style=ALARM_STYLES.get(said.news.priority, ""))
        label = f"Hypotension MAP < {LOW_MMHG:.0f}:"
        if said.reason:
            return Text(f"{label} {said.reason}", style="yellow")
        risks = "   ".join(f"{r.horizon} {r.value}" + (f" ({r.interval})" if r.interval else "") for r in said.risks)
        return Text(f"{label} {risks}   {said.age}", style="yellow" if said.stale else "")


def _position(status: SessionStatus) -> str:
    at = clock_words(status.position_s)
    return f"{at} / {clock_words(status.duration_s)}" if status.seekable else f"LIVE  {at} since start"


def _beds(said: tuple[BedWords, ...], on_show: str) -> Table:
    """A line a bed, in the words of the display's strip."""
    table = Table.grid(padding=(0, 2))
    for words in said:
        title = Text(f"{'▸' if words.bed == on_show else ' '} {words.title}", style="bold")
        rate = Text(f"HR {words.rate} {words.rate_source}".rstrip(), style=COLOURS[Modality.ECG])
        mean = f"MAP {words.mean} ESTIMATED" if words.estimated else f"MAP {words.mean}"
        life = Text("")
        if words.life_words:
            lost = words.life is Life.LOST
            life = Text(f" {words.life_words} ", style=ALARM_STYLES["high"] if lost else NOT_LIVE)
        alarm = Text(words.why_lost or "no alarm", style="" if words.why_lost else "dim")
        if words.worst is not None:
            alarm = _alarm_line(words.worst, words.held)
        if words.more:
            alarm.append(f"  +{words.more}", style="not bold default on default")
        table.add_row(title, rate, Text(mean, style=COLOURS[Modality.ABP]), life, alarm)
    return table


def _alarm_line(alarm: Alarm, held: bool) -> Text:
    now = f" ({alarm.now})" if alarm.now else ""
    line = Text(f" {alarm.words}{now} ", style=NOT_LIVE if held else ALARM_STYLES.get(alarm.record.priority, ""))
    if alarm.record.reason:
        line.append(f"  {alarm.record.reason}", style="not bold default on default")
    return line


def live(view: TerminalView, out: TextIO) -> Live:
    """A rich Live on ``out`` that redraws four times a second."""
    return Live(view.render(), console=Console(file=out), refresh_per_second=4, transient=False)
