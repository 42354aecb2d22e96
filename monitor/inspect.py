"""``vigil inspect``: a recording's tracks as a table, and what each is taken for."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.signals.inspection import TrackReport, inspect
from monitor.sources import check_recording
from ui.style.words import clock_words

MAX_GAPS = 3
MAX_TRACKS = 400
MAX_NOTES = 20
PIPE_WIDTH = 160
NUMBERS = ("rate (Hz)", "from (s)", "to (s)", "values")


def print_inspection(source: str, console: Console | None = None) -> bool:
    """Print the table; whether `vigil run` would show anything. Raises BadInput when the source cannot be read."""
    check_recording(source)
    found = inspect(source)
    out = console or Console()
    if not out.is_terminal:
        out.width = PIPE_WIDTH  # nothing is cut off for a pipe or a file
    taken = [t.taken_for.value for t in found.tracks if t.taken_for is not None]
    out.print(
        f"[bold]{escape(found.name)}[/bold]  {clock_words(found.duration_s)} ({found.duration_s:.1f} s)"
        f"  time zero at {found.zero_s:g} s of the file"
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("track", "kind", "rate (Hz)", "unit", "from (s)", "to (s)", "values", "gaps (s)", "taken for"):
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold")
    ordered = sorted(found.tracks, key=lambda t: (t.taken_for is None, not t.number, t.kind.value != "wave", t.name))
    for track in ordered[:MAX_TRACKS]:
        table.add_row(*_row(track), style=None if track.taken_for or track.number else "dim")
    out.print(table)
    if len(ordered) > MAX_TRACKS:
        out.print(f"… {len(ordered) - MAX_TRACKS} more tracks")
    for note in found.notes[:MAX_NOTES]:
        out.print(f"· {escape(note)}")
    if len(found.notes) > MAX_NOTES:
        out.print(f"… {len(found.notes) - MAX_NOTES} more notes")
    for track in ordered:
        if track.guess is not None:
            offer = f"--channels {track.guess.modality}='{track.name}'"
            out.print(escape(f"· {track.guess}, not taken; {offer} takes it"))
    if found.problem:
        out.print(f"[bold red]{escape(found.problem)}[/bold red]")
    elif taken:
        out.print(f"\n[bold]vigil run[/bold] would show {', '.join(taken)}; --channels MODALITY=TRACK changes that.")
    return not found.problem


def _row(track: TrackReport) -> tuple[str, ...]:
    gaps = [f"{a:.1f}–{b:.1f}" for a, b in track.gaps_s[:MAX_GAPS]]
    if len(track.gaps_s) > MAX_GAPS:
        gaps.append(f"… {len(track.gaps_s) - MAX_GAPS} more")
    return (
        escape(track.name),  # a file may call its tracks what it likes; none of that is markup
        track.kind.value,
        f"{track.rate_hz:g}" if track.rate_hz else "",
        escape(track.unit),
        f"{track.start_s:.1f}",
        f"{track.end_s:.1f}" if track.rate_hz else "",
        str(track.samples),
        ", ".join(gaps),
        f"[bold]{track.taken_for.value}[/bold]" if track.taken_for else track.number or escape(track.reason),
    )
