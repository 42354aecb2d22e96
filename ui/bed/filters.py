"""The display filter: what a monitor calls "monitor mode" (0.5-40 Hz ECG), for the drawn trace only.

High-pass: one pole, as monitors have it (AAMI EC13 monitoring band, 0.5 Hz), run in blocks by a scaled cumulative
sum. Low-pass: a symmetric Hamming-windowed sinc of at most ``2 * delay + 1`` samples; its delay is taken back by
writing the output ``delay`` samples earlier, so the trace keeps its time, and the play-out margin covers the wait.
Missing samples stay missing: the low-pass weighs only what is there, the high-pass starts anew after a gap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_BLOCK_S = 1.0  # exp(2 pi * 0.5 * 1.0) = 23: the scaled cumulative sum keeps 14 of float64's 15 digits


class DisplayFilter:
    """Causal band-pass for one channel; :meth:`push` takes consecutive samples and returns those now complete.

    rate_hz: of the channel. low_hz, high_hz: corners. max_delay_s: the longest look-ahead of the low-pass.
    A low-pass at or above 45 % of the rate is left out, since the samples hold nothing there.
    """

    def __init__(self, rate_hz: float, low_hz: float, high_hz: float, max_delay_s: float) -> None:
        self.delay = int(max_delay_s * rate_hz) if high_hz < 0.45 * rate_hz else 0
        n = np.arange(-self.delay, self.delay + 1)
        taps = np.sinc(2.0 * high_hz / rate_hz * n) * np.hamming(len(n)) if self.delay else np.ones(1)
        self._taps: Float64 = taps / taps.sum()
        self._decay = float(np.exp(-2.0 * np.pi * low_hz / rate_hz))
        self._block = max(1, int(_BLOCK_S * rate_hz))
        self._history: Float64 = np.full(2 * self.delay, np.nan)
        self._previous = np.nan  # last input of the high-pass, NaN: start anew
        self._output = 0.0

    def push(self, values: Float32) -> Float32:
        """Filter ``values`` [n]; the result [n] belongs to the indices ``delay`` samples earlier."""
        padded = np.concatenate((self._history, values.astype(np.float64)))
        if self.delay:
            self._history = padded[len(padded) - 2 * self.delay :]
        return self._high_pass(self._low_pass(padded)).astype(np.float32)

    def _low_pass(self, padded: Float64) -> Float64:
        if not self.delay:
            return padded
        there = np.isfinite(padded)
        centre = there[self.delay : len(padded) - self.delay]
        total = np.convolve(np.where(there, padded, 0.0), self._taps, "valid")
        if there.all():
            return total
        weight = np.convolve(there.astype(np.float64), self._taps, "valid")
        # Beside a gap the remaining taps may nearly cancel; there the sample itself is the better estimate.
        usable = centre & (weight > 0.3)
        out = np.where(centre, padded[self.delay : len(padded) - self.delay], np.nan)
        out[usable] = total[usable] / weight[usable]
        return out

    def _high_pass(self, x: Float64) -> Float64:
        out = np.full(len(x), np.nan)
        there = np.isfinite(x)
        if not there.any():
            if len(x):
                self._previous = np.nan
            return out
        edges = np.flatnonzero(np.diff(np.concatenate(([False], there, [False])).astype(np.int8)))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):  # one turn a run without gaps
            if begin > 0 or not np.isfinite(self._previous):
                self._previous, self._output = float(x[begin]), 0.0
            for at in range(begin, end, self._block):
                run = x[at : min(end, at + self._block)]
                step = np.diff(run, prepend=self._previous) * (1.0 + self._decay) / 2.0
                power = self._decay ** np.arange(1, len(run) + 1)
                y = power * (self._output + np.cumsum(step / power))
                out[at : at + len(run)] = y
                self._previous, self._output = float(run[-1]), float(y[-1])
        if not there[-1]:
            self._previous = np.nan
        return out
