"""The wire: typed, versioned messages. One wave message = one bed, one tick, all modalities.

Event time is integer nanoseconds from the recording's time zero. Stamps are monotonic nanoseconds of one host.
Identity of a tick is (bed, session, epoch, tick_seq); a seek, restart or clock jump begins a new epoch.
Encoding lives in :mod:`streams.codec`.
"""

from __future__ import annotations

import msgspec

WIRE_VERSION = 1

TOPICS = ("beds", "waves", "vitals", "predictions", "alarms", "commands", "deadletters")


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", omit_defaults=True):
    """Base of every message: which bed, which run, which epoch."""

    v: int = WIRE_VERSION
    bed: str
    session: str
    epoch: int


class StatusRecord(Record, frozen=True, tag="status"):
    """How a role is, said for each of its beds once a second and whenever something changes.

    role: "source" or "worker". Of a source: where it is and how fast, as in :class:`streams.control.SessionStatus`; of
    a worker: what runs the model. counts: as in :class:`streams.accounting.Accounting`, of the whole role.
    """

    role: str
    position_s: float = 0.0
    speed: float | None = 1.0
    achieved_speed: float | None = None
    paused: bool = False
    ended: bool = False
    dropped: list[str] = []
    backend: str = ""
    backend_detail: str = ""
    precision: str = ""
    model: str = ""
    service: str = ""
    notes: list[str] = []
    preparing: str = ""
    counts: dict[str, int] = {}


class WaveChunk(msgspec.Struct, frozen=True, array_like=True):
    """Samples of one channel: sample ``first_index + i`` lies at ``origin_ns + (first_index + i) · 1e9 / rate_hz``.

    ``data`` is little-endian float32 in the modality's canonical unit, NaN where missing. ``withheld`` chunks carry
    the truth of a dropped channel for comparison only: windower and display treat the channel as absent. ``lead``:
    which of several leads of the modality, 0 for the preferred one.
    """

    modality: str
    label: str
    rate_hz: float
    origin_ns: int
    first_index: int
    data: bytes
    withheld: bool = False
    lead: int = 0


class WaveTick(Record, frozen=True, tag="wave"):
    """All samples with ``start_ns <= time < end_ns``. Empty ticks are sent. ``eos`` ends the bed's stream.

    ``due_ns`` is the monotonic time at which the tick's last sample was due (0 at speed max) on the clock of ``host``,
    where the wall clock is ahead of it by ``clock_ns`` (:mod:`streams.host`); "" is the host that reads it.
    """

    tick_seq: int
    start_ns: int
    end_ns: int
    due_ns: int = 0
    chunks: list[WaveChunk] = []
    eos: bool = False
    host: str = ""
    clock_ns: int = 0


class BedChannel(msgspec.Struct, frozen=True, array_like=True):
    """A channel that a bed's source sends: modality, the recording's or device's label for it, canonical unit, native
    rate in Hz, and which of several leads of the modality it is (0: the preferred one)."""

    modality: str
    label: str
    unit: str
    rate_hz: float
    lead: int = 0


class BedRecord(Record, frozen=True, tag="bed"):
    """What a source says of its bed before the first tick, and again whenever it changes; the newest one counts.

    title: for the screen; no patient data. channels: in the order of the screen. gaps_s: stretches [start, end)
    without data, seconds of event time, by modality. seekable: a recording, which can be paused, sought and played at
    another speed; a live device cannot. start_ns, end_ns: event time that it has; end None: open, nobody knows yet.
    zero_unix_ns: the wall clock at event time zero, None where nobody knows.
    """

    title: str
    channels: list[BedChannel]
    gaps_s: dict[str, list[tuple[float, float]]] = {}
    seekable: bool = False
    start_ns: int = 0
    end_ns: int | None = None
    zero_unix_ns: int | None = None


def tick_identity(tick: WaveTick) -> tuple[str, str, int, int]:
    """(bed, session, epoch, tick_seq): what makes two deliveries the same tick."""
    return tick.bed, tick.session, tick.epoch, tick.tick_seq


class LeadState(msgspec.Struct, frozen=True, array_like=True):
    """One of several leads of a modality. absence: "" where it could serve, else an ``Absence`` value."""

    lead: int
    label: str
    absence: str


class StateRecord(Record, frozen=True, tag="state"):
    """State of every modality from ``time_ns`` on: "" while measured, else an ``Absence`` value. Sent on change
    and once a second. leads: of a modality with several, what each one's newest cell says, the one that serves first:
    ``state`` is that one's."""

    time_ns: int
    state: dict[str, str]
    leads: dict[str, list[LeadState]] = {}


