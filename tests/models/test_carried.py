"""The model that a bundle carries: opened as it was trained, refused when damaged, and of no machine in particular."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.data.dataset import GROUPS
from models.data.sources import FolderData, SleepEdfData, VitaldbData
from models.export import bundle_spec, example_inputs, run_torch, seal
from models.making.export_run import _text
from models.making.students import train_students
from models.runtime.bundle import load_bundle
from models.runtime.carried import CARRIED, FILES, carries_model
from models.runtime.spec import CHOICE_INPUT, Conformal
from models.signals.errors import BadInput
from models.training.carry import carry_model
from models.training.config import DataConfig, MixedData, TrainConfig, load_config, to_toml
from models.training.data_stage import content_fingerprint, data_fingerprint, make_windows
from models.training.data_words import trained_on
from models.training.pipeline import STAGES, train_stages
from models.training.portable import UNNAMED, check_recordings, folder_name, portable, with_recordings
from models.training.run_folder import build_model, claim, open_run, record, save_calibration, save_model
from models.training.window_place import cached_windows
from monitor.cli_evaluate import recordings_given
from tests.models.test_runtime import write_bundle
from tests.models.test_training import TINY, silent

pytestmark = pytest.mark.timeout(300)  # simulates and trains: minutes on a busy machine

MEASURED = msgspec.structs.replace(load_bundle().spec, name="carrying", parts=False, preprocessing="models.signals 1")
CONFORMAL = {"map": Conformal([0.0, 1.0], [0.0, 60.0], [[0.125]])}
SHORT = DataConfig(1, 1, 1, 1, duration_s=70, stride_s=20, test_stride_s=20, processes=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as a training leaves it, with adapters and a memory, but of weights that are random."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run") / "tiny"
    settings = msgspec.structs.replace(TINY, data=SHORT, data_folder=str(folder / "data"))
    claim(folder, settings, resume=False)
    model = build_model(settings)
    model.freeze_encoders(settings.fusion.lora_rank, settings.fusion.lora_alpha, settings.fusion.lora_dropout)
    model.add_memory()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_model(folder, model, "f")
    save_calibration(folder, CONFORMAL)
    folders = make_windows(settings, folder / "data", silent)
    data = data_fingerprint(folders)
    record(folder, settings, data, settings.fingerprints(data), content_fingerprint(folders))
    return folder


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bundle(tmp_path_factory.mktemp("bundle") / "b", MEASURED)
    carry_model(run, folder)
    seal(folder)
    return folder


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """One that may be damaged: its ``checkpoint`` is its own."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


# -- round trip --------------------------------------------------------------------------------------------------------


def test_what_is_opened_from_the_bundle_computes_the_same_bit_for_bit(run: Path, bundle: Path) -> None:
    trained, opened = open_run(run), open_run(bundle)
    assert opened.bundle == bundle and opened.conformal == CONFORMAL and opened.facts == trained.facts
    assert opened.settings == msgspec.structs.replace(trained.settings, data_folder="")
    config = trained.model.config
    inputs = example_inputs(config, 3, seed=1) | {CHOICE_INPUT: np.array([True, False, True])}
    inputs["presence"][:, 1, -3:] = False
    before, after = run_torch(trained.model, inputs), run_torch(opened.model, inputs)
    assert len(before) > 8
    for name, values in before.items():
        assert np.array_equal(values, after[name], equal_nan=True), name
    fresh = run_torch(build_model(TINY), {n: v for n, v in inputs.items() if n != "memory"})
    assert not np.array_equal(fresh["fused"], after["fused"])


def test_a_bundle_of_a_bundle_carries_the_same_files(bundle: Path, tmp_path: Path) -> None:
    carry_model(open_run(bundle).folder, tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / CARRIED / name).read_bytes() == (bundle / CARRIED / name).read_bytes(), name


