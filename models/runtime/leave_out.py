"""What the model would say of the newest window without each of its sensors: all rows in one batch.

A row is what would be shown had the cable been pulled when the window began, so the engine must also know what it
remembered then: of a sensor that is gone it has learnt nothing since. The rows go through the same code as every
window, under keys of their own that are forgotten again, so that nothing is learnt of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np

from models.runtime.memory import EngineMemory, Remembered
from models.runtime.pleth_look import pleth_look
from models.runtime.prediction import Prediction
from models.runtime.pressure_past import PressurePast
from models.runtime.risk_policy import bad_already
from models.signals.absence import Absence
from models.signals.estimable import SOURCES, forbidden
from models.signals.leave_out import WindowPast
from models.signals.modalities import Modality
from models.signals.windows import Window, WindowSpec

NOT_KNOWN = "too little is known yet of the time before this window"
NO_OTHER = "no other sensor in the window"
NOT_THERE = "not there now: the first row is without it"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row: ``prediction`` without ``modality`` (None: with all that is there), or the ``reason`` why none is made."""

    modality: Modality | None
    prediction: Prediction | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Remembrance:
    """What was remembered of a key after the window that ended at ``end_s``. unread: the pleth of that window itself
    lies beside the last pressure, and nobody has looked at it (:class:`models.runtime.pleth_look.PlethLooks`)."""

    end_s: int
    memory: EngineMemory
    unread: bool = False


@dataclass(slots=True)
class _History:
    """begun: whether the first window of the key was seen here."""

    begun: bool
    kept: deque[Remembrance] = field(default_factory=deque)


class Histories:
    """What an engine remembered after each of the newest windows, by key: as many as a window is long, and some more,
    for the engine may be ahead of who asks."""

    def __init__(self, spec: WindowSpec) -> None:
        self._most = spec.window_s // spec.hop_s + 8
        self._kept: Remembered[_History] = Remembered()

    def add(self, key: Hashable, remembrance: Remembrance) -> None:
        """After a window of the key."""
        history = self._kept.get(key) or _History(True)
        history.kept.append(remembrance)
        while len(history.kept) > self._most:
            history.kept.popleft()
            history.begun = False
        self._kept.put(key, history)

    def begin_anew(self, key: Hashable) -> None:
        """What is remembered of the key is another engine's from here on."""
        self._kept.put(key, _History(False))

    def forget(self, key: Hashable) -> None:
        """Nothing is remembered any more."""
        self._kept.forget(key)

    def at(self, key: Hashable, end_s: int, model: str) -> Remembrance | None:
        """After the last window that ended by ``end_s``; None where that is not known. model: of an empty memory."""
        history = self._kept.get(key) or _History(True)
        found = next((r for r in reversed(history.kept) if r.end_s <= end_s), None)
        return found or (Remembrance(end_s, EngineMemory(model)) if history.begun else None)


def gated(said: Prediction, window: Window, spec: WindowSpec, modality: Modality) -> Prediction:
    """``said`` without ``modality``, less what must not be said while that sensor says what it says in ``window``: no
    row outvotes bad news, also where it was made without the sensor that brings it."""
    if why := bad_already(window, spec):
        said = replace(said, abstain=True, reason=why, risk={})
    refused = dict(said.not_estimable)
    absence = {**window.newest, modality: Absence.WITHHELD}
    for m in SOURCES:
        if absence.get(m, Absence.NOT_CONNECTED) is not None and (why := forbidden(m, window.findings, absence)):
            refused.setdefault(m, why)
    return replace(
        said,
        pressures=None if Modality.ABP in refused else said.pressures,
        restored=tuple(wave for wave in said.restored if wave.modality not in refused),
        not_estimable=refused,
    )


def memory_without(modality: Modality, now: EngineMemory, then: Remembrance, past: WindowPast) -> EngineMemory:
    """``now``, had nothing been learnt of ``modality`` since the window began, which was when ``then`` was known."""
    tokens = now.tokens
    if tokens is not None:
        row = past.spec.modalities.index(modality)
        tokens = tokens.copy()
        tokens[row] = np.nan if then.memory.tokens is None else then.memory.tokens[row]
    if modality is Modality.ABP:
        look = then.memory.pleth
        if then.unread:
            seen = pleth_look(past.pleth, past.spec.rate_hz)
            look = (seen.rate, seen.form) if seen is not None else None
        old = then.memory
        return replace(now, tokens=tokens, form=old.form, look=old.look, pleth=look, past=old.past)
    if modality is Modality.ECG and now.past is not None:
        # Without its beats there is no delay: what goes without one was learnt all the same.
        before = PressurePast.of(then.memory.past) if then.memory.past is not None else PressurePast.none()
        return replace(now, tokens=tokens, past=PressurePast(before.full, PressurePast.of(now.past).bare).numbers())
    return replace(now, tokens=tokens)
