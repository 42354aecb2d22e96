"""Which sensors a training sample has: presence and context drawn together, so that they tell one history.

``ContextMemory`` keeps the row of an absent modality as it was and lets only its age grow. So a sensor lost *a* seconds
before the window's end has the row of *a* seconds ago, its age grown by *a*; delays in a row froze when the last of
the sensors they need was lost. ``history`` holds the context of every second, hence any loss can be told afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.modalities import Modality, SleepChannel
from models.signals.windows import CONTEXT_FIELDS

_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

NEVER = np.inf
"""Age of a modality that was never measured."""


@dataclass(frozen=True, slots=True)
class LossPlan:
    """Shares of the kinds of loss; they add to 1."""

    complete: float = 0.2  # nothing lost beyond what the recording itself lacks
    subset: float = 0.5  # one of the non-empty proper subsets, each modality lost for its own time
    recent: float = 0.2  # lost within the window
    ragged: float = 0.1  # frames here and there
    never: float = 0.15  # of the modalities that a subset leaves out: never measured
    longest_s: float = 1800.0


def draw_ages(
    rng: np.random.Generator, count: int, modalities: int, plan: LossPlan = LossPlan()
) -> tuple[npt.NDArray[np.float64], Bools]:
    """Seconds since each modality was lost [count, M] (0: not lost, ``NEVER``), and rows that are ragged [count].

    Every non-empty proper subset is equally likely; ages are log-uniform from 30 s to ``longest_s``, recent ones
    uniform within the first 30 s.
    """
    kind = rng.choice(4, size=count, p=(plan.complete, plan.subset, plan.recent, plan.ragged))
    subset = rng.integers(1, 2**modalities - 1, size=count)
    lost = ((subset[:, None] >> np.arange(modalities)) & 1) == 0
    old = np.exp(rng.uniform(np.log(30.0), np.log(plan.longest_s), (count, modalities)))
    recent = rng.uniform(0.0, 30.0, (count, modalities))
    together = rng.random(count) < 0.3  # one event, such as a transport, takes several sensors at once
    old[together] = old[together, :1]
    age = np.where((kind == 2)[:, None], recent, old)
    age[(rng.random((count, modalities)) < plan.never) & (kind == 1)[:, None]] = NEVER
    ages = np.where(lost & np.isin(kind, (1, 2))[:, None], np.ceil(age), 0.0)
    return ages, kind == 3


def lose(
    presence: Bools,
    history: Floats,
    patient: npt.NDArray[np.intp],
    end_s: npt.NDArray[np.int64],
    ages_s: npt.NDArray[np.float64],
    frame_s: int,
    modalities: Sequence[Modality | SleepChannel],
) -> tuple[Bools, Floats]:
    """Presence and context of windows whose modalities were lost ``ages_s`` before their end.

    frame_s: seconds from the beginning of one frame to that of the next (frames may overlap).

    presence bool [B, M, N] of the recording; history float32 [P, T, M, C], row t the context of the window ending at t;
    patient [B]; end_s [B]; ages_s [B, M], 0 where not lost. Returns presence [B, M, N], context [B, M, C].
    """
    frames = presence.shape[-1]
    frame_end_before = (frames - 1 - np.arange(frames)) * frame_s  # seconds from a frame's end to the window's
    kept = presence & ~(ages_s[..., None] > frame_end_before)
    at = np.where(np.isfinite(ages_s), end_s[:, None] - ages_s, -1).astype(np.int64)
    context = _rows(history, patient, at)
    known_age = np.isfinite(context[..., _C["age_s"]]) & np.isfinite(ages_s)
    context[..., _C["age_s"]] = np.where(known_age, context[..., _C["age_s"]] + ages_s, np.nan)
    if not {Modality.ECG, Modality.ABP, Modality.PPG}.issubset(modalities):
        return kept, context  # no pulse delays among these rows
    # A delay needs the ECG as well, the pressure's regression the ECG and the PPG: they froze with the first of these.
    ecg, abp, ppg = (modalities.index(m) for m in (Modality.ECG, Modality.ABP, Modality.PPG))
    with_ecg = np.minimum(at, at[:, ecg, None])
    own = _rows(history, patient, with_ecg)
    both = _rows(history, patient, np.minimum(with_ecg, at[:, ppg, None]))
    column = _C["own_delay_s"]
    for m in (abp, ppg):
        context[:, m, column] = own[:, m, column]
    for m in range(len(modalities)):
        context[:, m, _C["ppg_delay_s"]] = both[:, m, _C["ppg_delay_s"]]
    context[:, abp, _C["delay_slope"]] = both[:, abp, _C["delay_slope"]]
    return kept, context


def ragged(rng: np.random.Generator, presence: Bools, share: float = 0.3) -> Bools:
    """Frames lost here and there, never the newest one of a modality (its age would grow)."""
    lost = rng.random(presence.shape) < share
    lost[..., -1] = False
    return presence & ~lost


def _rows(history: Floats, patient: npt.NDArray[np.intp], at: npt.NDArray[np.int64]) -> Floats:
    """Rows of each modality at its own second, NaN before the recording began: [P, T, M, C], [B, M] -> [B, M, C]."""
    clipped = np.clip(at, 0, history.shape[1] - 1)
    rows = history[patient[:, None], clipped, np.arange(history.shape[2])[None]].copy()
    rows[at < 1] = np.nan
    return rows
