"""What acts on the circulation in an operation, second by second, and what the anaesthetist does about it.

Precursors come of the physiology, not of labels:

* **Sympathetic tone** leads the resistance: the skin's vessels answer it at once and far more than the rest. After an
  epidural the pulse of the finger's (toe's) pleth had doubled in 15 of 29 patients by 5 min, when the mean pressure had
  fallen by 15 % in 4 (Ginosar et al., Acta Anaesthesiol Scand 2009;53:1018). The heart rate hears of it as soon.
* **Lost blood** is answered before the pressure falls: receptors of the low-pressure side tighten the vessels when the
  stroke volume does (Johnson et al., Circ Res 1974;34:515), up to a reserve that differs between people; the pulse of
  the pleth shrinks (McGrath et al., Anesth Analg 2011;112:368), the pre-ejection period and with it the delay from the
  R peak to the finger grow before rate or pressure change (Chan et al., J Clin Monit Comput 2007;21:283), the pulse
  pressure's variation passes 13 % (Michard et al., Am J Respir Crit Care Med 2000;162:134; it comes of Frank–Starling
  in ``physiology``), and respiratory variation of the heart rate fades (Cooke et al., J Trauma 2006;60:363). A litre
  (a fifth of the blood) takes a sixth off stroke volume and pulse pressure with the mean pressure held (Johnson et al.,
  J Appl Physiol 2014;117:131). Once the reserve is spent the pressure falls.
* **The drug**: the EEG follows propofol within minutes, the circulation with a half-time of 5.7 min (``pharmacology``).
* **Stimuli and boluses** hold a pressure up that falls when they go; a stimulus shows in the rate (Shribman et al., Br
  J Anaesth 1987;59:295).

Slow waves: Ornstein–Uhlenbeck processes of minutes to a quarter of an hour, whose sum falls off as 1/f, as the mean
pressure's spectrum does (Wagner & Persson, Am J Physiol 1994;266:H483). Their sizes are chosen for the published
spread of the pressure (``operation``).

The lead of the finger is Ginosar's of an epidural, taken for every slow dilation; that a rate rises with the tone by a
quarter of it, that transit to the finger lengthens by a fifth of what the vessels open, and by how much the pulse of
the finger exceeds what the resistance makes of it, are guesses of a size that the sources allow.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

from models.data.sim.drugs import ATROPINE_S, EPHEDRINE_S, OPIOID_S, PHENYLEPHRINE_S, Bolus, Fluid
from models.data.sim.operation import BEFORE_S, Event, Temper
from models.data.sim.physiology import Acting
from models.data.sim.scenarios import Mechanism

WAVES_S = (900.0, 240.0, 40.0, 500.0)
"""Time constants of the slow waves: two of the tone, one of the resistance itself, one of the veins."""
_SIZES = (0.12, 0.10, 0.06, 0.20)  # SD in log units at a temper of 1
_TONE_LAG_S = 45.0  # of the resistance behind the tone
_STIMULUS_LAG_S = 12.0
_MOST_FELT = 2.5  # of stimuli together, in incisions
_EMPTYING = 4.2  # log preload by a share of the blood lost: a fifth takes a fifth off the stroke volume
_REFLEX_S = 20.0
_REFILL_S = 3600.0  # maintenance fluid and refill from the tissues
_LOOK_S = 120.0  # mean time to act at the trigger
_AGAIN_S = (120.0, 300.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the anaesthetist has before the eyes: mean pressure, heart rate, depth (of the EEG)."""

    pressure: float
    rate: float
    depth: float


