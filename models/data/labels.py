"""Labels from complete signals on the 100-Hz grid: pressures, beats, EEG features, hypotension ahead.

Pure numpy. The hypotension label follows Enevoldsen & Vistisen (Anesthesiology 137:283): every time point counts, none
is left out for its pressure. An event is beat-to-beat MAP < 65 mmHg for at least 60 s; a horizon that the recording
cuts off without an event is unlabelled (NaN).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.beats import abp_beats, r_peaks
from models.signals.modalities import GRID_RATE_HZ

Floats = npt.NDArray[np.float64]

HYPOTENSION_MMHG = 65.0
HYPOTENSION_S = 60.0
HORIZONS_S = (300.0, 600.0, 900.0)
EEG_BANDS_HZ = ((0.5, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 47.0))
EEG_FEATURES = len(EEG_BANDS_HZ) + 2  # and the spectral edge, and the suppression
SUPPRESSION_UV = 5.0
SUPPRESSION_SAMPLES = 50
_BLOCK_S, _OVERLAP_S = 60, 5


@dataclass(frozen=True, slots=True)
class PressureTrack:
    """Beat-to-beat pressures: time of the beat's middle in s, its length in s, MAP, SBP, DBP in mmHg."""

    time_s: Floats
    length_s: Floats
    mean: Floats
    sys: Floats
    dia: Floats


def pressure_track(abp: npt.NDArray[np.float32]) -> PressureTrack:
    """Valid beats of a pressure wave of any length on the 100-Hz grid, NaN where missing; found in blocks."""
    parts = []
    for a in range(0, len(abp), _BLOCK_S * GRID_RATE_HZ):
        first = max(0, a - _OVERLAP_S * GRID_RATE_HZ)
        last = a + (_BLOCK_S + _OVERLAP_S) * GRID_RATE_HZ
        beats = abp_beats(abp[first:last])
        middle = first + 0.5 * (beats.onset + beats.next_onset)
        mine = beats.valid & (middle >= a) & (middle < a + _BLOCK_S * GRID_RATE_HZ)
        parts.append(np.stack([middle, beats.next_onset - beats.onset, beats.map, beats.sys, beats.dia])[:, mine])
    table = np.concatenate(parts, axis=1) if parts else np.empty((5, 0))
    table[:2] /= GRID_RATE_HZ
    return PressureTrack(*table)


def r_times(ecg: npt.NDArray[np.float32]) -> Floats:
    """Times of the R peaks in s of an ECG of any length on the 100-Hz grid."""
    parts = [np.empty(0)]
    for a in range(0, len(ecg), _BLOCK_S * GRID_RATE_HZ):
        first = max(0, a - _OVERLAP_S * GRID_RATE_HZ)
        found = first + r_peaks(ecg[first : a + (_BLOCK_S + _OVERLAP_S) * GRID_RATE_HZ])
        parts.append(found[(found >= a) & (found < a + _BLOCK_S * GRID_RATE_HZ)])
    return np.concatenate(parts) / GRID_RATE_HZ


def frame_pressures(track: PressureTrack, starts_s: Floats, frame_s: float) -> npt.NDArray[np.float32]:
    """MAP, SBP, DBP of frames [start, start + frame_s): mean over the beats whose middle lies in the frame widened by
    half a second on either side, so that slow hearts have one; NaN without a beat. [F] -> [F, 3]."""
    first = np.searchsorted(track.time_s, starts_s - 0.5)
    last = np.searchsorted(track.time_s, starts_s + frame_s + 0.5)
    out = np.full((len(starts_s), 3), np.nan, np.float32)
    some = last > first
    weight = np.concatenate(([0.0], np.cumsum(track.length_s)))
    for column, values in enumerate((track.mean, track.sys, track.dia)):
        total = np.concatenate(([0.0], np.cumsum(values * track.length_s)))
        out[some, column] = ((total[last] - total[first])[some] / (weight[last] - weight[first])[some]).astype(
            np.float32
        )
    return out


def hypotensive_events(track: PressureTrack, gap_s: float = 10.0) -> list[tuple[float, float]]:
    """Stretches [onset, end) in s of MAP < 65 mmHg for at least 60 s; a gap in the beats of over 10 s ends one."""
    low = track.mean < HYPOTENSION_MMHG
    begin, end = track.time_s - 0.5 * track.length_s, track.time_s + 0.5 * track.length_s
    events: list[tuple[float, float]] = []
    start: int | None = None
    for i in range(len(low) + 1):
        joined = i < len(low) and bool(low[i]) and (start is None or begin[i] - end[i - 1] <= gap_s)
        if joined:
            start = i if start is None else start
            continue
        if start is not None and end[i - 1] - begin[start] >= HYPOTENSION_S:
            events.append((float(begin[start]), float(end[i - 1])))
        start = i if i < len(low) and bool(low[i]) else None
    return events


