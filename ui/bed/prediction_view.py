"""What the prediction tile says, as data: bad news of now before any risk, risks with intervals, age, sources. Pure.

A probability is for what may come. Where the pressure is low now, or no sensor shows a pulse, the tile says that and no
number; and beside a standing alarm of high priority no number is green.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.signals.findings import Pulse
from models.signals.modalities import Modality
from streams.alarms.limits import beyond
from streams.mailbox import BEHIND, NOT_LOADED
from streams.records import PredictionRecord
from ui.bed.alarm_view import NO_CIRCULATION
from ui.bed.alarm_words import text_said
from ui.bed.findings_words import NO_FINDING, circulation
from ui.bed.lane_words import REASONS as LANE_REASONS
from ui.bed.liveness import Life, Moment
from ui.bed.low_pressure import LOW_MMHG, VERY_LOW_MMHG, LowPressure
from ui.bed.readouts import HELD
from ui.bed.state import DisplayState
from ui.bed.trends import HORIZONS
from ui.style.language import retold, tr
from ui.style.words import ESTIMATED, INVALID, duration_words, range_words

_NS = 1e-9
NOT_ALONE = "do not use alone"
REASONS = (
    *LANE_REASONS,
    "no rhythm on the ECG",
    "no rhythm on the ECG that can be told",
    "no pulse to be seen now",
    "MAP below {limit} in the last seconds",
    "MAP below {limit} when it was last measured",
    "less than {seconds} s of data",
    "the {modality} cannot be trusted ({why})",
    "not better than chance with the ABP alone",
    "not better than chance with {sensors}",
    "no clean ABP in the last {time}",
    "no clean ABP now",
    BEHIND,
    NOT_LOADED,
    "the result came {seconds} s after its window",
)
"""Why there is no risk, as :mod:`models.runtime.risk_policy` and the stream say it and it is translated; a test holds
them together."""


@dataclass(frozen=True, slots=True)
class RiskWords:
    """One horizon: "71", "5 min", "55–82"; band low, middle, high, "plain" beside a high alarm, or "" where there is
    no number."""

    value: str
    horizon: str
    interval: str
    band: str


@dataclass(frozen=True, slots=True)
class SourceWords:
    """One modality the prediction was made from: its name, "97 %" or "none for 38 s" ("not used for 38 s" of one that
    is measured: a pressure without a pulse is of no use to the model), and whether the newest frame was used."""

    modality: str
    words: str
    fraction: float
    present: bool


@dataclass(frozen=True, slots=True)
class News:
    """What is the case now, in place of a risk. priority: of its colours, "" for a value of a while ago. pressure:
    that it is low; else the circulation is in doubt."""

    headline: str
    detail: str
    priority: str
    pressure: bool = False


@dataclass(frozen=True, slots=True)
class PredictionWords:
    """``news`` takes the place of the risks. held: as of :class:`ui.bed.readouts.Readout`."""

    risks: tuple[RiskWords, ...]
    age: str
    stale: bool
    reason: str
    sources: tuple[SourceWords, ...]
    news: News | None = None
    held: str = ""


def beside_high(state: DisplayState) -> bool:
    """Whether an alarm of high priority stands: beside that no risk has a colour."""
    return any(alarm.record.priority == "high" for alarm in state.alarms.standing)


def band_of(risk_100: float, bands: tuple[float, float]) -> str:
    """<= 50 low, 50-85 middle, > 85 high, by the number as shown."""
    shown = round(risk_100)
    return "low" if shown <= bands[0] else "middle" if shown <= bands[1] else "high"


def prediction_words(state: DisplayState, moment: Moment) -> PredictionWords:
    """The tile at a moment."""
    record, held = state.prediction, tr(HELD.get(moment.life, ""))
    news = news_of(state, moment)
    blank = tuple(RiskWords(INVALID, f"{minutes} min", "", "") for minutes in HORIZONS)
    if record is None:
        reason = _not_valid(state.missed) if state.missed is not None and news is None else ""
        return PredictionWords(blank, tr("no prediction yet"), False, reason, (), news, held)
    current = state.current_prediction(moment)
    age = max(0.0, moment.event_s - record.window_end_ns * _NS)
    stale = record.valid and current is None
    risks = blank
    if news is None and current is not None and not current.abstain:
        risks = _risks(current, state.theme.prediction.bands, beside_high(state))
    reason = ""
    if news is None and state.missed is not None and current is None:
        reason = _not_valid(state.missed)
    elif news is None and not record.valid:
        reason = _not_valid(record)
    elif news is None and record.abstain:
        reason = (
            tr("no risk given: {why}", why=retold(record.reason, REASONS)) if record.reason else tr("no risk given")
        )
    words = tr("updated {seconds:.1f} s ago", seconds=age)
    if stale:
        words = tr("STALE · {time} old", time=duration_words(age))
    if moment.life in (Life.LOST, Life.ENDED, Life.WAITING):
        words = tr("not live")
    return PredictionWords(risks, words, stale, reason, () if stale else _sources(record, state), news, held)


def _not_valid(record: PredictionRecord) -> str:
    if record.missed == "skipped":
        return retold(record.reason, REASONS)
    return tr("not valid: {why}", why=retold(record.reason, REASONS)) if record.reason else tr("not valid")


def _risks(record: PredictionRecord, bands: tuple[float, float], plain: bool) -> tuple[RiskWords, ...]:
    out = []
    for horizon in sorted(record.risk, key=float) or HORIZONS:
        value, lo, hi = record.risk.get(horizon, (math.nan,) * 3)
        if all(map(math.isfinite, (value, lo, hi))):
            band = "plain" if plain else band_of(100 * value, bands)
            out.append(RiskWords(f"{100 * value:.0f}", f"{horizon} min", f"{100 * lo:.0f}–{100 * hi:.0f}", band))
        else:
            out.append(RiskWords(INVALID, f"{horizon} min", "", ""))
    return tuple(out)


def news_of(state: DisplayState, moment: Moment) -> News | None:
    """No circulation, then a low pressure; None where neither is known to be the case."""
    if moment.life not in (Life.LIVE, *HELD):
        return None
    findings = state.findings(moment)
    found = circulation(findings) if findings is not None else NO_FINDING
    if found.priority == "high" or (findings is not None and findings.pulse_of(Modality.ABP) is Pulse.NONE):
        return News(found.words, found.reason, found.priority)
    for alarm in state.alarms.standing:
        if alarm.record.key in NO_CIRCULATION and alarm.record.priority == "high":
            return News(text_said(alarm.record.text.lstrip("* ")), alarm.why, "high")
    low = state.low_pressure(moment)
    if low is not None:
        return _low_words(low, moment.event_s)
    return News(found.words, found.reason, found.priority) if found.words else None


def _low_words(low: LowPressure, event_s: float) -> News:
    value, limit = low.value, f"MAP < {LOW_MMHG:.0f}"
    if not low.current:
        ago = duration_words(max(0.0, event_s - value.at_s))
        return News(
            tr("LAST KNOWN {what}", what=f"MAP {beyond(value.mean, LOW_MMHG)} < {LOW_MMHG:.0f}"),
            tr("{time} ago; not known now", time=ago),
            "",
            True,
        )
    since = tr("for {time}", time=duration_words(max(0.0, event_s - low.since_s)))
    if value.interval is not None:
        lo, hi = value.interval
        return News(f"{tr(ESTIMATED)} {limit} ({range_words(lo, hi)})", since, "medium", True)
    priority = "high" if value.mean < VERY_LOW_MMHG else "medium"
    return News(tr("{what} NOW", what=limit), f"{since} · {beyond(value.mean, LOW_MMHG)} mmHg", priority, True)


def _sources(record: PredictionRecord, state: DisplayState) -> tuple[SourceWords, ...]:
    out = []
    ages = [*record.ages_s, *[None] * len(record.modalities)]
    for name, frames, age in zip(record.modalities, record.presence, ages, strict=False):
        fraction = sum(frames) / len(frames) if frames else 0.0
        present = bool(frames) and bool(frames[-1])
        lane = state.lane(name)
        lacking = tr("not used") if lane is not None and not lane.absence else tr("none")
        if fraction == 0.0:
            known = age is not None and math.isfinite(age)
            words = (
                tr("{what} for {time}", what=lacking, time=duration_words(age))
                if known and age is not None
                else lacking
            )
        else:
            words = f"{fraction * 100:.0f} %"
            if not present and age is not None and math.isfinite(age) and age >= 1:
                words += ", " + tr("{what} for {time}", what=lacking, time=duration_words(age))
        out.append(SourceWords(name, words, fraction, present))
    return tuple(out)
