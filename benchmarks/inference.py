"""The model alone: every backend, precision and batch that this machine has, beside the floor computed for it.

Each round runs every contender once on the same windows, so that whatever else the machine does meets all of them.
Windows are consecutive ones of the built-in patient, each bed with a gain of its own; copies in and out are included.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.offline import drive
from benchmarks.report import publish
from benchmarks.roofline import Peak, Work, floor_ms, launches_ms, measure_peak, work_of
from benchmarks.tables import machine, table
from models.data.simulator import open_demo
from models.runtime.backend import BUCKETS, Arrays, Backend, CountsKernels, Progress, RuntimeOptions
from models.runtime.buckets import portions
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.spec import CHOICE_INPUT, MEMORY_INPUT
from models.signals.channels import map_channels
from models.signals.errors import BackendFailed, BackendUnavailable, BadInput
from models.signals.install import install_hint

LEAST_ROUNDS = 5
AIMS = {1: "p50 ≤ 15 ms", 32: "≥ 150 windows/s, ≥ 300 with kept frames"}  # of ONNX Runtime on two cores
AIM_SPREAD = 5.0
TUNED_BATCH = 8
_WARM_HOPS = 4  # until all three rasters of frames are known


@dataclass(frozen=True, slots=True)
class Contender:
    """name: as in tables. kernels: in a launch on a GPU by bucket, where the backend says so."""

    name: str
    precision: str
    backend: Backend
    kernels: dict[int, int] = field(default_factory=dict)

    def launches(self, batch: int) -> int | None:
        """Kernels of one run of ``batch``, None where that is not known."""
        return sum(self.kernels[bucket] for _, bucket in portions(batch, list(self.kernels))) if self.kernels else None


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one batch, windows a second at the median, rounds timed."""

    name: str
    precision: str
    batch: int
    p50_ms: float
    p99_ms: float
    windows_per_s: float
    rounds: int
    floor_ms: float | None = None
    launches_ms: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """Batch 1: (slowest − fastest) / mean in per cent of the median times relative to the complete window's, over the
    subsets of sensors, and over as many groups of the complete window itself: so much of it is the machine's."""

    name: str
    precision: str
    masks: float
    null: float
    slowest: str


@dataclass(frozen=True, slots=True)
class Result:
    """All that was measured of one bundle on one machine; ``not_there``: backends that do not serve, and why."""

    machine: str
    bundle: str
    timings: list[Timing]
    spreads: list[Spread]
    peak: Peak
    work: Work | None
    devices: dict[str, str]
    not_there: dict[str, str] = field(default_factory=dict)


def measure(
    bundle: Bundle, *, backends: Sequence[str] = (), buckets: Sequence[int] = BUCKETS, seconds: float = 120.0,
    threads: int | None = None, progress: Progress = lambda _what, _share: None,
) -> Result:  # fmt: skip
    """Everything, in about ``seconds`` besides loading; ``backends``: these only, BadInput for an unknown one."""
    peak = measure_peak()
    try:
        work = work_of(bundle.model_path)
    except ImportError:
        work = None
    progress("loading", 0.0)
    contenders, absent = contenders_of(bundle, backends, threads, progress)
    stream = Stream(bundle)
    try:
        timings: list[Timing] = []
        for i, batch in enumerate(buckets):
            progress(f"batch {batch}", i / (len(buckets) + 1))
            timings += time_batch(contenders, stream, batch, 0.8 * seconds / len(buckets))
            peak = peak.better(measure_peak())
        progress("subsets of sensors", len(buckets) / (len(buckets) + 1))
        spreads = _spreads([c for c in contenders if "kept" not in c.name], stream, 0.2 * seconds)
    finally:
        for contender in contenders:
            contender.backend.close()
    peak = peak.better(measure_peak())
    floors = [_floored(timing, contenders, work, peak) for timing in timings]
    progress("done", 1.0)
    devices = {c.name: c.backend.info.detail for c in contenders}
    return Result(machine(), f"{bundle.spec.name} {bundle.fingerprint}", floors, spreads, peak, work, devices, absent)


