"""The process that builds engines: for real with TensorRT-RTX where it is installed, and one that crashes or hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from models.runtime.tensorrt import process
from models.runtime.tensorrt.api import RTX, TENSORRT, Library, load_library
from models.runtime.tensorrt.build import Event, Request, plan_name
from models.runtime.tensorrt.builder import Cancelled, Settings, build_plan
from models.signals.errors import BackendUnavailable
from tests.models.tensorrt_fakes import Rig, rig, toy_graph

__all__ = ["rig"]

ROOT = Path(process.__file__).resolve().parents[3]


def request(rig: Rig, **change: object) -> Request:
    """To build two engines of the fake in the rig's folder."""
    return msgspec.structs.replace(Request("tensorrt", str(rig.folder), (1, 2), capability=(8, 9)), **change)


def run(request: Request, cancel: threading.Event | None = None) -> list[float]:
    shares: list[float] = []
    process.run(request, shares.append, cancel or threading.Event())
    return shares


def test_a_build_reports_progress_and_leaves_plans_and_measurements(rig: Rig) -> None:
    rig.faults(chatter=True)  # what the library prints is no part of the protocol
    shares = run(request(rig))
    assert shares == sorted(shares) and 0 < shares[0] < 0.3 and shares[-1] == 1.0 and len(shares) > 5
    assert (rig.folder / plan_name(1)).is_file() and (rig.folder / plan_name(2)).is_file()
    assert (rig.folder / "timing.bin").read_bytes() == b"timed++"  # the second build knew what the first had measured
    assert run(request(rig, open=True)) == [0.5, 1.0]


def test_a_damaged_timing_cache_begins_empty(rig: Rig) -> None:
    (rig.folder / "timing.bin").write_bytes(b"of another version")
    run(request(rig, buckets=(1,)))
    assert (rig.folder / "timing.bin").read_bytes() == b"timed+"


def test_a_build_that_the_library_refuses_gives_its_words(rig: Rig) -> None:
    rig.faults(refuse_build=True)
    with pytest.raises(BackendUnavailable, match=r"could not build the engine for batches of 1: 10: Could not find"):
        run(request(rig))


def test_a_library_that_makes_no_builder_gives_its_words(rig: Rig) -> None:
    """As the real one where CUDA cannot be initialised: the bindings raise a TypeError."""
    rig.faults(refuse_builder=True)
    with pytest.raises(
        BackendUnavailable, match=r"TensorRT .* makes no builder: createInferBuilder: Error Code 6"
    ) as told:
        run(request(rig))
    assert not isinstance(told.value, process.Crashed)


def test_a_build_that_crashes_is_one_sentence(rig: Rig) -> None:
    rig.faults(crash_build=True)
    with pytest.raises(process.Crashed, match=r"^the build of the engine crashed \(signal SIGSEGV\)"):
        run(request(rig))


def test_a_plan_that_crashes_the_interpreter_does_so_elsewhere(rig: Rig) -> None:
    run(request(rig))
    rig.faults(crash_open=True)
    with pytest.raises(process.Crashed, match=r"^opening the engine crashed \(signal SIGSEGV\)"):
        run(request(rig, open=True))


def test_a_process_that_does_not_start_leaves_its_last_words(rig: Rig) -> None:
    (rig.folder / "modules" / "tensorrt.py").write_text("raise ValueError('broken install')")
    with pytest.raises(process.Crashed, match=r"crashed \(exit code 1\): ValueError: broken install"):
        run(request(rig))


def test_a_build_is_cancelled_in_the_middle(rig: Rig) -> None:
    """Also in a call of the library that never comes back; nobody waits for it."""
    hanging, cancel = rig.folder / "hanging", threading.Event()
    rig.faults(hang_build=str(hanging))

    def report(share: float) -> None:
        if share > 0.49:  # the last step before the hang
            cancel.set()

    with pytest.raises(Cancelled, match="the build of the engine was cancelled"):
        process.run(request(rig), report, cancel)
    with pytest.raises(Cancelled):
        run(request(rig), cancel)


