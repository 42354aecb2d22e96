"""Settings of a training run: read from TOML, checked field by field, hashed stage by stage.

A stage's fingerprint covers what the stage depends on and nothing else (the data, the seed, its own section and those
of the stages before it), so that ablations share encoders and a checkpoint is never continued under other settings.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from models.data.sources import FolderData, SleepEdfData, VitaldbData
from models.physiome import SIZES, PhysioMEConfig
from models.signals.errors import BadInput
from models.training.distil_stage import DistilConfig
from models.training.stage import Count, Decay, Natural, NotNegative, Positive, Share, StageSettings

DEMO_CONFIG = Path(__file__).with_name("demo.toml")
FULL_CONFIG = Path(__file__).with_name("full.toml")

OpenShare = Annotated[float, Meta(gt=0, lt=1)]


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="source", tag="simulator"):
    """Simulated patients by group (disjoint), length and cadence of windows; spectra: of
    :data:`models.data.sim.eeg.SPECTRA`; course: of :data:`models.data.sim.operation.COURSES`."""

    train_patients: Count
    stop_patients: Count  # early stopping
    calibration_patients: Count
    test_patients: Count
    duration_s: Count = 1800
    stride_s: Count = 10
    test_stride_s: Count = 20
    processes: Count = 2
    first_seed: Natural = 100_000
    spectra: Literal[1, 2] = 1
    course: Literal[1, 2] = 1


class MixedData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="source", tag="mixed"):
    """Simulated and recorded patients together: the one knows every truth, the other what patients are like.

    recorded_share: of the windows that a stage draws, in training and for early stopping, those of recordings; without
    it the longer simulations would decide. recorded: each has a ``site`` of its own, by which patients of one name are
    told apart; sets that may share patients belong on one side (``shares``).
    """

    recorded_share: OpenShare
    simulated: DataConfig
    recorded: tuple[FolderData | VitaldbData, ...]

    def __post_init__(self) -> None:
        sites = [site_of(part) for part in self.recorded]
        if not sites or len(set(sites)) < len(sites):
            raise ValueError(f"recorded parts have sites that differ, found {sites}")


def site_of(part: FolderData | VitaldbData) -> str:
    """What tells the patients of one part of :class:`MixedData` from another's."""
    return part.site if isinstance(part, FolderData) else "vitaldb"


class PretrainConfig(StageSettings, frozen=True, kw_only=True):
    """DP-NeuroNet of each modality encoder; 0 steps leave the encoders random (the control of pre-training)."""

    weight_decay: NotNegative = 0.02
    clip: Positive = 5.0
    ema: Decay = 0.98
    evaluate_every: Count = 100
    save_every: Count = 100
    mask_ratio: OpenShare = 0.8
    temperature: Positive = 0.1
    readout_weight: NotNegative = 1.0


class FusionConfig(StageSettings, frozen=True, kw_only=True):
    """PhysioME stage: frozen encoders with LoRA; fusion, restoration and heads are trained."""

    batch: Count = 48
    lora_rank: Count = 8
    lora_alpha: Positive = 8.0
    lora_dropout: Share = 0.05
    token_sample: OpenShare = 0.6  # share of kept tokens shown to the fusion encoder for L_intra
    contrastive_temperature: Positive = 0.1
    memory: bool = False  # the restoration decoders know the token memory from the first step on
    weights: dict[str, NotNegative] = msgspec.field(
        default_factory=dict
    )  # of single losses, over the defaults of models.training.fusion_stage


class SelfMaskConfig(StageSettings, frozen=True, kw_only=True):
    """SelfMask's predictor and mask scorer, everything else frozen."""

    masks: Literal["learned", "random"] = "learned"
    random_share: Share = 0.25  # of windows whose masks are random all the same
    observed_share: OpenShare = 0.25  # of observed tokens hidden for L_obs
    cross_share: OpenShare = 0.5  # for L_cross
    alpha: NotNegative = 0.1  # weight of L_obs; losses are in units of the tokens' variance, not as in the paper
    beta: NotNegative = 0.1  # of L_cross
    supervised: NotNegative = 1.0  # of the error on tokens that were lost
    task: NotNegative = 0.0  # of L_task, the losses of the frozen heads on the imagined tokens
    momentum: Decay = 0.996  # of the averaged predictor that the scorer looks at

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.observed_share >= self.cross_share:
            raise ValueError(f"cross_share {self.cross_share} must exceed observed_share {self.observed_share}")


