"""Settings of a training run: read from TOML, checked field by field, hashed into the checkpoints."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from models.physiome import SIZES
from models.signals.errors import BadInput

DEMO_CONFIG = Path(__file__).with_name("demo.toml")


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Simulated patients by group (disjoint), length and cadence of windows."""

    train_patients: int
    stop_patients: int  # early stopping
    calibration_patients: int
    test_patients: int
    duration_s: int = 1800
    stride_s: int = 10
    test_stride_s: int = 20
    processes: int = 2
    first_seed: int = 100_000


class PretrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """DP-NeuroNet of each modality encoder."""

    steps: int
    batch: int = 32
    rate: float = 1e-3
    mask_ratio: float = 0.8
    temperature: float = 0.1
    readout_weight: float = 1.0


class FusionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PhysioME stage: frozen encoders with LoRA, fusion, restoration, waves and heads."""

    steps: int
    batch: int = 48
    wave_batch: int = 0  # windows of a batch whose waves are decoded; 0 leaves them to the wave stage
    rate: float = 1e-3
    warmup: int = 100
    clip: float = 1.0
    weight_decay: float = 0.02
    ema: float = 0.998
    lora_rank: int = 8
    lora_alpha: float = 8.0
    lora_dropout: float = 0.05
    token_sample: float = 0.6  # share of kept tokens shown to the fusion encoder for L_intra
    contrastive_temperature: float = 0.1
    evaluate_every: int = 400
    save_every: int = 400
    weights: dict[str, float] = {}


class WaveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decoders of restored waves, everything else frozen."""

    steps: int
    batch: int = 24
    rate: float = 2e-3
    warmup: int = 50
    clip: float = 1.0
    weight_decay: float = 0.01
    ema: float = 0.995
    evaluate_every: int = 200


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole run."""

    name: str
    version: str
    size: str
    seed: int
    threads: int
    data: DataConfig
    pretrain: PretrainConfig
    fusion: FusionConfig
    waves: WaveConfig

    @property
    def fingerprint(self) -> str:
        """Changes with every setting; a checkpoint of another fingerprint is not resumed."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def load_config(path: Path = DEMO_CONFIG) -> TrainConfig:
    """Reads and checks a TOML file; BadInput names the first field that does not fit."""
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=TrainConfig)
    except OSError as error:
        raise BadInput("a readable training configuration", f"{path} ({error.strerror})", "check --config") from error
    except msgspec.DecodeError as error:
        raise BadInput("a training configuration as in demo.toml", f"{error} in {path}", "correct the file") from error
    if config.size not in SIZES:
        raise BadInput(f"a size out of {', '.join(SIZES)}", repr(config.size), f"correct {path}")
    if min(config.data.train_patients, config.data.calibration_patients, config.data.test_patients) < 1:
        raise BadInput("at least one patient a group", str(config.data), f"correct {path}")
    return config
