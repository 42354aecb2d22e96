"""The settings every Faust app of Vigil has, each with its reason; tested, since Faust's defaults are otherwise."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from streams.transport.kafka_options import KafkaOptions
from streams.transport.security import credentials


def faust_settings(
    *,
    broker: str,
    partitions: int = 4,
    offset_reset: str = "latest",
    datadir: Path | None = None,
    kafka: KafkaOptions | None = None,
) -> dict[str, Any]:
    """Keyword arguments for ``faust.App(id, **settings)``.

    broker: ``embedded://NAME`` or ``kafka://HOST:PORT``.
    partitions: of every topic; the most workers that can share the beds.
    offset_reset: where a group without committed offsets starts. Displays want ``latest``, Faust has ``earliest``.
    datadir: where Faust keeps its (empty) directories; default: the user's cache folder, else a temporary one.
    kafka: what a Kafka is asked for.
    """
    kafka = kafka or KafkaOptions()
    return {
        "broker": broker,
        # Faust lets environment variables (BROKER_URL, WEB_PORT ...) override arguments; here they must not.
        "env": {},
        # Topics: declared up front (internal=True) with one partition count, since tables and the streams that feed
        # them must be partitioned alike, and a topic added at run time waits 45 s for its subscription.
        "topic_partitions": partitions,
        "topic_replication_factor": kafka.replication,
        "topic_allow_declare": True,
        # No leader topic: nothing of Vigil runs on one elected worker only, and it would have one partition.
        "topic_disable_leader": True,
        "consumer_auto_offset_reset": offset_reset,
        # A dead worker's beds move after 7 s rather than 60: a takeover shall take 15 (Kafka allows 6 at least).
        "broker_session_timeout": 7.0,
        "broker_heartbeat_interval": 2.0,
        "broker_rebalance_timeout": 10.0,
        # A broker that does not answer (its machine is gone, not only its process) is connected to anew after 15 s, not
        # 90 or 1200; a rebalance may take 10 of them. What is to be sent does not grow old (transport/kafka.py).
        "broker_request_timeout": 15.0,
        "producer_request_timeout": 15.0,
        # Committed often: what is not is handled twice after a failover. It costs one message a second.
        "broker_commit_interval": 1.0,
        # What Kafka refuses is refused here already, and what it takes can be fetched in one piece.
        "producer_max_request_size": kafka.message_bytes,
        "consumer_max_fetch_size": kafka.message_bytes,
        "broker_credentials": credentials(kafka.security),
        # Raw bytes in, raw bytes out; waves are sent as they come.
        "producer_linger": 0.0,
        "processing_guarantee": "at_least_once",
        # On stop nobody waits for agents to finish what they hold (records are idempotent): milliseconds, not seconds.
        "stream_wait_empty": False,
        "stream_recovery_delay": 0.0,
        # Faust sleeps a fixed second at start in case tables are added late; see streams/prompt_tables.py.
        "TableManager": "streams.prompt_tables:PromptTableManager",
        # What leaves an agent takes the app down with its reason. Faust's default commits the message, restarts the
        # agent with empty local state and says nothing but a log line.
        "agent_supervisor": "mode.supervisors:CrashingSupervisor",
        # No web server (the default listens on 0.0.0.0:6066); were it ever switched on, then on loopback.
        "web_enabled": False,
        "web_bind": "127.0.0.1",
        "web_host": "localhost",
        "reply_create_topic": False,
        # In memory, and nothing in the working directory (the default is ./{id}-data).
        "store": "memory://",
        "cache": "memory://",
        "datadir": datadir or _default_datadir(),
        # The app is built by a factory; nothing is imported to be discovered.
        "autodiscover": False,
    }


def _default_datadir() -> Path:
    # Faust makes the last directory itself but not its parents, and not where it may not write.
    wanted = user_cache_path("vigil") / "faust"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="vigil-faust-"))
    if not os.access(wanted, os.W_OK):
        return Path(tempfile.mkdtemp(prefix="vigil-faust-"))
    return wanted
