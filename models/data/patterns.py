"""Missingness with a structure that training did not see, to ask whether a model only knows the one it was shown.

Training draws whole sensors lost for a time and single frames at random (see :mod:`models.data.missingness`). Here
losses come in bursts, strike ABP and PPG together, come back with a cuff, alternate, last to the end of the memory, or
leave only the newest or the oldest frames. Each pattern says which frames remain and for how long a sensor has been
lost altogether; ``lose_by`` tells presence and context from it as the stream would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.data.missingness import Bools, Floats, lose
from models.signals.errors import BadInput
from models.signals.modalities import Modality, SleepChannel

Ages = npt.NDArray[np.float64]

MEASURED_FIRST_S = 60.0  # a long loss leaves this much of the recording's beginning


@dataclass(frozen=True, slots=True)
class Layout:
    """What a pattern is drawn for: windows [B] that end at ``end_s`` with N frames of ``frame_s`` seconds."""

    modalities: Sequence[Modality | SleepChannel]
    frames: int
    frame_s: int
    end_s: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, M, N)."""
        return len(self.end_s), len(self.modalities), self.frames

    def rows(self, *names: Modality) -> list[int]:
        """Rows of those modalities of ``names`` that the model has."""
        return [i for i, m in enumerate(self.modalities) if m in names]


@dataclass(frozen=True, slots=True)
class Pattern:
    """kept bool [B, M, N]: frames that remain. ages_s float64 [B, M]: seconds a sensor has been lost for at the end of
    the window, where longer than the frames say; 0 elsewhere."""

    kept: Bools
    ages_s: Ages


def bursts(rng: np.random.Generator, layout: Layout) -> Pattern:
    """Each sensor by itself goes and comes, three frames on average at a time, 40 % of the time (Gilbert's two-state
    chain, Bell Syst Tech J 1960;39:1253)."""
    return _frames_only(_two_states(rng, layout.shape, lost_share=0.4, mean_lost=3.0))


def one_arm(rng: np.random.Generator, layout: Layout) -> Pattern:
    """ABP and PPG go at one instant, 30 s to 10 min ago (log-uniform): one arm, or one monitor module."""
    ages = np.zeros(layout.shape[:2])
    ages[:, layout.rows(Modality.ABP, Modality.PPG)] = np.ceil(
        np.exp(rng.uniform(np.log(30.0), np.log(600.0), (len(ages), 1)))
    )
    return Pattern(np.ones(layout.shape, np.bool_), ages)


def periodic_cuff(rng: np.random.Generator, layout: Layout) -> Pattern:
    """A cuff silences the PPG for 30 s in every 150 s, at any phase; the ABP too in a quarter of the windows."""
    kept, ages = np.ones(layout.shape, np.bool_), np.zeros(layout.shape[:2])
    since = rng.uniform(0.0, 150.0, layout.shape[0])  # since the cuff began to fill, at the end of the window
    frame_end = (layout.frames - np.arange(layout.frames) - 1) * layout.frame_s
    struck_s = since[:, None] - frame_end  # of each frame's end
    lost = (struck_s > 0.0) & (struck_s < 30.0 + layout.frame_s)
    both = rng.random(layout.shape[0]) < 0.25
    for row in layout.rows(Modality.PPG):
        kept[:, row] = ~lost
    for row in layout.rows(Modality.ABP):
        kept[:, row] = ~(lost & both[:, None])
    return Pattern(kept, ages)


def long_lost(rng: np.random.Generator, layout: Layout) -> Pattern:
    """One to all but one of the sensors have been lost for long: uniformly from 10 min ago (or half of the recording
    so far) to its first minute; training's ages are log-uniform, so seldom as long."""
    count, m, _ = layout.shape
    longest = np.maximum(layout.end_s - MEASURED_FIRST_S, 0.0)
    shortest = np.minimum(600.0, 0.5 * longest)
    ages = np.ceil(shortest[:, None] + rng.random((count, m)) * (longest - shortest)[:, None])
    order = rng.permuted(np.tile(np.arange(m), (count, 1)), axis=1)
    lost = order < rng.integers(1, max(m, 2), (count, 1))
    return Pattern(np.ones(layout.shape, np.bool_), np.where(lost, ages, 0.0))


