"""The newest window of a bed as it would be, had one of its sensors been lost in all of it.

Not a window with holes cut into it: cells, findings and context come out of the same computations as those of a bed
whose sensor really was lost from the window's beginning on, so that delays and slopes that need the sensor are as old
as that too, and ages count. (A sensor that is pulled only now is still in the older seconds of the window: what is
said moves over the length of a window to what is said here.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.context import ContextPast
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.windows import Window, WindowSpec


@dataclass(frozen=True, slots=True, eq=False)
class WindowPast:
    """A window, and what was known when it began. pleth: [L], the PPG of the window that ended when this one began, NaN
    where it was absent. context: None where too little is known of the time before."""

    spec: WindowSpec
    window: Window
    context: ContextPast | None
    pleth: npt.NDArray[np.float32]

    @property
    def began_s(self) -> int:
        """Event time at which the window began."""
        return self.window.end_s - self.spec.window_s

    def measures(self, modality: Modality) -> bool:
        """Whether a cell of the window could be read of it."""
        return modality in self.spec.modalities and bool(self.window.cells[self.spec.modalities.index(modality)].any())

    def without(self, modality: Modality) -> Window | None:
        """The window without ``modality``; None where nothing else was measured in it. Raises ValueError where too
        little is known of the time before (``context``)."""
        if self.context is None:
            raise ValueError("what was known when the window began is not known")
        row = self.spec.modalities.index(modality)
        window = self.window
        signals, presence, cells = window.signals.copy(), window.presence.copy(), window.cells.copy()
        signals[row], presence[row], cells[row] = np.nan, False, False
        if not cells.any():
            return None
        return replace(
            window,
            signals=signals,
            presence=presence,
            cells=cells,
            context=self.context.without(modality),
            newest={**window.newest, modality: Absence.WITHHELD},
            findings=findings_without(window.findings, modality),
        )


def findings_without(findings: Findings, modality: Modality) -> Findings:
    """What the other sensors say of the circulation."""
    return Findings(
        Rhythm.UNKNOWN if modality is Modality.ECG else findings.rhythm,
        {m: Pulse.UNKNOWN if m is modality else pulse for m, pulse in findings.pulse.items()},
        findings.overdue - {modality},
    )
