"""``python -m benchmarks models run|tables``: train the runs of a plan, and make the tables of what was trained."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from pathlib import Path

from benchmarks.models.plan import PLAN, PlannedRun, read_plan
from models.signals.errors import BadInput


def main(argv: list[str]) -> int:
    """Exit code 0; raises BadInput for a plan, a folder or a name that does not fit."""
    options = _parser().parse_args(argv)
    planned = read_plan(options.plan)
    chosen = [run for run in planned if any(fnmatch.fnmatch(run.name, p) for p in options.only)]
    if not chosen:
        raise BadInput(
            f"--only out of {', '.join(r.name for r in planned)}", " ".join(options.only), "name one of these"
        )
    if options.command == "run":
        for run in chosen:
            train(run, options.runs, options.data, options.threads)
    else:
        from benchmarks.models.tables import make_tables

        make_tables(chosen, options.runs, options.out)
    return 0


def train(run: PlannedRun, runs: Path, data: Path | None, threads: int | None) -> None:
    """Trains one run up to its last stage; finished stages, of this folder or of the origin's, are taken over."""
    import msgspec

    from models.training.pipeline import train_stages
    from models.training.progress import ProgressBars

    changes: dict[str, object] = {"data_folder": str(data)} if data is not None else {}
    if threads is not None:
        changes["threads"] = threads
    settings = msgspec.structs.replace(run.settings, **changes)
    print(f"\n{run.name}: {run.what or 'main run'}, seed {settings.seed}", file=sys.stderr)
    base = runs / run.origin if run.origin else None
    train_stages(runs / run.name, settings, True, ProgressBars(), base=base, needs=())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks models", description=__doc__)
    parser.add_argument("command", choices=("run", "tables"))
    parser.add_argument("--plan", type=Path, default=PLAN, help="TOML file of runs (default: plan.toml)")
    parser.add_argument("--runs", type=Path, default=Path("runs/models"), help="folder of the run folders")
    parser.add_argument("--only", nargs="+", default=["*"], help="names or patterns, such as seed* (default: all)")
    parser.add_argument("--data", type=Path, help="windows made before, shared by all runs (default: each its own)")
    parser.add_argument("--threads", type=int, help="over the plan's; results are the same but for rounding")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="tables and plots (command tables)"
    )
    return parser
