"""EDF+: every signal at its own rate in 16 bits, the notes as annotations.

EDF has no mark for a missing sample. Here the digital range is −32767 to 32767, and what is missing is −32768, outside
of it: Vigil's own reader gives NaN there, others a value just below the physical minimum. The signal's transducer field
says so. Where the day is not known the file is dated 2000-01-01.
"""

from __future__ import annotations

import datetime
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.readers.edf import MISSING
from streams.sinks.convert import (
    LONGEST_FRAME_S,
    NOBODY_KNOWS_UNIX_S,
    Material,
    Signal,
    frame,
    framed,
    limits,
    no_frame,
)

TOP = 32_767
LABEL, UNIT = 16, 8
"""Characters that the header has room for; numbers have as many as units."""
LARGEST = 9_999_999.0
"""A limit that the header has room for."""
TRANSDUCER = f"missing samples are digital {MISSING}"


def write(material: Material, path: Path) -> list[Path]:
    """Writes the file."""
    import edfio

    length = _record_s(material.signals)
    records = max(1, ceil(material.seconds / length))
    signals = []
    names = _labels(material.signals)
    for signal, label in zip(material.signals, names, strict=True):
        values = framed(signal, length, records)
        made = edfio.EdfSignal.from_digital(
            np.full(len(values), MISSING + 1, np.int16),
            signal.rate_hz,
            label=label,
            transducer_type=TRANSDUCER,
            physical_dimension=signal.unit[:UNIT].encode("ascii", "replace").decode(),
            physical_range=_limits(values, label),
            digital_range=(-TOP, TOP),
        )
        made.digital[:] = _steps(values, made.physical_min, made.physical_max)  # the limits that the header holds
        signals.append(made)
    start = datetime.datetime.fromtimestamp(
        NOBODY_KNOWS_UNIX_S if material.start_unix_s is None else material.start_unix_s, datetime.UTC
    )
    edfio.Edf(
        signals,
        recording=edfio.Recording(startdate=start.date(), equipment_code="Vigil"),
        starttime=start.time().replace(tzinfo=None),
        data_record_duration=float(length),
        annotations=[edfio.EdfAnnotation(time_s, None, text) for time_s, text in material.notes],
    ).write(path)
    return [path]


def _record_s(signals: list[Signal]) -> Fraction:
    """Length of a data record: whole frames, a second or more, and a decimal number that the header has room for."""
    length = frame(signals)
    for count in range(ceil(1 / length), int(LONGEST_FRAME_S / length) + 1):
        whole = length * count
        if not (whole * 10**6) % 1 and len(f"{float(whole):.6f}".rstrip("0")) <= UNIT:
            return whole
    raise no_frame(signals)


def _limits(values: npt.NDArray[np.float32], label: str) -> tuple[float, float]:
    """Least and greatest value; edfio moves them outwards to what the header's eight characters can say."""
    low, high = limits(values)
    if max(abs(low), abs(high)) > LARGEST:
        raise BadInput(f"values up to {LARGEST:g} in an EDF file", f"{low:g} to {high:g} in {label!r}", "use .vital")
    return low, high


def _steps(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.int16]:
    """Digital values, of missing ones the mark."""
    missing = np.isnan(values)
    filled = np.where(missing, low, values).astype(np.float64)
    steps = np.clip(np.rint((filled - low) / (high - low) * (2 * TOP)) - TOP, -TOP, TOP)
    return np.where(missing, MISSING, steps).astype(np.int16)


def _labels(signals: list[Signal]) -> list[str]:
    """Labels of 16 characters, each its own."""
    made: list[str] = []
    for signal in signals:
        label = signal.name.encode("ascii", "replace").decode()[:LABEL]
        number = 2
        while label in made:
            label = f"{label[: LABEL - 3]} {number}"
            number += 1
        made.append(label)
    return made
