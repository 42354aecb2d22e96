"""Real recordings to training windows: the live pipeline cuts them, labels come from what was measured.

There is no clean signal beside a real recording. ``signals`` hold what was measured, NaN or artefact where a frame is
absent; ``presence`` and ``known`` are the frames that were measured in good quality. Losses and scores look at known
frames only; pre-training takes windows that are known throughout in every modality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.data.dataset import Arrays, save_patient
from models.data.labels import EEG_FEATURES, eeg_features, frame_pressures, padded_times, pressure_track
from models.data.labels import r_times as find_r_times
from models.data.other_device import OtherDevice
from models.data.recorded_labels import BIS_DELAY_S, IndexTrack, depth_labels, labels_with_gaps
from models.data.windows import cut_windows
from models.signals.aliases import NOT_WANTED, find_track
from models.signals.channels import ChannelMap, map_channels
from models.signals.errors import BadInput
from models.signals.modalities import GRID_RATE_HZ, MODEL_MODALITIES, Modality
from models.signals.preprocessing import PREPROCESSING
from models.signals.readers.opener import open_recording
from models.signals.recording import Recording, TrackKind
from models.signals.windows import CONTEXT_FIELDS, WindowSpec

INDEX_TRACKS = ("BIS/BIS", "BIS/SQI")
LONGEST_S = 12 * 3600
"""A later part of a recording is not cut (``left_off_s`` in its index): contexts are held a row a second."""
LEAST_KNOWN = 0.5


@dataclass(frozen=True, slots=True)
class StudyOrder:
    """One recording to cut. ``location`` is what ``open_recording`` takes and is not written down; ``study`` and
    ``source`` name it in the index.

    between_s: the part to take, in seconds of the recording. need: modalities it must have. channels: overrides of the
    channel map. device_seed: of other devices to hear it through, None: as it is. least_known: share of known frames
    over the mapped modalities below which a window is left out.
    """

    folder: Path
    location: str
    study: str
    patient: str
    source: str
    spec: WindowSpec
    stride_s: int
    between_s: tuple[float, float] = (0.0, math.inf)
    need: tuple[Modality, ...] = ()
    channels: dict[str, str] = field(default_factory=dict)
    least_known: float = LEAST_KNOWN
    index_delay_s: float = BIS_DELAY_S
    site: str = ""
    device_seed: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """What the windows depend on; a WFDB header's data lie beside it and are not looked at."""
        return (Path(self.location),)


_LEFT_OUT: dict[str, str] = {m.value: NOT_WANTED for m in Modality if m not in (*MODEL_MODALITIES, Modality.RESP)}
"""Waves that no model reads: where they begin and end shall move no window."""


class LacksTracks(BadInput):
    """A recording without a modality that is needed."""

    def __init__(self, study: str, lacks: tuple[str, ...], has: tuple[str, ...]) -> None:
        self.lacks, self.has = lacks, has
        super().__init__(f"tracks for {', '.join(lacks)}", f"{', '.join(has) or 'none'} in {study}", "leave it out")


def cut_study(order: StudyOrder, mark: str = "") -> dict[str, object]:
    """Cuts and writes one recording; returns its index, ``mark`` as its fingerprint. Raises BadInput where it cannot be
    used, and why."""
    recording = open_recording(order.location)
    try:
        channels = mapped(recording, order)
        if order.device_seed is not None:
            heard = {c.track: m for m, c in channels.channels.items()}
            channels = mapped(OtherDevice(recording, heard, order.device_seed), order)
        begin_s, end_s = (t - channels.zero_s for t in order.between_s)
        arrays = recorded_windows(channels, order, max(begin_s, 0.0), min(end_s, channels.duration_s))
        facts = study_facts(order, channels, arrays) | {"fingerprint": mark}
    finally:
        recording.close()
    if not len(arrays["end_s"]):
        raise BadInput(
            f"a stretch of {order.spec.window_s} s with {order.least_known:.0%} of its frames measured",
            f"none in {channels.duration_s:.0f} s of {order.study}",
            "leave it out",
        )
    never = [m.value for m in order.need if not arrays["known"][:, order.spec.modalities.index(m)].any()]
    if never:
        raise BadInput(f"{', '.join(never)} in good quality for a frame", f"none in {order.study}", "leave it out")
    save_patient(order.folder, arrays, facts)
    return facts