class CellRecord(Record, frozen=True, tag="cell"):
    """Presence of the 1-s cell ``[second, second + 1)``: "" if present, else an ``Absence`` value, by modality."""

    second: int
    absence: dict[str, str]


class VitalsRecord(Record, frozen=True, tag="vitals"):
    """Measured numerics at ``time_ns``, None where unknown, one record a second: the one list of them, for the monitor,
    the wire and the exports (whose columns stand in this order, so new ones go to the end).

    Rates per minute, pressures in mmHg, ``sef95`` in Hz, ``bsr`` 0–1, ``emg_db`` in dB above 0.0001 µV² within
    ``emg_band``. ``abp_map`` is the mean of a measured pressure also where it has no pulse, down to 0; systolic and
    diastolic are unknown then.
    """

    time_ns: int
    hr: float | None = None
    hr_source: str = ""
    pulse_rate: float | None = None
    abp_sys: float | None = None
    abp_dia: float | None = None
    abp_map: float | None = None
    resp_rate: float | None = None
    sef95: float | None = None
    bsr: float | None = None
    resp_source: str = ""
    rppg_delay_s: float | None = None
    emg_db: float | None = None
    emg_band: str = ""


NUMERICS: tuple[str, ...] = tuple(
    name for name in VitalsRecord.__struct_fields__ if name not in (*Record.__struct_fields__, "time_ns")
)
"""Names of the numerics, sources and bands with them, in order."""


class ArrhythmiaCall(msgspec.Struct, frozen=True, array_like=True):
    """An arrhythmia that holds now, see :mod:`streams.alarms.arrhythmia`. verdict: what the other sensors make of it,
    "confirmed", "unopposed" or "contradicted", for the ``reason`` (a clause). value: its rate per minute or length in
    seconds, None where it has none."""

    key: str
    verdict: str
    reason: str
    value: float | None = None


class RhythmRecord(Record, frozen=True, tag="rhythm"):
    """What the sensors say about the circulation in the second before ``time_ns``, one record a second.

    rhythm: a ``Rhythm`` value of :mod:`models.signals.findings`. pulse: a ``Pulse`` value by pulse channel ("" is not
    known). overdue: channels whose next pulse is late. calls: the arrhythmias that hold."""

    time_ns: int
    rhythm: str
    pulse: dict[str, str]
    overdue: list[str] = []
    calls: list[ArrhythmiaCall] = []


class BeatRecord(Record, frozen=True, tag="beat"):
    """A detected beat (for the beat tone and the heart symbol)."""

    time_ns: int
    source: str


class RestoredChunk(msgspec.Struct, frozen=True, array_like=True):
    """A restored wave's newest hop, see :class:`models.runtime.prediction.RestoredWave`; float32 bytes."""

    modality: str
    rate_hz: int
    first_index: int
    data: bytes
    lo: bytes
    hi: bytes


class PredictionRecord(Record, frozen=True, tag="prediction"):
    """One window's prediction. Intervals are (value, lo, hi). ``stamps_ns``: stage -> monotonic nanoseconds
    (``due``, ``received``, ``window``, ``inference_start``, ``inference_end``, ``published``), on the clock of ``host``
    as in a tick. service: as in :class:`models.runtime.guard.Service`. abstain: no risk is given, for the ``reason``;
    estimates do not depend on it.
    """

    window_end_ns: int
    model: str
    backend: str
    modalities: list[str]
    presence: list[list[bool]]
    ages_s: list[float | None]
    valid: bool
    abstain: bool
    reason: str
    risk: dict[str, tuple[float, float, float]]
    depth: tuple[float, float, float] | None = None
    pressures: dict[str, tuple[float, float, float]] | None = None
    restored: list[RestoredChunk] = []
    not_estimable: dict[str, str] = {}
    stamps_ns: dict[str, int] = {}
    service: str = ""
    host: str = ""
    clock_ns: int = 0


class AlarmRecord(Record, frozen=True, tag="alarm"):
    """An alarm condition that began, changed or ended. priority: high, medium, low; kind: physiological, technical.

    text: with the worst value and the limit. now: the present value, "" where there is none. reason: what the other
    sensors say of it, in a clause. A record in which only ``now`` differs renews what is on show and is no event."""

    time_ns: int
    key: str
    priority: str
    kind: str
    text: str
    active: bool
    reason: str = ""
    now: str = ""


class CommandRecord(Record, frozen=True, tag="command"):
    """An operator's action. name: drop, restore, pause, resume, seek, speed, step, acknowledge."""

    id: str
    operator: str
    time_ns: int
    name: str
    args: dict[str, str | float] = {}


