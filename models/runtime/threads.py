"""Threads of one inference on the CPU: two, unless `vigil bench inference --tune` has measured better on this machine.

Not measured when a model is loaded: the waves are starting then, and what is measured beside them is wrong.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from models.runtime.machine import machine

MAX_THREADS = 16
MANY_BEDS = 9


class Choice(msgspec.Struct, frozen=True):
    """machine: on which it was measured."""

    machine: str
    threads: int


def default_threads(path: Path | None = None) -> int:
    """The measured choice, else two where there are two cores: a batch of one gains little beyond. ``path``: of the
    choice, by default in the user's cache folder."""
    cores = os.cpu_count() or 1
    try:
        choice = msgspec.json.decode((path or choice_path()).read_bytes(), type=Choice)
    except (OSError, msgspec.DecodeError):  # nothing was measured, or nothing that can be read
        return min(2, cores)
    measured_here = choice.machine == machine() and 1 <= choice.threads <= min(cores, MAX_THREADS)
    return choice.threads if measured_here else min(2, cores)


def threads_for(beds: int) -> int | None:
    """One where there are many beds; None, the choice of :func:`default_threads`, where there are few. A second
    thread shortens one window's latency and is woken for every part of every batch; with many beds the core is the
    stream's: of 32 on two cores samples were shown after 28 ms in the median, with two threads after 53 (headless)."""
    return 1 if beds >= MANY_BEDS else None


def keep_threads(threads: int, path: Path | None = None) -> None:
    """Keep what was measured. Raises OSError where the cache folder cannot be written."""
    path = path or choice_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(msgspec.json.encode(Choice(machine(), threads)))
    scratch.replace(path)


def candidates() -> list[int]:
    """Thread counts worth a try on this machine."""
    cores = os.cpu_count() or 1
    return [n for n in (1, 2, 4, 8, MAX_THREADS) if n <= cores]


def choice_path() -> Path:
    """Where the number of threads that was measured is kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("vigil", appauthor=False)) / "threads.json"
