"""Students as they are shipped: small bundles of one sensor that promise what they have, at the bedside too."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest
import torch

from models.data.windows import cut_windows
from models.distillation import student_encoder
from models.evaluation.bootstrap import Interval
from models.export import example_inputs, seal
from models.making.students import (
    Earned,
    earned,
    export_student,
    fit_student_temperature,
    one_sensor,
    promised,
    run_student,
    student_golden,
    student_outputs,
    student_spec,
)
from models.physiome import SIZES, PhysioME
from models.runtime.backend import Arrays, BackendInfo
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.engine import Engine
from models.runtime.graph_checks import graph_faults, operators
from models.runtime.onnx_backend import OnnxBackend
from models.signals.absence import Absence
from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.findings import Findings, Pulse
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec
from models.student import PROMISES, Student
from models.training.distil_stage import DistilConfig, StudentHeadsStage, heart_rates, single_sensor_loss, train_student
from streams.feed import DisplayFeed
from streams.records import PredictionRecord
from tests.models.student_data import give_features, make_group
from tests.streams.sources import session_of

CI = SIZES["ci"]
AGE, OWN_DELAY = CONTEXT_FIELDS.index("age_s"), CONTEXT_FIELDS.index("own_delay_s")
CONFIG = DistilConfig(steps=2, batch=32, evaluate_every=2, save_every=2, ema=0.5, head_steps=60, head_rate=5e-3)


def silent(stage: str, done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture(scope="module")
def model() -> PhysioME:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = PhysioME(CI).eval()
    with torch.no_grad():
        for name, parameter in made.encoders.named_parameters():
            if name.endswith("perceptron.4.weight"):
                parameter.mul_(50.0)  # an untrained frame network hardly tells one window from another
    return made


@pytest.fixture(scope="module")
def groups(model, tmp_path_factory):
    made = []
    for name, patients, seed in (("train", 16, 1), ("stop", 6, 2), ("calibration", 8, 3)):
        group = make_group(tmp_path_factory.mktemp(name), patients, 20, seed)
        give_features(model, group)
        made.append(group)
    return made


@pytest.fixture(scope="module")
def trained(model, groups, tmp_path_factory) -> Student:
    """A PPG student of a few steps."""
    folder = tmp_path_factory.mktemp("student")
    return train_student(model, *groups[:2], Modality.PPG, CONFIG, folder, "f", 0, silent)


def fresh(model: PhysioME, modality: Modality) -> Student:
    torch.manual_seed(4)
    row = CI.modalities.index(modality)
    student = Student(student_encoder(model.encoders[row]), modality, CI, torch.randn(50, 2 * CI.width)).eval()
    with torch.no_grad():
        student.heads.out.weight.normal_(std=0.2)
        student.heads.hypotension.bias.fill_(-0.5)
    return student


def exported(student: Student, folder):
    gives = PROMISES[student.modality]
    spec = student_spec(student, f"Student {student.modality.value}", "0", gives, {}, "nothing")
    return load_bundle(export_student(student, folder, spec, "# card"))


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory):
    return exported(trained, tmp_path_factory.mktemp("ppg"))


class TorchBackend:
    """A student as the engine's backend, without the export."""

    def __init__(self, student: Student) -> None:
        self.student, self.info = student, BackendInfo("torch", "test")

    def run(self, inputs: Arrays) -> Arrays:
        return run_student(self.student, PROMISES[self.student.modality], inputs)

    def warm_up(self) -> None: ...

    def close(self) -> None: ...


