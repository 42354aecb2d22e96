"""The second course of the pressure: what an operation does to the circulation, planned before the first beat.

The first course (``scenarios``) has one episode after the other, each a ramp to its own nadir. In operations low
pressures mostly come otherwise: the pressure wanders about a level that differs by patient, and what the surgeon and
the anaesthetist do pushes it at any time, several at once. Here everything acts as a size, and what pressure comes of
it is the circulation's own affair (``theatre``).

What is published, and was aimed at: mean pressure of a patient over the operation 84 ± 10 mmHg, its change from one
minute to the next 2.5 ± 1.3 mmHg (104,401 operations; Mascha et al., Anesthesiology 2015;123:79); its spread within a
patient 11 % of it (quartiles 8 and 14 %; 835 operations; Wiórek & Krzych, Int J Environ Res Public Health
2019;16:4380). How often a mechanism comes, how large it is and how large the slow waves are have no source: they are
clinical ranges, set by hand a few times over until those figures, and summary statistics of one half of VitalDB's
arterial pressures (``benchmarks/results/pressure_history.md``), looked alike. Nothing is fitted to samples of VitalDB,
whose licence (CC BY-NC-SA 4.0) would not allow it to be shipped; its other half judges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.data.sim.pharmacology import concentration_for
from models.data.sim.scenarios import Mechanism, Plan, Scenario

COURSES = (1, 2)
"""Of the mean pressure, by number, never changed once patients were made with it. 1: ``scenarios``; 2: this."""
SHIPPED_COURSE = 1
"""Of every patient that nothing else is said of: that which the shipped model learnt from. Goes on with it."""

BEFORE_S = 1500.0
"""How long before the recording things may have begun that still act in it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that acts on the circulation: rises over ``rise_s`` from ``start_s``, holds, and falls away.

    size: of STIMULUS in units of an incision; of HYPOVOLAEMIA the share of the blood that is lost (what is given
    instead is the anaesthetist's affair); of the others the change of what they act on, in log units.
    """

    start_s: float
    mechanism: Mechanism
    size: float
    rise_s: float
    hold_s: float = math.inf
    fall_s: float = 60.0  # time constant
    lead_s: float = 0.0  # by how much skin and heart are ahead of the resistance in it

    def at(self, time_s: float) -> float:
        """How much of it acts at a time."""
        since = time_s - self.start_s
        if since <= 0.0:
            return 0.0
        if since < self.rise_s:
            return self.size * (0.5 - 0.5 * math.cos(math.pi * since / self.rise_s))
        over = since - self.rise_s - self.hold_s
        return self.size if over <= 0.0 else self.size * math.exp(-over / self.fall_s)


@dataclass(frozen=True, slots=True)
class Temper:
    """How this patient's circulation keeps its pressure, and how this anaesthetist looks after it.

    level: of the pressure that surgery and reflexes keep, over that of the drug alone. wander: of the vessels' and
    veins' slow waves, 1 in the middle. reserve: by how much the vessels can tighten for lost blood, which differs
    widely between people (Convertino et al., J Trauma 2006;61:459). deficit: share of the blood that is missing at the
    start. trigger: mean pressure in mmHg below which something is done, goal: to which an infusion is titrated.
    prompt: 1 in the middle, more is sooner.
    """

    level: float
    wander: float
    reserve: float
    deficit: float
    trigger: float
    goal: float
    prompt: float


@dataclass(frozen=True, slots=True)
class Operation(Plan):
    """A plan whose events overlap; ``episodes`` is empty."""

    events: tuple[Event, ...]
    temper: Temper

    def marks(self) -> list[tuple[float, Mechanism, str]]:
        """As of :class:`Plan`; a stimulus raises the pressure and is a decoy."""
        return [(e.start_s, e.mechanism, "decoy" if e.mechanism is Mechanism.STIMULUS else "event")
                for e in self.events if e.start_s >= 0.0]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Kind:
    """One mechanism's rate an hour in a mixed operation, and ranges of its events (uniform; times in s)."""

    an_hour: float
    size: tuple[float, float]
    rise_s: tuple[float, float]
    hold_s: tuple[float, float]
    fall_s: tuple[float, float]
    lead_s: tuple[float, float] = (0.0, 0.0)


_KINDS = {
    # Incision, traction, intubation: rate and pressure up within half a minute (Shribman et al., Br J Anaesth
    # 1987;59:295: laryngoscopy and intubation, + 25 % for some 5 min).
    Mechanism.STIMULUS: _Kind(6.0, (0.4, 1.8), (10, 60), (30, 700), (30, 150)),
    # Opioid, antibiotic, volatile, epidural: resistance down by up to a third, slowly. Lead: in Ginosar et al. (see
    # ``theatre``) the skin of half the patients had opened by 5 min and the pressure of half had fallen by 15 to 20.
    Mechanism.VASODILATION: _Kind(2.0, (0.15, 0.45), (60, 300), (300, 1500), (200, 700), (120, 480)),
    # A tenth to a third of the blood over 6 to 40 min.
    Mechanism.HYPOVOLAEMIA: _Kind(0.8, (0.08, 0.34), (360, 2400), (math.inf, math.inf), (1, 1)),
    # Vagal: traction on the peritoneum, insufflation.
    Mechanism.BRADYCARDIA: _Kind(0.3, (0.20, 0.55), (8, 40), (30, 240), (20, 60)),
    # Caval compression, a retractor, a clamp opened: preload down within seconds.
    Mechanism.ABRUPT: _Kind(1.5, (0.4, 1.3), (6, 30), (20, 200), (10, 40)),
    # Head up, gas out, legs down: preload down within a minute or two, for as long as it stays so.
    Mechanism.POSTURE: _Kind(1.0, (0.2, 0.8), (20, 120), (400, 2400), (30, 90)),
    # Failing contractility; the mechanism held out of training.
    Mechanism.CARDIAC: _Kind(0.6, (0.2, 0.6), (180, 900), (600, 2400), (300, 900)),
}
_MOSTLY = {Scenario.VASODILATION, Scenario.HYPOVOLAEMIA, Scenario.BRADYCARDIA, Scenario.ABRUPT, Scenario.CARDIAC}
_INDUCTION_S = (60.0, 240.0)
_LARYNGOSCOPY_S = (180.0, 360.0)  # after the induction
_INCISION_S = (900.0, 1700.0)


def draw_operation(rng: np.random.Generator, scenario: Scenario, duration_s: float, ce50: float) -> Operation:
    """The plan of one recording of ``duration_s`` seconds for a subject whose propofol ``ce50`` is in µg/ml."""
    induction = scenario is Scenario.INDUCTION
    asleep_s = float(rng.uniform(*_INDUCTION_S)) if induction else -BEFORE_S
    temper = _draw_temper(rng, scenario)
    events: list[Event] = []
    if induction:  # the tube, then nothing to feel until the incision
        events.append(Event(asleep_s + float(rng.uniform(*_LARYNGOSCOPY_S)), Mechanism.STIMULUS,
                            float(rng.uniform(0.8, 2.0)), 20.0, float(rng.uniform(40, 150)), 90.0))  # fmt: skip
    surgery_s = asleep_s + float(rng.uniform(*_INCISION_S)) if induction else -BEFORE_S
    # What surgery keeps up all the time, on which single stimuli come.
    events.append(Event(surgery_s, Mechanism.STIMULUS, float(rng.uniform(0.2, 0.7)), 30.0))
    for mechanism, kind in _KINDS.items():
        rate = kind.an_hour * _share(scenario, mechanism)
        span = duration_s - surgery_s
        for start in np.sort(rng.uniform(surgery_s, duration_s, int(rng.poisson(rate * span / 3600.0)))):
            size, rise, hold, fall = (
                float(rng.uniform(*limits)) if math.isfinite(limits[1]) else math.inf
                for limits in (kind.size, kind.rise_s, kind.hold_s, kind.fall_s)
            )
            lead = float(rng.uniform(*kind.lead_s))
            events.append(Event(float(start), mechanism, size, rise, hold, fall, lead))
    events.sort(key=lambda e: e.start_s)
    propofol = _draw_titration(rng, scenario, asleep_s, duration_s, ce50)
    return Operation(scenario, (), propofol, scenario is not Scenario.DECOUPLED, tuple(events), temper)


def _share(scenario: Scenario, mechanism: Mechanism) -> float:
    """By how much the mechanism is more frequent than in a mixed operation."""
    if mechanism is Mechanism.STIMULUS:
        return 1.0
    if scenario is Scenario.STABLE or (mechanism is Mechanism.CARDIAC and scenario is not Scenario.CARDIAC):
        return 0.0
    if scenario in _MOSTLY:
        return 3.0 if scenario.value == mechanism.value else 0.4
    return 1.0


def _draw_titration(
    rng: np.random.Generator, scenario: Scenario, asleep_s: float, duration_s: float, ce50: float
) -> tuple[tuple[float, float], ...]:
    """The target as it is set and set again: to depths about 46, at times far off."""
    steps: list[tuple[float, float]] = [(-1e9, 0.0)] if scenario is Scenario.INDUCTION else []
    time = asleep_s if scenario is Scenario.INDUCTION else -1e9
    while time < duration_s:
        depth = float(np.clip(rng.normal(46, 10), 24, 68))
        if scenario is Scenario.DECOUPLED:
            depth = float(rng.uniform(18, 70))
        if scenario is Scenario.DEEP and rng.random() < 0.7:
            depth = float(rng.uniform(8, 28))
        if len(steps) == 1 and scenario is Scenario.INDUCTION:
            depth = float(rng.uniform(25, 40))
        steps.append((time, concentration_for(depth, ce50)))
        time = max(time, 0.0) + float(rng.uniform(300, 1000))
    return tuple(steps)


def _draw_temper(rng: np.random.Generator, scenario: Scenario) -> Temper:
    calm = 0.6 if scenario is Scenario.STABLE else 1.0
    return Temper(
        level=float(np.clip(rng.lognormal(math.log(1.02), 0.08), 0.82, 1.30)),
        wander=calm * float(np.clip(rng.lognormal(0.0, 0.35), 0.4, 2.0)),
        reserve=float(np.clip(rng.normal(0.22, 0.08), 0.06, 0.45)),
        deficit=float(rng.uniform(0.0, 0.08)),
        trigger=float(np.clip(rng.normal(64.0, 3.0), 57.0, 71.0)),
        goal=float(np.clip(rng.normal(74.0, 4.0), 66.0, 84.0)),
        prompt=float(np.clip(rng.lognormal(0.0, 0.5), 0.3, 3.0)),
    )
