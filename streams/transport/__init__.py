"""Transports of the stream: the embedded hub, Kafka with the same guarantees, and the credits of the sources.

``hub``, ``Hub`` and ``Credits`` need no Faust; the transports are imported when asked for (0.65 s of Faust).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streams.transport.credits import Credits
from streams.transport.hub import Hub, HubClosed, UnknownTopic, hub
from streams.transport.log import Record, Retention

if TYPE_CHECKING:
    from streams.transport.guarded import Rewind
    from streams.transport.kafka import KafkaTransport
    from streams.transport.transport import EmbeddedTransport, install

__all__ = [
    "Credits",
    "EmbeddedTransport",
    "Hub",
    "HubClosed",
    "KafkaTransport",
    "Record",
    "Retention",
    "Rewind",
    "UnknownTopic",
    "hub",
    "install",
]

_LATER = {
    "EmbeddedTransport": "transport",
    "install": "transport",
    "KafkaTransport": "kafka",
    "Rewind": "guarded",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
