"""Bundles are verified before use, and the engine shows only what may be shown."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.runtime.backend import Arrays, BackendInfo, RuntimeOptions
from models.runtime.bundle import DEMO_BUNDLE, Bundle, load_bundle
from models.runtime.calibration import half_width
from models.runtime.engine import Engine
from models.runtime.golden import GOLDEN_TOLERANCE, golden_difference
from models.runtime.pleth_look import pleth_look
from models.runtime.pressure_estimate import estimated_map
from models.runtime.pressure_past import EVERY_S, PressurePast
from models.runtime.select import CANDIDATES, select_engine
from models.runtime.spec import (
    BUNDLE_SCHEMA,
    BundleSpec,
    Conformal,
    PressureMoves,
    PressureTable,
    PriorSlope,
    RiskRow,
    RiskTable,
)
from models.signals.absence import Absence
from models.signals.errors import BadInput
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

SPEC = BundleSpec(
    schema=BUNDLE_SCHEMA,
    name="test",
    version="0",
    modalities=[m.value for m in MODEL_MODALITIES],
    rate_hz=100,
    frame_s=3,
    frames=10,
    hop_s=1,
    context_fields=list(CONTEXT_FIELDS),
    horizons_min=[5, 10, 15],
    token_width=8,
    conformal={
        "depth": Conformal(missing_edges=[0.0, 1.0], age_edges_s=[0.0, 1e9], widen=[[2.0]]),
        "map": Conformal(missing_edges=[0.0, 0.5, 1.0], age_edges_s=[0.0, 60.0, 1e9], widen=[[1.0, 5.0], [2.0, 9.0]]),
    },
    preprocessing="1",
    trained_on="nothing",
)
ECG, ABP, PPG, EEG = range(4)


class FakeBackend:
    """Gives finite outputs of the right shapes; ``poison`` names an output that is not finite."""

    def __init__(self, poison: str = "") -> None:
        self.poison = poison
        self.info = BackendInfo("fake", "test")

    def warm_up(self) -> None: ...

    def close(self) -> None: ...

    def run(self, inputs: Arrays) -> Arrays:
        batch, length = inputs["abp"].shape
        outputs: Arrays = {
            "risk": np.tile(np.float32([0.2, 0.3, 0.4]), (batch, 1)),
            "risk_lo": np.tile(np.float32([0.1, 0.2, 0.3]), (batch, 1)),
            "risk_hi": np.tile(np.float32([0.3, 0.4, 0.5]), (batch, 1)),
            "depth": np.tile(np.float32([40, 45, 99]), (batch, 1)),
            "pressure": np.tile(np.float32([[70, 75, 80], [100, 110, 120], [50, 55, 60]]), (batch, 1, 1)),
        }
        for name in ("abp_wave", "ppg_wave", "ecg_wave"):
            outputs[name] = np.tile(np.linspace(55, 110, length, dtype=np.float32), (batch, 1))
        if self.poison:
            outputs[self.poison] = np.full_like(outputs[self.poison], np.nan)
        return outputs


def ecg_with_beats(seconds: int = 30) -> np.ndarray:
    t = np.arange(seconds * 100) / 100
    return sum(np.exp(-(((t - beat) / 0.02) ** 2)) for beat in np.arange(0.4, seconds, 0.8)).astype(np.float32)


def window(absent: dict[int, slice] | None = None, age: float = 0.0, end_s: int = 100) -> Window:
    """A window of a beating heart with all present but the cells of ``absent`` (row -> slice of cells)."""
    signals = np.zeros((4, 3000), np.float32)
    signals[ECG] = ecg_with_beats()
    cells = np.ones((4, 30), bool)
    for row, where in (absent or {}).items():
        cells[row, where] = False
        signals[row].reshape(30, 100)[where] = np.nan
    presence = cells.reshape(4, 10, 3).all(axis=2)
    context = np.zeros((4, len(CONTEXT_FIELDS)), np.float32)
    context[ABP, CONTEXT_FIELDS.index("age_s")] = age
    context[ABP, CONTEXT_FIELDS.index("level")] = 80.0
    newest = {m: None if cells[row, -1] else Absence.NO_DATA for row, m in enumerate(MODEL_MODALITIES)}
    findings = Findings(
        Rhythm.BEATS if cells[ECG, -1] else Rhythm.UNKNOWN,
        {MODEL_MODALITIES[row]: Pulse.PRESENT if cells[row, -1] else Pulse.UNKNOWN for row in (ABP, PPG)},
    )
    return Window(end_s, signals, presence, cells, context, newest, findings)


def engine(poison: str = "", widest_mmhg: float = 10.0) -> Engine:
    return Engine(Bundle(Path(), SPEC, "0" * 12), FakeBackend(poison), widest_mmhg=widest_mmhg)


def test_everything_present_restores_nothing() -> None:
    (prediction,) = engine().predict([window()])
    assert prediction.valid
    assert not prediction.abstain
    assert prediction.restored == ()
    assert prediction.pressures is None
    assert prediction.risk[10].value == pytest.approx(0.3)


def test_an_absent_pressure_is_restored_for_its_absent_cells_only() -> None:
    (prediction,) = engine().predict([window({ABP: slice(20, 30)}, age=10)])
    (wave,) = prediction.restored
    assert wave.modality is Modality.ABP
    assert (wave.first_index, wave.amends, len(wave.values)) == (9850, 50, 150), "the hop, and half a second before"
    assert np.isfinite(wave.values).all()
    assert (wave.lo < wave.values).all()
    assert (wave.values < wave.hi).all()
    assert prediction.pressures is not None
    assert prediction.pressures["map"].lo == pytest.approx(69.0)  # widened by 1: little missing, young


def test_a_pressure_that_came_back_is_not_drawn_over() -> None:
    """The newest frame is still absent, its newest cell is measured again."""
    (prediction,) = engine().predict([window({ABP: slice(20, 29)}, age=0)])
    assert prediction.restored == ()
    assert prediction.pressures is None


@pytest.mark.parametrize(
    ("absent", "age", "reason"),
    [
        ({ABP: slice(0, 30), PPG: slice(0, 30)}, 31.0, "no pulse on PPG to estimate it from"),
        ({ABP: slice(20, 30), PPG: slice(0, 30)}, 5.0, "no pulse on PPG to estimate it from"),
        ({ABP: slice(0, 30)}, np.nan, "no clean ABP of this patient yet"),
        ({EEG: slice(0, 30)}, 0.0, "never estimated"),
    ],
)
def test_what_may_not_be_shown_says_why(absent: dict[int, slice], age: float, reason: str) -> None:
    (prediction,) = engine().predict([window(absent, age)])
    (modality,) = [m for m, why in prediction.not_estimable.items() if reason in why]
    assert modality not in [wave.modality for wave in prediction.restored]
    assert modality is not Modality.ABP or prediction.pressures is None


@pytest.mark.parametrize(
    ("findings", "reason"),
    [
        (Findings(Rhythm.STILL, {Modality.PPG: Pulse.PRESENT}), "the ECG is still"),
        (Findings(Rhythm.FIBRILLATION, {Modality.PPG: Pulse.PRESENT}), "the ECG shows fibrillation"),
        (Findings(Rhythm.UNCLEAR, {Modality.PPG: Pulse.PRESENT}), "the ECG shows no beats"),
        (Findings(Rhythm.BEATS, {Modality.PPG: Pulse.NONE}), "the PPG shows no pulse"),
        (Findings(Rhythm.BEATS, {Modality.PPG: Pulse.PRESENT, Modality.ABP: Pulse.NONE}), "the ABP shows no pulse"),
        (Findings(Rhythm.BEATS, {Modality.PPG: Pulse.PRESENT}, frozenset({Modality.PPG})), "the next pulse on the PPG"),
    ],
)
def test_bad_news_ends_the_estimate_whoever_brings_it(findings: Findings, reason: str) -> None:
    lost = window({ABP: slice(20, 30)}, age=5)
    (before,) = engine().predict([lost])
    (prediction,) = engine().predict([replace(lost, findings=findings)])
    assert before.pressures is not None and len(before.restored) == 1
    assert prediction.restored == () and prediction.pressures is None
    assert reason in prediction.not_estimable[Modality.ABP]


def test_a_pressure_that_is_measured_without_a_pulse_is_not_estimated_over() -> None:
    """The model cannot read it, but it is there: what is drawn is what is measured."""
    lost = window({ABP: slice(20, 30)}, age=5)
    newest = {**lost.newest, Modality.ABP: None}
    for pulse in Pulse:
        findings = Findings(Rhythm.BEATS, {Modality.PPG: Pulse.PRESENT, Modality.ABP: pulse})
        (prediction,) = engine().predict([replace(lost, newest=newest, findings=findings)])
        assert prediction.restored == () and prediction.pressures is None


def test_an_estimate_ends_where_its_interval_grows_too_wide() -> None:
    lost = window({ABP: slice(20, 30)}, age=10)  # the backend's MAP is 70-80, widened by 1 on either side
    (shown,) = engine(widest_mmhg=6.0).predict([lost])
    (ended,) = engine(widest_mmhg=5.9).predict([lost])
    assert shown.pressures is not None and shown.pressures["map"].half_width == pytest.approx(6.0)
    assert ended.pressures is None and ended.restored == ()
    assert ended.not_estimable[Modality.ABP] == "too uncertain: ±6 mmHg"


TABLE = PressureTable(
    moves=PressureMoves(
        {"delay": PriorSlope(-2.0, 1.0), "rate": PriorSlope(4.0, 1.0), "form": PriorSlope(0.0, 1.0)},
        [10.0],
        {"mean_60s": [0.25], "step": [0.5], "line": [0.0]},
    ),
    ages_s=[0.0, 100.0],
    half_mmhg={
        "with ECG": {"map": [2.0, 8.0], "sbp": [4.0, 16.0], "dbp": [3.0, 5.0]},
        "without ECG": {"map": [3.0, 9.0], "sbp": [5.0, 17.0], "dbp": [4.0, 6.0]},
    },
)


def with_tables(**tables: PressureTable | RiskTable) -> Engine:
    return Engine(Bundle(Path(), msgspec.structs.replace(SPEC, **tables), "0" * 12), FakeBackend())


def test_measured_half_widths_take_the_place_of_the_models_own() -> None:
    (prediction,) = with_tables(pressure=TABLE).predict([window({ABP: slice(20, 30)}, age=50)])
    assert prediction.pressures is not None
    assert [round(prediction.pressures[n].half_width, 3) for n in ("map", "sbp", "dbp")] == [5.0, 10.0, 4.0]
    (blind,) = with_tables(pressure=TABLE).predict([window({ABP: slice(20, 30), ECG: slice(0, 30)}, age=50)])
    assert blind.pressures is not None and blind.pressures["map"].half_width == pytest.approx(6.0)
    (old,) = with_tables(pressure=TABLE).predict([window({ABP: slice(0, 30)}, age=101)])
    assert old.pressures is None and "too long without" in old.not_estimable[Modality.ABP]


def test_an_estimate_has_the_mean_of_the_table_and_the_networks_shape() -> None:
    """Last measured 80, at a mean of 84 in the minute before: a quarter of the way is gone, whatever the model says."""
    lost = window({ABP: slice(20, 30)}, age=50)
    lost.context[ABP, CONTEXT_FIELDS.index("mean_60s")] = 84.0
    (plain,) = engine().predict([lost])
    (prediction,) = with_tables(pressure=TABLE).predict([lost])
    assert plain.pressures is not None and prediction.pressures is not None
    assert plain.pressures["map"].value == 75.0 and prediction.pressures["map"].value == pytest.approx(81.0)
    for name in ("sbp", "dbp"):
        assert prediction.pressures[name].value - plain.pressures[name].value == pytest.approx(6.0)
    np.testing.assert_allclose(prediction.restored[0].values - plain.restored[0].values, 6.0, atol=1e-4)


def pleth(rate: float) -> np.ndarray:
    phase = (np.arange(3000) / 100.0 * rate / 60.0) % 1.0
    return np.where(phase < 0.15, phase / 0.15, 1.0 - phase).astype(np.float32)


def test_an_estimate_follows_the_pulse_rate_of_its_own_bed_and_is_the_same_elsewhere() -> None:
    """4 mmHg for 10 % of rate, of which the table takes half."""
    beside, lost = window(), window({ABP: slice(20, 30)}, age=50)
    for made, rate in ((beside, 60.0), (lost, 72.0)):
        made.context[ABP, CONTEXT_FIELDS.index("mean_60s")] = 80.0
        made.signals[PPG] = pleth(rate)
    first, second = with_tables(pressure=TABLE), with_tables(pressure=TABLE)
    first.predict([beside], ["bed"])
    memory = first.memory_of("bed")
    assert second.remember("bed", memory)
    shown = []
    for engine_ in (first, second):
        (prediction,) = engine_.predict([lost], ["bed"])
        assert prediction.pressures is not None
        shown.append(prediction.pressures["map"].value)
    assert shown[0] == shown[1] == pytest.approx(80.0 + 0.5 * 4.0 * np.log(72.0 / 60.0) / 0.1, abs=0.1)
    assert first.memory_of("bed").past == memory.past
    (other,) = first.predict([lost], ["another bed"])
    first.forget("bed")
    (forgotten,) = first.predict([lost], ["bed"])
    assert other.pressures is None and forgotten.pressures is None


def test_an_estimate_follows_what_its_own_bed_has_shown() -> None:
    """A bed whose pressure fell by 2 mmHg with each 10 % of rate, against a population in which it rises by 4."""
    made = with_tables(pressure=TABLE)
    for end_s, rate in zip(range(100, 200, EVERY_S), [60.0, 66.0] * 10, strict=True):
        beside = window(end_s=end_s)
        beside.context[ABP, CONTEXT_FIELDS.index("level")] = 80.0 - 2.0 * np.log(rate / 60.0) / 0.1
        beside.context[ABP, CONTEXT_FIELDS.index("mean_60s")] = beside.context[ABP, CONTEXT_FIELDS.index("level")]
        beside.signals[PPG] = pleth(rate)
        made.predict([beside], ["bed"])
    lost = window({ABP: slice(20, 30)}, age=50, end_s=250)
    lost.context[ABP] = beside.context[ABP]
    lost.context[ABP, CONTEXT_FIELDS.index("age_s")] = 50.0
    lost.signals[PPG] = pleth(72.0)
    (prediction,) = made.predict([lost], ["bed"])
    assert prediction.pressures is not None
    level = float(beside.context[ABP, CONTEXT_FIELDS.index("level")])
    assert prediction.pressures["map"].value < level - 0.1
    past = PressurePast.of(made.memory_of("bed").past or ())
    now, then = (pleth_look(pleth(rate)) for rate in (72.0, 66.0))
    expected = estimated_map(TABLE.moves, lost, WindowSpec(), now, then, past)
    assert prediction.pressures["map"].value == pytest.approx(expected, abs=1e-4)


def test_a_risk_has_the_interval_of_the_table_and_ends_where_it_was_no_better_than_a_coin() -> None:
    row = RiskRow(longest_s=60.0, spread=[[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    engine_ = with_tables(risk=RiskTable(ages_s=[0.0, 100.0], sensors={"ECG+PPG+EEG": row}))
    (now,) = engine_.predict([window()])
    odds = np.log(0.3 / 0.7)
    assert now.risk[10].value == pytest.approx(0.3)
    assert now.risk[10].lo == pytest.approx(1 / (1 + np.exp(1 - odds))) and now.risk[10].hi > 0.3
    (lost,) = engine_.predict([window({ABP: slice(20, 30)}, age=60)])
    assert lost.risk[10].half_width > now.risk[10].half_width
    (older,) = engine_.predict([window({ABP: slice(20, 30)}, age=61)])
    (fewer,) = engine_.predict([window({EEG: slice(0, 30)})])
    assert older.abstain and older.risk == {} and fewer.abstain and fewer.risk == {}


def test_risk_and_estimate_stand_on_their_own() -> None:
    """A pressure below 65 needs no probability; its estimate is shown all the same."""
    low = window({ABP: slice(20, 30)}, age=5)
    low.context[ABP, CONTEXT_FIELDS.index("level")] = 60.0
    (prediction,) = engine().predict([low])
    assert prediction.abstain and prediction.risk == {} and "65" in prediction.reason
    assert prediction.valid and prediction.pressures is not None and prediction.depth is not None


def test_depth_goes_with_the_eeg() -> None:
    (prediction,) = engine().predict([window({EEG: slice(29, 30)})])
    assert prediction.depth is None


def test_a_source_that_the_model_did_not_see_is_no_ground_for_an_estimate() -> None:
    """The PPG is back for a second: its cell is measured, its frame is not yet seen by the model."""
    (prediction,) = engine().predict([window({ABP: slice(0, 30), PPG: slice(20, 29)}, age=31)])
    assert Modality.ABP in prediction.not_estimable


def test_nothing_is_drawn_before_half_a_window_was_seen() -> None:
    """Just after a start: the pressure is lost, the other sensors have been there for a few seconds only."""
    early = {ABP: slice(0, 30), PPG: slice(0, 18), ECG: slice(0, 18), EEG: slice(0, 18)}
    (prediction,) = engine().predict([window(early, age=5)])
    assert prediction.restored == ()
    assert prediction.pressures is None
    assert "too little" in prediction.not_estimable[Modality.ABP]


def test_no_sensor_at_all_abstains_with_the_prior() -> None:
    (prediction,) = engine().predict([window(dict.fromkeys(range(4), slice(0, 30)), age=np.nan)])
    assert prediction.abstain
    assert prediction.valid
    assert prediction.restored == ()


def test_what_the_model_did_not_see_is_no_ground_for_an_estimate() -> None:
    """A PPG on the finger for a second: a measured cell, but no frame of anything for the model to read."""
    everything = dict.fromkeys((ECG, ABP, EEG), slice(0, 30)) | {PPG: slice(0, 29)}
    (prediction,) = engine().predict([window(everything, age=5)])
    assert prediction.abstain
    assert prediction.pressures is None
    assert prediction.restored == ()
    assert "no sensor" in prediction.not_estimable[Modality.ABP]


def test_depth_needs_a_frame() -> None:
    """Twenty cells of EEG that never make a frame of three."""
    gappy = window(dict.fromkeys((ECG, ABP, PPG), slice(0, 30)) | {EEG: slice(0, 30, 3)}, age=np.nan)
    (prediction,) = engine().predict([gappy])
    assert prediction.abstain
    assert prediction.depth is None


def test_depth_is_unknown_with_too_little_eeg() -> None:
    (some,) = engine().predict([window({EEG: slice(0, 15)})])
    (little,) = engine().predict([window({EEG: slice(0, 16)})])
    assert some.depth is not None
    assert some.depth.hi == 100.0  # widened, and cut at the end of the scale
    assert little.depth is None


@pytest.mark.parametrize("name", ["risk", "depth", "pressure"])
def test_non_finite_output_is_invalid(name: str) -> None:
    (prediction,) = engine(poison=name).predict([window()])
    assert not prediction.valid
    assert prediction.risk == {}
    assert "no usable numbers" in prediction.reason


def test_a_restored_wave_that_is_not_finite_is_not_shown() -> None:
    (prediction,) = engine(poison="abp_wave").predict([window({ABP: slice(20, 30)}, age=10)])
    assert prediction.restored == ()
    assert "no usable wave" in prediction.not_estimable[Modality.ABP]


def test_conformal_bins() -> None:
    table = SPEC.conformal["map"]
    assert half_width(None, 0.5, 10) == 0.0
    assert [half_width(table, m, a) for m, a in [(0, 0), (0.49, 59), (0.5, 60), (1.0, 1e12)]] == [1.0, 1.0, 9.0, 9.0]
    assert half_width(table, 0.0, float("nan")) == 5.0


def write_bundle(folder: Path, spec: BundleSpec = SPEC, schema: int = BUNDLE_SCHEMA) -> Path:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"\x3a\x00")  # a model with an empty graph
    (folder / "card.md").write_text("card")
    np.savez(folder / "golden.npz")
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    names = ("model.onnx", "card.md", "golden.npz", "spec.json")
    files = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}
    (folder / "manifest.json").write_text(json.dumps({"schema": schema, "files": files}))
    return folder


def test_a_missing_bundle_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder at"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"manifest\.json"):
        load_bundle(tmp_path)


def test_a_tampered_file_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    (folder / "model.onnx").write_bytes(b"not the graph")
    with pytest.raises(BadInput, match="altered or damaged"):
        load_bundle(folder)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="update Vigil"):
        load_bundle(write_bundle(tmp_path / "b", schema=BUNDLE_SCHEMA + 1))


def test_an_older_bundle_serves_but_not_with_the_intervals_of_another_estimate(tmp_path: Path) -> None:
    assert load_bundle(write_bundle(tmp_path / "bare", schema=1)).spec.pressure is None
    spec = msgspec.structs.replace(SPEC, pressure=TABLE)
    assert load_bundle(write_bundle(tmp_path / "new", spec)).spec.pressure == TABLE
    with pytest.raises(BadInput, match="measured of another estimate; export the model again"):
        load_bundle(write_bundle(tmp_path / "old", spec, schema=1))


@pytest.mark.parametrize(
    "change",
    [
        {"modalities": ["ECG", "XYZ"]},
        {"modalities": []},
        {"modalities": ["ECG", "ECG"]},
        {"context_fields": ["level"]},
        {"frames": 0},
        {"frames": 10**9},
        {"rate_hz": 50},
        {"hop_s": 31},
        {"horizons_min": [5, 10]},
        {"conformal": {"map": Conformal(missing_edges=[0.0, 0.5, 1.0], age_edges_s=[0.0, 1e9], widen=[[1.0]])}},
    ],
    ids=["unknown modality", "no modality", "one twice", "other context", "no frames", "endless", "other rate",
         "hop beyond the window", "other horizons", "ragged table"],
)  # fmt: skip
def test_a_spec_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"spec\.json"):
        load_bundle(write_bundle(tmp_path / "b", msgspec.structs.replace(SPEC, **change)))


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../secret"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="plain file names"):
        load_bundle(folder)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="ONNX graph"):
        select_engine(load_bundle(write_bundle(tmp_path / "b")), "onnx")


def test_an_unknown_backend_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="onnx"):
        select_engine(load_bundle(write_bundle(tmp_path / "b")), "abacus")


def test_the_shipped_bundle_is_sound_and_small() -> None:
    bundle = load_bundle()
    selection = select_engine(bundle)
    assert selection.engine.window_spec.samples == 3000
    assert golden_difference(bundle, CANDIDATES["onnx"].load(bundle, RuntimeOptions())) <= GOLDEN_TOLERANCE
    assert sum(f.stat().st_size for f in DEMO_BUNDLE.iterdir()) <= 20 * 2**20
    selection.engine.close()
