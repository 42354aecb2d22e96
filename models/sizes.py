"""Sizes of the models: what is shipped, what the paper has, what tests use. Ablation switches that shape the graph.

A model reads M *rows* (one lead each) of ``frames`` frames. At the bedside the rows are modalities and frames follow
one another; in sleep staging (PhysioME's Sleep-EDFX configuration) they are named leads and frames overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from models.runtime.spec import OUTPUTS
from models.signals.modalities import MODEL_MODALITIES, SLEEP_CHANNELS, Modality, SleepChannel
from models.signals.windows import WindowSpec

Row = Modality | SleepChannel
_BEDSIDE_NEEDS = (Modality.ECG, Modality.ABP, Modality.PPG)
_OF_EEG = ("depth", "eeg_features")
_OF_TOKENS = ("tokens", "restored_tokens")


@dataclass(frozen=True, slots=True)
class PhysioMEConfig:
    """Size of a model; the defaults are those of ``demo``. ValueError if the parts do not fit each other."""

    frames: int = 10
    frame_s: int = 3
    frame_step_s: int = 3
    rate_hz: int = 100
    width: int = 96
    heads: int = 4
    encoder_depth: int = 2
    fusion_depth: int = 2
    decoder_depth: int = 2
    decoder_width: int = 96
    pretrain_depth: int = 1  # decoder of DP-NeuroNet's masked prediction
    pretrain_width: int = 96
    channels: tuple[int, int] = (16, 24)
    wave_channels: int = 32
    selfmask_width: int = 96
    selfmask_heads: int = 4
    selfmask_depth: int = 2
    selfmask_dropout: float = 0.1  # the paper has 0.3, for models a hundred times larger and days of training
    modalities: tuple[Row, ...] = MODEL_MODALITIES
    task: Literal["bedside", "sleep"] = "bedside"
    backbone: Literal["cnn", "vit"] = "cnn"  # ViT: a linear patch embedding instead of the frame network
    imputer: Literal["restoration", "mask_token"] = "restoration"  # mask token: nothing is imputed
    stop_gradient: bool = True  # on the input of the restoration decoders
    use_memory: bool = False  # imputers are told the last token of each absent modality (models.networks.memory)
    use_context: bool = True  # False: all that ``context`` remembers is unknown (the unit of the PPG stays)

    def __post_init__(self) -> None:
        if self.frame_s % self.frame_step_s:
            raise ValueError(f"frames of {self.frame_s} s cannot step by {self.frame_step_s} s: not a whole share")
        if self.task == "bedside":
            if not set(_BEDSIDE_NEEDS) <= set(self.modalities):
                raise ValueError(f"the bedside heads need ECG, ABP and PPG, found {[str(m) for m in self.modalities]}")
            if self.frame_step_s != self.frame_s:
                raise ValueError("the waves of the bedside heads need frames that do not overlap")

    @property
    def frame_samples(self) -> int:
        """Samples of a frame."""
        return self.frame_s * self.rate_hz

    @property
    def step_samples(self) -> int:
        """Samples from the beginning of a frame to that of the next."""
        return self.frame_step_s * self.rate_hz

    @property
    def window_s(self) -> int:
        """Length of a window in s."""
        return (self.frames - 1) * self.frame_step_s + self.frame_s

    @property
    def samples(self) -> int:
        """Samples L of a window."""
        return self.window_s * self.rate_hz

    @property
    def has_eeg(self) -> bool:
        """Whether one of the rows is an EEG."""
        return Modality.EEG in self.modalities

    @property
    def bedside_rows(self) -> tuple[Modality, ...]:
        """The rows as modalities; ValueError for a sleep model."""
        rows = tuple(m for m in self.modalities if isinstance(m, Modality))
        if len(rows) != len(self.modalities):
            raise ValueError("the rows of a sleep model are leads, not modalities of the bedside")
        return rows

    @property
    def window_spec(self) -> WindowSpec:
        """What the stream must cut for this model."""
        return WindowSpec(self.bedside_rows, self.rate_hz, self.frame_s, self.frames, 1)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Outputs of the exported graph, in the order of ``OUTPUTS``; without an EEG there is no depth, without an
        imputer no token that anybody reads."""
        left_out = (() if self.has_eeg else _OF_EEG) + (_OF_TOKENS if self.imputer == "mask_token" else ())
        return tuple(name for name in OUTPUTS if name not in left_out)


_PAPER = PhysioMEConfig(
    frames=20, width=512, heads=8, encoder_depth=6, fusion_depth=6, decoder_depth=8, decoder_width=256,
    pretrain_depth=4, pretrain_width=256, channels=(48, 64), selfmask_width=256, selfmask_heads=8,
    selfmask_dropout=0.3,
)  # fmt: skip

THREE = (Modality.ECG, Modality.ABP, Modality.PPG)

SIZES: dict[str, PhysioMEConfig] = {
    "demo": PhysioMEConfig(),
    "full": PhysioMEConfig(),  # what is shipped: the demo's network, trained on more
    "demo3": PhysioMEConfig(modalities=THREE),  # for recordings of the circulation, where no EEG is measured
    "ci": PhysioMEConfig(
        frames=8, width=32, encoder_depth=1, fusion_depth=1, decoder_depth=1, decoder_width=32, pretrain_width=32,
        channels=(8, 12), wave_channels=8, selfmask_width=32,
    ),
    "small": PhysioMEConfig(
        width=48, encoder_depth=1, decoder_depth=1, decoder_width=48, pretrain_width=48, channels=(8, 12),
        wave_channels=16, selfmask_width=48,
    ),
    "vitaldb": _PAPER,
    "vitaldb3": replace(_PAPER, modalities=(Modality.ABP, Modality.ECG, Modality.PPG)),
    "sleep_edfx": replace(
        _PAPER, frames=27, frame_s=4, frame_step_s=1, modalities=SLEEP_CHANNELS, task="sleep"
    ),
}  # fmt: skip
"""``demo`` and ``full`` are shipped, ``demo3`` is the same without an EEG, ``ci`` is for tests, ``small`` reads the
demo's windows and is for comparisons of methods on two cores (benchmarks/papers). The others are
PhysioME's own configurations (arXiv 2510.11110): VitalDB with the four modalities of the bedside or the paper's three,
60 s in 3-s frames; Sleep-EDFX 30 s in 4-s frames that step by 1 s."""
