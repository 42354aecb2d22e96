"""What distillation is worth: students against their undistilled encoders and against chance, on held-out patients.

    probes      ridge (α 10) on the representation: HR, MAP, depth, SEF; distilled, undistilled, untrained
    labels      the same with 1, 10 and 100 % of the training patients' labels
    own task    what pre-training asked of the encoder (read-outs of its own signal): it must not have suffered
    retrieval   R@5 of the same window's partner in another sensor among 64, half of them the same patient ≥ 60 s away
    ablations   which teacher, which loss

Every figure has an interval by a bootstrap over patients; differences are paired.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.batches.group import Group
from models.distillation import Distillation, recall_at, trainable_share
from models.evaluation.bootstrap import Interval, additive_bootstrap, difference_interval, mean_interval
from models.evaluation.linear import ridge
from models.evaluation.report import caption, write_table
from models.making.students import distil_settings, fingerprint, simulated
from models.networks.encoder import ModalityEncoder
from models.objectives import APART_S
from models.progress import Progress
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.training.distil_stage import (
    DistilConfig,
    DistilData,
    distil_data,
    distil_encoder,
    heart_rates,
    own_features,
    representations,
    teachers_of,
)
from models.training.pretrain import frame_readouts
from models.training.run_folder import TrainedRun

ALPHA = 10.0
PROBE_WINDOWS = {"train": 4000, "test": 1500}
SHARES = (0.01, 0.1, 1.0)
DRAWS = 5  # of patients, for shares below 1
GALLERY = 64
TARGETS = ("hr", "map", "depth", "sef95")
ABLATED = Modality.PPG.value  # the sensor that is on a patient most often when no other is
ARMS = ("distilled", "undistilled", "untrained")

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
Rows = list[dict[str, float | str]]


@dataclass(frozen=True, slots=True)
class Probe:
    """Representations of one arm over the probe's windows of training and test patients, [n, D] each."""

    train: Floats
    test: Floats


# -- probes -----------------------------------------------------------------------------------------------------------


def probe_predictions(probe: Probe, y: Floats, alpha: float = ALPHA) -> Floats:
    """Predictions [n_test, K] of targets that are known for training windows y [n_train, K]; NaN ones are left out."""
    out = np.full((len(probe.test), y.shape[1]), np.nan)
    for k in range(y.shape[1]):
        known = np.isfinite(y[:, k])
        if known.sum() < 2:
            continue
        weights, offset = ridge(probe.train[known].astype(np.float64), y[known, k], alpha / known.sum())
        out[:, k] = probe.test @ weights + offset
    return out


def r2_interval(patient: npt.ArrayLike, predicted: Floats, truth: Floats) -> Interval:
    """R² over windows with its interval over patients; the mean is that of the windows that are scored."""
    known = np.isfinite(predicted) & np.isfinite(truth)
    terms = np.stack([(truth - predicted) ** 2, truth, truth**2, np.ones_like(truth)], axis=1)
    terms[~known] = np.nan
    found = additive_bootstrap(patient, terms, lambda s: 1.0 - s[:, 0] / (s[:, 2] - s[:, 1] ** 2 / s[:, 3]))
    return Interval(*(float(v[0]) for v in found))


def targets(group: Group, rows: Indices) -> Floats:
    """HR, MAP of the newest frame, depth and SEF of windows, [n, 4], NaN where unknown; as :data:`TARGETS`."""
    labels = group.labels
    columns = (
        heart_rates(labels["r_times"][rows]), labels["pressures"][rows, -1, 0], labels["depth"][rows],
        labels["eeg"][rows, 5],
    )  # fmt: skip
    return np.stack([np.asarray(c, np.float64) for c in columns], axis=1)


def own_readouts(run: TrainedRun, group: Group, row: int, rows: Indices) -> Floats:
    """What pre-training reads from an encoder: level, spread and band powers of its own signal, mean over frames."""
    config = run.model.config
    parts = []
    for first in range(0, len(rows), 256):
        scaled = complete_own(run, group, row, rows[first : first + 256])
        parts.append(frame_readouts(scaled, config.frame_samples, config.step_samples, config.rate_hz).mean(1).numpy())
    return np.concatenate(parts).astype(np.float64)