def contenders_of(
    bundle: Bundle, names: Sequence[str], threads: int | None, progress: Progress = lambda _what, _share: None
) -> tuple[list[Contender], dict[str, str]]:
    """The backends of ``names`` (all if none) that can be had, opened, and why the others cannot."""
    from models.runtime.onnx_backend import OnnxBackend
    from models.runtime.select import CANDIDATES, REFERENCE

    if strange := sorted(set(names) - set(CANDIDATES)):
        raise BadInput(f"backends out of {', '.join(CANDIDATES)}", strange[0], "see `vigil doctor`")
    found: list[Contender] = []
    absent: dict[str, str] = {}
    for name in names or CANDIDATES:
        if name == REFERENCE:
            if bundle.spec.parts:
                kept = OnnxBackend(bundle.model_path, bundle.spec, threads)
                none = OnnxBackend(bundle.model_path, bundle.spec, threads, kept_frames=0)
                found += [Contender("onnx, frames kept", "fp32", kept), Contender("onnx", "fp32", none)]
            else:
                whole = OnnxBackend(bundle.model_path, bundle.spec, threads, whole=True)
                found.append(Contender("onnx", "fp32", whole))
            continue
        for precision in CANDIDATES[name].precisions:
            try:
                options = RuntimeOptions(threads=threads, precision=precision, progress=progress)
                found.append(open_contender(bundle, name, options))
            except (BackendUnavailable, BackendFailed) as error:
                if str(error) in absent.values():
                    continue
                absent[f"{name} {precision}" if any(c.name == name for c in found) else name] = str(error)
    if not found:
        raise BackendUnavailable("no backend can be had: " + "; ".join(absent.values()))
    return found, absent


def open_contender(bundle: Bundle, name: str, options: RuntimeOptions) -> Contender:
    """The backend ``name``, loaded and warm. Raises what its load and its first runs raise."""
    from models.runtime.select import CANDIDATES

    backend = CANDIDATES[name].load(bundle, options)
    try:
        backend.warm_up()
    except BackendFailed:
        backend.close()
        raise
    return Contender(name, backend.info.precision, backend, _kernels(backend))


def _kernels(backend: Backend) -> dict[int, int]:
    """By bucket; empty unless the backend knows them of every one."""
    if not isinstance(backend, CountsKernels) or backend.kernels.keys() != set(backend.buckets):
        return {}
    return backend.kernels


class Stream:
    """Windows of a minute, again and again, for any number of beds; frames of one bed are nobody else's."""

    def __init__(self, bundle: Bundle) -> None:
        spec, s = bundle.window_spec, bundle.spec
        patient = map_channels(open_demo(f"demo:seed=5,faults=off,duration={spec.window_s + 60}"))
        windows = [w for _, out in drive(patient, spec) for w in out.windows if w.presence.all()]
        self._signals = np.stack([w.signals for w in windows])
        self._context = np.stack([w.context for w in windows]).astype(np.float32)
        self._names = [m.value.lower() for m in spec.modalities]
        self._spec, self._samples = s, spec.frame_s * spec.rate_hz
        self.modalities = len(self._names)

    def inputs(self, hop: int, batch: int, rows: Sequence[int] | None = None) -> Arrays:
        """The windows of ``batch`` beds at this hop; ``rows``: only these modalities are present."""
        at = hop % len(self._signals)
        gains = (1.0 + 1e-3 * np.arange(batch, dtype=np.float32))[:, None]
        present = np.zeros((batch, self.modalities, self._spec.frames), np.bool_)
        present[:, range(self.modalities) if rows is None else list(rows)] = True
        arrays: Arrays = {}
        for row, name in enumerate(self._names):
            arrays[name] = self._signals[at, row] * gains
            if not present[0, row, 0]:
                arrays[name].fill(np.nan)
        arrays |= {"presence": present, "context": np.repeat(self._context[at : at + 1], batch, axis=0)}
        if len(self._spec.imputers) > 1:
            arrays[CHOICE_INPUT] = np.zeros(batch, np.bool_)
        if self._spec.memory:
            arrays[MEMORY_INPUT] = np.full((batch, self.modalities, self._spec.token_width), np.nan, np.float32)
        return arrays


