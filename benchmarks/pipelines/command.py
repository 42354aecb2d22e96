"""The same patients and the same model through Vigil, through other frameworks and through a bare loop.

Every pipeline gets the same ticks at the same times (``benchmarks/pipelines/script.py``: 4 channels of built-in
patients, 50 ms a tick), does the same work by the same code (Vigil's windower of each bed, the shipped model once a
second of each bed) and hands ticks and predictions to a sink. How each is set up, and what it leaves undone, is in the
result. Frameworks run where they are installed (``pip install -e '.[peers]'``), those on Kafka where
``--broker kafka://HOST:PORT`` names one; what is left out is named, with why.

It is an open loop at real time (:mod:`benchmarks.open_loop`): a tick is due when its last sample is, whatever became of
those before; what a pipeline is late is counted from there, and ``--warm`` seconds before are played and not counted.

- *sample → out*: from the due time of a tick's last sample until the sink has the tick.
- *window → prediction*: from the due time of a window's end until the sink has what the model says of it. No pipeline
  can have it sooner than the tick that follows, by which the windower knows that the second is whole.
- *CPU*: of all processes of the pipeline, user and system, by second of a bed; a Kafka's own is not in it.
- *lost*: due, and not with the sink a second after the last was due.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.pipelines.measure import LOADS_S, TrialResult, measure
from benchmarks.pipelines.peers import PEERS, chosen
from benchmarks.report import publish
from benchmarks.tables import machine, short, table
from benchmarks.transport.broker import check_broker

ELSEWHERE = (
    ("beats of ECG", "wfdb's XQRS, neurokit2", "detectors"),
    ("a lost arterial pressure", "hold, an anchored delay regression", "restoration"),
    ("every estimate, subset by subset of sensors", "hold, an anchored delay regression", "estimates"),
    ("depth of anaesthesia", "openibis, BIS, the best constant", "depth"),
    ("hypotension ahead", "openvital's network, the pressure alone", "pressure_history"),
    ("numerics", "the monitor's own", "numerics"),
    ("arrhythmia alarms", "experts' verdicts, the Challenge 2015's best entry", "alarms"),
    ("imputers", "every simpler one, the published methods", "models"),
    ("the display", "pyqtgraph, mne-lsl's viewer", "display"),
    ("the transport", "asyncio.Queue, ezmsg, Kafka", "transport"),
)
"""What is measured beside others, beside whom, and by which benchmark."""


def main(argv: list[str]) -> int:
    """Tries every pipeline with every number of beds and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pipelines", description=__doc__)
    parser.add_argument("--beds", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=int, default=30, help="that are counted")
    parser.add_argument("--warm", type=int, default=10, help="seconds before, played and not counted")
    parser.add_argument("--loads", type=float, default=LOADS_S, help="seconds for each to load before it begins")
    parser.add_argument("--peer", action="append", help=f"one of {', '.join(PEERS)}; default: all")
    parser.add_argument("--broker", help="kafka://HOST:PORT, for those that need one")
    parser.add_argument("--note", default="", help="a sentence for the result, e.g. what else the machine did")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    check_broker(options.broker)
    names, missing = chosen(options.peer, options.broker)
    found = []
    for beds in options.beds:
        for name in names:
            print(f"{name}, {beds} bed{'s' if beds > 1 else ''} …", file=sys.stderr, flush=True)
            found.append(measure(name, beds, options.seconds, options.warm, options.broker, options.loads))
    publish(
        text_of(found, missing, options.seconds, options.warm, options.note),
        options.out,
        {"trials": [asdict(one) for one in found], "missing": missing},
    )
    return 0


def text_of(found: Sequence[TrialResult], missing: Mapping[str, str], seconds: int, warm_s: int, note: str = "") -> str:
    """The result in Markdown. missing: pipeline -> why it was not tried."""
    header = ["pipeline", "beds", "CPU (ms a second of a bed)", "sample → out p50 (ms)", "p99",
              "window → prediction p50 (ms)", "p99", "ticks lost", "predictions missing", "of"]  # fmt: skip
    rows: list[list[Any]] = [
        [
            one.peer, one.beds, short(one.cpu_ms), short(one.ticks.p50_ms), short(one.ticks.p99_ms),
            short(one.windows.p50_ms), short(one.windows.p99_ms), one.ticks.lost, one.windows.lost, one.windows.due,
        ]
        for one in found
    ]  # fmt: skip
    failed = [
        f"- {one.peer}, beds {one.beds}: did not go through ({_one_line(one.failed)})." for one in found if one.failed
    ]
    left_out = [f"- {name}: {why}." for name, why in missing.items()]
    tried = dict.fromkeys(one.peer for one in found)
    return "\n".join(
        [
            f"## The same beds and model through other pipelines: {seconds} s at real time, {machine()}",
            "",
            f"An open loop: every tick is timed from when its last sample was due, {warm_s} s before are played and "
            "not counted. All do the same signal work by Vigil's windower and run the same model on the CPU; the bare "
            "loop is what that costs by itself." + (f" {note}" if note else ""),
            "",
            table(header, rows),
            *(["", "Failed:", "", *failed] if failed else []),
            *(["", "Not measured:", "", *left_out] if left_out else []),
            "",
            "### How each was set up, and what it leaves undone",
            "",
            table(["pipeline", "set up", "beside Vigil's"], [[n, PEERS[n].set_up, PEERS[n].lacks] for n in tried]),
            "",
            "Quality, presence, numerics and rhythm are the windower's, so every pipeline has them here.",
            "",
            "### Measured beside others elsewhere",
            "",
            table(["what", "beside", "command"], [[w, b, f"`python -m benchmarks {c}`"] for w, b, c in ELSEWHERE]),
        ]
    )


def _one_line(words: str) -> str:
    return " ".join(words.split())[-300:].replace("|", "/")
