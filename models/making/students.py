"""``vigil train distil``: from a finished run to one small bundle a sensor.

    distil → heads → calibrate → what it has earned → bundle

A student promises only what it has earned: on the calibration patients an output must beat knowing nothing (a risk an
AUROC of one half, a pressure or a depth the median of the training patients) by an interval over patients that excludes
zero. What has not is left out of the graph, and the card says so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from models.batches.chance import device_of
from models.batches.group import Group
from models.data.dataset import WindowDataset
from models.evaluation.bootstrap import Interval, difference_interval, patient_bootstrap
from models.evaluation.metrics import auroc
from models.evaluation.report import markdown
from models.export import HORIZONS_MIN, example_inputs, golden_inputs, seal, write_graph
from models.progress import Progress
from models.runtime.backend import Arrays
from models.runtime.bundle import load_bundle
from models.runtime.golden import GOLDEN_TOLERANCE, golden_difference
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.spec import BUNDLE_SCHEMA, BundleSpec, Conformal
from models.signals.errors import BadInput
from models.signals.modalities import MODALITIES, Modality
from models.signals.preprocessing import PREPROCESSING
from models.signals.windows import CONTEXT_FIELDS
from models.student import PROMISES, Student, StudentGraph
from models.training.calibrate import conformal_table, maximise_likelihood
from models.training.config import TrainConfig, digest, load_config
from models.training.distil_stage import DistilConfig, own_features, present_as_recorded, train_student
from models.training.run_folder import TrainedRun, open_run

STUDENT_LIMIT_BYTES = 2 << 20
PRESSURES = ("map", "sbp", "dbp")
_RISK_HORIZON = 1  # of HORIZONS_MIN: ten minutes
_LEAST_EEG_S = 15  # the engine says "unknown" below that

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Earned:
    """One output of a student against knowing nothing, on calibration patients: ``gain`` > 0 is better."""

    output: str
    gain: Interval
    meaning: str

    @property
    def kept(self) -> bool:
        """Whether the output is better than nothing at the lower bound."""
        return self.gain.lo > 0.0


def train_students(base: Path, out: Path | None, config: Path | None, progress: Progress) -> dict[str, Path]:
    """Trains the students that ``[distil]`` names and writes their bundles; sensor -> folder of the bundle.

    base: a finished run; out: where the students go (default ``base/students``); config: a file with a section
    ``[distil]`` (default the run's own, else the defaults). A student that has earned no output has no bundle.
    """
    run = open_run(Path(base), progress)
    if run.bundle is not None and out is None:
        raise BadInput("a folder for the students of a bundle's model", "none", "name it: --out FOLDER")
    settings = distil_settings(load_config(config) if config is not None else run.settings)
    folder = Path(out) if out is not None else run.kept / "students"
    folder.mkdir(parents=True, exist_ok=True)
    bundles: dict[str, Path] = {}
    for name in settings.students:
        made = make_student(run, Modality(name), settings, folder, progress)
        if made is not None:
            bundles[name] = made
    return bundles


def distil_settings(config: TrainConfig) -> DistilConfig:
    """The section ``[distil]``, or its defaults. BadInput for a student that the run's model has no sensor of."""
    settings = config.distil or DistilConfig(steps=1000, batch=128, warmup=50, weight_decay=0.01, ema=0.995)
    known = [m.value for m in config.architecture.modalities if isinstance(m, Modality) and m in PROMISES]
    if strange := [name for name in (*settings.students, *settings.teachers) if name not in known]:
        raise BadInput(f"students and teachers out of {', '.join(known)}", strange[0], "correct [distil]")
    return settings


def fingerprint(run: TrainedRun, settings: DistilConfig) -> str:
    """Of everything a student depends on: the run's encoders and this section."""
    stages = run.settings.fingerprints(str(run.facts.get("data")))
    return digest([stages["fusion"], msgspec.to_builtins(settings)])


def load_student(run: TrainedRun, modality: Modality, settings: DistilConfig, folder: Path) -> Student:
    """A trained student from ``folder``, or trained now; on the CPU, in eval mode."""
    train, stop = run.group("train"), run.group("stop")
    return train_student(
        run.model, train, stop, modality, settings, folder, fingerprint(run, settings), run.settings.seed, run.progress
    )


def make_student(
    run: TrainedRun, modality: Modality, settings: DistilConfig, folder: Path, progress: Progress
) -> Path | None:
    """Trains, calibrates and exports one student; None where it has earned nothing."""
    student = load_student(run, modality, settings, folder)
    row = run.model.config.modalities.index(modality)
    group = run.group("calibration")
    fit_student_temperature(student, group, row)
    conformal = calibrate_student(student, group, row)
    proofs = earned(student, group, run.group("train"), row)
    gives = promised(modality, proofs)
    place = folder / f"student_{modality.value.lower()}"
    if not gives:
        return None
    trained_on = f"{run.settings.name}: {len(run.group('train').dataset.patients)} patients"
    words = card(run, student, gives, proofs, trained_on)
    spec = student_spec(student, f"Student {modality.value}", run.settings.version, gives, conformal, trained_on)
    return export_student(student, place, spec, words)


# -- calibration ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def student_outputs(
    student: Student, group: Group, row: int, rows: npt.NDArray[np.intp], names: tuple[str, ...], batch: int = 512
) -> dict[str, Floats]:
    """Outputs of a student over windows with its sensor as recorded; ``names`` as :meth:`Student.forward` has them."""
    student.eval()
    device, kept = device_of(student), {name: list[Floats]() for name in names}
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        lost = present_as_recorded(group, row, part)
        out = student(
            own_features(group, row, part).to(device), torch.from_numpy(lost.presence).to(device),
            torch.from_numpy(lost.context).to(device),
        )  # fmt: skip
        for name in names:
            kept[name].append(out[name].cpu().numpy())
    return {name: np.concatenate(values) for name, values in kept.items()}


