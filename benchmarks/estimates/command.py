"""``python -m benchmarks estimates [--simulated N] [REAL …]``: what is shown, how right it is, and how wide.

Every patient is cut once by the pipeline of the live stream; then sensors are taken away, and the engine says what it
would show. REAL is a recording, or a folder of them at any depth (.vital, WFDB, EDF); those with ABP and PPG are
judged, and the others counted. Of a folder whose ``index.csv`` names groups, ``--split`` takes only that part which
calibration does not. Any bundle that reads ABP and PPG can be judged (``--bundle``); its training is not needed.
With ``--fit BUNDLE`` the calibration patients are taken instead, and the tables measured on them are written into the
bundle.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.estimates.fit import everything_shown, pressure_table, risk_table
from benchmarks.estimates.patients import CALIBRATION_SEED, REPORT_SEED, Patient, recorded, simulated
from benchmarks.estimates.replay import Rows, Setting, Told, joined, others_of, replay, settings, together
from benchmarks.estimates.tables import pressure_section, risk_section, verdicts, worth
from benchmarks.report import publish
from benchmarks.tables import machine
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.spec import BUNDLE_SCHEMA, BundleSpec, PressureTable, RiskRow, RiskTable
from models.signals.errors import BadInput
from models.signals.modalities import Modality

SIMULATED_STRIDE_S, REAL_STRIDE_S = 60, 20
ABP_AGES_S = (0.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
BARE_AGES_S = (0.0, 30.0, 60.0, 300.0)  # without a PPG nothing is estimated, and a risk is not shown for long
REAL_AGES_S = (10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0)
REAL_SENSORS = (Modality.ECG, Modality.PPG)
ALSO = "; its lost pressures also on "
CARD_HEAD = (
    "**On real people**, a mean pressure that was lost 10 s to 10 min ago, as the monitor shows it (a small\n"
    "regression beside the network makes it, not the network; `python -m benchmarks estimates`):"
)
CARD_END = "(Recordings of which nothing was learnt by what is judged here; windows in which an estimate is shown.)\n"


def main(argv: list[str]) -> int:
    """Fits the bundle's bounds or reports on them; returns the exit code."""
    options = _parser().parse_args(argv)
    fit = options.fit is not None
    bundle = load_bundle(options.fit or options.bundle)
    if not {Modality.ABP, Modality.PPG} <= set(bundle.window_spec.modalities):
        raise BadInput("a bundle that reads ABP and PPG", ", ".join(bundle.spec.modalities), "choose another")
    places = _named(options.real)
    if fit and not options.simulated:
        raise BadInput("simulated patients to fit on", "--simulated 0", "leave it out")
    if not places and not options.simulated:
        raise BadInput("somebody to judge it on", "no recording and --simulated 0", "name recordings")
    engine = _engine(bundle, fit)
    synthetic = _simulated(engine, CALIBRATION_SEED if fit else REPORT_SEED, options.simulated)
    sensors = [m for m in REAL_SENSORS if m in bundle.window_spec.modalities]
    chosen = [s for s in settings(REAL_AGES_S, sensors) if not fit or Modality.PPG in s.there]
    passed: dict[str, Counter[str]] = {name: Counter() for name in places}
    real = {
        name: _real(engine, place, fit if options.split else None, chosen, options.patient, passed[name])
        for name, place in places.items()
    }
    if fit:
        assert synthetic is not None
        every = [synthetic, *real.values()]
        source = np.repeat(np.arange(len(every)), [len(rows) for rows in every])
        risk = bundle.spec.risk if options.keep_risk else risk_table(synthetic, SIMULATED_STRIDE_S)
        if risk is not None and options.longest_risk is not None:
            risk = no_older_than(risk, options.longest_risk)
        people = sum(len(set(rows.patient.tolist())) for rows in real.values())
        if options.pressure_of is not None:
            other = load_bundle(options.pressure_of).spec
            write_tables(bundle, other.pressure, risk, other.trained_on.partition(ALSO)[2])
        else:
            write_tables(bundle, pressure_table(together(every), source), risk, f"{people} real ones" if people else "")
        return 0
    publish(_report(bundle, synthetic, real, passed), options.out)
    if options.card:
        replace_file(bundle.path, "card.md", told_card((bundle.path / "card.md").read_text("utf-8"), worth(real)))
    return 0


