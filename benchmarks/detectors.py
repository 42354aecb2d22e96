"""The beat detectors beside two libraries, by kind of signal.

Truth: where beats are known (paced ECG made in code) the beats; in recordings, which have no annotated beats, the
pulses of ABP or else PPG in stretches of 20 s where these are regular (SD of the intervals under 8 % of the mean), at
the best constant delay. The reference is chosen without the ECG, so noisy ones are among them. A beat matches within
±150 ms. ``rate``: share of the stretches in which the averaging rule of the heart rate, from the ECG alone, gives a
number within 2/min of the same rule on the reference; ``wrong``: in which it gives another. Records in which pacer
spikes can be seen are a kind of their own.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.paced import Pacing, paced_ecg
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.signals.beats import complexes, qrs_complexes, upstrokes
from models.signals.channels import map_channels
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.readers.opener import open_recording
from models.signals.resample import Resampler
from models.signals.times import SECOND_NS
from streams.vitals.heart import DOUBTFUL, averaged_rate

Floats = npt.NDArray[np.float64]
Found = tuple[Floats, bool]
"""Beats in seconds, and whether there are deflections that look like none."""

STRETCH_S, EDGE_S = 20, 0.5
REGULAR, LEAST_PULSES = 0.08, 10
WITHIN_S, RATE_WITHIN = 0.15, 2.0
DELAYS_S = np.arange(-0.30, 0.70, 0.01)
LIBRARY_HZ = 250.0

PACED = frozenset(
    """
    a715l a754s a776s a807l b285l b286s b494s b495l b497l b553l b554s b722s b757l b841l f493l f572s t496s v329l
    v585l v611l v615l v660s v808s v830s v836s p1_00617 p1_00622 p1_00626 p1_00629 p1_00635 p1_00643 p1_00647
    p1_00656 p2_00238 p2_00240 p2_00243 p2_00245 p2_00321 p2_00323 p2_00325 p2_00329 p2_00732 p2_00735 p2_00737
    p3_01805 p3_01817 p3_01819
    """.split()  # noqa: SIM905
)
"""Records of the Challenge 2015 and of UCI's MIMIC-II set in which pacer spikes can be seen."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """ECG at ``rate_hz`` and on the grid, its reference beats in seconds from its begin; ``kind``: row of the table."""

    kind: str
    ecg: Floats
    rate_hz: float
    grid: Floats
    beats_s: Floats


@dataclass(slots=True)
class Tally:
    """What a detector found, beside the beats that are known."""

    matched: int = 0
    beats: int = 0
    found: int = 0
    near: int = 0
    wrong: int = 0
    stretches: int = 0

    def add(self, stretch: Stretch, found_s: Floats, doubtful: bool) -> None:
        """One stretch, with the beats found in it [k] s, and whether the detector calls it doubtful."""
        truth = stretch.beats_s
        inside = (found_s > EDGE_S) & (found_s < STRETCH_S - EDGE_S)
        matched, delay_s = best_match(found_s, truth)
        known = (truth - delay_s > EDGE_S) & (truth - delay_s < STRETCH_S - EDGE_S)
        self.matched += int(np.count_nonzero(matched & known))
        self.beats += int(np.count_nonzero(known))
        # A beat near the edge may belong to a pulse beyond it: it counts neither way.
        hits = matches(found_s[inside], truth - delay_s)
        first, last = truth[0] - delay_s - WITHIN_S, truth[-1] - delay_s + WITHIN_S
        judged = (found_s[inside] >= first) & (found_s[inside] <= last)
        self.found += int(np.count_nonzero(judged))
        self._hits += int(np.count_nonzero(hits & judged))
        wanted, got = averaged_rate(np.diff(truth)), averaged_rate(np.diff(found_s), doubtful)
        near = wanted is not None and got is not None and abs(wanted - got) <= RATE_WITHIN
        self.near += near
        self.wrong += got is not None and not near
        self.stretches += 1

    _hits: int = 0

    @property
    def row(self) -> list[object]:
        """Cells of the table, in percent."""
        return [
            f"{100 * self.matched / max(self.beats, 1):.1f}",
            f"{100 * self._hits / max(self.found, 1):.1f}",
            f"{100 * self.near / max(self.stretches, 1):.1f}",
            f"{100 * self.wrong / max(self.stretches, 1):.1f}",
        ]


