"""What a Kafka is asked for beyond its address: copies, how long it keeps what, how large a message may be, and how one
shows who one is. The embedded broker has no use for any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.transport.security import Security

RETENTION_H = {"waves": 6.0}
"""Of topics that a broker need not keep for as long as it keeps others: what is to stay, the recorder keeps."""
MESSAGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """replication: copies of each topic. retention_h: hours by topic, without prefix; the broker's own for others.
    message_bytes: the largest message that may be sent."""

    replication: int = 1
    retention_h: Mapping[str, float] = field(default_factory=lambda: dict(RETENTION_H))
    message_bytes: int = MESSAGE_BYTES
    security: Security = field(default_factory=Security)

    def topic_settings(self, name: str) -> dict[str, str]:
        """Of a new topic, in Kafka's words.

        >>> KafkaOptions().topic_settings("waves")
        {'max.message.bytes': '1048576', 'retention.ms': '21600000'}
        """
        settings = {"max.message.bytes": str(self.message_bytes)}
        if name in self.retention_h:
            settings["retention.ms"] = str(round(self.retention_h[name] * 3_600_000))
        return settings
