"""Units of measurement: the spellings that recordings use and their conversion to the canonical unit.

Carbon dioxide is a partial pressure; a share of the gas is told as that of dry gas at 760 mmHg, which at another height
or counted as wet is off by some percent: monitors differ by as much.

Factors: 1 mmHg = 133.322387415 Pa and 1 cmH2O = 98.0665 Pa (NIST SP 811, appendix B.8).
"""

from __future__ import annotations

from models.signals.errors import BadInput
from models.signals.modalities import MODALITIES, Modality

ARBITRARY = "au"
"""Canonical unit of signals without a calibrated scale (PPG, respiration): values are taken as they are."""

_PA_PER_MMHG = 133.322387415
_PA_PER_CMH2O = 98.0665
_ATMOSPHERE_MMHG = 760.0

# dimension -> symbol -> size in the dimension's base unit (volt, pascal, hertz, beats per minute, fraction)
_DIMENSIONS: dict[str, dict[str, float]] = {
    "voltage": {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9},
    "pressure": {
        "mmHg": _PA_PER_MMHG,
        "cmH2O": _PA_PER_CMH2O,
        "mmH2O": _PA_PER_CMH2O / 10,
        "Pa": 1.0,
        "hPa": 100.0,
        "mbar": 100.0,
        "kPa": 1e3,
        "bar": 1e5,
    },
    "frequency": {"Hz": 1.0, "/min": 1 / 60},
    "fraction": {"%": 0.01, "1": 1.0},
    "arbitrary": {"au": 1.0},
}

# lower-case spelling -> symbol; spellings that differ from a symbol by case alone need no entry
_SPELLINGS: dict[str, str] = {
    "volt": "V",
    "volts": "V",
    "millivolt": "mV",
    "millivolts": "mV",
    "µv": "uV",  # micro sign, U+00B5
    "μv": "uV",  # Greek mu, U+03BC
    "microvolt": "uV",
    "microvolts": "uV",
    "mm hg": "mmHg",
    "mm[hg]": "mmHg",
    "torr": "mmHg",
    "cm h2o": "cmH2O",
    "cm[h2o]": "cmH2O",
    "mm[h2o]": "mmH2O",
    "millibar": "mbar",
    "bpm": "/min",
    "1/min": "/min",
    "pm": "/min",
    "percent": "%",
    "nu": "au",
    "n.u.": "au",
    "a.u.": "au",
    "unit": "au",
    "units": "au",
    "none": "au",
    "pleth": "au",
}

_SYMBOLS: dict[str, str] = {s.casefold(): s for table in _DIMENSIONS.values() for s in table} | _SPELLINGS
_DIMENSION_OF: dict[str, str] = {s: name for name, table in _DIMENSIONS.items() for s in table}


def symbol(unit: str) -> str | None:
    """The symbol that ``unit`` is a spelling of (``"µV"`` → ``"uV"``), or None where it is not known.

    Case does not count: recordings write ``MMHG`` and ``mv``, and none carries megavolts.
    """
    return _SYMBOLS.get(unit.strip().rstrip(",").casefold())


def factor(unit: str, target: str) -> float:
    """Number by which a value in ``unit`` is multiplied to be in ``target``.

    Raises BadInput where one of them is unknown or they measure different things.
    """
    source, wanted = symbol(unit), symbol(target)
    if wanted is None:
        raise ValueError(f"{target!r} is not a known target unit")
    dimension = _DIMENSION_OF[wanted]
    if source is None or _DIMENSION_OF[source] != dimension:
        raise BadInput(
            f"a unit of {dimension} ({', '.join(_DIMENSIONS[dimension])})",
            f"the unit {unit!r}",
            "choose another track, or correct the unit in the file",
        )
    if source == wanted:
        return 1.0
    return _DIMENSIONS[dimension][source] / _DIMENSIONS[dimension][wanted]


def canonical_factor(unit: str, modality: Modality) -> float:
    """Number that brings values in ``unit`` to the canonical unit of ``modality``.

    Where the canonical unit is arbitrary (PPG, RESP) every unit is taken as it is: factor 1. A share of CO2 is taken
    for that of dry air. Raises BadInput for a
    unit that is unknown, empty or of another kind (a pressure in mV).
    """
    target = MODALITIES[modality].unit
    if target == ARBITRARY:
        return 1.0
    if modality is Modality.CO2 and symbol(unit) in _DIMENSIONS["fraction"]:
        return factor(unit, "1") * _ATMOSPHERE_MMHG
    return factor(unit, target)
