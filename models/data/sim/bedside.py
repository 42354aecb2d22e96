"""What the simulated patient's other devices measure themselves: oximeter, cuff, thermometer, index of depth.

They tell what such a device would: of the truth, late, rounded, with an error of its own, and nothing where it could
not have measured. Chosen to look right, not fitted to data:

* the oximeter averages over 8 s, and has a number only while it found a pulse in half of them and sees a finger. A
  preoxygenated patient loses little saturation in an arrest; it comes back within a few minutes.
* the cuff is inflated every 5 min, in a crisis every minute; where it sits above the oximeter (``FaultKind.CUFF``) with
  those very inflations. It needs pulses all the way down (oscillometry), so it has no result in an arrest or in deep
  shock. Its error stays within the 5 ± 8 mmHg that ISO 81060-2 allows.
* the index of depth follows the true one by 20 s, and is gone while the EEG is off or was mostly spoilt.

Random numbers are of streams of their own: the waves of a seed are what they were.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.data.sim.faults import Fault, FaultKind
from models.data.sim.noise import Float64Array, Stream, generator, smooth
from models.data.sim.truth import Truth
from models.signals.modalities import Modality

NUMBERS: dict[str, str] = {
    "SIM/SPO2": "%",
    "SIM/NIBP_SYS": "mmHg",
    "SIM/NIBP_DIA": "mmHg",
    "SIM/NIBP_MEAN": "mmHg",
    "SIM/TEMP": "C",
    "SIM/BIS": "au",
}
"""Tracks and their units; the names are among those of ``models/signals/numerics.toml``."""

LONGEST_S = 6 * 3600.0
"""A longer recording has none of them: they need the whole truth when it is opened, 0.7 s an hour."""

_AVERAGED_S, _FOUND_S = 8, 4
_PAUSE_S = 2.5  # a longer one is no pulse
_AT_ONCE = frozenset({FaultKind.LEAD_OFF, FaultKind.GAP})  # seen by the device itself
_LOST_PER_S, _REGAINED_S = 0.05, 60.0
_EVERY_S, _CRISIS_EVERY_S = 300.0, 60.0
_INFLATED_S, _FIRST_RESULT_S = (25.0, 33.0), (16.0, 24.0)
_DEFLATING_S = 20.0
_LEAST_PULSE_MMHG, _LONGEST_PAUSE_S = 12.0, 4.0
_INDEX_LATE_S, _INDEX_AVERAGED_S, _EEG_SEEN_S = 20, 20, 15


def measured(seed: int, duration_s: float, truth: Truth) -> dict[str, Float64Array]:
    """Every track of ``NUMBERS`` from the truth of a recording: a value each whole second, NaN where there is none.

    A cuff's is said again until the next measurement, as monitors do.
    """
    seconds = np.arange(int(duration_s), dtype=np.float64)
    ends, results = _cuff(seed, duration_s, truth)
    upper, mean, lower = results[np.searchsorted(ends, seconds, side="right") - 1].T
    return {
        "SIM/SPO2": _saturation(seed, seconds, truth),
        "SIM/NIBP_SYS": upper,
        "SIM/NIBP_DIA": lower,
        "SIM/NIBP_MEAN": mean,
        "SIM/TEMP": _temperature(seed, seconds),
        "SIM/BIS": _index(seed, seconds, truth),
    }


def _saturation(seed: int, seconds: Float64Array, truth: Truth) -> Float64Array:
    pulses = np.concatenate([[0.0], truth.ppg_upstroke_s])
    beating = seconds - pulses[np.searchsorted(pulses, seconds, side="right") - 1] < _PAUSE_S
    off, spoilt = _struck(Modality.PPG, seconds, truth.faults)
    found = _share(beating & ~spoilt, _AVERAGED_S) >= _FOUND_S / _AVERAGED_S
    lost, dip = np.zeros(seconds.size), 0.0
    for i, beats in enumerate(beating):
        dip = dip * (1.0 - 1.0 / _REGAINED_S) if beats else dip + _LOST_PER_S
        lost[i] = dip
    usual = generator(seed, Stream.OXIMETER).uniform(96.5, 99.0)
    value = usual - lost + 0.4 * smooth(seed, Stream.OXIMETER_DRIFT, seconds, 0.2, 60.0)
    return np.where(found & ~off, np.round(np.clip(value, 1.0, 100.0)), np.nan)


def _cuff(seed: int, duration_s: float, truth: Truth) -> tuple[Float64Array, Float64Array]:
    """When the cuff had done [n], and systolic, mean and diastolic pressure in mmHg [n, 3]. At 0 it has none yet."""
    rng = generator(seed, Stream.CUFF)
    bias = rng.normal(0.0, 2.0)
    same_arm = [f for f in truth.faults if f.modality is Modality.PPG and f.kind is FaultKind.CUFF]
    every = _CRISIS_EVERY_S if len(truth.rhythms) > 1 else _EVERY_S
    ends = []
    start = rng.uniform(*_FIRST_RESULT_S) - _INFLATED_S[0]
    while (end := start + rng.uniform(*_INFLATED_S)) < duration_s:
        if not same_arm or end < same_arm[0].start_s - every / 2:
            ends.append(end)
        start += every
    ends += [f.end_s for f in same_arm if f.end_s < duration_s]
    rows: list[tuple[float, ...]] = [(np.nan, np.nan, np.nan)]
    for end in ends:
        error = bias + rng.normal(0.0, 2.0) + rng.normal(0.0, 1.5, 3)
        rows.append(_oscillometry(max(end - _DEFLATING_S, 0.0), end, truth, error))
    return np.array([0.0, *ends]), np.array(rows)


def _oscillometry(start_s: float, end_s: float, truth: Truth, error: Float64Array) -> tuple[float, ...]:
    """Systolic, mean and diastolic pressure over ``[start_s, end_s)``; NaN where the cuff finds too few pulses."""
    low, high = np.searchsorted(truth.abp_onset_s[:-1], [start_s, end_s])
    pulses = np.arange(low, high)[(truth.sbp_mmhg - truth.dbp_mmhg)[low:high] >= _LEAST_PULSE_MMHG]
    if np.diff([start_s, *truth.abp_onset_s[pulses], end_s]).max() > _LONGEST_PAUSE_S:
        return np.nan, np.nan, np.nan
    means = [values[pulses].mean() for values in (truth.sbp_mmhg, truth.map_mmhg, truth.dbp_mmhg)]
    return tuple(sorted(np.round(np.array(means) + error).tolist(), reverse=True))


def _temperature(seed: int, seconds: Float64Array) -> Float64Array:
    """Under anaesthesia it sinks slowly, whatever the heart does."""
    usual = generator(seed, Stream.THERMOMETER).uniform(36.1, 36.9)
    cooled = 0.6 * (1.0 - np.exp(-seconds / 3600.0))
    return np.round(usual - cooled + 0.02 * smooth(seed, Stream.THERMOMETER_DRIFT, seconds, 0.02, 300.0), 1)


def _index(seed: int, seconds: Float64Array, truth: Truth) -> Float64Array:
    if not seconds.size:
        return seconds
    before = _INDEX_LATE_S + _INDEX_AVERAGED_S // 2
    led = np.concatenate([np.full(before, truth.depth[0]), truth.depth[: seconds.size]])
    sums = np.concatenate([[0.0], np.cumsum(led)])
    late = (sums[_INDEX_AVERAGED_S:] - sums[:-_INDEX_AVERAGED_S])[: seconds.size] / _INDEX_AVERAGED_S
    off, spoilt = _struck(Modality.EEG, seconds, truth.faults)
    seen = _share(~spoilt, _EEG_SEEN_S) >= 0.5
    value = np.clip(late + 1.2 * smooth(seed, Stream.INDEX_DRIFT, seconds, 0.2, 15.0), 0.0, 98.0)
    return np.where(seen & ~off, np.round(value), np.nan)


def _struck(
    modality: Modality, seconds: Float64Array, faults: tuple[Fault, ...]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Of each second: whether the device sees that its sensor is off, and whether the signal is of no use."""
    off, spoilt = np.zeros(seconds.size, np.bool_), np.zeros(seconds.size, np.bool_)
    for fault in (f for f in faults if f.modality is modality):
        during = (fault.start_s <= seconds) & (seconds < fault.end_s)
        off |= during & (fault.kind in _AT_ONCE)
        spoilt |= during & (not fault.usable)
    return off, spoilt


def _share(true: npt.NDArray[np.bool_], width: int) -> Float64Array:
    """Share of the last ``width`` seconds, this one included; before the recording it was true."""
    total = np.concatenate([[0], np.cumsum(np.concatenate([np.ones(width - 1, np.bool_), true]))])
    share: Float64Array = (total[width:] - total[:-width]) / width
    return share
