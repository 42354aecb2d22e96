"""The whole session, unchanged, on the embedded hub and on Kafka."""

from __future__ import annotations

from models.signals.windows import WindowSpec
from tests.streams.sources import FakeEngine, PatientMap, session_of
from tests.transport.harness import Broker


def test_a_session_loses_nothing_on_either_broker(broker: Broker) -> None:
    engine = FakeEngine()
    sources = {f"bed{i}": (lambda: PatientMap(20.0)) for i in range(2)}
    session = session_of(sources, WindowSpec(), lambda: engine, speed=None, broker=broker.url)  # type: ignore[arg-type]
    session.start()
    assert session.wait(90)
    report = session.report()
    assert report["samples"]["PPG"] == {"sent": 4000, "received": 4000, "lost": 0, "duplicated": 0, "withheld": 0}
    assert report["predictions"] == report["windows"] == 40 and report["dead_letters"] == 0
