"""Held-out figures of a trained PhysioME on test patients, each beside the baseline it has to beat.

Simulated test patients are listened to by a device profile that training has not met. Nothing is chosen on them.
Recorded patients are evaluated apart from simulated ones, where their truth is known, and the card says which is which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Group, Losses
from models.batches.predict import Outputs, predict
from models.data.labels import HORIZONS_S
from models.data.sources import CORE
from models.evaluation.baselines import current_map
from models.evaluation.delay_regression import delay_regression
from models.evaluation.depth import LEAST_EEG_S, depth_row
from models.evaluation.hypotension import RULES, risk_row
from models.evaluation.metrics import beat_matches, coverage, f1, token_r2
from models.evaluation.token_words import solved_readouts, word_rows
from models.evaluation.token_worth import WINDOWS, worth_row
from models.imputers import Imputer, MaskTokenImputer
from models.physiome import PhysioME
from models.runtime.calibration import half_width
from models.runtime.spec import Conformal
from models.signals.beats import r_peaks, upstrokes
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.windows import CONTEXT_FIELDS
from models.sizes import Row

PRESSURE_AGES_S = (30, 60, 120, 180, 300, 600, 1200)
WAVE_AGES_S = (30, 180, 600)
_WAVE_WINDOWS = 240
PLAIN = MaskTokenImputer()
"""Nothing is imputed: what a graph without imputers would say."""
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


@dataclass
class HeldOut:
    """Figures by table; each row is a plain dictionary, ready for JSON and for the card."""

    patients: int
    windows: int
    hypotension: list[dict[str, float | str]] = field(default_factory=list)
    pressure: list[dict[str, float | str]] = field(default_factory=list)
    worth: list[dict[str, float | str]] = field(default_factory=list)
    beats: list[dict[str, float | str]] = field(default_factory=list)
    depth: list[dict[str, float | str]] = field(default_factory=list)
    tokens: list[dict[str, float | str]] = field(default_factory=list)
    words: list[dict[str, float | str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The tables by name."""
        return asdict(self)


