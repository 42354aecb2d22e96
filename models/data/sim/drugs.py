"""What is given by the vein in an operation and what it does: boluses that come and go, an infusion, fluid.

Each bolus passes two compartments in a row: it comes with the first time constant and goes with the second.

Phenylephrine: pressure rises 15 s after it, is highest after 37 s and has fallen again within 3 to 5 min (Okoshi et
al., Braz J Med Biol Res 1993;26:605); given in hypotension after induction, 2 µg/kg raise the mean pressure by 34 ± 13
mmHg and halve the pulse-pressure variation, since veins tighten too (Kalmar et al., J Clin Monit Comput 2018;32:969).
Ephedrine: slower, for ten minutes and more, with rate and contractility (Meng et al., Br J Anaesth 2011;107:209).
Fluid: half of what a crystalloid expands the plasma by is gone with a half-time of some ten minutes, the rest stays in
anaesthesia (Hahn, Anesthesiology 2010;113:470).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bolus:
    """A drug of two compartments; doses in what is usually given at once."""

    comes_s: float
    goes_s: float
    depot: float = 0.0
    effect: float = 0.0

    def step(self) -> None:
        """One second."""
        moved = self.depot / self.comes_s
        self.depot -= moved
        self.effect += moved - self.effect / self.goes_s


@dataclass(slots=True)
class Fluid:
    """Plasma expansion by crystalloid, as a share of the blood: what still runs in, what leaks and what stays."""

    to_come: float = 0.0
    leaking: float = 0.0
    staying: float = 0.0
    runs_s: float = 240.0
    leaks_s: float = 860.0

    @property
    def volume(self) -> float:
        """What the circulation has more by it."""
        return self.leaking + self.staying

    def step(self) -> None:
        """One second."""
        moved = self.to_come / self.runs_s
        self.to_come -= moved
        self.leaking += 0.5 * moved - self.leaking / self.leaks_s
        self.staying += 0.5 * moved


PHENYLEPHRINE_S = (20.0, 200.0)
EPHEDRINE_S = (60.0, 600.0)
ATROPINE_S = (30.0, 1500.0)
OPIOID_S = (90.0, 700.0)
