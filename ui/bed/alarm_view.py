"""The alarm area: which alarms stand in its three fixed fields, in which order and phase of the flash. Pure.

IEC 60601-1-8: high priority red at 1.4-2.8 Hz, medium yellow at 0.4-0.8 Hz, low steady; technical conditions apart from
physiological ones. Nothing takes turns: a field shows as many as it has room for, worst first and always the newest,
and counts the rest; the text is the same in both phases of the flash. Times are the screen's own (monotonic seconds).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from models.signals.modalities import Modality
from streams.records import AlarmRecord
from ui.style.theme import PRIORITIES, AlarmStyle

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
    "abp": (Modality.ABP,),
    "ppg": (Modality.PPG,),
    "resp": (Modality.RESP,),
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """A standing alarm, since when (seconds of event time), and whether the operator has seen it."""

    record: AlarmRecord
    since_s: float
    acknowledged: bool = False

    @property
    def words(self) -> str:
        """The text with its stars, where it has none of its own."""
        text = self.record.text
        stars = STARS.get(self.record.priority, "") if self.record.kind == "physiological" else ""
        return text if text.startswith("*") else stars + text

    @property
    def now(self) -> str:
        """ "now 38", the value of this moment; empty where it has none."""
        now = self.record.now
        return now if not now or now.startswith("now") else f"now {now}"


@dataclass(frozen=True, slots=True)
class AlarmField:
    """One field: its alarms in order with the phase of the flash of each, and how many others have no room. ``held``:
    what it says is not live."""

    name: str
    alarms: tuple[Alarm, ...] = ()
    lit: tuple[bool, ...] = ()
    more: int = 0
    held: bool = False


class AlarmBook:
    """Folds the alarm records of one bed: what stands, since when, and what was acknowledged."""

    KEPT = 256

    def __init__(self) -> None:
        self._alarms: dict[str, Alarm] = {}

    def clear(self) -> None:
        """Nothing stands any more, and nothing was seen."""
        self._alarms = {}

    def __len__(self) -> int:
        return len(self._alarms)

    def apply(self, record: AlarmRecord) -> None:
        """An ended alarm is gone at once. One that gets worse must be acknowledged anew."""
        if not record.active:
            self._alarms.pop(record.key, None)
            return
        known = self._alarms.get(record.key)
        if known is None:
            self._alarms[record.key] = Alarm(record, record.time_ns / 1e9)
        else:
            worse = _severity(record) < _severity(known.record)
            self._alarms[record.key] = Alarm(record, known.since_s, known.acknowledged and not worse)
        while len(self._alarms) > self.KEPT:
            del self._alarms[max(self._alarms, key=lambda key: _order(self._alarms[key]))]

    def acknowledge(self) -> int:
        """Acknowledge all that stands; returns how many."""
        self._alarms = {key: replace(alarm, acknowledged=True) for key, alarm in self._alarms.items()}
        return len(self._alarms)

    @property
    def standing(self) -> tuple[Alarm, ...]:
        """All of them, worst first."""
        return tuple(sorted(self._alarms.values(), key=_order))


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


def fields(standing: Iterable[Alarm], now_s: float, style: AlarmStyle, live: bool = True) -> tuple[AlarmField, ...]:
    """The three fields; ``standing`` worst first."""
    alarms = tuple(standing)
    out = []
    for name in FIELDS:
        mine = tuple(alarm for alarm in alarms if field_of(alarm.record) == name)
        shown = mine[: ROOM[name]]
        if len(mine) > len(shown):
            newest = max(mine, key=lambda alarm: alarm.since_s)
            if newest.since_s > max(alarm.since_s for alarm in shown):
                shown = (*shown[:-1], newest)
        phases = tuple(lit(alarm.record.priority, now_s, style) for alarm in shown)
        out.append(AlarmField(name, shown, phases, len(mine) - len(shown), not live))
    return tuple(out)


def lit(priority: str, now_s: float, style: AlarmStyle) -> bool:
    """Whether alarms of a priority are in the lit phase of their flash."""
    rate = {"high": style.flash_high_hz, "medium": style.flash_medium_hz}.get(priority, 0.0)
    return rate == 0.0 or (now_s * rate) % 1.0 < style.duty


def sounding(standing: Iterable[Alarm]) -> str:
    """The highest priority among alarms that nobody has acknowledged, "" for none."""
    loud = {alarm.record.priority for alarm in standing if not alarm.acknowledged}
    return next((priority for priority in PRIORITIES if priority in loud), "")


def colours(alarm: Alarm, lit: bool, held: bool, style: AlarmStyle) -> tuple[str, str]:
    """Background and text of an alarm in one phase. ``held``: not live, hence steady as if it were acknowledged."""
    own = style.colours.get(alarm.record.priority, style.colours["low"])
    if held or alarm.acknowledged:
        return own.held, own.held_ink
    return (own.lit if lit else own.dark), own.ink


def alarm_of(lane: Modality, standing: Iterable[Alarm], has_resp: bool) -> Alarm | None:
    """The worst physiological alarm about a lane's number (a respiratory rate without a row stands in the ECG's)."""
    for alarm in standing:
        about = _LANES.get(alarm.record.key.split(".")[0], ())
        if Modality.RESP in about and not has_resp:
            about = (Modality.ECG,)
        if lane in about and alarm.record.kind == "physiological":
            return alarm
    return None