class Evaluation:
    """Evaluates one model on one group; tables are filled by their methods. ``selfmask``: its predictor is trained.
    ``train``: on whose true tokens read-outs are solved."""

    def __init__(
        self, model: PhysioME, group: Group, train: Group, conformal: dict[str, Conformal], seed: int,
        selfmask: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.group, self.conformal, self.selfmask = model, group, conformal, selfmask
        self.train, self.seed = train, seed
        self.rng = np.random.default_rng([seed, 77])
        self.index = {m: i for i, m in enumerate(model.config.modalities)}
        self.found = HeldOut(group.dataset.patient_count, len(group))

    def run(self) -> HeldOut:
        """All tables."""
        self.hypotension()
        self.pressure()
        self.beats()
        self.depth()
        self.tokens()
        self.words()
        return self.found

    def _ages(self, rows: npt.NDArray[np.intp], **lost: float) -> npt.NDArray[np.float64]:
        """[B, M] ages with the named modalities lost so many seconds ago."""
        ages = np.zeros((len(rows), len(self.index)))
        for name, age in lost.items():
            ages[:, self.index[Modality(name.upper())]] = age
        return ages

    def _predict(
        self, rows: npt.NDArray[np.intp], lost: Losses, *names: str, imputer: Imputer | None = None
    ) -> Outputs:  # fmt: skip
        return predict(self.model, self.group, rows, lost, names, imputer=imputer)

    def _whole(self, rows: npt.NDArray[np.intp], *modalities: Row) -> npt.NDArray[np.intp]:
        """Of ``rows`` those in which the truth of these modalities is known throughout."""
        which = [self.index[m] for m in modalities]
        return rows[self.group.known[rows][:, which].all((1, 2))]

    def _pressure_known(self, age_s: float) -> npt.NDArray[np.intp]:
        """Windows of which the ABP was measured ``age_s`` before the end, and all else is measured now."""
        end = self.group.labels["end_s"]
        at = np.maximum(end - int(age_s), 0)
        ages = self.group.history[self.group.dataset.study_of, at, self.index[Modality.ABP], _C["age_s"]]
        truth = np.isfinite(self.group.labels["pressures"][:, -1, 0])
        return np.flatnonzero((end - age_s >= 60) & (ages == 0) & truth)

    # -- hypotension --------------------------------------------------------------------------------------------

    def hypotension(self) -> None:
        """AUROC, AUPRC, Brier score and calibration error of the risks; baselines: the last measured MAP, and the same
        graph with nothing imputed."""
        rows = np.arange(len(self.group))
        some_age = np.exp(self.rng.uniform(np.log(60.0), np.log(1200.0), len(rows))).round()
        settings = {
            "all sensors": self._ages(rows),
            "ABP lost 1-20 min ago": self._ages(rows, abp=1.0) * some_age[:, None],
        }  # fmt: skip
        if Modality.EEG in self.index:
            settings["ABP and EEG never measured"] = self._ages(rows, abp=np.inf, eeg=np.inf)
        else:
            settings["ABP never measured"] = self._ages(rows, abp=np.inf)
        now = self.group.labels["hypotensive_now"].astype(bool)
        for name, ages in settings.items():
            lost = self.group.lost(rows, ages)
            level = current_map(lost, self.index[Modality.ABP])
            scores = {
                "model": self._predict(rows, lost, "risk").values["risk"][None],
                "plain": self._predict(rows, lost, "risk", imputer=PLAIN).values["risk"][None],
                "map": np.repeat(-level[None, :, None], len(HORIZONS_S), axis=2),
            }
            for rule in RULES:
                for j in range(len(HORIZONS_S)):
                    label = self.group.labels["hypotension"][:, j]
                    use = np.isfinite(label) & ~now if rule == "excluded" else np.isfinite(label)
                    if use.any():
                        found = risk_row(scores, use, label, self.group.dataset.patient_of, j)
                        named = {"gain_lo": found["gain_map_lo"], "gain_hi": found["gain_map_hi"]}
                        self.found.hypotension.append({"setting": name, "already_hypotensive": rule} | found | named)

    # -- restored pressure --------------------------------------------------------------------------------------

    def pressure(self) -> None:
        """MAP of an ABP lost so long ago: the model, hold, and the delay regression anchored at the loss."""
        abp, ppg = self.index[Modality.ABP], self.index[Modality.PPG]
        for age in PRESSURE_AGES_S:
            rows = self._pressure_known(age)
            if not len(rows):
                continue
            lost = self.group.lost(rows, self._ages(rows, abp=age))
            out = self._predict(rows, lost, "pressure")
            truth = self.group.labels["pressures"][rows][:, -1]
            row, other = lost.context[:, abp], lost.context[:, ppg]
            regression = delay_regression(row, other)
            middle = out.values["pressure"][:, :, 1]
            error = middle[:, 0] - truth[:, 0]
            missing = out.missing
            widen = [half_width(self.conformal.get("map"), float(v), float(age)) for v in missing]
            lo, hi = out.values["pressure"][:, 0, 0] - widen, out.values["pressure"][:, 0, 2] + widen
            self.found.pressure.append({
                "age_s": age, "windows": len(rows), "map_mae": float(np.abs(error).mean()),
                "map_mae_hold": float(np.abs(row[:, _C["level"]] - truth[:, 0]).mean()),
                "map_mae_delay_regression": float(np.abs(regression - truth[:, 0]).mean()),
                "map_bias": float(error.mean()), "map_sd": float(error.std()),
                "sbp_mae": float(np.abs(middle[:, 1] - truth[:, 1]).mean()),
                "dbp_mae": float(np.abs(middle[:, 2] - truth[:, 2]).mean()),
                "coverage_80": coverage(truth[:, 0], lo, hi),
            })  # fmt: skip
            some = self.rng.permutation(len(rows))[:WINDOWS]
            worth = worth_row(self.model, self.group, rows[some], lost.part(some), self.selfmask)
            self.found.worth.append({"age_s": age} | worth)

    # -- beats --------------------------------------------------------------------------------------------------

    def beats(self) -> None:
        """Beat F1 at ±100 ms over whole windows, frame edges included; beside a template drawn at R peaks."""
        for age in WAVE_AGES_S:
            rows = self._pressure_known(age)
            rows = self.rng.permutation(self._whole(rows, *CORE))[:_WAVE_WINDOWS]
            if not len(rows):
                continue
            for name, ages in (
                ("ABP from ECG and PPG", {"abp": age}),
                ("ABP from PPG (ECG hidden)", {"abp": age, "ecg": age}),
                ("ABP from ECG (PPG hidden)", {"abp": age, "ppg": age}),
                ("PPG from ECG and ABP", {"ppg": age}),
                ("ECG from ABP and PPG", {"ecg": age}),
                ("ECG from PPG", {"ecg": age, "abp": age}),
            ):
                self._beat_row(rows, name, ages, age)

    def _beat_row(self, rows: npt.NDArray[np.intp], name: str, lost_s: Mapping[str, float], age: float) -> None:
        target = Modality(name[:3])
        lost = self.group.lost(rows, self._ages(rows, **lost_s))
        sources = [i for m, i in self.index.items() if m is not Modality.EEG and m.value.lower() not in lost_s]
        whole = np.asarray(lost.presence[:, sources].all((1, 2)))
        rows, lost = rows[whole], lost.part(whole)
        if not len(rows):
            return
        output = f"{target.value.lower()}_wave"
        drawn = {
            "f1": self._predict(rows, lost, output).values[output],
            "f1_plain": self._predict(rows, lost, output, imputer=PLAIN).values[output],
        }
        signals = self.group.dataset.signals(rows)
        counts = {key: np.zeros(3, np.int64) for key in (*drawn, "f1_template")}
        delay = lost.context[:, self.index[target], _C["own_delay_s"]]
        for i, row in enumerate(rows):
            truth = self.group.labels["r_times"][row]
            r_times = truth[np.isfinite(truth)].astype(np.float64)
            true = r_times if target is Modality.ECG else _upstrokes(signals[i, self.index[target]], target)
            for key, waves in drawn.items():
                ecg = target is Modality.ECG
                found = r_peaks(waves[i]) / GRID_RATE_HZ if ecg else _upstrokes(waves[i], target)
                counts[key] += beat_matches(found, true)
            if target is not Modality.ECG and "ecg" not in lost_s and np.isfinite(delay[i]):
                counts["f1_template"] += beat_matches(r_times + delay[i], true)
        said: dict[str, float | str] = {"restored": name, "age_s": age, "windows": len(rows)}
        self.found.beats.append(said | {key: f1(found) for key, found in counts.items()})

    # -- depth and tokens ---------------------------------------------------------------------------------------

    def depth(self) -> None:
        """Depth with the EEG measured, by what else is there."""
        if Modality.EEG not in self.index:
            return
        rows = np.arange(len(self.group))
        eeg, truth = self.index[Modality.EEG], self.group.labels["depth"]
        for name, ages in (
            ("all sensors", self._ages(rows)),
            ("EEG alone", self._ages(rows, abp=np.inf, ppg=np.inf, ecg=np.inf)),
        ):
            out = self._predict(rows, self.group.lost(rows, ages), "depth")
            shown = out.lost.presence[:, eeg].sum(-1) * self.model.config.frame_s >= LEAST_EEG_S
            widen = np.array([half_width(self.conformal.get("depth"), float(v), 0.0) for v in out.missing])
            prior = float(np.nanmean(truth[shown])) if np.isfinite(truth[shown]).any() else float("nan")
            found = depth_row(out.values["depth"], truth, shown, self.group.dataset.patient_of, widen, prior)
            named = {
                "mae_of_mean": found.get("mae_prior", float("nan")),
                "coverage_80": found.get("coverage", float("nan")),
            }
            self.found.depth.append({"setting": name} | found | named)

    def tokens(self) -> None:
        """R² of restored encoder tokens against the group's mean token, one modality lost 5 min ago, all else as it
        was."""
        assert self.group.features is not None
        for modality, m in self.index.items():
            rows = self.rng.permutation(self._whole(np.arange(len(self.group)), modality))[:400]
            if not len(rows):
                continue
            known = torch.from_numpy(self.group.known[rows])
            with torch.no_grad():
                target = self.model.encode(self.group.features[torch.from_numpy(rows)], known).numpy()
            lost = self.group.lost(rows, self._ages(rows, **{modality.value.lower(): 300.0}))
            restored = self._predict(rows, lost, "restored_tokens").values["restored_tokens"][:, m]
            mean = target[:, m].mean((0, 1))
            self.found.tokens.append({"modality": modality.value, "r2": token_r2(restored, target[:, m], mean)})

    def words(self) -> None:
        """Physiology as restored tokens say it, beside held and true ones (:mod:`models.evaluation.token_words`)."""
        readouts = solved_readouts(self.model, self.train, self.seed)
        self.found.words += word_rows(self.model, self.group, readouts, self.seed, self.selfmask)


def _upstrokes(wave: npt.NDArray[np.floating], target: Modality) -> npt.NDArray[np.float64]:
    """Seconds from the window's start of the upstrokes of a wave [L] of an ABP or a PPG."""
    return upstrokes(wave, kind=target.value) / GRID_RATE_HZ  # type: ignore[arg-type]