def test_a_build_that_makes_no_step_is_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.faults(hang_build=str(rig.folder / "hanging"))
    monkeypatch.setattr(process, "SILENT_S", 0.0)
    with pytest.raises(BackendUnavailable, match="made no step in 0 s and was ended"):
        run(request(rig))


def test_a_builder_whose_parent_is_gone_ends_itself(rig: Rig) -> None:
    hanging = rig.folder / "hanging"
    rig.faults(hang_build=str(hanging))
    command = [sys.executable, "-c", "from models.runtime.tensorrt import build; build.GRACE_S = 0.05\n" + "import sys;"
               "sys.argv[0] = 'build.py'; sys.exit(build.main())"]  # fmt: skip
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(msgspec.json.encode(request(rig)) + b"\n")
        child.stdin.flush()
        while msgspec.json.decode(child.stdout.readline(), type=Event).share < 0.5:
            pass
        while not hanging.exists():  # what is left of this build's steps
            assert child.poll() is None
        child.stdin.close()
        assert child.wait(20) == 3


def test_progress_cancels_through_the_library(rig: Rig) -> None:
    """``step_complete`` gives False, and the builder stops by itself."""
    cancel = threading.Event()
    library = load_library(TENSORRT)
    with pytest.raises(Cancelled):
        build_plan(library, toy_graph(), 1, Settings(), report=lambda share: cancel.set(), cancel=cancel)


# -- TensorRT-RTX itself -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rtx() -> Library:
    """The real library, which builds without a GPU."""
    load_library.cache_clear()
    try:
        return load_library(RTX)
    except BackendUnavailable as error:
        if os.environ.get("VIGIL_REQUIRE_RTX"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(toy_graph())
    return tmp_path


def real(folder: Path, **change: object) -> Request:
    wanted = Request("tensorrt-rtx", str(folder), (1, 2, 64), device=None, capability=(8, 9))
    return msgspec.structs.replace(wanted, **change)


def test_rtx_builds_static_engines_in_a_process(rtx: Library, folder: Path) -> None:
    shares = run(real(folder))
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 10
    plans = [(folder / plan_name(bucket)).read_bytes() for bucket in (1, 2, 64)]
    assert len(set(plans)) == 3 and min(map(len, plans)) > 10_000


def test_rtx_takes_each_setting_and_reports(rtx: Library) -> None:
    shares: list[float] = []
    plan, timing = build_plan(rtx, toy_graph(), 4, Settings(), capability=(12, 0), report=shares.append)
    assert plan and not timing and shares == sorted(shares)


def test_rtx_is_cancelled_by_its_monitor(rtx: Library) -> None:
    cancel, shares = threading.Event(), []

    def report(share: float) -> None:
        shares.append(share)
        cancel.set()

    with pytest.raises(Cancelled):
        build_plan(rtx, toy_graph(), 4, Settings(), capability=(8, 9), report=report, cancel=cancel)
    assert shares[-1] < 1.0


def test_rtx_says_why_it_cannot_read_a_graph_or_serve_a_gpu(rtx: Library, folder: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"SM75.*not of SM90"):
        run(real(folder, capability=(9, 0)))
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BackendUnavailable, match=r"TensorRT-RTX 1\.\d.* cannot read the graph: .*parse"):
        run(real(folder))


def test_rtx_does_not_open_what_is_no_plan(rtx: Library, folder: Path) -> None:
    """Which it can tell without a GPU."""
    (folder / plan_name(1)).write_bytes(b"no plan" * 100)
    with pytest.raises(BackendUnavailable, match=r"does not open the engine for batches of 1: .*[Ss]erialization"):
        run(real(folder, open=True, buckets=(1,)))


def test_a_folder_of_the_same_name_where_the_user_is_does_not_run(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "models").mkdir(parents=True)
    (elsewhere / "models" / "__init__.py").write_text("raise SystemExit('a stranger ran')")
    monkeypatch.chdir(elsewhere)
    assert run(request(rig))[-1] == 1.0
