"""Sleep-EDF Expanded, cassette study: nights of EDF and hypnograms of EDF+ annotations to epochs of 30 s.

Kemp et al., IEEE Trans Biomed Eng 2000; 47:1185. File names are ``SC4ssNE0-PSG.edf`` and ``SC4ssNx*-Hypnogram.edf``:
``ss`` the subject, ``N`` the night, so both nights of a subject stay together in every split. Stages of Rechtschaffen &
Kales become the five of the AASM (3 and 4 are N3); movement time and unscored epochs are left out; wake is kept up to
30 min around sleep (Supratak et al., IEEE TNSRE 2017; 25:1998), else it would be two thirds of all epochs.
"""

from __future__ import annotations

import datetime
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.data.dataset import Arrays, save_patient
from models.data.labels import eeg_features
from models.data.sources import SleepEdfData
from models.signals.errors import BadInput
from models.signals.modalities import GRID_RATE_HZ, SLEEP_CHANNELS, Modality, SleepChannel
from models.signals.preprocessing import PREPROCESSING
from models.signals.readers.edf import EdfRecording
from models.signals.recording import Track, TrackKind
from models.signals.resample import GRID_STEP_NS, resample
from models.signals.units import canonical_factor
from models.signals.windows import CONTEXT_FIELDS

EPOCH_S = 30
STAGES = ("W", "N1", "N2", "N3", "REM")
STAGE_OF = {
    "Sleep stage W": 0, "Sleep stage 1": 1, "Sleep stage 2": 2, "Sleep stage 3": 3, "Sleep stage 4": 3,
    "Sleep stage R": 4,
}  # fmt: skip
UNSCORED = ("Sleep stage ?", "Movement time")
MISSING_ALLOWED = 4  # samples of a second, as in the cells of the bedside
STILL_UV = 0.02  # a lead that moves less than this for two seconds is not connected
CLIPPED_SHARE = 0.3  # of a second at the very edge of the recorder's range

_PSG = re.compile(r"SC4(\d\d)(\d)[A-Z]\d-PSG\.edf", re.IGNORECASE)
_COPY_AGAIN = "copy the file again"


@dataclass(frozen=True, slots=True)
class NightOrder:
    """One night to cut; ``location`` and ``hypnogram`` are its two files. Frames as in :class:`SleepEdfData`."""

    folder: Path
    location: str
    hypnogram: str
    study: str
    patient: str
    wake_minutes: int
    frame_s: int
    step_s: int
    least_known: float

    @property
    def files(self) -> tuple[Path, ...]:
        """The recording and its hypnogram."""
        return Path(self.location), Path(self.hypnogram)


def night_orders(settings: SleepEdfData, out: Path) -> tuple[list[NightOrder], list[tuple[str, str]]]:
    """Nights below the folder, and the recordings without exactly one hypnogram with the reason. Raises BadInput where
    there is no night."""
    root = Path(settings.path).expanduser()
    if not root.is_dir():
        raise BadInput("a folder of Sleep-EDF", f"no folder {str(root)!r}", "check the path")
    files = [p for p in sorted(root.rglob("*")) if p.is_file()]
    orders: list[NightOrder] = []
    strange: list[tuple[str, str]] = []
    for psg in files:
        match = _PSG.fullmatch(psg.name)
        if match is None:
            continue
        study = psg.name[:6].upper()
        scored = [p for p in files if p.name.upper().startswith(study) and p.name.lower().endswith("-hypnogram.edf")]
        if len(scored) != 1:
            strange.append((psg.name, f"{len(scored)} hypnograms for it instead of one"))
            continue
        orders.append(
            NightOrder(
                out / study, str(psg), str(scored[0]), study, f"SC{match.group(1)}", settings.wake_minutes,
                settings.frame_s, settings.step_s, settings.least_known,
            )
        )  # fmt: skip
    if not orders:
        names = ", ".join(sorted({p.name for p in files})[:5]) or "nothing"
        raise BadInput(
            "files named SC4…-PSG.edf with their SC4…-Hypnogram.edf", f"{names} in {str(root)!r}", "check the path"
        )
    repeated = [study for study, n in Counter(o.study for o in orders).items() if n > 1]
    if repeated:
        raise BadInput("one recording a night", f"several of {', '.join(repeated)}", "remove the copies")
    return orders, strange