def complete_own(run: TrainedRun, group: Group, row: int, rows: Indices) -> torch.Tensor:
    """Complete windows of one sensor in model units, [n, L]."""
    from models.batches.features import complete_scaled

    return complete_scaled(run.model, group, rows)[:, row].cpu()


def untrained(encoder: ModalityEncoder, seed: int) -> ModalityEncoder:
    """An encoder of the same architecture with fresh weights."""
    fresh = copy.deepcopy(encoder)
    torch.manual_seed(seed)
    for module in fresh.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm | nn.Conv1d | nn.BatchNorm1d):
            module.reset_parameters()
    return fresh.eval()


@torch.no_grad()
def arms(
    run: TrainedRun, modality: Modality, distilled: ModalityEncoder, rows: Mapping[str, Indices]
) -> dict[str, Probe]:
    """Representations of the probes' windows by each arm of :data:`ARMS`."""
    at = run.model.config.modalities.index(modality)
    undistilled = run.model.encoders[at]
    assert isinstance(undistilled, ModalityEncoder)
    fresh = untrained(undistilled, run.settings.seed)
    found: dict[str, dict[str, Floats]] = {arm: {} for arm in ARMS}
    for name, chosen in rows.items():
        group = run.group(name)
        known = group.known[chosen, at]
        features = own_features(group, at, chosen)
        other = torch.cat([
            fresh.features(complete_own(run, group, at, chosen[i : i + 256])) for i in range(0, len(chosen), 256)
        ])  # fmt: skip
        for arm, encoder, x in (
            ("distilled", distilled, features), ("undistilled", undistilled, features), ("untrained", fresh, other),
        ):  # fmt: skip
            found[arm][name] = representations(encoder, x, known).cpu().numpy().astype(np.float64)
    return {arm: Probe(parts["train"], parts["test"]) for arm, parts in found.items()}


def spread_rows(group: Group, count: int, seed: int) -> Indices:
    """``count`` windows, drawn at random from all patients, in order."""
    chosen = np.random.default_rng([seed, 41]).permutation(len(group))[:count]
    return np.sort(chosen)


def probe_rows(
    student: str, probes: Mapping[str, Probe], train: Group, test: Group, rows: Mapping[str, Indices], seed: int
) -> Rows:
    """R² and error of every target, by arm and share of labelled training patients, and gain over undistilled."""
    truth_train, truth = targets(train, rows["train"]), targets(test, rows["test"])
    patient, owner = test.dataset.patient_of[rows["test"]], train.dataset.patient_of[rows["train"]]
    out: Rows = []
    for share in SHARES:
        draws = _labelled(owner, share, seed)
        errors: dict[str, Floats] = {}
        for arm in ARMS:
            probe = probes[arm]
            values = np.stack([
                probe_predictions(Probe(probe.train[kept], probe.test), truth_train[kept]) for kept in draws
            ])  # fmt: skip
            errors[arm] = np.abs(values - truth).mean(0)
            for k, target in enumerate(TARGETS):
                r2 = r2_interval(
                    np.tile(patient, len(draws)), values[:, :, k].ravel(), np.tile(truth[:, k], len(draws))
                )
                mae = mean_interval(patient, errors[arm][:, k])
                out.append({
                    "student": student, "target": target, "labels": share, "arm": arm, "draws": len(draws),
                    **_columns("r2", r2), **_columns("mae", mae),
                })  # fmt: skip
        for row in out[-len(ARMS) * len(TARGETS) :]:
            k = TARGETS.index(str(row["target"]))
            gain = difference_interval(patient, errors["undistilled"][:, k], errors[str(row["arm"])][:, k])
            row.update(_columns("gain", gain))
    return out


