"""A run under way: its session with the files it writes, begun in one call and ended in another."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from models.runtime.backend import Progress
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.threads import threads_for
from monitor.config import InForce
from monitor.config_uses import limits_of, recordings_of, sharing_of
from monitor.events import EventLog, Watcher
from monitor.exports import AlarmsCsv, Exporter, PerBed, PredictionsCsv, RestoredNpz, VitalsCsv, writing
from monitor.recorder import default_path, recorder
from monitor.redaction import HIDDEN
from monitor.session import Session
from monitor.settings import RunSettings
from monitor.sources import beds, called, is_live
from monitor.watchpoint import watched
from streams.feed import DisplayFeed
from streams.inference import Engine
from streams.runner import EMBEDDED, Sharing


class Running:
    """A session that has been started, and what hangs on it. ``recording``: the file it is recorded into, None where it
    is not. :meth:`close`, or the end of ``with``, stops it and finishes its files."""

    def __init__(
        self,
        session: Session,
        feed: DisplayFeed | None,
        watcher: Watcher | None,
        recording: Path | None,
        stack: ExitStack,
    ) -> None:
        self.session, self.feed, self.watcher, self.recording = session, feed, watcher, recording
        self._stack = stack
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stop the session and finish its files, and wait for both; once. Raises what could not be written."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:  # who comes second waits until the files are whole
            self._stack.pop_all().__exit__(kind, error, trace)


def begin(
    settings: RunSettings,
    force: InForce,
    say: EventLog | None = None,
    *,
    feed: DisplayFeed | None = None,
    display: bool = False,
    stay_open: bool = False,
    metrics: bool = True,
) -> Running:
    """Start what ``settings`` ask for: the session, its recorder and its exporters. Its sources open from now on
    (:meth:`Session.wait_opened`). display: whether a window shows it. metrics: whether it is asked how it is at a port
    of its own. Raises BadInput for what is wrong before anything is opened."""
    outside = settings.broker is not None and not settings.broker.startswith(EMBEDDED)
    session = open_session(settings, feed, stay_open=stay_open, sharing=sharing_of(force) if outside else None)
    with ExitStack() as stack:
        for exporter in _exporters(settings, session.beds):
            stack.push(_closing(exporter))
            session.subscribe(exporter)
        path = settings.record
        if path is None and is_live(settings.sources) and not settings.unrecorded:
            path = default_path(datetime.now(), recordings_of(force))
        if path is not None:
            sink = recorder(path, limits_of(force))
            if settings.record is None:
                print(f"vigil: recording into {path} (--no-record: none)", file=sys.stderr)
            session.record_with(sink)
            sink.start()
            stack.callback(sink.close)
        if settings.lsl_out:
            from streams.sinks.lsl_out import NumericOutlets

            session.subscribe(NumericOutlets())
        if metrics:
            stack.enter_context(watched(force.keys.metrics, session.snapshot))
        stack.callback(_write_report, settings.report, session, display)
        session.subscribe(HIDDEN.follow)
        watcher = Watcher(say, session.id, session.snapshot, lambda: session.beds) if say is not None else None
        if watcher is not None:
            stack.callback(watcher.end)
        session.start()
        stack.callback(session.stop)
        running = Running(session, feed, watcher, path, stack.pop_all())
    return running  # noqa: RET504 (inside, nothing would be returned for mypy where an exit swallows)


def open_session(
    settings: RunSettings,
    feed: DisplayFeed | None = None,
    *,
    stay_open: bool = False,
    sharing: Sharing | None = None,
) -> Session:
    """The session that ``settings`` ask for, not yet started; ``sharing`` is of its broker, if it is not inside of the
    process. Raises BadInput for a bundle that cannot be read."""
    bundle = load_bundle(settings.bundle, settings.imputer)
    bundle.imputer(settings.imputer)  # refused before anything starts

    cancel, sources = threading.Event(), beds(settings)

    def load_engine() -> Engine:
        return chosen_engine(bundle, settings, cancel, session.prepare, threads_for(len(sources)))

    session = Session(
        sources,
        bundle.window_spec,
        load_engine,
        source=called(settings.sources),
        feed=feed,
        stay_open=stay_open,
        cancel=cancel,
        broker=settings.broker,
        sharing=sharing,
    )
    return session


def _write_report(path: Path | None, session: Session, display: bool) -> None:
    """After the end, also of a session that died: that is when it is wanted. Nothing where none was ever open."""
    if path is None or not session.channels:
        return
    text = json.dumps(_report(session, display), indent=2) + "\n"
    with writing(path):
        path.write_text(text, encoding="utf-8")


def _closing(exporter: Exporter) -> Callable[[object, object, object], None]:
    """An exit that finishes the exporter's file and knows whether the run went through."""

    def close(kind: object, _error: object, _trace: object) -> None:
        exporter.close(failed=kind is not None)

    return close


def _exporters(settings: RunSettings, beds: Sequence[str]) -> list[Exporter]:
    chosen: list[tuple[Path | None, Callable[[Path], Exporter]]] = [
        (settings.vitals, VitalsCsv),
        (settings.predictions, PredictionsCsv),
        (settings.alarms, AlarmsCsv),
        (settings.restored, RestoredNpz),
    ]
    return [PerBed(path, make, beds) for path, make in chosen if path is not None]


def _report(session: Session, display: bool) -> dict[str, Any]:
    report = session.report()
    first = None
    if display and session.first_shown_ns:
        import psutil

        # Process start is wall time, the stamp is monotonic: both offsets are taken now.
        ago_s = (time.monotonic_ns() - session.first_shown_ns) / 1e9
        first = round(time.time() - ago_s - psutil.Process().create_time(), 3)
    return report | {"first_wave_s": first, "error": session.status().error or None}


def chosen_engine(
    bundle: Bundle,
    settings: RunSettings,
    cancel: threading.Event,
    progress: Progress,
    threads: int | None = None,
) -> Engine:
    """Called in the inference thread, once waves flow. What the gate refused is said aloud; that there is no GPU is
    not: the status line's tooltip, the report and `vigil doctor` have every reason."""
    from models.runtime.backend import RuntimeOptions
    from models.runtime.guard import DEADLINE_S, HANG_S
    from models.runtime.select import select_engine

    selection = select_engine(
        bundle,
        settings.backend,
        settings.imputer,
        RuntimeOptions(threads, settings.precision, cancel=cancel, progress=progress),
        widest_mmhg=settings.widest_mmhg,
        deadline_s=HANG_S if settings.speed is None else DEADLINE_S,
    )
    for label in selection.refused:
        print(f"vigil: passed over {label}: {selection.passed_over[label]}", file=sys.stderr)
    return selection.engine
