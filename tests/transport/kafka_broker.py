"""A real Apache Kafka for the tests: one KRaft node on loopback (jars by tests/kafka/pom.xml)."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from platformdirs import user_cache_path

from tests.transport.certificates import Certificates

POM = Path(__file__).resolve().parent.parent / "kafka" / "pom.xml"
START_TIMEOUT_S = 60.0
# Short-lived JVMs on a busy machine: no server compiler, a small heap, class data shared.
JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
USER, PASSWORD = "ward", "not-a-secret"
"""Of a broker that asks who one is."""
LOG = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]


class KafkaUnavailable(Exception):
    """Java, Maven, the network or the broker itself is missing; the text says which."""


class KafkaBroker:
    """A running broker; ``bootstrap`` is HOST:PORT, ``tls`` and ``sasl`` those of its other listeners: the first asks
    for a client's certificate, the second for a password. Always call :meth:`stop`."""

    def __init__(self, ports: list[int], command: list[str], folder: Path) -> None:
        self.bootstrap, self.tls, self.sasl = (f"127.0.0.1:{port}" for port in ports)
        self._port, self._command, self._folder = ports[0], command, folder
        self.log = folder / "broker.log"
        self._process = self._started()

    def answers(self) -> bool:
        """Waits until it does; False where it ended, or did not in time."""
        return _answers(self._port, self._process)

    def pause(self) -> None:
        """It stands still: connections stay, and nothing is answered."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, with ``kill -9``; what it has stored stays."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)

    def restart(self) -> None:
        """After :meth:`kill`, with what was stored, at the same address."""
        self._process = self._started()
        if not self.answers():
            raise KafkaUnavailable(f"Kafka did not start again: {self.log.read_text(errors='replace')[-800:]}")

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as sink:
            return subprocess.Popen(
                self._command,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def stop(self) -> None:
        """Kill the broker: its data is worthless, and an orderly shutdown takes seconds."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)
        shutil.rmtree(self._folder, ignore_errors=True)


def start_kafka(folder: Path, certificates: Certificates | None = None) -> KafkaBroker:
    """Fetch the jars if need be, format the storage under ``folder`` and start; raises KafkaUnavailable. With
    ``certificates`` it also listens with TLS."""
    java = _java()
    classpath = f"{_jars()}{os.sep}*"
    last = ""
    for attempt in range(3):  # a free port may be taken between choosing and binding it
        home = folder / f"kafka-{attempt}"
        home.mkdir(parents=True)
        ports, config = _write_config(home, certificates)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if cluster.startswith("-"):  # would be read as an option
            cluster = "A" + cluster[1:]
        command = [java, *JVM, *LOG, "-cp", classpath]
        done = subprocess.run(
            [*command, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config),
             "--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise KafkaUnavailable(
                f"Kafka's storage could not be formatted: {done.stderr[-500:] or done.stdout[-500:]}"
            )
        broker = KafkaBroker(ports, [*command, "kafka.Kafka", str(config)], home)
        if broker.answers():
            return broker
        last = broker.log.read_text(errors="replace")[-800:]
        broker.stop()
    raise KafkaUnavailable(f"Kafka did not start within {START_TIMEOUT_S:.0f} s: {last}")


def _die_with_parent() -> None:
    # PR_SET_PDEATHSIG: even if the test run is killed outright, no broker is left behind.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise KafkaUnavailable("no java on the path; install Java 17 or later")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    version = said.split('"')[1].split(".")[0] if '"' in said else ""
    if not version.isdigit() or int(version) < 17:
        raise KafkaUnavailable(f"Kafka 4 needs Java 17 or later, found {said.splitlines()[:1]}")
    return java


def _jars() -> Path:
    """The folder of the jars, filled by Maven once per pom (named after its hash), by one process at a time."""
    name = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    folder = user_cache_path("vigil") / "kafka" / name
    if (folder / "complete").is_file():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailable("no mvn on the path; install Maven to fetch the Kafka jars")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").is_file():
            _fetch(maven, folder)
    return folder


def _fetch(maven: str, folder: Path) -> None:
    try:
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise KafkaUnavailable("Maven did not fetch the Kafka jars within 300 s") from exc
    if done.returncode != 0:
        raise KafkaUnavailable(f"Maven could not fetch the Kafka jars: {done.stdout[-400:]}{done.stderr[-200:]}")
    (folder / "complete").touch()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_config(home: Path, certificates: Certificates | None) -> tuple[list[int], Path]:
    port, controller, tls, sasl = (_free_port() for _ in range(4))
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "log.dirs": home / "data",
        # One node: internal topics cannot have three replicas, and need few partitions.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "num.partitions": 1,
        # Tests join groups all the time: no waiting for further members; short sessions are allowed.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # Retention is looked at often enough to be tested.
        "log.retention.check.interval.ms": 300,
        "log.segment.delete.delay.ms": 100,
        "log.initial.task.delay.ms": 300,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "background.threads": 2,
    }
    if certificates is not None:
        more = f",SSL://127.0.0.1:{tls},SASL_SSL://127.0.0.1:{sasl}"
        settings["listeners"] = f"{settings['listeners']}{more}"
        settings["advertised.listeners"] = f"{settings['advertised.listeners']}{more}"
        settings["listener.security.protocol.map"] = (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL"
        )
        login = f'required username="{USER}" password="{PASSWORD}"'
        plain = f'org.apache.kafka.common.security.plain.PlainLoginModule {login} user_{USER}="{PASSWORD}";'
        settings |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": certificates.broker,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificates.ca,
            "listener.name.ssl.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        }
    config = home / "server.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return [port, tls, sasl], config


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the broker accepts connections; False if it died or did not in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            time.sleep(0.05)
    return False
