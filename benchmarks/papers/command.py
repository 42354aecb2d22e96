"""``python -m benchmarks papers run|tables``: train and score the folds, pool what was scored."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.papers.methods import METHODS_FILE, Methods, read_methods
from models.signals.errors import BadInput

COHORT = Path(__file__).with_name("cohort.toml")


def main(argv: list[str]) -> int:
    """Exit code 0; raises BadInput for a file, a folder or a name that does not fit."""
    options = _parser().parse_args(argv)
    chosen = read_methods(options.methods)
    if strange := [name for name in options.only or () if name not in chosen.methods]:
        raise BadInput(f"--only out of {', '.join(chosen.methods)}", strange[0], "name one of these")
    if options.command == "tables":
        from benchmarks.papers.tables import make_tables

        make_tables(options.scores, chosen, options.out)
        return 0
    train(options, chosen)
    return 0


def train(options: argparse.Namespace, chosen: Methods) -> None:
    """The folds that were asked for, one after the other."""
    import torch

    from benchmarks.papers.cohort import FOLDS, people
    from benchmarks.papers.fold import Fold
    from models.data.dataset import GROUPS
    from models.physiome import SIZES
    from models.training.config import load_config
    from models.training.data_stage import make_windows
    from models.training.portable import check_recordings, with_recordings
    from models.training.progress import ProgressBars
    from monitor.cli_evaluate import recordings_given

    if strange := [fold for fold in options.folds if not 0 <= fold < FOLDS]:
        raise BadInput(f"--folds from 0 to {FOLDS - 1}", str(strange[0]), "correct it")
    settings = with_recordings(load_config(options.config), recordings_given(options.recordings))
    check_recordings(settings)
    bar = ProgressBars()
    options.windows.mkdir(parents=True, exist_ok=True)
    found = make_windows(settings, options.windows, bar)
    # Simulated test patients have a device of their own: they would be a test of devices, not of methods.
    folders = [p for group in GROUPS if group != "test" for p in found[group]]
    patients = people(folders, options.patients[0], options.patients[1], settings.architecture.modalities)
    torch.set_num_threads(options.threads)
    for fold in options.folds:
        Fold(patients, fold, options.seed, chosen, options.scores, bar, SIZES[settings.size]).run(options.only)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks papers", description=__doc__)
    parser.add_argument("command", choices=("run", "tables"))
    parser.add_argument("--methods", type=Path, default=METHODS_FILE, help="TOML file (default: methods.toml)")
    parser.add_argument("--scores", type=Path, default=Path("runs/papers"), help="folder of what is trained and scored")
    parser.add_argument("--config", type=Path, default=COHORT, help="whose windows (default: cohort.toml)")
    parser.add_argument("--windows", type=Path, default=Path("runs/windows"), help="where windows lie or are made")
    parser.add_argument("--recordings", nargs="*", default=[], metavar="SITE=FOLDER", help="as of `vigil evaluate`")
    parser.add_argument("--patients", type=int, nargs=2, default=(60, 150), metavar=("SIMULATED", "RECORDED"))
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="which of the five")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="methods (default: all)")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/models/results/papers"), help="folder of tables (command tables)"
    )
    return parser
