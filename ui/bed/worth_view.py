"""What the leave-one-out says, as data: a row with all sensors, and one without each. Pure.

What the screen would not show of a window it does not show of a row either: where the circulation has failed since, or
the pressure is low, the rows say no risk, and an estimate that is forbidden now is withdrawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.signals.modalities import Modality
from streams.records import ExplainRecord, LeftOutRow
from ui.bed.lane_words import REASONS
from ui.bed.liveness import Life, Moment
from ui.bed.prediction_view import REASONS as RISK_REASONS
from ui.bed.prediction_view import News, band_of, beside_high, news_of
from ui.bed.risk_history import measured_at
from ui.bed.state import DisplayState
from ui.bed.trends import HORIZONS
from ui.style.language import retold, tr
from ui.style.words import INVALID, clock_words, duration_words

_NS = 1e-9
ANSWER_S = 6.0
"""So long an answer may take; the model's own patience is four seconds."""
MEASURED = "measured"
ASKING = "asking the model …"
NO_ANSWER = "no answer: the worker is not there, or too busy"
NOT_NOW = "what a sensor is worth to a prediction is no question now"
NOT_ASKED = "nothing was asked since the recording was sought or begun: Shift+X asks"


@dataclass(frozen=True, slots=True)
class Cell:
    """text: "84 (78–91)", "86 measured", "-?-" or ""; why: there is no number. value, lo, hi: for the plot, NaN where
    there is none. band: of a risk."""

    text: str
    why: str = ""
    value: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
    band: str = ""


@dataclass(frozen=True, slots=True)
class WorthRow:
    """modality: "" for the row with all. why: in place of all cells."""

    title: str
    modality: str
    risks: tuple[Cell, ...]
    mean: Cell
    depth: Cell
    why: str = ""


@dataclass(frozen=True, slots=True)
class WorthWords:
    """instead: a sentence in place of the rows. news: what is the case now. old: the window has gone by since.
    horizons: of the risks, in minutes."""

    age: str
    rows: tuple[WorthRow, ...]
    footer: tuple[str, ...]
    instead: str = ""
    news: News | None = None
    old: bool = False
    horizons: tuple[str, ...] = HORIZONS


def worth_words(state: DisplayState, moment: Moment, asked_s: float | None) -> WorthWords:
    """asked_s: monotonic time of the last question, None before the first."""
    record, arrived_s = state.explained, state.explained_s
    if asked_s is not None and (record is None or arrived_s < asked_s):
        late = moment.wall_s - asked_s > ANSWER_S
        return WorthWords("", (), (), tr(NO_ANSWER) if late else tr(ASKING))
    if record is None:
        return WorthWords("", (), (), tr(NOT_ASKED))
    if record.reason:
        return WorthWords("", (), (), tr("no answer: {why}", why=record.reason))
    end_s = record.window_end_ns * _NS
    age_s = max(0.0, moment.event_s - end_s)
    news = news_of(state, moment)
    old = age_s > max(record.window_s, 1) or moment.life in (Life.LOST, Life.WAITING)
    when = {"end": clock_words(end_s), "time": duration_words(age_s)}
    age = tr("window to {end}, OLD: {time} ago", **when) if old else tr("window to {end}, {time} ago", **when)
    footer = (
        tr(
            "A row is as if the sensor had been missing for all {seconds} s of the window; with it back, the first "
            "row is said again.",
            seconds=record.window_s,
        ),
        tr(
            "A cable pulled just now gets there in {seconds} s: until then older seconds are still used.",
            seconds=record.window_s,
        ),
    )
    if news is not None and not news.pressure and news.priority == "high":
        return WorthWords(age, (), (), tr(NOT_NOW), news, old)  # the waves are wanted
    horizons = tuple(sorted({h for row in record.rows for h in row.risk}, key=float)) or HORIZONS
    rows = tuple(_row(row, record, state, news, horizons) for row in record.rows)
    return WorthWords(tr("not live") if moment.life is Life.LOST else age, rows, footer, "", news, old, horizons)


def _row(
    row: LeftOutRow, record: ExplainRecord, state: DisplayState, news: News | None, horizons: tuple[str, ...]
) -> WorthRow:
    title = tr("without {sensor}", sensor=tr(row.without)) if row.without else tr("with all")
    if row.reason:
        return WorthRow(title, row.without, (), Cell(""), Cell(""), row.reason)
    no_risk = news.headline if news is not None else row.no_risk
    bands = state.theme.prediction.bands
    plain = beside_high(state)
    risks = tuple(_risk(row, horizon, bands, no_risk, plain) for horizon in horizons)
    return WorthRow(title, row.without, risks, _mean(row, record, state), _depth(row))


def _risk(row: LeftOutRow, horizon: str, bands: tuple[float, float], no_risk: str, plain: bool) -> Cell:
    said = row.risk.get(horizon)
    if no_risk or said is None:
        return Cell(INVALID, retold(no_risk, RISK_REASONS) or tr("not given"))
    value, lo, hi = (100.0 * v for v in said)
    return Cell(f"{value:.0f}", "", value, lo, hi, "plain" if plain else band_of(value, bands))


def _mean(row: LeftOutRow, record: ExplainRecord, state: DisplayState) -> Cell:
    if row.no_map == MEASURED:
        known = measured_at(state.maps, record.window_end_ns * _NS)
        return Cell(
            tr(MEASURED) if known is None else f"{known:.0f} {tr(MEASURED)}", value=math.nan if known is None else known
        )
    lane = state.lane(Modality.ABP)
    forbidden = lane.forbidden if lane is not None else ""
    if row.map_mmhg is None or forbidden:
        return Cell(INVALID, retold(forbidden or row.no_map, REASONS))
    return _interval(row.map_mmhg)


def _depth(row: LeftOutRow) -> Cell:
    return Cell(INVALID, retold(row.no_depth, RISK_REASONS)) if row.depth is None else _interval(row.depth)


def _interval(said: tuple[float, float, float]) -> Cell:
    value, lo, hi = said
    return Cell(f"{value:.0f} ({lo:.0f}–{hi:.0f})", "", value, lo, hi)
