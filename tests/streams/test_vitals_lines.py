"""The numbers beside CVP, PAP, ICP and CO2, and the respiratory rate of a capnogram."""

from __future__ import annotations

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.channels import map_channels
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.codec import decode, encode
from streams.records import VitalsRecord
from streams.vitals.capnogram import HELD_S, end_tidal
from streams.vitals.lines import LEAST_S, SPAN_S, mean_pressure
from tests.signals.waves import RATE, beat_times, ecg, pulse
from tests.streams.bedside import Bedside
from tests.streams.grids import vitals_over
from tests.streams.test_vitals_respiration import breathing

M = Modality


def capnogram(rate: float, seconds: float, top: float = 38.0, base: float = 0.0) -> np.ndarray:
    """mmHg: a rising plateau in half of each breath, and the heart's ripple of 1.5 mmHg on it."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = np.mod(t * rate / 60.0, 1.0)
    plateau = np.interp(phase, [0.0, 0.4, 0.45, 0.5, 0.9, 0.94, 1.0], [0.0, 0.0, 0.7, 0.9, 1.0, 0.0, 0.0])
    ripple = 0.75 * np.sin(2 * np.pi * 1.2 * t) * ((phase > 0.5) & (phase < 0.88))
    return base + (top - base) * plateau + ripple


@pytest.mark.parametrize("modality", [M.CVP, M.PAP, M.ICP])
def test_the_mean_is_that_of_the_last_seconds_and_of_nothing_before_a_break(modality: Modality) -> None:
    name = f"{modality.lower()}_mean"
    x = np.concatenate((np.full(30 * RATE, 8.0), np.full(30 * RATE, -3.0)))
    out = [getattr(v, name) for v in vitals_over({modality: x}, 60, {modality: (40, 45)})]
    assert out[: LEAST_S - 1] == [None] * (LEAST_S - 1) and out[LEAST_S] == 8.0
    assert out[30 + SPAN_S - 1] == -3.0 and out[30] == pytest.approx((7 * 8.0 - 3.0) / 8)
    assert out[39:44] == [None] * 5, "not measured: unknown, not an old number"
    assert out[44 : 44 + LEAST_S - 1] == [None] * (LEAST_S - 1) and out[44 + LEAST_S] == -3.0


def test_breathing_is_averaged_out() -> None:
    t = np.arange(120 * RATE) / RATE
    beats = beat_times(70, 120)
    x = pulse(beats, 120, 4.0, 8.0) + 4.0 * np.sin(2 * np.pi * 0.25 * t)
    out = [v.cvp_mean for v in vitals_over({M.CVP: x}, 118)][10:]
    assert np.ptp(out) < 0.6 and np.mean(out) == pytest.approx(float(np.mean(x)), abs=0.1)


def test_a_missing_sample_is_no_break() -> None:
    x = np.full(SPAN_S * RATE, 6.0, np.float32)
    x[403:406] = np.nan
    assert mean_pressure(x) == 6.0
    x[400:500] = np.nan
    assert mean_pressure(x) is None


@pytest.mark.recordings
def test_central_venous_pressure_is_that_of_the_monitor(recordings) -> None:  # type: ignore[no-untyped-def]
    """Against a Philips IntelliVue's own numeric over an operation, which it rounds to 1 mmHg."""
    channels = map_channels(open_recording(str(recordings / "vital" / "surgery1.vital")))
    times, said = channels.numerics("Intellivue/CVP_MEAN")
    off = []
    for at_s, value in zip(times.tolist(), said.tolist(), strict=True):
        if at_s < 700:  # the transducer was not on the patient before
            continue
        x = channels.read(M.CVP, round((at_s - SPAN_S) * 1e9), round(at_s * 1e9)).values
        if len(x) == SPAN_S * 125 and np.isfinite(x).all():
            mean = mean_pressure(np.repeat(x, 4)[::5][: SPAN_S * RATE].astype(np.float32))
            assert mean is not None
            off.append(abs(mean - value))
    assert len(off) > 1000 and np.percentile(off, 98) < 0.85 and np.mean(off) < 0.3


@pytest.mark.parametrize("rate", [5, 12, 40])
@pytest.mark.parametrize(("top", "base"), [(38.0, 0.0), (38.0, 12.0), (9.0, 0.0), (80.0, 0.0)])
def test_end_tidal_is_the_highest_of_each_breath(rate: float, top: float, base: float) -> None:
    """Also rebreathed, and of hardly any circulation; ripple of the heart makes no breaths."""
    x = capnogram(rate, 60, top, base).astype(np.float32)
    out = [end_tidal(x[max(0, (s - 20) * RATE) : s * RATE]) for s in range(26, 60)]
    assert all(value == pytest.approx(top, abs=max(1.0, 0.05 * top)) for value in out)


def test_a_fall_shows_with_the_next_breath() -> None:
    x = np.concatenate((capnogram(12, 60, 38.0), capnogram(12, 30, 11.0))).astype(np.float32)
    out = [end_tidal(x[(s - 20) * RATE : s * RATE]) for s in range(55, 75)]
    assert out[0] == pytest.approx(38.0, abs=1) and out[12] == pytest.approx(11.0, abs=1)