class WaveConfig(StageSettings, frozen=True, kw_only=True):
    """Decoders of restored waves, everything else frozen."""

    batch: Count = 24
    rate: Positive = 2e-3
    weight_decay: NotNegative = 0.01
    ema: Decay = 0.995
    evaluate_every: Count = 200
    save_every: Count = 200
    plain_share: Share = 0.0  # of the steps in which nothing is imputed, so that a graph without imputers serves too


class HeadsConfig(StageSettings, frozen=True, kw_only=True):
    """The heads again, everything else frozen: on complete windows, or with sensors lost."""

    complete: bool = True
    pool: bool = False  # the pooling of the slots, which the heads read, is trained with them
    plain_share: Share = 0.0  # as of ``WaveConfig``


class RiskConfig(StageSettings, frozen=True, kw_only=True):
    """The risk head to convergence, everything else frozen."""

    batch: Count = 1024
    rate: Positive = 2e-3
    weight_decay: NotNegative = 0.5
    ema: Decay = 0.98
    evaluate_every: Count = 100
    save_every: Count = 500
    draws: Count = 2  # of losses a window


class RestorationConfig(StageSettings, frozen=True, kw_only=True):
    """The restoration decoders again, everything else frozen."""

    batch: Count = 48
    memory: bool = True  # they are told the last token of each absent modality (models.networks.memory)
    readout: NotNegative = 0.0  # weight of what the restored tokens say (models.batches.readouts)


class ObjectiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which method the main stage is, and what an ablation changes in it."""

    method: Literal["physiome", "leave_one_out", "masked_autoencoding", "consistency"] = "physiome"
    imputer: Literal["restoration", "mask_token"] = "restoration"  # what fills absent slots while heads learn
    stop_gradient: bool = True  # on the restoration decoders' input
    context: bool = True  # False: the memory of the last measurement is withheld
    backbone: Literal["cnn", "vit"] = "cnn"


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole run. Sections that are left out belong to stages that are not run."""

    name: str
    version: str
    size: str
    seed: Natural
    threads: Count = 2
    device: str = "auto"  # auto: a GPU if there is one
    data_folder: str = ""  # where the windows lie, or will: "" means ``data`` in the run folder
    start: str = ""  # whose weights training began with, as ``--from BUNDLE`` notes it; "": random ones
    data: DataConfig | FolderData | VitaldbData | SleepEdfData | MixedData
    pretrain: PretrainConfig
    fusion: FusionConfig
    restoration: RestorationConfig = RestorationConfig(steps=0)
    selfmask: SelfMaskConfig = SelfMaskConfig(steps=0)
    waves: WaveConfig = WaveConfig(steps=0)
    heads: HeadsConfig = HeadsConfig(steps=0)
    risk: RiskConfig = RiskConfig(steps=0)
    distil: DistilConfig | None = None
    objective: ObjectiveConfig = ObjectiveConfig()

    @property
    def architecture(self) -> PhysioMEConfig:
        """The size, with what the ablation changes in the graph."""
        changed = self.objective
        return replace(
            SIZES[self.size], backbone=changed.backbone, imputer=changed.imputer,
            stop_gradient=changed.stop_gradient, use_context=changed.context,
            use_memory=self.restoration.memory and self.restoration.steps > 0,
        )  # fmt: skip

    @property
    def serves_plain(self) -> bool:
        """Whether heads and waves have met windows in which nothing was imputed."""
        return all(stage.steps and stage.plain_share for stage in (self.heads, self.waves))

    @property
    def fingerprint(self) -> str:
        """Changes with every setting that can change a result (not with where the run happens)."""
        plain = msgspec.to_builtins(self)
        for place in ("threads", "device", "data_folder"):
            plain.pop(place)
        if not self.start:
            plain.pop("start")
        for part in (plain["data"], plain["data"].get("simulated", {}), *plain["data"].get("recorded", ())):
            part.pop("processes", None)
            part.pop("attribution", None)
            if part.get("course") == 1:  # runs made when there was no other do not have it
                part.pop("course")
        for later in ("restoration", "risk"):  # stages that runs made before there were any do not have
            if getattr(self, later).steps == 0:
                plain.pop(later)
        return digest(plain)

    def fingerprints(self, data: str) -> dict[str, str]:
        """Stage -> what its checkpoint depends on; ``data``: fingerprint of the windows (see ``data_stage``)."""
        plain = msgspec.to_builtins(self)
        objective = plain["objective"]
        mixed = [self.data.recorded_share] if isinstance(self.data, MixedData) else []
        begun = [self.start] if self.start else []
        encoders = digest([data, self.size, self.seed, objective["backbone"], plain["pretrain"], *mixed, *begun])
        fusion = digest([encoders, plain["fusion"], objective])
        restoration = digest([fusion, plain["restoration"]]) if self.restoration.steps else fusion
        heads = digest([restoration, plain["heads"]]) if self.heads.steps else restoration
        risk = digest([heads, plain["risk"]]) if self.risk.steps else heads
        return {
            "pretrain": encoders,
            "fusion": fusion,
            "restoration": restoration,
            "heads": heads,
            "risk": risk,
            "selfmask": digest([risk, plain["selfmask"]]),
            "waves": digest([restoration, plain["waves"]]),
            "distil": digest([fusion, plain["distil"]]),  # reads nothing but the encoders
        }


