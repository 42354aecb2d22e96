"""Respiration as thoracic impedance: a ventilator's breath, with a trace of the heart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.data.sim.beats import Beats
from models.data.sim.noise import Float64Array, Stream, white
from models.data.sim.physiology import Course


def respiration(times_s: Float64Array, beats: Beats, breath: Float64Array) -> Float64Array:
    """Impedance in arbitrary units (breath of about 2) at physiological ``times_s`` [n]; ``breath`` is in cycles.

    Filled in the first third of a cycle, emptied exponentially; the heart adds a few per cent (cardiogenic artefact).
    """
    phase = 2.0 * np.pi * breath
    wave = np.sin(phase + 0.55 * np.sin(phase))
    if len(beats):
        beat = np.clip(np.searchsorted(beats.r, times_s, side="right") - 1, 0, len(beats) - 1)
        u = np.maximum(times_s - beats.r[beat], 0.0)
        wave = wave + 0.035 * np.sign(beats.amp[beat]) * np.sin(2.0 * np.pi * np.minimum(u / 0.5, 1.0))
    return wave


def held_breath(
    breath: Float64Array, times_s: Float64Array, course: Course, breathless_s: Sequence[tuple[float, float]]
) -> Float64Array:
    """The phase ``breath`` of ``course`` at physiological ``times_s`` [n], in cycles, held within the stretches
    [start, end), in order; after each it goes on from there."""
    held = 0.0
    out = breath
    for start, end in breathless_s:
        rows = course.seconds(start, end)
        seconds = rows.first + np.arange(rows.depth.size, dtype=np.float64)
        before, after = np.interp([start, end], seconds, rows.breath_phase)
        out = np.where(times_s < start, out, np.where(times_s < end, before - held, breath - held - (after - before)))
        held += after - before
    return out


def respiration_sensor(wave: Float64Array, first: int, seed: int) -> Float64Array:
    """The wave [n] as its sensor gives it, with white noise of 0.01."""
    return wave + 0.01 * white(seed, Stream.RESP_WHITE, first, wave.size)
