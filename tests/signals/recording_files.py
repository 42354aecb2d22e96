"""Synthetic recordings for the tests of the readers, written with the packages that own the formats.

Each wave carries its own sample numbers, so that a test can tell which sample it was given.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import edfio
import numpy as np
import numpy.typing as npt
import vitaldb
import wfdb

START = 1_600_000_000.0
"""Start of the synthetic .vital files, seconds from 1970."""


@dataclass(frozen=True)
class VitalWave:
    """A wave of a .vital file: its blocks as (seconds from the start, samples)."""

    rate_hz: float
    unit: str
    blocks: Sequence[tuple[float, npt.ArrayLike]]
    fmt: int = 1
    gain: float = 1.0
    offset: float = 0.0


# On 64-bit Linux the package writes 32-bit integers with eight bytes (codes 'l' and 'L'); the format has four.
vitaldb.utils.FMT_TYPE_LEN.update({7: ("i", 4), 8: ("I", 4)})
_DTYPES = {1: "f4", 2: "f8", 3: "i1", 4: "u1", 5: "i2", 6: "u2", 7: "i4", 8: "u4"}


def write_vital(
    path: Path,
    waves: Mapping[str, VitalWave],
    numerics: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    events: Sequence[tuple[float, str]] = (),
    *,
    packed: bool = False,
) -> Path:
    """A .vital file with tracks named ``device/track``."""
    file = vitaldb.VitalFile()
    file.dtstart, file.dtend, file.dgmt = START, START + 1, 0
    for name, wave in waves.items():
        dtype = np.dtype(_DTYPES[wave.fmt])
        recs = [{"dt": START + t, "val": np.asarray(values, dtype=dtype)} for t, values in wave.blocks]
        track = file.add_track(name, recs, srate=wave.rate_hz or 1.0, unit=wave.unit)
        track.srate, track.fmt, track.gain, track.offset = wave.rate_hz, wave.fmt, wave.gain, wave.offset
        track.col = 0
    for name, values in (numerics or {}).items():
        file.add_track(name, [{"dt": START + t, "val": float(v)} for t, v in values], unit="/min").col = 0
    if events:
        file.add_track("EVENT", [{"dt": START + t, "val": text} for t, text in events]).col = 0
    file.to_vital(str(path), compresslevel=1, packed=packed)
    return path


def blocks_of(samples: npt.NDArray, rate_hz: float, block: int, gap: tuple[int, int] | None = None):
    """``samples`` cut into blocks of ``block`` samples, without those of the index range ``gap``."""
    parts = []
    for begin in range(0, len(samples), block):
        for lo, hi in _without(begin, min(begin + block, len(samples)), gap):
            parts.append((lo / rate_hz, samples[lo:hi]))
    return parts


def _without(begin: int, end: int, gap: tuple[int, int] | None) -> list[tuple[int, int]]:
    pieces = [(begin, end)] if gap is None else [(begin, min(end, gap[0])), (max(begin, gap[1]), end)]
    return [(a, b) for a, b in pieces if a < b]


def vitaldb_case(path: Path, seconds: int = 20, *, packed: bool = False) -> Path:
    """A case with VitalDB's track names: ECG 500 Hz, pressure with a gap of 2.4 s, PLETH from 3 s on, EEG 128 Hz."""
    ramp = lambda rate: np.arange(seconds * rate, dtype=np.float32)  # noqa: E731
    return write_vital(
        path,
        {
            "SNUADC/ECG_II": VitalWave(500, "mV", blocks_of(ramp(500), 500, 500)),
            "SNUADC/ECG_V5": VitalWave(500, "mV", blocks_of(ramp(500), 500, 500)),
            "SNUADC/ART": VitalWave(500, "mmHg", blocks_of(ramp(500), 500, 500, gap=(3000, 4200))),
            "SNUADC/PLETH": VitalWave(500, "", [(3 + t, v) for t, v in blocks_of(ramp(500)[:-1500], 500, 250)]),
            "BIS/EEG1_WAV": VitalWave(128, "uV", blocks_of(ramp(128), 128, 128)),
        },
        {"Solar8000/ART_MBP": [(float(t), 80.0 + t) for t in range(0, seconds, 2)], "BIS/BIS": [(1.5, 41.0)]},
        [(2.0, "induction"), (7.5, "skin incision")],
        packed=packed,
    )


