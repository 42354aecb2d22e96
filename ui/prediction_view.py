"""What the prediction tile says, as data: risks with intervals and bands, age, staleness, reasons, sources. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from streams.records import PredictionRecord
from ui.words import INVALID, duration_words

_NS = 1e-9
NOT_ALONE = "do not use alone"


@dataclass(frozen=True, slots=True)
class RiskWords:
    """One horizon: "71", "5 min", "55–82"; band low, middle, high, or "" where there is no number."""

    value: str
    horizon: str
    interval: str
    band: str


@dataclass(frozen=True, slots=True)
class SourceWords:
    """One modality the prediction was made from: its name, "97 %" or "absent 38 s", and whether it is present."""

    modality: str
    words: str
    fraction: float
    present: bool


@dataclass(frozen=True, slots=True)
class PredictionWords:
    risks: tuple[RiskWords, ...]
    age: str
    stale: bool
    reason: str
    sources: tuple[SourceWords, ...]


def band_of(risk_100: float, bands: tuple[float, float]) -> str:
    """<= 50 low, 50-85 middle, > 85 high, by the number as shown."""
    shown = round(risk_100)
    return "low" if shown <= bands[0] else "middle" if shown <= bands[1] else "high"


def prediction_words(
    record: PredictionRecord | None, now_s: float, stale_s: float, bands: tuple[float, float]
) -> PredictionWords:
    """``now_s``: event time the source has reached; ``stale_s``: age from which a prediction is marked stale."""
    if record is None:
        blank = tuple(RiskWords(INVALID, f"{minutes} min", "", "") for minutes in (5, 10, 15))
        return PredictionWords(blank, "no prediction yet", False, "", ())
    age = max(0.0, now_s - record.window_end_ns * _NS)
    stale = age > stale_s
    usable = record.valid and not record.abstain
    risks = []
    for horizon in sorted(record.risk, key=float) or ["5", "10", "15"]:
        value, lo, hi = record.risk.get(horizon, (math.nan,) * 3)
        if usable and all(map(math.isfinite, (value, lo, hi))):
            risks.append(
                RiskWords(
                    f"{100 * value:.0f}",
                    f"{horizon} min",
                    f"{100 * lo:.0f}–{100 * hi:.0f}",
                    band_of(100 * value, bands),
                )
            )
        else:
            risks.append(RiskWords(INVALID, f"{horizon} min", "", ""))
    if stale:
        words = f"STALE · {duration_words(age)} old"
    else:
        words = f"updated {age:.1f} s ago"
    reason = ""
    if not record.valid:
        reason = f"not valid: {record.reason}" if record.reason else "not valid"
    elif record.abstain:
        reason = f"abstains: {record.reason}" if record.reason else "abstains"
    return PredictionWords(tuple(risks), words, stale, reason, _sources(record))


def _sources(record: PredictionRecord) -> tuple[SourceWords, ...]:
    out = []
    ages = [*record.ages_s, *[None] * len(record.modalities)]
    for name, frames, age in zip(record.modalities, record.presence, ages, strict=False):
        fraction = sum(frames) / len(frames) if frames else 0.0
        present = bool(frames) and bool(frames[-1])
        if fraction == 0.0:
            known = age is not None and math.isfinite(age)
            words = f"absent {duration_words(age)}" if known and age is not None else "absent"
        else:
            words = f"{fraction * 100:.0f} %"
            if not present and age is not None and math.isfinite(age) and age >= 1:
                words += f", absent {duration_words(age)}"
        out.append(SourceWords(name, words, fraction, present))
    return tuple(out)
