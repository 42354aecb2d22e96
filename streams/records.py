"""The wire: typed, versioned messages. One wave message = one bed, one tick, all modalities.

Event time is integer nanoseconds from the recording's time zero. Stamps are monotonic nanoseconds of one host.
Identity of a tick is (bed, session, epoch, tick_seq); a seek, restart or clock jump begins a new epoch.
What a field may hold is its type (:mod:`streams.fields`). Encoding, and what hangs on several fields at once, lives in
:mod:`streams.codec`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from streams.fields import (
    MAX_ARGUMENTS,
    MAX_CHUNKS,
    MAX_EVENTS,
    MAX_GAPS,
    MAX_HEAD,
    MAX_LEADS,
    MAX_NUMBERS,
    CommandName,
    Count,
    Finite,
    GridIndex,
    GridRateHz,
    Index,
    Kind,
    Lead,
    MaybeModality,
    MaybeName,
    Missed,
    ModalityName,
    Name,
    Priority,
    PulseName,
    RateHz,
    RhythmName,
    Role,
    Second,
    Seconds,
    StateName,
    Text,
    TimeNs,
    Verdict,
    at_most,
)
from streams.limit_settings import Settings
from streams.pasts import AlarmsPast, ModelPast, SignalsPast

WIRE_VERSION = 1

TOPICS = ("beds", "waves", "vitals", "predictions", "alarms", "commands", "deadletters")


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", omit_defaults=True):
    """Base of every message: which bed, which run, which epoch."""

    v: int = WIRE_VERSION
    bed: Name
    session: Name
    epoch: Count


class StatusRecord(Record, frozen=True, tag="status"):
    """How a role is, said for each of its beds once a second and whenever something changes.

    role: "source" or "worker". Of a source: where it is and how fast, as in :class:`streams.control.SessionStatus`; of
    a worker: what runs the model. counts: as in :class:`streams.accounting.Accounting`, of the whole role.
    """

    role: Role
    position_s: Finite = 0.0
    speed: Finite | None = 1.0
    achieved_speed: Finite | None = None
    paused: bool = False
    ended: bool = False
    dropped: list[ModalityName] = []
    backend: Text = ""
    backend_detail: Text = ""
    precision: Text = ""
    model: Text = ""
    service: Text = ""
    notes: Annotated[list[Text], at_most(MAX_CHUNKS, "a status has notes,")] = []
    preparing: Text = ""
    counts: Annotated[dict[str, int], at_most(MAX_CHUNKS, "a status has counts,")] = {}


class WaveChunk(msgspec.Struct, frozen=True, array_like=True):
    """Samples of one channel: sample ``first_index + i`` lies at ``origin_ns + (first_index + i) · 1e9 / rate_hz``.

    ``data`` is little-endian float32 in the modality's canonical unit, NaN where missing. ``withheld`` chunks carry
    the truth of a dropped channel for comparison only: windower and display treat the channel as absent. ``lead``:
    which of several leads of the modality, 0 for the preferred one.
    """

    modality: ModalityName
    label: MaybeName
    rate_hz: RateHz
    origin_ns: TimeNs
    first_index: Index
    data: bytes
    withheld: bool = False
    lead: Lead = 0


class DeviceNumber(msgspec.Struct, frozen=True, array_like=True):
    """What a device has measured itself, told at ``time_ns``, in the unit of its kind
    (:mod:`models.signals.device_numerics`; one that is not known here is left aside). value: None where the device had
    none. since_ns: when it was measured, None where nobody knows."""

    name: Name
    time_ns: TimeNs
    value: Finite | None
    since_ns: TimeNs | None = None


class WaveTick(Record, frozen=True, tag="wave"):
    """All samples with ``start_ns <= time < end_ns``. Empty ticks are sent. ``eos`` ends the bed's stream.

    ``due_ns`` is the monotonic time at which the tick's last sample was due (0 at speed max) on the clock of ``host``,
    where the wall clock is ahead of it by ``clock_ns`` (:mod:`streams.host`); "" is the host that reads it.
    ``goes_to_ns``: the moment that was sought, on the ticks of before it (:mod:`streams.preroll`); else None.
    ``numbers``: what the device measured itself, told within the tick; from time to time, and in the first tick of an
    epoch, also what it had told before.
    """

    tick_seq: Count
    start_ns: TimeNs
    end_ns: TimeNs
    due_ns: TimeNs = 0
    chunks: Annotated[list[WaveChunk], at_most(MAX_CHUNKS, "a tick has channels,")] = []
    eos: bool = False
    host: MaybeName = ""
    clock_ns: TimeNs = 0
    goes_to_ns: TimeNs | None = None
    numbers: Annotated[list[DeviceNumber], at_most(MAX_NUMBERS, "a tick has numbers of a device,")] = []


class BedChannel(msgspec.Struct, frozen=True, array_like=True):
    """A channel that a bed's source sends: modality, the recording's or device's label for it, canonical unit, native
    rate in Hz, and which of several leads of the modality it is (0: the preferred one)."""

    modality: ModalityName
    label: MaybeName
    unit: MaybeName
    rate_hz: RateHz
    lead: Lead = 0


class BedRecord(Record, frozen=True, tag="bed"):
    """What a source says of its bed before the first tick, and again whenever it changes; the newest one counts.

    title: for the screen; no patient data. channels: in the order of the screen. gaps_s: stretches [start, end)
    without data, seconds of event time, by modality. seekable: a recording, which can be paused, sought and played at
    another speed; a live device cannot. start_ns, end_ns: event time that it has; end None: open, nobody knows yet.
    zero_unix_ns: the wall clock at event time zero, None where nobody knows. events: the recording's own annotations,
    seconds of event time and text, in order.
    """

    title: Text
    channels: Annotated[list[BedChannel], at_most(MAX_CHUNKS, "a bed has channels,")]
    gaps_s: dict[ModalityName, Annotated[list[tuple[Finite, Finite]], at_most(MAX_GAPS, "a modality lists gaps,")]] = {}
    seekable: bool = False
    start_ns: TimeNs = 0
    end_ns: TimeNs | None = None
    zero_unix_ns: TimeNs | None = None
    events: Annotated[list[tuple[Finite, Text]], at_most(MAX_EVENTS, "a bed lists events,")] = []


def tick_identity(tick: WaveTick) -> tuple[str, str, int, int]:
    """(bed, session, epoch, tick_seq): what makes two deliveries the same tick."""
    return tick.bed, tick.session, tick.epoch, tick.tick_seq


class LeadState(msgspec.Struct, frozen=True, array_like=True):
    """One of several leads of a modality. absence: "" where it could serve, else an ``Absence`` value."""

    lead: Lead
    label: MaybeName
    absence: StateName


Leads = Annotated[
    list[LeadState],
    msgspec.Meta(min_length=1, max_length=MAX_LEADS, description=f"a modality has 1 to {MAX_LEADS} leads"),
]


class StateRecord(Record, frozen=True, tag="state"):
    """State of every modality from ``time_ns`` on: "" while measured, else an ``Absence`` value. Sent on change
    and once a second. leads: of a modality with several, what each one's newest cell says, the one that serves first:
    ``state`` is that one's. goes_to_ns: as of the tick that it is of."""

    time_ns: TimeNs
    state: dict[ModalityName, StateName]
    leads: dict[ModalityName, Leads] = {}
    goes_to_ns: TimeNs | None = None


