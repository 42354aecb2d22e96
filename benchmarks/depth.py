"""Depth of anaesthesia: the model and openibis beside the truth, beside BIS, and over time. Neither is BIS.

Three questions. On simulated patients, whose depth is known: how far is each from it, with the EEG that the shipped
model learnt from and with the one that is made for the next (``models/data/sim/eeg.py``). On recordings with BIS beside
an EEG: how far is each from BIS, beside the best constant, which is the median of that BIS itself. On a recording of
an induction: does each fall through the loss of consciousness, at ``--event``.

What is judged is what the live path says, second by second: unknown is unknown, and counts as not shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.offline import drive
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.data.generate import HELD_OUT_DEVICE
from models.data.sim.eeg import SHIPPED_SPECTRA, SPECTRA
from models.data.simulator import simulate_patient
from models.evaluation.report import COLOURS, plot
from models.runtime.bundle import load_bundle
from models.runtime.engine import Engine
from models.runtime.select import select_engine
from models.signals.channels import ChannelMap, map_channels
from models.signals.depth_opinion import depth_opinion
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.recording import Recording, TrackKind
from models.signals.windows import Window
from streams.vitals.monitor import VitalsMonitor

FIRST_SEED = 9_700_000  # of patients that nothing was fitted on
SIMULATED_S = 900
SCENARIOS = (None, "induction", "deep", "decoupled")  # in turn, so that all depths are met; None is drawn
BATCH = 32
SPAN_S = 30  # of the EEG that both opinions look back on: the truth is its mean
BIS_NAMES = ("BIS", "EEG_BIS")
BANDS = ((0, 30), (30, 40), (40, 50), (50, 60), (60, 80), (80, 100))

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Course:
    """Second by second, NaN where unknown: depth by the model and by openibis, and what either may be judged by (true
    depth, or BIS). known: seconds in which the EEG was measured; uncertain: in which the screen marks the depth."""

    name: str
    model: Floats
    rule: Floats
    reference: Floats
    known: npt.NDArray[np.bool_]
    uncertain: npt.NDArray[np.bool_]

    @property
    def said(self) -> dict[str, Floats]:
        """What each says, and the mean where both do."""
        return {"model": self.model, "openibis": self.rule}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of what was said with a reference: seconds, mean error, its SD, mean absolute error and correlation; share: of
    the seconds with a reference that were said anything of."""

    seconds: int
    share: float
    bias: float
    sd: float
    mae: float
    r: float


def agreement(said: Floats, reference: Floats) -> Agreement:
    """Over the seconds in which both are known; NaN where there are none, and for the r of a constant."""
    both = np.isfinite(said) & np.isfinite(reference)
    nan = float("nan")
    if not both.any():
        return Agreement(0, 0.0, nan, nan, nan, nan)
    error, x, y = (said - reference)[both], said[both], reference[both]
    r = float(np.corrcoef(x, y)[0, 1]) if x.std() > 1e-9 and y.std() > 1e-9 else nan
    share = float(both.sum() / np.isfinite(reference).sum())
    return Agreement(int(both.sum()), share, float(error.mean()), float(error.std()), float(np.abs(error).mean()), r)


def course(channels: ChannelMap, engine: Engine, reference: Floats, name: str) -> Course:
    """A recording through the pipeline of the live stream, numerics and model; reference: [seconds], as in Course."""
    count = len(reference)
    model, rule = np.full(count, np.nan), np.full(count, np.nan)
    known, uncertain = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    bsr: dict[int, float | None] = {}
    muscle: dict[int, float | None] = {}
    monitor = VitalsMonitor()
    waiting: list[Window] = []
    for pipeline, output in drive(channels, engine.window_spec):
        for cell in output.cells:
            measured = {m: output.states.get(m, "absent") is None for m in channels.channels}
            vitals = monitor.update(
                cell.second + 1, pipeline.grid, measured, cell.findings, cell.absence, pipeline.native
            )
            if cell.second < count:
                known[cell.second] = measured.get(Modality.EEG, False)
                rule[cell.second] = np.nan if vitals.openibis is None else vitals.openibis
                bsr[cell.second], muscle[cell.second] = vitals.bsr, vitals.emg_db
        waiting += output.windows
        if len(waiting) >= BATCH:
            _predict(engine, waiting, model, name)
            waiting = []
    _predict(engine, waiting, model, name)
    model[~known] = np.nan  # as on the screen: depth goes with the EEG
    for second in np.flatnonzero(known).tolist():
        one = None if np.isnan(model[second]) else float(model[second])
        other = None if np.isnan(rule[second]) else float(rule[second])
        opinion = depth_opinion(one, other, bsr=bsr[second], emg_db=muscle[second])
        uncertain[second] = opinion is not None and opinion.uncertain
    return Course(name, model, rule, reference, known, uncertain)


