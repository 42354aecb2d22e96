"""A recording as another set of devices would have shown it: what a network must not learn by heart of a hospital.

Delays between the channels of one monitor differ by 0 to 0.5 s between devices, and are constant within one; a set of
recordings from one hospital has nearly one value (PPG behind ABP by 0.28 s, quartiles 0.25 and 0.30, in UCI's part of
MIMIC-II). So training hears each recording again, later in ABP and PPG, through a further catheter and a further
high-pass, with other gains and a transducer that is levelled otherwise. The patient, and what is absent, stay the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.data.sim.pulse import catheter_kernel, highpass_kernel
from models.data.sim.subject import Device, draw_device
from models.signals.modalities import Modality
from models.signals.recording import FloatArray, Recording, Segment, Track, TrackKind

LATER_S = 0.25
"""At most so much later than in the recording, whose own delay is in it already."""


class OtherDevice:
    """``recording`` (not owned: the caller closes it) through devices drawn by ``seed``.

    tracks: modality of each wave track that is heard otherwise; the others are left as they are.
    """

    def __init__(self, recording: Recording, tracks: dict[str, Modality], seed: int) -> None:
        rng = np.random.default_rng([seed, 0xDE71CE])
        self.device: Device = draw_device(rng, "train")
        self.later_s = {Modality.ABP: float(rng.uniform(0, LATER_S)), Modality.PPG: float(rng.uniform(0, LATER_S))}
        self._recording, self._modality = recording, tracks
        self._heard: dict[str, FloatArray] = {}
        self.name, self.duration_s = recording.name, recording.duration_s + max(self.later_s.values())
        self.tracks: tuple[Track, ...] = tuple(
            replace(t, start_s=t.start_s + self._later(t.name), gaps_s=self._gaps(t)) for t in recording.tracks
        )
        self._track = {t.name: t for t in recording.tracks if t.kind is TrackKind.WAVE}

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        """As :meth:`models.signals.recording.Recording.read`."""
        later = self._later(track)
        segment = self._recording.read(track, start_s - later, end_s - later)
        if track not in self._modality or not len(segment.values):
            return segment
        if track not in self._heard:
            own = self._track[track]
            whole = self._recording.read(track, own.start_s, own.end_s)
            self._heard[track] = self._through(self._modality[track], whole.values, own.rate_hz or 1.0)
            assert whole.first_index == 0
        return Segment(
            segment.first_index, self._heard[track][segment.first_index : segment.first_index + len(segment.values)]
        )

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """As in the recording: a monitor's numerics lag by seconds anyway."""
        return self._recording.numerics(track)

    def events(self) -> list[tuple[float, str]]:
        """As in the recording."""
        return self._recording.events()

    def close(self) -> None:
        """Nothing: the recording is the caller's."""

    def _later(self, track: str) -> float:
        return self.later_s.get(self._modality[track], 0.0) if track in self._modality else 0.0

    def _gaps(self, track: Track) -> tuple[tuple[float, float], ...]:
        later = self._later(track.name)
        return tuple((start + later, end + later) for start, end in track.gaps_s)

    def _through(self, modality: Modality, values: FloatArray, rate_hz: float) -> FloatArray:
        d = self.device
        if modality is Modality.ABP:
            wave = filtered(values, catheter_kernel(rate_hz, d.abp_natural_hz, d.abp_damping))
            return (wave + np.float32(d.abp_offset_mmhg)).astype(np.float32)
        if modality is Modality.PPG:
            level = np.float32(np.nanmedian(values)) if np.isfinite(values).any() else np.float32(0)
            wave = filtered(values - level, highpass_kernel(rate_hz, d.ppg_highpass_hz))
            return (wave + level).astype(np.float32)
        if modality is Modality.ECG:
            return (values * np.float32(d.ecg_gain * d.ecg_polarity)).astype(np.float32)
        return values


def filtered(values: FloatArray, kernel: npt.NDArray[np.float64]) -> FloatArray:
    """``values`` [n] through a causal FIR; what is missing stays missing, and is as the last sample before it to the
    filter (as the first of all before the recording)."""
    known = np.isfinite(values)
    if not known.any():
        return values
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    held = values[np.where(last < 0, int(known.argmax()), last)].astype(np.float64)
    padded = np.concatenate([np.full(len(kernel) - 1, held[0]), held])
    size = 1 << (len(padded) + len(kernel) - 2).bit_length()
    out = np.fft.irfft(np.fft.rfft(padded, size) * np.fft.rfft(kernel, size), size)[len(kernel) - 1 : len(padded)]
    return np.where(known, out, np.nan).astype(np.float32)
