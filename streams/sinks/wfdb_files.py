"""WFDB: ``NAME.hea`` with ``NAME.dat`` (16 bits, every signal at its own rate) and the notes in ``NAME.alarm``.

Signals of different rates share frames, so many samples each. A missing sample is −32768, which WFDB readers give as
NaN. A note is an annotation ``"`` (comment) with its words, in milliseconds; WFDB has room for 255 bytes, in ASCII.
"""

from __future__ import annotations

import datetime
import re
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from streams.sinks.convert import Material, frame, framed, limits

STEPS = 65_000
MISSING = -32_768
ANNOTATOR, NOTE_RATE_HZ, NOTE_BYTES = "alarm", 1000, 250


def write(material: Material, path: Path) -> list[Path]:
    """Writes the record that ``path`` (``.hea``) names; the files, the header last."""
    import wfdb

    name = path.stem
    if not re.fullmatch(r"[-\w]+", name, re.ASCII):
        raise BadInput("a record name of letters, digits, - and _", repr(name), "choose another name")
    length = frame(material.signals)
    frames = max(1, ceil(material.seconds / length))
    waves = [framed(signal, length, frames) for signal in material.signals]
    scales = [_scale(values) for values in waves]
    digital = [_digital(values, *scale) for values, scale in zip(waves, scales, strict=True)]
    count = len(waves)
    start = None
    if material.start_unix_s is not None:
        start = datetime.datetime.fromtimestamp(material.start_unix_s, datetime.UTC).replace(tzinfo=None)
    record = wfdb.Record(
        record_name=name,
        n_sig=count,
        fs=float(1 / length),
        sig_len=frames,
        base_date=start.date() if start else None,
        base_time=start.time() if start else None,
        e_d_signal=digital,
        file_name=[f"{name}.dat"] * count,
        fmt=["16"] * count,
        samps_per_frame=[len(values) // frames for values in waves],
        adc_gain=[gain for gain, _ in scales],
        baseline=[baseline for _, baseline in scales],
        units=[signal.unit.replace(" ", "") or "NU" for signal in material.signals],
        adc_res=[16] * count,
        adc_zero=[0] * count,
        init_value=[int(values[0]) for values in digital],
        block_size=[0] * count,
        sig_name=[signal.name for signal in material.signals],
        comments=["written by Vigil; EST signals are estimates, not measurements"],
    )
    record.checksum = record.calc_checksum(expanded=True)
    record.wrsamp(expanded=True, write_dir=str(path.parent))
    made = [path.with_suffix(".dat")]
    if material.notes:
        wfdb.wrann(
            name,
            ANNOTATOR,
            np.array([max(round(t * NOTE_RATE_HZ), 1) for t, _ in material.notes], np.int64),
            symbol=['"'] * len(material.notes),
            aux_note=[_ascii(text) for _, text in material.notes],
            fs=NOTE_RATE_HZ,
            write_dir=str(path.parent),
        )
        made.append(path.with_suffix(f".{ANNOTATOR}"))
    return [*made, path]


def _scale(values: npt.NDArray[np.float32]) -> tuple[float, int]:
    """Steps a unit, and the step of zero."""
    low, high = limits(values)
    gain = float(f"{STEPS / (high - low):.6g}")
    return gain, -round((low + high) / 2 * gain)


def _digital(values: npt.NDArray[np.float32], gain: float, baseline: int) -> npt.NDArray[np.int64]:
    missing = np.isnan(values)
    steps = np.rint(np.where(missing, 0.0, values).astype(np.float64) * gain) + baseline
    return np.where(missing, MISSING, np.clip(steps, MISSING + 1, -MISSING - 1)).astype(np.int64)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:NOTE_BYTES] or "-"