def _predict(engine: Engine, windows: list[Window], model: Floats, name: str) -> None:
    predictions = engine.predict(windows, keys=[name] * len(windows)) if windows else []
    for said in predictions:
        if said.valid and said.depth is not None and 1 <= said.window_end_s <= len(model):
            model[said.window_end_s - 1] = said.depth.value


def simulated(engine: Engine, count: int, spectra: int) -> Iterator[Course]:
    """Patients of the device that training has not met; the truth is the mean of the last 30 s of depth."""
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        scenario = SCENARIOS[seed % len(SCENARIOS)]
        patient = simulate_patient(
            seed, scenario=scenario, duration_s=SIMULATED_S, device=HELD_OUT_DEVICE, spectra=spectra
        )
        depth = np.asarray(patient.truth.depth, np.float64)
        mean = np.convolve(depth, np.full(SPAN_S, 1.0 / SPAN_S), "full")[: len(depth)]
        mean[:SPAN_S] = np.nan
        yield course(map_channels(patient), engine, mean, f"simulated {seed}")
        print(f"\rspectra {spectra}: {seed - FIRST_SEED + 1} patients", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def recorded(engine: Engine, source: str) -> tuple[Course, str | None]:
    """A recording, and the name of its BIS where it has one. Without an EEG nothing is said of it."""
    recording = open_recording(source)
    channels = map_channels(recording)
    track = bis_track(recording)
    reference = np.full(int(channels.duration_s) + 1, np.nan)
    if track is not None:
        times, values = channels.numerics(track)
        good = np.isfinite(values) & (values > 0) & (values <= 100)
        at = np.round(times[good]).astype(int) - 1
        inside = (at >= 0) & (at < len(reference))
        reference[at[inside]] = values[good][inside]
    if Modality.EEG not in channels.channels:
        nothing, never = np.full(len(reference), np.nan), np.zeros(len(reference), np.bool_)
        return Course(recording.name, nothing, nothing, reference, never, never), track
    return course(channels, engine, reference, recording.name), track


def bis_track(recording: Recording) -> str | None:
    """The numeric that is a BIS, of any device."""
    numerics = [t.name for t in recording.tracks if t.kind is TrackKind.NUMERIC]
    return next((name for name in numerics if name.rpartition("/")[2].upper() in BIS_NAMES), None)


def agreement_rows(courses: Sequence[Course], what: str) -> list[list[object]]:
    """A row for each opinion, and one for the best constant: the median of the reference itself, a flattered null."""
    reference = np.concatenate([c.reference for c in courses])
    said = {name: np.concatenate([c.said[name] for c in courses]) for name in courses[0].said}
    said["constant (its median)"] = np.full(len(reference), np.nanmedian(reference))
    rows: list[list[object]] = []
    for name, values in said.items():
        a = agreement(values, reference)
        r = None if np.isnan(a.r) else f"{a.r:.2f}"
        figures = (f"{a.bias:+.1f} ± {a.sd:.1f}", f"{a.mae:.1f}", r) if a.seconds else (None, None, None)
        rows.append([what, name, a.seconds, f"{100 * a.share:.0f} %", *figures])
    return rows


def band_rows(courses: Sequence[Course], spectra: int) -> list[list[object]]:
    """Mean error of each opinion by the true depth."""
    truth = np.concatenate([c.reference for c in courses])
    rows: list[list[object]] = []
    for low, high in BANDS:
        inside = (truth >= low) & (truth < high)
        errors = [np.concatenate([c.said[n] for c in courses])[inside] - truth[inside] for n in courses[0].said]
        told = [f"{np.nanmean(e):+.1f} ± {np.nanstd(e):.1f}" if np.isfinite(e).any() else None for e in errors]
        patients = sum(bool(((c.reference >= low) & (c.reference < high)).any()) for c in courses)
        rows.append([spectra, f"{low}–{high}", patients, int(inside.sum()), *told])
    return rows


def fall_rows(one: Course, event_s: float) -> list[list[object]]:
    """Each opinion before the event, at it and at the end: means of the last 30 s before each, and the first second
    from which it stays below 60."""
    rows: list[list[object]] = []
    for name, said in one.said.items():
        seconds = np.flatnonzero(np.isfinite(said))
        if not len(seconds):
            rows.append([name, *[None] * 5])
            continue
        early = said[: max(1, int(event_s) - 60)]
        before = f"{np.nanmean(early):.0f} ± {np.nanstd(early):.1f}" if np.isfinite(early).any() else None
        at = np.nanmean(said[int(event_s) - 5 : int(event_s) + 5])
        above = seconds[said[seconds] >= 60.0]
        below = int(above[-1]) + 1 - event_s if len(above) and above[-1] < seconds[-1] else None
        fell = np.nanmean(early) - said[seconds[-1]] if before is not None else None
        rows.append([name, before, f"{at:.0f}", f"{said[seconds[-1]]:.0f}", f"{fell:.0f}" if fell else None,
                     None if below is None else f"{below:+.0f} s"])  # fmt: skip
    return rows


def draw(one: Course, event_s: float | None, folder: Path, name: str) -> None:
    """Both opinions over time, and where the screen calls them uncertain."""
    note = (
        f"{one.name}: what the live path says of this EEG, second by second. Depth 0–100, not BIS. Shaded: the two"
        " differ by more than 15, or muscle or silence makes both doubtful, and the screen says UNCERTAIN."
    )
    seconds = np.arange(len(one.model))
    with plot(folder, name, "Depth of anaesthesia: two opinions", note, (7.2, 3.6)) as axis:
        axis.fill_between(seconds, 0, 100, where=one.uncertain, color="#f2d9a8", linewidth=0, step="mid")
        for (label, said), colour in zip(one.said.items(), COLOURS, strict=False):
            axis.plot(seconds, said, color=colour, linewidth=1.4, label=label)
        if np.isfinite(one.reference).any():
            axis.plot(seconds, one.reference, color="#555555", linewidth=0.9, label="BIS")
        if event_s is not None:
            axis.axvline(event_s, color="#333333", linewidth=0.8, linestyle="--")
            axis.text(event_s + 2, 97, "loss of consciousness", fontsize=7, va="top")
        axis.set_ylim(0, 100)
        axis.set_xlabel("time (s)")
        axis.set_ylabel("depth")
        axis.legend(frameon=False, fontsize=8, loc="lower left")


def main(argv: list[str]) -> int:
    """Measures and writes the tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks depth", description=__doc__)
    parser.add_argument("sources", nargs="*", help="recordings with an EEG, with or without BIS")
    parser.add_argument("--event", type=float, help="seconds at which consciousness was lost in the first recording")
    parser.add_argument("--simulated", type=int, default=12, help="simulated patients of each kind (default: 12)")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--picture", type=Path, help="draw the first recording's depth over time (PNG)")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    engine = select_engine(load_bundle(options.bundle)).engine
    parts = [f"## Depth of anaesthesia, not BIS: {engine.model}, {machine()}"]
    try:
        if options.simulated:
            parts += _simulated_part({k: list(simulated(engine, options.simulated, k)) for k in SPECTRA})
        found = [recorded(engine, source) for source in options.sources]
    finally:
        engine.close()
    for number, (one, track) in enumerate(found):
        parts += _recorded_part(one, track, options.event if number == 0 else None)
    if options.picture is not None and found:
        draw(found[0][0], options.event, options.picture.parent, options.picture.stem)
    publish("\n\n".join(parts), options.out)
    return 0


def _simulated_part(courses: dict[int, list[Course]]) -> list[str]:
    first = next(iter(courses.values()))
    header = ["spectra", "by", "seconds", "shown", "error", "MAE", "r"]
    rows = [row for spectra, of in courses.items() for row in agreement_rows(of, str(spectra))]
    bands = [row for spectra, of in courses.items() for row in band_rows(of, spectra)]
    uncertain = ", ".join(
        f"{spectra}: {100 * sum(c.uncertain.sum() for c in of) / max(1, sum(c.known.sum() for c in of)):.0f} %"
        for spectra, of in courses.items()
    )
    return [
        "### Simulated patients, against their true depth",
        f"{len(first)} patients of {SIMULATED_S // 60} min, seeds from {FIRST_SEED}; scenarios drawn, induction, deep"
        " and decoupled in turn; sensor faults drawn; the device that training has not met. The model learnt from"
        f" spectra {SHIPPED_SPECTRA}; spectra 2 are refitted, on other patients, so that openibis reads the depth. The"
        " constant is the median of these very seconds.",
        table(header, rows),
        f"Marked UNCERTAIN on the screen, of the seconds with an EEG, spectra {uncertain}.",
        table(["spectra", "true depth", "patients", "seconds", "model − truth", "openibis − truth"], bands),
    ]


def _recorded_part(one: Course, track: str | None, event_s: float | None) -> list[str]:
    said = [f"### `{one.name}`"]
    if not one.known.any():
        said.append("No EEG wave: neither opinion has anything to say.")
    if track is not None and np.isfinite(one.reference).any():
        header = ["against", "by", "seconds", "shown", "error", "MAE", "r"]
        said.append(table(header, agreement_rows([one], track)))
    elif one.known.any():
        said.append("No BIS beside the EEG: nothing to be right against.")
    if event_s is not None and one.known.any():
        header = ["by", "until 1 min before", "at the loss", "at the end", "fall", "below 60 for good, from the loss"]
        said.append(table(header, fall_rows(one, event_s)))
        share = 100 * one.uncertain.sum() / one.known.sum()
        said.append(f"Marked UNCERTAIN: {share:.0f} % of the seconds with an EEG.")
    return said