@dataclass(slots=True)
class Theatre:
    """The state of patient and team between two seconds."""

    temper: Temper
    events: dict[Mechanism, tuple[Event, ...]]
    waves: list[float]  # of unit variance
    tone: float = 0.0  # log resistance that the tone asks for, which the vessels follow
    followed: float = 0.0
    dilation: float = 0.0
    dilated: float = 0.0  # that part of it which the resistance has followed
    stimulus: float = 0.0
    compensation: float = 0.0
    deficit: float = 0.0
    lost: float = 0.0
    infusion: float = 0.0
    deeper: float = 0.0  # change of the propofol target as a share of it
    ready_s: float = -math.inf
    phenylephrine: Bolus = field(default_factory=lambda: Bolus(*PHENYLEPHRINE_S))
    ephedrine: Bolus = field(default_factory=lambda: Bolus(*EPHEDRINE_S))
    atropine: Bolus = field(default_factory=lambda: Bolus(*ATROPINE_S))
    opioid: Bolus = field(default_factory=lambda: Bolus(*OPIOID_S))
    fluid: Fluid = field(default_factory=Fluid)
    acting: Acting = field(default_factory=Acting)

    @classmethod
    def begin(cls, temper: Temper, events: tuple[Event, ...], start_s: float, waves: list[float]) -> Theatre:
        """As after a long time under these conditions; ``waves``: of unit variance, one for each of ``WAVES_S``."""
        by_mechanism = {m: tuple(e for e in events if e.mechanism is m) for m in Mechanism}
        theatre = cls(temper, by_mechanism, list(waves), deficit=temper.deficit)
        theatre.lost = theatre._sum(Mechanism.HYPOVOLAEMIA, start_s)
        theatre.deficit += theatre.lost * math.exp(-0.5 * BEFORE_S / _REFILL_S)
        theatre.tone = theatre.followed = theatre._waving()
        return theatre

    def copy(self) -> Theatre:
        """The same moment, to be taken further on its own."""
        other = copy.copy(self)
        other.waves = list(self.waves)
        for name in ("phenylephrine", "ephedrine", "atropine", "opioid", "fluid"):
            setattr(other, name, copy.copy(getattr(self, name)))
        return other

    def step(self, now_s: float, seen: Seen, reflexes: float, noise: list[float], luck: list[float]) -> str | None:
        """One second; returns what was given. ``reflexes``: their share that the drug leaves; ``noise``: standard
        normal, one for each wave; ``luck``: two numbers of [0, 1)."""
        given = self._treat(now_s, seen, luck)
        for drug in (self.phenylephrine, self.ephedrine, self.atropine, self.opioid, self.fluid):
            drug.step()
        for i, span in enumerate(WAVES_S):
            self.waves[i] += noise[i] * math.sqrt(2.0 / span) - self.waves[i] / span
        self.deeper *= 1.0 - 1.0 / 900.0
        self.tone = self._waving()
        self.followed += (self.tone - self.followed) / _TONE_LAG_S
        self.dilation = self._sum(Mechanism.VASODILATION, now_s)
        self.dilated = sum([e.at(now_s - e.lead_s) for e in self.events[Mechanism.VASODILATION]])
        felt = self._sum(Mechanism.STIMULUS, now_s) * math.exp(-self.opioid.effect) * _lightness(seen.depth)
        felt = _MOST_FELT * math.tanh(felt / _MOST_FELT)
        self.stimulus += (felt - self.stimulus) / _STIMULUS_LAG_S
        self._bleed(now_s)
        self.acting = self._acts(now_s, reflexes)
        return given

    # -- what acts -------------------------------------------------------------------------------------------------

    def _sum(self, mechanism: Mechanism, now_s: float) -> float:
        return sum([event.at(now_s) for event in self.events[mechanism]])

    def _waving(self) -> float:
        waves = _SIZES[0] * self.waves[0] + _SIZES[1] * self.waves[1]
        return self.temper.wander * waves - 0.05 * self.opioid.effect

    def _bleed(self, now_s: float) -> None:
        lost = self._sum(Mechanism.HYPOVOLAEMIA, now_s)
        self.deficit += lost - self.lost - self.deficit / _REFILL_S
        self.lost = lost

    def _acts(self, now_s: float, reflexes: float) -> Acting:
        pressor, ephedrine = self.phenylephrine.effect, self.ephedrine.effect
        filling = (
            -_EMPTYING * (self.deficit - self.fluid.volume)
            + self.temper.wander * _SIZES[3] * self.waves[3]
            - self._sum(Mechanism.ABRUPT, now_s) - self._sum(Mechanism.POSTURE, now_s)
            + 0.25 * pressor + 0.15 * ephedrine + 0.3 * self.infusion
        )  # fmt: skip
        preload = math.exp(min(filling, 0.5))
        short = max(1.0 - 1.25 * preload / (preload + 0.25), 0.0)  # of the stroke volume, by Frank–Starling
        wanted = min(1.3 * short * (0.4 + 0.6 * reflexes), self.temper.reserve)
        self.compensation += (wanted - self.compensation) / _REFLEX_S
        tight = self.compensation
        opening = self.tone - self.dilation
        vagal = self._sum(Mechanism.BRADYCARDIA, now_s) * max(1.0 - self.atropine.effect, 0.0)
        tight_log = (
            self.followed - self.dilated + self.temper.wander * _SIZES[2] * self.waves[2]
            + 0.16 * self.stimulus + 0.40 * pressor + 0.15 * ephedrine + self.infusion
        )  # fmt: skip
        faster = (
            0.25 * self.tone + 0.08 * self.stimulus + 0.4 * tight + 0.10 * ephedrine
            + 0.20 * self.atropine.effect - vagal
        )  # fmt: skip
        return Acting(
            resistance=self.temper.level * (1.0 + tight) * math.exp(tight_log),
            preload=preload,
            rate=math.exp(faster),
            contractility=math.exp(0.15 * ephedrine - self._sum(Mechanism.CARDIAC, now_s)),
            set_point=self.temper.level,
            finger=math.exp(-1.3 * opening - 0.25 * self.stimulus) / (1.0 + tight),
            variability=math.exp(-3.0 * tight - 0.4 * self.stimulus - self.atropine.effect),
            transit=math.exp(-0.2 * opening),
        )

    # -- what is done ----------------------------------------------------------------------------------------------

    def _treat(self, now_s: float, seen: Seen, luck: list[float]) -> str | None:
        """The lower the pressure under the trigger, the sooner something is given; an infusion is steered slowly."""
        short = self.temper.goal - seen.pressure
        self.infusion = min(max(self.infusion + 4e-5 * min(max(short, -10.0), 10.0), 0.0), 0.6)
        if now_s < self.ready_s:
            return None
        below = self.temper.trigger - seen.pressure
        if below > 0.0:
            if luck[0] < self.temper.prompt / _LOOK_S * math.exp(min(below, 20.0) / 6.0):
                return self._raise(now_s, seen, luck[1])
        elif seen.pressure > self.temper.goal + 22.0 and luck[0] < self.temper.prompt / 200.0:
            return self._lower(now_s, luck[1])
        return None

    def _raise(self, now_s: float, seen: Seen, choice: float) -> str:
        self.ready_s = now_s + _AGAIN_S[0] + choice * (_AGAIN_S[1] - _AGAIN_S[0])
        if seen.rate < 45.0:
            self.atropine.depot += 1.0
            return "atropine"
        if seen.depth < 40.0:
            self.deeper = max(self.deeper - 0.2, -0.4)
        bled = self.deficit - self.fluid.volume - self.fluid.to_come
        if bled > 0.10 and choice < 0.6:
            self.fluid.to_come += 0.04 + 0.3 * bled
            self.phenylephrine.depot += 0.4
            return "fluid bolus"
        if seen.rate < 62.0 or choice > 0.8:
            self.ephedrine.depot += 0.6 + 0.6 * choice
            return "ephedrine"
        self.phenylephrine.depot += 0.5 + 0.8 * choice
        return "phenylephrine, lighter anaesthesia" if self.deeper < 0.0 else "phenylephrine"

    def _lower(self, now_s: float, choice: float) -> str:
        self.ready_s = now_s + 240.0
        if choice < 0.5:
            self.opioid.depot += 0.8
            return "opioid"
        self.deeper = min(self.deeper + 0.2, 0.4)
        return "deeper anaesthesia"


def _lightness(depth: float) -> float:
    """How much of a stimulus is felt; 1 at the usual depth of 46."""
    return min(max(depth / 46.0, 0.4), 1.6)