def write_wfdb(folder: Path, name: str, rate_hz: float, signals: Mapping[str, tuple[str, npt.NDArray]]) -> Path:
    """A single-segment record in format 32 with a resolution of 1; NaN becomes the format's mark of a missing one."""
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=[unit for unit, _ in signals.values()],
        sig_name=list(signals),
        p_signal=np.column_stack([values for _, values in signals.values()]).astype(np.float64),
        fmt=["32"] * len(signals),
        adc_gain=[1.0] * len(signals),
        baseline=[0] * len(signals),
        write_dir=str(folder),
    )
    return folder / f"{name}.hea"


def write_wfdb_segments(folder: Path, name: str, rate_hz: float = 125) -> Path:
    """A record with a layout: a gap of 2 s, II (0 … 500), a gap of 4 s, II and ABP (500 … 1000), 25 s of II alone."""
    index = np.arange(4000, dtype=np.float64)
    write_wfdb(folder, f"{name}_1", rate_hz, {"II": ("mV", index[:500])})
    write_wfdb(folder, f"{name}_2", rate_hz, {"ABP": ("mmHg", index[500:1000]), "II": ("mV", index[500:1000])})
    write_wfdb(folder, f"{name}_3", rate_hz, {"II": ("mV", index[1000:])})
    layout = f"{name}_layout 2 {rate_hz:g} 0\n~ 0 1/mV 0 0 0 0 0 II\n~ 0 1/mmHg 0 0 0 0 0 ABP\n"
    (folder / f"{name}_layout.hea").write_text(layout)
    lines = [f"{name}/6 2 {rate_hz:g} 4750", f"{name}_layout 0", "~ 250", f"{name}_1 500", "~ 500", f"{name}_2 500"]
    (folder / f"{name}.hea").write_text("\n".join([*lines, f"{name}_3 3000", ""]))
    return folder / f"{name}.hea"


_FILLER = "-" * 24


def write_edf(
    path: Path,
    signals: Mapping[str, tuple[float, str, npt.NDArray]],
    *,
    record_s: float = 1.0,
    annotations: Sequence[tuple[float, str]] | None = None,
    onsets: Sequence[float] | None = None,
) -> Path:
    """An EDF or BDF file (by suffix) of integer-valued signals: label → (rate, unit, samples).

    With ``annotations`` an EDF+C file; with ``onsets`` an EDF+D file whose data records begin at these times.
    """
    bdf = path.suffix == ".bdf"
    signal_class, file_class = (edfio.BdfSignal, edfio.Bdf) if bdf else (edfio.EdfSignal, edfio.Edf)
    limits = (-8388608, 8388607) if bdf else (-32768, 32767)
    parts = [
        signal_class(
            np.asarray(values, dtype=np.float64),
            rate,
            label=label,
            physical_dimension=unit,
            physical_range=limits,
            digital_range=limits,
        )
        for label, (rate, unit, values) in signals.items()
    ]
    notes = None
    if annotations is not None or onsets is not None:
        notes = [edfio.EdfAnnotation(t, None, text) for t, text in annotations or ()]
        if onsets is not None:  # makes room for longer onsets, and is taken out again
            notes += [edfio.EdfAnnotation(t, None, _FILLER) for t in [0.0, *(n.onset for n in notes)]]
    file_class(
        parts,
        data_record_duration=record_s,
        annotations=notes,
        starttime=datetime.time(10, 0, 0),
    ).write(path)
    if onsets is not None:
        _make_discontinuous(path, onsets, bdf)
    return path


def _make_discontinuous(path: Path, onsets: Sequence[float], bdf: bool) -> None:
    """Give each data record its own start time: rewrites the time-keeping annotations of an EDF+C file."""
    raw = bytearray(path.read_bytes())
    count = int(raw[252:256])
    per_record = [int(raw[256 + 216 * count + 8 * i : 264 + 216 * count + 8 * i]) for i in range(count)]
    width = 3 if bdf else 2
    header, record = 256 * (count + 1), sum(per_record) * width
    begin, room = sum(per_record[:-1]) * width, per_record[-1] * width
    for number, onset in enumerate(onsets):
        at = header + number * record + begin
        written = bytes(raw[at : at + room]).rstrip(b"\0").split(b"\0")[1:]  # after the time-keeping annotation
        kept = [text for text in written if _FILLER.encode() not in text]
        text = b"\0".join([f"+{onset:g}\x14\x14".encode(), *kept]) + b"\0"
        assert len(text) <= room
        raw[at : at + room] = text.ljust(room, b"\0")
    raw[192:197] = b"BDF+D" if bdf else b"EDF+D"
    path.write_bytes(bytes(raw))
