"""Sessions that are stopped whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from models.signals.windows import WindowSpec
from monitor.session import Session
from tests.monitor.sessions import Make
from tests.streams.sources import FakeEngine, PatientMap, session_of


@pytest.fixture
def make() -> Iterator[Make]:
    """Builds sessions on the test patient; whatever a test leaves running is stopped."""
    made: list[Session] = []

    def build(
        seconds: float = 600.0, *, engine: FakeEngine | None = None, source: PatientMap | None = None, **options: object
    ) -> Session:
        model = engine or FakeEngine()
        options.setdefault("speed", 50.0)
        patient = source or PatientMap(seconds)
        session = session_of({"bed1": lambda: patient}, WindowSpec(), lambda: model, **options)  # type: ignore[arg-type,return-value]
        made.append(session)
        return session

    yield build
    for session in made:
        session.stop()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("vigil-")]
