"""All measured numerics of one bed, once a second, from the common grid: pure, clock-free, bounded.

Only measured cells enter: what the sensor said in a second that was not measured (a rail, a movement, an electrode
that was off) is missing to every numeric, as if it had never come; but for the power of muscle, which is an artefact.
Of the measured ones only what may be counted: no rate from an ECG whose rhythm holds no beats, none from a channel
without a pulse. What is not known is None, never an old number. The least that each numeric needs:

* rates of heart and pulse: three unbroken intervals, the last beat at most 4 s ago (:mod:`streams.vitals.heart`);
* pressures: two valid beats and half of all in 12 s; a mean without beats: 90 % of its 1 to 3 s (``pressure``);
* respiration: the last 20 s without a gap of more than 1 s, or twelve unbroken beats over 20 s (``respiration``);
* means of other lines: 4 s without a break (``lines``); end-tidal CO2: a whole breath in the last 15 s (``capnogram``);
* apnoea: a second of RESP or CO2 that counts (``apnoea``), and no rate of breaths after 15 s of it;
* spectral edge: half of the last 30 s, burst suppression of the last 60, muscle of the last 10 (``eeg``);
* openibis, the second opinion on depth: half of the last 30 s and of the last 63 (:mod:`models.signals.openibis`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.depth_opinion import MUSCLE_DB
from models.signals.eeg_rate import RATE_HZ as DEPTH_RATE_HZ
from models.signals.eeg_rate import At128Hz
from models.signals.findings import PULSE_CHANNELS, Findings, Pulse, Rhythm
from models.signals.found_beats import FoundBeats
from models.signals.modalities import BREATHS, GRID_RATE_HZ, LINE_PRESSURES, Modality
from models.signals.openibis import Openibis
from streams.records import VitalsRecord
from streams.vitals.apnoea import ApnoeaWatch
from streams.vitals.capnogram import HELD_S, end_tidal
from streams.vitals.capnogram import SPAN_S as CAPNOGRAM_SPAN_S
from streams.vitals.eeg import SUPPRESSION_SPAN_S, MuscleMeter, spectral_edge, suppression_ratio
from streams.vitals.heart import BeatTrain, auto_rate
from streams.vitals.lines import SPAN_S as LINE_SPAN_S
from streams.vitals.lines import mean_pressure
from streams.vitals.pressure import PressureTrain
from streams.vitals.respiration import SPAN_S as RESPIRATION_SPAN_S
from streams.vitals.respiration import rate_of_modulation, rate_of_signal

Grid = Callable[[Modality, int, int], npt.NDArray[np.float32]]
Native = Callable[[Modality, int], tuple[npt.NDArray[np.float32], float]]

BLOCK_S = 10
"""Length of the block that beats are sought in: four beats at 24/min, and cheap enough for each second."""

MEMORY_S = max(BLOCK_S, RESPIRATION_SPAN_S, SUPPRESSION_SPAN_S)
"""How far back a numeric looks, and so how long it is remembered which cells were measured."""

PULSES_AGREE = 0.15  # of the rate
NO_RATE_S = HELD_S
"""Without a breath for so long nobody breathes at a rate, whatever pulse and ECG seem to say."""


class Vitals(VitalsRecord, frozen=True, kw_only=True, tag="unaddressed vitals"):
    """The numerics at ``second``, before it is said whose. ``beats``: new beats of the heart-rate source since the last
    update, (event time in seconds, source), for the beat tone."""

    second: int
    beats: list[tuple[float, str]] = msgspec.field(default_factory=list)
    bed: str = ""
    session: str = ""
    epoch: int = 0
    time_ns: int = 0


class VitalsMonitor:
    """Feed it each completed second in turn; a jump in ``second`` (seek, restart) begins anew."""

    def __init__(self) -> None:
        self._second: int | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new epoch."""
        self._second = None
        self._cells = {m: np.zeros(MEMORY_S, dtype=np.bool_) for m in Modality}
        self._trains = {
            Modality.ECG: BeatTrain(before_s=0.05, after_s=0.05),
            Modality.ABP: BeatTrain(before_s=0.20, after_s=0.25),
            Modality.PPG: BeatTrain(before_s=0.20, after_s=0.30),
        }
        self._pressure = PressureTrain()
        self._muscle = MuscleMeter()
        self.forget_eeg()
        self._pulseless: set[Modality] = set()
        self._apnoea = ApnoeaWatch()

    @property
    def pulseless(self) -> frozenset[Modality]:
        """Channels whose pulse was lost and has not been seen since, however long ago."""
        return frozenset(self._pulseless)

    def restore_pulseless(self, modalities: Collection[Modality]) -> None:
        """Know of these channels that their pulse is lost, and of the others that it is not."""
        self._pulseless = set(modalities)

    def forget_eeg(self) -> None:
        """Another lead of the EEG serves from the next second on."""
        self._eeg, self._openibis = At128Hz(), Openibis()

    def update(
        self,
        second: int,
        grid: Grid,
        measured: Mapping[Modality, bool],
        findings: Findings,
        cells: Mapping[Modality, Absence | None] | None = None,
        native: Native | None = None,
        rppg_delay_s: float | None = None,
        beats: Mapping[Modality, FoundBeats] | None = None,
    ) -> Vitals:
        """The numerics at event time ``second``.

        grid(modality, first_g, last_g): samples first_g … last_g − 1 of the 100-Hz grid (sample g at g · 10 ms), NaN
        where missing; everything below ``second`` · 100 must be there. measured: whether each modality's state is
        *measured* now; one that is not listed is not. findings: of the second that has just ended. cells: why the cell
        that has just ended was not measured, None where it was; if not given, those were that are now. native(modality,
        cell): its samples as they came and their rate in Hz, for the power of muscle and openibis, unknown without.
        rppg_delay_s: of the cell that has just ended, as the model is told it; said while beats of both may be counted.
        beats: those that were found in the last ten seconds; where these were not measured throughout they are sought
        anew, in what was.
        """
        if cells is None:
            cells = {m: None for m, now in measured.items() if now}
        if self._second is not None and second != self._second + 1:
            self.reset()
        self._second = second
        for modality, remembered in self._cells.items():
            remembered[second % MEMORY_S] = cells.get(modality, Absence.NOT_CONNECTED) is None

        def block(modality: Modality, span_s: int) -> npt.NDArray[np.float32]:
            """The last ``span_s`` seconds, NaN where they were not measured."""
            values = grid(modality, (second - span_s) * GRID_RATE_HZ, second * GRID_RATE_HZ)
            counts = self._cells[modality][np.arange(second - span_s + 1, second + 1) % MEMORY_S]
            return np.where(np.repeat(counts, GRID_RATE_HZ), values, np.float32(np.nan))

        def found_in(modality: Modality, values: npt.NDArray[np.float32]) -> FoundBeats:
            known = beats.get(modality) if beats is not None else None
            return known if known is not None and known.are_of(values) else FoundBeats.of(modality, values)

        blocks = {m: block(m, BLOCK_S) for m in self._trains if measured.get(m, False)}
        nothing = np.empty(0, dtype=np.float32)
        self._pulseless = {m for m in PULSE_CHANNELS if _lost(findings.pulse_of(m), m in self._pulseless)}
        countable = {m: found_in(m, values) for m, values in blocks.items() if self._countable(m, findings)}
        new = {m: train.update(second, countable.get(m)) for m, train in self._trains.items()}
        pressures = self._pressure.update(
            second,
            blocks.get(Modality.ABP, nothing),
            Modality.ABP in blocks,
            pulseless=findings.pulse_of(Modality.ABP) is Pulse.NONE,
            found=countable.get(Modality.ABP),
        )

        known = {m: t for m, t in self._trains.items() if m in countable}
        hr, source = auto_rate(known, second)
        pulse = _pulse_rate(known, second)
        apnoea_s = self._apnoea.update(
            second,
            {m: grid(m, (second - 1) * GRID_RATE_HZ, second * GRID_RATE_HZ) for m in BREATHS},
            cells,
            hr if source is Modality.ECG else pulse,
        )
        resp, resp_source = self._respiration(second, block, measured, known)
        if apnoea_s is not None and apnoea_s > NO_RATE_S:
            resp, resp_source = None, ""  # its 20 to 40 s hold the breaths of before
        means = {m: mean_pressure(block(m, LINE_SPAN_S)) for m in LINE_PRESSURES if measured.get(m, False)}
        gas = end_tidal(block(Modality.CO2, CAPNOGRAM_SPAN_S)) if measured.get(Modality.CO2, False) else None
        muscle = None
        if cells.get(Modality.EEG, Absence.NOT_CONNECTED) in (None, Absence.ARTEFACT):  # muscle makes artefacts
            if native is not None:
                self._muscle.update(second, *native(Modality.EEG, second - 1))
            muscle = self._muscle.read(second)
        self._listen(second, cells.get(Modality.EEG, Absence.NOT_CONNECTED) is None, native)
        sef95 = bsr = openibis = None
        if measured.get(Modality.EEG, False):
            eeg = block(Modality.EEG, SUPPRESSION_SPAN_S)
            sef95, bsr, openibis = spectral_edge(eeg), suppression_ratio(eeg), self._openibis.index
        return Vitals(
            second=second,
            hr=hr,
            hr_source=source.value if source else "",
            pulse_rate=pulse,
            abp_sys=pressures.sys if pressures else None,
            abp_dia=pressures.dia if pressures else None,
            abp_map=pressures.mean if pressures else None,
            resp_rate=resp,
            resp_source=resp_source,
            sef95=sef95,
            bsr=bsr,
            emg_db=muscle[0] if muscle else None,
            emg_band=f"{muscle[1][0]:.0f}–{muscle[1][1]:.0f} Hz" if muscle else "",
            openibis=openibis,
            cvp_mean=means.get(Modality.CVP),
            pap_mean=means.get(Modality.PAP),
            icp_mean=means.get(Modality.ICP),
            etco2_wave=gas,
            apnoea_s=apnoea_s,
            rppg_delay_s=rppg_delay_s if Modality.ECG in known and Modality.PPG in known else None,
            beats=[(b.time_s, source.value) for b in new[source]] if source else [],
        )

    def _listen(self, second: int, measured: bool, native: Native | None) -> None:
        """The second that has just ended goes on to openibis, as missing where it was not measured, or so full of
        muscle that a sleeper would be told to be awake for the half minute that it is remembered."""
        if not measured or native is None:
            self._eeg.reset()
            self._openibis.add(np.full(DEPTH_RATE_HZ, np.nan))
            return
        samples, muscle = self._eeg.second(*native(Modality.EEG, second - 1)), self._muscle.of_second(second)
        self._openibis.add(samples if muscle is None or muscle < MUSCLE_DB else np.full(DEPTH_RATE_HZ, np.nan))

    def _countable(self, modality: Modality, findings: Findings) -> bool:
        """Whether what looks like beats in this channel may be counted."""
        if modality in PULSE_CHANNELS:
            return modality not in self._pulseless
        return findings.rhythm is Rhythm.BEATS

    def _respiration(
        self,
        second: int,
        block: Callable[[Modality, int], npt.NDArray[np.float32]],
        measured: Mapping[Modality, bool],
        known: Mapping[Modality, BeatTrain],
    ) -> tuple[float | None, str]:
        """Rate and where it comes from: the first of the waves of breaths that is measured and says one; ECG and PPG
        (or pressure) where none is measured."""
        waves = [m for m in BREATHS if measured.get(m, False)]
        for wave in waves:
            rate = rate_of_signal(block(wave, RESPIRATION_SPAN_S))
            if rate is not None:
                return rate, wave.value
        if waves:
            return None, ""
        pulse = Modality.PPG if Modality.PPG in known else Modality.ABP
        sources = [m for m in (Modality.ECG, pulse) if m in known]
        ecg = known[Modality.ECG].beats if Modality.ECG in known else ()
        rate = rate_of_modulation(ecg, known[pulse].beats if pulse in known else (), second)
        return rate, "+".join(sources) if rate is not None else ""


def _pulse_rate(known: Mapping[Modality, BeatTrain], second: int) -> float | None:
    """Of the pleth; of the pressure where there is none, or where the two disagree: movement makes pulses in a finger,
    not in an artery."""
    ppg, abp = (known[m].rate(second) if m in known else None for m in (Modality.PPG, Modality.ABP))
    if ppg is None or (abp is not None and abs(ppg - abp) > PULSES_AGREE * abp):
        return abp
    return ppg


def _lost(pulse: Pulse, was_lost: bool) -> bool:
    """A pulse that was lost is back when it is seen, not when it is no longer known to be lost."""
    return pulse is Pulse.NONE or (was_lost and pulse is not Pulse.PRESENT)
