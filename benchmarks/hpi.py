"""The hypotension network of openvital (MIT licence) as an optional judge: 20 s of arterial pressure to a score.

It is no dependency, and nothing of it is here: it is used where it is installed (``pip install openvital``; needs
torch and pandas). The network was made from VitalDB's waves, so on VitalDB's patients it would judge its own lessons;
and it wants waves, of which no public set here has both hours and hypotension. What is left, and is asked here, is
whether simulated waves say to it what comes.

As published its ``run`` leaves the network in training mode, in which a score depends on chance (dropout) and on the
window's own statistics (batch normalisation). Here it is switched to evaluation before it is asked.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import numpy.typing as npt

from models.data.simulator import SimulatedPatient
from models.signals.errors import BadInput

WINDOW_S = 20
RATE_HZ = 100
_WAVE_HZ = 125

Floats = npt.NDArray[np.float64]


def hpi_module() -> ModuleType:
    """openvital's filter, ready to be asked. BadInput where it is not installed."""
    try:
        found = importlib.import_module("openvital.filters.abp_hpi")
    except ImportError as error:
        raise BadInput("openvital, torch and pandas installed", f"{error}", "pip install openvital pandas") from error
    _asked(found, 90.0 + 30.0 * np.sin(np.arange(WINDOW_S * RATE_HZ) * 2 * np.pi / RATE_HZ))  # which loads its network
    found.model.eval()
    return found


def hpi_by_minute(module: ModuleType, patient: SimulatedPatient) -> Floats:
    """Score 0 to 1 [T] from the last 20 s of every minute; NaN where the filter refuses them."""
    out = np.full(int(patient.duration_s) // 60, np.nan)
    for k in range(len(out)):
        end = 60.0 * (k + 1)
        wave = patient.read_clean("SIM/ART", end - WINDOW_S, end).values.astype(np.float64)
        at = np.arange(WINDOW_S * RATE_HZ) / RATE_HZ
        out[k] = _asked(module, np.interp(at, np.arange(len(wave)) / _WAVE_HZ, wave))
    return out


def _asked(module: ModuleType, wave: Floats) -> float:
    found = module.run({"ART": {"vals": wave, "srate": RATE_HZ}}, {}, module.cfg)
    return float("nan") if not found else found[0][0]["val"] / 100.0
