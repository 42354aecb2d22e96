"""What a role tells of itself to Prometheus and to whoever asks whether it is well."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.signals.errors import BadInput
from models.signals.windows import WindowSpec
from monitor.config_keys import MetricsKeys
from monitor.watchpoint import Watchpoint, watched
from streams.roles.display import DisplayProcess
from streams.roles.source import SourceProcess
from streams.roles.worker import WorkerProcess
from streams.runner import Sharing
from streams.sinks.sink import SinkStatus
from streams.snapshot import COUNTERS, Snapshot, unwell
from streams.sources.replay import replays
from streams.transport import hub
from tests.monitor.sessions import Make
from tests.sockets import listening
from tests.streams.sources import FakeEngine, PatientMap, wait_until

S = 1_000_000_000
WELL = Snapshot(
    role="worker",
    beds=3,
    counts=dict.fromkeys(COUNTERS, 0) | {"predictions": 10, "invalid_predictions": 4, "ticks_dropped": 7},
    samples={"ECG": {"sent": 0, "received": 500, "lost": 20, "duplicated": 0, "withheld": 0}},
    cells={"ECG": 8, "ABP": 0},
    absent={"ECG": {"flat": 1, "withheld": 1}},
    waiting=5,
    lag=12,
    ready=True,
    heartbeat_ns=100 * S,
    failure="",
    latency_ms={"inference": (10.0, 20.0)},
    alarms={"high": 2},
)
Metrics = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Metrics:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Metrics, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


class Asked:
    """A watchpoint at 101 s of a clock that stands."""

    def __init__(self) -> None:
        self.now = WELL
        self.point = Watchpoint("127.0.0.1", 0, lambda: self.now, lambda: 101 * S)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.point.port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture
def asked() -> Iterator[Asked]:
    made = Asked()
    yield made
    made.point.close()


def test_every_number_of_a_snapshot_is_a_metric(asked: Asked) -> None:
    asked.now = replace(WELL, recorder=SinkStatus(pushed=9, written=6, dropped=2, waiting_bytes=512, failure=""))
    status, text = asked.get("/metrics")
    found = parsed(text)
    assert status == 200
    for name, expected, labels in (
        ("vigil_up", 1, {"role": "worker"}),
        ("vigil_beds", 3, {}),
        ("vigil_heartbeat_age_seconds", 1, {}),
        ("vigil_ticks_dropped_total", 7, {}),
        ("vigil_predictions_total", 6, {"kind": "valid"}),
        ("vigil_predictions_total", 4, {"kind": "invalid"}),
        ("vigil_samples_total", 20, {"modality": "ECG", "what": "lost"}),
        ("vigil_cells_total", 8, {"modality": "ECG"}),
        ("vigil_absent_cells_total", 1, {"modality": "ECG", "reason": "flat"}),
        ("vigil_presence_ratio", 0.75, {"modality": "ECG"}),
        ("vigil_outbox_messages", 5, {}),
        ("vigil_consumer_lag_messages", 12, {}),
        ("vigil_latency_seconds", 0.02, {"stage": "inference", "quantile": "0.99"}),
        ("vigil_alarms_standing", 2, {"priority": "high"}),
        ("vigil_alarms_standing", 0, {"priority": "low"}),
        ("vigil_recorder_records_total", 2, {"what": "dropped"}),
    ):
        assert value(found, name, **labels) == pytest.approx(expected), name
    assert not [key for key in found if key[0] == "vigil_presence_ratio" and ("modality", "ABP") in key[1]]


def test_the_health_check_says_why(asked: Asked) -> None:
    status, text = asked.get("/healthz")
    assert (status, json.loads(text)) == (200, {"ok": True, "role": "worker", "reason": ""})
    assert text.count("\n") == 1
    for worse, reason in (
        ({"heartbeat_ns": 97 * S}, "no life for 4 s"),
        ({"failure": "SessionError"}, "SessionError"),
        ({"ready": False}, "not begun"),
        ({"recorder": SinkStatus(1, 0, 1, 0, "the disk of Mr Smith is full")}, "recording has ended"),
    ):
        asked.now = replace(WELL, **worse)
        status, text = asked.get("/healthz")
        assert status == 503 and not json.loads(text)["ok"]
        assert reason in json.loads(text)["reason"] and "Smith" not in text
        assert value(parsed(asked.get("/metrics")[1]), "vigil_up", role="worker") == 0


def test_a_heartbeat_of_three_seconds_ago_is_still_life() -> None:
    assert not unwell(WELL, WELL.heartbeat_ns + 3 * S)
    assert unwell(WELL, WELL.heartbeat_ns + 3 * S + 1)


def test_there_is_nothing_else_and_nothing_can_be_changed(asked: Asked) -> None:
    assert asked.get("/")[0] == asked.get("/metrics/../etc/passwd")[0] == 404
    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(f"http://127.0.0.1:{asked.point.port}/metrics", data=b"x", timeout=30)


def test_it_listens_on_loopback_alone_and_only_where_a_port_is_said() -> None:
    before = listening()
    with watched(MetricsKeys(), lambda: WELL):
        assert listening() == before
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with watched(MetricsKeys(port=port), lambda: WELL):
        assert listening() - before == {("127.0.0.1", port)}
        with pytest.raises(BadInput, match=f"a free port of this machine .*, found 127.0.0.1:{port}"):
            Watchpoint("127.0.0.1", port, lambda: WELL)
    assert listening() == before


def told(snapshot: Snapshot, now_ns: int | None = None) -> Metrics:
    from monitor.metrics import exposition

    return parsed(exposition(lambda: snapshot, lambda: now_ns or snapshot.heartbeat_ns).decode())


def test_a_run_counts_what_it_reports(make: Make) -> None:
    session = make(20.0, speed=None)
    assert not session.snapshot().ready
    session.start()
    assert session.wait(120)
    found, report = told(session.snapshot()), session.report()
    assert value(found, "vigil_beds") == 1
    assert value(found, "vigil_windows_total") == report["windows"] == 20
    assert value(found, "vigil_predictions_total", kind="valid") == report["predictions"]
    assert value(found, "vigil_samples_total", modality="ECG", what="received") == 20 * 500
    assert value(found, "vigil_cells_total", modality="ECG") == 20


def test_roles_count_each_their_own_part() -> None:
    name = "watchpoint-roles"
    url, sharing = f"embedded://{name}", Sharing(prefix="w-", partitions=2, only_own=False)
    with hub(name):
        display = DisplayProcess(url, sharing)
        worker = WorkerProcess(WindowSpec(), FakeEngine, url, replace(sharing, group="w-workers"))
        sources = {bed: lambda: PatientMap(15.0) for bed in "ab"}
        source = SourceProcess(replays(sources, speed=None), url, sharing)  # type: ignore[arg-type]
        roles = (display, worker, source)
        try:
            for role in roles:
                assert not role.snapshot().ready
                role.start()
                assert role.ready.wait(60)
            hub(name).produce("w-waves", b"a", b"no message")
            assert source.wait(120)
            # To the display two announcements a second are always on their way.
            wait_until(lambda: worker.snapshot().lag == 0, what="all to be handled")
            wait_until(lambda: (lag := display.snapshot().lag) is not None and lag <= 4, what="all to be shown")
            by_role = {role.snapshot().role: told(role.snapshot()) for role in roles}
        finally:
            for role in reversed(roles):
                role.stop()
    assert {role: value(found, "vigil_beds") for role, found in by_role.items()} == {
        "source": 2, "worker": 2, "display": 2,
    }  # fmt: skip
    assert value(by_role["source"], "vigil_samples_total", modality="ECG", what="sent") == 2 * 15 * 500
    assert value(by_role["worker"], "vigil_samples_total", modality="ECG", what="received") == 2 * 15 * 500
    assert value(by_role["worker"], "vigil_predictions_total", kind="valid") == 30
    assert value(by_role["worker"], "vigil_dead_letters_total") == 1