class CellRecord(Record, frozen=True, tag="cell"):
    """Presence of the 1-s cell ``[second, second + 1)``: "" if present, else an ``Absence`` value, by modality."""

    second: Second
    absence: dict[ModalityName, StateName]


class VitalsRecord(Record, frozen=True, tag="vitals"):
    """Measured numerics at ``time_ns``, None where unknown, one record a second: the one list of them, for the monitor,
    the wire and the exports (whose columns stand in this order, so new ones go to the end).

    Rates per minute, pressures in mmHg, ``sef95`` in Hz, ``bsr`` 0–1, ``emg_db`` in dB above 0.0001 µV² within
    ``emg_band``, ``openibis`` 0–100: depth of anaesthesia by a published rule, not BIS
    (:mod:`models.signals.openibis`). ``spo2`` (%), ``nibp_*`` (cuff), ``temp_c``, ``etco2`` (mmHg) and ``bis`` are the
    device's own (:mod:`streams.vitals.device`), ``nibp_age_s`` the age of the cuff's, None where nobody knows.
    ``abp_map`` is the mean of a measured pressure also where it has no pulse, down to 0; systolic and diastolic are
    unknown then. ``cvp_mean``, ``pap_mean``, ``icp_mean``: of the last seconds (:mod:`streams.vitals.lines`).
    ``etco2_wave``: the highest CO2 of the newest breath, in mmHg (:mod:`streams.vitals.capnogram`). ``apnoea_s``:
    seconds since the last breath that RESP or CO2 showed (:mod:`streams.vitals.apnoea`), small in who breathes.
    """

    time_ns: TimeNs
    hr: Finite | None = None
    hr_source: MaybeName = ""
    pulse_rate: Finite | None = None
    abp_sys: Finite | None = None
    abp_dia: Finite | None = None
    abp_map: Finite | None = None
    resp_rate: Finite | None = None
    sef95: Finite | None = None
    bsr: Finite | None = None
    resp_source: MaybeName = ""
    rppg_delay_s: Finite | None = None
    emg_db: Finite | None = None
    emg_band: MaybeName = ""
    openibis: Finite | None = None
    spo2: Finite | None = None
    nibp_sys: Finite | None = None
    nibp_dia: Finite | None = None
    nibp_map: Finite | None = None
    nibp_age_s: Finite | None = None
    temp_c: Finite | None = None
    etco2: Finite | None = None
    bis: Finite | None = None
    cvp_mean: Finite | None = None
    pap_mean: Finite | None = None
    icp_mean: Finite | None = None
    etco2_wave: Finite | None = None
    apnoea_s: Finite | None = None


