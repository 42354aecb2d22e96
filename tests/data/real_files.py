"""Small recordings in the formats of the real data sets, with waves that pass for a patient's."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import edfio
import numpy as np
import numpy.typing as npt

from models.data.simulator import SimulatedPatient, simulate_patient
from tests.signals.recording_files import VitalWave, blocks_of, write_vital

VITALDB = {
    "SIM/ECG_II": "SNUADC/ECG_II",
    "SIM/ART": "SNUADC/ART",
    "SIM/PLETH": "SNUADC/PLETH",
    "SIM/EEG1": "BIS/EEG1_WAV",
}


@cache
def patient(seed: int = 3, duration_s: int = 150) -> SimulatedPatient:
    return simulate_patient(seed, duration_s=float(duration_s), faults=False)


def write_case(
    path: Path,
    seed: int = 3,
    duration_s: int = 150,
    leave_out: Sequence[str] = (),
    abp_gap: tuple[int, int] | None = None,
) -> Path:
    """A VitalDB case: the four waves, BIS = 80 − t/5 once a second, its quality 90 until 100 s and 40 afterwards.

    abp_gap: seconds without pressure.
    """
    made = patient(seed, duration_s)
    waves = {}
    for track in made.tracks:
        name = VITALDB.get(track.name)
        if name is None or name in leave_out:
            continue
        values = made.read(track.name, 0.0, float(duration_s)).values
        rate = int(track.rate_hz or 0)
        gap = (abp_gap[0] * rate, abp_gap[1] * rate) if abp_gap and name.endswith("ART") else None
        waves[name] = VitalWave(rate, track.unit if track.unit != "au" else "", blocks_of(values, rate, rate, gap))
    bis = [(float(t), 80.0 - t / 5) for t in range(duration_s)]
    sqi = [(float(t), 90.0 if t <= 100 else 40.0) for t in range(duration_s)]
    return write_vital(path, waves, {"BIS/BIS": bis, "BIS/SQI": sqi})


CASES = "caseid,subjectid,casestart,caseend,anestart,aneend,age,sex,optype,opname,ane_type"


def write_tables(folder: Path, rows: Sequence[str], tracks: Sequence[tuple[int, str]] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.csv").write_text("\n".join([CASES, *rows, ""]), encoding="utf-8-sig")  # the server sends a mark
    if tracks is not None:
        lines = [f"{case},{name},{n:040x}" for n, (case, name) in enumerate(tracks)]
        (folder / "trks.csv").write_text("\n".join(["caseid,tname,tid", *lines, ""]), encoding="utf-8-sig")


def lead_waves(seconds: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """[3, T · 100] of plausible leads in µV: noise of 1/f, each its own."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 6.0, (3, seconds * 100))
    out = np.empty_like(steps)
    level = np.zeros(3)
    for i in range(steps.shape[1]):
        level = 0.95 * level + steps[:, i]
        out[:, i] = level
    return out


def write_night(
    folder: Path, study: str, stages: Sequence[tuple[float, float, str]], seconds: int, *, seed: int = 0,
    hypnogram_starts_later_s: int = 0, labels: Sequence[str] = ("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal"),
    flat_from_s: int | None = None,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """``SC4ssNE0-PSG.edf`` with its hypnogram (onset, duration, text); returns the waves as digitised, [3, T · 100].

    flat_from_s: the second lead does not move from there on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waves = np.clip(lead_waves(seconds, seed), -190, 190)
    if flat_from_s is not None:
        waves[1, flat_from_s * 100 :] = 0.0
    signals = [
        edfio.EdfSignal(
            w, 100, label=name, physical_dimension="uV", physical_range=(-192, 192), digital_range=(-2048, 2047)
        )
        for w, name in zip(waves, labels, strict=True)
    ]
    slow = edfio.EdfSignal(
        np.full(seconds, 37.0), 1, label="Temp rectal", physical_dimension="DegC", physical_range=(34, 40)
    )
    day = datetime.date(1989, 4, 24)
    start = datetime.datetime(1989, 4, 24, 16, 13, 0)
    about = edfio.Recording(startdate=day)
    edfio.Edf([*signals, slow], recording=about, starttime=start.time(), data_record_duration=10).write(
        folder / f"{study}E0-PSG.edf"
    )
    later = (start + datetime.timedelta(seconds=hypnogram_starts_later_s)).time()
    notes = [edfio.EdfAnnotation(onset, duration, text) for onset, duration, text in stages]
    edfio.Edf([], recording=about, starttime=later, annotations=notes).write(folder / f"{study}EC-Hypnogram.edf")
    return np.stack([s.data for s in signals])
