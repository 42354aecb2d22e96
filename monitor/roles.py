"""``vigil source``, ``vigil worker``, ``vigil display``: the parts of ``vigil run``, in processes, over a broker."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from models.runtime.bundle import load_bundle
from models.runtime.threads import MANY_BEDS, threads_for
from models.signals.errors import BadInput
from monitor.config import InForce
from monitor.config_uses import broker_of, limits_of, recordings_of, sharing_of, spool_of
from monitor.events import EventLog, Watcher
from monitor.kept import alarm_files
from monitor.reach import ReachWords
from monitor.recorder import default_path, recorder
from monitor.redaction import HIDDEN
from monitor.running import chosen_engine
from monitor.screen import no_screen
from monitor.settings import RunSettings
from monitor.sources import beds
from monitor.spooling import SpoolFolder
from monitor.termination import INTERRUPTED, termination_as_interrupt
from monitor.watchpoint import watched
from monitor.window import begin_window
from streams.feed import DisplayFeed
from streams.inference import Engine
from streams.roles.display import DisplayProcess
from streams.roles.process import RoleProcess, session_name
from streams.roles.source import SourceProcess
from streams.roles.worker import WorkerProcess
from streams.snapshot import Snapshot

WORKERS = "vigil-workers"
WARM_S = 110.0
"""What a worker that takes over a bed reads again. It goes on with what the other told last (:mod:`streams.memories`),
of some 14 s before the end at most, from 65 s of waves before that on, and takes over within 15."""
LOOK_S = 0.5


def run_source(settings: RunSettings, force: InForce, say: EventLog | None, *, stay: bool) -> int:
    """Play ``settings.sources`` to the broker; the exit code. say: takes events in place of words."""
    limit, base = spool_of(force)
    folder = SpoolFolder(session_name(), limit, base)
    process = SourceProcess(beds(settings), broker_of(force), sharing_of(force), stay=stay, open_spool=folder.open)

    def words() -> str:
        known = process.role.beds.values()
        opened = [bed for bed in known if bed.record is not None]
        if len(opened) < len(process.role.beds):
            count = len(process.role.beds)
            return f"opening {count} source{'s' if count != 1 else ''} …"
        playing = sum(not bed.ended for bed in known)
        sent = process.accounting.counted("ticks_sent")
        return (
            f"{playing} of {len(opened)} bed{'s' if len(opened) != 1 else ''} playing"
            if sent
            else "waiting for the broker …"
        )

    def names() -> Iterable[str]:
        for bed in process.role.beds.values():
            if bed.record is not None:
                HIDDEN.follow(bed.record)
        return process.role.beds

    try:
        return _run(process, words, names, force, say, notes=lambda: process.notes)
    finally:
        folder.close()


def run_worker(settings: RunSettings, force: InForce, say: EventLog | None) -> int:
    """Work for the beds of the broker, shared with every other worker there; the exit code."""
    group = f"{force.keys.broker.prefix}{WORKERS}"
    broker, sharing = broker_of(force), sharing_of(force, group=group, only_own=False, rewind_s=WARM_S)
    bundle = load_bundle(settings.bundle, settings.imputer)
    bundle.imputer(settings.imputer)  # refused before anything starts
    cancel = threading.Event()

    def load_engine() -> Engine:
        return chosen_engine(bundle, settings, cancel, process.role.prepare, threads_for(MANY_BEDS))  # as for a ward

    process = WorkerProcess(
        bundle.window_spec,
        load_engine,
        broker,
        sharing,
        cancel,
    )

    def words() -> str:
        count = len(process.beds)
        return process.role.preparing or f"{count} bed{'s' if count != 1 else ''}, {process.role.model}"

    return _run(process, words, lambda: process.beds, force, say)


def run_display(force: InForce, bed: str) -> int:
    """Show what the broker carries, until the window is closed; the exit code."""
    if lacking := no_screen():
        raise BadInput("a screen for `vigil display`", f"none ({lacking})", "set DISPLAY, or use `vigil record`")
    feed = DisplayFeed()
    process = DisplayProcess(broker_of(force), sharing_of(force, only_own=False), [feed], bed)
    from ui.window.app import run_display as show

    with termination_as_interrupt():
        process.start()
        try:
            choices = begin_window(force, lambda: None, lambda: process.control.beds)
            process.wait_ready()
            _say_other_wards(process, force)
            code = show(process.control, feed, files=alarm_files(), **choices)
        finally:
            process.stop()
    process.crew.raise_failure()
    return code


def run_record(out: Path | None, force: InForce, say: EventLog | None) -> int:
    """Record everything that the broker carries from now on, until it is ended; the exit code. Unlike in a run, here
    the recording is all there is: where it cannot go on, the command ends."""
    process = DisplayProcess(broker_of(force), sharing_of(force, only_own=False))
    out = out or default_path(datetime.now(), recordings_of(force))
    sink = recorder(out, limits_of(force), on_failure=lambda error: process.crew.fail("recorder", error))
    process.subscribe(HIDDEN.follow)
    process.subscribe(sink)
    sink.start()

    def words() -> str:
        beds = process.control.beds
        return f"recording {len(beds)} bed{'s' if len(beds) != 1 else ''} into {sink.name}"

    def read() -> Snapshot:
        return replace(process.snapshot(), role="record", recorder=sink.status)

    try:
        return _run(process, words, lambda: process.control.beds, force, say, read)
    finally:
        sink.close()


def _say_other_wards(process: RoleProcess, force: InForce) -> None:
    """A prefix that nobody has used before is made, and may be a slip of the finger."""
    if others := process.stream.other_wards:
        there = ", ".join(f"--prefix {name}" if name else "none" for name in others)
        wanted = force.keys.broker.prefix
        print(
            f"vigil: no ward {f'with --prefix {wanted}' if wanted else 'without --prefix'} was on this broker, its "
            f"topics are made now; those there have {there}: did you mean one of these?",
            file=sys.stderr,
        )


def _run(
    process: RoleProcess,
    words: Callable[[], str],
    beds: Callable[[], Iterable[str]],
    force: InForce,
    say: EventLog | None,
    read: Callable[[], Snapshot] | None = None,
    notes: Callable[[], Sequence[str]] = tuple,
) -> int:
    """Until it is over, or Ctrl-C; what it does is said on the error stream whenever that changes: in ``words``, or by
    ``say``. read: how it stands, if that is more than the process knows. notes: what else there is to say."""
    read = read or process.snapshot
    watcher = Watcher(say, process.id, read, beds) if say is not None else None
    said, reach, met = "", ReachWords(), False
    with termination_as_interrupt(), watched(force.keys.metrics, read):
        process.start()
        try:
            while not process.wait(LOOK_S):
                if process.ready.is_set() and not met:
                    met = True
                    _say_other_wards(process, force)
                if watcher is not None:
                    watcher.look(time.monotonic_ns())
                away_s = process.stream.away_s if watcher is None else 0.0  # which is "unwell" there
                for line in reach.look(away_s, time.monotonic(), notes()):
                    print(f"vigil: {line}", file=sys.stderr)
                if watcher is None and (now := words()) != said:
                    said = now
                    print(f"vigil: {said}", file=sys.stderr)
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            process.stop()
            if process.lost and process.ready.is_set():  # before that there was nothing to lose but announcements
                count = "1 message" if process.lost == 1 else f"{process.lost} messages"
                print(f"vigil: {count} did not get to the broker, and are lost", file=sys.stderr)
            if watcher is not None:
                watcher.end()
    return 0
