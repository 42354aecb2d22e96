"""``vigil run``: a session with what looks at it — the display, the terminal view or nothing — and its exports."""

from __future__ import annotations

import sys
import time

from monitor.config import InForce
from monitor.events import EventLog
from monitor.front_door import FrontDoor
from monitor.kept import alarm_files
from monitor.running import Running, begin
from monitor.screen import UNSET, no_screen
from monitor.session import Session
from monitor.settings import RunSettings, check_outputs
from monitor.termination import INTERRUPTED, termination_as_interrupt
from monitor.window import begin_window
from streams.feed import DisplayFeed

REFRESH_S = 0.25


def run_session(settings: RunSettings, force: InForce, say: EventLog | None = None) -> int:
    """Run to the end (or until the window is closed, or Ctrl-C) and write what was asked for; the exit code. say: takes
    events in place of a line of progress."""
    check_outputs(settings.outputs, settings.sources)
    lacking = no_screen() if not settings.headless else ""
    display = not settings.headless and not lacking
    if lacking and lacking != UNSET:  # a machine without a screen need not be told
        print(f"vigil: no window, since {lacking}; it goes on without one", file=sys.stderr)
    terminal = not settings.headless and not display and say is None and sys.stdout.isatty()
    # A run that was given an end or a report to write is over when the recording is; otherwise the window stays.
    closes = settings.for_s is not None or any(settings.outputs.values())
    feed = DisplayFeed() if display or terminal else None
    # A window that stays may be given something else to show; a run with an end is about what it was begun with.
    front = FrontDoor(settings, force, say) if display and not closes else None
    running = begin(
        settings, force, say, feed=feed, display=display, stay_open=front is not None, metrics=front is None
    )
    with running, termination_as_interrupt():
        if front is not None:
            return front.show(running)
        return _look(settings, running, force, display=display, terminal=terminal)


def _look(settings: RunSettings, running: Running, force: InForce, *, display: bool, terminal: bool) -> int:
    """Show the session until it is over. Raises what ended it, if something did."""
    session, feed, watcher = running.session, running.feed, running.watcher
    if display:
        assert feed is not None
        from ui.window.app import run_display

        choices = begin_window(force, session.report, lambda: session.beds)
        session.wait_opened()
        code = run_display(
            session,
            feed,
            screenshot=settings.screenshot,
            close_at_end=True,
            recording=running.recording,
            files=alarm_files(),
            **choices,
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
    start, length = settings.from_s, session.status().duration_s - settings.from_s
    total = length if settings.for_s is None else min(length, settings.for_s)
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task("run", total=total, at=clock_words(start), status="")
        while True:
            over = session.wait(REFRESH_S)
            status = session.status()
            words = footer(status, time.monotonic_ns())
            bar.update(task, completed=status.position_s - start, at=clock_words(status.position_s), status=words)
            if over:
                return
