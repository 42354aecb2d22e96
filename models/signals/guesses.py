"""What an unknown track might be, by its unit, rate and shape: offered to the user, never taken.

The rules are those by which a person tells the signals apart on paper: a pressure in mmHg that swings between 60 and
130 once a second is arterial; a voltage that is flat but for a spike a second is an ECG, one without any beat and of
tens of microvolts an EEG; a smooth wave without a unit follows the pulse or the breath. Where no rule fits, nothing is
said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.recording import Recording, Track, TrackKind
from models.signals.units import factor, symbol

LOOK_S = 20.0
"""Length of the stretch that is looked at."""
PLACES = (0.5, 0.25, 0.75, 0.05, 0.95)
"""Where in the track it is looked for, as fractions of its length: the first with enough samples counts."""
LEAST_SHARE = 0.8
PULSE_HZ, BREATH_HZ = (0.6, 3.5), (0.1, 0.6)
"""A heart of 36 to 210 per minute; 6 to 36 breaths."""
PERIODIC = 0.5
"""Autocorrelation at the period from which on a wave repeats itself."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Guess:
    """``track`` looks like ``modality``; ``why``: the evidence as a clause."""

    track: str
    modality: Modality
    why: str

    def __str__(self) -> str:
        return f"{self.track!r} looks like {self.modality} ({self.why}), a guess"


def guess(recording: Recording, track: Track) -> Guess | None:
    """What a wave track might be, None where nothing speaks for any modality. Reads some twenty seconds of it."""
    rate = track.rate_hz or 0.0
    if track.kind is not TrackKind.WAVE or track.declared or not 5.0 <= rate <= 10_000.0:
        return None
    values = _stretch(recording, track)
    if values is None:
        return None
    found = _judge(values, rate, track.unit.strip())
    return Guess(track.name, found[0], f"{track.unit.strip() or 'no unit'}, {rate:g} Hz, {found[1]}") if found else None


def guesses(
    recording: Recording, wanted: Modality | None = None, leave_out: frozenset[str] = frozenset()
) -> list[Guess]:
    """Guesses for the tracks that are not in ``leave_out``, of ``wanted`` only where it is given."""
    found = [guess(recording, track) for track in recording.tracks if track.name not in leave_out]
    return [g for g in found if g is not None and (wanted is None or g.modality == wanted)]


def _stretch(recording: Recording, track: Track) -> FloatArray | None:
    """Some seconds of the track that are mostly there, short gaps bridged; None where there are none."""
    length = track.end_s - track.start_s
    for place in PLACES:
        begin = track.start_s + max(0.0, place * length - LOOK_S / 2)
        try:
            values = recording.read(track.name, begin, begin + LOOK_S).values.astype(np.float64)
        except BadInput:
            return None
        known = np.isfinite(values)
        if len(values) >= 4.0 * (track.rate_hz or 0.0) and known.mean() >= LEAST_SHARE:
            index = np.arange(len(values))
            return np.interp(index, index[known], values[known])
    return None


def _judge(values: FloatArray, rate: float, unit: str) -> tuple[Modality, str] | None:
    low, high = (float(x) for x in np.percentile(values, (1, 99)))
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        return None
    pressure = _in_unit(unit, "mmHg")
    if pressure:
        return _judge_pressure(values * pressure, rate, gas=symbol(unit) in ("mmHg", "kPa"))  # airways have cmH2O
    voltage = _in_unit(unit, "uV")
    if voltage and (found := _judge_voltage(values * voltage, rate)):
        return found
    if not voltage or unit.casefold() in ("v", "mv"):  # a pulse wave is often in volts of its amplifier
        return _judge_smooth(values, rate)
    return None


