"""A run of a synthetic patient as the recorder's file, with a wall clock that begins when told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from streams.records import AlarmRecord, AnyRecord, BedChannel, BedRecord
from streams.sinks.mcap import Limits, McapSink
from tests.ui.synthetic import NS, TICK_S, FakeSession, Patient

UNIX_S = 1_764_424_800.0
FLUSH_TICKS = 10


class Recorder:
    """Records so many seconds of a patient; a batch each half second, as the recorder's thread does."""

    def __init__(
        self, path: Path, patient: Patient, alarms: Sequence[AlarmRecord] = (), part_s: float = 3600.0
    ) -> None:
        self._patient, self._alarms = patient, list(alarms)
        self._now_ns = round(UNIX_S * NS)
        limits = Limits(part_s=part_s, least_free_bytes=0)
        self.sink = McapSink(path, limits, wall_ns=lambda: self._now_ns)
        self._seq = 0
        self.told: list[tuple[int, AnyRecord]] = []
        self.add([described(patient.bed, patient.leads)])

    def add(self, records: Iterable[AnyRecord]) -> None:
        for record in records:
            self.told.append((self._now_ns, record))
            self.sink.add(record)

    def run_to(self, second: float) -> None:
        while self._seq * TICK_S < second - 1e-9:
            self._now_ns = round((UNIX_S + (self._seq // FLUSH_TICKS + 1) * FLUSH_TICKS * TICK_S) * NS)
            self.add(self._patient.tick(self._seq))
            while self._alarms and self._alarms[0].time_ns <= self._seq * TICK_S * NS:
                self.add([self._alarms.pop(0)])
            self._seq += 1
            if self._seq % FLUSH_TICKS == 0:
                self.sink.flush()

    def pause_to(self, second: float) -> None:
        """The recorder, or the disk, missed what came until then."""
        self._seq = round(second / TICK_S)


def described(bed: str = "Bed 3", leads: tuple[str, ...] = ()) -> BedRecord:
    of = FakeSession(leads=leads).channels
    channels = [BedChannel(c.modality.value, c.label, c.unit, c.rate_hz, c.lead) for c in of]
    return BedRecord(bed=bed, session="s", epoch=0, title="t", channels=channels)


def alarm(
    second: float, text: str, *, active: bool = True, key: str = "hr.high", priority: str = "medium"
) -> AlarmRecord:
    return AlarmRecord(bed="Bed 3", session="s", epoch=0, time_ns=round(second * NS), key=key, priority=priority,
                       kind="physiological", text=text, active=active, now="171" if active else "")  # fmt: skip
