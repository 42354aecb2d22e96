"""``vigil doctor``: what is installed, which backends are usable and why not, and a short test of the whole path."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

from models.runtime.backend import RuntimeOptions
from models.runtime.bundle import load_bundle
from models.signals.errors import VigilError
from models.signals.install import DISTRIBUTION, install_hint
from monitor.bars import progress_bar
from monitor.screen import no_screen

PACKAGES = (
    "faust-streaming",
    "aiokafka",
    "numpy",
    "onnxruntime",
    "PySide6_Essentials",
    "pyqtgraph",
    "vitaldb",
    "wfdb",
    "edfio",
)
OPTIONAL = {
    "torch": "training",
    "tensorrt": "NVIDIA GPUs",
    "tensorrt-rtx-cu13-bindings": "NVIDIA RTX GPUs",
    "onnx": "engines",
}
SELF_TEST_S = 3.0


def examine() -> int:
    """Print the examination; 0 if Vigil can run here, 1 if not."""
    sound = [_versions(), backends(), _display(), _self_test()]
    print("\nVigil can run here." if all(sound) else "\nVigil cannot run here as it is; see the lines marked ✗.")
    return 0 if all(sound) else 1


def _line(good: bool | None, name: str, text: str) -> None:
    mark = {True: "✓", False: "✗", None: "·"}[good]
    print(f"  {mark} {name:<20} {text}")


def _versions() -> bool:
    print(f"Vigil {version(DISTRIBUTION)}, Python {platform.python_version()}, {platform.platform()}")
    print(f"{os.cpu_count()} processors\n\nPackages")
    missing = 0
    for name in PACKAGES:
        try:
            _line(True, name, version(name))
        except PackageNotFoundError:
            _line(False, name, f"not installed; run: {install_hint()}")
            missing += 1
    for name, purpose in OPTIONAL.items():
        try:
            _line(None, name, f"{version(name)} ({purpose})")
        except PackageNotFoundError:
            _line(None, name, f"not installed (only for {purpose})")
    return not missing


def backends() -> bool:
    """Each backend as `auto` or an explicit choice would take it: built, run through the gate, closed again."""
    from models.runtime.select import CANDIDATES, survey

    print("\nInference backends (in the order `auto` tries them)")
    try:
        bundle = load_bundle()
    except VigilError as error:
        _line(False, "demo bundle", str(error))
        return False
    usable = 0
    for name, candidate in CANDIDATES.items():
        with progress_bar(f"trying {name}") as progress:
            findings = survey(bundle, name, RuntimeOptions(progress=progress))
        for found in findings:
            usable += found.passed and candidate.by_itself
            label = f"{name} {found.precision}".strip()
            chosen = "" if candidate.by_itself else " (only when asked for by name)"
            _line(found.passed or (False if found.refused else None), label, found.words + chosen)
    return usable > 0


def _display() -> bool:
    print("\nDisplay")
    try:
        from PySide6.QtGui import QGuiApplication
    except ImportError as error:
        _line(False, "Qt", f"cannot be loaded ({error}); install the system libraries that ./run names")
        return False
    if lacking := no_screen():
        _line(None, "Qt", f"no screen ({lacking}): the terminal view will be used")
        return True
    application = QGuiApplication.instance() or QGuiApplication(["vigil-doctor"])
    screen = application.primaryScreen()  # type: ignore[attr-defined]
    size = f"{screen.size().width()}×{screen.size().height()}, {screen.physicalDotsPerInch():.0f} dpi" if screen else ""
    _line(True, "Qt", f"platform {QGuiApplication.platformName()} {size}")
    return True


def _self_test() -> bool:
    from monitor.running import open_session
    from monitor.settings import RunSettings

    print("\nSelf-test: the built-in patient for three seconds")
    began = time.perf_counter()
    try:
        session = open_session(RunSettings(for_s=SELF_TEST_S, headless=True))
        try:
            session.start()
            ended = session.wait(timeout_s=30)
            report = session.report()
        finally:
            session.stop()
    except VigilError as error:
        _line(False, "session", str(error))
        return False
    if not ended:
        _line(False, "session", "three seconds of the patient were not through after thirty")
        return False
    lost = sum(counts["lost"] for counts in report["samples"].values())
    good: bool = lost == 0 and report["predictions"] > 0
    _line(
        good,
        "session",
        f"{report['predictions']} predictions, {lost} samples lost, {time.perf_counter() - began:.1f} s",
    )
    for stage, figures in (report["latency_ms"] or {}).items():
        _line(None, stage, f"p50 {figures['p50']:.1f} ms, p99 {figures['p99']:.1f} ms")
    return good
