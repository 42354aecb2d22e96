"""An LSL outlet in a process of its own. ``python outlet.py '{"name": …}'``: see :class:`Options`.

Sample ``i`` is taken at ``zero_s + i / rate · (1 + drift)`` of the monotonic clock, and its value is ``i`` in every
channel, so a program that is started anew goes on with the count of its clock. Says ``ready`` once it is there, and at
the end, on a line of its own, what it pushed: first and last sample of each stretch in which somebody listened.
"""

from __future__ import annotations

import json
import math
import random
import sys
import threading
import time
from dataclasses import dataclass


@dataclass
class Options:
    """jitter_s: of each chunk's stamp. A number on standard input steps the stamps' clock by so many seconds; its end
    ends the outlet."""

    zero_s: float
    name: str = "Amp"
    type: str = "ECG"
    source_id: str = "amp-1"
    rate: float = 500.0
    chunk: int = 10
    labels: tuple[str, ...] = ("II",)
    units: tuple[str, ...] = ("mV",)
    types: tuple[str, ...] = ()
    format: str = "float32"
    drift: float = 0.0
    jitter_s: float = 0.0


def main(options: Options) -> None:
    import pylsl

    info = pylsl.StreamInfo(
        options.name, options.type, len(options.labels), options.rate, options.format, options.source_id
    )
    channels = info.desc().append_child("channels")
    for i, label in enumerate(options.labels):
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", options.units[i] if i < len(options.units) else "")
        channel.append_child_value("type", options.types[i] if i < len(options.types) else "")
    outlet = pylsl.StreamOutlet(info, options.chunk)
    print("ready", flush=True)
    over = threading.Event()
    steps: list[float] = []

    def obey() -> None:
        for line in sys.stdin:
            steps.append(float(line))
        over.set()

    threading.Thread(target=obey, daemon=True).start()
    period = (1.0 + options.drift) / options.rate if options.rate else 0.05
    at = max(0, math.ceil((time.monotonic() - options.zero_s) / period))
    chance = random.Random(11)
    stretches: list[list[int]] = []
    listened = False
    while not over.is_set():
        last = at + options.chunk - 1
        taken_s = options.zero_s + last * period
        if over.wait(max(0.0, taken_s - time.monotonic())):
            break
        stamp = taken_s + chance.uniform(-options.jitter_s, options.jitter_s)
        stamp += sum(steps)
        stamp += pylsl.local_clock() - time.monotonic()
        heard = outlet.have_consumers()
        if options.format == "string":
            outlet.push_sample(["mark"] * len(options.labels))
        else:
            outlet.push_chunk([[float(i)] * len(options.labels) for i in range(at, last + 1)], stamp)
        if heard and not listened:
            stretches.append([at, last])
        if heard:
            stretches[-1][1] = last
        listened = heard
        at = last + 1
    print(json.dumps(stretches), flush=True)


if __name__ == "__main__":
    main(Options(**json.loads(sys.argv[1])))
