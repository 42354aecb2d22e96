"""What is remembered of a bed, to the wire and back, bit for bit.

A worker that dies leaves its beds to another, which reads the last minutes of waves again and is as warm as it was
(:mod:`streams.app`), but for what is older. Therefore each worker says every ten seconds of a bed's time what it
remembers, in a :class:`streams.records.MemoryRecord` on the topic ``vitals``; the newest one is taken over.

It takes 18.0 kB for the signals and 1.7 kB for the shipped model, 118 kB a minute and bed (waves: 280), 0.14 ms to make
and encode, 0.09 ms to read.

What is in it, because it outlives the minutes and changes what is shown:

* the context: levels of ten minutes, delays, rows as of the last present cell (:mod:`models.signals.context`);
* the last minute of cells, the zero and the extremes of each channel, who serves among several leads: which cells a
  model may read hangs on them (:mod:`models.signals.bed_memory`);
* the pulses that were lost and not seen since (:class:`streams.vitals.monitor.VitalsMonitor`), and what is usual for
  this heart, five minutes (:mod:`streams.alarms.arrhythmia_usual`);
* the limits that are violated with their worst value, and what sensors said of a lost pulse before they fell silent,
  which may be long ago in an arrest (:meth:`streams.alarms.engine.AlarmEngine.export`);
* what the model remembers: tokens, form of the pulse, look of the pleth (:class:`models.runtime.memory.EngineMemory`).

What is not, because the samples read again tell it: grids, beats and numerics (60 s at most, see
``VitalsMonitor.MEMORY_S``; 64 s of openibis, ``models.signals.openibis.SPAN_S``), runs of samples in a state (5 s),
which fibrillation or ventricular run still holds (30 s), delays and holds of alarms (10 s), of which those that stand
are found again.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from models.runtime.memory import EngineMemory
from models.signals.bed_memory import ChannelState, PipelineState
from models.signals.context import ContextState
from models.signals.delays import DelayTrack
from models.signals.leads import Runs
from models.signals.modalities import Modality
from models.signals.offset import Zero
from models.signals.state import Extremes
from models.signals.windows import CONTEXT_FIELDS
from streams.alarms.arrhythmia_usual import UsualState
from streams.alarms.arrhythmia_ventricular import UsualComplex
from streams.pasts import ChannelPast, ChoicePast, DelayPast, ModelPast, Numbers, SignalsPast, UsualPast

Floats = npt.NDArray[np.float64]


def numbers(values: npt.NDArray[np.floating]) -> Numbers:
    """The array, as short as it can be told exactly."""
    with np.errstate(over="ignore"):
        short = values.astype("<f4")
    exact = np.array_equal(short.astype(np.float64), values, equal_nan=True)
    return Numbers(short.tobytes()) if exact else Numbers(values.astype("<f8").tobytes(), True)


def values_of(told: Numbers) -> Floats:
    """float64 [n], a copy."""
    return np.frombuffer(told.data, "<f8" if told.wide else "<f4").astype(np.float64)


def told_signals(
    state: PipelineState, modalities: Collection[Modality], pulseless: Collection[Modality], usual: UsualState
) -> SignalsPast:
    """modalities: the rows of the context. pulseless, usual: of the monitors of vitals and arrhythmias."""
    context = state.context
    return SignalsPast(
        second=state.second,
        modalities=[m.value for m in modalities],
        levels=[numbers(row) for row in context.levels],
        delays_s=numbers(context.delays_s),
        rows=numbers(context.rows.ravel()),
        ends_s=numbers(context.ends_s),
        tracks={m.value: _told_delay(track) for m, track in context.tracks.items()},
        channels=[_told_channel(channel) for channel in state.channels],
        choices={
            m.value: ChoicePast(r.serving, dict(r.beating), dict(r.measured), r.poor_s, dict(r.refuted))
            for m, r in state.choices.items()
        },
        pulseless=sorted(m.value for m in pulseless),
        usual=_told_usual(usual),
    )


def pipeline_state(told: SignalsPast) -> PipelineState:
    """What a pipeline can be restored from."""
    context = ContextState(
        told.second,
        np.stack([values_of(row) for row in told.levels]),
        values_of(told.delays_s),
        values_of(told.rows).reshape(-1, len(CONTEXT_FIELDS)),
        values_of(told.ends_s),
        {Modality(m): _delay(track) for m, track in told.tracks.items()},
    )
    choices = {
        Modality(m): Runs(c.serving, c.beating, c.measured, c.poor_s, c.refuted) for m, c in told.choices.items()
    }
    return PipelineState(context, tuple(_channel(channel) for channel in told.channels), choices)


def usual_state(told: UsualPast) -> UsualState:
    """What an arrhythmia monitor can be restored from."""
    shape = None
    if told.shape is not None:
        form, height, interval, steady = told.shape
        shape = UsualComplex(values_of(form), height, interval, steady)
    return UsualState(tuple(told.called), shape, told.learnt_at, {Modality(m): p for m, p in told.pulse.items()})


def told_model(memory: EngineMemory) -> ModelPast:
    """What an engine remembers of a bed."""
    tokens = memory.tokens
    if tokens is None:
        return ModelPast(memory.model, form=memory.form, look=memory.look)
    return ModelPast(
        memory.model, (tokens.shape[0], tokens.shape[1]), numbers(tokens.ravel()), memory.form, memory.look
    )


def engine_memory(told: ModelPast) -> EngineMemory:
    """What an engine can be told to remember."""
    tokens = None if told.tokens is None else values_of(told.tokens).reshape(told.shape).astype(np.float32)
    return EngineMemory(told.model, tokens, told.form, told.look)


def _told_delay(track: DelayTrack) -> DelayPast:
    delay = _known(track.delay_s)
    return DelayPast(delay, track.evidence, track.weight_s, track.since_s, track.missed_s, track.confirmed)


def _delay(told: DelayPast) -> DelayTrack:
    delay = np.nan if told.delay_s is None else told.delay_s
    return DelayTrack(delay, told.evidence, told.weight_s, told.since_s, told.missed_s, told.confirmed)


def _told_channel(channel: ChannelState) -> ChannelPast:
    followed = None
    if channel.followed is not None:
        second, zero = channel.followed
        followed = (second, zero.level, zero.last, zero.settling_s)
    extremes = channel.extremes
    return ChannelPast(
        channel.modality.value,
        channel.lead,
        channel.cells.astype(np.uint8).tobytes(),
        channel.zero,
        followed,
        _known(extremes.lowest),
        _known(extremes.highest),
        extremes.zero,
    )


def _channel(told: ChannelPast) -> ChannelState:
    followed = None
    if told.followed is not None:
        second, level, last, settling_s = told.followed
        followed = (second, Zero(level, last, settling_s))
    lowest = np.inf if told.lowest is None else told.lowest
    highest = -np.inf if told.highest is None else told.highest
    cells = np.frombuffer(told.cells, np.uint8).astype(np.bool_)
    return ChannelState(
        Modality(told.modality), told.lead, cells, told.zero, followed, Extremes(lowest, highest, told.level)
    )


def _told_usual(usual: UsualState) -> UsualPast:
    shape = None
    if usual.shape is not None:
        own = usual.shape
        shape = (numbers(own.shape), own.height, own.interval, own.steady)
    return UsualPast(list(usual.called), usual.learnt_at, {m.value: p for m, p in usual.pulse.items()}, shape)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
