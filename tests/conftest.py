"""Fixtures and rules of the whole suite: where the real recordings are, and no undeclared ERROR log."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ROOT = Path(__file__).resolve().parent.parent
# Whoever runs the tests has settings of their own, and Qt writes where its windows were before a fixture can say where.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="vigil-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CONFIG_HOME"], ignore_errors=True)
RECORDINGS = Path(os.environ.get("VIGIL_RECORDINGS", ROOT.parent / "shared" / "data"))

TOGETHER = (
    ("tests/transport/", "a Kafka"),
    ("tests/models/test_export.py", "an export"),
    ("tests/models/test_parts.py", "an export"),
    ("tests/models/test_plain_graph.py", "an export"),
    ("tests/models/test_students.py", "an export"),
)
"""Files whose slow tests share a fixture of half a minute run in one process, when there are several."""

APART = ("test_broker_away.py", "test_security.py", "test_takeover.py")
"""Of those of a Kafka: with a broker of their own, or none."""

SLOW = (
    "data/test_coupling_off.py",
    "data/test_crises.py",
    "data/test_other_device.py",
    "data/test_simulator_truth.py",
    "data/test_sweeps.py",
    "models/equations/test_groups.py",
    "models/test_clinical.py",
    "models/test_comparison.py",
    "models/test_distillation.py",
    "models/test_export.py",
    "models/test_hypotension.py",
    "models/test_memory.py",
    "models/test_mixed_training.py",
    "models/test_objective_stages.py",
    "models/test_parts.py",
    "models/test_plain_graph.py",
    "models/test_real_training.py",
    "models/test_restoration.py",
    "models/test_rtx_build.py",
    "models/test_selfmask.py",
    "models/test_sizes.py",
    "models/test_sleep.py",
    "models/test_student_evaluation.py",
    "models/test_students.py",
    "models/test_training.py",
    "monitor/test_cli_train.py",
    "signals/test_bed_memory.py",
    "signals/test_pipeline_invariance.py",
    "sources/live/test_lsl.py",
    "sources/live/test_sdc.py",
    "streams/sinks/test_hostile_mcap.py",
    "streams/sinks/test_session_recorded.py",
    "streams/test_alarm_onsets.py",
    "streams/test_arrhythmia_live.py",
    "streams/test_measured_only.py",
    "streams/test_vitals_recordings.py",
    "test_arrests.py",
    "test_bench_estimates.py",
    "test_bench_gpu_training.py",
    "transport/test_kafka_failover.py",
    "transport/test_session_on_brokers.py",
    "transport/test_takeover.py",
)
"""Whole trainings, exports, engines, recordings, crises, populations and a real Kafka: in ``./test --all`` only."""

FIRST = (
    "a Kafka",
    "an export",
    "tests/transport/test_broker_away.py",
    "tests/transport/test_takeover.py",
    "tests/test_arrests.py",
    "tests/test_bench_estimates.py",
    "tests/monitor/test_cli_train.py",
    "tests/models/test_rtx_build.py",
    "tests/models/test_distillation.py",
    "tests/models/test_memory.py",
    "tests/models/test_mixed_training.py",
    "tests/models/test_real_training.py",
    "tests/models/test_student_evaluation.py",
    "tests/models/test_clinical.py",
    "tests/models/test_hypotension.py",
)
"""Begun first, of the slow ones: long with few tests, so that by number, as xdist orders them, they would come last,
and one process would wait for the other."""


@pytest.fixture(autouse=True, scope="session")
def a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a display keeps is kept here, and nobody's limits or silence are found."""
    for kind in ("CONFIG", "DATA", "STATE"):
        os.environ[f"XDG_{kind}_HOME"] = str(tmp_path_factory.mktemp(kind.lower()))


@pytest.fixture(autouse=True)
def no_word_stays_hidden() -> Iterator[None]:
    """What a log must not say is one list of the process; a patient of one test may be called what another one logs."""
    yield
    if (module := sys.modules.get("monitor.redaction")) is not None:
        vars(module.HIDDEN).update(vars(module.Redactor()))


# A busy machine is no failure, and the same examples come on every machine.
settings.register_profile("vigil", deadline=None, derandomize=True)
settings.load_profile("vigil")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What the marker leaves out whole is not read either: seconds of import, in every process."""
    if not collection_path.name.startswith("test_") or not collection_path.is_relative_to(ROOT / "tests"):
        return None
    file, asked = collection_path.relative_to(ROOT / "tests").as_posix(), config.option.markexpr
    if asked == "not slow":
        return file in SLOW or None
    if asked != "slow" or file in SLOW or file.startswith("transport/"):  # where a broker may be Kafka's
        return None
    return "mark.slow" not in collection_path.read_text("utf-8") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is slow; see ``SLOW``."""
    for item in items:
        listed = item.path.relative_to(ROOT / "tests").as_posix() in SLOW
        if listed or item.get_closest_marker("kafka") is not None:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("kafka") is not None:
            # A broker in a process of its own closes connections where the machine is busy with two test processes.
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_collection_finish() -> None:
    """What has been imported stays: looking through it for garbage takes 0.3 s each time."""
    gc.freeze()


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """With several processes (``-n``) a file stays in one: its fixtures are its own. By file name, since groups by
    marker (``loadgroup``) have no effect with xdist 3.8 under pytest 9.2."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling
    from xdist.workermanage import WorkerController

    class ByFixture(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            if config.option.markexpr == "not slow" or file.endswith(APART):
                return file
            return next((name for start, name in TOGETHER if file.startswith(start)), file)

        def _assign_work_unit(self, node: WorkerController) -> None:
            if config.option.markexpr == "slow":
                left = [name for name in FIRST if name in self.workqueue]
                if left:
                    self.workqueue.move_to_end(left[0], last=False)
            super()._assign_work_unit(node)

    return ByFixture(config, log)


def pytest_report_header() -> str:
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed: the tests of networks, training and export are left out"
    return "torch is installed: the tests of networks, training and export are run"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the real recordings; tests that use them skip with the reason where it is absent."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"real recordings are not at {RECORDINGS} (set VIGIL_RECORDINGS)")
    return RECORDINGS


class _ErrorCatcher(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def no_undeclared_error_log(request: pytest.FixtureRequest):
    """Any ERROR log fails the test unless it is marked ``expects_error_log``."""
    catcher = _ErrorCatcher()
    logging.getLogger().addHandler(catcher)
    yield
    logging.getLogger().removeHandler(catcher)
    if catcher.messages and request.node.get_closest_marker("expects_error_log") is None:
        pytest.fail("undeclared ERROR log: " + "; ".join(catcher.messages[:5]))
