"""The beat-triggered template: a modality's own last beats, averaged, drawn again wherever another sensor shows a beat.

It is what a device without any learning could do: rhythm from a sensor that works, shape and delay as last measured.
Pulses (ABP, PPG) are stretched from upstroke to upstroke, the QRS keeps its width; ABP is lifted to the MAP of the
delay regression. EEG has no beats and is held.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.batches.group import Group
from models.evaluation.lost_windows import BATCH, LostWindows, anchored_pressure, bedside
from models.physiome import PhysioME
from models.signals.beats import r_peaks, upstrokes
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.windows import CONTEXT_FIELDS

PHASES = 48
_QRS_S = 0.35
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
BEATING = (Modality.ECG, Modality.ABP, Modality.PPG)

Floats = npt.NDArray[np.float64]


def beats_of(modality: Modality, wave: npt.NDArray[np.float32]) -> Floats:
    """R peaks or upstrokes in seconds from the window's start."""
    found = r_peaks(wave) if modality is Modality.ECG else upstrokes(wave, kind=modality.value)  # type: ignore[arg-type]
    return np.asarray(found, np.float64) / GRID_RATE_HZ


def average_beat(modality: Modality, wave: npt.NDArray[np.float32], beats_s: Floats) -> Floats | None:
    """The mean beat: pulses over ``PHASES`` phases from upstroke to upstroke, ECG over ±0.35 s about R and less its
    median; None with fewer than three beats."""
    if len(beats_s) < 3:
        return None
    at = np.arange(len(wave)) / GRID_RATE_HZ
    if modality is Modality.ECG:
        inside = beats_s[(beats_s > _QRS_S) & (beats_s < at[-1] - _QRS_S)]
        if not len(inside):
            return None
        steps = np.arange(-_QRS_S, _QRS_S, 1 / GRID_RATE_HZ)
        complex_: Floats = np.interp(inside[:, None] + steps, at, wave - np.median(wave)).mean(0)
        return complex_
    phase = (np.arange(PHASES) + 0.5) / PHASES
    period = np.diff(beats_s)
    usual = (period > 0.5 * np.median(period)) & (period < 1.5 * np.median(period))
    beat: Floats = np.interp(beats_s[:-1][usual, None] + phase * period[usual, None], at, wave).mean(0)
    return beat


def drawn(modality: Modality, beat: Floats, beats_s: Floats, samples: int) -> npt.NDArray[np.float32]:
    """A wave [samples] with ``beat`` at each time; before the first and after the last pulse at the usual period."""
    at = np.arange(samples) / GRID_RATE_HZ
    if modality is Modality.ECG:
        wave = np.zeros(samples)
        steps = np.arange(-_QRS_S, _QRS_S, 1 / GRID_RATE_HZ)
        for t in beats_s:
            wave += np.interp(at - t, steps[: len(beat)], beat, left=0.0, right=0.0)
        return wave.astype(np.float32)
    if len(beats_s) < 2:
        return np.full(samples, beat.mean(), np.float32)
    period = float(np.median(np.diff(beats_s)))
    before = np.arange(beats_s[0] - period, -2 * period, -period)[::-1]
    after = np.arange(beats_s[-1] + period, at[-1] + 2 * period, period)
    marks = np.concatenate([before, beats_s, after])
    beat_number = np.interp(at, marks, np.arange(len(marks)))
    return np.interp(beat_number % 1.0, (np.arange(PHASES) + 0.5) / PHASES, beat, period=1.0).astype(np.float32)


class TemplateTokens:
    """Encodes templates with the frozen encoders; waves and beats of a group are looked up once."""

    def __init__(self, model: PhysioME, group: Group) -> None:
        self._model, self.group = model, group
        self.modalities, self.samples = bedside(model), model.config.samples
        self._beats: dict[tuple[int, int], Floats] = {}
        self._shapes: dict[tuple[int, int], Floats | None] = {}
        self._others: dict[int, TemplateTokens] = {}

    def of(self, group: Group) -> TemplateTokens:
        """The same for another group (kept)."""
        if group is self.group:
            return self
        return self._others.setdefault(id(group), TemplateTokens(self._model, group))

    def beats(self, row: int, m: int) -> Floats:
        """Beats of modality ``m`` in the complete window ``row``, in seconds."""
        if (row, m) not in self._beats:
            wave = self.group.dataset.signals(np.array([row]))[0, m]
            self._beats[row, m] = beats_of(self.modalities[m], wave)
        return self._beats[row, m]

    def _shape(self, row: int, m: int) -> Floats | None:
        if (row, m) not in self._shapes:
            wave = self.group.dataset.signals(np.array([row]))[0, m]
            self._shapes[row, m] = average_beat(self.modalities[m], wave, self.beats(row, m))
        return self._shapes[row, m]

    def wave(self, lost: LostWindows, i: int, m: int, mean: float) -> npt.NDArray[np.float32] | None:
        """The template of modality ``m`` in window ``i`` [L]; None without a last window or a sensor with beats.
        mean: MAP in mmHg that an ABP is lifted to, NaN leaves it as it was."""
        modalities = self.modalities
        donor = int(lost.before_row[i, m])
        modality = modalities[m]
        if donor < 0 or modality not in BEATING:
            return None
        times = self.times(lost, i, m)
        shape = self._shape(donor, m)
        if times is None or shape is None or len(times) < 2:
            return None
        wave = drawn(modality, shape, times, self.samples)
        if modality is Modality.ABP and np.isfinite(mean):
            wave = wave + np.float32(mean - shape.mean())
        return wave

    def times(self, lost: LostWindows, i: int, m: int) -> Floats | None:
        """When modality ``m`` beats, by the first of ECG, ABP, PPG that the whole window shows, and by the delays as
        last measured."""
        modalities = self.modalities
        context = lost.context[i].double().numpy()
        delay = {x: context[k, _C["own_delay_s"]] for k, x in enumerate(modalities)}
        delay[Modality.ECG] = 0.0
        for source in BEATING:
            k = modalities.index(source) if source in modalities else m
            if k == m or not bool(lost.presence[i, k].all()):
                continue
            ahead = delay[modalities[m]] - delay[source]
            if np.isfinite(ahead):
                beats_s: Floats = self.beats(int(lost.rows[i]), k) + ahead
                return beats_s
        return None

    @torch.no_grad()
    def __call__(self, lost: LostWindows) -> Tensor:
        """Tokens [B, M, N, d]: hold where there is no template."""
        out = lost.before.clone()
        modalities = self.modalities
        _, level, _ = anchored_pressure(lost.context, modalities)
        for m, modality in enumerate(modalities):
            if modality not in BEATING:
                continue
            at, waves = [], []
            for i in np.flatnonzero(~lost.presence[:, m].all(-1).numpy()):
                wave = self.wave(lost, int(i), m, float(level[i]))
                if wave is not None:
                    at.append(int(i))
                    waves.append(wave)
            for first in range(0, len(at), BATCH):
                rows = torch.tensor(at[first : first + BATCH])
                signals = torch.zeros(len(rows), len(modalities), self.samples)
                signals[:, m] = torch.from_numpy(np.stack(waves[first : first + BATCH]))
                full = torch.ones(len(rows), len(modalities), self._model.config.frames, dtype=torch.bool)
                scaled, _ = self._model.scaling(signals, full, lost.context[rows])
                encoder = self._model.encoders[m]
                tokens, _ = encoder(encoder.features(scaled[:, m]), full[:, m])  # type: ignore[operator]
                out[rows, m] = tokens
        return out
