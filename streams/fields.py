"""The kinds of fields that messages have: what each may hold, said once, and checked by msgspec while it decodes.

A kind's description is the rule as a clause; :mod:`streams.codec` says it of a message that breaks it. What hangs on
two fields at once (lengths that agree, times in order) is checked there.
"""

from __future__ import annotations

from collections.abc import Iterable
from sys import float_info
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from models.signals.absence import Absence
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.resample import MAX_RATE_HZ, MIN_RATE_HZ
from models.signals.times import SECOND_NS

MAX_CHUNKS = 64
MAX_NUMBERS = 256
MAX_LEADS = 16
MAX_GAPS = 4096
MAX_EVENTS = 1024
MAX_CELLS = 1024
MAX_TOKENS = (64, 4096)
MAX_TICK_NS = 60 * SECOND_NS
MAX_TIME_NS = 1 << 62  # 146 years: sums of two times still fit 64 bits
MAX_SECOND = MAX_TIME_NS // SECOND_NS
MAX_INDEX = (1 << 53) - 1  # what float64 counts exactly
MAX_TEXT = 1024
MAX_NAME = 128
MAX_ARGUMENTS = 16
MAX_HEAD = 1024
COMMANDS = ("drop", "restore", "pause", "resume", "seek", "speed", "step", "acknowledge", "explain", "limits", "mark")

if TYPE_CHECKING:
    # Callers give these as the values of their enums, or as what was read of the wire: text to them.
    ModalityName = str
    MaybeModality = str
    StateName = str
    RhythmName = str
    PulseName = str
    Verdict = str
    Priority = str
    Kind = str
    Role = str
    Missed = str
    CommandName = str
else:

    def _one_of(what: str, names: Iterable[str]) -> Any:
        known = tuple(names)
        told = ", ".join(name or '""' for name in known)
        return Annotated[Literal[known], Meta(description=f"the {what} is one of {told}")]

    ModalityName = _one_of("modality", (m.value for m in Modality))
    MaybeModality = _one_of("modality", ("", *(m.value for m in Modality)))
    StateName = _one_of("state", ("", *(a.value for a in Absence)))
    RhythmName = _one_of("rhythm", (r.value for r in Rhythm))
    PulseName = _one_of("pulse", (p.value for p in Pulse))
    Verdict = _one_of("verdict", ("confirmed", "unopposed", "contradicted"))
    Priority = _one_of("priority", ("high", "medium", "low"))
    Kind = _one_of("kind", ("physiological", "technical"))
    Role = _one_of("role", ("source", "worker"))
    Missed = _one_of("miss", ("", "late", "skipped"))
    CommandName = _one_of("command", COMMANDS)

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, description=f"a name has 1 to {MAX_NAME} characters")]
MaybeName = Annotated[str, Meta(max_length=MAX_NAME, description=f"a name has at most {MAX_NAME} characters")]
Text = Annotated[str, Meta(max_length=MAX_TEXT, description=f"a text has at most {MAX_TEXT} characters")]

TimeNs = Annotated[
    int, Meta(ge=-MAX_TIME_NS, le=MAX_TIME_NS, description="a time lies within the range of the clock, ±146 years")
]
Second = Annotated[
    int, Meta(ge=-MAX_SECOND, le=MAX_SECOND, description="a second lies within the range of the clock, ±146 years")
]
Seconds = Annotated[int, Meta(ge=0, le=MAX_SECOND, description="a count of seconds is not negative")]
Count = Annotated[int, Meta(ge=0, lt=MAX_TIME_NS, description="a number that counts is not negative")]
Index = Annotated[int, Meta(ge=0, le=MAX_INDEX, description="an index lies between 0 and 2^53")]
GridIndex = Annotated[int, Meta(ge=-MAX_INDEX, le=MAX_INDEX, description="an index lies within ±2^53")]
Lead = Annotated[int, Meta(ge=0, lt=MAX_LEADS, description=f"a modality has at most {MAX_LEADS} leads")]

# NaN fulfils no bound.
Finite = Annotated[
    float,
    Meta(ge=-float_info.max, le=float_info.max, description="a number is finite (unknown values are left out)"),
]
Positive = Annotated[float, Meta(gt=0.0, le=float_info.max, description="a rate is a number above 0")]
# What could not be resampled is refused with its message, before any of its tick is counted as received.
RateHz = Annotated[
    float,
    Meta(ge=MIN_RATE_HZ, le=MAX_RATE_HZ, description=f"the rate lies within {MIN_RATE_HZ:g} and {MAX_RATE_HZ:.0f} Hz"),
]
GridRateHz = Annotated[int, Meta(gt=0, le=int(MAX_RATE_HZ), description="the rate is above 0")]


def at_most(count: int, what: str) -> Meta:
    """A container of so many at most; ``what`` is said of it."""
    return Meta(max_length=count, description=f"{what} at most {count}")
