"""The topics of a Kafka, made before anybody reads: a consumer that subscribes to a topic which is not there yet is
given no partitions of it, and says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from models.signals.errors import BadInput
from streams.transport.first_contact import first_contact
from streams.transport.kafka_options import KafkaOptions
from streams.transport.security import client_options

EXISTS = 36  # Kafka's error code TOPIC_ALREADY_EXISTS
LOOK_S, GIVE_UP_S = 0.1, 30.0


async def ensure_topics(
    bootstrap: str, names: Sequence[str], *, partitions: int, prefix: str = "", kafka: KafkaOptions | None = None
) -> tuple[str, ...]:
    """Makes the topics ``prefix + name`` that are not there, and waits until every one has its partitions and leaders.

    Where none of them was there: the prefixes of the other wards of the broker, since this one may be misspelt.

    Raises BadInput where there is no broker, where it refuses, and where a topic is there with another number of
    partitions: beds would be read by other workers than those that know them.
    """
    kafka = kafka or KafkaOptions()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **client_options(kafka.security))
    await first_contact(admin, bootstrap, kafka.security)
    try:
        there = await admin.list_topics()
        wanted = [
            NewTopic(prefix + name, partitions, kafka.replication, topic_configs=kafka.topic_settings(name))
            for name in names
        ]
        made = await admin.create_topics(wanted)
        for topic, code, *rest in made.topic_errors:
            if code not in (0, EXISTS):
                why = (rest[0] if rest and rest[0] else for_code(code).__name__) or "an error"
                raise BadInput(
                    f"the topic {topic!r} to be made in {kafka.replication} copies", f"{why.rstrip('.')!r}",
                    "change [broker] replication, or ask whoever runs the broker",
                )  # fmt: skip
        await _settled(admin, [topic.name for topic in wanted], partitions)
        return () if any(topic.name in there for topic in wanted) else wards(there, names)
    finally:
        await admin.close()


def wards(topics: Iterable[str], names: Sequence[str]) -> tuple[str, ...]:
    """The prefixes under which all of ``names`` are among ``topics``.

    >>> wards(["icu-waves", "icu-beds", "waves", "beds", "night-waves"], ["waves", "beds"])
    ('', 'icu-')
    """
    there = set(topics)
    begins = {topic.removesuffix(names[0]) for topic in there if topic.endswith(names[0])}
    return tuple(sorted(prefix for prefix in begins if all(prefix + name in there for name in names)))


async def _settled(admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int) -> None:
    deadline = asyncio.get_running_loop().time() + GIVE_UP_S
    while True:
        found = {topic["topic"]: topic for topic in await admin.describe_topics(list(names))}
        missing = [name for name in names if not _ready(found.get(name))]
        if not missing:
            break
        if asyncio.get_running_loop().time() > deadline:
            raise BadInput(f"the topics {', '.join(missing)} to get their leaders", "none", "look at the broker's log")
        await asyncio.sleep(LOOK_S)
    other = {name: len(found[name]["partitions"]) for name in names if len(found[name]["partitions"]) != partitions}
    if other:
        there = ", ".join(f"{name} with {count}" for name, count in sorted(other.items()))
        raise BadInput(
            f"topics of {partitions} partitions", there, "give --partitions as they are, or another --prefix"
        )


def _ready(topic: Mapping[str, Any] | None) -> bool:
    return (
        topic is not None
        and topic["error_code"] == 0
        and bool(topic["partitions"])
        and all(part["leader"] >= 0 for part in topic["partitions"])
    )
