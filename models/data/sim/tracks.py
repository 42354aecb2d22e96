"""What the built-in patient's recording has: its waves, its numerics of the truth, and how its episodes are called."""

from __future__ import annotations

from dataclasses import dataclass

from models.data.sim.scenarios import Mechanism
from models.signals.modalities import Modality


@dataclass(frozen=True, slots=True)
class Wave:
    """A wave of the recording: whose sensor it is, its unit and its rate."""

    modality: Modality
    unit: str
    rate_hz: float


WAVES: dict[str, Wave] = {
    "SIM/ECG_II": Wave(Modality.ECG, "mV", 500.0),
    "SIM/ART": Wave(Modality.ABP, "mmHg", 125.0),
    "SIM/PLETH": Wave(Modality.PPG, "au", 125.0),
    "SIM/EEG1": Wave(Modality.EEG, "uV", 128.0),
    "SIM/RESP": Wave(Modality.RESP, "au", 62.5),
}
NUMERICS: dict[str, str] = {
    "SIM/HR": "/min",
    "SIM/ART_MBP": "mmHg",
    "SIM/ART_SBP": "mmHg",
    "SIM/ART_DBP": "mmHg",
    "SIM/RESP_RATE": "/min",
    "SIM/DEPTH": "au",
}
EPISODE_TEXT = {
    Mechanism.VASODILATION: "vasodilation",
    Mechanism.HYPOVOLAEMIA: "blood loss",
    Mechanism.BRADYCARDIA: "bradycardia",
    Mechanism.ABRUPT: "caval compression",
    Mechanism.CARDIAC: "myocardial depression",
    Mechanism.STIMULUS: "surgical stimulus",
    Mechanism.POSTURE: "change of posture",
}
