"""What stands beside a number of its limits: those that the stream judges by, and whether they can fire. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streams.limit_settings import LIMITED, LimitSetting, setting_of
from streams.records import VitalsRecord
from ui.style.language import tr
from ui.style.words import INVALID

UNKNOWN = f"{INVALID} / {INVALID}"


@dataclass(frozen=True, slots=True)
class LimitWords:
    """text: ``120 / 50``, high over low. silent: why no alarm can come of them, "" where one can; a crossed bell."""

    text: str = ""
    silent: str = ""


NO_LIMITS = LimitWords()


def limit_words(settings: Sequence[LimitSetting] | None, vital: str, vitals: VitalsRecord | None) -> LimitWords:
    """settings: that the stream has told of, None before. vitals: the current ones, None where there are none."""
    setting = setting_of(settings or (), vital)
    if settings is None or setting is None:
        return LimitWords(UNKNOWN, tr("limits not known"))
    text = _both(setting)
    if not setting.on or (setting.low is None and setting.high is None):
        return LimitWords(text, tr("alarm off"))
    source = LIMITED[vital].source
    if vitals is None or getattr(vitals, vital) is None:
        return LimitWords(text, tr("not measured"))
    if source is not None and getattr(vitals, source[0]) not in source[1]:
        return LimitWords(text, tr("not measured by {sensors}", sensors=tr(" or ").join(map(tr, source[1]))))
    return LimitWords(text)


def _both(setting: LimitSetting) -> str:
    low, high = setting.low, setting.high
    if low is not None and high is not None:
        return f"{high:g} / {low:g}"
    return f"< {low:g}" if low is not None else f"> {high:g}" if high is not None else ""