def matches(these_s: Floats, those_s: Floats) -> npt.NDArray[np.bool_]:
    """Which of ``these_s`` have one of ``those_s`` within ±150 ms that is nearest to no other of them."""
    if not len(these_s) or not len(those_s):
        return np.zeros(len(these_s), dtype=bool)
    nearest = np.abs(these_s[:, None] - those_s[None, :]).argmin(axis=1)
    distance = np.abs(these_s - those_s[nearest])
    taken = np.zeros(len(those_s), dtype=bool)
    hit = np.zeros(len(these_s), dtype=bool)
    for i in np.argsort(distance, kind="stable").tolist():
        if distance[i] <= WITHIN_S and not taken[nearest[i]]:
            hit[i] = taken[nearest[i]] = True
    return hit


def best_match(found_s: Floats, truth_s: Floats) -> tuple[npt.NDArray[np.bool_], float]:
    """Which of the reference beats are found, at the constant delay of the reference that suits the detector best."""
    if not len(found_s):
        return np.zeros(len(truth_s), dtype=bool), 0.0
    distance = np.abs(truth_s[:, None, None] - DELAYS_S - found_s[None, :, None]).min(axis=1)
    cost = np.minimum(distance, WITHIN_S).sum(axis=0)
    delay_s = float(DELAYS_S[int(cost.argmin())])
    return matches(truth_s - delay_s, found_s), delay_s


def recorded(folder: Path, every: int, name: str) -> Iterator[Stretch]:
    """The stretches of the WFDB records of a folder (every n-th) that have regular pulses."""
    for i, header in enumerate(sorted(folder.glob("*.hea"))):
        if header.stem in PACED or i % every == 0:
            kind = "pacer spikes seen" if header.stem in PACED else name
            yield from stretches_of(header, kind)


def stretches_of(source: Path, kind: str) -> Iterator[Stretch]:
    """Those of a recording with regular pulses, each with the pulses as its beats."""
    channels = map_channels(open_recording(str(source)))
    pulse = next((m for m in (Modality.ABP, Modality.PPG) if m in channels.channels), None)
    if pulse is None or Modality.ECG not in channels.channels:
        return
    ecg = channels.channels[Modality.ECG]
    for begin_s in range(0, int(channels.duration_s) - STRETCH_S + 1, STRETCH_S):
        grids = {}
        for modality in (Modality.ECG, pulse):
            channel = channels.channels[modality]
            around = channels.read(modality, (begin_s - 1) * SECOND_NS, (begin_s + STRETCH_S + 1) * SECOND_NS)
            first_g = begin_s * GRID_RATE_HZ
            resampler = Resampler(channel.rate_hz, channel.origin_ns)
            last_g = first_g + STRETCH_S * GRID_RATE_HZ
            grids[modality] = resampler(around.values, around.first_index, first_g, last_g).astype(np.float64)
        beats_s = upstrokes(grids[pulse], GRID_RATE_HZ, pulse.value) / GRID_RATE_HZ  # type: ignore[arg-type]
        intervals = np.diff(beats_s)
        native = channels.read(Modality.ECG, begin_s * SECOND_NS, (begin_s + STRETCH_S) * SECOND_NS).values
        whole = len(native) > 0.95 * STRETCH_S * ecg.rate_hz and bool(np.isfinite(native).all())
        if whole and len(beats_s) >= LEAST_PULSES and float(intervals.std()) < REGULAR * float(intervals.mean()):
            yield Stretch(kind, native.astype(np.float64), ecg.rate_hz, grids[Modality.ECG], beats_s)


def made(seeds: int) -> Iterator[Stretch]:
    """Paced ECG of every kind, and one that is not paced."""
    cases = [(mode, height, low_pass, rate) for mode in ("A", "V", "AV") for height in (0.7, 3.0, 8.0, -3.0)
             for low_pass in (150.0, 40.0) for rate in (100.0, 125.0, 250.0, 500.0)]  # fmt: skip
    cases += [("none", 0.0, 150.0, rate) for rate in (100.0, 125.0, 250.0, 500.0)]
    for mode, height, low_pass, rate_hz in cases:
        for seed in range(seeds):
            av_s, per_min = ((0.12, 72.0), (0.16, 60.0), (0.22, 72.0), (0.28, 88.0))[seed % 4]
            pacing = Pacing(mode, per_min, av_s, height, low_pass_hz=low_pass, irregular=0.02)  # type: ignore[arg-type]
            ecg = paced_ecg(STRETCH_S + 1, rate_hz, pacing, seed)
            count = STRETCH_S * GRID_RATE_HZ
            grid = Resampler(rate_hz)(ecg.values, 0, 0, count).astype(np.float64)
            native = ecg.values[: int(STRETCH_S * rate_hz)].astype(np.float64)
            kind = "made, not paced" if mode == "none" else f"made, {mode} paced, {low_pass:.0f} Hz"
            yield Stretch(kind, native, rate_hz, grid, ecg.beats_s[ecg.beats_s < STRETCH_S])


