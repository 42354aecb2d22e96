"""The inference thread: the only place where the stream meets the model.

Windows come in process, not by topic (:mod:`streams.mailbox`). The thread takes what is there, over all beds, as one
micro-batch. A batch that the model loses is a batch of invalid predictions with the reason, a window that was skipped
is told as one that nobody computed; the stream goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from msgspec.structs import replace

from models.runtime.backend import BackendInfo
from models.runtime.guard import Service
from models.runtime.leave_out import LeftOut
from models.runtime.memory import EngineMemory
from models.runtime.prediction import Interval, Prediction, lost
from models.signals.errors import BackendFailed, VigilError
from models.signals.leave_out import WindowPast
from models.signals.times import SECOND_NS
from models.signals.windows import Window, WindowSpec
from streams.accounting import Accounting
from streams.codec import samples_to_bytes
from streams.explain import MOVED_ON, explained, refused_job
from streams.latency import LatencyBook
from streams.mailbox import EndOfBed, ExplainJob, Item, Mailbox, SkippedWindow, WindowJob
from streams.memories import told_model
from streams.records import ExplainRecord, MemoryRecord, PredictionRecord, RestoredChunk

LOADING = "loading the model"


class Engine(Protocol):
    """What runs the model; :class:`models.runtime.select.ServedEngine` is one. Called by the inference thread only.
    ``predict`` raises BackendFailed where these windows are lost and it can go on with others."""

    @property
    def window_spec(self) -> WindowSpec:
        """What the stream must cut."""

    @property
    def backend(self) -> BackendInfo:
        """Of the backend that serves now."""

    @property
    def model(self) -> str:
        """The model's name and version."""

    @property
    def service(self) -> Service:
        """How it serves, and why better backends do not."""

    def predict(self, windows: Sequence[Window], /, keys: Sequence[Hashable] = ()) -> list[Prediction]:
        """A prediction a window; ``keys``: what each may be remembered by."""

    def leave_out(self, past: WindowPast, key: Hashable, /) -> list[LeftOut]:
        """What would be said of the newest window of this key without each of its sensors; raises as ``predict``."""

    @property
    def given(self) -> Sequence[str]:
        """Names of the model's outputs."""

    def memory_of(self, key: Hashable, /) -> EngineMemory:
        """What is remembered of this key."""

    def remember(self, key: Hashable, memory: EngineMemory, /) -> bool:
        """Know of this key what another engine knew; False where that is of another model."""

    def forget(self, key: Hashable, /) -> None:
        """What is remembered of this key is forgotten."""

    def close(self) -> None:
        """Gives the backend's memory and devices back."""


class InferenceError(VigilError):
    """The model cannot go on; the session ends with this sentence."""


Result = PredictionRecord | EndOfBed | MemoryRecord | ExplainRecord


