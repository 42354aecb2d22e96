"""The settings every app of ours has; each line guards against a default that would hurt."""

from __future__ import annotations

from pathlib import Path

import faust
import pytest

from streams.faust_settings import faust_settings
from streams.prompt_tables import PromptTableManager
from streams.transport import hub
from tests.sockets import listening
from tests.transport.harness import Broker, Sink, in_loop, running


@pytest.fixture
def app():
    return faust.App("settings", **faust_settings(broker="embedded://settings", partitions=3))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("web_enabled", False),
        ("web_bind", "127.0.0.1"),
        ("consumer_auto_offset_reset", "latest"),
        ("topic_disable_leader", True),
        ("topic_partitions", 3),
        ("broker_session_timeout", 7.0),
        ("stream_wait_empty", False),
        ("producer_linger", 0.0),
        ("autodiscover", False),
    ],
)
def test_the_default_is_overridden(app, name, value):
    assert getattr(app.conf, name) == value
    assert getattr(faust.Settings("plain"), name) != value or name in ("autodiscover", "producer_linger")


def test_kafka_would_accept_the_session(app):
    assert app.conf.broker_heartbeat_interval * 3 <= app.conf.broker_session_timeout <= app.conf.broker_request_timeout


def test_the_environment_does_not_override(monkeypatch):
    for name, value in {
        "BROKER_URL": "kafka://elsewhere",
        "WEB_ENABLED": "1",
        "WEB_PORT": "80",
        "CONSUMER_AUTO_OFFSET_RESET": "earliest",
        "APP_DATADIR": "/nowhere",
        "TOPIC_PARTITIONS": "99",
    }.items():
        monkeypatch.setenv(name, value)
    plain = faust.Settings("plain")
    assert plain.topic_partitions == 99, "Faust reads the environment, so this test can fail"
    conf = faust.App("settings", **faust_settings(broker="embedded://settings", partitions=3)).conf
    assert str(conf.broker[0]) == "embedded://settings"
    assert not conf.web_enabled
    assert conf.consumer_auto_offset_reset == "latest"
    assert conf.topic_partitions == 3
    assert conf.datadir != Path("/nowhere")


def test_faust_keeps_nothing_in_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert faust_settings(broker="embedded://s")["datadir"] == tmp_path / "cache" / "vigil" / "faust"
    assert (tmp_path / "cache" / "vigil").is_dir(), "Faust makes only the last directory"


def test_without_a_cache_folder_a_temporary_one_serves(monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    datadir = faust_settings(broker="embedded://s")["datadir"]
    assert datadir.is_dir()
    datadir.rmdir()


@in_loop
async def test_a_running_app_listens_nowhere_writes_nothing_here_and_starts_without_a_pause(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    async def no_pause(self, seconds):
        raise AssertionError(f"the table manager slept {seconds} s")

    monkeypatch.setattr(PromptTableManager, "sleep", no_pause)
    before = listening()
    with hub("quiet"):
        app = Broker("embedded", "embedded://quiet").app()
        assert isinstance(app.tables, PromptTableManager)
        Sink(app, app.topic("waves", internal=True))
        async with running(app):
            assert listening() == before
            assert {tp.topic for tp in app.consumer.assignment()} == {"waves"}, "no leader topic"
    assert list(tmp_path.iterdir()) == []
