"""One bed for the tests of the pipeline: its waves, how they are sent, what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Cell, Chunk, PipelineOutput
from models.signals.windows import Window, WindowSpec
from tests.signals.waves import beat_times, brain, ecg, pulse

M = Modality
SPEC = WindowSpec(frame_s=3, frames=4)
SECOND = 1_000_000_000
RATES = {M.ECG: 500.0, M.ABP: 125.0, M.PPG: 62.5, M.EEG: 128.0, M.RESP: 62.5}


def bed_waves(seconds: int, seed: int = 0) -> dict[Modality, np.ndarray]:
    """One bed at its native rates, float32."""
    rng = np.random.default_rng(seed)
    times = beat_times(rng.uniform(50, 110), seconds, first_s=0.3)
    grid_t = np.arange(seconds * 100) / 100
    waves = {
        M.ECG: ecg(times, seconds, noise=0.02),
        M.ABP: pulse(times + 0.2, seconds, 55.0, 105.0),
        M.PPG: pulse(times + 0.35, seconds, 0.0, 1.0),
        M.EEG: brain(seconds, 20.0, seed=seed + 100),
        M.RESP: np.sin(2 * np.pi * grid_t / 4.0),
    }
    return {
        m: np.interp(np.arange(int(seconds * RATES[m])) / RATES[m], grid_t, w).astype(np.float32)
        for m, w in waves.items()
    }


@dataclass
class Collected:
    cells: list[Cell]
    windows: list[Window]
    closed_at: dict[int, int]  # window end -> number of the push that brought it

    @classmethod
    def empty(cls) -> Collected:
        return cls([], [], {})

    def add(self, output: PipelineOutput, push: int) -> None:
        self.cells += output.cells
        self.windows += output.windows
        self.closed_at.update({w.end_s: push for w in output.windows})


def chunks_between(
    waves: dict[Modality, np.ndarray], start_s: float, end_s: float, origin_ns: int = 0, rates: dict | None = None
) -> list[Chunk]:
    out = []
    for modality, wave in waves.items():
        rate = (rates or RATES)[modality]
        lo, hi = (int(np.ceil((t - origin_ns * 1e-9) * rate - 1e-6)) for t in (start_s, end_s))
        lo, hi = max(lo, 0), min(hi, len(wave))
        if hi > lo:
            out.append(Chunk(modality, rate, origin_ns, lo, wave[lo:hi]))
    return out


def stream(
    waves: dict[Modality, np.ndarray], seconds: float, tick_s: float, connected: Sequence[Modality] | None = None
) -> Collected:
    pipeline = BedPipeline(SPEC, connected or list(waves))
    found = Collected.empty()
    for k in range(round(seconds / tick_s)):
        a, b = k * tick_s, (k + 1) * tick_s
        found.add(pipeline.push(chunks_between(waves, a, b), round(a * 1e9), round(b * 1e9)), k)
    found.add(pipeline.finish(round(seconds * 1e9)), -1)
    return found


def assert_same(a: Window, b: Window) -> None:
    assert a.end_s == b.end_s
    for name in ("signals", "presence", "cells", "context"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), f"{name} of the window at {a.end_s} s"


def assert_all_same(found: Collected, expected: Collected) -> None:
    assert found.cells == expected.cells
    assert len(found.windows) == len(expected.windows)
    for a, b in zip(found.windows, expected.windows, strict=True):
        assert_same(a, b)
