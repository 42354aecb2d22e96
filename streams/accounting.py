"""Every sample counted: what the source sent, what arrived, what was lost, came twice or was withheld.

Samples are counted by index, missing ones (NaN) included, so that ``sent = received + lost`` once all is handled.
The receiver finds losses from the gaps between a channel's indices; what arrives late is taken off again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock

from models.signals.modalities import Modality
from streams.records import CellRecord, WaveTick


@dataclass(slots=True)
class SampleCounts:
    """Samples of one modality. withheld: of those received, the ones that the operator held back."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    duplicated: int = 0
    withheld: int = 0


@dataclass(slots=True)
class _Presence:
    cells: int = 0
    present: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Accounting:
    """Counters of one session. Thread-safe; the source, the stream and the report meet here."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._samples: dict[str, SampleCounts] = {}
        self._presence: dict[str, _Presence] = {}
        self._counts: Counter[str] = Counter()

    def sent(self, tick: WaveTick) -> None:
        """The source hands this tick to the stream."""
        with self._lock:
            self._counts["ticks_sent"] += 1
            if tick.goes_to_ns is None:
                self._counts["streamed_ns"] += tick.end_ns - tick.start_ns
            for chunk in tick.chunks:
                self._of(chunk.modality).sent += len(chunk.data) // 4

    def received(self, modality: str, samples: int, *, withheld: bool) -> None:
        """A modality's samples have reached the windower."""
        with self._lock:
            counts = self._of(modality)
            counts.received += samples
            if withheld:
                counts.withheld += samples

    def lost(self, modality: str, samples: int) -> None:
        """Found missing (negative: a late arrival made good for it)."""
        with self._lock:
            self._of(modality).lost += samples

    def duplicated(self, tick: WaveTick) -> None:
        """The tick had come before."""
        with self._lock:
            self._counts["ticks_duplicated"] += 1
            for chunk in tick.chunks:
                self._of(chunk.modality).duplicated += len(chunk.data) // 4

    def cell(self, record: CellRecord) -> None:
        """Counts presence, and absence by reason, of one second."""
        with self._lock:
            for modality, reason in record.absence.items():
                presence = self._presence.setdefault(modality, _Presence())
                presence.cells += 1
                if reason:
                    presence.reasons[reason] += 1
                else:
                    presence.present += 1

    def count(self, what: str, by: int = 1) -> None:
        """A plain counter: windows, predictions, skipped_windows, dead_letters, ticks_…, clock_jumps, and
        late_samples, early_samples: received, but dated too far from the present to be used."""
        with self._lock:
            self._counts[what] += by

    def counted(self, what: str) -> int:
        """A counter by name; 0 where nothing was counted."""
        with self._lock:
            return self._counts[what]

    @property
    def samples_lost(self) -> int:
        """Samples found missing, over all modalities."""
        with self._lock:
            return sum(max(0, counts.lost) for counts in self._samples.values())

    def samples(self, *, complete: bool) -> dict[str, dict[str, int]]:
        """Counts by modality. complete: every tick sent has been handled, so that what was sent and did not arrive
        is lost, even where no later sample showed the gap."""
        with self._lock:
            return {
                modality: {
                    "sent": counts.sent,
                    "received": counts.received,
                    "lost": counts.sent - counts.received if complete else max(0, counts.lost),
                    "duplicated": counts.duplicated,
                    "withheld": counts.withheld,
                }
                for modality, counts in sorted(self._samples.items(), key=_screen_order)
            }

    def presence(self) -> dict[str, float | None]:
        """Fraction of 1-s cells present, by modality."""
        with self._lock:
            return {
                modality: round(p.present / p.cells, 6) if p.cells else None
                for modality, p in sorted(self._presence.items(), key=_screen_order)
            }

    def cells(self) -> dict[str, int]:
        """Number of 1-s cells by modality, present or not."""
        with self._lock:
            return {modality: p.cells for modality, p in sorted(self._presence.items(), key=_screen_order)}

    def absent_reasons(self) -> dict[str, dict[str, int]]:
        """Number of absent 1-s cells by modality and reason."""
        with self._lock:
            return {modality: dict(p.reasons) for modality, p in sorted(self._presence.items(), key=_screen_order)}

    def _of(self, modality: str) -> SampleCounts:
        return self._samples.setdefault(modality, SampleCounts())


_ORDER = {m.value: i for i, m in enumerate(Modality)}


def _screen_order(item: tuple[str, object]) -> int:
    return _ORDER.get(item[0], len(_ORDER))
