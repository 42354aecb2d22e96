"""What travels in a bundle: the specification of inputs, outputs and calibration of one exported model."""

from __future__ import annotations

from collections.abc import Sequence, Sized

import msgspec

BUNDLE_SCHEMA = 3

RESTORATION, SELFMASK = "restoration", "selfmask"
BOTH_IMPUTERS = (RESTORATION, SELFMASK)
"""Who may fill the absent slots: PhysioME's restoration decoders, SelfMask's predictor."""
NOTHING = "none"
"""A graph without imputers: the learned missing token stays in the absent slots."""
AUTO = "auto"
"""The imputer that a bundle's graph has, of two the first."""
CHOICE_INPUT = "selfmask"
"""Input bool [B] of a graph that holds both imputers: True has the window's absent slots filled by SelfMask."""
MEMORY_INPUT = "memory"
"""Input float32 [B, M, d] of a graph that restores relative to what it remembers: the mean encoder token of each
modality in the last window that had it wholly, NaN = never (:mod:`models.runtime.memory`)."""
SCALED, FRAMES, FEATURES = "scaled", "frames", "features"
"""Values inside a graph at which it is cut into parts (:mod:`models.runtime.frame_cache`): signals in model units,
absent frames 0 [B, M, L]; ``frames_{modality}`` [F, samples]; features of frames [B, M, N, d], or
``features_{modality}`` [F, d]."""

OUTPUTS: dict[str, str] = {
    # name in the graph -> shape and meaning (B batch, M modalities, N frames, l samples, d token width)
    "risk": "[B, 3] probability of hypotension (MAP < 65 mmHg for 60 s) within 5, 10 and 15 min, non-decreasing",
    "risk_lo": "[B, 3] 10 % bound",
    "risk_hi": "[B, 3] 90 % bound",
    "depth": "[B, 3] depth of anaesthesia 0-100 (not BIS), 10/50/90 % quantiles before conformal widening",
    "pressure": "[B, 3, 3] MAP, SBP, DBP of the newest frame in mmHg by 10/50/90 % quantiles before widening",
    "abp_wave": "[B, l] restored arterial pressure at the window's end, mmHg",
    "ppg_wave": "[B, l] restored plethysmogram, in the units of the PPG input",
    "ecg_wave": "[B, l] restored ECG, rhythm only, mV",
    "eeg_features": "[B, 7] log10 power (uV^2) delta/theta/alpha/beta/gamma, SEF95 in Hz, suppression ratio 0-1",
    "tokens": "[B, M, N, d] encoder tokens of pass 1 (undefined where absent)",
    "restored_tokens": "[B, M, N, d] imputed tokens",
    "fused": "[B, d] fused representation of pass 2",
}


class Conformal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Half-width to add to an interval, by missing fraction and (for pressures) age of the last measurement.

    ``widen[i][j]`` belongs to missing fraction in ``missing_edges[i:i+2]`` and age in ``age_edges_s[j:j+2]``.
    """

    missing_edges: list[float]
    age_edges_s: list[float]
    widen: list[list[float]]


WITH_ECG, WITHOUT_ECG = "with ECG", "without ECG"
SIGNS = ("delay", "rate", "form")
"""What an estimated mean pressure follows: R-to-pleth delay, pulse rate, form factor of the pleth's pulses."""
MOVES = ("mean_60s", "step", "line")
"""What it is moved by: towards the mean of the last minute, by the change of the signs, towards the patient's own
regression line (:mod:`models.runtime.pressure_estimate`)."""


class PriorSlope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """slope: mmHg of MAP for a unit of a sign (20 ms; 10 % of rate or form) in the population. weight: what that counts
    as, in samples of five seconds in which the sign is one unit off its mean."""

    slope: float
    weight: float


