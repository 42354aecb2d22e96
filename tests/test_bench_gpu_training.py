"""``python -m benchmarks gpu``, the part that trains: on the CPU and a tiny network, as it will on a GPU."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")

from benchmarks.gpu import paper, training  # noqa: E402
from benchmarks.gpu.book import read  # noqa: E402
from benchmarks.gpu.part import PartRequest, run_part  # noqa: E402
from models import export  # noqa: E402
from models.training.config import DEMO_CONFIG, load_config, to_toml  # noqa: E402
from tests.models.tensorrt_fakes import Rig, model_bundle, rig  # noqa: E402

__all__ = ["rig"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PartRequest:
    """The demo's settings with the network of the tests; twice, and so once."""
    demo = load_config(DEMO_CONFIG)
    own = {stage: msgspec.structs.replace(getattr(demo, stage), batch=4) for stage in training.STAGES}
    (tmp_path / "ci.toml").write_text(to_toml(msgspec.structs.replace(demo, size="ci", **own)))
    monkeypatch.setattr(training, "CONFIGS", {"demo": tmp_path / "ci.toml", "full": tmp_path / "ci.toml"})
    monkeypatch.setattr(training, "PRECISIONS", ("fp32",))
    for name, value in {
        "PATIENTS": 2, "PATIENT_S": 72, "STRIDE_S": 12, "PROCESSES": 1, "STEPS": 3, "FEW_STEPS": 2, "FIRST_BATCH": 2,
        "LAST_BATCH": 8,
    }.items():  # fmt: skip
        monkeypatch.setattr(training, name, value)
    (tmp_path / "out").mkdir()
    return PartRequest("training", str(tmp_path / "out"), 600.0, device="cpu")


def test_steps_are_timed_and_the_batch_doubled_until_memory_is_out(
    small: PartRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    whole = training.run_stage

    def stage_of_a_small_card(stage: Any, settings: Any, *rest: Any) -> float:
        asked.append((stage.name, settings.batch))
        if stage.name == "pretrain":
            raise RuntimeError("expected scalar type Float")
        if settings.batch > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return whole(stage, settings, *rest)

    monkeypatch.setattr(training, "run_stage", stage_of_a_small_card)
    run_part(small)
    told = read(small.folder, "training")
    assert told["state"] == "done", told
    steps = told["tables"]["steps"]
    assert [(row["stage"], row["batch"], row["precision"]) for row in steps] == [
        ("fusion", 4, "fp32"), ("waves", 4, "fp32")
    ]  # fmt: skip
    assert all(row["steps_per_s"] > 0 and row["windows_per_s"] > row["steps_per_s"] for row in steps)
    assert [row["batch"] for row in told["tables"]["largest batch"]] == [2, 4]
    assert asked[3:] == [("fusion", 2), ("fusion", 4), ("fusion", 8)]
    assert told["tables"]["sizes"][0]["parameters"] > 1000
    words = " ".join(told["said"])
    assert "demo: pretrain in fp32, batches of 4: RuntimeError: expected scalar type Float." in words
    assert "full is the network of demo in the same batches" in words
    assert "demo: fusion in fp32 does not fit in batches of 8: OutOfMemoryError: CUDA out of memory. Tried" in words


def test_without_time_it_is_said_what_was_not_timed(small: PartRequest) -> None:
    run_part(dataclasses.replace(small, budget_s=0.0))
    told = read(small.folder, "training")
    assert told["state"] == "done" and "steps" not in told["tables"]
    assert any("pretrain in fp32 was not timed" in sentence for sentence in told["said"])
    assert any("batches of 2 and more were not tried" in sentence for sentence in told["said"])


def test_without_a_gpu_nothing_is_trained(small: PartRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.torch.cuda, "is_available", lambda: False)
    run_part(dataclasses.replace(small, device="cuda"))
    told = read(small.folder, "training")
    assert told["state"] == "failed" and "finds no GPU, so nothing is trained" in told["error"]


def test_a_network_of_the_papers_size_is_exported_built_and_timed(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part ``paper``, with a small network and the toy's graph in place of what is exported in minutes."""
    rig.inline()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setitem(paper.SIZES, "vitaldb", paper.SIZES["ci"])
    monkeypatch.setattr(paper, "BATCHES", (1, 2))
    monkeypatch.setattr(paper, "_RUN_S", 0.0)
    given = inspect.signature(export.export_bundle)

    def export_toy(*arguments: Any, **more: Any) -> None:
        asked = given.bind(*arguments, **more).arguments
        assert asked["limit"] > 500 << 20 and asked["imputers"] == () and asked["model"].memory is None
        model_bundle(asked["folder"])

    monkeypatch.setattr(export, "export_bundle", export_toy)
    run_part(PartRequest("paper", str(tmp_path), 600.0))
    told = read(tmp_path, "paper")
    assert told["state"] == "done", told
    exported = told["tables"]["exported"][0]
    assert exported["size"] == "vitaldb" and exported["parameters"] > 1000 and exported["graph_mb"] >= 0
    assert [(row["backend"], row["buckets"]) for row in told["tables"]["vitaldb"]][:2] == [
        ("tensorrt", [1]), ("tensorrt", [1, 2])
    ]  # fmt: skip
    assert all(row["passed"] and row["precision"] == "fp16" for row in told["tables"]["vitaldb"])
    assert [row["batch"] for row in told["tables"]["vitaldb, speed"]][:3] == [1, 1, 2]
    assert any("sleep_edfx reads sleep, not a bedside" in sentence for sentence in told["said"])


def test_a_clock_of_steps_ends_after_enough_of_them_or_of_time() -> None:
    clock = training.StepClock(3)
    clock("fusion", 1, 9)
    clock("fusion", 2, 9)
    with pytest.raises(training.Enough):
        clock("fusion", 3, 9)
    clock.ends = [0.0, 5.0, 6.0, 7.5, 8.5, 10.5]
    assert clock.step_s() == 1.5  # the first three are left out
    slow = training.StepClock(100, most_s=-1.0)
    slow("waves", 1, 100)
    with pytest.raises(training.Enough):
        slow("waves", 2, 100)