def time_batch(contenders: Sequence[Contender], stream: Stream, batch: int, seconds: float) -> list[Timing]:
    """Each contender's times of a batch, in rounds for about ``seconds``, five rounds at least."""
    taken: list[list[float]] = [[] for _ in contenders]
    end, hop = time.perf_counter() + seconds, 0
    while hop < _WARM_HOPS + LEAST_ROUNDS or time.perf_counter() < end:
        inputs = stream.inputs(hop, batch)
        for i in _turn(len(contenders), hop):
            begin = time.perf_counter()
            contenders[i].backend.run(inputs)
            if hop >= _WARM_HOPS:
                taken[i].append(1e3 * (time.perf_counter() - begin))
        hop += 1
    found = []
    for c, times in zip(contenders, taken, strict=True):
        p50, p99 = (float(np.percentile(times, q)) for q in (50, 99))
        found.append(Timing(c.name, c.precision, batch, p50, p99, 1e3 * batch / p50, len(times)))
    return found


def _floored(timing: Timing, contenders: Sequence[Contender], work: Work | None, peak: Peak) -> Timing:
    """With the floor of this machine; where frames are kept there is less to compute than the graph has."""
    on_cpu = timing.name.partition(",")[0] in ("onnx", "torch") and "kept" not in timing.name
    launches = next(
        c.launches(timing.batch) for c in contenders if (c.name, c.precision) == (timing.name, timing.precision)
    )
    return replace(
        timing,
        floor_ms=floor_ms(work, peak, timing.batch) if work and on_cpu else None,
        launches_ms=launches_ms(launches) if launches else None,
    )