def _named(places: Sequence[Path]) -> dict[str, Path]:
    """By their own names; BadInput for one that is not there, or two of one name."""
    found: dict[str, Path] = {}
    for place in places:
        name = place.resolve().name
        if not place.exists():
            raise BadInput("a recording or a folder of recordings", f"nothing at {place}", "check the path")
        if name in found:
            raise BadInput("recordings of different names", f"{name} twice", "rename one of the folders")
        found[name] = place
    return found


def no_older_than(table: RiskTable, longest_s: float) -> RiskTable:
    """The table without a risk that is shown longer than ``longest_s`` after the last pressure."""
    keep = [i for i, age in enumerate(table.ages_s) if age <= longest_s] or [0]
    rows = {
        name: RiskRow(min(row.longest_s, longest_s), [row.spread[i] for i in keep])
        for name, row in table.sensors.items()
    }
    return RiskTable([table.ages_s[i] for i in keep], rows)


def write_tables(
    bundle: Bundle, pressure: PressureTable | None, risk: RiskTable | None, people: str = ""
) -> None:  # fmt: skip
    """Into ``spec.json`` of the bundle's folder, and its hash into the manifest. people: whom the lost pressures were
    learnt on beside the simulated ones, which the line on the training data then says."""
    learnt_from = bundle.spec.trained_on.partition(ALSO)[0] + (f"{ALSO}{people}" if people else "")
    spec: BundleSpec = msgspec.structs.replace(
        bundle.spec, schema=BUNDLE_SCHEMA, pressure=pressure, risk=risk, trained_on=learnt_from
    )
    replace_file(bundle.path, "spec.json", msgspec.json.format(msgspec.json.encode(spec), indent=2).decode())


def replace_file(folder: Path, name: str, text: str) -> None:
    """Writes one file of a bundle, and its hash into the manifest."""
    (folder / name).write_text(text, encoding="utf-8")
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    manifest["schema"] = BUNDLE_SCHEMA
    manifest["files"][name] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))


def told_card(card: str, said: Sequence[str]) -> str:
    """The card with what the estimate is worth on real people after its title, in place of what was there of it."""
    title, _, rest = card.partition("\n")
    rest = rest.partition(CARD_END)[2] if CARD_END in rest else rest
    what = "\n".join(f"- {line}" for line in said) or "- nothing: no recording was long enough."
    return f"{title}\n\n{CARD_HEAD}\n\n{what}\n\n{CARD_END}{rest}"


def _engine(bundle: Bundle, fit: bool) -> Told:
    backend = OnnxBackend(bundle.model_path, bundle.spec, threads=1)
    if not fit:
        return Told(bundle, backend)
    seen = msgspec.structs.replace(bundle.spec, pressure=None, risk=everything_shown(), conformal={})
    return Told(replace(bundle, spec=seen), backend, widest_mmhg=float("inf"))


def _simulated(engine: Told, first_seed: int, count: int) -> Rows | None:
    if not count:
        return None
    patients = simulated(first_seed, count, engine.window_spec, SIMULATED_STRIDE_S)
    others = others_of(engine.window_spec)
    chosen = [s for s in settings(ABP_AGES_S, others) if Modality.PPG in s.there or s.abp_age_s in BARE_AGES_S]
    return _rows(engine, patients, chosen, "simulated")


def _real(
    engine: Told, place: Path, calibration: bool | None, chosen: list[Setting], rule: str, passed: Counter[str]
) -> Rows:
    patients = recorded(place, engine.window_spec, REAL_STRIDE_S, calibration, rule, passed)
    return _rows(engine, patients, chosen, place.name)