def _labelled(owner: Indices, share: float, seed: int) -> list[Indices]:
    """Rows of a share of the patients (at least one), several times for shares below 1."""
    patients = np.unique(owner)
    count = max(1, round(share * len(patients)))
    if count == len(patients):
        return [np.arange(len(owner))]
    drawn = []
    for draw in range(DRAWS):
        chosen = np.random.default_rng([seed, 43, draw]).permutation(patients)[:count]
        drawn.append(np.flatnonzero(np.isin(owner, chosen)))
    return drawn


def own_task_row(
    run: TrainedRun, student: Modality, probes: Mapping[str, Probe], rows: Mapping[str, Indices]
) -> dict[str, float | str]:
    """The encoder's own task: error of its own signal's read-outs in units of their spread, distilled and not."""
    at = run.model.config.modalities.index(student)
    test = run.group("test")
    goal = {name: own_readouts(run, run.group(name), at, chosen) for name, chosen in rows.items()}
    size = goal["train"].std(0) + 1e-6
    patient = test.dataset.patient_of[rows["test"]]
    error = {
        arm: (np.abs(probe_predictions(probe, goal["train"]) - goal["test"]) / size).mean(1)
        for arm, probe in probes.items()
    }
    row: dict[str, float | str] = {"student": student.value}
    for arm in ARMS:
        row |= _columns(arm, mean_interval(patient, error[arm]))
    return row | _columns("suffered", difference_interval(patient, error["distilled"], error["undistilled"]))


# -- retrieval --------------------------------------------------------------------------------------------------------


