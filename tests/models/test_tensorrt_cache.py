"""The cache of engines: what is keyed, what is set aside, two processes at once, and folders that take nothing."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.runtime.tensorrt import cache as caches
from models.runtime.tensorrt import engines, process
from models.runtime.tensorrt.build import plan_name
from models.runtime.tensorrt.cache import EngineCache, Keyed, key_of, store_gate, stored_gate
from models.signals.errors import BackendUnavailable
from tests.models.tensorrt_fakes import Rig, is_right, rig, toy_inputs

__all__ = ["rig"]

KEYED: Keyed = {"graph": "0" * 64, "buckets": [1, 2]}
RESULT = b'{"passed":true,"rules":"abc"}'


@pytest.fixture
def plans(tmp_path: Path) -> dict[int, Path]:
    folder = tmp_path / "built"
    folder.mkdir()
    found = {bucket: folder / plan_name(bucket) for bucket in (1, 2)}
    for bucket, path in found.items():
        path.write_bytes(bytes([bucket]) * 1000)
    return found


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    root = tmp_path / "cache"
    root.mkdir()
    return EngineCache(root)


@pytest.fixture
def quick(rig: Rig) -> Rig:
    """Builds in this process."""
    rig.inline()
    return rig


def forbid_builds(rig: Rig) -> None:
    rig.faults(crash_build=True, crash_open=True)


# -- entries -----------------------------------------------------------------------------------------------------------


def test_what_was_stored_is_found_whole(cache: EngineCache, plans: dict[int, Path]) -> None:
    key = key_of(KEYED)
    assert cache.find(key) is None
    stored = cache.store(key, KEYED, plans)
    found = cache.find(key)
    assert found == stored and found.read() == {1: b"\x01" * 1000, 2: b"\x02" * 1000}
    sidecar = json.loads((found.folder / "entry.json").read_text())
    assert sidecar["keyed"] == {"graph": "0" * 64, "buckets": [1, 2]} and set(sidecar["plans"]) == {"1", "2"}
    assert os.stat(found.folder).st_mode & 0o077 == 0  # plans are code
    assert not found.opened
    found.mark_opened()
    assert found.opened


def test_every_value_changes_the_key() -> None:
    same = key_of({"buckets": [1, 2], "graph": "0" * 64})
    assert same == key_of(KEYED)
    assert len({same, key_of({**KEYED, "buckets": [1]}), key_of({**KEYED, "driver": "580"})}) == 3


def test_all_that_a_plan_depends_on_is_keyed(quick: Rig) -> None:
    quick.load().close()
    keys = {path.name for path in quick.entries()}
    for change in ({"name": "Other"}, {"capability": (8, 6)}, {"driver": 13010}):
        before = {name: getattr(quick.cuda, name) for name in change}
        quick.cuda.__dict__.update(change)
        quick.load(buckets=(1,)).close()
        quick.cuda.__dict__.update(before)
    quick.load(buckets=(1,)).close()
    quick.install("10.15.1.29")
    quick.load(buckets=(1,)).close()
    found = {path.name for path in quick.entries()}
    assert keys < found and len(found) == 6
    sidecar = json.loads((quick.cache / next(iter(keys)) / "entry.json").read_text())
    assert set(sidecar["keyed"]) == {
        "graph", "forms", "library", "version", "gpu", "capability", "processors", "driver", "system", "precision",
        "buckets", "settings",
    }  # fmt: skip
    assert sidecar["keyed"]["settings"]["optimization_level"] == 3


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda folder: (folder / plan_name(2)).write_bytes(b"x" * 1000), "batches of 2 was altered"),
        (lambda folder: (folder / plan_name(2)).unlink(), "No such file"),
        (lambda folder: (folder / "entry.json").unlink(), "no readable entry.json"),
        (lambda folder: (folder / "entry.json").write_text("{"), "entry.json cannot be read"),
    ],
    ids=["plan altered", "plan gone", "sidecar gone", "sidecar cut"],
)
def test_a_damaged_entry_is_set_aside_and_built_once_more(
    quick: Rig, caplog: pytest.LogCaptureFixture, damage: Any, why: str
) -> None:
    quick.load().close()
    (entry,) = quick.entries()
    damage(entry)
    backend = quick.load()
    inputs = toy_inputs(3)
    assert is_right(backend.run(inputs), inputs)
    backend.close()
    assert any(why in record.message for record in caplog.records)
    assert quick.entries() == [entry] and len(quick.quarantined()) == 1
    forbid_builds(quick)
    quick.load().close()  # what was built anew serves


def test_a_foreign_entry_is_set_aside(quick: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody copied the engines of another machine under this one's name."""
    quick.load(buckets=(1,)).close()
    (foreign,) = quick.entries()
    quick.cuda.name = "Other GPU"
    quick.load(buckets=(1,)).close()
    (own,) = set(quick.entries()) - {foreign}
    shutil.rmtree(own)
    shutil.copytree(foreign, own)
    quick.load(buckets=(1,)).close()
    assert any("built from something else" in record.message for record in caplog.records)
    assert "Other GPU" in (own / "entry.json").read_text()