def _spreads(contenders: Sequence[Contender], stream: Stream, seconds: float) -> list[Spread]:
    every = range(stream.modalities)
    subsets = [rows for n in range(stream.modalities + 1) for rows in itertools.combinations(every, n)]
    masks = [stream.inputs(0, 1, rows) for rows in subsets]
    whole = stream.inputs(0, 1)
    taken: npt.NDArray[np.float64]
    rounds: list[npt.NDArray[np.float64]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < LEAST_ROUNDS or time.perf_counter() < end:
        taken = np.zeros((len(contenders), 3, len(masks)))
        for at in _turn(len(masks), len(rounds)):
            for i, contender in enumerate(contenders):
                for k, inputs in enumerate((masks[at], whole, whole)):
                    begin = time.perf_counter()
                    contender.backend.run(inputs)
                    taken[i, k, at] = 1e3 * (time.perf_counter() - begin)
        rounds.append(taken)
    every_round = np.stack(rounds)  # each beside the complete window a moment later, so that a slow spell cancels
    medians = np.median(every_round[:, :, [0, 2]] / every_round[:, :, 1:2], axis=0)
    found = []
    for contender, (by_mask, null) in zip(contenders, medians, strict=True):
        spread, noise = (100.0 * float(np.ptp(m) / m.mean()) for m in (by_mask, null))
        slowest = subsets[int(by_mask.argmax())]
        words = " ".join(stream._names[r].upper() for r in slowest) or "none"
        found.append(Spread(contender.name, contender.precision, spread, noise, words))
    return found


def _turn(count: int, at: int) -> list[int]:
    """Who comes first changes from round to round."""
    return [(i + at) % count for i in range(count)]


def tune(bundle: Bundle, seconds: float = 20.0) -> dict[int, float]:
    """Milliseconds of a batch of 8 in ONNX Runtime by number of threads, interleaved; every frame is computed."""
    from models.runtime.onnx_backend import OnnxBackend
    from models.runtime.threads import candidates

    counts = candidates()
    contenders = [
        Contender(f"onnx, {n} threads", "fp32", OnnxBackend(bundle.model_path, bundle.spec, n, kept_frames=0))
        for n in counts
    ]
    timings = time_batch(contenders, Stream(bundle), TUNED_BATCH, seconds)
    return {n: timing.p50_ms for n, timing in zip(counts, timings, strict=True)}


def fewest(taken: dict[int, float]) -> int:
    """The fewest threads within a tenth of the fastest: the rest of the cores is for the stream."""
    return min(n for n, ms in taken.items() if ms <= 1.1 * min(taken.values()))


def markdown(result: Result) -> str:
    """The result as tables."""
    rows: list[list[object]] = []
    for t in result.timings:
        floor = t.floor_ms if t.launches_ms is None else f"{t.launches_ms[0]:.3f}–{t.launches_ms[1]:.3f} (launches)"
        aim = AIMS.get(t.batch) if t.name.startswith("onnx") else None
        rows.append([t.name, t.precision, t.batch, t.p50_ms, t.p99_ms, round(t.windows_per_s), floor, t.rounds, aim])
    header = ["backend", "precision", "batch", "p50 (ms)", "p99 (ms)", "windows/s", "floor (ms)", "rounds", "aim"]
    parts = [f"## Inference: `{result.bundle}`, {result.machine}", "", table(header, rows), ""]
    if result.spreads:
        spreads = [[s.name, s.precision, s.masks, s.null, s.slowest, f"≤ {AIM_SPREAD:g} %"] for s in result.spreads]
        parts += [
            "Latency over the subsets of sensors at batch 1, interleaved with the complete window:", "",
            table(["backend", "precision", "spread (%)", "same mask (%)", "slowest", "aim"], spreads), "",
        ]  # fmt: skip
    work, peak = result.work, result.peak
    if work is None:
        parts.append(f"No floor: the package onnx is not installed ({install_hint('gpu')}).")
    else:
        parts.append(
            f"Floor: {work.flops / 1e6:.0f} MFLOP and {work.io_bytes / 1e6:.2f} MB a window, "
            f"{work.weight_bytes / 1e6:.1f} MB of weights a batch, {work.nodes} nodes; "
            f"this machine gives {peak.gflops:.0f} GFLOP/s and {peak.gbytes:.1f} GB/s."
        )
    parts += [f"- {name}: {detail}" for name, detail in result.devices.items()]
    parts += [f"- not here: {name}: {reason}" for name, reason in result.not_there.items()]
    return "\n".join(parts)


def report(result: Result, out: Path | None) -> None:
    """Prints the tables and, with ``out``, writes them there and the figures beside them as JSON."""
    publish(markdown(result), out, asdict(result))


def main(argv: list[str]) -> int:
    """Measures and writes the tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks inference", description=__doc__)
    parser.add_argument("--bundle", type=Path, help="default: the shipped demo model")
    parser.add_argument("--backend", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--batch", type=int, action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--seconds", type=float, default=120.0, help="to measure for, about (default 120)")
    parser.add_argument("--threads", type=int, help="of CPU backends (default: two at most)")
    parser.add_argument("--tune", action="store_true", help="first choose the threads by measurement, and keep them")
    parser.add_argument("--out", type=Path, help="Markdown; the figures go beside it as JSON")
    o = parser.parse_args(argv)
    run(o.bundle, o.backend, o.batch, o.seconds, o.threads, o.out, tuned=o.tune)
    return 0


def run(
    bundle: Path | None, backends: Sequence[str], batches: Sequence[int], seconds: float, threads: int | None,
    out: Path | None, *, tuned: bool = False,
) -> None:  # fmt: skip
    """Measures with a progress bar on the error stream, and reports. ``tuned``: first chooses the number of threads and
    keeps it for `vigil run`."""
    from rich.console import Console

    from monitor.bars import progress_bar

    if any(batch < 1 for batch in batches) or seconds <= 0 or (threads is not None and threads < 1):
        raise BadInput("batches, seconds and threads above 0", "less", "leave the option out")
    opened = load_bundle(bundle)
    console = Console(stderr=True)
    with progress_bar("threads" if tuned else "loading", console) as progress:
        if tuned:
            from models.runtime.threads import choice_path, keep_threads

            taken = tune(opened)
            threads = fewest(taken)
            try:
                keep_threads(threads)
            except OSError as error:
                raise BadInput(
                    "a user cache folder that can be written", f"{choice_path()} ({error})", "free it"
                ) from error
            found = ", ".join(f"{n}: {ms:.1f} ms" for n, ms in taken.items())
            console.print(f"threads of a batch of {TUNED_BATCH}: {found}; {threads} from now on")
        result = measure(
            opened, backends=backends, buckets=tuple(batches) or BUCKETS, seconds=seconds, threads=threads,
            progress=progress,
        )  # fmt: skip
    report(result, out)
