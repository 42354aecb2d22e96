"""What may stand in the settings file: its sections, their keys, what each may be and what it is without being said.

One TOML file serves every command that meets at a broker, and ``vigil run``. The words of a key's ``description`` are
those of the sentence that refuses a wrong value.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from models.runtime.engine import WIDEST_MMHG
from models.runtime.spec import AUTO
from monitor.settings import BROKER
from streams.transport.kafka_options import MESSAGE_BYTES, RETENTION_H
from streams.transport.security import Mechanism

MB = 1 << 20
DEFAULT_PARTITIONS = 8
PART_MB = LEAST_FREE_MB = 1024  # as streams/sinks/mcap.py has them, which takes 0.1 s to import
SPOOL_MB = 512
PATH = {"path": True}
"""Of keys that name a file or folder: in the settings file, seen from where that file lies."""

Topic = Literal["beds", "waves", "vitals", "predictions", "alarms", "commands", "deadletters"]
Hours = Annotated[float, Meta(gt=0, le=87_600)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections."""


class BrokerKeys(Section, frozen=True):
    """``[broker]``: the Kafka to meet at."""

    url: Annotated[str, Meta(description=BROKER)] = ""
    prefix: Annotated[str, Meta(description="letters, digits, '.', '_' and '-', at most 64")] = ""
    partitions: Annotated[int, Meta(ge=1, le=1000, description="a whole number of partitions, 1 to 1000")] = (
        DEFAULT_PARTITIONS
    )
    replication: Annotated[int, Meta(ge=1, le=15, description="a whole number of copies of each topic, 1 to 15")] = 1
    retention_hours: Annotated[
        dict[Topic, Hours],
        Meta(
            description="hours above 0 by topic, as { waves = 6 }, of the topics beds, waves, vitals, predictions, "
            "alarms, commands and deadletters"
        ),
    ] = msgspec.field(default_factory=lambda: {"waves": RETENTION_H["waves"]})
    message_bytes: Annotated[
        int, Meta(ge=65_536, le=64 * MB, description="a whole number of bytes, 65536 to 67108864")
    ] = MESSAGE_BYTES


class TlsKeys(Section, frozen=True):
    """``[tls]``: to the broker."""

    ca: Annotated[
        str, Meta(description="a PEM file of the authorities, or the word system", extra=PATH | {"but": "system"})
    ] = ""
    certificate: Annotated[str, Meta(description="a PEM file with this process's own certificate", extra=PATH)] = ""
    key: Annotated[str, Meta(description="a PEM file with the key of that certificate", extra=PATH)] = ""


class SaslKeys(Section, frozen=True):
    """``[sasl]``: to the broker. The password stands in the environment or in a file of its own."""

    mechanism: Annotated[Mechanism, Meta(description="one of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512")] = "SCRAM-SHA-512"
    username: Annotated[str, Meta(description="a user's name")] = ""
    password_file: Annotated[str, Meta(description="a file that holds the password and nothing else", extra=PATH)] = ""


class WorkerKeys(Section, frozen=True):
    """``[worker]``: the model, of ``vigil run`` too."""

    bundle: Annotated[str, Meta(description="the folder of a model's bundle", extra=PATH)] = ""
    backend: Annotated[str, Meta(description="auto, tensorrt, tensorrt-rtx, onnx or torch")] = "auto"
    precision: Annotated[str, Meta(description="a precision out of auto, fp32, fp16, bf16")] = "auto"
    imputer: Annotated[str, Meta(description="auto, restoration, selfmask or none")] = AUTO
    widest_estimate: Annotated[float, Meta(ge=0, le=50, description="0 to 50 mmHg, as a number")] = WIDEST_MMHG


class SourceKeys(Section, frozen=True):
    """``[source]``: what devices send while the broker is away."""

    spool_folder: Annotated[str, Meta(description="a folder to keep it in meanwhile", extra=PATH)] = ""
    spool_mb: Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number of MiB, 1 to 1000000")] = SPOOL_MB


class RecorderKeys(Section, frozen=True):
    """``[recorder]``: of ``vigil record``, and of devices in ``vigil run``."""

    folder: Annotated[str, Meta(description="a folder to record into", extra=PATH)] = ""
    part_mb: Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number of MiB, 1 to 1000000")] = PART_MB
    least_free_mb: Annotated[int, Meta(ge=1, le=100_000_000, description="a whole number of MiB, 1 to 100000000")] = (
        LEAST_FREE_MB
    )


class MetricsKeys(Section, frozen=True):
    """``[metrics]``: where they and the health check are asked for; none without a port."""

    host: Annotated[str, Meta(min_length=1, description="an address of this machine, 127.0.0.1 for itself alone")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65_535, description="a port, 1 to 65535, or 0 for none")] = 0


class DisplayKeys(Section, frozen=True):
    """``[display]``: what the window looks like."""

    theme: Annotated[Literal["dark", "light", "colour-blind"], Meta(description="dark, light or colour-blind")] = "dark"
    font_scale: Annotated[float, Meta(ge=0.8, le=1.6, description="0.8 to 1.6, as a number")] = 1.0
    language: Annotated[Literal["en", "de", "auto"], Meta(description="en, de or auto")] = "en"
    dpi: Annotated[float, Meta(ge=0, le=1000, description="device pixels an inch, or 0 for what the screen says")] = 0.0
    full_screen: Annotated[bool, Meta(description="true or false")] = False


class SoundKeys(Section, frozen=True):
    """``[sound]``: of a window; where none can be seen there is none to be heard."""

    on: Annotated[bool, Meta(description="true or false")] = True
    volume: Annotated[int, Meta(ge=10, le=100, description="a whole number of percent, 10 to 100")] = 60
    beat_tone: Annotated[bool, Meta(description="true or false")] = True


class LogKeys(Section, frozen=True):
    """``[log]``: what a role says of itself."""

    json: Annotated[bool, Meta(description="true or false")] = False
    salt_file: Annotated[str, Meta(description="a file of the ward's own, to hide beds by", extra=PATH)] = ""


class Keys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    broker: BrokerKeys = msgspec.field(default_factory=BrokerKeys)
    tls: TlsKeys = msgspec.field(default_factory=TlsKeys)
    sasl: SaslKeys = msgspec.field(default_factory=SaslKeys)
    source: SourceKeys = msgspec.field(default_factory=SourceKeys)
    worker: WorkerKeys = msgspec.field(default_factory=WorkerKeys)
    recorder: RecorderKeys = msgspec.field(default_factory=RecorderKeys)
    metrics: MetricsKeys = msgspec.field(default_factory=MetricsKeys)
    display: DisplayKeys = msgspec.field(default_factory=DisplayKeys)
    sound: SoundKeys = msgspec.field(default_factory=SoundKeys)
    log: LogKeys = msgspec.field(default_factory=LogKeys)
