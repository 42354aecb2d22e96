"""The card of a bundle: what the model is, what it was trained on, what that cost, held-out figures and limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.evaluation.heldout import HeldOut
from models.training.config import DataConfig, TrainConfig


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took. Times in s; ``machine``: processor and threads, no host name."""

    seconds: Mapping[str, float]
    machine: str
    parameters: int
    train_windows: int


def _cell(value: float | str | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 2):
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 1.5 else f"{value:.1f}"


def table(rows: Sequence[Mapping[str, float | str]], columns: Mapping[str, str]) -> str:
    """A Markdown table of ``columns`` (key -> heading)."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(key)) for key in columns) + " |" for row in rows]
    return "\n".join(lines)


_RISK = {
    "setting": "sensors", "minutes": "within min", "windows": "windows", "prevalence": "prevalence",
    "auroc": "AUROC", "auroc_map": "AUROC of last MAP", "gain_lo": "gain, 95 % from", "gain_hi": "to",
    "auprc": "AUPRC", "auprc_map": "AUPRC of last MAP", "brier": "Brier",
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
    "f1_template": "F1 of template",
}
_DEPTH = {
    "setting": "sensors", "windows": "windows", "mae": "MAE", "rmse": "RMSE", "mae_of_mean": "MAE of the mean",
    "coverage_80": "cover of 80 % interval",
}  # fmt: skip


_WARNING = {
    "simulated": "Trained on simulated patients only; no figure in the tables\nmarked *simulated* says anything about "
    "real ones.",
    "recorded": "Trained on the recordings named below; other hospitals, devices and\npatients may differ.",
}
_LIMIT = {
    "simulated": "Simulated training data: levels, delays and noise of real devices differ; intervals are calibrated "
    "on the simulator.",
    "recorded": "One source of recordings: intervals are calibrated on its patients and devices.",
}


def _data_words(config: TrainConfig, cost: Cost) -> str:
    data = config.data
    if not isinstance(data, DataConfig):
        source = type(data).__struct_config__.tag
        return (
            f"Recordings of {source}, split by patient into training, early stopping, calibration and test; "
            f"{cost.train_windows:,} training\nwindows, one every {data.stride_s} s, cut by the pipeline of the live "
            "stream. What was not measured was neither learnt nor scored."
        )
    return (
        f"{data.train_patients} patients for training, {data.stop_patients} for early stopping, "
        f"{data.calibration_patients} for\ncalibration, {data.test_patients} for testing, disjoint; "
        f"{data.duration_s // 60} min each; {cost.train_windows:,}\ntraining windows, one every {data.stride_s} s, cut "
        "by the pipeline of the live stream. The test patients have a device\nprofile and a mechanism of hypotension "
        "that training has not met. Hypotension is labelled from the beat-to-beat\npressure as measured; a patient who "
        "is hypotensive already counts as positive in training."
    )


def write_card(config: TrainConfig, cost: Cost, found: HeldOut, extra: str = "") -> str:
    """Markdown. ``extra`` is appended as it is (figures on real recordings)."""
    simulated = isinstance(config.data, DataConfig)
    kind = "simulated" if simulated else "recorded"
    size = config.architecture
    every = config.data.test_stride_s if isinstance(config.data, DataConfig) else config.data.stride_s
    imputers = "restoration decoders (PhysioME)"
    if config.selfmask.steps:
        imputers += " and SelfMask's predictor, chosen at run time"
    spent = ", ".join(f"{stage} {seconds / 60:.1f} min" for stage, seconds in cost.seconds.items())
    primary = [r for r in found.hypotension if r["already_hypotensive"] == "excluded"]
    secondary = [r for r in found.hypotension if r["already_hypotensive"] == "included"]
    return f"""# {config.name}, version {config.version}

**For research and teaching, not for clinical decisions.** {_WARNING[kind]}

## What it is

PhysioME (arXiv 2510.11110) of size {config.size}: {cost.parameters / 1e6:.1f} million parameters; ECG, ABP, PPG and
EEG at {size.rate_hz} Hz, {size.frames} frames of {size.frame_s} s, a prediction a second, any subset of sensors frame
by frame. Modality encoders pre-trained by DP-NeuroNet with a read-out of simple physiology, then frozen but for LoRA
(rank {config.fusion.lora_rank}); fusion, wave decoders and heads trained with sensors lost at random (0 to 30 minutes
ago, or never measured). Absent sensors are filled in by the {imputers}. Outputs:
risk of hypotension (MAP < 65 mmHg for 60 s) within 5, 10 and 15 min; depth of anaesthesia 0–100 (not BIS); MAP, SBP,
DBP; waves of absent ABP, PPG and ECG (ECG: rhythm only); features, never a trace, of an absent EEG.

## Training data: {kind}

{_data_words(config, cost)}

## What it cost

{spent}; at most {config.fusion.steps:,} steps of {config.fusion.batch} windows in the main stage; {cost.machine}. The
same again: `vigil train` with this configuration and seed {config.seed}.

## Held-out figures: {kind}

{found.patients} patients, {found.windows:,} windows every {every} s. The gain is AUROC minus that of the
last measured MAP, bootstrap over patients.

Hypotension ahead, windows that are hypotensive already left out (primary):

{table(primary, _RISK)}

The same with them (secondary):

{table(secondary, _RISK)}

Pressure of a lost ABP in mmHg, everything else measured; *hold* keeps the last MAP, the regression adds its slope on
the ECG-to-PPG delay:

{table(found.pressure, _PRESSURE)}

Beats of restored waves, F1 at ±100 ms over whole windows; the template puts a pulse one last-known delay after each
true R peak:

{table(found.beats, _BEATS)}

Depth of anaesthesia, EEG measured for at least 15 s:

{table(found.depth, _DEPTH)}

Restored encoder tokens, the modality lost for 5 min, all others there (R² against the mean token):

{table(found.tokens, {"modality": "modality", "r2": "R²"})}
{extra}
## Limits

- {_LIMIT[kind]}
- Without any ABP measurement the absolute pressure is hardly known; the interval says so.
- Restored waves show rhythm and pressure level; their shape is a typical one, not this patient's.
"""


def figures_json(found: HeldOut, cost: Cost) -> str:
    """The same figures for programs."""
    return json.dumps({"held_out_simulated": found.as_dict(), "seconds": dict(cost.seconds)}, indent=1)
