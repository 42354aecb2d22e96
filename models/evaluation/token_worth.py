"""What restored tokens are worth: MAP of a lost ABP with other things in the slots of its tokens.

The pressure is read from the fused representation and from the anchor (the last measured level and the change of the
pulse delay). If it comes out as well with zeros in the slots, the number comes from the anchor, and restoration does
nothing for it. So every table of what is shown stands beside zeros, the learned missing token (nothing is imputed) and
the true tokens (what no imputer can pass), and :func:`verdict` says in one sentence what follows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Group, Losses
from models.batches.predict import predict
from models.evaluation.bootstrap import difference_interval
from models.imputers import Imputer, MaskTokenImputer, OracleImputer, RestorationImputer, ZeroImputer
from models.physiome import Fused, PhysioME
from models.selfmask import SelfMaskImputer
from models.signals.modalities import Modality

WINDOWS = 600
_BATCH = 64
LEAST_RECOVERED = 0.5
"""Share of what true tokens gain over zeros that an imputer has to recover."""

Row = dict[str, float | str]
Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


def worth_row(model: PhysioME, group: Group, rows: Indices, lost: Losses, selfmask: bool) -> Row:
    """MAP MAE in mmHg of the windows ``rows`` under ``lost``, by what stands in the slots of the ABP's tokens (in other
    absent slots: what is restored; "missing token": in all); and by how much zeros are worse than the true tokens, and
    than what is restored, with 95 % intervals over patients.

    Only windows count whose true ABP tokens are known: every frame was measured.
    """
    abp = model.config.modalities.index(Modality.ABP)
    whole = np.asarray(group.known[rows, abp].all(-1), np.bool_)
    rows, lost = rows[whole], lost.part(whole)
    nan = float("nan")
    row: Row = {"worth_windows": float(len(rows))}
    if not len(rows):
        return row
    truth = group.labels["pressures"][rows][:, -1, 0].astype(np.float64)
    fillings: dict[str, Imputer] = {
        "restored": RestorationImputer(), "zeros": _InOneRow(ZeroImputer(), abp), "missing token": MaskTokenImputer(),
    }  # fmt: skip
    if selfmask:
        fillings["SelfMask"] = _InOneRow(SelfMaskImputer(), abp)
    errors = {name: np.abs(_map(model, group, rows, lost, imputer) - truth) for name, imputer in fillings.items()}
    errors["true tokens"] = np.abs(_with_true_tokens(model, group, rows, lost, abp) - truth)
    row |= {name: float(np.nanmean(error)) for name, error in errors.items()}
    patient = group.dataset.patient_of[rows]
    for name in ("true tokens", "restored", *(("SelfMask",) if selfmask else ())):
        gain = difference_interval(patient, errors["zeros"], errors[name])
        row |= {f"gain of {name}": gain.estimate, f"{name} from": gain.lo, f"{name} to": gain.hi}
    row.setdefault("SelfMask", nan)
    return row


def gate(rows: Sequence[Row]) -> str:
    """The imputer that passes the project's gate on a table of :func:`worth_row`, "" if none does: true tokens better
    than zeros by a margin whose interval excludes 0, at every age, and half of that recovered, with an interval that
    excludes 0 too."""
    known = [row for row in rows if "zeros" in row]
    if not known or not all(float(row["true tokens from"]) > 0.0 for row in known):
        return ""
    for name in ("restored", "SelfMask"):
        if least_recovered(known, name) >= LEAST_RECOVERED and all(float(r[f"{name} from"]) > 0.0 for r in known):
            return name
    return ""


def least_recovered(known: Sequence[Row], name: str) -> float:
    """Of what true tokens gain over zeros, the share that an imputer recovers at the age where it is least; NaN where
    it was not asked."""
    return min(float(r.get(f"gain of {name}", np.nan)) / float(r["gain of true tokens"]) for r in known)


def verdict(rows: Sequence[Row]) -> str:
    """What :func:`gate` says of a table, in a sentence or two."""
    known = [row for row in rows if "zeros" in row]
    if not known:
        return "Whether restored tokens help the restored pressure is not known: no window knows its true tokens."
    ceiling = [row for row in known if float(row["true tokens from"]) > 0.0]
    helped = [row for row in known if float(row["restored from"]) > 0.0]
    if len(ceiling) < len(known) and helped:
        most = max(float(row["gain of restored"]) for row in helped)
        return (
            f"Restored ABP tokens lower the error of the network's own pressure by up to {most:.1f} mmHg against zeros "
            f"(at {len(helped)} of {len(known)} ages), and yet true ones do not (at {len(known) - len(ceiling)}): the "
            "heads have learnt to read the other sensors from what is restored, not the pressure from its tokens. The "
            "gate asks for both, and is not passed."
        )
    if len(ceiling) < len(known):
        return (
            "Tokens do not help the restored pressure: with the true ABP tokens in their slots it is no better than "
            f"with zeros (at {len(known) - len(ceiling)} of {len(known)} ages). The number comes from the last "
            "measured pressure and the pulse delay."
        )
    if name := gate(rows):
        share = least_recovered(known, name)
        return f"Tokens help the restored pressure, and {name} ones recover {share:.0%} or more of it."
    return (
        "True tokens would help the restored pressure, but no imputer recovers half of that: zeros in their slots do "
        "nearly as well. The number comes from the last measured pressure and the pulse delay."
    )


class _InOneRow:
    """Another imputer's tokens in the slots of one row, restored ones in the others."""

    def __init__(self, imputer: Imputer, row: int) -> None:
        self.imputer, self.row = imputer, row

    def impute(self, model: PhysioME, state: Fused) -> torch.Tensor:
        """Tokens [B, M, N, d]."""
        restored, given = RestorationImputer().impute(model, state), self.imputer.impute(model, state)
        assert given is not None
        here = torch.arange(restored.shape[1], device=restored.device)[:, None, None] == self.row
        return torch.where(here, given, restored)


def _map(model: PhysioME, group: Group, rows: Indices, lost: Losses, imputer: Imputer) -> Floats:
    out = predict(model, group, rows, lost, ("pressure",), imputer=imputer)
    return out.values["pressure"][:, 0, 1].astype(np.float64)


def _with_true_tokens(model: PhysioME, group: Group, rows: Indices, lost: Losses, abp: int) -> Floats:
    assert group.features is not None
    device, found = next(model.parameters()).device, []
    for first in range(0, len(rows), _BATCH):
        part = slice(first, first + _BATCH)
        here = torch.from_numpy(rows[part])
        with torch.no_grad():
            known = torch.from_numpy(group.known[rows[part]])
            complete = model.encode(group.features[here].to(device), known.to(device))
        found.append(_map(model, group, rows[part], lost.part(part), _InOneRow(OracleImputer(complete), abp)))
    return np.concatenate(found)
