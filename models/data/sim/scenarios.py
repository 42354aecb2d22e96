"""What will happen to the patient: episodes, decoys and anaesthesia, planned before the first beat.

An episode deepens at its own pace until mean pressure reaches its nadir, holds, and ends by treatment or by itself.
Whether and when it is treated depends on the pressure it causes, so the plan holds thresholds, not times.
Mechanisms: Saugel & Sessler, Anesthesiology 2021;134:250 (vasodilation, hypovolaemia, bradycardia, low cardiac output).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.data.sim.pharmacology import concentration_for


class Mechanism(StrEnum):
    """What moves the pressure in one episode."""

    VASODILATION = "vasodilation"
    HYPOVOLAEMIA = "hypovolaemia"
    BRADYCARDIA = "bradycardia"
    ABRUPT = "abrupt"  # within seconds, without precursor (caval compression)
    CARDIAC = "cardiac"  # failing contractility; the mechanism held out of training
    STIMULUS = "stimulus"  # pain: pressure and rate rise
    POSTURE = "posture"  # blood stays in the legs; of the second course only


class Scenario(StrEnum):
    """What the operation brings, by the name that ``demo:scenario=`` takes."""

    DEMO = "demo"
    STABLE = "stable"
    VASODILATION = "vasodilation"
    HYPOVOLAEMIA = "hypovolaemia"
    BRADYCARDIA = "bradycardia"
    ABRUPT = "abrupt"
    CARDIAC = "cardiac"
    MIXED = "mixed"
    DEEP = "deep"
    INDUCTION = "induction"
    DECOUPLED = "decoupled"  # depth wanders widely and pressure has its own episodes: neither follows the other


@dataclass(frozen=True, slots=True)
class Episode:
    """One change of the circulation. Times in s; pressures in mmHg of mean arterial pressure."""

    start_s: float
    mechanism: Mechanism
    ramp_s: float  # to full severity
    nadir: float  # deepening stops here
    rescue_below: float  # treatment is due once below this …
    rescue_after_s: float  # … for this long
    recover_s: float  # time constant of recovery
    hold_s: float  # ends by itself this long after the ramp
    decoy: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Episodes in order of time (never overlapping at their starts) and steps of the propofol target (s, µg/ml)."""

    scenario: Scenario
    episodes: tuple[Episode, ...]
    propofol: tuple[tuple[float, float], ...]
    depth_acts: bool  # whether propofol depresses the circulation

    def marks(self) -> list[tuple[float, Mechanism, str]]:
        """When what begins within the recording, and whether it lowers the pressure ("event") or not ("decoy")."""
        return [(e.start_s, e.mechanism, "decoy" if e.decoy else "event") for e in self.episodes]


_TRAIN_MECHANISMS = (Mechanism.VASODILATION, Mechanism.HYPOVOLAEMIA, Mechanism.BRADYCARDIA, Mechanism.ABRUPT)
_TRAIN_SHARES = (0.40, 0.35, 0.15, 0.10)
_DRAW = {
    "train": {
        Scenario.MIXED: 0.40,
        Scenario.VASODILATION: 0.14,
        Scenario.HYPOVOLAEMIA: 0.14,
        Scenario.BRADYCARDIA: 0.06,
        Scenario.ABRUPT: 0.06,
        Scenario.STABLE: 0.08,
        Scenario.DEEP: 0.06,
        Scenario.INDUCTION: 0.06,
    },
    "heldout": {
        Scenario.MIXED: 0.35,
        Scenario.CARDIAC: 0.30,
        Scenario.STABLE: 0.10,
        Scenario.DECOUPLED: 0.15,
        Scenario.INDUCTION: 0.10,
    },
}
_RAMP_S = {
    Mechanism.VASODILATION: (90, 480),
    Mechanism.HYPOVOLAEMIA: (240, 900),
    Mechanism.BRADYCARDIA: (15, 90),
    Mechanism.ABRUPT: (6, 18),
    Mechanism.CARDIAC: (120, 600),
    Mechanism.STIMULUS: (15, 60),
}


def draw_scenario(rng: np.random.Generator, profile: str) -> Scenario:
    """A scenario of the population of ``profile`` (the held-out mechanism occurs only in ``heldout``)."""
    shares = _DRAW[profile]
    return list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]


def draw_plan(rng: np.random.Generator, scenario: Scenario, duration_s: float, ce50: float) -> Plan:
    """The plan of one recording of ``duration_s`` seconds for a subject whose propofol ``ce50`` is in µg/ml."""
    if scenario is Scenario.DEMO:
        return _demo_plan(rng, duration_s, ce50)
    start = rng.uniform(60, 420)
    if scenario is Scenario.INDUCTION:
        start += 600
    episodes = _draw_episodes(rng, scenario, start, duration_s)
    return Plan(scenario, episodes, _draw_propofol(rng, scenario, duration_s, ce50), scenario is not Scenario.DECOUPLED)


def _draw_episode(rng: np.random.Generator, mechanism: Mechanism, start_s: float, decoy: bool) -> Episode:
    ramp = float(rng.uniform(*_RAMP_S[mechanism]))
    if decoy:
        return Episode(
            start_s,
            mechanism,
            ramp * 1.5,
            float(rng.uniform(68, 76)),
            0.0,
            0.0,
            90.0,
            float(rng.uniform(60, 400)),
            True,
        )
    early = rng.random() < 0.3  # a watchful anaesthetist aborts the event
    return Episode(
        start_s=start_s,
        mechanism=mechanism,
        ramp_s=ramp,
        nadir=float(rng.uniform(49, 61)),
        rescue_below=float(rng.uniform(66, 72)) if early else float(rng.uniform(58, 64)),
        rescue_after_s=float(rng.uniform(5, 40)) if early else float(rng.uniform(60, 300)),
        recover_s=float(rng.uniform(25, 90)),
        hold_s=float(rng.uniform(200, 900)),
    )


