"""The training loop: schedule, averaging, early stopping, resumption bit for bit, and what goes wrong."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.batches.chance import step_random
from models.signals.errors import BadInput
from models.training import checkpoint
from models.training.loop import LOG_EVERY, MovingAverage, TrainingStopped, cosine_rate, run_stage
from models.training.stage import Stage, StageSettings

PLAIN = StageSettings(steps=12, batch=8, rate=0.05, warmup=3, ema=0.9, evaluate_every=3, save_every=4)


class Line(nn.Module):
    """A regression with everything that a stage may hold: BatchNorm, dropout, a frozen part."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.drop, self.out = nn.BatchNorm1d(3), nn.Dropout(0.2), nn.Linear(3, 1)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.drop(self.norm(self.frozen(x))))


class LineStage:
    """y = x·w + noise."""

    def __init__(self, poison: int | None = None, scores: list[float] | None = None) -> None:
        self.name, self.module, self.poison = "line", Line(), poison
        self.scores, self.after = scores, []

    def losses(self, step: int) -> dict[str, Tensor]:
        random = step_random(5, self.name, step)
        x = torch.randn(8, 3, generator=random.torch) + float(random.numpy.normal())
        error = self.module(x)[:, 0] - x.sum(-1)
        size = self.module.out.weight.square().sum()
        return {"fit": error.square().mean(), "size": 0.01 * size * (math.nan if step == self.poison else 1.0)}

    def after_step(self, step: int) -> None:
        self.after.append(step)

    def score(self) -> dict[str, float]:
        assert not self.module.training and not torch.is_grad_enabled()
        if self.scores is not None:
            return {"score": self.scores.pop(0)}
        x = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
        return {"score": float((self.module(x)[:, 0] - x.sum(-1)).square().mean())}


