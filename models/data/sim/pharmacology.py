"""Propofol from pump to effect: three compartments, an effect site for the brain and one for the circulation.

Marsh et al., Br J Anaesth 1991;67:41 (compartments); Eleveld et al., Br J Anaesth 2018;120:942 (depth: ke0,
E_max sigmoid with two slopes); Kazama et al., Anesthesiology 1999;90:1517 (blood pressure follows concentration far
more slowly than the EEG: half-time about 5.7 min). Depth is given on the familiar scale of 100 (awake) to 0
(isoelectric); it is "depth (not BIS)".
"""

from __future__ import annotations

import numpy as np

from models.data.sim.noise import Float64Array

V1_L_PER_KG = 0.228
K10, K12, K13, K21, K31 = (k / 60.0 for k in (0.119, 0.112, 0.0419, 0.055, 0.0033))  # 1/s
KE0_BRAIN = 0.146 * 1.8 / 60.0  # 1/s; arterial 0.146/min, quickened to the published time to peak with V1 of Marsh
KE0_CIRCULATION = np.log(2) / (5.7 * 60.0)  # 1/s
MAX_RATE_MG_S = 1200.0 / 3600.0 * 10.0  # pump limit 1200 ml/h of 10 mg/ml
DEPTH_AWAKE = 93.0  # Eleveld 2018, baseline of the index
GAMMA_LOW, GAMMA_HIGH = 1.89, 1.47  # below and above ce50


class Propofol:
    """Amounts in mg, concentrations in µg/ml (= mg/l); one Euler step a second (fastest rate 0.005/s)."""

    __slots__ = ("a1", "a2", "a3", "brain", "circulation", "v1")

    def __init__(self, weight_kg: float, start: float) -> None:
        """Starts as after a long infusion at the plasma concentration ``start``."""
        self.v1 = V1_L_PER_KG * weight_kg
        self.a1 = start * self.v1
        self.a2 = self.a1 * K12 / K21 * 0.85
        self.a3 = self.a1 * K13 / K31 * 0.25
        self.brain = self.circulation = start

    def copy(self) -> Propofol:
        """The same amounts, to be taken further on their own."""
        other = object.__new__(Propofol)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    def step(self, target: float) -> None:
        """One second of a pump that steers the plasma concentration to ``target`` (target-controlled infusion)."""
        out = (K10 + K12 + K13) * self.a1
        back = K21 * self.a2 + K31 * self.a3
        rate = min(max(target * self.v1 - self.a1 + out - back, 0.0), MAX_RATE_MG_S)
        self.a2 += K12 * self.a1 - K21 * self.a2
        self.a3 += K13 * self.a1 - K31 * self.a3
        self.a1 += rate + back - out
        plasma = self.a1 / self.v1
        self.brain += KE0_BRAIN * (plasma - self.brain)
        self.circulation += KE0_CIRCULATION * (plasma - self.circulation)


def depth_index(concentration: float, ce50: float) -> float:
    """Depth of anaesthesia from 93 (awake) towards 0 at the effect-site ``concentration`` in µg/ml (E_max sigmoid)."""
    if concentration <= 0.0:
        return DEPTH_AWAKE
    ratio: float = (concentration / ce50) ** (GAMMA_HIGH if concentration > ce50 else GAMMA_LOW)
    return DEPTH_AWAKE / (1.0 + ratio)


def concentration_for(depth: float, ce50: float) -> float:
    """The steady concentration in µg/ml that gives ``depth``: inverse of :func:`depth_index`."""
    ratio = DEPTH_AWAKE / depth - 1.0
    if ratio <= 0.0:
        return 0.0
    found: float = ce50 * ratio ** (1.0 / (GAMMA_HIGH if ratio > 1.0 else GAMMA_LOW))
    return found


def circulation_effect(concentration: float) -> float:
    """Depression of the circulation, 0 to 1; half at 3.4 µg/ml (Kazama 1999: falls with age)."""
    if concentration <= 0.0:
        return 0.0
    ratio: float = (concentration / 3.4) ** 1.8
    return ratio / (1.0 + ratio)


def suppression_percent(depth: Float64Array) -> Float64Array:
    """Share of time that the EEG is suppressed, 0–100 %, at a depth.

    Suppression begins near 40 and is linear below 30: index ≈ 50 − BSR/2 (Bruhn et al., J Clin Monit Comput
    2000;16:593).
    """
    return np.interp(depth, [0.0, 15.0, 30.0, 38.0], [100.0, 70.0, 35.0, 0.0])