class PressureMoves(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """prior: by each of ``SIGNS``. ``weights[move][i]``: of each of ``MOVES`` at ``ages_s[i]`` seconds after the last
    measured pressure; between two ages by the logarithm of the age, beyond them as at the nearest."""

    prior: dict[str, PriorSlope]
    ages_s: list[float]
    weights: dict[str, list[float]]

    def __post_init__(self) -> None:
        _check_ages(self.ages_s, list(self.weights.values()))
        if self.ages_s[0] < 1.0:
            raise ValueError("ages of a second and more")
        if set(self.weights) != set(MOVES) or set(self.prior) != set(SIGNS):
            raise ValueError(f"weights of {', '.join(MOVES)}, and a prior of {', '.join(SIGNS)}")
        if not all(prior.weight > 0.0 for prior in self.prior.values()):
            raise ValueError("a prior that counts for something")


class PressureTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an estimated mean pressure is made, and how far it may be off.

    ``half_mmhg[ecg][pressure][i]``: half of the 80 % interval of ``map``, ``sbp`` or ``dbp`` at ``ages_s[i]`` seconds
    after the last measured pressure, where an ECG is there (``ecg`` "with ECG") or not ("without ECG"), of a patient
    whose pressure was steady; to it comes ``unrest`` for each mmHg that the last level was off its mean of 5 minutes.
    ``moves``: what the estimate is made of.
    """

    moves: PressureMoves
    ages_s: list[float]
    half_mmhg: dict[str, dict[str, list[float]]]
    unrest: float = 0.0

    def __post_init__(self) -> None:
        columns = [values for part in self.half_mmhg.values() for values in part.values()]
        _check_ages(self.ages_s, columns)
        if set(self.half_mmhg) != {WITH_ECG, WITHOUT_ECG}:
            raise ValueError("half-widths with and without ECG")
        if not self.unrest >= 0.0:
            raise ValueError("a pressure that was unsettled is not better known")


class RiskRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``longest_s``: seconds since the last measured ABP within which the risk was better than a coin; 0: only while it
    is measured. ``spread[i][j]``: half of its 80 % interval in log odds at ``ages_s[i]`` of the table, by horizon."""

    longest_s: float
    spread: list[list[float]]


class RiskTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a risk may be shown, by the other sensors that are there: keys of ``sensors`` are their names joined by
    ``+`` in the order of the spec ("ECG+PPG+EEG"; "" none). With sensors that are not listed none is shown."""

    ages_s: list[float]
    sensors: dict[str, RiskRow]

    def __post_init__(self) -> None:
        _check_ages(self.ages_s, [row.spread for row in self.sensors.values()])


def _check_ages(ages_s: list[float], columns: Sequence[Sized]) -> None:
    """What a table holds must be there for each of its ages, and these must rise; ValueError if not."""
    if sorted(set(ages_s)) != ages_s or not ages_s or any(len(column) != len(ages_s) for column in columns):
        raise ValueError("a value for each of the rising ages of the table")


class BundleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``spec.json`` of a bundle. All lists of modalities are in the order of ``modalities``."""

    schema: int
    name: str  # "PhysioME demo"
    version: str
    modalities: list[str]
    rate_hz: int
    frame_s: int
    frames: int
    hop_s: int
    context_fields: list[str]
    horizons_min: list[int]
    token_width: int
    conformal: dict[str, Conformal]  # keys: depth, map, sbp, dbp
    preprocessing: str  # version of models.signals the model was trained with
    trained_on: str  # one line for the screen and the report
    imputers: tuple[str, ...] = (RESTORATION,)  # in the graph, () none; of two the input ``selfmask`` chooses
    memory: bool = False  # the graph has the input ``memory``, and the engine remembers for it
    outputs: list[str] = []  # what the graph gives, out of ``OUTPUTS`` (a single-sensor student: few); empty: all
    pressure: PressureTable | None = None  # measured on calibration patients; without it, ``conformal`` as it is
    risk: RiskTable | None = None  # likewise; without it a risk is shown while the ABP is measured, and not beyond
    parts: bool = False  # the bundle also has the graph in parts (:data:`models.runtime.bundle.PARTS`)

    @property
    def given(self) -> frozenset[str]:
        """Names of the outputs that this bundle's graph has."""
        return frozenset(self.outputs or OUTPUTS)