def duty_cycled(rng: np.random.Generator, layout: Layout) -> Pattern:
    """Battery-powered sensors: each measures one frame in three, at a phase of its own."""
    phase = rng.integers(0, 3, layout.shape[:2])
    return _frames_only((np.arange(layout.frames) + phase[..., None]) % 3 == 0)


def one_at_a_time(rng: np.random.Generator, layout: Layout) -> Pattern:
    """Sensors share one cable: in each frame exactly one is measured, at random."""
    count, m, n = layout.shape
    return _frames_only(rng.integers(0, m, (count, 1, n)) == np.arange(m)[:, None])


def newest_only(rng: np.random.Generator, layout: Layout) -> Pattern:
    """Just reconnected: only the newest frame of every sensor."""
    return _frames_only(np.broadcast_to(np.arange(layout.frames) == layout.frames - 1, layout.shape).copy())


def oldest_only(rng: np.random.Generator, layout: Layout) -> Pattern:
    """All but one sensor fell off early in the window: two oldest frames are left of them."""
    spared = rng.integers(0, layout.shape[1], layout.shape[0])
    kept = np.broadcast_to(np.arange(layout.frames) < 2, layout.shape).copy()
    kept[np.arange(len(spared)), spared] = True
    return _frames_only(kept)


PATTERNS: dict[str, Callable[[np.random.Generator, Layout], Pattern]] = {
    "bursts": bursts,
    "ABP and PPG together": one_arm,
    "periodic cuff": periodic_cuff,
    "long lost": long_lost,
    "duty-cycled": duty_cycled,
    "one at a time": one_at_a_time,
    "newest frame only": newest_only,
    "oldest frames only": oldest_only,
}


def lose_by(
    name: str,
    rng: np.random.Generator,
    presence: Bools,
    history: Floats,
    patient: npt.NDArray[np.intp],
    end_s: npt.NDArray[np.int64],
    frame_s: int,
    modalities: Sequence[Modality | SleepChannel],
) -> tuple[Bools, Floats]:
    """Presence [B, M, N] and context [B, M, C] of windows that lost sensors by a pattern; arguments as for ``lose``.

    Frames lost at the end of a window make a sensor as old as they are long. Losses in between leave the context as
    recorded (its means of minutes lack some seconds in truth). Raises BadInput for an unknown name.
    """
    if name not in PATTERNS:
        raise BadInput(f"a pattern out of {', '.join(PATTERNS)}", repr(name), "choose one of these")
    layout = Layout(modalities, presence.shape[-1], frame_s, np.asarray(end_s, np.int64))
    pattern = PATTERNS[name](rng, layout)
    ages = np.maximum(pattern.ages_s, trailing_frames(pattern.kept) * float(frame_s))
    # Without any frame the loss is older than the window, by nobody knows how much: the least it can be.
    kept, context = lose(presence, history, patient, layout.end_s, ages, frame_s, modalities)
    return kept & pattern.kept, context


def trailing_frames(kept: Bools) -> npt.NDArray[np.int64]:
    """How many of the newest frames in a row are lost: [..., N] -> [...]."""
    newest_first = kept[..., ::-1]
    lost: npt.NDArray[np.int64] = np.where(kept.any(-1), newest_first.argmax(-1), kept.shape[-1]).astype(np.int64)
    return lost


def _frames_only(kept: Bools) -> Pattern:
    return Pattern(kept, np.zeros(kept.shape[:2]))


def _two_states(rng: np.random.Generator, shape: tuple[int, int, int], lost_share: float, mean_lost: float) -> Bools:
    back = 1.0 / mean_lost
    go = back * lost_share / (1.0 - lost_share)
    draws = rng.random(shape)
    kept = np.empty(shape, np.bool_)
    kept[..., 0] = draws[..., 0] >= lost_share
    for n in range(1, shape[-1]):
        kept[..., n] = np.where(kept[..., n - 1], draws[..., n] >= go, draws[..., n] < back)
    return kept
