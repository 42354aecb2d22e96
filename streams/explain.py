"""The answer to a command "explain": the rows of a leave-one-out as a record, and the sentences where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from models.runtime.engine import MIN_EEG_S
from models.runtime.leave_out import LeftOut
from models.runtime.prediction import Prediction
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from models.signals.windows import Window, WindowSpec
from streams.mailbox import ExplainJob
from streams.records import ExplainRecord, LeftOutRow

NO_MODEL = "this run has no model"
NO_WINDOW = "no sensor has been measured yet"
MOVED_ON = "the recording was sought since"
MEASURED = "measured"


def refused(bed: str, session: str, epoch: int, asked_ns: int, reason: str, window_end_ns: int = 0) -> ExplainRecord:
    """That there is no answer, for the ``reason``."""
    return ExplainRecord(
        bed=bed, session=session, epoch=epoch, window_end_ns=window_end_ns, asked_ns=asked_ns, reason=reason
    )


def refused_job(job: ExplainJob, reason: str) -> ExplainRecord:
    """The same, of a job."""
    return refused(job.bed, job.session, job.epoch, job.asked_ns, reason, job.past.window.end_s * SECOND_NS)


def explained(
    job: ExplainJob, rows: Sequence[LeftOut], given: Sequence[str], model: str, backend: str
) -> ExplainRecord:
    """What the model said. given: outputs that it has at all."""
    past = job.past
    told = [_row(row, past.window, past.spec, given) for row in rows]
    return ExplainRecord(
        bed=job.bed,
        session=job.session,
        epoch=job.epoch,
        window_end_ns=past.window.end_s * SECOND_NS,
        asked_ns=job.asked_ns,
        window_s=past.spec.window_s,
        model=model,
        backend=backend,
        rows=told,
    )


def _row(row: LeftOut, window: Window, spec: WindowSpec, given: Sequence[str]) -> LeftOutRow:
    without = row.modality.value if row.modality is not None else ""
    said = row.prediction
    if said is None:
        return LeftOutRow(without, row.reason)
    if not said.valid:
        return LeftOutRow(without, said.reason)
    mean = (said.pressures or {}).get("map")
    return LeftOutRow(
        without,
        risk={str(minutes): (i.value, i.lo, i.hi) for minutes, i in said.risk.items()},
        no_risk=said.reason,
        map_mmhg=(mean.value, mean.lo, mean.hi) if mean is not None else None,
        no_map="" if mean is not None else _no_map(row, said, window, spec, given),
        depth=(said.depth.value, said.depth.lo, said.depth.hi) if said.depth is not None else None,
        no_depth="" if said.depth is not None else _no_depth(row, window, spec, given),
    )


def _no_map(row: LeftOut, said: Prediction, window: Window, spec: WindowSpec, given: Sequence[str]) -> str:
    if _there_now(Modality.ABP, row, window, spec):
        return MEASURED
    if Modality.ABP not in spec.modalities or "pressure" not in given:
        return "this model does not give it"
    return said.not_estimable.get(Modality.ABP, "no ABP")


def _no_depth(row: LeftOut, window: Window, spec: WindowSpec, given: Sequence[str]) -> str:
    if Modality.EEG not in spec.modalities or "depth" not in given:
        return "this model does not give it"
    return f"less than {MIN_EEG_S} s of EEG" if _there_now(Modality.EEG, row, window, spec) else "no EEG"


def _there_now(modality: Modality, row: LeftOut, window: Window, spec: WindowSpec) -> bool:
    """Whether the row has a sensor in the newest hop."""
    if modality is row.modality or modality not in spec.modalities:
        return False
    return bool(window.cells[spec.modalities.index(modality), -spec.hop_s :].all())
