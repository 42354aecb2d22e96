"""The alarm area: which alarms stand in its three fixed fields, in which order and phase of the flash. Pure.

IEC 60601-1-8: high priority red at 1.4-2.8 Hz, medium yellow at 0.4-0.8 Hz, low steady; technical conditions apart from
physiological ones. Nothing takes turns: a field shows as many as it has room for, worst first and always the newest,
and counts the rest; the text is the same in both phases of the flash. Times are the screen's own (monotonic seconds).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace

from models.signals.modalities import BREATHS, Modality
from streams.limit_settings import LimitSetting
from streams.records import AlarmRecord
from ui.bed.alarm_words import now_said, reason_said, text_said
from ui.bed.latching import latches
from ui.style.language import tr
from ui.style.theme import PRIORITIES, AlarmStyle
from ui.style.words import clock_words

STARS = {"high": "*** ", "medium": "** ", "low": "* "}
FIELDS = ("high", "medium", "technical")
"""Of high priority whatever its kind; the other physiological ones; the other technical ones."""
ROOM = {"high": 4, "medium": 2, "technical": 2}

_RANK = (
    "asystole",
    "vfib",
    "no_pulse",
    "vtach",
    "abp.no_pulse",
    "abp.disconnect",
    "brady.extreme",
    "tachy.extreme",
    "apnoea.high",
)
"""Of alarms of one priority, worst first; what is not listed (limits, risk) comes after, newest first."""
NO_CIRCULATION = frozenset({"asystole", "vfib", "no_pulse"})

_LANES: dict[str, tuple[Modality, ...]] = {
    # key of an alarm up to its first dot: whose number flashes with it
    "hr": (Modality.ECG,),
    "asystole": (Modality.ECG,),
    "brady": (Modality.ECG,),
    "tachy": (Modality.ECG,),
    "vtach": (Modality.ECG,),
    "vfib": (Modality.ECG,),
    "no_pulse": (Modality.ABP, Modality.PPG),
    "map": (Modality.ABP,),
    "sys": (Modality.ABP,),
    "dia": (Modality.ABP,),
    "pr": (Modality.PPG,),
    "abp": (Modality.ABP,),
    "ppg": (Modality.PPG,),
    "resp": (Modality.RESP,),
    "apnoea": (Modality.RESP,),
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm, since when (seconds of event time), and whether the operator has seen it. ended_s: None while its
    condition holds; one that latches says when that ended until it has been seen."""

    record: AlarmRecord
    since_s: float
    acknowledged: bool = False
    ended_s: float | None = None

    @property
    def words(self) -> str:
        """The text with its stars, where it has none of its own."""
        text = self._starred(self.record.text)
        return text if self.ended_s is None else f"{text} — ended {clock_words(self.ended_s)}"

    @property
    def said(self) -> str:
        """:attr:`words` in the language that is spoken: for the screen; what is kept has those in English."""
        text = self.record.text
        own = text[: len(text) - len(text.lstrip("* "))]
        text = self._starred(own + text_said(text.lstrip("* ")))
        if self.ended_s is None:
            return text
        return tr("{alarm} — ended {time}", alarm=text, time=clock_words(self.ended_s))

    @property
    def why(self) -> str:
        """What the other sensors say of it, in the language that is spoken; empty where nothing is said."""
        return reason_said(self.record.reason) if self.record.reason else ""

    def _starred(self, text: str) -> str:
        stars = STARS.get(self.record.priority, "") if self.record.kind == "physiological" else ""
        return text if text.startswith("*") else stars + text

    @property
    def quiet(self) -> bool:
        """Whether it neither flashes nor sounds: seen, or over."""
        return self.acknowledged or self.ended_s is not None

    @property
    def now(self) -> str:
        """ "now 38", the value of this moment; empty where it has none."""
        now = self.record.now
        return now if not now or now.startswith("now") else tr("now {value}", value=now_said(now))


@dataclass(frozen=True, slots=True)
class AlarmField:
    """One field: its alarms in order with the phase of the flash of each, and how many others have no room. ``held``:
    what it says is not live. ``still``: it does not flash, since alarms are paused or off."""

    name: str
    alarms: tuple[Alarm, ...] = ()
    lit: tuple[bool, ...] = ()
    more: int = 0
    held: bool = False
    still: bool = False


