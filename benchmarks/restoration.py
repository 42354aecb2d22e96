"""Hidden arterial pressure on a real recording: the model's estimate beside hold and the anchored delay regression.

The pressure is withheld for a stretch, again and again with measured stretches between, and the estimate of mean
pressure is compared with what was withheld:

- *hold*: the last measured level;
- *delay regression*: level + slope · (R-to-PPG delay now − delay when last measured), the slope fitted on the ten
  minutes before (both are fields of ``context``, so all three see the same past);
- *model*: the bundle's own estimate, as the display would show it.

Beat timing: upstrokes of the restored wave, appended second by second as on the screen, against those of the
withheld wave (F1 at ±100 ms), beside a template that puts an upstroke one last-known delay after each R peak.

With ``--tables DIR`` also, for MAP, SBP and DBP: bias ± SD with repeated-measures limits of agreement, four-quadrant
trending, coverage of the intervals (Markdown, CSV) and Bland–Altman plots (PNG).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.offline import drive
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.data.labels import PressureTrack, frame_pressures, pressure_track
from models.evaluation.delay_regression import delay_regression
from models.evaluation.real_gaps import PRESSURES, HiddenSeconds, agreement_rows, plot_agreement, trend_rows
from models.runtime.bundle import load_bundle
from models.runtime.engine import Engine
from models.runtime.select import select_engine
from models.signals.beats import r_peaks, upstrokes
from models.signals.channels import ChannelMap, map_channels
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.readers.opener import open_recording
from models.signals.windows import CONTEXT_FIELDS
from streams.restored import amended

TOLERANCE_S = 0.1
LEAD_S = 120  # measured seconds before the first hidden stretch
BETWEEN_S = 60  # measured seconds between two
MAP_SPAN_S = 5
FRAME_S = 3
F = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
Floats = npt.NDArray[np.float64]


@dataclass
class Truth:
    """What was withheld: the pressure on the grid (NaN where absent or artefact) and its upstrokes in seconds."""

    wave: Floats
    upstrokes_s: Floats
    r_peaks_s: Floats
    track: PressureTrack

    def pressures_at(self, second: int) -> Floats:
        """MAP, SBP, DBP of the newest frame's beats [3]; MAP as :meth:`map_at`, NaN unless all of it was measured."""
        span = slice((second - MAP_SPAN_S) * GRID_RATE_HZ, second * GRID_RATE_HZ)
        if not np.isfinite(self.wave[span]).all():
            return np.full(3, np.nan)
        beats = frame_pressures(self.track, np.array([float(second - FRAME_S)]), FRAME_S)[0].astype(np.float64)
        return np.array([self.map_at(second), beats[1], beats[2]])

    def last_measured(self, second: int, span_s: int = 60) -> Floats:
        """Median MAP, SBP, DBP over the minute before ``second``: what a clinician remembers, flushes left out."""
        rows = np.array([self.pressures_at(s) for s in range(max(MAP_SPAN_S, second - span_s + 1), second + 1)])
        known = rows[np.isfinite(rows).all(1)]
        return np.median(known, axis=0) if len(known) else np.full(3, np.nan)

    def map_at(self, second: int) -> float:
        """Mean over the last seconds up to ``second``; NaN unless all of it was measured."""
        return float(self.wave[(second - MAP_SPAN_S) * GRID_RATE_HZ : second * GRID_RATE_HZ].mean())


@dataclass
class Hidden:
    """Errors over the hidden seconds of one gap length, by method, and beat counts."""

    errors: dict[str, list[float]] = field(default_factory=lambda: {"hold": [], "delay": [], "model": []})
    last: dict[str, list[float]] = field(default_factory=lambda: {"hold": [], "delay": [], "model": []})
    covered: list[bool] = field(default_factory=list)
    hits: dict[str, Floats] = field(default_factory=lambda: {"model": np.zeros(3), "template": np.zeros(3)})
    offsets_s: list[float] = field(default_factory=list)
    gaps: int = 0
    refused: int = 0
    seconds: HiddenSeconds = field(default_factory=lambda: HiddenSeconds(0.0))


