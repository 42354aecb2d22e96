"""The Kafka that a benchmark is given: whether it is there, and that nothing of a benchmark stays on it."""

from __future__ import annotations

import socket

from models.signals.errors import BadInput

KAFKA = "kafka://"
ANSWERS_S = 5.0


def check_broker(broker: str | None) -> None:
    """BadInput where ``broker`` is no address of a Kafka, or nobody listens there; None is none at all."""
    if broker is None:
        return
    host, colon, port = broker.removeprefix(KAFKA).rpartition(":")
    if not broker.startswith(KAFKA) or not colon or not port.isdecimal():
        raise BadInput("a broker like kafka://HOST:PORT", f"{broker!r}", "name one, or leave --broker out")
    try:
        socket.create_connection((host, int(port)), ANSWERS_S).close()
    except (OSError, OverflowError) as error:
        raise BadInput(f"a Kafka at {host}:{port}", f"none ({error})", "start it, or leave --broker out") from error


async def drop_topics(bootstrap: str, prefix: str) -> None:
    """Deletes the topics whose names begin so."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if names:
            await admin.delete_topics(names)
    finally:
        await admin.close()