def silent(stage: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_the_rate_rises_to_its_peak_and_falls_to_two_percent():
    rates = [cosine_rate(s, 100, 1.0, 10) for s in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1.0 and max(rates) == 1.0
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert rates[-1] == pytest.approx(0.02)
    assert cosine_rate(0, 100, 1.0, 0) == 1.0


def test_the_optimiser_really_gets_the_warmed_up_rate(tmp_path):
    run_stage(LineStage(), PLAIN, tmp_path, "f", silent)
    first = rows(tmp_path / "line.csv")[0]
    assert float(first["rate"]) == pytest.approx(0.05 / 3, rel=1e-4) and first["step"] == "1"


def test_a_warm_up_longer_than_the_stage_is_refused():
    with pytest.raises(ValueError, match="warmup 12"):
        StageSettings(steps=12, warmup=12)


def test_resumed_equals_unbroken_bit_for_bit_wherever_it_was_broken(tmp_path):
    whole = LineStage()
    assert isinstance(whole, Stage)
    score = run_stage(whole, PLAIN, tmp_path / "whole", "f", silent)
    for last in (1, 4, 5, 11):
        folder = tmp_path / str(last)
        run_stage(LineStage(), PLAIN, folder, "f", silent, last=last)
        again = LineStage()
        assert run_stage(again, PLAIN, folder, "f", silent) == score
        assert again.after == list(range(last, 12))
        a, b = (checkpoint.load(f / "line.safetensors") for f in (tmp_path / "whole", folder))
        assert a.facts == b.facts and set(a.tensors) == set(b.tensors)
        assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
        state = again.module.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in whole.module.state_dict().items())


def test_logs_hold_each_step_once_after_an_interruption(tmp_path):
    settings = msgspec.structs.replace(PLAIN, steps=25, save_every=15, evaluate_every=5)
    run_stage(LineStage(), settings, tmp_path / "a", "f", silent)
    run_stage(LineStage(), settings, tmp_path / "b", "f", silent, last=15)
    with (tmp_path / "b" / "line.csv").open(
        "a", encoding="utf-8"
    ) as handle:  # written after the checkpoint, then a crash
        handle.write(rows_line(tmp_path / "b" / "line.csv", 21))
    run_stage(LineStage(), settings, tmp_path / "b", "f", silent)
    for name in ("line.csv", "line_stop.csv"):
        a, b = ([{k: v for k, v in r.items() if k != "elapsed_s"} for r in rows(tmp_path / x / name)] for x in "ab")
        assert a == b
    steps = [int(row["step"]) for row in rows(tmp_path / "a" / "line.csv")]
    assert steps == [1, 1 + LOG_EVERY, 1 + 2 * LOG_EVERY, 25]


def rows_line(path: Path, step: int) -> str:
    columns = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    return ",".join(str(step) if c == "step" else "9" for c in columns) + "\n"


def test_tensorboard_reads_the_scalars_and_no_name_of_the_machine_is_written(tmp_path):
    import socket

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_stage(LineStage(), PLAIN, tmp_path, "f", silent, last=6)
    run_stage(LineStage(), PLAIN, tmp_path, "f", silent)
    board = EventAccumulator(str(tmp_path / "tensorboard" / "line")).Reload()
    assert {"train/fit", "train/rate", "stop/score"} <= set(board.Tags()["scalars"])
    assert [event.step for event in board.Scalars("stop/score")] == [3, 6, 9, 12]
    written = [path for path in (tmp_path / "tensorboard").rglob("*") if path.is_file()]
    assert written and all(
        socket.gethostname().encode() not in path.name.encode() + path.read_bytes() for path in written
    )


def test_a_finished_stage_is_loaded_not_trained_again(tmp_path):
    first, second = LineStage(), LineStage()
    score = run_stage(first, PLAIN, tmp_path, "f", silent)
    assert run_stage(second, PLAIN, tmp_path, "f", silent) == score and second.after == []
    assert torch.equal(first.module.out.weight, second.module.out.weight)


def test_the_best_weights_are_a_copy_and_early_stopping_waits_its_patience(tmp_path):
    settings = msgspec.structs.replace(PLAIN, steps=30, evaluate_every=1, patience=3, ema=0.0)
    stage = LineStage(scores=[5.0, 2.0, 3.0, 4.0, 2.5] + [1.0] * 30)
    assert run_stage(stage, settings, tmp_path, "f", silent) == 2.0
    assert stage.after == [0, 1, 2, 3, 4]
    until_best = LineStage(scores=[5.0, 2.0])
    run_stage(until_best, msgspec.structs.replace(settings, patience=0), tmp_path / "two", "f", silent, last=2)
    assert torch.equal(stage.module.out.weight, until_best.module.out.weight)
    assert run_stage(LineStage(scores=[]), settings, tmp_path, "f", silent) == 2.0  # stopped early is finished


def test_the_average_is_what_its_equation_says_and_covers_batch_norm():
    module = Line()
    average, value = MovingAverage(module, 0.5), module.out.weight.detach().clone()
    expected = value.clone()
    for n in range(1, 12):
        with torch.no_grad():
            module.out.weight.copy_(value * n)
            module.norm.running_mean.fill_(n)
        average.update(module)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value * n
    assert torch.allclose(average.values["out.weight"], expected)
    assert 9.0 < float(average.values["norm.running_mean"][0]) < 11.0
    assert not any(name.startswith("frozen") for name in average.values)
    average.swap(module)
    assert torch.allclose(module.out.weight, expected)
    average.swap(module)
    assert torch.equal(module.out.weight, value * 11)


def test_the_averaged_weights_are_scored_and_kept_and_the_live_ones_trained_on(tmp_path):
    live: list[Tensor] = []
    scored: list[Tensor] = []

    class Watched(LineStage):
        def losses(self, step: int) -> dict[str, Tensor]:
            assert not live or torch.equal(self.module.out.weight, live[-1])
            return super().losses(step)

        def after_step(self, step: int) -> None:
            live.append(self.module.out.weight.detach().clone())

        def score(self) -> dict[str, float]:
            scored.append(self.module.out.weight.detach().clone())
            return {"score": float(-len(scored))}  # the last is the best

    stage = Watched()
    average = stage.module.out.weight.detach().clone()
    run_stage(stage, PLAIN, tmp_path, "f", silent)
    expected = []
    for n, value in enumerate(live, start=1):
        decay = min(0.9, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * value
        if n % 3 == 0:
            expected.append(average)
    assert len(scored) == 4
    for a, b in zip(scored, expected, strict=True):
        torch.testing.assert_close(a, b)
    assert torch.equal(stage.module.out.weight, scored[-1])


def test_frozen_parts_stay_bitwise(tmp_path):
    stage = LineStage()
    before = stage.module.frozen.weight.clone()
    run_stage(stage, PLAIN, tmp_path, "f", silent)
    assert torch.equal(before, stage.module.frozen.weight)


def test_bf16_trains_and_fp32_weights_stay(tmp_path):
    stage = LineStage()
    settings = msgspec.structs.replace(PLAIN, precision="bf16")
    assert math.isfinite(run_stage(stage, settings, tmp_path, "f", silent))
    assert stage.module.out.weight.dtype == torch.float32
    exact = LineStage()
    run_stage(exact, PLAIN, tmp_path / "exact", "f", silent)
    assert not torch.equal(stage.module.out.weight, exact.module.out.weight)  # it was really another precision


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_nan_loss_stops_and_says_where_and_keeps_the_last_good_state(tmp_path):
    with pytest.raises(TrainingStopped, match=r"stage line at step 7: the loss 'size' \(nan\)"):
        run_stage(LineStage(poison=7), PLAIN, tmp_path, "f", silent)
    kept = checkpoint.load(tmp_path / "line.safetensors")
    assert kept.facts["step"] == 7 and all(bool(torch.isfinite(v).all()) for v in kept.tensors.values())
    healed = LineStage()
    run_stage(healed, PLAIN, tmp_path, "f", silent)  # the same stage without the fault goes on from there
    assert healed.after == [7, 8, 9, 10, 11]


def test_a_score_that_is_not_finite_stops(tmp_path):
    with pytest.raises(TrainingStopped, match="early-stopping patients is nan"):
        run_stage(LineStage(scores=[math.nan]), PLAIN, tmp_path, "f", silent)


def test_foreign_checkpoints_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "line.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(BadInput, match="safetensors"):
        run_stage(LineStage(), PLAIN, tmp_path, "f", silent)
    path.unlink()
    run_stage(LineStage(), PLAIN, tmp_path, "f", silent, last=2)
    with pytest.raises(BadInput, match="fingerprint other"):
        run_stage(LineStage(), PLAIN, tmp_path, "other", silent)
    other = LineStage()
    other.module.out = nn.Linear(3, 2)
    with pytest.raises(BadInput, match=r"tensor out\.weight of \[2, 3\].*found \[1, 3\]"):
        run_stage(other, PLAIN, tmp_path, "f", silent)
    less = LineStage()
    less.module.frozen = nn.Identity()
    with pytest.raises(BadInput, match=r"a further tensor frozen\.(weight|bias)"):
        run_stage(less, PLAIN, tmp_path, "f", silent)
    (tmp_path / "line.safetensors").replace(tmp_path / "curve.safetensors")
    renamed = LineStage()
    renamed.name = "curve"
    with pytest.raises(BadInput, match="one of stage line"):
        run_stage(renamed, PLAIN, tmp_path, "f", silent)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    run_stage(LineStage(), PLAIN, tmp_path, "f", silent, last=2)
    path = tmp_path / "line.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadInput, match="safetensors"):
        run_stage(LineStage(), PLAIN, tmp_path, "f", silent)


def test_a_full_disk_leaves_the_former_checkpoint(tmp_path):
    """The real thing: the process may write files of at most 4 kB more than what is there."""
    import resource
    import signal

    run_stage(LineStage(), PLAIN, tmp_path, "f", silent, last=4)
    before = (tmp_path / "line.safetensors").read_bytes()
    wide = LineStage()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        with pytest.raises(checkpoint.DiskFull, match="disk is full"):
            run_stage(wide, PLAIN, tmp_path, "f", silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert (tmp_path / "line.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    run_stage(LineStage(), PLAIN, tmp_path, "f", silent)  # and it goes on


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_former(tmp_path):
    import resource
    import signal

    path = tmp_path / "x.safetensors"
    checkpoint.save(path, {"a": {"w": torch.ones(8)}}, {"step": 1})
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(checkpoint.DiskFull), checkpoint.disk_errors(tmp_path):
            checkpoint.save(path, {"a": {"w": torch.ones(10_000)}}, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
