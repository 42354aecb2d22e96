"""What the trends show, as a table: which plots one below the other, with which lines, limits and scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.signals.modalities import Modality
from streams.limit_settings import LimitSetting, setting_of
from ui.bed.trends import UNITS


@dataclass(frozen=True, slots=True)
class Line:
    """One column of the trends. colour: a modality, or a name of the theme. estimated: by the model: paler, and
    ``dashed`` where there is a measured one to be told from. interval: has one, drawn as a band. factor: from its unit
    to that of the plot's left scale."""

    column: str
    name: str
    colour: Modality | str
    decimals: int = 0
    estimated: bool = False
    dashed: bool = False
    interval: bool = False
    width: float = 1.4
    factor: float = 1.0

    @property
    def unit(self) -> str:
        """Of its values."""
        return UNITS[self.column]


@dataclass(frozen=True, slots=True)
class Plot:
    """unit: of the left scale, which shows at least ``span`` and never more than ``most``. weight: of its height.
    between: two columns, upper and lower, with a band between them. limits: of these vitals. right: factor and unit of
    a second scale. risk: drawn in the bands of the theme. needs: a channel without which there is nothing to draw.
    sometimes: most have none of it; it is there from when the bed first has one of its numbers. ends: of its scale are
    multiples of this. cuff: measured now and then, drawn as marks: systolic, mean and diastolic with a bar between
    them, and nothing from one to the next."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    span: tuple[float, float]
    most: tuple[float, float]
    weight: int
    between: tuple[str, str] | None = None
    limits: tuple[str, ...] = ()
    right: tuple[float, str] | None = None
    risk: bool = False
    needs: Modality | None = None
    sometimes: bool = False
    ends: float = 10.0
    cuff: bool = False


_SEF_FACTOR = 100.0 / 30.0

PLOTS: tuple[Plot, ...] = (
    Plot(
        "PRESSURE",
        "mmHg",
        (
            Line("abp_sys", "sys", Modality.ABP, width=1.0),
            Line("abp_map", "mean", Modality.ABP, width=2.0),
            Line("abp_dia", "dia", Modality.ABP, width=1.0),
            Line("map_estimated", "ESTIMATED mean", Modality.ABP, estimated=True, dashed=True, interval=True),
        ),
        (40.0, 140.0),
        (-20.0, 300.0),
        30,
        between=("abp_sys", "abp_dia"),
        limits=("abp_map",),
    ),
    Plot(
        "NIBP",
        "mmHg",
        (
            Line("nibp_sys", "sys", "text", width=1.2),
            Line("nibp_map", "mean", "text", width=1.8),
            Line("nibp_dia", "dia", "text", width=1.2),
        ),
        (40.0, 140.0),
        (0.0, 300.0),
        22,
        sometimes=True,
        cuff=True,
    ),
    Plot(
        "HEART, PULSE",
        "/min",
        (
            Line("hr", "HR", Modality.ECG, width=1.6),
            Line("pulse_rate", "PR", Modality.PPG, width=1.2),
        ),
        (40.0, 130.0),
        (0.0, 300.0),
        20,
        limits=("hr",),
    ),
    Plot(
        "CVP",
        "mmHg",
        (Line("cvp_mean", "mean", Modality.CVP, width=1.6),),
        (0.0, 20.0),
        (-20.0, 60.0),
        11,
        sometimes=True,
    ),
    Plot(
        "PAP",
        "mmHg",
        (Line("pap_mean", "mean", Modality.PAP, width=1.6),),
        (0.0, 40.0),
        (-20.0, 120.0),
        11,
        sometimes=True,
    ),
    Plot(
        "ICP",
        "mmHg",
        (Line("icp_mean", "mean", Modality.ICP, width=1.6),),
        (0.0, 30.0),
        (-20.0, 100.0),
        11,
        sometimes=True,
    ),
    Plot(
        "SATURATION",
        "%",
        (Line("spo2", "SpO2", Modality.PPG, width=1.6),),
        (85.0, 100.0),
        (0.0, 100.0),
        13,
        limits=("spo2",),
        sometimes=True,
    ),
    Plot(
        "RESPIRATION",
        "/min",
        (Line("resp_rate", "RR", Modality.RESP),),
        (0.0, 35.0),
        (0.0, 100.0),
        13,
        limits=("resp_rate",),
    ),
    Plot(
        "CO2",
        "mmHg",
        (
            Line("etco2", "etCO2", Modality.CO2, width=1.6),
            Line("etco2_wave", "by the wave", Modality.CO2, width=1.0),
        ),
        (20.0, 50.0),
        (0.0, 150.0),
        13,
        sometimes=True,
    ),
    Plot(
        "TEMPERATURE",
        "°C",
        (Line("temp_c", "temp", "text", decimals=1, width=1.6),),
        (35.0, 38.0),
        (15.0, 45.0),
        11,
        sometimes=True,
        ends=1.0,
    ),
    Plot(
        "EEG",
        "0–100",
        (
            Line("sef95", "SEF", Modality.EEG, decimals=1, factor=_SEF_FACTOR),
            Line("depth", "depth (not BIS)", "trend_depth", estimated=True, interval=True, width=1.6),
            Line("openibis", "openibis", "trend_rule", width=1.0),
            Line("bsr", "BSR", "trend_bsr", width=1.2),
        ),
        (0.0, 100.0),
        (0.0, 100.0),
        21,
        right=(1.0 / _SEF_FACTOR, "Hz"),
        needs=Modality.EEG,
    ),
    Plot(
        "BIS",
        "0–100",
        (Line("bis", "BIS", Modality.EEG, width=1.6),),
        (0.0, 100.0),
        (0.0, 100.0),
        15,
        sometimes=True,
    ),
    Plot(
        "RISK  MAP < 65",
        "0–100",
        (
            Line("risk_15", "15 min", "text", estimated=True, interval=True),
            Line("risk_10", "10 min", "text_soft", estimated=True, width=1.0),
            Line("risk_5", "5 min", "text_faint", estimated=True, width=1.0),
        ),
        (0.0, 100.0),
        (0.0, 100.0),
        21,
        risk=True,
    ),
)


def limits_of(settings: Sequence[LimitSetting] | None, vital: str) -> tuple[float, ...]:
    """Where the alarm limits of a vital lie by which the stream judges; none where it has not said, or they are off."""
    setting = setting_of(settings or (), vital)
    if setting is None or not setting.on:
        return ()
    return tuple(value for value in (setting.low, setting.high) if value is not None)
