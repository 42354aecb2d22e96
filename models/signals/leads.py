"""Which of several leads of one modality serves: the best usable one feeds rhythm, numerics, model and screen.

Leads are numbered in the order of preference; 0 serves from the start. One is left

* at once for a lead that goes on beating, where it is silent: absent, flat, or still. Two leads of one heart do not
  disagree on whether it beats, so the still one is off. In an asystole every lead is still, and the one that serves
  says so;
* after ``POOR_S`` for such a lead, where it is artefact or shows no beats that can be told;
* for any lead that is measured, where it is absent; and for one that is still or fibrillates, after ``POOR_S`` of
  artefact: an artefact on one lead must not hide an asystole on another.

A preferred lead serves again once it has been good for ``BACK_S``; one whose silence another lead has refuted is not
asked for ``BACK_S``. So leads do not take turns. All in whole seconds of event time, from verdicts of completed cells
alone: however the samples came, the choice is the same. The seconds of the newest cells can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.signals.absence import Absence, Standing, standing_of
from models.signals.findings import Rhythm
from models.signals.modalities import Modality

SEVERAL = frozenset({Modality.ECG})
"""Modalities of which several leads are read. Not the pulses: another site has another delay and another level, on
which estimates are anchored; nor the EEG, whose sides differ."""
MOST_LEADS = 3

GOOD_S, POOR_S, BACK_S = 2, 4, 60
LATEST_BEAT_S = 2.5  # a lead that beats has a beat at least this new: 24/min
_SILENT = (Absence.FLAT, Absence.SATURATED)


@dataclass(frozen=True, slots=True)
class LeadVerdict:
    """What one lead says in one second. beat_ago_s: age of its newest beat, inf without one."""

    absence: Absence | None
    rhythm: Rhythm
    beat_ago_s: float = float("inf")

    @property
    def measured(self) -> bool:
        """Data flow and can be believed."""
        return self.absence is None

    @property
    def absent(self) -> bool:
        """No data, or the electrode is off."""
        return standing_of(self.absence) is Standing.ABSENT

    @property
    def beats(self) -> bool:
        """It beats, and goes on doing so."""
        return self.measured and self.rhythm is Rhythm.BEATS and self.beat_ago_s <= LATEST_BEAT_S

    @property
    def silent(self) -> bool:
        """Nothing of a heart is to be seen in it."""
        return self.absent or self.absence in _SILENT or self.rhythm is Rhythm.STILL

    @property
    def poor(self) -> bool:
        """Neither silent nor of use; a lead of which too little is seen is not judged."""
        return not self.measured or self.rhythm is Rhythm.UNCLEAR

    @property
    def grave(self) -> bool:
        """Measured bad news."""
        return self.measured and self.rhythm in (Rhythm.STILL, Rhythm.FIBRILLATION)


@dataclass(frozen=True, slots=True)
class Serving:
    """Of one second: the lead that serves, and why each of the others does not or would not, None where it would."""

    lead: int
    absence: Mapping[int, Absence | None]


@dataclass(frozen=True, slots=True)
class Runs:
    """Seconds in a row, up to now, by lead: beating, measured; poor: of the lead that serves. refuted: the last second
    in which each lead was silent while another one beat."""

    serving: int
    beating: Mapping[int, int]
    measured: Mapping[int, int]
    poor_s: int
    refuted: Mapping[int, int]


class LeadChoice:
    """The choice among the leads of one modality. Add the seconds in order; ``forget`` takes back the newest ones."""

    def __init__(self, remembered_s: int) -> None:
        """remembered_s: how many of the newest seconds can be taken back."""
        self._remembered_s = remembered_s
        self.reset()

    def reset(self) -> None:
        """Forget every lead: a new epoch."""
        self._runs: dict[int, Runs] = {}
        self._first = Runs(0, {}, {}, 0, {})

    def forget(self, second: int) -> None:
        """Take back the seconds from ``second`` on."""
        for late in [s for s in self._runs if s >= second]:
            del self._runs[late]

    def export(self, second: int) -> Runs | None:
        """What the seconds before ``second`` have left; None where no choice was made in the last of them."""
        return self._runs.get(second - 1)

    def restore(self, second: int, runs: Runs | None) -> None:
        """From now on as the choice that ``runs`` was taken of; the next second is ``second``."""
        self._runs = {} if runs is None else {second - 1: runs}

    def lead_at(self, second: int) -> int:
        """The lead that served in one of the newest seconds; 0 before the first."""
        return self._runs.get(second, self._first).serving

    def add(self, second: int, verdicts: Mapping[int, LeadVerdict]) -> Serving:
        """The lead that serves in ``second``, which follows the one added last."""
        before = self._runs.get(second - 1, self._first)
        beating = {k: before.beating.get(k, 0) + 1 if v.beats else 0 for k, v in verdicts.items()}
        measured = {k: before.measured.get(k, 0) + 1 if v.measured else 0 for k, v in verdicts.items()}
        any_beats = any(run >= GOOD_S for run in beating.values())
        refuted = dict(before.refuted) | {k: second for k, v in verdicts.items() if v.silent and any_beats}
        now = verdicts.get(before.serving)
        poor_s = before.poor_s + 1 if now is not None and now.poor else 0
        runs = Runs(before.serving, beating, measured, poor_s, refuted)
        serving = _choose(second, runs, verdicts)
        if serving != before.serving:
            runs = Runs(serving, beating, measured, 0, refuted)
        self._runs[second] = runs
        self._runs.pop(second - self._remembered_s - 1, None)
        return Serving(serving, {k: _why_not(v, refuted.get(k) == second) for k, v in verdicts.items()})


def _choose(second: int, runs: Runs, verdicts: Mapping[int, LeadVerdict]) -> int:
    now = verdicts.get(runs.serving)
    others = [k for k in sorted(verdicts) if k != runs.serving]
    beating = [k for k in others if runs.beating[k] >= GOOD_S]
    if now is None or now.silent or runs.poor_s >= POOR_S:
        if beating:
            return beating[0]
        rested = [k for k in others if second - runs.refuted.get(k, second - BACK_S) >= BACK_S]
        usable = [k for k in rested if runs.measured[k] >= GOOD_S]
        if now is None or now.absent:
            return usable[0] if usable else runs.serving
        if runs.poor_s >= POOR_S and not now.silent:
            return next((k for k in usable if verdicts[k].grave), runs.serving)
        return runs.serving
    return next((k for k in others if k < runs.serving and runs.beating[k] >= BACK_S), runs.serving)


def _why_not(verdict: LeadVerdict, refuted: bool) -> Absence | None:
    """A line that is still while another lead beats is flat, whatever noise is on it."""
    return Absence.FLAT if verdict.measured and refuted else verdict.absence
