"""A progress bar for what takes minutes the first time, such as engines that are built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from models.runtime.backend import Progress as Report


@contextmanager
def progress_bar(what: str, console: Console | None = None) -> Iterator[Report]:
    """A bar on the error stream that is gone afterwards; a line a step where that is no terminal.

    ``what``: until the first report, which may come from any thread.
    """
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    # Standard output stays what it is: it may go elsewhere than the bar.
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, disable=disable) as bars:
        task = bars.add_task(what, total=None)
        said = ""

        def report(step: str, share: float) -> None:
            nonlocal said
            if not console.is_terminal and step != said:
                console.print(step, markup=False, highlight=False)
            said = step
            total = 1.0 if share > 0 else None  # None changes nothing: it pulses until a share is known
            bars.update(task, description=step, completed=share, total=total)

        yield report
