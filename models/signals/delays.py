"""From R peaks to the pulses that belong to them, when a device delay makes it unclear which R that is.

With the delay of the devices a pulse may come after the next R peak, and a pairing with the wrong R gives a delay that
is one RR off: it then moves with RR, not with pressure. The right pairing is told by variability: a pulse's true delay
hardly changes from one beat to the next, a delay to a neighbouring R changes by all that RR changes. Each second
compares the beat-to-beat changes of the pairing that is followed with those of both neighbours; their ratio, averaged
over the last two minutes, decides. They share the errors of the detectors, so a steady rhythm, which tells nothing,
changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.signals.blocks import median

Floats = npt.NDArray[np.float64]

LARGEST_DELAY_CHANGE_S = 0.12
"""A pulse's transit time changes by tens of ms; a larger step means that the delay was taken from another beat."""
SHORTEST_DELAY_S, LONGEST_DELAY_S = 0.08, 1.2
LEAST_DELAYS = 3
LARGEST_SPREAD_S = 0.06  # delays scattered more widely do not belong together
FOLLOWED_S = 0.15  # a delay does not move further than this unseen
CANDIDATES = 3  # R peaks back from the pulse
LOST_AFTER_S = 30  # beats that fit nowhere near the followed delay for so long: begin anew

EVIDENCE_S = 120  # memory of the comparison
LEAST_EVIDENCE_S = 10
TESTED_S = 14  # no delay is told before its pairing could be put right
LEAST_CHANGES = 2
ALIKE_S = 0.001  # changes as small as this tell nothing
LARGEST_LOG_RATIO = 1.0  # no second says more, however bad its beats
DECISIVE = 1.5  # times 1/√(seconds of evidence): the mean log ratio at which a neighbour takes over
CONFIRMED, CONFIRMED_S = 0.3, 30  # mean log ratio of both neighbours that settles it, and seconds of evidence
OVERTURNED = 0.5  # against a settled pairing: breathing moves the delays themselves when the heart is empty


@dataclass(frozen=True, slots=True)
class DelayTrack:
    """What is known of one modality's delay after a second; a new one each second, so that seconds can be taken back.

    delay_s: the delay that is followed, NaN before the first. evidence: mean log ratio of the beat-to-beat changes when
    paired with the R before, and with the R after, to those of the followed pairing; negative speaks for the neighbour.
    weight_s: seconds of evidence. since_s: the first second whose delays belong to this pairing. missed_s: seconds with
    beats of both that did not fit. confirmed: that variability once spoke clearly for this pairing.
    """

    delay_s: float = float("nan")
    evidence: tuple[float, float] = (0.0, 0.0)
    weight_s: int = 0
    since_s: int = 0
    missed_s: int = 0
    confirmed: bool = False


def follow_delay(track: DelayTrack, r_peaks_s: Floats, pulses_s: Floats, second: int) -> tuple[DelayTrack, float]:
    """One second on: the track, and the median delay in s of the beats given (those of the last ten seconds).

    NaN where they do not fit, and during the first seconds, until the pairing has been put to the test.
    """
    if len(r_peaks_s) < LEAST_DELAYS or len(pulses_s) < LEAST_DELAYS:
        return track, np.nan
    if np.isfinite(track.delay_s):
        delay = _delay_near(r_peaks_s, pulses_s, track.delay_s)
        if not np.isfinite(delay):
            missed = track.missed_s + 1
            if missed < LOST_AFTER_S:
                return replace(track, missed_s=missed), np.nan
            track = DelayTrack()
    if not np.isfinite(track.delay_s):
        delay = pulse_delay(r_peaks_s, pulses_s)
        if not np.isfinite(delay):
            return track, np.nan
        track = DelayTrack(delay, since_s=second)
    before, after, weight = *track.evidence, track.weight_s
    compared = _compare(r_peaks_s, pulses_s, delay)
    if compared is not None:
        share = 1.0 / (min(weight, EVIDENCE_S) + 1)
        weight = min(weight + 1, EVIDENCE_S)
        before += share * (compared[0] - before)
        after += share * (compared[1] - after)
    confirmed = track.confirmed or (weight >= CONFIRMED_S and min(before, after) >= CONFIRMED)
    track = DelayTrack(delay, (before, after), weight, track.since_s, 0, confirmed)
    known = weight >= TESTED_S or second - track.since_s >= TESTED_S
    rr = median(np.diff(r_peaks_s))
    # The R before gives the longer delay.
    to_before = _possible(delay + rr) and before <= after
    if compared is None or not (to_before or _possible(delay - rr)):
        return track, delay if known else np.nan
    best = before if to_before else after
    if weight < LEAST_EVIDENCE_S or best > -max(DECISIVE / weight**0.5, OVERTURNED if confirmed else 0.0):
        return track, delay if known else np.nan
    # The pairing was one beat off: what was the neighbour is followed from now on.
    delay = _delay_near(r_peaks_s, pulses_s, delay + rr if to_before else delay - rr)
    if not np.isfinite(delay):
        return track, np.nan
    return DelayTrack(delay, (0.0, -best) if to_before else (-best, 0.0), weight, second), delay