NUMERICS: tuple[str, ...] = tuple(
    name for name in VitalsRecord.__struct_fields__ if name not in (*Record.__struct_fields__, "time_ns")
)
"""Names of the numerics, sources and bands with them, in order."""
DEVICE_NUMERICS: tuple[str, ...] = NUMERICS[NUMERICS.index("spo2") : NUMERICS.index("bis") + 1]
"""Those that a device measured itself."""


class ArrhythmiaCall(msgspec.Struct, frozen=True, array_like=True):
    """An arrhythmia that holds now, see :mod:`streams.alarms.arrhythmia`. verdict: what the other sensors make of it,
    "confirmed", "unopposed" or "contradicted", for the ``reason`` (a clause). value: its rate per minute or length in
    seconds, None where it has none."""

    key: Name
    verdict: Verdict
    reason: Text
    value: Finite | None = None


class RhythmRecord(Record, frozen=True, tag="rhythm"):
    """What the sensors say about the circulation in the second before ``time_ns``, one record a second.

    rhythm: a ``Rhythm`` value of :mod:`models.signals.findings`. pulse: a ``Pulse`` value by pulse channel ("" is not
    known). overdue: channels whose next pulse is late. calls: the arrhythmias that hold."""

    time_ns: TimeNs
    rhythm: RhythmName
    pulse: dict[ModalityName, PulseName]
    overdue: list[ModalityName] = []
    calls: Annotated[list[ArrhythmiaCall], at_most(MAX_CHUNKS, "a second has arrhythmias,")] = []


class BeatRecord(Record, frozen=True, tag="beat"):
    """A detected beat (for the beat tone and the heart symbol)."""

    time_ns: TimeNs
    source: MaybeName


class RestoredChunk(msgspec.Struct, frozen=True, array_like=True):
    """A restored wave's newest hop, after ``amends`` samples that amend the one before, see
    :class:`models.runtime.prediction.RestoredWave`; float32 bytes."""

    modality: ModalityName
    rate_hz: GridRateHz
    first_index: GridIndex
    data: bytes
    lo: bytes
    hi: bytes
    amends: GridIndex = 0


Interval = tuple[Finite, Finite, Finite]
"""A value, and between what it may lie: (value, lo, hi)."""