def usable(group: Group, row: int) -> npt.NDArray[np.intp]:
    """Windows in which the sensor has at least one frame: the engine abstains in the others."""
    return np.flatnonzero(group.presence[:, row].any(-1))


def fit_student_temperature(student: Student, group: Group, row: int) -> None:
    """One temperature of the risk by the likelihood of the mean hazard, in place; as the bedside model's."""
    if "risk" not in PROMISES[student.modality]:
        return
    rows = usable(group, row)
    logits = torch.from_numpy(student_outputs(student, group, row, rows, ("hazard_logits",))["hazard_logits"])
    raw = student.heads.hypotension.temperature
    maximise_likelihood(
        [raw],
        lambda: logits.to(raw.device) / (torch.nn.functional.softplus(raw) + 1e-3),
        group.labels["hypotension"][rows],
        lambda: 1e-4 * raw.square().sum(),
    )


def calibrate_student(student: Student, group: Group, row: int) -> dict[str, Conformal]:
    """Conformal widening of the quantiles that a student may give."""
    promise, rows = PROMISES[student.modality], usable(group, row)
    out = student_outputs(student, group, row, rows, ("pressure", "depth"))
    missing = 1.0 - group.presence[rows, row].mean(-1)
    nothing = np.full(len(rows), np.nan)
    tables = {}
    if "pressure" in promise:
        for i, name in enumerate(PRESSURES):
            q, truth = out["pressure"][:, i], group.labels["pressures"][rows][:, -1, i]
            tables[name] = conformal_table(q[:, 0], q[:, 2], truth, missing, nothing, by_age=False)
    if "depth" in promise:
        enough = group.presence[rows, row].sum(-1) * student.config.frame_step_s >= _LEAST_EEG_S
        truth = np.where(enough, group.labels["depth"][rows], np.nan)
        q = out["depth"]
        tables["depth"] = conformal_table(q[:, 0], q[:, 2], truth, missing, nothing, by_age=False)
    return tables


