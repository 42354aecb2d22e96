"""May this backend serve? It is run on the bundle's golden cases and must give what the fp32 reference gave.

Tried per bucket, all cases in few batches: every value finite; within :data:`LIMITS` of the reference; the same bits
whatever lies under the mask; the same for a case with other neighbours or with padding; the same bits by replay as by
the plain run. One failure and it does not serve: the result says the first one in a sentence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from models.runtime.backend import Arrays, Backend, HasBuckets, Precision, Replays
from models.runtime.buckets import padded, portions, rows_of
from models.runtime.bundle import GOLDEN_BASE, Bundle
from models.runtime.spec import MEMORY_INPUT, BundleSpec
from models.signals.errors import BackendFailed

RULES = 1
"""Version of what is tried here: a stored result of another one counts for nothing."""
BATCHES = (1, 3, 32)
"""What a backend without buckets is tried with: alone, an odd batch, more than one tile of any kernel."""
SPOT_CASES = 8
BATCH_SHARE = 0.25
"""What neighbours and padding may change, as a share of the limit: rounding at another place in a tile, no more. ONNX
Runtime's fp16 kernels, which differ from batch to batch, need 0.06."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Largest difference from the fp32 reference. columns: of the output's last axis. relative: to the largest
    magnitude (span: to the peak-to-peak of each case) of the reference, else in ``unit``."""

    outputs: tuple[str, ...]
    fp32: float
    fp16: float
    bf16: float
    unit: str = ""
    columns: tuple[int, int | None] = (0, None)
    relative: str = ""

    def of(self, precision: Precision) -> float:
        """The limit at this precision."""
        return {"fp32": self.fp32, "fp16": self.fp16, "bf16": self.bf16}[precision]


LIMITS: tuple[Limit, ...] = (
    # fp32 is the noise of summing in another order, times ten or more, so that TF32 or a wrong constant is found out.
    # fp16 is what a user could not see; bf16, with three bits less of mantissa, may be seen but not change a reading.
    # A risk is shown in whole percent.
    Limit(("risk", "risk_lo", "risk_hi"), 5e-4, 0.01, 0.02),
    # Shown in whole points of 100; half a point rounds to the neighbour at most.
    Limit(("depth",), 0.05, 0.5, 1.5, "points"),
    # Shown in whole mmHg; manometers are sound within 5 mmHg, and 1.5 is less than one beat differs from the next.
    Limit(("pressure",), 0.05, 0.5, 1.5, "mmHg"),
    # A pixel of a pressure lane is about 0.5 mmHg; peaks of a wave are steeper than the numbers taken from it.
    Limit(("abp_wave",), 0.05, 1.0, 3.0, "mmHg"),
    # A PPG has arbitrary units: a share of the pulse's own height, which fills its lane of some 100 pixels.
    Limit(("ppg_wave",), 5e-4, 0.02, 0.06, relative="span"),
    # 0.05 mV is half a millimetre of paper, the smallest deflection that is read.
    Limit(("ecg_wave",), 5e-4, 0.02, 0.05, "mV"),
    # 0.02 of log10 power is 5 % or 0.2 dB, below what two neighbouring windows of the same EEG differ by.
    Limit(("eeg_features",), 1e-3, 0.02, 0.06, "log10 uV^2", (0, 5)),
    # The spectral edge is shown with one decimal and estimated in steps of 0.25 to 0.5 Hz.
    Limit(("eeg_features",), 0.01, 0.25, 0.75, "Hz", (5, 6)),
    # The suppression ratio is shown in whole percent.
    Limit(("eeg_features",), 5e-4, 0.01, 0.02, "", (6, 7)),
    # Representations are not shown; what is read off them is limited above. Here a broken layer must show: rounding
    # is 3e-3 of the largest value in the shipped model's fp16 (measured), and eight times that in bf16.
    Limit(("tokens", "restored_tokens", "fused"), 5e-4, 0.02, 0.08, relative="largest"),
)


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """passed, or ``reason``: the first failure in one sentence. worst: output -> largest difference from the
    reference, in the units of :data:`LIMITS`; share: the largest of them as a share of its limit. rules: what was
    tried, by which limits, on which golden cases (see :func:`rules_of`)."""

    passed: bool
    reason: str
    backend: str
    precision: str
    buckets: list[int]
    cases: int
    worst: dict[str, float]
    share: float
    rules: str

    def words(self) -> str:
        """For a line of text: what passed and how narrowly, or why not."""
        if not self.passed:
            return f"the gate refuses it: {self.reason}"
        tried = f"{self.cases} cases in batches of {', '.join(map(str, self.buckets))}"
        return f"the gate passes it ({tried}; at most {self.share:.2g} of what may differ)"


def rules_of(bundle: Bundle) -> str:
    """Identifies the gate for ``bundle``: its golden cases, the limits and the version of the rules."""
    digest = hashlib.sha256(f"{RULES} {BATCHES} {BATCH_SHARE} {LIMITS}".encode())
    digest.update((bundle.path / "golden.npz").read_bytes())
    return digest.hexdigest()[:16]


def gate(bundle: Bundle, backend: Backend, reference: Backend | None = None) -> GateResult:
    """The whole gate. ``reference``: an fp32 backend that says what ``tokens`` should be, which golden cases leave out;
    without it they are only checked for being finite and the same whatever the batch."""
    return _Gate(bundle, backend, reference).whole()


def spot_check(bundle: Bundle, backend: Backend) -> GateResult:
    """One batch of at most eight golden cases, finite and within the limits: for the fp32 reference itself, whose graph
    gave these very values when it was exported. Some 0.15 s on one core, of which half is reading the cases."""
    return _Gate(bundle, backend, None).spot()


class _Refused(Exception):
    """The sentence that says why."""


class _Gate:
    def __init__(self, bundle: Bundle, backend: Backend, reference: Backend | None) -> None:
        self._spec, self._backend, self._reference = bundle.spec, backend, reference
        self._precision = backend.info.precision
        self._rules = rules_of(bundle)
        golden = bundle.golden()
        self._names = list(golden)
        self._golden = golden
        self._worst: dict[str, float] = {}
        self._share = 0.0

    def whole(self) -> GateResult:
        backend = self._backend
        buckets = sorted(backend.buckets) if isinstance(backend, HasBuckets) else list(BATCHES)
        try:
            inputs, expected = self._cases(self._names)
            missing = (self._spec.given & {"tokens"}) - set(expected)
            if self._reference is not None and missing:
                given = self._reference.run(inputs)
                expected |= {name: _defined(name, given[name], inputs) for name in missing}
            other = _refilled(inputs, self._spec)
            alone: Arrays | None = None
            for before, bucket in zip([0, *buckets], buckets, strict=False):
                found = self._batches(inputs, bucket)
                self._agrees(found, expected, f"in batches of {bucket}")
                self._hides(inputs, found, self._batches(other, bucket), bucket)
                if isinstance(backend, Replays):
                    plain = self._batches(inputs, bucket, plain=True)
                    self._same(found, plain, bucket, "differs between replay and plain run")
                if bucket > 1 and isinstance(backend, HasBuckets):
                    self._near(self._sparse(inputs, before, bucket), found, bucket)
                elif alone is not None:
                    self._near(alone, found, bucket)
                alone = alone or found
        except _Refused as refusal:
            return self._result(str(refusal), buckets)
        return self._result("", buckets)

    def spot(self) -> GateResult:
        names = _spread(self._names, SPOT_CASES)
        try:
            inputs, expected = self._cases(names)
            self._names = names
            self._agrees(self._run(inputs), expected, f"in a batch of {len(names)}")
        except _Refused as refusal:
            return self._result(str(refusal), [len(names)])
        return self._result("", [len(names)])

    def _result(self, reason: str, buckets: list[int]) -> GateResult:
        return GateResult(
            passed=not reason, reason=reason, backend=self._backend.info.name, precision=self._precision,
            buckets=buckets, cases=len(self._names), worst=self._worst, share=self._share, rules=self._rules,
        )  # fmt: skip

    # -- what is run --------------------------------------------------------------------------------------------------

    def _cases(self, names: Sequence[str]) -> tuple[Arrays, Arrays]:
        """Inputs and expected outputs of these cases, one row each."""
        if not names:
            raise _Refused("the bundle has no golden cases to try it with")
        cases = [self._golden[name] for name in names]
        return _stacked([inputs for inputs, _ in cases]), _stacked([outputs for _, outputs in cases])

    def _run(self, inputs: Arrays, plain: bool = False) -> Arrays:
        """Outputs, with what is undefined (tokens of absent frames) blanked."""
        backend = self._backend
        try:
            outputs = backend.run_plain(inputs) if plain and isinstance(backend, Replays) else backend.run(inputs)
        except BackendFailed as error:
            raise _Refused(f"a batch of {len(inputs['presence'])} failed: {error}") from error
        missing = sorted(self._spec.given - set(outputs))
        if missing:
            raise _Refused(f"it does not give the output {missing[0]}")
        return {name: _defined(name, values, inputs) for name, values in outputs.items()}

    def _batches(self, inputs: Arrays, bucket: int, plain: bool = False) -> Arrays:
        """Every case in full batches of ``bucket``; the last one is filled up with cases from the beginning."""
        count = len(self._names)
        rows = np.resize(np.arange(count), -(-count // bucket) * bucket)
        parts = [
            self._run({name: values[rows[at : at + bucket]] for name, values in inputs.items()}, plain)
            for at in range(0, len(rows), bucket)
        ]
        return {name: values[:count] for name, values in _stacked(parts).items()}

    def _sparse(self, inputs: Arrays, before: int, bucket: int) -> Arrays:
        """Every case in the smallest batches that still go into ``bucket``, whose other rows are padding."""
        fewest = before + 1 if before + 1 < bucket else 1
        parts = []
        for rows, _ in portions(len(self._names), (fewest,)):
            batch = rows_of(inputs, rows)
            held = rows.stop - rows.start
            if fewest == 1 or held < fewest:  # the backend would take it into a smaller bucket: padded here
                parts.append(rows_of(self._run(padded(batch, bucket)), slice(0, held)))
            else:
                parts.append(self._run(batch))
        return _stacked(parts)

    # -- what is compared ---------------------------------------------------------------------------------------------

    def _agrees(self, found: Arrays, expected: Arrays, where: str) -> None:
        for name, values in found.items():
            broken = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if broken.any():
                case = self._names[int(broken.argmax())]
                raise _Refused(f"case {case} {where}: {name} is not finite")
        for limit in LIMITS:
            for name in limit.outputs:
                if name in found and name in expected:
                    self._within(limit, name, found[name], expected[name], 1.0, f"{where}: {name} is off by")

    def _near(self, other: Arrays, found: Arrays, bucket: int) -> None:
        for limit in LIMITS:
            for name in limit.outputs:
                if name in found:
                    words = f"in batches of {bucket}: {name} changes with padding or neighbours by"
                    self._within(limit, name, found[name], other[name], BATCH_SHARE, words)

    def _within(
        self,
        limit: Limit,
        name: str,
        found: npt.NDArray[np.generic],
        wanted: npt.NDArray[np.generic],
        share: float,
        words: str,
    ) -> None:
        if found.shape != wanted.shape:
            raise _Refused(f"{name} has the shape {list(found.shape[1:])} a row where {list(wanted.shape[1:])} is due")
        got, want = (np.asarray(v, np.float64)[..., slice(*limit.columns)].reshape(len(v), -1) for v in (found, wanted))
        difference = np.abs(got - want).max(axis=1)
        if limit.relative == "span":
            # A flat wave has no height: then a hundredth of its level stands for it.
            difference /= np.maximum(np.ptp(want, axis=1), 0.01 * np.abs(want).max(axis=1) + 1e-6)
        elif limit.relative:
            difference /= max(float(np.abs(want).max()), 1e-6)
        allowed = share * limit.of(self._precision)
        at = int(difference.argmax())
        worst = float(difference[at])
        if share == 1.0:
            self._worst[name] = max(self._worst.get(name, 0.0), worst)
        self._share = max(self._share, worst / allowed)
        if not worst <= allowed:
            unit = f" {limit.unit}" if limit.unit else " of its size" if limit.relative else ""
            raise _Refused(f"case {self._names[at]} {words} {worst:.3g}{unit}, at most {allowed:.3g}")

    def _hides(self, inputs: Arrays, found: Arrays, refilled: Arrays, bucket: int) -> None:
        words = "changes with what lies under the mask"
        if not _equal(found, refilled) and not _equal(found, self._batches(inputs, bucket)):
            words = "is not the same twice"
        self._same(found, refilled, bucket, words)

    def _same(self, one: Arrays, other: Arrays, bucket: int, words: str) -> None:
        for name, values in one.items():
            rows = [a.tobytes() != b.tobytes() for a, b in zip(values, other[name], strict=True)]
            if any(rows):
                case = self._names[rows.index(True)]
                raise _Refused(f"case {case} in batches of {bucket}: {name} {words}, and not a bit may")


def _defined(name: str, values: npt.NDArray[np.generic], inputs: Arrays) -> npt.NDArray[np.generic]:
    """A copy (a backend may use its buffers again); tokens of absent frames are undefined and blanked."""
    if name != "tokens":
        return np.array(values)
    return np.where(inputs["presence"][..., None], values, np.zeros((), values.dtype))


def _equal(one: Arrays, other: Arrays) -> bool:
    return all(values.tobytes() == other[name].tobytes() for name, values in one.items())


def _stacked(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _refilled(inputs: Arrays, spec: BundleSpec) -> Arrays:
    """Other content under the mask: NaN, or where that is already ±1e30. The same for the memory of modalities that
    lack no frame, which nothing may read."""
    changed = {name: values.copy() for name, values in inputs.items()}
    presence = np.asarray(inputs["presence"], np.bool_)
    sign = np.where(np.arange(len(presence)) % 2, -1e30, 1e30).astype(np.float32)[:, None]
    nan = np.float32(np.nan)
    for row, modality in enumerate(spec.modalities):
        hidden = np.repeat(~presence[:, row], spec.frame_s * spec.rate_hz, axis=1)
        values = changed[modality.lower()]
        values[hidden] = np.where(np.isnan(values), sign, nan)[hidden]
    if MEMORY_INPUT in changed:
        whole, memory = presence.all(axis=2), changed[MEMORY_INPUT]
        memory[whole] = np.where(np.isnan(memory), sign[..., None], nan)[whole]
    return changed


def _spread(names: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the cases: the complete one and others from all over the list."""
    if len(names) <= count:
        return list(names)
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, count).round().astype(int)]
    return chosen if GOLDEN_BASE in chosen or GOLDEN_BASE not in names else [GOLDEN_BASE, *chosen[1:]]
