"""Every subset of sensors through the engine as it serves, and what it shows, beside the truth and what is simpler."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from benchmarks.estimates.own_ridge import own_ridge
from benchmarks.estimates.patients import Patient, lost
from models.data.donors import Donors
from models.data.missingness import NEVER
from models.evaluation.delay_regression import delay_regression
from models.runtime.backend import Arrays, Backend
from models.runtime.bundle import Bundle
from models.runtime.engine import PRESSURES, WIDEST_MMHG, Engine
from models.runtime.pleth_look import PlethLook
from models.runtime.prediction import Prediction
from models.runtime.pressure_estimate import evidence
from models.runtime.pressure_past import PressurePast
from models.runtime.pulse_form import FORM_SPAN_S
from models.runtime.risk_policy import sensors_there
from models.runtime.spec import MEMORY_INPUT
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

BATCH = 64
LOOK_BACK = 10  # windows
OTHERS = (Modality.ECG, Modality.PPG, Modality.EEG)
LONGEST_LOSS_S = 1800.0
NEVER_SHARE = 0.15  # of the other sensors that are lost, as in training
SLACK_S = 3.0  # a frame: the pressure may have been missing for as long when it was lost
MEANS = [CONTEXT_FIELDS.index(name) for name in ("mean_60s", "mean_300s", "mean_600s")]
LEVEL, AGE = CONTEXT_FIELDS.index("level"), CONTEXT_FIELDS.index("age_s")

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Setting:
    """``there``: the sensors but the ABP that are there; ``abp_age_s``: since when the ABP is lost, 0: it is not."""

    there: frozenset[Modality]
    abp_age_s: float

    @property
    def others(self) -> str:
        """ "ECG+PPG": the sensors but the ABP that are there."""
        return "+".join(m.value for m in OTHERS if m in self.there)


def settings(ages_s: Sequence[float], others: Sequence[Modality] = OTHERS) -> list[Setting]:
    """All subsets of ``others``, each at every age."""
    subsets = [
        frozenset(m for m, k in zip(others, keep, strict=True) if k) for keep in product((1, 0), repeat=len(others))
    ]
    return [Setting(there, age) for there in sorted(subsets, key=len, reverse=True) for age in ages_s]


def others_of(spec: WindowSpec) -> tuple[Modality, ...]:
    """The sensors but the ABP that a model reads."""
    return tuple(m for m in OTHERS if m in spec.modalities)


@dataclass(frozen=True)
class Rows:
    """A row a window and setting, [n] or [n, 3] (by horizon, or MAP, SBP, DBP): what was shown, NaN where nothing was,
    and what was true, NaN where it is not known. ``patient`` is the caller's number. hold, regression, ridge: MAP by
    simpler means. evidence: :class:`models.runtime.pressure_estimate.Evidence` of each, None where there is none."""

    patient: npt.NDArray[np.int64]
    others: npt.NDArray[np.str_]
    abp_age_s: Floats
    end_s: Floats
    reason: npt.NDArray[np.str_]
    risk: Floats
    risk_lo: Floats
    risk_hi: Floats
    label: Floats
    hypotensive: Bools
    level: Floats
    estimate: Floats
    lo: Floats
    hi: Floats
    truth: Floats
    hold: Floats
    regression: Floats
    ridge: Floats
    means: Floats
    evidence: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.patient)

    def where(self, use: Bools) -> Rows:
        """The rows where ``use`` [n] is True."""
        return Rows(**{name: getattr(self, name)[use] for name in self.__dataclass_fields__})


def joined(parts: Iterable[Rows]) -> Rows:
    """The rows of all parts, in order."""
    parts = list(parts)
    return Rows(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in Rows.__dataclass_fields__})


def together(sources: Sequence[Rows]) -> Rows:
    """Rows of several sources, whose patients are others though they have the same numbers."""
    counted, parts = 0, []
    for rows in sources:
        parts.append(replace(rows, patient=rows.patient + counted))
        counted += int(rows.patient.max(initial=-1)) + 1
    return joined(parts)


class Told(Engine):
    """An engine that is told what it remembers of each window, instead of having seen the seconds before it."""

    def __init__(self, bundle: Bundle, backend: Backend, widest_mmhg: float = WIDEST_MMHG) -> None:
        super().__init__(bundle, backend, widest_mmhg=widest_mmhg)
        self.told: dict[Hashable, npt.NDArray[np.float32]] = {}

    def inputs(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> Arrays:
        """As :meth:`models.runtime.engine.Engine.inputs`, with what was told of each key as the memory."""
        batch = super().inputs(windows, keys)
        if MEMORY_INPUT in batch and keys:
            batch[MEMORY_INPUT] = np.stack([self.told[key] for key in keys])
        return batch

    def tokens(self, windows: Sequence[Window]) -> npt.NDArray[np.float32]:
        """Mean encoder token of each modality [n, M, d]; undefined where it is absent, 0 of a graph that remembers
        none."""
        if self._memory is None:
            return np.zeros((len(windows), len(self._row), self._bundle.spec.token_width), np.float32)
        parts = [
            self._backend.run(self.inputs(windows[i : i + BATCH]))["tokens"].mean(2)
            for i in range(0, len(windows), BATCH)
        ]
        return np.concatenate(parts).astype(np.float32)

    def know(
        self, key: Hashable, memory: npt.NDArray[np.float32], before: Sequence[Window], look: PlethLook | None,
        past: PressurePast,
    ) -> None:  # fmt: skip
        """``memory`` [M, d] is that of ``key``; ``before``: what was seen until the ABP was lost, of which the last
        pulses of the pressure, and of the pleth beside it, are remembered. look, past: of the pleth
        when the ABP was lost, and how they had gone together."""
        self.told[key] = memory
        abp, ppg = self._row[Modality.ABP], self._row[Modality.PPG]
        measured = [w for w in before[-LOOK_BACK:] if w.cells[abp, -FORM_SPAN_S:].all()]
        if measured and self._forms is not None:
            self._forms.learn(key, measured[-1].signals[abp], self._spec.rate_hz)
        beside = [w for w in measured if w.cells[ppg, -FORM_SPAN_S:].all()]
        if beside and self._anchors is not None:
            self._anchors.learn(key, beside[-1].signals[ppg], self._spec.rate_hz)
        if self._looks is not None:
            self._looks.restore(key, look)
            self._pasts.put(key, past)

    def forget(self, key: Hashable) -> None:
        """What was told of the key goes too."""
        super().forget(key)
        self.told.pop(key, None)


def replay(engine: Told, patient: Patient, number: int, chosen: Sequence[Setting], seed: int = 0) -> list[Rows]:
    """All settings on a patient's windows; those in which a sensor that a setting leaves was not there anyway are
    passed over. Sensors other than the ABP that are not there were lost 30 s to 30 min ago (log-uniform), or never
    measured."""
    spec = engine.window_spec
    if not patient.windows:
        return []
    rng = np.random.default_rng([seed, number])
    row_of = {m: i for i, m in enumerate(spec.modalities)}
    windows = patient.windows
    ends = np.array([w.end_s for w in windows])
    whole: Bools = np.asarray(np.stack([w.presence for w in windows]).all(-1))
    donors = Donors(whole, np.zeros(len(windows), np.intp), ends)
    means = engine.tokens(windows)
    parts: list[Rows] = []
    for setting in chosen:
        ages = np.zeros((len(windows), len(spec.modalities)))
        for modality in others_of(spec):
            if modality not in setting.there:
                drawn = np.ceil(np.exp(rng.uniform(np.log(30.0), np.log(LONGEST_LOSS_S), len(windows))))
                ages[:, row_of[modality]] = np.where(rng.random(len(windows)) < NEVER_SHARE, NEVER, drawn)
        ages[:, row_of[Modality.ABP]] = setting.abp_age_s
        left = lost(patient, range(len(windows)), ages, spec)
        use = [i for i, window in enumerate(left) if _as_asked(window, setting, spec)]
        before = donors(np.arange(len(windows)), ages)
        for begin in range(0, len(use), BATCH):
            here = use[begin : begin + BATCH]
            for i in here:
                memory = np.full(means.shape[1:], np.nan, np.float32)
                held = before[i] >= 0
                memory[held] = means[before[i][held], np.flatnonzero(held)]
                engine.know(
                    i, memory, windows[: int(before[i, row_of[Modality.ABP]]) + 1], *_beside(patient, left[i], spec)
                )
            predictions = engine.predict([left[i] for i in here], here)
            parts.append(_rows(patient, number, setting, here, left, predictions, spec))
            for i in here:
                engine.forget(i)
    return parts


def _beside(patient: Patient, window: Window, spec: WindowSpec) -> tuple[PlethLook | None, PressurePast]:
    """How the pleth looked when the pressure was last measured, and what had been learnt until then."""
    age = float(window.context[spec.modalities.index(Modality.ABP), AGE])
    if not np.isfinite(age):
        return None, PressurePast.none()
    last = round(window.end_s - age)
    return patient.look(last), patient.past(last)


def _as_asked(window: Window, setting: Setting, spec: WindowSpec) -> bool:
    age = float(window.context[spec.modalities.index(Modality.ABP), AGE])
    return sensors_there(window, spec) == setting.others and age - setting.abp_age_s <= (
        SLACK_S if setting.abp_age_s else 0
    )


def _rows(
    patient: Patient, number: int, setting: Setting, here: Sequence[int], left: Sequence[Window],
    predictions: Sequence[Prediction], spec: WindowSpec,
) -> Rows:  # fmt: skip
    nothing = (np.nan, np.nan, np.nan)
    risk = np.array([[(r.value, r.lo, r.hi) for r in p.risk.values()] or [nothing] * 3 for p in predictions])
    pressure = np.array([
        [nothing] * 3 if p.pressures is None else [(e.value, e.lo, e.hi) for e in (p.pressures[n] for n in PRESSURES)]
        for p in predictions
    ])  # fmt: skip
    context = np.stack([left[i].context for i in here])
    abp, ppg = (context[:, spec.modalities.index(m)] for m in (Modality.ABP, Modality.PPG))
    seen = np.empty(len(here), np.object_)
    for at, (i, a, p) in enumerate(zip(here, abp, ppg, strict=True)):
        now = patient.look(left[i].end_s) if Modality.PPG in setting.there else None
        seen[at] = evidence(a, p, now, *_beside(patient, left[i], spec))
    index = np.asarray(here)
    return Rows(
        patient=np.full(len(index), number), others=np.full(len(index), setting.others, "U16"),
        abp_age_s=np.full(len(index), setting.abp_age_s), end_s=np.array([left[i].end_s for i in here], np.float64),
        reason=np.array([p.reason for p in predictions], "U60"),
        risk=risk[..., 0], risk_lo=risk[..., 1], risk_hi=risk[..., 2],
        label=patient.hypotension[index], hypotensive=patient.hypotensive[index], level=abp[:, LEVEL],
        estimate=pressure[..., 0], lo=pressure[..., 1], hi=pressure[..., 2],
        truth=patient.pressures[index], hold=abp[:, LEVEL],
        regression=delay_regression(abp, ppg),
        ridge=np.array([own_ridge(patient, left[i], spec) for i in here]), means=abp[:, MEANS],
        evidence=seen,
    )  # fmt: skip