# -- heads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", list(PROMISES))
def test_outputs_of_every_student(model, modality):
    """Ordered, bounded, finite, also of nothing at all; of other sensors' delays it reads nothing."""
    student = fresh(model, modality)
    row = CI.modalities.index(modality)
    inputs = one_sensor(example_inputs(CI, 3), modality, row)
    inputs["presence"][1] = False
    inputs["context"][2] = np.nan
    gives = ("risk", "risk_lo", "risk_hi", "pressure", "depth")
    out = run_student(student, gives, inputs)
    assert (np.diff(out["risk"], axis=1) >= 0).all()
    assert (out["risk_lo"] <= out["risk"]).all() and (out["risk"] <= out["risk_hi"]).all()
    assert (np.diff(out["pressure"], axis=-1) > 0).all() and (np.diff(out["depth"], axis=-1) >= 0).all()
    assert (out["pressure"][:, 1, 1] > out["pressure"][:, 0, 1]).all()
    assert all(np.isfinite(v).all() for v in out.values())
    changed = {n: v.copy() for n, v in inputs.items()}
    changed["context"][:, :, OWN_DELAY] = 0.9
    for name, values in run_student(student, gives, changed).items():
        assert np.array_equal(values, out[name]), name


def test_content_under_the_mask_is_never_seen(model):
    student = fresh(model, Modality.PPG)
    golden = student_golden(student)
    assert {"all_present", "no_ppg", "frames_absent_nan", "frames_absent_1e30", "all_absent"} <= set(golden)
    assert "no_ecg" not in golden
    plain, nan, huge = (
        run_student(student, PROMISES[Modality.PPG], golden[f"frames_absent{end}"]) for end in ("", "_nan", "_1e30")
    )
    assert np.isnan(golden["frames_absent_nan"]["ppg"]).any()
    for name, values in plain.items():
        assert np.array_equal(values, nan[name]) and np.array_equal(values, huge[name]), name


