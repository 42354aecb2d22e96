"""The card of a bundle: what the model is, what it was trained on, what that cost, held-out figures and limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill

from models.evaluation.heldout import HeldOut
from models.evaluation.report import markdown
from models.evaluation.token_worth import verdict
from models.training.config import TrainConfig
from models.training.data_words import data_words, kind_of, strides_of

WIDTH = 120


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took. Times in s; ``machine``: processor and threads, no host name."""

    seconds: Mapping[str, float]
    machine: str
    parameters: int
    train_windows: int


_RISK = {
    "setting": "sensors", "minutes": "within min", "windows": "windows", "prevalence": "prevalence",
    "auroc": "AUROC", "auroc_map": "AUROC of last MAP", "gain_lo": "gain, 95 % from", "gain_hi": "to",
    "auroc_plain": "AUROC, nothing imputed", "gain_plain": "gain by imputing", "gain_plain_lo": "95 % from",
    "gain_plain_hi": "to", "auprc": "AUPRC", "auprc_map": "AUPRC of last MAP", "brier": "Brier", "ece": "ECE",
}  # fmt: skip
_PRESSURE = {
    "age_s": "ABP lost for s", "windows": "windows", "map_mae": "MAP MAE", "map_mae_hold": "hold",
    "map_mae_delay_regression": "delay regression", "map_bias": "bias", "map_sd": "SD", "sbp_mae": "SBP MAE",
    "dbp_mae": "DBP MAE", "coverage_80": "cover of 80 % interval",
}  # fmt: skip
_BEATS = {
    "restored": "restored",
    "age_s": "lost for s",
    "windows": "windows",
    "f1": "F1",
    "f1_plain": "F1, nothing imputed",
    "f1_template": "F1 of template",
}
_DEPTH = {
    "setting": "sensors", "windows": "windows", "mae": "MAE", "rmse": "RMSE", "mae_of_mean": "MAE of the mean",
    "coverage_80": "cover of 80 % interval",
}  # fmt: skip


_WORTH = {
    "age_s": "ABP lost for s", "worth_windows": "windows", "restored": "restored", "SelfMask": "SelfMask",
    "missing token": "missing token", "zeros": "zeros", "true tokens": "true tokens",
    "gain of true tokens": "gain of true ones over zeros", "true tokens from": "95 % from", "true tokens to": "to",
    "gain of restored": "gain of restored", "restored from": "from", "restored to": "to",
}  # fmt: skip

_WORDS = {
    "modality": "sensor lost", "quantity": "read", "age_s": "for s", "word_windows": "windows", "restored": "restored",
    "SelfMask": "SelfMask", "held": "held", "usual": "the usual value", "true": "true tokens",
    "gain": "held minus restored", "gain from": "95 % from", "gain to": "to",
}  # fmt: skip

_WARNING = {
    "simulated": "Trained on simulated patients only; no figure in the tables\nmarked *simulated* says anything about "
    "real ones.",
    "recorded": "Trained on the recordings named below; other hospitals, devices and\npatients may differ.",
    "mixed": "Trained on simulated patients and on the recordings named below;\nother hospitals, devices and patients "
    "may differ, and no figure marked *simulated* says anything about real ones.",
}
_LIMIT = {
    "simulated": "Simulated training data: levels, delays and noise of real devices differ; intervals are calibrated "
    "on the simulator.",
    "recorded": "One source of recordings: intervals are calibrated on its patients and devices.",
    "mixed": "Intervals are calibrated on the simulator and on a few sources of recordings together.",
}


