"""TLS and SASL reach everybody who talks to the broker: Faust's consumer and producer, and whoever makes the topics."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import faust
import pytest

from models.signals.errors import BadInput
from models.signals.windows import WindowSpec
from streams.faust_settings import faust_settings
from streams.records import TOPICS, AnyRecord, PredictionRecord
from streams.roles.display import DisplayProcess
from streams.roles.source import SourceProcess
from streams.roles.worker import WorkerProcess
from streams.runner import Sharing
from streams.sources.replay import replays
from streams.transport.kafka_options import KafkaOptions
from streams.transport.kafka_topics import ensure_topics
from streams.transport.security import Mechanism, Sasl, Security, Tls, client_options
from tests.streams.sources import FakeEngine, PatientMap, wait_until
from tests.transport.certificates import Certificates, make_certificates
from tests.transport.kafka_broker import PASSWORD, USER, KafkaBroker, KafkaUnavailable, start_kafka
from tests.transport.test_roles import running


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "all")


def conf(security: Security) -> faust.Settings:
    kafka = KafkaOptions(replication=3, message_bytes=200_000, security=security)
    return faust.App("secured", **faust_settings(broker="kafka://127.0.0.1:1", kafka=kafka)).conf


def test_a_plain_connection_has_no_credentials() -> None:
    assert conf(Security()).broker_credentials is None
    assert client_options(Security()) == {"security_protocol": "PLAINTEXT"}


def test_tls_checks_the_brokers_name_and_certificate(certificates: Certificates) -> None:
    tls = Tls(str(certificates.ca), certificates.certificate, certificates.key)
    for context in (conf(Security(tls)).broker_credentials.context, client_options(Security(tls))["ssl_context"]):
        assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
        assert [dict(pair[0] for pair in a["subject"])["commonName"] for a in context.get_ca_certs()] == [
            "vigil-test-ca"
        ]


def test_a_name_and_password_reach_both_kinds_of_client(certificates: Certificates) -> None:
    security = Security(Tls(str(certificates.ca)), Sasl("nurse", "hunter2", "SCRAM-SHA-256"))
    held, options = conf(security).broker_credentials, client_options(security)
    assert (held.username, held.password, held.mechanism.value, held.protocol.value) == (
        "nurse", "hunter2", "SCRAM-SHA-256", "SASL_SSL",
    )  # fmt: skip
    assert held.ssl_context is not None and options.pop("ssl_context") is not None
    assert options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "nurse",
        "sasl_plain_password": "hunter2",
    }
    assert "hunter2" not in repr(security) + repr(KafkaOptions(security=security))


def test_sizes_and_copies_reach_faust() -> None:
    found = conf(Security())
    assert (found.producer_max_request_size, found.consumer_max_fetch_size) == (200_000, 200_000)
    assert found.topic_replication_factor == 3


def test_a_file_that_is_no_certificate_is_one_sentence(tmp_path: Path, certificates: Certificates) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    for tls in (
        Tls(str(tmp_path / "none.pem")),
        Tls(str(junk)),
        Tls(str(certificates.ca), junk, certificates.key),
        Tls(str(certificates.ca), certificates.certificate, junk),
    ):
        with pytest.raises(BadInput, match=r"in \[tls\].*\.pem"):
            tls.context()


# -- a real Kafka with TLS --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[KafkaBroker]:
    try:
        broker = start_kafka(tmp_path_factory.mktemp("secured"), certificates)
    except KafkaUnavailable as exc:
        if os.environ.get("VIGIL_REQUIRE_KAFKA") == "1":
            pytest.fail(f"Kafka is required here: {exc}")
        pytest.skip(f"no Kafka: {exc}")
    yield broker
    broker.stop()


@pytest.mark.kafka
@pytest.mark.expects_error_log  # aiokafka: the first group's coordinator is not there yet
@pytest.mark.parametrize("asks_for", ["a certificate", "PLAIN", "SCRAM-SHA-512"])
def test_a_ward_runs_over_tls(kafka: KafkaBroker, certificates: Certificates, asks_for: Mechanism | str) -> None:
    if asks_for == "a certificate":
        where = kafka.tls
        security = Security(Tls(str(certificates.ca), certificates.certificate, certificates.key))
    else:
        where = kafka.sasl
        security = Security(Tls(str(certificates.ca)), Sasl(USER, PASSWORD, asks_for))  # type: ignore[arg-type]
    prefix = f"tls-{asks_for.replace(' ', '-')}-"
    sharing = Sharing(prefix=prefix, partitions=2, only_own=False, kafka=KafkaOptions(security=security))
    url, records = f"kafka://{where}", list[AnyRecord]()
    display = DisplayProcess(url, sharing)
    display.subscribe(records.append)
    worker = WorkerProcess(WindowSpec(), FakeEngine, url, replace(sharing, group=f"{prefix}workers"))
    source = SourceProcess(replays({"a": lambda: PatientMap(12.0)}, speed=None), url, sharing)  # type: ignore[dict-item]
    with running(display, worker, source):
        assert source.wait(120)
        wait_until(lambda: sum(isinstance(r, PredictionRecord) for r in records) == 12, what="all predictions")


@pytest.mark.kafka
@pytest.mark.expects_error_log  # the client says it too
def test_who_is_not_let_in_is_told_where_to_look(kafka: KafkaBroker, certificates: Certificates) -> None:
    trusted = Tls(str(certificates.ca))
    for where, security, words in (
        (kafka.tls, Security(Tls(str(certificates.stranger))), r"no answer; .*check .*\[tls\]"),
        (kafka.sasl, Security(trusted, Sasl(USER, "wrong")), r"\[sasl\]"),
    ):
        with pytest.raises(BadInput, match=words):
            asyncio.run(ensure_topics(where, TOPICS, partitions=1, kafka=KafkaOptions(security=security)))