def _judge_pressure(mmhg: FloatArray, rate: float, *, gas: bool) -> tuple[Modality, str] | None:
    low, high = (float(x) for x in np.percentile(mmhg, (5, 95)))
    beat = _rhythm(mmhg, rate, PULSE_HZ)
    if beat and 25 <= float(mmhg.mean()) <= 180 and 12 <= high - low <= 160 and low > 5:
        return Modality.ABP, f"{high:.0f} over {low:.0f} at {60 * beat:.0f}/min"
    breath = _rhythm(mmhg, rate, BREATH_HZ) if gas else None
    if breath and -2 <= low <= 10 and 15 <= high <= 80:
        return Modality.CO2, f"up to {high:.0f} at {60 * breath:.0f}/min, as CO2 is"
    return None


def _judge_voltage(uv: FloatArray, rate: float) -> tuple[Modality, str] | None:
    if rate < 60:
        return None
    flat = _without_drift(uv, rate)
    steep = np.abs(np.diff(flat))
    level = np.median(steep)
    spiky = float(np.percentile(steep, 99) / level) if level > 0 else np.inf
    swing = float(np.ptp(np.percentile(flat, (0.5, 99.5))))
    beat = _rhythm(_smoothed(steep, rate, 0.1), rate, PULSE_HZ)
    if beat and spiky > 6 and 100 <= swing <= 20_000:
        return Modality.ECG, f"spikes of {swing / 1000:.1g} mV at {60 * beat:.0f}/min"
    robust = 1.4826 * float(np.median(np.abs(uv - np.median(uv))))
    if not beat and spiky < 8 and 2 <= robust <= 150:
        return Modality.EEG, f"{robust:.0f} µV without a beat"
    return None


def _judge_smooth(values: FloatArray, rate: float) -> tuple[Modality, str] | None:
    if _share_above(values, rate, 12.0) > 0.05:
        return None
    breath, beat = _rhythm(values, rate, BREATH_HZ), _rhythm(_without_drift(values, rate), rate, PULSE_HZ)
    slow = _share_above(values, rate, BREATH_HZ[1]) < 0.3
    if breath and slow:
        return Modality.RESP, f"a smooth wave at {60 * breath:.0f}/min"
    if beat and not slow:
        return Modality.PPG, f"a smooth wave at {60 * beat:.0f}/min"
    return None


def _in_unit(unit: str, target: str) -> float:
    """Factor to ``target``; 0 where the unit measures something else."""
    try:
        return factor(unit, target)
    except BadInput:
        return 0.0


def _rhythm(values: FloatArray, rate: float, band_hz: tuple[float, float]) -> float | None:
    """Frequency of the strongest period in the band, None where the wave does not repeat itself."""
    x = values - values.mean()
    power = np.abs(np.fft.rfft(x, 2 * len(x))) ** 2
    correlation = np.fft.irfft(power)[: len(x)]
    if correlation[0] <= 0:
        return None
    correlation = correlation / correlation[0] * len(x) / (len(x) - np.arange(len(x)))
    first, last = int(rate / band_hz[1]), min(int(rate / band_hz[0]), len(x) // 2)
    if last - first < 2:
        return None
    lag = first + int(np.argmax(correlation[first : last + 1]))
    inside = first < lag < last and correlation[lag] >= max(correlation[lag - 1], correlation[lag + 1])
    return rate / lag if inside and correlation[lag] >= PERIODIC else None


def _without_drift(values: FloatArray, rate: float) -> FloatArray:
    return values - _smoothed(values, rate, 1.0)


def _smoothed(values: FloatArray, rate: float, seconds: float) -> FloatArray:
    """Moving mean; the ends are means of what is there."""
    width = max(1, round(seconds * rate))
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _share_above(values: FloatArray, rate: float, edge_hz: float) -> float:
    """Share of the power without the mean above a frequency."""
    power = np.abs(np.fft.rfft((values - values.mean()) * np.hanning(len(values)))) ** 2
    frequencies = np.fft.rfftfreq(len(values), 1 / rate)
    total = float(power.sum())
    return float(power[frequencies > edge_hz].sum()) / total if total else 0.0