class PredictionRecord(Record, frozen=True, tag="prediction"):
    """One window's prediction. ``stamps_ns``: stage -> monotonic nanoseconds
    (``due``, ``received``, ``window``, ``inference_start``, ``inference_end``, ``published``), on the clock of ``host``
    as in a tick. service: as in :class:`models.runtime.guard.Service`. abstain: no risk is given, for the ``reason``;
    estimates do not depend on it. missed: "late" where it came too late to be valid, "skipped" where the model had no
    time for the window at all, for the ``reason``: neither says anything about the patient now. Each window that was
    cut has a record, in order of time.
    """

    window_end_ns: TimeNs
    model: Text
    backend: Text
    modalities: Annotated[list[ModalityName], at_most(MAX_CHUNKS, "a window has modalities,")]
    presence: list[list[bool]]
    ages_s: list[Finite | None]
    valid: bool
    abstain: bool
    reason: Text
    risk: dict[str, Interval]
    depth: Interval | None = None
    pressures: dict[str, Interval] | None = None
    restored: Annotated[list[RestoredChunk], at_most(MAX_CHUNKS, "a window has restored waves,")] = []
    not_estimable: dict[ModalityName, str] = {}
    stamps_ns: dict[str, TimeNs] = {}
    service: str = ""
    host: MaybeName = ""
    clock_ns: TimeNs = 0
    missed: Missed = ""


class LeftOutRow(msgspec.Struct, frozen=True, array_like=True):
    """What would be said of a window without one of its sensors. without: "" is with all that are there. reason: why
    there is no row at all (it is not there). no_risk, no_map, no_depth: why that is not given; "measured" of a mean
    pressure that needs no estimate. risk: by horizon in minutes; map_mmhg, depth: the estimate."""

    without: MaybeModality
    reason: Text = ""
    risk: Annotated[dict[str, Interval], at_most(MAX_ARGUMENTS, "a row has horizons,")] = {}
    no_risk: Text = ""
    map_mmhg: Interval | None = None
    no_map: Text = ""
    depth: Interval | None = None
    no_depth: Text = ""


class ExplainRecord(Record, frozen=True, tag="explain"):
    """The answer to a command "explain": what each sensor is worth to what is said of the window that ended at
    ``window_end_ns``, as if it had been lost for all of its ``window_s``. rows: the first with all sensors; none where
    there is no answer, for the ``reason``. asked_ns: event time of the command."""

    window_end_ns: TimeNs
    asked_ns: TimeNs
    window_s: Seconds = 0
    model: Text = ""
    backend: Text = ""
    rows: Annotated[list[LeftOutRow], at_most(MAX_CHUNKS, "an explanation has rows,")] = []
    reason: Text = ""


class AlarmRecord(Record, frozen=True, tag="alarm"):
    """An alarm condition that began, changed or ended. priority: high, medium, low; kind: physiological, technical.

    text: with the worst value and the limit. now: the present value, "" where there is none. reason: what the other
    sensors say of it, in a clause. since_ns: when it began, None where that is not told. A record in which only ``now``
    differs renews what is on show and is no event."""

    time_ns: TimeNs
    key: Name
    priority: Priority
    kind: Kind
    text: Text
    active: bool
    reason: Text = ""
    now: Text = ""
    since_ns: TimeNs | None = None


class LimitsRecord(Record, frozen=True, tag="limits"):
    """The limits by which the alarms of the bed are judged from ``time_ns`` on; said with the first second of an epoch,
    on change, and now and then for displays that came later. set_by: the operator, "" while nobody has set any."""

    time_ns: TimeNs
    limits: Settings
    set_by: MaybeName = ""


class CommandRecord(Record, frozen=True, tag="command"):
    """An operator's action. limits: of the command "limits", all that are to hold from now on."""

    id: Name
    operator: MaybeName
    time_ns: TimeNs
    name: CommandName
    args: Annotated[dict[str, Text | Finite], at_most(MAX_ARGUMENTS, "a command has arguments,")] = {}
    limits: Settings = []


class DeadLetter(Record, frozen=True, tag="deadletter"):
    """A message that could not be used: where, why, and at most 1 KiB of it (no sample data)."""

    topic: MaybeName
    partition: int
    offset: int
    reason: Text
    size: int
    head: Annotated[bytes, at_most(MAX_HEAD, "a dead letter has bytes of its message,")] = b""


class MemoryRecord(Record, frozen=True, tag="memory"):
    """For who takes over the bed: what was known of it once tick ``tick_seq`` was handled, and all windows that closed
    until then predicted. ``time_ns``: the event time reached. Each part comes for itself; that of the alarms knows no
    ticks and is of ``time_ns``."""

    time_ns: TimeNs
    tick_seq: Count
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
    | ExplainRecord
    | AlarmRecord
    | LimitsRecord
    | MemoryRecord
    | CommandRecord
    | DeadLetter
)
