"""``python -m benchmarks NAME [options]``: each benchmark prints Markdown and, with ``--out``, writes it too."""

from __future__ import annotations

import importlib
import sys

from models.signals.errors import BackendUnavailable, BadInput, VigilError

BENCHMARKS = {
    "latency": "sample → screen, window → prediction and first wave of the built-in patient at real time",
    "soak": "memory and losses over a long run",
    "display": "frames per second of the display with 8 waves at 1920×1080",
    "tour": "the running program looked at: pictures of every page and state, and ten thousand random events",
    "central": "frames per second of the central view with 60 beds at 1920×1080",
    "numerics": "our vitals against a recording's own monitor numerics",
    "restoration": "hidden arterial pressure: the estimate beside hold and the anchored delay regression",
    "alarms": "the live alarms against experts' verdicts, on the recordings of the Challenge 2015",
    "arrests": "what is said second by second while a patient arrests, and what must be said",
    "detectors": "the beat detectors beside two libraries, by kind of signal, paced ECG among them",
    "ventricular": "the weights of the V-TACH rule learnt again, and cross-validated",
    "estimates": "what is shown, how right and how wide, subset by subset of sensors: pressures and risk",
    "pressure_history": "hypotension ahead by the pressure's own history, on simulated and on real people",
    "faults": "Kafka, its workers and readers killed and stopped: every tick, second and window accounted for",
    "recording": "the recorder: MB an hour and cost of a bed",
    "fuzz": "mutated messages through the app, mutated recordings through their readers: no crash, no hang",
    "ward": "how many beds one machine carries, in one process or on Kafka, and what a bed costs",
    "floor": "the whole program beside the same work in a bare loop: CPU a tick, their ratio, where the time goes",
    "throughput": "how fast a recording runs through the whole program at --speed max",
    "depth": "depth of anaesthesia by the model and by openibis, beside the truth, BIS and the best constant",
    "transport": "the embedded transport beside asyncio.Queue, ezmsg and Kafka: messages a second and delays by size",
    "pipelines": "the same patients and model through Vigil, ezmsg, timeflux, quix-streams, aiokafka and a bare loop",
    "lsl": "every sample of two LabStreamingLayer streams accounted for, and how long it takes",
    "inference": "the model alone: every backend, precision and batch beside the machine's floor",
    "gpu": "everything that only an NVIDIA GPU can show: engines, speed, a ward, fail-over, training, in ten minutes",
    "papers": "the published methods as published, side by side: five folds by patient, a linear classifier",
    "models": "PhysioME, SelfMask and every simpler imputer: train the plan of runs, make its tables",
}


def main(argv: list[str]) -> int:
    """The benchmark that ``argv`` names, with its options; returns the exit code, 2 for what cannot be run."""
    if not argv or argv[0] in ("-h", "--help") or argv[0] not in BENCHMARKS:
        print("usage: python -m benchmarks NAME [options]; NAME is one of", file=sys.stderr)
        for name, what in BENCHMARKS.items():
            print(f"  {name:<16} {what}", file=sys.stderr)
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    try:
        return int(importlib.import_module(f"benchmarks.{argv[0]}").main(argv[1:]) or 0)
    except VigilError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput | BackendUnavailable) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