def pulse_delay(r_peaks_s: Floats, pulses_s: Floats) -> float:
    """Median delay in seconds from R peaks to the pulses that belong to them; NaN if they do not fit.

    Each pulse has the last R peak at least 80 ms before it and the two before that as candidates: it is the one whose
    delays change least from beat to beat if they change half as much as those of the nearest R, else the nearest R.
    """
    if len(r_peaks_s) < LEAST_DELAYS or len(pulses_s) < LEAST_DELAYS:
        return np.nan
    last = np.searchsorted(r_peaks_s, pulses_s - SHORTEST_DELAY_S, side="right") - 1
    candidates: list[tuple[float, float]] = []
    for back in range(CANDIDATES):
        of = last - back
        delays = (pulses_s - r_peaks_s[np.maximum(of, 0)])[of >= 0]
        delays = delays[delays <= LONGEST_DELAY_S]
        if len(delays) >= LEAST_DELAYS:
            middle = median(delays)
            spread = median(np.abs(delays - middle))
            if spread <= LARGEST_SPREAD_S:
                candidates.append((middle, spread))
    if not candidates:
        return np.nan
    best = candidates[0]
    for other in candidates[1:]:
        if other[1] < 0.5 * best[1]:
            best = other
    return best[0]


def _possible(delay_s: float) -> bool:
    return SHORTEST_DELAY_S <= delay_s <= LONGEST_DELAY_S


def _paired(r_peaks_s: Floats, pulses_s: Floats, delay_s: float) -> tuple[npt.NDArray[np.intp], Floats]:
    """Index of the R nearest to ``delay_s`` before each pulse, and the delay from it."""
    wanted = pulses_s - delay_s
    after = np.clip(np.searchsorted(r_peaks_s, wanted), 1, len(r_peaks_s) - 1)
    index = after - (wanted - r_peaks_s[after - 1] < r_peaks_s[after] - wanted)
    return index, pulses_s - r_peaks_s[index]


def _delay_near(r_peaks_s: Floats, pulses_s: Floats, delay_s: float) -> float:
    _, delays = _paired(r_peaks_s, pulses_s, delay_s)
    delays = delays[np.abs(delays - delay_s) <= FOLLOWED_S]
    if len(delays) < LEAST_DELAYS:
        return np.nan
    middle = median(delays)
    return middle if median(np.abs(delays - middle)) <= LARGEST_SPREAD_S else np.nan


def _compare(r_peaks_s: Floats, pulses_s: Floats, delay_s: float) -> tuple[float, float] | None:
    """Log ratios of the median beat-to-beat change, paired one R before and one R after; None with too few beats."""
    index, delays = _paired(r_peaks_s, pulses_s, delay_s)
    good = (np.abs(delays - delay_s) <= FOLLOWED_S) & (index >= 1) & (index < len(r_peaks_s) - 1)
    index, pulses = index[good], pulses_s[good]
    in_a_row = np.diff(index) == 1
    if np.count_nonzero(in_a_row) < LEAST_CHANGES:
        return None
    paired = pulses - r_peaks_s[index + np.array([[-1], [0], [1]])]
    changes = np.median(np.abs(np.diff(paired, axis=1)[:, in_a_row]), axis=1) + ALIKE_S
    before, own, after = np.log(changes)
    return tuple(np.clip([before - own, after - own], -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).tolist())
