"""A bed from its waves to its alarms, without Faust: windower and alarm engine, sensors that are lost, seeks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.alarms import AlarmEngine
from streams.codec import decode, encode, samples_to_bytes
from streams.records import AlarmRecord, RhythmRecord, StateRecord, VitalsRecord, WaveChunk, WaveTick
from streams.windower import BedWindower
from tests.signals.waves import RATE, beat_times, ecg, pulse

S = 1_000_000_000
ECG, ABP, PPG = Modality.ECG, Modality.ABP, Modality.PPG
Signals = Mapping[Modality, np.ndarray]
Spans = Mapping[Modality, tuple[float, float]]


@dataclass
class Bedside:
    """Plays waves of 100 Hz in ticks; knows which alarms stood at the end of every second. standby: second leads."""

    signals: Signals
    tick_s: float = 0.25
    changes: list[tuple[float, AlarmRecord]] = field(default_factory=list)
    standing: dict[str, AlarmRecord] = field(default_factory=dict)
    at: dict[tuple[int, int], dict[str, AlarmRecord]] = field(default_factory=dict)
    vitals: list[VitalsRecord] = field(default_factory=list)
    standby: Signals = field(default_factory=dict)
    states: list[StateRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.accounting = Accounting()
        self._windower, self._engine = BedWindower(WindowSpec(frames=3), self.accounting), AlarmEngine()

    def play(
        self, from_s: float, to_s: float, epoch: int = 0, withheld: Spans | None = None, gone: Spans | None = None,
        received_ns: int = 0, goes_on: bool = False,
    ) -> Bedside:  # fmt: skip
        """``withheld``: dropped by the operator in these seconds; ``gone``: no samples come; ``goes_on``: the ticks of
        an epoch that has been played up to here."""
        samples = round(self.tick_s * RATE)
        told = round(from_s * RATE) // samples if goes_on else 0
        for sequence, first in enumerate(range(round(from_s * RATE), round(to_s * RATE), samples), told):
            chunks = [
                WaveChunk(m.value, m.value, float(RATE), 0, first, samples_to_bytes(x[first : first + samples]),
                          withheld=_within(withheld, m, first))
                for m, x in self.signals.items() if not _within(gone, m, first)
            ]  # fmt: skip
            chunks += [
                WaveChunk(m.value, "V5", float(RATE), 0, first, samples_to_bytes(x[first : first + samples]),
                          withheld=_within(withheld, m, first), lead=1)
                for m, x in self.standby.items()
            ]  # fmt: skip
            end_ns = (first + samples) * S // RATE
            tick = WaveTick(
                bed="a", session="s", epoch=epoch, tick_seq=sequence, start_ns=first * S // RATE, end_ns=end_ns,
                chunks=chunks,
            )  # fmt: skip
            for sent in self._windower.handle(tick, received_ns).records:
                self._hear(decode(encode(sent)), end_ns / S)
            if end_ns % S == 0:
                self.at[epoch, end_ns // S] = dict(self.standing)
        return self

    def copied(self) -> Bedside:
        """One more bed that has seen the same; the counts of samples (with their lock) stay common."""
        return deepcopy(self, {id(self.accounting): self.accounting})

    def _hear(self, record: object, at_s: float) -> None:
        found: list[AlarmRecord] = []
        if isinstance(record, StateRecord):
            self.states.append(record)
            found = self._engine.on_state(record)
        elif isinstance(record, VitalsRecord):
            self.vitals.append(record)
            found = self._engine.on_vitals(record)
        elif isinstance(record, RhythmRecord):
            found = self._engine.on_rhythm(record)
        for change in found:
            self.changes.append((at_s, change))
            if change.active:
                self.standing[change.key] = change
            else:
                del self.standing[change.key]

    def first(self, key: str, priority: str = "", epoch: int = 0) -> float:
        """When the alarm was first heard, at ``priority`` if one is given; inf if never."""
        heard = [
            at
            for at, alarm in self.changes
            if (alarm.key, alarm.epoch) == (key, epoch) and alarm.active and priority in ("", alarm.priority)
        ]
        return heard[0] if heard else float("inf")

    def keys(self, second: int, epoch: int = 0) -> set[str]:
        """What stands at the end of a second."""
        return set(self.at[epoch, second])

    def red(self, second: int, epoch: int = 0) -> set[str]:
        """The physiological alarms of high priority that stand at the end of a second."""
        return {
            key
            for key, a in self.at[epoch, second].items()
            if (a.priority, a.kind) == ("high", "physiological")
        }  # fmt: skip

    def physiological(self) -> set[str]:
        """Keys of all physiological alarms that were ever heard."""
        return {alarm.key for _, alarm in self.changes if alarm.kind == "physiological"}


def _within(spans: Spans | None, modality: Modality, sample: int) -> bool:
    first, last = (spans or {}).get(modality, (0.0, 0.0))
    return first * RATE <= sample < last * RATE


# -- patients -------------------------------------------------------------------------------------------------------


def fibrillation(seconds: float, seed: int = 0) -> np.ndarray:
    """Mains-free ventricular fibrillation: 0.5 mV, about 5 Hz, wandering."""
    generator = np.random.default_rng(seed)
    slow = np.cumsum(generator.standard_normal((2, round(seconds * RATE))), axis=1) / np.sqrt(RATE)
    phase = np.cumsum(2 * np.pi * (5.0 + np.tanh(slow[0])) / RATE)
    return 0.5 * (1.0 + 0.3 * np.tanh(slow[1])) * np.sin(phase)


def noise(seconds: float, sd: float, seed: int = 3) -> np.ndarray:
    return sd * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def well(seconds: int, rate: float = 80.0, low: float = 70.0, high: float = 120.0) -> dict[Modality, np.ndarray]:
    times = beat_times(rate, seconds)
    return {
        ECG: ecg(times, seconds, wander=0.1, noise=0.01),
        ABP: pulse(times + 0.2, seconds, low, high) + noise(seconds, 0.2, 4),
        PPG: pulse(times + 0.3, seconds, 0.0, 1.0, notch=0.1) + noise(seconds, 0.002, 5),
    }


def emptied(wave: np.ndarray, at_s: float, to: float, tau_s: float = 4.0) -> np.ndarray:
    """A pressure whose heart stops at ``at_s``: it runs off to ``to`` mmHg."""
    t = np.arange(len(wave)) / RATE
    level = float(np.mean(wave[round((at_s - 2) * RATE) : round(at_s * RATE)]))
    return np.where(t < at_s, wave, to + (level - to) * np.exp(-np.maximum(t - at_s, 0) / tau_s)) + noise(
        len(wave) / RATE, 0.1, 6
    )


def arrest(kind: str, seconds: int, at_s: float, parts: Sequence[Modality] = (ECG, ABP, PPG)) -> Signals:
    """``kind``: pea, asystole or vfib; well before ``at_s``, no pulse from then on."""
    patient = well(seconds)
    t = np.arange(seconds * RATE) / RATE
    if kind == "asystole":
        patient[ECG] = np.where(t < at_s, patient[ECG], noise(seconds, 0.01))
    elif kind == "vfib":
        patient[ECG] = np.where(t < at_s, patient[ECG], fibrillation(seconds))
    patient[ABP] = emptied(patient[ABP], at_s, 12.0)
    patient[PPG] = np.where(t < at_s, patient[PPG], 0.3 + noise(seconds, 0.002, 7))
    return {m: patient[m].astype(np.float32) for m in parts}
