"""The topics of a Kafka: made once, waited for, refused with what differs."""

from __future__ import annotations

import asyncio

import pytest

from models.signals.errors import BadInput
from streams.records import TOPICS
from streams.transport.kafka_options import KafkaOptions
from streams.transport.kafka_topics import ensure_topics

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("retries_are_no_errors")]


def test_they_are_made_once_and_another_number_of_partitions_is_refused(kafka_bootstrap: str) -> None:
    for _ in range(2):
        asyncio.run(ensure_topics(kafka_bootstrap, TOPICS, partitions=3, prefix="made-"))
    with pytest.raises(BadInput, match=r"topics of 4 partitions, found made-alarms with 3, .*--prefix"):
        asyncio.run(ensure_topics(kafka_bootstrap, TOPICS, partitions=4, prefix="made-"))


def test_who_makes_them_is_told_of_other_wards_and_who_finds_them_is_not(kafka_bootstrap: str) -> None:
    """The prefix may be a slip of the finger."""
    for prefix, others in (("first-", None), ("secnd-", "first-"), ("first-", ())):
        found = asyncio.run(ensure_topics(kafka_bootstrap, TOPICS, partitions=1, prefix=prefix))
        if isinstance(others, str):
            assert others in found and prefix not in found
        elif others is not None:
            assert found == others


def test_many_at_once_is_no_race(kafka_bootstrap: str) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(ensure_topics(kafka_bootstrap, TOPICS, partitions=2, prefix="race-") for _ in range(4)))

    asyncio.run(all_at_once())


def test_what_the_broker_refuses_is_one_sentence(kafka_bootstrap: str) -> None:
    with pytest.raises(BadInput, match="to be made"):
        asyncio.run(
            ensure_topics(kafka_bootstrap, TOPICS, partitions=1, prefix="three-", kafka=KafkaOptions(replication=3))
        )


@pytest.mark.expects_error_log  # the client says it too
def test_no_broker_is_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"a Kafka broker at 127\.0\.0\.1:9, found no answer"):
        asyncio.run(ensure_topics("127.0.0.1:9", TOPICS, partitions=1))
