"""The table of beats, and the arterial windkessel in closed form.

During ejection (length ``ts``) the flow into a compliance is
    q(u) = (v / ts) · (1 − cos x)(1 + k·sin x),   x = 2πu / ts,   0 ≤ u ≤ ts,
which starts and ends smoothly, peaks early for k > 0 and integrates to ``v``. A compliance that leaks with time
constant ``tau`` (two-element windkessel: Frank 1899; Westerhof et al., Med Biol Eng Comput 2009;47:131) answers with
    p(u) = p0·exp(−u/tau) + (v / c)·g(u),
where g, the convolution of the unit flow with exp(−u/tau), is elementary. Each beat begins where the last one ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from models.data.sim.noise import Float64Array


@dataclass(frozen=True, slots=True)
class Beats:
    """Beats in order, one array a column, physiological time in s. ``foot_*`` is the onset of the pulse there."""

    r: Float64Array  # R peak
    rr: Float64Array  # to the next R peak
    ectopic: Float64Array  # 1: ventricular ectopic beat
    pep: Float64Array
    ptt: Float64Array  # to the finger
    ts: Float64Array  # ejection time
    foot_abp: Float64Array
    p0: Float64Array  # mmHg above the outflow pressure at the foot
    amp: Float64Array  # stroke volume / compliance, mmHg; 0: no pulse
    tau: Float64Array  # resistance · compliance, s
    zflow: Float64Array  # characteristic impedance · stroke volume, mmHg·s
    foot_ppg: Float64Array
    ppg0: Float64Array  # level at the foot, pulses
    ppg_amp: Float64Array  # pulses, 0: no pulse
    ppg_tau: Float64Array
    p_wave: Float64Array  # height of the P wave before it, 1: the patient's own
    qrs: Float64Array  # height of QRS and T, 0: no complex (asystole, fibrillation)
    outflow: Float64Array  # mmHg towards which the artery empties: central venous pressure

    @classmethod
    def from_rows(cls, rows: list[tuple[float, ...]]) -> Beats:
        """Beats from rows of all columns, one a beat."""
        table = np.array(rows, dtype=np.float64).reshape(len(rows), len(fields(cls)))
        return cls(*np.ascontiguousarray(table.T))

    @classmethod
    def concatenate(cls, parts: list[Beats]) -> Beats:
        """The beats of ``parts`` one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def __len__(self) -> int:
        return int(self.r.size)

    def select(self, first: int, last: int) -> Beats:
        """Beats ``first`` to ``last`` - 1."""
        return Beats(*(getattr(self, f.name)[first:last] for f in fields(self)))


def response_end(ts: float, tau: float, skew: float) -> float:
    """g at the end of ejection, g(ts): scalar form for the beat loop."""
    w = 2.0 * math.pi / ts
    a = 1.0 / tau
    e = math.exp(-ts / tau)
    const = tau * (1.0 - e)
    cos1 = a * (1.0 - e) / (a * a + w * w)
    sin1 = w * (e - 1.0) / (a * a + w * w)
    sin2 = 2.0 * w * (e - 1.0) / (a * a + 4.0 * w * w)
    return (const - cos1 + skew * sin1 - 0.5 * skew * sin2) / ts


def level_after(p0: float, amp: float, tau: float, ts: float, span: float, skew: float) -> float:
    """Level at the next foot, ``span ≥ ts`` seconds after the one with level ``p0``: scalar form for the beat loop."""
    return p0 * math.exp(-span / tau) + amp * response_end(ts, tau, skew) * math.exp(-(span - ts) / tau)


def response(u: Float64Array, ts: Float64Array, tau: Float64Array, skew: float) -> Float64Array:
    """g(u): what a unit of flow volume leaves in the compliance ``u`` seconds after the foot, all arrays alike."""
    inside = np.minimum(u, ts)
    w = 2.0 * np.pi / ts
    a = 1.0 / tau
    x = w * inside
    e = np.exp(-inside * a)
    s1, c1 = np.sin(x), np.cos(x)
    s2, c2 = 2.0 * s1 * c1, 1.0 - 2.0 * s1 * s1
    d1 = 1.0 / (a * a + w * w)
    d2 = 1.0 / (a * a + 4.0 * w * w)
    const = tau * (1.0 - e)
    cos1 = (a * c1 + w * s1 - a * e) * d1
    sin1 = (a * s1 - w * c1 + w * e) * d1
    sin2 = (a * s2 - 2.0 * w * c2 + 2.0 * w * e) * d2
    return (const - cos1 + skew * sin1 - 0.5 * skew * sin2) / ts * np.exp(-(u - inside) * a)


def unit_flow(u: Float64Array, ts: Float64Array, skew: float) -> Float64Array:
    """q(u)/v in 1/s; zero outside ejection."""
    x = 2.0 * np.pi * np.clip(u / ts, 0.0, 1.0)
    return (1.0 - np.cos(x)) * (1.0 + skew * np.sin(x)) / ts
