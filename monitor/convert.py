"""``vigil convert``: a recording as a file of another format."""

from __future__ import annotations

from pathlib import Path

from models.signals.readers.opener import open_recording
from monitor.sources import check_recording
from streams.sinks.convert import check_output
from streams.sinks.convert import convert as write


def convert(source: str, out: Path) -> list[Path]:
    """Writes ``source`` (whatever ``vigil run`` opens) as ``out``: WFDB (``.hea``), EDF+ (``.edf``) or ``.vital``.

    Returns the files written. Raises BadInput, in one sentence, for a source that cannot be read, a format that is not
    known or cannot hold it, and an output that is there; VigilError where it cannot be written.
    """
    check_output(out)
    check_recording(source)
    recording = open_recording(source)
    try:
        return write(recording, out)
    finally:
        recording.close()
