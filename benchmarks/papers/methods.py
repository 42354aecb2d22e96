"""Who is compared: ``methods.toml``, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from models.signals.errors import BadInput
from models.training.config import FusionConfig, PretrainConfig, SelfMaskConfig
from models.training.losses import WEIGHTS
from models.training.stage import Count, NotNegative, Positive, Share

METHODS_FILE = Path(__file__).with_name("methods.toml")
LABELLED = ("pressure", "pressure_present", "depth", "hypotension", "eeg")
"""Losses of :data:`models.training.losses.WEIGHTS` that read a label."""

Fill = Literal["restoration", "mask token", "zeros", "selfmask", "tokens", "late fusion", "constant", "numbers"]


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every method may spend. Who trains the encoders too, whose step is dearer, has steps of their own."""

    pretrain_steps: Count
    pretrain_batch: Count
    main_steps: Count
    main_batch: Count
    end_to_end_steps: Count
    end_to_end_batch: Count
    rate: Positive
    end_to_end_rate: Positive


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One method. ``fill``: what stands in absent slots at the test, or what is read instead of them, each a row of the
    tables; the first of them also while it is trained."""

    what: str
    stage: Literal["physiome", "leave_one_out", "masked_autoencoding", "consistency", "selfmask", "zero_fill", "none"]
    labels: bool
    fill: tuple[Fill, ...]
    weights: dict[str, NotNegative] = {}
    context: bool = False  # what was measured before the window is remembered, and the last tokens of what is lost
    random_encoders: bool = False
    complete: bool = False  # trained on windows that lost nothing
    token_sample: Share = 0.6  # of the kept tokens, shown to the fusion encoder
    alpha: NotNegative = 0.0
    beta: NotNegative = 0.0

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.weights) - set(WEIGHTS)):
            raise ValueError(f"weights out of {', '.join(WEIGHTS)}, found {unknown[0]}")
        if not self.fill:
            raise ValueError("fill names nothing")


class Methods(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of ``methods.toml``."""

    budget: Budget
    methods: dict[str, Method]


def read_methods(path: Path = METHODS_FILE) -> Methods:
    """The file's methods. BadInput where it does not fit."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Methods)
    except OSError as error:
        raise BadInput("a readable file of methods", f"{path} ({error.strerror})", "check --methods") from error
    except msgspec.DecodeError as error:
        raise BadInput("methods as in benchmarks/papers/methods.toml", f"{error} in {path}", "correct it") from error


def plain(value: Method | Budget) -> dict[str, Any]:
    """Plain values, for a fingerprint."""
    built: dict[str, Any] = msgspec.to_builtins(value)
    return built


def pretraining(budget: Budget) -> PretrainConfig:
    """DP-NeuroNet as published: no read-out of physiology beside it."""
    steps = budget.pretrain_steps
    return PretrainConfig(
        steps=steps, batch=budget.pretrain_batch, rate=budget.rate, warmup=steps // 10, readout_weight=0.0,
        evaluate_every=steps, save_every=steps,
    )  # fmt: skip


def main_stage_settings(method: Method, budget: Budget) -> FusionConfig:
    """The main stage of a method; without labels, the heads' losses have weight 0."""
    labels = {} if method.labels else dict.fromkeys(LABELLED, 0.0)
    steps = budget.main_steps
    return FusionConfig(
        steps=steps, batch=budget.main_batch, rate=budget.rate, warmup=steps // 10, lora_rank=16, lora_alpha=16.0,
        token_sample=method.token_sample, memory=method.context, weights=labels | method.weights,
        evaluate_every=steps, save_every=steps,
    )  # fmt: skip


def selfmask_settings(method: Method, budget: Budget) -> SelfMaskConfig:
    """SelfMask end to end: L_task has weight 1, and nothing holds imagined tokens against the truth."""
    steps = budget.end_to_end_steps
    return SelfMaskConfig(
        steps=steps, batch=budget.end_to_end_batch, rate=budget.end_to_end_rate, warmup=steps // 10,
        alpha=method.alpha, beta=method.beta, supervised=0.0, task=1.0, evaluate_every=steps, save_every=steps,
    )  # fmt: skip