def galleries(
    patient: npt.NDArray[np.integer], end_s: npt.NDArray[np.integer], queries: Indices, size: int,
    rng: np.random.Generator,
) -> Indices:  # fmt: skip
    """Candidates of each query [Q, size]: itself first, then half windows of the same patient ≥ 60 s away (fewer where
    there are fewer), the rest of other patients."""
    out = np.empty((len(queries), size), np.intp)
    everything = np.arange(len(patient))
    for i, q in enumerate(queries):
        same = patient == patient[q]
        far = everything[same & (np.abs(end_s - end_s[q]) >= APART_S)]
        own = rng.permutation(far)[: (size - 1) // 2]
        others = rng.choice(everything[~same], size - 1 - len(own), replace=len(everything) < 2 * size)
        out[i] = np.concatenate([[q], own, others])
    return out


@torch.no_grad()
def retrieval_hits(module: Distillation, data: DistilData, seed: int, queries: int = 1000) -> dict[int, Floats]:
    """Teacher's place -> hit (1) or miss (0) of R@5 for drawn windows, NaN where student or teacher is unknown."""
    rng = np.random.default_rng([seed, 42])
    chosen = np.sort(rng.permutation(len(data))[:queries])
    candidates = galleries(data.patient, data.end_s, chosen, min(GALLERY, len(data)), rng)
    z = representations(module.encoder, data.features, data.present)
    found = {}
    for t in range(data.teachers.shape[1]):
        own, other = module.projections(z, data.teachers[:, t], t)
        similarity = (own[chosen].unsqueeze(1) * other[candidates]).sum(-1)
        similarity = torch.where(data.valid[candidates, t], similarity, torch.full_like(similarity, -2.0))
        hits = recall_at(similarity).double().cpu().numpy()
        known = data.present[chosen].any(-1) & data.valid[chosen, t].cpu().numpy()
        found[t] = np.where(known, hits, np.nan)
    return found


def retrieval_rows(
    student: Modality, teachers: Sequence[Modality], modules: Mapping[str, Distillation], data: DistilData, seed: int
) -> Rows:
    """R@5 by teacher, of the distilled student and of the undistilled encoder with heads alone, and the difference."""
    chosen = np.sort(np.random.default_rng([seed, 42]).permutation(len(data))[:1000])
    patient = data.patient[chosen]
    hits = {arm: retrieval_hits(module, data, seed) for arm, module in modules.items()}
    rows: Rows = []
    for t, teacher in enumerate(teachers):
        row: dict[str, float | str] = {"student": student.value, "teacher": teacher.value, "gallery": GALLERY}
        row["chance"] = 5.0 / min(GALLERY, len(data))
        for arm, found in hits.items():
            row |= _columns(arm, mean_interval(patient, found[t]))
        row |= _columns("gain", difference_interval(patient, hits["distilled"][t], hits["undistilled"][t]))
        rows.append(row)
    return rows


# -- the whole --------------------------------------------------------------------------------------------------------


def variants(student: Modality, settings: DistilConfig, modalities: Sequence[Modality]) -> dict[str, DistilConfig]:
    """The ablations of one student: each teacher alone, its own encoder among the teachers, each loss alone."""
    others = teachers_of(msgspec.structs.replace(settings, teachers=()), student, modalities)
    changed: dict[str, DistilConfig] = {
        f"teacher {m.value}": msgspec.structs.replace(settings, teachers=(m.value,)) for m in others
    }
    changed["all sensors teach"] = msgspec.structs.replace(settings, teachers=tuple(m.value for m in modalities))
    changed["L_C only"] = msgspec.structs.replace(settings, regression_weight=0.0)
    changed["L_R only"] = msgspec.structs.replace(settings, contrastive_weight=0.0)
    return changed


def evaluate_students(runs: Sequence[TrainedRun], out: Path, progress: Progress) -> dict[str, Rows]:
    """Every student of one run, with the ablations of :data:`ABLATED`; as :func:`student_tables`."""
    if len(runs) != 1:
        raise BadInput("one run, whose students are evaluated", f"{len(runs)} runs", "evaluate them one by one")
    run = runs[0]
    run.progress = progress
    return student_tables(run, distil_settings(run.settings).students, out, ablate=(ABLATED,))


def student_tables(
    run: TrainedRun, students: Sequence[str], out: Path, settings: DistilConfig | None = None,
    ablate: Sequence[str] = (), cache: Path | None = None,
) -> dict[str, Rows]:  # fmt: skip
    """Tables of the students of a run, written to ``out`` as Markdown and CSV, and returned by name.

    cache: where distillations are kept and looked for, and the variants trained (default ``students`` in the run
    folder). Takes as long as it takes to distil each student twice, and those of ``ablate`` as often again as they have
    teachers, and three times more.
    """
    config = settings or distil_settings(run.settings)
    folder = cache or run.kept / "students"
    tables: dict[str, Rows] = {"probes": [], "own_task": [], "retrieval": [], "ablations": [], "size": []}
    rows = {name: spread_rows(run.group(name), count, run.settings.seed) for name, count in PROBE_WINDOWS.items()}
    for name in students:
        _one_student(run, Modality(name), config, folder, rows, name in ablate, tables)
    _write(run, tables, out)
    return tables


def _one_student(
    run: TrainedRun, student: Modality, config: DistilConfig, folder: Path, rows: Mapping[str, Indices], ablate: bool,
    tables: dict[str, Rows],
) -> None:  # fmt: skip
    modalities = [m for m in run.model.config.modalities if isinstance(m, Modality)]
    train, test, seed = run.group("train"), run.group("test"), run.settings.seed

    def distilled(settings: DistilConfig, place: Path) -> Distillation:
        return distil_encoder(
            run.model, train, run.group("stop"), student, settings, place, fingerprint(run, settings), seed,
            run.progress,
        ).eval()  # fmt: skip

    teachers = teachers_of(config, student, modalities)
    data = distil_data(run.model, test, student, teachers)
    made = distilled(config, folder)
    heads_only = distilled(msgspec.structs.replace(config, adapt=False), folder / "undistilled")
    probes = arms(run, student, made.encoder, rows)
    tables["size"].append({
        "student": student.value, "parameters": sum(p.numel() for p in made.encoder.parameters()),
        "trainable": trainable_share(made.encoder), "temperature": float(torch.exp(-made.log_scale.detach())),
    })  # fmt: skip
    tables["probes"] += probe_rows(student.value, probes, train, test, rows, seed)
    tables["own_task"].append(own_task_row(run, student, probes, rows))
    tables["retrieval"] += retrieval_rows(student, teachers, {"distilled": made, "undistilled": heads_only}, data, seed)
    if not ablate:
        return
    everything = {"as shipped": config, **variants(student, config, modalities)}
    truth, patient = targets(test, rows["test"]), test.dataset.patient_of[rows["test"]]
    for label, changed in everything.items():
        module = made if changed is config else distilled(changed, folder / label.replace(" ", "_"))
        probe = arms(run, student, module.encoder, rows)["distilled"]
        predicted = probe_predictions(probe, targets(train, rows["train"]))
        row: dict[str, float | str] = {"student": student.value, "variant": label}
        for k, target in enumerate(TARGETS):
            row |= _columns(target, r2_interval(patient, predicted[:, k], truth[:, k]))
        named = teachers_of(changed, student, modalities)
        hits = retrieval_hits(module, distil_data(run.model, test, student, named), seed)
        mean = np.nanmean(np.stack(list(hits.values())), axis=0) if changed.contrastive_weight else None
        chosen = np.sort(np.random.default_rng([seed, 42]).permutation(len(data))[:1000])
        if mean is not None:
            row |= _columns("recall", mean_interval(data.patient[chosen], mean))
        tables["ablations"].append(row)


def _columns(name: str, interval: Interval) -> dict[str, float | str]:
    return {name: interval.estimate, f"{name}_lo": interval.lo, f"{name}_hi": interval.hi}


def _headings(name: str, words: str) -> dict[str, str]:
    return {name: words, f"{name}_lo": "95 % from", f"{name}_hi": "to"}


def _write(run: TrainedRun, tables: Mapping[str, Rows], out: Path) -> None:
    group = run.group("test")
    is_simulated = simulated(group.dataset)
    kind = "simulated" if is_simulated else "recorded"

    def note(said: str) -> str:
        return caption(len(group), len(group.dataset.patients), [run.settings.seed], is_simulated, said)

    probe = {
        "student": "student", "target": "target", "labels": "labelled patients", "arm": "encoder",
        **_headings("r2", "R²"), **_headings("mae", "MAE"), **_headings("gain", "MAE less than undistilled"),
    }  # fmt: skip
    own = {
        "student": "student", **_headings("distilled", "distilled"), **_headings("undistilled", "undistilled"),
        **_headings("untrained", "untrained"), **_headings("suffered", "distilled − undistilled"),
    }  # fmt: skip
    found = {
        "student": "student", "teacher": "teacher", "chance": "chance", **_headings("distilled", "distilled"),
        **_headings("undistilled", "undistilled, heads only"), **_headings("gain", "gain"),
    }  # fmt: skip
    size = {
        "student": "student", "parameters": "parameters", "trainable": "trainable share",
        "temperature": "learned temperature",
    }  # fmt: skip
    ablation = {"student": "student", "variant": "variant", **{t: f"{t} R²" for t in TARGETS}}
    if any("recall" in row for row in tables["ablations"]):
        ablation["recall"] = "R@5"
    pages = {
        "probes": (probe, "ridge probes", "Ridge, α 10; shares of labels below 1 are means of five draws of patients."),
        "own_task": (own, "the encoder's own task", "Error of read-outs of its own signal in SD; lower is better."),
        "retrieval": (found, "retrieval R@5", "Among 64 held-out windows, half the same patient at least 60 s away."),
        "size": (size, "what is trained", "Of the encoder; the heads of distillation are discarded."),
        "ablations": (ablation, "ablations", "R² of probes with all labels; R@5 over the variant's own teachers."),
    }
    for name, (columns, title, said) in pages.items():
        if tables[name]:
            write_table(tables[name], columns, out, f"student_{name}", f"Students: {title} ({kind})", note(said))
