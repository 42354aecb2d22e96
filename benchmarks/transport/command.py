"""The embedded transport beside what could stand in its place: messages a second, and how late they come, by size.

Carriers, each with sender and reader in one event loop of one process: ``asyncio.Queue``, Vigil's hub alone, the same
under Faust as Vigil runs it (``embedded://``), ezmsg where it is installed (``pip install -e '.[peers]'``), and,
where ``--broker kafka://HOST:PORT`` names a broker, Kafka by aiokafka and by the same Faust app. What is not measured
is named, with why.

They do not do the same. A queue forgets a message when it has handed it over. The hub keeps it: for more than one
reader, from any offset, in partitions, and a Faust app commits how far it is. Kafka keeps it on disk too, for other
processes. ezmsg hands an object to any number of readers, and keeps it until the slowest has it.

Messages a second: a closed loop, as many under way as given in the table's heading. Delay: an open loop
(:mod:`benchmarks.open_loop`), timed from when a message was due; what the sender itself was late is part of it and told
beside. Sizes: 100 bytes, a real tick (50 ms of the built-in patient's four channels, encoded), 1.5 kB,
16 kB and 256 kB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.tables import machine, short, table
from benchmarks.transport.broker import check_broker
from benchmarks.transport.inside import MOST_UNDER_WAY, Open, embedded, hub_alone, queue
from benchmarks.transport.measure import Delays, StoodStill, delays, flood
from benchmarks.transport.outside import OnKafka, ezmsg

SIZES = (100, 0, 1_500, 16_384, 262_144)
"""0: a tick's."""
MOST_BYTES_S = 16e6


@dataclass(frozen=True, slots=True)
class CarrierFigures:
    """Of one carrier at one size, the median of all repeats. rate_hz: at which the delays were taken."""

    carrier: str
    size: int
    flood_s: float | None
    rate_hz: float
    p50_ms: float | None
    p99_ms: float | None
    most_ms: float | None
    sender_p99_ms: float | None
    lost: int


def main(argv: list[str]) -> int:
    """Measures every carrier at every size and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks transport", description=__doc__)
    parser.add_argument("--broker", help="kafka://HOST:PORT; without, Kafka is left out, and the result says so")
    parser.add_argument("--rate", type=float, default=500.0, help="messages a second of the delays (25 beds: 500)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of delays, and of a flood half as many")
    parser.add_argument("--warm", type=float, default=1.0, help="seconds before, not counted")
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many is told")
    parser.add_argument("--size", type=int, action="append", help="bytes; 0: those of a tick")
    parser.add_argument("--note", default="", help="a sentence for the result, e.g. what else the machine did")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    check_broker(options.broker)
    carriers, missing = carriers_here(options.broker)
    tick = tick_bytes()
    found = []
    for size in options.size or SIZES:
        filler = tick if size == 0 else bytes(size)
        rate_hz = min(options.rate, MOST_BYTES_S / len(filler))
        for name, carrier in carriers.items():
            print(f"{name}, {len(filler)} bytes …", file=sys.stderr, flush=True)
            found.append(_measured(name, carrier, filler, rate_hz, options.seconds, options.warm, options.repeats))
    publish(
        _text(found, missing, len(tick), options.seconds, options.warm, options.repeats, options.note),
        options.out,
        {"carriers": [asdict(one) for one in found], "missing": missing, "tick_bytes": len(tick)},
        draw=lambda path: _draw(path, found),
    )
    return 0


def carriers_here(broker: str | None) -> tuple[dict[str, Open], dict[str, str]]:
    """Those that can be measured, and of the others why not."""
    carriers: dict[str, Open] = {"asyncio.Queue": queue, "embedded hub alone": hub_alone, "embedded://": embedded}
    missing = {}
    if find_spec("ezmsg") is not None:
        carriers["ezmsg"] = ezmsg
    else:
        missing["ezmsg"] = "not installed (pip install -e '.[peers]')"
    if broker is None:
        missing["Kafka"] = "no --broker was named"
    else:
        kafka = OnKafka(broker)
        carriers |= {"Kafka, aiokafka": kafka.aiokafka, "Kafka, Vigil's": kafka.faust}
    return carriers, missing


def tick_bytes() -> bytes:
    """A tick of the built-in patient as it goes over the wire: ECG 500 Hz, ABP and PPG 125, EEG 128."""
    from benchmarks.pipelines.script import ticks_of
    from streams.codec import encode

    return encode(ticks_of("Bed 1", 1, 2)[20])


def _measured(
    name: str, carrier: Open, filler: bytes, rate_hz: float, seconds: float, warm_s: float, repeats: int
) -> CarrierFigures:
    floods: list[float | None] = []
    late: list[Delays] = []
    for _ in range(repeats):
        late.append(delays(carrier, filler, rate_hz, seconds, warm_s))
        try:
            floods.append(flood(carrier, filler, seconds / 2, warm_s))
        except StoodStill:
            floods.append(None)
    return CarrierFigures(
        name,
        len(filler),
        _median(floods),
        rate_hz,
        _median([one.came.p50_ms for one in late]),
        _median([one.came.p99_ms for one in late]),
        _median([one.came.most_ms for one in late]),
        _median([one.sent.p99_ms for one in late]),
        sum(one.came.lost for one in late),
    )


def _median(values: Sequence[float | None]) -> float | None:
    """None where one of them is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known and len(known) == len(values) else None