def cut_night(order: NightOrder, mark: str = "") -> dict[str, object]:
    """Cuts and writes one night; returns its index, ``mark`` as its fingerprint. Raises BadInput where it cannot be
    used, and why."""
    stages = trim_wake(read_hypnogram(Path(order.hypnogram), start_time(Path(order.location))), order.wake_minutes)
    recording = EdfRecording(Path(order.location))
    try:
        seconds = min(len(stages) * EPOCH_S, int(recording.duration_s) // EPOCH_S * EPOCH_S)
        tracks = find_leads(recording)
        read = [grid_lead(recording, tracks[lead], seconds) for lead in SLEEP_CHANNELS]
    finally:
        recording.close()
    arrays = epochs(read, stages[: seconds // EPOCH_S], order)
    if not len(arrays["end_s"]):
        raise BadInput("scored epochs with signals", f"none in {order.study}", "leave it out")
    counts = np.bincount(arrays["stage"], minlength=len(STAGES)) / len(arrays["stage"])
    known = arrays["known"].mean((0, 2))
    facts: dict[str, object] = {
        "patient": order.patient, "study": order.study, "source": "sleep-edf", "simulated": False, "site": "at home",
        "device": "cassette recorder", "time_base": "seconds from the recording's start", "zero_s": 0.0,
        "duration_s": float(seconds), "stride_s": EPOCH_S, "windows": len(arrays["end_s"]),
        "channels": {lead.value: tracks[lead].name for lead in SLEEP_CHANNELS},
        "modalities": [lead.value for lead in SLEEP_CHANNELS], "frame_s": order.frame_s, "step_s": order.step_s,
        "known": {c.value: round(float(k), 4) for c, k in zip(SLEEP_CHANNELS, known, strict=True)},
        "preprocessing": PREPROCESSING,
        "stages": {name: round(float(share), 4) for name, share in zip(STAGES, counts, strict=True)},
        "fingerprint": mark,
    }  # fmt: skip
    save_patient(order.folder, arrays, facts)
    return facts


def read_hypnogram(path: Path, start: datetime.datetime) -> npt.NDArray[np.int8]:
    """Stage of each epoch from ``start`` (the start time of the polysomnogram): 0–4 as ``STAGES``, −1 not scored.

    An epoch has a stage if one annotation covers all of it. Raises BadInput for a file without sleep stages, a text
    that is no stage, or a start that is not a whole number of seconds from the recording's.
    """
    import edfio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notes: list[Any] = list(edfio.read_edf(path, header_encoding="latin-1").annotations)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, ZeroDivisionError, OSError) as error:
        raise BadInput("a readable hypnogram", f"damage in {path.name!r} ({error})", _COPY_AGAIN) from error
    shift = (start_time(path) - start).total_seconds()
    scored = [(float(n.onset) + shift, float(n.duration or 0.0), str(n.text).strip()) for n in notes if n.text]
    foreign = sorted({text for _, _, text in scored if text not in STAGE_OF and text not in UNSCORED})
    if foreign or not any(text in STAGE_OF for _, _, text in scored):
        found = ", ".join(map(repr, foreign[:5])) or "none"
        raise BadInput("the sleep stages of Rechtschaffen & Kales", f"{found} in {path.name!r}", _COPY_AGAIN)
    last = max(onset + duration for onset, duration, text in scored if text in STAGE_OF)
    stages = np.full(max(int(last // EPOCH_S), 0), -1, np.int8)
    for onset, duration, text in scored:
        first = max(-int(-onset // EPOCH_S), 0)
        stages[first : max(int((onset + duration) // EPOCH_S), 0)] = STAGE_OF.get(text, -1)
    return stages


def start_time(path: Path) -> datetime.datetime:
    """Start date and time in an EDF header: ``dd.mm.yy`` and ``hh.mm.ss``, years from 85 on of the 20th century."""
    try:
        with path.open("rb") as stream:
            head = stream.read(256)
    except OSError as error:
        raise BadInput("a readable file", f"{path.name!r}: {error.strerror}", "check its permissions") from error
    fields = [head[a : a + 2] for a in (168, 171, 174, 176, 179, 182)]
    if len(head) < 256 or not all(f.isdigit() for f in fields):
        raise BadInput("a start date and time in the EDF header", f"none in {path.name!r}", _COPY_AGAIN)
    day, month, year, hour, minute, second = map(int, fields)
    try:
        return datetime.datetime(year + (1900 if year >= 85 else 2000), month, day, hour, minute, second)
    except ValueError as error:
        raise BadInput("a start date and time in the EDF header", f"{error} in {path.name!r}", _COPY_AGAIN) from error


def trim_wake(stages: npt.NDArray[np.int8], minutes: int) -> npt.NDArray[np.int8]:
    """Stages with wake more than ``minutes`` before the first or after the last epoch of sleep set to −1. All −1 where
    nobody slept."""
    asleep = np.flatnonzero(stages > 0)
    out = np.full_like(stages, -1)
    if len(asleep):
        margin = minutes * 60 // EPOCH_S
        kept = slice(max(int(asleep[0]) - margin, 0), int(asleep[-1]) + 1 + margin)
        out[kept] = stages[kept]
    return out


def find_leads(recording: EdfRecording) -> dict[SleepChannel, Track]:
    """The three leads by name (case and spaces at the ends do not count). Raises BadInput where one is missing."""
    waves = {t.name.strip().casefold(): t for t in recording.tracks if t.kind is TrackKind.WAVE}
    lacks = [lead.value for lead in SLEEP_CHANNELS if lead.value.casefold() not in waves]
    if lacks:
        has = ", ".join(t.name for t in waves.values()) or "no wave"
        raise BadInput(f"the leads {', '.join(lacks)}", f"{has} in {recording.name!r}", "choose another recording")
    return {lead: waves[lead.value.casefold()] for lead in SLEEP_CHANNELS}


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead on the grid: float32 [T · 100] in µV, NaN where missing, and bool [T], the seconds it was measured."""

    values: npt.NDArray[np.float32]
    measured: npt.NDArray[np.bool_]


def grid_lead(recording: EdfRecording, track: Track, seconds: int) -> Lead:
    """A lead of the first ``seconds`` on the grid, and which of its seconds are usable.

    At 100 Hz, as in Sleep-EDF, the samples are taken as they are; other rates go through the stream's resampler.
    """
    factor = canonical_factor(track.unit, Modality.EEG)
    rate, origin_ns = track.rate_hz or 0.0, round(track.start_s * 1e9)
    segment = recording.read(track.name, 0.0, seconds + 1.0)
    values = np.full(seconds * GRID_RATE_HZ, np.nan, np.float32)
    if len(segment.values):
        if rate == GRID_RATE_HZ and origin_ns % GRID_STEP_NS == 0:
            first, on_grid = segment.first_index + origin_ns // GRID_STEP_NS, segment.values
        else:
            first, on_grid = resample(segment.values, rate, origin_ns, segment.first_index)
        begin, end = max(first, 0), min(first + len(on_grid), len(values))
        values[begin:end] = on_grid[begin - first : end - first] * factor
    return Lead(values, usable_seconds(values))


def usable_seconds(values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """bool [T]: at most 40 ms missing, moving within two seconds, and less than a third at the edge of the range."""
    rows = values.reshape(-1, GRID_RATE_HZ)
    present: npt.NDArray[np.bool_] = np.isnan(rows).sum(-1) <= MISSING_ALLOWED
    low, high = np.fmin.reduce(rows, axis=-1), np.fmax.reduce(rows, axis=-1)
    before_low = np.fmin(low, np.concatenate([low[:1], low[:-1]]))
    before_high = np.fmax(high, np.concatenate([high[:1], high[:-1]]))
    moving = before_high - before_low > STILL_UV
    if not present.any():
        return present
    bottom, top = np.nanmin(values), np.nanmax(values)
    edge = 1e-3 * (top - bottom)
    at_edge = np.mean((rows > top - edge) | (rows < bottom + edge), axis=-1)
    usable: npt.NDArray[np.bool_] = present & moving & (at_edge <= CLIPPED_SHARE)
    return usable


def epochs(leads: list[Lead], stages: npt.NDArray[np.int8], order: NightOrder) -> Arrays:
    """The arrays of :mod:`models.data.dataset` of the scored epochs; labels of the bedside are NaN.

    A frame of 4 s is known if its four seconds are; an epoch needs ``least_known`` of its frames over all leads.
    """
    count, rows = len(stages), len(leads)
    frames = (EPOCH_S - order.frame_s) // order.step_s + 1
    signals = np.stack([lead.values.reshape(count, -1) for lead in leads], axis=1)
    cells = np.stack([lead.measured.reshape(count, EPOCH_S) for lead in leads], axis=1)
    begins = order.step_s * np.arange(frames)
    known: npt.NDArray[np.bool_] = np.all(cells[..., begins[:, None] + np.arange(order.frame_s)], axis=-1)
    kept = np.flatnonzero((stages >= 0) & (known.mean((1, 2)) >= order.least_known))
    signals, known = signals[kept], known[kept]
    whole = np.isfinite(signals[:, 0]).all(-1)
    features = np.full((len(kept), 7), np.nan, np.float32)
    if whole.any():
        features[whole] = eeg_features(signals[whole, 0])
    nothing = np.full((len(kept), frames, 3), np.nan, np.float32)
    return {
        "signals": signals, "presence": known, "known": known, "stage": stages[kept],
        "end_s": (kept.astype(np.int64) + 1) * EPOCH_S,
        "history": np.full((1, rows, len(CONTEXT_FIELDS)), np.nan, np.float32),
        "pressures": nothing, "r_times": nothing[:, :1, 0], "eeg": features, "depth": nothing[:, 0, 0],
        "hypotension": nothing[:, 0, :], "hypotensive_now": np.zeros(len(kept), np.bool_),
    }  # fmt: skip
