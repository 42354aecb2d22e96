"""Brokers for the conformance suite: every test that asks for ``broker`` runs on the embedded hub and on Kafka."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Iterator

import pytest

from streams.transport import hub
from tests.transport.harness import Broker
from tests.transport.kafka_broker import KafkaUnavailable, start_kafka

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a real Kafka for the whole run. Without it: skip, or fail if VIGIL_REQUIRE_KAFKA=1."""
    try:
        broker = start_kafka(tmp_path_factory.mktemp("kafka"))
    except KafkaUnavailable as exc:
        if os.environ.get("VIGIL_REQUIRE_KAFKA") == "1":
            pytest.fail(f"Kafka is required here: {exc}")
        pytest.skip(f"no Kafka: {exc}")
    try:
        asyncio.run(_first_group(broker.bootstrap))
        yield broker.bootstrap
    finally:
        broker.stop()


async def _first_group(bootstrap: str) -> None:
    # The first group makes Kafka create its offsets topic, of which the client complains; later groups find it.
    from aiokafka import AIOKafkaConsumer

    client = logging.getLogger("aiokafka")
    level = client.level
    client.setLevel(logging.CRITICAL)
    try:
        consumer = AIOKafkaConsumer("warm-up", bootstrap_servers=bootstrap, group_id="warm-up")
        await asyncio.wait_for(consumer.start(), 60)
        await consumer.stop()
    finally:
        client.setLevel(level)


# aiokafka logs as errors what it then retries by itself: a topic or group made a moment ago whose leader is not yet
# known, and a connection it closes while it is told to stop. Only these, by name; anything else still fails the test.
RETRIED = (
    "NotLeaderForPartition",
    "LeaderNotAvailable",
    "GroupCoordinatorNotAvailable",
    "closed] -- marking coordinator",
)
CLIENT_LOGGERS = ("aiokafka.consumer.fetcher", "aiokafka.consumer.group_coordinator")


def _is_news(record: logging.LogRecord) -> bool:
    return not any(name in record.getMessage() for name in RETRIED)


@pytest.fixture
def retries_are_no_errors() -> Iterator[None]:
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).addFilter(_is_news)
    yield
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).removeFilter(_is_news)


@pytest.fixture
def outages_are_no_errors() -> Iterator[None]:
    """What the client says of a broker that is away: it is meant to be, and retries by itself."""
    client = logging.getLogger("aiokafka")
    level = client.level
    client.setLevel(logging.CRITICAL)
    yield
    client.setLevel(level)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "kafka":
        request.getfixturevalue("retries_are_no_errors")
        yield Broker("kafka", f"kafka://{request.getfixturevalue('kafka_bootstrap')}")
        return
    name = f"conformance-{next(_numbers)}"
    with hub(name):
        yield Broker("embedded", f"embedded://{name}")
