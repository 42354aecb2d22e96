"""From windows to predictions: batches the inputs, runs the backend, widens intervals, decides what may be shown.

What a bundle's graph does not give (a single-sensor student's gives little) is not in the prediction. What may be
estimated at all is decided by :mod:`models.signals.estimable`, whether a risk may be given by
:mod:`models.runtime.risk_policy`; an estimated pressure also ends where its 80 % interval grows too wide to act on.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.runtime.anchor import Anchors, PulseLook
from models.runtime.backend import Arrays, Backend, BackendInfo
from models.runtime.bundle import Bundle
from models.runtime.calibration import half_width, pressure_half_widths
from models.runtime.guard import Service
from models.runtime.leave_out import (
    NO_OTHER,
    NOT_KNOWN,
    NOT_THERE,
    Histories,
    LeftOut,
    Remembrance,
    gated,
    memory_without,
)
from models.runtime.memory import BedMemory, EngineMemory, Remembered, rounds
from models.runtime.pleth_look import PlethLook, PlethLooks, pleth_look, pleth_of
from models.runtime.prediction import AMENDED_S, Interval, Prediction, RestoredWave, lost
from models.runtime.pressure_estimate import estimated_map
from models.runtime.pressure_past import EVERY_S, PressurePast, beside_pressure
from models.runtime.pulse_form import FORM_SPAN_S, PulseForms, reshaped, reshaped_wave
from models.runtime.risk_policy import risk_abstains, risk_bounds
from models.runtime.spec import AUTO, CHOICE_INPUT, MEMORY_INPUT, SELFMASK, PressureMoves
from models.signals.errors import BackendFailed
from models.signals.estimable import NEVER_CONNECTED, not_estimable
from models.signals.leave_out import WindowPast
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

PRESSURES = ("map", "sbp", "dbp")
MIN_EEG_S = 15
WIDEST_MMHG = 10.0
"""Half of the 80 % interval of an estimated mean pressure beyond which nothing is shown: twice the 5 ± 8 mmHg that
AAMI/ISO 81060-2 allows a device to err."""
WAVE_OUTPUT = {Modality.ABP: "abp_wave", Modality.PPG: "ppg_wave", Modality.ECG: "ecg_wave"}
_AGE = CONTEXT_FIELDS.index("age_s")
_CHECKED = ("risk", "risk_lo", "risk_hi", "depth", "pressure")


class Engine:
    """A bundle on a backend. Not thread-safe: one inference thread calls it.

    ``imputer`` fills the slots of absent frames: ``restoration``, ``selfmask``, ``none``; ``auto`` is the bundle's own.
    ``widest_mmhg``: see ``WIDEST_MMHG``. Raises BadInput for an imputer that the bundle does not hold.
    """

    def __init__(self, bundle: Bundle, backend: Backend, imputer: str = AUTO, widest_mmhg: float = WIDEST_MMHG) -> None:
        self.imputer = bundle.imputer(imputer)
        self._widest_mmhg = widest_mmhg
        self._bundle, self._backend = bundle, backend
        self._spec = bundle.window_spec
        self._row = {m: i for i, m in enumerate(self._spec.modalities)}
        self._given = bundle.spec.given
        width = bundle.spec.token_width
        self._memory = BedMemory(len(self._row), width) if bundle.spec.memory else None
        self._restores = Modality.ABP in self._row and {"pressure", "abp_wave"} <= self._given
        self._forms = PulseForms() if self._restores else None
        self._anchors = Anchors() if self._restores and Modality.PPG in self._row else None
        self._pasts: Remembered[PressurePast] = Remembered()
        self._looks = PlethLooks() if self._anchors is not None and bundle.spec.pressure is not None else None
        self._histories = Histories(self._spec)

    @property
    def window_spec(self) -> WindowSpec:
        """What the stream must cut for this model."""
        return self._spec

    @property
    def backend(self) -> BackendInfo:
        """Of the backend that runs the graph."""
        return self._backend.info

    @property
    def service(self) -> Service:
        """How predictions are served; an engine without a watchdog serves as it was chosen."""
        return Service()

    @property
    def model(self) -> str:
        """The bundle's name, and the imputer where it holds two."""
        name = self._bundle.spec.name
        return f"{name}, {self.imputer}" if len(self._bundle.spec.imputers) > 1 else name

    @property
    def given(self) -> Sequence[str]:
        """Names of the bundle's outputs."""
        return tuple(self._given)

    def close(self) -> None:
        """Gives the backend's memory and devices back."""
        self._backend.close()

    @property
    def remembers(self) -> bool:
        """Whether predictions depend on the earlier windows of the same key."""
        return self._memory is not None or self._forms is not None

    def forget(self, key: Hashable) -> None:
        """Drop the memory of ``key``: its windows have ended."""
        for kept in (self._memory, self._forms, self._anchors, self._looks, self._pasts, self._histories):
            if kept is not None:
                kept.forget(key)

    def memory_of(self, key: Hashable) -> EngineMemory:
        """What is remembered of ``key`` after its windows so far, to be given to :meth:`remember` elsewhere."""
        return self._known(key)

    def _known(self, key: Hashable, look_at_pleth: bool = True) -> EngineMemory:
        tokens = self._memory.export(key) if self._memory is not None else None
        form = self._forms.recall(key) if self._forms is not None else None
        look = self._anchors.export(key) if self._anchors is not None else None
        pleth = self._looks.recall(key) if self._looks is not None and look_at_pleth else None
        past = self._past(key).numbers() if self._looks is not None else None
        return EngineMemory(
            self._bundle.fingerprint, tokens, form, (look.rate, look.height) if look else None,
            (pleth.rate, pleth.form) if pleth else None, past,
        )  # fmt: skip

    def remember(self, key: Hashable, memory: EngineMemory) -> bool:
        """Know of ``key`` what another engine knew, in place of what is known; False, and nothing is done, where that
        ran another model."""
        if memory.model != self._bundle.fingerprint:
            return False
        try:
            past = PressurePast.of(memory.past) if memory.past else PressurePast.none()
            if self._memory is not None:
                self._memory.restore(key, memory.tokens)
        except ValueError:
            return False
        if self._forms is not None:
            self._forms.restore(key, memory.form)
        if self._anchors is not None:
            self._anchors.restore(key, PulseLook(*memory.look) if memory.look else None)
        if self._looks is not None:
            self._looks.restore(key, PlethLook(*memory.pleth) if memory.pleth else None)
            self._pasts.put(key, past)
        self._histories.begin_anew(key)
        return True

    def predict(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
        """One prediction a window, in order.

        ``keys``: one a window, naming the unbroken stretch of one bed that it is of; windows of one key come in order
        of time, over as many calls and in whatever batches. Tokens (of a model with a memory), the form of the
        pressure pulse and the looks of the pleth beside it are remembered by key; without keys nothing is. Raises
        BackendFailed where all windows are lost (where only the later ones are, those are invalid), ValueError if there
        are keys, but not one a window.
        """
        if keys and len(keys) != len(windows):
            raise ValueError(f"{len(keys)} keys for {len(windows)} windows")
        if not windows:
            return []
        parts = [slice(0, len(windows))]
        if keys and self._memory is not None:
            parts = list(rounds(keys, np.stack([w.presence for w in windows])))
        found: list[Prediction] = []
        for part in parts:
            try:
                found += self._batch(windows[part], keys[part])
            except BackendFailed as error:
                if not found:
                    raise
                return found + [lost(window, str(error)) for window in windows[part.start :]]
        return found

    def leave_out(self, past: WindowPast, key: Hashable) -> list[LeftOut]:
        """What is said of a window, the newest of ``key``, and what would be said had each of its sensors been lost
        from its beginning on: one batch. Nothing is learnt of it. Raises BackendFailed where it is lost."""
        window, model = past.window, self._bundle.fingerprint
        now = self._histories.at(key, window.end_s - self._spec.hop_s, model)
        then = self._histories.at(key, past.began_s, model)
        rows: list[tuple[Modality | None, Window, EngineMemory]] = []
        reasons: dict[Modality | None, str] = {}
        if now is None:
            reasons[None] = NOT_KNOWN
        else:
            memory = now.memory
            if now.unread and Modality.ABP in self._absent_now(window):
                memory = replace(memory, pleth=self.memory_of(key).pleth)
            rows.append((None, window, memory))
        for left in self._row:
            if not past.measures(left):
                reasons[left] = NOT_THERE
            elif now is None or then is None or past.context is None:
                reasons[left] = NOT_KNOWN
            elif (without := past.without(left)) is None:
                reasons[left] = NO_OTHER
            else:
                rows.append((left, without, memory_without(left, memory, then, past)))
        said: dict[Modality | None, Prediction] = {}
        for (modality, _, _), row in zip(rows, self._apart(key, rows) if rows else [], strict=True):
            said[modality] = row if modality is None else gated(row, window, self._spec, modality)
        return [LeftOut(m, said.get(m), reasons.get(m, "")) for m in (None, *self._row)]

    def _apart(self, key: Hashable, rows: Sequence[tuple[Modality | None, Window, EngineMemory]]) -> list[Prediction]:
        """Predictions of windows, each with a memory of its own that is forgotten again."""
        keys = [("left out", key, modality) for modality, _, _ in rows]
        try:
            for own, (_, _, memory) in zip(keys, rows, strict=True):
                self.remember(own, memory)
            return self._batch([window for _, window, _ in rows], keys)
        finally:
            for own in keys:
                self.forget(own)

    def _remembrance(self, window: Window, key: Hashable) -> Remembrance:
        """What is remembered of ``key`` after ``window``; a pleth that nobody has looked at yet is left so."""
        absent = self._absent_now(window)
        unread = self._looks is not None and Modality.ABP not in absent and Modality.PPG not in absent
        return Remembrance(window.end_s, self._known(key, look_at_pleth=not unread), unread)

    def _batch(self, windows: Sequence[Window], keys: Sequence[Hashable]) -> list[Prediction]:
        inputs = self.inputs(windows, keys)
        outputs = self._backend.run(inputs)
        if keys and self._memory is not None:
            self._memory.learn(keys, np.asarray(inputs["presence"], np.bool_), outputs["tokens"])
        if keys and self._forms is not None:
            outputs = self._in_own_form(self._forms, windows, keys, outputs)
        if self._looks is not None and self._bundle.spec.pressure is not None:
            outputs = self._moved(self._looks, self._bundle.spec.pressure.moves, windows, keys, outputs)
        left = self._left_anchor(windows, keys)
        for key, window in dict(zip(keys, windows, strict=False)).items():  # the last of each key
            self._histories.add(key, self._remembrance(window, key))
        return [self._prediction(window, outputs, i, left[i]) for i, window in enumerate(windows)]

    def _left_anchor(self, windows: Sequence[Window], keys: Sequence[Hashable]) -> list[str]:
        """Why each window's circulation is no longer the one whose pressure was last measured, "" where it is, and
        where nothing is remembered; learns what a measured pressure has beside it."""
        if not keys or self._anchors is None:
            return [""] * len(windows)
        abp, ppg = self._row[Modality.ABP], self._row[Modality.PPG]
        left = []
        for window, key in zip(windows, keys, strict=True):
            measured, pulse = window.cells[abp, -FORM_SPAN_S:].all(), window.signals[ppg]
            if measured and window.cells[ppg, -FORM_SPAN_S:].all():
                self._anchors.learn(key, pulse, self._spec.rate_hz)
            absent = not window.cells[abp, -self._spec.hop_s :].all()
            left.append(self._anchors.departed(key, pulse, self._spec.rate_hz) if absent else "")
        return left

    def _in_own_form(
        self, forms: PulseForms, windows: Sequence[Window], keys: Sequence[Hashable], outputs: Arrays
    ) -> Arrays:
        """Estimates of an absent pressure in the form of the bed's own pulse, which is learnt while it is measured."""
        row = self._row[Modality.ABP]
        pressure, wave = np.array(outputs["pressure"]), np.array(outputs["abp_wave"])
        for i, (window, key) in enumerate(zip(windows, keys, strict=True)):
            if window.cells[row, -FORM_SPAN_S:].all():
                forms.learn(key, window.signals[row], self._spec.rate_hz)
            elif (form := forms.recall(key)) is not None:
                wave[i] = reshaped_wave(wave[i], pressure[i], form)
                pressure[i] = reshaped(pressure[i], form)
        return outputs | {"pressure": pressure, "abp_wave": wave}

    def _moved(
        self, looks: PlethLooks, moves: PressureMoves, windows: Sequence[Window], keys: Sequence[Hashable],
        outputs: Arrays,
    ) -> Arrays:  # fmt: skip
        """Estimates of an absent pressure, the wave too, moved so that their mean is that of
        :func:`models.runtime.pressure_estimate.estimated_map`; where none was measured they stay. Learns what goes with
        a measured pressure."""
        pressure, wave = np.array(outputs["pressure"]), np.array(outputs["abp_wave"])
        for i, window in enumerate(windows):
            absent = self._absent_now(window)
            gone = Modality.ABP in absent
            now, then, past = None, None, PressurePast.none()
            if keys and gone:
                then, past = looks.recall(keys[i]), self._past(keys[i])
                now = pleth_look(pleth_of(window, self._spec), self._spec.rate_hz)
            elif keys and Modality.PPG not in absent:
                looks.learn(keys[i], pleth_of(window, self._spec), self._spec.rate_hz)
                if window.end_s % EVERY_S == 0:
                    level, delay_s = beside_pressure(window, self._spec)
                    self._pasts.put(keys[i], self._past(keys[i]).add(level, delay_s, looks.recall(keys[i])))
            mean = estimated_map(moves, window, self._spec, now, then, past) if gone else math.nan
            if math.isfinite(mean):
                shift = mean - float(pressure[i, 0, 1])
                pressure[i] += shift
                wave[i] += shift
        return outputs | {"pressure": pressure, "abp_wave": wave}

    def _past(self, key: Hashable) -> PressurePast:
        return self._pasts.get(key) or PressurePast.none()

    def inputs(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> Arrays:
        """The graph's inputs for a batch of windows, with the memory as it is now."""
        signals = np.stack([w.signals for w in windows])
        batch: Arrays = {
            m.value.lower(): np.ascontiguousarray(signals[:, row], np.float32) for m, row in self._row.items()
        }
        batch["presence"] = np.stack([w.presence for w in windows])
        batch["context"] = np.stack([w.context for w in windows]).astype(np.float32, copy=False)
        if len(self._bundle.spec.imputers) > 1:
            batch[CHOICE_INPUT] = np.full(len(windows), self.imputer == SELFMASK, np.bool_)
        if self._memory is not None:
            batch[MEMORY_INPUT] = self._memory.recall(keys) if keys else self._memory.unknown(len(windows))
        return batch

    def _prediction(self, window: Window, outputs: Arrays, i: int, left_anchor: str) -> Prediction:
        given = self._given
        row = {name: outputs[name][i] for name in _CHECKED if name in given}
        finite = all(bool(np.isfinite(values).all()) for values in row.values())
        ages = tuple(float(a) for a in window.context[:, _AGE])
        any_present = bool(window.presence.any())
        horizons = self._bundle.spec.horizons_min if "risk" in given else []
        if not finite:
            return Prediction(
                window.end_s, window.presence, False, False, "the model gave no usable numbers", {}, None, None,
                ages_s=ages,
            )  # fmt: skip
        missing = 1.0 - float(window.presence.mean())
        nothing = "" if any_present else "no sensor gives a signal"
        why_no_risk = nothing or risk_abstains(window, self._spec, self._bundle.spec.risk)
        risk = {} if why_no_risk else dict(zip(horizons, self._risk(window, row), strict=True))
        refused = {}
        for m in self._absent_now(window):
            why = self._not_estimable(m, window)
            if nothing and why != NEVER_CONNECTED:  # that is so whatever the others do
                why = nothing
            if why:
                refused[m] = why
        if left_anchor and Modality.ABP in self._absent_now(window):
            refused.setdefault(Modality.ABP, left_anchor)
        pressures = self._pressures(window, row["pressure"], missing, refused) if "pressure" in given else None
        if pressures is not None and pressures["map"].half_width > self._widest_mmhg:
            refused[Modality.ABP] = _too_uncertain(pressures["map"].half_width)
        restored = self._restored(window, outputs, i, missing, refused)
        if Modality.ABP in refused:  # numbers and wave come and go together
            pressures = None
        return Prediction(
            window_end_s=window.end_s,
            presence=window.presence,
            valid=True,
            abstain=bool(why_no_risk),
            reason=why_no_risk,
            risk=risk,
            depth=self._depth(window, row["depth"], missing) if any_present and "depth" in given else None,
            pressures=pressures,
            restored=restored,
            not_estimable=refused,
            ages_s=ages,
        )

    def _risk(self, window: Window, row: Arrays) -> list[Interval]:
        """The risk of each horizon, with the interval of the bundle's table where it has one."""
        table = self._bundle.spec.risk
        if "risk" not in row:
            return []
        values = row["risk"].tolist()
        bounds = zip(row["risk_lo"].tolist(), row["risk_hi"].tolist(), strict=True)
        known = risk_bounds(window, self._spec, table, values) if table is not None else bounds
        return [Interval(value, lo, hi) for value, (lo, hi) in zip(values, known, strict=True)]

    def _absent_now(self, window: Window) -> list[Modality]:
        """Modalities of which a cell of the newest hop is absent."""
        newest = window.cells[:, -self._spec.hop_s :]
        return [m for m, row in self._row.items() if not newest[row].all()]

    def _not_estimable(self, modality: Modality, window: Window) -> str:
        """Why the absent ``modality`` is not shown as an estimate; "" if it is."""
        wave = WAVE_OUTPUT.get(modality)
        if wave is not None and wave not in self._given:
            return "this model has no estimate of it"
        return not_estimable(modality, window, self._spec)

    def _depth(self, window: Window, raw: npt.NDArray[np.generic], missing: float) -> Interval | None:
        row = self._row.get(Modality.EEG)
        if row is None or Modality.EEG in self._absent_now(window) or int(window.cells[row].sum()) < MIN_EEG_S:
            return None
        widen = half_width(self._bundle.spec.conformal.get("depth"), missing, 0.0)
        lo, value, hi = (float(v) for v in raw)
        return Interval(value, max(0.0, lo - widen), min(100.0, hi + widen))

    def _pressures(
        self, window: Window, raw: npt.NDArray[np.generic], missing: float, refused: dict[Modality, str]
    ) -> dict[str, Interval] | None:
        row = self._row.get(Modality.ABP)
        if row is None or Modality.ABP not in self._absent_now(window) or Modality.ABP in refused:
            return None
        table = self._bundle.spec.pressure
        if table is not None:
            half = pressure_half_widths(table, window, self._spec)
            centre = dict(zip(PRESSURES, raw[:, 1].tolist(), strict=True))
            return {
                name: Interval(centre[name], centre[name] - half[name], centre[name] + half[name]) for name in centre
            }
        age = float(window.context[row, _AGE])
        found = {}
        for name, (lo, value, hi) in zip(PRESSURES, raw.tolist(), strict=True):
            widen = half_width(self._bundle.spec.conformal.get(name), missing, age)
            found[name] = Interval(value, lo - widen, hi + widen)
        return found

    def _restored(
        self, window: Window, outputs: Arrays, i: int, missing: float, refused: dict[Modality, str]
    ) -> tuple[RestoredWave, ...]:
        rate_hz = self._spec.rate_hz
        hop = self._spec.hop_s * rate_hz
        waves = []
        for modality in self._absent_now(window):
            name = WAVE_OUTPUT.get(modality)
            if name is None or modality in refused:
                continue  # an EEG is never estimated
            whole = outputs[name][i]
            amends = min(round(AMENDED_S[modality] * rate_hz), len(whole) - hop)
            count = hop + amends
            values = np.array(whole[-count:], np.float32)
            if not np.isfinite(values).all():
                refused[modality] = "the model gave no usable wave"
                continue
            measured = np.repeat(window.cells[self._row[modality]], rate_hz)[-count:]
            values[measured] = np.nan
            lo, hi = self._band(modality, values, window, outputs["pressure"][i], missing)
            waves.append(RestoredWave(modality, window.end_s * rate_hz - count, rate_hz, values, lo, hi, amends))
        return tuple(waves)

    def _band(
        self,
        modality: Modality,
        values: npt.NDArray[np.float32],
        window: Window,
        pressure: npt.NDArray[np.generic],
        missing: float,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """10–90 % band of a restored wave: for ABP the pressures' intervals, interpolated between DBP, MAP and SBP."""
        if modality is not Modality.ABP:
            nothing = np.full_like(values, np.nan)
            return nothing, nothing
        intervals = self._pressures(window, pressure, missing, {})
        assert intervals is not None
        order = sorted((intervals[name] for name in PRESSURES), key=lambda interval: interval.value)
        at = [interval.value for interval in order]
        below = np.interp(values, at, [interval.lo - interval.value for interval in order])
        above = np.interp(values, at, [interval.hi - interval.value for interval in order])
        return (values + below).astype(np.float32), (values + above).astype(np.float32)


def _too_uncertain(half_mmhg: float) -> str:
    known = math.isfinite(half_mmhg)
    return f"too uncertain: ±{half_mmhg:.0f} mmHg" if known else "too long without a clean ABP"
