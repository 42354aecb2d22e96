"""The wire survives a round trip, and nothing but DecodeError ever leaves the decoder."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from models.runtime.pressure_past import NUMBERS
from models.signals.absence import Absence
from models.signals.context import MEMORY_S
from models.signals.errors import BadInput
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.resample import Resampler
from models.signals.windows import CONTEXT_FIELDS
from streams import pasts, records
from streams.codec import MAX_MESSAGE_BYTES, DecodeError, chunk_values, decode, encode, samples_to_bytes
from streams.limit_settings import LIMITED, LimitSetting
from streams.memories import engine_memory, pipeline_state, told_model, told_signals, usual_state
from streams.memories import numbers as numbers_of

names = st.text(min_size=1, max_size=20)
times = st.integers(-(10**18), 10**18)
modalities = st.sampled_from([m.value for m in Modality])
states = st.dictionaries(modalities, st.sampled_from(["", *(a.value for a in Absence)]))
numbers = st.floats(allow_nan=False, allow_infinity=False)
maybe = st.none() | numbers
common = {"bed": names, "session": names, "epoch": st.integers(0, 10**6)}
intervals = st.tuples(numbers, numbers, numbers)


@st.composite
def wave_ticks(draw: st.DrawFn) -> records.WaveTick:
    start = draw(st.integers(0, 10**15))
    chunks = []
    for modality in draw(st.lists(modalities, unique=True)):
        rate = draw(st.sampled_from([62.5, 100.0, 125.0, 249.9, 500.0, 1000.0]))
        origin = draw(st.integers(-(10**9), 10**9))
        first = max(0, math.ceil((start - origin) * rate / 1e9))
        values = draw(st.lists(st.floats(width=32, allow_infinity=False), max_size=60))
        chunks.append((modality, rate, origin, first, values))
    end = start
    for _, rate, origin, first, values in chunks:
        end = max(end, math.ceil(origin + (first + len(values)) * 1e9 / rate))
    return records.WaveTick(
        bed=draw(names),
        session=draw(names),
        epoch=draw(st.integers(0, 10**6)),
        tick_seq=draw(st.integers(0, 10**9)),
        start_ns=start,
        end_ns=end,
        due_ns=draw(st.integers(0, 10**18)),
        eos=draw(st.booleans()),
        host=draw(st.text(max_size=20)),
        clock_ns=draw(times),
        chunks=[
            records.WaveChunk(m, "II", rate, origin, first, samples_to_bytes(np.array(v, np.float32)), False)
            for m, rate, origin, first, v in chunks
        ],
    )


@st.composite
def predictions(draw: st.DrawFn) -> records.PredictionRecord:
    rows = draw(st.lists(modalities, unique=True))
    width = draw(st.integers(0, 12))
    valid = draw(st.booleans())
    wave = samples_to_bytes(np.linspace(0, 1, draw(st.integers(0, 100)), dtype=np.float32))
    return records.PredictionRecord(
        **{key: draw(value) for key, value in common.items()},
        window_end_ns=draw(times),
        model="demo",
        backend="onnx",
        modalities=rows,
        presence=[draw(st.lists(st.booleans(), min_size=width, max_size=width)) for _ in rows],
        ages_s=[draw(maybe) for _ in rows],
        valid=valid,
        abstain=draw(st.booleans()),
        reason=draw(names),
        risk=draw(st.dictionaries(st.sampled_from(["5", "10", "15"]), intervals)),
        depth=draw(st.none() | intervals),
        pressures=draw(st.none() | st.dictionaries(names, intervals, max_size=3)),
        restored=[records.RestoredChunk("ABP", 100, 5, wave, wave, wave)],
        stamps_ns={"due": draw(times)},
        missed="late" if not valid and draw(st.booleans()) else "",
    )


arrhythmia_calls = st.builds(
    records.ArrhythmiaCall,
    names,
    st.sampled_from(["confirmed", "unopposed", "contradicted"]),
    st.text(max_size=40),
    maybe,
)

bed_channels = st.lists(
    st.builds(records.BedChannel, modalities, names, names, st.sampled_from([62.5, 500.0]), st.integers(0, 3)),
    max_size=4,
    unique_by=lambda channel: (channel.modality, channel.lead),
)

seconds = st.integers(-(10**6), 10**6)
row_numbers = st.floats(allow_infinity=False)


def arrays(count: int) -> st.SearchStrategy[pasts.Numbers]:
    """Arrays of few different values, half of them such as float32 holds."""
    few = st.lists(st.floats(width=32, allow_infinity=False) | row_numbers, min_size=1, max_size=5)
    return few.map(lambda values: numbers_of(np.resize(np.array(values), count)))


def by_lead(values: st.SearchStrategy[int]) -> st.SearchStrategy[dict[int, int]]:
    return st.dictionaries(st.integers(0, 3), values, max_size=3)


@st.composite
def signals_pasts(draw: st.DrawFn) -> pasts.SignalsPast:
    rows = draw(st.lists(modalities, unique=True, min_size=1))
    return pasts.SignalsPast(
        second=draw(seconds),
        modalities=rows,
        levels=[draw(arrays(MEMORY_S)) for _ in rows],
        delays_s=draw(arrays(MEMORY_S)),
        rows=draw(arrays(len(rows) * len(CONTEXT_FIELDS))),
        ends_s=draw(arrays(len(rows))),
        tracks=draw(
            st.dictionaries(
                modalities,
                st.builds(
                    pasts.DelayPast,
                    maybe,
                    st.tuples(numbers, numbers),
                    st.integers(0, 120),
                    seconds,
                    st.integers(0, 30),
                    st.booleans(),
                ),
                max_size=2,
            )
        ),
        channels=draw(
            st.lists(
                st.builds(
                    pasts.ChannelPast,
                    modalities,
                    st.integers(0, 3),
                    st.lists(st.integers(0, 1), max_size=60).map(bytes),
                    numbers,
                    st.none() | st.tuples(seconds, maybe, numbers, st.integers(0, 10)),
                    maybe,
                    maybe,
                    maybe,
                ),
                max_size=3,
                unique_by=lambda c: (c.modality, c.lead),
            )
        ),
        choices=draw(
            st.dictionaries(
                modalities,
                st.builds(
                    pasts.ChoicePast,
                    st.integers(0, 3),
                    by_lead(st.integers(0, 1000)),
                    by_lead(st.integers(0, 1000)),
                    st.integers(0, 9),
                    by_lead(seconds),
                ),
                max_size=1,
            )
        ),
        pulseless=draw(st.lists(modalities, unique=True, max_size=2)),
        usual=draw(
            st.builds(
                pasts.UsualPast,
                st.lists(seconds, max_size=60),
                seconds,
                st.dictionaries(modalities, st.tuples(seconds, numbers), max_size=2),
                st.none() | st.tuples(arrays(29), numbers, numbers, numbers),
            )
        ),
    )


model_pasts = st.builds(
    pasts.ModelPast,
    names,
    st.just((4, 6)),
    st.none()
    | st.lists(st.floats(width=32, allow_infinity=False), min_size=24, max_size=24).map(
        lambda values: numbers_of(np.array(values, np.float32))
    ),
    maybe,
    st.none() | st.tuples(st.floats(1.0, 300.0), numbers),
    st.none() | st.tuples(st.floats(1.0, 300.0), numbers),
    st.none() | arrays(NUMBERS),
)

settings_of_limits = st.lists(
    st.builds(
        LimitSetting,
        vital=st.sampled_from(sorted(LIMITED)),
        on=st.booleans(),
        low=maybe,
        extreme_high=maybe,
        delay_s=numbers,
        priority=st.sampled_from(["high", "medium", "low"]),
        latch=st.booleans(),
    ),
    max_size=4,
)


@st.composite
def explanations(draw: st.DrawFn) -> records.ExplainRecord:
    values = st.fixed_dictionaries(
        {
            "risk": st.dictionaries(st.sampled_from(["5", "10", "15"]), intervals),
            "no_risk": names,
            "map_mmhg": st.none() | intervals,
            "no_map": names,
            "depth": st.none() | intervals,
            "no_depth": names,
        }
    )
    lacking = st.fixed_dictionaries({"reason": names})
    sensors = draw(st.lists(modalities, unique=True))
    rows = [records.LeftOutRow(m, **draw(values | lacking)) for m in ("", *sensors)] if draw(st.booleans()) else []
    return records.ExplainRecord(
        **{key: draw(value) for key, value in common.items()},
        window_end_ns=draw(times),
        asked_ns=draw(times),
        window_s=draw(st.integers(0, 120)),
        model=draw(names),
        backend=draw(names),
        rows=rows,
        reason="" if rows else draw(names),
    )


any_record = (
    wave_ticks()
    | st.builds(
        records.BedRecord,
        **common,
        title=names,
        channels=bed_channels,
        gaps_s=st.dictionaries(modalities, st.lists(st.tuples(numbers, numbers), max_size=3)),
        seekable=st.booleans(),
        start_ns=st.integers(-(10**9), 0),
        end_ns=st.none() | st.integers(0, 10**18),
        zero_unix_ns=st.none() | times,
    )
    | predictions()
    | explanations()
    | st.builds(
        records.StatusRecord,
        **common,
        role=st.sampled_from(["source", "worker"]),
        position_s=numbers,
        speed=maybe,
        achieved_speed=maybe,
        paused=st.booleans(),
        dropped=st.lists(modalities, unique=True),
        notes=st.lists(names, max_size=3),
        counts=st.dictionaries(names, st.integers(0, 10**12), max_size=3),
    )
    | st.builds(records.StateRecord, **common, time_ns=times, state=states)
    | st.builds(records.CellRecord, **common, second=st.integers(-100, 10**6), absence=states)
    | st.builds(records.VitalsRecord, **common, time_ns=times, hr=maybe, abp_map=maybe, hr_source=names)
    | st.builds(
        records.RhythmRecord,
        **common,
        time_ns=times,
        rhythm=st.sampled_from([r.value for r in Rhythm]),
        pulse=st.dictionaries(modalities, st.sampled_from([p.value for p in Pulse])),
        overdue=st.lists(modalities, unique=True),
        calls=st.lists(arrhythmia_calls, max_size=4),
    )
    | st.builds(records.BeatRecord, **common, time_ns=times, source=names)
    | st.builds(
        records.MemoryRecord,
        **common,
        time_ns=times,
        tick_seq=st.integers(0, 10**9),
        signals=st.none() | signals_pasts(),
        model=st.none() | model_pasts,
        alarms=st.none()
        | st.builds(
            pasts.AlarmsPast,
            st.dictionaries(names, st.builds(pasts.StandingPast, times, numbers, times), max_size=3),
            numbers,
            st.sampled_from([r.value for r in Rhythm]),
            st.dictionaries(modalities, st.sampled_from([p.value for p in Pulse])),
            maybe,
            settings_of_limits,
            names,
        ),
    )
    | st.builds(
        records.AlarmRecord,
        **common,
        time_ns=times,
        key=names,
        priority=st.sampled_from(["high", "medium", "low"]),
        kind=st.sampled_from(["physiological", "technical"]),
        text=names,
        active=st.booleans(),
        reason=st.text(max_size=40),
        now=st.text(max_size=10),
        since_ns=st.none() | times,
    )
    | st.builds(records.LimitsRecord, **common, time_ns=times, limits=settings_of_limits, set_by=names)
    | st.builds(
        records.CommandRecord,
        **common,
        id=names,
        operator=names,
        time_ns=times,
        name=st.sampled_from(["drop", "seek", "acknowledge", "limits"]),
        args=st.dictionaries(names, names | numbers, max_size=4),
        limits=settings_of_limits,
    )
    | st.builds(
        records.DeadLetter,
        **common,
        topic=names,
        partition=st.integers(0, 8),
        offset=st.integers(0, 10**9),
        reason=names,
        size=st.integers(0, 10**6),
        head=st.binary(max_size=100),
    )
)


@given(any_record)
def test_round_trip(record: records.AnyRecord) -> None:
    assert decode(encode(record)) == record


@given(signals_pasts())
def test_what_is_remembered_survives_bit_for_bit(past: pasts.SignalsPast) -> None:
    """What can be told of a state is that state, and what it was made of is told again."""
    state = pipeline_state(past)
    told = told_signals(
        state, [Modality(m) for m in past.modalities], map(Modality, past.pulseless), usual_state(past.usual)
    )
    assert told == replace(past, pulseless=sorted(past.pulseless))


@given(model_pasts)
def test_what_a_model_remembers_survives_bit_for_bit(past: pasts.ModelPast) -> None:
    told = told_model(engine_memory(past))
    assert replace(told, shape=past.shape) == past


@given(st.binary(max_size=400))
def test_any_bytes_give_a_record_or_decode_error(data: bytes) -> None:
    try:
        decode(data)
    except DecodeError as error:
        assert "\n" not in str(error) and str(error).endswith(".")


@given(any_record, st.data())
def test_damaged_messages_give_a_record_or_decode_error(record: records.AnyRecord, data: st.DataObject) -> None:
    message = bytearray(encode(record))
    for _ in range(data.draw(st.integers(1, 5))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    for damaged in (bytes(message), bytes(message[:cut])):
        try:
            decode(damaged)
        except DecodeError:
            continue


def test_nan_is_missing_and_survives() -> None:
    wave = np.array([1.0, np.nan, -3.5], np.float32)
    np.testing.assert_array_equal(chunk_values(samples_to_bytes(wave)), wave)


TICK = {"t": "wave", "v": 1, "bed": "b", "session": "s", "epoch": 0, "tick_seq": 0, "start_ns": 0, "end_ns": 10**8}
ONE = samples_to_bytes(np.ones(1, np.float32))
RHYTHM = {"t": "rhythm", "v": 1, "bed": "b", "session": "s", "epoch": 0, "time_ns": 0, "rhythm": "still", "pulse": {}}
BED = {"t": "bed", "v": 1, "bed": "b", "session": "s", "epoch": 0, "title": "t", "channels": []}
COMMAND = {
    "t": "command",
    "v": 1,
    "bed": "b",
    "session": "s",
    "epoch": 0,
    "id": "1",
    "operator": "",
    "time_ns": 0,
    "name": "seek",
}
NAN_600 = [samples_to_bytes(np.full(600, np.nan, np.float32)), False]
PAST: dict[str, object] = {
    "second": 5,
    "modalities": ["ECG"],
    "levels": [NAN_600],
    "delays_s": NAN_600,
    "rows": [samples_to_bytes(np.zeros(9, np.float32)), False],
    "ends_s": [ONE, False],
    "tracks": {},
    "channels": [],
    "choices": {},
    "pulseless": [],
    "usual": [[], 0, {}, None],
}
MEMORY = {"t": "memory", "v": 1, "bed": "b", "session": "s", "epoch": 0, "time_ns": 0, "tick_seq": 1, "signals": PAST}
TOKENS = {"model": "m", "shape": [1, 1], "tokens": [ONE, False]}
HUGE = [samples_to_bytes(np.full(600, np.inf, np.float32)), False]


def past(**changes: object) -> dict[str, object]:
    return MEMORY | {"signals": PAST | changes}


WRONG: list[tuple[str, dict[str, object] | bytes, str]] = [
    ("empty", b"", "empty"),
    ("too large", b"\x00" * (MAX_MESSAGE_BYTES + 1), "bytes"),
    ("text", b"hello, monitor", "not a Vigil record"),
    ("foreign tag", TICK | {"t": "invoice"}, "invoice"),
    ("version", TICK | {"v": 7}, "version 7"),
    ("no bed", TICK | {"bed": ""}, "bed"),
    ("time runs back", TICK | {"end_ns": -1}, "0 to 60 s"),
    ("absurd span", TICK | {"end_ns": 10**12}, "0 to 60 s"),
    ("time overflows", TICK | {"start_ns": 2**63 - 1, "end_ns": 2**63 - 1}, "range of the clock"),
    ("rate 0", TICK | {"chunks": [["ECG", "II", 0.0, 0, 0, ONE]]}, "rate"),
    (
        "rate below what can be resampled",
        TICK | {"chunks": [["ECG", "II", 3.99, 0, 0, ONE]]},
        "rate lies within 4 and 100000 Hz; found 3.99 at chunks",
    ),
    ("rate above it", TICK | {"chunks": [["ECG", "II", 100_001.0, 0, 0, ONE]]}, "100000 Hz"),
    ("rate NaN", TICK | {"chunks": [["ECG", "II", math.nan, 0, 0, ONE]]}, "rate"),
    ("rate infinite", TICK | {"chunks": [["ECG", "II", math.inf, 0, 0, ONE]]}, "rate"),
    (
        "modality",
        TICK | {"chunks": [["NOSE", "II", 100.0, 0, 0, ONE]]},
        "one of ECG, ABP, PPG, EEG, RESP, CVP, PAP, ICP, CO2, AWP; found 'NOSE' at",
    ),
    ("twice", TICK | {"chunks": [["ECG", "II", 100.0, 0, 0, ONE]] * 2}, "one channel per lead"),
    ("odd bytes", TICK | {"chunks": [["ECG", "II", 100.0, 0, 0, ONE + b"\x00"]]}, "float32"),
    ("too many samples", TICK | {"chunks": [["ECG", "II", 100.0, 0, 0, ONE * 12]]}, "outside their tick"),
    ("sample of elsewhere", TICK | {"chunks": [["ECG", "II", 100.0, 0, 900, ONE]]}, "outside their tick"),
    ("negative index", TICK | {"chunks": [["ECG", "II", 100.0, 0, -1, ONE]]}, "first_index"),
    (
        "infinite",
        TICK | {"chunks": [["ECG", "II", 100.0, 0, 0, samples_to_bytes(np.array([np.inf], np.float32))]]},
        "infinite",
    ),
    (
        "vitals NaN",
        {"t": "vitals", "v": 1, "bed": "b", "session": "s", "epoch": 0, "time_ns": 0, "hr": math.nan},
        "finite",
    ),
    ("bed with a nose", BED | {"channels": [["NOSE", "", "", 100.0, 0]]}, "modality"),
    ("bed with two of one lead", BED | {"channels": [["ECG", "II", "mV", 500.0, 0]] * 2}, "one channel per lead"),
    ("bed at no rate", BED | {"channels": [["ECG", "II", "mV", 0.0, 0]]}, "rate"),
    ("bed of endless gaps", BED | {"gaps_s": {"ECG": [(0.0, 1.0)] * 5000}}, "at most"),
    ("bed with a gap at NaN", BED | {"gaps_s": {"ECG": [(0.0, math.nan)]}}, "finite"),
    ("bed that ends before it begins", BED | {"end_ns": -1}, "ends after"),
    ("status of nobody", BED | {"t": "status", "role": "nurse"}, "role"),
    ("status at NaN", BED | {"t": "status", "role": "source", "position_s": math.nan}, "finite"),
    ("status without a nose", BED | {"t": "status", "role": "source", "dropped": ["NOSE"]}, "modality"),
    ("host without end", TICK | {"host": "x" * 1000}, "found 1000 characters at host"),
    ("status told in numbers", BED | {"t": "status", "role": "source", "speed": "fast"}, "not a Vigil record.*speed"),
    ("an argument without end", COMMAND | {"args": {"a": "x" * 2000}}, "at most 1024 characters"),
    ("an argument of NaN", COMMAND | {"args": {"a": math.nan}}, "finite"),
    ("arguments without end", COMMAND | {"args": {str(i): 0.0 for i in range(17)}}, "found 17 of them at args"),
    ("an order of nobody", COMMAND | {"name": "dance"}, "command is one of drop.*found 'dance'"),
    ("a second that is none", COMMAND | {"time_ns": 2**64 - 1}, f"clock.*found {2**64 - 1} at time_ns"),
    ("a version to come", TICK | {"v": 2, "chunks": "new"}, "version 2"),
    ("rhythm of nowhere", RHYTHM | {"rhythm": "samba"}, "rhythm"),
    ("pulse of nowhere", RHYTHM | {"pulse": {"ABP": "perhaps"}}, "pulse"),
    ("pulse of a nose", RHYTHM | {"pulse": {"NOSE": "none"}}, "modality"),
    ("late nose", RHYTHM | {"overdue": ["NOSE"]}, "modality"),
    ("call without a key", RHYTHM | {"calls": [["", "confirmed", "", None]]}, "key"),
    ("call without a verdict", RHYTHM | {"calls": [["asystole", "maybe", "", None]]}, "verdict"),
    ("call of NaN", RHYTHM | {"calls": [["asystole", "confirmed", "", math.nan]]}, "finite"),
    ("endless calls", RHYTHM | {"calls": [["asystole", "confirmed", "", 5.0]] * 1000}, "at most"),
    ("memory of a negative tick", MEMORY | {"tick_seq": -1}, "tick_seq"),
    ("memory of no second", past(second=2**63 - 1), "clock"),
    ("memory of nothing", past(modalities=[], levels=[]), "at least one"),
    ("memory of one modality twice", past(modalities=["ECG", "ECG"], levels=[NAN_600, NAN_600]), "one row"),
    ("memory of a nose", past(modalities=["NOSE"]), "modality"),
    ("memory without levels", past(levels=[]), "levels"),
    ("memory of too few levels", past(levels=[[ONE, False]]), "length"),
    ("memory of wide levels told short", past(delays_s=[NAN_600[0], True]), "length"),
    ("memory of an infinite level", past(levels=[HUGE]), "infinite"),
    ("memory of too many rows", past(rows=NAN_600), "length"),
    ("memory of too many ends", past(ends_s=NAN_600), "length"),
    ("memory of a delay of NaN", past(tracks={"ABP": [math.nan, [0.0, 0.0], 0, 0, 0, False]}), "finite"),
    ("memory of a negative weight", past(tracks={"ABP": [0.3, [0.0, 0.0], -1, 0, 0, False]}), "negative"),
    ("memory of half a cell", past(channels=[["ECG", 0, b"\x02", 0.0, None, None, None, None]]), "cell"),
    ("memory of endless cells", past(channels=[["ECG", 0, bytes(9999), 0.0, None, None, None, None]]), "cell"),
    ("memory of a zero at NaN", past(channels=[["ECG", 0, b"", math.nan, None, None, None, None]]), "finite"),
    ("memory of lead 99", past(channels=[["ECG", 99, b"", 0.0, None, None, None, None]]), "leads"),
    ("memory of endless channels", past(channels=[["ECG", 0, b"", 0.0, None, None, None, None]] * 99), "channels"),
    ("memory of a choice of lead 99", past(choices={"ECG": [99, {}, {}, 0, {}]}), "leads"),
    ("memory of endless leads", past(choices={"ECG": [0, {i: 0 for i in range(99)}, {}, 0, {}]}), "leads"),
    ("memory of endless calls", past(usual=[[0] * 99, 0, {}, None]), "called"),
    ("memory of half a complex", past(usual=[[], 0, {}, [[ONE, False], 1.0, 80.0, 1.0]]), "length"),
    ("memory of a pulse of NaN", past(usual=[[], 0, {"ABP": [0, math.nan]}, None]), "finite"),
    ("worst value of NaN", MEMORY | {"alarms": {"standing": {"map.low": [0, math.nan, 0]}}}, "finite"),
    (
        "endless alarms",
        MEMORY | {"alarms": {"standing": {str(i): [0, 1.0, 0] for i in range(99)}}},
        "at most 64; found 99",
    ),
    ("said rhythm of nowhere", MEMORY | {"alarms": {"rhythm": "samba"}}, "rhythm"),
    ("said pulse of a nose", MEMORY | {"alarms": {"pulse": {"NOSE": "none"}}}, "modality"),
    ("tokens of float64", MEMORY | {"model": TOKENS | {"tokens": [ONE * 2, True]}}, "float32"),
    ("tokens of another shape", MEMORY | {"model": TOKENS | {"shape": [1, 2]}}, "length"),
    ("tokens without end", MEMORY | {"model": TOKENS | {"shape": [2**40, 2**40]}}, "at most 64 tokens"),
    ("a form of NaN", MEMORY | {"model": TOKENS | {"form": math.nan}}, "finite"),
    ("a pulse of no rate", MEMORY | {"model": TOKENS | {"look": [0.0, 1.0]}}, "rate"),
    ("a pleth of no rate", MEMORY | {"model": TOKENS | {"pleth": [0.0, 1.0]}}, "rate"),
    ("half a past", MEMORY | {"model": TOKENS | {"past": [ONE, False]}}, "length"),
    (
        "state of nowhere",
        {"t": "state", "v": 1, "bed": "b", "session": "s", "epoch": 0, "time_ns": 0, "state": {"ECG": "asleep"}},
        "state",
    ),
]


@pytest.mark.parametrize(("message", "says"), [pytest.param(m, s, id=i) for i, m, s in WRONG])
def test_what_is_wrong_is_said(message: dict[str, object] | bytes, says: str) -> None:
    data = message if isinstance(message, bytes) else msgspec.msgpack.encode(message)
    with pytest.raises(DecodeError, match=says):
        decode(data)


@given(st.floats(1e-3, 1e7))
def test_every_rate_that_is_read_can_be_resampled_and_no_other(rate: float) -> None:
    message = msgspec.msgpack.encode(TICK | {"chunks": [["ECG", "II", rate, 0, 0, b""]]})
    try:
        Resampler(rate)
    except BadInput:
        with pytest.raises(DecodeError, match="rate"):
            decode(message)
    else:
        decode(message)


def test_a_field_that_comes_twice_is_told_all_the_same() -> None:
    """msgspec refuses the first, what is looked at again is the last."""
    head = {key: value for key, value in TICK.items() if key != "chunks"}
    message = bytearray(msgspec.msgpack.encode(head | {"chunks": [["ECG", "II", 0.0, 0, 0, ONE]], "chunkz": 5}))
    message = message.replace(b"chunkz", b"chunks")
    with pytest.raises(DecodeError, match=r"rate lies within .* found another at"):
        decode(bytes(message))


def test_what_is_found_is_told_in_short() -> None:
    long = TICK | {"chunks": [["NOSE\x1b[2J" * 10_000, "II", 100.0, 0, 0, ONE]]}
    with pytest.raises(DecodeError, match="NOSE") as told:
        decode(msgspec.msgpack.encode(long))
    assert len(str(told.value)) < 300 and "\x1b" not in str(told.value)


def test_none_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="empty"):
        decode(None)
