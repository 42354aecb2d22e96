"""``vigil export``: what it refuses, and that nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from models.making import export_run as module
from models.making.export_run import export_run
from models.runtime.spec import BOTH_IMPUTERS
from models.signals.errors import BackendUnavailable, BadInput, VigilError
from models.training.run_folder import MODEL, build_model, claim, record, save_model
from monitor import cli, cli_export
from tests.models.test_training import TINY


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    claim(folder, TINY, resume=False)
    save_model(folder, build_model(TINY), "f")
    record(folder, TINY, "data", {})
    return folder


def silent(stage: str, done: int, total: int) -> None: ...


def written(model, text, folder, imputers, progress):
    assert sorted(p.name for p in folder.rglob("*")) == ["checkpoint", "config.toml", "model.safetensors", "run.json"]
    (folder / "card.md").write_text(text.card)
    progress("export: proof", 1, 1)
    return folder


@pytest.mark.parametrize("name", ["", MODEL])
def test_a_run_is_exported_by_its_folder_or_its_model(run, tmp_path, monkeypatch, name) -> None:
    monkeypatch.setattr(module, "export", written)
    assert export_run(run / name, tmp_path / "bundle", silent) == tmp_path / "bundle"
    assert "simulated patients" in (tmp_path / "bundle" / "card.md").read_text()
    with pytest.raises(BadInput, match="which exists"):
        export_run(run, tmp_path / "bundle", silent)


def test_what_does_not_agree_is_not_left_behind(run, tmp_path, monkeypatch) -> None:
    def differs(model, text, folder, imputers, progress):
        written(model, text, folder, imputers, progress)
        raise ArithmeticError("ONNX Runtime differs from torch by 1e-1")

    monkeypatch.setattr(module, "export", differs)
    with pytest.raises(VigilError, match="Nothing was written: ONNX Runtime differs"):
        export_run(run, tmp_path / "bundle", silent)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_what_is_no_finished_run_is_refused(run, tmp_path) -> None:
    with pytest.raises(BadInput, match="nothing at"):
        export_run(tmp_path / "nowhere", tmp_path / "bundle", silent)
    with pytest.raises(BadInput, match=r"no run\.json"):
        export_run(tmp_path, tmp_path / "bundle", silent)
    foreign = tmp_path / "other.safetensors"
    foreign.write_bytes(b"")
    with pytest.raises(BadInput, match="lack the settings"):
        export_run(foreign, tmp_path / "bundle", silent)
    (run / MODEL).unlink()
    with pytest.raises(BadInput, match="a finished run"):
        export_run(run, tmp_path / "bundle", silent)


def test_without_torch_the_pip_command_is_named(monkeypatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name="torch")

    monkeypatch.setattr(cli_export, "import_module", missing)
    outcome = CliRunner().invoke(cli.app, ["export", "run", "bundle"])
    assert isinstance(outcome.exception, BackendUnavailable)
    assert "pip install -e '.[train]'" in str(outcome.exception)


@pytest.mark.parametrize(("imputing", "expected"), [(None, BOTH_IMPUTERS), (True, BOTH_IMPUTERS), (False, ())])
def test_the_graph_has_the_imputers_that_are_asked_for(run, tmp_path, monkeypatch, imputing, expected) -> None:
    """Of a run without a bundle, all it has; without them the model's own are gone, and the run's stay."""
    seen = []

    def listening(model, text, folder, imputers, progress):
        seen.append((imputers, model.config.imputer))
        return written(model, text, folder, imputers, progress)

    monkeypatch.setattr(module, "export", listening)
    export_run(run, tmp_path / "bundle", silent, imputing)
    assert seen == [(expected, "restoration" if expected else "mask_token")]