# -- what a student has earned ----------------------------------------------------------------------------------------


def earned(student: Student, group: Group, train: Group, row: int) -> list[Earned]:
    """Each promised output against knowing nothing, on ``group``'s patients; constants come from ``train``."""
    promise, rows = PROMISES[student.modality], usable(group, row)
    patient = group.dataset.patient_of[rows]
    names = tuple(name for name in ("risk", "pressure", "depth") if name in promise)
    out = student_outputs(student, group, row, rows, names)
    found: list[Earned] = []
    if "risk" in names:
        label = group.labels["hypotension"][rows, _RISK_HORIZON]
        kept = np.flatnonzero(np.isfinite(label) & ~group.labels["hypotensive_now"][rows].astype(bool))
        risk, event = out["risk"][kept, _RISK_HORIZON], label[kept] > 0.5
        gain = patient_bootstrap(patient[kept], lambda i: auroc(risk[i], event[i]) - 0.5)
        found.append(Earned("risk", gain, "AUROC − 0.5, hypotension within 10 min, not yet hypotensive"))
    for name, label in (("pressure", group.labels["pressures"][rows, -1, 0]), ("depth", group.labels["depth"][rows])):
        if name not in names:
            continue
        whole = train.labels["pressures"][:, -1, 0] if name == "pressure" else train.labels["depth"]
        value = out["pressure"][:, 0, 1] if name == "pressure" else out["depth"][:, 1]
        constant = float(np.nanmedian(whole)) if np.isfinite(whole).any() else np.nan
        gain = difference_interval(patient, np.abs(constant - label), np.abs(value - label))
        unit = "mmHg of MAP" if name == "pressure" else "points of depth"
        found.append(Earned(name, gain, f"absolute error less than the training median's, {unit}"))
    return found


def promised(modality: Modality, proofs: list[Earned]) -> tuple[str, ...]:
    """The outputs of the bundle, in the order of :data:`PROMISES`."""
    kept = {proof.output for proof in proofs if proof.kept}
    return tuple(name for name in PROMISES[modality] if name.split("_")[0] in kept)


# -- the bundle -------------------------------------------------------------------------------------------------------


def student_spec(
    student: Student, name: str, version: str, gives: tuple[str, ...], conformal: dict[str, Conformal], trained_on: str
) -> BundleSpec:
    """The specification of a one-sensor bundle."""
    c = student.config
    return BundleSpec(
        schema=BUNDLE_SCHEMA, name=name, version=version, modalities=[student.modality.value], rate_hz=c.rate_hz,
        frame_s=c.frame_s, frames=c.frames, hop_s=1, context_fields=list(CONTEXT_FIELDS),
        horizons_min=list(HORIZONS_MIN), token_width=c.width,
        conformal={k: v for k, v in conformal.items() if (k if k == "depth" else "pressure") in gives},
        preprocessing=PREPROCESSING, trained_on=trained_on, outputs=list(gives),
    )  # fmt: skip


def one_sensor(arrays: Arrays, modality: Modality, row: int) -> Arrays:
    """The inputs of a student out of those of the whole model."""
    name = modality.value.lower()
    return {name: arrays[name], **{n: np.asarray(arrays[n])[:, row : row + 1] for n in ("presence", "context")}}


def student_golden(student: Student) -> dict[str, Arrays]:
    """Inputs of the golden cases: present, absent, absent frame by frame with anything under it, context unknown."""
    row, name = student.config.modalities.index(student.modality), student.modality.value.lower()
    others = {f"no_{m.value.lower()}" for m in student.config.modalities if m.value.lower() != name}
    cases = golden_inputs(replace(student.config, use_memory=False))
    kept = {case: v for case, v in cases.items() if case not in others and not case.startswith("only_")}
    return {case: one_sensor(inputs, student.modality, row) for case, inputs in kept.items()}


