"""The Kafka fixture says plainly what is missing."""

from __future__ import annotations

import stat

import pytest

from tests.transport import kafka_broker
from tests.transport.kafka_broker import KafkaUnavailable, start_kafka


def program(folder, name: str, script: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def path(monkeypatch, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_no_java(path, tmp_path):
    with pytest.raises(KafkaUnavailable, match="no java on the path"):
        start_kafka(tmp_path / "kafka")


def test_a_java_that_is_too_old(path, tmp_path):
    program(path, "java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2")
    with pytest.raises(KafkaUnavailable, match=r"needs Java 17 or later, found .*11\.0\.2"):
        start_kafka(tmp_path / "kafka")


def test_no_maven(path, tmp_path):
    program(path, "java", "echo 'openjdk version \"17.0.2\" 2022-01-18' >&2")
    with pytest.raises(KafkaUnavailable, match="no mvn on the path"):
        start_kafka(tmp_path / "kafka")


def test_no_network(path, tmp_path):
    program(path, "java", "echo 'openjdk version \"17.0.2\" 2022-01-18' >&2")
    program(path, "mvn", "echo 'Could not transfer artifact'; exit 1")
    with pytest.raises(KafkaUnavailable, match="could not fetch the Kafka jars: Could not transfer artifact"):
        start_kafka(tmp_path / "kafka")
    assert not list((tmp_path / "cache").rglob("complete"))


def test_every_version_is_pinned():
    import xml.etree.ElementTree as ET

    versions = [e.text for e in ET.parse(kafka_broker.POM).iter() if e.tag.endswith("version")]
    assert len(versions) == 4
    assert all(text and text.replace(".", "").isdigit() for text in versions)
