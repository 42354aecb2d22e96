"""Settings of the real data sets: the ``[data]`` table of a training configuration, told apart by ``source``."""

from __future__ import annotations

import msgspec

from models.data.recorded_labels import BIS_DELAY_S
from models.data.splits import Shares
from models.signals.modalities import Modality

CORE = (Modality.ECG, Modality.ABP, Modality.PPG)


class RealData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="source"):
    """What all real data sets share.

    shares, salt: split by patient, see :mod:`models.data.splits`. stride_s: seconds between windows. processes:
    recordings cut at once. least_known: share of measured frames a window needs. other_devices: how often each
    recording of the training group is cut once more, as other devices would have shown it
    (:mod:`models.data.other_device`).
    """

    shares: Shares = Shares()
    salt: str = "vigil"
    stride_s: int = 10
    processes: int = 2
    least_known: float = 0.5
    other_devices: int = 0

    def __post_init__(self) -> None:
        if self.stride_s < 1 or self.processes < 1:
            raise ValueError("stride_s and processes are at least 1")
        if not 0 <= self.other_devices <= 20:
            raise ValueError("other_devices lies in 0 to 20")
        if not 0.0 <= self.least_known <= 1.0:
            raise ValueError("least_known lies in 0 to 1")


class FolderData(RealData, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="folder"):
    """Any folder of WFDB, EDF or .vital files.

    patient: ``"parent"`` (the folder a file lies in), ``"file"`` (each file is one patient), ``"index"`` (the column
    ``group`` of ``index.csv`` in ``path``, whose column ``record`` names the files without their suffix) or a regular
    expression with one group, searched in the file's path below ``path``. exclude, include: patterns of paths below
    ``path`` or of file names. need: modalities every file must have. channels: overrides of the channel map,
    ``ECG=II``. site: where it was recorded, for the index. attribution: whose the recordings are and under which
    licence, for the card of what learns from them.
    """

    path: str
    patient: str = "parent"
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    need: tuple[Modality, ...] = CORE
    channels: dict[str, str] = {}
    site: str = ""
    attribution: str = ""


class VitaldbData(RealData, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="vitaldb"):
    """VitalDB's open data set (Lee et al., Sci Data 2022; 9:279).

    cases: how many cases at most, drawn by hash (0: all that qualify). folder: where case files and tables are, and
    are put (default: the user's cache). download: fetch what is missing. The rest are the rules of the cohort.
    """

    cases: int = 0
    folder: str = ""
    download: bool = True
    least_age: int = 18
    least_minutes: int = 60
    one_case_a_patient: bool = False
    anaesthesia_only: bool = True  # windows from the start to the end of anaesthesia
    index_delay_s: float = BIS_DELAY_S


class SleepEdfData(RealData, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sleep-edf"):
    """Sleep-EDF Expanded, cassette study (Kemp et al., IEEE Trans Biomed Eng 2000; 47:1185).

    path: the folder of ``SC4…-PSG.edf`` and ``SC4…-Hypnogram.edf`` files, at any depth. fold: which of the ``folds`` by
    subject is tested on. frame_s, step_s: frames of 4 s that begin every second (PhysioME, arXiv 2510.11110).
    """

    path: str
    fold: int = 0
    folds: int = 5
    seed: int = 0
    wake_minutes: int = 30
    frame_s: int = 4
    step_s: int = 1


RealSource = FolderData | VitaldbData | SleepEdfData