def main(argv: list[str]) -> int:
    """Hides the arterial pressure of a recording and writes the tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks restoration", description=__doc__)
    parser.add_argument("source", help="a recording with ECG, PPG and ABP")
    parser.add_argument("--gaps", type=int, nargs="+", default=[30, 60, 180, 300, 600], help="seconds")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--imputer", default="auto", help="restoration, selfmask, or the bundle's own")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tables", type=Path, help="folder for agreement, trends and plots")
    options = parser.parse_args(argv)
    channels = map_channels(open_recording(options.source))
    engine = select_engine(load_bundle(options.bundle), imputer=options.imputer).engine
    truth = _truth(channels, engine)
    results = {gap: _hide(channels, engine, truth, gap) for gap in options.gaps}
    if options.tables is not None:
        write_agreement([r.seconds for r in results.values()], options.tables, channels.recording.name, engine.model)
    publish(_report(channels.recording.name, engine.model, results), options.out)
    return 0


def _truth(channels: ChannelMap, engine: Engine) -> Truth:
    length = (int(channels.duration_s) + 2) * GRID_RATE_HZ
    wave, ecg = np.full(length, np.nan), np.full(length, np.nan)
    for pipeline, output in drive(channels, engine.window_spec):
        for cell in output.cells:
            here = slice(cell.second * GRID_RATE_HZ, (cell.second + 1) * GRID_RATE_HZ)
            for modality, into in ((Modality.ABP, wave), (Modality.ECG, ecg)):
                if cell.absence.get(modality, "absent") is None:
                    into[here] = pipeline.grid(modality, here.start, here.stop)
    beats, peaks = _beats(wave, lambda x: upstrokes(x, kind="ABP")), _beats(ecg, r_peaks)
    return Truth(wave, beats, peaks, pressure_track(wave.astype(np.float32)))


def _beats(x: Floats, detect: Callable[[Floats], Floats], block_s: int = 10) -> Floats:
    """Beats of a long signal in seconds, found in overlapping blocks as in the live path."""
    found: list[float] = []
    step, margin = block_s * GRID_RATE_HZ, 2 * GRID_RATE_HZ
    for start in range(0, len(x), step):
        first = max(0, start - margin)
        at = first + detect(x[first : start + step + margin])
        found.extend(at[(at >= start) & (at < start + step)] / GRID_RATE_HZ)
    return np.array(found)


def _hide(channels: ChannelMap, engine: Engine, truth: Truth, gap_s: int) -> Hidden:
    end = int(channels.duration_s)
    starts = range(LEAD_S, end - gap_s, gap_s + max(BETWEEN_S, gap_s // 2))
    ranges = [(float(start), float(start + gap_s)) for start in starts]
    result = Hidden(gaps=len(ranges), seconds=HiddenSeconds(float(gap_s), len(ranges)))
    remembered = {r: truth.last_measured(int(r[0])) for r in ranges}
    # SBP and DBP of hold and of the regression keep their distance to MAP as last measured.
    apart_before = {r: pressures - pressures[0] for r, pressures in remembered.items()}
    shown = np.full(len(truth.wave), np.nan)
    template: list[float] = []
    for _, output in drive(channels, engine.window_spec, {Modality.ABP: ranges}):
        for window in output.windows:
            inside = next((r for r in ranges if r[0] < window.end_s <= r[1]), None)
            if inside is None and not engine.remembers:
                continue
            (prediction,) = engine.predict([window], [gap_s])  # every window: the memory is of the measured ones
            if inside is None:
                continue
            row = engine.window_spec.modalities.index(Modality.ABP)
            abp, ppg = window.context[row], window.context[engine.window_spec.modalities.index(Modality.PPG)]
            for wave in prediction.restored:
                if wave.modality is Modality.ABP:
                    first = wave.first_index + wave.amends
                    before = slice(wave.first_index, first)
                    shown[before] = amended(shown[before], wave.values[: wave.amends])
                    shown[first : wave.first_index + len(wave.values)] = wave.values[wave.amends :]
            beats = truth.r_peaks_s[(truth.r_peaks_s >= window.end_s - 1) & (truth.r_peaks_s < window.end_s)]
            if np.isfinite(abp[F["own_delay_s"]]):
                template.extend(beats + float(abp[F["own_delay_s"]]))
            true = truth.map_at(window.end_s)
            if not np.isfinite(true) or not np.isfinite(abp[F["level"]]):
                continue
            if prediction.pressures is None:
                result.refused += 1
                result.seconds.refused += 1
                continue
            held = float(abp[F["level"]])
            estimate = prediction.pressures["map"]
            values = {"hold": held, "delay": float(delay_regression(abp, ppg)), "model": estimate.value}
            for name, value in values.items():
                result.errors[name].append(value - true)
                if window.end_s > inside[1] - 10:
                    result.last[name].append(value - true)
            result.covered.append(estimate.lo <= true <= estimate.hi)
            given = [prediction.pressures[name] for name in PRESSURES]
            apart = apart_before[inside]
            result.seconds.add(
                ranges.index(inside), window.end_s, window.end_s - inside[0], truth.pressures_at(window.end_s).tolist(),
                {"hold": (held + apart).tolist(), "delay regression": (values["delay"] + apart).tolist(),
                 "model": [e.value for e in given]},
                [(e.lo, e.hi) for e in given],
            )  # fmt: skip
    engine.forget(gap_s)
    hidden = np.isfinite(shown)
    found = _beats(shown, lambda x: upstrokes(x, kind="ABP"))
    for a, b in ranges:
        inside_truth = truth.upstrokes_s[(truth.upstrokes_s >= a) & (truth.upstrokes_s < b)]
        inside_truth = inside_truth[hidden[(inside_truth * GRID_RATE_HZ).astype(int)]]
        for name, beats in (("model", found), ("template", np.array(template))):
            mine = beats[(beats >= a) & (beats < b)] if len(beats) else beats
            counts, offsets = _match(mine, inside_truth)
            result.hits[name] += counts
            if name == "model":
                result.offsets_s.extend(offsets)
    return result


def _match(found: Floats, truth: Floats) -> tuple[Floats, list[float]]:
    """(matched, found, true) counts, each true beat matched at most once, and the offsets of the matches."""
    offsets = []
    used = np.zeros(len(found), bool)
    for beat in truth:
        free = np.flatnonzero(~used & (np.abs(found - beat) <= TOLERANCE_S))
        if len(free):
            best = free[np.argmin(np.abs(found[free] - beat))]
            used[best] = True
            offsets.append(float(found[best] - beat))
    return np.array([used.sum(), len(found), len(truth)], float), offsets


def _f1(counts: Floats) -> float | None:
    return float(2 * counts[0] / (counts[1] + counts[2])) if counts[1] + counts[2] else None


def _report(name: str, model: str, results: dict[int, Hidden]) -> str:
    pressure, timing = [], []
    for gap, r in results.items():
        mean = {m: float(np.abs(e).mean()) if e else None for m, e in r.errors.items()}
        last = {m: float(np.abs(e).mean()) if e else None for m, e in r.last.items()}
        bias = f"{np.mean(r.errors['model']):+.1f} ± {np.std(r.errors['model']):.1f}" if r.errors["model"] else None
        covered = f"{100 * np.mean(r.covered):.0f} %" if r.covered else None
        pressure.append(
            [gap, r.gaps, mean["hold"], mean["delay"], mean["model"], last["hold"], last["delay"], last["model"], bias,
             covered, r.refused]
        )  # fmt: skip
        offset = f"{1000 * np.median(r.offsets_s):+.0f} ms" if r.offsets_s else None
        timing.append([gap, int(r.hits["model"][2]), _f1(r.hits["model"]), offset, _f1(r.hits["template"])])
    return "\n".join(
        [
            f"## Hidden arterial pressure: `{name}`, {model}, {machine()}",
            "",
            "Mean absolute error of mean pressure in mmHg, over all hidden seconds and over the last ten of each gap; "
            "the intervals should cover 80 %.",
            "",
            table(
                ["hidden (s)", "gaps", "hold", "delay regr.", "model", "hold, end", "delay, end", "model, end",
                 "model bias ± SD", "covered", "seconds not estimable"],
                pressure,
            ),
            "",
            "Beats within ±100 ms of the withheld wave's upstrokes.",
            "",
            table(["hidden (s)", "beats", "model F1", "model offset", "R + last delay F1"], timing),
        ]
    )  # fmt: skip


def write_agreement(hidden: list[HiddenSeconds], out: Path, recording: str, model: str) -> None:
    """Tables of agreement and trends, and a Bland–Altman plot of MAP for the longest gap."""
    from models.evaluation.pressure_agreement import EXCLUSION_MMHG, bland_altman
    from models.evaluation.report import write_table

    note = (
        f"One recorded patient ({recording}), never tuned on; {model}. ABP withheld again and again; every hidden "
        "second counts. One patient gives no interval over patients: the gaps are the repeated measures."
    )
    columns = {
        "gap_s": "hidden (s)", "pressure": "pressure", "method": "method", "gaps": "gaps", "seconds": "seconds",
        "bias": "bias", "sd": "SD", "lower": "lower limit", "upper": "upper limit", "mae": "MAE",
        "mae_last_10_s": "MAE, last 10 s", "covered_80": "covered (80 %)",
    }  # fmt: skip
    title = "Withheld pressure of a real operation: agreement (mmHg)"
    write_table(agreement_rows(hidden), columns, out, "real_agreement", title, note)
    columns = {
        "gap_s": "hidden (s)", "method": "method", "changes": "changes", "counted": "counted",
        "concordance": "concordance", "correlation": "correlation", "slope": "slope",
    }  # fmt: skip
    said = f"{note} Changes of MAP over a minute; left out where both stay within {EXCLUSION_MMHG:g} mmHg."
    write_table(trend_rows(hidden), columns, out, "real_trend", "Withheld pressure of a real operation: trends", said)
    for part in hidden:
        estimate, truth = part.pair("model", "map")
        if len(estimate) > 1:
            found = bland_altman(estimate, truth, part.gap)
            title = f"MAP hidden for {part.gap_s:.0f} s: model against measurement"
            name = f"real_bland_altman_{part.gap_s:.0f}s"
            plot_agreement(estimate, truth, found.bias, (found.lower, found.upper), out, name, title, note)