def _rows(engine: Told, patients: Iterator[Patient], chosen: list[Setting], what: str) -> Rows:
    number_of: dict[str, int] = {}
    parts: list[Rows] = []
    for done, patient in enumerate(patients, start=1):
        number = number_of.setdefault(patient.name, len(number_of))
        parts += replay(engine, patient, number, chosen)
        print(f"\r{what}: {done} recordings", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if not parts:
        raise BadInput(
            f"windows in which the pressure can be withheld ({what})", "none",
            "name recordings of minutes in which ABP and PPG are there together",
        )  # fmt: skip
    return joined(parts)


def _report(bundle: Bundle, synthetic: Rows | None, real: dict[str, Rows], passed: dict[str, Counter[str]]) -> str:
    name = f"{bundle.spec.name} {bundle.spec.version}"
    sources = ({} if synthetic is None else {"simulated": synthetic}) | real
    patients = {source: len(set(rows.patient.tolist())) for source, rows in sources.items()}
    subsets = 2 ** len(bundle.spec.modalities)
    over = [f"{source}: {n} {why}" for source, reasons in passed.items() for why, n in reasons.items()]
    lines = [
        f"## What is shown: {name} ({bundle.fingerprint}), {machine()}",
        "",
        f"Learnt from {bundle.spec.trained_on}. "
        + (
            "Simulated: none. "
            if synthetic is None
            else f"Simulated: {patients['simulated']} patients of 30 min, seeds from {REPORT_SEED}, with the device "
            f"that training has not met, a window every {SIMULATED_STRIDE_S} s. "
        )
        + f"Real: {', '.join(f'{source} ({patients[source]} patients)' for source in real) or 'none'}, a window every "
        f"{REAL_STRIDE_S} s; passed over: {', '.join(over) or 'none'}. Sensors are taken away after the fact, and the "
        "engine decides what it would show.",
        "",
        *(f"- {line}" for line in verdicts(synthetic, real, subsets)),
        "",
        "### Mean pressure while the ABP is lost",
        "",
        "Errors in mmHg, of the windows in which an estimate is shown.",
        "",
        pressure_section(sources),
    ]  # fmt: skip
    if synthetic is not None:
        lines += [
            "",
            "### Risk of hypotension, simulated",
            "",
            "When shown; windows hypotensive already are left out; 95 % intervals over patients. Last: mean risk with "
            "its 80 % interval, and the share of patients whose own level lies within it.",
            "",
            risk_section(synthetic, SIMULATED_STRIDE_S),
        ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks estimates", description=__doc__)
    parser.add_argument("real", nargs="*", type=Path, metavar="REAL", help="recordings, or folders of them")
    parser.add_argument("--simulated", type=int, default=40, help="simulated patients (default: 40; 0: none)")
    parser.add_argument(
        "--patient", default="", metavar="RULE",
        help="whose a recording of a folder is: file, parent (the folder it lies in), index (column group of "
        "index.csv) or a regular expression with one group (default: index where there is one, else file)",
    )  # fmt: skip
    parser.add_argument("--split", action="store_true", help="of the folders only the groups for this purpose")
    parser.add_argument("--bundle", type=Path, help="whose estimates are judged (default: the shipped one)")
    parser.add_argument("--card", action="store_true", help="what it is worth on REAL into the bundle's card, first")
    parser.add_argument(
        "--fit", type=Path, metavar="BUNDLE", help="measure this bundle's tables and write them into it"
    )
    parser.add_argument(
        "--pressure-of", type=Path, metavar="BUNDLE",
        help="with --fit: the table of lost pressures of this bundle, which is of the estimate and not of the network",
    )  # fmt: skip
    parser.add_argument("--keep-risk", action="store_true", help="with --fit: leave the bundle's table of risks alone")
    parser.add_argument(
        "--longest-risk", type=float, metavar="S", help="with --fit: show no risk longer after the last pressure"
    )
    parser.add_argument("--out", type=Path, help="file of the report")
    return parser
