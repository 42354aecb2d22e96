"""Faust transports: ``embedded://NAME`` inside this process, and Kafka's with the same guarantees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import faust
from faust.transport.base import Transport
from yarl import URL

from models.signals.errors import BadInput
from streams.transport.consumer import EmbeddedConsumer
from streams.transport.guarded import Rewind
from streams.transport.hub import Hub, hub
from streams.transport.producer import EmbeddedProducer


class EmbeddedTransport(Transport):
    """The broker is the hub NAME of this process; found by Faust through the entry point ``embedded``."""

    Consumer: ClassVar[Any] = EmbeddedConsumer
    Producer: ClassVar[Any] = EmbeddedProducer
    driver_version = "vigil-embedded=1"

    def __init__(self, *args: Any, rewind: Mapping[str, Rewind] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rewind: Mapping[str, Rewind] = dict(rewind or {})
        self._hub: Hub | None = None

    @property
    def hub(self) -> Hub:
        """The hub of this transport, held from first use: a hub reopened under the same name is another one."""
        if self._hub is None:
            name = self.url[0].host
            if not name:
                raise BadInput("a broker URL like embedded://NAME", f"{self.url[0]}", "give the hub a name")
            self._hub = hub(name)
        return self._hub


def install(app: faust.App, rewind: Mapping[str, Rewind] | None = None) -> None:
    """Give an app Vigil's transport for its broker URL; call it before the app starts.

    ``embedded://`` needs this only for ``rewind``; ``kafka://`` needs it for all that
    :mod:`streams.transport.guarded` lists. rewind: topic name -> how far to read again after a restart.
    """
    app.transport = _transport(app, app.conf.broker_consumer, rewind)
    app.producer_transport = _transport(app, app.conf.broker_producer, None)


def _transport(app: faust.App, urls: list[URL], rewind: Mapping[str, Rewind] | None) -> Transport:
    scheme = urls[0].scheme
    if scheme == "embedded":
        return EmbeddedTransport(urls, app, rewind=rewind)
    if scheme in ("kafka", "aiokafka"):
        from streams.transport.kafka import KafkaTransport

        return KafkaTransport(urls, app, rewind=rewind)
    raise BadInput(
        "a broker URL with the scheme embedded or kafka", f"{scheme!r}", "use embedded://NAME or kafka://HOST:PORT"
    )
