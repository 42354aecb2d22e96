"""The look as data: colours, sweep and lane settings from ``theme.toml``, and what ``themes/NAME.toml`` changes of it.
No Qt here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec

from models.signals.errors import BadInput
from models.signals.modalities import Modality

PRIORITIES = ("high", "medium", "low")
SCALES = ("gain", "sensitivity", "pressure", "auto")
DARK = "dark"
THEMES = (DARK, "light", "colour-blind")


class SweepStyle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sweep settings; speeds in mm/s, delays in seconds, ``gap_fraction`` of the sweep's width."""

    speeds_mm_s: list[float]
    speed_mm_s: float
    gap_fraction: float
    dim: float
    artefact: float
    pen_px: float
    playout_margin_s: float
    history_s: int
    crossfade_s: float
    dpi: float
    dpi_range: tuple[float, float]
    dpi_fallback: float


class LaneStyle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one modality is drawn. ``choices`` are mm per unit (gain) or unit per cm (sensitivity); ``baseline`` is the
    height of zero as a fraction of the lane from below; ``filter`` is empty or [high-pass, low-pass] in Hz, one of
    ``filters`` by name where there are some to choose from. ``speed_mm_s``: of its own sweep, 0: as the others.
    ``usual``, ``snap``: of a pressure, what is shown before any is known, and what its limits are multiples of; four
    are the least that it spans."""

    colour: str
    estimated: str
    height: float
    scale: str
    filter: list[float]
    choices: list[float] = []
    choice: float = 0.0
    baseline: float = 0.5
    calibration: float = 0.0
    reference: float | None = None
    filters: dict[str, list[float]] = {}
    speed_mm_s: float = 0.0
    usual: tuple[float, float] = (40.0, 130.0)
    snap: Annotated[float, msgspec.Meta(gt=0.0)] = 10.0

    @property
    def filter_name(self) -> str:
        """What the present filter is called; "" where it has no name."""
        return next((name for name, corners in self.filters.items() if corners == self.filter), "")


class PredictionStyle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``bands``: risks in percent up to which one is low, and middle; how far the trend reaches back in s, and between
    which mean pressures in mmHg it is drawn; the shape of each band beside its colour."""

    bands: tuple[float, float]
    trend_s: float
    map_mmhg: tuple[float, float]
    shapes: dict[str, Literal["circle", "triangle", "square"]]


class AlarmColours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one priority: background lit and dark, text of both phases, and the pair of what does not flash any more."""

    lit: str
    dark: str
    ink: str
    held: str
    held_ink: str


class AlarmStyle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``colours`` by priority."""

    flash_high_hz: float
    flash_medium_hz: float
    duty: float
    heartbeat_s: float
    colours: dict[str, AlarmColours]


@dataclass(frozen=True)
class Theme:
    """Everything of ``theme.toml``."""

    font_families: list[str]
    colour: dict[str, str]
    sweep: SweepStyle
    lanes: dict[Modality, LaneStyle]
    prediction: PredictionStyle
    alarm: AlarmStyle


def parse_theme(text: str, changes: str = "") -> Theme:
    """A theme from TOML text, and from a second text what is different; raises BadInput with one sentence where
    something is missing or unknown."""
    try:
        raw: dict[str, Any] = _changed(tomllib.loads(text), tomllib.loads(changes))
        theme = Theme(
            font_families=msgspec.convert(raw["font_families"], list[str]),
            colour=msgspec.convert(raw["colour"], dict[str, str]),
            sweep=msgspec.convert(raw["sweep"], SweepStyle),
            lanes={Modality(name): msgspec.convert(lane, LaneStyle) for name, lane in raw["lane"].items()},
            prediction=msgspec.convert(raw["prediction"], PredictionStyle),
            alarm=msgspec.convert(raw["alarm"], AlarmStyle),
        )
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, KeyError, ValueError) as error:
        raise BadInput(
            "a complete display theme", f"{type(error).__name__}: {error}", "compare it with ui/style/theme.toml"
        ) from error
    missing = [modality.value for modality in Modality if modality not in theme.lanes]
    if missing:
        raise BadInput("a lane for every modality", f"none for {', '.join(missing)}", "add [lane.NAME]")
    plain = [priority for priority in PRIORITIES if priority not in theme.alarm.colours]
    if plain:
        raise BadInput("colours for every alarm priority", f"none for {', '.join(plain)}", "add [alarm.colours.NAME]")
    for modality, lane in theme.lanes.items():
        if lane.scale not in SCALES:
            raise BadInput(
                f"a scale among {', '.join(SCALES)}",
                f"{lane.scale!r} in [lane.{modality.value}]",
                "correct the theme",
            )
        for corners in (lane.filter, *lane.filters.values()):
            if corners and (len(corners) != 2 or not 0 < corners[0] < corners[1]):
                raise BadInput(
                    "filter corners [high-pass, low-pass] in Hz",
                    f"{corners} in [lane.{modality.value}]",
                    "correct the theme",
                )
        if lane.scale in ("gain", "sensitivity") and lane.choice not in lane.choices:
            raise BadInput(
                "a choice among the lane's choices",
                f"{lane.choice} in [lane.{modality.value}]",
                "correct the theme",
            )
    return theme


def _changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``base`` with what ``changes`` says otherwise, table by table. KeyError for what ``base`` does not have."""
    out = dict(base)
    for name, value in changes.items():
        out[name] = _changed(base[name], value) if isinstance(base[name], dict) else value
    return out


@cache
def theme_named(name: str) -> Theme:
    """One of :data:`THEMES`; BadInput for another."""
    if name not in THEMES:
        raise BadInput(f"a theme out of {', '.join(THEMES)}", repr(name), "choose one of these")
    here = resources.files("ui.style")
    changes = "" if name == DARK else here.joinpath("themes", f"{name}.toml").read_text("utf-8")
    return parse_theme(here.joinpath("theme.toml").read_text("utf-8"), changes)


def default_theme() -> Theme:
    """The theme that nobody chose."""
    return theme_named(DARK)