def test_heads_learn_and_the_encoder_does_not_move(model, groups, trained, tmp_path):
    """In the made-up world size tells pressure and rhythm the heart rate, for patients the student never saw."""
    row = CI.modalities.index(Modality.PPG)
    group = groups[2]
    rows = np.arange(len(group))
    out = student_outputs(trained, group, row, rows, ("pressure", "risk"))
    truth = group.labels["pressures"][:, -1, 0]
    error = np.abs(out["pressure"][:, 0, 1] - truth)
    assert error.mean() < 0.7 * np.abs(np.median(truth) - truth).mean()
    before = {n: v.clone() for n, v in trained.encoder.state_dict().items()}
    stage = StudentHeadsStage(trained, groups[0], groups[1], row, CONFIG, "x", 0)
    trained.zero_grad(set_to_none=True)  # what distillation left
    trained.train()
    torch.stack(list(stage.losses(0).values())).sum().backward()
    assert all(p.grad is None for p in trained.encoder.parameters())
    missing = [n for n, p in trained.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    trained.zero_grad()
    assert not trained.encoder.training
    for name, value in trained.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    trained.eval()


def test_heart_rates_and_losses_of_one_sensor(groups):
    peaks = np.full((3, 6), np.nan, np.float32)
    peaks[0, :4] = [0.0, 1.0, 2.0, 3.0]
    peaks[1, :2] = [0.0, 1.0]
    assert np.array_equal(heart_rates(peaks), np.float32([60.0, np.nan, np.nan]), equal_nan=True)
    rows = np.arange(len(groups[0]))
    lost = single_sensor_loss(groups[0], 2, np.random.default_rng(0), rows)
    assert lost.presence.shape == (len(rows), 1, CI.frames)
    assert lost.context.shape == (len(rows), 1, len(CONTEXT_FIELDS))
    ages = lost.context[:, 0, AGE]
    absent_at_end = ~lost.presence[:, 0, -1]
    assert (ages[absent_at_end] > 0).all() and (ages[~absent_at_end] == 0).all()
    assert 0.1 < absent_at_end.mean() < 0.3 and lost.presence.any(-1).all()


# -- what it may promise ----------------------------------------------------------------------------------------------


def test_a_student_promises_what_it_has_earned_only(model, groups, trained):
    row = CI.modalities.index(Modality.PPG)
    fit_student_temperature(trained, groups[2], row)
    proofs = {p.output: p for p in earned(trained, groups[2], groups[0], row)}
    assert set(proofs) == {"risk", "pressure"}
    assert proofs["pressure"].kept and proofs["pressure"].gain.estimate > 1.0
    untrained = {p.output: p for p in earned(fresh(model, Modality.PPG), groups[2], groups[0], row)}
    assert not untrained["pressure"].kept
    no, yes = Interval(0.1, -0.01, 0.2), Interval(0.1, 0.01, 0.2)
    nan = Interval(0.3, math.nan, math.nan)
    assert promised(Modality.PPG, [Earned("risk", yes, ""), Earned("pressure", no, "")]) == (
        "risk",
        "risk_lo",
        "risk_hi",
    )
    assert promised(Modality.PPG, [Earned("risk", no, ""), Earned("pressure", yes, "")]) == ("pressure",)
    assert promised(Modality.EEG, [Earned("depth", nan, "")]) == (), "without an interval nothing is promised"


def test_the_temperature_is_that_of_the_likelihood(model, groups):
    """Hazards that are sure of an event, where most windows have none, are cooled."""
    student = fresh(model, Modality.ABP)
    row = CI.modalities.index(Modality.ABP)
    with torch.no_grad():
        student.heads.hypotension.weight.zero_()
        student.heads.hypotension.bias.fill_(6.0)
    before = float(student.heads.hypotension.temperature)
    fit_student_temperature(student, groups[2], row)
    assert float(student.heads.hypotension.temperature) > before + 0.5


# -- the bundle -------------------------------------------------------------------------------------------------------


def test_the_bundle_is_small_static_and_agrees(bundle):
    """Agreement with torch on the golden cases is proved by the export itself."""
    assert sum(f.stat().st_size for f in bundle.path.iterdir()) < 2 << 20
    graph = onnx.load(str(bundle.model_path))
    assert graph_faults(bundle.model_path.read_bytes()) == []
    assert {"Conv", "MaxPool", "Elu", "MatMul", "Softmax", "Where"} <= operators(graph)
    assert {i.type.tensor_type.shape.dim[0].dim_param for i in graph.graph.input} == {"batch"}
    assert [i.name for i in graph.graph.input] == ["ppg", "presence", "context"]
    assert tuple(o.name for o in graph.graph.output) == PROMISES[Modality.PPG]
    assert b"site-packages" not in bundle.model_path.read_bytes()
    backend = OnnxBackend(bundle.model_path, bundle.spec, threads=1)
    inputs = one_sensor(example_inputs(CI, 5, seed=9), Modality.PPG, CI.modalities.index(Modality.PPG))
    whole = backend.run(inputs)
    for i in (0, 4):
        for name, values in backend.run({k: v[i : i + 1] for k, v in inputs.items()}).items():
            np.testing.assert_allclose(values[0], whole[name][i], rtol=1e-4, atol=1e-4)


def test_too_large_a_student_is_refused(bundle):
    with pytest.raises(ValueError, match="at most 1000"):
        seal(bundle.path, 1000)


def test_a_spec_that_promises_more_than_the_graph_has_is_refused(bundle):
    more = msgspec.structs.replace(bundle.spec, outputs=["depth", "risk"])
    with pytest.raises(BadInput, match=r"no outputs named \['depth'\]"):
        OnnxBackend(bundle.model_path, more, threads=1)


def window(spec: WindowSpec, absent_from: int | None = None) -> Window:
    """A window of one pulsatile sensor; from cell ``absent_from`` on it is gone."""
    t = np.arange(spec.samples) / spec.rate_hz
    signals = np.sin(2 * np.pi * 1.2 * t)[None].astype(np.float32)
    cells = np.ones((1, spec.window_s), bool)
    context = np.zeros((1, len(CONTEXT_FIELDS)), np.float32)
    if absent_from is not None:
        cells[0, absent_from:] = False
        context[0, AGE] = spec.window_s - absent_from
    presence = cells.reshape(1, spec.frames, spec.frame_s).all(-1)
    (modality,) = spec.modalities
    newest = {modality: None if cells[0, -1] else Absence.NO_DATA}
    pulse = Pulse.PRESENT if cells[0, -1] else Pulse.UNKNOWN
    return Window(100, signals, presence, cells, context, newest, Findings(pulse={modality: pulse}))


def test_the_engine_shows_what_a_student_gives(bundle, model):
    ppg = Engine(bundle, OnnxBackend(bundle.model_path, bundle.spec, threads=1))
    spec = student_spec(fresh(model, Modality.EEG), "EEG", "0", PROMISES[Modality.EEG], {}, "nothing")
    eeg = Engine(Bundle(bundle.path, spec, "0" * 12), TorchBackend(fresh(model, Modality.EEG)))
    spec = ppg.window_spec
    assert spec.modalities == (Modality.PPG,)
    full, gone, nothing = ppg.predict(
        [window(spec), window(spec, spec.window_s - 4), replace(window(spec, 0), context=window(spec).context * np.nan)]
    )
    assert full.valid and full.depth is None and full.restored == () and full.not_estimable == {}
    assert full.abstain and full.risk == {}, "no pressure of this patient was ever measured: no risk"
    assert full.pressures is None, "and no pressure"
    assert gone.valid and gone.restored == () and gone.pressures is None, "no pulse now: no pressure"
    assert gone.not_estimable == {Modality.PPG: "this model has no estimate of it"}
    assert nothing.abstain and nothing.pressures is None
    (asleep,) = eeg.predict([window(eeg.window_spec)])
    assert asleep.valid and asleep.risk == {} and asleep.pressures is None
    assert asleep.depth is not None and 0 <= asleep.depth.lo <= asleep.depth.value <= asleep.depth.hi <= 100


def test_the_stream_cuts_for_one_sensor_what_training_saw():
    """Presence, signal and context of the PPG alone are those of the PPG among four, but for the delays."""
    channels = map_channels(open_recording("demo:seed=3,duration=90"), {})
    both = {}
    for modalities in ((Modality.PPG,), CI.modalities):
        spec = WindowSpec(modalities, 100, CI.frame_s, CI.frames, 1)
        found = [w for w in cut_windows(channels, spec, stride_s=20) if w.end_s >= 30]
        row = modalities.index(Modality.PPG)
        both[len(modalities)] = {w.end_s: (w.signals[row], w.presence[row], w.context[row]) for w in found}
    one, four = both[1], both[4]
    assert set(one) == set(four) and len(one) >= 3
    own = [i for i, name in enumerate(CONTEXT_FIELDS) if "delay" not in name]
    for end_s, (signal, presence, context) in one.items():
        assert np.array_equal(signal, four[end_s][0], equal_nan=True)
        assert np.array_equal(presence, four[end_s][1])
        assert np.array_equal(context[own], four[end_s][2][own], equal_nan=True)
        assert np.isnan(context[OWN_DELAY])


def test_a_student_serves_a_session_headless(model, tmp_path):
    """The whole stream on the built-in patient, with all four channels connected and one that the model reads."""
    student = fresh(model, Modality.PPG)
    spec = student_spec(student, "Student PPG", "0", PROMISES[Modality.PPG], {}, "nothing")
    engine = Engine(Bundle(tmp_path, spec, "0" * 12), TorchBackend(student))
    feed = DisplayFeed(capacity=1_000_000)
    source = map_channels(open_recording("demo:seed=3,duration=40"), {})
    session = session_of({"bed1": lambda: source}, engine.window_spec, lambda: engine, speed=None, feed=feed)
    session.start()
    assert session.wait(120), "the run did not end"
    records = [r for r in feed.drain(1_000_000) if isinstance(r, PredictionRecord)]
    assert len(records) == 40 and all(r.modalities == ["PPG"] and r.restored == [] for r in records)
    late = [r for r in records if r.window_end_ns >= 30 * 10**9]
    assert late and all(r.valid and r.abstain and r.depth is None and r.pressures is None for r in late)
    assert session.report()["dead_letters"] == 0
