"""Our vitals beside a recording's own monitor numerics.

Monitors average and report late, so one constant lag of up to 4 s is allowed, the same for all rows of a numeric, and
reported. Aims: mean pressure within 3 mmHg at 98 %, heart rate within 2 /min at 95 % of the seconds both exist.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.offline import drive
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.signals.channels import ChannelMap, map_channels
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.recording import TrackKind
from models.signals.windows import WindowSpec
from streams.vitals.monitor import Vitals, VitalsMonitor

MAX_LAG_S = 4
WAVE_OF = {
    "abp_map": Modality.ABP, "abp_sys": Modality.ABP, "abp_dia": Modality.ABP, "hr": Modality.ECG,
    "pulse_rate": Modality.PPG,
}  # fmt: skip
"""The wave that each of our numerics comes from."""
REFERENCES = {
    # our field: (names of the monitor's numeric after the device, tolerance, aim in per cent or None)
    "abp_map": (("ABP_MEAN", "ART_MBP", "ART_MEAN"), 3.0, 98.0),
    "abp_sys": (("ABP_SYS", "ART_SBP", "ART_SYS"), 5.0, None),
    "abp_dia": (("ABP_DIA", "ART_DBP", "ART_DIA"), 5.0, None),
    "hr": (("HR", "ECG_HR"), 2.0, 95.0),
    "pulse_rate": (("PLETH_HR", "PLETH_PR"), 2.0, None),
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Share of seconds (per cent) within tolerance at the best lag; bias and SD of ours − theirs there."""

    field: str
    track: str
    seconds: int
    lag_s: int
    within: float
    bias: float
    sd: float
    unmatched: int


def vitals_of(channels: ChannelMap) -> list[Vitals]:
    """Our numerics, one a second, through the live path's pipeline."""
    monitor, found = VitalsMonitor(), []
    for pipeline, output in drive(channels, WindowSpec()):
        for cell in output.cells:
            measured = {m: output.states.get(m, "absent") is None for m in channels.channels}
            found.append(monitor.update(cell.second + 1, pipeline.grid, measured, cell.findings, cell.absence))
    return found


def agreements(channels: ChannelMap) -> list[Agreement]:
    """Agreement with each reference numeric that the recording has."""
    ours = vitals_of(channels)
    seconds = np.array([v.second for v in ours])
    numerics = [t.name for t in channels.recording.tracks if t.kind is TrackKind.NUMERIC]
    result = []
    for name, (aliases, tolerance, _) in REFERENCES.items():
        wave = channels.channels.get(WAVE_OF[name])
        track = reference_track(numerics, aliases, wave.track if wave is not None else "")
        if track is None:
            continue
        values = np.array([np.nan if (v := getattr(one, name)) is None else v for one in ours])
        result.append(_agreement(name, track, seconds, values, *channels.numerics(track), tolerance))
    return result


def reference_track(numerics: Sequence[str], aliases: Sequence[str], wave: str) -> str | None:
    """The numeric to compare with: the monitor's own, which is the device that the wave comes from.

    Where that device has none (VitalDB: waves of a converter, numbers of the monitor beside it) it is the device with
    most of the numerics that are compared here: a monitor has several, a cardiac output computer one of the same name.
    Among a device's own the first of ``aliases``.
    """
    known = {alias for names, _, _ in REFERENCES.values() for alias in names}
    shared = Counter(device for device, short in map(_split, numerics) if short in known)
    found = [name for name in numerics if _split(name)[1] in aliases]

    def rank(name: str) -> tuple[bool, int, int]:
        device, short = _split(name)
        return device != _split(wave)[0], -shared[device], aliases.index(short)

    return min(found, key=rank, default=None)


def _split(name: str) -> tuple[str, str]:
    device, _, short = name.rpartition("/")
    return device, short


def _agreement(
    name: str,
    track: str,
    seconds: npt.NDArray[np.int64],
    ours: npt.NDArray[np.float64],
    times_s: npt.NDArray[np.float64],
    theirs: npt.NDArray[np.float64],
    tolerance: float,
) -> Agreement:
    """The monitor's value at t describes our time t − lag; values that the monitor did not give (≤ 0) are left out."""
    best: Agreement | None = None
    valid = np.isfinite(theirs) & (theirs > 0)
    for lag in range(MAX_LAG_S + 1):
        index = np.round(times_s - lag).astype(int) - int(seconds[0])
        inside = valid & (index >= 0) & (index < len(ours))
        difference = ours[index[inside]] - theirs[inside]
        both = np.isfinite(difference)
        difference = difference[both]
        if len(difference) == 0:
            continue
        within = 100 * float((np.abs(difference) <= tolerance).mean())
        if best is None or within > best.within:
            best = Agreement(
                name, track, len(difference), lag, within, float(difference.mean()), float(difference.std()),
                int((~both).sum()),
            )  # fmt: skip
    return best or Agreement(name, track, 0, 0, float("nan"), float("nan"), float("nan"), int(valid.sum()))


def main(argv: list[str]) -> int:
    """Compares vitals with the recording's numerics and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks numerics", description=__doc__)
    parser.add_argument("source", help="a recording with the monitor's own numerics")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    channels = map_channels(open_recording(options.source))
    rows = []
    for a in agreements(channels):
        _, tolerance, aim = REFERENCES[a.field]
        met = None if aim is None else ("met" if a.within >= aim else "MISSED")
        rows.append(
            [a.field, a.track, a.seconds, a.lag_s, f"{a.within:.1f} % within {tolerance:g}",
             f"{a.bias:+.2f} ± {a.sd:.2f}",
             a.unmatched, aim and f"{aim:g} %", met]
        )  # fmt: skip
    header = ["ours", "the monitor's", "seconds", "lag (s)", "agreement", "bias ± SD", "only theirs", "aim", ""]
    text = f"## Numerics: `{channels.recording.name}`, {machine()}\n\n{table(header, rows)}"
    publish(text, options.out)
    return 0
