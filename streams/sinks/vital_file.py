"""A ``.vital`` file of Vital Recorder: float32 at every signal's own rate, written by the vitaldb package.

Nothing is lost: values are stored as they are, NaN where missing, and a second without any data is not stored. The
notes are the track ``EVENT``, numerics keep their names. Where the day is not known the file begins on 2000-01-01.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from models.signals.modalities import Modality
from streams.sinks.convert import NOBODY_KNOWS_UNIX_S, Material, Signal

DEVICE = "Vigil"
MONTYPES = {
    Modality.ECG: 1, Modality.ABP: 4, Modality.PPG: 8, Modality.RESP: 11, Modality.EEG: 28,
    Modality.CO2: 13, Modality.CVP: 20, Modality.AWP: 29, Modality.PAP: 66, Modality.ICP: 74,
}  # fmt: skip
"""The format's signal kinds, so that a reader need not guess from names."""


def write(material: Material, path: Path) -> list[Path]:
    """Writes the file."""
    import vitaldb

    start_s = NOBODY_KNOWS_UNIX_S if material.start_unix_s is None else material.start_unix_s
    file = vitaldb.VitalFile()
    file.dtstart, file.dtend, file.dgmt = start_s, start_s + material.seconds, 0
    for signal in material.signals:
        blocks = _blocks(signal, start_s)
        if not blocks:
            continue
        unit = "" if signal.unit == "au" else signal.unit
        name = f"{DEVICE}/{signal.name.replace('/', ' ')}"
        track = file.add_track(name, blocks, srate=signal.rate_hz, unit=unit)
        track.col = 0
        track.montype = MONTYPES.get(Modality(signal.modality), 0) if signal.modality in set(Modality) else 0
        track.mindisp, track.maxdisp = (float(f(signal.values)) for f in (np.nanmin, np.nanmax))
    for numbers in material.numbers:
        device, _, name = numbers.name.rpartition("/")
        told = zip(numbers.times_s.tolist(), numbers.values.tolist(), strict=True)
        values = [{"dt": start_s + time_s, "val": value} for time_s, value in told]
        file.add_track(f"{device or DEVICE}/{name}", values, unit=numbers.unit).col = 0
    if material.notes:
        file.add_track("EVENT", [{"dt": start_s + t, "val": text} for t, text in material.notes]).col = 0
    file.to_vital(str(path), compresslevel=6, packed=False)
    return [path]


def _blocks(signal: Signal, start_s: float) -> list[dict[str, Any]]:
    """A block a second, those without a number left out."""
    size = ceil(signal.rate_hz)
    parts = ((i, signal.values[i : i + size]) for i in range(0, len(signal.values), size))
    return [{"dt": start_s + i / signal.rate_hz, "val": values} for i, values in parts if np.isfinite(values).any()]
