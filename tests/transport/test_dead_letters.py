"""Dead letters of a real Kafka: listed by reason, and sent anew from where they lie, each once."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from models.signals.windows import WindowSpec
from monitor.cli_deadletters import summary, table
from streams.codec import encode
from streams.records import TOPICS, CellRecord, DeadLetter
from streams.roles.worker import WorkerProcess
from streams.runner import Sharing
from streams.transport.dead_letters import DeadLetters, Kept, Letters, Replayed
from streams.transport.kafka_topics import ensure_topics
from tests.monitor.test_cli import Vigil, one_sentence, vigil  # noqa: F401  (a fixture)
from tests.streams.sources import FakeEngine, wait_until
from tests.transport.test_roles import running

pytestmark = [pytest.mark.usefixtures("retries_are_no_errors")]
_numbers = itertools.count(1)


@pytest.fixture
def prefix(kafka_bootstrap: str) -> str:
    name = f"dead{next(_numbers)}-"
    asyncio.run(ensure_topics(kafka_bootstrap, TOPICS, partitions=2, prefix=name))
    return name


def letter(topic: str, partition: int, offset: int, reason: str = "no record") -> DeadLetter:
    return DeadLetter(
        bed="a", session="s", epoch=0, topic=topic, partition=partition, offset=offset, reason=reason, size=3
    )


def sent(bootstrap: str, topic: str, messages: Sequence[bytes], partition: int = 0) -> None:
    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            for message in messages:
                await producer.send_and_wait(topic, message, b"a", partition=partition)

    asyncio.run(send())


def lying(bootstrap: str, topic: str, partition: int = 0) -> list[bytes]:
    async def read() -> list[bytes]:
        tp = TopicPartition(topic, partition)
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
            consumer.assign([tp])
            begin, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, begin)
            found: list[bytes] = []
            while len(found) < end - begin:
                found += [record.value for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])]
            return found

    return asyncio.run(read())


@pytest.mark.kafka
def test_what_a_worker_could_not_use_is_listed_and_sent_anew_once(
    vigil: Vigil, kafka_bootstrap: str, prefix: str  # noqa: F811
) -> None:  # fmt: skip
    url = f"kafka://{kafka_bootstrap}"
    sharing = Sharing(group=f"{prefix}workers", prefix=prefix, partitions=2, only_own=False)
    ward = ("--broker", url, "--prefix", prefix)
    assert vigil("deadletters", "list", *ward) == (0, "There are no dead letters.\n", "")
    worker = WorkerProcess(WindowSpec(), FakeEngine, url, sharing)
    with running(worker):
        sent(kafka_bootstrap, f"{prefix}waves", [b"poison", b"more poison"], 1)
        misplaced = CellRecord(bed="a", session="s", epoch=0, second=1, absence={})
        sent(kafka_bootstrap, f"{prefix}waves", [encode(misplaced)])
        topic = f"{prefix}deadletters"
        wait_until(
            lambda: len(lying(kafka_bootstrap, topic) + lying(kafka_bootstrap, topic, 1)) == 3, what="three letters"
        )
    code, said, _ = vigil("deadletters", "list", *ward)
    assert code == 0
    assert re.search(rf"^ +1 +1  {prefix}waves: .*carries ticks", said, re.MULTILINE)
    code, said, err = vigil("deadletters", "replay", *ward)
    assert code == 2 and "give --yes" in one_sentence(err)
    assert lying(kafka_bootstrap, f"{prefix}waves", 1) == [b"poison", b"more poison"], "not without a yes"
    assert vigil("deadletters", "replay", *ward, "--yes")[:2] == (0, "3 sent anew.\n")
    assert lying(kafka_bootstrap, f"{prefix}waves", 1) == [b"poison", b"more poison"] * 2
    assert len(lying(kafka_bootstrap, f"{prefix}waves")) == 2
    assert vigil("deadletters", "replay", *ward, "--yes")[:2] == (0, "No dead letter waits to be replayed.\n")
    assert len(lying(kafka_bootstrap, f"{prefix}waves", 1)) == 4


@pytest.mark.kafka
def test_only_what_still_lies_there_and_is_the_wards_is_sent(kafka_bootstrap: str, prefix: str) -> None:
    waves, others = f"{prefix}waves", f"{prefix}deadletters"
    sent(kafka_bootstrap, waves, [b"gone", b"kept"])

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
        await admin.start()
        await admin.delete_records({TopicPartition(waves, 0): RecordsToDelete(before_offset=1)})
        await admin.close()

    asyncio.run(delete())
    letters = [
        letter(waves, 0, 0),
        letter(waves, 0, 1),
        letter(waves, 0, 1, "another reader's"),
        letter(waves, 0, 99),
        letter(waves, 7, 0),
        letter(others, 0, 0),
        letter("somebody-elses", 0, 0),
    ]
    sent(kafka_bootstrap, others, [*map(encode, letters), b"no letter"])
    dead = DeadLetters(kafka_bootstrap, prefix)
    found = asyncio.run(dead.read())
    assert ([each.letter for each in found.kept], found.unreadable) == (letters, 1)
    halfway: list[Replayed] = []
    done = asyncio.run(dead.replay(found.kept[:2], lambda now: halfway.append(replace(now))))
    assert done == Replayed(sent=1, gone=1) and halfway[0] == Replayed(gone=1)
    found = asyncio.run(dead.read())
    assert [each.replayed for each in found.kept] == [True, True, *[False] * 5], "one that was cut off goes on"
    assert asyncio.run(dead.replay(found.kept)) == Replayed(gone=2, repeated=1, refused=2)
    assert lying(kafka_bootstrap, waves) == [b"kept", b"kept"]
    assert asyncio.run(dead.replay(asyncio.run(dead.read()).kept)) == Replayed()


@pytest.mark.kafka
def test_a_ward_that_is_not_there_is_one_sentence_and_is_not_made(vigil: Vigil, kafka_bootstrap: str) -> None:  # noqa: F811
    ward = ("--broker", f"kafka://{kafka_bootstrap}", "--prefix", "nowhere-")
    for _ in range(2):
        code, _, err = vigil("deadletters", "list", *ward)
        assert code == 2 and "the topic nowhere-deadletters" in one_sentence(err)


@pytest.mark.expects_error_log  # the client says it too
def test_no_broker_is_one_sentence(vigil: Vigil) -> None:  # noqa: F811
    code, _, err = vigil("deadletters", "list", "--broker", "kafka://127.0.0.1:9")
    assert code == 2 and "a Kafka broker at 127.0.0.1:9, found no answer" in one_sentence(err)
    code, _, err = vigil("deadletters", "list", "--broker", "embedded://x")
    assert code == 2 and "a Kafka in --broker" in one_sentence(err)


def test_the_table_counts_by_reason_and_moves_no_cursor() -> None:
    kept = [Kept(letter("waves", 0, n, "bad\x1b[2J"), 0, n, n < 2) for n in range(5)]
    kept += [Kept(letter("waves", 0, 9, f"reason {n}"), 0, 9 + n, False) for n in range(51)]
    head, first, *_, last = table(Letters(kept, 0))
    assert head.split() == ["letters", "waiting", "topic:", "reason"]
    assert first.split(maxsplit=2) == ["5", "3", r"waves: bad\x1b[2J"]
    assert last == "and 2 other reasons"
    assert summary(Replayed(3, 1, 0, 2)) == "3 sent anew, 1 not there any more, 2 of no topic of this ward."
