"""``python -m benchmarks estimates [--simulated N] [REAL …]``: what is shown, how right it is, and how wide.

Every patient is cut once by the pipeline of the live stream; then sensors are taken away, and the engine says what it
would show. REAL is a recording, or a folder of WFDB records with ABP and PPG; of a folder whose ``index.csv`` names
groups, ``--split`` takes only that part which calibration does not. With ``--fit BUNDLE`` the calibration patients are
taken instead, and the tables measured on them are written into the bundle.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.estimates.fit import everything_shown, pressure_table, risk_table
from benchmarks.estimates.patients import CALIBRATION_SEED, REPORT_SEED, Patient, recorded, simulated
from benchmarks.estimates.replay import OTHERS, Rows, Setting, Told, joined, replay, settings, together
from benchmarks.estimates.tables import pressure_section, risk_section, verdicts
from benchmarks.tables import machine, publish
from models.runtime.bundle import Bundle, load_bundle
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.spec import BUNDLE_SCHEMA, BundleSpec, PressureTable, RiskTable
from models.signals.modalities import Modality

SIMULATED_STRIDE_S, REAL_STRIDE_S = 60, 20
ABP_AGES_S = (0.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
BARE_AGES_S = (0.0, 30.0, 60.0, 300.0)  # without a PPG nothing is estimated, and a risk is not shown for long
REAL_AGES_S = (10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0)
REAL_SENSORS = (Modality.ECG, Modality.PPG)


def main(argv: list[str]) -> int:
    """Fits the bundle's bounds or reports on them; returns the exit code."""
    options = _parser().parse_args(argv)
    fit = options.fit is not None
    bundle = load_bundle(options.fit or options.bundle)
    engine = _engine(bundle, fit)
    synthetic = _simulated(engine, CALIBRATION_SEED if fit else REPORT_SEED, options.simulated)
    chosen = [s for s in settings(REAL_AGES_S, REAL_SENSORS) if not fit or Modality.PPG in s.there]
    real = {place.name: _real(engine, place, fit if options.split else None, chosen) for place in options.real}
    if fit:
        every = [synthetic, *real.values()]
        source = np.repeat(np.arange(len(every)), [len(rows) for rows in every])
        risk = bundle.spec.risk if options.keep_risk else risk_table(synthetic, SIMULATED_STRIDE_S)
        write_tables(bundle, pressure_table(together(every), source), risk)
        return 0
    publish(_report(bundle, synthetic, real), options.out)
    return 0


def write_tables(bundle: Bundle, pressure: PressureTable, risk: RiskTable | None) -> None:
    """Into ``spec.json`` of the bundle's folder, and its hash into the manifest."""
    spec: BundleSpec = msgspec.structs.replace(bundle.spec, schema=BUNDLE_SCHEMA, pressure=pressure, risk=risk)
    text = msgspec.json.format(msgspec.json.encode(spec), indent=2)
    (bundle.path / "spec.json").write_bytes(text)
    manifest = msgspec.json.decode((bundle.path / "manifest.json").read_bytes())
    manifest["schema"] = BUNDLE_SCHEMA
    manifest["files"]["spec.json"] = hashlib.sha256(text).hexdigest()
    (bundle.path / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))


def _engine(bundle: Bundle, fit: bool) -> Told:
    backend = OnnxBackend(bundle.model_path, bundle.spec, threads=1)
    if not fit:
        return Told(bundle, backend)
    seen = msgspec.structs.replace(bundle.spec, pressure=None, risk=everything_shown(), conformal={})
    return Told(replace(bundle, spec=seen), backend, widest_mmhg=float("inf"))


def _simulated(engine: Told, first_seed: int, count: int) -> Rows:
    patients = simulated(first_seed, count, engine.window_spec, SIMULATED_STRIDE_S)
    chosen = [s for s in settings(ABP_AGES_S, OTHERS) if Modality.PPG in s.there or s.abp_age_s in BARE_AGES_S]
    return _rows(engine, patients, chosen, "simulated")


def _real(engine: Told, place: Path, calibration: bool | None, chosen: list[Setting]) -> Rows:
    patients = recorded(place, engine.window_spec, REAL_STRIDE_S, calibration)
    return _rows(engine, patients, chosen, place.name)


def _rows(engine: Told, patients: Iterator[Patient], chosen: list[Setting], what: str) -> Rows:
    number_of: dict[str, int] = {}
    parts: list[Rows] = []
    for done, patient in enumerate(patients, start=1):
        number = number_of.setdefault(patient.name, len(number_of))
        parts += replay(engine, patient, number, chosen)
        print(f"\r{what}: {done} recordings", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return joined(parts)


def _report(bundle: Bundle, synthetic: Rows, real: dict[str, Rows]) -> str:
    name = f"{bundle.spec.name} {bundle.spec.version}"
    sources = {"simulated": synthetic} | real
    count = len(set(synthetic.patient.tolist()))
    return "\n".join([
        f"## What is shown: {name}, {machine()}",
        "",
        f"Simulated: {count} patients of 30 min, seeds from {REPORT_SEED}, with the device that training has not met, "
        f"a window every {SIMULATED_STRIDE_S} s. Real: {', '.join(real) or 'none'}, a window every {REAL_STRIDE_S} s. "
        "Sensors are taken away after the fact, and the engine decides what it would show.",
        "",
        *(f"- {line}" for line in verdicts(synthetic, real)),
        "",
        "### Mean pressure while the ABP is lost",
        "",
        "Errors in mmHg, of the windows in which an estimate is shown.",
        "",
        pressure_section(sources),
        "",
        "### Risk of hypotension, simulated",
        "",
        "When shown; windows hypotensive already are left out; 95 % intervals over patients. Last: mean risk with its "
        "80 % interval, and the share of patients whose own level lies within it.",
        "",
        risk_section(synthetic, SIMULATED_STRIDE_S),
    ])  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks estimates", description=__doc__)
    parser.add_argument("real", nargs="*", type=Path, metavar="REAL", help="recordings, or folders of WFDB records")
    parser.add_argument("--simulated", type=int, default=40, help="simulated patients (default: 40)")
    parser.add_argument("--split", action="store_true", help="of the folders only the groups for this purpose")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument(
        "--fit", type=Path, metavar="BUNDLE", help="measure this bundle's tables and write them into it"
    )
    parser.add_argument("--keep-risk", action="store_true", help="with --fit: leave the bundle's table of risks alone")
    parser.add_argument("--out", type=Path)
    return parser
