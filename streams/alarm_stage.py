"""The stage that judges: states, vitals and predictions of each bed into alarms, by the limits in force for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from models.signals.times import SECOND_NS
from streams.alarms import AlarmEngine, limits_from
from streams.limit_settings import DEFAULT_SETTINGS, LimitSetting, checked
from streams.preroll import PrerollAlarms
from streams.records import (
    AlarmRecord,
    AnyRecord,
    CommandRecord,
    LimitsRecord,
    MemoryRecord,
    PredictionRecord,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveTick,
)
from streams.stages import Send, end_of_stream


@dataclass(frozen=True, slots=True)
class LimitsInForce:
    """By which a bed's alarms are judged, and who has set them; "" while nobody has."""

    settings: tuple[LimitSetting, ...] = DEFAULT_SETTINGS
    set_by: str = ""


class AlarmStage:
    """States, vitals, predictions and commands of all beds of this worker: alarm records, and by which limits.

    What an operator has set for a bed holds until somebody sets something else, whoever its patient is; the worker that
    takes the bed over goes on with it.

    renew_s: seconds of event time after which what stands is said again, for displays that came later; None where
    every display was there from the beginning. memory_s: as of :class:`WindowStage`, for what the alarms hang on.
    """

    def __init__(
        self,
        send: Send,
        renew_s: float | None = None,
        make_engine: Callable[[], AlarmEngine] = AlarmEngine,
        memory_s: float | None = None,
    ) -> None:
        self._send, self._make = send, make_engine
        self._renew_ns = None if renew_s is None else round(renew_s * SECOND_NS)
        self._beds: dict[str, AlarmEngine] = {}
        self._prerolls: dict[str, PrerollAlarms] = {}
        self._standing: dict[str, dict[str, AlarmRecord]] = {}
        self._renewed_ns: dict[str, int] = {}
        self._memory_ns = None if memory_s is None else round(memory_s * SECOND_NS)
        self._told_ns: dict[str, int] = {}
        self._ended: dict[tuple[str, str, int], set[str]] = {}
        self._limits: dict[str, LimitsInForce] = {}
        self._ordered: set[str] = set()  # beds of which others' memories are older than the limits here
        self._at: dict[str, StateRecord] = {}  # the newest of each bed

    def forget(self, beds: Iterable[str]) -> None:
        """Drops the state of beds."""
        for bed in beds:
            self._beds.pop(bed, None)
            self._prerolls.pop(bed, None)
            self._standing.pop(bed, None)
            self._renewed_ns.pop(bed, None)
            self._told_ns.pop(bed, None)
            self._limits.pop(bed, None)
            self._ordered.discard(bed)
            self._at.pop(bed, None)

    def standing(self) -> dict[str, int]:
        """How many alarms stand now, by priority; from any thread."""
        return dict(Counter(a.priority for bed in list(self._standing.values()) for a in list(bed.values())))

    async def handle(self, topic: str, record: AnyRecord, warming: bool = False) -> None:
        """Takes a record of any topic; the alarms that it begins, changes or ends go out. warming: it was handled
        before, by another worker, and nothing goes out."""
        engine = self._beds.get(record.bed)
        if isinstance(record, MemoryRecord):
            if warming and record.alarms is not None:
                if record.alarms.limits and record.bed not in self._ordered:
                    self._use(record.bed, LimitsInForce(checked(record.alarms.limits), record.alarms.limits_by))
                if engine is not None:
                    engine.inherit(record, record.time_ns, record.alarms)
            return
        if isinstance(record, CommandRecord):
            if record.name == "limits":
                self._use(record.bed, LimitsInForce(checked(record.limits), record.operator or "operator"))
                self._ordered.add(record.bed)
                self._told_ns.pop(record.bed, None)  # who takes over is told at once
                if (at := self._at.get(record.bed)) is not None:
                    await self._say_limits(at)
            return
        if engine is None:
            engine = self._beds[record.bed] = self._make()
            engine.set_limits(limits_from(self.limits(record.bed).settings))
        preroll = self._prerolls.setdefault(record.bed, PrerollAlarms())
        changes: list[AlarmRecord] = []
        reached: list[AlarmRecord] = []
        if isinstance(record, StateRecord):
            reached = preroll.see(record)
            changes = engine.on_state(record)
        elif isinstance(record, VitalsRecord):
            changes = engine.on_vitals(record)
        elif isinstance(record, RhythmRecord):
            changes = engine.on_rhythm(record)
        elif isinstance(record, PredictionRecord):
            changes = engine.on_prediction(record)
        elif isinstance(record, WaveTick) and record.eos and not warming:
            await self._end(topic, record)
        predicted = isinstance(record, PredictionRecord)
        told = reached + [alarm for change in changes for alarm in preroll.take(change, predicted=predicted)]
        if isinstance(record, PredictionRecord):
            told += preroll.see_window(record)
        for change in changes:
            self._note(change)
        for alarm in told if not warming else ():
            await self._send("alarms", alarm)
        if isinstance(record, StateRecord) and not warming:
            self._ordered.discard(record.bed)  # should it be taken over here again, others have the newer ones
        if isinstance(record, StateRecord):
            before, self._at[record.bed] = self._at.get(record.bed), record
            new = before is None or (before.session, before.epoch) != (record.session, record.epoch)
            if new and not warming:
                await self._say_limits(record)
        if isinstance(record, StateRecord) and not warming and self._renew_ns is not None and not preroll.going:
            await self._renew(record, self._renew_ns, preroll)
        if isinstance(record, StateRecord) and not warming and self._memory_ns is not None:
            await self._tell(record, engine, self._memory_ns)

    def limits(self, bed: str) -> LimitsInForce:
        """By which the alarms of a bed are judged."""
        return self._limits.get(bed, _NOBODYS)

    def _use(self, bed: str, limits: LimitsInForce) -> None:
        self._limits[bed] = limits
        if (engine := self._beds.get(bed)) is not None:
            engine.set_limits(limits_from(limits.settings))

    async def _say_limits(self, at: StateRecord) -> None:
        limits = self.limits(at.bed)
        record = LimitsRecord(
            bed=at.bed,
            session=at.session,
            epoch=at.epoch,
            time_ns=at.time_ns,
            limits=list(limits.settings),
            set_by=limits.set_by,
        )
        await self._send("alarms", record)

    async def _tell(self, record: StateRecord, engine: AlarmEngine, every_ns: int) -> None:
        if abs(record.time_ns - self._told_ns.get(record.bed, record.time_ns - every_ns)) < every_ns:
            return
        self._told_ns[record.bed] = record.time_ns
        alarms, limits = engine.export(), self.limits(record.bed)
        if limits.set_by:
            alarms = replace(alarms, limits=list(limits.settings), limits_by=limits.set_by)
        memory = MemoryRecord(
            bed=record.bed,
            session=record.session,
            epoch=record.epoch,
            time_ns=record.time_ns,
            tick_seq=0,
            alarms=alarms,
        )
        await self._send("vitals", memory)

    def _note(self, change: AlarmRecord) -> None:
        standing = self._standing.setdefault(change.bed, {})
        standing.pop(change.key, None)
        if change.active:
            standing[change.key] = change

    async def _renew(self, record: StateRecord, every_ns: int, preroll: PrerollAlarms) -> None:
        """Say again what stands and was told. What ends meanwhile, by another topic, is not said after its end."""
        if abs(record.time_ns - self._renewed_ns.get(record.bed, record.time_ns - every_ns)) < every_ns:
            return
        self._renewed_ns[record.bed] = record.time_ns
        await self._say_limits(record)
        standing = self._standing.get(record.bed, {})
        for key in list(standing):
            if (alarm := standing.get(key)) is not None and not preroll.keeps(key):
                await self._send("alarms", alarm)

    async def _end(self, topic: str, tick: WaveTick) -> None:
        """The alarms of a bed end when both of the topics that feed them have ended."""
        key = (tick.bed, tick.session, tick.epoch)
        ended = self._ended.setdefault(key, set())
        ended.add(topic)
        if ended >= {"vitals", "predictions"}:
            del self._ended[key]
            await self._send("alarms", end_of_stream(tick, tick.end_ns))


_NOBODYS = LimitsInForce()