def test_an_export_of_a_bundle_keeps_what_was_measured_of_it(bundle: Path) -> None:
    spec, text = MEASURED, _text(open_run(bundle))
    assert None not in (text.pressure, text.risk) and (text.pressure, text.risk) == (spec.pressure, spec.risk)
    assert (text.name, text.version, text.trained_on) == (spec.name, spec.version, spec.trained_on)
    assert (text.preprocessing, text.card) == (spec.preprocessing, "card")
    written = bundle_spec(open_run(bundle).model.config, text)
    assert (written.pressure, written.risk) == (spec.pressure, spec.risk)


# -- trained on --------------------------------------------------------------------------------------------------------


def later_stages(run: Path, **steps: int) -> TrainConfig:
    """TINY with these steps and none of any other stage, on the windows of ``run``."""
    sections = {name: msgspec.structs.replace(getattr(TINY, name), steps=steps.get(name, 0)) for name in STAGES}
    sections["fusion"] = msgspec.structs.replace(sections["fusion"], warmup=0)
    sections["waves"] = msgspec.structs.replace(sections["waves"], warmup=0)
    return msgspec.structs.replace(TINY, data=SHORT, data_folder=str(run / "data"), **sections)


ALL_BUT_WAVES = ("encoders.", "fusion.", "context.", "restoration.", "memory.restoration.", "pool.", "heads.")


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "parts"), [("heads", ("heads.",)), ("fusion", ALL_BUT_WAVES)])
def test_training_goes_on_from_the_weights_of_a_bundle(
    bundle: Path, run: Path, tmp_path: Path, stage: str, parts: tuple[str, ...]
) -> None:
    settings = later_stages(run, **{stage: 2})
    trained = train_stages(tmp_path / "a", settings, False, silent, base=bundle)
    before, after = open_run(bundle).model.state_dict(), trained.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert set(before) == set(after) and changed and all(name.startswith(parts) for name in changed)
    assert all(name.endswith((".up", ".down")) for name in changed if name.startswith("encoders."))
    assert not any(name.startswith("heads.waves.") or "temperature" in name for name in changed)
    opened = open_run(tmp_path / "a")
    assert all(torch.equal(value, after[name]) for name, value in opened.model.state_dict().items())
    digest = msgspec.json.decode((bundle / "manifest.json").read_bytes())["checkpoint"]["model.safetensors"]
    begun = f"carrying {msgspec.json.decode((bundle / 'spec.json').read_bytes())['version']} ({digest[:12]})"
    assert opened.settings.start == begun
    assert trained_on(opened.settings).endswith(f"; begun with {begun}")
    random = settings.fingerprints("d")
    assert not set(opened.settings.fingerprints("d").values()) & set(random.values())
    assert opened.settings.fingerprint != settings.fingerprint
    again = train_stages(tmp_path / "a", settings, True, silent, base=bundle).model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in after.items())


def test_weights_that_do_not_fit_are_refused(bundle: Path, run: Path, tmp_path: Path) -> None:
    settings, replace = later_stages(run, heads=1), msgspec.structs.replace
    for wrong, message in (
        (
            replace(settings, pretrain=TINY.pretrain),
            r"steps = 0 in \[pretrain\], since the encoders are those of carrying",
        ),
        (replace(settings, size="demo"), "size 'ci', found size 'demo'"),
        (replace(settings, fusion=replace(settings.fusion, lora_rank=2)), r"lora_rank = 4 in \[fusion\].*found 2"),
    ):
        with pytest.raises(BadInput, match=message):
            train_stages(tmp_path / "a", wrong, False, silent, base=bundle)
    with pytest.raises(BadInput, match=r"--from the bundle of carrying 3, whose weights came first"):
        train_stages(tmp_path / "a", replace(settings, start="carrying 3"), False, silent)
    with pytest.raises(BadInput, match="a run folder or a bundle after --from"):
        train_stages(tmp_path / "a", settings, False, silent, base=tmp_path)
    assert not (tmp_path / "a").exists()


# -- what the monitor sees, and what is refused ------------------------------------------------------------------------