def live(grid: Floats, detect: Callable[[Floats], tuple[Floats, int]]) -> Found:
    """Beats in seconds of a detector that sees ten seconds at a time, as the stream does; the middle of each counts."""
    found, strange = [], 0
    for begin_s in (0, 5, 10):
        beats, unlike = detect(grid[begin_s * GRID_RATE_HZ : (begin_s + 10) * GRID_RATE_HZ])
        beats, strange = beats / GRID_RATE_HZ, max(strange, unlike)
        low, high = (0.0 if begin_s == 0 else 2.5), (10.0 if begin_s == 10 else 7.5)
        found.append(begin_s + beats[(beats >= low) & (beats < high)])
    joined = np.concatenate(found)
    return joined[np.diff(joined, prepend=-1.0) > 0.15], strange >= DOUBTFUL


def detectors(libraries: bool) -> tuple[dict[str, Callable[[Stretch], Found]], list[str]]:
    """By name; and what is missing."""
    mine: dict[str, Callable[[Stretch], Found]] = {
        "`r_peaks`": lambda s: live(s.grid, qrs_complexes),
        "`complexes`": lambda s: live(s.grid, lambda x: (complexes(x)[0], 0)),
    }
    missing = []
    if not libraries:
        return mine, []
    try:
        import wfdb
        from wfdb.processing import XQRS

        def xqrs(s: Stretch) -> Found:
            detector = XQRS(sig=_at_library_rate(s), fs=LIBRARY_HZ)
            detector.detect(verbose=False)
            return np.asarray(detector.qrs_inds, dtype=np.float64) / LIBRARY_HZ, False

        mine[f"wfdb {wfdb.__version__} XQRS"] = xqrs
    except ImportError:
        missing.append("wfdb")
    try:
        import neurokit2

        def neurokit(s: Stretch) -> Found:
            cleaned = neurokit2.ecg_clean(_at_library_rate(s), sampling_rate=int(LIBRARY_HZ))
            found = neurokit2.ecg_findpeaks(cleaned, sampling_rate=int(LIBRARY_HZ))["ECG_R_Peaks"]
            return np.asarray(found, dtype=np.float64) / LIBRARY_HZ, False

        mine[f"neurokit2 {neurokit2.__version__}"] = neurokit
    except ImportError:
        missing.append("neurokit2")
    return mine, missing


def _at_library_rate(s: Stretch) -> Floats:
    """The libraries are at their best at 250 Hz: other rates are resampled by Fourier's method."""
    from scipy.signal import resample

    wanted = round(STRETCH_S * LIBRARY_HZ)
    return s.ecg if s.rate_hz == LIBRARY_HZ and len(s.ecg) == wanted else np.asarray(resample(s.ecg, wanted))


def tallies(stretches: Iterator[Stretch], detect: dict[str, Callable[[Stretch], Found]]) -> dict[str, dict[str, Tally]]:
    """By kind of signal and detector."""
    found: dict[str, dict[str, Tally]] = {}
    for stretch in stretches:
        row = found.setdefault(stretch.kind, {name: Tally() for name in detect})
        for name, detector in detect.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    beats, doubtful = detector(stretch)
                except (ValueError, IndexError, ZeroDivisionError):  # a library on a flat line
                    beats, doubtful = np.empty(0), False
            row[name].add(stretch, beats, doubtful)
    return found


def main(argv: list[str]) -> int:
    """``python -m benchmarks detectors``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks detectors", description=__doc__)
    parser.add_argument("sources", type=Path, nargs="*", help="folders of WFDB records, or recordings")
    parser.add_argument("--every", type=int, default=1, help="take every n-th record of a folder")
    parser.add_argument("--made", type=int, default=4, help="paced ECGs made of each kind (default 4)")
    parser.add_argument("--no-libraries", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    detect, missing = detectors(not options.no_libraries)

    def stretches() -> Iterator[Stretch]:
        yield from made(options.made)
        for source in options.sources:
            yield from (
                recorded(source, options.every, source.name) if source.is_dir() else stretches_of(source, source.name)
            )

    found = tallies(stretches(), detect)
    rows = [
        [kind, row[name].stretches, row[name].beats, name, *row[name].row]
        for kind, row in found.items()
        for name in row
    ]
    header = [
        "kind",
        "stretches",
        "beats",
        "detector",
        "sensitivity (%)",
        "positive predictivity (%)",
        "rate (%)",
        "wrong (%)",
    ]
    words = f"## Beat detectors, {machine()}\n\n{table(header, rows)}"
    if missing:
        words += f"\n\nNot installed here, so left out: {', '.join(missing)}."
    publish(words, options.out)
    return 0