def test_a_plan_that_no_longer_opens_is_built_once_more(rig: Rig) -> None:
    """Here and in the process that tries it first."""
    rig.load().close()
    rig.faults(refuse_open_here=rig.once("here"))
    rig.load().close()
    assert len(rig.quarantined()) == 1
    (entry,) = rig.entries()
    next(entry.glob("opened-*")).unlink()  # a new trial
    rig.faults(crash_open=rig.once("there"))
    rig.load().close()
    assert len(rig.quarantined()) == 2


def test_a_plan_that_never_opens_is_no_endless_loop(rig: Rig) -> None:
    rig.faults(refuse_open_here=True)
    with pytest.raises(BackendUnavailable, match=r"does not open the engine for batches of 1: The engine plan file"):
        rig.load()
    rig.faults(crash_open=True)
    rig.options = replace(rig.options, buckets=(1,))
    with pytest.raises(BackendUnavailable, match=r"opening the engine crashed \(signal SIGSEGV\)"):
        rig.load()


def test_what_is_no_fault_of_the_plan_leaves_it_in_the_cache(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, or a GPU that the other process cannot use."""
    rig.load(buckets=(1,)).close()
    (entry,) = rig.entries()
    next(entry.glob("opened-*")).unlink()
    (rig.folder / "modules" / "cuda" / "bindings" / "runtime.py").write_text("raise ImportError('no libcudart')")
    with pytest.raises(BackendUnavailable, match="no libcudart"):
        rig.load(buckets=(1,))
    with monkeypatch.context() as patch:
        patch.setattr(process.tempfile, "TemporaryFile", full)
        with pytest.raises(BackendUnavailable, match=r"no temporary file can be made \(No space left"):
            rig.load(buckets=(1,))
    assert rig.entries() == [entry] and rig.quarantined() == []


def test_few_are_kept_of_what_was_set_aside(cache: EngineCache, plans: dict[int, Path]) -> None:
    for n in range(5):
        keyed: Keyed = {**KEYED, "n": n}
        cache.quarantine(cache.store(key_of(keyed), keyed, plans).folder, "a test")
    assert len(list(cache.root.glob("quarantine-*"))) == caches.MAX_QUARANTINED


def test_the_entries_used_last_are_kept(cache: EngineCache, plans: dict[int, Path]) -> None:
    (cache.root / "part-killed").mkdir()
    keys = []
    for n in range(caches.MAX_ENTRIES):
        keyed: Keyed = {**KEYED, "n": n}
        keys.append(key_of(keyed))
        entry = cache.store(keys[-1], keyed, plans)
        os.utime(entry.folder, (n, n))
    assert cache.find(keys[0]) is not None  # used now
    cache.store(key_of(KEYED), KEYED, plans)
    left = {path.name for path in cache.root.iterdir() if path.is_dir()}
    assert left == {keys[0], *keys[2:], key_of(KEYED)}  # the second was the one not used for longest


# -- the gate's result -------------------------------------------------------------------------------------------------


def test_the_gates_result_belongs_to_these_very_engines(cache: EngineCache, plans: dict[int, Path]) -> None:
    entry = cache.store(key_of(KEYED), KEYED, plans)
    assert stored_gate(entry.key) is None
    store_gate(entry.key, RESULT)
    assert stored_gate(entry.key) == RESULT
    plans[1].write_bytes(b"built anew")
    cache.quarantine(entry.folder, "a test")
    again = cache.store(key_of(KEYED), KEYED, plans)
    store_gate(entry.key, RESULT)  # of a process that still serves the old ones
    assert stored_gate(again.key) is None and stored_gate(entry.key) is None
    store_gate(again.key, RESULT)
    (again.folder / "gate.json").write_text("{")
    assert stored_gate(again.key) is None
    shutil.rmtree(again.folder)
    store_gate(again.key, RESULT)
    assert not again.folder.exists() and stored_gate(again.key) is None


# -- two at once -------------------------------------------------------------------------------------------------------

_HOLD = """import sys, threading
from pathlib import Path
from models.runtime.tensorrt.cache import EngineCache
with EngineCache(Path(sys.argv[1])).locked(threading.Event(), lambda: None):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(cache: EngineCache):
    """Another process that builds, until its standard input is closed."""
    root = Path(caches.__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(cache.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        yield child
        child.stdin.close()


def test_who_comes_second_waits_and_then_finds_the_plan(
    rig: Rig, cache: EngineCache, other_process: Any
) -> None:  # fmt: skip
    """The other process ends while this one waits; what it has built serves here too."""
    elsewhere = rig.folder / "elsewhere"
    rig.load(cache=elsewhere).close()
    said: list[str] = []

    def progress(what: str, share: float) -> None:
        said.append(what)
        if "another process builds" in what and not other_process.stdin.closed:
            (built,) = (path for path in elsewhere.iterdir() if path.is_dir())
            shutil.copytree(built, cache.root / built.name)
            other_process.stdin.close()

    forbid_builds(rig)
    backend = rig.load(cache=cache.root, progress=progress)
    assert set(said) == {"TensorRT engines, fp32: another process builds"}
    assert backend.cache_key is not None and str(cache.root) in backend.cache_key
    backend.close()


def test_waiting_is_cancelled(rig: Rig, cache: EngineCache, other_process: Any) -> None:
    cancel = threading.Event()
    with pytest.raises(BackendUnavailable, match="waiting for another process that builds engines was cancelled"):
        rig.load(cache=cache.root, cancel=cancel, progress=lambda what, share: cancel.set())


def test_a_killed_process_leaves_no_lock(rig: Rig, cache: EngineCache, other_process: Any) -> None:
    other_process.kill()
    other_process.wait()
    rig.load(cache=cache.root).close()


def test_two_processes_that_build_the_same_build_it_once(rig: Rig) -> None:
    program = (
        "import sys; from pathlib import Path; from types import SimpleNamespace as N\n"
        "from models.runtime.backend import RuntimeOptions; from models.runtime.tensorrt.backend import load\n"
        "said = []\n"
        "options = RuntimeOptions(precision='fp32', buckets=(1,), cache=Path(sys.argv[2]),"
        " progress=lambda what, share: said.append(what))\n"
        "load(N(model_path=Path(sys.argv[1])), options).close()\n"
        "print(any(what.startswith('building') for what in said))"
    )
    root = Path(caches.__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-c", program, str(rig.model), str(rig.cache)]
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)
    ]  # fmt: skip
    assert sorted(child.communicate(timeout=60)[0].strip() for child in children) == ["False", "True"]
    assert len(rig.entries()) == 1


# -- folders that take nothing -----------------------------------------------------------------------------------------


def full(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_cache_that_is_no_folder_means_engines_for_this_run(quick: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """As where the user has no rights: here the tests may run as root, whom no rights stop."""
    quick.cache.write_text("a file where the folder should be")
    backend = quick.load()
    inputs = toy_inputs(5)
    assert is_right(backend.run(inputs), inputs) and backend.cache_key is None
    backend.warm_up()
    backend.close()
    (said,) = (r.message for r in caplog.records if r.levelno >= logging.WARNING)
    assert "cannot be used" in said and "make room or give the folder to this user" in said and str(quick.cache) in said


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_cache_that_others_may_write_to_is_neither_read_nor_written(
    quick: Rig, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert quick.load().cache_key is not None
    quick.cache.chmod(mode)
    backend = quick.load()
    assert backend.cache_key is None
    backend.close()
    (said,) = (r.message for r in caplog.records if r.levelno >= logging.WARNING)
    assert "may write to it" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_without_rights_means_engines_for_this_run(quick: Rig) -> None:
    quick.cache.mkdir(mode=0o500)
    backend = quick.load()
    assert backend.cache_key is None
    backend.close()


def test_a_full_disk_means_engines_for_this_run_and_leaves_nothing(
    quick: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "copyfile", full)
    backend = quick.load()
    inputs = toy_inputs(2)
    assert is_right(backend.run(inputs), inputs) and backend.cache_key is None
    backend.close()
    assert quick.entries() == [] and list(quick.cache.glob("part-*")) == []
    assert sum("No space left" in r.message for r in caplog.records) == 1


def test_a_full_temporary_folder_is_one_sentence(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.tempfile, "TemporaryDirectory", full)
    with pytest.raises(BackendUnavailable, match=r"no temporary folder can be made \(No space left.*set TMPDIR"):
        rig.load()


def test_notes_that_cannot_be_written_change_nothing(
    cache: EngineCache, plans: dict[int, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = cache.store(key_of(KEYED), KEYED, plans)
    monkeypatch.setattr(caches, "write_whole", full)
    with caplog.at_level(logging.INFO):
        store_gate(entry.key, RESULT)
        entry.mark_opened()
        cache.keep_timing("same", b"timed")
    assert stored_gate(entry.key) is None and not entry.opened and cache.timing("same") == b""
    assert len([r for r in caplog.records if "does not keep" in r.message]) == 3


def test_a_half_written_note_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caches.write_whole(tmp_path / "note", b"old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        caches.write_whole(tmp_path / "note", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["note"] and (tmp_path / "note").read_bytes() == b"old"


def test_measurements_serve_the_next_build(quick: Rig) -> None:
    quick.load(buckets=(1,)).close()
    (timing,) = quick.cache.glob("timing-*.bin")
    assert timing.read_bytes() == b"timed+"
    quick.load(buckets=(1, 2)).close()
    assert timing.read_bytes() == b"timed+++"


def test_a_crash_of_the_build_is_the_users_sentence_and_leaves_the_cache_as_it_was(rig: Rig) -> None:
    rig.faults(crash_build=True)
    with pytest.raises(BackendUnavailable, match=r"the build of the engine crashed \(signal SIGSEGV\)"):
        rig.load()
    assert rig.entries() == []
    rig.faults()
    rig.options = replace(rig.options, buckets=(1,))
    rig.load().close()


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EngineCache(None).root.is_relative_to(tmp_path) and EngineCache(None).root.name == "engines"