class InferenceThread:
    """Body of the inference thread: loads the engine, then turns windows into prediction records until closed.

    deliver: called from this thread with records and ends, in the order of the items taken.
    deadline_s: a paced prediction later than this after its window was due is told as late, and not valid.
    memory_s: seconds of a bed's time after which it is told what the model remembers of it; None: never.
    batch: windows a micro-batch at most, None: as many as one run of the backend takes. gather_s: how long a window
    may wait for those of the other beds.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        load_engine: Callable[[], Engine],
        spec: WindowSpec,
        deliver: Callable[[Sequence[Result]], None],
        accounting: Accounting,
        latency: LatencyBook,
        *,
        deadline_s: float = 1.0,
        memory_s: float | None = None,
        batch: int | None = None,
        gather_s: float = 0.003,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._mailbox, self._load, self._spec, self._deliver = mailbox, load_engine, spec, deliver
        self._accounting, self._latency = accounting, latency
        self._deadline_ns = int(deadline_s * SECOND_NS)
        self._memory_s = memory_s
        self._told: dict[str, tuple[Hashable, int]] = {}  # key and end in s of the window after which it was told
        self._batch, self._gather_s, self._now = batch, gather_s, monotonic_ns
        self._loading = True
        self._beds: dict[str, Hashable] = {}  # to the key of the bed's newest window
        self.backend: BackendInfo | None = None
        self.service = Service()
        self.model = ""
        self._preparing = LOADING

    @property
    def preparing(self) -> str:
        """What is being done until the model serves, for the status line; empty from then on."""
        return self._preparing if self._loading else ""

    def prepare(self, what: str, share: float) -> None:
        """Progress of the load; from any thread, also from one that the load has left behind."""
        percent = int(100 * share)
        self._preparing = f"{what}: {percent} %" if percent > 0 else what

    def run(self) -> None:
        """Returns when the mailbox is closed. A batch that is lost (BackendFailed) is delivered as invalid; whatever
        else the engine raises ends the session."""
        try:
            engine = self._load()
        except VigilError:
            if self._mailbox.closed:
                return  # the run was ended while an engine was being built
            raise
        finally:
            self._loading = False
        try:
            if engine.window_spec != self._spec:
                raise InferenceError("The model's window differs from the one that the stream was started with.")
            self.model, self.backend, self.service = engine.model, engine.backend, engine.service
            while items := self._mailbox.take(
                self._batch or self.service.batch, self._gather_s, max(1, len(self._beds))
            ):
                self._deliver(self._handle(engine, items))
        finally:
            engine.close()

    def _handle(self, engine: Engine, items: list[Item]) -> list[Result]:
        jobs = [item for item in items if isinstance(item, WindowJob)]
        begin = self._now()
        predictions = self._predict(engine, jobs) if jobs else []
        end = self._now()
        if len(predictions) != len(jobs):
            raise InferenceError(f"The model gave {len(predictions)} predictions for {len(jobs)} windows.")
        if jobs:
            self._latency.add_ns("inference", begin, end)
            self._mailbox.pace((end - begin) / SECOND_NS / len(jobs))
        results = iter(predictions)
        handled: list[Result] = []
        for item in items:
            if isinstance(item, EndOfBed):
                if item.bed in self._beds:
                    engine.forget(self._beds.pop(item.bed))
                    self._told.pop(item.bed, None)
                handled.append(item)
                continue
            if isinstance(item, SkippedWindow):
                handled.append(skipped_record(item, self._spec, engine.model, engine.backend.name, engine.service))
                continue
            if isinstance(item, ExplainJob):
                handled.append(self._explained(engine, item))
                continue
            before = self._beds.get(item.bed, item.key)
            if before != item.key:
                engine.forget(before)
            self._beds[item.bed] = item.key
            result = next(results)
            if item.warming:
                continue
            stamps = {**item.stamps, "inference_start": begin, "inference_end": end}
            self._latency.add_ns("mailbox", stamps.get("window", 0), begin)
            late_ns = end - stamps["due"] if stamps.get("due") else 0
            record = _record(item, self._spec, result, stamps, engine.model, engine.backend.name, engine.service)
            handled.append(self._in_time(record, late_ns))
        made = [r for r in handled if isinstance(r, PredictionRecord) and r.missed != "skipped"]
        self._accounting.count("predictions", len(made))
        self._accounting.count("invalid_predictions", sum(not record.valid for record in made))
        return handled + self._memories(engine, jobs)

    def _explained(self, engine: Engine, job: ExplainJob) -> ExplainRecord:
        """The answer to a question; one about a stretch of time that the model has left is not answered any more."""
        if reason := job.refused or (MOVED_ON if self._beds.get(job.bed, job.key) != job.key else ""):
            return refused_job(job, reason)
        begin = self._now()
        try:
            rows = engine.leave_out(job.past, job.key)
        except BackendFailed as error:
            return refused_job(job, str(error))
        finally:
            self._latency.add_ns("explanation", begin, self._now())
            self.backend, self.service = engine.backend, engine.service
        return explained(job, rows, engine.given, engine.model, engine.backend.name)

    def _memories(self, engine: Engine, jobs: list[WindowJob]) -> list[MemoryRecord]:
        """What is remembered of the beds of which it is time to tell that, after their newest windows of ``jobs``."""
        if self._memory_s is None:
            return []
        found = []
        for job in {job.bed: job for job in jobs if not job.warming}.values():
            key, told_s = self._told.get(job.bed, (None, 0))
            end_s = job.window.end_s
            if self._beds.get(job.bed) != job.key or (key == job.key and end_s - told_s < self._memory_s):
                continue
            self._told[job.bed] = job.key, end_s
            past = told_model(engine.memory_of(job.key))
            found.append(
                MemoryRecord(
                    bed=job.bed,
                    session=job.session,
                    epoch=job.epoch,
                    time_ns=end_s * SECOND_NS,
                    tick_seq=job.tick_seq,
                    model=past,
                )
            )
        return found

    def _predict(self, engine: Engine, jobs: list[WindowJob]) -> list[Prediction]:
        """What is inherited with a window takes the place of what the windows before it have taught."""
        found: list[Prediction] = []
        for i, job in enumerate(jobs):
            if job.inherited is not None:
                found += self._predicted(engine, jobs[len(found) : i])
                engine.remember(job.key, job.inherited)
        return found + self._predicted(engine, jobs[len(found) :])

    def _predicted(self, engine: Engine, jobs: list[WindowJob]) -> list[Prediction]:
        if not jobs:
            return []
        try:
            return engine.predict([j.window for j in jobs], keys=[j.key for j in jobs])
        except BackendFailed as error:
            return [lost(job.window, str(error)) for job in jobs]
        finally:
            self.backend, self.service = engine.backend, engine.service

    def _in_time(self, record: PredictionRecord, late_ns: int) -> PredictionRecord:
        if late_ns <= self._deadline_ns or not record.valid:
            return record
        reason = f"the result came {late_ns / SECOND_NS:.1f} s after its window"
        return replace(record, valid=False, reason=reason, missed="late")


def skipped_record(
    skipped: SkippedWindow, spec: WindowSpec, model: str, backend: str, service: Service
) -> PredictionRecord:
    """What is told of a window that the model had no time for. model, backend: "" before one serves."""
    record = _record(skipped, spec, skipped.said, skipped.stamps, model, backend, service)
    return replace(record, missed="skipped")


def _record(
    window: WindowJob | SkippedWindow,
    spec: WindowSpec,
    prediction: Prediction,
    stamps: dict[str, int],
    model: str,
    backend: str,
    service: Service,
) -> PredictionRecord:
    return PredictionRecord(
        bed=window.bed,
        session=window.session,
        epoch=window.epoch,
        window_end_ns=prediction.window_end_s * SECOND_NS,
        model=model,
        backend=backend,
        modalities=[m.value for m in spec.modalities],
        presence=prediction.presence.tolist(),
        ages_s=_ages(prediction.ages_s, len(spec.modalities)),
        valid=prediction.valid,
        abstain=prediction.abstain,
        reason=prediction.reason,
        risk={str(minutes): _triple(interval) for minutes, interval in prediction.risk.items()},
        depth=_triple(prediction.depth) if prediction.depth else None,
        pressures={name: _triple(i) for name, i in prediction.pressures.items()} if prediction.pressures else None,
        restored=[
            RestoredChunk(
                wave.modality.value,
                wave.rate_hz,
                wave.first_index,
                samples_to_bytes(wave.values),
                samples_to_bytes(wave.lo),
                samples_to_bytes(wave.hi),
                wave.amends,
            )
            for wave in prediction.restored
        ],
        not_estimable={m.value: why for m, why in prediction.not_estimable.items()},
        stamps_ns=stamps,
        service=service.state,
    )


def _triple(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.lo, interval.hi


def _ages(ages_s: tuple[float, ...], modalities: int) -> list[float | None]:
    """Ages on the wire: None where never measured."""
    if not ages_s:
        return [None] * modalities
    return [age if math.isfinite(age) else None for age in ages_s]
