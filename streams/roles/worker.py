"""The role of a worker: windows, numerics, alarms and the model, for the beds that come to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.runtime.backend import BackendInfo
from models.runtime.guard import Service
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.crew import Crew
from streams.inference import LOADING, EndOfBed, Engine, InferenceThread, Mailbox
from streams.latency import LatencyBook
from streams.records import PredictionRecord
from streams.roles.source import Post
from streams.stages import AlarmStage, Releases, Send, WindowStage, end_of_stream

CallSoon = Callable[[Callable[[], None]], None]


class WorkerRole:
    """What a worker does beside the stream: the stages that it lends to it, and the thread of the model.

    spec: the window that the model wants. load_engine: called in the inference thread once :meth:`begin` was; None
    works without a model. credits: of the sources in this process.
    """

    def __init__(
        self,
        spec: WindowSpec,
        load_engine: Callable[[], Engine] | None,
        crew: Crew,
        accounting: Accounting,
        latency: LatencyBook,
        credits: Releases,
        post: Post,
    ) -> None:
        self._spec, self._load_engine, self._crew, self._credits, self._post = spec, load_engine, crew, credits, post
        self._accounting, self._latency = accounting, latency
        self._mailbox = Mailbox() if load_engine is not None else None
        self._inference: InferenceThread | None = None
        self._window: WindowStage | None = None

    def make_stages(
        self, send: Send, call_soon: Callable[[Callable[[], None]], None]
    ) -> tuple[WindowStage, AlarmStage]:
        """Built in the stream's loop; call_soon: runs a call there, from any thread."""
        self._window = WindowStage(self._spec, self._mailbox, self._accounting, self._credits, send)
        if self._mailbox is not None:
            made_room = self._window.made_room
            self._mailbox.on_space(lambda: call_soon(made_room))
        return self._window, AlarmStage(send)

    @property
    def held_up(self) -> bool:
        """Whether a full mailbox holds the windows up, which it may at speed max."""
        return self._window is not None and self._window.waiting

    def begin(self) -> None:
        """Load the model, in a thread of its own; a second call changes nothing."""
        if self._mailbox is None or self._load_engine is None or self._inference is not None:
            return
        self._inference = InferenceThread(
            self._mailbox, self._load_engine, self._spec, self._predicted, self._accounting, self._latency
        )
        self._crew.spawn("inference", self._inference.run)

    def stop(self) -> None:
        """Let the model's thread end, without waiting."""
        if self._mailbox is not None:
            self._mailbox.close()

    def prepare(self, what: str, share: float) -> None:
        """``load_engine`` reports its progress, from any thread: for the status line."""
        if self._inference is not None:
            self._inference.prepare(what, share)

    @property
    def preparing(self) -> str:
        """What is being done until the model serves; "" from then on, and without a model."""
        if self._mailbox is None or self._crew.stopping.is_set():
            return ""
        return LOADING if self._inference is None else self._inference.preparing

    @property
    def backend(self) -> BackendInfo | None:
        """What runs the model; None before it serves."""
        return self._inference.backend if self._inference is not None else None

    @property
    def service(self) -> Service:
        """How it serves."""
        return self._inference.service if self._inference is not None else Service()

    @property
    def model(self) -> str:
        """The model's name and version; "" before it serves."""
        return self._inference.model if self._inference is not None else ""

    def _predicted(self, results: Sequence[PredictionRecord | EndOfBed]) -> None:
        """From the inference thread."""
        for result in results:
            self._post("predictions", end_of_stream(result, result.time_ns) if isinstance(result, EndOfBed) else result)
