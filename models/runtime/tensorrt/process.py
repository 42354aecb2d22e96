"""Runs :mod:`models.runtime.tensorrt.build` as a process: passes its progress on, ends it when cancelled, and makes one
sentence of its end, a crash included."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from models.runtime.tensorrt.build import Event, Request, Unopened
from models.runtime.tensorrt.builder import Cancelled
from models.signals.errors import BackendUnavailable

SILENT_S = 900.0
"""A build without any step for so long hangs; a single tactic takes seconds at most."""
_SLICE_S = 0.1  # how soon a cancel is noticed
_MAX_LINE = 1 << 16
_ROOT = Path(__file__).resolve().parents[3]

Report = Callable[[float], None]


class NotStarted(BackendUnavailable):
    """There is no room for a process or for what it may complain of."""


class Crashed(BackendUnavailable):
    """The process ended without a word of its own."""


def run(request: Request, report: Report, cancel: threading.Event) -> None:
    """Returns when all is done. Raises BackendUnavailable with the process's sentence (Unopened where that is about
    the plan), Crashed, NotStarted, Cancelled."""
    what = "opening the engine" if request.open else "the build of the engine"
    if cancel.is_set():
        raise Cancelled(f"{what} was cancelled")
    with _complaints() as complaints, _started(complaints) as process:
        lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        assert process.stdin is not None and process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            os.write(process.stdin.fileno(), msgspec.json.encode(request) + b"\n")
            last = _follow(lines, report, cancel, what)
        except BrokenPipeError:
            last = None  # it died before it had read: what it leaves says why
        except BaseException:
            process.kill()
            raise
        finally:
            if cancel.is_set():
                process.kill()
            reader.join()  # it reads to the end, which the child's end brings
        if last is None:
            raise Crashed(f"{what} crashed ({_ending(process.wait())}){_last_words(complaints)}")
        if last.error:
            raise (Unopened if last.unopened else BackendUnavailable)(last.error)


def _complaints() -> IO[bytes]:
    """For standard error."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise NotStarted(
            f"no temporary file can be made ({error.strerror}): engines are neither built nor opened"
        ) from error


def _started(complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        return subprocess.Popen(
            # -P: a folder named like one of ours where the user happens to be must not be run instead.
            [sys.executable, "-P", "-m", "models.runtime.tensorrt.build"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
    except OSError as error:
        raise NotStarted(f"no process could be started that builds engines ({error.strerror})") from error


def _read(stdout: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    while (line := stdout.readline(_MAX_LINE)).endswith(b"\n"):
        lines.put(line)
    lines.put(None)


def _follow(
    lines: queue.SimpleQueue[bytes | None], report: Report, cancel: threading.Event, what: str
) -> Event | None:  # fmt: skip
    """Its last word, the error or that all is done; None if it ends without either."""
    silent_s = 0.0
    while True:
        try:
            line = lines.get(timeout=_SLICE_S)
        except queue.Empty:
            silent_s += _SLICE_S
            if silent_s > SILENT_S:
                raise BackendUnavailable(f"{what} made no step in {SILENT_S:g} s and was ended") from None
            line = b""
        if cancel.is_set():
            raise Cancelled(f"{what} was cancelled")
        if line is None:
            return None
        if not line:
            continue
        silent_s = 0.0
        try:
            event = msgspec.json.decode(line, type=Event)
        except msgspec.DecodeError as error:
            raise BackendUnavailable(f"{what} gave a line that is none of its own: {line[:80]!r}") from error
        if event.error or event.done:
            return event
        report(event.share)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _last_words(complaints: IO[bytes]) -> str:
    """The last line that it left on standard error."""
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - 4096))
    lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()[:300]}" if lines else ""
