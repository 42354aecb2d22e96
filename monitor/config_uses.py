"""The settings in force as the parts of the monitor want them: sharing of a broker, limits of a recording, a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import msgspec

from models.signals.errors import BadInput
from monitor.config import PASSWORD, InForce
from monitor.config_file import config_folder
from monitor.config_keys import MB, Keys
from streams.runner import EMBEDDED, Sharing
from streams.sinks.mcap import Limits
from streams.transport.kafka_options import KafkaOptions
from streams.transport.security import Sasl, Security, Tls
from ui.sound.choice import SoundChoice
from ui.style.theme import Theme, theme_named

LOCAL = ("localhost", "127.0.0.1", "::1")


def broker_of(settings: InForce) -> str:
    """The address of a Kafka; BadInput where none is said, or a broker that nobody else can reach."""
    url = settings.keys.broker.url
    if not url:
        raise BadInput(
            "a broker to meet at", "none", "give --broker kafka://HOST:9092, or [broker] url in the settings file"
        )
    if url.startswith(EMBEDDED):
        raise BadInput(
            "a Kafka in --broker, like kafka://HOST:9092", f"{url}, which lives and ends with this process",
            "use `vigil run` for all in one process",
        )  # fmt: skip
    return url


def sharing_of(settings: InForce, environment: Mapping[str, str] = os.environ, **more: object) -> Sharing:
    """How the broker is shared. more: further fields of :class:`streams.runner.Sharing`, of the role."""
    broker = settings.keys.broker
    kafka = KafkaOptions(
        replication=broker.replication,
        retention_h={str(topic): hours for topic, hours in broker.retention_hours.items()},
        message_bytes=broker.message_bytes,
        security=security_of(settings.keys, environment),
    )
    return Sharing(prefix=broker.prefix, partitions=broker.partitions, kafka=kafka, **more)  # type: ignore[arg-type]


class Appearance(TypedDict):
    """What :func:`ui.window.app.run_display` asks of the window's looks."""

    theme: Theme
    font_scale: float
    full_screen: bool
    kept: Path


def appearance_of(settings: InForce) -> Appearance:
    """Colours, sizes and place of the window, and where it keeps what is chosen on it."""
    display = settings.keys.display
    theme = theme_named(display.theme)
    if display.dpi:
        theme = replace(theme, sweep=msgspec.structs.replace(theme.sweep, dpi=display.dpi))
    return Appearance(theme=theme, font_scale=display.font_scale, full_screen=display.full_screen, kept=config_folder())


def security_of(keys: Keys, environment: Mapping[str, str] = os.environ) -> Security:
    """TLS and SASL to the broker, checked before anybody connects."""
    tls = None
    if (keys.tls.certificate or keys.tls.key) and not keys.tls.ca:
        raise BadInput("[tls] ca beside a certificate", "none", "name the file of the authorities, or write system")
    if keys.tls.key and not keys.tls.certificate:
        raise BadInput("[tls] certificate beside a key", "none", "name its file")
    if keys.tls.ca:
        tls = Tls(keys.tls.ca, _path(keys.tls.certificate), _path(keys.tls.key))
        tls.context()
    if not keys.sasl.username:
        return Security(tls)
    host = urlsplit(keys.broker.url).hostname
    if keys.sasl.mechanism == "PLAIN" and tls is None and host not in LOCAL:
        raise BadInput(
            "[tls] beside the mechanism PLAIN",
            f"none on the way to {host}, where everybody could read the password",
            "set up [tls], or choose SCRAM-SHA-512",
        )
    return Security(tls, Sasl(keys.sasl.username, _password(keys, environment), keys.sasl.mechanism))


def limits_of(settings: InForce) -> Limits:
    """Of a recording."""
    keys = settings.keys.recorder
    return Limits(part_bytes=keys.part_mb * MB, least_free_bytes=keys.least_free_mb * MB)


def spool_of(settings: InForce) -> tuple[int, Path | None]:
    """Bytes on disk at most of what devices send while the broker is away, and where; None: the user's own folder."""
    keys = settings.keys.source
    return keys.spool_mb * MB, _path(keys.spool_folder)


def recordings_of(settings: InForce) -> Path | None:
    """The folder to record into; None: the user's own."""
    return _path(settings.keys.recorder.folder)


def sound_of(settings: InForce) -> SoundChoice:
    """What is to be heard of a window."""
    keys = settings.keys.sound
    return SoundChoice(keys.on, keys.volume, keys.beat_tone)


def _password(keys: Keys, environment: Mapping[str, str]) -> str:
    if text := environment.get(PASSWORD):
        return text
    path = _path(keys.sasl.password_file)
    if path is None:
        raise BadInput(f"the password of {keys.sasl.username!r}", "none", f"set {PASSWORD}, or [sasl] password_file")
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise BadInput(
            "the password in the file of [sasl] password_file", f"{path} ({reason})", "look there"
        ) from error


def _path(text: str) -> Path | None:
    return Path(text) if text else None