def run_student(student: Student, gives: tuple[str, ...], inputs: Arrays) -> Arrays:
    """Outputs of the torch student in eval mode, by name."""
    student.eval()
    with torch.no_grad():
        values = StudentGraph(student, gives)(*(torch.from_numpy(np.asarray(v)) for v in inputs.values()))
    return {name: value.numpy() for name, value in zip(gives, values, strict=True)}


def export_student(student: Student, folder: Path, spec: BundleSpec, words: str) -> Path:
    """Writes the bundle, proves it against ONNX Runtime and returns its folder.

    Raises ValueError above ``STUDENT_LIMIT_BYTES``, ArithmeticError where ONNX Runtime does not agree with torch.
    """
    student = student.cpu().eval()
    gives, row = tuple(spec.outputs), student.config.modalities.index(student.modality)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "model.onnx.part"
    write_graph(
        StudentGraph(student, gives), one_sensor(example_inputs(student.config, 2), student.modality, row), gives,
        scratch,
    )  # fmt: skip
    os.replace(scratch, folder / "model.onnx")
    (folder / "spec.json").write_bytes(msgspec.json.format(msgspec.json.encode(spec)))
    golden: dict[str, npt.NDArray[np.generic]] = {}
    for case, inputs in student_golden(student).items():
        golden |= {f"{case}/in/{name}": value for name, value in inputs.items()}
        golden |= {f"{case}/out/{name}": value for name, value in run_student(student, gives, inputs).items()}
    np.savez_compressed(folder / "golden.npz", allow_pickle=False, **golden)
    (folder / "card.md").write_text(words, encoding="utf-8")
    seal(folder, STUDENT_LIMIT_BYTES)
    bundle = load_bundle(folder)
    difference = golden_difference(bundle, OnnxBackend(bundle.model_path, bundle.spec))
    if not difference <= GOLDEN_TOLERANCE:
        raise ArithmeticError(f"ONNX Runtime differs from torch by {difference:.1e} on the golden cases")
    return folder


def card(run: TrainedRun, student: Student, gives: tuple[str, ...], proofs: list[Earned], trained_on: str) -> str:
    """The card: what it is, what it promises and why, what it cannot do."""
    group = run.group("calibration")
    kind = "simulated" if simulated(group.dataset) else "recorded"
    rows = [
        {
            "output": p.output, "kept": "yes" if p.kept else "no", "meaning": p.meaning, "gain": p.gain.estimate,
            "lo": p.gain.lo, "hi": p.gain.hi,
        }
        for p in proofs
    ]  # fmt: skip
    columns = {"output": "output", "kept": "in the bundle", "meaning": "gain", "gain": "estimate", "lo": "95 % from",
               "hi": "to"}  # fmt: skip
    title = MODALITIES[student.modality].title
    return "\n\n".join(
        [
            f"# Student {student.modality.value}",
            f"Reads one sensor, the {title}, and gives {', '.join(gives)}. Distilled from the encoders of the other "
            f"sensors (PaCX, arXiv 2606.01537), which it does not need any more. {trained_on}, {kind}. For research "
            "and teaching, not for clinical decisions.",
            f"## What it has earned\n\n{len(group.dataset.patients)} {kind} calibration patients, none of them trained "
            "on; intervals by a bootstrap over patients. An output is in the bundle only if its interval lies above "
            "zero.\n\n" + markdown(rows, columns),
            "## Limits\n\nOne sensor cannot restore another: the student draws no estimated wave. A pressure from a "
            "PPG alone was never calibrated to the patient, and its interval says how little is known. The risk is "
            "that of the population it was trained on; use the bedside model where more sensors work.",
        ]
    ) + "\n"  # fmt: skip


def simulated(dataset: WindowDataset) -> bool:
    """Whether the patients of a data set come from the simulator."""
    return all(patient.facts.get("source", "simulator") == "simulator" for patient in dataset.patients)