def test_without_a_breath_there_is_no_end_tidal_value() -> None:
    x = np.concatenate((capnogram(12, 40), 0.3 * np.random.default_rng(0).standard_normal(40 * RATE)))
    out = [v.etco2_wave for v in vitals_over({M.CO2: x}, 80)]
    assert out[38] is not None and out[39 + int(HELD_S) + 1 :] == [None] * len(out[39 + int(HELD_S) + 1 :])
    assert end_tidal(np.full(2000, np.nan, np.float32)) is None
    half = capnogram(12, 40)[: 20 * RATE + 250]  # in the middle of a breath
    assert end_tidal(half[-250:].astype(np.float32)[:200]) is None, "it is not known how high that one will be"


def test_a_gap_makes_no_breath() -> None:
    x = np.full(20 * RATE, 35.0, np.float32)
    x[:900] = 0.0
    x[900:1100] = np.nan
    assert end_tidal(x) is None


def test_a_capnogram_gives_the_rate_where_no_respiration_is_measured() -> None:
    both = {M.RESP: breathing(12, 60), M.CO2: capnogram(18, 60)}
    out = vitals_over(both, 58, {M.RESP: (50, 99)})
    assert (out[45].resp_source, out[45].resp_rate) == ("RESP", pytest.approx(12, abs=1))
    assert (out[55].resp_source, out[55].resp_rate) == ("CO2", pytest.approx(18, abs=1))


def test_a_capnogram_speaks_where_the_impedance_says_nothing_and_is_never_replaced_by_modulation() -> None:
    times = beat_times(75, 60)
    signals = {M.ECG: ecg(times, 60), M.PPG: pulse(times, 60, 0, 1), M.RESP: np.zeros(6000), M.CO2: capnogram(18, 60)}
    assert vitals_over(signals, 58)[-1].resp_source == "CO2"
    signals[M.CO2] = np.zeros(6000)
    assert all(v.resp_rate is None for v in vitals_over(signals, 58))


@pytest.mark.parametrize("waves", [(M.RESP,), (M.CO2,), (M.RESP, M.CO2)])
def test_slow_breathing_alarms_once_by_whichever_wave_there_is(waves: tuple[Modality, ...]) -> None:
    of = {M.RESP: breathing(5.0, 90), M.CO2: capnogram(5.0, 90)}
    bed = Bedside({m: of[m].astype(np.float32) for m in waves}).play(0, 90)
    begun = [change.key for _, change in bed.changes if change.kind == "physiological" and change.active]
    assert set(begun) == {"resp.low"} and list(bed.standing) == ["resp.low"]


def test_technical_conditions_are_low_ones() -> None:
    signals = {m: pulse(beat_times(70, 40), 40, 5.0, 9.0).astype(np.float32) for m in (M.CVP, M.PAP, M.ICP)}
    signals |= {M.CO2: capnogram(12, 40).astype(np.float32), M.AWP: 0.5 * capnogram(12, 40).astype(np.float32)}
    bed = Bedside(signals).play(0, 40, gone={m: (20, 40) for m in signals})
    assert {a.text: a.priority for a in bed.standing.values()} == {f"{m} NO SIGNAL": "low" for m in signals}
    assert bed.vitals[15].cvp_mean == pytest.approx(6.4, abs=0.8) and bed.vitals[-1].cvp_mean is None


def test_old_messages_are_read_and_say_nothing_of_the_new_numbers() -> None:
    import msgspec

    new = VitalsRecord(bed="a", session="s", epoch=0, time_ns=1, hr=70.0, cvp_mean=8.0, etco2_wave=38.0)
    assert decode(encode(new)) == new
    fields = msgspec.msgpack.decode(encode(new))
    for name in ("cvp_mean", "pap_mean", "icp_mean", "etco2_wave"):
        fields.pop(name, None)
    old = decode(msgspec.msgpack.encode(fields))
    assert isinstance(old, VitalsRecord) and (old.hr, old.cvp_mean, old.etco2_wave) == (70.0, None, None)


def test_they_are_in_no_window() -> None:
    """A model's windows are the same with and without them."""
    from streams.windower import BedWindower

    def windows(extra: bool) -> list[bytes]:
        beats = beat_times(72, 40)
        bed = Bedside({M.ECG: ecg(beats, 40).astype(np.float32), M.ABP: pulse(beats, 40, 60, 110).astype(np.float32)})
        if extra:
            bed.signals = {**bed.signals, M.CVP: np.full(4000, 8.0, np.float32), M.CO2: capnogram(12, 40).astype("f4")}
        found: list[bytes] = []
        made = BedWindower(WindowSpec(frames=3), Accounting())
        bed._windower = made
        handle = made.handle

        def keep(tick, at):  # type: ignore[no-untyped-def]
            handled = handle(tick, at)
            found.extend(job.window.signals.tobytes() + job.window.context.tobytes() for job in handled.windows)
            return handled

        made.handle = keep  # type: ignore[method-assign]
        bed.play(0, 40)
        return found

    assert windows(False) == windows(True) and len(windows(True)) > 20


def test_an_unzeroed_transducer_is_out_of_range_and_has_no_number() -> None:
    bed = Bedside({M.CVP: (-42.0 + 0.5 * np.sin(np.arange(3000) / 30)).astype(np.float32)}).play(0, 30)
    assert bed.states[-1].state["CVP"] == Absence.OUT_OF_RANGE.value and bed.vitals[-1].cvp_mean is None
    assert bed.standing["technical.CVP"].text == "CVP OUT OF RANGE"