class DeadLetter(Record, frozen=True, tag="deadletter"):
    """A message that could not be used: where, why, and at most 1 KiB of it (no sample data)."""

    topic: str
    partition: int
    offset: int
    reason: str
    size: int
    head: bytes = b""


class Numbers(msgspec.Struct, frozen=True, array_like=True):
    """An array, little-endian: float32 where that holds each of its values exactly, else (``wide``) float64. NaN where
    unknown."""

    data: bytes
    wide: bool = False


class DelayPast(msgspec.Struct, frozen=True, array_like=True):
    """A delay that is followed, see :class:`models.signals.delays.DelayTrack`; None before the first."""

    delay_s: float | None
    evidence: tuple[float, float]
    weight_s: int
    since_s: int
    missed_s: int
    confirmed: bool


class ChannelPast(msgspec.Struct, frozen=True, array_like=True):
    """Of one channel, see :class:`models.signals.bed_memory.ChannelState`: a byte a cell, 1 if a model may read it;
    followed: second, level, last level out of reach and seconds of settling. None where unknown."""

    modality: str
    lead: int
    cells: bytes
    zero: float
    followed: tuple[int, float | None, float, int] | None
    lowest: float | None
    highest: float | None
    level: float | None


class ChoicePast(msgspec.Struct, frozen=True, array_like=True):
    """Who serves among several leads, see :class:`models.signals.leads.Runs`; seconds by lead."""

    serving: int
    beating: dict[int, int]
    measured: dict[int, int]
    poor_s: int
    refuted: dict[int, int]


class UsualPast(msgspec.Struct, frozen=True, array_like=True):
    """What is usual for a heart, see :class:`streams.alarms.arrhythmia_usual.UsualState`; of the complex shape, height,
    interval and steadiness. None where it is not known."""

    called: list[int]
    learnt_at: int
    pulse: dict[str, tuple[int, float]]
    shape: tuple[Numbers, float, float, float] | None


class SignalsPast(msgspec.Struct, frozen=True):
    """What a windower knows of a bed and samples of the last minutes do not tell. The context, see
    :class:`models.signals.context.ContextState`, as of the cells before ``second``: of each of ``modalities`` its
    levels, rows and ends. choices: by modality with several leads. pulseless: modalities whose pulse was lost."""

    second: int
    modalities: list[str]
    levels: list[Numbers]
    delays_s: Numbers
    rows: Numbers
    ends_s: Numbers
    tracks: dict[str, DelayPast]
    channels: list[ChannelPast]
    choices: dict[str, ChoicePast]
    pulseless: list[str]
    usual: UsualPast


class ModelPast(msgspec.Struct, frozen=True):
    """What a model remembers of a bed, see :class:`models.runtime.memory.EngineMemory`; tokens [shape]."""

    model: str
    shape: tuple[int, int] = (0, 0)
    tokens: Numbers | None = None
    form: float | None = None
    look: tuple[float, float] | None = None


class StandingPast(msgspec.Struct, frozen=True, array_like=True):
    """A limit that is violated: since when, the worst value so far, and when a value was last known."""

    since_ns: int
    worst: float
    known_ns: int


class AlarmsPast(msgspec.Struct, frozen=True):
    """What the alarms of a bed hang on and may be older than the last minutes: the limits that are violated, the worst
    risk of the run that goes on, and what sensors said of a lost pulse before they fell silent
    (:class:`streams.alarms.circulation.LastSaid`); values of Rhythm and Pulse."""

    standing: dict[str, StandingPast] = {}
    worst_risk: float = 0.0
    rhythm: str = ""
    pulse: dict[str, str] = {}
    abp_mean: float | None = None


class MemoryRecord(Record, frozen=True, tag="memory"):
    """For who takes over the bed: what was known of it once tick ``tick_seq`` was handled, and all windows that closed
    until then predicted. ``time_ns``: the event time reached. Each part comes for itself; that of the alarms knows no
    ticks and is of ``time_ns``."""

    time_ns: int
    tick_seq: int
    signals: SignalsPast | None = None
    model: ModelPast | None = None
    alarms: AlarmsPast | None = None


AnyRecord = (
    BedRecord
    | StatusRecord
    | WaveTick
    | StateRecord
    | CellRecord
    | VitalsRecord
    | RhythmRecord
    | BeatRecord
    | PredictionRecord
    | AlarmRecord
    | MemoryRecord
    | CommandRecord
    | DeadLetter
)
