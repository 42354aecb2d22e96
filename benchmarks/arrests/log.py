"""What a screen said over a whole run, as a table: one line for each stretch in which it said the same."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from benchmarks.arrests.looks import Look
from benchmarks.tables import table
from models.signals.modalities import Modality
from ui.bed.readouts import Readout
from ui.style.words import INVALID

_SHOWN = (Modality.ECG, Modality.ABP, Modality.PPG)


def log(looks: Sequence[Look]) -> str:
    """By the second: alarms, numbers and tile as they stood at its end; numbers as the range over the stretch."""
    seconds = [look for look in looks if abs(look.at_s - round(look.at_s)) < 0.25 * (looks[1].at_s - looks[0].at_s)]
    if not seconds:  # a paced run whose looks fall between
        seconds = list(looks[4::5])
    stretches: list[list[Look]] = []
    for look in seconds:
        if stretches and _same(stretches[-1][-1]) == _same(look):
            stretches[-1].append(look)
        else:
            stretches.append([look])
    rows = []
    for stretch in stretches:
        first, last = stretch[0], stretch[-1]
        rows.append(
            [
                f"{first.at_s - 1:.0f}–{last.at_s:.0f}",
                _alarms(last, "high"),
                _alarms(last, "medium"),
                _alarms(last, "low"),
                *(_number(m, stretch) for m in _SHOWN),
                " ".join(m.value for m in last.drawn) or "–",
                _tile(stretch),
            ]
        )
    return table(["s", "red", "yellow", "low", "HR", "ABP", "PR", "estimated wave", "tile"], rows)


def _same(look: Look) -> Hashable:
    alarms = tuple((a.record.key, a.record.priority, a.record.reason) for a in look.alarms)
    numbers = tuple((m, n.invalid, n.second in ("", INVALID), n.estimated, n.finding.words)
                    for m, n in look.numbers.items() if m in _SHOWN)  # fmt: skip
    return alarms, numbers, tuple(look.drawn), "risk" if look.has_risk else (look.tile, look.reason)


def _alarms(look: Look, priority: str) -> str:
    said = []
    for alarm in look.alarms:
        if alarm.record.priority == priority:
            reason = f" ({alarm.record.reason})" if alarm.record.reason else ""
            said.append(alarm.words.replace("*", "").strip() + reason)
    return "; ".join(said) or "–"


def _number(modality: Modality, stretch: Sequence[Look]) -> str:
    numbers = [look.numbers[modality] for look in stretch if modality in look.numbers]
    if not numbers:
        return "–"
    first, last = _words(numbers[0]), _words(numbers[-1])
    words = first if first == last else f"{first} … {last}"
    finding = numbers[-1].finding.words
    return f"{words} {finding}".strip()


def _words(number: Readout) -> str:
    return f"{number.value} ({number.second})" if number.second else number.value


def _tile(stretch: Sequence[Look]) -> str:
    first, last = stretch[0].tile, stretch[-1].tile
    words = first if first == last else f"{first} … {last}"
    return f"{words}: {stretch[-1].reason}" if stretch[-1].reason else words
