"""Labels of real recordings, where pressure has gaps and depth of anaesthesia is another device's index.

An event that nobody saw is no negative: where pressure is unknown for long enough to hide an event of 60 s, alone or
joined to the low pressures beside the gap, the horizon is unlabelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.data.labels import HORIZONS_S, PressureTrack, hypotension_labels, hypotensive_events

Floats = npt.NDArray[np.float64]

GAP_S = 10.0
"""A longer stretch without a valid beat is a gap (as in ``hypotensive_events``)."""
LEAST_SQI = 50.0
BIS_DELAY_S = 30.0
"""How long after the EEG the BIS shows it: 30 ± 19 s at induction (Ferreira et al., Braz J Anesthesiol 2019; 69:377);
14 to 155 s with steps of synthetic EEG (Pilge et al., Anesthesiology 2006; 104:488)."""
MATCH_S = 2.0  # the index comes once a second


@dataclass(frozen=True, slots=True)
class IndexTrack:
    """A depth index and its signal quality: times in s from time zero and values (BIS 0–100, SQI 0–100 %)."""

    index_s: Floats
    index: Floats
    quality_s: Floats
    quality: Floats


def labels_with_gaps(
    track: PressureTrack, at_s: Floats, until_s: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Hypotension labels [W, 3] and hypotensive-now [W] as :func:`models.data.labels.hypotension_labels`, but NaN
    instead of 0 where an event may have begun unseen within the horizon, or may have been under way at the time.

    until_s: end of the recording in s.
    """
    labels, now = hypotension_labels(hypotensive_events(track, GAP_S), at_s, until_s)
    unsure = np.zeros(labels.shape, np.bool_)
    for onset, end in hypotensive_events(gaps_as_low(track, until_s), GAP_S):
        unsure |= ((at_s >= onset) & (at_s < end))[:, None]
        for column, horizon in enumerate(HORIZONS_S):
            unsure[:, column] |= (onset > at_s) & (onset <= at_s + horizon)
    labels[unsure & (labels == 0.0)] = np.nan
    return labels, now


def gaps_as_low(track: PressureTrack, until_s: float) -> PressureTrack:
    """The track with a beat of MAP 0 over each gap, before the first beat and after the last ones included."""
    begin, end = track.time_s - 0.5 * track.length_s, track.time_s + 0.5 * track.length_s
    gap_begin, gap_end = np.concatenate(([0.0], end)), np.concatenate((begin, [until_s]))
    long = gap_end - gap_begin > GAP_S
    middle, length = 0.5 * (gap_begin + gap_end)[long], (gap_end - gap_begin)[long]
    order = np.argsort(np.concatenate([track.time_s, middle]), kind="stable")
    nothing = np.zeros(len(middle))

    def join(beats: Floats, gaps: Floats) -> Floats:
        return np.concatenate([beats, gaps])[order]

    return PressureTrack(
        join(track.time_s, middle), join(track.length_s, length),
        join(track.mean, nothing), join(track.sys, nothing), join(track.dia, nothing),
    )  # fmt: skip


def depth_labels(track: IndexTrack, at_s: Floats, delay_s: float = BIS_DELAY_S) -> npt.NDArray[np.float32]:
    """Depth 0–100 at times [W]: the index shown ``delay_s`` later; NaN without one within 2 s of that, with a quality
    below 50 or unknown, or out of range."""
    shown, apart = _nearest(track.index_s, track.index, at_s + delay_s)
    quality, quality_apart = _nearest(track.quality_s, track.quality, at_s + delay_s)
    good = (apart <= MATCH_S) & (quality_apart <= MATCH_S) & (quality >= LEAST_SQI) & (shown >= 0) & (shown <= 100)
    return np.where(good, shown, np.nan).astype(np.float32)


def _nearest(times_s: Floats, values: Floats, at_s: Floats) -> tuple[Floats, Floats]:
    """The value nearest in time to each of ``at_s`` and how far away it is (inf where there is none)."""
    if not len(times_s):
        return np.full(len(at_s), np.nan), np.full(len(at_s), np.inf)
    after = np.clip(np.searchsorted(times_s, at_s), 1, max(len(times_s) - 1, 1))
    pair = np.stack([after - 1, np.minimum(after, len(times_s) - 1)])
    apart = np.abs(times_s[pair] - at_s)
    best = np.where(apart[0] <= apart[1], pair[0], pair[1])
    return values[best], apart.min(0)