def mapped(recording: Recording, order: StudyOrder) -> ChannelMap:
    """The channel map; raises LacksTracks for a modality that is needed and was not found."""
    names = [t.name for t in recording.tracks if t.kind is TrackKind.WAVE]
    lacks = tuple(m for m, track in order.channels.items() if track != NOT_WANTED and not _names(track, names))
    if lacks:
        raise LacksTracks(order.study, lacks, tuple(names))
    try:
        channels = map_channels(recording, _LEFT_OUT | order.channels)
    except BadInput as error:
        if order.channels:
            raise
        wanted = tuple(m.value for m in order.need or order.spec.modalities)
        raise LacksTracks(order.study, wanted, tuple(names)) from error
    lacks = tuple(m.value for m in order.need if m not in channels.channels)
    if lacks or not set(order.spec.modalities) & set(channels.channels):
        has = tuple(f"{m.value} ({c.track})" for m, c in channels.channels.items())
        raise LacksTracks(order.study, lacks or tuple(m.value for m in order.spec.modalities), has or tuple(names))
    return channels


def _names(wanted: str, tracks: list[str]) -> bool:
    try:
        find_track(wanted, tracks)
    except BadInput:
        return False
    return True


def recorded_windows(channels: ChannelMap, order: StudyOrder, begin_s: float, end_s: float) -> Arrays:
    """The arrays of :mod:`models.data.dataset` from seconds ``begin_s`` to ``end_s`` of the channel map's time.

    Windows lie within that part; their context reaches back to the recording's start.
    """
    spec = order.spec
    total_s = max(math.floor(min(end_s, LONGEST_S)), 0)
    rows = len(spec.modalities)
    grid = np.full((rows, total_s * GRID_RATE_HZ), np.nan, np.float32)
    cells = np.zeros((rows, total_s), np.bool_)
    history = np.full((total_s + 1, rows, len(CONTEXT_FIELDS)), np.nan, np.float32)
    mapped_rows = [i for i, m in enumerate(spec.modalities) if m in channels.channels]
    ends: list[int] = []
    signals, presence = [], []
    for window in cut_windows(channels, spec, 1, end_s=float(total_s)):
        end = window.end_s
        history[end] = window.context
        grid[:, (end - 1) * GRID_RATE_HZ : end * GRID_RATE_HZ] = window.signals[:, -GRID_RATE_HZ:]
        cells[:, end - 1] = window.cells[:, -1]
        if end % order.stride_s or end - spec.window_s < begin_s:
            continue
        if window.presence[mapped_rows].mean() < order.least_known:
            continue
        ends.append(end)
        signals.append(window.signals)
        presence.append(window.presence)
    measured = np.where(np.repeat(cells, GRID_RATE_HZ, axis=1), grid, np.float32(np.nan))
    known = np.asarray(presence, np.bool_).reshape(-1, rows, spec.frames)
    arrays: Arrays = {
        "signals": np.asarray(signals, np.float32).reshape(-1, rows, spec.samples),
        "presence": known,
        "known": known,
        "history": history,
        "end_s": np.array(ends, np.int64),
    }
    return arrays | window_labels(spec, measured, arrays["end_s"], known, float(total_s), index_track(channels), order)