def write_card(
    config: TrainConfig, cost: Cost, found: Mapping[str, HeldOut], imputing: bool = True
) -> str:  # fmt: skip
    """Markdown. found: held-out figures by kind of patient, ``recorded`` before ``simulated``. imputing: whether the
    bundle's graph has the imputers."""
    kind, size = kind_of(config), config.architecture
    imputers = "the restoration decoders (PhysioME)"
    if config.selfmask.steps:
        imputers += " or by SelfMask's predictor"
    filled = f"Absent sensors' tokens are filled in by {imputers}."
    if not imputing:
        filled = (
            "The graph that the monitor runs fills in no token of an absent sensor, since that does not help; the one "
            f"beside it does, by {imputers}."
        )
    spent = ", ".join(f"{stage} {seconds / 60:.1f} min" for stage, seconds in cost.seconds.items())
    sensors = ", ".join(m.value for m in size.modalities)
    worth = " ".join(f"{part.capitalize()} patients: {verdict(figures.worth)}" for part, figures in found.items())
    worth = fill(f"**{worth}**", WIDTH)
    depth = "depth of anaesthesia 0–100 (not BIS); " if size.has_eeg else ""
    features = "; features, never a trace, of an absent EEG" if size.has_eeg else ""
    what = fill(
        f"PhysioME (arXiv 2510.11110) of size {config.size}: {cost.parameters / 1e6:.1f} million parameters; {sensors} "
        f"at {size.rate_hz} Hz, {size.frames} frames of {size.frame_s} s, a prediction a second, any subset of sensors "
        "frame by frame. Modality encoders pre-trained by DP-NeuroNet with a read-out of simple physiology, then "
        f"frozen but for LoRA (rank {config.fusion.lora_rank}); fusion, wave decoders and heads trained with sensors "
        f"lost at random (0 to 30 minutes ago, or never measured). {filled} Outputs: risk of hypotension (MAP < 65 "
        f"mmHg for 60 s) within 5, 10 and 15 min; {depth}MAP, SBP, DBP; waves of absent ABP, PPG and ECG (ECG: rhythm "
        f"only){features}.",
        WIDTH,
    )
    cost_words = fill(
        f"{spent}; at most {config.fusion.steps:,} steps of {config.fusion.batch} windows in the main stage; "
        f"{cost.machine}. The same again: `vigil train` with this configuration and seed {config.seed}.",
        WIDTH,
    )
    return f"""# {config.name}, version {config.version}

{worth}

**For research and teaching, not for clinical decisions.** {_WARNING[kind]}

## What it is

{what}

## Training data: {kind}

{data_words(config, cost.train_windows)}

## What it cost

{cost_words}

{"".join(_figures(part, figures, strides_of(config, part)) for part, figures in found.items())}
## Limits

- {_LIMIT[kind]}
- Without any ABP measurement the absolute pressure is hardly known; the interval says so.
- Restored waves show rhythm and pressure level; their shape is a typical one, not this patient's.
"""


def _figures(kind: str, found: HeldOut, every_s: str) -> str:
    """The section of one kind of patients; a table without a row is left out, and a risk of windows that all went the
    same way: they judge nothing."""
    judged = [r for r in found.hypotension if 0.0 < float(r["prevalence"]) < 1.0]
    primary = [r for r in judged if r["already_hypotensive"] == "excluded"]
    secondary = [r for r in judged if r["already_hypotensive"] == "included"]
    tables = (
        ("Hypotension ahead, windows that are hypotensive already left out (primary). The gain is AUROC minus that of "
         "the last\nmeasured MAP, bootstrap over patients:", primary, _RISK),
        ("The same with them (secondary):", secondary, _RISK),
        ("Pressure of a lost ABP in mmHg as the network itself says it (the monitor shows an estimate made beside it), "
         "everything\nelse measured; *hold* keeps the last MAP, the regression adds its slope on the ECG-to-PPG "
         "delay:", found.pressure, _PRESSURE),
        ("MAP MAE by what stands in the slots of the lost ABP's tokens; a gain is zeros minus that, 95 % intervals "
         "over patients:", found.worth, _WORTH),
        ("Beats of restored waves, F1 at ±100 ms over whole windows; the template puts a pulse one last-known delay "
         "after each\ntrue R peak:", found.beats, _BEATS),
        ("Depth of anaesthesia, EEG measured for at least 15 s:", found.depth, _DEPTH),
        ("Restored encoder tokens, the modality lost for 5 min, all others there (R² against the mean token):",
         found.tokens, {"modality": "modality", "r2": "R²"}),
        ("What these tokens say, MAE of a read-out that is linear and was fitted to true tokens of training patients; "
         "*held* is\nthe remembered token:", found.words, _WORDS),
    )  # fmt: skip
    told = "\n\n".join(f"{title}\n\n{markdown(rows, columns)}" for title, rows, columns in tables if rows)
    return (
        f"## Held-out figures: {kind}\n\n{found.patients} patients, {found.windows:,} windows every {every_s} s."
        f"\n\n{told}\n\n"
    )


def figures_json(found: Mapping[str, HeldOut], cost: Cost) -> str:
    """The same figures for programs."""
    figures = {f"held_out_{kind}": part.as_dict() for kind, part in found.items()}
    return json.dumps(figures | {"seconds": dict(cost.seconds)}, indent=1)