class AlarmBook:
    """Folds the alarm records of one bed: what stands, since when, what was acknowledged, and what has ended and not
    been seen. seen: acknowledged already (key -> since, event time in seconds), before this display began, or by
    another one."""

    KEPT = 256

    def __init__(self, seen: Mapping[str, float] | None = None) -> None:
        self._alarms: dict[str, Alarm] = {}
        self._ended: dict[str, Alarm] = {}
        self._seen = dict(seen or {})
        self._sorted: tuple[tuple[Alarm, ...], tuple[Alarm, ...]] | None = None

    def __len__(self) -> int:
        return len(self._alarms)

    def apply(self, record: AlarmRecord, settings: Iterable[LimitSetting] = ()) -> None:
        """An ended alarm is gone at once, unless it latches (by ``settings``, where it is of a limit) and nobody has
        seen it. One that gets worse must be acknowledged anew."""
        self._sorted = None
        known = self._alarms.pop(record.key, None)
        if not record.active:
            if known is not None and not known.acknowledged and latches(known.record, settings):
                self._ended[record.key] = replace(known, ended_s=record.time_ns / 1e9)
            return
        self._ended.pop(record.key, None)
        if known is None:
            since_s = (record.time_ns if record.since_ns is None else record.since_ns) / 1e9
            self._alarms[record.key] = Alarm(record, since_s, _same(self._seen.pop(record.key, None), since_s))
        else:
            worse = _severity(record) < _severity(known.record)
            self._alarms[record.key] = Alarm(record, known.since_s, known.acknowledged and not worse)
        while len(self._alarms) > self.KEPT:
            del self._alarms[max(self._alarms, key=lambda key: _order(self._alarms[key]))]

    def acknowledge(self, keys: Collection[str] | None = None) -> dict[str, float]:
        """Acknowledge what stands and what has ended unseen, all of it or some; those for which it is new, and since
        when (seconds of event time) they stood."""
        new: dict[str, float] = {}
        for alarms in (self._alarms, self._ended):
            for key, alarm in alarms.items():
                if not alarm.acknowledged and (keys is None or key in keys):
                    new[key] = alarm.since_s
        for key, since_s in new.items():
            self.see(key, since_s)
        return new

    def see(self, key: str, since_s: float) -> None:
        """The alarm of ``key`` that began at ``since_s`` has been seen, here or elsewhere."""
        self._sorted = None
        ended, alarm = self._ended.get(key), self._alarms.get(key)
        if ended is not None and _same(since_s, ended.since_s):
            del self._ended[key]
        if alarm is not None and _same(since_s, alarm.since_s):
            self._alarms[key] = replace(alarm, acknowledged=True)
        elif alarm is None and ended is None and len(self._seen) < self.KEPT:
            self._seen[key] = since_s  # it is told of in a moment

    @property
    def standing(self) -> tuple[Alarm, ...]:
        """All whose condition holds, worst first."""
        return self._in_order()[0]

    @property
    def unseen(self) -> tuple[Alarm, ...]:
        """Those that have ended and nobody has seen, worst first."""
        return self._in_order()[1]

    def _in_order(self) -> tuple[tuple[Alarm, ...], tuple[Alarm, ...]]:
        """Read many times a frame, sorted when something has changed."""
        if self._sorted is None:
            standing, unseen = (tuple(sorted(a.values(), key=_order)) for a in (self._alarms, self._ended))
            self._sorted = standing, unseen
        return self._sorted

    @property
    def shown(self) -> tuple[Alarm, ...]:
        """All that the alarm area shows: what stands before what has ended."""
        return self.standing + self.unseen


def _same(since_s: float | None, other_s: float) -> bool:
    return since_s is not None and abs(since_s - other_s) < 1e-3


def _severity(record: AlarmRecord) -> int:
    return PRIORITIES.index(record.priority) if record.priority in PRIORITIES else len(PRIORITIES)


def _order(alarm: Alarm) -> tuple[int, bool, int, float, str]:
    key = alarm.record.key
    rank = _RANK.index(key) if key in _RANK else len(_RANK)
    return _severity(alarm.record), alarm.record.kind == "technical", rank, -alarm.since_s, key


def field_of(record: AlarmRecord) -> str:
    """Which of ``FIELDS`` the alarm stands in."""
    if record.priority == "high":
        return "high"
    return "technical" if record.kind == "technical" else "medium"


def fields(
    shown: Iterable[Alarm], now_s: float, style: AlarmStyle, live: bool = True, still: bool = False
) -> tuple[AlarmField, ...]:
    """The three fields; ``shown``: what stands, worst first, then what has ended. ``still``: nothing flashes."""
    alarms = tuple(shown)
    out = []
    for name in FIELDS:
        mine = tuple(alarm for alarm in alarms if field_of(alarm.record) == name)
        room = mine[: ROOM[name]]
        if len(mine) > len(room):
            newest = max(mine, key=lambda alarm: (alarm.ended_s is None, alarm.since_s))
            if newest not in room:
                room = (*room[:-1], newest)
        phases = tuple(still or lit(alarm.record.priority, now_s, style) for alarm in room)
        out.append(AlarmField(name, room, phases, len(mine) - len(room), not live, still))
    return tuple(out)


def lit(priority: str, now_s: float, style: AlarmStyle) -> bool:
    """Whether alarms of a priority are in the lit phase of their flash."""
    rate = {"high": style.flash_high_hz, "medium": style.flash_medium_hz}.get(priority, 0.0)
    return rate == 0.0 or (now_s * rate) % 1.0 < style.duty


def colours(alarm: Alarm, lit: bool, held: bool, style: AlarmStyle, still: bool = False) -> tuple[str, str]:
    """Background and text of an alarm in one phase. ``held``: not live, hence steady as if it were acknowledged.
    ``still``: alarms are paused or off, which leaves high ones their colour."""
    own = style.colours.get(alarm.record.priority, style.colours["low"])
    if held or alarm.quiet or (still and alarm.record.priority != "high"):
        return own.held, own.held_ink
    return (own.lit if lit else own.dark), own.ink


def alarm_of_number(name: str, standing: Iterable[Alarm]) -> Alarm | None:
    """The worst alarm about a number that no lane has."""
    about = (alarm for alarm in standing if alarm.record.key.split(".")[0] == name and alarm.ended_s is None)
    return next(about, None)


def breaths_row(rows: Container[Modality]) -> Modality:
    """In which of the rows there are the respiratory rate stands: that of the ECG where no wave of breaths has one."""
    return next((modality for modality in BREATHS if modality in rows), Modality.ECG)


def alarm_of(lane: Modality, standing: Iterable[Alarm], breaths: Modality) -> Alarm | None:
    """The worst physiological alarm about a lane's number. breaths: :func:`breaths_row`."""
    for alarm in standing:
        about = _LANES.get(alarm.record.key.split(".")[0], ())
        if Modality.RESP in about:
            about = (breaths,)
        if lane in about and alarm.record.kind == "physiological" and alarm.ended_s is None:
            return alarm
    return None