def _text(
    found: list[CarrierFigures],
    missing: dict[str, str],
    tick: int,
    seconds: float,
    warm_s: float,
    repeats: int,
    note: str,
) -> str:
    header = ["carrier", "bytes", "messages/s", "MB/s", "due per second", "p50 (ms)", "p99", "max", "sender late p99",
              "lost"]  # fmt: skip
    rows: list[list[Any]] = []
    for one in found:
        megabytes = None if one.flood_s is None else one.flood_s * one.size / 1e6
        figures = map(short, (one.flood_s, megabytes, one.rate_hz, one.p50_ms, one.p99_ms, one.most_ms))
        rows.append([one.carrier, one.size, *figures, short(one.sender_p99_ms), one.lost])
    said = [f"{name}: {why}." for name, why in missing.items()]
    return "\n".join(
        [
            f"## The transport beside its alternatives, {machine()}",
            "",
            f"Messages/s: a closed loop with {MOST_UNDER_WAY} under way, {seconds / 2:g} s after {warm_s:g} s of "
            f"warm-up. Delays: an open loop, from when a message was due to when its reader had it, {seconds:g} s "
            f"after {warm_s:g} s of warm-up that is sent and not counted; what the sender was late is in it. Each "
            f"figure is the median of {repeats} {'runs' if repeats > 1 else 'run'}. {tick} bytes are a tick of the "
            "built-in patient." + (f" {note}" if note else ""),
            "",
            table(header, rows),
            "",
            "Sender and reader share one event loop in one process; Kafka's broker is a process beside it. The queue "
            "forgets what it has handed over; the hub keeps it for every reader, offset and partition; under Faust the "
            "reader commits how far it is; Kafka keeps it on disk; ezmsg hands over the object itself, at most 32 at a "
            "time. From 16 kB on a message fills a batch of aiokafka's producer, of which one is under way at a time. "
            "To make a message is in all figures: at 256 kB that is what the first ones consist of.",
            *(["", "Not measured: " + " ".join(said)] if said else []),
        ]
    )


def _draw(path: Path, found: list[CarrierFigures]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(one.carrier for one in found):
        mine = [one for one in found if one.carrier == name]
        sizes = [one.size for one in mine]
        left.plot(sizes, [one.flood_s or float("nan") for one in mine], marker="o", label=name)
        right.plot(sizes, [one.p99_ms or float("nan") for one in mine], marker="o", label=name)
    left.set_ylabel("messages a second, closed loop")
    right.set_ylabel("p99 of the delay (ms), open loop")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("bytes")
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path)
