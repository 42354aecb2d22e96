"""What is told of a bed's past to who takes it over: the parts of a :class:`streams.records.MemoryRecord`.

:mod:`streams.memories` makes them and reads them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from streams.fields import (
    MAX_CELLS,
    MAX_CHUNKS,
    MAX_LEADS,
    MAX_TOKENS,
    Finite,
    Lead,
    MaybeName,
    ModalityName,
    Positive,
    PulseName,
    RhythmName,
    Second,
    Seconds,
    TimeNs,
    at_most,
)
from streams.limit_settings import Settings

FEWER_TOKENS = f"a model has at most {MAX_TOKENS[0]} tokens of {MAX_TOKENS[1]} numbers"


class Numbers(msgspec.Struct, frozen=True, array_like=True):
    """An array, little-endian: float32 where that holds each of its values exactly, else (``wide``) float64. NaN where
    unknown."""

    data: bytes
    wide: bool = False


class DelayPast(msgspec.Struct, frozen=True, array_like=True):
    """A delay that is followed, see :class:`models.signals.delays.DelayTrack`; None before the first."""

    delay_s: Finite | None
    evidence: tuple[Finite, Finite]
    weight_s: Seconds
    since_s: Second
    missed_s: Seconds
    confirmed: bool


class ChannelPast(msgspec.Struct, frozen=True, array_like=True):
    """Of one channel, see :class:`models.signals.bed_memory.ChannelState`: a byte a cell, 1 if a model may read it;
    followed: second, level, last level out of reach and seconds of settling. None where unknown."""

    modality: ModalityName
    lead: Lead
    cells: Annotated[bytes, at_most(MAX_CELLS, "a channel has cells,")]
    zero: Finite
    followed: tuple[Second, Finite | None, Finite, Second] | None
    lowest: Finite | None
    highest: Finite | None
    level: Finite | None


ByLead = Annotated[dict[Lead, Second], at_most(MAX_LEADS, "a modality has leads,")]


class ChoicePast(msgspec.Struct, frozen=True, array_like=True):
    """Who serves among several leads, see :class:`models.signals.leads.Runs`; seconds by lead."""

    serving: Lead
    beating: ByLead
    measured: ByLead
    poor_s: Second
    refuted: ByLead


class UsualPast(msgspec.Struct, frozen=True, array_like=True):
    """What is usual for a heart, see :class:`streams.alarms.arrhythmia_usual.UsualState`; of the complex shape, height,
    interval and steadiness. None where it is not known."""

    called: list[Second]
    learnt_at: Second
    pulse: dict[ModalityName, tuple[Second, Finite]]
    shape: tuple[Numbers, Finite, Finite, Finite] | None


class SignalsPast(msgspec.Struct, frozen=True):
    """What a windower knows of a bed and samples of the last minutes do not tell. The context, see
    :class:`models.signals.context.ContextState`, as of the cells before ``second``: of each of ``modalities`` its
    levels, rows and ends. choices: by modality with several leads. pulseless: modalities whose pulse was lost."""

    second: Second
    modalities: Annotated[list[ModalityName], msgspec.Meta(min_length=1, description="a memory has at least one row")]
    levels: list[Numbers]
    delays_s: Numbers
    rows: Numbers
    ends_s: Numbers
    tracks: dict[ModalityName, DelayPast]
    channels: Annotated[list[ChannelPast], at_most(MAX_CHUNKS, "a bed has channels,")]
    choices: dict[ModalityName, ChoicePast]
    pulseless: list[ModalityName]
    usual: UsualPast


TokenRows = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS[0], description=FEWER_TOKENS)]
TokenWidth = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS[1], description=FEWER_TOKENS)]


class ModelPast(msgspec.Struct, frozen=True):
    """What a model remembers of a bed, see :class:`models.runtime.memory.EngineMemory`; tokens [shape]."""

    model: MaybeName
    shape: tuple[TokenRows, TokenWidth] = (0, 0)
    tokens: Numbers | None = None
    form: Finite | None = None
    look: tuple[Positive, Finite] | None = None
    pleth: tuple[Positive, Finite] | None = None
    past: Numbers | None = None


class StandingPast(msgspec.Struct, frozen=True, array_like=True):
    """A limit that is violated: since when, the worst value so far, and when a value was last known."""

    since_ns: TimeNs
    worst: Finite
    known_ns: TimeNs


class AlarmsPast(msgspec.Struct, frozen=True):
    """What the alarms of a bed hang on and may be older than the last minutes: the limits that are violated, the worst
    risk of the run that goes on, and what sensors said of a lost pulse before they fell silent
    (:class:`streams.alarms.circulation.LastSaid`); values of Rhythm and Pulse. limits: those that
    ``limits_by`` has set; none while nobody has."""

    standing: Annotated[dict[MaybeName, StandingPast], at_most(MAX_CHUNKS, "a bed has standing alarms,")] = {}
    worst_risk: Finite = 0.0
    rhythm: RhythmName = ""
    pulse: dict[ModalityName, PulseName] = {}
    abp_mean: Finite | None = None
    limits: Settings = []
    limits_by: MaybeName = ""