def test_a_bundle_runs_without_the_model_that_it_carried(copy: Path) -> None:
    assert carries_model(copy)
    shutil.rmtree(copy / CARRIED)
    assert load_bundle(copy).spec.imputers == ()  # nothing passes the gate after two steps
    with pytest.raises(BadInput, match=r"copy.checkpoint, as the bundle's manifest names it, found no such folder"):
        open_run(copy)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["altered", "cut off", "gone", "a link"])
def test_a_damaged_model_is_refused_and_the_bundle_runs_all_the_same(copy: Path, name: str, how: str) -> None:
    file = copy / CARRIED / name
    whole = file.read_bytes()
    file.unlink()
    if how == "altered":
        file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    elif how == "cut off":
        file.write_bytes(whole[:-1])
    elif how == "a link":
        (copy / "elsewhere").write_bytes(whole)
        file.symlink_to(copy / "elsewhere")
    with pytest.raises(BadInput, match=name) as refused:
        open_run(copy)
    assert "\n" not in str(refused.value)
    load_bundle(copy)


def test_a_bundle_that_carries_none_says_what_can_be_done(copy: Path) -> None:
    shutil.rmtree(copy / CARRIED)
    seal(copy)
    assert not carries_model(copy) and b"checkpoint" not in (copy / "manifest.json").read_bytes()
    with pytest.raises(BadInput, match=r"carries its trained model.*which can only be run.*benchmarks estimates"):
        open_run(copy)


def test_a_manifest_that_names_other_files_is_refused(copy: Path) -> None:
    (copy / CARRIED / "run.json").unlink()
    seal(copy)
    with pytest.raises(BadInput, match=r"run\.json missing or surplus"):
        open_run(copy)
    manifest = msgspec.json.decode((copy / "manifest.json").read_bytes())
    manifest["checkpoint"]["../card.md"] = "0" * 64
    (copy / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(BadInput, match=r"card\.md missing or surplus"):
        open_run(copy)


# -- no machine in it --------------------------------------------------------------------------------------------------

names = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-_. "), min_size=1).filter(
    lambda name: name.strip() == name and name.strip(".")
)
roots = st.sampled_from(["", "/", "~/", "C:\\", "\\\\server\\", "./", "../", "~alice/"])
paths = st.builds(
    lambda root, parts, end: root + ("\\" if "\\" in root else "/").join(parts) + end, roots,
    st.lists(names, min_size=1, max_size=4), st.sampled_from(["", "/"]),
)  # fmt: skip


@given(st.lists(paths, min_size=4, max_size=4))
def test_no_path_is_left_in_the_settings_that_travel(some: list[str]) -> None:
    mixed = MixedData(0.5, SHORT, (FolderData(path=some[0], site="a"), VitaldbData(folder=some[1])))
    kinds = (mixed, FolderData(path=some[0]), VitaldbData(folder=some[1]), SleepEdfData(path=some[2]), SHORT)
    for data in kinds:
        settings = portable(msgspec.structs.replace(TINY, data=data, data_folder=some[3]))
        assert portable(settings) == settings and settings.data_folder == ""
        text = to_toml(settings)
        for line in text.splitlines():
            assert not set("/\\~") & set(line), line
        assert settings.fingerprints("d") == msgspec.structs.replace(TINY, data=data).fingerprints("d")
        assert cached_windows(settings) == cached_windows(msgspec.structs.replace(TINY, data=data, data_folder="x"))


def test_of_a_folder_its_own_name_is_left() -> None:
    assert folder_name("/home/alice/recordings/uci_mimic2") == folder_name("uci_mimic2") == "uci_mimic2"
    assert {folder_name(p) for p in ("~", "~alice", "/", "..", "C:\\", "")} == {UNNAMED}


def test_the_files_that_travel_know_no_folder_of_the_run(run: Path, bundle: Path) -> None:
    assert str(run.parent) in (run / "config.toml").read_text(encoding="utf-8")
    for name in FILES:
        assert str(run.parent).encode() not in (bundle / CARRIED / name).read_bytes(), name
    load_config(bundle / CARRIED / "config.toml")


# -- its windows -------------------------------------------------------------------------------------------------------


