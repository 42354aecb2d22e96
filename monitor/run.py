"""``vigil run``: a session with what looks at it — the display, the terminal view or nothing — and its exports."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from models.runtime.backend import Progress
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.threads import threads_for
from monitor.config import InForce
from monitor.config_uses import Appearance, appearance_of, limits_of, recordings_of, sharing_of, sound_of
from monitor.events import EventLog, Watcher
from monitor.exports import AlarmsCsv, Exporter, PerBed, PredictionsCsv, RestoredNpz, VitalsCsv, writing
from monitor.recorder import default_path, recorder
from monitor.redaction import HIDDEN
from monitor.screen import UNSET, no_screen
from monitor.session import Session
from monitor.settings import RunSettings, check_outputs
from monitor.sources import beds, called, is_live
from monitor.termination import INTERRUPTED, termination_as_interrupt
from monitor.watchpoint import watched
from streams.feed import DisplayFeed
from streams.inference import Engine
from streams.runner import EMBEDDED, Sharing
from ui.sound.choice import SoundChoice

REFRESH_S = 0.25


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


def run_session(settings: RunSettings, force: InForce, say: EventLog | None = None) -> int:
    """Run to the end (or until the window is closed, or Ctrl-C) and write what was asked for; the exit code. say: takes
    events in place of a line of progress."""
    outputs = {
        "--report": settings.report,
        "--vitals": settings.vitals,
        "--predictions": settings.predictions,
        "--alarms": settings.alarms,
        "--restored": settings.restored,
        "--screenshot": settings.screenshot,
    }
    check_outputs(outputs, settings.sources)
    lacking = no_screen() if not settings.headless else ""
    display = not settings.headless and not lacking
    if lacking and lacking != UNSET:  # a machine without a screen need not be told
        print(f"vigil: no window, since {lacking}; it goes on without one", file=sys.stderr)
    terminal = not settings.headless and not display and say is None and sys.stdout.isatty()
    # A run that was given an end or a report to write is over when the recording is; otherwise the window stays.
    closes = settings.for_s is not None or any(outputs.values())
    feed = DisplayFeed() if display or terminal else None
    outside = settings.broker is not None and not settings.broker.startswith(EMBEDDED)
    session = open_session(
        settings, feed, stay_open=display and not closes, sharing=sharing_of(force) if outside else None
    )
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
        stack.enter_context(watched(force.keys.metrics, session.snapshot))
        stack.callback(_write_report, settings.report, session, display)
        session.subscribe(HIDDEN.follow)
        watcher = Watcher(say, session.id, session.snapshot, lambda: session.beds) if say is not None else None
        if watcher is not None:
            stack.callback(watcher.end)
        session.start()
        stack.callback(session.stop)
        with termination_as_interrupt():
            return _look(
                settings,
                session,
                feed,
                watcher,
                appearance_of(force),
                display=display,
                terminal=terminal,
                closes=closes,
                recording=path,
                sound=sound_of(force),
            )


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


def _look(
    settings: RunSettings,
    session: Session,
    feed: DisplayFeed | None,
    watcher: Watcher | None,
    look: Appearance,
    *,
    display: bool,
    terminal: bool,
    closes: bool,
    recording: Path | None,
    sound: SoundChoice,
) -> int:
    """Show the session until it is over. Raises what ended it, if something did."""
    if display:
        assert feed is not None
        from ui.window.app import make_application, run_display  # Qt loads while the recording opens and Faust starts

        make_application(look["theme"])
        session.wait_opened()
        code = run_display(
            session,
            feed,
            screenshot=settings.screenshot,
            close_at_end=closes,
            recording=recording,
            sound=sound,
            **look,
        )
        session.stop()
        session.wait(0)  # raises what ended it, in one sentence
        return code
    session.wait_opened()
    try:
        if terminal and feed is not None:
            _terminal(session, feed)
        elif watcher is not None:
            while not session.wait(REFRESH_S):
                watcher.look(time.monotonic_ns())
        else:
            _progress(session, settings)
    except KeyboardInterrupt:
        session.stop()
        return INTERRUPTED
    return 0


def _terminal(session: Session, feed: DisplayFeed) -> None:
    from monitor.terminal import TerminalView, live

    view = TerminalView(session, feed)
    with live(view, sys.stdout) as screen:
        while not session.wait(REFRESH_S):
            view.update()
            screen.update(view.render())
        view.update()
        screen.update(view.render())


def _progress(session: Session, settings: RunSettings) -> None:
    """A progress bar on the error stream, so that pipes stay clean."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from monitor.footer import footer
    from ui.style.words import clock_words

    columns = (
        TextColumn("{task.fields[at]}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}", markup=False),
    )
    begin, length = settings.from_s, session.status().duration_s - settings.from_s
    total = length if settings.for_s is None else min(length, settings.for_s)
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task("run", total=total, at=clock_words(begin), status="")
        while True:
            over = session.wait(REFRESH_S)
            status = session.status()
            words = footer(status, time.monotonic_ns())
            bar.update(task, completed=status.position_s - begin, at=clock_words(status.position_s), status=words)
            if over:
                return


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