def digest(value: Any) -> str:
    """16 hexadecimal digits of a hash over plain values; the order of dictionary keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def load_config(path: Path = DEMO_CONFIG) -> TrainConfig:
    """Reads and checks a TOML file; BadInput names the first field that does not fit."""
    try:
        return checked(msgspec.toml.decode(path.read_bytes(), type=TrainConfig), str(path))
    except OSError as error:
        raise BadInput("a readable training configuration", f"{path} ({error.strerror})", "check --config") from error
    except msgspec.DecodeError as error:
        raise BadInput("a training configuration as in demo.toml", f"{error} in {path}", "correct the file") from error


def checked(config: TrainConfig, where: str) -> TrainConfig:
    """What types alone cannot say; returns ``config``."""
    from models.training.fusion_stage import WEIGHTS

    if config.size not in SIZES:
        raise BadInput(f"a size out of {', '.join(SIZES)}", repr(config.size), f"correct {where}")
    unknown = sorted(set(config.fusion.weights) - set(WEIGHTS))
    if unknown:
        raise BadInput(f"fusion.weights out of {', '.join(WEIGHTS)}", unknown[0], f"correct {where}")
    known = [m.value for m in SIZES[config.size].modalities]
    strange = [] if config.distil is None else [name for name in config.distil.students if name not in known]
    if strange:
        raise BadInput(f"distil.students out of {', '.join(known)}", strange[0], f"correct {where}")
    if config.fusion.memory and not config.architecture.use_memory:
        raise BadInput(
            "a token memory in [restoration] where [fusion] has one", "restoration without steps or memory",
            f"correct {where}",
        )  # fmt: skip
    if config.device not in ("auto", "cpu") and not config.device.startswith("cuda"):
        raise BadInput("device auto, cpu or cuda", repr(config.device), f"correct {where}")
    return config


def to_toml(config: TrainConfig) -> str:
    """A TOML file that :func:`load_config` reads back as the same settings."""
    lines: list[str] = []
    for section, value in _tables("", _without_none(msgspec.to_builtins(config))):
        if section:
            lines.append(f"\n{section}")
        lines += [f"{key} = {_toml(item)}" for key, item in value.items()]
    return "\n".join(lines).lstrip("\n") + "\n"


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


def _tables(name: str, table: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A table without its sub-tables, then these under their headers, ``[a.b]``; ``[[a.b]]`` of a list of tables."""
    inner = {key: item for key, item in table.items() if _holds_tables(item)}
    found = [(name, {key: item for key, item in table.items() if key not in inner})]
    for key, item in inner.items():
        dotted = f"{name.strip('[]')}.{key}" if name else key
        if isinstance(item, dict):
            found += _tables(f"[{dotted}]", item) if item else []
        else:
            found += [part for one in item for part in _tables(f"[[{dotted}]]", one)]
    return found


def _holds_tables(item: Any) -> bool:
    return isinstance(item, dict) or (isinstance(item, list | tuple) and bool(item) and isinstance(item[0], dict))


def _toml(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else "nan"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # TOML's strings, numbers and booleans are written like JSON's
