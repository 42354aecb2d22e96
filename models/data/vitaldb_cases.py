"""VitalDB's open data set (Lee et al., Sci Data 2022; 9:279; CC BY-NC-SA 4.0) to recordings that can be cut.

    clinical table + list of tracks → cohort → case files, from the folder or fetched → orders

Addresses are the ``vitaldb`` package's, which also decodes the files (see ``models.signals.readers.vital``). Cases that
were fetched otherwise (PhysioNet's copy has ``clinical_data.csv`` and ``vital_files/0001.vital``) are found too.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from models.data.download import Open, Unreachable, fetch, open_url
from models.data.recorded import StudyOrder
from models.data.sources import VitaldbData
from models.data.vitaldb_cohort import TRACKS, Case, FlowRow, read_cases, read_tracks, select
from models.progress import Progress
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec

CASE_TABLES = ("cases.csv", "clinical_data.csv")
SITE = "Seoul National University Hospital"
TRACK_TABLES = ("trks.csv", "track_names.csv")


def default_folder() -> Path:
    """Where cases for training are kept; the few that were replayed lie elsewhere and are forgotten in time."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("vigil", appauthor=False)) / "vitaldb-training"


def case_orders(
    settings: VitaldbData, spec: WindowSpec, out: Path, progress: Progress, opened: Open = open_url
) -> tuple[list[StudyOrder], list[FlowRow], list[tuple[str, str]]]:
    """What to cut, how the cohort came about, and the cases whose file cannot be had, with the reason.

    Raises BadInput where the tables cannot be had, nobody qualifies or the server stops answering, VigilError where the
    disk is full.
    """
    folder = Path(settings.folder).expanduser() if settings.folder else default_folder()
    modalities = [m for m in spec.modalities if m in TRACKS]
    cases = read_cases(_need_table(folder, CASE_TABLES, "cases", settings, opened))
    tracks = _tracks(folder, settings, opened)
    chosen, flow = select(cases, tracks, settings, modalities)
    orders: list[StudyOrder] = []
    missing: list[tuple[str, str]] = []
    progress("case files", 0, len(chosen))
    for done, case in enumerate(chosen, start=1):
        try:
            path = case_file(case.case, folder, settings.download, opened)
        except Unreachable:
            raise
        except BadInput as error:
            missing.append((f"vitaldb:{case.case}", str(error)))
        else:
            orders.append(_order(case, path, settings, spec, modalities, out))
        progress("case files", done, len(chosen))
    if not orders:
        raise BadInput("a case file", f"none of {len(chosen)}; the first: {missing[0][1]}", "see the message")
    return orders, flow, missing


def case_file(case: int, folder: Path, download: bool, opened: Open = open_url) -> Path:
    """The file of a case in the folder, fetched where it is not there. Raises BadInput where it cannot be had."""
    for name in (f"{case}.vital", f"{case:04d}.vital", f"vital_files/{case:04d}.vital", f"vital_files/{case}.vital"):
        if (folder / name).is_file():
            return folder / name
    path = folder / f"{case}.vital"
    if not download:
        raise BadInput(f"{path.name} in the folder of VitalDB", "none", "allow downloading, or put the file there")
    from vitaldb import dataset

    fetch(
        f"{dataset.api_url}/{dataset.DATASET_VERSION}/{case}.vital", path, f"VitalDB case {case}", check_vital,
        opened=opened,
    )  # fmt: skip
    return path


def check_vital(path: Path) -> None:
    """Raises BadInput for a file that is no whole gzip stream with a Vital Recorder header."""
    try:
        with gzip.open(path, "rb") as stream:
            head = stream.read(4)
            while stream.read(1 << 20):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput("an intact .vital file", f"damage in {path.name!r} ({error})", "fetch it again") from error
    if head != b"VITA":
        raise BadInput("a .vital file", f"other content in {path.name!r}", "fetch it again")


def _order(
    case: Case, path: Path, settings: VitaldbData, spec: WindowSpec, modalities: list[Modality], out: Path
) -> StudyOrder:
    between = (case.anaesthesia_start_s, case.anaesthesia_end_s) if settings.anaesthesia_only else (0.0, float("inf"))
    return StudyOrder(
        out / f"vitaldb-{case.case}", str(path), f"vitaldb:{case.case}", f"vitaldb-{case.subject}", "vitaldb", spec,
        settings.stride_s, between_s=between, need=tuple(modalities),
        channels={m.value: TRACKS[m] for m in modalities}, least_known=settings.least_known,
        index_delay_s=settings.index_delay_s, site=SITE,
    )  # fmt: skip


def _need_table(folder: Path, names: tuple[str, ...], on_server: str, settings: VitaldbData, opened: Open) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if not settings.download:
        raise BadInput(
            f"{' or '.join(names)} in the folder of VitalDB", "neither", "allow downloading, or put it there"
        )
    from vitaldb import dataset

    path = folder / names[0]
    fetch(f"{dataset.api_url}/{on_server}", path, f"VitalDB's table {on_server!r}", _check_table, opened=opened)
    return path


def _check_table(path: Path) -> None:
    with path.open("rb") as stream:
        head = stream.read(64)
    if head[:2] != b"\x1f\x8b" and b"caseid" not in head:
        raise BadInput("a table that begins with caseid", f"{head[:20]!r}", "try later, or fetch the table by hand")


def _tracks(folder: Path, settings: VitaldbData, opened: Open) -> dict[int, set[str]] | None:
    """The list of tracks; None where cases are in the folder but the list is not, and it may not be fetched."""
    if not settings.download and not any((folder / name).is_file() for name in TRACK_TABLES):
        return None
    return read_tracks(_need_table(folder, TRACK_TABLES, "trks", settings, opened))