def _draw_episodes(
    rng: np.random.Generator, scenario: Scenario, start_s: float, duration_s: float
) -> tuple[Episode, ...]:
    own = Mechanism(scenario.value) if scenario.value in set(Mechanism) else None
    episodes = []
    time = start_s
    while time < duration_s:
        what = rng.random()
        if what < 0.15:
            mechanism, decoy = Mechanism.STIMULUS, True
        elif what < 0.35 or scenario is Scenario.STABLE:
            mechanism, decoy = _TRAIN_MECHANISMS[int(rng.choice(2))], True
        else:
            drawn = _TRAIN_MECHANISMS[int(rng.choice(4, p=_TRAIN_SHARES))]
            mechanism, decoy = own or drawn, False
        episode = _draw_episode(rng, mechanism, time, decoy)
        episodes.append(episode)
        time += episode.ramp_s + float(rng.uniform(200, 700))
    return tuple(episodes)


def _draw_propofol(
    rng: np.random.Generator, scenario: Scenario, duration_s: float, ce50: float
) -> tuple[tuple[float, float], ...]:
    steps: list[tuple[float, float]] = []
    time = -1e9  # in force since long before the start
    if scenario is Scenario.INDUCTION:
        steps.append((time, 0.0))
        steps.append((float(rng.uniform(60, 240)), concentration_for(float(rng.uniform(25, 40)), ce50)))
        time = 600.0
    while time < duration_s:
        depth = float(np.clip(rng.normal(46, 8), 28, 68))
        if scenario is Scenario.DECOUPLED:  # wide enough to tell whoever reads depth from pressure
            depth = float(rng.uniform(18, 70))
        if scenario is Scenario.DEEP and steps and rng.random() < 0.7:
            depth = float(rng.uniform(8, 28))
        steps.append((time, concentration_for(depth, ce50)))
        time = max(time, 0.0) + float(rng.uniform(300, 1200))
    return tuple(steps)


def _demo_plan(rng: np.random.Generator, duration_s: float, ce50: float) -> Plan:
    """The built-in patient: an engaging first hour, then drawn at random for as long as wanted."""
    script = (
        Episode(195.0, Mechanism.VASODILATION, 110.0, 55.0, 62.0, 80.0, 35.0, 600.0),
        Episode(620.0, Mechanism.STIMULUS, 30.0, 0.0, 0.0, 0.0, 60.0, 90.0, True),
        Episode(900.0, Mechanism.HYPOVOLAEMIA, 420.0, 54.0, 62.0, 120.0, 80.0, 900.0),
        Episode(1950.0, Mechanism.VASODILATION, 400.0, 71.0, 0.0, 0.0, 90.0, 150.0, True),
        Episode(2500.0, Mechanism.BRADYCARDIA, 40.0, 54.0, 60.0, 70.0, 30.0, 600.0),
        Episode(3050.0, Mechanism.ABRUPT, 12.0, 52.0, 60.0, 75.0, 40.0, 600.0),
    )
    later = _draw_episodes(rng, Scenario.MIXED, 3700.0, duration_s)
    steps = tuple((t, concentration_for(depth, ce50)) for t, depth in ((-1e9, 46.0), (1420.0, 12.0), (1700.0, 46.0)))
    drawn = _draw_propofol(rng, Scenario.MIXED, duration_s, ce50)
    return Plan(Scenario.DEMO, script + later, steps + tuple(s for s in drawn if s[0] > 3600.0), True)


EFFECTS: dict[Mechanism, Callable[[float], tuple[float, float, float, float]]] = {
    Mechanism.VASODILATION: lambda x: (math.exp(-0.75 * x), 1.0, 1.0 + 0.03 * x, 1.0),
    Mechanism.HYPOVOLAEMIA: lambda x: (1.0, math.exp(-1.05 * x), 1.0 + 0.22 * min(x, 1.0), 1.0),
    Mechanism.BRADYCARDIA: lambda x: (math.exp(-0.30 * x), 1.0, math.exp(-0.45 * x), 1.0),
    Mechanism.ABRUPT: lambda x: (math.exp(-0.20 * x), math.exp(-1.30 * x), 1.0 + 0.08 * x, 1.0),
    Mechanism.CARDIAC: lambda x: (1.0, 1.0, 1.0 + 0.10 * x, math.exp(-0.80 * x)),
    Mechanism.STIMULUS: lambda x: (1.0 + 0.22 * x, 1.0, 1.0 + 0.16 * x, 1.0),
}
"""Severity to factors of resistance, preload, heart rate and contractility."""

TREATMENTS = {
    Mechanism.VASODILATION: "phenylephrine",
    Mechanism.HYPOVOLAEMIA: "fluid bolus",
    Mechanism.BRADYCARDIA: "atropine, ephedrine",
    Mechanism.ABRUPT: "cause removed, phenylephrine",
    Mechanism.CARDIAC: "dobutamine",
    Mechanism.STIMULUS: "analgesic",
}