def test_windows_are_made_where_the_user_says_and_found_again(bundle: Path, run: Path, tmp_path: Path) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in bundle.rglob("*"))
    opened = open_run(bundle, silent, windows=tmp_path / "w")
    assert "4 patients are simulated (about 1 min" in opened.making and str(tmp_path / "w") in opened.making
    made = opened.group("test")
    assert opened.making == "" and torch.equal(made.features, open_run(run, silent).group("test").features)
    index = next((tmp_path / "w" / "test").rglob("index.json"))
    stamp = index.stat().st_mtime_ns
    again = open_run(bundle, silent, windows=tmp_path / "w").group("test")
    assert len(again) == len(made) and index.stat().st_mtime_ns == stamp
    assert sorted((p, p.stat().st_mtime_ns) for p in bundle.rglob("*")) == before
    index.write_text(index.read_text(encoding="utf-8").replace('"windows": ', '"windows": 1'), encoding="utf-8")
    with pytest.raises(BadInput, match=r"the data this run was trained on.*benchmarks estimates"):
        open_run(bundle, silent, windows=tmp_path / "w").group("test")


def test_without_a_folder_windows_go_to_the_cache(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    opened = open_run(bundle)
    assert tmp_path in opened.windows.parents and opened.kept == opened.windows
    with pytest.raises(BadInput, match="--out FOLDER"):
        train_students(bundle, None, None, silent)


def test_a_folder_that_cannot_be_made_is_named(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match=r"a folder for windows.*--windows"):
        open_run(bundle, silent, windows=tmp_path / "file").group("test")


def test_the_content_of_windows_knows_no_date_of_a_file(tmp_path: Path) -> None:
    def folders(mark: str, known: float) -> dict[str, list[Path]]:
        place = tmp_path / f"{mark}{known}"
        found = {group: [place / group / "p"] for group in GROUPS}
        for group, (patient,) in found.items():
            patient.mkdir(parents=True)
            facts = {"patient": group, "fingerprint": mark, "known": known}
            (patient / "index.json").write_bytes(msgspec.json.encode(facts))
        return found

    one, copied, other = folders("a", 0.5), folders("b", 0.5), folders("a", 0.6)
    assert data_fingerprint(one) != data_fingerprint(copied)
    assert content_fingerprint(one) == content_fingerprint(copied) != content_fingerprint(other)


def test_recordings_are_found_where_they_are_now(tmp_path: Path) -> None:
    parts = (FolderData(path="uci_mimic2", site="uci"), FolderData(path="challenge2015", site="challenge"))
    settings = msgspec.structs.replace(TINY, data=MixedData(0.5, SHORT, parts))
    with pytest.raises(BadInput, match=r"recordings of uci .*no folder 'uci_mimic2'.*--recordings uci=FOLDER"):
        check_recordings(settings)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    moved = with_recordings(settings, {"uci": tmp_path / "a"})
    with pytest.raises(BadInput, match=r"--recordings challenge=FOLDER"):
        check_recordings(moved)
    check_recordings(with_recordings(moved, {"challenge": tmp_path / "b"}))
    assert isinstance(moved.data, MixedData) and moved.data.recorded[1:] == parts[1:]
    assert moved.data.recorded[0] == msgspec.structs.replace(parts[0], path=str(tmp_path / "a"))
    with pytest.raises(BadInput, match=r"a site out of uci, challenge, found --recordings ucl=a"):
        with_recordings(settings, {"ucl": Path("a")})
    with pytest.raises(BadInput, match="no --recordings: this model's patients are simulated"):
        with_recordings(TINY, {"uci": Path("a")})


def test_sites_and_folders_are_read_as_they_were_meant() -> None:
    assert recordings_given(["a=x", "b=y=z"]) == {"a": Path("x"), "b": Path("y=z")}
    for wrong in ("a", "=x", "a="):
        with pytest.raises(BadInput, match="SITE=FOLDER"):
            recordings_given([wrong])
    with pytest.raises(BadInput, match="a twice"):
        recordings_given(["a=x", "a=y"])
