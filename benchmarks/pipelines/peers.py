"""The pipelines that can be tried: what runs each, what it needs, how it is set up, and what it leaves undone."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from models.signals.errors import BadInput

EXTRA = "pip install -e '.[peers]'"


@dataclass(frozen=True, slots=True)
class Peer:
    """runs: module of this package and function. package: its module, where one must be installed; how: to install it.
    on_kafka: whether it needs a broker. set_up: how, in a sentence. lacks: what it has not, or what is not used of it
    here, beside Vigil."""

    runs: str
    set_up: str
    lacks: str
    package: str = ""
    how: str = EXTRA
    on_kafka: bool = False
    loads_s: float = 0.0
    """For each bed beyond what all have to load: where each is a process."""

    def missing(self, broker: str | None) -> str:
        """Why it cannot be tried here; "" where it can."""
        if self.package and find_spec(self.package) is None:
            return f"not installed ({self.how})"
        if self.on_kafka and not broker:
            return "no --broker was named"
        return ""


_NOTHING = "no validation, dead letters, alarms, watchdog, backlog or second reader"
PEERS: dict[str, Peer] = {
    "bare": Peer(
        "bare:run",
        "One loop: sleep until a tick is due, windower, model, next tick. No wire.",
        f"{_NOTHING}; the model holds up the waves.",
    ),
    "vigil": Peer(
        "vigil:run_embedded",
        "The whole session on embedded://, headless; the model in its thread, all beds' windows in one batch.",
        "Nothing: wire and validation, dead letters, alarms and their log, watchdogs of model and stream, latencies.",
    ),
    "vigil-kafka": Peer(
        "vigil:run",
        "The same session with its topics on Kafka.",
        "Nothing; workers could share the beds.",
        on_kafka=True,
    ),
    "ezmsg": Peer(
        "of_ezmsg:run",
        "Units for source, windower, model and sink in one process (the default); objects are handed over; the model "
        "is run in an executor, as ezmsg asks for blocking work.",
        "No validation, dead letters, alarms, watchdogs; what is sent is not kept. A publisher waits for its slowest "
        "subscriber.",
        package="ezmsg",
    ),
    "ezmsg-process": Peer(
        "of_ezmsg:run_apart",
        "The same with the model's unit in a process of its own; windows go through shared memory.",
        "As ezmsg.",
        package="ezmsg",
    ),
    "timeflux": Peer(
        "of_timeflux:run",
        "An application of graphs, each a process: one a bed (source, windower, sink), one for the model and its "
        "sink, a broker between them. Channels are DataFrames, a port each; 100 cycles a second.",
        "No validation, dead letters, alarms, watchdogs; what is sent is not kept; it looks for news in cycles, also "
        "where there are none. It pins numpy 1.26 and networkx 2.5; Vigil wants numpy 2, so it ran with newer ones.",
        package="timeflux",
        loads_s=2.0,
        how="pip install --no-deps timeflux; it pins numpy 1.26, Vigil wants 2: install the rest without its pins",
    ),
    "quixstreams": Peer(
        "of_quix:run",
        "A StreamingDataFrame on the topic of waves (values as bytes) that applies windower and model and writes to a "
        "topic of predictions; its own producer sends, its own consumer hears both; all settings are its defaults.",
        "Kept and read again by groups as on any Kafka; no dead letters (a callback decides), no alarms; the model "
        "holds up the waves of its partition. CPU is without the broker's.",
        package="quixstreams",
        on_kafka=True,
    ),
    "aiokafka": Peer(
        "of_aiokafka:run",
        "A plain consumer in a group that commits by itself; the model in an executor, in batches of what waits; one "
        "loop for sender, worker and sink.",
        "Kept and read again by groups as on any Kafka; no dead letters, alarms, watchdogs. CPU is without the "
        "broker's.",
        on_kafka=True,
    ),
}
"""By name, in the order of the table."""


def chosen(names: list[str] | None, broker: str | None) -> tuple[list[str], dict[str, str]]:
    """Those that can be tried here, and of the others why not. BadInput for a name that is none."""
    for name in names or ():
        if name not in PEERS:
            raise BadInput(f"a pipeline out of {', '.join(PEERS)}", f"{name!r}", "name one of these")
    missing = {name: PEERS[name].missing(broker) for name in names or PEERS}
    return [name for name, why in missing.items() if not why], {name: why for name, why in missing.items() if why}