def window_labels(
    spec: WindowSpec, measured: npt.NDArray[np.float32], end_s: npt.NDArray[np.int64], known: npt.NDArray[np.bool_],
    until_s: float, index: IndexTrack | None, order: StudyOrder,
) -> Arrays:  # fmt: skip
    """Labels from the signals of present cells [M, T · 100], NaN elsewhere; unknown ones are NaN."""
    row = {m: i for i, m in enumerate(spec.modalities)}
    count, at_s = len(end_s), end_s.astype(np.float64)
    starts = end_s[:, None] - spec.window_s + spec.frame_s * np.arange(spec.frames)
    nothing = np.full(measured.shape[1], np.nan, np.float32)
    track = pressure_track(measured[row[Modality.ABP]] if Modality.ABP in row else nothing)
    labels, now = labels_with_gaps(track, at_s, until_s)
    beats = find_r_times(measured[row[Modality.ECG]] if Modality.ECG in row else nothing)
    eeg = np.full((count, EEG_FEATURES), np.nan, np.float32)
    if Modality.EEG in row:
        samples = end_s[:, None] * GRID_RATE_HZ - spec.samples + np.arange(spec.samples)
        whole = np.flatnonzero(known[:, row[Modality.EEG]].all(-1))
        waves = held(measured[row[Modality.EEG]][samples[whole]])
        if len(whole):
            eeg[whole] = eeg_features(waves)
    depth = np.full(count, np.nan, np.float32) if index is None else depth_labels(index, at_s, order.index_delay_s)
    return {
        "pressures": frame_pressures(track, starts.ravel().astype(np.float64), spec.frame_s).reshape(
            count, spec.frames, 3
        ),
        "r_times": padded_times(beats, end_s - spec.window_s, spec.window_s),
        "eeg": eeg,
        "depth": depth,
        "hypotension": labels,
        "hypotensive_now": now,
    }


def held(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[W, L] with missing samples (at most 40 ms in a present cell) taken from the one before, or the one after."""
    last = np.maximum.accumulate(np.where(np.isnan(x), -1, np.arange(x.shape[-1])), axis=-1)
    filled = np.take_along_axis(x, np.maximum(last, 0), axis=-1)
    first = np.argmax(np.isfinite(x), axis=-1)
    return np.where(last < 0, np.take_along_axis(x, first[:, None], axis=-1), filled)


def index_track(channels: ChannelMap) -> IndexTrack | None:
    """BIS with its signal quality, where the recording has both."""
    names = {t.name for t in channels.recording.tracks if t.kind is TrackKind.NUMERIC}
    if not names.issuperset(INDEX_TRACKS):
        return None
    return IndexTrack(*channels.numerics(INDEX_TRACKS[0]), *channels.numerics(INDEX_TRACKS[1]))


def study_facts(order: StudyOrder, channels: ChannelMap, arrays: Arrays) -> dict[str, object]:
    """What ``index.json`` says of a study; times are seconds from the first sample of a mapped track."""
    known = arrays["known"]
    share = known.mean((0, 2)) if len(known) else np.zeros(len(order.spec.modalities))
    labels = {name: np.isfinite(arrays[name]) for name in ("hypotension", "depth", "eeg", "pressures")}
    return {
        "patient": order.patient, "study": order.study, "source": order.source, "simulated": False, "site": order.site,
        "device": ", ".join(sorted({c.track.rpartition("/")[0] or "unnamed" for c in channels.channels.values()})),
        "time_base": "seconds from the first sample of a mapped track", "zero_s": channels.zero_s,
        "duration_s": channels.duration_s, "left_off_s": max(channels.duration_s - LONGEST_S, 0.0),
        "stride_s": order.stride_s, "windows": len(arrays["end_s"]),
        "channels": {m.value: c.track for m, c in channels.channels.items() if m in order.spec.modalities},
        "unusable": dict(channels.unusable),
        "known": {m.value: round(float(s), 4) for m, s in zip(order.spec.modalities, share, strict=True)},
        "labelled": {name: round(float(v.mean()), 4) if v.size else 0.0 for name, v in labels.items()},
        "modalities": [m.value for m in order.spec.modalities], "index_delay_s": order.index_delay_s,
        "preprocessing": PREPROCESSING, "device_seed": order.device_seed,
    }  # fmt: skip