def hypotension_labels(
    events: list[tuple[float, float]], at_s: Floats, known_until_s: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Label of each time and horizon: 1 if an onset lies in (t, t + h], 0 if not, NaN if cut off; and whether the
    patient is hypotensive at t (those are 1 here: the condition is met already; evaluations exclude them).

    An onset within the last 60 s cannot be confirmed, so a negative needs t + h + 60 s of recording.
    """
    labels = np.zeros((len(at_s), len(HORIZONS_S)), np.float32)
    now = np.zeros(len(at_s), np.bool_)
    for column, horizon in enumerate(HORIZONS_S):
        labels[at_s + horizon + HYPOTENSION_S > known_until_s, column] = np.nan
        for onset, _ in events:
            labels[(onset > at_s) & (onset <= at_s + horizon), column] = 1.0
    for onset, end in events:
        now |= (at_s >= onset) & (at_s < end)
    labels[now] = 1.0
    return labels, now


def padded_times(times: Floats, starts_s: npt.NDArray[np.int64], window_s: int) -> npt.NDArray[np.float32]:
    """Beat times of each window in s from its start, NaN-padded: float32 [W, R]."""
    first, last = np.searchsorted(times, starts_s), np.searchsorted(times, starts_s + window_s)
    out = np.full((len(starts_s), max(1, int((last - first).max(initial=0)))), np.nan, np.float32)
    for row, (a, b) in enumerate(zip(first, last, strict=True)):
        out[row, : b - a] = times[a:b] - starts_s[row]
    return out


def eeg_features(eeg: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[..., L] complete EEG in µV on the 100-Hz grid -> [..., 7]: log10 power (µV²) of delta, theta, alpha, beta and
    gamma, SEF95 in Hz (0.5–47 Hz), suppression ratio (within ±5 µV for ≥ 0.5 s; Rampil 1998).

    Welch's method, 2-s Hann epochs, half overlap.
    """
    x = np.asarray(eeg, np.float64)
    length = 2 * GRID_RATE_HZ
    epochs = np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., :: length // 2, :]
    epochs = epochs - epochs.mean(-1, keepdims=True)
    taper = np.hanning(length)
    power = (np.abs(np.fft.rfft(epochs * taper)) ** 2).mean(-2) * 2.0 / (GRID_RATE_HZ * (taper**2).sum())
    hertz = np.fft.rfftfreq(length, 1 / GRID_RATE_HZ)
    spacing = hertz[1]
    bands = [power[..., (hertz >= a) & (hertz < b)].sum(-1) * spacing for a, b in EEG_BANDS_HZ]
    whole = (hertz >= EEG_BANDS_HZ[0][0]) & (hertz < EEG_BANDS_HZ[-1][1])
    share = np.cumsum(power[..., whole], axis=-1)
    edge = hertz[whole][np.argmax(share >= 0.95 * share[..., -1:], axis=-1)]
    return np.stack([*np.log10(np.stack(bands) + 1e-3), edge, suppression_ratio(x)], axis=-1).astype(np.float32)


def suppression_ratio(x: Floats) -> Floats:
    """Share of samples in runs of at least 0.5 s within ±5 µV of the window's median; [..., L] -> [...]."""
    flat = np.abs(x - np.median(x, axis=-1, keepdims=True)) < SUPPRESSION_UV
    total = np.cumsum(flat, axis=-1)
    run = np.zeros_like(flat)
    width = SUPPRESSION_SAMPLES
    before = np.concatenate([np.zeros_like(total[..., :1]), total[..., :-width]], axis=-1)
    run[..., width - 1 :] = total[..., width - 1 :] - before == width  # the last `width` samples are all flat
    spread = np.cumsum(np.concatenate([run, np.zeros((*run.shape[:-1], width), bool)], axis=-1), axis=-1)
    ahead = spread[..., width - 1 : width - 1 + x.shape[-1]]
    behind = np.concatenate([np.zeros_like(spread[..., :1]), spread[..., : x.shape[-1] - 1]], axis=-1)
    share: Floats = ((ahead - behind) > 0).mean(-1)
    return share


def heart_rate(r_times: npt.NDArray[np.floating]) -> Floats:
    """Beats a minute from R times [B, R] (NaN-padded, ascending), by the median interval; NaN with under three."""
    intervals = np.diff(r_times.astype(np.float64), axis=1)
    known = np.isfinite(intervals).sum(1)
    out = np.full(len(r_times), np.nan)
    some = known >= 2
    if some.any():
        out[some] = 60.0 / np.nanmedian(intervals[some], axis=1)
    return out
