"""Depth of anaesthesia by a published rule, as a second opinion beside a learned one: openibis. It is not BIS.

Connor, "Open Reimplementation of the BIS Algorithms for Depth of Anesthesia", Anesth Analg 2022; 135:855–864, written
anew from its equations. On the twelve patients of that paper it differs from an A-2000 monitor by 2.6 ± 12.0.

Every half second, from the EEG at 128 Hz in µV (x, each time without its straight line):

    suppressed   |x| ≤ 5 µV throughout the last second; BSR: the suppressed share of the last 63 s, in per cent
    spectrum     of two seconds, Blackman taper, after a second-order Butterworth high-pass of 0.65 Hz; none where one
                 of the four half seconds is suppressed; damped below 6 Hz where a sawtooth (a K-complex) fits
    of 30 s      sedation  30–47 Hz less the upper half of 11–20 Hz, dB
                 general   concentration of 39.5–47 Hz over that of 0.5–47 Hz, dB, mean of the middle half
                 slow      0.5–4 Hz less the upper half of 11–20 Hz, dB
    scores       S(sedation), a logistic curve; G(general), a line that goes over into one; B = 50 − BSR / 2
    index        S and G, G weighing more the more is slow and only where it is the lower; squeezed into 0–100; B takes
                 its place as BSR goes from 10 to 50 %

The constants are those of the paper's listing, which several independent transcriptions give alike. The one that they
do not, the general score at −30 dB (43.1; one has "43-1"), is settled by the listing itself: with 43.1 line and curve
meet with one slope (2.690 and 2.689 per dB; with 42 the line has 2.655).

What the paper has no rule for, and what is done here: a missing sample belongs to nothing (a spectrum needs a second
of EEG before it, for the filter, and no gap within); with fewer than 15 s of EEG in the last 30, or 30 in the last 63,
there is no index; where nothing but suppression was seen for 30 s, so that there is no spectrum at all, B is the index;
and where the amplifier takes away what is above 30 Hz, there is none: it would be taken for the depth of anaesthesia.
An awake volunteer's 92 became 55 behind a low-pass of 30 Hz of the fourth order, and 23 behind one of the eighth. The
limit was set on that recording and on simulated patients; filters that fall more gently are not told (second order:
81).

Every number is a function of the last 64 s of samples, however they came: no state is older than that.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RATE_HZ = 128
STRIDE = RATE_HZ // 2
SPAN_S = 64
"""Seconds of samples that an index hangs on."""

SUPPRESSED_UV = 5.0
SUPPRESSED_SAMPLES, SUPPRESSION_STRIDES = 2 * STRIDE, 126  # a second; 63 s
EPOCH, EPOCH_FLAGS, AFTER_EPOCH = 4 * STRIDE, 4, STRIDE // 2  # a spectrum ends a quarter of a second before its flag
SETTLING, LEAST_SETTLING = 8 * STRIDE, 2 * STRIDE  # of the high-pass: four seconds, one where there are no more
HIGH_PASS_HZ = 0.65
SPECTRA = 60  # 30 s

BIN_HZ = 0.5
SEDATION_HZ, MIDDLE_HZ, SLOW_HZ = (30.0, 47.0), (11.0, 20.0), (0.5, 4.0)
FAST_HZ, WHOLE_HZ = (39.5, 46.5), (0.5, 46.5)  # of the lower one of each pair of neighbours
BELOW_EDGE_HZ, ABOVE_EDGE_HZ, MOST_EDGE_DB = (26.0, 30.0), (40.0, 44.0), 11.0  # brains fall by 8 dB and less
TRIMMED = 0.5  # share of the general component that is left out, the smallest and the largest
SAWTOOTH_RISE, SAWTOOTH_FIT, SAWTOOTH_LEAST_UV2 = 5, 0.63, 10.0
DAMPING = ((0.0, 3.0, 6.0), (0.0, 0.25, 1.0))  # Hz, amplitude

SEDATION_CURVE = (104.4, 49.4, -13.9, 5.29)
GENERAL_LINE, GENERAL_CURVE, GENERAL_KNEE_DB = ((-60.89, -30.0), (-40.0, 43.1)), (61.3, 72.6, -24.0, 3.55), -30.0
SUPPRESSION_LINE = ((0.0, 100.0), (50.0, 0.0))
GENERAL_WEIGHT, SUPPRESSION_WEIGHT = ((0.0, 5.0), (0.5, 1.0)), ((10.0, 50.0), (0.0, 1.0))
SQUEEZE = ((-40.0, 10.0, 97.0, 110.0), (0.0, 10.0, 97.0, 100.0))

LEAST_KNOWN, LEAST_FLAGS = 30, 60  # half seconds: of the last 30 s, and of the last 63
SUPPRESSED_THROUGHOUT = 0.9  # weight of B from which it may stand alone
_MEMORY = SETTLING + EPOCH + AFTER_EPOCH
_SEDATION, _GENERAL, _SLOW, _EDGE, _MIDDLE = 0, 1, 2, 3, slice(4, None)  # columns of what is kept of a spectrum
_TINY = 1e-300  # power of nothing at all, for its logarithm


class Openibis:
    """The index of one EEG channel: feed it samples in order, read it at any time."""

    def __init__(self) -> None:
        self._recent: Floats = np.full(_MEMORY, np.nan)
        self._pending: Floats = np.empty(0)
        self._wanted = STRIDE // 2  # samples to the next flag: the paper's, on a recording that begins here
        self._flags: Floats = np.full(SUPPRESSION_STRIDES, np.nan)  # 1 suppressed, 0 not, NaN unknown; newest last
        self._spectra: Floats = np.full((SPECTRA, _MIDDLE.start + len(_bins(MIDDLE_HZ))), np.nan)

    def add(self, samples: npt.ArrayLike) -> None:
        """Take in ``samples`` [n] of 128 Hz in µV, NaN where missing or not to be counted; any n at a time."""
        self._pending = np.concatenate((self._pending, np.asarray(samples, dtype=np.float64)))
        while len(self._pending) >= self._wanted:
            fresh, self._pending = self._pending[: self._wanted], self._pending[self._wanted :]
            self._recent = np.concatenate((self._recent, fresh))[-_MEMORY:]
            self._wanted = STRIDE
            self._stride()

    @property
    def suppression_percent(self) -> float | None:
        """BSR: how much of the last 63 s was suppressed; None with fewer than 30 s known."""
        known = self._flags[np.isfinite(self._flags)]
        return 100.0 * float(known.mean()) if len(known) >= LEAST_FLAGS else None

    @property
    def index(self) -> float | None:
        """0 (no activity) to 100 (awake), None where it is unknown."""
        suppression = self.suppression_percent
        spectra = self._spectra[np.isfinite(self._spectra[:, _SEDATION])]
        suppressed = np.count_nonzero(self._flags[-SPECTRA:] == 1.0)
        if suppression is None or len(spectra) + suppressed < LEAST_KNOWN:
            return None
        if not len(spectra):
            alone = _line(suppression, SUPPRESSION_WEIGHT) > SUPPRESSED_THROUGHOUT
            return _line(suppression, SUPPRESSION_LINE) if alone else None
        if float(spectra[:, _EDGE].mean()) > MOST_EDGE_DB:
            return None
        return mixed(components(spectra), suppression)

    def _stride(self) -> None:
        """Half a second is complete: its flag, and the spectrum that ends a quarter of a second before it."""
        last = self._recent[-SUPPRESSED_SAMPLES:]
        flag = np.nan
        if np.isfinite(last).all():
            flag = float(np.abs(_without_line(last)).max() <= SUPPRESSED_UV)
        self._flags = np.append(self._flags[1:], flag)
        row = np.full(self._spectra.shape[1], np.nan)
        epoch = self._recent[-EPOCH - AFTER_EPOCH : -AFTER_EPOCH]
        before = self._recent[: -EPOCH - AFTER_EPOCH]
        missing = np.flatnonzero(~np.isfinite(before))
        settled = before[missing[-1] + 1 :] if len(missing) else before
        awake = (self._flags[-EPOCH_FLAGS:] == 0.0).all()
        if awake and len(settled) >= LEAST_SETTLING and np.isfinite(epoch).all():
            row = _kept(spectrum(epoch, settled))
        self._spectra = np.concatenate((self._spectra[1:], row[None]))


def spectrum(epoch: Floats, before: Floats) -> Floats:
    """Power [128] at 0, 0.5 … 63.5 Hz of two seconds [256] at 128 Hz, high-passed from the first of ``before`` on."""
    filtered = high_passed(np.concatenate((before, epoch)))[-EPOCH:]
    taper, damping, _ = _shapes()
    amplitude = np.abs(np.fft.rfft(taper * _without_line(filtered))[: EPOCH // 2])
    power: Floats = amplitude**2 * (2.0 / EPOCH)
    return power * damping if has_sawtooth(epoch) else power


def high_passed(x: Floats) -> Floats:
    """x [n ≤ 768] after the Butterworth high-pass, which knew nothing but the first value of x before."""
    size = 2 * _MEMORY
    return np.asarray(np.fft.irfft(np.fft.rfft(x - x[0], size) * _response(size), size)[: len(x)])


def has_sawtooth(epoch: Floats) -> bool:
    """Whether half a second of ``epoch`` [256] is a rising or falling sawtooth, at a correlation² above 0.63."""
    _, _, saw = _shapes()
    x = epoch - epoch.mean()
    sums = np.cumsum(np.concatenate(([[0.0], [0.0]], (x, x * x)), axis=1), axis=1)
    mean, square = (sums[:, STRIDE:-1] - sums[:, : -STRIDE - 1]) / STRIDE
    variance = square - mean * mean
    covariance = np.maximum(np.abs(np.correlate(x, saw, "valid")), np.abs(np.correlate(x, saw[::-1], "valid")))[:-1]
    fits = np.square(covariance / STRIDE) > SAWTOOTH_FIT * variance
    return bool((fits & (variance > SAWTOOTH_LEAST_UV2)).any())


def components(spectra: Floats) -> tuple[float, float, float]:
    """Sedation, general and slow component in dB of what is kept of the known spectra [n ≥ 1]."""
    bands = np.sort(spectra[:, _MIDDLE].mean(axis=0))
    middle = float(bands[len(bands) // 2 :].mean())
    general = np.sort(spectra[:, _GENERAL])
    out = int(np.ceil(len(general) * TRIMMED / 2 - 0.5))  # at each end; to the nearest, of two alike the smaller
    return (
        float(spectra[:, _SEDATION].mean()) - middle,
        float(general[out : len(general) - out].mean()),
        float(spectra[:, _SLOW].mean()) - middle,
    )


def mixed(parts: tuple[float, float, float], suppression_percent: float) -> float:
    """The index, 0–100, of the components in dB and the burst-suppression ratio in per cent."""
    sedation_db, general_db, slow_db = parts
    sedation = _curve(sedation_db, SEDATION_CURVE)
    general = _line(general_db, GENERAL_LINE)
    if general_db >= GENERAL_KNEE_DB:
        general += _curve(general_db, GENERAL_CURVE)
    weight = _line(slow_db, GENERAL_WEIGHT) if general < sedation else 0.0
    active = _line(sedation * (1.0 - weight) + general * weight, SQUEEZE)
    suppressed = _line(suppression_percent, SUPPRESSION_WEIGHT)
    return active * (1.0 - suppressed) + _line(suppression_percent, SUPPRESSION_LINE) * suppressed


def _kept(power: Floats) -> Floats:
    """Of a spectrum [128], in dB: sedation band, general component, slow band, fall from 28 to 42 Hz, and each bin of
    the middle band."""
    fast, whole = _bins(FAST_HZ), _bins(WHOLE_HZ)
    pairs = power[:-1] * power[1:]
    concentration = np.sqrt(max(float(pairs[fast].mean()), _TINY) / max(float(pairs[whole].mean()), _TINY))
    decibels = 10.0 * np.log10(np.maximum(power, _TINY))
    edge = decibels[_bins(BELOW_EDGE_HZ)].mean() - decibels[_bins(ABOVE_EDGE_HZ)].mean()
    sedation, slow = decibels[_bins(SEDATION_HZ)].mean(), decibels[_bins(SLOW_HZ)].mean()
    means = (sedation, 10.0 * np.log10(concentration), slow, edge)
    return np.concatenate((means, decibels[_bins(MIDDLE_HZ)]))


@lru_cache(maxsize=16)
def _bins(band_hz: tuple[float, float]) -> npt.NDArray[np.intp]:
    return np.arange(round(band_hz[0] / BIN_HZ), round(band_hz[1] / BIN_HZ) + 1)


@lru_cache(maxsize=1)
def _shapes() -> tuple[Floats, Floats, Floats]:
    """The taper of a spectrum [256] of unit power, what a sawtooth leaves of it [128], and the sawtooth [64]."""
    taper: Floats = np.blackman(EPOCH).astype(np.float64)
    saw = np.concatenate((np.zeros(STRIDE - SAWTOOTH_RISE), np.arange(1.0, SAWTOOTH_RISE + 1)))
    damping = np.interp(np.arange(EPOCH // 2) * BIN_HZ, *DAMPING) ** 2
    return taper / np.sqrt(np.sum(taper**2)), damping, (saw - saw.mean()) / saw.std()


@lru_cache(maxsize=1)
def _response(size: int) -> npt.NDArray[np.complex128]:
    """Of the high-pass, the bilinear transform of the analogue one, as its impulse response has it in ``size`` samples
    (it has died away in half of them)."""
    k = np.tan(np.pi * HIGH_PASS_HZ / RATE_HZ)
    a0 = 1.0 + np.sqrt(2.0) * k + k * k
    a1, a2 = 2.0 * (k * k - 1.0) / a0, (1.0 - np.sqrt(2.0) * k + k * k) / a0
    impulse = np.zeros(size)
    y1 = y2 = 0.0
    for i, b in enumerate((1.0, -2.0, 1.0) + (0.0,) * (size // 2 - 3)):
        impulse[i] = b / a0 - a1 * y1 - a2 * y2
        y1, y2 = impulse[i], y1
    return np.asarray(np.fft.rfft(impulse))


@lru_cache(maxsize=4)
def _line_basis(n: int) -> Floats:
    t = np.arange(n) - 0.5 * (n - 1)
    return np.asarray(t / np.sqrt(np.sum(t * t)))


def _without_line(x: Floats) -> Floats:
    """x less the straight line that fits it best."""
    line = _line_basis(len(x))
    x = x - x.mean()
    return np.asarray(x - line * float(np.sum(line * x)))


def _line(x: float, line: tuple[tuple[float, ...], tuple[float, ...]]) -> float:
    """Piecewise linear, and level beyond both ends."""
    return float(np.interp(x, *line))


def _curve(x: float, curve: tuple[float, float, float, float]) -> float:
    """Logistic, as the paper writes it: E0 − Emax / (1 + exp((x − x50) / width))."""
    base, height, middle, width = curve
    return float(base - height / (1.0 + np.exp(np.clip((x - middle) / width, -500.0, 500.0))))
